"""Handwritten digits seen three ways: made from scikit-learn's bundled digits, so no data lies beside the recipe.

    image = digit + noise,  digit: 8 x 8 levels 0..16,  noise: whole levels, a + b with a, b uniform in -noise..noise
    top      rows 0 to 3 of the image / 16, as a picture of 4 x 8
    bottom   rows 4 to 7 of the image / 16, as a picture of 4 x 8
    fourier  |FFT| of another noisy reading of the digit / 16, as a picture of 8 x 5

No view suffices: half a digit is another digit's half, and magnitudes do not say where a stroke lies. The noise is made
of whole numbers and magnitudes are rounded to 3 decimals, so that every machine gets the same digest.
Kaynak 1995; UCI Optical Recognition of Handwritten Digits: 1,797 digits, 10 classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from core.machine.names import RefusedError, shown
from core.sample import Samples, Task

HEIGHTS = {"top": (4, 8), "bottom": (4, 8), "fourier": (8, 5)}


@dataclass(frozen=True)
class Options:
    """What the recipe may set.

    views   which views, in this order
    noise   half the range of each of the two added whole numbers, in levels of 16; 0 adds none
    test    share of each class in the test part
    seed    of the noise and of the split
    """

    views: tuple[str, ...] = ("top", "bottom", "fourier")
    noise: int = 3
    test: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        unknown = [view for view in self.views if view not in HEIGHTS]
        if unknown or not self.views or len(set(self.views)) < len(self.views):
            raise RefusedError(f"digits: views are some of {', '.join(HEIGHTS)}, not {shown(list(self.views), 60)}")
        if not 0 <= self.noise <= 64:
            raise RefusedError(f"digits: noise is {shown(self.noise, 20)}; a whole number 0..64 is needed")
        if not 0.05 <= self.test <= 0.95:
            raise RefusedError(f"digits: test is {shown(self.test, 20)}; a share 0.05..0.95 is needed")
        if not 0 <= self.seed < 1 << 31:
            raise RefusedError(f"digits: seed is {shown(self.seed, 20)}; a whole number from 0 is needed")


def make(name: str = "digits", options: Options | None = None) -> Samples:
    """The sample set of this recipe: the same numbers on every machine."""
    from sklearn.datasets import load_digits

    options = options or Options()
    found = load_digits()
    random = np.random.default_rng(options.seed)
    images = found.images.astype(np.int64)
    first, second = (noisy(images, options.noise, random) / 16 for _ in range(2))
    views = {
        "top": first[:, :4].reshape(-1, 32),
        "bottom": first[:, 4:].reshape(-1, 32),
        "fourier": np.abs(np.fft.rfft2(second)).reshape(-1, 40).round(3),
    }
    target = torch.from_numpy(found.target.astype(np.int64))
    train, test = stratified(found.target, options.test, random)
    added = f"whole-level noise, sd {noise_deviation(options.noise):.2f} of 16 levels"
    told = {
        "top": f"rows 0 to 3 of the 8 x 8 digit with {added}",
        "bottom": f"rows 4 to 7 of the 8 x 8 digit with {added}",
        "fourier": f"magnitudes of the 2-D Fourier transform of the digit with {added}, drawn anew",
    }
    return Samples(
        name=name,
        features={view: torch.from_numpy(views[view].astype(np.float32)) for view in options.views},
        target=target,
        task=Task("class", tuple(map(str, range(10)))),
        splits={"default": {"train": torch.from_numpy(train), "test": torch.from_numpy(test)}},
        names=tuple(f"digit {number} · {label}" for number, label in enumerate(found.target)),
        pictures={view: HEIGHTS[view] for view in options.views},
        extractors={view: told[view] for view in options.views},
        licence="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits, as bundled with scikit-learn)",
        notes=(
            f"Views are made from scikit-learn's digits with {added} added: no view suffices alone.",
            f"The split is ours: stratified by class, {options.test:.0%} test, seed {options.seed}.",
        ),
    )


def noisy(images: Int[np.ndarray, "n h w"], noise: int, random: np.random.Generator) -> Int[np.ndarray, "n h w"]:
    """Each level plus two whole numbers drawn evenly from -noise..noise."""
    return images + random.integers(-noise, noise + 1, (2, *images.shape)).sum(0)


def noise_deviation(noise: int) -> float:
    """Standard deviation of that noise in levels: sqrt(2 noise (noise + 1) / 3).

    >>> noise_deviation(1) ** 2 == 4 / 3
    True
    """
    return float(np.sqrt(2 * noise * (noise + 1) / 3))


def stratified(
    classes: Int[np.ndarray, " n"] | Sequence[int], share: float, random: np.random.Generator
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Rows of train and test, in order: of each class the nearest whole number to its share, at least one each side.

    A class of one sample stays in train.
    """
    classes = np.asarray(classes)
    test = []
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        size = min(max(1, round(share * len(rows))), len(rows) - 1)
        test.append(random.permutation(rows)[:size])
    held = np.sort(np.concatenate(test)).astype(np.int64)
    return np.setdiff1d(np.arange(len(classes), dtype=np.int64), held), held

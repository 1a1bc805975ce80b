"""What joint autoencoders learned: how far latents are from their prior, retrieval across modalities, and walks.

Latents are jWAE's (core.fusion.jwae): one row of `latent` numbers for every row and modality, pulled towards N(0, I).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.explain.split import parts_of
from core.fusion import called, those
from core.fusion.base import Fusion
from core.fusion.gmf import Gmf
from core.fusion.jwae import Jwae, mmd
from core.fusion.misa import Misa
from core.measure.retrieval import Retrieval, across
from core.sample import Part
from core.score.infer import array

ROWS = 1000  # of which the distance to the prior is measured
DRAWS = 100  # of rows from the prior itself, for what such a distance is by chance


def joint(model: Fusion) -> Jwae:
    """The model, when it has joint autoencoders; else a `ValueError`."""
    if not isinstance(model, Jwae):
        able = those(lambda kind: issubclass(kind, Jwae))
        raise ValueError(f"{called(model)} has no joint autoencoders, so no latents to look at; choose a run of {able}")
    return model


@torch.inference_mode()
def latents(model: Fusion, part: Part) -> dict[str, Float[np.ndarray, "n latent"]]:
    """Every modality's latents of every row; only of modalities that are there."""
    found = joint(model).eval().encode({name: part.features[name] for name in model.widths if name in part.features})[1]
    return {name: array(z) for name, z in found.items() if name in part.features}


def common(model: Fusion) -> Fusion:
    """The model, when it maps its modalities into one space; else a `ValueError`."""
    if not isinstance(model, Jwae | Gmf | Misa):
        able = those(lambda kind: issubclass(kind, Jwae | Gmf | Misa))
        raise ValueError(f"{called(model)} maps its modalities into no common space; choose a run of {able}")
    return model


def compared(model: Fusion, part: Part) -> Mapping[str, Float[np.ndarray, "n _"]]:
    """What rows of different modalities are compared by: jWAE's latents, or the invariant parts of GMF and MISA."""
    return latents(model, part) if isinstance(common(model), Jwae) else parts_of(model, part).invariant


def retrieved(model: Fusion, part: Part) -> tuple[Retrieval, ...]:
    """MAP of asking in one modality and answering in another, by cosine; an answer of the query's class is right."""
    if part.target is None or not part.classes:
        raise ValueError("retrieval is judged by classes, and these rows have none")
    return across(compared(model, part), part.target.numpy())


@dataclass(frozen=True)
class PriorDistance:
    """How far one modality's latents are from N(0, I).

    mmd2        unbiased MMD² with the kernels of the training loss; about 0 (either sign) when there is no difference
    by_chance   95 % of draws from the prior itself, as many rows, lie below this
    length      mean length of a latent; `expected` that of a draw from the prior
    rows        how many were compared
    """

    modality: str
    mmd2: float
    by_chance: float
    length: float
    expected: float
    rows: int


@torch.inference_mode()
def prior_distance(model: Fusion, part: Part, seed: int = 0) -> tuple[PriorDistance, ...]:
    """Each modality's distance, from the same draws of the prior; evenly spaced rows of large sets."""
    random = torch.Generator().manual_seed(seed)
    found = {name: torch.from_numpy(np.array(z)) for name, z in latents(model, part).items()}
    index = torch.linspace(0, len(part) - 1, min(ROWS, len(part))).round().long()
    width = joint(model).config.latent
    drawn = torch.randn(len(index), width, generator=random)
    small = drawn[:200]
    chance = [float(mmd(torch.randn(len(small), width, generator=random), small)) for _ in range(DRAWS)]
    # the spread of an unbiased MMD² between equals falls as one over the number of rows
    by_chance = float(np.quantile(chance, 0.95)) * len(small) / len(drawn)
    expected = float(torch.randn(10_000, width, generator=random).norm(dim=1).mean())
    return tuple(
        PriorDistance(name, float(mmd(z[index], drawn)), by_chance, float(z.norm(dim=1).mean()), expected, len(index))
        for name, z in found.items()
    )


@dataclass(frozen=True)
class Walk:
    """A straight line between two rows' latents, decoded on the way.

    steps     from 0, the first row, to 1, the second
    rows      modality -> decoded rows in the features' own units, `(steps, width)`
    ends      modality -> the two rows as they are, `(2, width)`
    outputs   what the model answers at every step, `(steps, outputs)`
    crossed   modality -> the same rows decoded from the mean latent of the other modalities: what those know of it
    """

    steps: Float[np.ndarray, " steps"]
    rows: Mapping[str, Float[np.ndarray, "steps _"]]
    ends: Mapping[str, Float[np.ndarray, "2 _"]]
    outputs: Float[np.ndarray, "steps outputs"]
    crossed: Mapping[str, Float[np.ndarray, "steps _"]]


@torch.inference_mode()
def walk(model: Fusion, part: Part, first: int, last: int, steps: int = 7) -> Walk:
    """From row `first` to row `last`."""
    for index in (first, last):
        if not 0 <= index < len(part):
            raise ValueError(f"there are rows 0 to {len(part) - 1}, not {index}")
    if steps < 2:
        raise ValueError(f"a walk has at least its two ends, got {steps} steps")
    wae = joint(model).eval()
    pair = part.take(torch.tensor([first, last])).features
    ends = {name: pair[name] for name in wae.widths if name in pair}
    z = wae.encode(ends)[1]
    t = torch.linspace(0, 1, steps)[:, None]
    path: dict[str, Tensor] = {name: (1 - t) * each[0] + t * each[1] for name, each in z.items()}
    others = {
        name: torch.stack([each for other, each in path.items() if other != name] or [each]).mean(0)
        for name, each in path.items()
    }
    return Walk(
        steps=array(t[:, 0]),
        rows={name: array(rows) for name, rows in wae.restored(path).items()},
        ends={name: array(rows) for name, rows in ends.items()},
        outputs=array(wae.standard.real(wae.answer(path))),
        crossed={name: array(rows) for name, rows in wae.restored(others).items()},
    )

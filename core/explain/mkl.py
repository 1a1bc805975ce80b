r"""What the kernels of an MKL model see, what β would be at another p, and the experiment on six views of digits.

    at_norm     β, the duality gap and the metric, solved again with the run's options at any p on its training rows
    panels      kernel PCA of each kernel and of K_β on the same rows, with two numbers from all of each kernel's space:
                separation (variance between the classes' means over all variance) and alignment with the targets
    views       METHODS section 4: the average kernel against ℓp-norm MKL, draws of 400 training rows

The maths is in `core.fusion.svm`.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from core.dataset import Dataset
from core.explain.removal import metric
from core.explain.weights import weights
from core.fusion import called
from core.fusion import svm as maths
from core.fusion.base import Fusion
from core.fusion.mkl import Mkl
from core.sample import Part, Samples
from core.score.infer import array, outputs, sealed
from core.train.loop import prepare, unit_rows

MOST_SOLVED = 500  # training rows that a page solves on again
MOST_POINTS, MOST_ROWS, MOST_PANELS = 3_000, 700, 9  # of the pictures of all kernels; K_β is the last of the panels
NORMS = (1.0, 1.1, 4 / 3, 2.0, 4.0, 16.0, 64.0, math.inf)


def mkl(model: Fusion) -> Mkl:
    """The model itself; a `ValueError` for another fusion."""
    if not isinstance(model, Mkl):
        raise ValueError(f"{called(model)} has no kernels to look at; choose a run of MKL")
    return model


def norms(p: float) -> tuple[float, ...]:
    """The p to solve at again: the usual ones and the run's own.

    >>> norms(2.0) == NORMS, norms(3.0)[4]
    (True, 3.0)
    """
    return tuple(sorted({*NORMS, p}))


# ---------------------------------------------------------------------------- β at another p


@dataclass(frozen=True)
class AtNorm:
    """The solution at one p; arrays are read-only.

    beta    `(kernels, sets)`: one set of weights, or one for each output
    value   the task's metric on the rows that were asked; NaN where it is undefined
    gap     relative duality gap at the end, the worst of the sets; rounds, the most of them
    rows    training rows it was solved on, of how many
    """

    p: float
    beta: np.ndarray
    value: float
    gap: float
    rounds: int
    rows: int
    of: int

    @property
    def share(self) -> Float[np.ndarray, " kernels"]:
        """β over its sum, the mean over sets: at every p of the same size."""
        return np.asarray((self.beta / self.beta.sum(0)).mean(1))


def training_rows(
    model: Mkl, data: Dataset | Samples, supervision: Literal["clip", "unit"], units: int, protocol: str | None
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """(features, target, group) as `core.train.loop` hands them to the solver."""
    named = protocol if protocol in data.splits else None
    if isinstance(data, Samples):
        part = data.part("train", named)
        assert part.target is not None
        return {name: part.features[name] for name in model.widths}, part.target, torch.arange(len(part))
    return unit_rows(prepare(data.part("train", named), tuple(model.widths), units), supervision)


def at_norm(
    model: Fusion,
    data: Dataset | Samples,
    asked: Part,
    p: float,
    supervision: Literal["clip", "unit"] = "clip",
    units: int = 32,
    protocol: str | None = None,
    most: int = MOST_SOLVED,
) -> AtNorm:
    """Solve again with the run's options at another p, on at most `most` of the training rows, drawn by seed 0.

    Errors: `ValueError` where the data have no training part with labels.
    """
    known = mkl(model)
    features, target, groups = training_rows(known, data, supervision, units, protocol)
    config = replace(known.config, p="inf" if math.isinf(p) else p, most=min(most, known.config.most))
    other = Mkl(known.widths, config, known.task)
    other.standard.load_state_dict(known.standard.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        history = other.solve(features, target, groups, 1, lambda number, rounds, loss: None).history
    value = math.nan if asked.target is None else metric(outputs(other.eval(), asked.features), asked)
    beta = array(other.beta.double())
    return AtNorm(p, beta, value, history[-1]["gap"], len(history), min(len(target), config.most), len(target))


# ---------------------------------------------------------------------------- what each kernel sees


@dataclass(frozen=True)
class Panel:
    """One kernel: its kernel PCA, and numbers from all of its space (NaN where they are undefined)."""

    name: str
    places: np.ndarray
    shares: np.ndarray
    separation: float
    alignment: float


@dataclass(frozen=True)
class Panels:
    """Every kernel on the same rows, in the model's order, then K_β.

    rows    their numbers in the part
    beta    weight of each kernel, the mean over the sets
    chance  what the separation of classes that mean nothing is on average
    """

    rows: np.ndarray
    panels: tuple[Panel, ...]
    beta: np.ndarray
    chance: float


def drawn_rows(count: int, kernel_count: int) -> Int[np.ndarray, " k"]:
    """Evenly spread rows, few enough for pictures of so many kernels."""
    most = min(MOST_ROWS, MOST_POINTS // (min(kernel_count, MOST_PANELS - 1) + 1))
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def panels(model: Fusion, part: Part) -> Panels:
    """Kernel PCA, separation and alignment of every kernel and of K_β (the mean of the sets where there are several).

    Separation needs classes (of units normal and anomalous), alignment any target.
    """
    known = mkl(model)
    rows = drawn_rows(len(part), len(known.kernels))
    seen = part.take(torch.from_numpy(rows))
    K = known.kernels_of(seen.features)
    beta = known.beta.detach().double().numpy().mean(1)
    target = None if seen.target is None else seen.target.numpy()
    classes = target if target is not None and part.classes else None
    wanted = None if target is None else target.astype(float)
    if classes is not None:
        wanted = (classes[:, None] == np.unique(classes)).astype(float)
    found = []
    for name, one in zip([*weights(known).names, "all together"], [*K, maths.combined(K, beta)], strict=True):
        place = maths.kernel_pca(one)
        found.append(
            Panel(
                name,
                place.places.astype(np.float32),
                place.shares.copy(),
                math.nan if classes is None else maths.separation(one, classes),
                math.nan if wanted is None else maths.alignment(one, wanted),
            )
        )
    chance = math.nan if classes is None else (len(np.unique(classes)) - 1) / max(1, len(rows) - 1)
    return sealed(Panels(rows, tuple(found), beta, chance))


# ---------------------------------------------------------------------------- the experiment

r"""Corruptions of features with a strength, and what a model's robustness against one is worth: RobustAUC.

    noise     x + level * spread * N(0, 1)                 spread: standard deviation of each column
    dropped   x, or what stands for nothing in its place, for a share of the rows
    shifted   x[t - steps] within a clip; its first or last unit where nothing is left

    area = integral over sigma of Perf(f, sigma), over the range of sigma: the mean performance on the way
    tau  = integral over sigma of  Perf(f, sigma) - Perf(b, sigma)        (b: a baseline model; Perf: higher is better)

Progressive Fusion for Multimodal Integration, appendix C.1, after Taori et al. 2020; errors enter with a minus sign.
What is drawn at random depends on the seed and on the rows alone: every model and every strength meets the same draws.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.fusion.base import Features
from core.sample import Part

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # equally spaced, as C.1 has it
Strips = Sequence[tuple[int, int]]  # (start, stop) of the rows of each clip


def spreads_of(part: Part) -> dict[str, Float[Tensor, " _"]]:
    """Modality -> standard deviation of every column: what a noise of level 1 is worth; 0 for one that never moves."""
    return {name: rows.std(0, correction=0) for name, rows in part.features.items()}


# ---------------------------------------------------------------------------- noise


def gaussians(features: Features, seed: int = 0) -> dict[str, Float[Tensor, "rows _"]]:
    """Standard normal numbers for every modality, drawn in the order of the features."""
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(rows.shape, generator=random) for name, rows in features.items()}


def uniforms(features: Features, seed: int = 0) -> dict[str, Float[Tensor, "rows _"]]:
    """Numbers in [-1, 1), likewise: where in its box an attack begins."""
    random = torch.Generator().manual_seed(seed)
    return {name: 2 * torch.rand(rows.shape, generator=random) - 1 for name, rows in features.items()}


def mixed(
    features: Features, level: float, spread: Mapping[str, Float[Tensor, " _"]], drawn: Features
) -> dict[str, Float[Tensor, "rows _"]]:
    """x + level * spread * drawn, for the modalities that were drawn; level 0 changes nothing."""
    return {
        name: rows + level * spread[name] * drawn[name] if level and name in drawn else rows
        for name, rows in features.items()
    }


def noisy(
    features: Features, level: float, spread: Mapping[str, Float[Tensor, " _"]], seed: int = 0
) -> dict[str, Float[Tensor, "rows _"]]:
    """Gaussian noise of `level` standard deviations on every column of every modality; level 0 changes nothing.

    The same seed draws the same noise at every level, so that a curve over levels is smooth.
    """
    return mixed(features, level, spread, gaussians(features, seed))


# ---------------------------------------------------------------------------- rows that are lost, clips out of step


def order(features: Features, seed: int = 0) -> dict[str, Float[Tensor, " rows"]]:
    """When each row of each modality is lost, in (0, 1]: the smallest first, as many below any share as it says."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for name, rows in features.items():
        place = torch.empty(len(rows), dtype=torch.long)
        place[torch.randperm(len(rows), generator=random)] = torch.arange(1, len(rows) + 1)
        found[name] = place.double() / max(1, len(rows))
    return found


def dropped(
    features: Features, share: float, instead: Features, lost: Mapping[str, Float[Tensor, " rows"]]
) -> dict[str, Float[Tensor, "rows _"]]:
    """That share of the rows of every modality in `lost` is gone; `instead` stands there. Larger shares add to smaller.

    >>> x = {"a": torch.ones(4, 1)}
    >>> dropped(x, 0.5, {"a": torch.zeros(4, 1)}, {"a": torch.tensor([0.25, 1.0, 0.5, 0.75])})["a"].flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    return {
        name: torch.where((lost[name] <= share + 1e-12)[:, None], instead[name], rows) if name in lost else rows
        for name, rows in features.items()
    }


def own_means(features: Features, strips: Strips) -> dict[str, Float[Tensor, "rows _"]]:
    """In the place of every row the mean of its clip: what is left when nobody knows the moment."""
    found = {}
    for name, rows in features.items():
        found[name] = torch.empty_like(rows)
        for start, stop in strips:
            found[name][start:stop] = rows[start:stop].mean(0)
    return found


def shifted(features: Features, steps: int, strips: Strips, names: Sequence[str]) -> dict[str, Float[Tensor, "rows _"]]:
    """These modalities come `steps` units late (below 0: early) within each clip; its edge unit fills the gap.

    >>> shifted({"a": torch.arange(4.0)[:, None]}, 1, [(0, 4)], ["a"])["a"].flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    if not steps:
        return dict(features)
    index = torch.cat(
        [(torch.arange(start, stop) - steps).clamp(start, stop - 1) for start, stop in strips]
        or [torch.zeros(0, dtype=torch.long)]
    )
    return {name: rows[index] if name in names else rows for name, rows in features.items()}


# ---------------------------------------------------------------------------- what robustness is worth


def under_noise(
    perform: Callable[[Features], float],
    features: Features,
    spread: Mapping[str, Float[Tensor, " _"]],
    levels: Sequence[float] = LEVELS,
    draws: int = 3,
) -> Float[np.ndarray, " levels"]:
    """Perf(., sigma): a performance (higher is better) at every level of noise, the mean over draws of the noise."""
    return np.array(
        [
            np.mean([perform(noisy(features, level, spread, seed)) for seed in range(draws if level else 1)])
            for level in levels
        ]
    )


def area(performance: Float[np.ndarray, " levels"], levels: Sequence[float] | Float[np.ndarray, " levels"]) -> float:
    """Mean performance between the weakest and the strongest level, by the trapezoid rule.

    >>> area(np.array([90.0, 80.0, 60.0]), [0.0, 0.5, 1.0])
    77.5
    """
    if len(levels) != len(performance) or len(levels) < 2:
        raise ValueError(f"needs two or more levels and a value for each, got {len(levels)} levels")
    return float(np.trapezoid(performance, np.asarray(levels)) / (levels[-1] - levels[0]))


def robust_auc(
    performance: Float[np.ndarray, " levels"],
    rival: Float[np.ndarray, " levels"],
    levels: Sequence[float] | Float[np.ndarray, " levels"] = LEVELS,
) -> float:
    """tau by the trapezoid rule, in units of performance times units of noise; above 0: more robust than the rival.

    >>> robust_auc(np.array([90.0, 80.0, 60.0]), np.array([90.0, 70.0, 40.0]), [0.0, 0.5, 1.0])
    10.0
    """
    if not len(levels) == len(performance) == len(rival) or len(levels) < 2:
        raise ValueError(f"needs two or more levels and a value for each, got {len(levels)} levels")
    return float(np.trapezoid(performance - rival, np.asarray(levels)))

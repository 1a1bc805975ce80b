r"""Noise on features, and what a model's robustness is worth: RobustAUC.

    tau = integral over sigma of  Perf(f, sigma) - Perf(b, sigma)        (b: a baseline model; Perf: higher is better)

Progressive Fusion for Multimodal Integration, appendix C.1, after Taori et al. 2020; errors enter with a minus sign.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.fusion.base import Features, spreads
from core.sample import Part

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # equally spaced, as C.1 has it


def spreads_of(part: Part) -> dict[str, Float[Tensor, " _"]]:
    """Modality -> standard deviation of every column: what a noise of level 1 is worth."""
    return {name: spreads(rows) for name, rows in part.features.items()}


def noisy(
    features: Features, level: float, spread: Mapping[str, Float[Tensor, " _"]], seed: int = 0
) -> dict[str, Float[Tensor, "rows _"]]:
    """Gaussian noise of `level` standard deviations on every column of every modality; level 0 changes nothing.

    The same seed draws the same noise at every level, so that a curve over levels is smooth.
    """
    random = torch.Generator().manual_seed(seed)
    found = {}
    for name, rows in features.items():
        drawn = torch.randn(rows.shape, generator=random)
        found[name] = rows + level * spread[name] * drawn if level else rows
    return found


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


def robust_auc(
    performance: Float[np.ndarray, " levels"],
    rival: Float[np.ndarray, " levels"],
    levels: Sequence[float] = LEVELS,
) -> float:
    """tau by the trapezoid rule, in units of performance times units of noise; above 0: more robust than the rival.

    >>> robust_auc(np.array([90.0, 80.0, 60.0]), np.array([90.0, 70.0, 40.0]), [0.0, 0.5, 1.0])
    10.0
    """
    if not len(levels) == len(performance) == len(rival) or len(levels) < 2:
        raise ValueError(f"needs two or more levels and a value for each, got {len(levels)} levels")
    return float(np.trapezoid(performance - rival, np.asarray(levels)))

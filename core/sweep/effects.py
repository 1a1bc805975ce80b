r"""How much each option of a sweep matters: the functional analysis of variance of the cells' means f over the grid.

    f_S = E[f | x_S] - sum over T in S of f_T        share of S = Var(f_S) / Var(f)        shares add up to 1

(Hooker 2007; Hutter et al. 2014), exact where every cell is there, else of a random forest fitted to those that are.
What seeds alone would make of that variance is E[sd^2] / n, split over the effects by their degrees of freedom.
"""

import itertools
import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from jaxtyping import Float

from core.sweep.outcome import Results

LEAST = 6  # cells that a forest is fitted to


@dataclass(frozen=True)
class Effect:
    """One option, or several together, and the share of the cells' variance that is theirs.

    noise   the share that the seeds' spread alone would give them; NaN with one seed
    """

    names: tuple[str, ...]
    share: float
    noise: float


@dataclass(frozen=True)
class Importance:
    """Every effect, largest share first; they add up to 1. exact: of all cells, else of a forest fitted to `cells`."""

    effects: tuple[Effect, ...]
    exact: bool
    cells: int
    variance: float


def decomposed(f: Float[np.ndarray, "..."]) -> dict[tuple[int, ...], float]:
    """Variance of every effect of a function on a full grid; they add up to the variance of f.

    >>> {axes: round(v, 6) for axes, v in decomposed(np.array([[0.0, 1.0], [1.0, 2.0]])).items()}
    {(0,): 0.25, (1,): 0.25, (0, 1): 0.0}
    """
    effects: dict[tuple[int, ...], np.ndarray] = {(): f.mean(keepdims=True)}
    found = {}
    axes = range(f.ndim)
    for size in range(1, f.ndim + 1):
        for kept in itertools.combinations(axes, size):
            rest = tuple(axis for axis in axes if axis not in kept)
            effect = f.mean(axis=rest, keepdims=True) if rest else f.copy()
            for inner, part in effects.items():
                if set(inner) < set(kept):
                    effect = effect - part
            effects[kept] = effect
            found[kept] = float((effect**2).mean())
    return found


def importance(found: Results) -> Importance | None:
    """How much each option, and each pair and so on, matters; None with too few cells or none that differ."""
    f = found.lattice()
    plan = found.sweep.plan
    known = np.isfinite(f)
    exact = bool(known.all())
    cells_there = int(known.sum())
    if f.size < 2 or (not exact and cells_there < LEAST):
        return None
    if not exact:
        f = _forest(f, known)
    parts = decomposed(f)
    total = sum(parts.values())
    if total <= 1e-18 * max(1.0, float((f**2).mean())):
        return None
    spreads = [row.sd**2 / row.n for row in found.rows if row.n > 1]
    noise = fmean(spreads) / total if spreads else math.nan
    freedom = {kept: math.prod(f.shape[axis] - 1 for axis in kept) for kept in parts}
    whole = sum(freedom.values())
    effects = [
        Effect(tuple(plan.names[axis] for axis in kept), part / total, min(1.0, noise * freedom[kept] / whole))
        for kept, part in parts.items()
        if all(f.shape[axis] > 1 for axis in kept)
    ]
    return Importance(tuple(sorted(effects, key=lambda e: -e.share)), exact, cells_there, total)


def _forest(f: Float[np.ndarray, "..."], known: np.ndarray) -> Float[np.ndarray, "..."]:
    """A random forest on the places of the known cells, read off at every cell."""
    from sklearn.ensemble import RandomForestRegressor

    places = np.argwhere(np.ones(f.shape, bool))
    forest = RandomForestRegressor(64, random_state=0, min_samples_leaf=1, max_features=1.0, n_jobs=1)
    forest.fit(np.argwhere(known), f[known])
    return forest.predict(places).reshape(f.shape)

r"""What a model loses without a modality, a branch or a kernel, and whether that agrees with its weights.

    cost        metric of the whole model - metric without something, on the same rows; above 0: it helps

A modality is removed as everywhere: its rows are the training mean. A branch is removed by putting its part's mean over
the rows in its place. A weight (`explain.weights`) says what the training relied on, a cost what these rows need; where
they disagree is the finding. Intervals are paired: whole clips (samples: rows) are drawn again, the same ones for the
model with and without (`core.measure.redraw`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.special import expit
from scipy.stats import rankdata, spearmanr

from core.explain.probes import group_numbers
from core.explain.weights import Opened, weights
from core.fusion.base import Fusion
from core.fusion.intense import Intense
from core.fusion.mkl import Mkl
from core.measure.metrics import measure
from core.measure.redraw import accuracy_draws, auc_draws, real_draws
from core.sample import Part
from core.score.infer import outputs, sealed


@dataclass(frozen=True)
class Removals:
    """The metric without each of several things, one at a time; in percent (a correlation in itself).

    names       what is removed
    weights     `(names,)` a modality's share, or the weight of a branch or kernel; NaN where there is none
    whole       the metric of the whole model
    without     `(names,)`
    cost        whole - without; low, high: its paired 95 % interval
    draws       `(names, draws)` costs on clips (rows of samples) drawn again
    groups      how many are drawn from
    """

    metric: str
    names: tuple[str, ...]
    weights: np.ndarray
    whole: float
    without: np.ndarray
    cost: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray
    groups: int


def metric(values: Float[np.ndarray, "rows outputs"], part: Part) -> float:
    """The task's metric, as a run's record has it: of units the scores are judged; NaN where it is undefined."""
    return measure(expit(values) if part.task.kind == "units" else values, part).main


def metric_draws(values: Float[np.ndarray, "rows outputs"], part: Part) -> Float[np.ndarray, " draws"]:
    """The same on every draw of clips, or of rows where these are samples."""
    assert part.target is not None
    target = part.target.numpy()
    if part.task.kind == "class":
        return accuracy_draws(values.argmax(1) == target)
    if part.task.kind == "real":
        return real_draws(values.astype(np.float64), target.astype(np.float64))["correlation"]
    groups, odd = group_numbers(part), (target > 0).astype(np.float64)
    return auc_draws(expit(values[:, 0]).astype(np.float64), odd, 1 - odd, groups, int(groups.max()) + 1)


def removals(
    whole: Float[np.ndarray, "rows outputs"],
    rest: Mapping[str, Float[np.ndarray, "rows outputs"]],
    known: Mapping[str, float],
    part: Part,
) -> Removals:
    """Outputs of the whole model against outputs without each thing, judged on the same draws.

    Errors: `ValueError` when the rows have no target, or one that leaves the metric undefined.
    """
    if part.target is None:
        raise ValueError("these rows have no labels, so there is nothing to judge a removal by")
    value = metric(whole, part)
    if np.isnan(value):
        raise ValueError(f"there is no {part.task.metric} to lose: {measure(whole, part).why}")
    base = metric_draws(whole, part)
    again = np.stack([base - metric_draws(values, part) for values in rest.values()])
    without = np.array([metric(values, part) for values in rest.values()])
    cost = value - without
    low, high = np.nanquantile(again, [0.025, 0.975], axis=1)
    heavy = np.array([known.get(name, np.nan) for name in rest])
    groups = int(group_numbers(part).max()) + 1
    names = tuple(rest)
    return sealed(Removals(part.task.metric, names, heavy, value, without, cost, low, high, again, groups))


def without_modalities(model: Fusion, part: Part) -> Removals:
    """What each modality's absence costs, for any fusion that reads two or more."""
    used = [name for name in model.widths if name in part.features]
    if len(used) < 2:
        raise ValueError("the model reads one modality: without it nothing is left to judge")
    rest = {gone: outputs(model, {name: part.features[name] for name in used if name != gone}) for gone in used}
    known = weights(model).shares if isinstance(model, Intense | Mkl) else {}
    return removals(outputs(model, part.features), rest, known, part)


def without_parts(found: Opened, part: Part) -> Removals:
    """What the model loses when a branch or kernel says the same of every row."""
    flat = found.parts - found.parts.mean(0)
    # float32 as a run's record has it: rows that are alike tie
    rest = {name: (found.outputs - flat[:, at]).astype(np.float32) for at, name in enumerate(found.weights.names)}
    known = dict(zip(found.weights.names, found.weights.values.tolist(), strict=True))
    return removals(found.outputs.astype(np.float32), rest, known, part)


@dataclass(frozen=True)
class Disagreement:
    """`heavier` has the larger weight, yet removing `costlier` costs more, by `by` points (interval low ... high)."""

    heavier: str
    costlier: str
    by: float
    low: float
    high: float


def disagreements(found: Removals) -> tuple[Disagreement, ...]:
    """Pairs whose weights and costs are in opposite order, beyond chance; the largest difference first.

    The intervals are corrected for the number of pairs that were looked at (Bonferroni).
    """
    pairs = list(combinations(range(len(found.names)), 2))
    listed = []
    for one, two in pairs:
        a, b = (one, two) if found.weights[one] > found.weights[two] else (two, one)
        if not found.weights[a] > found.weights[b]:
            continue
        tail = 0.025 / len(pairs)
        low, high = np.nanquantile(found.draws[b] - found.draws[a], [tail, 1 - tail])
        if low > 0:
            by = float(found.cost[b] - found.cost[a])
            listed.append(Disagreement(found.names[a], found.names[b], by, float(low), float(high)))
    return tuple(sorted(listed, key=lambda each: -each.by))


def rank_agreement(found: Removals) -> float:
    """Spearman's rank correlation of weights and costs; NaN below three names or where one side is constant."""
    sides = found.weights, found.cost
    if len(found.names) < 3 or any(len(set(rankdata(side))) < 2 for side in sides):
        return float("nan")
    return float(spearmanr(*sides).statistic)

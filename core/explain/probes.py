"""Probes: what a linear reader finds in a part of a model, judged on rows it was not fitted on."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from core.measure.metrics import correlation
from core.sample import Part

DRAWS = 1_000  # of groups, for an interval


@dataclass(frozen=True)
class Probe:
    """What a linear probe reads off the parts.

    asked       "modality" or "class"; for real targets "target"
    kind        invariant or specific
    modality    whose parts are read; "" for all of them one below the other
    value       balanced accuracy, in [0, 1]; for real targets Pearson's correlation, averaged over them
    low, high   95 % of the values that drawing the groups again gives
    chance      what a part without any such information gives
    fitted, judged     rows
    """

    asked: str
    kind: str
    modality: str
    value: float
    low: float
    high: float
    chance: float
    fitted: int
    judged: int

    @property
    def measure(self) -> str:
        return "correlation" if self.asked == "target" else "balanced accuracy"


def group_numbers(part: Part) -> Int[np.ndarray, " n"]:
    """Rows that stand or fall together: units of one clip have one number, every sample its own."""
    names = [clip or str(place) for clip, place in part.places]
    return np.unique(names, return_inverse=True)[1]


Labelled = tuple[np.ndarray, np.ndarray]


def scaled(fit: np.ndarray, judge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both standardised by the first; columns that hardly move there are left out of it all."""
    centre, spread = fit.mean(0, dtype=np.float64), fit.std(0, dtype=np.float64)
    keep = spread > 1e-6 * max(float(spread.max()), 1e-12)
    return (fit[:, keep] - centre[keep]) / spread[keep], (judge[:, keep] - centre[keep]) / spread[keep]


def class_probe(
    asked: str, kind: str, modality: str, fit: Labelled, judge: Labelled, groups: Int[np.ndarray, " n"], seed: int = 0
) -> Probe:
    """Logistic regression with classes weighted alike; balanced accuracy on the judged rows."""
    x, y = scaled(fit[0], judge[0])
    classes = np.unique(fit[1])
    named = np.full(len(judge[1]), classes[0])
    if x.shape[1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            named = LogisticRegression(class_weight="balanced", max_iter=200).fit(x, fit[1]).predict(y)
    right, there = hits(named, judge[1], groups, len(classes), classes)
    value, low, high = recall_interval(right, there, seed)
    return Probe(asked, kind, modality, value, low, high, 1 / len(classes), len(x), len(y))


def hits(
    named: np.ndarray, truth: np.ndarray, groups: Int[np.ndarray, " n"], count: int, classes: np.ndarray
) -> tuple[Float[np.ndarray, "groups classes"], Float[np.ndarray, "groups classes"]]:
    """How many rows of each class each group has, and how many of these are named right."""
    at = np.searchsorted(classes, truth).clip(max=count - 1)
    there = np.zeros((groups.max() + 1, count))
    right = np.zeros_like(there)
    np.add.at(there, (groups, at), 1)
    np.add.at(right, (groups, at), named == truth)
    return right, there


def recall_interval(
    right: Float[np.ndarray, "groups classes"], there: Float[np.ndarray, "groups classes"], seed: int = 0
) -> tuple[float, float, float]:
    """Mean recall over the classes that occur, and 95 % of what drawing the groups again gives (Efron's bootstrap)."""
    weights = np.random.default_rng(seed).multinomial(len(right), np.full(len(right), 1 / len(right)), DRAWS)
    with np.errstate(invalid="ignore"):
        drawn = np.nanmean(np.where(weights @ there > 0, weights @ right / (weights @ there), np.nan), axis=1)
        value = float(np.nanmean(right.sum(0) / there.sum(0)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value, float(low), float(high)


def real_probe(
    kind: str, modality: str, fit: Labelled, judge: Labelled, groups: Int[np.ndarray, " n"], seed: int = 0
) -> Probe:
    """Ridge regression of the standardised targets; correlation on the judged rows, averaged over targets."""
    x, y = scaled(fit[0], judge[0])
    wanted, truth = fit[1], judge[1].astype(np.float64)
    spread = np.where(wanted.std(0) > 0, wanted.std(0), 1)
    told = Ridge(alpha=float(len(x)) / 100).fit(x, (wanted - wanted.mean(0)) / spread).predict(y).reshape(len(y), -1)
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    drawn = [
        correlation(told[index], truth[index])
        for index in (np.concatenate([rows[g] for g in random.integers(0, len(rows), len(rows))]) for _ in range(200))
    ]
    known = [value for value in drawn if value == value] or [np.nan]
    low, high = np.quantile(known, [0.025, 0.975])
    value = correlation(told, truth)
    return Probe("target", kind, modality, value, float(low), float(high), 0.0, len(x), len(y))

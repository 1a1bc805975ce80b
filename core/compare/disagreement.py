"""Where two groups say different things of the same rows: units of clips, or samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from scipy.special import softmax
from scipy.stats import rankdata

from core.clip import Clip
from core.measure.redraw import Rows
from core.sample import Part


@dataclass(frozen=True)
class Disagreement:
    """What two groups say of every row, means over their seeds, and where that differs most.

    what        units: percentile of the row's score among all rows, 0 lowest to 100 highest; class: probability of the
                true class in percent; real: absolute error in spreads of the targets, the mean over targets
    a, b        one value a row
    order       rows by |a - b|, the largest first
    closer      1 where a is nearer to the truth, -1 where b is, 0 where both are alike; None without truth
    """

    what: str
    a: np.ndarray
    b: np.ndarray
    order: np.ndarray
    closer: np.ndarray | None


def disagreement_of(a: Sequence[Any], b: Sequence[Any], rows: Sequence[Clip] | Part) -> Disagreement:
    """What each seed of two groups says (`core.score.judge.answers`) of samples, or of units, one clip after another.

    Errors: `ValueError` for samples without a target.
    """
    return _of_samples(a, b, rows) if isinstance(rows, Part) else _of_units(a, b, rows)


def _of_units(
    a: Sequence[Mapping[str, np.ndarray]], b: Sequence[Mapping[str, np.ndarray]], clips: Sequence[Clip]
) -> Disagreement:
    sides = [np.mean([percentiles(np.concatenate([one[c.name] for c in clips])) for one in side], 0) for side in (a, b)]
    labels = [clip.labels for clip in clips]
    truth = None if None in labels else np.concatenate([each.numpy() for each in labels if each is not None])
    closer = None if truth is None else np.sign(sides[0] - sides[1]) * np.where(truth, 1, -1)
    return _disagreement("percentile of the score", sides[0], sides[1], closer)


def percentiles(scores: Shaped[np.ndarray, " rows"]) -> Rows:
    """0 for the lowest, 100 for the highest; equal scores share their mean.

    >>> percentiles(np.array([3.0, 1.0, 3.0])).tolist()
    [75.0, 0.0, 75.0]
    """
    return np.asarray(100 * (rankdata(scores) - 1) / max(len(scores) - 1, 1))


def _of_samples(a: Sequence[np.ndarray], b: Sequence[np.ndarray], part: Part) -> Disagreement:
    if part.target is None:
        raise ValueError("these samples have no target to judge by")
    target = part.target.numpy()
    if part.task.kind == "class":
        rows = np.arange(len(target))
        sides = [np.mean([100 * softmax(one.astype(float), 1)[rows, target] for one in side], 0) for side in (a, b)]
        return _disagreement("probability of the true class (%)", sides[0], sides[1], np.sign(sides[0] - sides[1]))
    spread = target.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    sides = [np.mean([(np.abs(one - target) / spread).mean(1) for one in side], 0) for side in (a, b)]
    return _disagreement("error in spreads of the target", sides[0], sides[1], np.sign(sides[1] - sides[0]))


def _disagreement(what: str, a: np.ndarray, b: np.ndarray, closer: np.ndarray | None) -> Disagreement:
    order = np.argsort(-np.abs(np.nan_to_num(a - b)), kind="stable")
    for values in (a, b, order, *([] if closer is None else [closer])):
        values.setflags(write=False)
    return Disagreement(what, np.asarray(a, float), np.asarray(b, float), order, closer)

"""Judge what a model says: pure functions on numpy arrays. AUC and precision are percent; undefined is NaN.

measure(said, rows)     every number of a task: `Metrics` of units, `ClassMetrics`, `RealMetrics`
.main                   the one that methods are compared by
jsonable(…)             the same as a run's record holds it
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float, Int

from core.clip import Clip, frame_labels
from core.dataset import Rows
from core.sample import Part, Task


def auc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve in percent: the chance that an anomaly outscores a normal unit, ties counting half.

    Equal to scikit-learn's, 10-40 times faster; NaN when only one class is there or a score is NaN.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    75.0
    """
    normal, anomalous = np.sort(scores[~labels]), scores[labels]
    if not len(normal) or not len(anomalous) or np.isnan(scores).any():
        return np.nan
    below = np.searchsorted(normal, anomalous, "left").sum(dtype=np.int64)
    not_above = np.searchsorted(normal, anomalous, "right").sum(dtype=np.int64)
    return float(50.0 * (below + not_above) / (len(normal) * len(anomalous)))


def average_precision(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """Area under the precision-recall curve in percent, step by step as scikit-learn sums it; NaN for one class.

        sum over distinct scores, highest first, of  (recall - recall before) * precision

    >>> average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).__round__(3)
    83.333
    """
    if not labels.any() or labels.all() or np.isnan(scores).any():
        return np.nan
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each group of equal scores
    found = np.cumsum(labels[order])[last]
    return float(100.0 * (np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


@dataclass(frozen=True)
class Metrics:
    """Quality of one scoring, in percent, pooled over all units (or frames) of the clips; NaN where undefined.

    auc, ap                    over units
    auc_frames, ap_frames      over frames: a unit's score repeated for its frames, cut to the true frame count
    auc_anomalous, ap_anomalous  over the units of anomalous clips alone, since an easy normal set flatters
    units, anomalous           how many units, and how many of them are anomalous
    why                        the reason when a value is undefined, else empty
    """

    auc: float
    ap: float
    auc_frames: float
    ap_frames: float
    auc_anomalous: float
    ap_anomalous: float
    units: int
    anomalous: int
    why: str = ""

    @property
    def main(self) -> float:
        return self.auc


def pooled(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of every unit of the labelled clips, one after another."""
    kept = [clip for clip in clips if clip.labels is not None]
    if not kept:
        return np.zeros(0, np.float32), np.zeros(0, bool)
    return (
        np.concatenate([scores[clip.name] for clip in kept]),
        np.concatenate([clip.labels.numpy() for clip in kept if clip.labels is not None]),
    )


def pooled_frames(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """The same over frames; a clip without frame truth is left out."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for clip in clips:
        if clip.truth is None:
            continue
        frames = clip.frames if clip.frames is not None else clip.units * clip.frames_per_unit
        spread = np.repeat(scores[clip.name], clip.frames_per_unit)[:frames]
        found.append((spread, frame_labels(clip.truth, frames).numpy()[: len(spread)]))
    if not found:
        return np.zeros(0, np.float32), np.zeros(0, bool)
    return np.concatenate([s for s, _ in found]), np.concatenate([y for _, y in found])


def _of_clips(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> Metrics:
    """Every number of METHODS: units, frames, and anomalous clips alone."""
    unit_scores, labels = pooled(scores, clips)
    inside = pooled(scores, [clip for clip in clips if clip.labels is not None and clip.labels.any()])
    frames = pooled_frames(scores, clips)
    why = ""
    if not len(labels):
        why = "no clip has unit labels"
    elif labels.all() or not labels.any():
        why = f"all {len(labels)} units are {'anomalous' if labels.all() else 'normal'}: AUC needs both kinds"
    elif np.isnan(unit_scores).any():
        why = f"{int(np.isnan(unit_scores).sum())} of {len(labels)} unit scores are not numbers: the model diverged"
    return Metrics(
        auc=auc(unit_scores, labels),
        ap=average_precision(unit_scores, labels),
        auc_frames=auc(*frames),
        ap_frames=average_precision(*frames),
        auc_anomalous=auc(*inside),
        ap_anomalous=average_precision(*inside),
        units=len(labels),
        anomalous=int(labels.sum()),
        why=why,
    )


def _nan_free(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _nan_free(each) for name, each in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


@dataclass(frozen=True)
class ClassMetrics:
    """How well classes are told apart, in percent; NaN where undefined.

    accuracy    samples whose highest output is their class
    macro_f1    F1 of each class that occurs, averaged
    recall      class -> its samples that were recognised, of classes that occur
    """

    accuracy: float
    macro_f1: float
    recall: Mapping[str, float]
    samples: int
    why: str = ""

    @property
    def main(self) -> float:
        return self.accuracy


@dataclass(frozen=True)
class RealMetrics:
    """How well real targets are met.

    mae           mean absolute error in the targets' own units, averaged over targets
    correlation   Pearson's, in [-1, 1], averaged over the targets for which it is defined
    mae_of, correlation_of     the same for each target; a correlation is NaN where one side is constant
    """

    mae: float
    correlation: float
    mae_of: Mapping[str, float]
    correlation_of: Mapping[str, float]
    samples: int
    why: str = ""

    @property
    def main(self) -> float:
        return self.correlation


Judgement = Metrics | ClassMetrics | RealMetrics


@overload
def measure(said: Mapping[str, np.ndarray], rows: Sequence[Clip]) -> Metrics: ...
@overload
def measure(said: Any, rows: Sequence[Clip] | Part) -> Judgement: ...
def measure(said: Any, rows: Sequence[Clip] | Part) -> Judgement:
    """Judge what a model says of rows (`core.score.judge.answers`) against what is true of them.

    said    clip name -> unit scores; of a `Part` the outputs `(rows, outputs)`, for units their scores or logits
    """
    if not isinstance(rows, Part):
        return _of_clips(said, rows)
    if rows.target is None:
        raise ValueError("these rows have no target to judge against")
    return measure_targets(said, rows.target.numpy(), rows.task)


MANY = {"units": 10, "class": 30, "real": 30}  # labelled clips, or samples: with fewer a number says little


def few(rows: Rows) -> str:
    """A warning where so few are judged that one more or less moves the number by points; empty where enough are."""
    if not 0 < rows.judged < MANY[rows.task.kind]:
        return ""
    what = "labelled clips" if rows.task.kind == "units" else "samples"
    return f"So few {what} ({rows.judged}) are judged that on others these numbers may differ by many points."


def measure_targets(outputs: Float[np.ndarray, "rows outputs"], target: np.ndarray, task: Task) -> Judgement:
    """Outputs against the targets of a task; of units these are 0 and 1.

    Outputs that are not finite (a model that diverged) leave every number undefined, and `why` says so.
    """
    wild = int((~np.isfinite(outputs)).any(1).sum())
    if wild:
        why, count = f"{wild} of {len(outputs)} rows have outputs that are not finite: the model diverged", len(target)
        if task.kind == "units":
            return Metrics(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, count, int(target.sum()), why)
        if task.kind == "class":
            return ClassMetrics(np.nan, np.nan, {}, count, why)
        return RealMetrics(np.nan, np.nan, {}, {}, count, why)
    if task.kind == "units":
        return _of_units(outputs[:, 0], target.astype(bool))
    if task.kind == "class":
        return class_metrics(outputs, target, task.names)
    return real_metrics(outputs, target, task.names)


def class_metrics(
    outputs: Float[np.ndarray, "samples classes"], target: Int[np.ndarray, " samples"], names: Sequence[str]
) -> ClassMetrics:
    if not len(target):
        return ClassMetrics(np.nan, np.nan, {}, 0, "there are no samples")
    found = outputs.argmax(1)
    table = np.zeros((len(names), len(names)), np.int64)  # rows: class, columns: named class
    np.add.at(table, (target, found), 1)
    right, there, named = np.diag(table), table.sum(1), table.sum(0)
    occurs = there > 0
    f1 = 200.0 * right[occurs] / (there + named)[occurs]
    recall = {names[i]: float(100.0 * right[i] / there[i]) for i in np.flatnonzero(occurs).tolist()}
    return ClassMetrics(float(100.0 * right.sum() / len(target)), float(f1.mean()), recall, len(target))


def real_metrics(
    outputs: Float[np.ndarray, "samples targets"], target: Float[np.ndarray, "samples targets"], names: Sequence[str]
) -> RealMetrics:
    if not len(target):
        return RealMetrics(np.nan, np.nan, {}, {}, 0, "there are no samples")
    errors = np.abs(outputs.astype(np.float64) - target).mean(0)
    a, b = (values.astype(np.float64) - values.astype(np.float64).mean(0) for values in (outputs, target))
    below = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        related = np.where(below > 0, (a * b).sum(0) / below, np.nan)
    known = related[~np.isnan(related)]
    return RealMetrics(
        float(errors.mean()),
        float(known.mean()) if len(known) else np.nan,
        {name: float(value) for name, value in zip(names, errors, strict=True)},
        {name: float(value) for name, value in zip(names, related, strict=True)},
        len(target),
        "" if len(known) == len(names) else "outputs or targets are constant, so some correlations are undefined",
    )


def _of_units(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Metrics:
    """Metrics of units that belong to no clip: nothing about frames or anomalous clips."""
    why = "" if labels.any() and not labels.all() else f"all {len(labels)} units are of one class: AUC needs both kinds"
    return Metrics(
        auc(scores, labels),
        average_precision(scores, labels),
        np.nan,
        np.nan,
        np.nan,
        np.nan,
        len(labels),
        int(labels.sum()),
        why,
    )


def jsonable(metrics: Judgement) -> dict[str, Any]:
    """NaN becomes None, so the JSON is valid everywhere; `why` only where something is missing."""
    found = {name: _nan_free(value) for name, value in asdict(metrics).items()}
    if not metrics.why:
        del found["why"]
    return found


def kind_of_units(clip: Clip) -> list[str]:
    """The name of the anomaly in each unit; empty where the unit is normal, "unnamed" where nobody named it."""
    kinds = [""] * clip.units
    for number, (start, stop) in enumerate(clip.truth or ()):
        name = clip.kinds[number] if number < len(clip.kinds) else "unnamed"
        for unit in range(start // clip.frames_per_unit, min(-(-stop // clip.frames_per_unit), clip.units)):
            kinds[unit] = name
    return kinds


def by_kind(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> dict[str, tuple[float, int]]:
    """Kind of anomaly -> (AUC in percent of its units against every normal unit, number of its units)."""
    kept = [clip for clip in clips if clip.labels is not None]
    values, labels = pooled(scores, kept)
    kinds = np.array([kind for clip in kept for kind in kind_of_units(clip)])
    found = {}
    for kind in sorted(set(kinds[labels])):
        chosen = ~labels | (kinds == kind)
        found[kind or "unnamed"] = (auc(values[chosen], labels[chosen]), int((kinds[labels] == kind).sum()))
    return found


def correlation(a: Float[np.ndarray, "n t"], b: Float[np.ndarray, "n t"]) -> float:
    """Pearson's correlation of matching columns, averaged over those that vary; NaN when none does."""
    a, b = a - a.mean(0), b - b.mean(0)
    below = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    known = below > 1e-12
    return float(((a * b).sum(0)[known] / below[known]).mean()) if known.any() else np.nan


def summary(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample sd; undefined when a value is, sd None for one seed."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return mean(known), stdev(known) if len(known) > 1 else None


def show(value: float | None, metric: str = "auc") -> str:
    """Percent with one digit, correlations with three."""
    return "-" if value is None else f"{value:.3f}" if metric in ("correlation", "mae") else f"{value:.1f}"

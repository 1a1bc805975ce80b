"""Judge scores against labels: pure functions on numpy arrays. AUC and precision are percent; undefined is NaN."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from core.clip import Clip, frame_labels
from core.sample import Part

NAN = float("nan")


def auc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve in percent: the chance that an anomaly outscores a normal unit, ties counting half.

    Equal to scikit-learn's, 10-40 times faster; NaN when only one class is there or a score is NaN.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    75.0
    """
    normal, anomalous = np.sort(scores[~labels]), scores[labels]
    if not len(normal) or not len(anomalous) or np.isnan(scores).any():
        return NAN
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
        return NAN
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


def measure(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> Metrics:
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


def measure_part(outputs: Float[np.ndarray, "samples outputs"], part: Part) -> Metrics | ClassMetrics | RealMetrics:
    """Judge outputs of a model on samples (or, for units, the logits of units) against their targets.

    Outputs that are not finite (a model that diverged) leave every number undefined, and `why` says so.
    """
    if part.target is None:
        raise ValueError("these rows have no target to judge against")
    target = part.target.numpy()
    wild = int((~np.isfinite(outputs)).any(1).sum())
    if wild:
        why, count = f"{wild} of {len(outputs)} rows have outputs that are not finite: the model diverged", len(target)
        if part.task.kind == "units":
            return Metrics(NAN, NAN, NAN, NAN, NAN, NAN, count, int(target.sum()), why)
        if part.task.kind == "class":
            return ClassMetrics(NAN, NAN, {}, count, why)
        return RealMetrics(NAN, NAN, {}, {}, count, why)
    if part.task.kind == "units":
        return _of_units(outputs[:, 0], target.astype(bool))
    if part.task.kind == "class":
        return class_metrics(outputs, target, part.task.names)
    return real_metrics(outputs, target, part.task.names)


def class_metrics(
    outputs: Float[np.ndarray, "samples classes"], target: Int[np.ndarray, " samples"], names: Sequence[str]
) -> ClassMetrics:
    if not len(target):
        return ClassMetrics(NAN, NAN, {}, 0, "there are no samples")
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
        return RealMetrics(NAN, NAN, {}, {}, 0, "there are no samples")
    errors = np.abs(outputs.astype(np.float64) - target).mean(0)
    a, b = (values.astype(np.float64) - values.astype(np.float64).mean(0) for values in (outputs, target))
    below = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        related = np.where(below > 0, (a * b).sum(0) / below, NAN)
    known = related[~np.isnan(related)]
    return RealMetrics(
        float(errors.mean()),
        float(known.mean()) if len(known) else NAN,
        {name: float(value) for name, value in zip(names, errors, strict=True)},
        {name: float(value) for name, value in zip(names, related, strict=True)},
        len(target),
        "" if len(known) == len(names) else "outputs or targets are constant, so some correlations are undefined",
    )


def _of_units(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Metrics:
    """Metrics of units that belong to no clip: nothing about frames or anomalous clips."""
    why = "" if labels.any() and not labels.all() else f"all {len(labels)} units are of one class: AUC needs both kinds"
    return Metrics(
        auc(scores, labels), average_precision(scores, labels), NAN, NAN, NAN, NAN, len(labels), int(labels.sum()), why
    )


def jsonable(metrics: Metrics | ClassMetrics | RealMetrics) -> dict[str, Any]:
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


# ---------------------------------------------------------------------------- many clips at once


@dataclass(frozen=True)
class Units:
    """Every unit of some clips, one clip after another, so that one pass over an array answers for all of them.

    scores, labels    one a unit; a label is False where nobody labelled the clip
    clip              which clip each unit belongs to
    labelled          one a clip
    """

    scores: Float[np.ndarray, " units"]
    labels: Bool[np.ndarray, " units"]
    clip: Int[np.ndarray, " units"]
    labelled: Bool[np.ndarray, " clips"]

    def each(self, flags: Bool[np.ndarray, " units"]) -> Int[np.ndarray, " clips"]:
        """How many units of every clip are so."""
        return np.bincount(self.clip[flags], minlength=len(self.labelled))

    def highest(self) -> Float[np.ndarray, " clips"]:
        """The highest score of every clip."""
        found = np.full(len(self.labelled), -np.inf, self.scores.dtype)
        np.maximum.at(found, self.clip, self.scores)
        return found

    def inside(self) -> Float[np.ndarray, " clips"]:
        """AUC in percent among each clip's own units, by the sum of ranks; NaN where it has one class or no labels."""
        order = np.lexsort((self.scores, self.clip))
        clip, scores, labels = self.clip[order], self.scores[order], self.labels[order]
        new = np.ones(len(order), bool)
        new[1:] = (clip[1:] != clip[:-1]) | (scores[1:] != scores[:-1])
        first = np.flatnonzero(new)  # of every run of equal scores, which share the mean of their ranks
        size = np.diff(first, append=len(order))
        rank = np.repeat(first + (size + 1) / 2, size)
        before = np.cumsum(np.bincount(clip, minlength=len(self.labelled))) - np.bincount(
            clip, minlength=len(self.labelled)
        )
        count = len(self.labelled)
        odd = np.bincount(clip[labels], minlength=count)
        rest = np.bincount(clip[~labels], minlength=count)
        ranks = np.bincount(clip[labels], (rank - before[clip])[labels], count)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 100 * (ranks - odd * (odd + 1) / 2) / (odd * rest)
        return np.where(self.labelled & (odd > 0) & (rest > 0), found, NAN)


def units_of(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> Units:
    """The units of all clips in order; arrays are read-only."""
    found = Units(
        np.concatenate([scores[clip.name] for clip in clips]),
        np.concatenate([np.zeros(clip.units, bool) if clip.labels is None else clip.labels.numpy() for clip in clips]),
        np.repeat(np.arange(len(clips)), [clip.units for clip in clips]),
        np.array([clip.labels is not None for clip in clips]),
    )
    for values in (found.scores, found.labels, found.clip, found.labelled):
        values.setflags(write=False)
    return found


# ---------------------------------------------------------------------------- thresholds


@dataclass(frozen=True)
class Decision:
    """Counts at one threshold; a unit raises an alarm when score >= threshold."""

    threshold: float
    true_alarms: int
    false_alarms: int
    misses: int
    true_rests: int

    @property
    def precision(self) -> float:
        """True alarms among alarms; NaN when there are no alarms."""
        alarms = self.true_alarms + self.false_alarms
        return self.true_alarms / alarms if alarms else NAN

    @property
    def recall(self) -> float:
        """True alarms among anomalies; NaN when there are none."""
        anomalies = self.true_alarms + self.misses
        return self.true_alarms / anomalies if anomalies else NAN

    @property
    def false_alarm_rate(self) -> float:
        """False alarms among normal units; NaN when there are none."""
        normal = self.false_alarms + self.true_rests
        return self.false_alarms / normal if normal else NAN

    def cost(self, miss_price: float) -> float:
        """False alarms cost 1 each, misses cost `miss_price` each."""
        return self.false_alarms + miss_price * self.misses

    def per_hour(self, hours: float) -> float:
        """False alarms an hour of video."""
        return self.false_alarms / hours if hours > 0 else NAN


def decide(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], threshold: float) -> Decision:
    alarm = scores >= threshold
    return Decision(
        threshold=threshold,
        true_alarms=int((alarm & labels).sum()),
        false_alarms=int((alarm & ~labels).sum()),
        misses=int((~alarm & labels).sum()),
        true_rests=int((~alarm & ~labels).sum()),
    )


def cheapest(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], miss_price: float = 1.0) -> Decision:
    """The decision with the lowest cost over all useful thresholds; ties go to fewer alarms."""
    if len(scores) == 0:
        raise ValueError("cannot choose a threshold from zero scores")
    # One sort serves every candidate: counts of both classes at or above each distinct score.
    candidates = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    false = np.searchsorted(np.sort(-scores[~labels]), -candidates, "right")
    true = np.searchsorted(np.sort(-scores[labels]), -candidates, "right")
    cost = false + miss_price * (labels.sum() - true)
    return decide(scores, labels, float(candidates[int(np.argmin(cost))]))


@dataclass(frozen=True)
class Curve:
    """x and y of a curve with the threshold at each point; values in [0, 1], thresholds as the scores."""

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    thresholds: Float[np.ndarray, " points"]


def roc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Curve:
    """False-alarm rate against recall; empty when only one class is there."""
    if labels.all() or not labels.any():
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    from sklearn.metrics import roc_curve  # slow to import, and a training has no use for it

    x, y, thresholds = roc_curve(labels, scores)
    return Curve(x.astype(float), y.astype(float), thresholds.astype(float))


def precision_recall(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Curve:
    """Recall against precision; empty when only one class is there."""
    if labels.all() or not labels.any():
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, scores)
    return Curve(recall.astype(float), precision.astype(float), np.append(thresholds.astype(float), np.inf))


@dataclass(frozen=True)
class Graded:
    """Scores of both classes, each sorted once: every threshold is then a look-up, however many there are.

    normal, anomalous   scores, lowest first
    """

    normal: Float[np.ndarray, " normal"]
    anomalous: Float[np.ndarray, " anomalous"]

    def __len__(self) -> int:
        return len(self.normal) + len(self.anomalous)

    @property
    def both(self) -> bool:
        return bool(len(self.normal) and len(self.anomalous))

    @property
    def span(self) -> Float[np.ndarray, " edges"]:
        """The lowest and the highest score."""
        return np.concatenate([side[[0, -1]] for side in (self.normal, self.anomalous) if len(side)])

    @cached_property
    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([self.normal, self.anomalous]), np.arange(len(self)) >= len(self.normal)

    @cached_property
    def auc(self) -> float:
        return auc(*self._all)

    @cached_property
    def average_precision(self) -> float:
        return average_precision(*self._all)

    @cached_property
    def roc(self) -> Curve:
        return roc(*self._all)

    @cached_property
    def precision_recall(self) -> Curve:
        return precision_recall(*self._all)

    @cached_property
    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every useful threshold, highest first, with its false and its true alarms."""
        at = np.concatenate([[np.inf], np.unique(self._all[0])[::-1]])
        return at, self.above(self.normal, at), self.above(self.anomalous, at)

    @property
    def thresholds(self) -> np.ndarray:
        """Every score that occurs, lowest first."""
        return self._candidates[0][:0:-1]

    @staticmethod
    def above(side: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
        """How many of the sorted scores are at or above each threshold, compared in the scores' own precision."""
        return np.asarray(len(side) - np.searchsorted(side, thresholds.astype(side.dtype), "left"))

    def decide(self, threshold: float) -> Decision:
        """What `decide` says of all the scores."""
        false, true = (int(self.above(side, np.array([threshold]))[0]) for side in (self.normal, self.anomalous))
        return Decision(threshold, true, false, len(self.anomalous) - true, len(self.normal) - false)

    def cheapest(self, miss_price: float) -> Decision:
        """What `cheapest` says of all the scores."""
        at, false, true = self._candidates
        return self.decide(float(at[int(np.argmin(false + miss_price * (len(self.anomalous) - true)))]))


def graded(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Graded:
    found = Graded(np.sort(scores[~labels]), np.sort(scores[labels]))
    for side in (found.normal, found.anomalous):
        side.setflags(write=False)
    return found


def ranks(scores: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """1 for the highest score; ties in order."""
    found = np.empty(len(scores), dtype=np.int64)
    found[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return found

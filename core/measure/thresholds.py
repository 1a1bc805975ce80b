"""Operating points of scores: decisions, the cheapest of them, ROC and PR, grades and kinds of a whole set of clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from core.clip import Clip
from core.measure.metrics import auc, average_precision, kind_of_units


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

    def alarms(self, threshold: float) -> Bool[np.ndarray, " units"]:
        """Which units raise an alarm; compared as the scores are stored, as a model's own decision is."""
        return self.scores >= np.asarray(threshold, self.scores.dtype)

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
        return np.where(self.labelled & (odd > 0) & (rest > 0), found, np.nan)


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
        return self.true_alarms / alarms if alarms else np.nan

    @property
    def recall(self) -> float:
        """True alarms among anomalies; NaN when there are none."""
        anomalies = self.true_alarms + self.misses
        return self.true_alarms / anomalies if anomalies else np.nan

    @property
    def false_alarm_rate(self) -> float:
        """False alarms among normal units; NaN when there are none."""
        normal = self.false_alarms + self.true_rests
        return self.false_alarms / normal if normal else np.nan

    def cost(self, miss_price: float) -> float:
        """False alarms cost 1 each, misses cost `miss_price` each."""
        return self.false_alarms + miss_price * self.misses

    def per_hour(self, hours: float) -> float:
        """False alarms an hour of video."""
        return self.false_alarms / hours if hours > 0 else np.nan


def decide(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], threshold: float) -> Decision:
    alarm = scores >= threshold
    return Decision(
        threshold=threshold,
        true_alarms=int((alarm & labels).sum()),
        false_alarms=int((alarm & ~labels).sum()),
        misses=int((~alarm & labels).sum()),
        true_rests=int((~alarm & ~labels).sum()),
    )


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
        """The decision with the lowest cost over all useful thresholds; ties go to fewer alarms."""
        at, false, true = self._candidates
        return self.decide(float(at[int(np.argmin(false + miss_price * (len(self.anomalous) - true)))]))


def graded(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> Graded:
    found = Graded(np.sort(scores[~labels]), np.sort(scores[labels]))
    for side in (found.normal, found.anomalous):
        side.setflags(write=False)
    return found


def one_against_rest(
    outputs: Float[np.ndarray, "samples classes"], target: Int[np.ndarray, " samples"] | None, about: int
) -> Graded:
    """The probability of one class as a score; anomalous are the samples of that class."""
    if target is None:
        raise ValueError("these samples have no classes to judge against")
    return graded(softmax(outputs, axis=1)[:, about], target == about)


def ranks(scores: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """1 for the highest score; ties in order."""
    found = np.empty(len(scores), dtype=np.int64)
    found[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return found


def hours(clips: Sequence[Clip]) -> float:
    """Length of the labelled clips."""
    return sum(clip.duration for clip in clips if clip.labels is not None) / 3600


@dataclass(frozen=True)
class Kinds:
    """The kind of anomaly of every unit of some clips, one clip after another.

    names    kinds that occur, sorted; may be hostile text
    code     one a unit: its place in `names`, -1 for a unit without one
    """

    names: tuple[str, ...]
    code: Int[np.ndarray, " units"]


def kinds_of(clips: Sequence[Clip]) -> Kinds:
    """Kinds of all units; a clip without labels or without an anomaly has none."""
    code = np.full(sum(clip.units for clip in clips), -1, np.int32)
    places: dict[str, int] = {}
    start = 0
    for clip in clips:
        if clip.labels is not None and bool(clip.labels.any()):
            for unit, kind in enumerate(kind_of_units(clip)):
                if kind:
                    code[start + unit] = places.setdefault(kind, len(places))
        start += clip.units
    names = sorted(places)
    new = np.array([names.index(kind) for kind in places] + [-1], np.int32)
    code = new[code]
    code.setflags(write=False)
    return Kinds(tuple(names), code)


@dataclass(frozen=True)
class Moment:
    """A unit of a clip and its score."""

    clip: str
    unit: int
    score: float


def top_moments(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], count: int = 10) -> list[Moment]:
    """The units with the highest scores, at most one from each clip while there are enough clips."""
    found = [
        (place, Moment(clip.name, unit, float(scores[clip.name][unit])))
        for clip in clips
        for place, unit in enumerate(np.argsort(-scores[clip.name], kind="stable")[:count].tolist())
    ]
    best = sorted(found, key=lambda each: (each[0], -each[1].score))[:count]
    return sorted((moment for _, moment in best), key=lambda moment: -moment.score)

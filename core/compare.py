r"""Runs side by side on the same test rows: how good, how surely, whether two differ, where they disagree, the cost.

A *group* is one configuration with every seed of it. With S seeds s, a metric M and the test part's clips (samples are
clips of one row), which are drawn with replacement B times, all units of a clip together:

    M(g)        = mean over s of M(g, s)
    over seeds    M(g) ± t(S - 1, 97.5 %) sd_s / sqrt(S)               another training on these clips
    over clips    2.5 % ... 97.5 % of M(g) on the B draws              these models on other clips
    D_s         = M(a, s) - M(b, s)                                    the same seed, the same draws of clips
    D*_b        = mean_s D_s on draw b + T_b sd_s(D_s) / sqrt(S)       T_b ~ Student's t, S - 1 degrees; both together
    p           = min(1, 2 (1 + min(#{D*_b <= 0}, #{D*_b >= 0})) / (B + 1))

With one seed on either side the last term is absent: then nothing is said about other trainings, and of classes the
test is McNemar's, exact. Against a baseline every group is tested on the number methods are compared by; p is corrected
for the number of groups after Holm (1979). "Better" and "worse" mean a corrected p below 0.05.

A metric on a draw is exact for up to `EXACT` clips. Beyond, it is linear in how often each clip is drawn (the
infinitesimal jackknife), whose variance for the AUC is DeLong's for clustered data (Obuchowski 1997).
"""

import contextlib
import csv
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import softmax
from scipy.stats import binom, rankdata
from scipy.stats import t as student

from core import runs as run_folders
from core.clip import Clip, frame_labels
from core.data.dataset import Dataset
from core.data.names import shown
from core.evaluate import ClassMetrics, Metrics, RealMetrics, by_kind, measure, measure_part
from core.fusion.base import Fusion
from core.infer import outputs, score
from core.runs import Run
from core.sample import METRIC_WORDS, Part, Samples
from core.table import flops

NAN = float("nan")
DRAWS = 2000
EXACT = 100  # clips
ENTRIES = 40_000_000  # of the table of draws; a larger test part gets fewer draws
LEVEL = 0.05
ROOT = Path(__file__).parents[1]
METRICS: dict[str, tuple[tuple[str, str], ...]] = {
    "auc": (
        ("auc", METRIC_WORDS["auc"]),
        ("auc_anomalous", "AUC in anomalous clips"),
        ("ap", "AP"),
        ("auc_frames", "frame AUC"),
    ),
    "accuracy": (("accuracy", METRIC_WORDS["accuracy"]), ("macro_f1", "macro F1")),
    "correlation": (("correlation", METRIC_WORDS["correlation"]), ("mae", "mean absolute error")),
}
LOWER = ("mae",)  # where less is better
PLAIN = ("correlation", "mae")  # no percent

Rows = Float[np.ndarray, " rows"]


def metrics_of(primary: str) -> dict[str, str]:
    """Metric -> what it is called, the one methods are compared by first."""
    return dict(METRICS[primary])


def digits(metric: str) -> int:
    return 3 if metric in PLAIN else 1


# ---------------------------------------------------------------------------- draws of clips


@lru_cache(maxsize=4)
def resamples(count: int) -> np.ndarray:
    """How often each of `count` clips is drawn, `(draws, count)`: the same for every run, so runs stay paired."""
    draws = min(DRAWS, max(200, ENTRIES // count))
    random = np.random.default_rng(0)
    found = np.empty((draws, count), np.uint8)
    for row in found:
        row[:] = np.bincount(random.integers(0, count, count), minlength=count)
    found.setflags(write=False)
    return found


def drawn(stats: Float[np.ndarray, "clips stats"]) -> Float[np.ndarray, "draws stats"]:
    """Sums of the clips' statistics on every draw."""
    counts = resamples(len(stats))
    return np.concatenate([counts[at : at + 256].astype(np.float64) @ stats for at in range(0, len(counts), 256)])


def summed(values: Rows, clip: Int[np.ndarray, " rows"], clips: int) -> Float[np.ndarray, " clips"]:
    return np.bincount(clip, values, clips).astype(np.float64)


def halves_below(scores: Rows, weights: Rows, asked: Float[np.ndarray, " asked"]) -> Float[np.ndarray, " asked"]:
    """Weight of the scores below each asked one, and half the weight of those equal to it.

    >>> halves_below(np.array([1.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0])).tolist()
    [2.0, 3.0]
    """
    order = np.argsort(scores, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    left, right = (np.searchsorted(scores[order], asked, side) for side in ("left", "right"))  # type: ignore[call-overload]
    return np.asarray(0.5 * (total[left] + total[right]))


def auc_draws(
    scores: Rows, anomalous: Rows, normal: Rows, clip: Int[np.ndarray, " rows"], clips: int
) -> Float[np.ndarray, " draws"]:
    """AUC in percent on every draw of clips; row i counts `anomalous[i]` times as one kind, `normal[i]` as the other.

    Exact: AUC(n) = n' W n / (n'P n'Q), W[c, d] the wins of clip c's anomalous rows over clip d's normal ones.
    Beyond `EXACT` clips: AUC + sum over c of (n_c - 1) dAUC / dn_c. NaN on draws that have one kind only.
    """
    P, Q = summed(anomalous, clip, clips), summed(normal, clip, clips)
    if not P.sum() or not Q.sum():
        return np.full(len(resamples(clips)), NAN)
    if clips > EXACT:
        won = summed(anomalous * halves_below(scores, normal, scores), clip, clips)
        lost_by = summed(normal * (P.sum() - halves_below(scores, anomalous, scores)), clip, clips)
        value = won.sum() / (P.sum() * Q.sum())
        slope = (won + lost_by) / (P.sum() * Q.sum()) - value * (P / P.sum() + Q / Q.sum())
        return 100 * (value + drawn(slope[:, None])[:, 0])
    order, rows = np.argsort(scores, kind="stable"), np.arange(len(scores))
    mass = np.zeros((len(scores) + 1, clips))
    mass[1 + rows, clip[order]] = normal[order]
    lower = mass.cumsum(0)  # of every clip, the weight of its normal rows among the lowest
    left, right = (np.searchsorted(scores[order], scores, side) for side in ("left", "right"))  # type: ignore[call-overload]
    odd = np.zeros((clips, len(scores)))
    odd[clip, rows] = anomalous
    wins = odd @ (0.5 * (lower[left] + lower[right]))
    counts = resamples(clips).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * ((counts @ wins) * counts).sum(1) / ((counts @ P) * (counts @ Q)))


def ap_draws(scores: Rows, anomalous: Rows, clip: Int[np.ndarray, " rows"], clips: int) -> Float[np.ndarray, " draws"]:
    """Average precision in percent on every draw: the sum over distinct scores g, highest first, of t_g T_g / (P A_g).

    t_g is the weight of anomalies at g, T_g of those at or above it, A_g of all rows there, P of all anomalies.
    """
    order = np.argsort(-scores, kind="stable")
    s, p, of = scores[order], anomalous[order], clip[order]
    last = np.flatnonzero(np.append(s[1:] != s[:-1], True)) if len(s) else np.zeros(0, np.int64)
    counts = resamples(clips)
    if not p.any():
        return np.full(len(counts), NAN)
    if clips <= EXACT:
        found = []
        size = max(1, 2_000_000 // len(s))
        for at in range(0, len(counts), size):
            weight = counts[at : at + size].astype(np.float64)[:, of]
            T, A = np.cumsum(weight * p, 1)[:, last], np.cumsum(weight, 1)[:, last]
            t = np.diff(T, axis=1, prepend=0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(100 * (t * T / np.maximum(A, 1)).sum(1) / T[:, -1])
        return np.concatenate(found)
    T, A = np.cumsum(p)[last], (last + 1).astype(np.float64)
    t, P = np.diff(T, prepend=0.0), T[-1]
    value = (t * T / A).sum() / P
    group = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    later = np.cumsum((t / A)[::-1])[::-1][group], np.cumsum((t * T / A**2)[::-1])[::-1][group]
    slope = (p * (T / A)[group] + p * later[0] - later[1] - p * value) / P
    return np.asarray(100 * (value + drawn(summed(slope, of, clips)[:, None])[:, 0]))


# ---------------------------------------------------------------------------- one run


@dataclass(frozen=True)
class Judged:
    """One run on one test part.

    metric      the one methods are compared by
    value       metric -> its value, as `core.evaluate` measures it
    draws       metric -> its value on every draw of clips
    right       of classes: which samples were named right
    clips       how many clips (or samples) are drawn from; linear: the draws are linear, not exact
    why         the reason where a value is undefined
    """

    metric: str
    value: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    right: np.ndarray | None
    clips: int
    linear: bool
    why: str = ""


def judge(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> Judged:
    """Unit scores against the clips' truth; every metric of `METRICS` with its draws."""
    wild = sum(int((~np.isfinite(scores[clip.name])).sum()) for clip in clips)
    names = metrics_of("auc")
    kept = [clip for clip in clips if clip.labels is not None]
    now = measure(scores, clips)
    if wild or not kept:
        why = f"{wild} unit scores are not finite: the model diverged" if wild else now.why
        return Judged("auc", dict.fromkeys(names, NAN), dict.fromkeys(names, np.full(1, NAN)), None, 0, False, why)
    values = np.concatenate([scores[clip.name] for clip in kept]).astype(np.float64)
    of = np.repeat(np.arange(len(kept)), [clip.units for clip in kept])
    labels = np.concatenate([clip.labels.numpy() for clip in kept if clip.labels is not None])
    odd, rest = labels.astype(np.float64), (~labels).astype(np.float64)
    inside = np.bincount(of, odd, len(kept))[of] > 0
    frames = np.concatenate([frames_of_units(clip) for clip in kept], axis=1)
    found = {
        "auc": auc_draws(values, odd, rest, of, len(kept)),
        "auc_anomalous": auc_draws(values, odd * inside, rest * inside, of, len(kept)),
        "ap": ap_draws(values, odd, of, len(kept)),
        "auc_frames": auc_draws(values, frames[0], frames[1], of, len(kept)),
    }
    value = {name: float(getattr(now, name)) for name in names}
    found = {name: draws if not np.isnan(value[name]) else np.full(len(draws), NAN) for name, draws in found.items()}
    return Judged("auc", value, found, None, len(kept), len(kept) > EXACT, now.why)


def frames_of_units(clip: Clip) -> Float[np.ndarray, "2 units"]:
    """How many anomalous and how many normal frames each unit has, cut to the clip's frames; 0 without frame truth."""
    found = np.zeros((2, clip.units))
    if clip.truth is not None:
        frames = clip.frames if clip.frames is not None else clip.units * clip.frames_per_unit
        truth = frame_labels(clip.truth, frames).numpy()[: clip.units * clip.frames_per_unit]
        unit = np.arange(len(truth)) // clip.frames_per_unit
        found[0] = np.bincount(unit, truth, clip.units)
        found[1] = np.bincount(unit, ~truth, clip.units)
    return found


def judge_part(said: Float[np.ndarray, "samples outputs"], part: Part) -> Judged:
    """Outputs for samples against their classes or real targets; every sample is a clip of one row."""
    judged = measure_part(said, part)
    names = metrics_of(part.task.metric)
    value = {name: float(getattr(judged, name)) for name in names}
    if part.target is None or not np.isfinite(said).all() or not len(part):
        draws = dict.fromkeys(names, np.full(1, NAN))
        return Judged(part.task.metric, value, draws, None, len(part), False, judged.why)
    target, right = part.target.numpy(), None
    if part.task.kind == "class":
        named = said.argmax(1)
        right = named == target
        draws = {
            "accuracy": 100 * drawn(right[:, None].astype(np.float64))[:, 0] / len(part),
            "macro_f1": f1_draws(named, target, part.task.outputs),
        }
        right.setflags(write=False)
    else:
        draws = real_draws(said.astype(np.float64), target.astype(np.float64))
    return Judged(part.task.metric, value, draws, right, len(part), False, judged.why)


def f1_draws(
    named: Int[np.ndarray, " samples"], target: Int[np.ndarray, " samples"], classes: int
) -> Float[np.ndarray, " draws"]:
    """Macro F1 in percent on every draw, over the classes that occur in it."""
    hit = named == target
    found = []
    for counts in resamples(len(target)):
        there = np.bincount(target, counts, classes)
        both = there + np.bincount(named, counts, classes)
        right = np.bincount(target[hit], counts[hit], classes)
        found.append(200 * (right[there > 0] / both[there > 0]).mean())
    return np.array(found)


def real_draws(
    said: Float[np.ndarray, "samples targets"], target: Float[np.ndarray, "samples targets"]
) -> dict[str, Float[np.ndarray, " draws"]]:
    """Correlation and mean absolute error, both means over targets, on every draw."""
    x, y, n = said - said.mean(0), target - target.mean(0), len(said)
    related, errors = [], []
    for j in range(x.shape[1]):
        a, b = x[:, j], y[:, j]
        stats = np.stack([a, b, a * a, b * b, a * b, np.abs(said[:, j] - target[:, j])], axis=1)
        ma, mb, aa, bb, ab, error = (drawn(stats) / n).T
        below = np.sqrt(np.maximum(aa - ma * ma, 0) * np.maximum(bb - mb * mb, 0))
        floor = 1e-12 * (a.std() * b.std() + 1e-300)
        with np.errstate(invalid="ignore", divide="ignore"):
            related.append(np.where(below > floor, (ab - ma * mb) / below, NAN))
        errors.append(error)
    table = np.stack(related)
    known = (~np.isnan(table)).sum(0)
    correlation = np.where(known > 0, np.nansum(table, 0) / np.maximum(known, 1), NAN)
    return {"correlation": correlation, "mae": np.mean(errors, axis=0)}


# ---------------------------------------------------------------------------- groups: one configuration, every seed


@dataclass(frozen=True)
class Group:
    """One configuration: its runs' folder names by seed, and what they were trained on.

    own     trained on the very data that is looked at
    """

    id: str
    title: str
    runs: Mapping[int, str]
    first: Run
    weights: int
    seconds: float
    own: bool = True

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.runs)


def groups(found: Mapping[str, Run], digest: str) -> dict[str, Group]:
    """Group id -> group, in the order of the runs; two that would be called alike get the end of their ids."""
    sorted_: dict[str, dict[int, str]] = {}
    first: dict[str, Run] = {}
    for name, run in found.items():
        sorted_.setdefault(run.group, {}).setdefault(run.seed, name)
        first.setdefault(run.group, run)
    plain = [run.title for run in first.values()]
    return {
        id_: Group(
            id_,
            first[id_].title if plain.count(first[id_].title) == 1 else f"{first[id_].title} · {id_[-6:]}",
            dict(sorted(seeds.items())),
            first[id_],
            first[id_].weights,
            statistics.fmean(found[name].seconds for name in seeds.values()),
            first[id_].source.digest == digest,
        )
        for id_, seeds in sorted_.items()
    }


def suggested(all_of_them: Mapping[str, Group], values: Mapping[str, float], chosen: str | None) -> list[str]:
    """Which groups to begin with: the chosen run's, the best other fusion's, and the best that concatenates features.

    values    group id -> what it is compared by, from the runs' records
    """
    order = sorted(all_of_them, key=lambda id_: -values.get(id_, -np.inf))
    mine = chosen if chosen in all_of_them else next(iter(order), None)
    if mine is None:
        return []
    fusion = all_of_them[mine].first.fusion
    best = [id_ for id_ in order if all_of_them[id_].first.fusion != fusion]
    plain = [id_ for id_ in order if all_of_them[id_].first.fusion == "concat" and _feature_level(all_of_them[id_])]
    return list(dict.fromkeys([mine, *(best or order)[:1], *plain[:1]]))


def _feature_level(group: Group) -> bool:
    return group.first.level == "feature"


@dataclass(frozen=True)
class Estimate:
    """A metric of a group: mean and sd over its seeds, and two 95 % intervals of the mean; NaN where undefined.

    seeds_low, seeds_high   by Student's t over seeds; NaN with one seed
    clips_low, clips_high   by drawing the clips (or samples) again
    values                  of each seed
    """

    mean: float
    sd: float
    seeds_low: float
    seeds_high: float
    clips_low: float
    clips_high: float
    values: tuple[float, ...]


def estimate(judged: Sequence[Judged], metric: str) -> Estimate:
    """The metric over a group's runs."""
    values = np.array([one.value[metric] for one in judged])
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else NAN
    reach = float(student.ppf(0.975, len(values) - 1)) * sd / np.sqrt(len(values)) if len(values) > 1 else NAN
    low, high = span(_mean_draws(judged, metric))
    return Estimate(mean, sd, mean - reach, mean + reach, low, high, tuple(values.tolist()))


def _mean_draws(judged: Sequence[Judged], metric: str) -> Float[np.ndarray, " draws"]:
    return np.asarray(np.mean([one.draws[metric] for one in judged], axis=0))


def span(draws: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """2.5 % and 97.5 % of the draws; NaN where more than half of them are undefined.

    >>> span(np.arange(101.0))
    (2.5, 97.5)
    """
    known = draws[~np.isnan(draws)]
    if len(known) <= len(draws) / 2:
        return NAN, NAN
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


# ---------------------------------------------------------------------------- two groups


@dataclass(frozen=True)
class Difference:
    """Group minus baseline on the same clips, in the metric's own units.

    low, high     95 % interval, not corrected for the number of comparisons
    p, adjusted   two-sided, and after Holm over all groups that were tested
    verdict       better, worse, not told apart, undefined: after the correction
    seeds         how many pairs of runs; paired: they have the same seeds, else they are paired in order
    test          how p was found
    """

    metric: str
    delta: float
    low: float
    high: float
    p: float
    adjusted: float
    verdict: str
    seeds: int
    paired: bool
    test: str


def matched(a: Sequence[int], b: Sequence[int]) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of seeds: those both have, else in order as far as both go.

    >>> matched((0, 1, 2), (2, 0)), matched((0, 1), (5,))
    (([(0, 0), (2, 2)], True), ([(0, 5)], False))
    """
    both = sorted(set(a) & set(b))
    if both:
        return [(seed, seed) for seed in both], True
    return list(zip(sorted(a), sorted(b), strict=False)), False


@lru_cache(maxsize=64)
def _students(degrees: int, draws: int) -> np.ndarray:
    return np.random.default_rng([1, degrees]).standard_t(degrees, draws)


def difference(a: Mapping[int, Judged], b: Mapping[int, Judged], metric: str) -> Difference:
    """Seed -> run of a group and of its baseline; `adjusted` and `verdict` are those of a single comparison."""
    pairs, paired = matched(tuple(a), tuple(b))
    each = np.array([a[i].value[metric] - b[j].value[metric] for i, j in pairs])
    draws = np.mean([a[i].draws[metric] - b[j].draws[metric] for i, j in pairs], axis=0)
    if len(pairs) > 1:
        spread = float(each.std(ddof=1)) / np.sqrt(len(pairs))
        draws = draws + _students(len(pairs) - 1, len(draws)) * spread
    delta = float(each.mean())
    low, high = span(draws)
    test, p = "draws of clips and seeds" if len(pairs) > 1 else "draws of clips", sign_p(draws)
    first, second = (side[at].right for side, at in ((a, pairs[0][0]), (b, pairs[0][1])))
    if len(pairs) == 1 and metric == "accuracy" and first is not None and second is not None:
        test, p = "McNemar, exact", mcnemar(first, second)
    if np.isnan(delta):
        low, high, p = NAN, NAN, NAN
    return Difference(metric, delta, low, high, p, p, verdict(delta, p, metric), len(pairs), paired, test)


def sign_p(draws: Float[np.ndarray, " draws"]) -> float:
    """Two-sided: how often the drawn difference lies on the other side of 0. All draws 0 give 1.

    >>> sign_p(np.zeros(10)), round(sign_p(np.ones(99)), 2)
    (1.0, 0.02)
    """
    known = draws[~np.isnan(draws)]
    if len(known) <= len(draws) / 2:
        return NAN
    return float(min(1.0, 2 * (1 + min((known <= 0).sum(), (known >= 0).sum())) / (len(known) + 1)))


def mcnemar(a: Bool[np.ndarray, " samples"], b: Bool[np.ndarray, " samples"]) -> float:
    """Exact two-sided p that both are right equally often: the samples on which one alone is right are coin tosses.

    >>> mcnemar(np.array([True, True, True, False]), np.array([False, False, False, False]))
    0.25
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number, step down; an undefined one is not counted and stays undefined.

    >>> [round(each, 3) for each in holm([0.01, 0.04, 0.03, float("nan")])]
    [0.03, 0.06, 0.06, nan]
    """
    values = np.asarray(p, dtype=float)
    found = np.full(len(values), NAN)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    worst = 0.0
    for place, at in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - place) * values[at]))
        found[at] = worst
    return [float(each) for each in found]


def verdict(delta: float, p: float, metric: str) -> str:
    if np.isnan(p) or np.isnan(delta):
        return "undefined"
    if p >= LEVEL or delta == 0:
        return "not told apart"
    return "better" if (delta > 0) != (metric in LOWER) else "worse"


def against(judged: Mapping[str, Mapping[int, Judged]], baseline: str, metric: str) -> dict[str, Difference]:
    """Group id -> its difference to the baseline, p corrected for the number of groups; the baseline is left out."""
    found = {group: difference(runs, judged[baseline], metric) for group, runs in judged.items() if group != baseline}
    adjusted = holm([each.p for each in found.values()])
    return {
        group: Difference(
            **{**asdict(each), "adjusted": p, "verdict": verdict(each.delta, p, metric)},
        )
        for (group, each), p in zip(found.items(), adjusted, strict=True)
    }


# ---------------------------------------------------------------------------- where two disagree


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


def disagreement_of_units(
    a: Sequence[Mapping[str, np.ndarray]], b: Sequence[Mapping[str, np.ndarray]], clips: Sequence[Clip]
) -> Disagreement:
    """Rows are the units of the clips, one after another."""
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


def disagreement_of_samples(a: Sequence[np.ndarray], b: Sequence[np.ndarray], part: Part) -> Disagreement:
    """Rows are the samples; a and b are the outputs of each seed."""
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


# ---------------------------------------------------------------------------- missing modalities, kinds, cost


def missing(model: Fusion, test: Sequence[Clip] | Part) -> dict[str, float]:
    """ "only NAME" and "without NAME" -> the compared metric when modalities are missing; {} for a single one.

    Of two modalities, one is missing when the other is alone, so "without" is told from three on.
    """
    used = tuple(getattr(model, "used", tuple(model.widths)))
    if len(used) < 2:
        return {}
    asked = {f"only {name}": (name,) for name in used}
    if len(used) > 2:
        asked |= {f"without {name}": tuple(other for other in used if other != name) for name in used}
    return {words: _metric_with(model, test, kept) for words, kept in asked.items()}


def _metric_with(model: Fusion, test: Sequence[Clip] | Part, kept: tuple[str, ...]) -> float:
    judged: Metrics | ClassMetrics | RealMetrics
    if isinstance(test, Part):
        judged = measure_part(outputs(model, {name: test.features[name] for name in kept}), test)
    else:
        judged = measure(score(model, [clip.keep(kept) for clip in test]), test)
    return float(getattr(judged, model.task.metric))


def kinds(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> dict[str, tuple[float, int]]:
    """Kind of anomaly -> (AUC of its units against every normal one, its units); {} where no clip has labels."""
    return by_kind(scores, clips) if any(clip.labels is not None and clip.labels.any() for clip in clips) else {}


def scoring_time(model: Fusion, test: Sequence[Clip] | Part, turns: int = 5) -> float:
    """Milliseconds of processor time of one thread to score the whole test part: the median of some turns, one to warm.

    Of this thread alone, so that other visitors and jobs do not count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(turns + 1):
            began = time.thread_time()
            _say(model, test)
            taken.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    return 1e3 * statistics.median(taken[1:])


def _say(model: Fusion, test: Sequence[Clip] | Part) -> object:
    return outputs(model, test.features) if isinstance(test, Part) else score(model, test)


PEAKS = "import sys; from core.compare import tell_peaks; tell_peaks(sys.argv[1], sys.argv[2], sys.argv[3:])"


def peaks(data: Path, part: str, folders: Sequence[Path], seconds: float = 300) -> list[float | None]:
    """Megabytes each run's scoring adds at most to a process that has loaded data and model; None where unknown.

    Measured in processes of their own, one a run, by the kernel's account (Linux). Takes some seconds.
    """
    program = [sys.executable, "-W", "ignore", "-c", PEAKS, str(data.resolve()), part]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [*program, *(str(folder.resolve()) for folder in folders)],
            capture_output=True, text=True, timeout=seconds, env=environment, cwd=ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [None] * len(folders)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [*lines, *[None] * len(folders)][: len(folders)]


def tell_peaks(data: str, part: str, folders: Sequence[str]) -> None:
    """What `peaks` starts: one line a run, each measured in a child that begins with the same memory."""
    import ctypes

    from core.bench import peak
    from core.data import read

    torch.set_num_threads(1)
    found = read(Path(data))
    test = found.part(part) if isinstance(found, Samples) else _clips_of(found, part)
    for folder in folders:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            told: float | None = None
            with contextlib.suppress(Exception):  # a run that cannot be measured is told as unknown
                model = run_folders.model(Path(folder))
                with contextlib.suppress(AttributeError, OSError):  # memory freed before must not hide what is asked
                    ctypes.CDLL(None).malloc_trim(0)
                told = peak(partial(_say, model, test))
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as heard:
            print(heard.read() or "null", flush=True)
        os.waitpid(child, 0)


def _clips_of(data: Dataset, part: str) -> tuple[Clip, ...]:
    return tuple(data.clips.values()) if part == "all" else data.part(part)


# ---------------------------------------------------------------------------- everything of one data set


@dataclass(frozen=True)
class Line:
    """One group in the comparison.

    metrics     metric -> estimate
    difference  to the baseline, by the compared metric; None for the baseline itself
    deltas      metric -> difference to the baseline, each tested by itself; {} for the baseline
    missing     "only …" / "without …" -> mean over seeds
    parts       kind of anomaly (AUC), or class (recall), or target (correlation) -> mean over seeds
    flops       of one unit or sample; seconds: of one training, as recorded, maybe on another machine
    ms          of scoring the test part here; megabytes: peak of one scoring; None where not measured
    """

    group: Group
    metrics: Mapping[str, Estimate]
    difference: Difference | None
    deltas: Mapping[str, Difference]
    missing: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    flops: int | None = None
    ms: float | None = None
    megabytes: float | None = None
    why: str = ""


def lines(chosen: Sequence[Group], judged: Mapping[str, Mapping[int, Judged]], baseline: str | None) -> list[Line]:
    """The comparison without its slow parts; groups in the order given."""
    first = next(iter(next(iter(judged.values())).values()))
    tests = {} if baseline is None else {m: against(judged, baseline, m) for m in metrics_of(first.metric)}
    found = []
    for group in chosen:
        mine = list(judged[group.id].values())
        deltas = {m: each[group.id] for m, each in tests.items() if group.id in each}
        found.append(
            Line(
                group,
                {m: estimate(mine, m) for m in metrics_of(first.metric)},
                deltas.get(first.metric),
                deltas,
                why=next((one.why for one in mine if one.why), ""),
            )
        )
    return found


def over_seeds(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over seeds, key by key."""
    return {name: float(np.mean([one[name] for one in each])) for name in (each[0] if each else {})}


def parts_of(judged: Metrics | ClassMetrics | RealMetrics) -> dict[str, float]:
    """Recall of each class, or correlation of each target."""
    if isinstance(judged, ClassMetrics):
        return dict(judged.recall)
    return dict(judged.correlation_of) if isinstance(judged, RealMetrics) else {}


def wanted(all_of_them: Mapping[str, Group], names: Sequence[str], values: Mapping[str, float]) -> list[str]:
    """Group ids by what a user calls them: the id or its beginning, a title, or a fusion (its groups, best first).

    Errors: `ValueError` for a name that fits nothing, with what there is.
    """
    order = sorted(all_of_them, key=lambda id_: -values.get(id_, -np.inf))
    found: list[str] = []
    for name in names:
        fits = [
            id_ for id_ in order if name in (all_of_them[id_].first.fusion, all_of_them[id_].title) or id_ == name
        ] or [id_ for id_ in order if len(name) > 3 and id_.startswith(name)]
        if not fits:
            known = ", ".join(dict.fromkeys(group.first.fusion for group in all_of_them.values()))
            raise ValueError(f"no run here is called {shown(name)!r}; there are {known}")
        found += fits
    return list(dict.fromkeys(found))


def recorded(found: Mapping[str, Run]) -> dict[str, float]:
    """Group id -> the compared metric from its runs' records, the mean over seeds; undefined ones are left out."""
    values: dict[str, list[float | None]] = {}
    for run in found.values():
        values.setdefault(run.group, []).append(run.metrics.get(run.metric))
    return {
        id_: statistics.fmean(known)
        for id_, each in values.items()
        if (known := [value for value in each if value is not None])
    }


def compare(
    data: Dataset | Samples,
    root: Path,
    names: Sequence[str] | None = None,
    baseline: str | None = None,
    memory_of: Path | None = None,
) -> tuple[str, list[Line]]:
    """Everything the page shows, of the runs below `root` that were trained on these very data: (baseline's id, lines).

    names       which groups (`wanted`); all unless given
    baseline    a group; the best unless given
    memory_of   the data's folder, to measure peak memory, too
    """
    found = {n: run for n, run in run_folders.listing(root).items() if run.source.digest == data.digest()}
    if not found:
        raise ValueError(f"no run below {str(root)!r} was trained on {data.name!r}")
    every, values = groups(found, data.digest()), recorded(found)
    order = sorted(every, key=lambda id_: -values.get(id_, -np.inf))
    ids = wanted(every, names, values) if names else order
    base = wanted(every, [baseline], values)[0] if baseline else next(id_ for id_ in order if id_ in ids)
    ids = ids if base in ids else [base, *ids]
    protocol = every[base].first.source.protocol
    which = "all" if protocol == "all" else "test"
    test = data.part("test", None if protocol == "all" else protocol)
    judged: dict[str, dict[int, Judged]] = {}
    slow: dict[str, dict[str, Any]] = {}
    for id_ in ids:
        models = {seed: run_folders.model(root / name) for seed, name in every[id_].runs.items()}
        first = next(iter(models.values()))
        parts: list[dict[str, float]] = []
        judged[id_] = {}
        for seed, model in models.items():
            if isinstance(test, Part):
                said = outputs(model, test.features)
                judged[id_][seed] = judge_part(said, test)
                parts.append(parts_of(measure_part(said, test)))
            else:
                scored = score(model, test)
                judged[id_][seed] = judge(scored, test)
                parts.append({kind: value for kind, (value, _) in kinds(scored, test).items()})
        slow[id_] = {
            "missing": over_seeds([missing(model, test) for model in models.values()]),
            "parts": over_seeds(parts),
            "flops": flops(first),
            "ms": scoring_time(first, test),
        }
    if memory_of is not None:
        folders = [root / next(iter(every[id_].runs.values())) for id_ in ids]
        for id_, megabytes in zip(ids, peaks(memory_of, which, folders), strict=True):
            slow[id_]["megabytes"] = megabytes
    made = [replace(line, **slow[line.group.id]) for line in lines([every[id_] for id_ in ids], judged, base)]
    return base, made


# ---------------------------------------------------------------------------- the table, to take along


@dataclass(frozen=True)
class Value:
    """A number in a table: mean, perhaps with its sd, or with an interval; None or NaN is told as a dash."""

    mean: float | int | None
    sd: float | None = None
    span: tuple[float, float] | None = None
    digits: int = 1
    signed: bool = False

    def told(self, plus_minus: str = "±", dash: str = "–", minus: str = "-") -> str:
        def number(value: float | int, signed: bool = False) -> str:
            return f"{value:{'+' if signed else ''},.{self.digits}f}".replace("-", minus)

        if self.mean is None or np.isnan(self.mean):
            return dash
        said = number(self.mean, self.signed)
        if self.sd is not None and not np.isnan(self.sd):
            said += f" {plus_minus} {number(self.sd)}"
        if self.span is not None and not np.isnan(self.span[0]):
            said += f" [{number(self.span[0], self.signed)}, {number(self.span[1], self.signed)}]"
        return said


Cell = str | Value


@dataclass(frozen=True)
class Table:
    """Heads are ours; texts in rows may be hostile."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(found: Sequence[Line], baseline: str | None) -> Table:
    """One row a group: every metric, the difference to the baseline with interval and verdict, the cost."""
    if not found:
        return Table(("method",), ())
    names = {m: w for m, w in metrics_of(next(iter(found[0].metrics))).items() if _somewhere(found, m)}
    first = next(iter(found[0].metrics))
    columns = list(dict.fromkeys(name for line in found for name in line.missing))
    head = ["method", "seeds", *names.values()]
    head += ["difference", "p (Holm)", "verdict"] if baseline is not None and len(found) > 1 else []
    head += [*columns, "weights"]
    head += ["FLOPs"] if found[0].flops is not None else []
    head += ["scoring (ms)"] if any(line.ms is not None for line in found) else []
    head += ["peak (MB)"] if any(line.megabytes is not None for line in found) else []
    head += ["training (s)"]
    rows = []
    for line in found:
        cells: list[Cell] = [line.group.title, str(len(line.group.runs))]
        cells += [Value(line.metrics[m].mean, line.metrics[m].sd, digits=digits(m)) for m in names]
        if "difference" in head:
            d = line.difference
            cells += (
                ["baseline" if line.group.id == baseline else "", Value(None), ""]
                if d is None
                else [
                    Value(d.delta, span=(d.low, d.high), digits=digits(first), signed=True),
                    Value(d.adjusted, digits=3),
                    d.verdict,
                ]
            )
        cells += [Value(line.missing.get(name), digits=digits(first)) for name in columns]
        cells.append(Value(line.group.weights, digits=0))
        cells += [Value(line.flops, digits=0)] if "FLOPs" in head else []
        cells += [Value(line.ms)] if "scoring (ms)" in head else []
        cells += [Value(line.megabytes)] if "peak (MB)" in head else []
        cells.append(Value(line.group.seconds))
        rows.append(tuple(cells))
    return Table(tuple(head), tuple(rows))


def _somewhere(found: Sequence[Line], metric: str) -> bool:
    """The compared metric always; another one where it is defined for some group."""
    return metric == next(iter(found[0].metrics)) or any(not np.isnan(line.metrics[metric].mean) for line in found)


def parts_table(found: Sequence[Line]) -> Table:
    """One row a group, one column a kind of anomaly (AUC), a class (recall) or a target (correlation)."""
    names = list(dict.fromkeys(name for line in found for name in line.parts))
    first = next(iter(found[0].metrics)) if found else "auc"
    return Table(
        ("method", *(shown(name, 40) for name in names)),
        tuple((line.group.title, *(Value(line.parts.get(n), digits=digits(first)) for n in names)) for line in found),
    )


def text(made: Table) -> str:
    """The table for a terminal."""
    cells = [list(made.head)] + [[c.told() if isinstance(c, Value) else shown(c, 60) for c in row] for row in made.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(made.head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def markdown(made: Table) -> str:
    """A pipe table; every text is escaped."""
    cells = [[c.told() if isinstance(c, Value) else escaped_markdown(c) for c in row] for row in made.rows]
    heads = [escaped_markdown(head) for head in made.head]
    ruler = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ruler, *cells]) + "\n"


def escaped_markdown(name: str) -> str:
    r"""Text inside a Markdown table: no picture, link, HTML or new cell; words, spaces, dashes and dots stay readable.

    >>> escaped_markdown("a|b ![x](http://y) <b>")
    'a\\|b \\!\\[x\\]\\(http\\:\\/\\/y\\) \\<b\\>'
    >>> escaped_markdown("LEGO motion+text (α = 0.5)")
    'LEGO motion\\+text \\(α = 0.5\\)'
    """
    line = re.sub(r"([!-,/:-<>-@\[-`{-~])", r"\\\1", shown(name, 120))
    return re.sub(r"\b(www|ftp)\.", r"\1\\.", line)


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "*": "{*}", "`": r"\textasciigrave{}", "±": r"$\pm$",
    "·": r"$\cdot$", "Δ": r"$\Delta$", "α": r"$\alpha$", "λ": r"$\lambda$", "…": r"\dots{}", "–": "--", "-": "{-}",
}  # fmt: skip


def escaped_latex(name: str) -> str:
    r"""Text inside a LaTeX table: nothing in it is a command, a cell, a row's option or a ligature.

    Letters that pdfLaTeX's usual fonts cannot set are told by their number.

    >>> escaped_latex(r"a_b & \input{x}") == r"a\_b \& \textbackslash{}input\{x\}"
    True
    >>> escaped_latex("\u4e2d")
    '(U+4E2D)'
    """
    return "".join(
        LATEX.get(c, c if c.isascii() or 0xC0 <= ord(c) <= 0x17F else f"(U+{ord(c):04X})") for c in shown(name, 120)
    )


def latex(made: Table, caption: str = "") -> str:
    r"""The table for a paper; wants \usepackage{booktabs}."""

    def cell(value: Cell) -> str:
        if not isinstance(value, Value):
            return escaped_latex(value)
        told = value.told(r"\pm", "--", "-").replace(",", "{,}").replace("]", "]")
        return told if told == "--" else f"${told.replace('{,} ', ', ')}$"

    lines_ = [r"% \usepackage{booktabs}", r"\begin{tabular}{l" + "r" * (len(made.head) - 1) + "}", r"\toprule"]
    lines_.append(" & ".join(escaped_latex(head) for head in made.head) + r" \\")
    lines_.append(r"\midrule")
    lines_ += [" & ".join(cell(value) for value in row) + r" \\" for row in made.rows]
    lines_ += [r"\bottomrule", r"\end{tabular}"]
    if caption:
        lines_.insert(1, f"% {escaped_latex(caption)}")
    return "\n".join(lines_) + "\n"


def records(found: Sequence[Line], baseline: str | None) -> list[dict[str, Any]]:
    """One flat record a group, undefined values None: rows of the CSV and of the JSON."""
    made = []
    for line in found:
        row: dict[str, Any] = {"group": line.group.id, "method": line.group.title, "fusion": line.group.first.fusion}
        row |= {"baseline": line.group.id == baseline, "seeds": len(line.group.runs)}
        for metric, each in line.metrics.items():
            row |= {
                metric: each.mean, f"{metric}_sd": each.sd,
                f"{metric}_seeds_low": each.seeds_low, f"{metric}_seeds_high": each.seeds_high,
                f"{metric}_clips_low": each.clips_low, f"{metric}_clips_high": each.clips_high,
            }  # fmt: skip
        if line.difference is not None:
            d = line.difference
            row |= {"difference": d.delta, "difference_low": d.low, "difference_high": d.high, "p": d.p}
            row |= {"p_holm": d.adjusted, "verdict": d.verdict, "test": d.test, "pairs": d.seeds}
        row |= line.missing
        row |= {"weights": line.group.weights, "flops": line.flops, "scoring_ms": line.ms, "peak_mb": line.megabytes}
        row |= {"training_s": line.group.seconds, "why": line.why or None}
        row |= {f"of {name}": value for name, value in line.parts.items()}
        made.append({k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()})
    return made


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV that no spreadsheet runs: texts that begin like a formula get a quote in front."""

    def safe(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value

    heads = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(head) for head in heads])
    writer.writerows([[safe(row.get(head)) for head in heads] for row in rows])
    return out.getvalue()


def report(data: Dataset | Samples, baseline: str, found: Sequence[Line], form: str = "text") -> str:
    """The comparison as text, md, latex or csv."""
    made = table(found, baseline)
    if form == "csv":
        return as_csv(records(found, baseline))
    if form == "md":
        return markdown(made)
    base = next(line.group.title for line in found if line.group.id == baseline)
    if form == "latex":
        return latex(made, f"{data.name}: mean and sd over seeds; differences to {base}, 95 % intervals")
    if form != "text":
        raise ValueError(f"--format is text, md, latex or csv, not {form!r}")
    rest = parts_table(found)
    what = {"auc": "AUC by kind of anomaly", "accuracy": "recall by class", "correlation": "correlation by target"}
    note = (
        f"difference: to {shown(base, 60)} on the same clips or samples, 95 % interval over them and over seeds; "
        "p after Holm.\nFLOPs: of one unit or sample, 2 for a multiplication and its addition. scoring: the test part, "
        "here, processor time.\ntraining: as recorded, maybe on another machine."
    )
    said = [text(made), note]
    if len(rest.head) > 1:
        said.append(f"{what[next(iter(found[0].metrics))]}\n{text(rest)}")
    return "\n\n".join(said)

r"""A metric of a group with its intervals, and whether it differs from a baseline's on the same clips.

    D_s         = M(a, s) - M(b, s)                                    the same seed, the same draws of clips
    D*_b        = mean_s D_s on draw b + T_b sd_s(D_s) / sqrt(S)       T_b ~ Student's t, S - 1 degrees; both together
    p           = min(1, 2 (1 + min(#{D*_b <= 0}, #{D*_b >= 0})) / (B + 1))

With one seed on either side the last term is absent: then nothing is said about other trainings, and of classes the
test is McNemar's, exact. Against a baseline every group is tested on the number methods are compared by; p is corrected
for the number of groups after Holm (1979). "Better" and "worse" mean a corrected p below 0.05.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from core.compare.judged import LOWER, Judged
from core.measure.tests import holm, mcnemar, sign_p

LEVEL = 0.05


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
    sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    reach = float(student.ppf(0.975, len(values) - 1)) * sd / np.sqrt(len(values)) if len(values) > 1 else np.nan
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
        return np.nan, np.nan
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
        low, high, p = np.nan, np.nan, np.nan
    return Difference(metric, delta, low, high, p, p, verdict(delta, p, metric), len(pairs), paired, test)


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

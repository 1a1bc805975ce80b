"""Tests of a difference, of a slope and of an agreement of ranks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom, linregress
from scipy.stats import t as student


def sign_p(draws: Float[np.ndarray, " draws"]) -> float:
    """Two-sided: how often the drawn difference lies on the other side of 0. All draws 0 give 1.

    >>> sign_p(np.zeros(10)), round(sign_p(np.ones(99)), 2)
    (1.0, 0.02)
    """
    known = draws[~np.isnan(draws)]
    if len(known) <= len(draws) / 2:
        return np.nan
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
    found = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    worst = 0.0
    for place, at in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - place) * values[at]))
        found[at] = worst
    return [float(each) for each in found]


def trend(ranks: Float[np.ndarray, " runs"], kept: Float[np.ndarray, " runs"]) -> tuple[float, float, float, float]:
    """(slope a doubling, low, high, p) by least squares; NaN for fewer than three runs or one rank.

    >>> [round(each, 3) for each in trend(np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 3.0, 4.0, 6.0]))]
    [3.0, -3.085, 9.085, 0.168]
    """
    x = np.log2(ranks)
    if len(x) < 3 or len(np.unique(x)) < 2 or not np.isfinite(kept).all():
        return np.nan, np.nan, np.nan, np.nan
    if np.ptp(kept) == 0:
        return 0.0, 0.0, 0.0, 1.0
    line = linregress(x, kept)
    slope, reach = float(line.slope), float(student.ppf(0.975, len(x) - 2) * line.stderr)
    return slope, slope - reach, slope + reach, float(line.pvalue)


def welch(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " m"]) -> tuple[float, float, float]:
    """(mean a - mean b, low, high): 95 % interval with unequal spreads; NaN bounds for a single run."""
    gap = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return gap, np.nan, np.nan
    one, two = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if one + two == 0:
        return gap, gap, gap
    free = (one + two) ** 2 / (one**2 / (len(a) - 1) + two**2 / (len(b) - 1))
    reach = float(student.ppf(0.975, free) * np.sqrt(one + two))
    return gap, gap - reach, gap + reach

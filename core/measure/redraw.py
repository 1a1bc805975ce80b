r"""Metrics on clips that are drawn again with replacement: what these models would show on other clips.

All units of a clip come together; samples are clips of one row. The draws depend on the number of clips alone, so that
whatever is judged on the same clips stays paired.

A metric on a draw is exact for up to `EXACT` clips. Beyond, it is linear in how often each clip is drawn (the
infinitesimal jackknife), whose variance for the AUC is DeLong's for clustered data (Obuchowski 1997).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

DRAWS = 2000
EXACT = 100  # clips
ENTRIES = 40_000_000  # of the table of draws; a larger test part gets fewer draws

Rows = Float[np.ndarray, " rows"]


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


def linear(clips: int) -> bool:
    """Whether draws of so many clips are linear, not exact."""
    return clips > EXACT


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


# ---------------------------------------------------------------------------- clips of several units


def auc_draws(
    scores: Rows, anomalous: Rows, normal: Rows, clip: Int[np.ndarray, " rows"], clips: int
) -> Float[np.ndarray, " draws"]:
    """AUC in percent on every draw of clips; row i counts `anomalous[i]` times as one kind, `normal[i]` as the other.

    Exact: AUC(n) = n' W n / (n'P n'Q), W[c, d] the wins of clip c's anomalous rows over clip d's normal ones.
    Beyond `EXACT` clips: AUC + sum over c of (n_c - 1) dAUC / dn_c. NaN on draws that have one kind only.
    """
    P, Q = summed(anomalous, clip, clips), summed(normal, clip, clips)
    if not P.sum() or not Q.sum():
        return np.full(len(resamples(clips)), np.nan)
    if linear(clips):
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
        return np.full(len(counts), np.nan)
    if not linear(clips):
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


# ---------------------------------------------------------------------------- samples


def accuracy_draws(right: Bool[np.ndarray, " samples"]) -> Float[np.ndarray, " draws"]:
    """Percent of samples named right, on every draw."""
    return np.asarray(100 * drawn(right[:, None].astype(np.float64))[:, 0] / len(right))


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
            related.append(np.where(below > floor, (ab - ma * mb) / below, np.nan))
        errors.append(error)
    table = np.stack(related)
    known = (~np.isnan(table)).sum(0)
    correlation = np.where(known > 0, np.nansum(table, 0) / np.maximum(known, 1), np.nan)
    return {"correlation": correlation, "mae": np.mean(errors, axis=0)}

r"""Retrieval across modalities: rows of one modality ask, rows of another answer, ranked by cosine similarity.

    AP@k of a query  = 1 / min(R, k) * sum over ranks i <= k with a relevant answer of  (relevant among the first i) / i
    MAP@k            = mean over queries; k = None: over the whole ranking, and R = all relevant answers

An answer is relevant when its class is the query's. A query without any relevant answer has no AP and is left out.
Values are in [0, 1], as the field prints them (CCA on the Wikipedia set: 0.228 image to text, 0.179 text to image).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BLOCK = 1 << 22  # similarities held at once


def directions(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1 in float64; a row of zeros stays zeros and resembles nothing."""
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def average_precisions(
    queries: Float[np.ndarray, "n d"],
    gallery: Float[np.ndarray, "m d"],
    query_class: Int[np.ndarray, " n"],
    gallery_class: Int[np.ndarray, " m"],
    at: int | None = None,
) -> Float[np.ndarray, " n"]:
    """AP of every query, NaN where no answer is relevant. Ties go against the query: irrelevant answers come first."""
    if at is not None and at < 1:
        raise ValueError(f"MAP at {at}: at least one answer is looked at")
    asked, answers = directions(queries), directions(gallery).T
    depth = len(gallery) if at is None else min(at, len(gallery))
    found = np.full(len(queries), np.nan)
    step = max(1, BLOCK // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        relevant = query_class[rows, None] == gallery_class
        # equal answers must tie: matrix products round them differently in the last digits
        order = np.lexsort((relevant, -np.round(asked[rows] @ answers, 12)), axis=-1)[:, :depth]
        hit = np.take_along_axis(relevant, order, axis=1)
        precision = hit.cumsum(1) / np.arange(1, depth + 1)
        count = np.minimum(relevant.sum(1), depth)
        found[rows] = np.divide((precision * hit).sum(1), count, out=np.full(len(hit), np.nan), where=count > 0)
    return found


def mean_average_precision(
    queries: Float[np.ndarray, "n d"],
    gallery: Float[np.ndarray, "m d"],
    query_class: Int[np.ndarray, " n"],
    gallery_class: Int[np.ndarray, " m"],
    at: int | None = None,
) -> float:
    """MAP, or MAP@`at`, in [0, 1]; NaN when no query has a relevant answer.

    >>> images, texts = np.eye(2), np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> mean_average_precision(images, texts, np.array([0, 1]), np.array([0, 1]))
    1.0
    """
    found = average_precisions(queries, gallery, query_class, gallery_class, at)
    known = found[~np.isnan(found)]
    return float(known.mean()) if len(known) else np.nan


def chance(query_class: Int[np.ndarray, " n"], gallery_class: Int[np.ndarray, " m"]) -> float:
    r"""MAP that answers in random order have on average, exactly.

        E[AP] = (H_m + (m - H_m) (R - 1) / (m - 1)) / m,    H_m = 1 + 1/2 + ... + 1/m

    >>> round(chance(np.array([0]), np.array([0, 1])), 3)  # first or second: (1 + 1/2) / 2
    0.75
    """
    m = len(gallery_class)
    counts = (query_class[:, None] == np.unique(gallery_class)).astype(np.int64) @ np.unique(
        gallery_class, return_counts=True
    )[1]
    counts = counts[counts > 0]
    if not len(counts):
        return np.nan
    harmonic = (1.0 / np.arange(1, m + 1)).sum()
    return float(((harmonic + (m - harmonic) * (counts - 1) / max(1, m - 1)) / m).mean())


@dataclass(frozen=True)
class Retrieval:
    """One direction: rows of `asked` as queries, rows of `answers` as gallery.

    map           over the whole ranking, in [0, 1]
    map_at        k -> MAP@k
    chance        MAP of a random order
    queries       how many were asked
    """

    asked: str
    answers: str
    map: float
    map_at: Mapping[int, float]
    chance: float
    queries: int


def across(
    rows: Mapping[str, Float[np.ndarray, "n _"]],
    classes: Int[np.ndarray, " n"],
    at: Sequence[int] = (10, 20, 50, 100),
) -> tuple[Retrieval, ...]:
    """Every ordered pair of modalities whose rows have equal width, the query's own pair in the gallery."""
    expected = chance(classes, classes)
    return tuple(
        Retrieval(
            asked,
            answers,
            mean_average_precision(rows[asked], rows[answers], classes, classes),
            {k: mean_average_precision(rows[asked], rows[answers], classes, classes, k) for k in at},
            expected,
            len(classes),
        )
        for asked in rows
        for answers in rows
        if asked != answers and rows[asked].shape[1] == rows[answers].shape[1]
    )

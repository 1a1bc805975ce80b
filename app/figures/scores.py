"""The axis of scores, the same in every figure of a run."""

import math
from collections.abc import Mapping

import numpy as np


def score_span(scores: Mapping[str, np.ndarray], threshold: float) -> tuple[float, float]:
    """Bottom and top of every score axis of one run: 0 to 1, or closer where all scores and the threshold lie close.

    >>> score_span({"a": np.array([0.01, 0.83])}, 0.5)
    (0.0, 1.0)
    >>> score_span({"a": np.array([0.47, 0.52])}, 0.5)
    (0.45, 0.55)
    """
    low = min(threshold, *(float(values.min()) for values in scores.values()))
    high = max(threshold, *(float(values.max()) for values in scores.values()))
    if high - low > 0.4:
        return 0.0, 1.0
    low, high = math.floor(low / 0.05) * 0.05, math.ceil(high / 0.05) * 0.05
    return round(low, 2), round(max(high, low + 0.05), 2)

"""95 % intervals of a share, an AUC and a correlation."""

import numpy as np
from scipy.stats import binomtest

Z95 = 1.959964


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share, in percent.

    >>> [round(edge, 1) for edge in wilson(8, 10)]
    [49.0, 94.3]
    """
    edges = binomtest(right, count).proportion_ci(method="wilson")
    return 100 * float(edges.low), 100 * float(edges.high)


def auc_interval(value: float, positive: int, negative: int) -> tuple[float, float]:
    """95 % interval of an AUC in percent after Hanley and McNeil (1982), cut to 0 ... 100.

    >>> [round(edge, 1) for edge in auc_interval(80.0, 50, 50)]
    [71.3, 88.7]
    """
    a = value / 100
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    spread = a * (1 - a) + (positive - 1) * (q1 - a * a) + (negative - 1) * (q2 - a * a)
    reach = 100 * Z95 * np.sqrt(max(0.0, spread) / (positive * negative))
    return max(0.0, float(value - reach)), min(100.0, float(value + reach))


def fisher(value: float, count: int) -> tuple[float, float]:
    """95 % interval of a correlation by Fisher's z; the whole range for fewer than four rows.

    >>> [round(edge, 2) for edge in fisher(0.5, 103)]
    [0.34, 0.63]
    """
    if count < 4 or not abs(value) < 1:
        return (-1.0, 1.0) if count < 4 else (value, value)
    z, reach = np.arctanh(value), Z95 / np.sqrt(count - 3)
    return float(np.tanh(z - reach)), float(np.tanh(z + reach))

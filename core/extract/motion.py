"""`motion`: how fast what moves is against what is usual there, where in the picture, and in which direction.

    row = [1, fast x where, unusual heading x direction]

A unit in which everybody walks is close to [1, 0, ..., 0]: all such units are alike. Speed over FAST times the usual
fills the cell where it happens, so that an object that crosses the picture makes units that differ from normal
ones *and* from each other: relations between units then tell them apart even where a whole clip is anomalous.
"""

import numpy as np

from core.extract.base import Described, Seen
from core.extract.evidence import COLUMNS, ROWS, pooled, speed_ratio

FAST = 1.8  # times the usual speed; strides reach 1.5 for moments
WIDTH = 1 + COLUMNS * ROWS + 8


def motion(seen: Seen) -> Described:
    """float32 (units, 81)."""
    ratio = speed_ratio(seen.objects, seen.view)
    fast = np.clip((ratio - FAST) / (FAST - 1), 0, 2)
    rows = np.zeros((seen.units, WIDTH), np.float32)
    rows[:, 0] = 1
    for unit in range(seen.units):
        looks = seen.in_unit(unit)
        rows[unit, 1 : 1 + COLUMNS * ROWS] = pooled(fast[looks])
        rows[unit, 1 + COLUMNS * ROWS :] = _headings(seen, looks)
    return Described(rows)


def _headings(seen: Seen, looks: slice) -> np.ndarray:
    """Share of moving objects in each of 8 directions beyond four times what is usual there."""
    found = seen.objects
    now = (found.frame >= looks.start) & (found.frame < looks.stop)
    speed = np.maximum(seen.view.usual(seen.view.speed, found.foot[now]), 1e-2)
    moving = found.speed[now, 0] > 0.5 * speed
    flow = found.flow[now][moving]
    if not len(flow):
        return np.zeros(8)
    direction = (np.round(np.arctan2(flow[:, 1], flow[:, 0]) / np.pi * 4) % 8).astype(int)
    share = np.bincount(direction, minlength=8) / len(flow)
    return np.clip(share - 4 * seen.view.heading, 0, 1)

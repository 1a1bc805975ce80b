"""`motion`: how fast what moves is against what is usual there, which way, how long it stays, and where.

    row = [1, fast x where, unusual heading x where, lingering x where]

A unit in which everybody walks is close to [1, 0, ..., 0]: all such units are alike. Speed over FAST times the usual
fills the cell where it happens, and cells are about as large as a walker, so that an object that crosses the picture
makes units that differ from normal ones *and* from each other: relations between units then tell them apart even
where a whole clip is anomalous.
"""

import numpy as np

from core.extract.base import Described, Seen
from core.extract.evidence import CELLS, FAST, lingering, odd_heading, pooled

SPAN, TOP = 0.4, 3.0  # FAST + 0.4 counts 1, and nothing counts more than 3
WIDTH = 1 + 3 * CELLS


def motion(seen: Seen) -> Described:
    """float32 (units, 1 + 3 x cells)."""
    ratio = seen.moving.speed_ratio(seen.view)
    fast = np.clip((ratio - FAST) / SPAN, 0, TOP)
    odd = odd_heading(seen.view, seen.moving.u, seen.moving.v) * (ratio > 0.5)
    stay = lingering(seen.objects, seen.view, seen.fps / int(seen.objects.stride))
    rows = np.zeros((seen.units, WIDTH), np.float32)
    rows[:, 0] = 1
    for unit in range(seen.units):
        looks = seen.in_unit(unit)
        rows[unit, 1 : 1 + CELLS] = pooled(fast[looks])
        rows[unit, 1 + CELLS : 1 + 2 * CELLS] = pooled(odd[looks])
        rows[unit, 1 + 2 * CELLS :] = pooled(stay[looks])
    return Described(rows)

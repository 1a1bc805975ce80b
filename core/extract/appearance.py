"""`appearance`: how unusual texture and size of what moves are, and where in the picture.

    row = [1, texture change x where, size x where]

Texture: a cyclist's and a cart's edges sweep over the picture faster than a walker's, whatever flow makes of them.
Size: taller *and* wider than usual, or much larger, or much longer, so that a group of walkers is not large. Laid out
like `motion`: zero for the usual, evidence in the cell where it is seen.
"""

import numpy as np

from core.extract.base import Described, Seen
from core.extract.evidence import CELLS, COLUMNS, pooled

CHANGE, SPAN, TOP = 1.5, 0.2, 3.0  # times the usual change; 1.5 + 0.2 counts 1, nothing counts more than 3
LARGE = 2.0  # times the usual height and width
LONG = 5.0  # times the usual width alone
BULKY = 5.0  # times the area of a usual box; three people side by side fill less
LASTS = 8  # looks that a track must be seen in a unit or more to have a size
WIDTH = 1 + CELLS + COLUMNS


def appearance(seen: Seen) -> Described:
    """float32 (units, 1 + cells + columns)."""
    odd = np.clip((seen.moving.change_ratio(seen.view) - CHANGE) / SPAN, 0, TOP)
    large, column = sizes(seen)
    rows = np.zeros((seen.units, WIDTH), np.float32)
    rows[:, 0] = 1
    for unit in range(seen.units):
        looks = seen.in_unit(unit)
        rows[unit, 1 : 1 + CELLS] = pooled(odd[looks])
        now = (seen.objects.frame >= looks.start) & (seen.objects.frame < looks.stop)
        np.maximum.at(rows[unit], 1 + CELLS + column[now], large[now])
    return Described(rows)


def sizes(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """For each object how much larger than usual its track is, in doublings beyond the bound, and its column of cells.

    Large is taller and wider than LARGE times the usual, or of BULKY times the area, or LONG times as wide.
    """
    found, view = seen.objects, seen.view
    tall = found.box[:, 3] / np.maximum(view.usual(view.height, found.foot), 4)
    wide = found.box[:, 2] / np.maximum(view.usual(view.width, found.foot), 2)
    bulk = tall * wide * found.area / (found.box[:, 2] * found.box[:, 3])
    beyond = np.maximum.reduce([np.minimum(tall, wide) / LARGE, bulk / BULKY, wide / LONG])
    large = np.zeros(len(found))
    for track in np.unique(found.track):
        rows = np.flatnonzero(found.track == track)
        if len(rows) >= LASTS:
            large[rows] = np.clip(np.log2(np.median(beyond[rows])), 0, 2)
    column = np.minimum((found.centre[:, 0] / found.size[0] * COLUMNS).astype(int), COLUMNS - 1)
    return large, column

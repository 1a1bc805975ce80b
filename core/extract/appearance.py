"""`appearance`: how unusual the shape and the edges of what moves are, and where in the picture.

row = [1, size x where, shape, edges]
"""

import numpy as np

from core.extract.base import Described, Seen
from core.extract.evidence import COLUMNS

WIDTH = 1 + 2 * COLUMNS + 16


def appearance(seen: Seen) -> Described:
    """float32 (units, 41)."""
    found, view = seen.objects, seen.view
    tall = np.maximum(view.usual(view.height, found.foot), 4)
    wide = np.maximum(view.usual(view.width, found.foot), 2)
    large = np.clip(np.log2(np.maximum(found.area, 1) / (tall * wide)) - 0.5, 0, 2)
    broad = np.clip(np.log2(found.box[:, 2] / found.box[:, 3]) - np.log2(wide / tall) - 0.5, 0, 2)
    edges = (found.gradients - view.gradients[0]) / view.gradients[1]
    odd = np.clip(np.abs(edges) - 3, 0, 6) / 3
    column = np.minimum((found.centre[:, 0] / found.size[0] * COLUMNS).astype(int), COLUMNS - 1)
    rows = np.zeros((seen.units, WIDTH), np.float32)
    rows[:, 0] = 1
    for unit in range(seen.units):
        looks = seen.in_unit(unit)
        now = (found.frame >= looks.start) & (found.frame < looks.stop)
        if not now.any():
            continue
        np.maximum.at(rows[unit], 1 + column[now], large[now])
        np.maximum.at(rows[unit], 1 + COLUMNS + column[now], broad[now])
        rows[unit, 1 + 2 * COLUMNS :] = odd[now].mean(axis=0)
    return Described(rows)

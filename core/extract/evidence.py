"""How unusual what moves is, and where: maps that motion and appearance features are pooled from.

    ratio(block) = |mean flow of the foreground in a window as large as a usual object there| / usual speed there

A window of an object's size averages swinging legs with the body they belong to, and needs no clean outline: a
cyclist inside a group is still seen. Units are ratios to what is usual at that height of the picture: 1 is usual.
"""

import numpy as np
from scipy.ndimage import median_filter

from core.extract.objects import BLOCK, Objects
from core.extract.view import View

STEADY = 5  # frames of the running median in time: flow that errs for a frame or two is not speed
COLUMNS, ROWS = 12, 6  # cells of the picture that evidence is pooled in


def speed_ratio(found: Objects, view: View) -> np.ndarray:
    """(frames, rows, columns) speed of what moves there against the usual; 0 where nothing does."""
    field = found.field.astype(np.float32)
    rows, columns = field.shape[1:3]
    middle = (np.arange(rows) + 0.5) * BLOCK
    height = view.usual(view.height, middle)
    foot = middle + height / 2
    tall = np.maximum(1, np.round(0.75 * view.usual(view.height, foot) / BLOCK).astype(int))
    wide = np.maximum(1, np.round(view.usual(view.width, foot) / BLOCK).astype(int))
    sums = window_means(field[..., [0, 2, 3]], tall, wide)
    inside = sums[..., 0]
    length = np.hypot(sums[..., 1], sums[..., 2]) / np.maximum(inside, 1e-3)
    length[inside < 0.15] = 0
    ratio = length / np.maximum(view.usual(view.speed, foot), 1e-2)[None, :, None]
    ratio[:1] = 0
    return median_filter(ratio, size=(STEADY, 1, 1), mode="nearest")


def window_means(maps: np.ndarray, tall: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Mean of each (tall[r], wide[r]) window around every block, outside the picture counted as 0; maps (t, r, c, k)."""
    frames, rows, columns, kinds = maps.shape
    table = np.zeros((frames, rows + 1, columns + 1, kinds), np.float64)
    table[:, 1:, 1:] = maps.cumsum(1, dtype=np.float64).cumsum(2)
    means = np.empty_like(maps)
    column = np.arange(columns)
    for r in range(rows):
        top = max(0, r - (tall[r] - 1) // 2)
        bottom = min(rows, r + tall[r] // 2 + 1)
        left = np.maximum(0, column - (wide[r] - 1) // 2)
        right = np.minimum(columns, column + wide[r] // 2 + 1)
        total = table[:, bottom, right] - table[:, top, right] - table[:, bottom, left] + table[:, top, left]
        means[:, r] = total / (tall[r] * wide[r])
    return means


def pooled(evidence: np.ndarray) -> np.ndarray:
    """The highest evidence in each of ROWS x COLUMNS cells over some looks; (looks, rows, columns) -> (cells,).

    A block is shared between its neighbouring cells by distance, so that a step over a border changes little.
    """
    top = evidence.max(axis=0)
    rows, columns = top.shape
    down, across = _shares(rows, ROWS), _shares(columns, COLUMNS)
    spread = top[None, None] * down[:, None, :, None] * across[None, :, None, :]
    return spread.max(axis=(2, 3)).ravel()


def _shares(blocks: int, cells: int) -> np.ndarray:
    """(cells, blocks) triangle weights: 1 at a cell's centre, 0 at its neighbours' centres."""
    place = (np.arange(blocks) + 0.5) / blocks * cells - 0.5
    return np.clip(1 - np.abs(place[None] - np.arange(cells)[:, None]), 0, 1)

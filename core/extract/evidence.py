"""How unusual what moves is, and where: maps that motion and appearance features are pooled from.

    ratio(block) = |mean flow of the foreground in a window as large as a usual object there| / usual speed there

A window of an object's size averages swinging legs with the body they belong to, and needs no clean outline: a
cyclist inside a group is still seen. Units are ratios to what is usual at that height of the picture: 1 is usual.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from core.extract.objects import BLOCK, Objects
from core.extract.view import View

STEADY = 7  # looks that flow is averaged over, in one place: swinging legs and flow that errs for a moment even out
LEAST = 0.12  # share of a window that must be foreground
FAST = 2.0  # times the usual speed; strides and errors of flow reach 1.9 for moments
RARE = 0.01  # share of all headings below which one is unusual
COLUMNS, ROWS = 24, 8  # cells of the picture that evidence is pooled in
CELLS = COLUMNS * ROWS


def speed_ratio(found: Objects, view: View) -> np.ndarray:
    """(looks, rows, columns) speed of what moves there against the usual; 0 where nothing does."""
    sums, foot = windows(found, view)
    inside = sums[..., 0]
    length = np.hypot(sums[..., 2], sums[..., 3]) / np.maximum(inside, 1e-3)
    length[inside < LEAST] = 0
    length[:1] = 0  # the first look has no flow
    return length / np.maximum(view.usual(view.speed, foot), 1e-2)[None, :, None]


def texture_change(found: Objects, view: View) -> tuple[np.ndarray, np.ndarray]:
    """(looks, rows, columns) how much the texture of what moves changes, and each row's foot; 0 where nothing moves.

    sqrt(sum (grey now - grey before)^2 / sum |gradient|^2): grey levels a look over grey levels a pixel, so pixels a
    look. It knows nothing of optical flow: legs and wheels count too.
    """
    sums, foot = windows(found, view, tall=1.0, wide=1.5, steady=15)
    change = np.sqrt(np.maximum(sums[..., 4], 0) / np.maximum(sums[..., 5], 0.02))
    change[sums[..., 0] < 0.15] = 0
    change[:1] = 0
    return change, foot


def windows(
    found: Objects, view: View, tall: float = 0.75, wide: float = 1.0, steady: int = STEADY
) -> tuple[np.ndarray, np.ndarray]:
    """Means of `Objects.field` over windows of `tall` x `wide` usual objects and `steady` looks, and each row's foot."""
    field = found.field.astype(np.float64)
    middle = (np.arange(field.shape[1]) + 0.5) * BLOCK
    foot = middle + view.usual(view.height, middle) / 2
    rows = np.maximum(1, np.round(tall * view.usual(view.height, foot) / BLOCK).astype(int))
    columns = np.maximum(1, np.round(wide * view.usual(view.width, foot) / BLOCK).astype(int))
    return window_means(uniform_filter1d(field, steady, axis=0, mode="nearest"), rows, columns), foot


def window_means(maps: np.ndarray, tall: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Mean over a (tall[r], wide[r]) window around every block, 0 outside the picture; maps (looks, rows, columns, k)."""
    looks, rows, columns, kinds = maps.shape
    table = np.zeros((looks, rows + 1, columns + 1, kinds), np.float64)
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


def odd_heading(view: View, flow: np.ndarray) -> np.ndarray:
    """How unusual it is to go that way in this view, 0 to 3; flow (..., 2) -> (...). A direction counts with its neighbours."""
    share = view.heading + np.roll(view.heading, 1) + np.roll(view.heading, -1)
    surprise = np.clip(np.log(RARE / share), 0, 3)
    direction = np.round(np.arctan2(flow[..., 1], flow[..., 0]) / np.pi * 4).astype(int) % 8
    return surprise[direction]

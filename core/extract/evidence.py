"""How unusual what moves is, and where: maps that motion and appearance features are pooled from.

    speed ratio(block)    = |mean flow of the foreground| / usual speed there
    texture ratio(block)  = sqrt(sum (grey now - grey before)^2 / sum |gradient|^2) / usual there

Means are taken over a window as large as a usual object, which needs no clean outline (a cyclist inside a group is
still seen), and along the window's own path: at look t + k it is read k velocities further on. So swinging legs and
flow that errs for a moment even out, and speed is that of something that keeps moving. 1 is usual.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from core.extract.objects import BLOCK, Objects
from core.extract.view import View

STEADY = 5  # looks that are averaged in one place before anything is followed
REACH = 9  # looks before and after that a window is followed for
TALL, WIDE = 0.75, 1.0  # a window's size in usual objects
LEAST = 0.15  # share of a window that must be foreground
LONG, SPARE = 3.0, 0.6  # seconds; people pause for two at most
SLOW, FILLED = 0.3, 0.3  # times the usual speed; share of a window
FAST = 1.7  # times the usual speed; walkers stay below
RARE = 0.05  # share of all headings below which one is unusual
COLUMNS, ROWS = 24, 8  # cells of the picture that evidence is pooled in
CELLS = COLUMNS * ROWS


@dataclass(frozen=True)
class Moving:
    """Followed windows of a clip; arrays are (looks, rows, columns), 0 where nothing moves, `foot` is (rows,).

    speed    pixels a look; u, v its mean velocity
    change   grey levels a look over grey levels a pixel, so pixels a look too, but blind to what flow says
    foot     where an object whose middle is in that row stands
    """

    speed: np.ndarray
    u: np.ndarray
    v: np.ndarray
    change: np.ndarray
    foot: np.ndarray

    def speed_ratio(self, view: View) -> np.ndarray:
        return self.speed / np.maximum(view.usual(view.speed, self.foot), 1e-2)[None, :, None]

    def change_ratio(self, view: View) -> np.ndarray:
        return self.change / np.maximum(view.usual(view.change, self.foot), 1e-2)[None, :, None]


def follow(found: Objects, view: View) -> Moving:
    """Speed and change of texture of everything that moves, steadied along its own path."""
    sums, foot = windows(found, view)
    path = along(sums)
    nothing = (sums[..., 0] < LEAST) | (path[..., 0] < LEAST)
    nothing[:1] = True  # the first look has no flow
    inside = np.maximum(path[..., 0], 1e-3)
    u, v = (np.where(nothing, 0, path[..., k] / inside) for k in (2, 3))
    change = np.sqrt(np.maximum(path[..., 4], 0) / np.maximum(path[..., 5], 0.02))
    return Moving(np.hypot(u, v), u, v, np.where(nothing, 0, change), foot)


def windows(found: Objects, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Means of `Objects.field` over windows of a usual object's size and STEADY looks, and each row's foot."""
    field = found.field.astype(np.float64)
    middle = (np.arange(field.shape[1]) + 0.5) * BLOCK
    foot = middle + view.usual(view.height, middle) / 2
    rows = np.maximum(1, np.round(TALL * view.usual(view.height, foot) / BLOCK).astype(int))
    columns = np.maximum(1, np.round(WIDE * view.usual(view.width, foot) / BLOCK).astype(int))
    return window_means(uniform_filter1d(field, STEADY, axis=0, mode="nearest"), rows, columns), foot


def along(sums: np.ndarray) -> np.ndarray:
    """Each window averaged over up to 2 REACH + 1 looks along a straight path at its own velocity."""
    looks, rows, columns, _ = sums.shape
    maps = sums.astype(np.float32)
    inside = np.maximum(maps[..., 0], 1e-3)
    u, v = maps[..., 2] / inside / BLOCK, maps[..., 3] / inside / BLOCK
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    total = np.zeros_like(maps)
    for t in range(looks):
        steps = [k for k in range(-REACH, REACH + 1) if 1 <= t + k < looks]
        for k in steps:
            at = (x + u[t] * k, y + v[t] * k)
            for part in (slice(0, 4), slice(4, 6)):  # OpenCV takes up to four channels
                moved = cv2.remap(maps[t + k][..., part], *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
                total[t, ..., part] += moved
        total[t] /= max(len(steps), 1)
    return total


def window_means(maps: np.ndarray, tall: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Means over a (tall[r], wide[r]) window around every block, 0 outside the picture.

    maps    (looks, rows, columns, kinds), and so is the result
    """
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


def odd_heading(view: View, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How unusual it is in this view to move that way, 0 to 3; a direction counts together with its neighbours."""
    share = view.heading + np.roll(view.heading, 1) + np.roll(view.heading, -1)
    surprise = np.clip(np.log(RARE / share), 0, 3)
    return surprise[np.round(np.arctan2(v, u) / np.pi * 4).astype(int) % 8]


def lingering(found: Objects, view: View, looks_a_second: float) -> np.ndarray:
    """(looks, rows, columns), 0 to 3: something is there and hardly moves for longer than people pause.

    The share of LONG seconds in which a window is filled and slower than SLOW times the usual, less that window's
    share in the whole clip (a lamp post's shimmer stays); SPARE of it is usual. Far away, where people are less than
    half as tall as in front, walking hardly moves the picture, so nothing is said.
    """
    sums, foot = windows(found, view)
    speed = np.hypot(sums[..., 2], sums[..., 3]) / np.maximum(sums[..., 0], 1e-3)
    ratio = speed / np.maximum(view.usual(view.speed, foot), 1e-2)[None, :, None]
    tall = view.usual(view.height, foot)
    still = (sums[..., 0] > FILLED) & (ratio < SLOW) & (tall > tall.max() / 2)[None, :, None]
    share = uniform_filter1d(still.astype(np.float32), max(1, round(LONG * looks_a_second)), axis=0, mode="nearest")
    return np.clip((share - still.mean(axis=0) - SPARE) / (1 - SPARE) * 2, 0, 3)

"""What moves in a clip: foreground against the view's background, optical flow inside it, and tracks.

    foreground   |grey - background - median(grey - background)| > max(12, 5 sigma), opened, closed, in components
    flow         DIS optical flow (Kroeger et al., ECCV 2016) from the frame before, pixels a frame
    track        the same component from frame to frame: best overlap of boxes, the older one moved on by its flow

Everything is in pixels of a working picture of at most 100,000 pixels; heights of the picture are corrected for
later, in `calibrate.py`. Nothing here knows labels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from core.data.video import Picture

AREA = 100_000
BLOCK = 8
SAMPLES = 48


@dataclass(frozen=True)
class Objects:
    """One row per component and frame (n rows), and per frame a coarse field of the moving pixels.

    frame, track    whole numbers; `frame` counts the frames looked at, of which every `stride`-th of the clip is one;
                    tracks are numbered from 0 in order of appearance
    box             left, top, width, height
    centre          x, y of the component's pixels
    area            pixels
    flow            median u, v inside the component, pixels a look (0 in the first)
    speed           median and 90th percentile of the flow's length inside the component
    tone            mean difference to the background and spread of grey, 0..255
    field           per look and 8 x 8 block, means over the block with 0 outside the foreground: 1, length of the flow,
                    u, v, (change of grey from look to look)^2 / 100, (gradient of grey)^2 / 100
    size            width, height of the working picture
    stride          frames of the clip from one look to the next
    """

    frame: np.ndarray
    track: np.ndarray
    box: np.ndarray
    centre: np.ndarray
    area: np.ndarray
    flow: np.ndarray
    speed: np.ndarray
    tone: np.ndarray
    field: np.ndarray
    size: np.ndarray
    stride: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def looks(self) -> int:
        """How many frames were looked at."""
        return len(self.field)

    @property
    def foot(self) -> np.ndarray:
        """Where an object stands: the lower edge of its box."""
        return self.box[:, 1] + self.box[:, 3]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Objects":
        with np.load(path, allow_pickle=False) as values:
            return cls(**{f.name: values[f.name] for f in fields(cls)})


def working_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of the working picture.

    >>> working_size(240, 360), working_size(1080, 1920)
    ((360, 240), (420, 236))
    """
    scale = min(1.0, (AREA / (height * width)) ** 0.5)
    return max(16, int(width * scale) // 4 * 4), max(16, int(height * scale) // 4 * 4)


def grey(picture: Picture) -> np.ndarray:
    """The working picture: one channel, at most 100,000 pixels."""
    one = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    size = working_size(*one.shape)
    return one if size == one.shape[::-1] else cv2.resize(one, size, interpolation=cv2.INTER_AREA)


def stride(fps: float) -> int:
    """Frames from one look to the next: about ten looks a second, because a walker moves too little between two frames
    of a fast camera for flow to measure.

    >>> stride(10.0), stride(25.0), stride(30.0)
    (1, 2, 3)
    """
    return max(1, round(fps / 10))


class Still:
    """Up to 48 frames spread evenly over a clip of unknown length, and their median: the scene without what moves."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []
        self.every = 1
        self.seen = 0

    def add(self, frame: np.ndarray) -> None:
        if self.seen % self.every == 0:
            self.kept.append(frame)
            if len(self.kept) > SAMPLES:
                self.kept = self.kept[::2]
                self.every *= 2
        self.seen += 1

    def median(self) -> np.ndarray:
        return np.median(np.stack(self.kept), axis=0).astype(np.uint8)


def find(
    frames: Iterable[np.ndarray], background: np.ndarray, stride: int = 1, step: Callable[[int], None] | None = None
) -> Objects:
    """Every moving object of a clip; `frames` are its working pictures, already thinned to every `stride`-th.

    step    is told how many frames are done
    """
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    still = background.astype(np.float32)
    rows: list[tuple] = []
    field: list[np.ndarray] = []
    smallest = max(12.0, background.size * 0.0009)
    before: np.ndarray | None = None
    for index, now in enumerate(frames):
        if step is not None:
            step(index * stride)
        flow = np.zeros((*now.shape, 2), np.float32) if before is None else dis.calc(before, now, None)
        mask, change = foreground(now, still)
        gx, gy = cv2.Sobel(now, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(now, cv2.CV_32F, 0, 1, scale=1 / 8)
        field.append(_field(mask, flow, now if before is None else before, now, gx, gy))
        count, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for c in range(1, count):
            left, top, width, height, area = (int(n) for n in stats[c])
            if area < smallest:
                continue
            box = (slice(top, top + height), slice(left, left + width))
            inside = labels[box] == c
            q = flow[box][inside]
            lengths = np.hypot(q[:, 0], q[:, 1])
            rows.append(
                (index, left, top, width, height, *centres[c], area, *np.median(q, axis=0), np.median(lengths),
                 np.percentile(lengths, 90), change[box][inside].mean(), now[box][inside].std())
            )  # fmt: skip
        before = now
    table = np.array(rows, np.float32).reshape(len(rows), 14)
    return Objects(
        frame=table[:, 0].astype(np.int32),
        track=_tracks(table),
        box=table[:, 1:5],
        centre=table[:, 5:7],
        area=table[:, 7],
        flow=table[:, 8:10],
        speed=table[:, 10:12],
        tone=table[:, 12:14],
        field=np.array(field, np.float16),
        size=np.array(background.shape[::-1], np.int32),
        stride=np.array(stride, np.int32),
    )


def foreground(now: np.ndarray, still: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """0/1 mask of what differs from the background, and the difference; light that changes everywhere is taken out."""
    change = now.astype(np.float32) - still
    change -= np.median(change[::2, ::2])
    sigma = 1.4826 * float(np.median(np.abs(change[::2, ::2])))
    mask = (np.abs(change) > max(12.0, 5 * sigma)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 5), np.uint8)), change


def _field(
    mask: np.ndarray, flow: np.ndarray, before: np.ndarray, now: np.ndarray, gx: np.ndarray, gy: np.ndarray
) -> np.ndarray:
    """(rows, columns, 6) means over 8 x 8 blocks; see `Objects.field`."""
    inside = mask.astype(np.float32)
    u, v = flow[..., 0] * inside, flow[..., 1] * inside
    change = cv2.GaussianBlur(now.astype(np.float32) - before, (3, 3), 0) ** 2
    maps = np.stack([inside, np.hypot(u, v), u, v, inside * change / 100, inside * (gx**2 + gy**2) / 100], axis=-1)
    rows, columns = -(-mask.shape[0] // BLOCK), -(-mask.shape[1] // BLOCK)
    padded = np.zeros((rows * BLOCK, columns * BLOCK, maps.shape[-1]), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = maps
    return padded.reshape(rows, BLOCK, columns, BLOCK, -1).mean(axis=(1, 3))


def _tracks(table: np.ndarray) -> np.ndarray:
    """Track number of each row; a track may miss two frames."""
    track = np.full(len(table), -1, np.int32)
    open_rows: list[int] = []
    count = 0
    for index in np.unique(table[:, 0]).tolist():
        now = np.flatnonzero(table[:, 0] == index)
        open_rows = [r for r in open_rows if index - table[r, 0] <= 3]
        overlap = _overlap(table[open_rows], table[now], index)
        for old, new in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[old, new] > 0.1:
                track[now[new]] = track[open_rows[old]]
                open_rows[old] = int(now[new])
        for row in now:
            if track[row] < 0:
                track[row], count = count, count + 1
                open_rows.append(int(row))
    return track


def _overlap(old: np.ndarray, new: np.ndarray, index: float) -> np.ndarray:
    """Intersection over union of boxes, the old ones moved on by their flow."""
    moved = old[:, 1:3] + old[:, 8:10] * (index - old[:, :1])
    low = np.maximum(moved[:, None], new[None, :, 1:3])
    high = np.minimum((moved + old[:, 3:5])[:, None], (new[:, 1:3] + new[:, 3:5])[None])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = old[:, 3:5].prod(axis=-1)[:, None] + new[:, 3:5].prod(axis=-1)[None] - common
    return common / np.maximum(union, 1e-6)

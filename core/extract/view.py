"""A camera view: its background, and what is usual in it.

    usual(y) = a + b * y        y: where an object stands in the picture (its lower edge)

for walking speed, height and width: on flat ground these are straight lines. A speed ratio of 2 then means twice the
usual speed at that distance, near or far. `calibrate.py` learns the lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import cv2
import numpy as np


@dataclass(frozen=True)
class View:
    """One camera position.

    background      grey working picture without anything that moves
    speed           a, b of usual speed, pixels a look
    change          a, b of the usual change of a moving object's texture, pixels a look (see `evidence.Moving`)
    height, width   a, b of the usual box, pixels
    heading         share of 8 directions of movement, from right clockwise, summing to 1
    rows            objects that this was learned from; 0 means nothing was and these are defaults
    """

    background: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    change: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    height: np.ndarray = field(default_factory=lambda: np.array([30.0, 0.0]))
    width: np.ndarray = field(default_factory=lambda: np.array([14.0, 0.0]))
    heading: np.ndarray = field(default_factory=lambda: np.full(8, 1 / 8))
    rows: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.background.shape  # type: ignore[return-value]

    def usual(self, line: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The straight line, kept within half and twice its value at two thirds of the picture."""
        middle = line[0] + line[1] * self.shape[0] * 2 / 3
        return np.clip(line[0] + line[1] * y, middle / 2, middle * 2)

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_arrays(cls, values: dict[str, np.ndarray]) -> "View":
        rows = int(values["rows"].ravel()[0])
        return cls(rows=rows, **{name: value for name, value in values.items() if name != "rows"})


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two backgrounds show one view: at most a tenth of the pixels differ by more than 20 grey levels."""
    if a.shape != b.shape:
        return False
    change = cv2.blur(a, (5, 5)).astype(np.float32) - cv2.blur(b, (5, 5))
    return float((np.abs(change - np.median(change)) > 20).mean()) < 0.1


def group(backgrounds: Sequence[np.ndarray]) -> list[int]:
    """Number of the view of each clip; the first clip of a view stands for it.

    >>> dark, light = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    >>> light[:16] = 200
    >>> group([dark, light, dark])
    [0, 1, 0]
    """
    views: list[np.ndarray] = []
    numbers = []
    for background in backgrounds:
        match = next((i for i, other in enumerate(views) if same(background, other)), None)
        if match is None:
            match = len(views)
            views.append(background)
        numbers.append(match)
    return numbers


def together(backgrounds: Sequence[np.ndarray]) -> np.ndarray:
    """One background of several clips of a view: what lingers in one clip is gone in the others."""
    first = np.median(backgrounds[0])
    level = [b.astype(np.float32) - np.median(b) + first for b in backgrounds]
    return np.clip(np.median(level, axis=0), 0, 255).astype(np.uint8)

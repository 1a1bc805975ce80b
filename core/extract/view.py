"""A camera view and what is usual in it, learned without labels.

    usual(y) = a + b * y        y: where an object stands in the picture (its lower edge)

for walking speed, height and width: ground that is flat gives straight lines, and least absolute deviations keep a
few cyclists from moving them. A speed ratio of 2 then means twice the usual speed at that distance, near or far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import cv2
import numpy as np

from core.extract.objects import Objects

ENOUGH = 200  # object rows below which a straight line is not trusted and a constant is used
FEW = 20  # object rows below which even that is not


@dataclass(frozen=True)
class View:
    """One camera position.

    background   grey working picture without anything that moves
    speed        a, b of usual speed, pixels a frame; height, width: a, b of the usual box, pixels
    gradients    mean and spread of the objects' edge directions, (2, 16); silhouette: the same, (2, 64)
    heading      share of 8 directions of movement, summing to 1
    rows         objects that this was learned from
    """

    background: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    height: np.ndarray = field(default_factory=lambda: np.array([30.0, 0.0]))
    width: np.ndarray = field(default_factory=lambda: np.array([14.0, 0.0]))
    gradients: np.ndarray = field(default_factory=lambda: np.stack([np.full(16, 1 / 16), np.full(16, 0.02)]))
    silhouette: np.ndarray = field(default_factory=lambda: np.stack([np.full(64, 0.5), np.full(64, 0.3)]))
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
        return cls(**{**values, "rows": int(values["rows"])})


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


def learn(view: View, found: Sequence[Objects]) -> View:
    """The view with what is usual among these clips' objects; with few objects a constant, with none the default."""
    moving = [o.frame > 0 for o in found]
    foot = np.concatenate([o.foot[m] for o, m in zip(found, moving, strict=True)])
    if len(foot) < FEW:
        return replace(view, rows=len(foot))

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(o, name)[m].astype(np.float64) for o, m in zip(found, moving, strict=True)])

    box, speed, flow = all_of("box"), all_of("speed")[:, 0], all_of("flow")
    line = _line if len(foot) >= ENOUGH else _constant
    angle = np.arctan2(flow[:, 1], flow[:, 0])
    fast = speed > 0.5 * np.median(speed)
    heading = np.bincount((np.round(angle[fast] / np.pi * 4) % 8).astype(int), minlength=8) + 1.0
    gradients, silhouette = all_of("gradients"), all_of("silhouette")
    return replace(
        view,
        speed=np.maximum(line(foot, speed), [1e-2, -np.inf]),
        height=line(foot, box[:, 3]),
        width=line(foot, box[:, 2]),
        gradients=np.stack([np.median(gradients, 0), _spread(gradients)]),
        silhouette=np.stack([np.median(silhouette, 0), _spread(silhouette)]),
        heading=heading / heading.sum(),
        rows=len(foot),
    )


def _line(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least absolute deviations by reweighted least squares."""
    design = np.stack([np.ones(len(y)), y], axis=1)
    floor = 0.02 * max(float(np.median(values)), 1e-6)
    weight = np.ones(len(y))
    line = np.zeros(2)
    for _ in range(50):
        root = np.sqrt(weight)
        line = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        weight = 1 / np.maximum(np.abs(values - design @ line), floor)
    return line


def _constant(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.array([np.median(values), 0.0])


def _spread(values: np.ndarray) -> np.ndarray:
    """1.4826 x median absolute deviation, at least 0.01."""
    return np.maximum(1.4826 * np.median(np.abs(values - np.median(values, 0)), 0), 0.01)

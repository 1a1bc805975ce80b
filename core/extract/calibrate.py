"""What is usual in a view, learned from its moving objects without labels.

Quantile regression, so that a few cyclists among the walkers do not move the lines.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from core.extract.evidence import follow
from core.extract.objects import Objects
from core.extract.view import View

ENOUGH = 200  # objects (one a look) below which a straight line is not trusted and a constant is used
FEW = 20  # below which even that is not
SAMPLES = 20_000
Line = Callable[..., np.ndarray]
SINGLE = 0.3  # quantile that stands for one person's box: people who overlap make larger boxes, never smaller


def learn(view: View, found: Sequence[Objects]) -> View:
    """The view with what is usual among these clips' objects; from few a constant, from none the default."""
    moving = [o.frame > 0 for o in found]
    foot = np.concatenate([o.foot[m] for o, m in zip(found, moving, strict=True)])
    if len(foot) < FEW:
        return replace(view, rows=len(foot))

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(o, name)[m].astype(np.float64) for o, m in zip(found, moving, strict=True)])

    box, speed, flow = all_of("box"), all_of("speed")[:, 0], all_of("flow")
    line = fit_line if len(foot) >= ENOUGH else fit_constant
    angle = np.arctan2(flow[:, 1], flow[:, 0])
    walking = speed > 0.5 * np.median(speed)
    heading = np.bincount((np.round(angle[walking] / np.pi * 4) % 8).astype(int), minlength=8) + 1.0
    sized = replace(
        view,
        speed=line(foot, speed),
        height=line(foot, box[:, 3], SINGLE),
        width=line(foot, box[:, 2], SINGLE),
        heading=heading / heading.sum(),
        rows=len(foot),
    )
    return replace(sized, change=_change(sized, found, line))


def _change(view: View, found: Sequence[Objects], line: Line) -> np.ndarray:
    """The line of usual texture change, over a sample of all windows with something in them."""
    places, values = [], []
    for o in found:
        moving = follow(o, view)
        look, row, column = np.nonzero(moving.change > 0)
        every = max(1, len(look) * len(found) // SAMPLES)
        places.append(moving.foot[row[::every]])
        values.append(moving.change[look[::every], row[::every], column[::every]])
    changes = np.concatenate(values)
    return line(np.concatenate(places), changes) if len(changes) >= FEW else view.speed


def fit_line(y: np.ndarray, values: np.ndarray, quantile: float = 0.5) -> np.ndarray:
    """a, b of the line below which this share of the values lies (quantile regression, by reweighted least squares)."""
    design = np.stack([np.ones(len(y)), y], axis=1)
    floor = 0.02 * max(float(np.median(values)), 1e-6)
    weight = np.ones(len(y))
    line = np.zeros(2)
    for _ in range(50):
        root = np.sqrt(weight)
        line = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        miss = values - design @ line
        weight = np.where(miss > 0, quantile, 1 - quantile) / np.maximum(np.abs(miss), floor)
    return line


def fit_constant(y: np.ndarray, values: np.ndarray, quantile: float = 0.5) -> np.ndarray:
    return np.array([np.quantile(values, quantile), 0.0])

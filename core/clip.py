"""A clip: the one thing every data source produces and every fusion reads."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Intervals = tuple[tuple[int, int], ...]
MODALITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # a field in weights' names and in links
HUGE = 1e15  # squares of larger values overflow float32


class Stored:
    """A clip's features that stay on disk: every look at one of them reads it, and nothing is held.

    Reads like the mapping it stands for, but is none by its type: what checks a mapping's type looks at a value.

    read     modality -> its rows, checked as any that come in; a `ValueError` says what is wrong with them
    shapes   modality -> the shape that `read` gives: widths and units are known without reading
    """

    __slots__ = ("read", "shapes")

    def __init__(self, read: Callable[[str], Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.read, self.shapes = read, shapes

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.shapes:
            raise KeyError(name)
        return self.read(name)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def keys(self) -> Iterable[str]:
        return self.shapes.keys()

    def values(self) -> Iterator[Tensor]:
        return (self.read(name) for name in self.shapes)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.read(name)) for name in self.shapes)


@dataclass(frozen=True)
class Clip:
    """One video cut into equal units, described by several modalities.

    features    modality name -> one feature row per unit, float32 `(units, width)`, or
                `(crops, units, width)`; row i of every modality is the same moment. Of large sets they are `Stored`
    labels      True where the unit is anomalous; None when nobody labelled the units
    seconds     length of one unit
    frames      frames in the video; None when unknown (then `units * frames_per_unit`)
    truth       half-open frame intervals that are anomalous, 0-based; None when unknown
    anomalous   the clip's own label, which weak supervision trains on; None when unknown
    kinds       names of the anomalies in the clip, one per interval of `truth` where known
    video       a file to play, or None
    """

    name: str
    features: Mapping[str, Float[Tensor, "*crops units _"]] | Stored
    labels: Bool[Tensor, " units"] | None
    seconds: float
    frames: int | None = None
    truth: Intervals | None = None
    anomalous: bool | None = None
    kinds: tuple[str, ...] = ()
    video: Path | None = None
    frames_per_unit: int = 16
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError(f"clip {self.name!r} has no modalities")
        if not self.seconds > 0:
            raise ValueError(f"clip {self.name!r}: seconds per unit must be positive, got {self.seconds}")
        shapes = self.shapes
        lengths = {name: shape[-2] for name, shape in shapes.items()}
        if self.labels is not None:
            lengths["labels"] = self.labels.shape[0]
        if len(set(lengths.values())) > 1:
            raise ValueError(f"clip {self.name!r}: unit counts differ: {lengths}")
        if self.units == 0:
            raise ValueError(f"clip {self.name!r} has no units")
        for name, shape in shapes.items():
            if not MODALITY.fullmatch(name):
                raise ValueError(f"clip {self.name!r}: {name!r} is no modality name; use letters, digits, - and _")
            if shape[-1] == 0:
                raise ValueError(f"clip {self.name!r}: modality {name!r} has rows of width 0")
            if isinstance(self.features, Stored):
                continue  # looked at as they are read
            rows = self.features[name]
            top = float(rows.abs().amax())
            if not math.isfinite(top):
                bad = ~rows.isfinite()
                units = sorted(set(bad.nonzero()[:, -2].tolist()))
                shown = ", ".join(map(str, units[:5])) + (", …" if len(units) > 5 else "")
                raise ValueError(
                    f"clip {self.name!r}: modality {name!r} has {int(bad.sum())} NaN or infinite values, "
                    f"in units {shown}"
                )
            if top > HUGE:
                raise ValueError(
                    f"clip {self.name!r}: modality {name!r} has values up to {top:.1e}; scale them below {HUGE:.0e}"
                )
        if self.anomalous is None and self.labels is not None:
            object.__setattr__(self, "anomalous", bool(self.labels.any()))

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Modality -> shape of its rows."""
        if isinstance(self.features, Stored):
            return self.features.shapes
        return {name: tuple(rows.shape) for name, rows in self.features.items()}

    @property
    def units(self) -> int:
        return next(iter(self.shapes.values()))[-2]

    @property
    def widths(self) -> dict[str, int]:
        return {name: shape[-1] for name, shape in self.shapes.items()}

    @property
    def duration(self) -> float:
        """Seconds of video; the last unit may be cut short by the last frame."""
        per_frame = self.seconds / self.frames_per_unit
        return (self.frames if self.frames is not None else self.units * self.frames_per_unit) * per_frame

    def keep(self, modalities: tuple[str, ...]) -> "Clip":
        """The same clip with only these modalities, in this order."""
        missing = [name for name in modalities if name not in self.features]
        if missing:
            raise ValueError(f"clip {self.name!r} has no modality {missing[0]!r}; it has {sorted(self.features)}")
        return replace(self, features={name: self.features[name] for name in modalities})


def unit_labels(truth: Intervals, units: int, frames_per_unit: int = 16) -> Bool[Tensor, " units"]:
    """A unit is anomalous when any of its frames is (the rule of the field's published unit labels).

    >>> unit_labels(((15, 17),), 3).tolist()
    [True, True, False]
    """
    labels = torch.zeros(units, dtype=torch.bool)
    for start, stop in truth:
        labels[start // frames_per_unit : -(-stop // frames_per_unit)] = True
    return labels


def frame_labels(truth: Intervals, frames: int) -> Bool[Tensor, " frames"]:
    """One label a frame from half-open intervals; what reaches past the last frame is cut."""
    labels = torch.zeros(frames, dtype=torch.bool)
    for start, stop in truth:
        labels[max(start, 0) : stop] = True
    return labels


def intervals(labels: Bool[Tensor, " n"]) -> Intervals:
    """Half-open ranges where labels is True.

    >>> intervals(torch.tensor([False, True, True, False, True]))
    ((1, 3), (4, 5))
    """
    edges = torch.nn.functional.pad(labels.int(), (1, 1)).diff().nonzero().flatten().tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))

"""What an extractor is: one clip's moving objects, view and pictures in, one row per unit out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from core.data.video import Picture
from core.extract.evidence import Moving, follow
from core.extract.objects import Objects
from core.extract.view import View


@dataclass(frozen=True)
class Seen:
    """Everything an extractor may look at. `frames` counts the clip's frames; a unit is `per_unit` of them."""

    name: str
    objects: Objects
    view: View
    frames: int
    fps: float
    per_unit: int
    pictures: Callable[[], Iterator[Picture]]

    @property
    def units(self) -> int:
        """The last unit may be short.

        >>> -(-33 // 16)
        3
        """
        return -(-self.frames // self.per_unit)

    @cached_property
    def moving(self) -> Moving:
        """What moves, followed along its path; made once for all extractors."""
        return follow(self.objects, self.view)

    @property
    def unit_of_look(self) -> np.ndarray:
        """The unit that each looked-at frame belongs to."""
        return np.minimum(np.arange(self.objects.looks) * int(self.objects.stride) // self.per_unit, self.units - 1)

    def in_unit(self, unit: int) -> slice:
        """The looked-at frames of a unit; at least one, the nearest, when none falls into it."""
        units = self.unit_of_look
        first = int(np.searchsorted(units, unit, side="left"))
        last = int(np.searchsorted(units, unit, side="right"))
        if first == last:
            first = min(first, len(units) - 1)
            last = first + 1
        return slice(first, last)


@dataclass(frozen=True)
class Caption:
    """A sentence about frames start .. stop (half-open)."""

    start: int
    stop: int
    text: str


@dataclass(frozen=True)
class Described:
    """rows: float32 (units, width); captions only from extractors that write sentences."""

    rows: np.ndarray
    captions: tuple[Caption, ...] = ()


@runtime_checkable
class Extractor(Protocol):
    """Features of one modality. `words` says in a sentence what they are; `settings` is kept in the dataset."""

    @property
    def words(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    def __call__(self, seen: Seen) -> Described: ...


@dataclass(frozen=True)
class Plain:
    """An extractor that is a function."""

    words: str
    describe: Callable[[Seen], Described]
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, seen: Seen) -> Described:
        return self.describe(seen)

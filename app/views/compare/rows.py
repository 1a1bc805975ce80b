"""The rows that runs are compared on: samples, or the units of clips one after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from app.figures.marks import class_of
from core.clip import Clip
from core.sample import Part


@dataclass(frozen=True)
class Rows:
    """Of samples their `part`, of clips None: their features may be too many to be read together."""

    clips: Sequence[Clip]
    part: Part | None = None

    @cached_property
    def ends(self) -> np.ndarray:
        """How many units there are up to the end of every clip."""
        return np.cumsum([clip.units for clip in self.clips])

    def unit(self, row: int) -> tuple[Clip, int]:
        """The clip of a row and its unit there."""
        at = int(np.searchsorted(self.ends, row, "right"))
        return self.clips[at], int(row - (self.ends[at - 1] if at else 0))

    def words(self, row: int) -> tuple[str, str]:
        """(name and moment, truth) of a row; the name is hostile text."""
        if self.part is not None:
            return self.part.names[row], class_of(self.part, row)
        clip, unit = self.unit(row)
        truth = "?" if clip.labels is None else "anomaly" if bool(clip.labels[unit]) else "normal"
        return f"{clip.name}, {unit * clip.seconds:.2f} s", truth

    def link(self, row: int) -> dict[str, Any]:
        """What to put so that this row is the chosen one."""
        if self.part is not None:
            return {"sample": row}
        clip, unit = self.unit(row)
        return {"clip": clip.name, "time": round(unit * clip.seconds, 2)}

    def row(self, name: str, unit: int) -> int | None:
        """The row of a clip's unit; None where the clip is not among them."""
        at = next((at for at, clip in enumerate(self.clips) if clip.name == name), None)
        return None if at is None else int(self.ends[at]) - self.clips[at].units + unit

"""Changes to an operator A by hand, as one short line of text, so that a link or a command can hold them.

1,2=0.5     entry A[1, 2] is 0.5 (one index a modality)
0<2         powers above 2 of the first modality are switched off
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

Entry = tuple[int, ...]
_ENTRY = re.compile(r"(\d{1,3}(?:,\d{1,3})*)=(-?\d{1,6}(?:\.\d{1,6})?)")
_TOP = re.compile(r"(\d{1,3})<(\d{1,3})")


@dataclass(frozen=True)
class Changes:
    """entries: entry of A -> the weight it has instead. tops: axis -> highest power that is still used."""

    entries: Mapping[Entry, float] = field(default_factory=dict)
    tops: Mapping[int, int] = field(default_factory=dict)

    @staticmethod
    def read(text: str | None, shape: Sequence[int]) -> "Changes":
        """What of the line fits an operator of this shape; the rest of a bad link is passed over.

        >>> Changes.read("1,2=0.5 0<1 9,9=1 <script>", (4, 4))
        Changes(entries={(1, 2): 0.5}, tops={0: 1})
        """
        entries: dict[Entry, float] = {}
        tops: dict[int, int] = {}
        for word in (text or "")[:4000].split():
            if found := _ENTRY.fullmatch(word):
                entry = tuple(int(part) for part in found[1].split(","))
                if len(entry) == len(shape) and all(at < size for at, size in zip(entry, shape, strict=True)):
                    entries[entry] = float(found[2])
            elif found := _TOP.fullmatch(word):
                axis, top = int(found[1]), int(found[2])
                if axis < len(shape) and top < shape[axis] - 1:
                    tops[axis] = top
        return Changes(entries, tops)

    def __str__(self) -> str:
        """The line again; equal changes give equal lines.

        >>> str(Changes({(1, 2): 0.5, (0, 1): 0.0}, {0: 2}))
        '0<2 0,1=0 1,2=0.5'
        """
        words = [f"{axis}<{top}" for axis, top in sorted(self.tops.items())]
        words += [
            f"{','.join(map(str, entry))}={round(value, 6):.6f}".rstrip("0").rstrip(".")
            for entry, value in sorted(self.entries.items())
            if math.isfinite(value)
        ]
        return " ".join(words)

    def with_entry(self, entry: Entry, value: float | None) -> "Changes":
        """The same with one entry changed, or, with None, as it was trained."""
        kept = {at: weight for at, weight in self.entries.items() if at != entry}
        return Changes(kept if value is None else kept | {entry: value}, self.tops)

    def with_top(self, axis: int, top: int | None) -> "Changes":
        """The same with one modality's highest power changed, or, with None, all of them used."""
        kept = {at: power for at, power in self.tops.items() if at != axis}
        return Changes(self.entries, kept if top is None else kept | {axis: top})

    def applied(self, A: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """A with these entries instead of its own, and without the powers above `tops`; A itself stays as it is.

        >>> import torch
        >>> Changes({(0, 1): 0.5}, {0: 0}).applied(torch.ones(2, 2))
        tensor([[1.0000, 0.5000],
                [0.0000, 0.0000]])
        """
        A = A.detach().clone()
        for entry, value in self.entries.items():
            A[entry] = value
        for axis, top in self.tops.items():
            A.narrow(axis, top + 1, A.shape[axis] - top - 1).zero_()
        return A

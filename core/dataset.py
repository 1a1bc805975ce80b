"""A dataset: named clips, and named ways to split them. Data are clips or samples, and answer alike:

data.task                   what is asked of a fusion
data.part("test")           rows: `Clips`, or a `Part` of samples
data.shown()                the rows that every page and command looks at
rows.keep(("text",))        the same with some modalities
rows.flat()                 a `Part`: every unit of clips is a row like a sample
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from core.clip import Clip, Stored
from core.sample import UNITS, Divided, Part, Samples, Task

Split = Mapping[str, tuple[str, ...]]  # "train" | "test" -> clip names


class Clips(tuple[Clip, ...]):
    """Clips that belong together, in order: what a part of a dataset holds."""

    __slots__ = ()
    task = UNITS

    @property
    def crops(self) -> int:
        """The most crops that any modality of any clip has, without reading features."""
        return max((shape[0] for clip in self for shape in clip.shapes.values() if len(shape) == 3), default=1)

    @property
    def judged(self) -> int:
        """How many clips have labels to be judged against."""
        return sum(clip.labels is not None for clip in self)

    def keep(self, modalities: Sequence[str]) -> "Clips":
        """The same clips with only these modalities, in this order."""
        return Clips(clip.keep(tuple(modalities)) for clip in self)

    def flat(self) -> Part:
        """Every unit a row with its label as class, the clips one after another; target None as soon as one has none.

        Errors: `ValueError` when there are no clips.
        """
        if not self:
            raise ValueError("the part holds no clips")
        labels = [clip.labels for clip in self]
        return Part(
            {name: torch.cat([rows_of_clip(clip, name) for clip in self]) for name in self[0].features},
            torch.cat([found.long() for found in labels if found is not None]) if None not in labels else None,
            UNITS,
            tuple(f"{clip.name} · unit {unit}" for clip in self for unit in range(clip.units)),
            tuple((clip.name, unit) for clip in self for unit in range(clip.units)),
        )


def rows_of_clip(clip: Clip, modality: str) -> Float[Tensor, "units _"]:
    """A clip's rows of one modality, the mean over its crops where it has some."""
    rows = clip.features[modality]
    return rows if rows.ndim == 2 else rows.mean(0)


@dataclass(frozen=True)
class Dataset(Divided):
    """Clips with the same modalities.

    splits      protocol name -> {"train": clip names, "test": clip names}; the first is the default
    extractors  modality -> what made its features, in words
    simulated   True when our own simulator rendered the videos; shown wherever the data is
    notes       what the reader cut, mapped or could not use, in sentences for the user
    """

    name: str
    clips: Mapping[str, Clip]
    splits: Mapping[str, Split]
    fps: float
    frames_per_unit: int = 16
    extractors: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    simulated: bool = False
    root: Path | None = None
    notes: tuple[str, ...] = ()
    kind = "dataset"

    def __post_init__(self) -> None:
        if not self.clips:
            raise ValueError(f"dataset {self.name!r} holds no clips")
        first = next(iter(self.clips.values()))
        for clip in self.clips.values():
            if clip.widths != first.widths:
                raise ValueError(
                    f"dataset {self.name!r}: clip {clip.name!r} has widths {clip.widths}, "
                    f"but {first.name!r} has {first.widths}"
                )
        for protocol, parts in self.splits.items():
            for part, names in parts.items():
                unknown = [name for name in names if name not in self.clips]
                if unknown:
                    raise ValueError(
                        f"dataset {self.name!r}: split {protocol!r}/{part} names {len(unknown)} unknown clips, "
                        f"first {unknown[0]!r}"
                    )

    @property
    def widths(self) -> dict[str, int]:
        return next(iter(self.clips.values())).widths

    @property
    def task(self) -> Task:
        return UNITS

    @property
    def everyone(self) -> Sequence[str]:
        return tuple(self.clips)

    def shown(self, protocol: str | None = None) -> Clips:
        """The clips that are looked at."""
        return self.part(self.looked_at(protocol), protocol)

    def part(self, part: str, protocol: str | None = None) -> Clips:
        """The clips of `train` or `test`; every clip for `all`, or when the dataset names no split."""
        return Clips(self.clips[name] for name in self.members(part, protocol))

    @cached_property
    def _digest(self) -> str:
        return fingerprint((self.clips[name] for name in sorted(self.clips)), self.splits)

    def known(self, digest: str) -> "Dataset":
        """The dataset itself, once its digest is known from an earlier reading of the very same files."""
        vars(self)["_digest"] = digest
        return self

    @property
    def on_disk(self) -> bool:
        return isinstance(next(iter(self.clips.values())).features, Stored)


Data = Dataset | Samples
Rows = Clips | Part


def fingerprint(clips: Iterable[Clip], splits: Mapping[str, Split]) -> str:
    """SHA-256 over clips in the order of their names, one at a time, and the splits."""
    total = hashlib.sha256()
    for clip in clips:
        total.update(clip.name.encode())
        for modality in sorted(clip.features):
            rows = clip.features[modality].contiguous()
            total.update(f"{modality}{tuple(rows.shape)}".encode())
            total.update(rows.numpy().tobytes())
        total.update(repr(clip.truth).encode())
        total.update(b"?" if clip.labels is None else clip.labels.numpy().tobytes())
    total.update(repr({p: {k: list(v) for k, v in s.items()} for p, s in splits.items()}).encode())
    return total.hexdigest()

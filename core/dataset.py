"""A dataset: named clips, and named ways to split them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from core.clip import Clip, Stored

Split = Mapping[str, tuple[str, ...]]  # "train" | "test" -> clip names


@dataclass(frozen=True)
class Dataset:
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
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.widths)

    def part(self, part: str, protocol: str | None = None) -> tuple[Clip, ...]:
        """The clips of `train` or `test`; every clip when the dataset names no split."""
        if not self.splits:
            return tuple(self.clips.values())
        if protocol is None:
            protocol = next(iter(self.splits))
        if protocol not in self.splits:
            raise ValueError(f"dataset {self.name!r} has no split {protocol!r}; it has {', '.join(self.splits)}")
        parts = self.splits[protocol]
        if part not in parts:
            known = ", ".join(parts)
            raise ValueError(f"dataset {self.name!r}: split {protocol!r} has no part {part!r}; it has {known}")
        return tuple(self.clips[name] for name in parts[part])

    def digest(self) -> str:
        """SHA-256 over names, features, labels and splits: the data's fingerprint in every run made from it."""
        return self._digest  # computed once: a clip never changes

    @cached_property
    def _digest(self) -> str:
        return fingerprint((self.clips[name] for name in sorted(self.clips)), self.splits)

    def known(self, digest: str) -> "Dataset":
        """The dataset itself, once its digest is known from an earlier reading of the very same files."""
        vars(self)["_digest"] = digest
        return self

    @property
    def on_disk(self) -> bool:
        """True when the features are read only as they are asked for."""
        return isinstance(next(iter(self.clips.values())).features, Stored)


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

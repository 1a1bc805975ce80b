"""Samples: one vector per modality and a target each; and Task, what a fusion is asked for.

A sample set of n samples looks to a fusion like a clip of n units, so vector methods read both with the same code.
`part_of` makes such rows of either: of a sample set its samples, of a data set of clips its units.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.clip import HUGE, MODALITY, Clip
from core.dataset import Dataset

MOST_NAMES = 10_000  # classes or targets


@dataclass(frozen=True)
class Task:
    """What is asked of a fusion, and of how many outputs.

    units   one output a unit of a clip, its logit of being anomalous
    class   one logit a class
    real    one real value a target
    """

    kind: Literal["units", "class", "real"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if self.kind not in ("units", "class", "real"):
            raise ValueError(f"a task is units, class or real, not {self.kind!r}")
        if self.kind == "class" and len(self.names) < 2:
            raise ValueError(f"telling classes apart needs two or more, got {list(self.names)}")
        if not 1 <= len(self.names) <= MOST_NAMES:
            raise ValueError(f"a task has 1 to {MOST_NAMES} outputs, got {len(self.names)}")
        if len(set(self.names)) < len(self.names):
            raise ValueError("two outputs of the task have the same name")

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def metric(self) -> str:
        """The number that methods are compared by, higher is better: a key of a run's metrics."""
        return {"units": "auc", "class": "accuracy", "real": "correlation"}[self.kind]


UNITS = Task("units", ("anomalous",))
METRIC_WORDS = {"auc": "unit AUC", "accuracy": "accuracy", "correlation": "correlation"}

Target = Int[Tensor, " samples"] | Float[Tensor, "samples outputs"]


@dataclass(frozen=True)
class Part:
    """Rows that belong together, in order: samples, or the units of clips one after another.

    features    modality -> float32 `(samples, width)`
    target      class index int64 `(samples,)`; real values float32 `(samples, outputs)`; of clips the unit label 0 / 1;
                None when nobody knows
    names       what to call each row; may be hostile text
    places      (clip, unit) of each row, ("", index in the sample set) for samples
    """

    features: Mapping[str, Float[Tensor, "samples _"]]
    target: Target | None
    task: Task
    names: tuple[str, ...]
    places: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the target's numbers mean; empty for real targets."""
        return ("normal", "anomalous") if self.task.kind == "units" else self.task.names * (self.task.kind == "class")

    def take(self, index: Int[Tensor, " k"]) -> "Part":
        """Some of the rows."""
        chosen = index.tolist()
        return Part(
            {name: rows[index] for name, rows in self.features.items()},
            None if self.target is None else self.target[index],
            self.task,
            tuple(self.names[i] for i in chosen),
            tuple(self.places[i] for i in chosen),
        )


@dataclass(frozen=True)
class Samples:
    """A data set of vectors.

    features    modality -> float32 `(samples, width)`
    target      class index int64 `(samples,)` or real values float32 `(samples, outputs)`, as the task says
    splits      protocol name -> {"train": rows, "test": rows}, int64; the first is the default
    names       what to call each sample; () for their numbers
    pictures    modality -> (height, width) where its vector is a picture, row by row
    extractors, licence, simulated, root, notes     as in `Dataset`
    """

    name: str
    features: Mapping[str, Float[Tensor, "_ _"]]  # the door itself compares counts, and says which differ
    target: Tensor
    task: Task
    splits: Mapping[str, Mapping[str, Int[Tensor, " _"]]]
    names: tuple[str, ...] = ()
    pictures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    extractors: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    simulated: bool = False
    root: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.features:
            raise ValueError(f"sample set {self.name!r} has no modalities")
        lengths = {name: len(rows) for name, rows in self.features.items()} | {"target": len(self.target)}
        if self.names:
            lengths["names"] = len(self.names)
        if len(set(lengths.values())) > 1:
            raise ValueError(f"sample set {self.name!r}: sample counts differ: {lengths}")
        if not len(self.target):
            raise ValueError(f"sample set {self.name!r} holds no samples")
        for name, rows in self.features.items():
            if not MODALITY.fullmatch(name):
                raise ValueError(
                    f"sample set {self.name!r}: {name!r} is no modality name; use letters, digits, - and _"
                )
            if rows.shape[1] == 0:
                raise ValueError(f"sample set {self.name!r}: modality {name!r} has rows of width 0")
            self._refuse_bad_numbers(f"modality {name!r}", rows)
            height, width = self.pictures.get(name, (1, rows.shape[1]))
            if height * width != rows.shape[1]:
                raise ValueError(
                    f"sample set {self.name!r}: modality {name!r} has width {rows.shape[1]}, "
                    f"which is no picture of {height} x {width}"
                )
        self._check_target()
        for protocol, parts in self.splits.items():
            for part, index in parts.items():
                if len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(self.target)):
                    raise ValueError(
                        f"sample set {self.name!r}: split {protocol!r}/{part} names samples "
                        f"{int(index.min())} to {int(index.max())}, there are {len(self.target)}"
                    )

    def _refuse_bad_numbers(self, what: str, rows: Tensor) -> None:
        bad = ~rows.isfinite()
        if bad.any():
            first = sorted(set(bad.nonzero()[:, 0].tolist()))
            shown = ", ".join(map(str, first[:5])) + (", …" if len(first) > 5 else "")
            raise ValueError(
                f"sample set {self.name!r}: {what} has {int(bad.sum())} NaN or infinite values, in samples {shown}"
            )
        if rows.abs().amax() > HUGE:
            raise ValueError(
                f"sample set {self.name!r}: {what} has values up to {float(rows.abs().amax()):.1e}; "
                f"scale them below {HUGE:.0e}"
            )

    def _check_target(self) -> None:
        count = self.task.outputs
        if self.task.kind == "units":
            raise ValueError(f"sample set {self.name!r}: samples have a class or real targets, not units")
        if self.task.kind == "class":
            if self.target.ndim != 1 or self.target.is_floating_point():
                raise ValueError(f"sample set {self.name!r}: a class is one whole number a sample")
            low, high = int(self.target.min()), int(self.target.max())
            if low < 0 or high >= count:
                raise ValueError(
                    f"sample set {self.name!r}: classes run from {low} to {high}, but {count} classes are named"
                )
        else:
            if self.target.ndim != 2 or self.target.shape[1] != count:
                raise ValueError(
                    f"sample set {self.name!r}: targets have shape {tuple(self.target.shape)}, {count} are named"
                )
            self._refuse_bad_numbers("target", self.target)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def widths(self) -> dict[str, int]:
        return {name: rows.shape[1] for name, rows in self.features.items()}

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.features)

    def part(self, part: str, protocol: str | None = None) -> Part:
        """The samples of `train` or `test`; every sample for `all`, or when the set names no split."""
        index = torch.arange(len(self))
        if self.splits and part != "all":
            protocol = protocol or next(iter(self.splits))
            if protocol not in self.splits:
                raise ValueError(f"sample set {self.name!r} has no split {protocol!r}; it has {', '.join(self.splits)}")
            if part not in self.splits[protocol]:
                known = ", ".join(self.splits[protocol])
                raise ValueError(f"sample set {self.name!r}: split {protocol!r} has no part {part!r}; it has {known}")
            index = self.splits[protocol][part]
        numbers = index.tolist()
        return Part(
            {name: rows[index] for name, rows in self.features.items()},
            self.target[index],
            self.task,
            tuple(self.names[i] if self.names else f"sample {i}" for i in numbers),
            tuple(("", i) for i in numbers),
        )

    def digest(self) -> str:
        """SHA-256 over features, targets, task and splits: the data's fingerprint in every run made from it."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256(repr((self.task.kind, self.task.names)).encode())
        tables = {f"feature {name}": rows for name, rows in self.features.items()} | {"target": self.target}
        for protocol, parts in self.splits.items():
            tables |= {f"split {protocol!r} {part!r}": index for part, index in parts.items()}
        for name in sorted(tables):
            total.update(f"{name}{tuple(tables[name].shape)}{tables[name].dtype}".encode())
            total.update(tables[name].contiguous().numpy().tobytes())
        return total.hexdigest()


def rows_of_clip(clip: Clip, modality: str) -> Float[Tensor, "units _"]:
    """A clip's rows of one modality, the mean over its crops where it has some."""
    rows = clip.features[modality]
    return rows if rows.ndim == 2 else rows.mean(0)


def part_of(data: Dataset | Samples, part: str = "test", protocol: str | None = None) -> Part:
    """Samples as they are; of clips every unit a sample with its label as class, in the order of the clips.

    Units without labels: the target is None as soon as one clip has none.
    """
    if isinstance(data, Samples):
        return data.part(part, protocol)
    clips = tuple(data.clips.values()) if part == "all" else data.part(part, protocol)
    if not clips:
        raise ValueError(f"dataset {data.name!r}: the part {part!r} holds no clips")
    labels = [clip.labels for clip in clips]
    return Part(
        {name: torch.cat([rows_of_clip(clip, name) for clip in clips]) for name in data.modalities},
        torch.cat([found.long() for found in labels if found is not None]) if None not in labels else None,
        UNITS,
        tuple(f"{clip.name} · unit {unit}" for clip in clips for unit in range(clip.units)),
        tuple((clip.name, unit) for clip in clips for unit in range(clip.units)),
    )


def task_of(data: Dataset | Samples) -> Task:
    return data.task if isinstance(data, Samples) else UNITS


def plain(task: Task) -> dict[str, Any]:
    """The task as JSON holds it."""
    return {"kind": task.kind, "names": list(task.names)}


def trained_among_shown(data: Dataset | Samples, protocol: str) -> tuple[int, int]:
    """(how many of the clips or samples that are looked at were trained on under this split, how many are looked at).

    Looked at is the test part of the first split, or all where that has none. A run of another split may have learned
    from some of them, and its numbers on these say little.
    """
    shown: Sequence[int] | Sequence[str]
    known: set[int] | set[str]
    if isinstance(data, Samples):
        looked = next(iter(data.splits.values()), {}).get("test", torch.empty(0))
        shown = looked.tolist() if len(looked) else range(len(data))
        known = set(data.splits.get(protocol, {}).get("train", torch.empty(0)).tolist())
    else:
        shown = next(iter(data.splits.values()), {}).get("test") or tuple(data.clips)
        known = set(data.splits.get(protocol, {}).get("train", ()))
    return sum(one in known for one in shown), len(shown)

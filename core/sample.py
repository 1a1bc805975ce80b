"""Samples: one vector per modality and a target each; Task, what a fusion is asked for; Part, rows to be judged.

A sample set of n samples looks to a fusion like a clip of n units, so vector methods read both with the same code.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.clip import HUGE, MODALITY
from core.machine.names import nearest, shown

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

    crops = 1

    @property
    def judged(self) -> int:
        """How many rows (of clips: clips) have a truth to be judged against."""
        return 0 if self.target is None else len(self)

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

    def keep(self, modalities: Sequence[str]) -> "Part":
        """The same rows with only these modalities, in this order."""
        missing = [name for name in modalities if name not in self.features]
        if missing:
            raise ValueError(f"these rows have no modality {missing[0]!r}; they have {sorted(self.features)}")
        return replace(self, features={name: self.features[name] for name in modalities})

    def flat(self) -> "Part":
        """Rows as they are (of clips: every unit a row)."""
        return self


class Divided(ABC):
    """What `Dataset` and `Samples` have in common: members, by name or number, that named splits divide into parts."""

    kind: ClassVar[str]
    name: str
    splits: Mapping[str, Mapping[str, Any]]

    @property
    @abstractmethod
    def everyone(self) -> Sequence[Any]:
        """All members."""

    @property
    @abstractmethod
    def widths(self) -> dict[str, int]:
        """Modality -> width of its rows."""

    @property
    @abstractmethod
    def _digest(self) -> str: ...

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.widths)

    @property
    def on_disk(self) -> bool:
        """True when the features are read only as they are asked for."""
        return False

    def digest(self) -> str:
        """SHA-256 over all that is learned from and judged by: the data's fingerprint in every run made from it."""
        return self._digest  # computed once: data never change

    def looked_at(self, protocol: str | None = None) -> str:
        """Which part is looked at, on every page and by every command: test, or all where the split names none.

        protocol    the first split unless given
        """
        return "test" if len(self._of(protocol).get("test", ())) else "all"

    def members(self, part: str, protocol: str | None = None) -> Sequence[Any]:
        """Who is in `train` or `test`; everyone in `all`, or when there are no splits."""
        if not self.splits or part == "all":
            return self.everyone
        parts = self._of(protocol)
        if part not in parts:
            known = f"split {self.split(protocol)!r} has no part {part!r}; it has {', '.join(parts)}"
            raise ValueError(f"{self.kind} {self.name!r}: {known}")
        return plain_members(parts[part])

    def trained_among_shown(self, protocol: str) -> tuple[int, int]:
        """(how many of those that are looked at were trained on under this split, how many are looked at).

        A run of another split may have learned from some of them, and its numbers on these say little.
        """
        shown = self.members(self.looked_at())
        known = set(plain_members(self.splits.get(protocol, {}).get("train", ())))
        return sum(one in known for one in shown), len(shown)

    def split(self, protocol: str | None = None) -> str:
        """The split's name: the first unless one is given; "all" where there are no splits."""
        protocol = protocol or next(iter(self.splits), "all")
        if self.splits and protocol not in self.splits:
            there = nearest(protocol, list(self.splits))
            raise ValueError(f"{self.kind} {self.name!r} has no split {shown(protocol, 40)!r}{there}")
        return protocol

    def _of(self, protocol: str | None) -> Mapping[str, Any]:
        """The parts of a split; none where there are no splits."""
        return self.splits.get(self.split(protocol), {})


def plain_members(found: Any) -> Sequence[Any]:
    """Names as they are, numbers without their tensor."""
    return found.tolist() if isinstance(found, Tensor) else found


@dataclass(frozen=True)
class Samples(Divided):
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
    kind = "sample set"

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
    def everyone(self) -> Sequence[int]:
        return range(len(self))

    def shown(self, protocol: str | None = None) -> Part:
        """The samples that are looked at."""
        return self.part(self.looked_at(protocol), protocol)

    def part(self, part: str, protocol: str | None = None) -> Part:
        """The samples of `train` or `test`; every sample for `all`, or when the set names no split."""
        numbers = list(self.members(part, protocol))
        index = torch.tensor(numbers, dtype=torch.long)
        return Part(
            {name: rows[index] for name, rows in self.features.items()},
            self.target[index],
            self.task,
            tuple(self.names[i] if self.names else f"sample {i}" for i in numbers),
            tuple(("", i) for i in numbers),
        )

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


def plain(task: Task) -> dict[str, Any]:
    """The task as JSON holds it."""
    return {"kind": task.kind, "names": list(task.names)}

"""Sample sets as other people's files hold them: which format lies there, and one way from raw arrays to `Samples`.

Every reader (`views`, `matlab`, `sequences`) ends in a `Raw`; `finish` finds everything that is wrong with it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.clip import HUGE, MODALITY
from core.data import sidecar
from core.data.problems import Problem, Problems, sentence
from core.data.samples.digits import stratified
from core.machine.names import RefusedError, shown
from core.sample import MOST_NAMES, Samples, Task

ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".mat": "mat",
    ".h5": "h5",
    ".hdf5": "h5",
    ".pkl": "pickle",
    ".pickle": "pickle",
}
PARTS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}
PART = re.compile(r"(.+?)[-_.](train|training|valid|val|dev|test)", re.IGNORECASE)
NOT_SAMPLES = re.compile(r"(readme|license|licence).*", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """What the files cannot say themselves; a field left at its default is found out or assumed, and said.

    format        csv, mat, h5 or pickle, where several lie in the folder
    target        "class" or "real": what the last column, `y` or `labels` holds
    names         of the classes in the order of their numbers, or of the real targets
    orientation   "rows" or "columns": where the samples of a .mat view lie, if both sides are as long as y
    test, seed    share of the test part and seed of a split that the files do not give
    pickle        read pickled files: arrays and builtin containers, nothing else
    """

    format: str | None = None
    target: str | None = None
    names: tuple[str, ...] = ()
    orientation: str | None = None
    test: float = 0.3
    seed: int = 0
    pickle: bool = False


@dataclass
class Raw:
    """Arrays as they were found, before anything is judged.

    views      modality -> `(samples, width)`; where its numbers come from stands in `origins`, in words
    target     class numbers 0.. or real values `(samples, outputs)`; `names` are those of classes or targets
    splits     protocol -> part -> rows; {} when the files say none
    """

    name: str
    views: dict[str, np.ndarray] = field(default_factory=dict)
    target: np.ndarray | None = None
    kind: str = "class"
    names: tuple[str, ...] = ()
    splits: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    origins: dict[str, str] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def error(self, text: str, where: str = "", fix: str = "") -> None:
        self.problems.error(text, where, fix)

    def note(self, text: str, where: str = "", fix: str = "") -> None:
        self.problems.note(text, where, fix)


@dataclass(frozen=True)
class Examined:
    """Everything found out; `samples` is None when an error stands in its way."""

    samples: Samples | None
    problems: tuple[Problem, ...]


def looks_like(path: Path) -> bool:
    """Whether files that sample sets come in lie in this folder, not below it, or this is one."""
    if path.is_file():
        return path.suffix.lower() in (".csv", ".tsv", ".mat")
    return path.is_dir() and bool(_files(path))


def _files(path: Path) -> dict[str, list[str]]:
    """Format -> files in this folder, in order."""
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(path)):
        kind = ENDINGS.get(os.path.splitext(name)[1].lower())
        if kind and not name.startswith(".") and not NOT_SAMPLES.fullmatch(name) and (path / name).is_file():
            found.setdefault(kind, []).append(name)
    return found


def read(path: Path, given: Mapping[str, Any] | None = None) -> Samples:
    """The sample set in these files; `given` as in `examine`. Errors: `ValueError` with the first problems in words."""
    examined = examine(path, given)
    if examined.samples is None:
        raise ValueError(sentence(examined.problems))
    return examined.samples


def examine(path: Path, given: Mapping[str, Any] | None = None) -> Examined:
    """Read everything and collect every problem; nothing raises but an unusable option.

    given   fields of `Options`; they count for more than those of a fusescope.json beside the data
    """
    from core.data.samples import matlab, sequences, views

    problems = Problems()
    root = path if path.is_dir() else path.parent
    beside = sidecar.read(path, _beside, problems) if path.is_dir() else Options()
    said = replace(beside, **{name: getattr(options(given or {}), name) for name in given or {}})
    files = _files(path) if path.is_dir() else {ENDINGS.get(path.suffix.lower(), ""): [path.name]}
    try:
        if said.format:
            files = {kind: names for kind, names in files.items() if kind == said.format}
        if len(files) != 1:
            told = "; ".join(f"{kind}: {len(names)} files" for kind, names in files.items()) or "none of them"
            raise RefusedError(
                f"'{shown(path.name)}': one kind of file is read at a time ({told}); "
                "name it by format=csv, mat, h5 or pickle"
            )
        kind, names = next(iter(files.items()))
        reader = {"csv": views.read, "mat": matlab.read, "h5": sequences.read_h5, "pickle": sequences.read_pickle}[kind]
        raw = reader(root, names, path.stem if path.is_file() else path.resolve().name, said)
    except RefusedError as refused:
        problems.error(str(refused))
        return Examined(None, tuple(problems))
    raw.problems[:0] = problems
    return finish(raw, said)


def finish(raw: Raw, options: Options) -> Examined:
    """Samples from raw arrays, with every problem that stands in the way, or that a researcher should know."""
    _numbers(raw)
    if raw.target is None:
        raw.error("there is no class and no target")
    elif raw.views:
        lengths = {name: len(view) for name, view in raw.views.items()} | {"target": len(raw.target)}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"'{shown(name, 40)}' {count:,}" for name, count in lengths.items())
            raw.error(f"row counts differ: {told}")
    if not raw.views:
        raw.error("there are no views")
    for name in raw.views:
        if not MODALITY.fullmatch(name):
            raw.error(f"'{shown(name, 60)}' is no modality name; use letters, digits, - and _, at most 40")
    if raw.target is not None and raw.kind == "class":
        _classes(raw)
    if options.names and raw.target is not None:
        if len(options.names) != len(raw.names):
            raw.error(f"{len(options.names)} names are given for {len(raw.names)} {_word(raw)}")
        raw.names = options.names
    if raw.problems.failed:
        return Examined(None, tuple(raw.problems))
    assert raw.target is not None
    if not raw.splits:
        raw.splits = _own_split(raw, options)
    notes = tuple(str(problem) for problem in raw.problems if problem.severity != "error")
    try:
        samples = Samples(
            name=shown(raw.name, 60),
            features={name: torch.from_numpy(view.astype(np.float32)) for name, view in raw.views.items()},
            target=torch.from_numpy(raw.target.astype(np.int64 if raw.kind == "class" else np.float32)),
            task=Task("class" if raw.kind == "class" else "real", raw.names),
            splits={
                protocol: {part: torch.from_numpy(rows.astype(np.int64)) for part, rows in parts.items()}
                for protocol, parts in raw.splits.items()
            },
            names=raw.rows,
            extractors=raw.origins,
            notes=notes,
        )
    except ValueError as refused:
        raw.error(str(refused))
        return Examined(None, tuple(raw.problems))
    return Examined(samples, tuple([*raw.problems, *inspect(samples)]))


def _word(raw: Raw) -> str:
    return "classes" if raw.kind == "class" else "targets"


def _numbers(raw: Raw) -> None:
    tables = dict(raw.views)
    if raw.target is not None and raw.target.dtype.kind == "f":
        tables["target"] = raw.target
    for name, values in tables.items():
        where = f"view '{shown(name, 40)}'" if name in raw.views else "target"
        if values.ndim == 2 and values.shape[1] == 0:
            raw.error("has no columns", where)
        if not values.size:
            continue
        bad = ~np.isfinite(values)
        if bad.any():
            at = np.unique(np.nonzero(bad)[0])
            listed = ", ".join(map(str, at[:5])) + (", …" if len(at) > 5 else "")
            fix = "fill or remove them" if name in raw.views else "a target of every sample is needed"
            raw.error(
                f"{int(bad.sum()):,} of {values.size:,} values are NaN, infinite or missing, in rows {listed}",
                where,
                fix,
            )
        elif float(np.abs(values).max()) > HUGE:
            raw.error(f"has values up to {float(np.abs(values).max()):.1e}", where, f"scale them below {HUGE:.0e}")


def _classes(raw: Raw) -> None:
    assert raw.target is not None
    counts = np.bincount(raw.target, minlength=len(raw.names))
    if len(raw.names) < 2:
        raw.error(
            f"there is one class only, {shown(', '.join(raw.names), 60)!r}", fix="telling classes apart needs two"
        )
    if len(raw.names) > MOST_NAMES or (len(raw.target) > 20 and len(raw.names) > len(raw.target) / 2):
        raw.error(
            f"{len(raw.names):,} classes for {len(raw.target):,} samples",
            fix="give target=real if these are numbers to predict",
        )
    elif rare := [name for name, count in zip(raw.names, counts, strict=True) if count == 1]:
        raw.problems.append(
            Problem("warning", f"{len(rare)} classes have a single sample, first '{shown(rare[0], 40)}'")
        )


def _own_split(raw: Raw, options: Options) -> dict[str, dict[str, np.ndarray]]:
    assert raw.target is not None
    random = np.random.default_rng(options.seed)
    if raw.kind == "class":
        train, test = stratified(raw.target, options.test, random)
        word = "stratified"
    else:
        order = random.permutation(len(raw.target))
        size = min(max(1, round(options.test * len(order))), len(order) - 1)
        train, test = np.sort(order[size:]), np.sort(order[:size])
        word = "random"
    name = f"{word}-{options.seed}"
    raw.note(
        f"the files give no split: '{name}' is ours, {len(train):,} train and {len(test):,} test, {word}, "
        f"seed {options.seed}",
        fix="give test=0.3 and seed=0 another value for another one",
    )
    return {name: {"train": train, "test": test}}


def classes_of(values: np.ndarray, raw: Raw, where: str, options: Options, words: tuple[str, ...] = ()) -> None:
    """Fill target, kind and names of `raw` from one column: words, whole numbers, or numbers that are not whole."""
    if words and options.target == "real":
        raw.error(f"holds words ('{shown(words[0], 40)}'); real targets are asked for", where)
        return
    if words:
        raw.target, raw.kind, raw.names = values.astype(np.int64), "class", words
        return
    finite = values[np.isfinite(values)]
    whole = bool(len(finite)) and bool((finite == np.round(finite)).all()) and float(np.abs(finite).max()) < 2**53
    if options.target == "class" and not whole:
        raw.error("holds numbers that are not whole; classes are asked for", where)
        return
    if options.target == "real" or not whole:
        if options.target is None and len(finite):
            different = len(np.unique(finite))
            raw.note(
                f"holds {different:,} different numbers that are not whole: taken as a real target",
                where,
                "give target=class or target=real to say it",
            )
        raw.target, raw.kind, raw.names = values.reshape(len(values), 1).astype(np.float64), "real", ("target 0",)
        return
    if len(finite) < len(values):
        bad = np.flatnonzero(~np.isfinite(values))
        listed = ", ".join(map(str, bad[:5]))
        raw.error(f"{len(bad)} of {len(values):,} samples have no class, in rows {listed}", where)
        return
    known, numbers = np.unique(values.astype(np.int64), return_inverse=True)
    raw.target, raw.kind = numbers.reshape(-1).astype(np.int64), "class"
    raw.names = tuple(map(str, known.tolist()))


def inspect(samples: Samples) -> list[Problem]:
    """What a researcher should know before training: constant columns, doubled rows, classes that a part lacks."""
    found = []
    for name, rows in samples.features.items():
        where = f"modality '{shown(name, 40)}'"
        constant = (rows == rows[:1]).all(0)
        if bool(constant.any()) and len(rows) > 1:
            first = ", ".join(map(str, constant.nonzero().flatten()[:5].tolist()))
            text = f"{int(constant.sum())} of {rows.shape[1]} columns are constant, first {first}"
            # the border of a picture often is
            found.append(Problem("note" if name in samples.pictures else "warning", text, where))
        if zero := int((~rows.any(1)).sum()):
            found.append(Problem("note", f"{zero:,} samples are all zeros", where))
    if samples.task.kind == "class":
        counts = torch.bincount(samples.target, minlength=samples.task.outputs)
        if empty := [n for n, count in zip(samples.task.names, counts.tolist(), strict=True) if not count]:
            found.append(Problem("warning", f"{len(empty)} classes have no sample, first '{shown(empty[0], 40)}'"))
        if int((counts > 0).sum()) < 2:
            found.append(Problem("error", "every sample is of one class", fix="telling classes apart needs two"))
    else:
        still = [
            n
            for n, column in zip(samples.task.names, samples.target.T, strict=True)
            if bool((column == column[0]).all())
        ]
        if still and len(samples) > 1:
            found.append(Problem("warning", f"{len(still)} targets never change, first '{shown(still[0], 40)}'"))
    same = _same_rows(samples)
    for protocol, parts in samples.splits.items():
        found += _split_problems(samples, protocol, parts, same)
    return found


def _same_rows(samples: Samples) -> torch.Tensor:
    """A number a sample, equal where two samples have the same values in every modality."""
    table = np.ascontiguousarray(torch.cat(list(samples.features.values()), 1).numpy() + 0.0)  # -0 is 0
    keys = table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1]))).ravel()
    return torch.from_numpy(np.unique(keys, return_inverse=True)[1].reshape(-1))


def _split_problems(
    samples: Samples, protocol: str, parts: Mapping[str, torch.Tensor], same: torch.Tensor
) -> list[Problem]:
    where = f"split '{shown(protocol, 40)}'"
    found = []
    for part, rows in parts.items():
        if not len(rows):
            needed = part in ("train", "test")
            found.append(Problem("error" if needed else "note", f"part {shown(part, 30)} holds no samples", where))
        elif len(rows.unique()) < len(rows):
            count = len(rows) - len(rows.unique())
            found.append(Problem("warning", f"part {shown(part, 30)} names {count:,} samples twice", where))
    if "train" not in parts or "test" not in parts:
        has = shown(", ".join(parts), 60) or "none"
        return [*found, Problem("error", f"has no parts named train and test; it has {has}", where)]
    train, test = parts["train"], parts["test"]
    both = np.intersect1d(train.numpy(), test.numpy())
    if len(both):
        found.append(Problem("warning", f"{len(both):,} samples are in train and in test, first {both[0]}", where))
    other = test[~torch.isin(test, train)]
    seen = other[torch.isin(same[other], same[train])]
    if len(seen):
        found.append(
            Problem(
                "warning",
                f"{len(seen):,} test samples have the same values as a training sample, first sample {int(seen[0])}",
                where,
                "remove the doubles, or the test is easier than it seems",
            )
        )
    if samples.task.kind == "class" and len(train) and len(test):
        for part, rows in (("train", train), ("test", test)):
            gone = set(samples.target.tolist()) - set(samples.target[rows].tolist())
            if gone:
                first = shown(samples.task.names[min(gone)], 40)
                found.append(
                    Problem("warning", f"part {part} has no sample of {len(gone)} classes, first '{first}'", where)
                )
        if len(samples.target[train].unique()) < 2:
            found.append(Problem("error", "the training part has one class only", where))
    return found


def _beside(given: Mapping[str, Any]) -> Options:
    """Options of a file beside the data, which must not be able to ask for pickles itself."""
    if given.get("pickle"):
        raise RefusedError("pickle is asked for by whoever reads the folder, not by a file in it")
    return options(given)


def options(given: Mapping[str, Any]) -> Options:
    """Options from words and literals. Errors: `RefusedError` naming the unknown or unusable one."""
    sidecar.check(given, Options, _unusable)
    return Options(**{**given, "names": tuple(given.get("names") or ())})


def _unusable(name: str, value: Any) -> str:
    """What an option should have been; "" when it is that."""
    choices = {
        "format": (None, "csv", "mat", "h5", "pickle"),
        "target": (None, "class", "real"),
        "orientation": (None, "rows", "columns"),
        "pickle": (True, False),
    }
    if name in choices:
        # 1 == True would let a number in
        good = any(value is choice or (isinstance(value, str) and value == choice) for choice in choices[name])
        return "" if good else " or ".join(str(choice) for choice in choices[name] if choice is not None)
    if name == "names":
        good = isinstance(value, (list, tuple)) and all(isinstance(v, str) and 0 < len(v) <= 200 for v in value)
        return "" if good and len(set(value)) == len(value) <= MOST_NAMES else "a list of different texts"
    if name == "test":
        return "" if isinstance(value, float) and 0 < value < 1 else "a share between 0 and 1"
    return "" if type(value) is int and 0 <= value < 1 << 31 else "a whole number from 0"


def modality_names(stems: list[str]) -> list[str]:
    """Short names for files: what they all begin with is left away, and what a modality may not be called.

    >>> modality_names(["mfeat-fac", "mfeat-fou"])
    ['fac', 'fou']
    >>> modality_names(["my view", "a!", "a?", "a-2"])
    ['my-view', 'a', 'a-3', 'a-2']
    """
    common = os.path.commonprefix(stems) if len(stems) > 1 else ""
    cut = max((common.rfind(mark) + 1 for mark in "-_. "), default=0)
    short = [re.sub(r"[^A-Za-z0-9_-]+", "-", stem[cut:]).strip("-_")[:40] for stem in stems]
    named = [name if MODALITY.fullmatch(name) else f"view{place}" for place, name in enumerate(short, 1)]
    taken: list[str] = []
    for name in named:
        number, free = 1, name
        while free in taken or (number > 1 and free in named):
            number += 1
            free = f"{name[:34]}-{number}"
        taken.append(free)
    return taken


def part_of_file(stem: str) -> tuple[str, str]:
    """What a file is of, and of which part.

    >>> part_of_file("audio_train"), part_of_file("audio")
    (('audio', 'train'), ('audio', ''))
    """
    found = PART.fullmatch(stem)
    return (found[1], PARTS[found[2].lower()]) if found else (stem, "")

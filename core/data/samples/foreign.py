"""Sample sets as other people's files hold them: which format lies there, and one way from raw arrays to `Samples`.

Every reader (`views`, `matlab`, `sequences`) ends in a `raw.Raw`; `finish` finds everything that is wrong with it.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.clip import HUGE, MODALITY
from core.data.problems import Problem, Problems, sentence
from core.data.samples import matlab, sequences, views
from core.data.samples.digits import stratified
from core.data.samples.raw import Options, Raw, beside, options
from core.machine.names import RefusedError, shown
from core.sample import MOST_NAMES, Samples, Task

KINDS = {
    "csv": (views.read, (".csv", ".tsv")),
    "mat": (matlab.read, (".mat",)),
    "h5": (sequences.read_h5, (".h5", ".hdf5")),
    "pickle": (sequences.read_pickle, (".pkl", ".pickle")),
}  # format -> (reader, endings of its files)
ENDINGS = {ending: kind for kind, (_, endings) in KINDS.items() for ending in endings}
BLOCK = 1 << 22  # numbers that are compared at a time
NOT_SAMPLES = re.compile(r"(readme|license|licence).*", re.IGNORECASE)


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
    problems = Problems()
    root = path if path.is_dir() else path.parent
    asked = options(given or {})
    stored = beside(path, problems) if path.is_dir() else Options()
    said = replace(stored, **{name: getattr(asked, name) for name in given or {}})
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
        raw = KINDS[kind][0](root, names, path.stem if path.is_file() else path.resolve().name, said)
    except RefusedError as refused:
        problems.error(str(refused))
        return Examined(None, tuple(problems))
    raw.problems[:0] = problems
    return finish(raw, said)


def finish(raw: Raw, said: Options) -> Examined:
    """Samples from raw arrays, with every problem that stands in the way, or that a researcher should know."""
    _numbers(raw)
    _lengths(raw)
    for name in raw.views:
        if not MODALITY.fullmatch(name):
            raw.error(f"'{shown(name, 60)}' is no modality name; use letters, digits, - and _, at most 40")
    if raw.target is not None and raw.kind == "class":
        _classes(raw)
    if said.names and raw.target is not None:
        if len(said.names) != len(raw.names):
            raw.error(f"{len(said.names)} names are given for {len(raw.names)} {_word(raw)}")
        raw.names = said.names
    if raw.problems.failed:
        return Examined(None, tuple(raw.problems))
    raw.splits = raw.splits or _own_split(raw, said)
    try:
        samples = _samples(raw)
    except ValueError as refused:
        raw.error(str(refused))
        return Examined(None, tuple(raw.problems))
    return Examined(samples, (*raw.problems, *inspect(samples)))


def _lengths(raw: Raw) -> None:
    if raw.target is None:
        raw.error("there is no class and no target")
    elif raw.views:
        lengths = {name: len(view) for name, view in raw.views.items()} | {"target": len(raw.target)}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"'{shown(name, 40)}' {count:,}" for name, count in lengths.items())
            raw.error(f"row counts differ: {told}")
    if not raw.views:
        raw.error("there are no views")


def _samples(raw: Raw) -> Samples:
    assert raw.target is not None
    return Samples(
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
        notes=tuple(str(problem) for problem in raw.problems if problem.severity != "error"),
    )


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
        elif (top := max(float(values.max()), -float(values.min()))) > HUGE:
            raw.error(f"has values up to {top:.1e}", where, f"scale them below {HUGE:.0e}")


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
        raw.problems.warning(f"{len(rare)} classes have a single sample, first '{shown(rare[0], 40)}'")


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


def inspect(samples: Samples) -> Iterator[Problem]:
    """What a researcher should know before training: constant columns, doubled rows, classes that a part lacks."""
    for name, rows in samples.features.items():
        where = f"modality '{shown(name, 40)}'"
        constant = (rows == rows[:1]).all(0)
        if bool(constant.any()) and len(rows) > 1:
            first = ", ".join(map(str, constant.nonzero().flatten()[:5].tolist()))
            text = f"{int(constant.sum())} of {rows.shape[1]} columns are constant, first {first}"
            # the border of a picture often is
            yield Problem("note" if name in samples.pictures else "warning", text, where)
        if zero := int((~rows.any(1)).sum()):
            yield Problem("note", f"{zero:,} samples are all zeros", where)
    yield from _target_problems(samples)
    same = _same_rows(samples)
    for protocol, parts in samples.splits.items():
        yield from _split_problems(samples, f"split '{shown(protocol, 40)}'", parts, same)


def _target_problems(samples: Samples) -> Iterator[Problem]:
    if samples.task.kind == "class":
        counts = torch.bincount(samples.target, minlength=samples.task.outputs)
        if empty := [n for n, count in zip(samples.task.names, counts.tolist(), strict=True) if not count]:
            yield Problem("warning", f"{len(empty)} classes have no sample, first '{shown(empty[0], 40)}'")
        if int((counts > 0).sum()) < 2:
            yield Problem("error", "every sample is of one class", fix="telling classes apart needs two")
    elif len(samples) > 1:
        columns = zip(samples.task.names, samples.target.T, strict=True)
        if still := [name for name, column in columns if bool((column == column[0]).all())]:
            yield Problem("warning", f"{len(still)} targets never change, first '{shown(still[0], 40)}'")


def _same_rows(samples: Samples) -> torch.Tensor:
    """A number a sample, equal where two samples have the same values in every modality."""
    known: dict[bytes, int] = {}
    numbers: list[int] = []
    step = max(1, BLOCK // sum(samples.widths.values()))
    for start in range(0, len(samples), step):
        block = torch.cat([rows[start : start + step] for rows in samples.features.values()], 1).numpy() + 0.0  # no -0
        digests = [hashlib.sha256(row.data).digest() for row in np.ascontiguousarray(block)]
        numbers += [known.setdefault(digest, len(known)) for digest in digests]
    return torch.tensor(numbers)


def _split_problems(
    samples: Samples, where: str, parts: Mapping[str, torch.Tensor], same: torch.Tensor
) -> Iterator[Problem]:
    for part, rows in parts.items():
        doubled = len(rows) - len(rows.unique())
        if not len(rows):
            needed = part in ("train", "test")
            yield Problem("error" if needed else "note", f"part {shown(part, 30)} holds no samples", where)
        elif doubled:
            yield Problem("warning", f"part {shown(part, 30)} names {doubled:,} samples twice", where)
    if "train" not in parts or "test" not in parts:
        has = shown(", ".join(parts), 60) or "none"
        yield Problem("error", f"has no parts named train and test; it has {has}", where)
        return
    train, test = parts["train"], parts["test"]
    both = np.intersect1d(train.numpy(), test.numpy())
    if len(both):
        yield Problem("warning", f"{len(both):,} samples are in train and in test, first {both[0]}", where)
    other = test[~torch.isin(test, train)]
    seen = other[torch.isin(same[other], same[train])]
    if len(seen):
        text = f"{len(seen):,} test samples have the same values as a training sample, first sample {int(seen[0])}"
        yield Problem("warning", text, where, "remove the doubles, or the test is easier than it seems")
    if samples.task.kind == "class" and len(train) and len(test):
        for part, rows in (("train", train), ("test", test)):
            gone = set(samples.target.tolist()) - set(samples.target[rows].tolist())
            if gone:
                first = shown(samples.task.names[min(gone)], 40)
                yield Problem("warning", f"part {part} has no sample of {len(gone)} classes, first '{first}'", where)
        if len(samples.target[train].unique()) < 2:
            yield Problem("error", "the training part has one class only", where)

"""Raw arrays as other people's files hold them, what the files cannot say, and how things in them are named."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.clip import MODALITY
from core.data import sidecar
from core.data.problems import Problems
from core.machine.names import RefusedError, shown
from core.sample import MOST_NAMES

PARTS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}
PART = re.compile(r"(.+?)[-_.](train|training|valid|val|dev|test)", re.IGNORECASE)


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


def options(given: Mapping[str, Any]) -> Options:
    """Options from words and literals. Errors: `RefusedError` naming the unknown or unusable one."""
    sidecar.check(given, Options, _unusable)
    return Options(**{**given, "names": tuple(given.get("names") or ())})


def beside(root: Path, problems: Problems) -> Options:
    """Options kept beside the data in fusescope.json, which must not be able to ask for pickles itself."""

    def allowed(given: Mapping[str, Any]) -> Options:
        if given.get("pickle"):
            raise RefusedError("pickle is asked for by whoever reads the folder, not by a file in it")
        return options(given)

    return sidecar.read(root, allowed, problems)


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
    taken: dict[str, None] = {}  # in their order
    tried, known = dict.fromkeys(named, 1), set(named)
    for name in named:
        free = name
        while free in taken or (free != name and free in known):
            tried[name] += 1
            free = f"{name[:34]}-{tried[name]}"
        taken[free] = None
    return list(taken)


def part_of_file(stem: str) -> tuple[str, str]:
    """What a file is of, and of which part.

    >>> part_of_file("audio_train"), part_of_file("audio")
    (('audio', 'train'), ('audio', ''))
    """
    found = PART.fullmatch(stem)
    return (found[1], PARTS[found[2].lower()]) if found else (stem, "")

"""Multi-view tables: one .csv file a view, the same rows in the same order, the last column the class or target.

    view-a.csv   0.1,0.7,0.2,cat          view-b.csv   12,15,cat
                 0.4,0.1,0.9,dog                       11,19,dog

Files named `…_train.csv` and `…_test.csv` give the split; a header line is found out.
"""

from pathlib import Path

import numpy as np

from core.data import guard
from core.data.samples.raw import Options, Raw, classes_of, modality_names, part_of_file
from core.machine.names import RefusedError, inside, shown


def read(root: Path, files: list[str], name: str, options: Options) -> Raw:
    """The views in these files. Errors: `RefusedError` for a file that is no table."""
    raw = Raw(name)
    stems = [part_of_file(file.rsplit(".", 1)[0]) for file in files]
    parts = [part for _, part in stems]
    if any(parts) and not all(parts):
        lost = files[parts.index("")]
        raise RefusedError(f"some files are named after a part (train, test), '{shown(lost, 60)}' is not")
    called = list(dict.fromkeys(stem for stem, _ in stems))
    short = dict(zip(called, modality_names(called), strict=True))
    order = list(dict.fromkeys(parts))
    order.sort(key=["", "train", "valid", "test"].index)
    tables: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, tuple[str, ...]]] = {}
    headers: dict[str, list[str]] = {}
    with guard.Reader() as reader:
        for file, (stem, part) in zip(files, stems, strict=True):
            what = f"file '{shown(file, 60)}'"
            found = reader.read("table", inside(root, file, "file"), what)
            words = tuple(str(word) for word in found.facts.get("words", ()))
            tables[short[stem], part] = found.arrays["values"], found.arrays["last"], words
            headers.setdefault(str(found.facts.get("header", "")), []).append(file)
            raw.origins[short[stem]] = f"columns of {shown(file, 60)}"
    if counted := headers.get("counts"):
        raw.note(
            f"the first line of {len(counted)} files counts their columns (0, 1, 2 …) and is taken as a header, "
            f"first '{shown(counted[0], 60)}'"
        )
    views = list(short.values())
    gaps = [(view, part) for view in views for part in order if (view, part) not in tables]
    if gaps:
        raise RefusedError(f"view '{shown(gaps[0][0])}' has no file for the part {gaps[0][1]}")
    if not _same_rows(raw, tables, views, order):
        return raw
    last, words = _joined([tables[views[0], part][1:] for part in order])
    raw.views = {view: np.concatenate([_values(raw, tables, view, part) for part in order]) for view in views}
    classes_of(last, raw, "the last column", options, words)
    if any(parts):
        counts = [len(tables[views[0], part][1]) for part in order]
        edges = np.cumsum([0, *counts])
        raw.splits = {"files": {part: np.arange(a, b) for part, a, b in zip(order, edges[:-1], edges[1:], strict=True)}}
    return raw


Tables = dict[tuple[str, str], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]


def _values(raw: Raw, tables: Tables, view: str, part: str) -> np.ndarray:
    width = tables[view, next(p for v, p in tables if v == view)][0].shape[1]
    values = tables[view, part][0]
    if values.shape[1] != width:
        raw.error(f"is {values.shape[1]} wide in part {part}, {width} in another", f"view '{view}'")
        return np.zeros((len(values), width))
    return values


def _same_rows(raw: Raw, tables: Tables, views: list[str], order: list[str]) -> bool:
    """Whether all views have as many rows and the same classes in them; what differs is told with its numbers."""
    for part in order:
        where = f"part {part}" if part else ""
        counts = {view: len(tables[view, part][1]) for view in views}
        if len(set(counts.values())) > 1:
            raw.error("row counts differ: " + ", ".join(f"'{view}' {count:,}" for view, count in counts.items()), where)
            continue
        first = _told(*tables[views[0], part][1:])
        for view in views[1:]:
            other = _told(*tables[view, part][1:])
            differ = [row for row, (a, b) in enumerate(zip(first, other, strict=True)) if a != b]
            if differ:
                row = differ[0]
                raw.error(
                    f"views '{views[0]}' and '{view}' give {len(differ):,} of {len(first):,} rows another class, "
                    f"first row {row}: '{shown(first[row], 30)}' and '{shown(other[row], 30)}'",
                    where,
                    "put the rows of all views in the same order",
                )
    return not any(problem.severity == "error" for problem in raw.problems)


def _told(last: np.ndarray, words: tuple[str, ...]) -> list[str]:
    return [words[int(code)] for code in last] if words else [f"{value:g}" for value in last]


def _joined(columns: list[tuple[np.ndarray, tuple[str, ...]]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class columns of all parts one after another, words by one numbering."""
    if not any(words for _, words in columns):
        return np.concatenate([last for last, _ in columns]), ()
    told = [word for last, words in columns for word in _told(last, words)]
    known = tuple(sorted(set(told)))
    place = {word: number for number, word in enumerate(known)}
    return np.array([place[word] for word in told], dtype=np.int64), known

"""Tables of separated values: numbers with a class or target, and lists that are saved as tables."""

import csv
import io
import math
from array import array as numbers
from collections.abc import Iterator

import numpy as np

from core.data import fields
from core.data.guarded import Answer
from core.machine.names import RefusedError, opened, shown

WORDS = 5000  # different words in the class column


def read_table(path: str, what: str, cap: int) -> Answer:
    """Values `(rows, columns - 1)` and the last column: numbers, or the numbers of its words (listed in the facts).

    A first line is a header when one of its cells but the last is no number, or when they count 0, 1, 2 … or 1, 2, 3 …
    An empty cell is NaN.
    """
    stream, size = opened(path, cap, what)
    with stream:
        text = fields.decoded(stream.read(size), what)
    first = next((line for line in text.splitlines() if line.strip()), "")
    comma = max(",;\t", key=first.count)
    lines: Iterator[list[str]]
    if comma in first:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=comma, skipinitialspace=True)
    else:
        lines = (line.split() for line in text.splitlines())
    values: numbers[float] = numbers("d")
    last: list[str] = []
    width, header, count = 0, "", 0
    try:
        for line, cells in enumerate(lines, 1):
            if not any(cell.strip() for cell in cells):
                continue
            if not width:
                width = len(cells)
                if width < 2:
                    raise RefusedError(f"{what} has one column; values and a last column for the class are needed")
                header = _header(cells[:-1])
                if header:
                    continue
            if len(cells) != width:
                raise RefusedError(f"{what}: line {line} has {len(cells):,} cells, the first line has {width:,}")
            for column, cell in enumerate(cells[:-1], 1):
                value = _cell(cell)
                if value is None:
                    raise RefusedError(f"{what}: line {line}, column {column}: '{shown(cell, 40)}' is no number")
                values.append(value)
            last.append(cells[-1].strip())
            count += 1
    except csv.Error:
        raise RefusedError(f"{what} cannot be read as a table of separated values") from None
    if not count:
        raise RefusedError(f"{what} holds no rows of numbers")
    classes, words = _classes(last, what)
    facts = {"header": header} | ({"words": words} if words else {})
    return {"values": np.frombuffer(values, dtype=np.float64).reshape(count, width - 1), "last": classes}, facts


def _classes(last: list[str], what: str) -> tuple[np.ndarray, list[str]]:
    """The last column as numbers, and its words where it holds some: then the numbers count those."""
    found = [_cell(cell) for cell in last]
    if None not in found:
        return np.array(found, dtype=np.float64), []
    words = sorted(set(last))
    if len(words) > WORDS or max(map(len, words)) > 200:
        raise RefusedError(f"{what}: the last column holds {len(words):,} different words; up to {WORDS:,} are read")
    place = {word: number for number, word in enumerate(words)}
    return np.array([place[word] for word in last], dtype=np.int64), words


def read_list(path: str, what: str, cap: int) -> Answer:
    """The first two cells of every line of a list that is a table, in the facts: `{"rows": [[path, label], ...]}`."""
    stream, size = opened(path, cap, what)
    with stream:
        text = fields.decoded(stream.read(size), what)
    try:
        rows = [(*row, "", "")[:2] if row else () for row in csv.reader(io.StringIO(text, newline=""))]
    except csv.Error:
        raise RefusedError(f"{what} cannot be read as a table of comma separated values") from None
    return {}, {"rows": rows}


def _cell(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell) if cell.strip() else math.nan
    except ValueError:
        return None


def _header(cells: list[str]) -> str:
    found = [_cell(cell) for cell in cells]
    if any(value is None for value in found):
        return "words"
    if len(found) > 2 and any(found == [float(k + start) for k in range(len(found))] for start in (0, 1)):
        return "counts"
    return ""

"""What JSON of other hands may hold: one way to open it, and every field of its type, or a refusal that names it."""

import functools
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.data import npy
from core.machine.names import RefusedError, Root, inside, opened, shown

LARGEST_INDEX = 64 << 20
LARGEST_FEATURE = 1 << 30
MOST_VALUES = 5_000_000  # of one file: an empty list takes two bytes there and 72 here
DEEPEST = 64


def parsed(content: bytes, what: str, most: int = MOST_VALUES) -> Any:
    """What these bytes say as JSON; `what` is how messages call them.

    Errors: `RefusedError` for anything else than UTF-8 JSON without NaN, with no name twice in one place, and bounded
    in depth, in the number of its values and in the digits of its numbers.
    """
    values = sum(map(content.count, (b",", b"[", b"{")))
    if values > most:
        raise RefusedError(f"{what} holds {values:,} values; at most {most:,} are read")
    try:
        found = json.loads(
            content.decode("utf-8"),
            parse_constant=functools.partial(_constant, what),
            object_pairs_hook=functools.partial(_once, what),
        )
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError(f"{what} cannot be read as JSON: nested too deeply") from None
    except ValueError as error:  # of a number of too many digits Python advises to lift the limit
        why = "a number has too many digits" if "int_max_str_digits" in str(error) else shown(error, 120)
        raise RefusedError(f"{what} cannot be read as JSON: {why}") from None
    level = [found]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inner(one) if isinstance(inner, (dict, list))]
        if not level:
            return found
    raise RefusedError(f"{what} cannot be read as JSON: nested too deeply")


def decoded(content: bytes, what: str) -> str:
    """The text in these bytes. Errors: `RefusedError` unless it is UTF-8 without zero bytes."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{what} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise RefusedError(f"{what} is not text: line {line} holds a zero byte")
    return text


def _inner(one: Any) -> Iterable[Any]:
    return one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def load(path: Path, format: str, version: int) -> dict[str, Any]:
    """The fields of `path`/dataset.json, once its own checksum agrees.

    Errors: `RefusedError` unless it is an object of this format and version, with no name given twice.
    """
    stream, size = opened(path / "dataset.json", LARGEST_INDEX, "dataset.json")
    with stream:
        found = parsed(stream.read(size), "dataset.json")
    if not isinstance(found, dict) or found.get("format") != format:
        raise RefusedError(f"dataset.json is no dataset: its format is not {format!r}")
    if found.get("version") != version:
        raise RefusedError(f"dataset.json has version {shown(found.get('version'), 20)}; version {version} is read")
    stated = found.pop("sum", None)
    if stated is not None and stated != total(found):
        raise RefusedError(
            "dataset.json does not match its own checksum: it is damaged. If you edited it, remove its line 'sum'"
        )
    return found


def content(path: Path, relative: str, sums: Mapping[str, Any] | None) -> bytes:
    """The bytes of one of the folder's files, once they match the sum that dataset.json states."""
    what = f"file '{shown(relative, 160)}'"
    stream, size = opened(inside(path, relative, "file"), LARGEST_FEATURE, what)
    with stream:
        found = stream.read(size)
    _summed(found, relative, sums, what)
    return found


def array(
    path: Path | Root, relative: str, sums: Mapping[str, Any] | None, kinds: tuple[str, ...] = ("float32", "float16")
) -> np.ndarray:
    """One of the folder's arrays: header and size first, then its checksum, then the kind of its numbers."""
    what = f"file '{shown(relative, 160)}'"
    stream, size = opened(inside(path, relative, "file"), LARGEST_FEATURE, what)
    with stream:
        told = stream.read(size)
    found = npy.read(io.BytesIO(told), size, what, LARGEST_FEATURE)
    _summed(told, relative, sums, what)
    if found.dtype.name not in kinds:
        raise RefusedError(f"{what} holds {found.dtype}; {' or '.join(kinds)} is needed")
    return found


def _summed(found: bytes, relative: str, sums: Mapping[str, Any] | None, what: str) -> None:
    if sums is None:
        return
    if relative not in sums:
        raise RefusedError(f"{what} is not listed under 'files' in dataset.json")
    if hashlib.sha256(found).hexdigest() != sums[relative]:
        raise RefusedError(f"{what} does not match its checksum in dataset.json: it is damaged or was replaced")


def total(index: Mapping[str, Any]) -> str:
    """The checksum of everything in dataset.json but itself."""
    told = json.dumps(index, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()


WORDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", float: "a number with a point"}


def of(value: Any, kind: type, field: str, file: str = "dataset.json") -> Any:
    if not isinstance(value, kind):
        raise RefusedError(f"{file}: {field} is {shown(repr(value), 40)}; {WORDS[kind]} is needed")
    return value


def text(value: Any, field: str, file: str = "dataset.json") -> str:
    try:
        of(value, str, field, file).encode()
    except UnicodeEncodeError:
        raise RefusedError(
            f"{file}: {field} holds half a letter ({shown(value, 40)}), which cannot be written"
        ) from None
    return str(value)


def texts(value: Any, field: str, file: str = "dataset.json") -> tuple[str, ...]:
    return tuple(text(one, field, file) for one in of(value, list, field, file))


def whole(value: Any, field: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise RefusedError(f"dataset.json: {field} is {shown(repr(value), 40)}; a whole number {low}..{high} is needed")
    return value


def number(found: Mapping[str, Any], field: str) -> float:
    value = found.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 10_000:
        raise RefusedError(f"dataset.json: {field} is {shown(repr(value), 40)}; a number above 0, to 10000, is needed")
    return float(value)


def _constant(what: str, text: str) -> float:
    raise RefusedError(f"{what} holds {text}, which is no number")


def _once(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise RefusedError(f"{what} names '{shown(counts.most_common(1)[0][0])}' twice in one place")
    return found

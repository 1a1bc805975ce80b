"""What dataset.json of our own folders may hold: every field of its type, or a refusal that names it."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.data import npy
from core.machine.names import RefusedError, Root, inside, opened, shown

LARGEST_INDEX = 64 << 20
LARGEST_FEATURE = 1 << 30


def load(path: Path, format: str, version: int) -> dict[str, Any]:
    """The fields of `path`/dataset.json, once its own checksum agrees.

    Errors: `RefusedError` unless it is an object of this format and version, with no name given twice.
    """
    stream, size = opened(path / "dataset.json", LARGEST_INDEX, "dataset.json")
    with stream:
        content = stream.read(size + 1)
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_constant, object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RefusedError(f"dataset.json cannot be read as JSON: {shown(error, 120)}") from None
    except RecursionError:
        raise RefusedError("dataset.json cannot be read as JSON: nested too deeply") from None
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


def of(value: Any, kind: type, field: str) -> Any:
    if not isinstance(value, kind):
        words = {
            dict: "an object",
            list: "a list",
            str: "a text",
            bool: "true or false",
            float: "a number with a point",
        }
        raise RefusedError(f"dataset.json: {field} is {shown(repr(value), 40)}; {words[kind]} is needed")
    return value


def text(value: Any, field: str) -> str:
    return str(of(value, str, field))


def whole(value: Any, field: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise RefusedError(f"dataset.json: {field} is {shown(repr(value), 40)}; a whole number {low}..{high} is needed")
    return value


def number(found: Mapping[str, Any], field: str) -> float:
    value = found.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 10_000:
        raise RefusedError(f"dataset.json: {field} is {shown(repr(value), 40)}; a number above 0, to 10000, is needed")
    return float(value)


def _constant(text: str) -> float:
    raise RefusedError(f"dataset.json holds {text}, which is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RefusedError(f"dataset.json names '{shown(twice)}' twice in one place")
    return found

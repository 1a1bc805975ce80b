"""The safetensors format, parsed by hand: names, types and sizes are checked before a byte is used.

Foreign weights are read with it, and the guarded child hands its arrays back in it, so that neither side has to
trust the other. Runs inside the child: numpy and the standard library only.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from core.machine.names import RefusedError, shown

HEADER = 1 << 20
TENSORS = 4096
AXES = 6
TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"},
}


@runtime_checkable
class Source(Protocol):
    """A file or bytes in memory, open for reading."""

    def read(self, count: int, /) -> bytes: ...


@runtime_checkable
class Target(Protocol):
    """A file or bytes in memory, open for writing."""

    def write(self, content: Any, /) -> int: ...


def read(source: Source, size: int, what: str, cap: int) -> dict[str, np.ndarray]:
    """Every tensor of a file of `size` bytes; bfloat16 becomes float32.

    Errors: `RefusedError` unless header, types, shapes and offsets agree with each other and with the size.
    """
    field = source.read(8)
    length = int.from_bytes(field, "little")
    if len(field) < 8 or length > size - 8:
        raise RefusedError(
            f"{what} is no .safetensors file, or cut off: its header promises {length:,} bytes of {size:,}"
        )
    if length > HEADER:
        raise RefusedError(f"{what} has a header of {length:,} bytes; at most {HEADER:,} are read")
    try:
        entries = json.loads(source.read(length).decode("utf-8"), object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise RefusedError(f"{what} has a header that is not JSON") from None
    if not isinstance(entries, dict):
        raise RefusedError(f"{what} has a header that is not a table of tensors")
    entries.pop("__metadata__", None)
    if len(entries) > TENSORS:
        raise RefusedError(f"{what} holds {len(entries):,} tensors; at most {TENSORS:,} are read")
    places = {name: _place(name, entry, what) for name, entry in entries.items()}
    there = size - 8 - length
    if there > cap:
        raise RefusedError(f"{what} holds {there:,} bytes of tensors; at most {cap:,} are read")
    end = 0
    for name, (_, _, start, stop) in sorted(places.items(), key=lambda item: item[1][2:]):
        if start != end or stop > there:
            raise RefusedError(f"{what}: tensor '{shown(name)}' lies at bytes {start}..{stop}, not where it should")
        end = stop
    if end != there:
        raise RefusedError(f"{what}: its tensors take {end:,} bytes, the file holds {there:,}")
    arrays = {}
    for name, (kind, shape, start, stop) in sorted(places.items(), key=lambda item: item[1][2:]):
        content = source.read(stop - start)
        if len(content) != stop - start:
            raise RefusedError(f"{what} is cut off in tensor '{shown(name)}'")
        flat = np.frombuffer(content, dtype=TYPES[kind])
        if kind == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = flat.reshape(shape)
    return arrays


def write(target: Target, arrays: Mapping[str, np.ndarray]) -> None:
    """Put these arrays into `target` in the same format."""
    words = {np.dtype(kind): word for word, kind in TYPES.items() if word != "BF16"}
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        kind = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
        header[name] = {"dtype": words[kind], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    content = json.dumps(header).encode()
    target.write(len(content).to_bytes(8, "little") + content)
    for array in arrays.values():
        target.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _place(name: str, entry: Any, what: str) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first and last byte of a tensor, believed only where they agree."""
    where = f"{what}: tensor '{shown(name)}'"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise RefusedError(f"{where} has other fields than dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise RefusedError(f"{where} has type '{shown(kind, 20)}', which is not read")
    if not _counts(shape) or len(shape) > AXES or not _counts(offsets) or len(offsets) != 2:
        raise RefusedError(
            f"{where} has shape {shown(shape, 40)} and offsets {shown(offsets, 40)}, which make no sense"
        )
    need = np.dtype(TYPES[kind]).itemsize * math.prod(shape)
    if offsets[1] - offsets[0] != need:
        raise RefusedError(f"{where} needs {need:,} bytes and has {offsets[1] - offsets[0]:,}")
    return kind, tuple(shape), offsets[0], offsets[1]


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 40 for value in values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError("two tensors share a name")
    return found

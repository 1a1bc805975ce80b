"""The .npy format, read with our own header check: nothing is allocated before the file's size agrees.

`np.load` trusts the header (a 128-byte file may promise 10 TB) and can unpickle; this reader can do neither.
Runs inside the guarded child too, so it needs nothing but numpy and the standard library.
"""

import ast
import functools
import io
import math
from typing import Protocol, runtime_checkable

import numpy as np

from core.machine.names import RefusedError, shown

HEADER = 4096
KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
AXES = 4


@runtime_checkable
class Source(Protocol):
    """A file, a member of an archive or bytes in memory, open for reading."""

    def read(self, count: int, /) -> bytes: ...

    def tell(self) -> int: ...


def header(source: Source, what: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """Type, column order and shape from the header; the source then stands at the first number.

    Errors: `RefusedError` for anything but the plain header of an array of plain numbers.
    """
    magic = source.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise RefusedError(f"{what} is no .npy file: it does not start like one")
    wide = 2 if magic[6] == 1 else 4
    field = source.read(wide)
    length = int.from_bytes(field, "little")
    if len(field) < wide:
        raise RefusedError(f"{what} is cut off inside its header")
    if length > HEADER:
        raise RefusedError(f"{what} has a header of {length:,} bytes; at most {HEADER:,} are read")
    text = source.read(length)
    if len(text) < length:
        raise RefusedError(f"{what} is cut off inside its header ({len(text)} of {length} bytes)")
    try:
        found = _literal(text, magic[6] == 3)
    except (ValueError, SyntaxError, MemoryError, RecursionError, UnicodeDecodeError, TypeError):
        raise RefusedError(f"{what} has a header that cannot be read") from None
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise RefusedError(f"{what} has a header with other fields than descr, fortran_order and shape")
    kind, order, shape = found["descr"], found["fortran_order"], found["shape"]
    if isinstance(kind, str) and kind.lstrip("|<>=") == "O":
        raise RefusedError(f"{what} holds Python objects, which are not opened; save it as float32")
    if not isinstance(kind, str) or kind[:1] not in "|<>=" or kind[1:] not in KINDS:
        raise RefusedError(f"{what} holds values of type '{shown(kind, 20)}'; numbers (float, int, bool) are needed")
    if not isinstance(order, bool):
        raise RefusedError(f"{what} has a header whose fortran_order is neither True nor False")
    if not (
        isinstance(shape, tuple) and len(shape) <= AXES and all(type(n) is int and 0 <= n < 1 << 62 for n in shape)
    ):
        raise RefusedError(f"{what} has shape {shown(shape, 60)}; up to {AXES} axes of whole numbers are read")
    return np.dtype(kind), order, shape


@functools.lru_cache(maxsize=256)
def _literal(text: bytes, unicode: bool) -> object:
    """What the header's text says; the files of a dataset share a few headers. Read, never change."""
    return ast.literal_eval(text.decode("utf-8" if unicode else "latin1").strip())


def read(source: Source, size: int, what: str, cap: int = 1 << 30) -> np.ndarray:
    """The array in `source`, which holds `size` bytes in all; native byte order, C order.

    Errors: `RefusedError` when the header promises more or fewer bytes than are there, or more than `cap`.
    """
    kind, fortran, shape = header(source, what)
    need = kind.itemsize * math.prod(shape)
    have = size - source.tell()
    if need != have:
        raise RefusedError(
            f"{what}: the header promises {need:,} bytes ({kind} {'x'.join(map(str, shape))}), the file holds {have:,}"
        )
    if need > cap:
        raise RefusedError(f"{what} holds {need:,} bytes; at most {cap:,} are read")
    values = source.read(need)
    if len(values) != need:
        raise RefusedError(f"{what} is cut off: {len(values):,} of {need:,} bytes")
    flat = np.frombuffer(values, dtype=kind)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype=kind.newbyteorder("=")).reshape(shape)


def packed(array: np.ndarray) -> bytes:
    """The bytes of a .npy file that holds this array."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()

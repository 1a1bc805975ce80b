"""MATLAB 5 files, walked element by element: sizes are known before a number is unpacked, and depth is bounded.

    file     128 bytes of header, then elements; an element is a tag (type, bytes) and its content, padded to 8 bytes
    matrix   flags, dimensions, name, then its numbers, or the matrices in its cells or fields
    packed   one element, deflated: its tag, unpacked first, says how many bytes there are in all

"MAT-File Format", The MathWorks, R2024a. `scipy.io.loadmat` gives the same arrays (tests), but copies what it cannot
use, trusts sizes, and breaks on cells that nest deeply.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

from core.data.guarded import MEMBERS, RATIO, Answer, Arrays
from core.machine.names import RefusedError, opened, shown

TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, PACKED = 14, 15
CELL, STRUCT, OBJECT, SPARSE, OPAQUE = 1, 2, 3, 5, 17
NUMBERS = range(6, 16)  # classes: double, single, and whole numbers of 8 to 64 bits
COMPLEX = 0x0800
DEEPEST = 8
SHORT = 1 << 20  # bytes of names and dimensions
BLOCK = 1 << 20
NUMBER = 8  # bytes of a number once it is worked with, however few it is stored in

Order = Literal["<", ">"]
Leaf = tuple[str, np.ndarray | None]  # dotted name, and its numbers; None for what holds none


class _Damaged(Exception):  # noqa: N818 - never leaves this file
    """The bytes are not what the format says they are."""


class _Source:
    """The bytes of one element, unpacked as they are asked for, and never more than `left` of them."""

    def __init__(self, file: BinaryIO, size: int, packed: bool) -> None:
        self.file, self.stored, self.left = file, size, size
        self.inflate = zlib.decompressobj() if packed else None
        if packed:
            self.left = 8  # its tag says how many follow

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise _Damaged
        self.left -= count
        found = self.file.read(count) if self.inflate is None else self._inflated(count)
        if len(found) != count:
            raise _Damaged
        return found

    def _inflated(self, count: int) -> bytes:
        assert self.inflate is not None
        parts = []
        while count > 0:
            packed = self.inflate.unconsumed_tail
            if not packed:
                packed = self.file.read(min(self.stored, BLOCK))
                self.stored -= len(packed)
            part = self.inflate.decompress(packed, count)
            if not part and (not packed or self.inflate.eof):
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def skip(self, count: int) -> None:
        while count > 0:
            count -= len(self.read(min(count, BLOCK)))

    def drop(self) -> None:
        """What is left is of no interest."""
        self.left, self.inflate = 0, None

    def close(self) -> None:
        """The end: the checksum of what was packed fits."""
        if self.inflate is not None:
            rest = self.inflate.unconsumed_tail + self.file.read(self.stored)
            if self.inflate.decompress(rest, 1) or not self.inflate.eof:
                raise _Damaged


@dataclass
class _Walk:
    """One file on its way through; `leaves` counts what it holds, `budget` the bytes that its numbers may yet take."""

    source: _Source
    order: Order
    largest: int
    budget: int
    leaves: int = 0

    def tag(self) -> tuple[int, int, bytes]:
        """Type and size of the next element; up to four bytes of content lie in the tag itself."""
        head = self.source.read(8)
        kind, size = struct.unpack(f"{self.order}II", head)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise _Damaged
            return kind, size, head[4 : 4 + size]
        return kind, size, b""

    def element(self, most: int) -> tuple[int, bytes]:
        """Type and content of the next element, at most so many bytes."""
        kind, size, content = self.tag()
        if size > most:
            raise _Damaged
        if size and not content:
            content = self.source.read(size)
            self.source.skip(-size % 8)
        return kind, content

    def numbers(self, count: int | None = None) -> np.ndarray:
        """The next element as numbers, as they are stored; `count` of them where that is known."""
        kind, size, content = self.tag()
        if kind not in TYPES or size % np.dtype(TYPES[kind]).itemsize:
            raise _Damaged
        cost = size // np.dtype(TYPES[kind]).itemsize * NUMBER
        if cost > min(self.largest, self.budget):
            most = min(self.largest, self.budget) // NUMBER
            raise RefusedError(f"holds {cost // NUMBER:,} numbers in one place; at most {most:,} are read")
        self.budget -= cost
        if size and not content:
            content = self.source.read(size)
            self.source.skip(-size % 8)
        found = np.frombuffer(content, dtype=np.dtype(TYPES[kind]).newbyteorder(self.order))
        if count is not None and len(found) != count:
            raise _Damaged
        return found.astype(found.dtype.newbyteorder("="), copy=False)


def leaves(
    path: str, what: str, cap: int, *, only: Collection[str] = (), ratio: int = RATIO, largest: int | None = None
) -> Iterator[Leaf]:
    """(dotted name, array) of everything in cells and structures, one after another; cells are numbered from 0, column
    by column. Numbers come as they are stored; sparse matrices become dense.

    only      the variables that are looked at; all, unless given
    ratio     a file may hold this many times its size, and at most `cap` bytes
    largest   bytes of one array; what there is to read otherwise
    Errors: `RefusedError`.
    """
    stream, size = opened(path, cap, what)
    with stream:
        order = _order(stream.read(128), what)
        most = min(cap, ratio * max(size, 1024))
        walk = _Walk(_Source(stream, 0, False), order, largest or cap, cap)
        at = claimed = 128
        try:
            while at < size:
                kind, length = struct.unpack(f"{order}II", stream.read(8))
                at += 8 + length
                walk.source = _Source(stream, length, packed=kind == PACKED)
                if kind == PACKED:
                    kind, length = struct.unpack(f"{order}II", walk.source.read(8))
                    walk.source.left = length
                claimed += length
                if claimed > most:
                    raise RefusedError(f"claims {claimed:,} bytes in a file of {size:,}; at most {cap:,} are read")
                if kind != MATRIX or at > size:
                    raise _Damaged
                yield from _matrix(walk, length, "", 0, only)
                walk.source.close()
                stream.seek(at)
        except RefusedError as refused:
            raise RefusedError(f"{what} {refused}") from None
        except (_Damaged, struct.error, zlib.error):
            raise RefusedError(f"{what} is a damaged or cut off MATLAB file") from None


def _order(head: bytes, what: str) -> Order:
    if head[:8] == b"\x89HDF\r\n\x1a\n" or b"MATLAB 7.3" in head:
        raise RefusedError(f"{what} is a MATLAB 7.3 file; save it with -v7")
    if not head.startswith(b"MATLAB 5.0"):
        raise RefusedError(f"{what} is no MATLAB 5 file: it does not start like one; save it with -v7")
    if head[126:128] not in (b"IM", b"MI"):
        raise RefusedError(f"{what} is a damaged or cut off MATLAB file")
    return "<" if head[126:128] == b"IM" else ">"


def _matrix(walk: _Walk, length: int, name: str, depth: int, only: Collection[str] = ()) -> Iterator[Leaf]:
    """What is in one matrix; `name` is that of its cell or field, and empty for a variable, which has its own."""
    if depth > DEEPEST:
        raise RefusedError(f"nests its entries more than {DEEPEST} deep")
    rest = walk.source.left - length
    if rest < 0:
        raise _Damaged
    if not length:
        yield _counted(walk, name, np.empty((0, 0)))
        return
    flags = int.from_bytes(walk.element(16)[1][:4], "little" if walk.order == "<" else "big")
    kind = flags & 0xFF
    if kind != OPAQUE:
        dims = struct.unpack(f"{walk.order}{(len(told := walk.element(SHORT)[1])) // 4}i", told)
        if any(side < 0 for side in dims) or len(dims) > 32:
            raise _Damaged
        own = walk.element(SHORT)[1].decode("latin1")
        name = name or own
        if not depth and ((only and name not in only) or not name or name.startswith("__")):
            walk.source.drop()
            return
    if kind == CELL:
        yield from _matrices(walk, (f"{name}.{place}" for place in range(math.prod(dims))), depth)
    elif kind in (STRUCT, OBJECT) and math.prod(dims) == 1:
        yield from _matrices(walk, [f"{name}.{field}" for field in _fields(walk, kind)], depth)
    elif kind == SPARSE and not flags & COMPLEX:
        yield _counted(walk, name, _dense(walk, dims, name))
    elif kind in NUMBERS and not flags & COMPLEX:
        yield _counted(walk, name, walk.numbers(math.prod(dims)).reshape(dims, order="F"))
    else:  # words, complex numbers, functions, objects, structures of several
        walk.source.skip(walk.source.left - rest)
        yield _counted(walk, name or "an object", None)
    if walk.source.left != rest:
        raise _Damaged


def _counted(walk: _Walk, name: str, values: np.ndarray | None) -> Leaf:
    walk.leaves += 1
    if walk.leaves > MEMBERS:
        raise RefusedError(f"holds more than {MEMBERS:,} arrays")
    return name, values


def _matrices(walk: _Walk, names: Iterator[str] | list[str], depth: int) -> Iterator[Leaf]:
    for name in names:
        kind, size, _ = walk.tag()
        if kind != MATRIX:
            raise _Damaged
        yield from _matrix(walk, size, name, depth + 1)


def _fields(walk: _Walk, kind: int) -> list[str]:
    if kind == OBJECT:
        walk.element(SHORT)  # the name of its class
    width = int.from_bytes(walk.element(4)[1], "little" if walk.order == "<" else "big")
    names = walk.element(SHORT)[1]
    if width <= 0 or len(names) % width or len(names) > width * MEMBERS:
        raise _Damaged
    return [names[at : at + width].split(b"\0")[0].decode("latin1") for at in range(0, len(names), width)]


def _dense(walk: _Walk, dims: tuple[int, ...], name: str) -> np.ndarray:
    """A sparse matrix, filled: ends[c] numbers lie in the columns up to c, each in its row."""
    rows, ends, values = walk.numbers(), walk.numbers(), walk.numbers()
    if 8 * math.prod(dims) > walk.largest:
        raise RefusedError(f"holds '{shown(name)}', which is sparse and would fill {math.prod(dims):,} values")
    counts = np.diff(ends)
    held = int(ends[-1]) if len(ends) else 0
    if len(dims) != 2 or len(ends) != dims[1] + 1 or ends[0] != 0 or (counts < 0).any():
        raise _Damaged
    if not held <= min(len(rows), len(values)) or (held and not 0 <= rows[:held].min() <= rows[:held].max() < dims[0]):
        raise _Damaged
    dense = np.zeros(dims, values.dtype)
    np.add.at(dense, (rows[:held], np.repeat(np.arange(dims[1]), counts)), values[:held])
    return dense


def read_mat(path: str, what: str, cap: int) -> Answer:
    """Arrays of numbers by name: X.0, X.1, s.field; what holds none is named in the facts."""
    arrays: Arrays = {}
    skipped: list[str] = []
    for name, values in leaves(path, what, cap):
        if name in arrays:
            raise RefusedError(f"{what} holds '{shown(name)}' twice")
        if values is None:
            skipped.append(shown(name))
        else:
            arrays[name] = values
    if not arrays:
        raise RefusedError(f"{what} holds no arrays of numbers")
    return arrays, {"skipped": skipped[:20]}

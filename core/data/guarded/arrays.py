"""Arrays as numpy saves them, one by one or in an archive, and archives of a dataset's files."""

import math
import zipfile
from typing import IO

import numpy as np

from core.data import npy
from core.data.guarded import MEMBERS, ONLY, RATIO, Answer, Arrays
from core.machine.names import RefusedError, opened, shown

BLOCK = 32 << 20
ARCHIVED = (".npy", ".json", ".list", ".txt", ".csv", ".tsv", ".mat", ".h5", ".hdf5", ".pkl", ".pickle")


def read_npy(path: str, what: str, cap: int) -> Answer:
    stream, size = opened(path, cap + npy.HEADER, what)
    with stream:
        return {ONLY: npy.read(stream, size, what, cap)}, {}


def read_npz(path: str, what: str, cap: int) -> Answer:
    stream, _ = opened(path, cap, what)
    arrays: Arrays = {}
    with stream, zipped(stream, what) as archive:
        for member in members(archive, what, cap):
            if not member.filename.endswith(".npy"):
                raise RefusedError(f"{what}: member '{shown(member.filename)}' is no array (.npy)")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as source:
                arrays[name] = npy.read(source, member.file_size, f"{what}: member '{shown(name)}'", cap)
                if source.read(1):
                    raise RefusedError(f"{what}: member '{shown(name)}' is longer than the directory says")
    return arrays, {}


def any_rows(source: npy.Source, size: int, what: str) -> np.ndarray:
    """Which rows of an array in `source`, which holds `size` bytes in all, hold anything but zeros; block by block."""
    kind, fortran, shape = npy.header(source, what)
    need = kind.itemsize * math.prod(shape)
    if not shape or need != size - source.tell():
        raise RefusedError(f"{what}: the header promises {shape} {kind}, which is not what the file holds")
    found = np.zeros(shape[0], bool)
    if not need:
        return found
    width = math.prod(shape[1:])
    lines, length = (width, shape[0]) if fortran else (shape[0], width)
    step = max(1, BLOCK // (length * kind.itemsize))
    for start in range(0, lines, step):
        count = min(step, lines - start)
        block = np.frombuffer(source.read(count * length * kind.itemsize), dtype=kind).reshape(count, length)
        if fortran:
            found |= block.any(axis=0)
        else:
            found[start : start + count] = block.any(axis=1)
    return found


def read_zip(path: str, what: str, cap: int) -> Answer:
    """An archive of a dataset's files as plain bytes by name, for other readers to judge; what is none is left out."""
    stream, _ = opened(path, cap, what)
    arrays: Arrays = {}
    skipped = []
    with stream, zipped(stream, what) as archive:
        for member in members(archive, what, cap):
            name = member.filename
            if member.is_dir() or name.startswith("__MACOSX/"):
                continue
            if not name.lower().endswith(ARCHIVED):
                skipped.append(shown(name))
                continue
            with archive.open(member) as source:
                content = source.read(member.file_size + 1)
            if len(content) != member.file_size:
                raise RefusedError(f"{what}: member '{shown(name)}' is not as long as the directory says")
            arrays[name] = np.frombuffer(content, dtype=np.uint8)
    if not arrays:
        raise RefusedError(f"{what} holds none of {', '.join(ARCHIVED)}")
    return arrays, {"skipped": skipped[:20]}


def zipped(stream: IO[bytes], what: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except Exception:
        raise RefusedError(f"{what} is no zip archive, or cut off or damaged") from None


def members(
    archive: zipfile.ZipFile, what: str, cap: int, stored: bool = False, ratio: int = RATIO
) -> list[zipfile.ZipInfo]:
    """The directory of a zip file, refused before anything is unpacked when it makes no sense."""
    found = archive.infolist()
    if not 0 < len(found) <= MEMBERS:
        raise RefusedError(f"{what} has {len(found):,} members; 1 to {MEMBERS:,} are read")
    seen: set[str] = set()
    total = 0
    for member in found:
        name = member.filename
        where = f"{what}: member '{shown(name)}'"
        if name in seen:
            raise RefusedError(f"{where} is there twice")
        seen.add(name)
        if not name or name.startswith(("/", "\\")) or ".." in name.split("/") or shown(name, 1000) != name:
            raise RefusedError(f"{where} has a name that is not let in")
        if max(len(part.encode()) for part in name.split("/")) > 255:
            raise RefusedError(f"{where} has a name of more than 255 bytes, which no disk takes")
        if member.flag_bits & 1:
            raise RefusedError(f"{where} is encrypted")
        if stored and member.compress_type != zipfile.ZIP_STORED:
            raise RefusedError(f"{where} is compressed; checkpoints are read as torch.save writes them, stored")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedError(f"{where} is packed by method {member.compress_type}; stored or deflated is needed")
        if member.file_size > ratio * max(member.compress_size, 1024):
            raise RefusedError(
                f"{where} claims to unpack from {member.compress_size:,} to {member.file_size:,} bytes: a zip bomb?"
            )
        total += member.file_size
    if total > cap:
        raise RefusedError(f"{what} unpacks to {total:,} bytes; at most {cap:,} are read")
    return found

"""The disposable reader: parses foreign files under hard limits and hands back clean arrays. Never imported.

    python -I guard_child.py LIMITS < jobs      one JSON job a line in, one JSON answer a line out

A job names a file, its kind and where the arrays go (safetensors); an answer holds facts or the reason for refusal.
Whatever a hostile file does to this process, the parent only ever sees those two, and checks them again.
"""

import csv
import io
import json
import math
import os
import pickle
import resource
import sys
import warnings
import zipfile
from array import array as numbers
from collections.abc import Callable, Iterator
from typing import IO, Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [HERE, os.path.join(os.path.dirname(HERE), "machine")]  # -I keeps the package out; three leaf files do

import names  # noqa: E402
import npy  # noqa: E402
import numpy as np  # noqa: E402
import tensors  # noqa: E402
from names import RefusedError, shown  # noqa: E402

Arrays = dict[str, np.ndarray]
Answer = tuple[Arrays, dict[str, Any]]

ONLY = "array"  # the name of the array in a file that holds one without a name
MEMBERS = 4096
ARCHIVED = (".npy", ".json", ".list", ".txt", ".csv", ".tsv", ".mat", ".h5", ".hdf5", ".pkl", ".pickle")
RATIO = 200  # a member may claim to unpack to this many times its size
CHUNK = 64 << 20
FRAMES = 200_000
MATLAB_BYTES = {"int8": 1, "uint8": 1, "logical": 1, "char": 2, "int16": 2, "uint16": 2, "single": 4}
WORDS = 5000  # different words in the class column of a table
PIXELS = 8192 * 4320
HDF5_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}


# --- npy, npz -------------------------------------------------------------------------------------------------


def read_npy(path: str, what: str, cap: int) -> Answer:
    stream, size = names.opened(path, cap + npy.HEADER, what)
    with stream:
        return {ONLY: npy.read(stream, size, what, cap)}, {}


def read_npz(path: str, what: str, cap: int) -> Answer:
    stream, _ = names.opened(path, cap, what)
    arrays: Arrays = {}
    with stream, _zip(stream, what) as archive:
        for member in _members(archive, what, cap):
            if not member.filename.endswith(".npy"):
                raise RefusedError(f"{what}: member '{shown(member.filename)}' is no array (.npy)")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as source:
                arrays[name] = npy.read(source, member.file_size, f"{what}: member '{shown(name)}'", cap)
                if source.read(1):
                    raise RefusedError(f"{what}: member '{shown(name)}' is longer than the directory says")
    return arrays, {}


def read_zip(path: str, what: str, cap: int) -> Answer:
    """An archive of a dataset's files as plain bytes by name, for other readers to judge; what is none is left out."""
    stream, _ = names.opened(path, cap, what)
    arrays: Arrays = {}
    skipped = []
    with stream, _zip(stream, what) as archive:
        for member in _members(archive, what, cap):
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


def _zip(stream: IO[bytes], what: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except Exception:
        raise RefusedError(f"{what} is no zip archive, or cut off or damaged") from None


def _members(archive: zipfile.ZipFile, what: str, cap: int, stored: bool = False) -> list[zipfile.ZipInfo]:
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
        if member.flag_bits & 1:
            raise RefusedError(f"{where} is encrypted")
        if stored and member.compress_type != zipfile.ZIP_STORED:
            raise RefusedError(f"{where} is compressed; checkpoints are read as torch.save writes them, stored")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedError(f"{where} is packed by method {member.compress_type}; stored or deflated is needed")
        if member.file_size > RATIO * max(member.compress_size, 1024):
            raise RefusedError(
                f"{where} claims to unpack from {member.compress_size:,} to {member.file_size:,} bytes: a zip bomb?"
            )
        total += member.file_size
    if total > cap:
        raise RefusedError(f"{what} unpacks to {total:,} bytes; at most {cap:,} are read")
    return found


# --- weights --------------------------------------------------------------------------------------------------


def read_safetensors(path: str, what: str, cap: int) -> Answer:
    stream, size = names.opened(path, cap + tensors.HEADER, what)
    with stream:
        return tensors.read(stream, size, what, cap), {}


def read_pt(path: str, what: str, cap: int) -> Answer:
    stream, size = names.opened(path, cap, what)
    with stream, _zip(stream, what) as archive:
        _members(archive, what, cap, stored=True)
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def load(where: str) -> Any:
        # what torch says here advises the unsafe switch: its words never leave this process
        try:
            return torch.load(path, weights_only=True, map_location=where)
        except MemoryError:
            raise
        except Exception:
            raise RefusedError(f"{what} {_why_not_weights(path)}") from None

    looked = dict(_flat(load("meta"), torch.Tensor, what))
    if not looked:
        raise RefusedError(f"{what} holds no tensors")
    total = 0
    for name, tensor in looked.items():
        where = f"{what}: tensor '{shown(name)}'"
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise RefusedError(f"{where} is sparse or quantized; plain dense tensors are read")
        if tensor.is_complex():
            raise RefusedError(f"{where} is complex; real numbers are read")
        if not tensor.is_contiguous():
            raise RefusedError(f"{where} is not contiguous (shape {tuple(tensor.shape)}, strides {tensor.stride()})")
        total += tensor.numel() * tensor.element_size()
    if total > cap or total > 16 * size:
        raise RefusedError(f"{what} holds {size:,} bytes but its tensors claim {total:,}")
    arrays = {}
    for name, tensor in _flat(load("cpu"), torch.Tensor, what):
        if tensor.device.type != "cpu":
            raise RefusedError(f"{what}: tensor '{shown(name)}' has no data")
        plain = tensor.detach()
        arrays[name] = (plain.float() if plain.dtype in (torch.bfloat16, torch.float16) else plain).numpy()
    return arrays, {}


def _why_not_weights(path: str) -> str:
    import torch

    try:
        found = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:4]
    except Exception:
        found = []
    if found:
        listed = ", ".join(shown(name, 60) for name in found)
        return f"holds Python objects beside weights ({listed}); save the state dict alone"
    return "cannot be read as a file of weights: damaged, or not saved by torch.save"


def _flat(value: Any, kind: type, what: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(dotted name, tensor) of everything in nested dictionaries and lists."""
    if depth > 8:
        raise RefusedError(f"{what} nests its entries more than 8 deep")
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, kind, what, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _flat(inner, kind, what, f"{name}.{place}" if name else str(place), depth + 1)


# --- restricted pickle ----------------------------------------------------------------------------------------

PICKLE_NAMES = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
}


class _Unpickler(pickle.Unpickler):
    """Builds numpy arrays and builtin containers and knows no other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1
        if (module, name) not in PICKLE_NAMES:
            raise RefusedError(f"names {shown(module, 40)}.{shown(name, 40)}, which is neither numpy nor a container")
        return super().find_class(module, name)


def _latin1(text: str, coding: str) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise RefusedError(f"encodes text as '{shown(coding, 20)}'")
    return text.encode("latin1")


def read_pickle(path: str, what: str, cap: int) -> Answer:
    """A dictionary (of dictionaries) of arrays; entries that are no numbers are left out and named."""
    stream, size = names.opened(path, cap, what)
    with stream:
        content = stream.read(size)
    try:
        found = _Unpickler(io.BytesIO(content)).load()
    except RefusedError as refused:
        raise RefusedError(f"{what} {refused}") from None
    except MemoryError:
        raise
    except Exception:
        raise RefusedError(f"{what} cannot be read as a pickle of arrays: damaged or cut off") from None
    if not isinstance(found, dict):
        found = {ONLY: found}
    arrays: Arrays = {}
    skipped: list[str] = []
    for name, value in _leaves(found, what):
        array = np.asarray(value) if isinstance(value, (np.ndarray, np.generic, int, float, list, tuple)) else None
        if array is None or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            skipped.append(shown(name))
        else:
            arrays[name] = array
    if not arrays:
        raise RefusedError(f"{what} holds no arrays of numbers")
    if sum(array.nbytes for array in arrays.values()) > cap:
        raise RefusedError(f"{what} unpacks to more than {cap:,} bytes")
    return arrays, {"skipped": skipped[:20]}


def _leaves(value: Any, what: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > 8:
        raise RefusedError(f"{what} nests its entries more than 8 deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, what, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, value


# --- HDF5 -----------------------------------------------------------------------------------------------------


def read_h5(path: str, what: str, cap: int) -> Answer:
    """Plain datasets reached by hard links; attributes are never touched, they alone crashed the library."""
    stream, size = names.opened(path, cap, what)
    with stream:
        if stream.read(8) != b"\x89HDF\r\n\x1a\n":
            raise RefusedError(f"{what} is no HDF5 file: it does not start like one")
    import h5py

    try:
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fapl_sec2()
        file = h5py.h5f.open(path.encode(), h5py.h5f.ACC_RDONLY, access)
    except Exception:
        raise RefusedError(f"{what} is a damaged or cut off HDF5 file") from None
    arrays: Arrays = {}
    total = 0
    try:
        for name, data in _h5_datasets(h5py, h5py.h5g.open(file, b"/"), what):
            where = f"{what}: dataset '{shown(name)}'"
            need = _h5_checked(h5py, data, where)
            total += need
            if total > cap or need > RATIO * max(size, 1024):
                raise RefusedError(f"{where} claims {need:,} bytes in a file of {size:,}; at most {cap:,} are read")
            array = np.empty(data.shape, dtype=data.dtype)
            if array.size:
                data.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
            arrays[name] = array
    except (RefusedError, MemoryError):
        raise
    except Exception:
        raise RefusedError(f"{what} is a damaged HDF5 file: a dataset cannot be read") from None
    if not arrays:
        raise RefusedError(f"{what} holds no dataset of plain numbers")
    return arrays, {}


def _h5_datasets(h5py: Any, root: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Breadth first over hard links; each object once, so that a loop of groups ends."""
    waiting, seen = [("", root)], {_h5_place(h5py, root)}
    visited = 0
    while waiting:
        prefix, group = waiting.pop(0)
        for link in range(min(group.get_num_objs(), MEMBERS + 1)):
            visited += 1
            if visited > MEMBERS:
                raise RefusedError(f"{what} holds more than {MEMBERS:,} links")
            key = group.get_objname_by_idx(link)
            name = f"{prefix}{key.decode('utf-8', 'replace')}"
            if "." in key.decode("utf-8", "replace").split("/"):
                raise RefusedError(f"{what}: link '{shown(name)}' has a name that is not let in")
            kind = group.links.get_info(key).type
            if kind != h5py.h5l.TYPE_HARD:
                word = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "a link to another file"}
                raise RefusedError(f"{what}: '{shown(name)}' is {word.get(kind, 'a foreign link')}, not followed")
            thing = h5py.h5o.open(group, key)
            place = _h5_place(h5py, thing)
            if place in seen:
                continue
            seen.add(place)
            if isinstance(thing, h5py.h5g.GroupID):
                waiting.append((f"{name}/", thing))
            elif isinstance(thing, h5py.h5d.DatasetID):
                yield name, thing
            else:
                raise RefusedError(f"{what}: '{shown(name)}' is neither group nor dataset")


def _h5_place(h5py: Any, thing: Any) -> Any:
    found = h5py.h5o.get_info(thing)
    return found.addr


def _h5_checked(h5py: Any, data: Any, where: str) -> int:
    """Bytes this dataset needs, once its storage is known to lie inside the file and to be plain."""
    made = data.get_create_plist()
    if made.get_external_count():
        raise RefusedError(f"{where} stores its numbers in another file, which is not opened")
    layout = made.get_layout()
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise RefusedError(f"{where} is virtual: put together from other files, which are not opened")
    for index in range(made.get_nfilters()):
        number = made.get_filter(index)[0]
        if number not in HDF5_FILTERS:
            known = ", ".join(HDF5_FILTERS.values())
            raise RefusedError(f"{where} is packed by filter {number}; {known} are read")
    kind = data.get_type()
    if not isinstance(kind, (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID)) or data.dtype.str[1:] not in npy.KINDS:
        raise RefusedError(f"{where} holds no plain numbers")
    shape = data.shape
    if shape is None or len(shape) > 6:
        raise RefusedError(f"{where} has no usable shape")
    if layout == h5py.h5d.CHUNKED and math.prod(made.get_chunk()) * data.dtype.itemsize > CHUNK:
        raise RefusedError(f"{where} has chunks of more than {CHUNK:,} bytes")
    return int(math.prod(shape) * data.dtype.itemsize)


# --- MATLAB ---------------------------------------------------------------------------------------------------


def read_mat(path: str, what: str, cap: int) -> Answer:
    """Arrays of numbers by name; cells and structures are walked through: X.0, X.1, s.field. Sparse becomes dense."""
    stream, size = names.opened(path, cap, what)
    with stream:
        head = stream.read(128)
    if head[:8] == b"\x89HDF\r\n\x1a\n" or b"MATLAB 7.3" in head:
        raise RefusedError(f"{what} is a MATLAB 7.3 file; save it with -v7")
    if not head.startswith(b"MATLAB 5.0"):
        raise RefusedError(f"{what} is no MATLAB 5 file: it does not start like one; save it with -v7")
    import scipy.io
    import scipy.sparse

    warnings.simplefilter("ignore")
    try:
        claimed = scipy.io.whosmat(path)
        if len(claimed) > MEMBERS:
            raise RefusedError(f"{what} holds {len(claimed):,} variables; at most {MEMBERS:,} are read")
        need = sum(math.prod(shape) * MATLAB_BYTES.get(kind, 8) for _, shape, kind in claimed)
        if need < 0 or need > cap or need > RATIO * max(size, 1024):
            raise RefusedError(f"{what} claims {need:,} bytes in a file of {size:,}; at most {cap:,} are read")
        found = scipy.io.loadmat(path)
    except (RefusedError, MemoryError):
        raise
    except Exception:
        raise RefusedError(f"{what} is a damaged or cut off MATLAB file") from None
    arrays: Arrays = {}
    skipped: list[str] = []
    total = 0
    for name, value in _mat_leaves({k: v for k, v in found.items() if not k.startswith("__")}, what):
        if len(arrays) + len(skipped) > MEMBERS:
            raise RefusedError(f"{what} holds more than {MEMBERS:,} arrays")
        if scipy.sparse.issparse(value):
            if math.prod(value.shape) * 8 > cap or value.dtype.kind not in "biuf":
                raise RefusedError(
                    f"{what}: '{shown(name)}' is sparse and would fill {math.prod(value.shape):,} values"
                )
            value = value.toarray()
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            skipped.append(shown(name))
            continue
        total += value.nbytes
        if total > cap:
            raise RefusedError(f"{what} unpacks to more than {cap:,} bytes")
        arrays[name] = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("="), copy=False)
    if not arrays:
        raise RefusedError(f"{what} holds no arrays of numbers")
    return arrays, {"skipped": skipped[:20]}


def _mat_leaves(value: Any, what: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(dotted name, array) of everything in cells and structures; cells are numbered from 0, column by column."""
    if depth > 8:
        raise RefusedError(f"{what} nests its entries more than 8 deep")
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        inner = [(field, value.ravel()[0][field]) for field in value.dtype.names]
    elif isinstance(value, np.ndarray) and value.dtype == object and not value.dtype.names:
        inner = list(enumerate(value.ravel(order="F")[: MEMBERS + 1]))
    else:
        yield name, value
    for key, part in inner:
        yield from _mat_leaves(part, what, f"{name}.{key}" if name else str(key), depth + 1)


# --- tables of numbers ----------------------------------------------------------------------------------------


def read_table(path: str, what: str, cap: int) -> Answer:
    """Values `(rows, columns - 1)` and the last column: numbers, or the numbers of its words (listed in the facts).

    A first line is a header when one of its cells but the last is no number, or when they count 0, 1, 2 … or 1, 2, 3 …
    An empty cell is NaN.
    """
    stream, size = names.opened(path, cap, what)
    with stream:
        content = stream.read(size)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{what} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from None
    if "\0" in text:
        raise RefusedError(
            f"{what} is not a table: line {text[: text.index(chr(0))].count(chr(10)) + 1} holds a zero byte"
        )
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
    as_numbers = [_cell(cell) for cell in last]
    facts: dict[str, Any] = {"header": header}
    if any(value is None for value in as_numbers):
        known = sorted(set(last))
        if len(known) > WORDS or max(map(len, known)) > 200:
            raise RefusedError(
                f"{what}: the last column holds {len(known):,} different words; up to {WORDS:,} are read"
            )
        place = {word: number for number, word in enumerate(known)}
        facts["words"] = known
        classes = np.array([place[word] for word in last], dtype=np.int64)
    else:
        classes = np.array(as_numbers, dtype=np.float64)
    return {"values": np.frombuffer(values, dtype=np.float64).reshape(count, width - 1), "last": classes}, facts


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


# --- video ----------------------------------------------------------------------------------------------------


def read_video(path: str, what: str, cap: int) -> Answer:
    """Frames counted by decoding, times from their stamps; the file's own claims are not believed."""
    stream, _ = names.opened(path, cap, what)
    with stream:
        head = stream.read(64)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        kind = "mp4"
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        kind = "avi"
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        kind = "matroska"
    else:
        raise RefusedError(f"{what} is no MP4, MOV, AVI, MKV or WebM by its content; convert it first")
    import av

    av.logging.set_level(None)
    options = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"}
    times: list[float] = []
    sizes: set[tuple[int, int]] = set()
    damaged = ""
    codec = ""
    try:
        with av.open(f"file:{path}", format=kind, options=options, timeout=10.0) as file:
            if not file.streams.video:
                raise RefusedError(f"{what} has no picture stream")
            pictures = file.streams.video[0]
            codec = pictures.codec_context.name
            pictures.thread_type = "NONE"
            _video_size(pictures.codec_context.width, pictures.codec_context.height, what)
            for frame in file.decode(pictures):
                if len(times) == FRAMES:
                    raise RefusedError(f"{what} has more than {FRAMES:,} frames; cut it into parts")
                _video_size(frame.width, frame.height, what)
                times.append(float(frame.time) if frame.time is not None else len(times) / 25)
                sizes.add((frame.width, frame.height))
    except (RefusedError, MemoryError):
        raise
    except Exception as error:
        damaged = type(error).__name__
    if not times:
        raise RefusedError(f"{what} holds no frame that can be decoded" + (": damaged or cut off" if damaged else ""))
    steps = np.diff(np.array(times))
    forward = steps[steps > 0]
    facts = {
        "format": kind,
        "codec": codec,
        "frames": len(times),
        "sizes": sorted(sizes)[:8],
        "seconds": round(times[-1] - times[0], 3),
        "fps": round(1 / float(np.median(forward)), 3) if len(forward) else None,
        "variable": bool(len(forward) > 1 and forward.max() > 1.5 * forward.min()),
        "backward": int((steps <= 0).sum()),
        "damaged": bool(damaged),
    }
    return {}, facts


def _video_size(width: int, height: int, what: str) -> None:
    if not 0 < width * height <= PIXELS:
        raise RefusedError(f"{what} has pictures of {width} x {height}; up to {PIXELS:,} pixels are decoded")


# --- the loop -------------------------------------------------------------------------------------------------

READERS: dict[str, Callable[[str, str, int], Answer]] = {
    "npy": read_npy,
    "npz": read_npz,
    "zip": read_zip,
    "pt": read_pt,
    "safetensors": read_safetensors,
    "h5": read_h5,
    "pickle": read_pickle,
    "mat": read_mat,
    "table": read_table,
    "video": read_video,
}


def facts_of(array: np.ndarray) -> dict[str, Any]:
    """What a report says about an array without keeping it; rows are counted along the last axis but one."""
    found: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype), "bytes": array.nbytes}
    if array.dtype.kind == "f" and array.size:
        good = np.isfinite(array)
        if not good.all():
            places = np.argwhere(np.atleast_1d(~good))  # a single number counts as a row of one
            rows = np.unique(places[:, -2] if array.ndim > 1 else places[:, 0])
            found |= {"bad": int((~good).sum()), "bad_rows": rows[:5].tolist()}
        found["top"] = float(np.abs(array, where=good, out=np.zeros_like(array)).max())
    if array.ndim >= 2 and array.size:
        found["zero_rows"] = int((~array.any(axis=-1)).sum())
    if array.ndim == 1 and array.dtype.kind in "biuf" and array.size:
        values, counts = np.unique(array, return_counts=True)
        found["values"] = [[float(v), int(n)] for v, n in zip(values[:5], counts[:5], strict=True)]
    return found


def answer(job: dict[str, Any], caps: dict[str, Any]) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + caps["cpu"], resource.getrlimit(resource.RLIMIT_CPU)[1]))
    try:
        arrays, facts = READERS[job["kind"]](job["path"], job["what"], caps["bytes"])
        facts["arrays"] = {name: facts_of(array) for name, array in arrays.items()}
        if job["out"]:
            with open(job["out"], "wb") as target:
                tensors.write(target, arrays)
    except RefusedError as refused:
        return {"why": str(refused)}
    except MemoryError:
        return {"why": f"{job['what']} needs more memory to read than the {caps['memory'] >> 20:,} MB allowed"}
    except OSError as error:
        return {"why": f"{job['what']} cannot be read ({error.strerror})"}
    except Exception as error:
        # the words of a parser may hold anything a file put into them; the kind of error is enough for the log
        return {"why": f"{job['what']} is damaged: it cannot be read", "detail": type(error).__name__}
    return {"facts": facts}


def main() -> None:
    caps = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (caps["address"],) * 2)
    resource.setrlimit(resource.RLIMIT_DATA, (caps["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (caps["file"],) * 2)
    out = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # libraries may print; nothing but answers goes to the parent
    os.dup2(quiet, 2)
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line), caps)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()

"""HDF5: plain datasets inside the file itself; what reaches outside, or is packed by other hands, is refused."""

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from core.data import npy
from core.data.guarded import MEMBERS, RATIO, Answer, Arrays
from core.machine.names import RefusedError, opened, shown

CHUNK = 64 << 20
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}


def read_h5(path: str, what: str, cap: int) -> Answer:
    """Plain datasets reached by hard links; attributes are never touched, they alone crashed the library."""
    stream, size = opened(path, cap, what)
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
        for name, data in _datasets(h5py, h5py.h5g.open(file, b"/"), what):
            where = f"{what}: dataset '{shown(name)}'"
            need = _checked(h5py, data, where)
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


def _datasets(h5py: Any, root: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Breadth first over hard links; each object once, so that a loop of groups ends."""
    waiting, seen = deque([("", root)]), {_place(h5py, root)}
    visited = 0
    while waiting:
        prefix, group = waiting.popleft()
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
            place = _place(h5py, thing)
            if place in seen:
                continue
            seen.add(place)
            if isinstance(thing, h5py.h5g.GroupID):
                waiting.append((f"{name}/", thing))
            elif isinstance(thing, h5py.h5d.DatasetID):
                yield name, thing
            else:
                raise RefusedError(f"{what}: '{shown(name)}' is neither group nor dataset")


def _place(h5py: Any, thing: Any) -> Any:
    found = h5py.h5o.get_info(thing)
    return found.addr


def _checked(h5py: Any, data: Any, where: str) -> int:
    """Bytes this dataset needs, once its storage is known to lie inside the file and to be plain."""
    made = data.get_create_plist()
    if made.get_external_count():
        raise RefusedError(f"{where} stores its numbers in another file, which is not opened")
    layout = made.get_layout()
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise RefusedError(f"{where} is virtual: put together from other files, which are not opened")
    for index in range(made.get_nfilters()):
        number = made.get_filter(index)[0]
        if number not in FILTERS:
            known = ", ".join(FILTERS.values())
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

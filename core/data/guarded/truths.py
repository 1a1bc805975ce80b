"""Which frames are anomalous, as masks and MATLAB cells tell it: intervals, or one bit a frame, never the masks."""

import re

import numpy as np

from core.data.guarded import ANY_RATIO, ONLY, Answer
from core.data.guarded.arrays import any_rows, members, zipped
from core.data.guarded.matlab import leaves
from core.machine.names import RefusedError, opened, shown

MOST = 16 << 30  # bytes of all masks, of which few are in memory at a time
MASK = 1 << 30  # of one clip's
CELLS = 1 << 20  # of one clip's intervals


def read_truth(path: str, what: str, cap: int) -> Answer:
    """By content: a MATLAB file of `gt.0`, `gt.1` … (intervals as they are) or `volLabel`, an archive of arrays by
    name, one array, or one picture. Masks come back as one bit a frame."""
    stream, size = opened(path, cap, what)
    with stream:
        head = stream.read(8)
        stream.seek(0)
        if head[:6] == b"\x93NUMPY":
            return {ONLY: any_rows(stream, size, what)}, {}
        if head[:4] == b"PK\x03\x04":
            found = {}
            with zipped(stream, what) as archive:
                for member in members(archive, what, MOST, ratio=ANY_RATIO):
                    name = member.filename.removesuffix(".npy")
                    if name == member.filename or member.file_size > MASK:
                        raise RefusedError(f"{what}: '{shown(name)}' is no array (.npy) of at most {MASK:,} bytes")
                    with archive.open(member) as file:
                        found[name] = any_rows(file, member.file_size, f"{what}: '{shown(name)}'")
            return found, {}
        if head[:6] != b"MATLAB" and head[1:4] != b"HDF":
            return {ONLY: _picture(stream.read(size), what)}, {}
    return _cells(path, what, cap), {}


def _cells(path: str, what: str, cap: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    masks: list[bool] = []
    for name, values in leaves(path, what, MOST, only=("gt", "volLabel"), ratio=ANY_RATIO, largest=MASK):
        cell = re.fullmatch(r"(gt|volLabel)\.\d+", name)
        if cell is None or values is None or (cell[1] == "gt" and values.nbytes > CELLS):
            raise RefusedError(f"{what}: '{shown(name)}' is no cell with the truth of one clip or frame")
        if cell[1] == "gt":
            found[name] = values
        else:
            masks.append(bool(values.any()))
    return found | ({"volLabel": np.array(masks)} if masks else {})


def _picture(content: bytes, what: str) -> np.ndarray:
    import cv2

    try:
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        raise RefusedError(f"{what} has more pixels than are let in") from None
    if picture is None:
        raise RefusedError(f"{what} is not a readable picture")
    return np.array([picture.any()])

"""Videos and frames."""

from pathlib import Path

import numpy as np

from app.store import keys
from app.store.data import clip
from app.store.keys import DataKey, FileKey, log, resource
from core.data.stills import jpeg, unit_frames

LARGEST_VIDEO = 64 << 20  # bytes; a playing video is held in memory while someone looks at it


def video(key: DataKey, name: str) -> bytes | None:
    """A clip's video, None when there is none that a page can hold."""
    path = clip(key, name).video
    if path is None or not path.is_file() or path.stat().st_size > LARGEST_VIDEO:
        return None
    return _bytes(FileKey(path))


@resource(32)
def _bytes(file: FileKey) -> bytes:
    return Path(file).read_bytes()


@keys.data(1024)
def thumbnail(key: DataKey, name: str, unit: int) -> bytes | None:
    """A picture from the middle of the unit as JPEG, None when there is none."""
    pictures = frames(key, name, unit, height=180, every=8)
    return jpeg(pictures[-1]) if len(pictures) else None


def frames(key: DataKey, name: str, unit: int, height: int = 120, every: int = 1) -> np.ndarray:
    """The unit's frames, uint8 `(frames, height, width, 3)`, red-green-blue; none when they cannot be read."""
    try:
        return _frames(key, name, unit, height, every)
    except ValueError as error:
        log.warning("no frames: %s", error)
        return np.zeros((0, height, height, 3), np.uint8)


@keys.data(2048)
def _frames(key: DataKey, name: str, unit: int, height: int, every: int) -> np.ndarray:
    return unit_frames(clip(key, name), unit, height, every)

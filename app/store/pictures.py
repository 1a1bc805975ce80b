"""Videos and frames."""

from pathlib import Path

import numpy as np
from streamlit import runtime

from app.store import keys
from app.store.data import clip
from app.store.keys import DataKey, FileKey, log, resource
from core.data.stills import jpeg, unit_frames

LARGEST_VIDEO = 64 << 20  # bytes; a playing video is held in memory while someone looks at it


def video(key: DataKey, name: str) -> str | None:
    """Address of a clip's video on this server, None when there is none that a page can hold.

    Streamlit serves only `app/static`, and users' videos have no place there: whoever knows an address could fetch
    them for ever, and a read-only disk takes no copies. So the file goes where `st.video` puts it: into the media
    store, under the digest of its content, with byte ranges for seeking, for as long as a session shows it.
    """
    path = clip(key, name).video
    if path is None or not runtime.exists() or not path.is_file() or path.stat().st_size > LARGEST_VIDEO:
        return None
    return runtime.get_instance().media_file_mgr.add(_bytes(FileKey(path)), "video/mp4", f"player-{key}")


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

"""Videos and frames."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from streamlit import runtime

from app.store.data import clip
from app.store.keys import _stamp, datasets, log
from core.data.stills import jpeg, unit_frames

if TYPE_CHECKING:
    pass

LARGEST_VIDEO = 64 << 20  # bytes; a playing video is held in memory while someone looks at it


def video(key: str, name: str) -> str | None:
    """Address of a clip's video on this server, None when there is none that a page can hold.

    Streamlit serves only `app/static`, and users' videos have no place there: whoever knows an address could fetch
    them for ever, and a read-only disk takes no copies. So the file goes where `st.video` puts it: into the media
    store, under the digest of its content, with byte ranges for seeking, for as long as a session shows it.
    """
    path = clip(key, name).video
    if path is None or not runtime.exists() or not path.is_file() or path.stat().st_size > LARGEST_VIDEO:
        return None
    return runtime.get_instance().media_file_mgr.add(_bytes(str(path), _stamp(path)), "video/mp4", f"player-{key}")


@st.cache_resource(max_entries=32, show_spinner=False)
def _bytes(path: str, stamp: str) -> bytes:
    return Path(path).read_bytes()


@st.cache_data(max_entries=2048, show_spinner=False)
def _frames(stamp: str, key: str, name: str, unit: int, height: int, every: int) -> np.ndarray:
    return unit_frames(clip(key, name), unit, height, every)


@st.cache_data(max_entries=1024, show_spinner=False)
def _thumbnail(stamp: str, key: str, name: str, unit: int) -> bytes | None:
    pictures = frames(key, name, unit, height=180, every=8)
    return jpeg(pictures[-1]) if len(pictures) else None


def thumbnail(key: str, name: str, unit: int) -> bytes | None:
    """A picture from the middle of the unit as JPEG, None when there is none."""
    return _thumbnail(_stamp(datasets()[key] / "dataset.json"), key, name, unit)


def frames(key: str, name: str, unit: int, height: int = 120, every: int = 1) -> np.ndarray:
    """The unit's frames, uint8 `(frames, height, width, 3)`, red-green-blue; none when they cannot be read."""
    try:
        return _frames(_stamp(datasets()[key] / "dataset.json"), key, name, unit, height, every)
    except ValueError as error:
        log.warning("no frames: %s", error)
        return np.zeros((0, height, height, 3), np.uint8)

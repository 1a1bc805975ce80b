"""Single pictures out of a clip's video: the frames of one unit, decoded in the guarded child, only where they are."""

import atexit
import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from core.clip import Clip
from core.data import guard
from core.machine.names import shown

Pictures = UInt8[np.ndarray, "frames height width 3"]
CAPS = guard.Caps(bytes=16 << 30, memory=2 << 30, file=512 << 20, cpu=20, wall=20)

# one child for all who look: starting one takes half a second, a picture out of a running one some milliseconds
_turn = threading.Lock()
_reader: guard.Reader | None = None


def unit_frames(clip: Clip, unit: int, height: int = 120, every: int = 1) -> Pictures:
    """The unit's frames, red-green-blue, `height` pixels high, each `every`-th of them; empty without a video.

    Errors: `ValueError` when the file holds no such unit, so that no wrong picture is ever shown for it.
    """
    if clip.video is None:
        return np.zeros((0, height, height, 3), np.uint8)
    if not 0 <= unit < clip.units:
        raise ValueError(f"clip {clip.name!r} has units 0 to {clip.units - 1}, not {unit}")
    start = unit * clip.seconds
    how: dict[str, Any] = {
        **{"start": start, "stop": (unit + 1) * clip.seconds, "step": clip.seconds / clip.frames_per_unit},
        **{"height": height, "every": every},
    }
    with _turn:
        found = _reading().read("still", clip.video, f"clip '{shown(clip.name)}'", **how)
    pictures: Pictures = found.arrays["frames"]
    if not len(pictures):
        raise ValueError(f"clip {clip.name!r}: the video ends before unit {unit} at {start:.2f} s")
    return pictures


def begin() -> None:
    """Start the child, so that the first picture does not wait for what it loads."""
    how: dict[str, Any] = {"start": 0.0, "stop": 0.0, "step": 0.0, "height": 1, "every": 1}
    with _turn, contextlib.suppress(ValueError):  # there is no such file
        _reading().read("still", Path(os.devnull), "nothing", **how)


def _reading() -> guard.Reader:
    global _reader
    if _reader is None:
        _reader = guard.Reader(CAPS)
        atexit.register(_reader.close)
    return _reader


def jpeg(picture: UInt8[np.ndarray, "height width 3"], quality: int = 85) -> bytes:
    """One picture, red-green-blue, as a JPEG file."""
    done, content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()

"""Single pictures out of a clip's video: the frames of one unit, decoded only where they are."""

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8

from core.clip import Clip
from core.data.video import FORMATS, container

Pictures = UInt8[np.ndarray, "frames height width 3"]


def unit_frames(clip: Clip, unit: int, height: int = 120, every: int = 1) -> Pictures:
    """The unit's frames, red-green-blue, `height` pixels high, each `every`-th of them; empty without a video.

    Errors: `ValueError` when the file holds no such unit, so that no wrong picture is ever shown for it.
    """
    if clip.video is None:
        return np.zeros((0, height, height, 3), np.uint8)
    if not 0 <= unit < clip.units:
        raise ValueError(f"clip {clip.name!r} has units 0 to {clip.units - 1}, not {unit}")
    container(clip.video)
    per_frame = clip.seconds / clip.frames_per_unit
    start, stop = unit * clip.seconds, (unit + 1) * clip.seconds
    found: list[np.ndarray] = []
    # "file:" and the white list keep a playlist in disguise from opening its neighbours
    with av.open(f"file:{clip.video}", options={"protocol_whitelist": "file", "format_whitelist": FORMATS}) as file:
        stream: VideoStream = file.streams.video[0]
        base = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        if stream.time_base:
            file.seek(int((start + base) / stream.time_base), stream=stream)  # to the key frame before
        for frame in file.decode(stream):
            time = (frame.time or 0.0) - base
            if time >= stop - per_frame / 2:
                break
            if time >= start - per_frame / 2:
                image = frame.to_ndarray(format="rgb24")
                width = max(1, round(image.shape[1] * height / image.shape[0]))
                found.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    if not found:
        raise ValueError(f"clip {clip.name!r}: the video ends before unit {unit} at {start:.2f} s")
    return np.stack(found[::every])


def jpeg(picture: UInt8[np.ndarray, "height width 3"], quality: int = 85) -> bytes:
    """One picture, red-green-blue, as a JPEG file."""
    done, content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()

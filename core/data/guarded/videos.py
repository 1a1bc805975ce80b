"""Videos: what decoding one to its end finds, and the pictures of one short part."""

from pathlib import Path

import numpy as np

from core.data.guarded import Answer
from core.machine.names import RefusedError, opened

LARGEST = 256 << 20  # bytes of the pictures that are handed back
FLATTEST = 16  # times as wide as high; a strip of one line would become a gigabyte when it is scaled


def read_video(path: str, what: str, cap: int) -> Answer:
    """Frames counted by decoding, times from their stamps; the file's own claims are not believed."""
    from core.data import video

    opened(path, cap, what)[0].close()
    times: list[float] = []
    sizes: set[tuple[int, int]] = set()
    notes: list[str] = []
    with video.opened(Path(path), what) as (_, stream):
        codec = stream.codec_context.name
    for frame in video.frames(Path(path), notes, what=what):
        times.append(video.time(frame, len(times)))
        sizes.add((frame.width, frame.height))
    steps = np.diff(np.array(times))
    forward = steps[steps > 0]
    facts = {
        "format": video.container(Path(path), what),
        "codec": codec,
        "frames": len(times),
        "sizes": sorted(sizes)[:8],
        "seconds": round(times[-1] - times[0], 3),
        "fps": round(1 / float(np.median(forward)), 3) if len(forward) else None,
        "variable": bool(len(forward) > 1 and forward.max() > 1.5 * forward.min()),
        "backward": int((steps <= 0).sum()),
        "damaged": bool(notes),
    }
    return {}, facts


def read_still(
    path: str, what: str, cap: int, start: float, stop: float, step: float, height: int, every: int
) -> Answer:
    """Every `every`-th frame from `start` to `stop` seconds, `step` apart, red-green-blue and `height` pixels high."""
    import cv2

    from core.data import video

    opened(path, cap, what)[0].close()
    with video.opened(Path(path), what) as (_, stream):
        begin = video.begin(stream)
    found: list[np.ndarray] = []
    seen = 0
    for frame in video.frames(Path(path), [], what=what, start=start):
        time = (frame.time or 0.0) - begin
        if time >= stop - step / 2:
            break
        if time < start - step / 2:
            continue
        if seen % every == 0:
            width = max(1, round(frame.width * height / frame.height))
            if width > FLATTEST * height or (len(found) + 1) * width * height * 3 > LARGEST:
                raise RefusedError(f"{what}: {len(found) + 1} pictures of {frame.width} x {frame.height} are too many")
            image = frame.to_ndarray(format="rgb24")
            found.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        seen += 1
    return {"frames": np.stack(found) if found else np.zeros((0, height, height, 3), np.uint8)}, {}

"""Video files in and out, guarded: what a file says about itself is not believed.

A name proves nothing: a text playlist called `x.mp4` makes a careless decoder open its neighbours or a network
address. So the first bytes choose the container, only the `file` protocol is allowed, frames are counted by decoding
them, and time comes from their time stamps. A variable frame rate is laid on a constant grid, because a unit is
16 frames and must last equally long everywhere.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from core.machine.names import RefusedError
from core.machine.process import PIXELS

Picture = np.ndarray  # (height, width, 3) uint8, blue-green-red as OpenCV has it

FRAMES = 100_000  # a file with more is refused: two hours at 14 frames a second
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"


@dataclass(frozen=True)
class Probe:
    """What decoding a video to its end found; `times` are seconds since the first frame, one per frame."""

    format: str
    width: int
    height: int
    times: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """The usual rate: one over the median distance of two frames, rounded to 1/1000."""
        steps = np.diff(self.times)
        steps = steps[steps > 0]
        if not len(steps):
            return 25.0
        # Time stamps in whole milliseconds make single steps wrong by up to 3 %; a steady file is averaged instead.
        step = float(np.median(steps)) if self.variable else float(self.times[-1] / (len(self.times) - 1))
        return round(1 / step, 3)

    @property
    def variable(self) -> bool:
        """True when the longest step between two frames is over 1.5 times the shortest."""
        steps = np.diff(self.times)
        return len(steps) > 1 and float(steps.max()) > 1.5 * max(float(steps.min()), 1e-6)


def container(path: Path, what: str = "") -> str:
    """The container by its first bytes: "mp4", "avi" or "matroska". Errors: `RefusedError` for anything else."""
    what = what or repr(path.name)
    if not path.is_file():
        raise RefusedError(f"{what} is not a file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise RefusedError(f"{what} is empty")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    raise RefusedError(
        f"{what} is no MP4, MOV, AVI, MKV or WebM by its content (it starts with {head[:8]!r}); convert it first"
    )


@contextlib.contextmanager
def opened(path: Path, what: str = "") -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its picture stream, before anything is decoded. Errors: `RefusedError`."""
    kind = container(path, what)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        opening = av.open(f"file:{path}", format=kind, options=options, timeout=10.0)
    except MemoryError:
        raise
    except Exception as error:  # whatever the library stumbles over
        raise _undecodable(what or repr(path.name), error) from error
    with opening as file:
        if not file.streams.video:
            raise RefusedError(f"{what or repr(path.name)} has no picture stream")
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        yield file, stream


def frames(
    path: Path, notes: list[str], limit: int = FRAMES, what: str = "", start: float = 0.0
) -> Iterator[av.VideoFrame]:
    """Frames until the end, the limit or the first damage; damage after the first frame becomes a note.

    start   seconds, from where frames are wanted: they begin at the last key frame before
    Errors: `RefusedError` where none can be decoded, or one is too large.
    """
    what = what or repr(path.name)
    count = 0
    try:
        with opened(path, what) as (file, stream):
            _sized(stream.codec_context.width, stream.codec_context.height, what)
            if start and stream.time_base:
                file.seek(int((start + begin(stream)) / stream.time_base), stream=stream)
            for frame in file.decode(stream):
                if count == limit and limit == FRAMES:
                    raise RefusedError(f"{what} has more than {FRAMES:,} frames; cut it into parts")
                _sized(frame.width, frame.height, what)  # the picture size may change inside a file
                count += 1
                yield frame
    except (RefusedError, MemoryError):
        raise
    except Exception as error:  # of a damaged file, whatever the library stumbles over
        if count == 0:
            raise _undecodable(what, error) from error
        notes.append(f"{what} is damaged: nothing after frame {count} could be decoded")
    if count == 0:
        raise RefusedError(f"{what} holds no frame that can be decoded")


def _undecodable(what: str, error: Exception) -> RefusedError:
    return RefusedError(f"{what} holds no frame that can be decoded ({type(error).__name__}): damaged or cut off")


def begin(stream: VideoStream) -> float:
    """Seconds on the file's own clock at which its pictures begin."""
    return float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0


def _sized(width: int, height: int, what: str) -> None:
    if not 0 < width * height <= PIXELS:
        raise RefusedError(f"{what} has pictures of {width} x {height}; up to {PIXELS:,} pixels are decoded")


def time(frame: av.VideoFrame, index: int) -> float:
    """Seconds at which a frame is shown; where the file does not say, 25 a second."""
    return float(frame.time) if frame.time is not None else index / 25.0


def probe(path: Path, limit: int = FRAMES) -> Probe:
    """Decode the whole file once and keep only when each frame is shown."""
    times: list[float] = []
    notes: list[str] = []
    shape = (0, 0)
    for frame in frames(path, notes, limit):
        times.append(time(frame, len(times)))
        shape = (frame.width, frame.height)
    stamps = np.maximum.accumulate(np.array(times) - times[0])
    return Probe(container(path), *shape, times=stamps, notes=tuple(notes))


def pictures(path: Path, found: Probe, fps: float) -> Iterator[Picture]:
    """The frames on a constant grid: picture k is the frame shown at k / fps seconds (`grid` says which)."""
    wanted = grid(found, fps)
    notes: list[str] = []
    position = 0
    for index, frame in enumerate(frames(path, notes, found.frames)):
        if position == len(wanted) or index == found.frames:
            return
        if index < wanted[position]:
            continue
        image: np.ndarray = frame.to_ndarray(format="bgr24")
        if image.shape[:2] != (found.height, found.width):  # the picture size may change inside a file
            image = cv2.resize(image, (found.width, found.height), interpolation=cv2.INTER_AREA)
        while position < len(wanted) and wanted[position] == index:
            yield image
            position += 1


def grid(found: Probe, fps: float) -> np.ndarray:
    """Index of the source frame at each step of a constant grid; the identity when the file already keeps this rate.

    >>> grid(Probe("mp4", 8, 8, np.array([0.0, 0.1, 0.4, 0.5])), 10.0).tolist()
    [0, 1, 1, 1, 2, 3]
    """
    if not found.variable and abs(found.fps - fps) <= 0.01 * fps:
        return np.arange(found.frames)
    last = found.times[-1] + 1 / found.fps
    steps = np.arange(max(1, round(last * fps))) / fps
    if len(steps) > 4 * FRAMES:
        raise ValueError(f"the time stamps span {last:.0f} s, which is {len(steps)} frames at {fps:g} a second")
    return np.maximum(np.searchsorted(found.times, steps + 1e-6, side="right") - 1, 0)


def on_grid(truth: tuple[tuple[int, int], ...], found: Probe, fps: float) -> tuple[tuple[int, int], ...]:
    """Half-open intervals of source frames as half-open intervals of the grid."""
    wanted = grid(found, fps)
    moved = []
    for start, stop in truth:
        inside = np.flatnonzero((wanted >= start) & (wanted < stop))
        if len(inside):
            moved.append((int(inside[0]), int(inside[-1]) + 1))
    return tuple(moved)


class Writer:
    """Writes an H.264 file that browsers play: yuv420p, a key frame every second, its index at the front."""

    def __init__(self, path: Path, fps: float, longest: int = 854) -> None:
        self.file = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self.fps = Fraction(fps).limit_denominator(1001)
        self.longest = longest
        self.stream: VideoStream | None = None

    def __enter__(self) -> "Writer":
        return self

    def add(self, picture: Picture) -> None:
        if self.stream is None:
            height, width = picture.shape[:2]
            scale = min(1.0, self.longest / max(height, width))
            self.stream = self.file.add_stream("libx264", rate=self.fps)
            self.stream.width = max(2, 2 * round(width * scale / 2))
            self.stream.height = max(2, 2 * round(height * scale / 2))
            self.stream.pix_fmt = "yuv420p"
            every = str(max(1, round(float(self.fps))))
            self.stream.options = {
                "preset": "veryfast",
                "crf": "24",
                "g": every,
                "x264-params": "threads=1:lookahead-threads=1:sync-lookahead=0:cpu-independent=1",
            }
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
        self.file.mux(self.stream.encode(frame.reformat(self.stream.width, self.stream.height, "yuv420p")))

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.stream is not None and error is None:
            self.file.mux(self.stream.encode())
        self.file.close()

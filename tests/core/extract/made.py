"""Videos and frame folders with known answers: dark squares that cross a grey, textured ground at a known speed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True)
class Square:
    """Stands with its lower edge at `foot`, starts at x = `start`, moves `speed` pixels a frame."""

    start: float
    speed: float
    foot: int = 90
    height: int = 24
    width: int = 12


def ground(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(90, 130, (HEIGHT, WIDTH)).astype(np.float32)
    return cv2.GaussianBlur(noise, (9, 9), 0)


def pictures(squares: Sequence[Square], frames: int, seed: int = 0) -> list[np.ndarray]:
    """Blue-green-red pictures; a square has texture of its own, so that flow can hold on to it."""
    still = ground(seed)
    skin = np.random.default_rng(7).uniform(0, 70, (64, 64)).astype(np.float32)
    skin = cv2.GaussianBlur(skin, (3, 3), 0)
    made = []
    for t in range(frames):
        picture = still.copy()
        for s in squares:
            x, y = s.start + s.speed * t, float(s.foot - s.height)
            placed = np.float32([[1, 0, x], [0, 1, y]])
            patch = cv2.warpAffine(skin[: s.height, : s.width], placed, (WIDTH, HEIGHT))
            cover = cv2.warpAffine(np.ones((s.height, s.width), np.float32), placed, (WIDTH, HEIGHT))
            picture = picture * (1 - cover) + patch * cover
        made.append(cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_GRAY2BGR))
    return made


def write_frames(folder: Path, shown: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(shown, start=1):
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)


def write_video(path: Path, shown: Sequence[np.ndarray], times: Sequence[int] | None = None, rate: int = 10) -> None:
    """An MP4 at `rate` frames a second, or with each frame at its own time in ticks of 1 / rate second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast", "threads": "1"}
        for index, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


WALKERS = (Square(-10, 1.0), Square(170, -1.0, foot=84), Square(40, 1.0, foot=100), Square(120, -1.0, foot=110))


def walkway(folder: Path, frames: int = 66) -> None:
    """train/01 and test/01 of walkers, test/02 with one that is three times as fast; truth and a split beside them."""
    write_frames(folder / "train" / "01", pictures(WALKERS, frames))
    write_frames(folder / "test" / "01", pictures(WALKERS[1:], frames))
    write_frames(folder / "test" / "02", pictures([*WALKERS[:2], Square(-20, 3.0, foot=104)], frames))
    truth = {"fps": 10, "anomalous_frames": {"Test002": [[5, 60]]}}
    (folder / "intervals.json").write_text(json.dumps(truth))
    split = {"train": {"anomalous": ["test/02"], "normal": ["train/01"]}, "test": ["test/01"]}
    (folder / "split_weak.json").write_text(json.dumps(split))

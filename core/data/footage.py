"""Clips before extraction: folders of numbered pictures and video files, found below a folder and named."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from core.clip import Intervals
from core.data import guard, video
from core.data.video import Picture
from core.dataset import Split
from core.machine.names import clip_name

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
LARGEST = 256 << 20  # bytes of a picture
CONTAINERS = {"frames", "videos", "images", "training_videos", "testing_videos"}  # folders that only hold clips


@dataclass(frozen=True)
class Footage:
    """One clip before extraction: its pictures, either numbered files or one video, and what is known about it.

    truth       half-open intervals of anomalous frames, 0-based, in frames of the source; None when unknown
    """

    name: str
    images: tuple[Path, ...] = ()
    file: Path | None = None
    truth: Intervals | None = None
    kinds: tuple[str, ...] = ()
    anomalous: bool | None = None
    part: str = ""  # "train", "test" or "" by the folder it lay in
    place: str = ""  # path below the root, for matching truth and split files

    def pictures(self, fps: float, found: video.Probe | None) -> Iterator[Picture]:
        """The clip's frames at this rate; `found` is the probe of a video file."""
        if self.file is not None and found is not None:
            yield from video.pictures(self.file, found, fps)
            return
        size: tuple[int, int] | None = None
        for path in self.images:
            picture = _decoded(path)
            if picture is None:
                raise ValueError(f"clip {self.name!r}: frame {path.name!r} is not a readable picture")
            size = size or picture.shape[:2]
            if picture.shape[:2] != size:
                raise ValueError(f"clip {self.name!r}: frame {path.name!r} is {picture.shape[:2]}, the first is {size}")
            yield picture


@dataclass(frozen=True)
class Collection:
    """Footage that belongs together; `splits` as in a dataset."""

    name: str
    footage: tuple[Footage, ...]
    splits: Mapping[str, Split]
    fps: float | None
    licence: str = ""
    simulated: bool = False
    notes: tuple[str, ...] = field(default=())


def found_below(root: Path) -> tuple[Footage, ...]:
    """Every clip below a folder, training clips first, then by name. Errors: `ValueError` for two of one name."""
    footage = []
    names: dict[str, str] = {}
    for folder, files in walk(root):
        place = PurePosixPath(folder.relative_to(root).as_posix())
        images = sorted((f for f in files if f.suffix.lower() in IMAGES), key=number_of)
        if len(images) >= 2 and not is_mask(place):
            footage.append(_footage(place, names, images=tuple(images)))
        for file in files:
            if file.suffix.lower() in guard.VIDEOS:
                footage.append(_footage(place / file.stem, names, file=file))
    return tuple(sorted(footage, key=lambda f: (f.part != "train", _natural(f.name))))


def walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders and their files, in order; nothing hidden, and no links, which might lead out of the root."""
    for folder, subfolders, files in os.walk(root):
        here = Path(folder)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith(".") and not (here / s).is_symlink())
        yield here, [here / f for f in sorted(files) if not f.startswith(".") and not (here / f).is_symlink()]


def _footage(place: PurePosixPath, names: dict[str, str], **where: object) -> Footage:
    part = _part(place)
    kept = [p for p in place.parts if p.lower() not in CONTAINERS and not (p == place.parts[0] and part)]
    kept = kept or [place.parts[-1] if place.parts else "clip"]
    name = clip_name("/".join([part, *kept] if part else kept))
    if name in names:
        raise ValueError(f"two clips are both called {name!r}: {names[name]!r} and {str(place)!r}; rename one")
    names[name] = str(place)
    return Footage(name, part=part, place=str(place), **where)  # type: ignore[arg-type]


def _part(place: PurePosixPath) -> str:
    first = place.parts[0].lower() if place.parts else ""
    return "train" if first.startswith("train") else "test" if first.startswith("test") else ""


def is_mask(place: PurePosixPath) -> bool:
    """Whether a folder holds masks, by its name: such pictures are truth, not clips."""
    return any(p.lower().endswith("_gt") or "mask" in p.lower() for p in place.parts)


def number_of(path: Path) -> tuple[int, str]:
    """What numbered pictures are sorted by: the last number in the name, then the name."""
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(d) if d else 0, w) for w, d in re.findall(r"(\D*)(\d*)", text))


def _decoded(path: Path) -> Picture | None:
    """The picture in a file; None where there is none, or one of more pixels than are let in (machine/process.py)."""
    if not path.is_file() or not 0 < path.stat().st_size <= LARGEST:
        return None
    try:
        return cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None

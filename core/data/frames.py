"""Footage on disk: folders of numbered pictures, folders of video files, or one file, with truth where it lies beside.

Layouts: UCSD (`Train/Train001/001.tif`, `Test/Test001_gt/*.bmp`), Avenue and ShanghaiTech (`training/frames/01/0.jpg`,
`test_frame_mask/01_0014.npy`, `*.mat` with `gt` or `volLabel`), ours (`train/01/001.jpg`, `intervals.json`), and any
folder of videos with an optional `truth.json`.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import scipy.io

from core.clip import Intervals
from core.data import guard, npy, video
from core.data.video import Picture
from core.dataset import Split
from core.machine.names import RefusedError, clip_name, opened, shown

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
DEFAULT_FPS = 25.0
JSON_CAP = 1 << 20
TRUTH_CAP = 1 << 30
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
            picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR) if _plain(path) else None
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


def collection(root: Path, *, fps: float | None = None, truth: Path | None = None) -> Collection:
    """Everything below `root` that can be extracted, with truth and splits.

    fps     frames a second of numbered pictures; taken from intervals.json or truth.json when not given, else 25 and
            said. Video files keep time themselves.
    truth   a truth file that lies elsewhere (intervals JSON, truth JSON, `.mat`, packed `.npz`)

    Errors: `ValueError` naming the file or clip, when there is nothing to extract or truth does not fit.
    """
    if root.is_file():
        video.container(root)
        return Collection(root.stem, (Footage(clip_name(root.stem), file=root, place=root.stem),), {}, fps)
    if not root.is_dir():
        raise ValueError(f"{root.name!r}: there is no such file or folder")
    footage = _found(root)
    if not footage:
        raise ValueError(
            f"{root.name!r} holds neither videos ({', '.join(guard.VIDEOS)}) nor folders of pictures "
            f"({', '.join(IMAGES)})"
        )
    notes: list[str] = []
    made = Collection(root.name, footage, {}, fps)
    described = root / "truth.json" if truth is None or truth.name != "truth.json" else truth
    if described.is_file():
        made = _with_description(made, _json(described))
    made = _with_truth(made, root, truth, notes)
    splits = {**made.splits, **_split_files(root, made.footage, notes)}
    parts = {part: tuple(f.name for f in made.footage if f.part == part) for part in ("train", "test")}
    if all(parts.values()) and "unsupervised" not in splits:
        splits["unsupervised"] = parts
    if made.fps is None and any(f.images for f in made.footage):
        notes.append(f"no frame rate given for numbered pictures: taken as {DEFAULT_FPS:g} frames a second")
        made = replace(made, fps=DEFAULT_FPS)
    return replace(made, splits=splits, notes=(*made.notes, *notes))


# --- footage -------------------------------------------------------------------------------------------------------


def _found(root: Path) -> tuple[Footage, ...]:
    footage = []
    names: dict[str, str] = {}
    for folder, files in _walk(root):
        place = PurePosixPath(folder.relative_to(root).as_posix())
        images = sorted((f for f in files if f.suffix.lower() in IMAGES), key=_number)
        if len(images) >= 2 and not _is_mask(place):
            footage.append(_footage(place, names, images=tuple(images)))
        for file in files:
            if file.suffix.lower() in guard.VIDEOS:
                footage.append(_footage(place / file.stem, names, file=file))
    return tuple(sorted(footage, key=lambda f: (f.part != "train", _natural(f.name))))


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
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


def _is_mask(place: PurePosixPath) -> bool:
    return any(p.lower().endswith("_gt") or "mask" in p.lower() for p in place.parts)


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(d) if d else 0, w) for w, d in re.findall(r"(\D*)(\d*)", text))


def _plain(path: Path) -> bool:
    return path.is_file() and 0 < path.stat().st_size <= 256 << 20


# --- truth ---------------------------------------------------------------------------------------------------------


def _with_description(made: Collection, described: Mapping) -> Collection:
    """truth.json: {"fps", "clips": {name: {"truth", "kinds", "anomalous"}}, "splits", "licence", "simulated"}."""
    clips = described.get("clips", {})
    known = {f.name for f in made.footage}
    unknown = [name for name in clips if name not in known]
    if unknown:
        raise ValueError(f"truth.json names clip {shown(unknown[0])!r}, which is not there ({len(unknown)} such)")
    footage = []
    for f in made.footage:
        entry = clips.get(f.name, {})
        truth = entry.get("truth")
        footage.append(
            replace(
                f,
                truth=None if truth is None else _checked(truth, f.name),
                kinds=tuple(str(kind) for kind in entry.get("kinds", ())),
                anomalous=entry.get("anomalous"),
            )
        )
    splits = {
        protocol: {part: tuple(names) for part, names in parts.items()}
        for protocol, parts in described.get("splits", {}).items()
    }
    for protocol, parts in splits.items():
        for part, names in parts.items():
            missing = [name for name in names if name not in known]
            if missing:
                raise ValueError(
                    f"truth.json: split {shown(protocol)!r}/{part} names {shown(missing[0])!r}, which is not there"
                )
    return replace(
        made,
        footage=tuple(footage),
        splits=splits,
        fps=made.fps or _rate(described, "truth.json"),
        licence=str(described.get("licence", "")),
        simulated=bool(described.get("simulated", False)),
        name=str(described.get("name", made.name)),
    )


def _with_truth(made: Collection, root: Path, truth: Path | None, notes: list[str]) -> Collection:
    """The first truth file that is there: the one named, intervals JSON, `.mat`, masks."""
    if truth is not None and not truth.is_file() and not truth.is_dir():
        raise ValueError(f"truth file {truth.name!r}: there is no such file")
    if truth is not None and truth.name == "truth.json":
        return made
    fps = made.fps
    found: dict[str, Intervals] = {}
    for path in [truth] if truth is not None else _truth_files(root):
        if path.suffix == ".json":
            described = _json(path)
            fps = fps or _rate(described, path.name)
            rows = described.get("anomalous_frames")
            if not isinstance(rows, dict):
                raise ValueError(f"{path.name!r} has no 'anomalous_frames': clip name -> [[start, stop], ...]")
            found = {_match(key, made.footage, path): _checked(rows[key], key) for key in rows}
        elif path.suffix == ".mat":
            found = _from_mat(path, made.footage)
        elif path.suffix == ".npz":
            found = _from_packed(path, made.footage)
        if found:
            notes.append(f"truth from {path.name!r}: {len(found)} clips")
            break
    if not found and truth is None:
        found = _from_folders(root, made.footage, notes)
    if not found:
        return replace(made, fps=fps)
    footage = []
    for f in made.footage:
        rows = found.get(f.name, f.truth)
        if rows is None and f.part == "train":
            rows = ()  # in these layouts the training folder holds normal clips only
        frames = len(f.images)
        if rows and frames and rows[-1][1] > frames:
            raise ValueError(f"clip {f.name!r} has {frames} frames, but truth reaches frame {rows[-1][1]}")
        footage.append(f if rows is None else replace(f, truth=rows, anomalous=bool(rows)))
    if any(f.part == "train" and f.name not in found for f in made.footage):
        notes.append("clips of the training folder have no truth of their own: taken as normal, as the layout means")
    return replace(made, footage=tuple(footage), fps=fps)


def _truth_files(root: Path) -> list[Path]:
    files = [root / "intervals.json"] if (root / "intervals.json").is_file() else []
    for pattern in ("*.mat", "*/*.mat", "*mask*.npz"):
        files += sorted(root.glob(pattern))
    return files


def _from_mat(path: Path, footage: Iterable[Footage]) -> dict[str, Intervals]:
    """`gt`: one cell a test clip, `[start; end]` 1-based inclusive; `volLabel`: one mask a frame."""
    clips = [f for f in footage if f.part == "test"] or list(footage)
    opened(path, TRUTH_CAP, f"truth file {path.name!r}")[0].close()
    try:
        values = scipy.io.loadmat(path, variable_names=["gt", "volLabel"])
    except NotImplementedError as error:
        raise ValueError(f"truth file {path.name!r} is a MATLAB 7.3 file; save it with -v7") from error
    except Exception as error:  # a damaged file raises whatever the parser tripped over
        raise ValueError(f"truth file {path.name!r} cannot be read ({type(error).__name__})") from error
    if "gt" in values:
        cells = [np.atleast_2d(np.asarray(cell, dtype=float)) for cell in values["gt"].ravel()]
        if len(cells) != len(clips):
            raise ValueError(f"truth file {path.name!r} has {len(cells)} cells for {len(clips)} test clips")
        found = {}
        for f, cell in zip(clips, cells, strict=True):
            if cell.size and cell.shape[0] != 2:
                raise ValueError(f"truth file {path.name!r}, {f.name!r}: cell {cell.shape} is not [start; end]")
            pairs = cell.T.tolist() if cell.size else []
            found[f.name] = _checked([[int(a) - 1, int(b)] for a, b in pairs], f.name)
        return found
    if "volLabel" in values:
        named = _named(path.stem.removesuffix("_label"), clips) if len(clips) > 1 else clips[0]
        masks = values["volLabel"].ravel()
        return {} if named is None else {named.name: _runs([bool(np.any(mask)) for mask in masks])}
    return {}


def _from_packed(path: Path, footage: Iterable[Footage]) -> dict[str, Intervals]:
    """One array a clip `(frames, height, width / 8)`: pixel masks, eight pixels a byte."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                raise ValueError(f"truth file {path.name!r}: {shown(member.filename)!r} is not an array")
            with archive.open(member) as file:
                masks = npy.read(file, member.file_size, f"{path.name!r}/{shown(member.filename)!r}")
            name = _match(member.filename.removesuffix(".npy"), footage, path)
            found[name] = _runs(np.any(masks.reshape(len(masks), -1), axis=1))
    return found


def _from_folders(root: Path, footage: Iterable[Footage], notes: list[str]) -> dict[str, Intervals]:
    """`<clip>_gt/*.bmp` and `*mask*/<clip>/*.png` pixel masks, `*mask*/<clip>.npy` per frame or per pixel, and
    Avenue's `<number>_label.mat`."""
    found: dict[str, Intervals] = {}
    for folder, files in _walk(root):
        place = PurePosixPath(folder.relative_to(root).as_posix())
        if not _is_mask(place) and folder != root:
            continue
        images = sorted((f for f in files if f.suffix.lower() in IMAGES), key=_number)
        f = _named(folder.name.removesuffix("_gt"), footage)
        if images and f is not None:
            found[f.name] = _runs([bool(_mask(image).any()) for image in images])
        for file in files:
            f = _named(file.stem.removesuffix("_label"), footage)
            if file.suffix == ".npy" and f is not None:
                what = f"truth file {file.name!r}"
                stream, size = opened(file, TRUTH_CAP, what)
                with stream:
                    values = npy.read(stream, size, what)
                found[f.name] = _runs(np.any(values.reshape(len(values), -1), axis=1))
            elif file.suffix == ".mat" and f is not None:
                found |= _from_mat(file, [f])
    if found:
        notes.append(f"truth from masks: {len(found)} clips")
    return found


def _mask(path: Path) -> np.ndarray:
    picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError(f"mask {path.name!r} is not a readable picture")
    return picture


def _runs(labels: np.ndarray | Sequence[bool]) -> Intervals:
    edges = np.flatnonzero(np.diff(np.pad(np.asarray(labels, np.int8), 1))).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _checked(rows: object, name: str) -> Intervals:
    """Half-open intervals, in order and apart."""
    problem = ValueError(f"clip {shown(name)!r}: truth must be a list of [start, stop) frames, 0 <= start < stop")
    if not isinstance(rows, list | tuple):
        raise problem
    intervals = []
    for row in rows:
        if not (isinstance(row, list | tuple) and len(row) == 2 and all(type(n) is int for n in row)):
            raise problem
        if not 0 <= row[0] < row[1]:
            raise problem
        intervals.append((row[0], row[1]))
    intervals.sort()
    for (_, stop), (start, _) in zip(intervals, intervals[1:], strict=False):
        if start < stop:
            raise ValueError(f"clip {shown(name)!r}: truth intervals overlap at frame {start}")
    return tuple(intervals)


# --- names in truth and split files --------------------------------------------------------------------------------


def _named(key: str, footage: Iterable[Footage]) -> Footage | None:
    """The clip a truth or split file means: by place, by name, or by part and number ("Test001" is test/01)."""
    clips = list(footage)
    plain = key.strip("/")
    for f in clips:
        if plain in (f.place, f.name, PurePosixPath(f.place).name):
            return f
    match = re.fullmatch(r"(train|test)?\w*?[/_-]?0*(\d+)", plain, re.IGNORECASE)
    if match is None:
        return None
    part = (match[1] or "test").lower()
    numbered = [f for f in clips if f.part == part and re.fullmatch(rf"\D*0*{match[2]}", PurePosixPath(f.place).name)]
    return numbered[0] if len(numbered) == 1 else None


def _match(key: str, footage: Iterable[Footage], path: Path) -> str:
    f = _named(key, footage)
    if f is None:
        raise ValueError(f"{path.name!r} names clip {shown(key)!r}, which is not in the folder")
    return f.name


def _split_files(root: Path, footage: tuple[Footage, ...], notes: list[str]) -> dict[str, Split]:
    """`split_<protocol>.json`: {"train": [...] or {"anomalous": [...], "normal": [...]}, "test": the same}."""
    splits: dict[str, Split] = {}
    for path in sorted(root.glob("split*.json")):
        described = _json(path)
        protocol = path.stem.removeprefix("split").strip("_-") or "given"
        parts = {}
        for part in ("train", "test"):
            if part not in described:
                raise ValueError(f"{path.name!r} has no part {part!r}")
            names = described[part]
            flat = [n for group in names.values() for n in group] if isinstance(names, dict) else names
            parts[part] = tuple(_match(str(name), footage, path) for name in flat)
        both = set(parts["train"]) & set(parts["test"])
        if both:
            notes.append(f"{path.name!r}: {len(both)} clips are in both train and test, first {sorted(both)[0]!r}")
        splits[protocol] = parts
    return splits


def _rate(described: Mapping, name: str) -> float | None:
    value = described.get("fps")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 240:
        raise ValueError(f"{name!r}: fps is {shown(repr(value), 40)}; a number from 0.1 to 240 is needed")
    return float(value)


def _json(path: Path) -> dict:
    stream, _ = opened(path, JSON_CAP, f"{path.name!r}")
    with stream:
        try:
            values = json.loads(stream.read().decode("utf-8"))
        except ValueError as error:
            raise RefusedError(f"{path.name!r} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise RefusedError(f"{path.name!r} must hold one JSON object")
    return values

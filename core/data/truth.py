"""What other hands say of footage: which frames are anomalous, of what kind, and which clips train and test.

truth.json              {"fps", "clips": {name: {"truth", "kinds", "anomalous"}}, "splits", "licence", "simulated"}
intervals.json          {"fps", "anomalous_frames": {clip: [[start, stop), ...]}}
*.mat                   `gt`: one cell a test clip, `[start; end]` 1-based inclusive; `volLabel`: one mask a frame
*mask*.npz              one array a clip `(frames, height, width / 8)`: pixel masks, eight pixels a byte
<clip>_gt/*.bmp …       pixel masks as pictures, or as one .npy a clip, per frame or per pixel
split_<protocol>.json   {"train": [...] or {"anomalous": [...], "normal": [...]}, "test": the same}

JSON is read by `fields.parsed`, everything else by the guarded child, which hands back intervals or whether a mask is
empty, never the masks.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.clip import Intervals
from core.data import fields, guard
from core.data.footage import IMAGES, Collection, Footage, is_mask, number_of, walk
from core.dataset import Split
from core.machine.names import RefusedError, check_name, opened, shown

JSON_CAP = 1 << 20
LAST = 1 << 31  # no clip has more frames
LONGEST = 256  # letters of what may name a clip
Names = Callable[[str], Footage | None]  # what a file calls a clip -> that clip


def described(made: Collection, path: Path) -> Collection:
    """The collection with what its truth.json says. Errors: `ValueError` naming clip and field."""
    told = _json(path)
    clips = _object(told.get("clips", {}), "clips")
    known = {f.name for f in made.footage}
    unknown = [name for name in clips if name not in known]
    if unknown:
        raise ValueError(f"truth.json names clip {shown(unknown[0])!r}, which is not there ({len(unknown)} such)")
    footage = []
    for f in made.footage:
        where = f"clip {shown(f.name)!r}"
        entry = _object(clips.get(f.name, {}), where)
        truth, anomalous = entry.get("truth"), entry.get("anomalous")
        footage.append(
            replace(
                f,
                truth=None if truth is None else _checked(truth, f.name),
                kinds=fields.texts(entry.get("kinds", []), f"{where}: kinds", "truth.json"),
                anomalous=None
                if anomalous is None
                else fields.of(anomalous, bool, f"{where}: anomalous", "truth.json"),
            )
        )
    return replace(
        made,
        footage=tuple(footage),
        splits=_splits(told.get("splits", {}), known),
        fps=made.fps or _rate(told, "truth.json"),
        licence=fields.text(told.get("licence", ""), "licence", "truth.json"),
        simulated=fields.of(told.get("simulated", False), bool, "simulated", "truth.json"),
        name=check_name(told["name"], "dataset") if "name" in told else made.name,
    )


def _splits(told: Any, known: set[str]) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for protocol, parts in _object(told, "splits").items():
        where = f"split {shown(check_name(protocol, 'split'))!r}"
        splits[protocol] = {
            check_name(part, "split"): fields.texts(names, f"{where}/{part}", "truth.json")
            for part, names in _object(parts, where).items()
        }
        for part, names in splits[protocol].items():
            missing = [name for name in names if name not in known]
            if missing:
                raise ValueError(f"truth.json: {where}/{part} names {shown(missing[0])!r}, which is not there")
    return splits


def fitted(made: Collection, root: Path, truth: Path | None, notes: list[str]) -> Collection:
    """The collection with the first truth file that is there: the one named, intervals JSON, `.mat`, masks."""
    if truth is not None and not truth.is_file() and not truth.is_dir():
        raise ValueError(f"truth file {truth.name!r}: there is no such file")
    if truth is not None and truth.name == "truth.json":
        return made
    named, fps = finder(made.footage), made.fps
    found: dict[str, Intervals] = {}
    with guard.Reader() as reader:
        for path in [truth] if truth is not None else _truth_files(root):
            if path.suffix == ".json":
                told = _json(path)
                fps = fps or _rate(told, path.name)
                found = _from_intervals(told, named, path)
            elif path.suffix == ".mat":
                found = _from_mat(reader, path, made.footage)
            elif path.suffix == ".npz":
                found = _from_packed(reader, path, named)
            if found:
                notes.append(f"truth from {path.name!r}: {len(found)} clips")
                break
        if not found and truth is None:
            found = _from_folders(reader, root, named, notes)
    if not found:
        return replace(made, fps=fps)
    if any(f.part == "train" and f.name not in found for f in made.footage):
        notes.append("clips of the training folder have no truth of their own: taken as normal, as the layout means")
    return replace(made, footage=tuple(_known(f, found) for f in made.footage), fps=fps)


def _known(f: Footage, found: Mapping[str, Intervals]) -> Footage:
    rows = found.get(f.name, f.truth)
    if rows is None and f.part == "train":
        rows = ()  # in these layouts the training folder holds normal clips only
    frames = len(f.images)
    if rows and frames and rows[-1][1] > frames:
        raise ValueError(f"clip {f.name!r} has {frames} frames, but truth reaches frame {rows[-1][1]}")
    return f if rows is None else replace(f, truth=rows, anomalous=bool(rows))


def _truth_files(root: Path) -> list[Path]:
    files = [root / "intervals.json"] if (root / "intervals.json").is_file() else []
    for pattern in ("*.mat", "*/*.mat", "*mask*.npz"):
        files += sorted(root.glob(pattern))
    return files


def _from_intervals(told: Mapping[str, Any], named: Names, path: Path) -> dict[str, Intervals]:
    rows = told.get("anomalous_frames")
    if not isinstance(rows, dict):
        raise ValueError(f"{path.name!r} has no 'anomalous_frames': clip name -> [[start, stop], ...]")
    return {_match(key, named, path): _checked(rows[key], key) for key in rows}


def _from_mat(reader: guard.Reader, path: Path, footage: Sequence[Footage]) -> dict[str, Intervals]:
    clips = [f for f in footage if f.part == "test"] or list(footage)
    what = f"truth file {path.name!r}"
    values = reader.read("truth", path, what).arrays
    cells = sum(name.startswith("gt.") for name in values)
    if cells and cells != len(clips):
        raise ValueError(f"{what} has {cells} cells for {len(clips)} test clips")
    if cells:
        pairs = {f.name: _pairs(values[f"gt.{k}"], f"{what}, {f.name!r}") for k, f in enumerate(clips)}
        return {name: _checked(rows, name) for name, rows in pairs.items()}
    if "volLabel" not in values:
        return {}
    f = finder(clips)(path.stem.removesuffix("_label")) if len(clips) > 1 else clips[0]
    return {} if f is None else {f.name: runs(values["volLabel"])}


def _pairs(cell: np.ndarray, what: str) -> list[list[int]]:
    """Half-open intervals from a cell `[start; end]`, 1-based and inclusive."""
    cell = np.atleast_2d(cell.astype(float))
    if cell.size and (cell.ndim != 2 or cell.shape[0] != 2):
        raise ValueError(f"{what}: cell {cell.shape} is not [start; end]")
    if not (np.abs(cell) < LAST).all():
        raise ValueError(f"{what}: its cell holds numbers that are no frames")
    return [[int(a) - 1, int(b)] for a, b in cell.T.tolist()] if cell.size else []


def _from_packed(reader: guard.Reader, path: Path, named: Names) -> dict[str, Intervals]:
    masks = reader.read("truth", path, f"truth file {path.name!r}").arrays
    return {_match(name, named, path): runs(anomalous) for name, anomalous in masks.items()}


def _from_folders(reader: guard.Reader, root: Path, named: Names, notes: list[str]) -> dict[str, Intervals]:
    """`<clip>_gt/*.bmp` and `*mask*/<clip>/*.png` pixel masks, `*mask*/<clip>.npy` per frame or per pixel, and
    Avenue's `<number>_label.mat`."""
    found: dict[str, Intervals] = {}
    for folder, files in walk(root):
        if not is_mask(PurePosixPath(folder.relative_to(root).as_posix())) and folder != root:
            continue
        images = sorted((f for f in files if f.suffix.lower() in IMAGES), key=number_of)
        f = named(folder.name.removesuffix("_gt"))
        if images and f is not None:
            masks = [reader.read("truth", image, f"mask {image.name!r}").arrays for image in images]
            found[f.name] = runs([bool(mask[guard.ONLY].any()) for mask in masks])
        for file in files:
            f = named(file.stem.removesuffix("_label"))
            if file.suffix == ".npy" and f is not None:
                masks_ = reader.read("truth", file, f"truth file {file.name!r}").arrays
                found[f.name] = runs(masks_[guard.ONLY])
            elif file.suffix == ".mat" and f is not None:
                found |= _from_mat(reader, file, [f])
    if found:
        notes.append(f"truth from masks: {len(found)} clips")
    return found


def runs(labels: np.ndarray | Sequence[bool]) -> Intervals:
    """Half-open intervals of the frames that are labelled.

    >>> runs([True, False, True, True])
    ((0, 1), (2, 4))
    """
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
        if not 0 <= row[0] < row[1] <= LAST:
            raise problem
        intervals.append((row[0], row[1]))
    intervals.sort()
    for (_, stop), (start, _) in zip(intervals, intervals[1:], strict=False):
        if start < stop:
            raise ValueError(f"clip {shown(name)!r}: truth intervals overlap at frame {start}")
    return tuple(intervals)


# --- names in truth and split files --------------------------------------------------------------------------------


def finder(footage: Iterable[Footage]) -> Names:
    """What a truth or split file means by a name: a clip by place, by name, or by part and number ("Test001" is
    test/01)."""
    plain: dict[str, Footage] = {}
    numbered: dict[tuple[str, str], list[Footage]] = {}
    for f in footage:
        last = PurePosixPath(f.place).name
        for key in (f.place, f.name, last):
            plain.setdefault(key, f)
        if match := re.fullmatch(r"\D*(\d+)", last):
            numbered.setdefault((f.part, match[1].lstrip("0") or "0"), []).append(f)

    def named(key: str) -> Footage | None:
        key = key.strip("/")
        match = re.fullmatch(r"(train|test)?\w*?[/_-]?0*(\d+)", key[:LONGEST], re.IGNORECASE)
        if key in plain or match is None:
            return plain.get(key)
        found = numbered.get(((match[1] or "test").lower(), match[2]), [])
        return found[0] if len(found) == 1 and len(key) <= LONGEST else None

    return named


def _match(key: str, named: Names, path: Path) -> str:
    f = named(key)
    if f is None:
        raise ValueError(f"{path.name!r} names clip {shown(key)!r}, which is not in the folder")
    return f.name


def split_files(root: Path, footage: Sequence[Footage], notes: list[str]) -> dict[str, Split]:
    """The splits of every split file, by protocol. Errors: `ValueError` naming file and part."""
    splits: dict[str, Split] = {}
    named = finder(footage)
    for path in sorted(root.glob("split*.json")):
        told = _json(path)
        protocol = check_name(path.stem.removeprefix("split").strip("_-") or "given", "split")
        parts: dict[str, tuple[str, ...]] = {}
        for part in ("train", "test"):
            if part not in told:
                raise ValueError(f"{path.name!r} has no part {part!r}")
            groups = told[part].values() if isinstance(told[part], dict) else [told[part]]
            if not all(isinstance(group, list) and all(type(n) in (str, int) for n in group) for group in groups):
                raise ValueError(
                    f"{path.name!r}: part {part!r} is {shown(repr(told[part]), 40)}; a list of clip names is needed, "
                    "or several by group"
                )
            parts[part] = tuple(_match(str(name), named, path) for group in groups for name in group)
        both = set(parts["train"]) & set(parts["test"])
        if both:
            notes.append(f"{path.name!r}: {len(both)} clips are in both train and test, first {sorted(both)[0]!r}")
        splits[protocol] = parts
    return splits


def _rate(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get("fps")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 240:
        raise ValueError(f"{name!r}: fps is {shown(repr(value), 40)}; a number from 0.1 to 240 is needed")
    return float(value)


def _object(value: Any, field: str) -> dict[str, Any]:
    found: dict[str, Any] = fields.of(value, dict, field, "truth.json")
    return found


def _json(path: Path) -> dict[str, Any]:
    what = f"{path.name!r}"
    stream, size = opened(path, JSON_CAP, what)
    with stream:
        values = fields.parsed(stream.read(size), what)
    if not isinstance(values, dict):
        raise RefusedError(f"{what} must hold one JSON object")
    return values

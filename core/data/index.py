"""Large datasets of ours, opened without reading their features: what one whole reading found out is kept.

    FOLDER/<digest of the dataset's place>.json     stamps, units, crops, digest and notes of one dataset

The first opening reads and checks every file, one after another, holding none. Later ones only look at every file's
size, times and inode: when one of them or dataset.json is another than it was, everything is read again. A file that
changes later still is found as it is read: its checksum is wrong, or, where dataset.json lists none, its stamp.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from core.clip import Clip, Stored
from core.data import check, fields, native
from core.data.reading import read as read_whole
from core.dataset import Dataset, fingerprint
from core.machine import drafts
from core.machine.names import Root, shown
from core.sample import Samples

FORMAT, VERSION = "fusescope-index", 1
LARGE = 1_000  # clips; the features of fewer are read at once and held
SHORTEST = 60  # bytes that a clip takes in dataset.json at least
LARGEST = 64 << 20  # bytes of an index
Stamp = tuple[int, int, int, int]  # size, time of the content, time of the entry, inode
Stamps = Mapping[tuple[str, str], Stamp]  # (modality, clip) -> its file's
Report = Callable[[float], None]


def maybe_large(path: Path) -> bool:
    """False where dataset.json is too short to name so many clips; what it really names is seen by `read`."""
    return (path / "dataset.json").stat().st_size >= SHORTEST * LARGE


def read(path: Path, folder: Path, large: int | None = None, tell: Report = lambda share: None) -> Dataset | Samples:
    """As `core.data.read`; the features of a dataset of ours with `large` clips stay on disk, its index in `folder`.

    `tell` hears which share of a first reading is done.

    Errors: `ValueError` as there. A folder that cannot be written only costs the next opening its time.
    """
    if check.kind(path) != "native":
        return read_whole(path)
    whole = stamp_of(path / "dataset.json")
    index = native.load_index(path)
    if len(index["clips"]) < (LARGE if large is None else large):
        return read_whole(path)
    stamps = stamps_of(path, index)
    marks = mark(whole, stamps)
    place = place_of(path, folder)
    known = load(place, marks, index)
    if known is None:
        known = look(path, index, marks, tell)
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            drafts.write_file(place, json.dumps(known, separators=(",", ":")).encode())
    return opened(path, index, known, stamps)


def place_of(path: Path, folder: Path) -> Path:
    """The index of the dataset at `path`."""
    return folder / f"{hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:32]}.json"


def stamp_of(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def stamps_of(path: Path, index: Mapping[str, Any]) -> Stamps:
    """Stamps of the feature files that are there."""
    found: dict[tuple[str, str], Stamp] = {}
    for modality in index["modalities"]:
        with contextlib.suppress(OSError), os.scandir(path / "features" / modality) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    now = entry.stat()
                    name = entry.name.removesuffix(".npy")
                    found[modality, name] = now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino
    return {
        (modality, name): found[modality, name]
        for name in index["clips"]
        for modality in index["modalities"]
        if (modality, name) in found
    }


def mark(whole: Stamp, stamps: Stamps) -> str:
    """One digest of all stamps, that of dataset.json and those of the feature files."""
    return hashlib.sha256(repr((whole, list(stamps.items()))).encode("utf-8", "surrogatepass")).hexdigest()


def look(path: Path, index: Mapping[str, Any], marks: str, tell: Report = lambda share: None) -> dict[str, Any]:
    """Read and check every file once, holding one clip at a time.

    Errors: `ValueError` naming file, clip, field and numbers.
    """
    root, units, crops, notes = Root(path), {}, {}, {}

    def each() -> Iterator[Clip]:
        for number, name in enumerate(sorted(index["clips"])):
            tell(number / len(index["clips"]))
            clip, note = native.read_clip(root, index, name, {**index["clips"][name], "video": None})
            units[name] = clip.units
            crops[name] = [0 if len(shape) == 2 else shape[0] for shape in clip.shapes.values()]
            if note:
                notes[name] = note
            yield clip

    found = {
        "format": FORMAT,
        "version": VERSION,
        "marks": marks,
        "digest": fingerprint(each(), native.splits_of(index)),
        "units": [units[name] for name in index["clips"]],
        "crops": [crops[name] for name in index["clips"]],
        "notes": notes,
    }
    return found | {"sum": fields.total(found)}


def load(place: Path, marks: str, index: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is known of a dataset whose files bear these marks; None where nothing is, or it cannot be trusted."""
    try:
        if place.stat().st_size > LARGEST:
            return None
        found: dict[str, Any] = json.loads(place.read_bytes())
        stated = found.pop("sum")
        fits = (
            (found["format"], found["version"], found["marks"]) == (FORMAT, VERSION, marks)
            and len(found["units"]) == len(found["crops"]) == len(index["clips"])
            and fields.total(found) == stated
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if fits else None


def opened(path: Path, index: Mapping[str, Any], known: Mapping[str, Any], stamps: Stamps) -> Dataset:
    """The dataset of a loaded index and what is known of its features."""
    root, clips, notes = Root(path), {}, native.notes_of(index)
    widths = {modality: described["width"] for modality, described in index["modalities"].items()}
    for (name, entry), units, crops in zip(index["clips"].items(), known["units"], known["crops"], strict=True):
        shapes = {
            modality: (units, width) if number == 0 else (number, units, width)
            for (modality, width), number in zip(widths.items(), crops, strict=True)
        }
        features = Stored(partial(read_rows, path, index, name, shapes, stamps), shapes)
        clips[name], note = native.clip_of(root, index, name, entry, features, known["notes"].get(name))
        notes.extend([note] if note else [])
    return native.dataset_of(path, index, clips, notes).known(known["digest"])


def read_rows(
    path: Path,
    index: Mapping[str, Any],
    name: str,
    shapes: Mapping[str, tuple[int, ...]],
    stamps: Stamps,
    modality: str,
) -> Tensor:
    """One clip's rows of one modality, checked as when they came in, and that they are those that were seen then.

    Errors: `ValueError` when the file has changed since the dataset was opened.
    """
    found = native.read_rows(path, index, name, modality)
    if found.shape[-2] > shapes[modality][-2]:  # the unit too many that `rows.cut` cuts
        found = found[..., : shapes[modality][-2], :].contiguous()
    same = tuple(found.shape) == shapes[modality]
    if index["files"] is None:
        same = same and stamp_of(path / "features" / modality / f"{name}.npy") == stamps[modality, name]
    if not same:
        raise ValueError(
            f"clip '{shown(name)}': its file of modality '{shown(modality)}' has changed since the dataset was opened; "
            "save dataset.json again, and everything is read anew"
        )
    return found

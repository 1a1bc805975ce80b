"""Our own dataset folder: written whole or not at all, read back bit for bit.

    dataset.json                     names, widths, splits, truth, and the SHA-256 of every feature file
    features/<modality>/<clip>.npy   float32 or float16, (units, width) or (units, crops, width)
    clips/<clip>.mp4                 the video, where there is one

`sum` in dataset.json is the SHA-256 of everything else in it, so that a flipped byte anywhere is found; who edits
the file by hand removes that line. A folder without `files` was made by other hands: it is read, and said.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from core.clip import Clip, Intervals, Stored, intervals, unit_labels
from core.data import fields, guard, npy, rows
from core.dataset import Dataset, Split
from core.machine import drafts
from core.machine.names import RefusedError, Root, check_name, inside, shown

FORMAT, VERSION = "fusescope-dataset", 1


def read(path: Path) -> Dataset:
    """The dataset in this folder.

    Errors: `ValueError` naming file, clip, field and numbers; nothing outside the folder is ever opened.
    """
    index = load_index(path)
    notes = notes_of(index)
    clips, root = {}, Root(path)
    for clip_name, entry in index["clips"].items():
        clip, note = read_clip(root, index, clip_name, entry)
        clips[clip_name] = clip
        notes.extend([note] if note else [])
    return dataset_of(path, index, clips, notes)


def dataset_of(path: Path, index: Mapping[str, Any], clips: Mapping[str, Clip], notes: Sequence[str]) -> Dataset:
    """The dataset of a loaded index and its clips."""
    return Dataset(
        name=index["name"],
        clips=clips,
        splits=splits_of(index),
        fps=index["fps"],
        frames_per_unit=index["frames_per_unit"],
        extractors={modality: entry["extractor"] for modality, entry in index["modalities"].items()},
        licence=index["licence"],
        simulated=index["simulated"],
        root=path,
        notes=tuple(notes),
    )


def splits_of(index: Mapping[str, Any]) -> dict[str, Split]:
    """The splits of a loaded index."""
    return {
        protocol: {part: tuple(names) for part, names in parts.items()} for protocol, parts in index["splits"].items()
    }


def notes_of(index: Mapping[str, Any]) -> list[str]:
    """What is to be said of a loaded index as a whole."""
    if index["files"] is not None:
        return list(index["notes"])
    return [*index["notes"], "dataset.json lists no checksums ('files'), so damage to its features would go unseen"]


def read_clip(
    path: Path | Root, index: Mapping[str, Any], name: str, entry: Mapping[str, Any]
) -> tuple[Clip, str | None]:
    """One clip of a loaded index, and the note where a unit was cut."""
    features = {modality: read_rows(path, index, name, modality) for modality in index["modalities"]}
    features, note = rows.cut(features, name)
    return clip_of(path, index, name, entry, features, note)


def read_rows(path: Path | Root, index: Mapping[str, Any], name: str, modality: str) -> Tensor:
    """One clip's rows of one modality, as many as its file holds."""
    relative = f"features/{modality}/{name}.npy"
    array = fields.array(path, relative, index["files"])
    rows.crop_axis(array.shape, f"file '{shown(relative)}'")
    found = rows.to_rows(array, 1 if array.ndim == 3 else None, name, modality)
    width = index["modalities"][modality]["width"]
    if array.shape[-1] != width:
        raise ValueError(
            f"clip '{shown(name)}': modality '{shown(modality)}' is {array.shape[-1]} wide, dataset.json says {width}"
        )
    return found


def clip_of(
    path: Path | Root,
    index: Mapping[str, Any],
    name: str,
    entry: Mapping[str, Any],
    features: Mapping[str, Tensor] | Stored,
    note: str | None,
) -> tuple[Clip, str | None]:
    """The clip around its features, and the note again, longer where its video is missing."""
    shapes = features.shapes if isinstance(features, Stored) else {m: found.shape for m, found in features.items()}
    units = next(iter(shapes.values()))[-2]
    per_unit, frames, truth = index["frames_per_unit"], entry["frames"], entry["truth"]
    _frames_fit(frames, units, per_unit, name)
    video = inside(path, entry["video"], "video") if entry["video"] is not None else None
    if video is not None and not video.is_file():
        note = " ".join(filter(None, [note, f"clip '{shown(name)}': its video is not there"]))
        video = None
    clip = Clip(
        name=name,
        features=features,
        labels=None if truth is None else unit_labels(truth, units, per_unit),
        seconds=per_unit / index["fps"],
        frames=frames,
        truth=truth,
        anomalous=entry["anomalous"],
        kinds=entry["kinds"],
        video=video,
        frames_per_unit=per_unit,
        notes=(note,) if note else (),
    )
    return clip, note


def load_index(path: Path) -> dict[str, Any]:
    """dataset.json with every field present, of its type, and believable."""
    found = fields.load(path, FORMAT, VERSION)
    index: dict[str, Any] = {
        "name": check_name(found.get("name", path.name), "dataset"),
        "fps": fields.number(found, "fps"),
        "frames_per_unit": fields.whole(found.get("frames_per_unit", 16), "frames_per_unit", 1, 10_000),
        "licence": fields.text(found.get("licence", ""), "licence"),
        "simulated": fields.of(found.get("simulated", False), bool, "simulated"),
        "notes": fields.texts(found.get("notes", []), "notes"),
        "modalities": {},
        "splits": {},
        "clips": {},
        "files": None if found.get("files") is None else fields.of(found["files"], dict, "files"),
    }
    for modality, entry in fields.of(found.get("modalities"), dict, "modalities").items():
        check_name(modality, "modality")
        entry = fields.of(entry, dict, f"modality '{shown(modality)}'")
        index["modalities"][modality] = {
            "width": fields.whole(entry.get("width"), f"modality '{shown(modality)}': width", 1, 1 << 20),
            "extractor": fields.text(entry.get("extractor", ""), "extractor"),
            "settings": fields.of(entry.get("settings", {}), dict, "settings"),
        }
    for protocol, parts in fields.of(found.get("splits", {}), dict, "splits").items():
        check_name(protocol, "split")
        index["splits"][protocol] = {
            check_name(part, "split"): fields.texts(names, "splits")
            for part, names in fields.of(parts, dict, f"split '{shown(protocol)}'").items()
        }
    for name, entry in fields.of(found.get("clips"), dict, "clips").items():
        check_name(name, "clip")
        index["clips"][name] = _clip_entry(name, fields.of(entry, dict, f"clip '{shown(name)}'"))
    if not index["clips"] or not index["modalities"]:
        raise RefusedError(f"dataset.json names {len(index['clips'])} clips and {len(index['modalities'])} modalities")
    return index


def write(
    dataset: Dataset,
    path: Path,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    half: bool = False,
) -> Path:
    """Write the dataset as a folder at `path`; `read` gives it back with equal features, truth and splits.

    settings    modality -> what its extractor was told, kept for who wants to extract more the same way
    overwrite   replace an existing folder; otherwise that is a `ValueError`
    half        store features as float16: half the size, 3 digits
    """
    for name in dataset.clips:
        check_name(name, "clip")
    for modality in dataset.modalities:
        check_name(modality, "modality")
    videos = {name: clip.video for name, clip in dataset.clips.items() if clip.video is not None}
    size = sum(video.stat().st_size for video in videos.values()) + sum(
        rows_.numel() * (2 if half else 4) for clip in dataset.clips.values() for rows_ in clip.features.values()
    )
    described = {name: _described(clip) for name, clip in dataset.clips.items()}
    for name, entry in described.items():  # nothing is written that `read` would refuse
        _frames_fit(_clip_entry(name, entry)["frames"], dataset.clips[name].units, dataset.frames_per_unit, name)
    files: dict[str, str] = {}
    with drafts.new_folder(path, size=size, overwrite=overwrite) as draft:
        for modality in dataset.modalities:
            (draft / "features" / modality).mkdir(parents=True)
        for name, clip in dataset.clips.items():
            for modality, values in clip.features.items():
                relative = f"features/{modality}/{name}.npy"
                content = npy.packed(_on_disk(values, clip, modality, half))
                (draft / relative).write_bytes(content)
                files[relative] = hashlib.sha256(content).hexdigest()
        for name, video in videos.items():
            (draft / "clips").mkdir(exist_ok=True)
            shutil.copyfile(video, draft / _video_place(name, video))
        index = {
            "format": FORMAT,
            "version": VERSION,
            "name": check_name(dataset.name, "dataset"),
            "fps": dataset.fps,
            "frames_per_unit": dataset.frames_per_unit,
            "licence": dataset.licence,
            "simulated": dataset.simulated,
            "notes": list(dataset.notes),
            "modalities": {
                modality: {
                    "width": width,
                    "extractor": dataset.extractors.get(modality, ""),
                    "settings": dict((settings or {}).get(modality, {})),
                }
                for modality, width in dataset.widths.items()
            },
            "splits": {p: {part: list(names) for part, names in parts.items()} for p, parts in dataset.splits.items()},
            "clips": described,
            "files": files,
        }
        index["sum"] = fields.total(index)
        (draft / "dataset.json").write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def _described(clip: Clip) -> dict[str, Any]:
    truth = clip.truth
    if truth is None and clip.labels is not None:  # labels by unit only: the same labels, told in frames
        last = clip.units * clip.frames_per_unit if clip.frames is None else clip.frames
        truth = tuple(
            (start * clip.frames_per_unit, min(stop * clip.frames_per_unit, last))
            for start, stop in intervals(clip.labels)
        )
    return {
        "frames": clip.frames,
        "truth": None if truth is None else [list(pair) for pair in truth],
        "kinds": list(clip.kinds),
        "anomalous": clip.anomalous,
        "video": _video_place(clip.name, clip.video) if clip.video is not None else None,
    }


def _frames_fit(frames: int | None, units: int, per_unit: int, name: str) -> None:
    if frames is not None and abs(units - frames / per_unit) > 1:
        raise ValueError(
            f"clip '{shown(name)}': {frames} frames are {frames / per_unit:g} units of {per_unit}, "
            f"but its features have {units}"
        )


def _video_place(name: str, video: Path) -> str:
    return f"clips/{name}{video.suffix.lower()}"


def _on_disk(values: Tensor, clip: Clip, modality: str, half: bool) -> np.ndarray:
    array = values.detach().cpu().numpy()
    array = np.moveaxis(array, 0, 1) if array.ndim == 3 else array
    if not half:
        return array.astype(np.float32)
    small = array.astype(np.float32).clip(-65504, 65504).astype(np.float16)
    if np.abs(array).max() > 65504:
        raise ValueError(f"clip '{shown(clip.name)}': modality '{shown(modality)}' does not fit float16 (over 65504)")
    return small


def _clip_entry(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    where = f"clip '{shown(name)}'"
    frames, truth, anomalous = entry.get("frames"), entry.get("truth"), entry.get("anomalous")
    video = entry.get("video")
    if frames is not None:
        frames = fields.whole(frames, f"{where}: frames", 1, 1 << 31)
    if anomalous is not None:
        fields.of(anomalous, bool, f"{where}: anomalous")
    if video is not None:
        fields.of(video, str, f"{where}: video")
        if not video.lower().endswith(guard.VIDEOS):
            raise RefusedError(f"{where}: video is '{shown(video)}'; the name of one ends in {', '.join(guard.VIDEOS)}")
    kinds = fields.texts(entry.get("kinds", []), f"{where}: kinds")
    if truth is not None:
        truth = _truth(fields.of(truth, list, f"{where}: truth"), frames, where)
    return {"frames": frames, "truth": truth, "anomalous": anomalous, "kinds": kinds, "video": video}


def _truth(pairs: list[Any], frames: int | None, where: str) -> Intervals:
    for pair in pairs:
        whole = isinstance(pair, list) and len(pair) == 2 and all(type(edge) is int for edge in pair)
        if not whole or not 0 <= pair[0] < pair[1] <= 1 << 31:
            raise RefusedError(f"{where}: truth {shown(pair, 40)} is no interval [start, stop) of frames")
        if frames is not None and pair[1] > frames:
            raise RefusedError(f"{where}: truth {pair} reaches past its {frames} frames")
    return tuple((pair[0], pair[1]) for pair in pairs)

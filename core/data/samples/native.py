"""Our own folder of samples: written whole or not at all, read back bit for bit.

    dataset.json                     name, task, widths, splits, and the SHA-256 of every other file
    features/<modality>.npy          float32 or float16, (samples, width)
    target.npy                       int64 (samples,) class numbers, or float32 (samples, targets)
    splits/<protocol>/<part>.npy     int64, numbers of samples
    names.json                       a list of texts, where the samples have names

`sum` in dataset.json is the SHA-256 of everything else in it; who edits the file by hand removes that line.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.clip import HUGE, MODALITY
from core.data import fields, npy
from core.machine import drafts
from core.machine.names import RefusedError, check_name, shown
from core.sample import Samples, Task

FORMAT, VERSION = "fusescope-samples", 1
MOST = 50_000_000  # samples
WIDEST = 1 << 20


def read(path: Path) -> Samples:
    """The sample set in this folder.

    Errors: `ValueError` naming file, field and numbers; nothing outside the folder is ever opened.
    """
    return assemble(path, load_index(path))


def assemble(path: Path, index: Mapping[str, Any]) -> Samples:
    """The sample set of a loaded index."""
    sums, count = index["files"], index["samples"]
    notes = list(index["notes"])
    if sums is None:
        notes.append("dataset.json lists no checksums ('files'), so damage to its features would go unseen")
    features = {}
    for modality, described in index["modalities"].items():
        relative = f"features/{modality}.npy"
        rows = fields.array(path, relative, sums)
        _shape(rows, (count, described["width"]), relative)
        features[modality] = torch.from_numpy(rows.astype(np.float32))
    task = index["task"]
    if task.kind == "class":
        target = fields.array(path, "target.npy", sums, ("int64",))
        _shape(target, (count,), "target.npy")
    else:
        target = fields.array(path, "target.npy", sums, ("float32",))
        _shape(target, (count, task.outputs), "target.npy")
    splits: dict[str, dict[str, torch.Tensor]] = {}
    for protocol, parts in index["splits"].items():
        splits[protocol] = {}
        for part, size in parts.items():
            relative = f"splits/{protocol}/{part}.npy"
            numbers = fields.array(path, relative, sums, ("int64",))
            _shape(numbers, (size,), relative)
            splits[protocol][part] = torch.tensor(numbers)
    return Samples(
        name=index["name"],
        features=features,
        target=torch.tensor(target),
        task=task,
        splits=splits,
        names=_names(path, count, sums) if index["named"] else (),
        pictures={m: entry["picture"] for m, entry in index["modalities"].items() if entry["picture"]},
        extractors={m: entry["extractor"] for m, entry in index["modalities"].items()},
        licence=index["licence"],
        simulated=index["simulated"],
        root=path,
        notes=tuple(notes),
    )


def load_index(path: Path) -> dict[str, Any]:
    """dataset.json with every field present, of its type, and believable."""
    found = fields.load(path, FORMAT, VERSION)
    asked = fields.of(found.get("task"), dict, "task")
    outputs = fields.texts(asked.get("names"), "task: names")
    kind = fields.text(asked.get("kind"), "task: kind")
    if kind not in ("class", "real"):
        raise RefusedError(f"dataset.json: task is '{shown(kind, 20)}'; samples have a class or real targets")
    index: dict[str, Any] = {
        "name": check_name(found.get("name", path.name), "dataset"),
        "task": Task(kind, outputs),  # type: ignore[arg-type]
        "samples": fields.whole(found.get("samples"), "samples", 1, MOST),
        "named": fields.of(found.get("named", False), bool, "named"),
        "licence": fields.text(found.get("licence", ""), "licence"),
        "simulated": fields.of(found.get("simulated", False), bool, "simulated"),
        "notes": fields.texts(found.get("notes", []), "notes"),
        "modalities": {},
        "splits": {},
        "files": None if found.get("files") is None else fields.of(found["files"], dict, "files"),
    }
    for modality, entry in fields.of(found.get("modalities"), dict, "modalities").items():
        if not MODALITY.fullmatch(modality):
            raise RefusedError(
                f"dataset.json: '{shown(modality, 40)}' is no modality name; use letters, digits, - and _"
            )
        where = f"modality '{shown(modality)}'"
        entry = fields.of(entry, dict, where)
        index["modalities"][modality] = {
            "width": fields.whole(entry.get("width"), f"{where}: width", 1, WIDEST),
            "extractor": fields.text(entry.get("extractor", ""), f"{where}: extractor"),
            "picture": _picture(entry.get("picture"), where),
        }
    if not index["modalities"]:
        raise RefusedError("dataset.json names no modalities")
    for protocol, parts in fields.of(found.get("splits", {}), dict, "splits").items():
        where = f"split '{shown(check_name(protocol, 'split'))}'"
        index["splits"][protocol] = {
            check_name(part, "split"): fields.whole(size, f"{where}/{shown(part)}", 0, MOST)
            for part, size in fields.of(parts, dict, where).items()
        }
    return index


def write(samples: Samples, path: Path, *, overwrite: bool = False, half: bool = False) -> Path:
    """Write the set as a folder at `path`; `read` gives it back with equal features, targets, names and splits.

    overwrite   replace an existing folder; otherwise that is a `ValueError`
    half        store features as float16: half the size, 3 digits
    """
    parts = {(protocol, part) for protocol, split in samples.splits.items() for part in split}
    for name in {name for pair in parts for name in pair}:
        check_name(name, "split")
    contents: dict[str, bytes] = {}
    for modality, rows in samples.features.items():
        values = rows.detach().cpu().numpy().astype(np.float32)
        if half and np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"modality {modality!r} does not fit float16 (over 65504)")
        contents[f"features/{modality}.npy"] = npy.packed(values.astype(np.float16) if half else values)
    kind = np.int64 if samples.task.kind == "class" else np.float32
    contents["target.npy"] = npy.packed(samples.target.cpu().numpy().astype(kind))
    for protocol, part in sorted(parts):
        numbers = samples.splits[protocol][part].cpu().numpy().astype(np.int64)
        contents[f"splits/{protocol}/{part}.npy"] = npy.packed(numbers)
    if samples.names:
        contents["names.json"] = json.dumps(list(samples.names)).encode()
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": check_name(samples.name, "dataset"),
        "task": {"kind": samples.task.kind, "names": list(samples.task.names)},
        "samples": len(samples),
        "named": bool(samples.names),
        "licence": samples.licence,
        "simulated": samples.simulated,
        "notes": list(samples.notes),
        "modalities": {
            modality: {
                "width": width,
                "extractor": samples.extractors.get(modality, ""),
                "picture": list(samples.pictures[modality]) if modality in samples.pictures else None,
            }
            for modality, width in samples.widths.items()
        },
        "splits": {p: {part: len(numbers) for part, numbers in split.items()} for p, split in samples.splits.items()},
        "files": {relative: hashlib.sha256(content).hexdigest() for relative, content in contents.items()},
    }
    index["sum"] = fields.total(index)
    size = sum(map(len, contents.values()))
    with drafts.new_folder(path, size=size, overwrite=overwrite) as draft:
        for relative, content in contents.items():
            (draft / relative).parent.mkdir(parents=True, exist_ok=True)
            (draft / relative).write_bytes(content)
        (draft / "dataset.json").write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def _shape(array: np.ndarray, wanted: tuple[int, ...], relative: str) -> None:
    if array.shape != wanted:
        raise RefusedError(f"file '{shown(relative, 160)}' has shape {array.shape}, dataset.json says {wanted}")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            rows = np.unique(np.nonzero(bad)[0])
            listed = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
            raise RefusedError(
                f"file '{shown(relative, 160)}' has {int(bad.sum())} NaN or infinite values, in samples {listed}"
            )
        if array.size and float(np.abs(array).max()) > HUGE:
            raise RefusedError(
                f"file '{shown(relative, 160)}' has values up to {np.abs(array).max():.1e}; scale them below {HUGE:.0e}"
            )


def _names(path: Path, count: int, sums: Mapping[str, Any] | None) -> tuple[str, ...]:
    found = fields.parsed(fields.content(path, "names.json", sums), "names.json", MOST)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise RefusedError("names.json is no list of texts")
    if len(found) != count:
        raise RefusedError(f"names.json holds {len(found):,} names, dataset.json says {count:,} samples")
    return tuple(found)


def _picture(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 < n <= WIDEST for n in value)):
        raise RefusedError(f"dataset.json: {where}: picture is {shown(value, 40)}; [height, width] is needed")
    return value[0], value[1]

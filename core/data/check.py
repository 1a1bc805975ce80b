"""What lies at a path, and everything that is wrong with it: the report a researcher acts on.

`check` never stops at the first problem and never raises for what it finds; it opens no file that the readers would
not open.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.clip import Clip
from core.data import fields, guard, native, rtfm
from core.data.problems import Problem
from core.data.samples import foreign
from core.machine.names import RefusedError, Root, inside, opened, shown
from core.sample import Samples

WORDS = {
    "native": "a FuseScope dataset",
    "samples": "a FuseScope sample set",
    "tables": "files of samples: views as .csv, a .mat, .h5 or a pickle",
    "features": "a folder of feature files",
    "footage": "videos or frame folders, before extraction",
    "run": "a FuseScope run",
    "video": "a video",
    "arrays": "a file of arrays",
    "missing": "nothing",
    "unknown": "nothing that is read here",
}
SAMPLE_FORMATS = ("fusescope-samples", "fusescope-recipe")
SHORT = 4 << 20
PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Modality:
    """One modality over all clips: widths and crops seen, and the shortest and longest clip in units."""

    name: str
    widths: tuple[int, ...]
    crops: tuple[int, ...]  # () when there is no crop axis
    clips: int
    units: tuple[int, int]
    extractor: str = ""


@dataclass(frozen=True)
class Report:
    """What was found at a path. `ok` means: it can be trained, scored or extracted as it is.

    clips       number of clips; frames and units over all of them where known
    labels      how many clips are anomalous, normal and unknown, and how many have their frames labelled
    samples     number of samples; of these `classes` by name, or the lowest and highest value of every target
    truth       ground truth file, its entries, and what it fits; {} when there is none
    """

    name: str
    kind: str
    problems: tuple[Problem, ...]
    clips: int = 0
    units: int = 0
    frames: int | None = None
    fps: float | None = None
    frames_per_unit: int | None = None
    modalities: tuple[Modality, ...] = ()
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    contents: Sequence[str] = ()
    licence: str = ""
    simulated: bool = False

    @property
    def ok(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain data, for `--json`."""
        return {"ok": self.ok, "found": WORDS[self.kind], **asdict(self)}

    def text(self) -> str:
        """The report as lines for a terminal."""
        lines = [f"{shown(self.name)}: {WORDS[self.kind]}" + (" (simulated)" if self.simulated else "")]
        if self.clips:
            size = [f"{self.clips} clips"]
            size += [f"{self.units:,} units of {self.frames_per_unit} frames"] if self.units else []
            size += [f"{self.frames:,} frames"] if self.frames else []
            size += [f"{self.fps:g} frames a second"] if self.fps else []
            lines.append("  " + ", ".join(size))
        if self.samples:
            lines.append(f"  {self.samples:,} samples")
        for m in self.modalities:
            crops = f", {_span(m.crops)} crops" if m.crops else ""
            maker = f"  ({shown(m.extractor, 100)})" if m.extractor else ""
            shape = f"{_span(m.widths)} wide"
            shape += "" if self.samples else f"{crops}, {_span(m.units)} units, {m.clips} clips"
            lines.append(f"  {shown(m.name, 30):14} {shape}{maker}")
        for protocol, parts in self.splits.items():
            counts = ", ".join(f"{shown(part, 30)} {count}" for part, count in parts.items())
            lines.append(f"  split {shown(protocol, 30)}: {counts}")
        lines += [f"  {line}" for line in _target_lines(self.classes, self.targets)]
        if self.labels:
            lines.append("  labels: " + ", ".join(f"{count} {word}" for word, count in self.labels.items()))
        if self.truth:
            fits = f"one entry a {self.truth['fits'][:-1]}" if "fits" in self.truth else "fits nothing"
            lines.append(
                f"  ground truth {shown(self.truth['file'], 60)}: {self.truth.get('entries', 0):,} entries, "
                f"{self.truth.get('anomalous', 0):,} anomalous, {fits}"
            )
        lines += [f"  {line}" for line in self.contents]
        for severity, word in (("error", "ERROR"), ("warning", "warning"), ("note", "note")):
            lines += [f"  {word}: {problem}" for problem in self.problems if problem.severity == severity]
        errors, warnings = (sum(p.severity == s for p in self.problems) for s in ("error", "warning"))
        lines.append(f"  {errors} errors, {warnings} warnings" if errors or warnings else "  nothing stands in the way")
        return "\n".join(lines)


def kind(path: Path) -> str:
    """Which of the known things a path is; one of the keys of `WORDS`."""
    if not os.path.exists(path):
        return "missing"
    if path.is_file():
        suffix = path.suffix.lower()
        if foreign.looks_like(path):
            return "tables"
        return "video" if suffix in guard.VIDEOS else "arrays" if suffix in guard.KINDS else "unknown"
    if not path.is_dir():
        return "unknown"
    if os.path.lexists(path / "dataset.json"):
        return "samples" if stated_format(path) in SAMPLE_FORMATS else "native"
    if os.path.lexists(path / "run.json"):
        return "run"
    pictures = _holds(path, (*PICTURES, *guard.VIDEOS))
    arrays = rtfm.looks_like(path)
    if pictures and arrays:  # frame folders may keep their truth as .npy, feature folders their videos
        masks = any("mask" in part.lower() or part.lower().endswith("_gt") for part in _folders(path))
        return "footage" if masks or not _lists_or_suffixes(path) else "features"
    if pictures or arrays:
        return "footage" if pictures else "features"
    return "tables" if foreign.looks_like(path) else "unknown"


def stated_format(path: Path) -> str:
    """The format that a folder's dataset.json gives itself, "" where it cannot be told."""
    content = b""
    try:
        stream, size = opened(path / "dataset.json", fields.LARGEST_INDEX, "dataset.json")
        with stream:
            # an index of samples is short, and one of many clips need not be read twice to be told from it
            content = stream.read(min(size, SHORT))
        found = json.loads(content.decode("utf-8"))
        return str(found.get("format", "")) if isinstance(found, dict) else ""
    except (RecursionError, ValueError):
        return next((form for form in SAMPLE_FORMATS if f'"{form}"'.encode() in content[:200]), "")


def instead(path: Path, found: str) -> str:
    """Why a path is no dataset to train or score, and what to do."""
    name = shown(path.name or str(path))
    if found == "missing":
        return f"'{name}': there is no such file or folder"
    if found in ("footage", "video"):
        return (
            f"'{name}' holds {WORDS['footage'] if found == 'footage' else 'a video'}; "
            f"extract it first: python -m core extract {name} OUT"
        )
    if found == "run":
        return f"'{name}' is a run, not a dataset; give it as the run and a dataset beside it"
    if found == "arrays":
        return f"'{name}' is a single file of arrays; a folder of feature files is needed, one file a clip and modality"
    return f"'{name}' holds no dataset.json, no feature files (.npy), no tables of samples, no videos and no frames"


def check(path: Path, **options: Any) -> Report:
    """Look at everything at this path.

    options     as in `core.data.rtfm.Options` or `core.data.samples.foreign.Options`, plus `pickles=True`
    """
    path = Path(path)
    pickles = bool(options.pop("pickles", False))
    found = kind(path)
    name = path.name or path.resolve().name
    try:
        if found == "native":
            return _native(path, name)
        if found == "samples":
            return _samples(path, name)
        if found == "tables" or (options and path.suffix.lower() in (".pkl", ".pickle")):
            return _tables(path, name, {**options, "pickle": True} if pickles else options)
        if found == "features":
            return _features(path, name, options)
        if found == "footage":
            return _footage(path, name, options)
        if found == "run":
            return _run(path, name)
        if found == "video":
            return _video(path, name)
        if found == "arrays":
            return _arrays(path, name, pickles)
    except RefusedError as refused:
        return Report(name, found, (Problem("error", str(refused)),))
    return Report(name, found, (Problem("error", instead(path, found)),))


# --- one function a kind --------------------------------------------------------------------------------------


def _native(path: Path, name: str) -> Report:
    index = native.load_index(path)
    problems: list[Problem] = []
    if index["files"] is None:
        problems.append(Problem("warning", "lists no checksums ('files'): damage would go unseen", "dataset.json"))
    clips: dict[str, Clip] = {}
    root = Root(path)
    for clip, entry in index["clips"].items():
        try:
            clips[clip], note = native.read_clip(root, index, clip, entry)
        except ValueError as refused:
            problems.append(Problem("error", str(refused)))
            continue
        if note:
            problems.append(Problem("note", note))
    sums = index["files"] or {}
    for relative, stated in sums.items():
        if relative.startswith("features/"):
            continue  # those were checked as they were read
        problems += _sum(path, relative, stated)
    for protocol, parts in index["splits"].items():
        for part, names in parts.items():
            unknown = [entry for entry in names if entry not in index["clips"]]
            if unknown:
                text = f"names {len(unknown)} unknown clips, first '{shown(unknown[0])}'"
                problems.append(Problem("error", text, f"split {shown(protocol, 30)}/{shown(part, 30)}"))
            if len(set(names)) < len(names):
                text = f"names {len(names) - len(set(names))} clips twice"
                problems.append(Problem("warning", text, f"split {shown(protocol, 30)}/{shown(part, 30)}"))
        both = set(parts.get("train", ())) & set(parts.get("test", ()))
        if both:
            text = f"{len(both)} clips are in train and in test, first '{shown(min(both))}'"
            problems.append(Problem("warning", text, f"split {shown(protocol, 30)}"))
    widths = {clip.name: clip.widths for clip in clips.values()}
    if len({tuple(w.items()) for w in widths.values()}) > 1:
        problems.append(Problem("error", "clips differ in width"))
    extractors = {m: entry["extractor"] for m, entry in index["modalities"].items()}
    problems += _zero_rows(clips)
    problems += [Problem("note", shown(note, 400)) for note in index["notes"]]
    return Report(
        name=index["name"],
        kind="native",
        problems=tuple(problems),
        fps=index["fps"],
        frames_per_unit=index["frames_per_unit"],
        splits=_counted(index["splits"]),
        licence=index["licence"],
        simulated=index["simulated"],
        **_described(clips, extractors),
    )


def _samples(path: Path, name: str) -> Report:
    """A native sample set, or a recipe for one; a set that cannot be put together shows its first problem."""
    from core.data.samples import native as stored
    from core.data.samples import recipe

    problems: list[Problem] = []
    try:
        if stated_format(path) == recipe.FORMAT:
            found = recipe.read(path)
        else:
            index = stored.load_index(path)
            for relative, stated in (index["files"] or {}).items():
                problems += _sum(path, relative, stated)
            found = stored.assemble(path, index)
    except ValueError as refused:
        if not any(str(refused).startswith(problem.where) for problem in problems if problem.where):
            problems.append(Problem("error", str(refused)))
        return Report(name, "samples", tuple(problems))
    notes = [Problem("note", shown(note, 400)) for note in found.notes]
    return _sample_report(found, found.name, "samples", (*problems, *foreign.inspect(found), *notes))


def _tables(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    examined = foreign.examine(path, given)
    if examined.samples is None:
        return Report(name, "tables", examined.problems)
    return _sample_report(examined.samples, name, "tables", examined.problems)


def _sample_report(samples: Samples, name: str, found: str, problems: Sequence[Problem]) -> Report:
    names = samples.task.names
    classes, targets = {}, {}
    if samples.task.kind == "class":
        counts = samples.target.bincount(minlength=len(names)).tolist()
        classes = dict(zip(names, counts, strict=True))
    else:
        low, high = samples.target.amin(0).tolist(), samples.target.amax(0).tolist()
        targets = dict(zip(names, zip(low, high, strict=True), strict=True))
    return Report(
        name=name,
        kind=found,
        problems=tuple(problems),
        samples=len(samples),
        classes=classes,
        targets=targets,
        modalities=tuple(
            Modality(modality, (width,), (), 0, (0, 0), samples.extractors.get(modality, ""))
            for modality, width in samples.widths.items()
        ),
        splits={
            protocol: {part: len(rows) for part, rows in parts.items()} for protocol, parts in samples.splits.items()
        },
        licence=samples.licence,
        simulated=samples.simulated,
    )


def _features(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    examined = rtfm.examine(path, rtfm.options(given) if given else None)
    modalities = []
    for modality, shapes in examined.shapes.items():
        if not shapes:
            continue
        sources = examined.survey.sources[modality]
        cubes = [shape for shape in shapes.values() if len(shape) == 3]
        own = [shape for clip, shape in shapes.items() if len(shape) == 3 and not sources[clip].by_crop]
        axis = rtfm.common_axis(own, modality)[0]
        lengths = [
            shape[0] if len(shape) == 2 else shape[1] if sources[clip].by_crop or axis == 0 else shape[0]
            for clip, shape in shapes.items()
        ]
        crops = {
            shape[0] if sources[clip].by_crop or axis == 0 else shape[1]
            for clip, shape in shapes.items()
            if len(shape) == 3
        }
        modalities.append(
            Modality(
                name=modality,
                widths=tuple(sorted({shape[-1] for shape in shapes.values()})),
                crops=tuple(sorted(crops)) if cubes else (),
                clips=len(shapes),
                units=(min(lengths), max(lengths)),
            )
        )
    dataset = examined.dataset
    described = _described(dataset.clips, {}) if dataset else {}
    described["modalities"] = tuple(modalities)
    if not dataset:
        described["clips"] = max((m.clips for m in modalities), default=0)
    return Report(
        name=name,
        kind="features",
        problems=tuple(examined.problems),
        fps=dataset.fps if dataset else None,
        frames_per_unit=dataset.frames_per_unit if dataset else None,
        splits=_counted(dataset.splits if dataset else {"lists": examined.lines} if examined.lines else {}),
        truth=examined.truth,
        **described,
    )


def _footage(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    from core.data import frames

    wanted = {key: value for key, value in given.items() if key in ("fps", "truth")}
    if isinstance(wanted.get("truth"), str):
        wanted["truth"] = Path(wanted["truth"])
    problems: list[Problem] = []
    try:
        collection = frames.collection(path, **wanted)
    except (ValueError, OSError) as refused:
        text = str(refused) if isinstance(refused, ValueError) else f"cannot be read ({refused.strerror})"
        return Report(name, "footage", (Problem("error", text),))
    total, contents, fps = 0, [], collection.fps
    with guard.Reader() as reader:
        for clip in collection.footage:
            count: int | None = None
            if clip.file is not None:
                what = f"clip '{shown(clip.name)}'"
                try:
                    facts = reader.read("video", clip.file, what, keep=False).facts
                except RefusedError as refused:
                    problems.append(Problem("error", str(refused)))
                    continue
                problems += _video_problems(facts, what)
                count, fps = facts["frames"], fps or facts["fps"]
            else:
                count = len(clip.images)
                numbers = [n for n in (_number(image) for image in clip.images) if n is not None]
                gaps = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
                if gaps > 0:
                    text = f"{gaps} of the numbers {numbers[0]} to {numbers[-1]} have no picture"
                    problems.append(Problem("warning", text, f"clip '{shown(clip.name)}'"))
                empty = [image.name for image in clip.images if not image.stat().st_size]
                if empty:
                    text = f"{len(empty)} pictures are empty files, first '{shown(empty[0])}'"
                    problems.append(Problem("error", text, f"clip '{shown(clip.name)}'"))
            if clip.truth and clip.truth[-1][1] > count:
                text = f"has {count} frames, its truth reaches frame {clip.truth[-1][1]}"
                problems.append(Problem("error", text, f"clip '{shown(clip.name)}'"))
            total += count
    contents.append(f"to train or score it, extract it first: python -m core extract {shown(name)} OUT")
    problems += [Problem("note", note) for note in collection.notes]
    known = [clip for clip in collection.footage if clip.truth is not None]
    return Report(
        name=collection.name,
        kind="footage",
        problems=tuple(problems),
        clips=len(collection.footage),
        frames=total,
        fps=fps,
        frames_per_unit=16,
        splits=_counted(collection.splits),
        labels=_label_counts([clip.anomalous for clip in collection.footage], len(known)),
        contents=tuple(contents),
        licence=collection.licence,
        simulated=collection.simulated,
    )


def _run(path: Path, name: str) -> Report:
    """A run folder: its files are there and whole; nothing of the model is built."""
    problems: list[Problem] = []
    contents = []
    try:
        stream, size = opened(path / "run.json", 16 << 20, "run.json")
        with stream:
            told = json.loads(stream.read(size).decode("utf-8"))
        config = told.get("config", {}) if isinstance(told, dict) else {}
        contents += [f"{shown(key, 40)}: {shown(value, 80)}" for key, value in sorted(config.items())][:40]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        problems.append(Problem("error", "cannot be read as JSON", "run.json"))
    except RefusedError as refused:
        problems.append(Problem("error", str(refused)))
    try:
        arrays = guard.read("safetensors", path / "model.safetensors", what="model.safetensors")
        contents += [f"{shown(key, 60)}: {' x '.join(map(str, a.shape)) or 'a number'}" for key, a in arrays.items()]
        contents.append(f"{sum(a.size for a in arrays.values()):,} weights")
    except RefusedError as refused:
        problems.append(Problem("error", str(refused)))
    return Report(name, "run", tuple(problems), contents=tuple(contents))


def _video(path: Path, name: str) -> Report:
    what = f"file '{shown(name)}'"
    facts = guard.video(path, what=what)
    size = " and ".join(f"{w} x {h}" for w, h in facts["sizes"])
    return Report(
        name,
        "video",
        tuple(_video_problems(facts, what)),
        clips=1,
        frames=facts["frames"],
        fps=facts["fps"],
        frames_per_unit=16,
        contents=(
            f"{facts['codec']} in {facts['format']}, {size} pixels, {facts['seconds']:g} s",
            f"to train or score it, extract it first: python -m core extract {shown(name)} OUT",
        ),
    )


def _arrays(path: Path, name: str, pickles: bool) -> Report:
    what = f"file '{shown(name)}'"
    problems: list[Problem] = []
    contents = []
    with guard.Reader(pickles=pickles) as reader:
        facts = reader.read(guard.kind_of(path), path, what, keep=False).facts
    for key, one in facts["arrays"].items():
        shape = " x ".join(map(str, one["shape"])) or "a number"
        extra = [f"values {', '.join(f'{v:g} ({n} times)' for v, n in one['values'])}"] if "values" in one else []
        extra += [f"largest {one['top']:.3g}"] if "top" in one else []
        contents.append(f"{shown(key, 60)}: {one['dtype']} {shape}" + (", " + ", ".join(extra) if extra else ""))
        if one.get("bad"):
            text = f"has {one['bad']} NaN or infinite values, in rows {', '.join(map(str, one['bad_rows']))}"
            problems.append(Problem("error", text, shown(key, 60)))
        if one.get("zero_rows"):
            problems.append(Problem("warning", f"has {one['zero_rows']} rows of zeros", shown(key, 60)))
    if facts.get("skipped"):
        problems.append(Problem("note", f"entries that are no numbers: {', '.join(facts['skipped'])}"))
    return Report(name, "arrays", tuple(problems), contents=tuple(contents))


# --- parts ----------------------------------------------------------------------------------------------------


def _described(clips: Mapping[str, Clip], extractors: Mapping[str, str]) -> dict[str, Any]:
    modalities = []
    for modality in next(iter(clips.values())).features if clips else ():
        rows = [clip.features[modality] for clip in clips.values() if modality in clip.features]
        lengths = [r.shape[-2] for r in rows]
        modalities.append(
            Modality(
                name=modality,
                widths=tuple(sorted({r.shape[-1] for r in rows})),
                crops=tuple(sorted({r.shape[0] for r in rows if r.ndim == 3})),
                clips=len(rows),
                units=(min(lengths), max(lengths)),
                extractor=extractors.get(modality, ""),
            )
        )
    counts = [clip.frames for clip in clips.values()]
    return {
        "clips": len(clips),
        "units": sum(clip.units for clip in clips.values()),
        "frames": sum(n for n in counts if n is not None) if counts and None not in counts else None,
        "modalities": tuple(modalities),
        "labels": _label_counts(
            [clip.anomalous for clip in clips.values()], sum(clip.truth is not None for clip in clips.values())
        ),
    }


def _target_lines(classes: Mapping[str, int], targets: Mapping[str, tuple[float, float]]) -> list[str]:
    lines = []
    if classes:
        told = ", ".join(f"{shown(name, 30)} {count:,}" for name, count in list(classes.items())[:20])
        lines.append(f"{len(classes)} classes: {told}" + (" …" if len(classes) > 20 else ""))
    if targets:
        lines.append(f"{len(targets)} real targets:")
        lines += [f"  {shown(name, 30):14} {low:.4g} to {high:.4g}" for name, (low, high) in list(targets.items())[:20]]
    return lines


def _label_counts(anomalous: Sequence[bool | None], framed: int) -> dict[str, int]:
    return {
        "anomalous": sum(a is True for a in anomalous),
        "normal": sum(a is False for a in anomalous),
        "unknown": sum(a is None for a in anomalous),
        "with labelled frames": framed,
    }


def _counted(splits: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, dict[str, int]]:
    return {protocol: {part: len(names) for part, names in parts.items()} for protocol, parts in splits.items()}


def _zero_rows(clips: Mapping[str, Clip]) -> list[Problem]:
    found: dict[str, list[str]] = {}
    for clip in clips.values():
        for modality, rows in clip.features.items():
            if not bool(rows.any(-1).all()):
                found.setdefault(modality, []).append(clip.name)
    return [
        Problem("note", f"{len(names)} clips have all-zero rows in '{shown(m)}', first '{shown(names[0])}'")
        for m, names in found.items()
    ]


def _sum(path: Path, relative: str, stated: Any) -> list[Problem]:
    what = f"file '{shown(relative, 160)}'"
    try:
        total = hashlib.sha256()
        with opened(inside(path, relative, "file"), 1 << 40, what)[0] as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    except RefusedError as refused:
        return [Problem("error", str(refused))]
    if total.hexdigest() != stated:
        return [Problem("error", "does not match its checksum: it is damaged or was replaced", what)]
    return []


def _video_problems(facts: Mapping[str, Any], what: str) -> list[Problem]:
    found = []
    if facts["damaged"]:
        found.append(Problem("warning", f"is damaged: nothing after frame {facts['frames']} can be decoded", what))
    if facts["variable"]:
        found.append(Problem("note", "has a variable frame rate; extraction lays it on an even grid", what))
    if facts["backward"]:
        found.append(Problem("warning", f"{facts['backward']} frames are not later than the one before", what))
    if len(facts["sizes"]) > 1:
        sizes = ", ".join(f"{w} x {h}" for w, h in facts["sizes"])
        found.append(Problem("warning", f"changes its picture size: {sizes}", what))
    if facts["frames"] < 16:
        found.append(Problem("warning", f"has {facts['frames']} frames, less than one unit of 16", what))
    return found


def _span(values: Sequence[int]) -> str:
    if not values:
        return "no"
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"


def _number(image: Path) -> int | None:
    digits = "".join(c if c.isdigit() else " " for c in image.stem).split()
    return int(digits[-1]) if digits and len(digits[-1]) < 10 else None


def _holds(path: Path, endings: tuple[str, ...]) -> bool:
    for _, inner, files in os.walk(path):
        inner[:] = [folder for folder in inner if not folder.startswith(".")]
        if any(name.lower().endswith(endings) for name in files if not name.startswith(".")):
            return True
    return False


def _folders(path: Path) -> list[str]:
    return [name for _, inner, _ in os.walk(path) for name in inner]


def _lists_or_suffixes(path: Path) -> bool:
    names = [name for _, _, files in os.walk(path) for name in files]
    endings = (".list", *(f"_{suffix}.npy" for suffix in rtfm.SUFFIXES), "__0.npy")
    return any(name.endswith(endings) for name in names)

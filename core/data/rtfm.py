"""The feature files of RTFM, TEVAD, LEGO, UR-DMU and VadCLIP, with their lists and ground truths.

    <video>_i3d.npy        (units, crops, width), (crops, units, width) or (units, width); crops are 5 or 10
    <video>__0.npy … __9   one crop a file, (units, width)
    <video>_emb.npy        text, (units, width); also _c3d _swin _pose _videomae _clip
    *.list *.txt *.csv     one clip a line; anomalous clips first, how many is told or read off the names
    gt*.npy                0 and 1, for the clips of the test list in its order: 16 frames a unit, or one a unit

What cannot be guessed is an option (`Options`), given by the caller or kept in `fusescope.json` beside the data.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.clip import Clip, Intervals, intervals, unit_labels
from core.data import guard, lists, npy, rows
from core.data.problems import Problem, sentence
from core.dataset import Dataset, Split
from core.machine.names import RefusedError, check_name, clip_name, inside, opened, shown

SUFFIXES = ("i3d", "emb", "c3d", "swin", "pose", "videomae", "clip")
LISTS = (".list", ".txt", ".csv")
SIDECAR = "fusescope.json"
FILES = 400_000
FPS = 25.0
# published counts of anomalous clips at the head of the training lists, as a hint to who has to tell one
KNOWN = "known: ShanghaiTech 63, UCF-Crime 810, XD-Violence 9525 (1904 in its test list), Avenue 15, Ped2 7 or 6"


@dataclass(frozen=True)
class Options:
    """What the files cannot say themselves; a field left at its default is found out or assumed, and said.

    train, test, truth  list files and ground truth, as paths below the dataset's folder
    anomalous           part -> how many clips at the head of its list are anomalous
    modalities          modality -> ending of its files before `.npy` ("_i3d")
    by_name             drop folders in list lines: for lists that hold paths of another machine
    crops               "all" keeps every crop, "mean" averages them (a tenth of the memory)
    shift               frames the ground truth lies too late (1) or too early (-1); moved back by as many
    """

    train: str | None = None
    test: str | None = None
    truth: str | None = None
    anomalous: Mapping[str, int] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)
    by_name: bool = False
    crops: str = "all"
    fps: float | None = None
    frames_per_unit: int = 16
    shift: int = 0


@dataclass(frozen=True)
class Source:
    """The files of one clip in one modality: one file, or one a crop in their order."""

    files: tuple[str, ...]
    by_crop: bool


@dataclass
class Survey:
    """What lies in the folder, before any features are read."""

    sources: dict[str, dict[str, Source]] = field(default_factory=dict)  # modality -> clip -> files
    lists: list[str] = field(default_factory=list)
    truths: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)  # clip -> "train" | "test" by its folder


@dataclass
class Examined:
    """Everything found out about the folder; `dataset` is None when an error stands in its way."""

    dataset: Dataset | None
    problems: list[Problem]
    survey: Survey
    lines: dict[str, list[str]]  # part -> clips in the order of its list
    shapes: dict[str, dict[str, tuple[int, ...]]]  # modality -> clip -> shape on disk
    truth: dict[str, Any]


def read(root: Path, options: Options | None = None) -> Dataset:
    """The dataset in this folder of feature files. Errors: `ValueError` with the first problems in words."""
    examined = examine(root, options)
    if examined.dataset is None:
        raise ValueError(sentence(examined.problems))
    return examined.dataset


def examine(root: Path, options: Options | None = None) -> Examined:
    """Read everything and collect every problem; nothing raises but an unusable option."""
    found: list[Problem] = []
    given = sidecar(root, found) if options is None else options
    try:
        survey_ = survey(root, given, found)
    except RefusedError as refused:
        return Examined(None, [*found, Problem("error", str(refused))], Survey(), {}, {}, {})
    lines, known, how = _parts(root, given, survey_, found)
    wanted = list(dict.fromkeys(name for part in lines.values() for name in part)) or _everywhere(survey_, found)
    features, shapes = _features(root, given, survey_, wanted, found)
    lengths = {m: {n: int(f[m].shape[-2]) for n, f in features.items() if m in f} for m in survey_.sources}
    clips_features, notes = _cut(features, survey_, found)
    truth, facts = _ground_truth(root, given, survey_, lines, lengths, clips_features, found)
    fps = given.fps
    if fps is None:
        fps = FPS
        found.append(Problem("note", f"no frame rate is known; {FPS:g} frames a second assumed", fix="give it by fps"))
    clips = {}
    for name, values in clips_features.items():
        units = next(iter(values.values())).shape[-2]
        spans = truth.get(name)
        anomalous = known.get(name)
        if spans is not None:
            if anomalous is not None and anomalous != bool(spans):
                words = "anomalous" if anomalous else "normal"
                found.append(
                    Problem("warning", f"is {words} by {how}, but its ground truth says otherwise", _clip(name))
                )
            anomalous = bool(spans)
        clips[name] = Clip(
            name=name,
            features=values,
            labels=None if spans is None else unit_labels(spans, units, given.frames_per_unit),
            seconds=given.frames_per_unit / fps,
            truth=spans,
            anomalous=anomalous,
            frames_per_unit=given.frames_per_unit,
            notes=(notes[name],) if name in notes else (),
        )
    dataset = None
    if clips and not any(problem.severity == "error" for problem in found):
        try:
            dataset = Dataset(
                name=root.name or "features",
                clips=clips,
                splits=_splits(lines, survey_, clips),
                fps=fps,
                frames_per_unit=given.frames_per_unit,
                extractors=dict.fromkeys(survey_.sources, "feature files, extractor unknown"),
                root=root,
                notes=tuple(str(problem) for problem in found if problem.severity != "error"),
            )
        except ValueError as refused:
            found.append(Problem("error", str(refused)))
    return Examined(dataset, found, survey_, lines, shapes, facts)


# --- what lies there ------------------------------------------------------------------------------------------


def sidecar(root: Path, found: list[Problem]) -> Options:
    """Options kept beside the data in fusescope.json; defaults where there is none."""
    place = root / SIDECAR
    if not os.path.lexists(place):
        return Options()
    try:
        stream, size = opened(place, 1 << 20, SIDECAR)
        with stream:
            given = json.loads(stream.read(size).decode("utf-8"))
        return options(given if isinstance(given, dict) else {"fusescope.json": given})
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        found.append(Problem("error", "cannot be read as JSON", SIDECAR))
    except RefusedError as refused:
        found.append(Problem("error", str(refused), SIDECAR))
    return Options()


def options(given: Mapping[str, Any]) -> Options:
    """Options from words and literals. Errors: `RefusedError` naming the unknown or unusable one."""
    known = {entry.name for entry in fields(Options)}
    for name, value in given.items():
        if name not in known:
            raise RefusedError(f"there is no option '{shown(name, 40)}'; there are {', '.join(sorted(known))}")
        needed = _unusable(name, value)
        if needed:
            raise RefusedError(f"option {name} is {shown(repr(value), 60)}; {needed} is needed")
    numbers = {"fps": float(given["fps"])} if given.get("fps") is not None else {}
    return Options(**{**given, **numbers})


def _unusable(name: str, value: Any) -> str:
    """What an option should have been; "" when it is that."""
    whole = type(value) is int
    if name in ("train", "test", "truth"):
        return "" if value is None or isinstance(value, str) else "a path below the folder"
    if name == "anomalous":
        good = isinstance(value, dict) and all(
            part in ("train", "test") and type(count) is int and count >= 0 for part, count in value.items()
        )
        return "" if good else "a count for train or test"
    if name == "modalities":
        good = isinstance(value, dict) and all(isinstance(v, str) and v for pair in value.items() for v in pair)
        return "" if good else "a name with an ending of its files"
    if name == "by_name":
        return "" if isinstance(value, bool) else "true or false"
    if name == "crops":
        return "" if value in ("all", "mean") else "'all' or 'mean'"
    if name == "fps":
        good = value is None or (type(value) in (int, float) and 0 < value <= 10_000)
        return "" if good else "a number above 0, to 10000,"
    if name == "frames_per_unit":
        return "" if whole and 1 <= value <= 10_000 else "a whole number 1..10000"
    return "" if whole and abs(value) <= 1000 else "a whole number of frames"


def survey(root: Path, given: Options, found: list[Problem]) -> Survey:
    """Names only: which files are features of which clip and modality, which are lists, which ground truths."""
    result = Survey()
    crops: dict[tuple[str, str], dict[int, str]] = {}
    by_folder: dict[tuple[str, str], str] = {}
    features = []
    for relative in _walk(root):
        name = relative.rsplit("/", 1)[-1]
        if name.endswith(LISTS) and not name.lower().startswith(("readme", "requirements", "licen")):
            result.lists.append(relative)
        elif name.endswith(".npy"):
            if is_truth(name) or relative == given.truth:
                result.truths.append(relative)
            else:
                features.append(relative)
    plain = _named(features, given)
    left = len(features) - len(plain)
    if left:
        endings = ", ".join(shown(ending, 20) for ending in given.modalities.values())
        text = f"{left} files (first '{shown(next(iter(features), ''), 80)}') end in none of {endings}"
        found.append(
            Problem("note" if plain else "error", f"{text}; left out", fix="" if plain else "name them so that they do")
        )
    doubled = _doubled(plain)
    for relative, modality, video, crop in plain:
        try:
            part = _folder_part(relative)
            clip = clip_name(f"{part}/{video}" if (modality, video) in doubled and part else video)
            check_name(modality, "modality")
        except RefusedError as refused:
            found.append(Problem("error", str(refused)))
            continue
        if part:
            result.parts[clip] = part
        if crop is not None:
            crops.setdefault((modality, clip), {})[crop] = relative
            continue
        if (modality, clip) in by_folder:
            other = by_folder[modality, clip]
            found.append(
                Problem(
                    "error",
                    f"has two files for '{shown(modality)}': '{shown(other, 120)}' and '{shown(relative, 120)}'",
                    _clip(clip),
                    "keep one of them below the folder",
                )
            )
            continue
        by_folder[modality, clip] = relative
        result.sources.setdefault(modality, {})[clip] = Source((relative,), by_crop=False)
    for (modality, clip), files in crops.items():
        missing = sorted(set(range(max(files) + 1)) - set(files))
        if missing:
            numbers = ", ".join(map(str, missing))
            found.append(Problem("error", f"'{shown(modality)}' has no file for crop {numbers}", _clip(clip)))
            continue
        ordered = tuple(files[place] for place in sorted(files))
        result.sources.setdefault(modality, {})[clip] = Source(ordered, by_crop=True)
    result.sources = {m: result.sources[m] for m in sorted(result.sources, key=_modality_order(given))}
    return result


def _walk(root: Path) -> Iterator[str]:
    """Relative paths of plain files below root, sorted; hidden ones and linked folders are left out."""
    count = 0
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        below = os.path.relpath(folder, root)
        for name in sorted(files):
            count += 1
            if count > FILES:
                raise RefusedError(f"the folder holds more than {FILES:,} files")
            if not name.startswith("."):
                yield name if below == "." else f"{below}/{name}".replace(os.sep, "/")


def is_truth(name: str) -> bool:
    """Whether a file is a ground truth by its name."""
    return bool(re.match(r"gt([-_.]|$)|ground[-_]?truth", name.lower()))


def _split_name(relative: str, given: Options) -> tuple[str | None, str, int | None]:
    """(modality, video, crop) that a file's name tells; the modality is None when only folders can tell it."""
    stem = relative.rsplit("/", 1)[-1].removesuffix(".npy")
    crop = None
    numbered = re.fullmatch(r"(.+?)__(\d{1,2})", stem)
    if numbered:
        stem, crop = numbered[1], int(numbered[2])
    endings = dict(given.modalities) or {suffix: f"_{suffix}" for suffix in SUFFIXES}
    for modality, ending in endings.items():
        if stem.endswith(ending) and len(stem) > len(ending):
            return modality, stem.removesuffix(ending), crop
    return None, stem, crop


def _named(features: Sequence[str], given: Options) -> list[tuple[str, str, str, int | None]]:
    """(path, modality, video, crop) of every feature file; the modality comes from its name or its folders."""
    split = [(relative, *_split_name(relative, given)) for relative in features]
    bare = [entry for entry in split if entry[1] is None]
    level = _modality_level(bare)
    named = []
    for relative, modality, video, crop in split:
        if modality is None:
            if given.modalities:
                continue
            modality = "features" if level is None else _folders(relative)[level]
        named.append((relative, modality, video, crop))
    return named


def _modality_level(bare: Sequence[tuple[str, str | None, str, int | None]]) -> int | None:
    """The depth at which folders tell modalities apart: there, several folders hold the same videos, each once.

    Folders that hold different videos (train and test, one for each kind of anomaly) are no modalities.
    """
    depth = min((len(_folders(relative)) for relative, *_ in bare), default=0)
    for level in range(depth):
        held: dict[str, list[tuple[str, str, int | None]]] = {}
        for relative, _, video, crop in bare:
            held.setdefault(_folders(relative)[level], []).append((_folder_part(relative), video, crop))
        distinct = all(len(set(keys)) == len(keys) for keys in held.values())
        shared = len(set().union(*map(set, held.values()))) < len(bare)
        if distinct and shared:
            return level
    return None


def _folders(relative: str) -> list[str]:
    return [folder for folder in relative.split("/")[:-1] if not _part_of(folder)]


def _part_of(folder: str) -> str:
    low = folder.lower()
    return "train" if low in {"train", "training"} else "test" if low in {"test", "testing"} else ""


def _folder_part(relative: str) -> str:
    return next((part for part in map(_part_of, relative.split("/")[:-1]) if part), "")


def _doubled(plain: Sequence[tuple[str, str, str, int | None]]) -> set[tuple[str, str]]:
    """(modality, video) pairs that lie in both a training and a test folder."""
    parts: dict[tuple[str, str], set[str]] = {}
    for relative, modality, video, _ in plain:
        parts.setdefault((modality, video), set()).add(_folder_part(relative))
    twice = {video for (_, video), where in parts.items() if len(where) > 1}
    return {pair for pair in parts if pair[1] in twice}


def _modality_order(given: Options) -> Any:
    order = [*given.modalities, *SUFFIXES]
    return lambda name: (order.index(name) if name in order else len(order), name)


def _clip(name: str) -> str:
    return f"clip '{shown(name)}'"


# --- lists ----------------------------------------------------------------------------------------------------


def _parts(
    root: Path, given: Options, found_files: Survey, found: list[Problem]
) -> tuple[dict[str, list[str]], dict[str, bool], str]:
    """Clips of each part in the order of its list; what the lists say about them; and how that is known."""
    chosen = {part: getattr(given, part) or None for part in ("train", "test")}
    if not any(chosen.values()):
        chosen = _guess_lists(found_files.lists, found)
    lines: dict[str, list[str]] = {}
    known: dict[str, bool] = {}
    ways = []
    names = _by_file(found_files)
    for part, relative in chosen.items():
        if relative is None:
            continue
        what = f"list '{shown(relative, 120)}'"
        try:
            read_ = lists.read(inside(root, relative, f"the {part} list"), what)
        except RefusedError as refused:
            found.append(Problem("error", str(refused)))
            continue
        clips, kept = _resolve(root, given, read_, what, names, found)
        lines[part] = clips
        if len(kept) != len(clips):
            continue
        try:
            flags, how = lists.labels(tuple(kept), given.anomalous.get(part))
        except RefusedError as refused:
            found.append(Problem("error", str(refused), what))
            continue
        if flags is None:
            if part == "train":
                found.append(
                    Problem(
                        "warning",
                        "nothing tells which of its clips are anomalous, so weak supervision cannot use them",
                        what,
                        f"give the number at its head by anomalous (train=63; {KNOWN})",
                    )
                )
            continue
        ways.append(how)
        known |= dict(zip(clips, flags, strict=True))
        found.append(Problem("note", f"{sum(flags)} of {len(flags)} clips are anomalous by {how}", what))
    both = sorted(set(lines.get("train", ())) & set(lines.get("test", ())))
    if both:
        found.append(Problem("warning", f"{len(both)} clips are in both lists, first '{shown(both[0])}'"))
    return lines, known, " and ".join(dict.fromkeys(ways))


def _guess_lists(relative: list[str], found: list[Problem]) -> dict[str, str | None]:
    """The one list that says test and the one that says train; of two lists, the other one."""
    roles = {name: lists.role(name.rsplit("/", 1)[-1]) for name in relative}
    chosen: dict[str, str | None] = {"train": None, "test": None}
    for part in ("test", "train"):
        candidates = [name for name in relative if roles[name] == part]
        if not candidates and part == "train":
            candidates = [name for name in relative if not roles[name]] if chosen["test"] else []
        if len(candidates) == 1:
            chosen[part] = candidates[0]
        elif candidates:
            shown_ = ", ".join(shown(name, 60) for name in candidates[:6])
            found.append(
                Problem(
                    "error", f"{len(candidates)} lists could be the {part} list: {shown_}", fix=f"name one by {part}"
                )
            )
    if relative and not any(chosen.values()) and not any(p.severity == "error" for p in found):
        shown_ = ", ".join(shown(name, 60) for name in relative[:6])
        found.append(Problem("warning", f"no list says train or test: {shown_}", fix="name them by train and test"))
    return chosen


def _by_file(found_files: Survey) -> dict[str, list[str]]:
    """File path, file name and bare clip name -> the clips they may mean."""
    names: dict[str, list[str]] = {}
    for clips in found_files.sources.values():
        for clip, source in clips.items():
            keys = {clip, *source.files, *(file.rsplit("/", 1)[-1] for file in source.files)}
            for key in keys:
                meant = names.setdefault(key, [])
                if clip not in meant:
                    meant.append(clip)
    return names


def _resolve(
    root: Path,
    given: Options,
    read_: Sequence[lists.Line],
    what: str,
    names: Mapping[str, list[str]],
    found: list[Problem],
) -> tuple[list[str], list[lists.Line]]:
    """The clip each line means, once; lines of further crops of the same clip count as one."""
    clips: list[str] = []
    kept: list[lists.Line] = []
    seen: set[str] = set()
    for line in read_:
        where = f"{what}, line {line.number}"
        try:
            path = lists.checked(line, root, what, given.by_name).path
        except RefusedError as refused:
            found.append(Problem("error", str(refused)))
            continue
        stem = line.name.removesuffix(".npy")
        meant = names.get(path) or names.get(line.name) or names.get(stem)
        if meant is None:  # the list may name files of a modality that is not here
            meant = names.get(_split_name(line.name, given)[1])
        if not meant:
            found.append(Problem("error", f"no feature file belongs to '{shown(line.path, 120)}'", where))
        elif len(meant) > 1:
            found.append(
                Problem("error", f"'{shown(line.path, 120)}' may be {', '.join(map(shown, meant[:4]))}", where)
            )
        elif meant[0] not in seen:
            seen.add(meant[0])
            clips.append(meant[0])
            kept.append(line)
        elif not re.search(r"__\d{1,2}(\.npy)?$", line.name):
            found.append(Problem("error", f"clip '{shown(meant[0])}' is listed a second time", where))
    return clips, kept


def _everywhere(found_files: Survey, found: list[Problem]) -> list[str]:
    """Every clip, in natural order, where there is no list."""
    names = {name for clips in found_files.sources.values() for name in clips}
    if names and not found_files.lists:
        found.append(Problem("note", f"no list files: all {len(names)} clips are taken"))
    if not names and not any(problem.severity == "error" for problem in found):
        found.append(Problem("error", "holds no feature files (.npy)", "the folder"))
    return sorted(names, key=lambda name: [(int(d) if d else 0, w) for w, d in re.findall(r"(\D*)(\d*)", name)])


def _splits(lines: Mapping[str, list[str]], found_files: Survey, clips: Mapping[str, Clip]) -> dict[str, Split]:
    if lines:
        return {"lists": {part: tuple(names) for part, names in lines.items()}}
    parts = {part: tuple(n for n in clips if found_files.parts.get(n) == part) for part in ("train", "test")}
    return {"folders": parts} if all(parts.values()) else {}


# --- features -------------------------------------------------------------------------------------------------


def _features(
    root: Path, given: Options, found_files: Survey, wanted: Sequence[str], found: list[Problem]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, tuple[int, ...]]]]:
    """Rows of every wanted clip and modality, and the shapes on disk; what cannot be read becomes a problem."""
    features: dict[str, dict[str, Tensor]] = {name: {} for name in wanted}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    need = 0
    for modality, clips in found_files.sources.items():
        unlisted = [name for name in clips if name not in features]
        if unlisted:
            text = f"{len(unlisted)} of {len(clips)} clips of '{shown(modality)}' are in no list; left out"
            found.append(Problem("note", text))
        missing = [name for name in wanted if name not in clips]
        if missing:
            listed = ", ".join(f"'{shown(name, 40)}'" for name in missing[:5]) + (", …" if len(missing) > 5 else "")
            found.append(Problem("error", f"{len(missing)} clips have no '{shown(modality)}' file: {listed}"))
        shapes[modality] = {}
        for name in wanted:
            if name in clips:
                try:
                    shape = shapes[modality][name] = _shape(root, clips[name])
                    kept = shape[1:] if clips[name].by_crop and given.crops == "mean" else shape
                    need += 4 * math.prod(kept)
                except RefusedError as refused:
                    found.append(Problem("error", str(refused)))
    free = _memory()
    if need > 0.7 * free:
        text = f"the features take {need / 2**30:.1f} GB as float32, {free / 2**30:.1f} GB of memory are free"
        found.append(Problem("error", text, fix="average the crops (crops=mean), or name fewer clips in the lists"))
        return {}, shapes
    with guard.Reader() as reader:
        for modality, clips in found_files.sources.items():
            files = [shape for name, shape in shapes[modality].items() if not clips[name].by_crop]
            axis, note = common_axis(files, modality)
            found.extend(note)
            for name, shape in shapes[modality].items():
                try:
                    array = _array(root, reader, clips[name])
                    crops = None if len(shape) == 2 else 0 if clips[name].by_crop else axis
                    values = rows.to_rows(array, crops, name, modality)
                except RefusedError as refused:
                    found.append(Problem("error", str(refused)))
                    continue
                if values.ndim == 3 and (given.crops == "mean" or values.shape[0] == 1):
                    values = values.mean(0)
                features[name][modality] = values
            _same_width(modality, features, found)
            zero = [n for n in wanted if modality in features[n] and not bool(features[n][modality].any(-1).all())]
            if zero:
                text = f"{len(zero)} clips have all-zero rows in '{shown(modality)}', first '{shown(zero[0])}'"
                found.append(Problem("warning", text))
    return features, shapes


def _shape(root: Path, source: Source) -> tuple[int, ...]:
    """Shape of a clip's array by headers alone; crops come first when each has its own file."""
    shapes = []
    for relative in source.files:
        what = f"file '{shown(relative, 160)}'"
        stream, _ = opened(inside(root, relative, "file"), guard.CAPS.bytes, what)
        with stream:
            shapes.append(npy.header(stream, what)[2])
        rows.crop_axis(shapes[-1], what)
        if source.by_crop and (len(shapes[-1]) != 2 or shapes[-1] != shapes[0]):
            raise RefusedError(f"{what} has shape {shapes[-1]}, crop 0 has {shapes[0]}; one crop is (units, width)")
    return (len(shapes), *shapes[0]) if source.by_crop else shapes[0]


def _array(root: Path, reader: guard.Reader, source: Source) -> np.ndarray:
    """The array of one clip as it lies on disk; one file a crop is stacked, crops first."""
    parts = [
        reader.read("npy", inside(root, relative, "file"), f"file '{shown(relative, 160)}'").arrays[guard.ONLY]
        for relative in source.files
    ]
    return np.stack(parts) if source.by_crop else parts[0]


def common_axis(shapes: Sequence[tuple[int, ...]], modality: str) -> tuple[int, list[Problem]]:
    """The axis of the crops in a modality: the one whose size is 1, 5 or 10 in every file."""
    cubes = [shape for shape in shapes if len(shape) == 3]
    if not cubes:
        return 1, []
    steady = [axis for axis in (1, 0) if len({s[axis] for s in cubes}) == 1 and cubes[0][axis] in (1, *rows.CROPS)]
    if steady:
        if len(steady) == 2:
            text = f"both first axes of '{shown(modality)}' could be crops {cubes[0]}; read as (units, crops, width)"
            return 1, [Problem("warning", text)]
        return steady[0], []
    sizes = sorted({shape[:2] for shape in cubes})[:4]
    text = f"no axis of '{shown(modality)}' is 5 or 10 crops in every file; first axes are {sizes}"
    return 1, [Problem("error", text, fix="save it as (units, crops, width) with the same number of crops everywhere")]


def _same_width(modality: str, features: Mapping[str, Mapping[str, Tensor]], found: list[Problem]) -> None:
    widths: dict[int, list[str]] = {}
    for name, values in features.items():
        if modality in values:
            widths.setdefault(values[modality].shape[-1], []).append(name)
    if len(widths) > 1:
        usual = max(widths, key=lambda width: len(widths[width]))
        for width, names in widths.items():
            if width != usual:
                found.append(
                    Problem(
                        "error",
                        f"'{shown(modality)}' is {width} wide in {len(names)} clips, "
                        f"{usual} in the other {len(widths[usual])}",
                        _clip(names[0]),
                    )
                )


def _cut(
    features: Mapping[str, dict[str, Tensor]], found_files: Survey, found: list[Problem]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, str]]:
    """Equal lengths within each clip; clips that lack a modality or differ by more are left out, as errors."""
    result, notes = {}, {}
    for name, values in features.items():
        if set(values) != set(found_files.sources):
            continue
        try:
            result[name], note = rows.cut(values, name)
        except RefusedError as refused:
            found.append(Problem("error", str(refused)))
            continue
        if note:
            notes[name] = note
    if notes:
        first = next(iter(notes.values()))
        text = f"{len(notes)} clips are one unit longer in one modality than in another, and cut; first: {first}"
        found.append(Problem("note", text))
    return result, notes


def _memory() -> int:
    """Bytes of memory free for use."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# --- ground truth ---------------------------------------------------------------------------------------------


def _ground_truth(
    root: Path,
    given: Options,
    found_files: Survey,
    lines: Mapping[str, list[str]],
    lengths: Mapping[str, Mapping[str, int]],
    kept: Mapping[str, Mapping[str, Tensor]],
    found: list[Problem],
) -> tuple[dict[str, Intervals], dict[str, Any]]:
    """clip -> anomalous frame intervals from the ground truth file, and what a report says about it."""
    relative = given.truth
    if relative is None:
        if not found_files.truths:
            return {}, {}
        if len(found_files.truths) > 1:
            listed = ", ".join(shown(name, 60) for name in found_files.truths[:6])
            found.append(
                Problem("error", f"{len(found_files.truths)} ground truths: {listed}", fix="name one by truth")
            )
            return {}, {}
        relative = found_files.truths[0]
    what = f"ground truth '{shown(relative, 120)}'"
    facts: dict[str, Any] = {"file": relative}
    names = lines.get("test")
    if names is None:
        found.append(
            Problem("error", "follows the order of the test list, which is not known", what, "name it by test")
        )
        return {}, facts
    try:
        with guard.Reader() as reader:
            labels = _binary(reader.read("npy", inside(root, relative, what), what).arrays[guard.ONLY], what)
    except RefusedError as refused:
        found.append(Problem("error", str(refused)))
        return {}, facts
    facts |= {"entries": len(labels), "anomalous": int(labels.sum())}
    per_unit = given.frames_per_unit
    counts = _totals(names, lengths, kept)
    if not counts:
        found.append(Problem("error", "cannot be fitted: not every clip of the test list could be read", what))
        return {}, facts
    for units in counts:
        total = sum(units)
        if len(labels) in (total * per_unit, total):
            step = per_unit if len(labels) == total * per_unit else 1
            facts |= {"fits": "frames" if step > 1 else "units", "units": total}
            break
    else:
        totals = sorted({sum(units) for units in counts})
        frames = " or ".join(f"{total * per_unit:,}" for total in totals)
        plain = " or ".join(f"{total:,}" for total in totals)
        text = (
            f"has {len(labels):,} entries; the {len(names)} clips of the test list have {plain} units, "
            f"so {frames} (one a frame, {per_unit} a unit) or {plain} (one a unit) are needed"
        )
        found.append(Problem("error", text, what, "check that list and ground truth belong together"))
        return {}, facts
    suspect = _against(root, labels, names, units, step) or shifted(labels, units, step)
    if suspect and not given.shift:
        facts["shift"] = suspect[0]
        way = "late" if suspect[0] > 0 else "early"
        found.append(
            Problem(
                "warning", f"looks shifted, one frame too {way}: {suspect[1]}", what, f"shift={suspect[0]} moves it"
            )
        )
    if given.shift:
        labels = moved(labels, units, step, given.shift)
        found.append(Problem("note", f"moved by {-given.shift} frames, as asked", what))
    truth: dict[str, Intervals] = {}
    start = 0
    for name, count in zip(names, units, strict=True):
        own = torch.from_numpy(labels[start : start + count * step].astype(bool))
        own = own if step > 1 else own.repeat_interleave(per_unit)
        start += count * step
        if name in kept:
            last = next(iter(kept[name].values())).shape[-2] * per_unit
            truth[name] = tuple((a, min(b, last)) for a, b in intervals(own) if a < last)
    return truth, facts


def _binary(array: np.ndarray, what: str) -> np.ndarray:
    """0 and 1 in one row, as bool. Errors: `RefusedError` naming other values and their number."""
    if array.size != max(array.shape, default=1):
        raise RefusedError(f"{what} has shape {array.shape}; one row of 0 and 1 is needed")
    flat = array.reshape(-1)
    other = flat[~((flat == 0) | (flat == 1))]
    if other.size:
        listed = ", ".join(f"{value:g}" for value in np.unique(other.astype(float))[:4])
        raise RefusedError(f"{what} holds {other.size} entries that are neither 0 nor 1 (such as {listed})")
    return flat.astype(bool)


def _totals(
    names: Sequence[str], lengths: Mapping[str, Mapping[str, int]], kept: Mapping[str, Mapping[str, Tensor]]
) -> list[list[int]]:
    """Unit counts a ground truth may have been made for: those after the cut, and those of each modality."""
    found = []
    if all(name in kept for name in names):
        found.append([next(iter(kept[name].values())).shape[-2] for name in names])
    found += [[of[name] for name in names] for of in lengths.values() if all(name in of for name in names)]
    return [counts for place, counts in enumerate(found) if counts not in found[:place]]


def _against(
    root: Path, labels: np.ndarray, names: Sequence[str], units: Sequence[int], step: int
) -> tuple[int, str] | None:
    """The same question, answered by anomalous frames told in an intervals.json beside the data."""
    place = root / "intervals.json"
    if step == 1 or not place.is_file():
        return None
    try:
        stream, size = opened(place, 1 << 20, "intervals.json")
        with stream:
            told = json.loads(stream.read(size))["anomalous_frames"]
        spans = {_simple(name): [(int(a), int(b)) for a, b in pairs] for name, pairs in told.items()}
    except (RefusedError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    wrong = dict.fromkeys((0, 1, -1), 0)
    starts = np.cumsum([0, *units]) * step
    known = [
        (start, units[i] * step, spans[_simple(n)])
        for i, (n, start) in enumerate(zip(names, starts, strict=False))
        if _simple(n) in spans
    ]
    for shift in wrong:
        for start, count, pairs in known:
            told_ = np.zeros(count, dtype=bool)
            for a, b in pairs:
                told_[max(a + shift, 0) : max(b + shift, 0)] = True
            wrong[shift] += int((told_ != labels[start : start + count]).sum())
    best = min(wrong, key=lambda shift: (wrong[shift], abs(shift)))
    if best and wrong[best] < 0.5 * wrong[0]:
        text = f"{wrong[0]} frames of {len(known)} clips disagree with intervals.json, moved by one {wrong[best]}"
        return best, text
    return None


def _simple(name: str) -> tuple[str, ...]:
    """A name up to case, punctuation and leading zeros: Test001 is test-01."""
    return tuple(part.lstrip("0") or "0" for part in re.findall(r"[a-z]+|\d+", name.lower()))


def shifted(labels: np.ndarray, units: Sequence[int], step: int) -> tuple[int, str] | None:
    """(1, why) when the labels lie one frame late, (-1, why) when early, None when nothing says so.

    Two signs, for ground truths with one entry a frame. Moving the row of all clips by one frame makes an anomaly
    that ran to the end of its clip spill one frame into the next: a run of a single frame beside an anomalous
    neighbour. And edges that all lie one frame beside the borders of units were on them before.
    """
    if step == 1:
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels.astype(np.int8), [0]])))
    borders = np.cumsum([0, *units]) * step
    inner = borders[1:-1]
    late = [int(b) for b in inner if b + 1 < len(labels) and labels[b - 1] and labels[b] and not labels[b + 1]]
    early = [int(b) for b in inner if b >= 2 and labels[b] and labels[b - 1] and not labels[b - 2]]
    if bool(late) != bool(early):
        count, way = (len(late), 1) if late else (len(early), -1)
        place = "begin" if way > 0 else "end"
        return way, f"{count} clips {place} with one anomalous frame that belongs to their neighbour"
    inside_ = edges[(edges > 0) & (edges < len(labels))]
    for way in (1, -1):
        beside = int(((inside_ - way) % step == 0).sum())
        if len(inside_) >= 4 and beside >= 0.9 * len(inside_):
            side = "after" if way > 0 else "before"
            return way, f"{beside} of {len(inside_)} edges lie one frame {side} the border of a unit"
    return None


def moved(labels: np.ndarray, units: Sequence[int], step: int, shift: int) -> np.ndarray:
    """Labels that lay `shift` frames too late, moved back; the freed end repeats its last value."""
    if step == 1 or shift == 0:
        return labels
    pad = np.full(abs(shift), labels[-1] if shift > 0 else labels[0])
    return np.concatenate([labels[shift:], pad] if shift > 0 else [pad, labels[:shift]])

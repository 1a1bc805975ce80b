"""What lies in the folder, told from names: features of which clip and modality, lists, ground truths."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from core.data.problems import Problems
from core.data.rtfm.settings import SUFFIXES, Options
from core.machine.names import RefusedError, check_name, clip_name, shown

LISTS = (".list", ".txt", ".csv")
FILES = 400_000


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


class Named(NamedTuple):
    """A feature file and what its name tells; the modality is "" where only folders can tell it."""

    path: str
    modality: str
    video: str
    crop: int | None


def survey(root: Path, given: Options, problems: Problems) -> Survey:
    """Names only: which files are features of which clip and modality, which are lists, which ground truths."""
    result = Survey()
    features: list[str] = []
    for relative in _walk(root):
        name = relative.rsplit("/", 1)[-1]
        if name.endswith(LISTS) and not name.lower().startswith(("readme", "requirements", "licen")):
            result.lists.append(relative)
        elif name.endswith(".npy"):
            (result.truths if is_truth(name) or relative == given.truth else features).append(relative)
    named = _named(features, given)
    left = len(features) - len(named)
    if left:
        endings = ", ".join(shown(ending, 20) for ending in given.modalities.values())
        text = f"{left} files (first '{shown(features[0], 80)}') end in none of {endings}; left out"
        if named:
            problems.note(text)
        else:
            problems.error(text, fix="name them so that they do")
    _sources(named, result, problems)
    order = [*given.modalities, *SUFFIXES]
    result.sources = {
        modality: result.sources[modality]
        for modality in sorted(result.sources, key=lambda m: (order.index(m) if m in order else len(order), m))
    }
    return result


def _sources(named: Sequence[Named], result: Survey, problems: Problems) -> None:
    """Fills in the files of every clip and modality, and the part a clip lies in."""
    crops: dict[tuple[str, str], dict[int, str]] = {}
    doubled = _doubled(named)
    for relative, modality, video, crop in named:
        try:
            part = _folder_part(relative)
            clip = clip_name(f"{part}/{video}" if (modality, video) in doubled and part else video)
            check_name(modality, "modality")
        except RefusedError as refused:
            problems.error(str(refused))
            continue
        if part:
            result.parts[clip] = part
        clips = result.sources.get(modality, {})
        if crop is not None:
            crops.setdefault((modality, clip), {})[crop] = relative
        elif clip in clips:
            both = f"'{shown(clips[clip].files[0], 120)}' and '{shown(relative, 120)}'"
            text = f"has two files for '{shown(modality)}': {both}"
            problems.error(text, of(clip), "keep one of them below the folder")
        else:
            result.sources.setdefault(modality, {})[clip] = Source((relative,), by_crop=False)
    for (modality, clip), files in crops.items():
        missing = sorted(set(range(max(files) + 1)) - set(files))
        if missing:
            problems.error(f"'{shown(modality)}' has no file for crop {', '.join(map(str, missing))}", of(clip))
            continue
        ordered = tuple(files[place] for place in sorted(files))
        result.sources.setdefault(modality, {})[clip] = Source(ordered, by_crop=True)


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


def split_name(relative: str, given: Options) -> Named:
    """What a file's name tells by its ending, its crop left off."""
    stem = relative.rsplit("/", 1)[-1].removesuffix(".npy")
    crop = None
    numbered = re.fullmatch(r"(.+?)__(\d{1,2})", stem)
    if numbered:
        stem, crop = numbered[1], int(numbered[2])
    endings = dict(given.modalities) or {suffix: f"_{suffix}" for suffix in SUFFIXES}
    for modality, ending in endings.items():
        if stem.endswith(ending) and len(stem) > len(ending):
            return Named(relative, modality, stem.removesuffix(ending), crop)
    return Named(relative, "", stem, crop)


def _named(features: Sequence[str], given: Options) -> list[Named]:
    """Every feature file that belongs to a modality, by its name or its folders."""
    split = [split_name(relative, given) for relative in features]
    if given.modalities:
        return [file for file in split if file.modality]
    level = _modality_level([file for file in split if not file.modality])
    return [
        file._replace(modality=file.modality or ("features" if level is None else _folders(file.path)[level]))
        for file in split
    ]


def _modality_level(bare: Sequence[Named]) -> int | None:
    """The depth at which folders tell modalities apart: there, several folders hold the same videos, each once.

    Folders that hold different videos (train and test, one for each kind of anomaly) are no modalities.
    """
    depth = min((len(_folders(file.path)) for file in bare), default=0)
    for level in range(depth):
        held: dict[str, list[tuple[str, str, int | None]]] = {}
        for file in bare:
            held.setdefault(_folders(file.path)[level], []).append((_folder_part(file.path), file.video, file.crop))
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


def _doubled(named: Sequence[Named]) -> set[tuple[str, str]]:
    """(modality, video) pairs of videos that lie in both a training and a test folder."""
    parts: dict[tuple[str, str], set[str]] = {}
    for file in named:
        parts.setdefault((file.modality, file.video), set()).add(_folder_part(file.path))
    twice = {video for (_, video), where in parts.items() if len(where) > 1}
    return {pair for pair in parts if pair[1] in twice}


def of(clip: str) -> str:
    """Where a problem lies that concerns one clip."""
    return f"clip '{shown(clip)}'"

"""Lists: the clips of each part in their order, and what the lists say about them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.clip import Clip
from core.data import lists
from core.data.problems import Problems
from core.data.rtfm.names import Survey, split_name
from core.data.rtfm.settings import Options
from core.dataset import Split
from core.machine.names import RefusedError, inside, shown

# published counts of anomalous clips at the head of the training lists, as a hint to who has to tell one
KNOWN = "known: ShanghaiTech 63, UCF-Crime 810, XD-Violence 9525 (1904 in its test list), Avenue 15, Ped2 7 or 6"


@dataclass
class Parts:
    """clips of each part in the order of its list; which are anomalous by the lists, and how that is known."""

    clips: dict[str, list[str]] = field(default_factory=dict)
    anomalous: dict[str, bool] = field(default_factory=dict)
    ways: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        return " and ".join(dict.fromkeys(self.ways))


def parts(root: Path, given: Options, survey: Survey, problems: Problems) -> Parts:
    """What the lists say; what cannot be read or found becomes a problem."""
    chosen = {part: getattr(given, part) or None for part in ("train", "test")}
    if not any(chosen.values()):
        chosen = _guess_lists(survey.lists, problems)
    result = Parts()
    names = _by_file(survey)
    for part, relative in chosen.items():
        if relative is None:
            continue
        what = f"list '{shown(relative, 120)}'"
        try:
            lines = lists.read(inside(root, relative, f"the {part} list"), what)
        except RefusedError as refused:
            problems.error(str(refused))
            continue
        clips, kept = _resolve(root, given, lines, what, names, problems)
        result.clips[part] = clips
        _labels(result, part, kept, given, what, problems)
    both = sorted(set(result.clips.get("train", ())) & set(result.clips.get("test", ())))
    if both:
        problems.warning(f"{len(both)} clips are in both lists, first '{shown(both[0])}'")
    return result


def _labels(
    result: Parts, part: str, lines: Sequence[lists.Line], given: Options, what: str, problems: Problems
) -> None:
    """Fills in which of a part's clips are anomalous, where that is told or can be read off."""
    try:
        flags, how = lists.labels(tuple(lines), given.anomalous.get(part))
    except RefusedError as refused:
        problems.error(str(refused), what)
        return
    if flags is not None:
        result.ways.append(how)
        result.anomalous |= dict(zip(result.clips[part], flags, strict=True))
        problems.note(f"{sum(flags)} of {len(flags)} clips are anomalous by {how}", what)
    elif part == "train":
        text = "nothing tells which of its clips are anomalous, so weak supervision cannot use them"
        problems.warning(text, what, f"give the number at its head by anomalous (train=63; {KNOWN})")


def _guess_lists(names: list[str], problems: Problems) -> dict[str, str | None]:
    """The one list that says test and the one that says train; of two lists, the other one."""
    roles = {name: lists.role(name.rsplit("/", 1)[-1]) for name in names}
    chosen: dict[str, str | None] = {"train": None, "test": None}
    for part in ("test", "train"):
        candidates = [name for name in names if roles[name] == part]
        if not candidates and part == "train":
            candidates = [name for name in names if not roles[name]] if chosen["test"] else []
        if len(candidates) == 1:
            chosen[part] = candidates[0]
        elif candidates:
            text = f"{len(candidates)} lists could be the {part} list: {_first(candidates)}"
            problems.error(text, fix=f"name one by {part}")
    if names and not any(chosen.values()) and not problems.failed:
        problems.warning(f"no list says train or test: {_first(names)}", fix="name them by train and test")
    return chosen


def _first(names: Sequence[str]) -> str:
    return ", ".join(shown(name, 60) for name in names[:6])


def _by_file(survey: Survey) -> dict[str, list[str]]:
    """File path, file name and bare clip name -> the clips they may mean."""
    names: dict[str, list[str]] = {}
    for clips in survey.sources.values():
        for clip, source in clips.items():
            for key in {clip, *source.files, *(file.rsplit("/", 1)[-1] for file in source.files)}:
                meant = names.setdefault(key, [])
                if clip not in meant:
                    meant.append(clip)
    return names


def _resolve(
    root: Path,
    given: Options,
    lines: Sequence[lists.Line],
    what: str,
    names: Mapping[str, list[str]],
    problems: Problems,
) -> tuple[list[str], list[lists.Line]]:
    """The clip each line means, once, and its line; lines of further crops of the same clip count as one."""
    clips: dict[str, lists.Line] = {}
    for line in lines:
        where = f"{what}, line {line.number}"
        try:
            path = lists.checked(line, root, what, given.by_name).path
        except RefusedError as refused:
            problems.error(str(refused))
            continue
        meant = names.get(path) or names.get(line.name) or names.get(line.name.removesuffix(".npy"))
        if meant is None:  # the list may name files of a modality that is not here
            meant = names.get(split_name(line.name, given).video)
        if not meant:
            problems.error(f"no feature file belongs to '{shown(line.path, 120)}'", where)
        elif len(meant) > 1:
            problems.error(f"'{shown(line.path, 120)}' may be {', '.join(map(shown, meant[:4]))}", where)
        elif meant[0] not in clips:
            clips[meant[0]] = line
        elif not re.search(r"__\d{1,2}(\.npy)?$", line.name):
            problems.error(f"clip '{shown(meant[0])}' is listed a second time", where)
    return list(clips), list(clips.values())


def everywhere(survey: Survey, problems: Problems) -> list[str]:
    """Every clip, in natural order, where there is no list."""
    names = {name for clips in survey.sources.values() for name in clips}
    if names and not survey.lists:
        problems.note(f"no list files: all {len(names)} clips are taken")
    if not names and not problems.failed:
        problems.error("holds no feature files (.npy)", "the folder")
    return sorted(names, key=lambda name: [(int(d) if d else 0, w) for w, d in re.findall(r"(\D*)(\d*)", name)])


def splits(lines: Mapping[str, list[str]], survey: Survey, clips: Mapping[str, Clip]) -> dict[str, Split]:
    """The lists as a split; without them, the folders train and test."""
    if lines:
        return {"lists": {part: tuple(names) for part, names in lines.items()}}
    by_folder = {part: tuple(n for n in clips if survey.parts.get(n) == part) for part in ("train", "test")}
    return {"folders": by_folder} if all(by_folder.values()) else {}

"""A dataset of ours: every clip that cannot be read, every file that is not what its checksum says, every odd split."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.clip import Clip
from core.data import native
from core.data.check.report import Report, counted, described
from core.data.problems import Problem
from core.machine.names import RefusedError, Root, inside, opened, shown


def report(path: Path) -> Report:
    index = native.load_index(path)
    problems: list[Problem] = []
    if index["files"] is None:
        problems.append(Problem("warning", "lists no checksums ('files'): damage would go unseen", "dataset.json"))
    clips: dict[str, Clip] = {}
    root = Root(path)
    for name, entry in index["clips"].items():
        try:
            clips[name], note = native.read_clip(root, index, name, entry)
        except ValueError as refused:
            problems.append(Problem("error", str(refused)))
            continue
        if note:
            problems.append(Problem("note", note))
    # those of features were checked as they were read
    sums = {name: stated for name, stated in (index["files"] or {}).items() if not name.startswith("features/")}
    problems += wrong_sums(path, sums)
    for protocol, parts in index["splits"].items():
        problems += _split_problems(protocol, parts, index["clips"])
    if len({tuple(clip.widths.items()) for clip in clips.values()}) > 1:
        problems.append(Problem("error", "clips differ in width"))
    problems += _zero_rows(clips)
    problems += [Problem("note", shown(note, 400)) for note in index["notes"]]
    return Report(
        name=index["name"],
        kind="native",
        problems=tuple(problems),
        fps=index["fps"],
        frames_per_unit=index["frames_per_unit"],
        splits=counted(index["splits"]),
        licence=index["licence"],
        simulated=index["simulated"],
        **described(clips, {m: entry["extractor"] for m, entry in index["modalities"].items()}),
    )


def _split_problems(
    protocol: str, parts: Mapping[str, Sequence[str]], clips: Mapping[str, object]
) -> Iterator[Problem]:
    for part, names in parts.items():
        where = f"split {shown(protocol, 30)}/{shown(part, 30)}"
        unknown = [name for name in names if name not in clips]
        if unknown:
            yield Problem("error", f"names {len(unknown)} unknown clips, first '{shown(unknown[0])}'", where)
        if len(set(names)) < len(names):
            yield Problem("warning", f"names {len(names) - len(set(names))} clips twice", where)
    both = set(parts.get("train", ())) & set(parts.get("test", ()))
    if both:
        text = f"{len(both)} clips are in train and in test, first '{shown(min(both))}'"
        yield Problem("warning", text, f"split {shown(protocol, 30)}")


def _zero_rows(clips: Mapping[str, Clip]) -> list[Problem]:
    names: dict[str, list[str]] = {}
    for clip in clips.values():
        for modality, rows in clip.features.items():
            if not bool(rows.any(-1).all()):
                names.setdefault(modality, []).append(clip.name)
    return [
        Problem("note", f"{len(having)} clips have all-zero rows in '{shown(m)}', first '{shown(having[0])}'")
        for m, having in names.items()
    ]


def wrong_sums(path: Path, stated: Mapping[str, Any]) -> Iterator[Problem]:
    """A problem for every file below the folder that is not there, or is not what its checksum says."""
    for relative, sum_ in stated.items():
        what = f"file '{shown(relative, 160)}'"
        try:
            with opened(inside(path, relative, "file"), 1 << 40, what)[0] as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sum_:
                    yield Problem("error", "does not match its checksum: it is damaged or was replaced", what)
        except RefusedError as refused:
            yield Problem("error", str(refused))

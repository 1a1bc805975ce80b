"""Videos and frame folders, before extraction."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.data import frames, guard
from core.data.check.report import Report, counted, label_counts
from core.data.problems import Problem
from core.machine.names import RefusedError, shown

UNIT = 16  # frames


def report(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    wanted = {key: value for key, value in given.items() if key in ("fps", "truth")}
    if isinstance(wanted.get("truth"), str):
        wanted["truth"] = Path(wanted["truth"])
    try:
        collection = frames.collection(path, **wanted)
    except (ValueError, OSError) as refused:
        text = str(refused) if isinstance(refused, ValueError) else f"cannot be read ({refused.strerror})"
        return Report(name, "footage", (Problem("error", text),))
    problems: list[Problem] = []
    total, fps = 0, collection.fps
    with guard.Reader() as reader:
        for clip in collection.footage:
            what = f"clip '{shown(clip.name)}'"
            count = len(clip.images)
            if clip.file is None:
                problems += _picture_problems(clip.images, what)
            else:
                try:
                    facts = reader.read("video", clip.file, what, keep=False).facts
                except RefusedError as refused:
                    problems.append(Problem("error", str(refused)))
                    continue
                problems += _video_problems(facts, what)
                count, fps = facts["frames"], fps or facts["fps"]
            if clip.truth and clip.truth[-1][1] > count:
                problems.append(
                    Problem("error", f"has {count} frames, its truth reaches frame {clip.truth[-1][1]}", what)
                )
            total += count
    return Report(
        name=collection.name,
        kind="footage",
        problems=(*problems, *(Problem("note", note) for note in collection.notes)),
        clips=len(collection.footage),
        frames=total,
        fps=fps,
        frames_per_unit=UNIT,
        splits=counted(collection.splits),
        labels=label_counts([(clip.anomalous, clip.truth) for clip in collection.footage]),
        contents=(_next(name),),
        licence=collection.licence,
        simulated=collection.simulated,
    )


def video(path: Path, name: str) -> Report:
    """One video."""
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
        frames_per_unit=UNIT,
        contents=(f"{facts['codec']} in {facts['format']}, {size} pixels, {facts['seconds']:g} s", _next(name)),
    )


def _next(name: str) -> str:
    return f"to train or score it, extract it first: python -m core extract {shown(name)} OUT"


def _picture_problems(images: tuple[Path, ...], what: str) -> Iterator[Problem]:
    numbers = [number for number in map(_number, images) if number is not None]
    gaps = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    if gaps > 0:
        yield Problem("warning", f"{gaps} of the numbers {numbers[0]} to {numbers[-1]} have no picture", what)
    empty = [image.name for image in images if not image.stat().st_size]
    if empty:
        yield Problem("error", f"{len(empty)} pictures are empty files, first '{shown(empty[0])}'", what)


def _number(image: Path) -> int | None:
    digits = "".join(c if c.isdigit() else " " for c in image.stem).split()
    return int(digits[-1]) if digits and len(digits[-1]) < 10 else None


def _video_problems(facts: Mapping[str, Any], what: str) -> Iterator[Problem]:
    if facts["damaged"]:
        yield Problem("warning", f"is damaged: nothing after frame {facts['frames']} can be decoded", what)
    if facts["variable"]:
        yield Problem("note", "has a variable frame rate; extraction lays it on an even grid", what)
    if facts["backward"]:
        yield Problem("warning", f"{facts['backward']} frames are not later than the one before", what)
    if len(facts["sizes"]) > 1:
        sizes = ", ".join(f"{w} x {h}" for w, h in facts["sizes"])
        yield Problem("warning", f"changes its picture size: {sizes}", what)
    if facts["frames"] < UNIT:
        yield Problem("warning", f"has {facts['frames']} frames, less than one unit of {UNIT}", what)

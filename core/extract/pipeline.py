"""From footage to a dataset: survey every clip, find the views, find the objects, learn what is usual, describe.

    probe     decode to the end: frames and their times              (per clip, in worker processes)
    survey    background, and a copy that browsers play              (per clip)
    views     clips of one camera share a background                 (all clips)
    objects   what moves                                             (per clip)
    learn     what is usual in a view, from the reference clips      (all clips, no labels)
    describe  one row per unit and modality                          (per clip)

Each step's result is a file that appears whole or not at all, so a killed extraction goes on where it stopped, and
its result is the same as that of one that was not killed. Foreign files are opened in worker processes only.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from core.data import video
from core.data.frames import Collection, Footage
from core.extract import objects
from core.extract.base import Caption, Seen
from core.extract.calibrate import learn
from core.extract.crew import TOLD_EVERY, Crew, tell
from core.extract.extractors import extractor, named
from core.extract.pretrained import Pretrained
from core.extract.view import View, group, together
from core.machine import drafts

VERSION = 2  # raise when features change: results of older versions are then not taken up again
FRAMES = 20_000  # of one clip, on the grid: 33 minutes at 10 a second


@dataclass(frozen=True)
class Surveyed:
    """What the first pass knows of a clip: `frames` on the grid of `fps` frames a second, `probe` of a video."""

    footage: Footage
    fps: float
    frames: int
    probe: video.Probe | None
    notes: tuple[str, ...]

    def working(self) -> Iterator[np.ndarray]:
        return (objects.grey(picture) for picture in self.footage.pictures(self.fps, self.probe))


# --- work on one clip: runs in worker processes ---------------------------------------------------------------------


def probe_clip(footage: Footage) -> video.Probe | None:
    return None if footage.file is None else video.probe(footage.file)


def load_models(modalities: tuple[str, ...]) -> None:
    """Load pretrained weights in a worker, so that a model that cannot be used is told before the work."""
    for modality in modalities:
        if isinstance(made := extractor(modality), Pretrained):
            made.load()


def survey_clip(clip: Surveyed, work: Path, copy: bool) -> None:
    """Writes work/clips/<clip>.mp4 and work/survey/<clip>.npy, the clip's own background."""
    still = objects.Still()
    name = clip.footage.name
    seen = 0
    draft = work / "clips" / f".{name}.mp4"
    writer = video.Writer(draft, clip.fps) if copy else None
    try:
        for index, picture in enumerate(clip.footage.pictures(clip.fps, clip.probe)):
            still.add(objects.grey(picture))
            if writer is not None:
                writer.add(picture)
            seen = index + 1
            tell("survey", name, seen)
        if writer is not None:
            writer.__exit__(None, None, None)
            os.replace(draft, work / "clips" / f"{name}.mp4")
    finally:
        draft.unlink(missing_ok=True)
    if seen != clip.frames:
        raise ValueError(f"clip {name!r}: {seen} frames decoded where {clip.frames} were counted; is it being changed?")
    _save(work / "survey" / f"{name}.npy", still.median())
    tell("survey", name, seen, end=True)


def find_objects(clip: Surveyed, background: np.ndarray, work: Path) -> None:
    """Writes work/objects/<clip>.npz."""
    stride = objects.stride(clip.fps)
    looked = islice(clip.working(), 0, None, stride)
    name = clip.footage.name
    found = objects.find(looked, background, stride, lambda done: tell("objects", name, done))
    draft = work / "objects" / f".{name}.npz"
    found.save(draft)
    os.replace(draft, work / "objects" / f"{name}.npz")
    tell("objects", name, clip.frames, end=True)


def describe_clip(clip: Surveyed, view: View, modalities: tuple[str, ...], per_unit: int, work: Path) -> None:
    """Writes work/features/<modality>/<clip>.npy and work/captions/<clip>.json."""
    name = clip.footage.name
    read = 0  # frames, by all extractors that look at pictures

    def pictures() -> Iterator[video.Picture]:
        nonlocal read
        for picture in clip.footage.pictures(clip.fps, clip.probe):
            yield picture
            read += 1
            tell("describe", name, read // len(modalities), end=read % TOLD_EVERY == 0)

    seen = Seen(
        name=name,
        objects=objects.Objects.load(work / "objects" / f"{name}.npz"),
        view=view,
        frames=clip.frames,
        fps=clip.fps,
        per_unit=per_unit,
        pictures=pictures,
    )
    captions: dict[str, tuple[Caption, ...]] = {}
    for modality in modalities:
        described = extractor(modality)(seen)
        _save(work / "features" / modality_folder(modality) / f"{name}.npy", described.rows.astype(np.float32))
        if described.captions:
            captions[modality_folder(modality)] = described.captions
    content = {modality: [asdict(caption) for caption in made] for modality, made in captions.items()}
    drafts.write_file(work / "captions" / f"{name}.json", json.dumps(content, indent=1).encode())
    tell("describe", name, clip.frames, end=True)


def modality_folder(modality: str) -> str:
    """The modality's name in the dataset, which is a folder there.

    >>> modality_folder("visual=video:owner/model")
    'visual'
    """
    return named(modality)[0]


# --- all clips -----------------------------------------------------------------------------------------------------


def survey(made: Collection, crew: Crew, work: Path, fps: float | None, copy: bool) -> list[Surveyed]:
    """Probe and survey every clip; all clips come out on one grid of frames."""
    probes = crew.run(probe_clip, {f.name: (f,) for f in made.footage}, "probe")
    rates = [probe.fps for probe in probes.values() if probe is not None]
    rate = fps or made.fps or (float(np.median(rates)) if rates else 25.0)
    if not 0.1 <= rate <= 240:
        raise ValueError(f"{made.name!r}: {rate:g} frames a second is not between 0.1 and 240")
    clips = [_surveyed(f, probes[f.name], rate) for f in made.footage]
    crew.total = 3 * sum(clip.frames for clip in clips)
    jobs = {}
    for clip in clips:
        name = clip.footage.name
        there = (work / "survey" / f"{name}.npy").is_file() and (not copy or (work / "clips" / f"{name}.mp4").is_file())
        if there:
            crew.done["survey", name] = clip.frames
        else:
            jobs[name] = (clip, work, copy)
    crew.run(survey_clip, jobs, "survey")
    return clips


def _surveyed(footage: Footage, probe: video.Probe | None, fps: float) -> Surveyed:
    notes: list[str] = []
    frames = len(footage.images)
    if probe is not None:
        frames = len(video.grid(probe, fps))
        notes += probe.notes
        if probe.variable:
            notes.append(
                f"clip {footage.name!r} has a variable frame rate: {probe.frames} frames laid on a grid of {frames} "
                f"at {fps:g} a second"
            )
        elif frames != probe.frames:
            notes.append(
                f"clip {footage.name!r} was resampled from {probe.fps:g} to {fps:g} frames a second "
                f"({probe.frames} to {frames} frames)"
            )
        if footage.truth and footage.truth[-1][1] > probe.frames:
            raise ValueError(
                f"clip {footage.name!r} has {probe.frames} frames, but truth reaches frame {footage.truth[-1][1]}"
            )
        if footage.truth is not None:
            footage = replace(footage, truth=video.on_grid(footage.truth, probe, fps))
    if frames > FRAMES:
        raise ValueError(f"clip {footage.name!r} has {frames} frames; up to {FRAMES} are taken: cut it into parts")
    return Surveyed(footage, fps, frames, probe, tuple(notes))


def find_views(
    clips: Sequence[Surveyed], work: Path, known: Sequence[View], reference: frozenset[str]
) -> tuple[dict[str, int], list[View]]:
    """Clip name -> number of its view, and the views; known ones come first and stay as they are.

    A new view's background is that of its reference clips together; of all its clips where it has none of those.
    """
    own = {clip.footage.name: np.load(work / "survey" / f"{clip.footage.name}.npy") for clip in clips}
    numbers = group([*(view.background for view in known), *own.values()])[len(known) :]
    of = dict(zip(own, numbers, strict=True))
    views = list(known)
    for number in range(len(known), max(numbers) + 1):
        members = [name for name, n in of.items() if n == number]
        chosen = [name for name in members if name in reference] or members
        views.append(View(together([own[name] for name in chosen])))
    return of, views


def learn_views(
    of: Mapping[str, int], views: Sequence[View], known: int, work: Path, reference: frozenset[str]
) -> list[View]:
    """Every new view with what is usual in its reference clips (in all its clips where it has none of those)."""
    learned = list(views[:known])
    for number in range(known, len(views)):
        members = [name for name, n in of.items() if n == number]
        chosen = [name for name in members if name in reference] or members
        found = [objects.Objects.load(work / "objects" / f"{name}.npz") for name in chosen]
        learned.append(learn(views[number], found))
    return learned


def prepare_work(work: Path, plan: Mapping[str, Any]) -> None:
    """An empty folder for this plan, or what an earlier, killed extraction of the same plan left."""
    stamp = work / "plan.json"
    text = json.dumps(plan, sort_keys=True)
    if work.exists() and (not stamp.is_file() or stamp.read_text() != text):
        shutil.rmtree(work)
    for part in ("survey", "clips", "objects", "captions"):
        (work / part).mkdir(parents=True, exist_ok=True)
    for modality in plan["modalities"]:
        (work / "features" / modality_folder(modality)).mkdir(parents=True, exist_ok=True)
    if not stamp.is_file():
        drafts.write_file(stamp, text.encode())


def plan_of(made: Collection, modalities: Iterable[str], **settings: Any) -> dict[str, Any]:
    """What an extraction depends on; files by size and time of change."""
    total = hashlib.sha256()
    for f in made.footage:
        for path in (*f.images, *([f.file] if f.file else [])):
            stat = path.stat()
            total.update(f"{f.name} {path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return {"version": VERSION, "source": total.hexdigest(), "modalities": list(modalities), **settings}


def _save(path: Path, values: np.ndarray) -> None:
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    os.replace(draft, path)

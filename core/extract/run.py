"""`extract` and `extract_clip`: the steps of `pipeline.py` in order, and what they leave in the dataset folder.

calibration.npz        the views and what is usual in them: an upload from one of these cameras is measured by it
captions/<clip>.json   modality -> [{"start", "stop", "text"}]: the sentences, for people
"""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.clip import Clip, unit_labels
from core.data import native, npy
from core.data.frames import Collection, collection
from core.dataset import Dataset
from core.extract import pipeline
from core.extract.base import Caption
from core.extract.calibrate import ENOUGH, FEW
from core.extract.crew import Crew, Report
from core.extract.extractors import distinct, extractor
from core.extract.pipeline import Surveyed
from core.extract.pretrained import Pretrained
from core.extract.view import View

MODALITIES = ("motion", "appearance", "text")
CALIBRATION = "calibration.npz"


def extract(
    source: Path,
    out: Path,
    *,
    modalities: Sequence[str] = MODALITIES,
    workers: int = 1,
    progress: Report | None = None,
    fps: float | None = None,
    truth: Path | None = None,
    reference: Sequence[str] | None = None,
    per_unit: int = 16,
    videos: bool = True,
    name: str | None = None,
    overwrite: bool = False,
    download: bool = False,
    address: str | None = None,
) -> Dataset:
    """Extract everything below `source` into a native dataset at `out`; started again after a kill, it goes on.

    workers     processes that decode and measure; 0 does it in this process (never for files of strangers)
    progress    called with (stage, clip, done, total) in frames
    fps         frames a second: of numbered pictures, and the rate that video files are brought to
    truth       a truth file that does not lie in `source`
    reference   clips that what is usual is learned from, without labels; unless given, the default split's training
                clips, or all
    videos      also write the copies that browsers play
    modalities  names in EXTRACTORS, or `name=video:<model>` and the like (pretrained.py)
    download    pretrained models that are not on this machine may be fetched from the Hugging Face hub
    address     of a Ray cluster that works on the clips (machine/pool.py) and sees `source` and `out` by these names

    Errors: `ValueError` naming clip or file. Nothing is at `out` until everything is.
    """
    _free(out, overwrite)
    made = collection(source, fps=fps, truth=truth)
    chosen = _reference(made, reference)
    return _run(
        made, out, modalities, workers, progress, fps, chosen, per_unit, videos, name or made.name, overwrite, (), (),
        download, address,
    )  # fmt: skip


def extract_clip(
    file: Path,
    dataset: Path,
    out: Path,
    *,
    workers: int = 1,
    progress: Report | None = None,
    videos: bool = True,
    name: str | None = None,
    overwrite: bool = False,
    download: bool = False,
) -> Dataset:
    """One video (or folder of videos) measured like the clips of `dataset`, for models trained on it.

    The frame rate, modalities and unit are the dataset's. A view that the dataset knows brings what is usual there;
    in an unknown view that is learned from the upload itself, and said in the notes.

    Errors: `ValueError` when the dataset has no calibration (it was not extracted here), or as `extract`.
    """
    _free(out, overwrite)
    index = native.load_index(dataset)
    known = load_views(dataset)
    names = [entry["settings"].get("name", modality) for modality, entry in index["modalities"].items()]
    for modality, entry in index["modalities"].items():
        _same_models(modality, entry["settings"], download)
    made = collection(file, fps=index["fps"])
    return _run(
        made, out, names, workers, progress, index["fps"], frozenset(), index["frames_per_unit"], videos,
        name or made.name, overwrite, known, (f"measured by the calibration of dataset {index['name']!r}",), download,
    )  # fmt: skip


def captions(dataset: Path, clip: str) -> dict[str, tuple[Caption, ...]]:
    """Modality -> captions of a clip of an extracted dataset; empty where there are none."""
    path = dataset / "captions" / f"{clip}.json"
    if "/" in clip or not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {modality: tuple(Caption(**row) for row in rows) for modality, rows in content.items()}


def said(dataset: Path, clip: Clip, unit: int) -> dict[str, str]:
    """Modality -> the caption that covers the middle frame of a unit; empty where there are none."""
    frame = int((unit + 0.5) * clip.frames_per_unit)
    every = ((modality, one) for modality, each in captions(dataset, clip.name).items() for one in each)
    return {modality: one.text for modality, one in every if one.start <= frame < one.stop}


def load_views(dataset: Path) -> tuple[View, ...]:
    """The views a dataset was measured by."""
    path = dataset / CALIBRATION
    if not path.is_file():
        raise ValueError(
            f"dataset {dataset.name!r} has no {CALIBRATION}: it was not extracted here, so nothing can join it"
        )
    found: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as values:
        for key in values.files:
            number, _, part = key.partition("-")
            found.setdefault(int(number), {})[part] = values[key]
    return tuple(View.from_arrays(found[number]) for number in sorted(found))


def save_views(views: Sequence[View], path: Path) -> None:
    """An .npz without the time of day in it, so that equal calibrations are equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, view in enumerate(views):
            for part, values in view.arrays().items():
                member = zipfile.ZipInfo(f"{number}-{part}.npy")
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, npy.packed(values))


def _run(
    made: Collection,
    out: Path,
    modalities: Sequence[str],
    workers: int,
    progress: Report | None,
    fps: float | None,
    reference: frozenset[str],
    per_unit: int,
    videos: bool,
    name: str,
    overwrite: bool,
    known: Sequence[View],
    notes: tuple[str, ...],
    download: bool,
    address: str | None = None,
) -> Dataset:
    distinct(modalities)
    models = [e for e in map(extractor, modalities) if isinstance(e, Pretrained)]  # what is wrong is told before work
    for model in models:
        model.fetch(download)
    plan = pipeline.plan_of(
        made, modalities, fps=fps, per_unit=per_unit, videos=videos, reference=sorted(reference), known=len(known),
        models=[model.fingerprints() for model in models],
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.parent / f".draft-extract-{out.name}"
    pipeline.prepare_work(work, plan)
    accelerated = bool(models) and torch.cuda.is_available()
    with Crew(workers, progress, accelerated, models=bool(models), address=address) as crew:
        if models:
            crew.run(pipeline.load_models, {"models": (tuple(modalities),)}, "loading")
        clips = pipeline.survey(made, crew, work, fps, videos)
        of, views = pipeline.find_views(clips, work, known, reference)
        waiting = [c for c in clips if not (work / "objects" / f"{c.footage.name}.npz").is_file()]
        for clip in clips:
            crew.done["objects", clip.footage.name] = 0 if clip in waiting else clip.frames
        crew.run(
            pipeline.find_objects,
            {c.footage.name: (c, views[of[c.footage.name]].background, work) for c in waiting},
            "objects",
        )
        views = pipeline.learn_views(of, views, len(known), work, reference)
        waiting = [c for c in clips if not (work / "captions" / f"{c.footage.name}.json").is_file()]  # written last
        for clip in clips:
            crew.done["describe", clip.footage.name] = 0 if clip in waiting else clip.frames
        crew.run(
            pipeline.describe_clip,
            {c.footage.name: (c, views[of[c.footage.name]], tuple(modalities), per_unit, work) for c in waiting},
            "describe",
        )
    every = [*made.notes, *notes, *(note for clip in clips for note in clip.notes)]
    every += _about_views(of, views, len(known))
    dataset = Dataset(
        name=name,
        clips={c.footage.name: _clip(c, modalities, per_unit, work, videos) for c in clips},
        splits=made.splits,
        fps=clips[0].fps,
        frames_per_unit=per_unit,
        extractors={pipeline.modality_folder(m): extractor(m).words for m in modalities},
        licence=made.licence,
        simulated=made.simulated,
        root=out,
        notes=tuple(every),
    )
    staged = work / "dataset"
    settings: dict[str, dict[str, Any]] = {
        pipeline.modality_folder(m): {"name": m, "version": pipeline.VERSION, **extractor(m).settings}
        for m in modalities
    }
    for modality in modalities:
        if isinstance(maker := extractor(modality), Pretrained):
            settings[pipeline.modality_folder(modality)]["models"] = maker.fingerprints()
    native.write(dataset, staged, settings=settings, overwrite=True)
    shutil.copytree(work / "captions", staged / "captions")
    save_views(views, staged / CALIBRATION)
    if overwrite and out.exists():
        shutil.rmtree(out)
    os.rename(staged, out)
    shutil.rmtree(work)
    return native.read(out)


def _clip(clip: Surveyed, modalities: Sequence[str], per_unit: int, work: Path, videos: bool) -> Clip:
    f = clip.footage
    features = {}
    for modality in modalities:
        folder = pipeline.modality_folder(modality)
        features[folder] = torch.from_numpy(np.load(work / "features" / folder / f"{f.name}.npy"))
    units = -(-clip.frames // per_unit)
    return Clip(
        name=f.name,
        features=features,
        labels=None if f.truth is None else unit_labels(f.truth, units, per_unit),
        seconds=per_unit / clip.fps,
        frames=clip.frames,
        truth=f.truth,
        anomalous=f.anomalous,
        kinds=f.kinds,
        video=work / "clips" / f"{f.name}.mp4" if videos else None,
        frames_per_unit=per_unit,
    )


def _same_models(modality: str, settings: Mapping[str, Any], download: bool) -> None:
    """Refuse to lay features of other weights beside a dataset's."""
    made = extractor(settings.get("name", modality))
    if isinstance(made, Pretrained):
        made.fetch(download)
        if made.fingerprints() != settings.get("models"):
            raise ValueError(f"modality {modality!r} was made by other weights than those of {made.spec!r} here")


def _reference(made: Collection, reference: Sequence[str] | None) -> frozenset[str]:
    names = {f.name for f in made.footage}
    if reference is not None:
        unknown = [name for name in reference if name not in names]
        if unknown:
            raise ValueError(f"reference clip {unknown[0]!r} is not in {made.name!r}")
        return frozenset(reference)
    if made.splits:
        return frozenset(next(iter(made.splits.values())).get("train", ()))
    return frozenset(names)


def _about_views(of: dict[str, int], views: Sequence[View], known: int) -> list[str]:
    """What a user must know of the calibration."""
    notes = []
    for number in sorted(set(of.values())):
        members = [name for name, n in of.items() if n == number]
        rows = views[number].rows
        if known and number >= known:
            notes.append(
                f"{len(members)} clips (first {members[0]!r}) show a view the dataset does not know: what is usual "
                "there was learned from the clip itself"
            )
        if rows < FEW:
            notes.append(
                f"view of {members[0]!r}: only {rows} moving objects seen, so usual speed and size are defaults"
            )
        elif rows < ENOUGH:
            notes.append(f"view of {members[0]!r}: only {rows} moving objects seen, so distance is not corrected for")
    return notes


def _free(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise ValueError(f"{out.name!r} exists already; choose another name")

"""What can be done by a job: one handler for each kind of work."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.jobs import record
from core.jobs.record import Passed, Report, passing
from core.workspace import Workspace, adopt_released, free_name, unpacked

if TYPE_CHECKING:
    from core.dataset import Dataset


def _extract_clip(given: Mapping[str, Any], report: Report) -> str:
    """A user's video, measured like the clips of the dataset its models were trained on."""
    from core.extract import Progress, extract_clip

    def told(step: Progress) -> None:
        report(step.done / max(step.total, 1), f"{step.stage} {step.clip}: frame {step.done:,} of {step.total:,}")

    out = _place(given)
    with _cleared(out):
        extract_clip(Path(given["file"]), Path(given["dataset"]), out, progress=told, name=out.name)
    return out.name


def _extract(given: Mapping[str, Any], report: Report) -> str:
    """A folder of videos or frames, measured by itself."""
    from core.extract import Progress, extract

    def told(step: Progress) -> None:
        report(step.done / max(step.total, 1), f"{step.stage} {step.clip}: frame {step.done:,} of {step.total:,}")

    out = _place(given)
    with _cleared(out):
        extract(Path(given["folder"]), out, progress=told, fps=given.get("fps"), name=out.name, workers=1)
    return out.name


def _place(given: Mapping[str, Any]) -> Path:
    """Where the dataset is put that a visitor named: beside another one of that name, if there is one by now."""
    out = Path(given["out"])
    return out.with_name(free_name(out.parent, out.name))


@contextlib.contextmanager
def _cleared(out: Path) -> Iterator[None]:
    """An extraction keeps its steps to resume from; one that was stopped or refused here is not taken up again."""
    try:
        yield
    finally:
        shutil.rmtree(out.parent / f".draft-extract-{out.name}", ignore_errors=True)


def _import_features(given: Mapping[str, Any], report: Report) -> str:
    """Feature files with their lists, files of samples, or a dataset of ours, as a dataset of ours.

    options, samples    what feature files, and what files of samples, do not say; the folder tells which it is
    files               they were uploaded, and bring no videos this way: those come in through extraction
    """
    from dataclasses import replace as changed

    from core.data import check, index, native, read
    from core.data.samples import native as stored
    from core.sample import Samples

    report(0.1, "reading")
    folder, out = Path(given["folder"]), _place(given)
    kind = check.kind(folder)
    options = given.get({"features": "options", "tables": "samples"}.get(kind, ""), {})
    found = read(folder, **options)
    if isinstance(found, Samples):
        report(0.6, f"{len(found):,} samples read, writing")
        stored.write(changed(found, name=out.name), out)
    else:
        report(0.6, f"{len(found.clips)} clips read, writing")
        found = _without_videos(found) if "files" in given else found
        native.write(changed(found, name=out.name), out)
        home = Workspace(out.parents[1])
        if out.parent == home.data:  # who opens a large set does not wait for its index
            report(0.95, "looking at what was written")
            index.read(out, home.index)
    return out.name


def _without_videos(data: "Dataset") -> "Dataset":
    """The same features; a video of a stranger is kept only when extraction has written it anew."""
    from dataclasses import replace as changed

    named = [name for name, clip in data.clips.items() if clip.video is not None]
    if not named:
        return data
    clips = {name: changed(clip, video=None) for name, clip in data.clips.items()}
    note = f"{len(named)} videos, first that of clip '{named[0]}', were left out: they come in through extraction alone"
    return changed(data, clips=clips, notes=(*data.notes, note))


def _import_files(given: Mapping[str, Any], report: Report) -> str:
    """Uploaded feature files or an archive of them: unpacked by the guarded child, then read like a folder."""
    report(0.05, "unpacking")
    with unpacked([Path(file) for file in given["files"]]) as folder:
        return _import_features({**given, "folder": str(folder)}, report)


def _whole(given: Mapping[str, Any], report: Report) -> str:
    """A long clip as one window."""
    from core.score import whole

    return whole.work(given, report)


def _import_checkpoint(given: Mapping[str, Any], report: Report) -> str:
    """Weights of the released LEGO code as a run."""
    report(0.1, "reading the weights")
    visual, text = given["modalities"]
    return adopt_released(Path(given["file"]), (visual, text), Path(given["runs"]))


def _sweep(given: Mapping[str, Any], report: Report) -> str:
    """One method at many options; stopped or killed, it goes on where it was when it is started again.

    Where a shorter job waits it lets that pass (`Passed`), but only when all that is trained is on disk: at the first
    step after some were. One ensemble, or one training alone, is what the other waits for at most.
    """
    from core.data import read
    from core.sweep import sweep

    root, kept = Path(given["sweep"]), False

    def tell(share: float, words: str) -> None:
        nonlocal kept
        if kept and share < 1 and "job" in given and passing(Path(given["job"])):
            raise Passed
        kept = False
        report(share, words)

    report(0.0, "reading the data")
    for _ in sweep(root, read(Path(given["dataset"])), progress=tell):
        kept = True
    return root.name


def _train(given: Mapping[str, Any], report: Report) -> str:
    """One fusion from one seed or several (`core.train.job`); the ids of their runs, one after another."""
    report(0.0, "starting")
    from core.data import read
    from core.recipe import Recipe
    from core.train.job import carry_out

    recipe = Recipe.read(given["order"])  # by this name since before there were recipes
    report(0.0, "reading the data")
    data = read(Path(given["dataset"]))
    known = [Path(folder) for folder in given.get("known", ())]
    return " ".join(carry_out(recipe, data, Path(given["runs"]), Path(given["job"]), report, known, record.EVERY))


HANDLERS: dict[str, Callable[[Mapping[str, Any], Report], str]] = {
    "clip": _extract_clip,
    "footage": _extract,
    "features": _import_features,
    "files": _import_files,
    "checkpoint": _import_checkpoint,
    "whole": _whole,
    "train": _train,
    "sweep": _sweep,
}

HOURS = {"checkpoint": 0.5, "clip": 4, "features": 4, "files": 4, "footage": 24, "whole": 24, "train": 72, "sweep": 240}


def seconds(kind: str) -> float:
    """How long a job of this kind may take; `$FUSESCOPE_JOB_HOURS` says it for every kind."""
    try:
        told = float(os.environ.get("FUSESCOPE_JOB_HOURS", ""))
    except ValueError:
        told = 0.0
    return 3600 * (told if told > 0 else HOURS.get(kind, max(HOURS.values())))

"""A folder of feature files, with its lists and its ground truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.data import rtfm
from core.data.check.report import Modality, Report, counted, described
from core.data.rtfm import Source


def report(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    examined = rtfm.examine(path, rtfm.options(given) if given else None)
    modalities = tuple(
        _modality(modality, shapes, examined.survey.sources[modality])
        for modality, shapes in examined.shapes.items()
        if shapes
    )
    dataset = examined.dataset
    facts = described(dataset.clips, {}) if dataset else {"clips": max((m.clips for m in modalities), default=0)}
    return Report(
        name=name,
        kind="features",
        problems=tuple(examined.problems),
        fps=dataset.fps if dataset else None,
        frames_per_unit=dataset.frames_per_unit if dataset else None,
        splits=counted(dataset.splits if dataset else {"lists": examined.lines} if examined.lines else {}),
        truth=examined.truth,
        **{**facts, "modalities": modalities},
    )


def _modality(name: str, shapes: Mapping[str, tuple[int, ...]], sources: Mapping[str, Source]) -> Modality:
    """What the shapes on disk say: (units, width), or a cube whose crops come first or second."""
    cubes = {clip: shape for clip, shape in shapes.items() if len(shape) == 3}
    axis = rtfm.crop_axis([shape for clip, shape in cubes.items() if not sources[clip].by_crop], name)
    first = {clip for clip in cubes if sources[clip].by_crop or axis == 0}  # crops come first
    lengths = [shape[1] if clip in first else shape[0] for clip, shape in shapes.items()]
    return Modality(
        name=name,
        widths=tuple(sorted({shape[-1] for shape in shapes.values()})),
        crops=tuple(sorted({shape[0] if clip in first else shape[1] for clip, shape in cubes.items()})),
        clips=len(shapes),
        units=(min(lengths), max(lengths)),
    )

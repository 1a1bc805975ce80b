"""The feature files of RTFM, TEVAD, LEGO, UR-DMU and VadCLIP, with their lists and ground truths.

    <video>_i3d.npy        (units, crops, width), (crops, units, width) or (units, width); crops are 5 or 10
    <video>__0.npy … __9   one crop a file, (units, width)
    <video>_emb.npy        text, (units, width); also _c3d _swin _pose _videomae _clip
    *.list *.txt *.csv     one clip a line; anomalous clips first, how many is told or read off the names
    gt*.npy                0 and 1, for the clips of the test list in its order: 16 frames a unit, or one a unit

What cannot be guessed is an option (`Options`), given by the caller or kept in `fusescope.json` beside the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from core.clip import Clip, Intervals, unit_labels
from core.data.problems import Problems, sentence
from core.data.rtfm.arrays import Shapes, crop_axis, cut, features, units_of
from core.data.rtfm.listed import Parts, everywhere, parts, splits
from core.data.rtfm.names import Source, Survey, is_truth, of, survey
from core.data.rtfm.settings import SUFFIXES, Options, beside, options
from core.data.rtfm.truth import ground_truth
from core.dataset import Dataset
from core.machine.names import RefusedError

__all__ = ["SUFFIXES", "Examined", "Options", "Source", "crop_axis", "examine", "is_truth", "options", "read"]

FPS = 25.0


@dataclass
class Examined:
    """Everything found out about the folder; `dataset` is None when an error stands in its way.

    lines       part -> clips in the order of its list
    shapes      modality -> clip -> shape on disk
    """

    dataset: Dataset | None
    problems: Problems
    survey: Survey = field(default_factory=Survey)
    lines: dict[str, list[str]] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)


def read(root: Path, options: Options | None = None) -> Dataset:
    """The dataset in this folder of feature files. Errors: `ValueError` with the first problems in words."""
    examined = examine(root, options)
    if examined.dataset is None:
        raise ValueError(sentence(examined.problems))
    return examined.dataset


def examine(root: Path, options: Options | None = None) -> Examined:
    """Read everything and collect every problem; nothing raises but an unusable option."""
    problems = Problems()
    given = beside(root, problems) if options is None else options
    try:
        lying = survey(root, given, problems)
    except RefusedError as refused:
        problems.error(str(refused))
        return Examined(None, problems)
    listed = parts(root, given, lying, problems)
    wanted = list(dict.fromkeys(name for part in listed.clips.values() for name in part))
    values, shapes = features(root, given, lying, wanted or everywhere(lying, problems), problems)
    lengths = {
        m: {name: of_clip[m].shape[-2] for name, of_clip in values.items() if m in of_clip} for m in lying.sources
    }
    rows, notes = cut(values, lying, problems)
    kept = {name: units_of(of_clip) for name, of_clip in rows.items()}
    truth, facts = ground_truth(root, given, lying, listed.clips.get("test"), kept, lengths, problems)
    if given.fps is None:
        problems.note(f"no frame rate is known; {FPS:g} frames a second assumed", fix="give it by fps")
    clips = {name: _clip(name, rows[name], given, truth, listed, notes, problems) for name in rows}
    dataset = _dataset(root, given, clips, listed, lying, problems)
    return Examined(dataset, problems, lying, listed.clips, shapes, facts)


def _clip(
    name: str,
    rows: dict[str, Tensor],
    given: Options,
    truth: Mapping[str, Intervals],
    listed: Parts,
    notes: Mapping[str, str],
    problems: Problems,
) -> Clip:
    """One clip; whether it is anomalous is told by its ground truth before its list."""
    spans, anomalous = truth.get(name), listed.anomalous.get(name)
    if spans is not None:
        if anomalous is not None and anomalous != bool(spans):
            words = "anomalous" if anomalous else "normal"
            problems.warning(f"is {words} by {listed.how}, but its ground truth says otherwise", of(name))
        anomalous = bool(spans)
    return Clip(
        name=name,
        features=rows,
        labels=None if spans is None else unit_labels(spans, units_of(rows), given.frames_per_unit),
        seconds=given.frames_per_unit / (given.fps or FPS),
        truth=spans,
        anomalous=anomalous,
        frames_per_unit=given.frames_per_unit,
        notes=(notes[name],) if name in notes else (),
    )


def _dataset(
    root: Path, given: Options, clips: dict[str, Clip], listed: Parts, lying: Survey, problems: Problems
) -> Dataset | None:
    """The clips as a dataset; None when an error stands in its way."""
    if not clips or problems.failed:
        return None
    try:
        return Dataset(
            name=root.name or "features",
            clips=clips,
            splits=splits(listed.clips, lying, clips),
            fps=given.fps or FPS,
            frames_per_unit=given.frames_per_unit,
            extractors=dict.fromkeys(lying.sources, "feature files, extractor unknown"),
            root=root,
            notes=tuple(str(problem) for problem in problems if problem.severity != "error"),
        )
    except ValueError as refused:
        problems.error(str(refused))
        return None

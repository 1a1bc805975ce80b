"""Rows of every wanted clip and modality, and their shapes on disk; what cannot be read becomes a problem."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from humanize import naturalsize
from torch import Tensor

from core.data import guard, npy, rows
from core.data.problems import Problems
from core.data.rtfm.names import Source, Survey, of
from core.data.rtfm.settings import Options
from core.machine.memory import free
from core.machine.names import RefusedError, inside, opened, shown

Shape = tuple[int, ...]
Shapes = dict[str, dict[str, Shape]]  # modality -> clip -> shape
Features = dict[str, dict[str, Tensor]]  # clip -> modality -> rows


def features(
    root: Path, given: Options, survey: Survey, wanted: Sequence[str], problems: Problems
) -> tuple[Features, Shapes]:
    """Rows of every wanted clip and modality, and the shapes on disk."""
    shapes = {modality: _shapes(root, modality, clips, wanted, problems) for modality, clips in survey.sources.items()}
    need = 4 * sum(
        math.prod(shape[1:] if survey.sources[modality][clip].by_crop and given.crops == "mean" else shape)
        for modality, of_clips in shapes.items()
        for clip, shape in of_clips.items()
    )
    room = free()
    if need > 0.7 * room:
        text = f"the features take {naturalsize(need)} as float32, {naturalsize(room)} of memory are free"
        problems.error(text, fix="average the crops (crops=mean), or name fewer clips in the lists")
        return {}, shapes
    result: Features = {name: {} for name in wanted}
    with guard.Reader() as reader:
        for modality, clips in survey.sources.items():
            for name, values in _rows(root, reader, modality, clips, shapes[modality], problems).items():
                averaged = values.ndim == 3 and (given.crops == "mean" or values.shape[0] == 1)
                result[name][modality] = values.mean(0) if averaged else values
            _compare(
                modality, {name: values[modality] for name, values in result.items() if modality in values}, problems
            )
    return result, shapes


def _shapes(
    root: Path, modality: str, clips: Mapping[str, Source], wanted: Sequence[str], problems: Problems
) -> dict[str, Shape]:
    """clip -> shape on disk, for the wanted clips of a modality that can be read."""
    unlisted = set(clips).difference(wanted)
    if unlisted:
        problems.note(f"{len(unlisted)} of {len(clips)} clips of '{shown(modality)}' are in no list; left out")
    missing = [name for name in wanted if name not in clips]
    if missing:
        listed = ", ".join(f"'{shown(name, 40)}'" for name in missing[:5]) + (", …" if len(missing) > 5 else "")
        problems.error(f"{len(missing)} clips have no '{shown(modality)}' file: {listed}")
    shapes = {}
    for name in wanted:
        if name in clips:
            try:
                shapes[name] = _shape(root, clips[name])
            except RefusedError as refused:
                problems.error(str(refused))
    return shapes


def _rows(
    root: Path,
    reader: guard.Reader,
    modality: str,
    clips: Mapping[str, Source],
    shapes: Mapping[str, Shape],
    problems: Problems,
) -> dict[str, Tensor]:
    """clip -> (crops, units, width) or (units, width)."""
    axis = crop_axis([shape for name, shape in shapes.items() if not clips[name].by_crop], modality, problems)
    result = {}
    for name, shape in shapes.items():
        try:
            array = _array(root, reader, clips[name])
            crops = None if len(shape) == 2 else 0 if clips[name].by_crop else axis
            result[name] = rows.to_rows(array, crops, name, modality)
        except RefusedError as refused:
            problems.error(str(refused))
    return result


def _shape(root: Path, source: Source) -> Shape:
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


def crop_axis(shapes: Sequence[Shape], modality: str, problems: Problems | None = None) -> int:
    """The axis of the crops in a modality: the one whose size is 1, 5 or 10 in every file."""
    problems = Problems() if problems is None else problems
    cubes = [shape for shape in shapes if len(shape) == 3]
    if not cubes:
        return 1
    steady = [axis for axis in (1, 0) if len({s[axis] for s in cubes}) == 1 and cubes[0][axis] in (1, *rows.CROPS)]
    if len(steady) == 2:
        text = f"both first axes of '{shown(modality)}' could be crops {cubes[0]}; read as (units, crops, width)"
        problems.warning(text)
    if not steady:
        sizes = sorted({shape[:2] for shape in cubes})[:4]
        text = f"no axis of '{shown(modality)}' is 5 or 10 crops in every file; first axes are {sizes}"
        problems.error(text, fix="save it as (units, crops, width) with the same number of crops everywhere")
    return steady[0] if steady else 1


def _compare(modality: str, values: Mapping[str, Tensor], problems: Problems) -> None:
    """One width everywhere, and rows that are not zero."""
    widths: dict[int, list[str]] = {}
    for name, rows_ in values.items():
        widths.setdefault(rows_.shape[-1], []).append(name)
    usual = max(widths, key=lambda width: len(widths[width]), default=0)
    for width, names in widths.items():
        if width != usual:
            most = f"{usual} in the other {len(widths[usual])}"
            problems.error(f"'{shown(modality)}' is {width} wide in {len(names)} clips, {most}", of(names[0]))
    zero = [name for name, rows_ in values.items() if not bool(rows_.any(-1).all())]
    if zero:
        problems.warning(f"{len(zero)} clips have all-zero rows in '{shown(modality)}', first '{shown(zero[0])}'")


def cut(features: Features, survey: Survey, problems: Problems) -> tuple[Features, dict[str, str]]:
    """Equal lengths within each clip; clips that lack a modality or differ by more are left out, as errors."""
    result, notes = {}, {}
    for name, values in features.items():
        if set(values) != set(survey.sources):
            continue
        try:
            result[name], note = rows.cut(values, name)
        except RefusedError as refused:
            problems.error(str(refused))
            continue
        if note:
            notes[name] = note
    if notes:
        first = next(iter(notes.values()))
        problems.note(
            f"{len(notes)} clips are one unit longer in one modality than in another, and cut; first: {first}"
        )
    return result, notes


def units_of(rows_: Mapping[str, Tensor]) -> int:
    """Units of a clip after the cut, when all its modalities are equally long."""
    return int(next(iter(rows_.values())).shape[-2])

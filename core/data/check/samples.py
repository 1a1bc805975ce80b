"""Samples: a set of ours, a recipe for one, or files of tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.check.clips import wrong_sums
from core.data.check.kinds import stated_format
from core.data.check.report import Modality, Report, counted
from core.data.problems import Problem
from core.data.samples import foreign, native, recipe
from core.machine.names import shown
from core.sample import Samples


def report(path: Path, name: str) -> Report:
    """A native sample set, or a recipe for one; a set that cannot be put together shows its first problem."""
    problems: list[Problem] = []
    try:
        if stated_format(path) == recipe.FORMAT:
            samples = recipe.read(path)
        else:
            index = native.load_index(path)
            problems += wrong_sums(path, index["files"] or {})
            samples = native.assemble(path, index)
    except ValueError as refused:
        if not any(str(refused).startswith(problem.where) for problem in problems if problem.where):
            problems.append(Problem("error", str(refused)))
        return Report(name, "samples", tuple(problems))
    notes = [Problem("note", shown(note, 400)) for note in samples.notes]
    return _described(samples, samples.name, "samples", (*problems, *foreign.inspect(samples), *notes))


def tables(path: Path, name: str, given: Mapping[str, Any]) -> Report:
    """Files that become samples, read as the options say."""
    examined = foreign.examine(path, given)
    if examined.samples is None:
        return Report(name, "tables", examined.problems)
    return _described(examined.samples, name, "tables", examined.problems)


def _described(samples: Samples, name: str, kind: str, problems: Sequence[Problem]) -> Report:
    names = samples.task.names
    classes, targets = {}, {}
    if samples.task.kind == "class":
        counts = samples.target.bincount(minlength=len(names)).tolist()
        classes = dict(zip(names, counts, strict=True))
    else:
        low, high = samples.target.amin(0).tolist(), samples.target.amax(0).tolist()
        targets = dict(zip(names, zip(low, high, strict=True), strict=True))
    return Report(
        name=name,
        kind=kind,
        problems=tuple(problems),
        samples=len(samples),
        classes=classes,
        targets=targets,
        modalities=tuple(
            Modality(modality, (width,), (), 0, (0, 0), samples.extractors.get(modality, ""))
            for modality, width in samples.widths.items()
        ),
        splits=counted(samples.splits),
        licence=samples.licence,
        simulated=samples.simulated,
    )

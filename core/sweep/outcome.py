"""What came out of a sweep: a row for every cell, the best and those as good, lines along each axis, a cell's runs."""

import contextlib
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.torch import load

from core import run as runs
from core.fusion.lego import Lego
from core.machine import drafts
from core.run import Run
from core.score.infer import array
from core.sweep.folder import Sweep, read
from core.sweep.plan import Cell, cells
from core.train.ensemble.fit import gated


@dataclass(frozen=True)
class Row:
    """One cell. values: seed -> the metric, NaN where undefined; runs: seed -> the run's folder name.

    failed      seed -> why its training came to nothing
    """

    cell: Cell
    values: Mapping[int, float] = field(default_factory=dict)
    runs: Mapping[int, str] = field(default_factory=dict)
    seconds: float = math.nan
    weights: int = 0
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """How many trainings are done, whatever came of them."""
        return len(self.runs) + len(self.failed)

    @property
    def defined(self) -> list[float]:
        return [value for value in self.values.values() if not math.isnan(value)]

    @property
    def n(self) -> int:
        """How many seeds have a value."""
        return len(self.defined)

    @cached_property
    def mean(self) -> float:
        return fmean(self.defined) if self.n else math.nan

    @cached_property
    def sd(self) -> float:
        """Over seeds; NaN with fewer than two."""
        return stdev(self.defined) if self.n > 1 else math.nan


@dataclass(frozen=True)
class Results:
    """What is on disk of a sweep: a row for every cell of a grid, of a guided sweep for those that were asked for."""

    sweep: Sweep
    rows: tuple[Row, ...]

    @property
    def done(self) -> int:
        return sum(row.tried for row in self.rows)

    @property
    def total(self) -> int:
        return self.sweep.plan.trainings

    @property
    def complete(self) -> bool:
        return self.done >= self.total

    @cached_property
    def best(self) -> Row | None:
        """The cell with the highest mean among those with most seeds done; None when there is none."""
        most = max((row.n for row in self.rows), default=0)
        return max((row for row in self.rows if row.n == most), key=lambda row: row.mean) if most else None

    @cached_property
    def spread(self) -> float:
        """How far apart seeds lie: the best cell's standard deviation or the middle cell's, whichever is larger.

        A cell is the best partly because its few seeds happen to agree, so its own spread alone would flatter it.
        """
        known = [row.sd for row in self.rows if row.n > 1]
        return float(np.nanmax([self.best.sd, median(known)])) if self.best is not None and known else math.nan

    @cached_property
    def close(self) -> tuple[Row, ...]:
        """Cells whose mean lies within the seeds' `spread` of the best, the best included; none with one seed."""
        if self.best is None or math.isnan(self.spread):
            return ()
        return tuple(row for row in self.rows if row.mean >= self.best.mean - self.spread)

    def row(self, cell: Cell) -> Row | None:
        return next((row for row in self.rows if row.cell == cell), None)

    def lattice(self) -> Float[np.ndarray, "..."]:
        """Every cell's mean, one axis of the array an axis of the plan; NaN where there is none yet."""
        places = [{value: at for at, value in enumerate(values)} for values in self.sweep.plan.axes.values()]
        found = np.full([len(place) for place in places], math.nan)
        for row in self.rows:
            found[tuple(place[value] for place, value in zip(places, row.cell, strict=True))] = row.mean
        return found


def results(root: Path, load: Callable[[Path], Run | None] = runs.load) -> Results:
    """The table of a sweep as it stands; `load` reads one run's record."""
    asked = read(root)
    plan = asked.plan
    rows: dict[Cell, dict[int, Run]] = {cell: {} for cell in cells(plan)} if plan.how == "grid" else {}
    names: dict[tuple[Cell, int], str] = {}
    for folder in sorted((root / "runs").iterdir()) if (root / "runs").is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            run = load(folder)
        except ValueError:  # it is not among the finished ones, then
            continue
        if run is None:
            continue
        settings = {**runs.LATER, **run.training, **run.config}
        cell = tuple(settings.get(name) for name in plan.names)
        if all(value in values for value, values in zip(cell, plan.axes.values(), strict=True)):
            rows.setdefault(cell, {})[run.seed] = run
            names[cell, run.seed] = folder.name
    failed = _failures(asked, root)
    order = {cell: place for place, cell in enumerate(cells(plan))}
    there = sorted({*rows, *(cell for cell, _ in failed)}, key=order.__getitem__)
    return Results(asked, tuple(_row(c, rows.get(c, {}), names, failed, asked.metric) for c in there))


def _failures(asked: Sweep, root: Path) -> dict[tuple[Cell, int], str]:
    """(cell, seed) -> why there is no run."""
    if not (root / "failed").is_dir():
        return {}
    ids = {asked.run_id(cell, seed): (cell, seed) for cell in cells(asked.plan) for seed in range(asked.plan.seeds)}
    return {ids[p.name]: p.read_text(errors="replace") for p in sorted((root / "failed").iterdir()) if p.name in ids}


def _row(
    cell: Cell,
    by_seed: Mapping[int, Run],
    names: Mapping[tuple[Cell, int], str],
    failed: Mapping[tuple[Cell, int], str],
    metric: str,
) -> Row:
    found = {seed: by_seed[seed].metrics.get(metric) for seed in sorted(by_seed)}
    return Row(
        cell,
        {seed: math.nan if value is None else float(value) for seed, value in found.items()},
        {seed: names[cell, seed] for seed in sorted(by_seed)},
        fmean(run.seconds for run in by_seed.values()) if by_seed else math.nan,
        next(iter(by_seed.values())).weights if by_seed else 0,
        {seed: why for (there, seed), why in failed.items() if there == cell},
    )


# ---------------------------------------------------------------------------- along each axis


@dataclass(frozen=True)
class Line:
    """A cell's value along one axis, the others averaged over: mean and standard deviation over seeds."""

    name: str
    values: tuple[Any, ...]
    mean: Float[np.ndarray, " values"]
    sd: Float[np.ndarray, " values"]
    cells: tuple[int, ...]


def lines(found: Results) -> list[Line]:
    """One line an axis. Every seed is averaged over the other axes first; the spread is that of these averages.

    Only seeds that every cell of a value has count, so that no average mixes easy and hard cells of another seed.
    """
    plan = found.sweep.plan
    made_lines = []
    for axis, (name, values) in enumerate(plan.axes.items()):
        means, spreads, counts = [], [], []
        for value in values:
            rows = [row for row in found.rows if row.cell[axis] == value and row.n]
            seeds = [
                s for s in range(plan.seeds) if rows and all(not math.isnan(r.values.get(s, math.nan)) for r in rows)
            ]
            averages = [fmean(row.values[seed] for row in rows) for seed in seeds]
            means.append(fmean(averages) if averages else math.nan)
            spreads.append(stdev(averages) if len(averages) > 1 else math.nan)
            counts.append(len(rows))
        made_lines.append(Line(name, values, np.array(means), np.array(spreads), tuple(counts)))
    return made_lines


# ---------------------------------------------------------------------------- the runs of a cell


def operators(root: Path, row: Row) -> Float[np.ndarray, "..."] | None:
    """The learned A of a cell after its gate, the mean over its seeds; None for a method without one."""
    found = [operator(root / "runs" / name) for name in row.runs.values()]
    kept = [A for A in found if A is not None]
    return np.mean(kept, axis=0) if kept else None


def operator(folder: Path) -> Float[np.ndarray, "..."] | None:
    """A of one run, after its gate."""
    run = runs.load(folder)
    if run.fusion != "lego":
        return None
    if run.config.get("operator") == "matrix":  # without building the model, ten times faster
        gate = run.config["gate"]
        return array(gated(load(runs.checked(folder, "model.safetensors"))["A"], gate))
    model = runs.model(folder)
    assert isinstance(model, Lego)
    return array(model.operator())


def promote(root: Path, row: Row, target: Path) -> list[str]:
    """Copy a cell's runs to where every page finds them; those that are there already stay. Their folder names."""
    for name in row.runs.values():
        if not (target / name / "run.json").is_file():
            with contextlib.suppress(ValueError), drafts.new_folder(target / name) as draft:
                shutil.copytree(root / "runs" / name, draft, dirs_exist_ok=True)
            if not (target / name / "run.json").is_file():
                raise ValueError(f"run {name!r} could not be copied to {target.name!r}")
    return list(row.runs.values())

"""Sweeps on disk."""

import json
from pathlib import Path

import numpy as np

from app.store.data import data, digest
from app.store.keys import DataKey, SweepKey, folders, kept, log, resource, workspace
from core import run as runs
from core import sweep as sweep_folders
from core.run import Run


def sweeps_root() -> Path:
    """Where sweeps and their runs lie; these runs are in no list until a cell is opened."""
    return workspace().sweeps


@kept(256)
def _sweep(index: Path) -> sweep_folders.Sweep | None:
    if not index.is_file():
        return None
    try:
        return sweep_folders.read(index.parent)
    except ValueError as error:
        log.warning("sweep passed over: %s", error)
        return None


def sweeps(key: DataKey) -> dict[SweepKey, sweep_folders.Sweep]:
    """Folder name -> sweep on this dataset, newest first."""
    found = {SweepKey(path.name): _sweep(path / SweepKey.file) for path in folders(sweeps_root(), SweepKey.file)}
    own = {name: one for name, one in found.items() if one is not None and one.data == digest(key)}
    return dict(sorted(own.items(), key=lambda item: -item[1].created))


def removed_sweeps(key: DataKey) -> list[tuple[str, str, str]]:
    """(ticket, folder name, title) of the sweeps on this dataset that were thrown away last and can be put back."""
    found: list[tuple[str, str, str]] = []
    for ticket, kind, name in workspace().thrown():
        if kind == "sweeps" and len(found) < 3:
            one = _sweep(workspace().trash / ticket / SweepKey.file)
            if one is not None and one.data == digest(key):
                found.append((ticket, name, f"{one.title} · {one.id[-4:]}"))
    return found


@kept(20_000)
def _run(record: Path) -> Run | None:
    if not record.is_file():
        return None
    try:
        return runs.load(record.parent)
    except ValueError as error:
        log.warning("run of a sweep passed over: %s", error)
        return None


@resource(32)
def sweep_results(name: SweepKey) -> tuple[sweep_folders.Results, sweep_folders.Importance | None]:
    """A sweep as it stands, and what each option matters so far."""
    found = sweep_folders.results(name.folder, lambda folder: _run(folder / "run.json"))
    return found, sweep_folders.importance(found)


@resource(128, "Doing a few steps of it, to say how long it will take")
def sweep_time(key: DataKey, plan: str) -> sweep_folders.Estimate | None:
    """About how long the sweep of this plan, as JSON, will take on this machine; half a second the first time."""
    return sweep_folders.estimate(sweep_folders.Plan.read(json.loads(plan)), data(key))


@kept(20_000)
def _operator(record: Path) -> np.ndarray | None:
    return sweep_folders.operator(record.parent)


def swept_operator(name: SweepKey, row: sweep_folders.Row) -> np.ndarray | None:
    """The learned A of a cell, the mean over its seeds; None for a method without one."""
    folders = [sweeps_root() / name / "runs" / one for one in row.runs.values()]
    known = [A for folder in folders if (A := _operator(folder / "run.json")) is not None]
    return np.mean(known, axis=0) if known else None

"""Sweeps on disk."""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.store.data import data, digest
from app.store.keys import _folders, _stamp, datasets, log, workspace
from core import run as run_folders
from core import sweep as sweep_folders
from core.run import Run
from core.workspace import trash

if TYPE_CHECKING:
    pass


def sweeps_root() -> Path:
    """Where sweeps and their runs lie; these runs are in no list until a cell is opened."""
    return workspace() / "sweeps"


@functools.lru_cache(maxsize=256)
def _sweep(folder: str, stamp: str) -> sweep_folders.Sweep | None:
    try:
        return sweep_folders.read(Path(folder))
    except ValueError as error:
        log.warning("sweep passed over: %s", error)
        return None


def sweeps(key: str) -> dict[str, sweep_folders.Sweep]:
    """Folder name -> sweep on this dataset, newest first."""
    own_data = digest(key)
    found = {
        path.name: _sweep(str(path), _stamp(path / "sweep.json")) for path in _folders(sweeps_root(), "sweep.json")
    }
    own = {name: one for name, one in found.items() if one is not None and one.data == own_data}
    return dict(sorted(own.items(), key=lambda item: -item[1].created))


def removed_sweeps(key: str) -> list[tuple[str, str, str]]:
    """(ticket, folder name, title) of the sweeps on this dataset that were thrown away last and can be put back."""
    found: list[tuple[str, str, str]] = []
    for ticket, kind, name in trash(workspace()):
        place = workspace() / ".trash" / ticket
        if kind == "sweeps" and len(found) < 3:
            one = _sweep(str(place), _stamp(place / "sweep.json")) if (place / "sweep.json").is_file() else None
            if one is not None and one.data == digest(key):
                found.append((ticket, name, f"{one.title} · {one.id[-4:]}"))
    return found


@functools.lru_cache(maxsize=20_000)
def _swept(folder: str, stamp: str) -> Run | None:
    try:
        return run_folders.load(Path(folder))
    except ValueError as error:
        log.warning("run of a sweep passed over: %s", error)
        return None


def _swept_run(folder: Path) -> Run | None:
    return _swept(str(folder), _stamp(folder / "run.json")) if (folder / "run.json").is_file() else None


def _sweep_stamp(name: str) -> str:
    """Changes with every training that is done."""
    root = sweeps_root() / name
    return " ".join(_stamp(path) for path in (root / "sweep.json", root / "runs", root / "failed") if path.exists())


@st.cache_resource(max_entries=32, show_spinner=False)
def _sweep_results(stamp: str, name: str) -> tuple[sweep_folders.Results, sweep_folders.Importance | None]:
    found = sweep_folders.results(sweeps_root() / name, _swept_run)
    return found, sweep_folders.importance(found)


def sweep_results(name: str) -> tuple[sweep_folders.Results, sweep_folders.Importance | None]:
    """A sweep as it stands, and what each option matters so far. Shared by all users: read, never change."""
    return _sweep_results(_sweep_stamp(name), name)


@st.cache_resource(max_entries=128, show_spinner="Doing a few steps of it, to say how long it will take")
def _sweep_time(data_stamp: str, key: str, plan: str) -> sweep_folders.Estimate | None:
    return sweep_folders.estimate(sweep_folders.plan_of(json.loads(plan)), data(key))


def sweep_time(key: str, plan: str) -> sweep_folders.Estimate | None:
    """About how long the sweep of this plan, as JSON, will take on this machine; half a second the first time."""
    return _sweep_time(_stamp(datasets()[key] / "dataset.json"), key, plan)


@functools.lru_cache(maxsize=20_000)
def _swept_operator(folder: str, stamp: str) -> np.ndarray | None:
    return sweep_folders.operator(Path(folder))


def swept_operator(name: str, row: sweep_folders.Row) -> np.ndarray | None:
    """The learned A of a cell, the mean over its seeds; None for a method without one."""
    folders = [sweeps_root() / name / "runs" / one for one in row.runs.values()]
    kept = [A for folder in folders if (A := _swept_operator(str(folder), _stamp(folder / "run.json"))) is not None]
    return np.mean(kept, axis=0) if kept else None

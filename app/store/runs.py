"""Stored runs: which there are, which fit a dataset, and how they are told apart."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.figures.methods import group_table, method_bars
from app.figures.style import colours
from app.store.data import data, digest
from app.store.keys import _all_runs_stamp, _stamp, all_runs, datasets, log, workspace
from core import run as run_folders
from core.experiments import ranks
from core.fusion import FUSIONS
from core.machine.names import shown, told_apart
from core.run import Run

if TYPE_CHECKING:
    pass


def learned_from(name: str, key: str) -> tuple[int, int]:
    """(how many of the clips or samples that the pages show the run was trained on, how many they show).

    Of data that the run was not trained on nothing is known: (0, 0).
    """
    found = run(name)
    if found.source.digest != digest(key):
        return 0, 0
    return _learned_from(str(datasets()[key]), _stamp(datasets()[key] / "dataset.json"), key, found.source.protocol)


@st.cache_data(max_entries=256, show_spinner=False)
def _learned_from(folder: str, stamp: str, key: str, protocol: str) -> tuple[int, int]:
    return data(key).trained_among_shown(protocol)


def own_runs() -> list[str]:
    """Runs that lie in the workspace, which may be removed; the demo's may not."""
    return [name for name, folder in all_runs().items() if folder.parent == workspace() / "runs"]


def readable_runs() -> list[str]:
    """Every run on disk whose record can be read, whatever data it fits."""
    return [name for name, folder in all_runs().items() if _run(str(folder), _stamp(folder / "run.json"))]


@st.cache_resource(max_entries=1024, show_spinner=False)
def _run(folder: str, stamp: str) -> Run | None:
    try:
        return run_folders.load(Path(folder))
    except ValueError as error:
        log.warning("run passed over: %s", error)
        return None


def run(name: str) -> Run:
    """The record of a run by its folder's name."""
    folder = all_runs()[name]
    found = _run(str(folder), _stamp(folder / "run.json"))
    if found is None:
        raise ValueError(f"run {name!r} cannot be read; train it again")
    return found


def runs(key: str) -> dict[str, Run]:
    """Folder name -> run, for runs that can score this dataset: all they read is there, in the same width.

    Runs trained on this very data come first, then as `FUSIONS` lists them, the better method first, then by seed.
    """
    return _catalogue(key)[0]


def run_titles(key: str) -> dict[str, str]:
    """Folder name -> what people read, unique: two configs of the same name get their ids."""
    return _catalogue(key)[1]


def own_runs_of(key: str) -> dict[str, Run]:
    """Those of `runs(key)` that were trained on this very data."""
    own = digest(key)
    return {name: found for name, found in runs(key).items() if found.source.digest == own}


def _catalogue(key: str) -> tuple[dict[str, Run], dict[str, str]]:
    return _sorted_runs(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _sorted_runs(runs_stamp: str, data_stamp: str, key: str) -> tuple[dict[str, Run], dict[str, str]]:
    widths, own, task = data(key).widths, digest(key), data(key).task
    fits: dict[str, Run] = {}
    for name, folder in all_runs().items():
        found = _run(str(folder), _stamp(folder / "run.json"))
        if found and found.asked == task and all(widths.get(m) == width for m, width in found.source.widths.items()):
            fits[name] = found
    order = {name: place for place, name in enumerate(FUSIONS)}
    values: dict[str, list[float]] = {}
    for found in fits.values():
        values.setdefault(found.group, []).append(found.metrics.get(found.metric) or 0.0)
    best = {group: -sum(each) / len(each) for group, each in values.items()}
    fits = dict(
        sorted(
            fits.items(),
            key=lambda item: (
                item[1].source.digest != own,
                order[item[1].fusion],
                best[item[1].group],
                item[1].title,
                item[1].seed,
            ),
        )
    )
    plain = {name: shown(f"{found.title} · seed {found.seed}", 200) for name, found in fits.items()}
    return fits, told_apart(plain)


@st.cache_resource(max_entries=64, show_spinner=False)
def _methods(
    runs_stamp: str, data_stamp: str, key: str, baseline: str | None, group: str | None, theme: str
) -> tuple[pd.DataFrame, go.Figure]:
    table = group_table(own_runs_of(key), baseline)
    return table, method_bars(table, group, colours(theme)).update_layout(template=colours(theme).template)


def methods(key: str, baseline: str | None, group: str | None, theme: str) -> tuple[pd.DataFrame, go.Figure]:
    """How good each method trained on this dataset is, as a table and drawn; `group` is the one to accent."""
    return _methods(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, baseline, group, theme)


@st.cache_data(max_entries=256, show_spinner=False)
def _history(folder: str, stamp: str) -> list[dict[str, float]]:
    return run_folders.history(Path(folder))


def history(name: str) -> list[dict[str, float]]:
    """What a run wrote down after every epoch or round."""
    folder = all_runs()[name]
    return _history(str(folder), _stamp(folder / "run.json"))


def ranked_runs(key: str) -> list[str]:
    """LMF runs trained on this very data that differ in rank and seed alone."""
    return [folder.name for folder in ranks.of_ranks([all_runs()[name] for name in own_runs_of(key)])]


def seeds_of(name: str, key: str) -> dict[int, str]:
    """Seed -> folder name of every run that differs from this one in the seed alone."""
    every = runs(key)
    found = {other.seed: folder for folder, other in every.items() if other.group == every[name].group}
    return dict(sorted(found.items()))

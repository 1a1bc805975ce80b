"""Stored runs: which there are, which fit a dataset, and how they are told apart."""

import pandas as pd
import plotly.graph_objects as go

from app.figures.methods import group_table, method_bars
from app.figures.style import colours
from app.store import keys
from app.store.data import data, digest
from app.store.keys import WITH_ALL_RUNS, DataKey, RunKey, all_runs, log, resource, workspace
from core.experiments import ranks
from core.machine.names import shown, told_apart
from core.run import Run, fitting, load
from core.run import history as history_of


def learned_from(name: RunKey, key: DataKey) -> tuple[int, int]:
    """(how many of the clips or samples that the pages show the run was trained on, how many they show).

    Of data that the run was not trained on nothing is known: (0, 0).
    """
    source = run(name).source
    return _learned_from(key, source.protocol) if source.digest == digest(key) else (0, 0)


@keys.data(256)
def _learned_from(key: DataKey, protocol: str) -> tuple[int, int]:
    return data(key).trained_among_shown(protocol)


def own_runs() -> list[RunKey]:
    """Runs that lie in the workspace, which may be removed; the demo's may not."""
    return [name for name, folder in all_runs().items() if folder.parent == workspace().runs]


def readable_runs() -> list[RunKey]:
    """Every run on disk whose record can be read, whatever data it fits."""
    return [name for name in all_runs() if record(name)]


@resource(1024)
def record(name: RunKey) -> Run | None:
    """The record of a run; None where it cannot be read."""
    try:
        return load(name.folder)
    except ValueError as error:
        log.warning("run passed over: %s", error)
        return None


def run(name: str) -> Run:
    """The record of a run by its folder's name. Errors: `ValueError` where it cannot be read."""
    found = record(RunKey(name))
    if found is None:
        raise ValueError(f"run {name!r} cannot be read; train it again")
    return found


def runs(key: DataKey) -> dict[RunKey, Run]:
    """Folder name -> run, for runs that can score this dataset: all they read is there, in the same width.

    Runs trained on this very data come first, then as `FUSIONS` lists them, the better method first, then by seed.
    """
    return _catalogue(key)[0]


def run_titles(key: DataKey) -> dict[RunKey, str]:
    """Folder name -> what people read, unique: two configs of the same name get their ids."""
    return _catalogue(key)[1]


def own_runs_of(key: DataKey) -> dict[RunKey, Run]:
    """Those of `runs(key)` that were trained on this very data."""
    own = digest(key)
    return {name: found for name, found in runs(key).items() if found.source.digest == own}


@resource(32, stamps=WITH_ALL_RUNS)
def _catalogue(key: DataKey) -> tuple[dict[RunKey, Run], dict[RunKey, str]]:
    found = {name: one for name in all_runs() if (one := record(name)) is not None}
    fits = fitting(found, data(key).widths, data(key).task, digest(key))
    plain = {name: shown(f"{one.title} · seed {one.seed}", 200) for name, one in fits.items()}
    return fits, told_apart(plain)


@resource(64, stamps=WITH_ALL_RUNS)
def methods(key: DataKey, baseline: str | None, group: str | None, theme: str) -> tuple[pd.DataFrame, go.Figure]:
    """How good each method trained on this dataset is, as a table and drawn; `group` is the one to accent."""
    table = group_table(own_runs_of(key), baseline)
    return table, method_bars(table, group, colours(theme)).update_layout(template=colours(theme).template)


@keys.data(256)
def history(name: RunKey) -> list[dict[str, float]]:
    """What a run wrote down after every epoch or round."""
    return history_of(name.folder)


def ranked_runs(key: DataKey) -> list[RunKey]:
    """LMF runs trained on this very data that differ in rank and seed alone."""
    return [RunKey(folder.name) for folder in ranks.of_ranks([all_runs()[name] for name in own_runs_of(key)])]


def seeds_of(name: RunKey, key: DataKey) -> dict[int, RunKey]:
    """Seed -> folder name of every run that differs from this one in the seed alone."""
    every = runs(key)
    found = {other.seed: folder for folder, other in every.items() if other.group == every[name].group}
    return dict(sorted(found.items()))

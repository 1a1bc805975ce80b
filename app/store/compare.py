"""Runs side by side."""

from typing import TYPE_CHECKING

import streamlit as st

from app.store.data import clips, data, digest, part
from app.store.keys import _all_runs_stamp, _stamp, _stamps, all_runs, datasets
from app.store.methods import computed
from app.store.models import answered
from app.store.runs import runs
from core import compare

if TYPE_CHECKING:
    pass


@st.cache_resource(max_entries=32, show_spinner=False)
def _groups(runs_stamp: str, data_stamp: str, key: str) -> tuple[dict[str, compare.Group], dict[str, float]]:
    return compare.groups(runs(key), digest(key)), compare.recorded(runs(key))


def groups(key: str) -> tuple[dict[str, compare.Group], dict[str, float]]:
    """Group id -> every seed of one configuration that can score this data; and what their records say they reach."""
    return _groups(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key)


@st.cache_resource(max_entries=512, show_spinner=False)
def _judged(run_stamp: str, data_stamp: str, name: str, key: str) -> compare.Judged:
    return compare.judge(*answered(name, key))


def judged(name: str, key: str) -> compare.Judged:
    """A run on the test part, with every metric on the draws of clips that all runs share."""
    return _judged(*_stamps(name, key), name, key)


@st.cache_resource(max_entries=64, show_spinner="Comparing the runs")
def _comparison(
    runs_stamp: str, data_stamp: str, key: str, ids: tuple[str, ...], baseline: str | None
) -> list[compare.Line]:
    chosen = [groups(key)[0][id_] for id_ in ids]
    found = {group.id: {seed: judged(name, key) for seed, name in group.runs.items()} for group in chosen}
    return compare.lines(chosen, found, baseline)


def comparison(key: str, ids: tuple[str, ...], baseline: str | None) -> list[compare.Line]:
    """Groups side by side, in this order, each against the baseline. Shared by all users: read, never change."""
    return _comparison(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, ids, baseline)


@st.cache_data(max_entries=512, show_spinner=False)
def _parts(run_stamp: str, data_stamp: str, name: str, key: str) -> dict[str, float]:
    return compare.parts_of(*answered(name, key))


def in_parts(group: compare.Group, key: str) -> dict[str, float]:
    """AUC of each kind of anomaly, recall of each class or correlation of each target: means over the group's seeds."""
    return compare.over_seeds([_parts(*_stamps(name, key), name, key) for name in group.runs.values()])


def missing(group: compare.Group, key: str) -> dict[str, float]:
    """The compared metric without some modalities, means over the group's seeds."""
    return compare.over_seeds([computed("missing", name, key) for name in group.runs.values()])


@st.cache_resource(max_entries=32, show_spinner="Comparing every row")
def _disagreement(
    runs_stamp: str, data_stamp: str, key: str, a: tuple[str, ...], b: tuple[str, ...]
) -> compare.Disagreement:
    said = [[answered(name, key)[0] for name in side] for side in (a, b)]
    return compare.disagreement_of(said[0], said[1], clips(key) or part(key))


def disagreement(key: str, a: compare.Group, b: compare.Group) -> compare.Disagreement:
    """Where two groups say most different things of the rows that are looked at."""
    sides = tuple(a.runs.values()), tuple(b.runs.values())
    return _disagreement(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, *sides)


@st.cache_data(max_entries=256, show_spinner="Scoring in processes of their own")
def _peaks(runs_stamp: str, data_stamp: str, key: str, names: tuple[str, ...]) -> list[float | None]:
    which = data(key).looked_at()
    return compare.peaks(datasets()[key], which, [all_runs()[name] for name in names])


def peak_memory(key: str, names: tuple[str, ...]) -> list[float | None]:
    """Megabytes that scoring the test part adds at most to a process, one a run; takes seconds."""
    return _peaks(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, names)

"""Models and what they say of a dataset: scores, outputs, metrics, grades."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app.figures.samples import one_against_rest
from app.store.data import clip, clips, data, large, part, samples
from app.store.keys import _stamp, _stamps, all_runs, datasets, workspace
from app.store.work import Work, _answer_of
from core import run as run_folders
from core.clip import Clip
from core.fusion.base import Fusion
from core.measure.metrics import ClassMetrics, Metrics, RealMetrics, measure, pooled, pooled_frames
from core.measure.thresholds import Graded, Moment, Units, graded, top_moments, units_of
from core.sample import Part
from core.score import infer
from core.score import stored as kept

if TYPE_CHECKING:
    pass


@st.cache_resource(max_entries=64, show_spinner="Loading the model")
def _model(folder: str, stamp: str) -> Fusion:
    return run_folders.model(Path(folder))


def model(name: str) -> Fusion:
    """The trained fusion of a run."""
    folder = all_runs()[name]
    return _model(str(folder), _stamp(folder / "run.json"))


@st.cache_resource(max_entries=256, show_spinner="Scoring the clips")
def _scores(run_folder: str, run_stamp: str, data_folder: str, data_stamp: str, key: str) -> dict[str, np.ndarray]:
    if large(key):
        known: dict[str, np.ndarray] = _answer_of(_scoring, run_folder, run_stamp, data_folder, data_stamp, key)
        return known
    found = infer.score(_model(run_folder, run_stamp), clips(key))
    for values in found.values():
        values.setflags(write=False)
    return found


@st.cache_resource(max_entries=64, show_spinner=False)
def _scoring(run_folder: str, run_stamp: str, data_folder: str, data_stamp: str, key: str) -> Work:
    model, found, which = _model(run_folder, run_stamp), data(key), clips(key)
    place = kept.place_of(workspace() / "scores", Path(run_folder), found.digest(), found.looked_at())

    def work(tell: Callable[[float], None]) -> dict[str, np.ndarray]:
        scored = kept.load(place, which)
        if scored is None:
            scored = infer.score(model, which, tell=tell)
            with contextlib.suppress(OSError):  # on a read-only disk it is scored again next time
                kept.save(scored, which, place)
            for values in scored.values():
                values.setflags(write=False)
        return scored

    return Work(work)


@st.cache_resource(max_entries=64, show_spinner=False)
def _units(run_stamp: str, data_stamp: str, name: str, key: str) -> tuple[Units, np.ndarray, np.ndarray]:
    found = units_of(scores(name, key), clips(key))
    return found, found.highest(), found.inside()


def units(name: str, key: str) -> tuple[Units, np.ndarray, np.ndarray]:
    """Every unit of `clips(key)` in one row; the highest score of each clip, and the AUC among its own units."""
    return _units(*_stamps(name, key), name, key)


@st.cache_resource(max_entries=16, show_spinner="Sorting the scores")
def _graded(run_stamp: str, data_stamp: str, name: str, key: str, level: str, about: int) -> Graded:
    if samples(key) is not None:
        return graded(*one_against_rest(part(key), outputs(name, key), about))
    return graded(*(pooled_frames if level == "frames" else pooled)(scores(name, key), clips(key)))


def grades(name: str, key: str, level: str = "units", about: int = 0) -> Graded:
    """Scores by class, sorted: of units, of frames, or of samples, class `about` against all others."""
    return _graded(*_stamps(name, key), name, key, level, about)


@st.cache_resource(max_entries=64, show_spinner=False)
def _moments(run_folder: str, run_stamp: str, data_folder: str, data_stamp: str, key: str) -> tuple[Moment, ...]:
    return tuple(top_moments(clips(key), _scores(run_folder, run_stamp, data_folder, data_stamp, key)))


def moments(name: str, key: str) -> tuple[Moment, ...]:
    """Ten units with high scores, clips taking turns, highest first. Shared by all users: read, never change."""
    run_folder, folder = all_runs()[name], datasets()[key]
    return _moments(str(run_folder), _stamp(run_folder / "run.json"), str(folder), _stamp(folder / "dataset.json"), key)


def scores(name: str, key: str) -> Mapping[str, np.ndarray]:
    """Clip name -> unit scores of every clip of `clips(key)`."""
    run_folder, data_folder = all_runs()[name], datasets()[key]
    return _scores(
        str(run_folder), _stamp(run_folder / "run.json"), str(data_folder), _stamp(data_folder / "dataset.json"), key
    )


@st.cache_resource(max_entries=64, show_spinner="Running the model")
def _outputs(run_stamp: str, data_stamp: str, name: str, key: str) -> np.ndarray:
    return infer.outputs(model(name), part(key).features)


def outputs(name: str, key: str) -> np.ndarray:
    """The model's outputs for every row of `part(key)`, `(rows, outputs)`; `ValueError` where it only scores units."""
    return _outputs(*_stamps(name, key), name, key)


def answered(name: str, key: str) -> tuple[Any, Sequence[Clip] | Part]:
    """What a run says of the clips or samples that are looked at, and these: scores of units, or outputs."""
    return (scores if clips(key) else outputs)(name, key), clips(key) or part(key)


@st.cache_data(max_entries=256, show_spinner=False)
def _metrics(run_stamp: str, data_stamp: str, name: str, key: str) -> Metrics | ClassMetrics | RealMetrics:
    return measure(*answered(name, key))


def metrics(name: str, key: str) -> Metrics | ClassMetrics | RealMetrics:
    """What the run is worth on `clips(key)` or `part(key)`, measured now, not read from its record."""
    return _metrics(_stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json"), name, key)


@st.cache_resource(max_entries=512, show_spinner="Looking at the clip")
def _look(run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str) -> infer.Look:
    return infer.look(model(name), clip(key, clip_name))


def look(name: str, key: str, clip_name: str) -> infer.Look:
    """Scores and graphs of one clip. Shared by all users: read, never change."""
    return _look(_stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json"), name, key, clip_name)

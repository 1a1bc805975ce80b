"""Everything slow, cached, in one place. Keys are names, numbers and digests, never arrays or tensors.

A folder's stamp (inode, size and time of its index file) is part of the key: datasets and runs are written as drafts
and renamed, so a new one has a new stamp and the old entry ages out. What is returned is shared by all users:
read-only. Any visitor can clear the global cache, so nothing of value lives only here.
"""

import contextlib
import copy
import functools
import gc
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import torch
from streamlit import runtime

from app.state.changes import Changes
from app.store.work import Work
from app.views.weights import kernel_figures
from app.widgets.network import Layout, positions
from app.widgets.sample_figures import one_against_rest, sample_facts
from app.widgets.score_figures import Kinds, Moment, dataset_facts, group_table, kinds_of, method_bars, top_moments
from app.widgets.score_figures import hours as hours_of
from app.widgets.style import colours
from core import compare
from core import run as run_folders
from core import sweep as sweep_folders
from core.clip import Clip
from core.data import index as native_index
from core.data.check import Report, check
from core.data.reading import about
from core.data.stills import jpeg, unit_frames
from core.dataset import Dataset
from core.experiments import ranks
from core.explain import latents, lego, lowrank, mkl, plane, probes, progressive, removal, split, weights
from core.extract import captions as sentences
from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.fusion.graph import cosine
from core.fusion.lego import Lego
from core.machine.names import shown, told_apart
from core.measure.metrics import ClassMetrics, Metrics, RealMetrics, measure, measure_part, pooled, pooled_frames
from core.measure.thresholds import Graded, Units, graded, units_of
from core.run import Run
from core.sample import Part, Samples, part_of, task_of, trained_among_shown
from core.score import infer, whole
from core.score import stored as kept
from core.score.communities import LEAF, Summary, opened
from core.score.flops import flops
from core.score.sliders import Answer, Gate, GraphSet
from core.trust import calibration, record, stress
from core.trust.rows import Stage, reader, staged
from core.workspace import size_of, sweep, trash

if TYPE_CHECKING:
    from app.state.selection import Selection

Data = Dataset | Samples
ROOT = Path(__file__).parents[1]
LARGEST_VIDEO = 64 << 20  # bytes; a playing video is held in memory while someone looks at it
log = logging.getLogger("fusescope")


def workspace() -> Path:
    """Where users' datasets, runs and jobs are kept; `$FUSESCOPE_WORKSPACE`, else `workspace` beside the app."""
    return Path(os.environ.get("FUSESCOPE_WORKSPACE") or ROOT / "workspace")


def assets() -> Path:
    """Where the demo lies; `$FUSESCOPE_ASSETS` shows another one (tests do)."""
    return Path(os.environ.get("FUSESCOPE_ASSETS") or ROOT / "assets")


# ---------------------------------------------------------------------------- what is on disk


def datasets() -> dict[str, Path]:
    """Key -> folder of every dataset; the demo first. An upload appears at once: renaming it in stamps its parent."""
    found = {key: assets() / key for key in ("demo", "digits") if (assets() / key / "dataset.json").is_file()}
    for path in _folders(workspace() / "data", "dataset.json"):
        found.setdefault(path.name, path)
    return found


def _folders(root: Path, index: str) -> tuple[Path, ...]:
    """The folders below a root that hold an index file, by name; drafts begin with a dot."""
    return _listed(str(root), _stamp(root), index) if root.is_dir() else ()


@functools.lru_cache(maxsize=16)
def _listed(root: str, stamp: str, index: str) -> tuple[Path, ...]:
    return tuple(p for p in sorted(Path(root).iterdir()) if not p.name.startswith(".") and (p / index).is_file())


def data(key: str) -> Data:
    """The data of this key, clips or samples; a `ValueError` says what is wrong with its folder."""
    folder = datasets().get(key)
    if folder is None:
        raise ValueError(f"there is no dataset {key!r} any more; choose another one")
    return _dataset(str(folder), _stamp(folder / "dataset.json"))


@st.cache_resource(max_entries=16, show_spinner="Reading the dataset")
def _dataset(folder: str, stamp: str) -> Data:
    if native_index.maybe_large(Path(folder)):
        found: Data = _answer_of(_opening, folder, stamp)
        return found
    return native_index.read(Path(folder), workspace() / "index")


@st.cache_resource(max_entries=16, show_spinner=False)
def _opening(folder: str, stamp: str) -> Work:
    place = workspace() / "index"
    return Work(lambda tell: native_index.read(Path(folder), place, tell=tell))


def dataset(key: str) -> Dataset:
    """The dataset of clips of this key; a `ValueError` for samples."""
    found = data(key)
    if isinstance(found, Samples):
        raise ValueError(f"{found.name!r} holds samples, not clips; choose another dataset in the sidebar")
    return found


def samples(key: str) -> Samples | None:
    """The sample set of this key; None where it holds clips."""
    found = data(key)
    return found if isinstance(found, Samples) else None


def clips(key: str) -> tuple[Clip, ...]:
    """The clips that are looked at: the test part of the first split, or all when no split names one."""
    folder = datasets().get(key)
    return () if folder is None else _clips(str(folder), _stamp(folder / "dataset.json"), key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _clips(folder: str, stamp: str, key: str) -> tuple[Clip, ...]:
    found = data(key)
    if isinstance(found, Samples):
        return ()
    return found.part("test") if looked_at(found) == "test" else tuple(found.clips.values())


def clip_names(key: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name of each of `clips(key)` -> its place; and the names in small letters, to be searched."""
    folder = datasets()[key]
    return _clip_names(str(folder), _stamp(folder / "dataset.json"), key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _clip_names(folder: str, stamp: str, key: str) -> tuple[dict[str, int], tuple[str, ...]]:
    names = [found.name for found in clips(key)]
    return {name: place for place, name in enumerate(names)}, tuple(name.lower() for name in names)


def looked_at(found: Data) -> str:
    """Which part the pages show: the test part of the first split, or all when no split names one."""
    first = next(iter(found.splits.values()), {})
    test = first.get("test")
    return "test" if test is not None and len(test) else "all"


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
    return trained_among_shown(data(key), protocol)


def part(key: str, which: str = "test") -> Part:
    """Rows of a dataset: its samples, or every unit of its clips. `test` is what the pages look at."""
    return _part(str(datasets()[key]), _stamp(datasets()[key] / "dataset.json"), key, which)


@st.cache_resource(max_entries=32, show_spinner=False)
def _part(folder: str, stamp: str, key: str, which: str) -> Part:
    found = data(key)
    return part_of(found, looked_at(found) if which == "test" else which)


@st.cache_resource(max_entries=16, show_spinner=False)
def _places_of_rows(folder: str, stamp: str, key: str) -> dict[tuple[str, int], int]:
    return {place: row for row, place in enumerate(part(key).places)}


def row(chosen: "Selection") -> int:
    """Index in `part(chosen.dataset)` of what is chosen: the sample, or the unit at the moment (else the first)."""
    if samples(chosen.dataset) is not None:
        return min(chosen.sample, len(part(chosen.dataset)) - 1)
    unit = chosen.unit(clip(chosen.dataset, chosen.clip)) or 0
    folder = datasets()[chosen.dataset]
    return _places_of_rows(str(folder), _stamp(folder / "dataset.json"), chosen.dataset)[chosen.clip, unit]


def link(key: str, row: int) -> dict[str, Any]:
    """What to `selection.put` so that a row of `part(key)` is the chosen one."""
    clip_name, place = part(key).places[row]
    if samples(key) is not None:
        return {"sample": row}
    return {"clip": clip_name, "time": round(place * clip(key, clip_name).seconds, 2)}


def large(key: str) -> bool:
    """True for clips whose features stay on disk: what reads them all is done in the background."""
    found = data(key)
    return isinstance(found, Dataset) and found.on_disk


def clip(key: str, name: str) -> Clip:
    """One clip by name, of any part."""
    return dataset(key).clips[name]


@st.cache_data(max_entries=32, show_spinner=False)
def _digest(folder: str, stamp: str) -> str:
    found: Data = _dataset(folder, stamp)
    return found.digest()


def digest(key: str) -> str:
    """The dataset's fingerprint, which its runs carry."""
    folder = datasets()[key]
    return _digest(str(folder), _stamp(folder / "dataset.json"))


def all_runs() -> dict[str, Path]:
    """Id -> folder of every run on disk, the demo's first."""
    found: dict[str, Path] = {}
    for root in (assets() / "runs", workspace() / "runs"):
        for path in _folders(root, "run.json"):
            found.setdefault(path.name, path)
    return found


@st.cache_resource(max_entries=256, show_spinner=False)
def _index(folder: str, stamp: str) -> dict[str, Any] | None:
    try:
        return about(Path(folder))
    except ValueError as error:
        log.warning("dataset passed over: %s", error)
        return None


def index(key: str) -> dict[str, Any] | None:
    """What a dataset says about itself, without its features; None where that cannot be read."""
    folder = datasets()[key]
    return _index(str(folder), _stamp(folder / "dataset.json"))


def shelf() -> dict[str, dict[str, Any]]:
    """Key -> what the library's table shows of each dataset."""
    found = {}
    for key, folder in datasets().items():
        about = folder / "dataset.json"
        found[key] = {
            "index": index(key),
            "bytes": _size(str(folder), _stamp(about)),
            "when": about.stat().st_mtime,
            "own": folder.parent == workspace() / "data",
        }
    return found


@st.cache_data(max_entries=1024, show_spinner=False)
def _size(folder: str, stamp: str) -> int:
    return size_of(Path(folder))


@st.cache_resource(max_entries=64, show_spinner="Checking the dataset")
def _report(folder: str, stamp: str) -> Report:
    return check(Path(folder))


def report(key: str) -> Report:
    """Everything that is wrong with a dataset; of a large one it takes a while (`unfinished`)."""
    folder = datasets()[key]
    stamp = _stamp(folder / "dataset.json")
    if len((index(key) or {}).get("clips", ())) >= native_index.LARGE:
        found: Report = _answer_of(_checking, str(folder), stamp)
        return found
    return _report(str(folder), stamp)


@st.cache_resource(max_entries=16, show_spinner=False)
def _checking(folder: str, stamp: str) -> Work:
    return Work(lambda tell: check(Path(folder)))


@st.cache_data(max_entries=16, ttl=30, show_spinner="Looking at it")
def folder_report(folder: str, pickles: bool = False) -> Report:
    """The report of any folder that may be read, as it stood less than half a minute ago."""
    return check(Path(folder), pickles=pickles)


def roots() -> list[Path]:
    """Folders on this machine that a visitor may bring data in from: the workspace and `$FUSESCOPE_DATA`."""
    return [workspace(), *(Path(part) for part in os.environ.get("FUSESCOPE_DATA", "").split(os.pathsep) if part)]


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


def _all_runs_stamp() -> str:
    """Changes with every run that comes or goes; a run itself never changes."""
    return " ".join(_stamp(root) for root in (assets() / "runs", workspace() / "runs") if root.is_dir())


@st.cache_resource(max_entries=32, show_spinner=False)
def _sorted_runs(runs_stamp: str, data_stamp: str, key: str) -> tuple[dict[str, Run], dict[str, str]]:
    widths, own, task = data(key).widths, digest(key), task_of(data(key))
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


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


@st.cache_data(max_entries=256, show_spinner=False)
def _history(folder: str, stamp: str) -> list[dict[str, float]]:
    return run_folders.history(Path(folder))


def history(name: str) -> list[dict[str, float]]:
    """What a run wrote down after every epoch or round."""
    folder = all_runs()[name]
    return _history(str(folder), _stamp(folder / "run.json"))


# ---------------------------------------------------------------------------- models and what they say


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
    place = kept.place_of(workspace() / "scores", Path(run_folder), found.digest(), looked_at(found))

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


def _answer_of(start: Any, *key: Hashable) -> Any:
    """What work in the background came to; work that failed is begun again by who asks next."""
    try:
        return start(*key).answer()
    except Exception:
        start.clear(*key)
        raise


PATIENCE = 1.0  # seconds a page waits for the background before it shows a bar


def unfinished(what: str, name: str | None, key: str) -> Work | None:
    """Work on a large set that has not ended yet, begun by this call; None where all is there or quickly had.

    what    "scores" or "graphs" of a run, "data" or "report" of a dataset
    """
    folder = datasets()[key]
    stamp = _stamp(folder / "dataset.json")
    if what == "data":
        if not native_index.maybe_large(folder):
            return None
        begun: Work = _opening(str(folder), stamp)
        return None if begun.within(PATIENCE) else begun
    if what == "report":
        if len((index(key) or {}).get("clips", ())) < native_index.LARGE:
            return None
        work: Work = _checking(str(folder), stamp)
    elif name is None or not large(key):
        return None
    elif what == "scores":
        run_folder = all_runs()[name]
        work = _scoring(str(run_folder), _stamp(run_folder / "run.json"), str(folder), stamp, key)
    elif model(name).window is None:
        return None
    else:
        work = _building(*_stamps(name, key), name, key)
    return None if work.within(PATIENCE) else work


@st.cache_resource(max_entries=64, show_spinner=False)
def _units(run_stamp: str, data_stamp: str, name: str, key: str) -> tuple[Units, np.ndarray, np.ndarray]:
    found = units_of(scores(name, key), clips(key))
    return found, found.highest(), found.inside()


def units(name: str, key: str) -> tuple[Units, np.ndarray, np.ndarray]:
    """Every unit of `clips(key)` in one row; the highest score of each clip, and the AUC among its own units."""
    return _units(*_stamps(name, key), name, key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _kinds(data_stamp: str, key: str) -> tuple[Kinds, float]:
    return kinds_of(clips(key)), hours_of(clips(key))


def kinds(key: str) -> Kinds:
    """The kind of anomaly of every unit of `clips(key)`."""
    return _kinds(_stamp(datasets()[key] / "dataset.json"), key)[0]


def hours(key: str) -> float:
    """Length of the labelled clips of `clips(key)`."""
    return _kinds(_stamp(datasets()[key] / "dataset.json"), key)[1]


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


@st.cache_resource(max_entries=64, show_spinner=False)
def _facts(data_stamp: str, key: str) -> dict[str, str]:
    found = samples(key)
    return dataset_facts(dataset(key), clips(key)) if found is None else sample_facts(found, part(key))


def facts(key: str) -> dict[str, str]:
    """The dataset in a handful of numbers. Shared by all users: read, never change."""
    return _facts(_stamp(datasets()[key] / "dataset.json"), key)


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


@st.cache_data(max_entries=256, show_spinner=False)
def _metrics(run_stamp: str, data_stamp: str, name: str, key: str) -> Metrics | ClassMetrics | RealMetrics:
    if samples(key) is not None:
        return measure_part(outputs(name, key), part(key))
    return measure(scores(name, key), clips(key))


def metrics(name: str, key: str) -> Metrics | ClassMetrics | RealMetrics:
    """What the run is worth on `clips(key)` or `part(key)`, measured now, not read from its record."""
    return _metrics(_stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json"), name, key)


@st.cache_resource(max_entries=512, show_spinner="Looking at the clip")
def _look(run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str) -> infer.Look:
    return infer.look(model(name), clip(key, clip_name))


def look(name: str, key: str, clip_name: str) -> infer.Look:
    """Scores and graphs of one clip. Shared by all users: read, never change."""
    return _look(_stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json"), name, key, clip_name)


def _tuned(run_stamp: str, data_stamp: str, name: str, key: str) -> tuple[GraphSet, torch.Tensor, Gate]:
    if large(key):
        found: tuple[GraphSet, torch.Tensor, Gate] = _answer_of(_building, run_stamp, data_stamp, name, key)
        return found
    return _tuned_at_once(run_stamp, data_stamp, name, key)


@st.cache_resource(max_entries=8, show_spinner="Building the graphs of all clips")
def _tuned_at_once(run_stamp: str, data_stamp: str, name: str, key: str) -> tuple[GraphSet, torch.Tensor, Gate]:
    return _built(model(name), clips(key))


@st.cache_resource(max_entries=2, show_spinner=False)  # a gigabyte each for 10,000 clips
def _building(run_stamp: str, data_stamp: str, name: str, key: str) -> Work:
    found, which = model(name), clips(key)
    return Work(lambda tell: _built(found, which))


def _built(found: Fusion, which: Sequence[Clip]) -> tuple[GraphSet, torch.Tensor, Gate]:
    graphs = GraphSet(found, which)
    fused = graphs.fused()
    return graphs, fused, Gate(fused)


def tuned(name: str, key: str) -> tuple[GraphSet, torch.Tensor, Gate]:
    """Graphs of all clips under a run, fused as trained, and their sorted edges; `ValueError` for runs without graphs.

    `graph_set.answer(fused, alpha, k, gate)` then costs milliseconds. Shared by all users: read, never change.
    """
    return _tuned(_stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json"), name, key)


def changed(name: str, key: str, changes: str) -> tuple[GraphSet, torch.Tensor, Gate]:
    """`tuned` with the operator changed as one line of text says (`app.state.changes`)."""
    stamps = _stamps(name, key)
    return _changed(*stamps, name, key, changes) if changes else _tuned(*stamps, name, key)


def _stamps(name: str, key: str) -> tuple[str, str]:
    """What a run and a dataset look like on disk now: part of every key."""
    return _stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json")


@st.cache_resource(max_entries=16, show_spinner=False)
def _changed(run_stamp: str, data_stamp: str, name: str, key: str, changes: str) -> tuple[GraphSet, torch.Tensor, Gate]:
    found, *_ = _tuned(run_stamp, data_stamp, name, key)
    A = operator(found, changes)
    fused = found.fused(A)
    return found, fused, Gate(fused)


def operator(graphs: GraphSet, changes: str) -> torch.Tensor | None:
    """A with the changes of one line of text in it; None for a fusion without an operator."""
    if graphs.operator is None:
        return None
    read = Changes.read(changes, graphs.operator.shape)
    tops = [read.tops.get(axis, size - 1) for axis, size in enumerate(graphs.operator.shape)]
    return graphs.edited(read.entries, tops)


def answer(name: str, key: str, changes: str, alpha: float, k: int) -> Answer:
    """What one position of all sliders means for every clip of the set; last ones are kept."""
    return _answer(*_stamps(name, key), name, key, changes, alpha, k)


@st.cache_resource(max_entries=512, show_spinner=False)
def _answer(run_stamp: str, data_stamp: str, name: str, key: str, changes: str, alpha: float, k: int) -> Answer:
    graphs, fused, gate = changed(name, key, changes)
    kind: Literal["equation", "released"] = getattr(model(name).config, "regulariser", "equation")
    return graphs.answer(fused, alpha, k, gate, kind)


def trained_sliders(name: str) -> tuple[float, int]:
    """alpha and k the run was trained with; the paper's 0.5 and 10 where the fusion knows neither."""
    config = model(name).config
    return float(getattr(config, "alpha", 0.5)), int(getattr(config, "k", 10))


@st.cache_resource(max_entries=256, show_spinner=False)
def _window(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, index: int, changes: str
) -> infer.GraphArrays:
    graphs, fused, _ = changed(name, key, changes)
    before = sum(len(infer.spans(c.units, graphs.model.window)) for c in graphs.clips[: place(graphs, clip_name)])
    at, n = before + index, int(graphs.real[before + index])
    A = operator(graphs, changes)
    return infer.GraphArrays(
        graphs={modality: infer.array(graph[at, 0, :n, :n]) for modality, graph in graphs.graphs.items()},
        fused=infer.array(fused[at, 0, :n, :n]),
        raw=infer.array(graphs.raw(A)[at, 0, :n, :n]),
        operator=None if A is None else infer.array(A),
    )


def place(graphs: GraphSet, clip_name: str) -> int:
    """Which of the set's clips this is."""
    return [clip.name for clip in graphs.clips].index(clip_name)


def window(name: str, key: str, clip_name: str, index: int, changes: str = "") -> infer.GraphArrays:
    """The graphs of one window of a clip, crop 0's, with A as changed. Shared by all users: read, never change."""
    return _window(*_stamps(name, key), name, key, clip_name, index, changes)


def unit_scores(name: str, key: str, clip_name: str, changes: str = "") -> np.ndarray:
    """Scores of one clip's units with A as changed."""
    if not changes:
        return scores(name, key)[clip_name]
    graphs, *_ = changed(name, key, changes)
    alpha, k = trained_sliders(name)
    return graphs.of(clip_name, answer(name, key, changes, alpha, k).scores)


FUSED = "fused"  # the title of the fused graph; a modality of that name gives way


def relations(name: str, key: str, clip_name: str, index: int, changes: str = "") -> dict[str, np.ndarray]:
    """Graph by title, modalities first, then what the head reads, where more than one modality made it.

    A fusion that combines features has no graphs: then the cosine relations of each modality's own features.
    """
    if model(name).window is None:
        return _feature_relations(*_stamps(name, key), name, key, clip_name)
    seen = window(name, key, clip_name, index, changes)
    found = {f"{m} (modality)" if m == FUSED else m: graph for m, graph in seen.graphs.items()}
    return found | {FUSED: seen.fused} if len(found) > 1 else found


@st.cache_resource(max_entries=64, show_spinner=False)
def _feature_relations(run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str) -> dict[str, np.ndarray]:
    features = clip(key, clip_name).features
    rows = {m: features[m] if features[m].ndim == 2 else features[m][0] for m in model(name).widths}
    return {m: infer.array(cosine(row)) for m, row in rows.items()}


@st.cache_data(max_entries=512, show_spinner=False)
def _places(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, index: int, layout: Layout
) -> np.ndarray:
    return positions([g for title, g in relations(name, key, clip_name, index).items() if title != FUSED], layout)


def places(name: str, key: str, clip_name: str, index: int, layout: Layout) -> np.ndarray:
    """Where every unit of a window is drawn, `(n, 2)`: the same before and after fusion and whatever A becomes."""
    return _places(*_stamps(name, key), name, key, clip_name, index, layout)


@st.cache_resource(max_entries=32, show_spinner=False)
def _changed_model(run_stamp: str, data_stamp: str, name: str, key: str, changes: str) -> Fusion:
    graphs, *_ = _tuned(run_stamp, data_stamp, name, key)
    A = operator(graphs, changes)
    other = copy.copy(graphs.model)  # shares every weight; only what `operator` answers is its own
    other.operator = lambda: A  # type: ignore[assignment, return-value]
    return other


def changed_model(name: str, key: str, changes: str) -> Fusion:
    """The trained fusion with A as changed, for explanations; `model` where nothing is changed."""
    return _changed_model(*_stamps(name, key), name, key, changes) if changes else model(name)


@st.cache_resource(max_entries=512, show_spinner=False)
def _explanation(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, unit: int, changes: str
) -> lego.Explanation:
    return lego.explain(changed_model(name, key, changes), clip(key, clip_name), unit)


def explanation(name: str, key: str, clip_name: str, unit: int, changes: str = "") -> lego.Explanation:
    """Parts of one unit's score, with A as changed."""
    return _explanation(*_stamps(name, key), name, key, clip_name, unit, changes)


@st.cache_resource(max_entries=64, show_spinner=False)
def _shares(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, index: int, changes: str
) -> lego.TermShares:
    return lego.term_shares(changed_model(name, key, changes), clip(key, clip_name), index)


def term_shares(name: str, key: str, clip_name: str, index: int, changes: str = "") -> lego.TermShares:
    """What each term of A adds to each edge of one window, with A as changed; `ValueError` without an operator."""
    return _shares(*_stamps(name, key), name, key, clip_name, index, changes)


@st.cache_resource(max_entries=512, show_spinner=False)
def _what_if(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, unit: int, other: int | None, changes: str
) -> tuple[lego.WhatIf, ...]:
    asked, about = changed_model(name, key, changes), clip(key, clip_name)
    if other is not None:
        return (lego.cut_edge(asked, about, unit, other),)
    found = [lego.mute(asked, about, modality) for modality in asked.widths if len(asked.widths) > 1]
    return (*found, *([lego.drop_unit(asked, about, unit)] if about.units > 1 else []))


def what_if(
    name: str, key: str, clip_name: str, unit: int, other: int | None = None, changes: str = ""
) -> tuple[lego.WhatIf, ...]:
    """The model run again without each modality and without the unit; with `other`, without that connection."""
    return _what_if(*_stamps(name, key), name, key, clip_name, unit, other, changes)


def trained_operator(name: str) -> np.ndarray:
    """A as it was learned, after its gate; `ValueError` for a run without one."""
    learned = model(name)
    if not isinstance(learned, Lego):
        raise ValueError(f"run {name!r} has no operator")
    return infer.array(learned.operator())


def changed_operator(name: str, key: str, changes: str) -> np.ndarray:
    """A with the changes of one line of text in it."""
    A = operator(tuned(name, key)[0], changes)
    return trained_operator(name) if A is None else infer.array(A)


@st.cache_resource(max_entries=64, show_spinner=False)
def _initial(run_stamp: str, name: str) -> np.ndarray:
    found = run(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(found.seed)
        drawn = run_folders.build(found.fusion, found.source.widths, found.config)
    if not isinstance(drawn, Lego):
        raise ValueError(f"run {name!r} has no operator")
    return infer.array(drawn.operator())


def initial_operator(name: str) -> np.ndarray:
    """A as it was before training: drawn again from the run's seed, with the same numbers on every machine."""
    return _initial(_stamp(all_runs()[name] / "run.json"), name)


def captions(key: str, clip_name: str, unit: int) -> dict[str, str]:
    """Modality -> the sentence that describes this unit; empty where the dataset holds none."""
    found = clip(key, clip_name)
    frame = int((unit + 0.5) * found.frames_per_unit)
    return {
        modality: caption.text
        for modality, all_of_it in sentences(datasets()[key], clip_name).items()
        for caption in all_of_it
        if caption.start <= frame < caption.stop
    }


# ---------------------------------------------------------------------------- a clip as one window

WHOLE_AT_ONCE = 2_000  # units that are computed while the visitor waits: a third of a second


def changed_operator_of(name: str, key: str, changes: str) -> torch.Tensor | None:
    """A with a line of changes in it; None for A as it was trained."""
    return operator(tuned(name, key)[0], changes) if changes else None


def whole_file(name: str, key: str, clip_name: str, changes: str) -> Path:
    """Where the result for a long clip lies once a job has computed it."""
    A = changed_operator_of(name, key, changes)
    return workspace() / "whole" / whole.name_of(run(name).id, digest(key), clip_name, A)


def whole_clip(name: str, key: str, clip_name: str, changes: str) -> whole.Whole | None:
    """All of a clip in one window; None where that takes long and no job has done it. Shared: read, never change."""
    file = whole_file(name, key, clip_name, changes)
    stored = _stamp(file) if file.is_file() else ""
    if not stored and clip(key, clip_name).units > WHOLE_AT_ONCE:
        return None
    try:
        return _whole(*_stamps(name, key), name, key, clip_name, changes, stored)
    except whole.UnreadableError as error:
        log.warning("result passed over: %s", error)
        with contextlib.suppress(OSError):
            file.unlink()
        return None


@st.cache_resource(max_entries=12, show_spinner="Computing the clip as one window")
def _whole(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, changes: str, stored: str
) -> whole.Whole:
    if stored:
        return whole.load(whole_file(name, key, clip_name, changes))
    return whole.whole(model(name), clip(key, clip_name), changed_operator_of(name, key, changes))


@st.cache_data(max_entries=64, show_spinner=False)
def _whole_seconds(run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str) -> float:
    return whole.expected_seconds(model(name), clip(key, clip_name))


def whole_seconds(name: str, key: str, clip_name: str) -> float:
    """How long a clip as one window will take here, from its first rows."""
    return _whole_seconds(*_stamps(name, key), name, key, clip_name)


@st.cache_resource(max_entries=64, show_spinner="Opening the community")
def _opened(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[Summary, np.ndarray, tuple[int, ...]]:
    found = whole_clip(name, key, clip_name, changes)
    if found is None:
        raise ValueError(f"clip {clip_name!r} has not been computed as one window")
    A = changed_operator_of(name, key, changes)
    return opened(
        found.summary,
        path,
        lambda members: whole.inside(model(name), clip(key, clip_name), found, members, A),
    )


def whole_part(
    name: str, key: str, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[Summary, np.ndarray, tuple[int, ...]]:
    """What a path of communities leads to: (the last summary, its units, how far the path went)."""
    return _opened(*_stamps(name, key), name, key, clip_name, changes, path)


@st.cache_resource(max_entries=64, show_spinner=False)
def _part_drawn(
    run_stamp: str, data_stamp: str, name: str, key: str, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    now, members, _ = whole_part(name, key, clip_name, changes, path)
    if len(members) <= LEAF:
        found = whole_clip(name, key, clip_name, changes)
        assert found is not None
        A = changed_operator_of(name, key, changes)
        graph = whole.small(model(name), clip(key, clip_name), found, members, A)
    else:
        graph = now.relations
    known = np.where(np.isfinite(graph), graph, 0.0)
    return graph, positions([known], "spring")


def whole_part_drawn(
    name: str, key: str, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(strengths, places) of what a path leads to: between its communities, or between its units where they are few."""
    return _part_drawn(*_stamps(name, key), name, key, clip_name, changes, path)


# ---------------------------------------------------------------------------- what the method pages compute

# what -> a function of (model, data, names and numbers…) that returns read-only arrays; each page has its own lines
COMPUTED: dict[str, Callable[..., Any]] = {
    "factors": lambda model, data: lowrank.opened(model, _looked_at_part(data)),
    "row parts": lambda model, data, row: lowrank.of_row(model, _looked_at_part(data), row),
    "specialisation": lambda model, data: lowrank.specialisation(lowrank.opened(model, _looked_at_part(data))),
    "attributions": lambda model, data, *place: lowrank.attributions(model, _looked_at_part(data), *place),
    "prior distance": lambda model, data: latents.prior_distance(model, _looked_at_part(data)),
    "retrieval": lambda model, data: latents.retrieved(model, _looked_at_part(data)),
    "walk": lambda model, data, *ends: latents.walk(model, _looked_at_part(data), *ends),
    "split parts": split.parts,
    "split cloud": split.cloud_of,
    "split pca": lambda model, data, shown: plane.pca(split.cloud_of(model, data, shown).rows),
    "split probes": probes.probes,
    "availability": split.availability,
    "split retrieval": split.retrieval,
    "step answers": lambda model, data: progressive.answers(model, _looked_at_part(data)),
    "step probes": lambda model, data: progressive.probes(model, part_of(data, "train"), _looked_at_part(data)),
    "step paths": lambda model, data: progressive.paths(model, _looked_at_part(data)),
    "step cost": lambda model, data: progressive.cost(model, _looked_at_part(data)),
    "weights": lambda model, data: weights.weights(model),
    "weight parts": lambda model, data: weights.opened(model, _looked_at_part(data)),
    "weight losses": lambda model, data: removal.without_parts(
        weights.opened(model, _looked_at_part(data)), _looked_at_part(data)
    ),
    "modality losses": lambda model, data: removal.without_modalities(model, _looked_at_part(data)),
    "missing": lambda model, data: compare.missing(model, _looked_at_test(data)),
    "flops": lambda model, data: flops(model),
    "scoring time": lambda model, data: compare.scoring_time(model, _looked_at_test(data)),
    "stress": lambda model, data, kind, *modalities: stress.stressed(
        model, _stage_of(data), kind, modalities, keep=tuple(getattr(data, "pictures", ()))
    ),
    "reliability": lambda model, data, bins, how: calibration.calibrated(model, _stage_of(data), bins, how),
    "clean answers": lambda model, data: calibration.clean(reader(model, _stage_of(data))),
    "dropout": lambda model, data: calibration.dropped_out(model, _stage_of(data)),
    "kernel path": lambda model, data, p, *how: mkl.at_norm(model, data, _looked_at_part(data), p, *how),
    "kernel panels": lambda model, data: mkl.panels(model, _looked_at_part(data)),
}


def _looked_at_test(found: Data) -> tuple[Clip, ...] | Part:
    """`clips` of the data itself, of samples `part`."""
    if isinstance(found, Samples):
        return _looked_at_part(found)
    return found.part("test") if looked_at(found) == "test" else tuple(found.clips.values())


def _looked_at_part(found: Data) -> Part:
    """`part` of the data itself."""
    return part_of(found, looked_at(found))


def _stage_of(found: Data) -> Stage:
    """What the robustness page corrupts: the rows that the pages look at."""
    return staged(found, looked_at(found))


@st.cache_resource(max_entries=8, show_spinner=False)
def _stage(folder: str, stamp: str, key: str) -> Stage:
    return _stage_of(data(key))


def stage(key: str) -> Stage:
    """The rows of `clips(key)` or `part(key)`, ready to be corrupted. Shared by all users: read, never change."""
    return _stage(str(datasets()[key]), _stamp(datasets()[key] / "dataset.json"), key)


@st.cache_resource(max_entries=256, show_spinner=False)
def _stressed(run_stamp: str, data_stamp: str, name: str, key: str) -> record.Record:
    return record.recorded(name, run(name), model(name), stage(key))


def stressed(name: str, key: str) -> record.Record:
    """A run under every corruption of all it reads; a second or two. Shared by all users: read, never change."""
    return _stressed(*_stamps(name, key), name, key)


def ranked_runs(key: str) -> list[str]:
    """LMF runs trained on this very data that differ in rank and seed alone."""
    return [folder.name for folder in ranks.of_ranks([all_runs()[name] for name in own_runs_of(key)])]


def seeds_of(name: str, key: str) -> dict[int, str]:
    """Seed -> folder name of every run that differs from this one in the seed alone."""
    every = runs(key)
    found = {other.seed: folder for folder, other in every.items() if other.group == every[name].group}
    return dict(sorted(found.items()))


def computed(what: str, name: str, key: str, *arguments: Hashable) -> Any:
    """`COMPUTED[what](model, data, *arguments)` of a run and a dataset. Shared by all users: read, never change."""
    return _computed(*_stamps(name, key), what, name, key, *arguments)


@st.cache_resource(max_entries=512, show_spinner="Computing")
def _computed(run_stamp: str, data_stamp: str, what: str, name: str, key: str, *arguments: Hashable) -> Any:
    return COMPUTED[what](model(name), data(key), *arguments)


@st.cache_resource(max_entries=64, show_spinner=False)
def _kernel_maps(run_stamp: str, data_stamp: str, name: str, key: str, row: int, theme: str) -> go.Figure:
    seen: mkl.Panels = computed("kernel panels", name, key)
    beta = mkl.mkl(model(name)).beta.detach().mean(1).double().numpy()
    chosen = kernel_figures.drawn_panels(seen, beta)
    return kernel_figures.panel_maps(seen, chosen, part(key), row, colours(theme))


def kernel_maps(name: str, key: str, row: int, theme: str) -> go.Figure:
    """What every kernel of an MKL run sees, drawn: a hundred traces take longer than the rest of their page."""
    return _kernel_maps(*_stamps(name, key), name, key, row, theme)


# ---------------------------------------------------------------------------- runs side by side


@st.cache_resource(max_entries=32, show_spinner=False)
def _groups(runs_stamp: str, data_stamp: str, key: str) -> tuple[dict[str, compare.Group], dict[str, float]]:
    return compare.groups(runs(key), digest(key)), compare.recorded(runs(key))


def groups(key: str) -> tuple[dict[str, compare.Group], dict[str, float]]:
    """Group id -> every seed of one configuration that can score this data; and what their records say they reach."""
    return _groups(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key)


@st.cache_resource(max_entries=512, show_spinner=False)
def _judged(run_stamp: str, data_stamp: str, name: str, key: str) -> compare.Judged:
    if samples(key) is not None:
        return compare.judge_part(outputs(name, key), part(key))
    return compare.judge(scores(name, key), clips(key))


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
    if samples(key) is not None:
        return compare.parts_of(metrics(name, key))
    return {kind: value for kind, (value, _) in compare.kinds(scores(name, key), clips(key)).items()}


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
    if samples(key) is not None:
        said = [[outputs(name, key) for name in side] for side in (a, b)]
        return compare.disagreement_of_samples(said[0], said[1], part(key))
    scored = [[scores(name, key) for name in side] for side in (a, b)]
    return compare.disagreement_of_units(scored[0], scored[1], clips(key))


def disagreement(key: str, a: compare.Group, b: compare.Group) -> compare.Disagreement:
    """Where two groups say most different things of the rows that are looked at."""
    sides = tuple(a.runs.values()), tuple(b.runs.values())
    return _disagreement(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, *sides)


@st.cache_resource(max_entries=32, show_spinner=False)
def _unit_labels(data_stamp: str, key: str) -> np.ndarray | None:
    labels = [found.labels for found in clips(key)]
    if any(each is None for each in labels):
        return None
    made = np.concatenate([each.numpy() for each in labels if each is not None])
    made.setflags(write=False)
    return made


def unit_labels(key: str) -> np.ndarray | None:
    """Labels of every unit of `clips(key)`, one after another; None as soon as a clip has none."""
    return _unit_labels(_stamp(datasets()[key] / "dataset.json"), key)


@st.cache_data(max_entries=256, show_spinner="Scoring in processes of their own")
def _peaks(runs_stamp: str, data_stamp: str, key: str, names: tuple[str, ...]) -> list[float | None]:
    which = looked_at(data(key))
    return compare.peaks(datasets()[key], which, [all_runs()[name] for name in names])


def peak_memory(key: str, names: tuple[str, ...]) -> list[float | None]:
    """Megabytes that scoring the test part adds at most to a process, one a run; takes seconds."""
    return _peaks(_all_runs_stamp(), _stamp(datasets()[key] / "dataset.json"), key, names)


# ---------------------------------------------------------------------------- sweeps


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


# ---------------------------------------------------------------------------- pictures


def video(key: str, name: str) -> str | None:
    """Address of a clip's video on this server, None when there is none that a page can hold.

    Streamlit serves only `app/static`, and users' videos have no place there: whoever knows an address could fetch
    them for ever, and a read-only disk takes no copies. So the file goes where `st.video` puts it: into the media
    store, under the digest of its content, with byte ranges for seeking, for as long as a session shows it.
    """
    path = clip(key, name).video
    if path is None or not runtime.exists() or not path.is_file() or path.stat().st_size > LARGEST_VIDEO:
        return None
    return runtime.get_instance().media_file_mgr.add(_bytes(str(path), _stamp(path)), "video/mp4", f"player-{key}")


@st.cache_resource(max_entries=32, show_spinner=False)
def _bytes(path: str, stamp: str) -> bytes:
    return Path(path).read_bytes()


@st.cache_data(max_entries=2048, show_spinner=False)
def _frames(stamp: str, key: str, name: str, unit: int, height: int, every: int) -> np.ndarray:
    return unit_frames(clip(key, name), unit, height, every)


@st.cache_data(max_entries=1024, show_spinner=False)
def _thumbnail(stamp: str, key: str, name: str, unit: int) -> bytes | None:
    pictures = frames(key, name, unit, height=180, every=8)
    return jpeg(pictures[-1]) if len(pictures) else None


def thumbnail(key: str, name: str, unit: int) -> bytes | None:
    """A picture from the middle of the unit as JPEG, None when there is none."""
    return _thumbnail(_stamp(datasets()[key] / "dataset.json"), key, name, unit)


def frames(key: str, name: str, unit: int, height: int = 120, every: int = 1) -> np.ndarray:
    """The unit's frames, uint8 `(frames, height, width, 3)`, red-green-blue; none when they cannot be read."""
    try:
        return _frames(_stamp(datasets()[key] / "dataset.json"), key, name, unit, height, every)
    except ValueError as error:
        log.warning("no frames: %s", error)
        return np.zeros((0, height, height, 3), np.uint8)


@st.cache_data(show_spinner=False)
def device() -> str:
    """What models run on, in words."""
    found = infer.best_device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else "CPU"


# ---------------------------------------------------------------------------- start and crowd


@st.cache_resource(show_spinner="Loading the models")
def warm() -> float:
    """Once per process: load the demo and its models, then freeze the heap. Returns the seconds it took.

    Streamlit collects garbage after every script run, 150-200 ms with torch and plotly imported, holding the
    interpreter. Frozen objects are not walked again: 50 users' p95 fell from 14.7 s to 0.12 s. More than one thread
    makes small models up to 100 times slower under load.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)
    with contextlib.suppress(OSError):  # on a read-only disk there is nothing to sweep
        sweep(workspace())
    with contextlib.suppress(ValueError):  # a broken demo is told on the page that shows it
        for key in list(datasets())[:1]:
            for name in [] if native_index.maybe_large(datasets()[key]) else list(runs(key))[:1]:
                scores(name, key)
                if model(name).window is not None:
                    tuned(name, key)
    gc.collect()
    gc.freeze()
    threading.Thread(target=settle, name="settle", daemon=True).start()
    return time.perf_counter() - started


def settle(pauses: Sequence[float] = (10, 30, 120)) -> None:
    """Freeze the heap again after the first visitors: what pages import and cache for good comes after `warm`.

    Measured with 50 users: without it the collector held the interpreter for 39 % of the server's time. What sessions
    hold at these moments is kept with it, under 1 MB a session, three times in a process's life.
    """
    for pause in pauses:
        time.sleep(pause)
        gc.collect()
        gc.freeze()


class Door:
    """Who is inside: at most `seats` sessions, because a process with too many collapses instead of slowing down.

    >>> door = Door(1, lambda session: session == "a")
    >>> door.admit("a"), door.admit("b"), door.admit("a")
    (True, False, True)
    """

    def __init__(self, seats: int, active: Callable[[str], bool]) -> None:
        self.seats, self.active = seats, active
        self.inside: set[str] = set()
        self.lock = threading.Lock()

    def admit(self, session: str) -> bool:
        """True when the session has a seat or gets one; who left has given theirs back."""
        with self.lock:
            if session not in self.inside and len(self.inside) >= self.seats:
                self.inside = {other for other in self.inside if self.active(other)}
            if session in self.inside or len(self.inside) < self.seats:
                self.inside.add(session)
                return True
            return False


@st.cache_resource
def door() -> Door:
    """One door for the process; `$FUSESCOPE_SESSIONS` seats, 100 unless set."""
    return Door(
        int(os.environ.get("FUSESCOPE_SESSIONS", "100")), lambda one: runtime.get_instance().is_active_session(one)
    )

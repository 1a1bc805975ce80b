"""Relationship graphs of a run: as trained, as changed by hand, and of a whole clip in one window."""

import contextlib
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st
import torch

from app.figures.network import Layout, positions
from app.state.changes import Changes
from app.store.data import clip, clips, digest, large
from app.store.keys import _stamp, _stamps, all_runs, datasets, log, workspace
from app.store.models import model, scores
from app.store.runs import run
from app.store.work import Work, _answer_of
from core import run as run_folders
from core.clip import Clip
from core.explain import lego, whatif
from core.fusion.base import Fusion
from core.fusion.graph import cosine
from core.fusion.lego import Lego
from core.score import infer, whole
from core.score.communities import LEAF, Summary, opened
from core.score.sliders import Answer, Gate, GraphSet

if TYPE_CHECKING:
    pass


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
) -> tuple[whatif.WhatIf, ...]:
    asked, about = changed_model(name, key, changes), clip(key, clip_name)
    if other is not None:
        return (whatif.cut_edge(asked, about, unit, other),)
    found = [whatif.mute(asked, about, modality) for modality in asked.widths if len(asked.widths) > 1]
    return (*found, *([whatif.drop_unit(asked, about, unit)] if about.units > 1 else []))


def what_if(
    name: str, key: str, clip_name: str, unit: int, other: int | None = None, changes: str = ""
) -> tuple[whatif.WhatIf, ...]:
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

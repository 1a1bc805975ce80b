"""Relationship graphs of a run: as trained, as changed by hand, and of a whole clip in one window.

`changes` is a line of text (`core.score.changes`); empty: A as it was trained.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from app.figures.network import Layout, positions
from app.store import keys
from app.store.data import clip, clips, digest, large
from app.store.keys import DataKey, FileKey, RunKey, log, resource, workspace
from app.store.models import model, scores
from app.store.runs import run as record_of
from app.store.work import Work, answer_of
from core import run as runs
from core.clip import Clip
from core.explain import lego, whatif
from core.fusion.base import Fusion
from core.fusion.lego import Lego
from core.score import infer, sliders, whole
from core.score.communities import LEAF, Summary, opened
from core.score.sliders import Answer, Gate, GraphSet

Tuned = tuple[GraphSet, torch.Tensor, Gate]
FUSED = "fused"  # the title of the fused graph; a modality of that name gives way
WHOLE_AT_ONCE = 2_000  # units that are computed while the visitor waits: a third of a second


# ---------------------------------------------------------------------------- every clip


def tuned(run: RunKey, key: DataKey) -> Tuned:
    """Graphs of all clips under a run, fused as trained, and their sorted edges; `ValueError` for runs without graphs.

    `graph_set.answer(fused, alpha, k, gate)` then costs milliseconds.
    """
    if not large(key):
        return _at_once(run, key)
    found: Tuned = answer_of(building, run, key)
    return found


@resource(8, "Building the graphs of all clips")
def _at_once(run: RunKey, key: DataKey) -> Tuned:
    return _built(model(run), clips(key))


@resource(2)  # a gigabyte each for 10,000 clips
def building(run: RunKey, key: DataKey) -> Work:
    """The graphs of a large dataset on their way."""
    found, which = model(run), clips(key)
    return Work(lambda tell: _built(found, which))


def _built(found: Fusion, which: Sequence[Clip]) -> Tuned:
    graphs = GraphSet(found, which)
    fused = graphs.fused()
    return graphs, fused, Gate(fused)


def changed(run: RunKey, key: DataKey, changes: str) -> Tuned:
    """`tuned` with A as changed."""
    return _changed(run, key, changes) if changes else tuned(run, key)


@resource(16)
def _changed(run: RunKey, key: DataKey, changes: str) -> Tuned:
    graphs, *_ = tuned(run, key)
    fused = graphs.fused(sliders.changed(graphs.model, changes))
    return graphs, fused, Gate(fused)


@resource(512)
def answer(run: RunKey, key: DataKey, changes: str, alpha: float, k: int) -> Answer:
    """What one position of all sliders means for every clip of the set; last ones are kept."""
    graphs, fused, gate = changed(run, key, changes)
    return graphs.answer(fused, alpha, k, gate)


def trained_sliders(run: RunKey) -> tuple[float, int]:
    """alpha and k the run was trained with."""
    return sliders.trained(model(run))


def unit_scores(run: RunKey, key: DataKey, clip_name: str, changes: str = "") -> np.ndarray:
    """Scores of one clip's units with A as changed."""
    if not changes:
        return scores(run, key)[clip_name]
    return tuned(run, key)[0].of(clip_name, answer(run, key, changes, *trained_sliders(run)).scores)


# ---------------------------------------------------------------------------- one window


@resource(256)
def window(run: RunKey, key: DataKey, clip_name: str, index: int, changes: str) -> infer.GraphArrays:
    """The graphs of one window of a clip, crop 0's, with A as changed."""
    graphs, fused, _ = changed(run, key, changes)
    return graphs.window(clip_name, index, fused, sliders.changed(graphs.model, changes))


def relations(run: RunKey, key: DataKey, clip_name: str, index: int, changes: str = "") -> dict[str, np.ndarray]:
    """Graph by title, modalities first, then what the head reads, where more than one modality made it.

    A fusion that combines features has no graphs: then the cosine relations of each modality's own features.
    """
    if model(run).window is None:
        return _of_features(run, key, clip_name)
    seen = window(run, key, clip_name, index, changes)
    found = {f"{m} (modality)" if m == FUSED else m: graph for m, graph in seen.graphs.items()}
    return found | {FUSED: seen.fused} if len(found) > 1 else found


@resource(64)
def _of_features(run: RunKey, key: DataKey, clip_name: str) -> dict[str, np.ndarray]:
    return infer.relations(clip(key, clip_name), model(run).widths)


@keys.data(512)
def places(run: RunKey, key: DataKey, clip_name: str, index: int, layout: Layout) -> np.ndarray:
    """Where every unit of a window is drawn, `(n, 2)`: the same before and after fusion and whatever A becomes."""
    return positions([g for title, g in relations(run, key, clip_name, index).items() if title != FUSED], layout)


# ---------------------------------------------------------------------------- why


@resource(32)
def changed_model(run: RunKey, changes: str) -> Fusion:
    """The trained fusion with A as changed, for explanations."""
    found = model(run)
    A = sliders.changed(found, changes) if changes else None
    return found.under(A) if A is not None and isinstance(found, Lego) else found


@resource(512)
def explanation(run: RunKey, key: DataKey, clip_name: str, unit: int, changes: str) -> lego.Explanation:
    """Parts of one unit's score, with A as changed."""
    return lego.explain(changed_model(run, changes), clip(key, clip_name), unit)


@resource(64)
def term_shares(run: RunKey, key: DataKey, clip_name: str, index: int, changes: str) -> lego.TermShares:
    """What each term of A adds to each edge of one window, with A as changed; `ValueError` without an operator."""
    return lego.term_shares(changed_model(run, changes), clip(key, clip_name), index)


@resource(512)
def what_if(
    run: RunKey, key: DataKey, clip_name: str, unit: int, other: int | None, changes: str
) -> tuple[whatif.WhatIf, ...]:
    """The model run again without each modality and without the unit; with `other`, without that connection."""
    asked, about = changed_model(run, changes), clip(key, clip_name)
    if other is not None:
        return (whatif.cut_edge(asked, about, unit, other),)
    found = [whatif.mute(asked, about, modality) for modality in asked.widths if len(asked.widths) > 1]
    return (*found, *([whatif.drop_unit(asked, about, unit)] if about.units > 1 else []))


def operator(run: RunKey, changes: str = "") -> np.ndarray:
    """A as it was learned, after its gate, with changes in it; `ValueError` for a run without one."""
    A = sliders.changed(model(run), changes)
    if A is None:
        raise ValueError(f"run {run!r} has no operator")
    return infer.array(A)


@resource(64)
def initial_operator(run: RunKey) -> np.ndarray:
    """A as it was before training: drawn again from the run's seed, with the same numbers on every machine."""
    A = sliders.changed(runs.untrained(record_of(run)), "")
    if A is None:
        raise ValueError(f"run {run!r} has no operator")
    return infer.array(A)


# ---------------------------------------------------------------------------- a whole clip in one window


def put_in(run: RunKey, changes: str) -> torch.Tensor | None:
    """A to compute a whole clip with; None for A as it was trained."""
    return sliders.changed(model(run), changes) if changes else None


def whole_file(run: RunKey, key: DataKey, clip_name: str, changes: str) -> Path:
    """Where the result for a long clip lies once a job has computed it."""
    return workspace().whole / whole.name_of(record_of(run).id, digest(key), clip_name, put_in(run, changes))


def whole_clip(run: RunKey, key: DataKey, clip_name: str, changes: str) -> whole.Whole | None:
    """All of a clip in one window; None where that takes long and no job has done it."""
    file = whole_file(run, key, clip_name, changes)
    if not file.is_file() and clip(key, clip_name).units > WHOLE_AT_ONCE:
        return None
    try:
        return _whole(run, key, clip_name, changes, FileKey(file))
    except whole.UnreadableError as error:
        log.warning("result passed over: %s", error)
        with contextlib.suppress(OSError):
            file.unlink()
        return None


@resource(12, "Computing the clip as one window")
def _whole(run: RunKey, key: DataKey, clip_name: str, changes: str, file: FileKey) -> whole.Whole:
    if file.stamp():
        return whole.load(Path(file))
    return whole.whole(model(run), clip(key, clip_name), put_in(run, changes))


@keys.data(64)
def whole_seconds(run: RunKey, key: DataKey, clip_name: str) -> float:
    """How long a clip as one window will take here, from its first rows."""
    return whole.expected_seconds(model(run), clip(key, clip_name))


@resource(64, "Opening the community")
def whole_part(
    run: RunKey, key: DataKey, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[Summary, np.ndarray, tuple[int, ...]]:
    """What a path of communities leads to: (the last summary, its units, how far the path went)."""
    found = whole_clip(run, key, clip_name, changes)
    if found is None:
        raise ValueError(f"clip {clip_name!r} has not been computed as one window")
    A = put_in(run, changes)
    return opened(
        found.summary, path, lambda members: whole.inside(model(run), clip(key, clip_name), found, members, A)
    )


@resource(64)
def whole_part_drawn(
    run: RunKey, key: DataKey, clip_name: str, changes: str, path: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(strengths, places) of what a path leads to: between its communities, or between its units where they are few."""
    now, members, _ = whole_part(run, key, clip_name, changes, path)
    graph = now.relations
    if len(members) <= LEAF:
        found = whole_clip(run, key, clip_name, changes)
        assert found is not None
        graph = whole.small(model(run), clip(key, clip_name), found, members, put_in(run, changes))
    return graph, positions([np.where(np.isfinite(graph), graph, 0.0)], "spring")

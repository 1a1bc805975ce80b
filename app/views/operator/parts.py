"""Pieces of the page of the operator A: its weights to click and to type, its terms, and what a change does."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.graphs import relation_matrices
from app.figures.operator import operator_matrix, operator_sentence, plane, power
from app.figures.style import above_noise, markdown_text
from app.state import history
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.operator import figures
from app.widgets import controls, show
from app.widgets.controls import Window
from core.clip import Clip
from core.explain.lego import axis_names, shape_of
from core.fusion.base import Fusion
from core.machine.names import shown
from core.score.changes import Changes, Entry


@dataclass(frozen=True)
class View:
    """What the page is about: A of a run with its changes, and one window of a clip.

    names    of A's axes
    rest     where the table of the first two axes is cut out of the others
    """

    chosen: Selection
    clip: Clip
    window: Window
    changes: str
    names: tuple[str, ...]
    rest: tuple[int, ...]

    @property
    def run(self) -> RunKey:
        return self.chosen.trained

    @cached_property
    def trained(self) -> np.ndarray:
        return store.graphs.operator(self.run)

    @cached_property
    def initial(self) -> np.ndarray:
        """A before training."""
        return store.graphs.initial_operator(self.run)

    @cached_property
    def changed(self) -> np.ndarray:
        """A as changed."""
        return store.graphs.operator(self.run, self.changes)

    @property
    def now(self) -> Changes:
        return Changes.read(self.changes, self.trained.shape)

    @property
    def axes(self) -> tuple[str, str]:
        """Of the table; of one modality the same twice."""
        return self.names[0], self.names[min(1, len(self.names) - 1)]

    @property
    def table(self) -> np.ndarray:
        return plane(self.changed, self.rest)

    def scores(self, changes: str) -> np.ndarray:
        """Of all units of the clip."""
        return store.graphs.unit_scores(self.run, self.chosen.dataset, self.clip.name, changes)


def look(chosen: Selection, clip: Clip, model: Fusion, window: Window, changes: str) -> View:
    """What is looked at. With three and more modalities A is no table: then a control says where it is cut."""
    names, shape, rest = axis_names(model), shape_of(model), []
    for axis in range(2, len(shape)):
        at = st.segmented_control(
            f"Power of {markdown_text(names[axis], 30)}",
            range(shape[axis]),
            default=min(1, shape[axis] - 1),
            required=True,
            key=f"slice-{axis}-{shape[axis]}",
            bind="query-params",
        )
        rest.append(int(at or 0))
    return View(chosen, clip, window, changes, tuple(names), tuple(rest))


def toggled(now: Changes, entry: Entry) -> Changes:
    """The same with one term switched off, or, where it was changed already, as it was trained."""
    return now.with_entry(entry, None if entry in now.entries else 0.0)


def matrix(view: View) -> None:
    """The weights; a click switches a term."""
    top = float(max(np.abs(view.trained).max(), np.abs(view.changed).max()))
    differs = [(int(p), int(q)) for p, q in np.argwhere(plane(view.trained != view.changed, view.rest))]

    def clicked(point: dict[str, Any]) -> None:
        history.change("A", toggled(view.now, (int(point["y"]), int(point["x"]), *view.rest)))

    title = "A: click a term to switch it"
    show.figure(
        operator_matrix(view.table, view.axes, view.chosen.colours, differs, top, title),
        "The weight of every product of powers; red adds relation, blue takes it away, the page's colour is 0. A click "
        "switches a term off and, clicked again, back as it was trained; orange frames mark what differs from the "
        "trained A.",
        operator_sentence(view.changed, view.names),
        "matrix",
        name=f"operator A of {view.run}",
        pointed=clicked,
    )


def edit(view: View) -> None:
    """The same table to type into: the keyboard's way to every entry."""
    now, (rows, columns) = view.now, view.table.shape
    a, b = (shown(name, 20) for name in view.axes)
    frame = pd.DataFrame(
        np.round(view.table.astype(float), 4),
        index=[power(a, row) for row in range(rows)],
        columns=[f"{column}: {power(b, column)}" for column in range(columns)],
    )
    frame.index.name = a  # a header without words is nothing to a screen reader
    key = f"edit {now} {view.rest}"  # another table, another widget: what was typed is in `now` by then

    def typed() -> None:
        new = now
        for row, cells in st.session_state[key]["edited_rows"].items():
            for name, value in cells.items():
                if value is not None and np.isfinite(value):
                    entry = (int(row), list(frame.columns).index(name), *view.rest)
                    new = new.with_entry(entry, float(np.clip(value, -1e5, 1e5)))
        history.change("A", new)

    st.data_editor(frame, key=key, on_change=typed, width="stretch", alt="entries of A, to type into")


def rank(view: View) -> None:
    """How much of A is one rank."""
    values, before = figures.singular_values(view.changed), figures.singular_values(view.initial)
    along = f" unfolded along {markdown_text(view.names[0])}" if view.changed.ndim > 2 else ""
    show.figure(
        figures.rank_bars(values, before, view.chosen.colours),
        f"Singular values of A{along}: if one is much larger than the rest, an outer product of two vectors (eq. 4) "
        "would do.",
        "singular values: " + ", ".join(f"{value:.3f}" for value in values),
        "singular",
        name=f"singular values of {view.run}",
    )


def terms(view: View) -> None:
    """What every term adds to the graph, to the chosen connection, and to the score of the chosen unit."""
    chosen, clip, (first, stop) = view.chosen, view.clip, (view.window.first, view.window.stop)
    unit = chosen.unit(clip)
    if unit is None or not first <= unit < stop:
        unit = first + int(np.argmax(view.scores(view.changes)[first:stop]))
    other = controls.pick_other(view.window, unit)
    shares = store.graphs.term_shares(view.run, chosen.dataset, clip.name, view.window.index, view.changes)
    found = store.graphs.explanation(view.run, chosen.dataset, clip.name, unit, view.changes)
    parts = {f"this graph: mean relation {shares.of_graph.sum():.3g}": above_noise(shares.of_graph, shares.fused)}
    if other is not None:
        relation = shares.fused[unit - first, other - first]
        of_edge = above_noise(shares.of_edge(unit, other), shares.fused)
        parts[f"connection {unit} – {other}: {relation:.3f}"] = of_edge
    if found.terms is not None:
        of_score = above_noise(found.terms, np.array(found.score))
        parts[f"score of unit {unit}: {found.score:.3f} = {found.base:.3f} + parts"] = of_score
    tables = {name: plane(part, view.rest) for name, part in parts.items()}
    show.figure(
        figures.term_matrices(tables, view.axes, chosen.colours),
        "Every term's share, exact: shares of a relation add up to it (gap "
        f"{shares.gap:.0e}), parts of a score to the score (gap {abs(found.gap):.0e}). Unit {unit} is the chosen "
        "moment, or the highest score when none is chosen.",
        "; ".join(f"{name}, largest term {part.flat[np.abs(part).argmax()]:+.4f}" for name, part in parts.items()),
        "shares",
        name=f"terms of {clip.name}",
    )


def graph(view: View) -> None:
    """The fused graph as trained and as changed."""
    name, first, stop = view.clip.name, view.window.first, view.window.stop
    was, now = (
        store.graphs.window(view.run, view.chosen.dataset, name, view.window.index, changes).fused
        for changes in ("", view.changes)
    )
    labels = view.clip.labels
    marked = np.zeros(stop - first, bool) if labels is None else labels.numpy()[first:stop]
    off = ~np.eye(stop - first, dtype=bool)
    low, high = (float(np.quantile(np.stack([was[off], now[off]]), q)) for q in (0.02, 1.0))
    two = {"as trained": was, "as changed": now}
    show.figure(
        relation_matrices(two, first, marked, view.chosen.colours, now - was, low, high),
        "The fused graph with A as trained and as changed; what the changes added is purple, what they took orange.",
        f"fused relations; the mean change is {(now - was)[off].mean() if off.any() else 0:+.4f}",
        "changed",
        name=f"changed graph of {name}",
    )


def training(view: View) -> None:
    """A as it was drawn, as it was learned, and what training added."""
    tables = {name: plane(part, view.rest) for name, part in figures.training(view.initial, view.trained).items()}
    show.figure(
        figures.term_matrices(tables, view.axes, view.chosen.colours, apart=False),
        "Before training A was drawn from N(0, 1); it is drawn again here from the run's seed.",
        f"largest change of a weight in training: {np.abs(view.trained - view.initial).max():.3f}",
        "training",
        name=f"training of {view.run}",
    )


def scores(view: View) -> None:
    """The clip's scores as trained and as changed."""
    labels = None if view.clip.labels is None else view.clip.labels.numpy()
    then, now = view.scores(""), view.scores(view.changes)
    show.figure(
        figures.score_change(then, now, labels, view.chosen.threshold, view.chosen.colours),
        "The score of every unit with A as trained, dashed, and as changed; dotted, the alarm threshold.",
        "scores of every unit with A as trained and as changed",
        "scores_changed",
        name=f"scores of {view.clip.name}",
    )

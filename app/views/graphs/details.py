"""What lies behind one unit or one connection of a graph: its frames, words, neighbours and parts."""

import numpy as np
import streamlit as st

from app import store
from app.figures.operator import term_name
from app.figures.style import markdown_text
from app.state import selection
from app.views.graphs import figures, tables
from app.views.graphs.parts import View
from app.widgets import show
from core.explain.lego import Explanation, axis_names
from core.machine.names import shown

TERMS = 8  # of a score or a connection that are drawn
WHAT_IF = {
    name: "%+.4f" if "change" in name else "%.4f"
    for name in ("score before", "score after", "change", "largest change elsewhere")
}


def picked(view: View) -> None:
    """The chosen connection, else the chosen unit, else how to choose one."""
    if view.pair is not None:
        connection(view, *sorted(view.pair))
    elif view.unit is not None:
        unit(view, view.unit)
    else:
        st.caption(
            "Click a unit in a graph, a bar below it, or a row of the table: its frames and neighbours come here."
        )


def units(view: View) -> None:
    """Every unit of the window with its score and its degree in each graph; a row picks the unit."""
    first, clip, alpha = view.window.first, view.clip, view.chosen.alpha
    table = tables.units(view.seen, first, clip.seconds, view.here, view.truth, view.chosen.threshold, alpha)

    def pick(row: int) -> None:
        selection.put(time=(first + row) * clip.seconds)
        st.session_state["other"] = None

    show.table(
        table,
        f"score and degrees of units {first} to {view.window.stop - 1}",
        {
            "unit": st.column_config.NumberColumn(width=36),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=52),
            "score": st.column_config.NumberColumn(format="%.3f", width=52),
            "alarm": st.column_config.TextColumn(width=46),
            "truth": st.column_config.TextColumn(width=62),
            **{name: st.column_config.NumberColumn(name[2:], width=60, help="Degree") for name in table.columns[5:]},
        },
        pick,
        "units",
        height=430,
    )
    st.caption(
        f"Last columns: the degree in each graph as drawn, the number of relations of at least α = {alpha:.2f}. "
        "Select a row to pick the unit."
    )


def frames(view: View, unit: int, height: int = 72, columns: int = 8) -> None:
    """The unit's frames as one contact sheet, its moment and what the captions say."""
    clip, dataset = view.clip, view.chosen.dataset
    pictures = store.pictures.frames(dataset, clip.name, unit, height, 1)
    start, stop = unit * clip.seconds, min((unit + 1) * clip.seconds, clip.duration)
    label = "" if clip.labels is None else " · labelled anomalous" if clip.labels[unit] else " · labelled normal"
    st.markdown(f"**Unit {unit}** · {start:.2f} to {stop:.2f} s{label}")
    if len(pictures):
        first = unit * clip.frames_per_unit
        st.image(
            tables.contact_sheet(pictures, columns),
            width="stretch",
            alt=f"frames {first} to {first + clip.frames_per_unit - 1} of the clip, in reading order",
        )
    else:
        st.caption("This dataset holds no video of the clip, so there are no frames to show.")
    for modality, sentence in store.data.captions(dataset, clip.name, unit).items():
        st.caption(f"{markdown_text(modality)}: “{markdown_text(sentence, 300)}”")


# ---------------------------------------------------------------------------- a unit


def unit(view: View, at: int) -> None:
    """One unit: frames, then every other unit of its window by strength, the parts of its score, and what if."""
    frames(view, at)
    found = store.graphs.explanation(view.run, view.chosen.dataset, view.clip.name, at, view.changes)
    show.tabs(
        {
            "Neighbours": lambda: _neighbours(view, at, found),
            "Parts of its score": lambda: _parts(view, at, found),
            "What if": lambda: _what_if(view, at),
        },
        key="about",
    )


def _neighbours(view: View, at: int, found: Explanation) -> None:
    first = view.window.first
    table = tables.neighbours(view.graphs, at - first, first, view.clip.seconds, view.here, view.truth)
    if found.edges is not None and found.start <= first < found.start + len(found.edges):
        table.insert(len(table.columns) - 2, "part", found.edges[table["unit"].to_numpy() - found.start])

    def pick(row: int) -> None:
        st.session_state["other"] = int(table["unit"][row])

    show.table(
        table,
        f"the {len(table)} other units of the window by how strongly each is related to unit {at}",
        {
            **{shown(name, 30): "%.2f" for name in view.graphs},
            "unit": st.column_config.NumberColumn(width=40),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=60),
            "score": "%.3f",
            "part": st.column_config.NumberColumn(format="%+.4f", help="What this relation adds to the unit's score"),
        },
        pick,
        "neighbours",
        height=248,
    )
    st.caption("Most strongly related first, in the last graph. Select a row to look at that connection.")


def _parts(view: View, at: int, found: Explanation) -> None:
    if found.terms is None:
        right, terms = st.container(), ""
    else:
        left, right = st.columns(2)
        terms = (
            f"Terms and relations: {found.base:.4f} for a unit related to nothing, plus their parts (rounding "
            f"{abs(found.gap):.0e}). "
        )
        with left:
            few = f"the {min(TERMS, found.terms.size)} largest of {found.terms.size} terms' parts"
            what, alt = "part of the score, by term", f"{few} of the score of unit {at}"
            _terms(view, found.terms, found.score - found.base, what, "", alt, "parts", f"parts of unit {at}")
    with right:
        show.figure(
            figures.shares(
                list(found.modalities),
                np.array(list(found.modalities.values())),
                view.chosen.colours,
                "part of the score, by modality",
                found.score - found.unknown,
            ),
            "",
            "; ".join(f"{shown(name)} {part:+.4f}" for name, part in found.modalities.items()),
            "by_modality",
            name=f"modalities of unit {at} of {view.clip.name}",
        )
    st.caption(
        f"The score {found.score:.4f} adds up exactly. {terms}By Shapley value: {found.unknown:.4f} when no "
        f"modality is known, plus their parts (rounding {abs(found.gap_modalities):.0e}). "
        "Red made the unit look more anomalous."
    )


def _terms(view: View, parts: np.ndarray, total: float, what: str, says: str, alt: str, key: str, name: str) -> None:
    """The largest of a score's or a connection's parts, and what all of them add up to."""
    names, places = axis_names(view.model), tables.leading(parts, TERMS)
    words, values = [term_name(names, place) for place in places], np.array([parts[place] for place in places])
    drawn = figures.shares(words, values, view.chosen.colours, what, total)
    show.figure(drawn, says, alt, key, name=f"{name} of {view.clip.name}")


def _what_if(view: View, at: int) -> None:
    answers = store.graphs.what_if(view.run, view.chosen.dataset, view.clip.name, at, None, view.changes)
    show.table(tables.what_if(answers, at), "the model run again, changed", WHAT_IF)
    st.caption("The model run again with one thing gone. Click a connection in a graph to see what cutting it does.")


# ---------------------------------------------------------------------------- a connection


def connection(view: View, i: int, j: int) -> None:
    """One connection: both units' frames, its strength in every graph, its terms, and the scores without it."""
    first, dataset = view.window.first, view.chosen.dataset
    for column, end in zip(st.columns(2), (i, j), strict=True):
        with column:
            frames(view, end, height=96, columns=4)
    strengths = {name: graph[i - first, j - first] for name, graph in view.graphs.items()}
    st.markdown(" · ".join(f"{markdown_text(name, 24)} **{value:.3f}**" for name, value in strengths.items()))
    if not store.methods.fits("term shares", view.run, dataset):
        found = store.graphs.term_shares(view.run, dataset, view.clip.name, view.window.index, view.changes)
        parts = found.of_edge(i, j)
        few, total = f"{min(TERMS, parts.size)} largest of {parts.size} terms", float(parts.sum())
        says = f"The {few}; all of them add up exactly (gap {found.gap:.0e})."
        alt = f"{few} of connection {i} to {j}; all: {total:.4f}"
        _terms(view, parts, total, "share of this fused relation, by term", says, alt, "terms", f"terms of {i}-{j}")
    if view.model.window is not None:
        (answer,) = store.graphs.what_if(view.run, dataset, view.clip.name, i, j, view.changes)
        show.table(tables.cut(answer, (i, j)), "scores without it", WHAT_IF)
        st.caption("Without this connection in any modality's graph: the model run again.")

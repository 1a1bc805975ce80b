"""What lies behind one unit or one connection of a graph: its frames, words, neighbours and parts."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app import store
from app.figures import tables
from app.figures.graphs import shares
from app.figures.operator import term_name
from app.figures.style import markdown_text, plotly_config
from app.state import selection
from app.state.selection import Selection
from app.widgets import show
from core.clip import Clip
from core.explain.lego import Explanation
from core.fusion.base import Fusion
from core.fusion.lego import Lego
from core.machine.names import shown

Graphs = Mapping[str, np.ndarray]


def frames(chosen: Selection, clip: Clip, unit: int, height: int = 72, columns: int = 8, every: int = 1) -> None:
    """The unit's frames as one contact sheet, its moment and what the captions say."""
    pictures = store.pictures.frames(chosen.dataset, clip.name, unit, height, every)
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
    for modality, sentence in store.data.captions(chosen.dataset, clip.name, unit).items():
        st.caption(f"{markdown_text(modality)}: “{markdown_text(sentence, 300)}”")


def unit(chosen: Selection, clip: Clip, graphs: Graphs, at: int, first: int, scores: np.ndarray, changes: str) -> None:
    """One unit: frames, then every other unit of its window by strength, the parts of its score, and what if."""
    run = chosen.trained
    frames(chosen, clip, at)
    found = store.graphs.explanation(run, chosen.dataset, clip.name, at, changes)
    show.tabs(
        {
            "Neighbours": lambda: _neighbours(clip, graphs, at, first, scores, found),
            "Parts of its score": lambda: _parts(chosen, clip, at, found),
            "What if": lambda: _what_if(chosen, clip, at, changes),
        },
        key="about",
    )


def _neighbours(clip: Clip, graphs: Graphs, at: int, first: int, scores: np.ndarray, found: Explanation) -> None:
    n = len(next(iter(graphs.values())))
    truth = None if clip.labels is None else clip.labels.numpy()[first : first + n]
    table = tables.neighbours(graphs, at - first, first, clip.seconds, scores[first : first + n], truth)
    if found.edges is not None and found.start <= first < found.start + len(found.edges):
        table.insert(len(table.columns) - 2, "part", found.edges[table["unit"].to_numpy() - found.start])

    def picked() -> None:
        row = selection.picked("neighbours")
        if row is not None:
            st.session_state["other"] = int(table["unit"][row])

    st.dataframe(
        table,
        key="neighbours",
        on_select=picked,
        selection_mode="single-row",
        hide_index=True,
        height=248,
        column_config={
            **{shown(name, 30): st.column_config.NumberColumn(format="%.2f") for name in graphs},
            "unit": st.column_config.NumberColumn(width=40),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=60),
            "score": st.column_config.NumberColumn(format="%.3f"),
            "part": st.column_config.NumberColumn(format="%+.4f", help="What this relation adds to the unit's score"),
        },
        alt=f"the {len(table)} other units of the window by how strongly each is related to unit {at}",
    )
    st.caption("Most strongly related first, in the last graph. Select a row to look at that connection.")


def _parts(chosen: Selection, clip: Clip, at: int, found: Explanation) -> None:
    if found.terms is not None:
        names = axis_names(store.models.model(chosen.trained))
        leading = found.leading_terms(8)
        left, right = st.columns(2)
        with left:
            st.plotly_chart(
                shares(
                    [term_name(names, entry) for entry, _ in leading],
                    np.array([part for _, part in leading]),
                    chosen.colours,
                    "part of the score, by term",
                    total=found.score - found.base,
                ),
                key="parts",
                theme=None,
                config=plotly_config(f"parts of unit {at} of {clip.name}", chosen.picture),
                alt=f"the {len(leading)} largest of {found.terms.size} terms' parts of the score of unit {at}",
            )
    else:
        right = st.container()
    with right:
        st.plotly_chart(
            shares(
                list(found.modalities),
                np.array(list(found.modalities.values())),
                chosen.colours,
                "part of the score, by modality",
                total=found.score - found.unknown,
            ),
            key="by_modality",
            theme=None,
            config=plotly_config(f"modalities of unit {at} of {clip.name}", chosen.picture),
            alt="; ".join(f"{shown(name)} {part:+.4f}" for name, part in found.modalities.items()),
        )
    terms = (
        ""
        if np.isnan(found.base)
        else (
            f"Terms and relations: {found.base:.4f} for a unit related to nothing, plus their parts (rounding "
            f"{abs(found.gap):.0e}). "
        )
    )
    st.caption(
        f"The score {found.score:.4f} adds up exactly. {terms}By Shapley value: {found.unknown:.4f} when no "
        f"modality is known, plus their parts (rounding {abs(found.gap_modalities):.0e}). "
        "Red made the unit look more anomalous."
    )


def _what_if(chosen: Selection, clip: Clip, at: int, changes: str) -> None:
    answers = store.graphs.what_if(chosen.trained, chosen.dataset, clip.name, at, None, changes)
    st.dataframe(
        tables.what_if(answers, at), hide_index=True, column_config=WHAT_IF, alt="the model run again, changed"
    )
    st.caption("The model run again with one thing gone. Click a connection in a graph to see what cutting it does.")


WHAT_IF = {
    name: st.column_config.NumberColumn(format="%+.4f" if "change" in name else "%.4f")
    for name in ("score before", "score after", "change", "largest change elsewhere")
}


def connection(
    chosen: Selection, clip: Clip, graphs: Graphs, pair: tuple[int, int], first: int, index: int, changes: str
) -> None:
    """One connection: both units' frames, its strength in every graph, its terms, and the scores without it."""
    run = chosen.trained
    model = store.models.model(run)
    i, j = sorted(pair)
    for column, end in zip(st.columns(2), (i, j), strict=True):
        with column:
            frames(chosen, clip, end, height=96, columns=4)
    st.markdown(
        " · ".join(f"{markdown_text(n, 24)} **{graph[i - first, j - first]:.3f}**" for n, graph in graphs.items())
    )
    if isinstance(model, Lego):
        found = store.graphs.term_shares(run, chosen.dataset, clip.name, index, changes)
        of_edge = found.of_edge(i, j)
        order = np.argsort(-np.abs(of_edge), axis=None, kind="stable")[:8]
        entries = [tuple(int(part) for part in np.unravel_index(at, of_edge.shape)) for at in order]
        st.plotly_chart(
            shares(
                [term_name(axis_names(model), entry) for entry in entries],
                np.array([of_edge[entry] for entry in entries]),
                chosen.colours,
                "share of this fused relation, by term",
                total=float(of_edge.sum()),
            ),
            key="terms",
            theme=None,
            config=plotly_config(f"terms of {clip.name} {i}-{j}", chosen.picture),
            alt=f"{len(entries)} largest of {of_edge.size} terms of connection {i} to {j}; all: {of_edge.sum():.4f}",
        )
        st.caption(
            f"The {len(entries)} largest of {of_edge.size} terms; all of them add up exactly (gap {found.gap:.0e})."
        )
    if model.window is not None:
        (answer,) = store.graphs.what_if(run, chosen.dataset, clip.name, i, j, changes)
        st.dataframe(tables.cut(answer, (i, j)), hide_index=True, column_config=WHAT_IF, alt="scores without it")
        st.caption("Without this connection in any modality's graph: the model run again.")


def axis_names(model: Fusion) -> list[str]:
    """What the axes of A stand for; with random pairs of many modalities, what is fused so far and the next one."""
    axes = model.operator().ndim if isinstance(model, Lego) else len(model.widths)
    return list(model.widths) if axes == len(model.widths) else ["fused so far", "next modality"]


def unit_table(chosen: Selection, clip: Clip, graphs: Graphs, first: int, stop: int, scores: np.ndarray) -> None:
    """Every unit of the window with its score and its degree in each graph; a row picks the unit."""
    truth = None if clip.labels is None else clip.labels.numpy()[first:stop]
    table = tables.units(graphs, first, clip.seconds, scores[first:stop], truth, chosen.threshold, chosen.alpha)

    def picked() -> None:
        row = selection.picked("units")
        if row is not None:
            selection.put(time=(first + row) * clip.seconds)
            st.session_state["other"] = None

    st.dataframe(
        table,
        key="units",
        on_select=picked,
        selection_mode="single-row",
        hide_index=True,
        height=430,
        column_config={
            "unit": st.column_config.NumberColumn(width=36),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=52),
            "score": st.column_config.NumberColumn(format="%.3f", width=52),
            "alarm": st.column_config.TextColumn(width=46),
            "truth": st.column_config.TextColumn(width=62),
            **{name: st.column_config.NumberColumn(name[2:], width=60, help="Degree") for name in table.columns[5:]},
        },
        alt=f"score and degrees of units {first} to {stop - 1}",
    )
    st.caption(
        f"Last columns: the degree in each graph as drawn, the number of relations of at least α = {chosen.alpha:.2f}. "
        "Select a row to pick the unit."
    )


def pick_other(first: int, stop: int, unit: int | None) -> int | None:
    """The unit at a connection's other end, or None; the same choice as a click on a connection in the graphs.

    Always there, even when it can choose nothing: only a control that was drawn before gets its value into the link.
    """
    others = [at for at in range(first, stop) if at != unit]
    if st.session_state.get("other") not in (None, *others):
        st.session_state["other"] = None
    found = st.selectbox(
        "Connection with",
        others,
        index=None,
        key="other",
        bind="query-params",
        placeholder="no unit",
        disabled=unit is None,
        width=150,
        help="The other end of a connection of the chosen unit. A click on a connection sets both.",
    )
    return found if unit is not None else None

"""What lies behind one unit or one connection of a graph: its frames, words, neighbours and parts."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import streamlit as st

from app import cache, selection
from app.figures import tables
from app.figures.graphs import shares
from app.figures.operator import term_name
from app.figures.style import markdown_text, plotly_config
from app.selection import Selection
from core.clip import Clip

Graphs = Mapping[str, np.ndarray]


def frames(chosen: Selection, clip: Clip, unit: int, height: int = 72, columns: int = 8, every: int = 1) -> None:
    """The unit's frames as one contact sheet, its moment and what the captions say."""
    pictures = cache.frames(chosen.dataset, clip.name, unit, height, every)
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
    for modality, sentence in cache.captions(chosen.dataset, clip.name, unit).items():
        st.caption(f"{markdown_text(modality)}: “{markdown_text(sentence, 300)}”")


def unit(chosen: Selection, clip: Clip, graphs: Graphs, at: int, first: int, scores: np.ndarray) -> None:
    """One unit: frames, score, and every other unit of its window by strength; a row picks the connection."""
    frames(chosen, clip, at)
    local = slice(first, first + len(next(iter(graphs.values()))))
    truth = None if clip.labels is None else clip.labels.numpy()[local]
    table = tables.neighbours(graphs, at - first, first, clip.seconds, scores[local], truth)

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
            **{name: st.column_config.NumberColumn(format="%.2f") for name in table.columns[2:-1]},
            "from (s)": st.column_config.NumberColumn(format="%.2f"),
            "score": st.column_config.NumberColumn(format="%.3f"),
        },
        alt=f"the {len(table)} other units of the window by how strongly each is related to unit {at}",
    )
    st.caption("Most strongly related first, in the last graph. Select a row to look at that connection.")


def connection(
    chosen: Selection, clip: Clip, graphs: Graphs, pair: tuple[int, int], first: int, index: int, changes: str
) -> None:
    """One connection: both units' frames, its strength in every graph, and what each term of A adds to it."""
    i, j = sorted(pair)
    for column, end in zip(st.columns(2), (i, j), strict=True):
        with column:
            frames(chosen, clip, end, height=96, columns=4)
    with st.container(horizontal=True):
        for name, graph in graphs.items():
            st.metric(markdown_text(name), f"{graph[i - first, j - first]:.3f}".replace("-", "−"), border=True)
    found = cache.terms(chosen.run or "", chosen.dataset, clip.name, index, i - first, j - first, changes)
    if found is None:
        return
    names = list(cache.model(chosen.run or "").widths)
    entries = [entry for entry in product(*map(range, found.shape)) if all(entry)]
    entries = sorted(entries, key=lambda entry: -abs(found[entry]))[:12]
    inner = found[(slice(1, None),) * found.ndim]
    st.plotly_chart(
        shares(
            [f"A[{', '.join(map(str, entry))}]  {term_name(names, entry)}" for entry in entries],
            np.array([found[entry] for entry in entries]),
            chosen.colours,
            "added to this connection, before rescaling",
            total=float(found.sum()),
        ),
        key="terms",
        theme=None,
        config=plotly_config(f"terms of {clip.name} {i}-{j}", chosen.picture),
        alt=f"the {len(entries)} largest of {inner.size} terms of connection {i} to {j}; together {found.sum():.4f}",
    )
    st.caption(
        f"The fused strength is a weighted sum of products of powers, so these parts add up exactly. "
        f"{'All' if len(entries) == inner.size else f'The {len(entries)} largest of'} {inner.size} terms; "
        "terms with power 0 touch no connection between two units."
    )


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
            "unit": st.column_config.NumberColumn(width=40),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=60),
            "score": st.column_config.NumberColumn(format="%.3f", width=60),
            "alarm": st.column_config.TextColumn(width=60),
            "truth": st.column_config.TextColumn(width=70),
            **{name: st.column_config.NumberColumn(name[2:], width=70, help="Degree") for name in table.columns[5:]},
        },
        alt=f"score and degrees of units {first} to {stop - 1}",
    )
    st.caption(
        f"Last columns: the degree in each graph, how many other units are related by at least α = {chosen.alpha:.2f}. "
        "Select a row to pick the unit."
    )

"""Controls that the graph and the operator pages share; what they are set to lives in the link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures import network
from app.figures.network import Layout, Panel
from app.figures.operator import power
from app.figures.style import file_name, markdown_text
from app.state import selection
from app.state.selection import Selection
from core.clip import Clip
from core.fusion.base import Fusion
from core.fusion.lego import Lego
from core.machine.names import shown
from core.measure.thresholds import decide
from core.score.changes import Changes, Entry
from core.score.infer import spans

LAYOUTS: tuple[Layout, ...] = ("spring", "distance", "time")
BUTTONS = 12  # windows of a clip that stand side by side; more are a list


@dataclass(frozen=True)
class Display:
    """How the graphs are drawn: nothing here changes a number that is computed.

    layout    where the units lie
    per_node  each unit's strongest connections are candidates for drawing
    after, before   the difference is after minus the mean of before; None where there is nothing to compare
    shared    one colour scale for all graphs, or each graph its own
    strengths   "value": as computed; "rank": each relation's rank in its graph; "auto": rank where the trained α
              would tell nothing apart in some graph
    mark      purple diamonds are what the truth or what the alarm calls anomalous
    """

    layout: Layout = "spring"
    per_node: int = 8
    after: str | None = None
    before: tuple[str, ...] = ()
    shared: bool = True
    strengths: Literal["auto", "value", "rank"] = "auto"
    mark: Literal["truth", "alarms"] = "truth"


def pick_window(chosen: Selection, clip: Clip, window: int | None) -> tuple[int, tuple[int, int, int]]:
    """Which window of a long clip is drawn, and its (start, stop, fresh); a chosen moment brings its window with it."""
    found = spans(clip.units, window)
    if len(found) == 1:
        return 0, found[0]
    unit = chosen.unit(clip)
    now = st.session_state.get("window") or 0
    inside = now < len(found) and (unit is None or found[now][0] <= unit < found[now][1])
    if not inside:
        home = [at for at, (_, stop, fresh) in enumerate(found) if unit is not None and fresh <= unit < stop]
        st.session_state["window"] = home[0] if home else 0
    words: dict[str, Any] = {
        "label": "Units of the clip",
        "options": range(len(found)),
        "format_func": lambda at: f"{found[at][0]}–{found[at][1] - 1}",
        "key": "window",
        "bind": "query-params",
        "on_change": lambda: selection.put(time=None),
        "help": "The clip is longer than the fusion's window, so it is scored in parts.",
    }
    if len(found) > BUTTONS:
        index = st.selectbox(**words, width=170)
    else:
        default = None if "window" in st.session_state else 0
        index = st.segmented_control(**words, default=default, required=True)
    return index or 0, found[index or 0]


def display(modalities: Sequence[str], fused: str | None, labelled: bool) -> Display:
    """The popover that says how the graphs are drawn. `fused` is the fused graph's title, None without one."""
    pairs: dict[str, tuple[str, tuple[str, ...]]] = {}
    if fused is not None and len(modalities) > 1:
        pairs[f"{fused} − mean of modalities"] = (fused, tuple(modalities))
        pairs |= {f"{fused} − {name}": (fused, (name,)) for name in modalities}
    pairs |= {f"{b} − {a}": (b, (a,)) for at, a in enumerate(modalities) for b in modalities[at + 1 :]}
    with st.popover("Display", icon=":material/tune:"):
        layout = st.segmented_control(
            "Layout",
            LAYOUTS,
            default="spring",
            required=True,
            key="layout",
            bind="query-params",
            help="Spring: related units pull each other. Distance: related units lie near each other. Time: a circle, "
            "clockwise. Computed once a clip, from the modalities' graphs: no unit ever moves.",
        )
        per_node = st.slider(
            "Strongest connections of each unit",
            1,
            31,
            8,
            key="per_node",
            bind="query-params",
            help="Only these are drawn, at most 5,000 in all. Degrees and counts always take every connection.",
        )
        against = st.selectbox("Difference", list(pairs), key="difference", format_func=shown) if pairs else None
        shared = st.toggle("One colour scale for all graphs", True, key="shared", bind="query-params")
        how = st.segmented_control(
            "Strengths drawn",
            ["auto", "value", "rank"],
            default="auto",
            required=True,
            key="strengths",
            bind="query-params",
            help="Value: as computed. Rank: a connection's place among all of its graph, so that α = 0.8 draws "
            "the strongest fifth. Auto: rank where the trained α would keep nearly all or nearly none of some graph.",
        )
        mark = st.segmented_control(
            "Purple diamonds",
            ["truth", "alarms"],
            default="truth",
            required=True,
            key="mark",
            bind="query-params",
            disabled=not labelled,
            help="Units labelled anomalous, or units whose score reaches the alarm threshold.",
        )
    after, before = pairs[against] if against else (None, ())
    return Display(
        layout or "spring",
        int(per_node),
        after,
        before,
        bool(shared),
        how or "auto",  # type: ignore[arg-type]
        mark if labelled and mark == "alarms" else "truth" if labelled else "alarms",  # type: ignore[arg-type]
    )


# ---------------------------------------------------------------------------- the operator


def shape_of(model: Fusion) -> tuple[int, ...]:
    """Of the operator A; empty for a fusion without one."""
    return tuple(model.operator().shape) if isinstance(model, Lego) else ()


def change(new: Changes) -> None:
    """From a callback: A becomes this; what it was can be undone."""
    st.session_state.setdefault("A_past", []).append(st.session_state.get("A") or "")
    st.session_state["A_future"] = []
    st.session_state["A"] = str(new)


def undo() -> None:
    """From a callback: the change before."""
    past, future = st.session_state.get("A_past", []), st.session_state.setdefault("A_future", [])
    if past:
        future.append(st.session_state.get("A") or "")
        st.session_state["A"] = past.pop()


def redo() -> None:
    """From a callback: take the last undo back."""
    past, future = st.session_state.setdefault("A_past", []), st.session_state.get("A_future", [])
    if future:
        past.append(st.session_state.get("A") or "")
        st.session_state["A"] = future.pop()


def toggled(now: Changes, entry: Entry) -> Changes:
    """The same with one term switched off, or, where it was changed already, as it was trained."""
    return now.with_entry(entry, None if entry in now.entries else 0.0)


def operator_controls(model: Fusion) -> str:
    """Highest powers used, the line of changes, undo, redo, reset; returns the line, "" for A as it was trained."""
    shape = shape_of(model)
    if not shape:
        return ""
    now = Changes.read(st.session_state.get("A"), shape)
    many = len(now.entries) + len(now.tops)
    words = "Operator A" if not many else f"Operator A · {many} change{'s' if many > 1 else ''}"
    with st.popover(words, icon=":material/grid_on:"):
        for axis, (name, size) in enumerate(zip(model.widths, shape, strict=False)):
            if size < 2:
                continue
            key = f"top-{axis}-{size}"
            st.session_state[key] = now.tops.get(axis, size - 1)

            def cap(axis: int = axis, key: str = key) -> None:
                change(now.with_top(axis, st.session_state[key]))

            st.slider(
                f"Highest power of {markdown_text(name)} used",
                0,
                size - 1,
                key=key,
                on_change=cap,
                help="Terms of A with a higher power of this modality are switched off. Nothing is trained again.",
            )
        st.text_input(
            "Changes to A",
            key="A",
            bind="query-params",
            placeholder="none: A as it was trained",
            help="One word a change: 1,2=0.5 sets entry A[1, 2]; 0<2 drops powers above 2 of the first modality.",
        )
        with st.container(horizontal=True):
            st.button("Undo", on_click=undo, disabled=not st.session_state.get("A_past"), icon=":material/undo:")
            st.button("Redo", on_click=redo, disabled=not st.session_state.get("A_future"), icon=":material/redo:")
            st.button("As trained", on_click=change, args=(Changes(),), disabled=not many)
    return str(Changes.read(st.session_state.get("A"), shape))


def metrics(chosen: Selection, changes: str) -> None:
    """What these sliders mean for every clip of the set, each number with its distance from the trained one."""
    run = chosen.trained
    graphs, *_ = store.graphs.tuned(run, chosen.dataset)
    now = store.graphs.answer(run, chosen.dataset, changes, chosen.alpha, chosen.k)
    then = store.graphs.answer(run, chosen.dataset, "", *store.graphs.trained_sliders(run))
    known = graphs.known
    calls = [decide(answer.scores[known], graphs.labels[known], chosen.threshold) for answer in (now, then)]
    words = "Eq. 7: variance of the α-gated weighted degrees, mean over the windows of {} clips{}."
    with st.container(horizontal=True, gap="small"):
        _metric("AUC", now.auc, then.auc, 1, "Percent, over all labelled units of all clips, every edge kept.")
        _metric("AUC, edges cut", now.auc_cut, then.auc_cut, 1, "The same when edges below α are cut before the head.")
        _metric(
            "AUC by degree",
            now.auc_degree,
            then.auc_degree,
            1,
            "Percent, when a low α-gated degree in the fused graph is itself the score.",
        )
        right, false = (getattr(calls[0], name) - getattr(calls[1], name) for name in ("true_alarms", "false_alarms"))
        st.metric(
            "Right / false",
            f"{calls[0].true_alarms} / {calls[0].false_alarms}",
            f"{right:+d} / {false:+d}" if right or false else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=WIDE,
            height=TALL,
            help=f"Alarms at the sidebar's threshold, of {calls[0].true_alarms + calls[0].misses} anomalous and "
            f"{calls[0].false_alarms + calls[0].true_rests} normal units. {FROM}",
        )
        _metric("Var. normal", now.variance_normal, then.variance_normal, 3, words.format("normal", ""), "off")
        highest = f", their {chosen.k} highest degrees"
        text = words.format("anomalous", highest)
        _metric("Var. anomalous", now.variance_anomalous, then.variance_anomalous, 3, text, "off")


WIDE, TALL = 164, 104  # pixels of a number's card: six stand side by side on a laptop
FROM = "Below: the distance from A, α and k as they were trained."


def _metric(
    label: str, now: float, then: float, digits: int, words: str, colour: Literal["normal", "off"] = "normal"
) -> None:
    if np.isnan(now):
        words = f"{words} Not defined here: one of the two sides is missing."
    moved = round(now - then, digits)
    st.metric(
        label,
        "–" if np.isnan(now) else f"{now:.{digits}f}",
        None if np.isnan(moved) or not moved else f"{moved:+.{digits}f}",
        delta_color=colour,
        border=True,
        width=WIDE,
        height=TALL,
        help=f"{words} {FROM}",
    )


def pick_slice(names: Sequence[str], shape: tuple[int, ...]) -> tuple[int, ...]:
    """With three and more modalities A is no table: which power of the others the table is shown for."""
    rest = []
    for axis in range(2, len(shape)):
        chosen = st.segmented_control(
            f"Power of {markdown_text(names[axis], 30)}",
            range(shape[axis]),
            default=min(1, shape[axis] - 1),
            required=True,
            key=f"slice-{axis}-{shape[axis]}",
            bind="query-params",
        )
        rest.append(int(chosen or 0))
    return tuple(rest)


def edit(now: Changes, table: np.ndarray, axes: tuple[str, str], rest: tuple[int, ...]) -> None:
    """The same table to type into: the keyboard's way to every entry."""
    rows, columns = table.shape
    frame = pd.DataFrame(
        np.round(table.astype(float), 4),
        index=[power(shown(axes[0], 20), row) for row in range(rows)],
        columns=[f"{column}: {power(shown(axes[1], 20), column)}" for column in range(columns)],
    )
    frame.index.name = shown(axes[0], 20)  # a header without words is nothing to a screen reader
    key = f"edit {now} {rest}"  # another table, another widget: what was typed is in `now` by then

    def typed() -> None:
        new = now
        for row, cells in st.session_state[key]["edited_rows"].items():
            for name, value in cells.items():
                if value is not None and np.isfinite(value):
                    entry = (int(row), list(frame.columns).index(name), *rest)
                    new = new.with_entry(entry, float(np.clip(value, -1e5, 1e5)))
        change(new)

    st.data_editor(frame, key=key, on_change=typed, width="stretch", alt="entries of A, to type into")


# ---------------------------------------------------------------------------- files


def save(
    chosen: Selection, clip: Clip, panels: Sequence[Panel], places: np.ndarray, marked: np.ndarray, scores: np.ndarray,
    first: int, per_node: int,
) -> None:  # fmt: skip
    """Buttons that save the graphs; a file is made when its button is pressed."""
    name = file_name(f"graphs {clip.name} units {first} to {first + len(scores) - 1} {chosen.run}")
    graphs = [panel for panel in panels if panel.difference is None]

    def page() -> str:
        drawn = {
            panel.title: network.network(places, marked, scores, panel, chosen.alpha, per_node, first)
            for panel in panels
        }
        return network.page(f"Clip {shown(clip.name)}, units {first} to {first + len(scores) - 1}", drawn)

    with st.container(horizontal=True):
        st.download_button("HTML", page, f"{name}.html", "text/html", on_click="ignore", icon=":material/public:")
        st.download_button(
            "GraphML",
            lambda: network.graphml(graphs, marked, scores, clip.seconds, first),
            f"{name}.graphml",
            "application/graphml+xml",
            on_click="ignore",
            icon=":material/hub:",
        )
        st.download_button(
            "CSV",
            lambda: network.edge_table(panels, first),
            f"{name}.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/table:",
        )
    st.caption(
        "HTML opens anywhere without a network and can be zoomed; GraphML holds every connection for Gephi and "
        "NetworkX; CSV has one line a pair. PNG and SVG of what you see: the buttons above the graphs."
    )


def scaled(graphs: Mapping[str, np.ndarray], shared: bool) -> dict[str, tuple[float, float]]:
    """Graph -> the strengths drawn palest and darkest: from the 5th percentile to the largest, of all or its own."""
    ranges = {}
    for name, graph in graphs.items():
        off = graph[~np.eye(len(graph), dtype=bool)]
        ranges[name] = (float(np.quantile(off, 0.05)), float(off.max())) if off.size else (0.0, 1.0)
    if shared and ranges:
        low, high = min(a for a, _ in ranges.values()), max(b for _, b in ranges.values())
        ranges = dict.fromkeys(ranges, (low, high))
    return ranges

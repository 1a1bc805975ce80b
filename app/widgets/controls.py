"""Controls that the graph and the operator pages share; what they are set to lives in the link."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import history, selection
from app.state.selection import Selection
from app.widgets import show
from core.clip import Clip
from core.explain.lego import shape_of
from core.fusion.base import Fusion
from core.measure.thresholds import decide
from core.score.changes import Changes
from core.score.infer import spans
from core.score.sliders import Answer

BUTTONS = 12  # windows of a clip that stand side by side; more are a list
FROM = "Below: the distance from A, α and k as they were trained."


@dataclass(frozen=True)
class Window:
    """The part of a clip that is drawn: its units from `first` to before `stop`; `index` counts the clip's windows."""

    index: int
    first: int
    stop: int


def pick_window(chosen: Selection, clip: Clip, window: int | None) -> Window:
    """Which window of a long clip is drawn; a chosen moment brings its window with it."""
    found = spans(clip.units, window)
    if len(found) == 1:
        return Window(0, *found[0][:2])
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
    return Window(index or 0, *found[index or 0][:2])


def pick_other(window: Window, unit: int | None) -> int | None:
    """The unit at a connection's other end, or None; the same choice as a click on a connection in the graphs.

    Always there, even when it can choose nothing: only a control that was drawn before gets its value into the link.
    """
    others = [at for at in range(window.first, window.stop) if at != unit]
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


# ---------------------------------------------------------------------------- the operator


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
            if size > 1:
                _highest_power(now, axis, name, size)
        st.text_input(
            "Changes to A",
            key="A",
            bind="query-params",
            placeholder="none: A as it was trained",
            help="One word a change: 1,2=0.5 sets entry A[1, 2]; 0<2 drops powers above 2 of the first modality.",
        )
        with st.container(horizontal=True):
            history.buttons("A")
            st.button("As trained", on_click=history.change, args=("A", Changes()), disabled=not many)
    return str(Changes.read(st.session_state.get("A"), shape))


def _highest_power(now: Changes, axis: int, name: str, size: int) -> None:
    key = f"top-{axis}-{size}"
    st.session_state[key] = now.tops.get(axis, size - 1)
    st.slider(
        f"Highest power of {markdown_text(name)} used",
        0,
        size - 1,
        key=key,
        on_change=lambda: history.change("A", now.with_top(axis, st.session_state[key])),
        help="Terms of A with a higher power of this modality are switched off. Nothing is trained again.",
    )


def metrics(chosen: Selection, changes: str) -> None:
    """What these sliders mean for every clip of the set, each number with its distance from the trained one."""
    run = chosen.trained
    now = store.graphs.answer(run, chosen.dataset, changes, chosen.alpha, chosen.k)
    then = store.graphs.answer(run, chosen.dataset, "", *store.graphs.trained_sliders(run))
    of = "Eq. 7: variance of the α-gated weighted degrees, mean over the windows of {} clips{}."
    with st.container(horizontal=True, gap="small"):
        _moved("AUC", now.auc, then.auc, "Percent, over all labelled units of all clips, every edge kept.")
        _moved("AUC, edges cut", now.auc_cut, then.auc_cut, "The same when edges below α are cut before the head.")
        by_degree = "Percent, when a low α-gated degree in the fused graph is itself the score."
        _moved("AUC by degree", now.auc_degree, then.auc_degree, by_degree)
        _alarms(chosen, now, then)
        normal, highest = of.format("normal", ""), of.format("anomalous", f", their {chosen.k} highest degrees")
        _moved("Var. normal", now.variance_normal, then.variance_normal, normal, 3, "off")
        _moved("Var. anomalous", now.variance_anomalous, then.variance_anomalous, highest, 3, "off")


def _moved(
    label: str, now: float, then: float, words: str, digits: int = 1, colour: Literal["normal", "off"] = "normal"
) -> None:
    if np.isnan(now):
        words = f"{words} Not defined here: one of the two sides is missing."
    moved = round(now - then, digits)
    delta = None if np.isnan(moved) or not moved else f"{moved:+.{digits}f}"
    show.card(label, "–" if np.isnan(now) else f"{now:.{digits}f}", delta, f"{words} {FROM}", delta_color=colour)


def _alarms(chosen: Selection, now: Answer, then: Answer) -> None:
    """Right and false alarms at the sidebar's threshold."""
    graphs, *_ = store.graphs.tuned(chosen.trained, chosen.dataset)
    known = graphs.known
    calls, was = (decide(each.scores[known], graphs.labels[known], chosen.threshold) for each in (now, then))
    right, false = calls.true_alarms - was.true_alarms, calls.false_alarms - was.false_alarms
    show.card(
        "Right / false",
        f"{calls.true_alarms} / {calls.false_alarms}",
        f"{right:+d} / {false:+d}" if right or false else None,
        f"Alarms at the sidebar's threshold, of {calls.true_alarms + calls.misses} anomalous and "
        f"{calls.false_alarms + calls.true_rests} normal units. {FROM}",
        delta_color="off",
        delta_arrow="off",
    )

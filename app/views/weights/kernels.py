"""MKL's own half of the weights page: β against p, what each kernel sees, and how the solution was reached."""

import time
from typing import cast

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import store
from app.figures.marks import clicked_row
from app.figures.style import colours, markdown_text
from app.state import selection
from app.state.selection import Selection
from app.store.keys import DataKey, RunKey, resource
from app.views.weights import kernel_figures as figures
from app.widgets import show
from core.explain.mkl import AtNorm, Panels, norms
from core.explain.weights import weights
from core.fusion.mkl import Mkl
from core.machine.names import shown
from core.sample import METRIC_WORDS

PATIENCE = 0.3  # seconds before a bar appears


def draw(chosen: Selection) -> None:
    """Everything below the weights of a run of MKL."""
    assert chosen.run is not None
    model = cast(Mkl, store.models.model(chosen.run))
    if store.runs.run(chosen.run).note:
        st.caption(f"About this run: {markdown_text(store.runs.run(chosen.run).note, 300)}.")
    st.header("How p spreads the weights")
    path = st.container()  # filled last: solving again takes seconds the first time, and nothing below waits for it
    st.header("What each kernel sees")
    seen: Panels = store.methods.computed("kernel panels", chosen.run, chosen.dataset)
    sights(chosen, seen)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.header("How the solution was reached")
        reached(chosen, model)
    with right:
        st.header("How useful each kernel is")
        useful(chosen, seen)
    with path:
        against_p(chosen, model)


# ---------------------------------------------------------------------------- β against p


@st.fragment  # the slider moves nothing else on the page
def against_p(chosen: Selection, model: Mkl) -> None:
    """The path over p, and the numbers at the p of the slider."""
    names = weights(model).names
    if len(names) < 2:
        st.info("This run has one kernel: its weight is 1 whatever p is.")
        return
    try:
        found = solutions(chosen, model)
    except ValueError as error:
        st.info(f"The weights cannot be found again at another p: {markdown_text(error, 300)}.")
        return
    own = model.config.norm
    left, right = st.columns([3, 2], gap="medium")
    with right:
        now = pick(chosen, found, own)
        at = next(each for each in found if figures.norm_word(each.p) == now)
        mine = next(each for each in found if each.p == own)
        numbers(chosen, at, mine)
        st.dataframe(
            figures.weight_table(at, mine, names),
            hide_index=True,
            height=min(320, 35 * (len(names) + 1) + 2),
            alt=f"weights of {len(names)} kernels at p = {now}, the heaviest first",
        )
    with left:
        rows = f"{at.rows:,} of {at.of:,} training rows" if at.rows < at.of else f"all {at.of:,} training rows"
        few = f" The {figures.MOST_LINES} heaviest are drawn." if len(names) > figures.MOST_LINES else ""
        here = store.data.digest(chosen.dataset) == store.runs.run(chosen.trained).source.digest
        whose = "" if here else " These are not the data that the run was trained on."
        show.figure(
            figures.norm_path(found, names, own, at.p, chosen.colours),
            f"Solved again for every p, with the run's other options, on {rows}. Near p = 1 few kernels keep a weight; "
            f"at ∞ all weigh the same. Dotted: p of this run.{few}{whose}",
            "; ".join(
                f"p = {figures.norm_word(each.p)}: heaviest {shown(names[int(each.share.argmax())], 40)} with "
                f"{each.share.max():.2f} of the sum"
                for each in found
            ),
            "kernel-path",
            chosen.colours,
            chosen.picture,
            figures.norm_table(found, names, model.task.metric),
            name=f"kernel weights against p of {chosen.run}",
        )
    if at.beta.shape[1] > 1:
        show.figure(
            figures.weight_map(at.beta, names, model.task.names, chosen.colours),
            f"Every class or target has weights of its own here; at p = {now}.",
            "; ".join(
                f"{shown(name, 24)}: heaviest {shown(names[int(at.beta[:, o].argmax())], 40)}"
                for o, name in enumerate(model.task.names[:12])
            ),
            "kernel-weights-each",
            chosen.colours,
            chosen.picture,
            {"kernel": [shown(name, 60) for name in names]}
            | {shown(name, 30): at.beta[:, o].round(4) for o, name in enumerate(model.task.names)},
            name=f"kernel weights by output of {chosen.run}",
        )


def solutions(chosen: Selection, model: Mkl) -> list[AtNorm]:
    """The run solved again at every p; a bar while that takes time, all of it cached."""
    run = store.runs.run(chosen.trained)
    training = run.training
    how = (training.get("supervision", "clip"), int(training.get("units", 32)), run.source.protocol)
    asked = norms(model.config.norm)
    place, began, found = st.empty(), time.monotonic(), []
    for at, p in enumerate(asked):
        if time.monotonic() - began > PATIENCE:
            place.progress(at / len(asked), f"Solving at p = {figures.norm_word(p)}, {at + 1} of {len(asked)}")
        found.append(store.methods.computed("kernel path", chosen.trained, chosen.dataset, p, *how))
    place.empty()
    return found


def pick(chosen: Selection, found: list[AtNorm], own: float) -> str:
    """The p whose numbers are shown; the link holds it."""
    options = [figures.norm_word(each.p) for each in found]
    now = st.select_slider(
        "p, norm of the weights",
        options,
        figures.norm_word(own),
        key="kernel_p",
        bind="query-params",
        help="At 1 few kernels keep a weight; ∞ is the plain sum of all kernels.",
    )
    return str(now)


def numbers(chosen: Selection, at: AtNorm, own: AtNorm) -> None:
    """The metric at the chosen p beside the run's, how many kernels count, and how exact the solution is."""
    metric = store.runs.run(chosen.trained).metric
    digits = 3 if metric == "correlation" else 1
    share = at.share[at.share > 0]
    with st.container(horizontal=True):
        moved = None if at.p == own.p or np.isnan(at.value - own.value) else at.value - own.value
        st.metric(
            f"{METRIC_WORDS[metric]}, solved again",
            "none" if np.isnan(at.value) else f"{at.value:.{digits}f}",
            None if moved is None else f"{moved:+.{digits}f} to p = {figures.norm_word(own.p)}",
            border=True,
        )
        st.metric(
            "kernels that count",
            f"{np.exp(-(share * np.log(share)).sum()):.1f} of {len(at.share)}",
            border=True,
            help="exp of the entropy of β / sum β: as many equal kernels would be as uneven.",
        )
        st.metric(
            "duality gap",
            f"{at.gap:.0e}",
            f"{at.rounds} round{'s' * (at.rounds > 1)}",
            delta_color="off",
            delta_arrow="off",
            border=True,
        )


# ---------------------------------------------------------------------------- what each kernel sees


@resource(64)
def _maps(run: RunKey, key: DataKey, row: int, theme: str) -> go.Figure:
    """What every kernel of a run sees, drawn: a hundred traces take longer than the rest of their page."""
    seen: Panels = store.methods.computed("kernel panels", run, key)
    drawn = figures.drawn_panels(seen, seen.beta)
    return figures.panel_maps(seen, drawn, store.data.part(key), row, colours(theme))


def sights(chosen: Selection, seen: Panels) -> None:
    """Kernel PCA of each kernel and of all together, small multiples in the same colours."""
    assert chosen.run is not None
    part, row = store.data.part(chosen.dataset), store.data.row(chosen)
    beta = seen.beta
    drawn = figures.drawn_panels(seen, beta)
    rows = f"{len(seen.rows):,} of {len(part):,} rows" if len(seen.rows) < len(part) else f"all {len(part):,} rows"
    separated = not np.isnan(seen.chance)
    told = (
        "Separation is the share of the variance, in all of a kernel's space, that lies between the classes' means: 1 "
        f"when each class is one point, {seen.chance:.3f} on average when the classes mean nothing."
        if separated
        else "There are no two classes to separate."
    )
    missing = "" if row in seen.rows else " The chosen row is not among them."
    left_out = len(seen.panels) - 1 - (len(drawn) - 1) if len(beta) > 1 else 0
    few = f" The {len(drawn) - 1} heaviest of {len(beta)} kernels are drawn." if left_out else ""
    show.figure(
        _maps(chosen.run, chosen.dataset, row, chosen.colours.name),
        f"Kernel PCA of {rows} of the test part: each kernel's two directions of largest variance. {told} Click a "
        f"point to choose its row.{missing}{few}",
        "; ".join(
            f"{shown(seen.panels[at].name, 40)}: separation {figures.number(seen.panels[at].separation, 3)}, "
            f"{seen.panels[at].shares.sum():.0%} of the variance on the two directions"
            for at in drawn
        ),
        "kernel-panels",
        None,
        chosen.picture,
        figures.panel_table(seen, beta),
        name=f"kernel PCA of {chosen.run}",
        on_select=clicked,
        selection_mode="points",
    )


def clicked() -> None:
    """A point of a map was clicked: its row becomes the chosen one everywhere."""
    points = st.session_state["kernel-panels"]["selection"]["points"]
    row = clicked_row(points[0].get("customdata")) if points else None
    if row is not None:
        selection.put(**store.data.link(selection.current().dataset, row))


def reached(chosen: Selection, model: Mkl) -> None:
    """The duality gap over the rounds, from the run's own history."""
    history = store.runs.history(chosen.trained)
    if not history or "gap" not in history[0]:
        st.info("This run has no record of its rounds.")
        return
    last = history[-1]
    show.figure(
        figures.gap_line(history, model.config.tolerance, chosen.colours),
        "The gap bounds how far the objective is from its minimum. Inequality is how much ‖w‖² / β^(p+1) differs "
        "between active kernels, which is alike at the minimum; the solver stops at 1 % of it and at the dotted gap.",
        f"after {len(history)} rounds the relative duality gap is {last['gap']:.1e}, the inequality "
        f"{last['stationarity']:.1e}; the first round had {history[0]['gap']:.1e} and {history[0]['stationarity']:.1e}",
        "kernel-gap",
        chosen.colours,
        chosen.picture,
        {
            "round": [int(row["epoch"]) for row in history],
            "objective a row": [row["loss"] for row in history],
            "gap": [row["gap"] for row in history],
            "inequality": [row["stationarity"] for row in history],
            "kernels that count": [row["effective"] for row in history],
        },
        name=f"duality gap of {chosen.run}",
    )


def useful(chosen: Selection, seen: Panels) -> None:
    """Alignment and separation of each kernel, beside each other."""
    if all(np.isnan(each.alignment) for each in seen.panels):
        st.info("These rows have no labels, or one class alone: there is nothing for a kernel to be aligned with.")
        return
    best = max(seen.panels, key=lambda each: each.alignment)
    chance = "" if np.isnan(seen.chance) else " Dotted: separation of classes that mean nothing."
    show.figure(
        figures.usefulness(seen, chosen.colours),
        "Alignment: how much a kernel's similarities look like those of the targets, both centred; 1 when they are the "
        f"same up to a factor. On the rows above, all of each kernel's space.{chance}",
        f"best aligned: {shown(best.name, 40)} with {best.alignment:.3f}; "
        + "; ".join(
            f"{shown(each.name, 40)}: alignment {figures.number(each.alignment, 3)}, separation "
            f"{figures.number(each.separation, 3)}"
            for each in seen.panels[:12]
        ),
        "kernel-usefulness",
        chosen.colours,
        chosen.picture,
        figures.panel_table(seen, seen.beta),
        name=f"usefulness of the kernels of {chosen.run}",
    )

"""MKL's own half of the weights page: β against p, what each kernel sees, and how the solution was reached."""

import time

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import store
from app.figures.style import colours, markdown_text
from app.figures.words import moved, told
from app.state.selection import Selection
from app.store.keys import DataKey, RunKey, resource
from app.views.weights import kernel_figures as figures
from app.widgets import paging, rows, show
from core.explain.mkl import AtNorm, Panels, norms
from core.explain.weights import weights
from core.fusion.base import Fusion
from core.machine.names import shown
from core.sample import METRIC_WORDS

PATIENCE = 0.3  # seconds before a bar appears


def draw(chosen: Selection) -> None:
    """Everything below the weights of a run of MKL."""
    assert chosen.run is not None
    model = store.models.model(chosen.run)
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
def against_p(chosen: Selection, model: Fusion) -> None:
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
        now = pick(found, own)
        at = next(each for each in found if figures.norm_word(each.p) == now)
        mine = next(each for each in found if each.p == own)
        numbers(chosen, at, mine)
        show.table(
            figures.weight_table(at, mine, names),
            f"weights of {len(names)} kernels at p = {now}, the heaviest first",
            height=min(320, paging.height(len(names))),
        )
    with left:
        _path(chosen, model, found, at)
    if at.beta.shape[1] > 1:
        _each_output(chosen, model, at)


def _path(chosen: Selection, model: Fusion, found: list[AtNorm], at: AtNorm) -> None:
    names = weights(model).names
    rows = f"{at.rows:,} of {at.of:,} training rows" if at.rows < at.of else f"all {at.of:,} training rows"
    few = f" The {figures.MOST_LINES} heaviest are drawn." if len(names) > figures.MOST_LINES else ""
    here = store.data.digest(chosen.dataset) == store.runs.run(chosen.trained).source.digest
    whose = "" if here else " These are not the data that the run was trained on."
    show.figure(
        figures.norm_path(found, names, model.config.norm, at.p, chosen.colours),
        f"Solved again for every p, with the run's other options, on {rows}. Near p = 1 few kernels keep a weight; "
        f"at ∞ all weigh the same. Dotted: p of this run.{few}{whose}",
        "; ".join(
            f"p = {figures.norm_word(each.p)}: heaviest {shown(names[int(each.share.argmax())], 40)} with "
            f"{each.share.max():.2f} of the sum"
            for each in found
        ),
        "kernel-path",
        table=figures.norm_table(found, names, model.task.metric),
        name=f"kernel weights against p of {chosen.run}",
    )


def _each_output(chosen: Selection, model: Fusion, at: AtNorm) -> None:
    names, outputs = weights(model).names, model.task.names
    heaviest = at.beta.argmax(0).tolist()
    show.figure(
        figures.weight_map(at.beta, names, outputs, chosen.colours),
        f"Every class or target has weights of its own here; at p = {figures.norm_word(at.p)}.",
        "; ".join(
            f"{shown(outputs[o], 24)}: heaviest {shown(names[heaviest[o]], 40)}" for o in range(len(outputs[:12]))
        ),
        "kernel-weights-each",
        table={"kernel": [shown(name, 60) for name in names]}
        | {shown(name, 30): at.beta[:, o].round(4) for o, name in enumerate(outputs)},
        name=f"kernel weights by output of {chosen.run}",
    )


def solutions(chosen: Selection, model: Fusion) -> list[AtNorm]:
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


def pick(found: list[AtNorm], own: float) -> str:
    """The p whose numbers are shown; the link holds it."""
    words = "At 1 few kernels keep a weight; ∞ is the plain sum of all kernels."
    options = [figures.norm_word(each.p) for each in found]
    return str(
        st.select_slider(
            "p, norm of the weights", options, figures.norm_word(own), key="kernel_p", bind="query-params", help=words
        )
    )


def numbers(chosen: Selection, at: AtNorm, own: AtNorm) -> None:
    """The metric at the chosen p beside the run's, how many kernels count, and how exact the solution is."""
    metric, share = store.runs.run(chosen.trained).metric, at.share[at.share > 0]
    by = None if at.p == own.p or np.isnan(at.value - own.value) else moved(at.value - own.value, metric)
    count = f"{np.exp(-(share * np.log(share)).sum()):.1f} of {len(at.share)}"
    words = "exp of the entropy of β / sum β: as many equal kernels would be as uneven."
    rounds = f"{at.rounds} round{'s' * (at.rounds > 1)}"
    with st.container(horizontal=True):
        beside = by and f"{by} to p = {figures.norm_word(own.p)}"
        st.metric(f"{METRIC_WORDS[metric]}, solved again", told(at.value, metric, "none"), beside, border=True)
        st.metric("kernels that count", count, border=True, help=words)
        st.metric("duality gap", f"{at.gap:.0e}", rounds, delta_color="off", delta_arrow="off", border=True)


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
    how_many = f"{len(seen.rows):,} of {len(part):,}" if len(seen.rows) < len(part) else f"all {len(part):,}"
    separated = not np.isnan(seen.chance)
    apart = (
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
        f"Kernel PCA of {how_many} rows of the test part: each kernel's two directions of largest variance. {apart} "
        f"Click a point to choose its row.{missing}{few}",
        "; ".join(
            f"{shown(seen.panels[at].name, 40)}: separation {figures.number(seen.panels[at].separation, 3)}, "
            f"{seen.panels[at].shares.sum():.0%} of the variance on the two directions"
            for at in drawn
        ),
        "kernel-panels",
        colours=None,
        table=figures.panel_table(seen, beta),
        name=f"kernel PCA of {chosen.run}",
        pointed=rows.pointed(chosen.dataset),
    )


def reached(chosen: Selection, model: Fusion) -> None:
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
        table=figures.gap_table(history),
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
        table=figures.panel_table(seen, seen.beta),
        name=f"usefulness of the kernels of {chosen.run}",
    )

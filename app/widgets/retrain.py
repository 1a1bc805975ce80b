"""Retrain with these settings: α and k from the sliders, λ, P, Q from the run, the highest powers from the operator.

The job is found again by the run it began with, or the run that came out: so it outlives a page change and a reload,
and the answer still stands there when the new run is looked at.
"""

import time
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.store.keys import DataKey, RunKey
from app.widgets import training
from app.widgets.jobs import clock, listed, state, stop_or_hide, watched
from core import jobs
from core.explain.lego import shape_of
from core.fusion import FUSIONS
from core.measure.metrics import show
from core.recipe import options_of
from core.run import Run
from core.sample import METRIC_WORDS
from core.score.changes import Changes

KNOBS = ("alpha", "k", "lam", "P", "Q")
KEPT = 3600.0  # seconds for which an answer stands below the button
LOOK = 0.5  # seconds between two looks at a job at work


def offer(chosen: Selection, changes: str = "") -> None:
    """The button with its form, and below it how the last retraining of this run goes or went."""
    if chosen.run is None or store.data.samples(chosen.dataset) is not None:
        return
    run = store.runs.run(chosen.run)
    if not set(KNOBS) <= set(options_of(FUSIONS[run.fusion].Config)):
        st.caption(
            f"{markdown_text(run.title)} has no α, k, λ, P, Q to train with; the page *Train & sweep* trains it."
        )
        return
    if refused := st.session_state.pop("train-refused", None):
        st.error(markdown_text(refused, 900), icon=":material/block:")
    with st.popover("Retrain with these settings", icon=":material/model_training:"):
        _form(chosen, run, changes)
    if _job(chosen.run) is not None:
        watched(training.KINDS, lambda: _strip(chosen), LOOK)


def tops(run: Run, name: RunKey, changes: str) -> dict[str, int]:
    """P and Q as they are: the highest powers that the operator page has left on, else those of the run."""
    found = {knob: int(run.config[knob]) for knob in ("P", "Q")}
    if changes:
        given = Changes.read(changes, shape_of(store.models.model(name)))
        found |= {knob: given.tops[axis] for axis, knob in enumerate(("P", "Q")) if axis in given.tops}
    return found


def _form(chosen: Selection, run: Run, changes: str) -> None:
    known = options_of(FUSIONS[run.fusion].Config)
    now: dict[str, Any] = {"alpha": chosen.alpha, "k": chosen.k, "lam": float(run.config["lam"])}
    now |= tops(run, chosen.trained, changes)
    st.caption("One seed, the run's own; all else as it was trained. The sliders' α and k are filled in.")
    mark = "-".join(map(str, [chosen.run, *now.values()]))  # moved sliders fill the form anew
    asked: dict[str, Any] = {}
    for start in (0, 3):
        with st.container(horizontal=True):
            for name in KNOBS[start : start + 3]:
                given: dict[str, Any] = {"key": f"retrain-{name}-{mark}", "help": known[name].help, "width": 130}
                label = {"alpha": "α", "lam": "λ"}.get(name, name)
                asked[name] = training.number(known[name], now[name], label=f"New {label}", **given)
    same = {name: value for name, value in asked.items() if value != run.config[name]}
    words = ", ".join(f"{name} {run.config[name]:g} → {value:g}" for name, value in same.items())
    st.caption(f"Against the run: {words}" if same else "Nothing differs from the run yet.")
    st.button(
        "Retrain",
        type="primary",
        icon=":material/play_arrow:",
        key="retrain",
        disabled=not same,
        on_click=_start,
        args=(chosen.dataset, chosen.run, asked),
    )


def _start(key: DataKey, name: RunKey, asked: dict[str, Any]) -> None:
    run = store.runs.run(name)
    words = ", ".join(f"{knob} {value:g}" for knob, value in asked.items() if value != run.config[knob])
    recipe = run.recipe.plain()
    training.start(key, {**recipe, "options": {**recipe["options"], **asked}}, name, f"{run.title} with {words}")


def _job(name: str) -> jobs.Job | None:
    """The newest training that began with this run or gave it, of the last hour."""
    for job in listed(training.KINDS):
        recent = job.active or time.time() - job.finished < KEPT
        if recent and (job.arguments.get("beside") == name or name in job.result.split()):
            return job
    return None


def _strip(chosen: Selection) -> None:
    job = _job(chosen.trained)
    if job is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container():
                state(job, training.outcome(job))
                if said := clock(job):
                    st.caption(said)
            new, old = RunKey(next(iter(job.result.split()), "")), RunKey(job.arguments.get("beside") or "")
            ready = job.state == "done" and new in store.runs.runs(chosen.dataset)
            if ready and new != chosen.run:
                _choose("Look at the new run", new, type="primary")
            elif ready and old in store.runs.runs(chosen.dataset) and old != chosen.run:
                _choose("Back to the old run", old)
            stop_or_hide(job)
        if ready and old in store.runs.runs(chosen.dataset) and old != new:
            st.dataframe(
                comparison(chosen, [("old", old), ("new", new)]),
                hide_index=True,
                alt="the old run and the new one side by side",
            )


def _choose(label: str, name: RunKey, **options: Any) -> None:
    if st.button(label, key=f"to-{name}", on_click=selection.put, kwargs={"run": name}, **options):
        st.rerun()  # the sidebar lies outside of what is drawn anew


def comparison(chosen: Selection, pairs: Sequence[tuple[str, RunKey]]) -> pd.DataFrame:
    """Quality and eq. 7's two variances of runs, each at the α and k it was trained with, on the clips looked at."""
    rows = []
    for called, name in pairs:
        run = store.runs.run(name)
        answer = store.graphs.answer(name, chosen.dataset, "", *store.graphs.trained_sliders(name))
        rows.append(
            {
                "run": called,
                **{{"alpha": "α", "lam": "λ"}.get(knob, knob): f"{run.config[knob]:g}" for knob in KNOBS},
                METRIC_WORDS["auc"]: show(run.metrics.get("auc")),
                "AP": show(run.metrics.get("ap")),
                "AUC in anomalous": show(run.metrics.get("auc_anomalous")),
                "degree variance, normal": f"{answer.variance_normal:.3g}",
                "anomalous": f"{answer.variance_anomalous:.3g}",
            }
        )
    return pd.DataFrame(rows)

"""Training from the browser: what is asked for, what stands in its way, and how it goes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.store.keys import DataKey, RunKey
from app.views.train import figures
from app.widgets import show
from app.widgets.jobs import clock, job_root, listed, open_run, state, stop_or_hide, watched
from app.widgets.training import KINDS, beside_of, number, outcome, siblings, start, values_of
from core import jobs
from core.fusion import FUSIONS, title_of
from core.machine.device import device_words
from core.machine.names import shown
from core.recipe import Option, Recipe, fusions, options_of, training_options
from core.run import Run
from core.sample import Task
from core.train import job as work
from core.train.job import Line

SAME = ""  # method: like the chosen run
SYMBOLS = {"alpha": "α (alpha)", "lam": "λ (lam)"}
REGULARISER = ("lam", "alpha", "k", "regulariser")  # LEGO's eq. 7, the knobs of the graphs page
COMMON = ("epochs", "lr", "batch", "supervision")  # of the training; of a method the first `FIRST` are
FIRST = 4
WIDTH = 145  # pixels of an input: the longest name of an option fits
LISTED = 8


# ---------------------------------------------------------------------------- what is asked for


def form(chosen: Selection) -> None:
    """Everything a training may be told, prefilled from the chosen run; what it would give is said before it starts."""
    data = store.data.data(chosen.dataset)
    task = data.task
    run = store.runs.run(chosen.run) if chosen.run else None
    known = fusions(task)
    if refused := st.session_state.pop("train-refused", None):
        st.error(markdown_text(refused, 900), icon=":material/block:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox(
            "Method",
            [*([SAME] if run else []), *known],
            key="method",
            bind="query-params",
            format_func=lambda name: title_of(name) if name or run is None else f"like {shown(run.title, 80)}",
            help="Begin with the options of the run chosen in the sidebar, or with a method's defaults.",
        )
        seeds = int(st.number_input("Seeds", 1, work.MOST_SEEDS, 3, key="seeds", bind="query-params", width=130))
    like = run if method == SAME else None
    base = _base(method or known[0], like)
    mark = hashlib.sha256(json.dumps([chosen.dataset, base.plain()], sort_keys=True).encode()).hexdigest()[:8]
    fusion = FUSIONS[base.fusion]

    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = [name for name in base.modalities if name in data.widths] or list(data.modalities)
        modalities = st.multiselect(
            "Modalities, in this order", list(data.modalities), wanted, key=f"modalities-{mark}"
        )
        protocol = None
        if len(data.splits) > 1:
            at = next((place for place, name in enumerate(data.splits) if name == base.protocol), 0)
            protocol = st.selectbox("Split", list(data.splits), at, key=f"split-{mark}", format_func=shown)
    every, now = options_of(fusion.Config), base.settings
    eq7 = [option for name, option in every.items() if name in REGULARISER] if "regulariser" in every else []
    own = [option for option in every.values() if option not in eq7]
    values = _fields(f"{title_of(base.fusion)}'s own", own, now, mark, [option.name for option in own[:FIRST]])
    values |= _fields("Regulariser", eq7, now, mark, REGULARISER)
    training = _fields("Training", training_options(fusion, task), now, mark, COMMON)
    asked = {"fusion": base.fusion, "options": values, "training": training, "seeds": list(range(seeds))}
    _start(chosen, {**asked, "protocol": protocol, "modalities": modalities, "device": _device()}, like)


def _base(method: str, like: Run | None) -> Recipe:
    """What the form begins with; a run whose record names what cannot be gives the method's defaults."""
    try:
        return like.recipe if like else Recipe(method)
    except ValueError as refused:
        st.warning(markdown_text(refused, 600), icon=":material/edit:")
        return Recipe(method if like is None else like.fusion)


def _fields(
    title: str, known: Sequence[Option], now: Mapping[str, Any], mark: str, common: Sequence[str]
) -> dict[str, Any]:
    """The options' inputs; those that are not common, and are not set apart from their defaults, are folded away."""
    if not known:
        return {}
    st.markdown(f"**{title}**")
    first = [o for o in known if o.name in common]
    rest = [o for o in known if o.name not in common]
    found = _grid(first, now, mark)
    if rest:
        moved = sum(o.name in now and now[o.name] != o.default for o in rest)
        said = f"{len(rest)} more" + (f", {moved} not as usual" if moved else "")
        with st.expander(said):
            found |= _grid(rest, now, mark)
    return {option.name: found[option.name] for option in known}


def _grid(known: Sequence[Option], now: Mapping[str, Any], mark: str) -> dict[str, Any]:
    found = {}
    with st.container(horizontal=True):  # as many beside each other as the window has room for
        for option in known:
            with st.container(width=WIDTH):
                found[option.name] = _input(option, now.get(option.name, option.default), f"{mark}-{option.name}")
    return found


def _input(option: Option, value: Any, key: str) -> Any:
    """One option's input, of the kind its type asks for."""
    label, said = SYMBOLS.get(option.name, option.name), markdown_text(option.help, 400)
    if option.kind == "bool":
        return st.toggle(label, bool(value), key=key, help=said)
    if option.kind == "word":
        return st.selectbox(label, option.choices, option.choices.index(value), key=key, help=said)
    if option.kind == "text":
        return st.text_input(label, str(value), key=key, help=said, max_chars=200)
    others = [*option.choices, *([None] if option.optional else [])]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if others:
        names: dict[str | None, str] = {None: "none"} | {word: word for word in option.choices}
        picked = st.selectbox(
            label,
            ["number", *(names[other] for other in others)],
            0 if is_number else 1 + others.index(value),
            key=f"{key}-kind",
            help=said,
        )
        if picked != "number":
            return next(other for other in others if names[other] == picked)
    usual = value if is_number else option.default if isinstance(option.default, (int, float)) else 16
    hidden = (
        {"label": f"{label}: number", "label_visibility": "collapsed"} if others else {"label": label, "help": said}
    )
    return number(option, usual, key=key, **hidden)


def _device() -> str:
    """Where it will run, said in a badge; asked only where there is a choice."""
    name = store.server.device()
    if name == "CPU":
        return "cpu"
    return "cuda" if st.toggle(f"On {shown(name, 60)}", True, key="device", bind="query-params") else "cpu"


def _start(chosen: Selection, asked: Mapping[str, Any], like: Run | None) -> None:
    """What will come out, or why nothing would, and the button."""
    try:
        recipe = Recipe.read(asked)
        plan = work.planned(recipe, store.data.data(chosen.dataset))
        work.afford(recipe, store.data.data(chosen.dataset))
    except ValueError as refused:
        st.warning(markdown_text(refused, 600), icon=":material/edit:")
        plan = ()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            key="start",
            disabled=not plan,
            on_click=_clicked,
            args=(chosen.dataset, asked, chosen.run if like else None),
        )
        st.badge(markdown_text(device_words(asked["device"]), 60), icon=":material/memory:", color="gray")
        if plan:
            there = [run.seed for run in plan if run.id in store.keys.all_runs()]
            words = f"{plan[0].weights:,} weights" if plan[0].weights else "solved, not trained by steps"
            if there:
                one = len(there) == 1
                said = f"{'seed' if one else 'seeds'} {', '.join(map(str, there))} {'was' if one else 'were'}"
                words += f"; {said} trained already"
            st.markdown(words)


def _clicked(key: DataKey, asked: Mapping[str, Any], beside: str | None) -> None:
    job = start(key, asked, beside)
    if job is not None:
        st.session_state["job"] = job.id


# ---------------------------------------------------------------------------- how it goes


def trainings(chosen: Selection) -> None:
    """The jobs, newest first: the one that is looked at with its curves, the others in a line each."""
    found = listed(KINDS)
    st.header("Trainings", anchor=False)
    if not found:
        st.info("Nothing was trained from here yet. Choose a method and its options, and start.")
        return
    titles = {job.id: shown(job.title, 120) for job in found}
    st.selectbox(
        "Look at", list(titles), key="job", bind="query-params", format_func=lambda name: titles.get(name, "")
    )  # fmt: skip
    watched(KINDS, lambda: _trainings(chosen))


def _trainings(chosen: Selection) -> None:
    found = listed(KINDS)
    first = next((job for job in found if job.id == st.session_state.get("job")), None) or next(iter(found), None)
    if first is None:
        return
    with st.container(border=True):
        card(first)
        progress(first, chosen)
    rest = [job for job in found if job.id != first.id]
    for job in rest[:LISTED]:
        with st.container(border=True):
            card(job)
    if len(rest) > LISTED:
        st.caption(f"and {len(rest) - LISTED} earlier ones, in the list above")


def card(job: jobs.Job) -> None:
    """One job in a line: where it stands, what came out, and what can be done with it."""
    state(job, outcome(job))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        results(job)
        stop_or_hide(job)
        if said := clock(job):
            st.caption(said, width="content")


def results(job: jobs.Job) -> None:
    """Buttons that open what came out, everywhere."""
    key, names = DataKey(job.arguments.get("key") or ""), job.result.split()
    if job.state != "done" or key not in store.keys.datasets() or not names or names[0] not in store.runs.runs(key):
        return
    pages = {"overview": "Overview", "graphs": "Graphs", "clips": "Clips"}
    if store.data.samples(key) is not None:
        pages = {"overview": "Overview", "thresholds": "Threshold"}
    for page, label in pages.items():
        open_run(key, RunKey(names[0]), page, label, job.id)


def progress(job: jobs.Job, chosen: Selection) -> None:
    """Loss and metric of every seed that has begun."""
    lines: list[Line] = [line for line in work.lines(job_root() / job.id) if line.epochs]
    if not lines:
        if job.state == "done":
            st.caption("Nothing had to be trained: the runs lay on disk.")
        return
    old, metric = beside_of(job), lines[0].name
    seeds = {line.seed for line in lines}
    theirs = [name for name in siblings(old) if store.runs.run(name).seed in seeds] if old else []
    known = [value for value in values_of(theirs, metric) if value is not None]
    show.figure(
        figures.curves(lines, chosen.colours, sum(known) / len(known) if known else None),
        "Left the loss of every epoch, right what the test part says with the weights as they are then. "
        "The last epoch counts; the curve is for watching, never for choosing."
        + (" Dotted: the run it began with, the same seeds." if known else ""),
        figures.curve_sentence(lines),
        f"curves-{job.id}",
        table=None if job.active else figures.curve_table(lines),
        name=f"training {job.id}",
    )


def task_words(task: Task) -> str:
    return {"units": "unit scores of clips", "class": "classes of samples", "real": "real targets of samples"}[
        task.kind
    ]

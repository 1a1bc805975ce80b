"""Sweeps on the train page: ask for one, watch it fill, look into its cells, open one of them in every page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.operator import operator_matrix, operator_sentence, plane
from app.figures.style import markdown_text, plotly_config
from app.state import selection
from app.state.selection import Selection
from app.store.keys import DataKey, SweepKey
from app.views.train import sweep_figures as figures
from app.views.train import sweep_form
from app.widgets import show
from app.widgets.jobs import job_root
from app.widgets.paging import height
from core import jobs
from core import sweep as core
from core.machine.names import shown
from core.sweep import WORDS, Cell, Plan, Results, Row

EVERY = 2.0  # seconds between two looks at a sweep at work
MOST_POINTED = 200  # cells that tell of their A when they are pointed at
MOST_OPERATORS = 150  # cells whose learned A are drawn beside each other
BEST = "the best"
UNWRITTEN = "it could not be written to disk"


def draw(chosen: Selection) -> None:
    """The whole tab."""
    known = store.sweeps.sweeps(chosen.dataset)
    with st.expander("A new sweep", icon=":material/add:", expanded=not known):
        sweep_form.ask(chosen, _start)
    if refused := st.session_state.pop("sweep-refused", None):
        st.error(markdown_text(refused, 900), icon=":material/block:")
    _removed(chosen)
    if not known:
        st.info("No sweep of this dataset yet. Choose options and their values above, and start one.")
        return
    titles = {name: _title(sweep) for name, sweep in known.items()}
    st.selectbox(
        "Sweep", list(known), key="sweep", bind="query-params", format_func=lambda one: shown(titles[one], 200)
    )
    name = SweepKey(st.session_state["sweep"])
    active = _job(name) is not None
    st.fragment(run_every=EVERY if active else None)(_look)(name, active, chosen)


def _title(sweep: core.Sweep) -> str:
    return f"{sweep.title} · {sweep.id[-4:]}"


def _job(name: SweepKey) -> jobs.Job | None:
    """The job that is at work on the sweep or will be."""
    place = str(store.sweeps.sweeps_root() / name)
    return next((job for job in jobs.listing(job_root()) if job.active and job.arguments.get("sweep") == place), None)


# ---------------------------------------------------------------------------- start, go on, remove, put back


def _start(key: DataKey, plan: Plan) -> None:
    try:
        root = core.begin(plan, store.data.data(key), store.sweeps.sweeps_root())
    except ValueError as refused:
        st.session_state["sweep-refused"] = str(refused)
        return
    st.session_state["sweep"] = root.name
    _resume(key, SweepKey(root.name))


def _resume(key: DataKey, name: SweepKey) -> None:
    if _job(name) is None:
        root = store.sweeps.sweeps_root() / name
        given = {"sweep": str(root), "dataset": str(store.keys.datasets()[key].resolve())}
        jobs.submit(job_root(), "sweep", core.read(root).title, given)


def _remove(name: SweepKey) -> None:
    try:
        if _job(name) is not None:
            raise ValueError("a job is at work on this sweep or waits for it; stop it first")
        core.remove(store.sweeps.sweeps_root() / name)
    except (ValueError, OSError) as refused:
        st.session_state["sweep-refused"] = str(refused) if isinstance(refused, ValueError) else UNWRITTEN


def _removed(chosen: Selection) -> None:
    """What was thrown away lately of this dataset, each with the way back."""
    for ticket, name, title in store.sweeps.removed_sweeps(chosen.dataset):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Sweep *{markdown_text(title, 200)}* was removed.", width="content")
            st.button("Put it back", key=f"back-{ticket}", type="tertiary", icon=":material/undo:",
                      on_click=_put_back, args=(ticket, name))  # fmt: skip


def _put_back(ticket: str, name: str) -> None:
    try:
        store.keys.workspace().put_back(ticket)
    except (ValueError, OSError) as refused:
        st.session_state["sweep-refused"] = str(refused) if isinstance(refused, ValueError) else UNWRITTEN
        return
    st.session_state["sweep"] = name


# ---------------------------------------------------------------------------- look at one


def _look(name: SweepKey, active: bool, chosen: Selection) -> None:
    """Everything about one sweep; drawn anew every two seconds while it is at work."""
    gone = not (store.sweeps.sweeps_root() / name / "sweep.json").is_file()
    if st.session_state.pop("sweep-opened", False) or (_job(name) is not None) != active or gone:
        st.rerun()  # the sidebar lists the runs that were opened; or the clock can stop; or it was just removed
    found, weighed = store.sweeps.sweep_results(name)
    plan = found.sweep.plan
    _status(name, found, chosen)
    if not found.done:
        st.info("No training is done yet; the figures fill as they come.")
        return
    labels = {_label(found, row): row for row in found.rows if row.tried}
    left, right = st.columns([3, 2], gap="medium")
    with right:
        picked = st.selectbox(
            "Cell", [BEST, *labels], key="cell", bind="query-params",
            help="Click a cell of the figure, or choose it here.",
        )  # fmt: skip
    row = labels[picked] if picked in labels else found.best or next(iter(labels.values()))
    with left:
        if len(plan.axes) > 1:
            axes, rest = _across(found, row.cell)
            _surface(name, found, axes, rest, row.cell, chosen)
        else:
            _lines(found, chosen)
    with right:
        _cell(name, found, row, chosen)
    tabs: dict[str, Any] = {}
    if len(plan.axes) > 1:
        tabs["One line an option"] = lambda: _lines(found, chosen)
    if plan.fusion == "lego" and len(plan.axes) > 1:
        tabs["Learned A of every cell"] = lambda: _operators(name, found, axes, rest, row.cell, chosen)
    tabs["What matters"] = lambda: _importance(found, weighed, chosen)
    tabs["Table"] = lambda: _table(name, found)
    for tab, fill in zip(
        st.tabs(list(tabs), key="below_sweep", on_change="rerun", bind="query-params"), tabs.values(), strict=True
    ):
        with tab:
            if tab.open:
                fill()


def _word(metric: str) -> str:
    """The metric at the beginning of a sentence."""
    return WORDS[metric][0].upper() + WORDS[metric][1:]


def _label(found: Results, row: Row) -> str:
    return core.told(found.sweep.plan.names, row.cell)


def _status(name: SweepKey, found: Results, chosen: Selection) -> None:
    """Where the sweep stands, with its buttons."""
    job = _job(name)
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container():
            words = f"**{found.done:,} of {found.total:,} trainings** · every number is measured {found.sweep.judged}"
            if job is None:
                icon = ":material/check_circle:" if found.complete else ":material/pause_circle:"
                st.markdown(f"{icon} {words}")
                if not found.complete and (last := _last(name)) is not None and last.state == "failed":
                    st.caption(f"It stopped: {markdown_text(last.message, 600)}")
            elif job.state == "queued":
                before = jobs.waiting(job_root(), job)
                st.markdown(
                    f":material/schedule: {words} · waits; {before} {'job is' if before == 1 else 'jobs are'} before it"
                )
            else:
                st.progress(found.done / max(1, found.total) if job.progress == 0 else job.progress,
                            f"{words} · {markdown_text(job.message, 120)}")  # fmt: skip
        if job is not None:
            st.button("Stop", key="sweep-stop", on_click=jobs.cancel, args=(job_root(), job.id), icon=":material/stop:")
            return
        if not found.complete:
            st.button("Go on", key="sweep-resume", type="primary", icon=":material/play_arrow:",
                      on_click=_resume, args=(chosen.dataset, name))  # fmt: skip
        with st.popover("Remove", icon=":material/delete:"):
            st.markdown(f"Its {found.done:,} runs go with it; for a week it can be put back. Opened runs stay.")
            if st.button("Remove this sweep", key="sweep-remove", on_click=_remove, args=(name,)):
                st.rerun()


def _last(name: SweepKey) -> jobs.Job | None:
    place = str(store.sweeps.sweeps_root() / name)
    return next((job for job in reversed(jobs.listing(job_root())) if job.arguments.get("sweep") == place), None)


def _across(found: Results, cell: Cell) -> tuple[tuple[str, str], Mapping[str, Any]]:
    """(options of the figure's sides, values of the others): of more than two axes, those of the chosen cell."""
    plan = found.sweep.plan
    axes = (plan.names[0], plan.names[1])
    if len(plan.axes) > 2:
        pairs = {f"{a} x {b}": (a, b) for at, a in enumerate(plan.names) for b in plan.names[at + 1 :]}
        drawn = st.segmented_control(
            "Drawn over", list(pairs), default=next(iter(pairs)), required=True, key=f"sweep-across-{found.sweep.id}"
        )
        axes = pairs.get(str(drawn), axes)
    settings = dict(zip(plan.names, cell, strict=True))
    return axes, {name: value for name, value in settings.items() if name not in axes}


def _strongest(name: SweepKey, found: Results, row: Row) -> str:
    """What is strongest in a cell's learned A, "" where there is none or there are too many cells to look into."""
    if found.sweep.plan.fusion != "lego" or not row.runs or len(found.rows) > MOST_POINTED:
        return ""
    A = store.sweeps.swept_operator(name, row)
    return "" if A is None else figures.strongest(A, [shown(axis, 24) for axis in found.sweep.source.widths])


def _surface(
    name: SweepKey, found: Results, axes: tuple[str, str], rest: Mapping[str, Any], cell: Cell, chosen: Selection
) -> None:
    metric, best = found.sweep.metric, found.best
    known = sum(row.n > 0 for row in found.rows)
    says = f"{_word(metric)} of every cell, mean over seeds, {found.sweep.judged}. "
    if rest:
        says += f"Here {markdown_text(core.told(list(rest), tuple(rest.values())))}, as in the chosen cell. "
    if best is not None and found.close:
        says += (
            f"Best is {markdown_text(_label(found, best))}; {len(found.close) - 1} of the other {known - 1} cells lie "
            f"within the seeds' spread of it ({found.spread:.2g}, the larger of the best and of the middle cell)"
            + (": no single cell stands out." if len(found.close) > 1 else ".")
        )
    elif best is not None:
        says += f"Best is {markdown_text(_label(found, best))}; one seed says nothing about what is as good."

    def clicked() -> None:
        points = st.session_state["sweep-surface"]["selection"]["points"]
        at = next((point["customdata"] for point in points if "customdata" in point), None)
        at = at[0] if isinstance(at, list) else at
        if at is not None:
            st.session_state["cell"] = _label(found, found.rows[int(at)])

    learned = {at: said for at, row in enumerate(found.rows) if (said := _strongest(name, found, row))}
    if learned:
        says += " Point at a cell to see what is strongest in its learned A, click it to see all of it."
    show.figure(
        figures.surface(found, axes, rest, cell, chosen.colours, learned),
        says,
        figures.surface_sentence(found),
        "sweep-surface",
        name=f"sweep {found.sweep.id}",
        on_select=clicked,
        selection_mode="points",
    )


def _lines(found: Results, chosen: Selection) -> None:
    drawn = core.lines(found)
    plan, metric = found.sweep.plan, found.sweep.metric
    others = " averaged over the other options" if len(plan.axes) > 1 else ""
    band = (
        "The band is one standard deviation over seeds either way. " if plan.seeds > 1 else "One seed has no spread. "
    )
    show.figure(
        figures.axis_lines(drawn, metric, found.sweep.judged, chosen.colours),
        f"{_word(metric)} against each option{others}. {band}The star is the highest mean.",
        figures.line_sentence(drawn, metric),
        "sweep-lines",
        table=figures.line_table(drawn),
        name=f"options of sweep {found.sweep.id}",
    )


def _cell(name: SweepKey, found: Results, row: Row, chosen: Selection) -> None:
    """The chosen cell's numbers, its learned A, and the way to open it everywhere."""
    metric = found.sweep.metric
    best = found.best is not None and row.cell == found.best.cell
    with st.container(horizontal=True):
        st.metric(f"{WORDS[metric]}, {found.sweep.judged}", figures.number(row.mean, metric), border=True)
        st.metric("sd over seeds", figures.number(row.sd, metric), border=True)
    close = row.cell in {one.cell for one in found.close}
    values = ", ".join(f"seed {seed}: {figures.number(value, metric)}" for seed, value in row.values.items())
    st.caption(
        f"**{markdown_text(_label(found, row))}** · {row.weights:,} weights · {values}"
        + (" · the best cell" if best else " · within the seeds' spread of the best" if close else "")
    )
    for seed, why in row.failed.items():
        st.caption(f":material/error: Seed {seed} came to nothing: {markdown_text(why, 300)}.")
    if not row.runs:
        return
    A = store.sweeps.swept_operator(name, row)
    if A is not None and A.ndim >= 2:
        axes = list(found.sweep.source.widths)
        rest = tuple(min(1, size - 1) for size in A.shape[2:])
        drawn = operator_matrix(plane(A, rest), (axes[0], axes[1]), chosen.colours, reach=max(14, 180 // max(A.shape)))
        if max(A.shape) > 6:  # in half a page the numbers would touch; they are said when pointed at
            drawn.update_traces(texttemplate="", selector={"type": "heatmap"})
        st.plotly_chart(
            drawn, key="sweep-operator", theme=None, alt=operator_sentence(A, axes), width="stretch",
            config=plotly_config(f"A of {found.sweep.id} {_label(found, row)}", chosen.picture),
        )  # fmt: skip
        st.caption(f"Its learned A, the mean over {len(row.runs)} {'seed' if len(row.runs) == 1 else 'seeds'}.")

    def opened() -> None:
        try:
            names = core.promote(store.sweeps.sweeps_root() / name, row, store.keys.workspace().runs)
        except (ValueError, OSError) as refused:
            st.session_state["sweep-refused"] = str(refused) if isinstance(refused, ValueError) else UNWRITTEN
            return
        selection.put(run=names[0])
        st.session_state["sweep-opened"] = True

    own = set(row.runs.values()) <= set(store.keys.all_runs())
    st.button(
        "Choose its run in every page" if own else "Open its run in every page", key="sweep-open", on_click=opened,
        icon=":material/open_in_new:",
        help="Copies the cell's runs to the trained runs and chooses the first of them.",
    )  # fmt: skip
    if found.sweep.plan.judge == "held-out":
        st.caption("Its runs were trained without the clips held out; other pages score them on the test part.")


def _operators(
    name: SweepKey, found: Results, axes: tuple[str, str], rest: Mapping[str, Any], cell: Cell, chosen: Selection
) -> None:
    """Figure 5's lower row for every cell."""
    plan = found.sweep.plan
    values = plan.axes[axes[0]], plan.axes[axes[1]]
    drawn: dict[tuple[int, int], np.ndarray] = {}
    for row in found.rows:
        settings = dict(zip(plan.names, row.cell, strict=True))
        if row.runs and all(settings[one] == value for one, value in rest.items()) and len(drawn) < MOST_OPERATORS:
            A = store.sweeps.swept_operator(name, row)
            if A is not None and A.ndim >= 2:
                drawn[figures.place(settings[axes[0]], values[0]), figures.place(settings[axes[1]], values[1])] = plane(
                    A, tuple(min(1, size - 1) for size in A.shape[2:])
                )
    if not drawn:
        st.info("No cell has a learned A yet.")
        return
    settings = dict(zip(plan.names, cell, strict=True))
    at = figures.place(settings[axes[0]], values[0]), figures.place(settings[axes[1]], values[1])
    first, second = list(found.sweep.source.widths)[:2]
    show.figure(
        figures.operator_map(drawn, axes, values, at, chosen.colours),
        f"The learned A of every cell, mean over seeds, on one colour scale: within a small matrix rows are powers of "
        f"{markdown_text(first)}, columns powers of {markdown_text(second)}, from I on. Orange: the chosen cell.",
        f"learned operators of {len(drawn)} cells; weights from {min(float(A.min()) for A in drawn.values()):.3f} to "
        f"{max(float(A.max()) for A in drawn.values()):.3f}",
        "sweep-operators",
        name=f"operators of sweep {found.sweep.id}",
    )


def _importance(found: Results, weighed: core.Importance | None, chosen: Selection) -> None:
    if weighed is None:
        st.info(f"Shares need {core.LEAST} cells or more that differ.")
        return
    how = (
        "Exact, from every cell of the grid." if weighed.exact
        else f"Of a random forest fitted to the {weighed.cells:,} cells that are done, read off over the whole grid."
    )  # fmt: skip
    noise = sum(effect.noise for effect in weighed.effects)
    chance = "" if np.isnan(noise) else (
        f" With {found.sweep.plan.seeds} seeds, their spread alone would make {100 * min(noise, 1):.0f} % of that "
        "variance, divided as the marks show: a share near its mark says nothing."
    )  # fmt: skip
    show.figure(
        figures.importance_bars(weighed, chosen.colours),
        "How much of the variance between cells each option makes by itself, and pairs beyond that (functional "
        f"analysis of variance; shares add up to 100 %). {how}{chance}",
        "; ".join(f"{' x '.join(e.names)} {100 * e.share:.1f} %" for e in weighed.effects),
        "sweep-importance",
        table=figures.importance_table(weighed),
        name=f"importance in sweep {found.sweep.id}",
    )


def _table(name: SweepKey, found: Results) -> None:
    learned = {row.cell: said for row in found.rows if (said := _strongest(name, found, row))}
    numbers = figures.cell_table(found, {row.cell for row in found.close}, learned)
    order = sorted((row for row in found.rows if row.tried), key=lambda row: (np.isnan(row.mean), -row.mean))

    def picked() -> None:
        at = selection.picked("sweep-table")
        if at is not None:
            st.session_state["cell"] = _label(found, order[at])

    st.dataframe(
        numbers, key="sweep-table", on_select=picked, selection_mode="single-row", hide_index=True,
        height=min(360, height(len(numbers))),
        alt=f"{len(numbers)} cells, best first; a row that is chosen here is the chosen cell",
    )  # fmt: skip
    st.download_button("CSV", lambda: show.csv(pd.DataFrame(numbers)), f"sweep-{found.sweep.id}.csv", "text/csv",
                       key="sweep-csv", on_click="ignore", icon=":material/table:")  # fmt: skip

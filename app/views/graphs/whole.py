"""A long clip as one window, on the graphs page: communities to open, beside the exact numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.marks import clicked_row
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.graphs import whole_figures as figures
from app.views.library.parts import job_root, told
from app.widgets import show
from app.widgets.controls import TALL, WIDE
from core import jobs
from core.clip import Clip
from core.fusion.base import Fusion
from core.score.communities import LEAF, MOST, Summary
from core.score.whole import ALPHAS, K, Whole, level, refusal

ROOT = "whole clip"
COLUMNS = {
    "unit": st.column_config.NumberColumn(width=52),
    "group": st.column_config.TextColumn(width=48),
    "units": st.column_config.NumberColumn(format="localized", width=56),
    "nearest": st.column_config.TextColumn(width=56, help="The group it is most related to"),
    "from (s)": st.column_config.NumberColumn(format="%.2f"),
    "anomalous": st.column_config.NumberColumn(width=72),
    "alarmed": st.column_config.NumberColumn(width=64),
    "share": st.column_config.NumberColumn(format="percent", width=56),
    "inside": st.column_config.NumberColumn(format="%.3f", width=56, help="Mean relation of two units of the group"),
    "mean degree": st.column_config.NumberColumn(format="%.1f", help="α-gated, to the whole clip"),
    "degree": st.column_config.NumberColumn(format="%.1f", help="α-gated, to the whole clip"),
    "mean relation": st.column_config.NumberColumn(format="%.3f", help="To the whole clip"),
    "as trained": st.column_config.NumberColumn(format="%.3f"),
    "whole clip": st.column_config.NumberColumn(format="%.3f"),
    "its relation": st.column_config.NumberColumn(format="%.3f"),
}


def choose_window(clip: Clip, model: Fusion) -> bool:
    """Whether the clip is looked at as one window; asked only where it is longer than the fusion's window."""
    if model.window is None or clip.units <= model.window:
        return False
    chosen = st.segmented_control(
        "Window",
        ["as trained", ROOT],
        default="as trained",
        required=True,
        key="as_one",
        bind="query-params",
        help=f"A model scores a long clip in windows of the length it was trained on, {model.window} units. As one "
        f"window, all {clip.units:,} units are related to each other.",
    )
    return chosen == ROOT


def page(chosen: Selection, clip: Clip, model: Fusion, changes: str) -> None:
    """Everything below the controls when a clip is one window."""
    run = chosen.trained
    if why := refusal(model):
        st.info(f"This run cannot take a clip as one window: {markdown_text(why, 300)}. Choose **as trained** above.")
        return
    found = store.graphs.whole_clip(run, chosen.dataset, clip.name, changes)
    if found is None:
        _offer(chosen, clip, changes)
        return
    at = level(chosen.alpha)
    scores = store.graphs.unit_scores(run, chosen.dataset, clip.name, changes)
    marked = scores >= chosen.threshold if clip.labels is None else clip.labels.numpy()
    what = "alarmed" if clip.labels is None else "anomalous"
    _cards(found, at)
    _suggest(chosen, found, at)
    path = _breadcrumb(chosen, clip, changes)
    now, members, _ = store.graphs.whole_part(run, chosen.dataset, clip.name, changes, path)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        if len(members) <= LEAF:
            _units(chosen, clip, changes, path, members, marked, what)
        else:
            _communities(chosen, clip, changes, path, now, marked, what)
    with right:
        if len(members) <= LEAF:
            _unit_table(chosen, clip, found, members, marked, scores, what)
        else:
            _group_table(clip, found, now, path, marked, what, at)
    if len(members) > LEAF:
        names = f"{len(now.kinds)} groups over {clip.units:,} units"
        show.figure(
            figures.time_strip(now, path, marked, clip.seconds, chosen.colours),
            "When each group takes place: dark where the units of that time belong to it. Diamonds on top: "
            f"{what} units.",
            names,
            f"whole-strip-{figures.name_of(path)}",
            chosen.colours,
            chosen.picture,
            _strip_table(now, path, clip),
            name=f"communities of {clip.name} over time",
        )
    _degrees(chosen, clip, found, at, marked, what)
    _scores(chosen, clip, found, at, scores)


# ---------------------------------------------------------------------------- before there is a result


def _offer(chosen: Selection, clip: Clip, changes: str) -> None:
    """What it costs, the button that starts the job, and how far the job is."""
    run, n = chosen.trained, clip.units
    file = store.graphs.whole_file(run, chosen.dataset, clip.name, changes)
    mine = [job for job in jobs.listing(job_root()) if job.kind == "whole" and job.arguments.get("out") == str(file)]
    if mine and mine[-1].active:
        st.fragment(run_every=1.0)(_progress)(mine[-1].id)
        return
    if mine and mine[-1].state == "failed":
        st.error(f"It could not be computed: {markdown_text(mine[-1].message, 600)}", icon=":material/block:")
    seconds = store.graphs.whole_seconds(run, chosen.dataset, clip.name)
    st.info(
        f"{n:,} units in one window are {n * (n - 1) // 2:,} pairs. As a table they would take {4e-9 * n * n:,.1f} GB; "
        "they are computed piece by piece instead, in a process of its own, and only what is shown is kept. "
        "You can leave this page meanwhile; the result is stored."
    )
    st.button(
        f"Compute (about {_rounded(seconds)})",
        type="primary",
        on_click=lambda: told(lambda: _start(chosen, clip, changes, file)),
        key="compute-whole",
    )


def _rounded(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _start(chosen: Selection, clip: Clip, changes: str, file: Path) -> None:
    run = chosen.trained
    A = store.graphs.put_in(run, changes)
    given: dict[str, Any] = {
        "dataset": str(store.keys.datasets()[chosen.dataset].resolve()),
        "run": str(store.keys.all_runs()[run].resolve()),
        "clip": clip.name,
        "A": None if A is None else A.tolist(),
        "out": str(file),
    }
    jobs.submit(job_root(), "whole", f"One window of {clip.name}", given)


def _progress(id: str) -> None:
    job = jobs.find(job_root(), id)
    if job is None or not job.active:
        st.rerun()
        return
    before = jobs.waiting(job_root(), job)
    words = f"waits for {before} other {'job' if before == 1 else 'jobs'}" if job.state == "queued" else job.message
    st.progress(job.progress, f"The clip as one window: {markdown_text(words, 120)}")
    st.button("Stop", key="stop-whole", on_click=jobs.cancel, args=(job_root(), job.id))
    if job.state == "queued":
        jobs.ensure(job_root())


# ---------------------------------------------------------------------------- numbers


def _cards(found: Whole, at: int) -> None:
    n, alpha = found.units, ALPHAS[at]
    pairs = n * (n - 1) // 2
    mean = float(found.degrees[:, at].mean())
    with st.container(horizontal=True, gap="small"):
        st.metric("Units", f"{n:,}", border=True, width=WIDE, height=TALL)
        st.metric(
            "Pairs of units",
            f"{pairs:,}",
            border=True,
            width=WIDE,
            height=TALL,
            help="All were computed; none is kept as a table.",
        )
        st.metric(
            f"Pairs ≥ α = {alpha:.2f}",
            f"{found.pairs[at]:,}",
            f"{found.pairs[at] / pairs:.1%} of all" if pairs else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            width=WIDE,
            height=TALL,
            help="Counted exactly, not estimated, at all 101 values of α in one pass.",
        )
        st.metric(
            "Mean degree",
            f"{mean:,.1f}",
            border=True,
            width=WIDE,
            height=TALL,
            help="α-gated weighted degree as in eq. 7: the sum of a unit's relations of at least α, itself included.",
        )
        st.metric(
            "Largest entry of G",
            f"{found.largest:.4g}",
            border=True,
            width=WIDE,
            height=TALL,
            help="Before rescaling. Relations are shown as the head sees them, rescaled as in one window of the run.",
        )


def _suggest(chosen: Selection, found: Whole, at: int) -> None:
    """Where α tells pairs apart, when it does not where it stands."""
    total = found.units * (found.units - 1) // 2
    better = figures.strongest_alpha(found.pairs, total, ALPHAS)
    if better is None or better == ALPHAS[at] or 0 < found.pairs[at] < total:
        return
    none = "No pair" if not found.pairs[at] else "Every pair"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{none} reaches α = {ALPHAS[at]:.2f}, so α tells nothing here.")
        st.button(
            f"α = {better:.2f}: {found.pairs[level(better)] / total:.2%} of the pairs",
            on_click=lambda: selection.put(alpha=better),
            key="suggest-alpha",
        )


def _breadcrumb(chosen: Selection, clip: Clip, changes: str) -> tuple[int, ...]:
    """The community that is open, and the way back; the link holds it."""
    state, owner = st.session_state, f"{chosen.dataset}/{clip.name}/{chosen.run}/{changes}"
    if state.get("part") is None and "part_of" not in state:
        asked = figures.path_of(st.query_params.get("part"))
    else:
        asked = figures.path_of(state.get("part"))
    if state.get("part_of", owner) != owner:
        asked = ()
    state["part_of"] = owner
    _, _, path = store.graphs.whole_part(chosen.trained, chosen.dataset, clip.name, changes, asked)
    state["part"] = figures.name_of(path)
    st.segmented_control(
        "Part of the clip",
        [figures.name_of(path[:depth]) for depth in range(len(path) + 1)],
        key="part",
        required=True,
        bind="query-params",
        help="Click a community in the graph, or select its row, to open it; click here to go back.",
    )
    return path


def _open(path: tuple[int, ...], group: int | None) -> None:
    if group is not None:
        st.session_state["part"] = figures.name_of(path, group)


def _clicked(key: str) -> int | None:
    points = st.session_state[key]["selection"]["points"]
    return clicked_row(points[0].get("customdata")) if points else None


# ---------------------------------------------------------------------------- the graph


def _communities(
    chosen: Selection,
    clip: Clip,
    changes: str,
    path: tuple[int, ...],
    now: Summary,
    marked: np.ndarray,
    what: str,
) -> None:
    _, places = store.graphs.whole_part_drawn(chosen.trained, chosen.dataset, clip.name, changes, path)
    key = f"whole-graph-{figures.name_of(path)}"
    count = len(now.kinds)
    drawn = len(figures.drawn_pairs(now.relations, figures.STRONGEST)[0])
    unit_pairs = len(now.members) * (len(now.members) - 1) // 2
    show.figure(
        figures.summary_graph(now, path, places, marked, chosen.alpha, clip.seconds, what, chosen.colours),
        f"{len(now.members):,} units in {count} groups, found among each unit's {K} strongest relations: "
        f"α moves no node. A line is the mean over **all** pairs of two groups' units; {drawn} of "
        f"{count * (count - 1) // 2} are drawn, "
        f"each group's {figures.STRONGEST} strongest, standing for {unit_pairs:,} pairs of units. Dotted: below "
        f"α = {chosen.alpha:.2f}. Click a group to open it.",
        f"{count} groups; the largest holds {int(now.sizes.max()):,} of {len(now.members):,} units",
        key,
        chosen.colours,
        chosen.picture,
        name=f"communities of {clip.name} {figures.name_of(path)}",
        on_select=lambda: _open(path, _clicked(key)),
        selection_mode="points",
    )


def _units(
    chosen: Selection,
    clip: Clip,
    changes: str,
    path: tuple[int, ...],
    members: np.ndarray,
    marked: np.ndarray,
    what: str,
) -> None:
    graph, places = store.graphs.whole_part_drawn(chosen.trained, chosen.dataset, clip.name, changes, path)
    key = f"whole-graph-{figures.name_of(path)}"
    i, _, strength = figures.drawn_pairs(graph, figures.PER_UNIT)
    m = len(members)
    reached = int((np.triu(graph >= np.float32(chosen.alpha), 1)).sum())

    def clicked() -> None:
        unit = _clicked(key)
        if unit is not None:
            selection.put(time=unit * clip.seconds)

    show.figure(
        figures.unit_graph(
            graph, members, places, marked, chosen.unit(clip), chosen.alpha, clip.seconds, what, chosen.colours
        ),
        f"{m:,} units one by one; {len(i):,} of {m * (m - 1) // 2:,} connections are drawn, each unit's "
        f"{figures.PER_UNIT} strongest here, dotted below α = {chosen.alpha:.2f}. {reached:,} reach α. "
        "Click a unit to choose its moment.",
        f"{m} units, {int(marked[members].sum())} of them {what}; strengths drawn from "
        + (f"{strength[0]:.3f} to {strength[-1]:.3f}" if len(strength) else "none to none"),
        key,
        chosen.colours,
        chosen.picture,
        name=f"units of {clip.name} {figures.name_of(path)}",
        on_select=clicked,
        selection_mode="points",
    )


def _group_table(
    clip: Clip, found: Whole, now: Summary, path: tuple[int, ...], marked: np.ndarray, what: str, at: int
) -> None:
    key = f"whole-groups-{figures.name_of(path)}"
    table = figures.group_table(now, path, marked, found.degrees[:, at], clip.seconds, what)
    st.dataframe(
        table,
        key=key,
        on_select=lambda: _open(path, selection.picked(key)),
        selection_mode="single-row",
        hide_index=True,
        height=min(470, 36 * (len(table) + 1) + 3),
        column_config=COLUMNS,
        alt=f"the {len(table)} groups with their units, share of {what} ones, time and relations",
    )
    st.caption(
        "Select a row to open the group. Groups beyond the "
        f"{MOST} largest are one: *the rest*; units with no relation above 0 among these are one too."
    )


def _unit_table(
    chosen: Selection, clip: Clip, found: Whole, members: np.ndarray, marked: np.ndarray, scores: np.ndarray, what: str
) -> None:
    table = figures.unit_table(
        members,
        marked,
        {
            "as trained": scores,
            "whole clip": found.scores,
            "mean relation": found.means,
            "degree": found.degrees[:, level(chosen.alpha)],
        },
        found.partners,
        found.values,
        clip.seconds,
        what,
    )

    def opened() -> None:
        row = selection.picked("whole-units")
        if row is not None:
            selection.put(time=int(members[row]) * clip.seconds)

    st.dataframe(
        table,
        key="whole-units",
        on_select=opened,
        selection_mode="single-row",
        hide_index=True,
        height=470,
        column_config=COLUMNS,
        alt=f"scores, degrees and nearest units of {len(members)} units",
    )
    st.caption("*Nearest unit* is sought in the whole clip, not only in this part. Select a row to choose its moment.")


def _strip_table(now: Summary, path: tuple[int, ...], clip: Clip) -> pd.DataFrame:
    shares = figures.strip_shares(now, clip.units)
    width = clip.units * clip.seconds / shares.shape[1]
    table = pd.DataFrame(
        (100 * shares.T).round().astype(np.uint8), columns=[figures.name_of(path, g) for g in range(len(shares))]
    )
    table.insert(0, "from (s)", (np.arange(len(table)) * width).round(1))
    return table


# ---------------------------------------------------------------------------- degrees and scores


def _degrees(chosen: Selection, clip: Clip, found: Whole, at: int, marked: np.ndarray, what: str) -> None:
    degrees = found.degrees[:, at]
    left, middle_column, right = st.columns([5, 3, 3], gap="medium")
    with left:
        middle, mean, low, high = figures.binned(degrees)
        show.figure(
            figures.track(degrees, marked, clip.seconds, "degree", what, chosen.colours),
            f"α-gated weighted degree of every unit at α = {ALPHAS[at]:.2f}, in its relation to the whole clip: "
            + ("every unit." if len(middle) == clip.units else f"mean and range of {len(middle)} pieces of time.")
            + f" Diamonds: {what} units.",
            f"degrees from {degrees.min():.1f} to {degrees.max():.1f}, mean {degrees.mean():.1f}",
            "whole-degrees",
            chosen.colours,
            chosen.picture,
            {
                "from (s)": ((middle + 0.5) * clip.seconds).round(1),
                "mean": mean.round(3),
                "least": low.round(3),
                "largest": high.round(3),
            },
            name=f"degrees of {clip.name} as one window",
        )
    with right:
        total = found.units * (found.units - 1) // 2
        show.figure(
            figures.pair_curve(found.pairs, total, ALPHAS, chosen.alpha, chosen.colours),
            "How many of all pairs reach α, counted exactly at every value the slider has.",
            f"at α = {ALPHAS[at]:.2f} {found.pairs[at]:,} of {total:,} pairs",
            "whole-pairs",
            chosen.colours,
            chosen.picture,
            {"α": ALPHAS.round(2), "pairs": found.pairs},
            name=f"pairs of {clip.name} by alpha",
        )
    with middle_column:
        drawn, table = figures.degree_histogram(degrees, marked, what, chosen.colours)
        show.figure(
            drawn,
            "The same degrees counted: how many units have which.",
            f"{len(table)} ranges; the fullest holds {int(table['units'].max()):,} of {clip.units:,} units",
            "whole-histogram",
            chosen.colours,
            chosen.picture,
            table.round(2),
            name=f"degree distribution of {clip.name}",
        )


def _scores(chosen: Selection, clip: Clip, found: Whole, at: int, scores: np.ndarray) -> None:
    labels = None if clip.labels is None else clip.labels.numpy()
    table = figures.score_table(
        {
            "as trained: windows one after another": scores,
            "whole clip: trained head on whole rows (ours)": found.scores,
            "low mean relation to the clip": -found.means,
            f"low degree at α = {ALPHAS[at]:.2f}": -found.degrees[:, at],
        },
        labels,
    )
    st.header("Scores in one window")
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "AUC in this clip": st.column_config.NumberColumn(format="%.1f", help="Percent, against the unit labels"),
            "ranks as trained": st.column_config.NumberColumn(format="%.2f", help="Spearman's rank correlation"),
        },
        alt="ways to score the clip's units, their AUC and how alike they rank the units",
    )
    none = (
        ""
        if labels is not None and 0 < labels.sum() < len(labels)
        else " No AUC: the clip's labels are not of two kinds."
    )
    missing = f" No score of the trained head on whole rows: {markdown_text(found.why, 200)}." if found.why else ""
    st.caption(
        "The head was trained on windows; on the whole clip each unit's row, strongest first, is cut into as many "
        "equal parts as the head has nodes, and it reads their means. It was never trained for that: judge it by AUC."
        + none + missing
    )  # fmt: skip

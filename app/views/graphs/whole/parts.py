"""A long clip as one window, on the graphs page: communities to open, beside the exact numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.marks import clicked_row
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.graphs.whole import compute, figures
from app.widgets import fits, show
from core.clip import Clip
from core.fusion.base import Fusion
from core.score.communities import LEAF, MOST, Summary
from core.score.whole import ALPHAS, K, Whole, level

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


@dataclass(frozen=True)
class View:
    """What the page is about: a clip as one window, and which part of it is open.

    scores   of all units, as trained
    marked   units that are labelled anomalous, or alarmed where nobody labelled them; `what` says which
    path     the communities opened one inside the other; `now` and `members` are what they lead to
    """

    chosen: Selection
    clip: Clip
    changes: str
    whole: Whole
    scores: np.ndarray
    marked: np.ndarray
    what: str
    path: tuple[int, ...]
    now: Summary
    members: np.ndarray

    @property
    def at(self) -> int:
        """Place of the chosen α in `ALPHAS`."""
        return level(self.chosen.alpha)

    @property
    def degrees(self) -> np.ndarray:
        """α-gated weighted degree of every unit."""
        return self.whole.degrees[:, self.at]

    @property
    def pairs(self) -> int:
        return self.whole.units * (self.whole.units - 1) // 2

    @property
    def name(self) -> str:
        """Of the open part."""
        return figures.name_of(self.path)

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """(strengths, places) of the open part's communities, or of its units where they are few."""
        where = self.chosen.dataset, self.clip.name, self.changes, self.path
        return store.graphs.whole_part_drawn(self.chosen.trained, *where)


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
    if not fits.part("whole clip", chosen):
        return
    found = store.graphs.whole_clip(chosen.trained, chosen.dataset, clip.name, changes)
    if found is None:
        compute.offer(chosen, clip, changes)
        return
    _cards(found, level(chosen.alpha))
    _suggest(found, level(chosen.alpha))
    view = _look(chosen, clip, changes, found)
    left, right = st.columns([3, 2], gap="medium")
    if len(view.members) <= LEAF:
        with left:
            _units(view)
        with right:
            _unit_table(view)
    else:
        with left:
            _communities(view)
        with right:
            _group_table(view)
        _strip(view)
    left, middle, right = st.columns([5, 3, 3], gap="medium")
    with left:
        _degrees(view)
    with middle:
        _histogram(view)
    with right:
        _pairs(view)
    _scores(view)


def _look(chosen: Selection, clip: Clip, changes: str, found: Whole) -> View:
    run, path = chosen.trained, _breadcrumb(chosen, clip, changes)
    now, members, _ = store.graphs.whole_part(run, chosen.dataset, clip.name, changes, path)
    scores = store.graphs.unit_scores(run, chosen.dataset, clip.name, changes)
    marked, what = scores >= chosen.threshold, "alarmed"
    if clip.labels is not None:
        marked, what = clip.labels.numpy(), "anomalous"
    return View(chosen, clip, changes, found, scores, marked, what, path, now, members)


# ---------------------------------------------------------------------------- numbers


def _cards(found: Whole, at: int) -> None:
    alpha, pairs = ALPHAS[at], found.units * (found.units - 1) // 2
    reached = f"{found.pairs[at] / pairs:.1%} of all" if pairs else None
    still: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off"}
    degree = "α-gated weighted degree as in eq. 7: the sum of a unit's relations of at least α, itself included."
    scale = "Before rescaling. Relations are shown as the head sees them, rescaled as in one window of the run."
    exact = "Counted exactly, not estimated, at all 101 values of α in one pass."
    with st.container(horizontal=True, gap="small"):
        show.card("Units", f"{found.units:,}")
        show.card("Pairs of units", f"{pairs:,}", words="All were computed; none is kept as a table.")
        show.card(f"Pairs ≥ α = {alpha:.2f}", f"{found.pairs[at]:,}", reached, exact, **still)
        show.card("Mean degree", f"{float(found.degrees[:, at].mean()):,.1f}", words=degree)
        show.card("Largest entry of G", f"{found.largest:.4g}", words=scale)


def _suggest(found: Whole, at: int) -> None:
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


# ---------------------------------------------------------------------------- the open part


def _communities(view: View) -> None:
    chosen, now, count = view.chosen, view.now, len(view.now.kinds)
    drawn = len(figures.drawn_pairs(now.relations, figures.STRONGEST)[0])
    unit_pairs = len(now.members) * (len(now.members) - 1) // 2
    _, places = view.drawn()
    show.figure(
        figures.summary_graph(
            now, view.path, places, view.marked, chosen.alpha, view.clip.seconds, view.what, chosen.colours
        ),
        f"{len(now.members):,} units in {count} groups, found among each unit's {K} strongest relations: "
        f"α moves no node. A line is the mean over **all** pairs of two groups' units; {drawn} of "
        f"{count * (count - 1) // 2} are drawn, "
        f"each group's {figures.STRONGEST} strongest, standing for {unit_pairs:,} pairs of units. Dotted: below "
        f"α = {chosen.alpha:.2f}. Click a group to open it.",
        f"{count} groups; the largest holds {int(now.sizes.max()):,} of {len(now.members):,} units",
        f"whole-graph-{view.name}",
        name=f"communities of {view.clip.name} {view.name}",
        pointed=lambda point: _open(view.path, clicked_row(point.get("customdata"))),
    )


def _units(view: View) -> None:
    chosen, clip, (graph, places) = view.chosen, view.clip, view.drawn()
    i, _, strength = figures.drawn_pairs(graph, figures.PER_UNIT)
    m = len(view.members)
    reached = int((np.triu(graph >= np.float32(chosen.alpha), 1)).sum())

    def clicked(point: dict[str, Any]) -> None:
        unit = clicked_row(point.get("customdata"))
        if unit is not None:
            selection.put(time=unit * clip.seconds)

    show.figure(
        figures.unit_graph(
            graph, view.members, places, view.marked, chosen.unit(clip), chosen.alpha, view.what, chosen.colours
        ),
        f"{m:,} units one by one; {len(i):,} of {m * (m - 1) // 2:,} connections are drawn, each unit's "
        f"{figures.PER_UNIT} strongest here, dotted below α = {chosen.alpha:.2f}. {reached:,} reach α. "
        "Click a unit to choose its moment.",
        f"{m} units, {int(view.marked[view.members].sum())} of them {view.what}; strengths drawn from "
        + (f"{strength[0]:.3f} to {strength[-1]:.3f}" if len(strength) else "none to none"),
        f"whole-graph-{view.name}",
        name=f"units of {clip.name} {view.name}",
        pointed=clicked,
    )


def _group_table(view: View) -> None:
    table = figures.group_table(view.now, view.path, view.marked, view.degrees, view.clip.seconds, view.what)
    show.table(
        table,
        f"the {len(table)} groups with their units, share of {view.what} ones, time and relations",
        COLUMNS,
        lambda row: _open(view.path, row),
        f"whole-groups-{view.name}",
        height=min(470, 36 * (len(table) + 1) + 3),
    )
    st.caption(
        "Select a row to open the group. Groups beyond the "
        f"{MOST} largest are one: *the rest*; units with no relation above 0 among these are one too."
    )


def _unit_table(view: View) -> None:
    found, members, seconds = view.whole, view.members, view.clip.seconds
    columns = {
        "as trained": view.scores,
        "whole clip": found.scores,
        "mean relation": found.means,
        "degree": view.degrees,
    }
    show.table(
        figures.unit_table(members, view.marked, columns, found.partners, found.values, seconds, view.what),
        f"scores, degrees and nearest units of {len(members)} units",
        COLUMNS,
        lambda row: selection.put(time=int(members[row]) * seconds),
        "whole-units",
        height=470,
    )
    st.caption("*Nearest unit* is sought in the whole clip, not only in this part. Select a row to choose its moment.")


def _strip(view: View) -> None:
    """When each group takes place."""
    shares = figures.strip_shares(view.now, view.clip.units)
    table = pd.DataFrame(
        (100 * shares.T).round().astype(np.uint8), columns=[figures.name_of(view.path, g) for g in range(len(shares))]
    )
    width = view.clip.units * view.clip.seconds / len(table)
    table.insert(0, "from (s)", (np.arange(len(table)) * width).round(1))
    show.figure(
        figures.time_strip(view.now, view.path, view.marked, view.clip.seconds, view.chosen.colours),
        "When each group takes place: dark where the units of that time belong to it. Diamonds on top: "
        f"{view.what} units.",
        f"{len(view.now.kinds)} groups over {view.clip.units:,} units",
        f"whole-strip-{view.name}",
        table=table,
        name=f"communities of {view.clip.name} over time",
    )


# ---------------------------------------------------------------------------- degrees and scores


def _degrees(view: View) -> None:
    clip, degrees = view.clip, view.degrees
    middle, mean, low, high = figures.binned(degrees)
    pieces = "every unit." if len(middle) == clip.units else f"mean and range of {len(middle)} pieces of time."
    show.figure(
        figures.track(degrees, view.marked, clip.seconds, "degree", view.what, view.chosen.colours),
        f"α-gated weighted degree of every unit at α = {ALPHAS[view.at]:.2f}, in its relation to the whole clip: "
        f"{pieces} Diamonds: {view.what} units.",
        f"degrees from {degrees.min():.1f} to {degrees.max():.1f}, mean {degrees.mean():.1f}",
        "whole-degrees",
        table={
            "from (s)": ((middle + 0.5) * clip.seconds).round(1),
            "mean": mean.round(3),
            "least": low.round(3),
            "largest": high.round(3),
        },
        name=f"degrees of {clip.name} as one window",
    )


def _histogram(view: View) -> None:
    drawn, table = figures.degree_histogram(view.degrees, view.marked, view.what, view.chosen.colours)
    show.figure(
        drawn,
        "The same degrees counted: how many units have which.",
        f"{len(table)} ranges; the fullest holds {int(table['units'].max()):,} of {view.clip.units:,} units",
        "whole-histogram",
        table=table.round(2),
        name=f"degree distribution of {view.clip.name}",
    )


def _pairs(view: View) -> None:
    counts = view.whole.pairs
    show.figure(
        figures.pair_curve(counts, view.pairs, ALPHAS, view.chosen.alpha, view.chosen.colours),
        "How many of all pairs reach α, counted exactly at every value the slider has.",
        f"at α = {ALPHAS[view.at]:.2f} {counts[view.at]:,} of {view.pairs:,} pairs",
        "whole-pairs",
        table={"α": ALPHAS.round(2), "pairs": counts},
        name=f"pairs of {view.clip.name} by alpha",
    )


def _scores(view: View) -> None:
    found, labels = view.whole, None if view.clip.labels is None else view.clip.labels.numpy()
    st.header("Scores in one window")
    show.table(
        figures.score_table(
            {
                "as trained: windows one after another": view.scores,
                "whole clip: trained head on whole rows (ours)": found.scores,
                "low mean relation to the clip": -found.means,
                f"low degree at α = {ALPHAS[view.at]:.2f}": -view.degrees,
            },
            labels,
        ),
        "ways to score the clip's units, their AUC and how alike they rank the units",
        {
            "AUC in this clip": st.column_config.NumberColumn(format="%.1f", help="Percent, against the unit labels"),
            "ranks as trained": st.column_config.NumberColumn(format="%.2f", help="Spearman's rank correlation"),
        },
    )
    both = labels is not None and 0 < labels.sum() < len(labels)
    none = "" if both else " No AUC: the clip's labels are not of two kinds."
    missing = f" No score of the trained head on whole rows: {markdown_text(found.why, 200)}." if found.why else ""
    st.caption(
        "The head was trained on windows; on the whole clip each unit's row, strongest first, is cut into as many "
        "equal parts as the head has nodes, and it reads their means. It was never trained for that: judge it by AUC."
        + none
        + missing
    )

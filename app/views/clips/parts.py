"""Pieces of the page on one clip: the player, its numbers and units, and the list of all clips."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.scores import score_span
from app.state import selection
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.clips import figures
from app.widgets import paging, show, sidebar
from app.widgets.video import player
from core.clip import Clip
from core.machine.names import shown
from core.measure.metrics import auc

COLUMNS = {
    "scores": st.column_config.LineChartColumn("scores over time", y_min=0, y_max=1),
    "highest": "%.3f",
    "AUC": st.column_config.NumberColumn(format="%.1f", help="Percent, among this clip's own units"),
    "seconds": "%.1f",
}
NONE = "No clip's name holds these words. Change *Find clips* in the sidebar."


def pick_rival(chosen: Selection) -> RunKey | None:
    """Another run whose scores are drawn beside the chosen one's."""
    titles = store.runs.run_titles(chosen.dataset)
    return st.selectbox(
        "Compare with",
        [name for name in titles if name != chosen.run],
        index=None,
        format_func=lambda name: titles[name],
        placeholder="another run's scores, dashed",
        key="against",
        bind="query-params",
    )


def numbers(clip: Clip, scores: np.ndarray, threshold: float) -> None:
    """What the run says of this clip, in three numbers."""
    with st.container(horizontal=True):
        st.metric("Highest score", f"{scores.max():.3f}", width="content")
        st.metric("Alarms", f"{(scores >= threshold).sum()} of {clip.units}", width="content")
        if clip.labels is not None:
            inside = auc(scores, clip.labels.numpy())
            why = "All its units are of one class, and AUC needs both." if np.isnan(inside) else None
            st.metric("AUC in this clip", "–" if why else f"{inside:.1f}", width="content", help=why)


def units(clip: Clip, scores: np.ndarray, threshold: float) -> None:
    """Every unit of the clip; a row that is selected is gone to."""
    show.table(
        figures.unit_table(clip, scores, threshold),
        f"scores of the {clip.units} units of this clip",
        {
            "unit": st.column_config.NumberColumn(width=40),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=60),
            "score": st.column_config.ProgressColumn("score", format="%.3f", min_value=0, max_value=1, width=110),
        },
        lambda row: selection.put(time=row * clip.seconds),
        "unit-table",
        height=380,
    )


def play(chosen: Selection, clip: Clip, scores: np.ndarray, rival: RunKey | None) -> None:
    """The video above its timeline of scores, and what the captions say of the chosen moment."""
    units, *_ = store.models.units(chosen.trained, chosen.dataset)
    player(
        clip,
        scores,
        source=store.pictures.video(chosen.dataset, clip.name),
        threshold=chosen.threshold,
        time=chosen.time,
        colours=chosen.colours,
        key="player",
        on_change=_moved,
        other=None if rival is None else store.models.scores(rival, chosen.dataset)[clip.name],
        span=score_span({"all": units.scores}, chosen.threshold),
    )
    st.caption(
        "The score of every unit against time. Hatched: labelled anomalies. Filled: alarms. Click the timeline to go "
        "there, drag the triangle to move the threshold; space plays, arrows step by frame, Page keys by unit."
    )
    for modality, sentence in store.data.captions(chosen.dataset, clip.name, chosen.unit(clip) or 0).items():
        st.text(f"{modality}: {shown(sentence, 400)}")


def _moved(time: float | None, threshold: float | None) -> None:
    selection.put(**({"time": time} if threshold is None else {"threshold": threshold}))


# ---------------------------------------------------------------------------- all clips


def every_clip(chosen: Selection, scores: Mapping[str, np.ndarray]) -> None:
    """Every clip with its scores; long lists can be narrowed and ordered, and are paged."""
    st.header("All clips", anchor=False)
    clips = store.data.clips(chosen.dataset)
    rows = np.arange(len(clips))
    if len(clips) > paging.MOST:
        order = st.selectbox("Order of the clips", figures.ORDERS, key="clips-order", bind="query-params", width=200)
        rows = sidebar.matching(store.data.clip_names(chosen.dataset)[1], chosen.find)
        known = store.models.units(chosen.trained, chosen.dataset)
        rows = rows[figures.clip_order(order, *known, chosen.threshold)[rows].argsort(kind="stable")]
        rows = rows[paging.turn(len(rows), paging.SIZE, "clips-page")]
    listed = [clips[row] for row in rows.tolist()]
    if not listed:
        st.info(NONE)
        return
    alt = f"highest score, AUC and alarms of {len(listed)} clips"
    _table("clip-table", listed, figures.clip_table(listed, scores, chosen.threshold), alt)
    st.caption(
        f"{'Every clip' if len(listed) == len(clips) else f'{len(listed)} clips'} of the test part; click a column to "
        "sort, select a row to open the clip."
    )


def unscored(chosen: Selection) -> None:
    """The clips as they are listed before a large set is scored: what is known of them without a model."""
    st.header("All clips", anchor=False)
    clips = store.data.clips(chosen.dataset)
    rows = sidebar.matching(store.data.clip_names(chosen.dataset)[1], chosen.find)
    listed = [clips[row] for row in rows[paging.turn(len(rows), paging.SIZE, "clips-page")].tolist()]
    if not listed:
        st.info(NONE)
        return
    alt = f"length and labels of {len(listed)} clips, not yet scored"
    _table("bare-clip-table", listed, figures.bare_clip_table(listed), alt)
    st.caption("Scores appear here as soon as they are known; a row that is selected opens its clip.")


def _table(key: str, listed: Sequence[Clip], table: pd.DataFrame, alt: str) -> None:
    """Clips as a table; a row that is selected opens its clip."""

    def opened(row: int) -> None:
        if row < len(listed):
            selection.put(clip=listed[row].name, time=None)

    show.table(table, alt, {name: config for name, config in COLUMNS.items() if name in table}, opened, key)

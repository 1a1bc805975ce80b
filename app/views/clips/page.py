"""This clip: video, score timeline with truth, click a moment to go there."""

import numpy as np
import streamlit as st

from app import store
from app.figures import scores as figures
from app.state import selection
from app.widgets import listing, paging, waiting
from app.widgets.samples import answers
from app.widgets.video import player
from core.machine.names import shown
from core.measure.metrics import auc

chosen = selection.current()
if (samples := store.data.samples(chosen.dataset)) is not None:
    answers(chosen, samples)
    st.stop()
clips = store.data.clips(chosen.dataset)
clip = store.data.clip(chosen.dataset, chosen.clip)
if chosen.run is None:
    st.info("No trained run fits this dataset, so there are no scores to show. Train one: `python -m core train`.")
    st.stop()

if not waiting.ready(chosen.dataset, chosen.run):
    listing.unscored(chosen, clips)
    st.stop()
titles = store.runs.run_titles(chosen.dataset)
scores = store.models.scores(chosen.run, chosen.dataset)
mine = scores[clip.name]


def moved(time: float | None, threshold: float | None) -> None:
    selection.put(**({"time": time} if threshold is None else {"threshold": threshold}))


def sought() -> None:
    row = selection.picked("unit-table")
    if row is not None:
        selection.put(time=row * clip.seconds)


left, right = st.columns([5, 3], gap="medium")
with right:
    against = st.selectbox(
        "Compare with",
        [name for name in titles if name != chosen.run],
        index=None,
        format_func=lambda name: titles[name],
        placeholder="another run's scores, dashed",
        key="against",
        bind="query-params",
    )
    with st.container(horizontal=True):
        st.metric("Highest score", f"{mine.max():.3f}", width="content")
        st.metric("Alarms", f"{(mine >= chosen.threshold).sum()} of {clip.units}", width="content")
        if clip.labels is not None:
            inside = auc(mine, clip.labels.numpy())
            why = "All its units are of one class, and AUC needs both." if np.isnan(inside) else None
            st.metric("AUC in this clip", "–" if why else f"{inside:.1f}", width="content", help=why)
    st.dataframe(
        figures.unit_table(clip, mine, chosen.threshold),
        key="unit-table",
        on_select=sought,
        selection_mode="single-row",
        hide_index=True,
        height=380,
        alt=f"scores of the {clip.units} units of this clip",
        column_config={
            "unit": st.column_config.NumberColumn(width=40),
            "from (s)": st.column_config.NumberColumn(format="%.2f", width=60),
            "score": st.column_config.ProgressColumn("score", format="%.3f", min_value=0, max_value=1, width=110),
        },
    )
with left:
    player(
        clip,
        mine,
        source=store.pictures.video(chosen.dataset, clip.name),
        threshold=chosen.threshold,
        time=chosen.time,
        colours=chosen.colours,
        key="player",
        on_change=moved,
        other=None if against is None else store.models.scores(against, chosen.dataset)[clip.name],
        span=figures.score_span({"all": store.models.units(chosen.run, chosen.dataset)[0].scores}, chosen.threshold),
    )
    st.caption(
        "The score of every unit against time. Hatched: labelled anomalies. Filled: alarms. Click the timeline to go "
        "there, drag the triangle to move the threshold; space plays, arrows step by frame, Page keys by unit."
    )
    for modality, sentence in store.data.captions(chosen.dataset, clip.name, chosen.unit(clip) or 0).items():
        st.text(f"{modality}: {shown(sentence, 400)}")

st.header("All clips", anchor=False)
units, highest, aucs = store.models.units(chosen.run, chosen.dataset)
rows = np.arange(len(clips))
if len(clips) > paging.MOST:
    order = st.selectbox(
        "Order of the clips", list(figures.ORDERS), key="clips-order", bind="query-params", width=200,
    )  # fmt: skip
    rows = selection.matching(store.data.clip_names(chosen.dataset)[1], chosen.find)
    rows = rows[figures.clip_order(order, units, highest, aucs, chosen.threshold)[rows].argsort(kind="stable")]
    rows = rows[paging.turn(len(rows), paging.SIZE, "clips-page")]
listed = [clips[row] for row in rows.tolist()]


def opened() -> None:
    row = selection.picked("clip-table")
    if row is not None and row < len(listed):
        selection.put(clip=listed[row].name, time=None)


if not listed:
    st.info("No clip's name holds these words. Change *Find clips* in the sidebar.")
    st.stop()
st.dataframe(
    figures.clip_table(listed, scores, chosen.threshold),
    key="clip-table",
    on_select=opened,
    selection_mode="single-row",
    hide_index=True,
    alt=f"highest score, AUC and alarms of {len(listed)} clips",
    column_config={
        "scores": st.column_config.LineChartColumn("scores over time", y_min=0, y_max=1),
        "highest": st.column_config.NumberColumn(format="%.3f"),
        "AUC": st.column_config.NumberColumn(format="%.1f", help="Percent, among this clip's own units"),
        "seconds": st.column_config.NumberColumn(format="%.1f"),
    },
)
st.caption(
    f"{'Every clip' if len(listed) == len(clips) else f'{len(listed)} clips'} of the test part; click a column to "
    "sort, select a row to open the clip."
)

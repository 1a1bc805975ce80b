"""Data & models: what is on disk, where from, what is wrong with it; bring in, take along, remove, put back."""

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.store.keys import DataKey
from app.views.library import figures as tables
from app.views.library import parts
from app.widgets import waiting
from core.machine.names import shown

PAGE = 20  # rows of a table at once

shelf = store.data.shelf()
st.header("Bring your own", anchor=False)
WAYS = {
    "A video": parts.video,
    "Feature files": parts.features,
    "Samples": parts.samples,
    "A folder here": parts.folder,
    "A released LEGO checkpoint": parts.checkpoint,
}
for tab, draw in zip(st.tabs(list(WAYS)), WAYS.values(), strict=True):
    with tab:
        draw()
parts.arriving()
parts.removed()

with st.container(horizontal=True, vertical_alignment="center"):
    st.header("Datasets", width="content", anchor=False)
    wanted = st.text_input(
        "Filter datasets", key="data-filter", bind="query-params", max_chars=100, width=260,
        placeholder="filter by any word", label_visibility="collapsed",
    )  # fmt: skip
    found = tables.dataset_table(shelf, wanted or "")
    page = 1
    if len(found) > PAGE:
        page = st.number_input("Page", 1, 1000, 1, key="data-page", width=110, label_visibility="collapsed")
        st.caption(f"page {page} of {-(-len(found) // PAGE)}", width="content")
rows = found.iloc[(page - 1) * PAGE : page * PAGE]
if found.empty:
    st.info("No dataset is here yet." if not shelf else "No dataset matches the filter.")
else:
    event = st.dataframe(
        rows, key="data-table", on_select="rerun", selection_mode="single-row", hide_index=True,
        alt=f"{len(found)} datasets with their clips or samples, modalities and sizes",
    )  # fmt: skip
    picked = event["selection"]["rows"]
    key = DataKey(rows.index[min(picked[0], len(rows) - 1)] if picked and len(rows) else found.index[0])
    report = store.data.report(key) if store.server.unfinished("report", None, key) is None else None
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            said = "being checked" if report is None else parts.verdict(report)
            st.markdown(f"**{markdown_text(key)}**: {said}", width="stretch")
            parts.download(store.keys.datasets()[key], "data")
            parts.remove("data", key)
        if report is not None:
            parts.described(report)
        else:
            waiting.ready(key, None, "report")

runs = {name: store.runs.run(name) for name in store.runs.readable_runs()}
with st.container(horizontal=True, vertical_alignment="center"):
    st.header("Trained runs", width="content", anchor=False)
    wanted = st.text_input(
        "Filter runs", key="run-filter", bind="query-params", max_chars=100, width=260,
        placeholder="filter by any word", label_visibility="collapsed",
    )  # fmt: skip
    found = tables.run_table(runs, store.runs.own_runs(), wanted or "")
    page = 1
    if len(found) > PAGE:
        page = st.number_input("Page", 1, 1000, 1, key="run-page", width=110, label_visibility="collapsed")
        st.caption(f"page {page} of {-(-len(found) // PAGE)}", width="content")
rows = found.iloc[(page - 1) * PAGE : page * PAGE]
if found.empty:
    st.info("No run is here yet: `python -m core train` makes one." if not runs else "No run matches the filter.")
else:
    percent = st.column_config.NumberColumn(format="%.1f")
    event = st.dataframe(
        rows, key="run-table", on_select="rerun", selection_mode="single-row", hide_index=True,
        column_config={"unit AUC": percent, "unit AP": percent, "accuracy": percent, "correlation": "%.3f"},
        alt=f"{len(found)} runs with their AUC, accuracy or correlation and size",
    )  # fmt: skip
    picked = event["selection"]["rows"]
    name = rows.index[min(picked[0], len(rows) - 1)] if picked and len(rows) else found.index[0]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{markdown_text(runs[name].title)}**, run {markdown_text(name)}", width="stretch")
            parts.download(store.keys.all_runs()[name], "runs")
            parts.remove("runs", name)
        if runs[name].note:
            st.caption(markdown_text(shown(runs[name].note, 400), 400))
        st.dataframe(tables.setting_table(runs[name]), hide_index=True, height=220, alt="settings of the run")

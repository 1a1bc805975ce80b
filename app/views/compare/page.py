"""Runs side by side: quality with its uncertainty, a paired test, where two disagree, missing modalities, cost."""

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.views.compare import parts
from app.widgets import waiting

chosen = selection.current()
if chosen.run is None:
    st.info("No trained run fits this data, so there is nothing to compare. Train two: `python -m core train`.")
    st.stop()
ids, baseline = parts.pick(chosen)
if not ids:
    st.info("Choose at least one configuration above, two to compare them.")
    st.stop()
if not waiting.runs_ready(chosen.dataset, ids):
    st.stop()
what = "clips" if store.data.samples(chosen.dataset) is None else "samples"
lines = store.compare.comparison(chosen.dataset, ids, baseline)
if foreign := [line.group.title for line in lines if not line.group.own]:
    st.caption(f"Trained on other data: {markdown_text(', '.join(foreign), 300)}.")
if why := next((line.why for line in lines if line.why), ""):
    st.info(f"Some numbers are undefined: {markdown_text(why, 300)}.")

left, right = st.columns([1, 1], gap="medium")
with left:
    st.header("How good, how surely", anchor=False)
    parts.quality(lines, baseline, what, chosen)
with right:
    st.header("Better than the baseline?", anchor=False)
    parts.deltas(lines, baseline, what, chosen)

tabs = {
    "Where two disagree": lambda: parts.disagreements(chosen, lines),
    "Missing modalities": lambda: parts.missing(chosen, lines),
    "Kinds of anomaly" if what == "clips" else "By class or target": lambda: parts.parts(chosen, lines),
    "Cost": lambda: parts.cost(chosen, lines, baseline),
    "Take along": lambda: parts.take_along(chosen, lines, baseline),
}
for tab, draw in zip(
    st.tabs(list(tabs), key="below_compare", on_change="rerun", bind="query-params"), tabs.values(), strict=True
):
    with tab:
        if tab.open:
            draw()

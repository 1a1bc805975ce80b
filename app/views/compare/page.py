"""Runs side by side: quality with its uncertainty, a paired test, where two disagree, missing modalities, cost."""

import streamlit as st

from app import store
from app.state import selection
from app.views.compare import disagreement, parts
from app.widgets import show, waiting

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
parts.remarks(lines)

left, right = st.columns([1, 1], gap="medium")
with left:
    st.header("How good, how surely", anchor=False)
    parts.quality(lines, baseline, what, chosen)
with right:
    st.header("Better than the baseline?", anchor=False)
    parts.deltas(lines, baseline, what, chosen)
parts.verdicts(chosen, lines, what)

tabs = {
    "Where two disagree": lambda: disagreement.draw(chosen, lines),
    "Missing modalities": lambda: parts.missing(chosen, lines),
    "Kinds of anomaly" if what == "clips" else "By class or target": lambda: parts.parts(chosen, lines),
    "Cost": lambda: parts.cost(chosen, lines, baseline),
    "Take along": lambda: parts.take_along(chosen, lines, baseline),
}
show.tabs(tabs, key="below_compare")

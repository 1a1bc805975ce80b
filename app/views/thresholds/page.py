"""Where to put the alarm: the operating point on ROC and PR, the price of misses, false alarms an hour."""

import streamlit as st

from app import store
from app.state import selection
from app.views.thresholds import parts
from app.widgets import retrain

chosen = selection.current()
if chosen.run is None:
    st.info("No trained run fits this dataset, so there are no scores to judge. Train one: `python -m core train`.")
    st.stop()
samples = store.data.samples(chosen.dataset)
if samples is not None and samples.task.kind != "class":
    st.info("A threshold parts two kinds; the targets of this sample set are real values, so there is none to choose.")
    st.stop()

judged = parts.judge(chosen, samples)
if not len(judged.scores):
    st.info(f"Nobody labelled the {judged.level} of these clips, so there is nothing to set the threshold against.")
    st.stop()
if samples is not None:
    st.caption("A sample is *anomalous* here when it is of this class, and *normal* when it is of any other.")
parts.cards(judged)
retrain.offer(chosen)

left, right = st.columns(2, gap="medium")
if judged.scores.both:
    with left:
        parts.roc(judged)
    with right:
        parts.precision_recall(judged)
else:
    parts.one_kind(judged)
with left:
    parts.histogram(judged)
with right:
    parts.cost(judged)

left, middle, right = st.columns([2, 2, 3], gap="medium")
with left:
    parts.confusion(judged)
if samples is None:
    with middle:
        parts.kinds(chosen)
    with right:
        parts.clips(chosen)

"""This clip: video, score timeline with truth, click a moment to go there."""

import streamlit as st

from app import store
from app.state import selection
from app.views.clips import answers, parts
from app.widgets import waiting

chosen = selection.current()
if (samples := store.data.samples(chosen.dataset)) is not None:
    answers.page(chosen, samples)
    st.stop()
if chosen.run is None:
    st.info("No trained run fits this dataset, so there are no scores to show. Train one: `python -m core train`.")
    st.stop()
if not waiting.ready(chosen.dataset, chosen.run):
    parts.unscored(chosen)
    st.stop()

clip = store.data.clip(chosen.dataset, chosen.clip)
scores = store.models.scores(chosen.run, chosen.dataset)
mine = scores[clip.name]

left, right = st.columns([5, 3], gap="medium")
with right:
    rival = parts.pick_rival(chosen)
    parts.numbers(clip, mine, chosen.threshold)
    parts.units(clip, mine, chosen.threshold)
with left:
    parts.play(chosen, clip, mine, rival)
parts.every_clip(chosen, scores)

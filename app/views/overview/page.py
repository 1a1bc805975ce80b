"""What is loaded, how good each model is, and where to start."""

import streamlit as st

from app import store
from app.state import selection
from app.views.overview import parts
from app.widgets import waiting

chosen = selection.current()
clips = store.data.samples(chosen.dataset) is None

parts.head(chosen)
left, right = st.columns([5, 3], gap="medium")
with left:
    st.header("How good is each model?", anchor=False)
    parts.methods(chosen)
with right:
    st.header("Where to start", anchor=False)
    parts.ways(chosen)
    parts.contents(chosen)

if clips and chosen.run is not None:
    st.header("The highest scores", anchor=False)
    if waiting.ready(chosen.dataset, chosen.run):
        parts.moments(chosen, chosen.run)

"""Train from the browser: ask for a training or a sweep, watch it, stop it, and open what came out in every page."""

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.views.train import parts, sweeps

chosen = selection.current()
places = st.tabs(["Train", "Sweeps"], key="train_tab", on_change="rerun", bind="query-params")
with places[0]:
    if places[0].open:
        data = store.data.data(chosen.dataset)
        left, right = st.columns([5, 4], gap="large")
        with left:
            st.header("A new training", anchor=False)
            st.caption(
                f"On **{markdown_text(data.name)}**, the dataset chosen in the sidebar: "
                f"{parts.task_words(data.task)}, modalities {markdown_text(', '.join(data.modalities), 200)}."
            )
            parts.form(chosen)
        with right:
            parts.trainings(chosen)
with places[1]:
    if places[1].open:
        sweeps.draw(chosen)

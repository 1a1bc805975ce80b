"""Train from the browser: ask for a training or a sweep, watch it, stop it, and open what came out in every page."""

from importlib.util import find_spec

import streamlit as st

from app import cache, selection
from app.components import train
from app.figures.style import markdown_text
from core.sample import task_of

chosen = selection.current()
tabs = ["Train", "Sweeps"] if find_spec("app.components.sweeps") else ["Train"]
places = st.tabs(tabs, key="train_tab", on_change="rerun", bind="query-params")
with places[0]:
    if places[0].open:
        data = cache.data(chosen.dataset)
        left, right = st.columns([5, 4], gap="large")
        with left:
            st.header("A new training", anchor=False)
            st.caption(
                f"On **{markdown_text(data.name)}**, the dataset chosen in the sidebar: "
                f"{train.task_words(task_of(data))}, modalities {markdown_text(', '.join(data.modalities), 200)}."
            )
            train.form(chosen)
        with right:
            train.trainings(chosen)
if len(places) > 1:
    with places[1]:
        if places[1].open:
            from app.components import sweeps

            sweeps.draw(chosen)

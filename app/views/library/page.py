"""Data & models: what is on disk, where from, what is wrong with it; bring in, take along, remove, put back."""

import streamlit as st

from app.views.library import parts, shelves

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
shelves.datasets()
shelves.runs()

"""What each rank and each interaction of modalities adds to an answer, and what becomes of it without them."""

from functools import partial

import streamlit as st

from app import store
from app.state import selection
from app.views.factors import latents, parts, tabs
from app.widgets import fits, show

chosen = selection.current()
fits.page(chosen, "factors")
model = store.models.model(chosen.trained)
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
if not fits.part("factors", chosen):
    latents.draw(chosen, model, part, row)
    st.stop()

now = parts.look(chosen, row)
output = parts.numbers(part, row, now)
parts.maps(chosen, part, row, now)

st.header("The parts add up", anchor=False)
told, seen = st.columns([4, 1], gap="medium")
with told:
    parts.sums(chosen, part, output, now)
with seen:
    parts.what_row(chosen, part, row)

below = {
    "Do ranks mean something?": lambda: tabs.test_of_ranks(chosen),
    "Beside other methods": lambda: tabs.beside(chosen, part, row, output),
    "Rank and quality": lambda: tabs.curve(chosen),
}
if not store.methods.fits("prior distance", chosen.trained, chosen.dataset):
    below["Latents"] = partial(latents.draw, chosen, model, part, row)
show.tabs(below, key="below_factors")

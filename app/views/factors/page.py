"""What each rank and each interaction of modalities adds to an answer, and what becomes of it without them."""

from functools import partial

import streamlit as st

from app import store
from app.state import selection
from app.views.factors import latents, parts, tabs
from app.widgets import show
from core.explain.lowrank import has_factors
from core.fusion.jwae import Jwae

chosen = selection.current()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or model is None or not (has_factors(model) or isinstance(model, Jwae)):
    parts.wrong_fusion(chosen, model)
    st.stop()
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
if not has_factors(model) and isinstance(model, Jwae):
    st.info("*jwae* reads its latents side by side, so it has no ranks; *jwae-lmf* has. Its latents can be seen:")
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
if isinstance(model, Jwae):
    below["Latents"] = partial(latents.draw, chosen, model, part, row)
show.tabs(below, key="below_factors")

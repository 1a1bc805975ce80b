"""How much each modality, kernel and interaction counts, and what the model loses without it."""

import streamlit as st

from app import cache, selection
from app.components import kernels, weights

chosen = selection.current()
if chosen.run is None or cache.run(chosen.run).fusion not in weights.FUSIONS:
    weights.wrong_fusion(chosen)
    st.stop()
part, row = cache.part(chosen.dataset), cache.row(chosen)
found = cache.computed("weights", chosen.run, chosen.dataset)
opened = cache.computed("weight parts", chosen.run, chosen.dataset)

how = weights.pick(found)
costs = weights.losses(chosen, how)
weights.cards(chosen, found, costs)
st.header("How much each counts, and what is lost without it")
weights.bars(chosen, found, how, costs)

left, right = st.columns([1, 1], gap="medium")
with left:
    st.header("Weight against loss")
    if costs is None:
        st.info("Without labels there is no loss to set beside the weights.")
    else:
        weights.disagreement(chosen, found, how, costs)
with right:
    st.header("The chosen row, part by part")
    weights.chosen_row(chosen, part, row, opened)

weights.tabs(chosen, part, found, how, opened)
if found.what == "kernel":
    kernels.draw(chosen)

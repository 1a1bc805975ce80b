"""How much each modality, kernel and interaction counts, and what the model loses without it."""

import streamlit as st

from app import store
from app.state import selection
from app.views.weights import kernels, parts
from app.widgets import fits

chosen = selection.current()
fits.page(chosen, "weights")
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("weights", chosen.trained, chosen.dataset)
opened = store.methods.computed("weight parts", chosen.trained, chosen.dataset)

how = parts.pick(found)
costs = parts.losses(chosen, how)
parts.cards(chosen, found, costs)
st.header("How much each counts, and what is lost without it")
parts.bars(chosen, found, how, costs)

left, right = st.columns([1, 1], gap="medium")
with left:
    st.header("Weight against loss")
    if costs is None:
        st.info("Without labels there is no loss to set beside the weights.")
    else:
        parts.disagreement(chosen, found, how, costs)
with right:
    st.header("The chosen row, part by part")
    parts.chosen_row(chosen, part, row, opened)

parts.tabs(chosen, part, found, how, opened)
if found.what == "kernel":
    kernels.draw(chosen)

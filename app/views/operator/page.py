"""What A learned, what each of its terms does, and what becomes of everything when a term is switched off."""

import streamlit as st

from app import store
from app.state import selection
from app.views.operator import parts
from app.widgets import controls, retrain, samples, show
from core.fusion.lego import Lego

chosen = selection.current()
if store.data.samples(chosen.dataset) is not None:
    samples.no_graphs(chosen, "The operator A and its graphs")
    st.stop()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or not isinstance(model, Lego):
    st.info("The chosen run has no operator: only LEGO learns one. Choose a LEGO run in the sidebar, or train one.")
    st.stop()

clip = store.data.clip(chosen.dataset, chosen.clip)
with st.container(horizontal=True, vertical_alignment="bottom"):
    window = controls.pick_window(chosen, clip, model.window)
    changes = controls.operator_controls(model)
    view = parts.look(chosen, clip, model, window, changes)
controls.metrics(chosen, changes)
retrain.offer(chosen, changes)

left, right = st.columns(2, gap="medium")
with left:
    parts.matrix(view)
with right:
    parts.edit(view)
    parts.rank(view)
st.header("What each term adds")
parts.terms(view)
tabs = {
    "Graph as trained and as changed": lambda: parts.graph(view),
    "A before and after training": lambda: parts.training(view),
    "Scores of this clip": lambda: parts.scores(view),
}
show.tabs(tabs, key="below_operator")

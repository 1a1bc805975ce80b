"""What A learned, what each of its terms does, and what becomes of everything when a term is switched off."""

import streamlit as st

from app import store
from app.state import selection
from app.views.operator import parts
from app.widgets import controls, fits, retrain, show

chosen = selection.current()
fits.page(chosen, "operator")
model = store.models.model(chosen.trained)

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

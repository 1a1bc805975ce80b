"""What fusion did to the relations: each modality, fused, and the difference, on one fixed layout."""

import streamlit as st

from app import store
from app.state import selection
from app.views.graphs import details, parts
from app.views.graphs.whole import parts as whole
from app.widgets import controls, fits, retrain, show

chosen = selection.current()
fits.page(chosen, "graphs")

clip, model = store.data.clip(chosen.dataset, chosen.clip), store.models.model(chosen.trained)
head = st.container(horizontal=True, vertical_alignment="bottom")
with head:
    as_one = whole.choose_window(clip, model)
    window = None if as_one else controls.pick_window(chosen, clip, model.window)
    changes = controls.operator_controls(model)
if window is None:
    whole.page(chosen, clip, model, changes)
    st.stop()
with head:
    view = parts.look(chosen, clip, model, window, changes)

parts.graphs(view)
if model.window is None:
    st.info(
        "This fusion combines features, not graphs, so there is no fused graph and no operator. Shown instead: the "
        "cosine relations of each modality's own features, before any fusion."
    )
else:
    controls.metrics(chosen, changes)
retrain.offer(chosen, changes)

left, right = st.columns(2, gap="medium")
with right:
    details.units(view)
with left:
    details.picked(view)
with left if view.unit is None else st.container():
    parts.degrees(view)
show.tabs({"Save": lambda: parts.save(view), "As matrices": lambda: parts.matrices(view)}, key="below")

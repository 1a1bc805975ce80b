"""What a fusion calls shared and what it calls a modality's own: a map of both, and what each part knows."""

import streamlit as st

from app import store
from app.state import selection
from app.views.splits import parts
from app.widgets import rows, show
from core.explain.split import splits as has_parts

chosen = selection.current()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or model is None or not has_parts(model):
    parts.wrong_fusion(chosen)
    st.stop()
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("split parts", chosen.run, chosen.dataset)

view = parts.pick_view(part)
left, right = st.columns([3, 2], gap="medium")
with left:
    parts.draw_map(chosen, part, row, view)
with right:
    rows.chosen_row(chosen, part, row)
    parts.near(chosen, part, found, row)

tabs = {
    "What the parts know": lambda: parts.probes(chosen),
    "Loss and mass": lambda: parts.masses(chosen, found, row),
    "Missing modalities": lambda: parts.missing(chosen, model),
    "Across modalities": lambda: parts.across(chosen),
    "Boundary": lambda: parts.boundaries(chosen),
}
show.tabs(tabs, key="below_splits")

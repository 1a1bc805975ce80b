"""What a fusion calls shared and what it calls a modality's own: a map of both, and what each part knows."""

import streamlit as st

from app import store
from app.state import selection
from app.views.splits import parts
from app.widgets import fits, rows, show

chosen = selection.current()
fits.page(chosen, "splits")
model = store.models.model(chosen.trained)
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("split parts", chosen.trained, chosen.dataset)

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

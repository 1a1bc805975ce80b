"""What a ProFusion model knows after each of its steps, what the steps change, and what they cost."""

import streamlit as st

from app import store
from app.state import selection
from app.views.steps import parts
from app.widgets import fits, show
from core.explain.progressive import turns

chosen = selection.current()
fits.page(chosen, "steps")
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("step answers", chosen.trained, chosen.dataset)

with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
    now, relative = parts.pick(found.trained)
parts.cards(found, turns(found, 1, now, chosen.threshold), now)

left, right = st.columns([3, 2], gap="medium")
with left:
    st.header("What each modality knows")
    parts.probes(chosen, relative, found.trained, now)
with right:
    st.header("What the model answers")
    parts.answers(chosen, found, part, now)

left, right = st.columns([3, 2], gap="medium")
with left:
    st.header("Where the context goes")
    parts.contexts(chosen, part, row, now)
with right:
    st.header("The chosen row")
    parts.this_row(chosen, found, part, row)

tabs = {
    "Rows whose decision changed": lambda: parts.changed_rows(chosen, found, part, now),
    "Step by step": lambda: parts.flow(chosen, found),
    "What R costs": lambda: parts.cost(chosen),
}
show.tabs(tabs, key="below_steps")

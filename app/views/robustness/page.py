"""What noise, attacks, losses and shifts do to a run; whether its probabilities mean what they say."""

import streamlit as st

from app.state import selection
from app.views.robustness import parts, tabs
from app.widgets import show

chosen = selection.current()
if chosen.run is None:
    st.info("No trained run fits this data, so nothing can be put under stress. Train one: `python -m core train`.")
    st.stop()
asked = parts.pick(chosen)
if not asked.modalities:
    st.info("Choose at least one modality to corrupt.")
    st.stop()
mine = parts.stress(chosen.run, chosen, asked)
other = None if asked.rival is None or mine is None else parts.stress(asked.rival, chosen, asked)

if mine is not None:
    now = parts.pick_strength(asked.kind)
    parts.cards(mine, other, now)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.header("How much it loses", anchor=False)
        parts.curves(chosen, mine, other, asked.rival, now)
        parts.pictures(chosen, mine, now)
    with right:
        st.header("What it does here", anchor=False)
        parts.row(chosen, mine, now)

below = {
    "Calibration": lambda: tabs.reliability(chosen, asked.rival),
    "What it does not know": lambda: tabs.doubts(chosen),
    "Missing modalities": lambda: tabs.missing(chosen, asked.rival),
    "Is a lower rank more robust?": lambda: tabs.ranks(chosen),
}
show.tabs(below, key="below_robustness")

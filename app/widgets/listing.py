"""The list of clips as it stands before a large set is scored: by name, paged, each row opens its clip."""

from collections.abc import Sequence

import streamlit as st

from app import store
from app.figures import scores as figures
from app.state import selection
from app.state.selection import Selection
from app.widgets import paging
from core.clip import Clip


def unscored(chosen: Selection, clips: Sequence[Clip]) -> None:
    """The clips that are found, with what is known of them without a model."""
    st.header("All clips", anchor=False)
    rows = selection.matching(store.data.clip_names(chosen.dataset)[1], chosen.find)
    listed = [clips[row] for row in rows[paging.turn(len(rows), paging.SIZE, "clips-page")].tolist()]
    if not listed:
        st.info("No clip's name holds these words. Change *Find clips* in the sidebar.")
        return

    def opened() -> None:
        row = selection.picked("bare-clip-table")
        if row is not None and row < len(listed):
            selection.put(clip=listed[row].name, time=None)

    st.dataframe(
        figures.bare_clip_table(listed),
        key="bare-clip-table",
        on_select=opened,
        selection_mode="single-row",
        hide_index=True,
        alt=f"length and labels of {len(listed)} clips, not yet scored",
        column_config={"seconds": st.column_config.NumberColumn(format="%.1f")},
    )
    st.caption("Scores appear here as soon as they are known; a row that is selected opens its clip.")

"""Long lists, a page at a time: only what is looked at is sent."""

import streamlit as st

ROW = 35  # pixels of a table's row
MOST, SIZE = 200, 50  # longer lists of clips are paged; rows of a page


def turn(count: int, size: int, key: str) -> slice:
    """The rows of the chosen page; the control is drawn where there is more than one, and the link holds it.

    Its bounds never change, since a control whose bounds change loses its value: past the end is the last page.
    """
    last = max(1, -(-count // size))
    page = 1
    if last > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            page = int(
                st.number_input(
                    "Page", 1, 100_000, 1, key=key, bind="query-params", width=110, label_visibility="collapsed"
                )
            )
            page = min(page, last)
            st.caption(f"page {page:,} of {last:,}, {count:,} rows", width="content")
    return slice((page - 1) * size, page * size)


def height(rows: int) -> int:
    """Of a table that shows this many rows without scrolling."""
    return ROW * (rows + 1) + 3

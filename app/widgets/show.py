"""How things stand on a page: a figure with its sentence, its numbers and ways to take it along; tabs."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.figures.style import Colours, file_name, plotly_config

Table = pd.DataFrame | Mapping[str, Sequence[Any] | np.ndarray]
MOST_ROWS = 100  # of a figure's numbers that are sent to the page; the CSV has all of them


def figure(
    drawn: go.Figure,
    says: str,
    alt: str,
    key: str,
    colours: Colours | None,
    picture: str = "png",
    table: Table | None = None,
    name: str | None = None,
    bar: bool = True,
    **options: Any,
) -> Any:
    """Draw a figure in the page's colours; returns what `st.plotly_chart` returns (its selection, when asked for).

    colours   None for a cached figure, which wears its template already
    says      one sentence: what the figure shows; Markdown, so hostile names go through `style.markdown_text`. Empty
              where one sentence stands for several figures
    alt       the same with the numbers, for those who do not see it
    picture   what the camera button saves: "png" or "svg"
    table     the numbers; shown below on demand and offered as CSV
    name      of the saved files, cleaned here; `key` unless given
    bar       whether the figure has a mode bar; without one it cannot be saved from its corner
    options   for `st.plotly_chart`: on_select, selection_mode, width, height …
    """
    if colours is not None:
        drawn.update_layout(template=colours.template)
    stem = file_name(name or key)
    config = plotly_config(stem, picture) | ({} if bar else {"displayModeBar": False})
    event = st.plotly_chart(drawn, key=key, theme=None, alt=alt, config=config, **{"width": "stretch"} | options)
    if says:
        st.caption(says)
    if table is not None:
        numbers = pd.DataFrame(table)
        with st.expander("Numbers and files", icon=":material/table:"):
            if len(numbers) > MOST_ROWS:
                st.caption(f"The first {MOST_ROWS} of {len(numbers):,} rows; the CSV has all of them.")
            sent = numbers.head(MOST_ROWS)
            st.dataframe(sent, hide_index=True, height=min(320, 36 * (len(sent) + 1) + 3), alt=f"numbers: {alt}")
            with st.container(horizontal=True):
                st.download_button(
                    "CSV", lambda: csv(numbers), f"{stem}.csv", "text/csv", key=f"{key}-csv", on_click="ignore"
                )
                st.download_button(
                    "HTML", lambda: page(drawn), f"{stem}.html", "text/html", key=f"{key}-html", on_click="ignore"
                )
                st.caption("The camera in the figure's corner saves it as a picture.")
    return event


def tabs(drawn: Mapping[str, Callable[[], object]], key: str) -> None:
    """Tabs by their titles, of which only the open one is drawn; the link holds which, as `key`."""
    shelves = st.tabs(list(drawn), key=key, on_change="rerun", bind="query-params")
    for shelf, draw in zip(shelves, drawn.values(), strict=True):
        with shelf:
            if shelf.open:
                draw()


def csv(numbers: pd.DataFrame) -> str:
    """The table as CSV that no spreadsheet runs: texts that begin like a formula get a quote in front."""
    safe = numbers.copy()
    for column in safe.columns:
        if safe[column].dtype == object or pd.api.types.is_string_dtype(safe[column]):
            safe[column] = [f"'{value}" if str(value)[:1] in set("=+-@\t\r") else value for value in safe[column]]
    out = io.StringIO()
    safe.to_csv(out, index=False, lineterminator="\n")
    return out.getvalue()


def page(drawn: go.Figure) -> str:
    """The figure as one HTML file that works without a network."""
    return str(drawn.to_html(include_plotlyjs=True, full_html=True))

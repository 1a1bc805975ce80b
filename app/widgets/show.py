"""How things stand on a page: a figure with its sentence, its numbers and ways to take it along; tabs."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.figures.style import Colours, file_name, plotly_config
from app.state import selection

Table = pd.DataFrame | Mapping[str, Sequence[Any] | np.ndarray]
MOST_ROWS = 100  # of a figure's numbers that are sent to the page; the CSV has all of them


def figure(
    drawn: go.Figure,
    says: str,
    alt: str,
    key: str,
    colours: Colours | Literal["page"] | None = "page",
    picture: str | None = None,
    table: Table | None = None,
    name: str | None = None,
    bar: bool = True,
    pointed: Callable[[dict[str, Any]], object] | None = None,
    **options: Any,
) -> Any:
    """Draw a figure in the page's colours; returns what `st.plotly_chart` returns (its selection, when asked for).

    colours   unless given those of the page; None for a cached figure, which wears its template already
    says      one sentence: what the figure shows; Markdown, so hostile names go through `style.markdown_text`. Empty
              where one sentence stands for several figures
    alt       the same with the numbers, for those who do not see it
    picture   what the camera button saves, "png" or "svg"; unless given what is chosen beside the page
    table     the numbers; shown below on demand and offered as CSV
    name      of the saved files, cleaned here; `key` unless given
    bar       whether the figure has a mode bar; without one it cannot be saved from its corner
    pointed   what a click on a point does: a callback that gets the point, with its customdata
    options   for `st.plotly_chart`: on_select, selection_mode, width, height …
    """
    chosen = selection.current()
    colours = chosen.colours if colours == "page" else colours
    if pointed is not None:

        def clicked() -> None:
            for point in st.session_state[key]["selection"]["points"][:1]:
                pointed(point)

        options |= {"on_select": clicked, "selection_mode": "points"}
    if isinstance(colours, Colours):
        drawn.update_layout(template=colours.template)
    stem = file_name(name or key)
    config = plotly_config(stem, picture or chosen.picture) | ({} if bar else {"displayModeBar": False})
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


def table(
    rows: pd.DataFrame,
    alt: str,
    formats: Mapping[str, Any] | None = None,
    picked: Callable[[int], object] | None = None,
    key: str | None = None,
    **options: Any,
) -> Any:
    """Draw a table without its index; returns what `st.dataframe` returns.

    formats   column -> how its numbers are printed ("%.3f"), or a whole column configuration
    picked    what choosing a row does: a callback that gets its place
    options   for `st.dataframe`: on_select, selection_mode, height …
    """
    if picked is not None:

        def chosen() -> None:
            if (at := selection.picked(str(key))) is not None:
                picked(at)

        options |= {"on_select": chosen, "selection_mode": "single-row"}
    printed = {
        name: st.column_config.NumberColumn(format=form) if isinstance(form, str) else form
        for name, form in (formats or {}).items()
    }
    return st.dataframe(rows, key=key, hide_index=True, alt=alt, column_config=printed, **options)


def tabs(drawn: Mapping[str, Callable[[], object]], key: str) -> None:
    """Tabs by their titles, of which only the open one is drawn; the link holds which, as `key`."""
    shelves = st.tabs(list(drawn), key=key, on_change="rerun", bind="query-params")
    for shelf, draw in zip(shelves, drawn.values(), strict=True):
        with shelf:
            if shelf.open:
                draw()


def numbers(facts: Mapping[str, str]) -> None:
    """Numbers side by side, each under its name; call it in a horizontal container."""
    for label, value in facts.items():
        st.metric(label, value, width="content")


def card(label: str, value: str, moved: str | None = None, words: str | None = None, **options: Any) -> None:
    """A number in a frame, as wide as its neighbours: six stand side by side on a laptop.

    moved     its distance from what it is compared with
    words     what the number is, shown when it is asked for
    options   for `st.metric`: delta_color, delta_arrow …
    """
    st.metric(label, value, moved, border=True, width=164, height=104, help=words, **options)


def one_of(label: str, options: Sequence[str], key: str, **more: Any) -> str:
    """One of a few words that stand side by side, the first unless chosen; the link holds which.

    more   for `st.segmented_control`: help, disabled, format_func …
    """
    first = more.pop("default", options[0])
    found = st.segmented_control(label, options, default=first, required=True, key=key, bind="query-params", **more)
    return first if found is None else str(found)


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

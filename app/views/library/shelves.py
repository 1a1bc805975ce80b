"""The two lists of the library page, datasets and runs: filtered, paged, and the chosen one below in full."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.store.keys import DataKey
from app.views.library import figures as tables
from app.views.library import parts
from app.widgets import show, waiting
from core.machine.names import shown
from core.run import Run

PAGE = 20  # rows of a table at once


def pick(
    title: str, key: str, what: str, table: Callable[[str], pd.DataFrame], empty: str, said: str,
    formats: Mapping[str, str] | None = None,
) -> str | None:  # fmt: skip
    """The header with its filter and the table; the chosen row's index, the first unless chosen, None of none.

    key     of its controls: `key-filter`, `key-page`, `key-table`
    what    one thing of the list, in a sentence; empty: what is said when there is none at all
    table   of what holds the wanted words
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(title, width="content", anchor=False)
        wanted = st.text_input(
            f"Filter {what}s", key=f"{key}-filter", bind="query-params", max_chars=100, width=260,
            placeholder="filter by any word", label_visibility="collapsed",
        )  # fmt: skip
        found, page = table(wanted or ""), 1
        if len(found) > PAGE:
            page = st.number_input("Page", 1, 1000, 1, key=f"{key}-page", width=110, label_visibility="collapsed")
            st.caption(f"page {page} of {-(-len(found) // PAGE)}", width="content")
    if found.empty:
        st.info(f"No {what} matches the filter." if wanted else empty)
        return None
    rows = found.iloc[(page - 1) * PAGE : page * PAGE]
    event = show.table(
        rows, f"{len(found)} {said}", formats, key=f"{key}-table", on_select="rerun", selection_mode="single-row"
    )
    picked = event["selection"]["rows"]
    return str(rows.index[min(picked[0], len(rows) - 1)] if picked and len(rows) else found.index[0])


def datasets() -> None:
    """Every dataset; of the chosen one what is wrong with it, and its buttons."""
    shelf = store.data.shelf()
    picked = pick(
        "Datasets", "data", "dataset", lambda wanted: tables.dataset_table(shelf, wanted), "No dataset is here yet.",
        "datasets with their clips or samples, modalities and sizes",
    )  # fmt: skip
    if picked is None:
        return
    key = DataKey(picked)
    report = store.data.report(key) if store.server.unfinished("report", None, key) is None else None
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            said = "being checked" if report is None else parts.verdict(report)
            st.markdown(f"**{markdown_text(key)}**: {said}", width="stretch")
            parts.download(store.keys.datasets()[key], "data")
            parts.remove("data", key)
        if report is not None:
            parts.described(report)
        else:
            waiting.ready(key, None, "report")


def runs() -> None:
    """Every run; of the chosen one its settings and its buttons."""
    every: dict[Any, Run] = {name: store.runs.run(name) for name in store.runs.readable_runs()}
    name = pick(
        "Trained runs", "run", "run", lambda wanted: tables.run_table(every, store.runs.own_runs(), wanted),
        "No run is here yet: `python -m core train` makes one.",
        "runs with their AUC, accuracy or correlation and size",
        {"unit AUC": "%.1f", "unit AP": "%.1f", "accuracy": "%.1f", "correlation": "%.3f"},
    )  # fmt: skip
    if name is None:
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{markdown_text(every[name].title)}**, run {markdown_text(name)}", width="stretch")
            parts.download(next(at for run, at in store.keys.all_runs().items() if run == name), "runs")
            parts.remove("runs", name)
        if every[name].note:
            st.caption(markdown_text(shown(every[name].note, 400), 400))
        show.table(tables.setting_table(every[name]), "settings of the run", height=220)

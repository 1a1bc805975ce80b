"""The frame of every page: who gets in, navigation, title, shared controls, and a last net for errors."""

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import navigation, selection
from app.widgets import sidebar, theme, waiting

HERE = Path(__file__).parent
GROUPS = {
    "Inspect": [
        ("overview", "Overview", "home"),
        ("clips", "Clips & scores", "movie"),
        ("graphs", "Relationship graphs", "hub"),
        ("thresholds", "Alarm threshold", "rule"),
    ],
    "Explain": [
        ("operator", "Fusion operator A", "grid_on"),
        ("factors", "Low-rank factors", "grid_view"),
        ("splits", "Invariant & specific", "call_split"),
        ("steps", "ProFusion steps", "replay"),
        ("weights", "Kernel & tensor weights", "balance"),
    ],
    "Trust": [
        ("robustness", "Robustness", "shield"),
        ("compare", "Compare runs", "compare_arrows"),
    ],
    "Workspace": [
        ("library", "Data & models", "folder_open"),
        ("train", "Train & sweep", "model_training"),
    ],
}

st.set_page_config(page_title="FuseScope", page_icon=str(HERE / "logo.svg"), layout="wide")
st.html(HERE / "frame.css")
if st.context.theme.type == "dark":
    st.html(HERE / "dark.css")
st.logo(str(HERE / "logo.svg"), size="large")

who = navigation.session()
if who is not None and not store.server.door(navigation.here).admit(who):
    st.title("FuseScope is full")
    st.info("Everyone who fits is already looking. Please reload in a few minutes; nothing of yours is lost.")
    st.stop()

store.server.warm()
groups = {
    group: [
        st.Page(
            f"views/{name}/page.py",
            title=title,
            icon=f":material/{icon}:",
            url_path=name,
            default=name == "overview",
        )
        for name, title, icon in pages
    ]
    for group, pages in GROUPS.items()
}
# Streamlit's own menu puts list items into a <div>, which screen readers do not read as a list: so links of our own
page = st.navigation(groups, position="hidden")
with st.sidebar.container(key="menu"):
    for group, pages in groups.items():
        if pages:
            st.caption(group)
        for each in pages:
            st.page_link(each)
    theme.follow()
st.title(page.title)


def guarded(act: Callable[[], Any]) -> Any:
    """Run it; an error becomes a sentence for the user and a numbered line in the log, never a traceback."""
    try:
        return act()
    except Exception as error:
        # a ValueError of core is written for the user; another error's text may hold paths of the server
        number = secrets.token_hex(3)
        logging.getLogger("fusescope").exception("error %s on page %s", number, page.url_path)
        told = markdown_text(error, 600) if isinstance(error, ValueError) else "Something went wrong on our side."
        st.error(f"{told} (error {number}; the server's log has the details)", icon=":material/error:")
        return None


def warn() -> None:
    """A run of another split may have learned from what the pages show."""
    if page.url_path in ("library", "train"):  # they show no scores, and the library opens before the data are read
        return
    chosen = selection.current()
    if chosen.run is None:
        return
    learned, of = store.runs.learned_from(chosen.run, chosen.dataset)
    if learned:
        what = "clips" if store.data.samples(chosen.dataset) is None else "samples"
        split = markdown_text(store.runs.run(chosen.run).source.protocol)
        st.warning(
            f"This run learned from {learned:,} of the {of:,} {what} shown here (split *{split}*): its numbers on them "
            "say how well it remembers, not how well it works.",
            icon=":material/school:",
        )


ready = guarded(sidebar.choose)
if ready or page.url_path == "library":
    if not ready or guarded(lambda: waiting.all_ready(selection.current(), page.url_path)):
        guarded(warn)
        guarded(page.run)
elif ready is False:
    st.info("There is no dataset yet. Bring one in on the page *Data & models*, or build the demo with `make assets`.")

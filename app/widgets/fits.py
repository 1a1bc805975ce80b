"""A page asks whether what it shows fits the chosen run; where it does not, it says why and offers what does."""

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection

PAGES = {  # view -> (what it is about, analyses of which one has to fit)
    "graphs": ("What fusion did to the relations", ("explanation",)),
    "operator": ("What the operator A learned", ("operator",)),
    "factors": ("Rank and interaction parts", ("factors", "prior distance")),
    "splits": ("Invariant and specific parts", ("split parts",)),
    "steps": ("What is known after each step", ("step answers",)),
    "weights": ("How much each modality counts", ("weights",)),
}
FEW = 3  # runs that are offered


def page(chosen: Selection, view: str) -> None:
    """Go on where the page fits the chosen run; else say why not, offer runs and pages that fit, and end the page."""
    if chosen.run is None:
        st.info("No trained run fits this dataset, so there is nothing to look into.")
    elif why := store.methods.unfit(PAGES[view][1], chosen.run, chosen.dataset):
        st.info(f"The chosen run does not fit this page: {markdown_text(why, 300)}.")
    else:
        return
    fitting = store.methods.fitting(PAGES[view][1], chosen.dataset)[:FEW]
    titles = store.runs.run_titles(chosen.dataset)
    for place, run in enumerate(fitting):
        st.button(
            f"Open {markdown_text(titles[run])}",
            on_click=selection.put,
            kwargs={"run": run},
            type="secondary" if place else "primary",
        )
    if not fitting:
        way("train", "Train a run on this dataset")
        ways(chosen)
        way("clips", "Every score or answer of the chosen run")
    st.stop()


def part(what: str, chosen: Selection) -> bool:
    """Whether a part of a page fits the chosen run; if not, the part is a sentence."""
    why = store.methods.fits(what, chosen.trained, chosen.dataset)
    if why:
        st.info(f"{markdown_text(why, 300)}.")
    return not why


def ways(chosen: Selection) -> None:
    """Links to the pages that look into this run's method; without a run, to all of them."""
    for view, (words, shows) in PAGES.items():
        if chosen.run is None or not store.methods.unfit(shows, chosen.run, chosen.dataset):
            way(view, words)


def way(view: str, words: str) -> None:
    """A link to a page."""
    st.page_link(f"views/{view}/page.py", label=words, icon=":material/arrow_forward:")

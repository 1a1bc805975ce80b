"""What a page shows while a large set is scored for the first time."""

from collections.abc import Sequence

import streamlit as st

from app import store
from app.state.selection import Selection
from app.store.keys import DataKey, RunKey

WORDS = {
    "data": "Reading and checking {clips:,} clips for the first time; they are opened at once from then on",
    "scores": "Scoring {clips:,} clips with this run for the first time; the result is kept",
    "graphs": "Building the graphs of {clips:,} clips",
    "report": "Reading and checking every file of {clips:,} clips",
}
NEEDS = {  # pages that show nothing before these are there; others wait by themselves, or need none of it
    "thresholds": ("scores",),
    "graphs": ("scores", "graphs"),
    "operator": ("scores", "graphs"),
}


def ready(dataset: DataKey, run: RunKey | None, what: str = "scores") -> bool:
    """True when it is there; else its progress is drawn, twice a second, and the page anew once it is."""
    work = store.server.unfinished(what, run, dataset)
    if work is None:
        return True

    every = (store.data.index(dataset) or {}).get("clips", ()) if run is None else store.data.clips(dataset)
    words = WORDS[what].format(clips=len(every))

    def look() -> None:
        if work.done:
            st.rerun()
        st.progress(work.share, words)

    st.fragment(run_every=0.5)(look)()
    return False


def all_ready(chosen: Selection, page: str, needs: Sequence[str] | None = None) -> bool:
    """True when all is there that the page cannot do without."""
    asked = NEEDS.get(page, ()) if needs is None else needs
    return chosen.run is None or all(ready(chosen.dataset, chosen.run, what) for what in asked)


def runs_ready(dataset: DataKey, groups: Sequence[str]) -> bool:
    """True when every run of these groups has scored the dataset."""
    every, _ = store.compare.groups(dataset)
    return all(ready(dataset, name) for group in groups for name in map(RunKey, every[group].runs.values()))

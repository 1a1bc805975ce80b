"""Pieces of the overview: what is loaded, methods side by side, where to go, and the highest scores."""

import pandas as pd
import streamlit as st

from app import store
from app.figures.methods import BARS
from app.figures.style import markdown_text
from app.state import navigation, selection
from app.state.selection import Selection
from app.store.keys import RunKey
from app.widgets import fits, show
from core.machine.names import shown


def head(chosen: Selection) -> None:
    """The dataset's name and what it holds, in numbers."""
    data = store.data.data(chosen.dataset)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(markdown_text(data.name), width="content", anchor=False)
        if data.simulated:
            st.badge("simulated", icon=":material/animation:", color="violet")
        st.badge(store.server.device(), icon=":material/memory:", color="gray")
    with st.container(horizontal=True):
        show.numbers(store.data.facts(chosen.dataset))


def methods(chosen: Selection) -> None:
    """Every method trained on this dataset, against one of them."""
    own = store.runs.own_runs_of(chosen.dataset)
    if not own:
        st.info(
            "No run was trained on this dataset yet: `python -m core table` trains every method over several seeds."
        )
        return
    groups = {run.group: shown(run.title, 60) for run in own.values()}
    baseline = st.selectbox(
        "Baseline", list(groups), key="baseline", bind="query-params", format_func=lambda group: groups[group]
    )
    mine = own[chosen.run].group if chosen.run in own else None
    table, drawn = store.runs.methods(chosen.dataset, baseline, mine, chosen.colours.name)
    name = str(table.columns[3])
    few = f"Of {len(table)} methods the best, the chosen one and the last are drawn. " if len(table) > BARS else ""
    show.figure(
        drawn,
        f"{few}The {name} on the test part: mean over seeds, whiskers one standard deviation, last epoch; "
        "green is the chosen run's method" + (", 50 is guessing." if name == "unit AUC" else "."),
        f"{name}: " + ", ".join(f"{m} {a:.3g}" for m, a in zip(table["method"], table[name], strict=True)),
        "methods",
        None,
        table=table.drop(columns="group"),
    )


def ways(chosen: Selection) -> None:
    """Links to the pages to begin with, and to those that look into the chosen run."""
    samples = store.data.samples(chosen.dataset) is not None
    fits.way("clips", "Every sample and its answer" if samples else "The highest alarms in their videos")
    fits.way("thresholds", "Where to put the alarm")
    fits.ways(chosen)
    fits.way("library", "Bring your own data")


def contents(chosen: Selection) -> None:
    """The modalities, what made them, and under which licence."""
    data = store.data.data(chosen.dataset)
    table = pd.DataFrame(
        {
            "modality": [shown(name) for name in data.widths],
            "width": list(data.widths.values()),
            "made by": [shown(data.extractors.get(name, "?"), 200) for name in data.widths],
        }
    )
    show.table(table, "modalities, their widths and what made them")
    with st.expander("Licence and notes", icon=":material/info:"):
        st.text(shown(data.licence or "no licence named", 400))
        for note in data.notes:
            st.text(shown(note, 400))


def moments(chosen: Selection, run: RunKey) -> None:
    """The ten units with the highest scores, each with its picture; a click goes there."""
    top = store.models.moments(run, chosen.dataset)
    for row in (top[:5], top[5:]):
        for column, moment in zip(st.columns(5), row, strict=False):
            picture = store.pictures.thumbnail(chosen.dataset, moment.clip, moment.unit)
            seconds = moment.unit * store.data.clip(chosen.dataset, moment.clip).seconds
            said = f"{shown(moment.clip, 40)}, {seconds:.1f} s, score {moment.score:.3f}"
            if picture is not None:
                column.image(picture, width="stretch", alt=said)
            link = {"clip": moment.clip, "time": round(seconds, 2)}
            key = f"top-{moment.clip}-{moment.unit}"
            if column.button(markdown_text(said), key=key, on_click=selection.put, kwargs=link, type="tertiary"):
                navigation.open_page("clips", **link)

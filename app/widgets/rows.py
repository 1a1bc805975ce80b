"""One row of what is looked at, a sample or a unit of a clip: what it is, and how a click makes it the chosen one."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from app import store
from app.figures.marks import class_of, clicked_row
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.store.keys import DataKey
from core.machine.names import shown
from core.sample import Part

HEIGHT = 88  # pixels of a small picture


def choose(dataset: DataKey, row: int) -> None:
    """From a callback: this row is the chosen one, on every page."""
    selection.put(**store.data.link(dataset, row))


def pointed(dataset: DataKey) -> Callable[[dict[str, Any]], None]:
    """For `show.figure`: a click on a point chooses the row that is its customdata."""

    def chosen(point: dict[str, Any]) -> None:
        if (row := clicked_row(point.get("customdata"))) is not None:
            choose(dataset, row)

    return chosen


def picked(dataset: DataKey, among: Sequence[int] | np.ndarray) -> Callable[[int], None]:
    """For `show.table`: a line of the table chooses the row that stands there among these."""
    return lambda at: choose(dataset, int(among[at]))


def chosen_row(chosen: Selection, part: Part, row: int) -> None:
    """What the row is: its name, its class, its pictures."""
    known = class_of(part, row)
    words = markdown_text(f", class {known}", 60) if known else ""
    st.markdown(f"**{markdown_text(part.names[row], 80)}**{words}")
    if store.data.samples(chosen.dataset) is not None:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for name in part.features:
                drawn = picture(chosen, part, row, name)
                if drawn is not None:
                    st.image(drawn, width="content", alt=f"{shown(name)} of the chosen row", caption=shown(name, 30))
        return
    found = store.pictures.thumbnail(chosen.dataset, *part.places[row])
    if found is not None:
        st.image(found, width=190, alt="a frame from the middle of the chosen unit")
    st.page_link("views/clips/page.py", label="Look at this moment", icon=":material/movie:")


def picture(chosen: Selection, part: Part, row: int, modality: str) -> str | None:
    """A small picture of a row as a data address: the modality's own where it is one, else a frame of the clip."""
    samples = store.data.samples(chosen.dataset)
    if samples is None:
        found = store.pictures.thumbnail(chosen.dataset, *part.places[row])
        return None if found is None else f"data:image/jpeg;base64,{base64.b64encode(found).decode()}"
    if modality not in samples.pictures:
        return None
    values = part.features[modality][row].numpy().reshape(samples.pictures[modality])
    low, high = float(values.min()), float(values.max())
    grey = np.asarray(255 * (values - low) / (high - low if high > low else 1), np.uint8)
    times = max(1, HEIGHT // len(grey))
    out = io.BytesIO()
    Image.fromarray(grey.repeat(times, 0).repeat(times, 1)).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"

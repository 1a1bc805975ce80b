"""What several pages show of samples, and what pages about clips show instead."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app import store
from app.figures.samples import picture
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.widgets import show
from core.machine.names import shown
from core.sample import Samples


def pick_class(data: Samples) -> int:
    """Which class raises the alarm, against all others."""
    names = [shown(name, 40) for name in data.task.names]
    return int(
        st.selectbox("Alarm for class", range(len(names)), format_func=lambda at: names[at], key="class",
                     bind="query-params") or 0
    )  # fmt: skip


def pictures(
    data: Samples,
    chosen: Selection,
    row: int,
    corrupted: Mapping[str, np.ndarray] | None = None,
    width: int = 190,
) -> None:
    """The modalities of a sample that are pictures, side by side, or what became of them; nothing when none is."""
    if not data.pictures:
        return
    features = store.data.part(chosen.dataset).features
    kind, words = ("picture", "") if corrupted is None else ("corrupted", " as corrupted")
    with st.container(horizontal=True, gap="small"):
        for name, (height, across) in data.pictures.items():
            if corrupted is not None and name not in corrupted:
                continue
            with st.container(width=width):
                values = features[name][row].numpy() if corrupted is None else corrupted[name]
                show.figure(
                    picture(values, height, across, chosen.colours),
                    markdown_text(name),
                    f"picture of modality {shown(name)} of sample {row}{words}, {height} by {across}",
                    f"{kind}-{name}",
                    name=f"{name} of sample {row}",
                    bar=False,
                    width="content",
                )

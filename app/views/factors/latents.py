"""Latents of JWAE: distance to the prior, retrieval across modalities, and a walk between two rows."""

import numpy as np
import pandas as pd
import streamlit as st
from scipy.special import expit, softmax

from app import store
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.views.factors import latent_figures as figures
from app.widgets import show
from core.fusion.base import Fusion
from core.machine.names import shown
from core.sample import Part


def read(outputs: np.ndarray, kind: str) -> tuple[np.ndarray, str]:
    """What outputs say, as people read it, and what that is."""
    if kind == "class":
        return softmax(outputs, axis=1), "probability"
    return (expit(outputs), "score") if kind == "units" else (outputs, "output")


def draw(chosen: Selection, model: Fusion, part: Part, row: int) -> None:
    """All three."""
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _distance(chosen)
    with right:
        if part.target is not None and part.classes:
            _retrieval(chosen)
        else:
            st.info("Retrieval is judged by classes; these rows have none.")
    _walk(chosen, model, part, row)


def _distance(chosen: Selection) -> None:
    found = store.methods.computed("prior distance", chosen.trained, chosen.dataset)
    names, mmd2, chance = ([getattr(one, what) for one in found] for what in ("modality", "mmd2", "by_chance"))
    lengths = ", ".join(f"{markdown_text(one.modality)} {one.length:.2f}" for one in found)
    show.figure(
        figures.distance_figure(names, mmd2, chance, chosen.colours),
        f"How far latents are from N(0, I), over {found[0].rows:,} rows. Mean length {lengths}; of the prior "
        f"{found[0].expected:.2f}.",
        "; ".join(f"{shown(one.modality)} {one.mmd2:.4f}" for one in found),
        "prior-distance",
        table={"modality": list(map(shown, names)), "MMD²": mmd2, "95 % by chance": chance}
        | {"mean length": [one.length for one in found]},
    )


def _retrieval(chosen: Selection) -> None:
    st.markdown("Retrieval across modalities")
    found = store.methods.computed("retrieval", chosen.trained, chosen.dataset)
    rows = [
        {"asked": shown(one.asked, 24), "answered": shown(one.answers, 24), "MAP": one.map}
        | {f"MAP@{k}": value for k, value in one.map_at.items()}
        | {"chance": one.chance}
        for one in found
    ]
    table = pd.DataFrame(rows)
    said = "; ".join(f"{one.asked} to {one.answers}: MAP {one.map:.3f}" for one in found)
    show.table(table, said, dict.fromkeys(table.columns[2:], "%.3f"))
    st.caption(
        "A row of one modality asks, rows of another answer, by cosine of latents; an answer of the same class is "
        "right. Chance: a random order."
    )


def _walk(chosen: Selection, model: Fusion, part: Part, row: int) -> None:
    st.header("A walk between two rows", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        other = st.number_input(
            f"Other row (0 to {len(part) - 1:,})", 0, 10_000_000, value=1, step=1, key="walk_to", bind="query-params",
            width=180, help="Number in the test part of the row that the walk ends at.",
        )  # fmt: skip
        crossed = st.toggle(
            "Decode each modality from the others", key="crossed", bind="query-params",
            help="What the others' latents know of it, instead of its own latent.",
            disabled=len(model.widths) < 2,
        )  # fmt: skip
    last = min(int(other), len(part) - 1)
    found = store.methods.computed("walk", chosen.trained, chosen.dataset, row, last)
    samples = store.data.samples(chosen.dataset)
    shapes = dict(samples.pictures) if samples is not None else {}
    rows = found.crossed if crossed else found.rows
    st.caption(f"From {markdown_text(part.names[row])} to {markdown_text(part.names[last])}.")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show.figure(
            figures.walk_pictures(rows, found.ends, shapes, found.steps, chosen.colours),
            "Outermost: the two rows as they are. Between: what the decoders make of latents on the straight line.",
            f"a walk of {len(found.steps)} steps through the latents of {', '.join(map(shown, rows))}",
            "walk-rows",
        )
    with right:
        values, unit = read(found.outputs, part.task.kind)
        show.figure(
            figures.walk_outputs(found.steps, values, part.task.names, chosen.colours, unit),
            "What the model answers on the way, from each modality's own latent.",
            f"{unit} of {shown(part.task.names[0])} from {values[0, 0]:.3f} to {values[-1, 0]:.3f}",
            "walk-outputs",
            table={"step": found.steps, **{shown(name, 40): values[:, at] for at, name in enumerate(part.task.names)}},
        )

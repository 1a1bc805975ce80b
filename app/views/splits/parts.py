"""The controls of the splits page, the map that waits for UMAP, and what its tabs show."""

import base64
import functools
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.splits import figures as figures
from app.widgets import show
from core.explain.plane import Background
from core.explain.split import INVARIANT, Cloud, Neighbours, Parts, boundary_curve, neighbours
from core.fusion.base import Fusion
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

FUSIONS = ("gmf", "g-mbt", "g-perceiver", "g-lmf", "misa")
HEIGHT = 88  # pixels of a small picture
POLL = 1.0  # seconds between two looks for a map that is being made


@functools.cache
def maps() -> Background:
    """One maker of UMAPs for the process; `$NUMBA_CACHE_DIR`, else the workspace keeps the compiled code."""
    return Background(Path(os.environ.get("NUMBA_CACHE_DIR") or store.keys.workspace() / "cache" / "numba"))


def wrong_fusion(chosen: Selection) -> None:
    """What to do when the chosen run does not split: open the best that does, or train one."""
    fitting = [name for name, run in store.runs.runs(chosen.dataset).items() if run.fusion in FUSIONS]
    st.info(
        "This page shows what a fusion calls shared and what it calls a modality's own. GMF and its front ends do "
        "(*gmf*, *g-mbt*, *g-perceiver*, *g-lmf*), and MISA (*misa*); the chosen run does not."
    )
    if fitting:
        best = min(fitting, key=lambda name: FUSIONS.index(store.runs.run(name).fusion))
        title = markdown_text(store.runs.run_titles(chosen.dataset)[best])
        st.button(f"Open {title}", on_click=lambda: selection.put(run=best), type="primary")
    else:
        st.caption("Train one: `python -m core train DATASET --fusion gmf --set project=16`.")


# ---------------------------------------------------------------------------- the map


def pick_view(part: Part) -> tuple[str, str, str]:
    """(which parts, coloured by what, UMAP or PCA); the link holds all three."""
    what = ["modality", "class", "score"] if part.target is not None and part.classes else ["modality", "score"]
    shown_parts = st.segmented_control(
        "Parts", ["both", "invariant", "specific"], default="both", required=True, key="parts", bind="query-params"
    )
    colour = st.segmented_control(
        "Colour by", what, default="modality", required=True, key="colour", bind="query-params"
    )
    how = st.segmented_control("Map", ["UMAP", "PCA"], default="UMAP", required=True, key="map", bind="query-params")
    return str(shown_parts), str(colour), str(how)


def places_of(chosen: Selection, cloud: Cloud, kinds: str, how: str) -> tuple[np.ndarray, str]:
    """Where the points lie and what made the map: PCA as long as UMAP is not there."""
    found, coming = maps().look(cloud.rows) if how == "UMAP" else (None, False)
    if coming:
        _wait(cloud)
    elif how == "UMAP" and found is None:
        st.caption("UMAP needs 20 points and a process of its own; there is none of it here, so this is PCA.")
    if found is not None:
        return found, "UMAP"
    return store.methods.computed("split pca", chosen.trained, chosen.dataset, kinds), "PCA"


@st.fragment(run_every=POLL)
def _wait(cloud: Cloud) -> None:
    """Looks again every second; the page is drawn anew once the map is there."""
    st.caption(":material/hourglass: UMAP is being made; until then this is PCA. The page changes by itself.")
    if not maps().look(cloud.rows)[1]:
        st.rerun()


def clicked(chosen: Selection, cloud: Cloud) -> None:
    """A point was clicked: its row becomes the chosen one everywhere."""
    points = st.session_state["split-map"]["selection"]["points"]
    if points:
        row = figures.clicked_row(cloud, int(points[0]["curve_number"]), int(points[0]["point_index"]))
        if row is not None:
            selection.put(**store.data.link(chosen.dataset, row))


# ---------------------------------------------------------------------------- the chosen row and who is near it


def chosen_row(chosen: Selection, part: Part, row: int) -> None:
    """What the row is: its name, its class, its pictures."""
    known = "" if part.target is None or not part.classes else f", class {part.classes[int(part.target[row])]}"
    st.markdown(f"**{markdown_text(part.names[row], 80)}**{markdown_text(known, 60)}")
    if store.data.samples(chosen.dataset) is not None:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            for name in part.features:
                drawn = picture(chosen, part, row, name)
                if drawn is not None:
                    st.image(drawn, width="content", alt=f"{shown(name)} of the chosen row", caption=shown(name, 30))
        return
    clip, unit = part.places[row]
    found = store.pictures.thumbnail(chosen.dataset, clip, unit)
    if found is not None:
        st.image(found, width=190, alt="a frame from the middle of the chosen unit")
    st.page_link("views/clips/page.py", label="Look at this moment", icon=":material/movie:")


def near(chosen: Selection, part: Part, found: Parts, row: int) -> None:
    """Rows of the other modalities whose invariant parts are nearest; a click on one makes it the chosen row."""
    asked = st.selectbox(
        "Nearest to the invariant part of",
        found.modalities,
        format_func=lambda name: shown(name, 40),
        key="asked",
        bind="query-params",
    )
    count = 6 if len(found.modalities) < 3 else 3
    for each in neighbours(found, row, asked or found.modalities[0], count):
        key = f"near-{each.answers}"

        def opened(each: Neighbours = each, key: str = key) -> None:
            at = selection.picked(key)
            if at is not None:
                selection.put(**store.data.link(chosen.dataset, int(each.rows[at])))

        table = pd.DataFrame({"row": each.rows, "name": [shown(part.names[i], 60) for i in each.rows]})
        seen = [picture(chosen, part, int(i), each.answers) for i in each.rows]
        if any(seen):
            table.insert(0, "picture", seen)
        if part.target is not None and part.classes:
            table["class"] = [shown(part.classes[c], 30) for c in part.target.numpy()[each.rows]]
        table["cosine"] = each.similarity
        st.dataframe(
            table,
            key=key,
            on_select=opened,
            selection_mode="single-row",
            hide_index=True,
            height=35 * (len(table) + 1) + 2,
            alt=f"the {len(table)} rows of {shown(each.answers)} nearest to the chosen row",
            column_config={
                "picture": st.column_config.ImageColumn("picture", width=56),
                "row": None,
                "cosine": st.column_config.NumberColumn(format="%.3f", width=64),
            },
        )
        st.caption(
            f"{markdown_text(each.answers)}: its own partner is number {each.own:,} of {len(part):,} "
            f"({(len(part) + 1) / 2:,.0f} if the two had nothing to do with each other)."
        )


def picture(chosen: Selection, part: Part, row: int, modality: str) -> str | None:
    """A small picture of a row as a data address: the modality's own where it is one, else a frame of the clip."""
    samples = store.data.samples(chosen.dataset)
    if samples is None:
        clip, unit = part.places[row]
        found = store.pictures.thumbnail(chosen.dataset, clip, unit)
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


# ---------------------------------------------------------------------------- the tabs


def probes(chosen: Selection) -> None:
    found = store.methods.computed("split probes", chosen.trained, chosen.dataset)
    if not found:
        st.info("A probe is fitted on the training part and judged on the test part; this dataset names no such parts.")
        return
    show.figure(
        figures.probe_figure(found, chosen.colours),
        "What a linear classifier reads off each part of rows it has not seen: point and 95 % interval; the orange "
        "line is chance. Ideally invariant parts leave the modality at chance and keep the class. Where modalities are "
        "told apart, narrower specific parts are filled up with zeros. Intervals come from drawing "
        + ("clips" if store.data.samples(chosen.dataset) is None else "samples")
        + " again.",
        figures.probe_sentence(found),
        "probes",
        chosen.colours,
        chosen.picture,
        figures.probe_table(found),
    )
    given_away = next((p for p in found if p.asked == "modality" and p.kind == INVARIANT), None)
    if given_away is not None:
        ideal = given_away.low <= given_away.chance
        st.markdown(
            f"{'As it should be' if ideal else 'Not as it should be'}: the invariant parts of this run "
            f"{'do not give' if ideal else 'give'} their modality away ({given_away.value:.1%} against "
            f"{given_away.chance:.1%} by chance)."
            + (
                ""
                if ideal
                else " Nothing in the reconstruction loss asks the modalities' invariant parts to look alike."
            )
        )


def masses(chosen: Selection, found: Parts, row: int) -> None:
    left, right = st.columns([2, 3], gap="medium")
    with left:
        show.figure(
            figures.lost_figure(found, chosen.colours),
            "Squared error of the reconstruction over the variance of what was split, on these rows. From the dotted "
            "line at 1 on, their mean would do as well.",
            "; ".join(f"{shown(name, 30)} {value:.3g}" for name, value in found.lost.items()),
            "lost",
            chosen.colours,
            chosen.picture,
        )
    with right:
        show.figure(
            figures.mass_figure(found, row, chosen.colours),
            "How much of a row's squared length lies on the invariant side: of the dissolved row, left of the "
            "boundary; of what is put out, the part that came from the next modality. Boxes hold the middle half.",
            "; ".join(f"{shown(name, 30)} {values.mean():.2f}" for name, values in found.out.items()),
            "mass",
            chosen.colours,
            chosen.picture,
            figures.mass_table(found, row),
        )


def missing(chosen: Selection, model: Fusion) -> None:
    found = store.methods.computed("availability", chosen.trained, chosen.dataset)
    if not found:
        st.info("Nobody labelled these rows, so there is nothing to judge against.")
        return
    words = METRIC_WORDS[model.task.metric] + ("" if model.task.metric == "correlation" else " (%)")
    left, right = st.columns([2, 3], gap="medium")
    with left:
        show.figure(
            figures.availability_figure(found, words, chosen.colours),
            "The chosen run with these modalities alone; the others are zeros, the mean of the training rows.",
            "; ".join(f"{figures.set_words(e.modalities)} {e.value:.1f}" for e in found if e.value is not None),
            "availability",
            chosen.colours,
            chosen.picture,
        )
    with right:
        table = figures.availability_table(store.runs.own_runs_of(chosen.dataset), chosen.run, tuple(model.widths))
        numbers = [name for name in table.columns if name not in ("method", "seeds")]
        st.dataframe(
            table,
            hide_index=True,
            alt=f"{words} of {len(table)} methods with all modalities and with each alone",
            column_config={name: st.column_config.NumberColumn(format="%.1f", width="small") for name in numbers},
        )
        st.caption(
            f"Every method trained on this dataset: {words}, mean over seeds, and what a single modality costs on "
            "average. The smallest loss is first; beware of methods that have little to lose."
        )


def across(chosen: Selection) -> None:
    found = store.methods.computed("split retrieval", chosen.trained, chosen.dataset)
    if found is None:
        st.info("Retrieval needs classes: an answer is right when its class is the query's.")
        return
    show.figure(
        figures.retrieval_figure(found.directions, found.chance_at, chosen.colours),
        f"Invariant parts of one modality ask ({found.directions[0].queries:,} rows), those of another answer, ranked "
        "by cosine; an answer is right when its class is the query's. The dotted line is a random order.",
        "; ".join(f"{shown(e.asked, 20)} to {shown(e.answers, 20)} MAP {e.map:.3f}" for e in found.directions),
        "retrieval",
        chosen.colours,
        chosen.picture,
        figures.retrieval_table(found.directions, found.chance_at),
    )


def boundaries(chosen: Selection) -> None:
    run = store.runs.run(chosen.trained)
    found = boundary_curve(run, list(store.runs.runs(chosen.dataset).values()))
    if not found:
        st.info("Only GMF and its front ends have a boundary and a magnification.")
        return
    words = METRIC_WORDS[run.metric]
    show.figure(
        figures.boundary_figure(found, words, chosen.colours),
        "Runs that differ from the chosen one in boundary, magnification and seed alone; bars are one sd over seeds.",
        "; ".join(
            f"boundary {e.boundary:g}, magnification {e.magnification}: {e.value:.1f}"
            for e in found
            if e.value is not None
        ),
        "boundary",
        chosen.colours,
        chosen.picture,
        figures.boundary_table(found, words),
    )
    if len(found) == 1:
        st.caption(
            f"There is no other such run yet: `python -m core train DATASET --fusion {run.fusion} --set boundary=0.25` "
            "with the other options as they are."
        )

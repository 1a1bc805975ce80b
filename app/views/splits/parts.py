"""The controls of the splits page, the map that waits for UMAP, and what its tabs show."""

import functools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.marks import class_of
from app.figures.style import markdown_text
from app.figures.words import axis
from app.state.selection import Selection
from app.views.splits import figures
from app.widgets import fits, rows, show
from core.explain.plane import Background
from core.explain.split import INVARIANT, Cloud, Parts, boundary_curve, neighbours
from core.fusion.base import Fusion
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

POLL = 1.0  # seconds between two looks for a map that is being made


@functools.cache
def maps() -> Background:
    """One maker of UMAPs for the process; `$NUMBA_CACHE_DIR`, else the workspace keeps the compiled code."""
    return Background(Path(os.environ.get("NUMBA_CACHE_DIR") or store.keys.workspace().compiled))


# ---------------------------------------------------------------------------- the map


def pick_view(part: Part) -> tuple[str, str, str]:
    """(which parts, coloured by what, UMAP or PCA); the link holds all three."""
    what = ["modality", "class", "score"] if part.target is not None and part.classes else ["modality", "score"]
    choices = {"Parts": ["both", "invariant", "specific"], "Colour by": what, "Map": ["UMAP", "PCA"]}
    keys = ("parts", "colour", "map")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        a, b, c = (
            str(st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params"))
            for (label, options), key in zip(choices.items(), keys, strict=True)
        )
    return a, b, c


def draw_map(chosen: Selection, part: Part, row: int, view: tuple[str, str, str]) -> None:
    """Every part as a point; a click on one chooses its row."""
    kinds, colour, how = view
    cloud: Cloud = store.methods.computed("split cloud", chosen.trained, chosen.dataset, kinds)
    places, made_by = places_of(chosen, cloud, kinds, how)
    scores = figures.row_scores(store.models.outputs(chosen.trained, chosen.dataset), part)
    show.figure(
        figures.parts_map(places, cloud, part, colour, scores, row, made_by, chosen.colours),
        f"Every {'part' if kinds == 'both' else f'{kinds} part'} of every modality; the symbol says whose it is, open "
        "ones are specific. Click a point to choose its row; all its parts wear orange. "
        f"{len(figures.drawn_points(cloud)):,} of {cloud.of:,} rows are drawn.",
        f"{made_by} of {len(cloud.row)} parts of {len(cloud.modalities)} modalities, coloured by {colour}; "
        f"the chosen row is number {row}",
        "split-map",
        name=f"{made_by} of {chosen.run}",
        pointed=rows.pointed(chosen.dataset),
    )


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


# ---------------------------------------------------------------------------- who is near the chosen row


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
        table = pd.DataFrame({"row": each.rows, "name": [shown(part.names[i], 60) for i in each.rows]})
        seen = [rows.picture(chosen, part, int(i), each.answers) for i in each.rows]
        if any(seen):
            table.insert(0, "picture", seen)
        if part.target is not None and part.classes:
            table["class"] = [shown(class_of(part, int(i)), 30) for i in each.rows]
        table["cosine"] = each.similarity
        show.table(
            table,
            f"the {len(table)} rows of {shown(each.answers)} nearest to the chosen row",
            {"picture": st.column_config.ImageColumn("picture", width=56), "row": None}
            | {"cosine": st.column_config.NumberColumn(format="%.3f", width=64)},
            picked=rows.picked(chosen.dataset, each.rows),
            key=f"near-{each.answers}",
            height=35 * (len(table) + 1) + 2,
        )
        st.caption(
            f"{markdown_text(each.answers)}: its own partner is number {each.own:,} of {len(part):,} "
            f"({(len(part) + 1) / 2:,.0f} if the two had nothing to do with each other)."
        )


# ---------------------------------------------------------------------------- the tabs


def probes(chosen: Selection) -> None:
    if not fits.part("split probes", chosen):
        return
    found = store.methods.computed("split probes", chosen.trained, chosen.dataset)
    drawn = "clips" if store.data.samples(chosen.dataset) is None else "samples"
    show.figure(
        figures.probe_figure(found, chosen.colours),
        "What a linear classifier reads off each part of rows it has not seen: point and 95 % interval; the orange "
        "line is chance. Ideally invariant parts leave the modality at chance and keep the class. Where modalities are "
        f"told apart, narrower specific parts are filled up with zeros. Intervals come from drawing {drawn} again.",
        figures.probe_sentence(found),
        "probes",
        table=figures.probe_table(found),
    )
    given_away = next((p for p in found if p.asked == "modality" and p.kind == INVARIANT), None)
    if given_away is None:
        return
    ideal, other = "As it should be: the invariant parts of this run do not give", "Not as it should be: the invariant "
    value, chance = f"{given_away.value:.1%}", f"{given_away.chance:.1%}"
    if given_away.low <= given_away.chance:
        st.markdown(f"{ideal} their modality away ({value} against {chance} by chance).")
    else:
        st.markdown(
            f"{other}parts of this run give their modality away ({value} against {chance} by chance). Nothing in the "
            "reconstruction loss asks the modalities' invariant parts to look alike."
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
        )
    with right:
        show.figure(
            figures.mass_figure(found, row, chosen.colours),
            "How much of a row's squared length lies on the invariant side: of the dissolved row, left of the "
            "boundary; of what is put out, the part that came from the next modality. Boxes hold the middle half.",
            "; ".join(f"{shown(name, 30)} {values.mean():.2f}" for name, values in found.out.items()),
            "mass",
            table=figures.mass_table(found, row),
        )


def missing(chosen: Selection, model: Fusion) -> None:
    if not fits.part("availability", chosen):
        return
    found = store.methods.computed("availability", chosen.trained, chosen.dataset)
    words = axis(METRIC_WORDS[model.task.metric], model.task.metric)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        show.figure(
            figures.availability_figure(found, words, chosen.colours),
            "The chosen run with these modalities alone; the others are zeros, the mean of the training rows.",
            "; ".join(f"{figures.set_words(e.modalities)} {e.value:.1f}" for e in found if e.value is not None),
            "availability",
        )
    with right:
        table = figures.availability_table(store.runs.own_runs_of(chosen.dataset), chosen.run, tuple(model.widths))
        number = st.column_config.NumberColumn(format="%.1f", width="small")
        said = f"{words} of {len(table)} methods with all modalities and with each alone"
        show.table(table, said, dict.fromkeys(table.columns.drop(["method", "seeds"]), number))
        st.caption(
            f"Every method trained on this dataset: {words}, mean over seeds, and what a single modality costs on "
            "average. The smallest loss is first; beware of methods that have little to lose."
        )


def across(chosen: Selection) -> None:
    if not fits.part("split retrieval", chosen):
        return
    found = store.methods.computed("split retrieval", chosen.trained, chosen.dataset)
    show.figure(
        figures.retrieval_figure(found.directions, found.chance_at, chosen.colours),
        f"Invariant parts of one modality ask ({found.directions[0].queries:,} rows), those of another answer, ranked "
        "by cosine; an answer is right when its class is the query's. The dotted line is a random order.",
        "; ".join(f"{shown(e.asked, 20)} to {shown(e.answers, 20)} MAP {e.map:.3f}" for e in found.directions),
        "retrieval",
        table=figures.retrieval_table(found.directions, found.chance_at),
    )


def boundaries(chosen: Selection) -> None:
    run = store.runs.run(chosen.trained)
    found = boundary_curve(run, list(store.runs.runs(chosen.dataset).values()))
    if not found:
        st.info("Only GMF and its front ends have a boundary and a magnification.")
        return
    words, known = METRIC_WORDS[run.metric], [each for each in found if each.value is not None]
    show.figure(
        figures.boundary_figure(found, words, chosen.colours),
        "Runs that differ from the chosen one in boundary, magnification and seed alone; bars are one sd over seeds.",
        "; ".join(f"boundary {e.boundary:g}, magnification {e.magnification}: {e.value:.1f}" for e in known),
        "boundary",
        table=figures.boundary_table(found, words),
    )
    if len(found) == 1:
        st.caption(
            f"There is no other such run yet: `python -m core train DATASET --fusion {run.fusion} --set boundary=0.25` "
            "with the other options as they are."
        )

"""The tabs of the factors page: do ranks mean something, what other methods say, rank against quality."""

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.figures.words import axis
from app.state.selection import Selection
from app.views.factors import figures
from app.widgets import show
from core.explain.lowrank import rank_curve
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part


def test_of_ranks(chosen: Selection) -> None:
    """The hypothesis that ranks keep to interactions, as a test."""
    found = store.methods.computed("specialisation", chosen.trained, chosen.dataset)
    if found.why:
        st.info(f"Nothing can be tested here: {found.why}.")
        return
    names = [figures.interaction_name(subset) for subset in found.interactions]
    certain = [f"rank {i + 1}" for i in range(len(found.p)) if found.p[i] <= 0.05]
    verdict = (
        f"{', '.join(certain)} keep{'s' * (len(certain) == 1)} to few interactions more than ranks drawn at random."
        if certain
        else "No rank keeps to few interactions more than ranks drawn at random: here the hypothesis finds no support."
    )
    st.markdown(f"**{verdict}**")
    shares = {f"share {name}": found.shares[:, at] for at, name in enumerate(names)}
    numbers = {"share of all mass": found.mass, "specialisation": found.index}
    show.figure(
        figures.specialisation_figure(
            found.shares, found.interactions, found.index, found.null_mean, found.null_high, chosen.colours
        ),
        "Mass is the variance over all rows of what a rank makes of an interaction. *Drawn ranks* take their columns "
        "of h from the trained ranks at random: the model then computes exactly the same, so a model whose ranks mean "
        f"nothing is as likely as this one. {found.draws} draws; p is corrected for looking at every rank.",
        "; ".join(f"rank {i}: specialisation {index:.2f}, p {p:.3f}"
                  for i, (index, p) in enumerate(zip(found.index, found.p, strict=True), 1)),
        "specialisation",
        table={"rank": np.arange(1, len(found.p) + 1), **numbers, "p": found.p, **shares},
    )  # fmt: skip
    ranks = {"rank": [f"rank {i + 1}" for i in range(len(found.p))], "share of all mass": found.mass}
    most = [names[int(np.nanargmax(each))] for each in np.nan_to_num(found.shares)]
    show.table(
        pd.DataFrame(ranks | {"keeps most to": most, "specialisation": found.index, "p, corrected": found.p}),
        verdict,
        dict.fromkeys(("share of all mass", "specialisation", "p, corrected"), "%.3f"),
    )
    st.caption(
        f"All ranks together: rank and interaction share {found.information:.3f} bits; drawn ranks "
        f"{found.information_null:.3f} on average, p = {found.information_p:.3f}."
    )


def beside(chosen: Selection, part: Part, row: int, output: int) -> None:
    """What methods that know nothing of ranks say of the same output, with what they leave unexplained."""
    found = store.methods.computed("attributions", chosen.trained, chosen.dataset, row, output)
    rows = [
        {"method": one.method, **{shown(name, 30): value for name, value in one.parts.items()}}
        | {"starts from": one.base, "gap": one.gap}
        for one in found
    ]
    table = pd.DataFrame(rows)
    said = "; ".join(f"{one.method}: gap {one.gap:.1e}" for one in found)
    show.table(table, said, dict.fromkeys(table.columns[1:], "%+.4f") | {"gap": "%.1e"})
    st.caption(
        f"Parts of *{markdown_text(part.task.names[output], 30)}* for this row, by modality, as trained. Gap: the "
        "output minus where the method starts from minus its parts; 0 when all is explained. Integrated gradients and "
        "feature ablation (captum) start from the training mean; ablation counts what modalities do together once for "
        "each of them, which its gap shows. Shapley values go over every set of modalities, the others missing."
    )


def curve(chosen: Selection) -> None:
    """Quality against rank, from runs that differ in rank and seed alone."""
    run = store.runs.run(chosen.trained)
    found = rank_curve(store.runs.runs(chosen.dataset), run)
    if len(found.ranks) < 2:
        st.info(
            "There is one rank only among the runs like this one. Train others: "
            f"`python -m core train DATASET --fusion {run.fusion} --set rank=2 --seeds 5`."
        )
        return
    words = axis(METRIC_WORDS[found.metric], found.metric)
    best, rank = int(np.argmax(found.mean)), int(run.config["rank"])
    show.figure(
        figures.rank_figure(found.ranks, found.mean, found.sd, found.values, rank, chosen.colours, words),
        "Runs that differ in rank and seed alone, measured on the test part after the last epoch. Bars: one sd.",
        f"best mean {found.mean[best]:.3g} at rank {found.ranks[best]}",
        "rank-curve",
        table={"rank": found.ranks, "mean": found.mean, "sd": found.sd, "seeds": found.seeds, "weights": found.weights},
    )

"""The tabs of the robustness page: calibration, what a model does not know, missing modalities, rank."""

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.figures.words import begun, told
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.robustness import figures
from app.widgets import show
from core.experiments.ranks import trends, verdict
from core.sample import METRIC_WORDS
from core.trust import calibration
from core.trust.stress import KINDS


def reliability(chosen: Selection, rival: RunKey | None) -> None:
    """Confidence against truth of both runs, clean."""
    stage = store.methods.stage(chosen.dataset)
    if stage.task.kind == "real":
        st.info("Real targets have no probabilities, so there is nothing to calibrate.")
        return
    if not stage.known.any():
        st.info("No unit here has a label, so no probability can be held against the truth.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = "Equal steps of confidence, or equally many rows in each."
        how = show.one_of("Bins", ["equal width", "equal mass"], "bins", help=words).removeprefix("equal ")
        count = int(st.slider("How many bins", 2, 30, 10, key="bin-count", bind="query-params", width=260))
    for place, (column, name) in enumerate(zip(st.columns(2, gap="medium"), (chosen.run, rival), strict=True)):
        if name is not None:
            with column:
                _reliability(chosen, name, place, count, how)
    if stage.task.kind == "units":
        st.caption(
            "From clip labels nobody taught these scores to be chances of single units: a run may rank units well and "
            "still be far from the dotted line."
        )


def _reliability(chosen: Selection, name: RunKey, place: int, count: int, how: str) -> None:
    """One run's; `place` 1 is the baseline's."""
    try:
        found = store.methods.computed("reliability", name, chosen.dataset, count, how)
    except ValueError as error:
        st.info(f"{markdown_text(error, 300)}.")
        return
    odd = store.methods.stage(chosen.dataset).task.kind == "units"
    title = store.runs.run_titles(chosen.dataset)[name]
    st.markdown(f"**{markdown_text(title)}**{' (baseline)' if place else ''}")
    chance = f"A perfectly calibrated model with these confidences would show {found.by_chance:.1f} %, and up to "
    chance += f"{found.chance_high:.1f} % once in twenty."
    sure = "Mean confidence less the share of samples that are named rightly."
    says = "On the dotted line the model is as often right as it is sure; bars: share of the samples."
    if odd:
        sure = "Mean score less the share of anomalous units."
        says = "On the dotted line the score is the chance of an anomaly; bars: share of the units in each bin."
    with st.container(horizontal=True):
        st.metric("ECE", f"{found.ece:.1f} %", help=chance)
        st.metric("ECE by chance", f"{found.by_chance:.1f} %")
        st.metric("Too sure by", f"{found.over:+.1f} points", help=sure)
    show.figure(
        figures.reliability_diagram(found, odd, chosen.colours),
        says,
        f"expected calibration error {found.ece:.1f} percent over {found.rows:,} rows, by chance "
        f"{found.by_chance:.1f}; the largest gap is {found.worst:.1f} percent",
        f"reliability-{place}",
        table=figures.reliability_table(found),
        name=f"reliability of {name}",
    )


def doubts(chosen: Selection) -> None:
    """The ensemble of seeds, and dropout where the run has it: what the entropy says of the errors."""
    stage, run = store.methods.stage(chosen.dataset), chosen.trained
    seeds = store.runs.seeds_of(run, chosen.dataset)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(f"Ensemble of {len(seeds)} seeds" if len(seeds) > 1 else "Ensemble of seeds")
        if len(seeds) < 2:
            st.info("There is one seed of this configuration: an ensemble needs two. Train more with `--seeds 5`.")
        else:
            answers = [store.methods.computed("clean answers", name, chosen.dataset) for name in seeds.values()]
            found = calibration.doubt(stage, answers, [f"seed {seed}" for seed in seeds], chosen.threshold)
            _doubt(chosen, found, "ensemble", "seeds")
    with right:
        st.subheader("Dropout at inference")
        try:
            passes = store.methods.computed("dropout", run, chosen.dataset)
        except ValueError as error:
            title = markdown_text(store.runs.run_titles(chosen.dataset)[run])
            st.info(f"{title}: {markdown_text(error, 300)}. LMF has it with `--set dropout=0.2`, MTN always.")
            return
        names = [f"pass {number}" for number in range(1, len(passes) + 1)]
        _doubt(chosen, calibration.doubt(stage, passes, names, chosen.threshold), "dropout", "passes")


def _doubt_numbers(found: calibration.Doubt, metric: str, kind: str, what: str) -> None:
    name = METRIC_WORDS[metric]
    each = ", ".join(f"{label} {told(v, metric)}" for label, v in zip(found.names, found.members, strict=True))
    with st.container(horizontal=True):
        st.metric(f"{name}, mean of answers", told(found.together, metric))
        mean = told(float(np.array(found.members).mean()), metric)
        st.metric(f"{name}, each", mean, help=f"Mean over the {what}: {each}")
        if kind != "real":
            for label, value, words in (
                (
                    "Entropy finds errors",
                    found.ranks,
                    "AUC of the entropy against being wrong: 50 tells nothing, 100 all errors come first.",
                ),
                (
                    "Disagreement finds errors",
                    found.informs,
                    "The same of the mutual information: what the members disagree on.",
                ),
            ):
                st.metric(label, "–" if np.isnan(value) else f"{value:.1f} %", help=words)


def _doubt(chosen: Selection, found: calibration.Doubt, key: str, what: str) -> None:
    stage = store.methods.stage(chosen.dataset)
    kind, rows = stage.task.kind, stage.known.numpy()
    _doubt_numbers(found, stage.task.metric, kind, what)
    if kind == "real":
        st.caption("Real targets have no probabilities, so there is no entropy; the mean of the answers is judged.")
        return
    if not rows.any():
        st.info("No unit here has a label, so no error is known for the entropy to find.")
        return
    target, units = stage.target.numpy(), kind == "units"
    wrong = (found.mean[:, 1] >= chosen.threshold) != (target > 0) if units else found.mean.argmax(1) != target
    right_mean, wrong_mean = (
        found.entropy[those].mean() if those.any() else float("nan") for those in (rows & ~wrong, rows & wrong)
    )
    columns = {"row": np.arange(len(found.entropy)), "entropy": found.entropy.round(5)}
    columns |= {"information": found.information.round(5), "wrong": np.where(rows, wrong.astype(object), "?")}
    show.figure(
        figures.doubt_bars(found, rows, wrong, chosen.colours),
        "Entropy of rows that the mean answer decides rightly and wrongly"
        f"{', at the alarm threshold.' if units else '.'}",
        f"{found.wrong:,} of {int(rows.sum()):,} rows are decided wrongly; mean entropy {right_mean:.3f} when right, "
        f"{wrong_mean:.3f} when wrong",
        f"doubt-{key}",
        table=columns,
        name=f"{key} entropy of {chosen.run}",
    )


def missing(chosen: Selection, rival: RunKey | None) -> None:
    """The metric when modalities are missing altogether."""
    stage = store.methods.stage(chosen.dataset)
    if not stage.known.any():
        st.info("No unit here has a label, so nothing can be measured without a modality.")
        return
    titles, metric, key = store.runs.run_titles(chosen.dataset), stage.task.metric, chosen.dataset
    table = pd.DataFrame(
        {"run": titles[name], "all": getattr(store.models.metrics(name, key), metric)}
        | store.methods.computed("missing", name, key)
        for name in (chosen.run, rival)
        if name is not None
    )
    form = "%.3f" if metric == "correlation" else "%.1f"
    said = f"{METRIC_WORDS[metric]} of each run without some modalities"
    show.table(table, said, dict.fromkeys(table.columns.drop("run"), form))
    st.caption(
        f"{begun(METRIC_WORDS[metric])} when a modality is not there at all, as each method handles that: zeros after "
        "standardising for vector methods, a graph of ones for graph methods. A run of one modality has nothing to "
        "lose."
    )


def ranks(chosen: Selection) -> None:
    """ "Lower rank is more robust", asked of the stored LMF runs that differ in rank and seed alone."""
    names = store.runs.ranked_runs(chosen.dataset)
    several = len({store.runs.run(name).config["rank"] for name in names}) > 1
    if not store.methods.stage(chosen.dataset).known.any() or not several:
        st.info(
            "This asks LMF runs on these data that differ in the rank alone, and needs labels. Train them: "
            "`python -m core train DATASET --fusion lmf --set rank=1 --seeds 3`, and so on for 2, 4, 8."
        )
        return
    st.markdown(
        "The papers' hypothesis: *a lower rank makes low-rank fusion more robust*. Every run is put under every "
        "corruption of all its modalities; what it keeps of its clean number is held against the rank."
    )
    words = f"Put the {len(names)} LMF runs under stress, a second or two each"
    if not st.toggle(words, key="asked-ranks", bind="query-params"):
        return
    bar = st.progress(0.0, "Putting the runs under stress")
    found = []
    for number, name in enumerate(names, start=1):
        found.append(store.methods.stressed(name, chosen.dataset))
        bar.progress(number / len(names), f"{number} of {len(names)} runs under stress")
    bar.empty()
    made = trends(found)
    said = verdict(made)
    slopes = [f"{KINDS[each.kind].title} {each.slope:+.2f}, {each.low:+.2f} to {each.high:+.2f}" for each in made]
    st.markdown(f"**{markdown_text(said, 400)}**")
    show.figure(
        figures.trend_rows(made, chosen.colours),
        "Percent points of the clean number that are kept more (right) or less (left) when the rank doubles, with the "
        "95 % interval over all runs. Left of 0 a lower rank is more robust. Verdicts after Holm's correction.",
        f"{said} {'; '.join(slopes)}",
        "rank-trends",
        table=figures.trend_table(made),
        name="rank and robustness",
    )
    table = figures.rank_table(found)
    show.table(table, f"what LMF runs of {len(table)} ranks keep under each corruption")
    st.caption("Kept: the area under the curve as a share of the clean number; mean ± sd over seeds.")

"""The controls of the robustness page and what its lower half shows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from scipy.special import softmax

from app import store
from app.figures import scores
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.robustness import figures
from app.widgets import samples, show
from core.experiments.ranks import trends, verdict
from core.machine.names import shown
from core.sample import METRIC_WORDS
from core.trust import calibration, corrupt
from core.trust.stress import KINDS, Stress

TALL = 104  # pixels of a number's card, so that all are alike


@dataclass(frozen=True)
class Asked:
    """What is looked at: a corruption, the modalities it takes, and the run it is compared with."""

    kind: str
    modalities: tuple[str, ...]
    rival: RunKey | None


def kinds_of(chosen: Selection) -> dict[str, str]:
    """Corruption -> why it cannot be shown for this data, else empty."""
    stage = store.methods.stage(chosen.dataset)
    why = {}
    for kind, about in KINDS.items():
        if about.clips and not stage.strips:
            continue
        unlabelled = about.attacks and not stage.known.any()
        why[kind] = "an attack raises the loss against the truth, and no unit here has a label" if unlabelled else ""
    return why


def pick(chosen: Selection) -> Asked:
    """The three choices above everything else; the link holds them."""
    kinds = list(kinds_of(chosen))
    names = list(store.data.data(chosen.dataset).modalities)
    titles = store.runs.run_titles(chosen.dataset)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = st.segmented_control(
            "Corruption",
            kinds,
            default="noise",
            format_func=lambda one: KINDS[one].title,
            required=True,
            key="corruption",
            bind="query-params",
        )
        modalities = st.segmented_control(
            "Modalities",
            names,
            selection_mode="multi",
            default=names,
            format_func=lambda name: shown(name, 40),
            key="corrupted",
            bind="query-params",
            help="Which of the features are corrupted. A modality that a run does not read changes nothing for it.",
        )
        others = [name for name in titles if name != chosen.run]
        rival = None
        if others:
            rival = st.selectbox(
                "Baseline",
                others,
                index=others.index(usual_rival(chosen)),
                format_func=lambda name: titles.get(name, name),
                key="rival",
                bind="query-params",
                width=240,
                help="RobustAUC τ is the area between the two runs' curves: above 0, the chosen run is better.",
            )
    return Asked(kind or "noise", tuple(name for name in names if name in modalities), rival)


def usual_rival(chosen: Selection) -> RunKey:
    """Plain concatenation of the same seed where there is one, else the next configuration."""
    runs = store.runs.runs(chosen.dataset)
    mine = runs[chosen.trained]
    others = {name: run for name, run in runs.items() if name != chosen.run}
    apart = [name for name, run in others.items() if run.group != mine.group] or list(others)
    plain = [name for name in apart if others[name].fusion == "concat"] or apart
    return next((name for name in plain if others[name].seed == mine.seed), plain[0])


def _stressed(name: RunKey, chosen: Selection, kind: str, asked: Asked) -> Stress:
    return store.methods.computed("stress", name, chosen.dataset, kind, *asked.modalities)  # type: ignore[no-any-return]


def stress(name: RunKey, chosen: Selection, asked: Asked) -> Stress | None:
    """A run's curve; a sentence and None where it cannot be made."""
    try:
        if asked.kind != "pgd":
            return _stressed(name, chosen, asked.kind, asked)
        # one gradient and one pass a strength are known from FGSM; PGD takes ten steps and more a strength
        seconds = 11 * _stressed(name, chosen, "fgsm", asked).seconds
        with st.spinner(f"Attacking with PGD: ten steps at every strength, about {max(1, round(seconds))} s"):
            return _stressed(name, chosen, asked.kind, asked)
    except ValueError as error:
        st.info(f"{markdown_text(store.runs.run_titles(chosen.dataset)[name])}: {markdown_text(error, 300)}.")
        return None


def pick_strength(kind: str) -> int:
    """Place of the chosen strength among the levels."""
    levels = list(KINDS[kind].levels)
    chosen = st.select_slider(
        f"Strength: {KINDS[kind].strength}",
        levels,
        levels[len(levels) // 2],
        format_func=lambda level: f"{level:g}",
        key=f"strength-{kind}",
        bind="query-params",
        help="Every strength is computed at once, so moving this is instant.",
    )
    return levels.index(chosen) if chosen in levels else len(levels) // 2


def cards(mine: Stress, other: Stress | None, now: int) -> None:
    """Clean, at this strength, the area, and tau."""
    name, metric = METRIC_WORDS[mine.metric], mine.metric
    with st.container(horizontal=True):
        st.metric(f"{name}, clean", figures.told(float(mine.mean[0]), metric), border=True, height=TALL)
        moved = float(mine.mean[now] - mine.mean[0])
        st.metric(
            f"{name}, strength {mine.levels[now]:g}",
            figures.told(float(mine.mean[now]), metric),
            None if np.isnan(moved) else f"{moved:+.{figures.digits(metric)}f}",
            border=True,
            height=TALL,
        )
        st.metric(
            "Area",
            figures.told(mine.area, metric),
            help="The mean of the metric from strength 0 to the strongest, by the trapezoid rule."
            + ("" if np.isnan(mine.kept) else f" It is {mine.kept:.1f} % of the clean one."),
            border=True,
            height=TALL,
        )
        if other is not None:
            tau = corrupt.robust_auc(mine.mean, other.mean, mine.levels)
            st.metric(
                "RobustAUC τ",
                "–" if np.isnan(tau) else f"{tau:+.3g}",
                help="The area between this run's curve and the baseline's, metric times strength. Above 0: better "
                "under this corruption.",
                border=True,
                height=TALL,
            )


def curves(chosen: Selection, mine: Stress, other: Stress | None, rival: RunKey | None, now: int) -> None:
    """Metric against strength."""
    titles = store.runs.run_titles(chosen.dataset)
    found = [(titles[chosen.trained], mine)]
    if other is not None and rival is not None:
        found.append((titles[rival], other))
    if mine.why:
        st.info(f"No {METRIC_WORDS[mine.metric]} here: {markdown_text(mine.why, 300)}. How far scores move is shown.")
    stage = store.methods.stage(chosen.dataset)
    drawn = {"noise": "mean of three draws", "drop": "mean of three draws", "zero": "mean of three draws"}
    how = drawn.get(mine.kind) or ("mean of late and early" if mine.kind == "shift" else "of the whole test part")
    what = "how far scores move" if mine.why else METRIC_WORDS[mine.metric]
    show.figure(
        figures.strength_lines(found, now, chosen.colours),
        f"{figures.begun(what)} under {KINDS[mine.kind].words} on "
        f"{markdown_text(', '.join(mine.modalities), 80)}, {how}; both runs meet the same draws."
        + (f" On {stage.note}." if stage.note else "")
        + (
            " All that the run reads moves together: choose one modality to set it apart from the others."
            if mine.kind == "shift" and set(store.models.model(chosen.trained).used) <= set(mine.modalities)
            else ""
        ),
        "; ".join(
            f"{shown(name, 60)}: at strength {each.levels[now]:g} scores move by {each.moved[now]:.3f}"
            if mine.why
            else f"{shown(name, 60)}: {figures.told(float(each.mean[0]), each.metric)} clean, "
            f"{figures.told(float(each.mean[now]), each.metric)} at strength {each.levels[now]:g}, "
            f"area {figures.told(each.area, each.metric)}"
            for name, each in found
        ),
        "strength-lines",
        table=figures.strength_table(found),
        name=f"{mine.kind} {chosen.run}",
    )


def row(chosen: Selection, mine: Stress, now: int) -> None:
    """The chosen clip's scores, or what is said of the chosen sample, before and after."""
    stage = store.methods.stage(chosen.dataset)
    part = store.data.part(chosen.dataset)
    if stage.clips:
        clip = store.data.clip(chosen.dataset, chosen.clip)
        try:
            where = stage.units(chosen.clip)
        except ValueError as error:
            st.info(markdown_text(error, 300))
            return
        before, after = mine.scores[0, where], mine.scores[now, where]
        labels = None if clip.labels is None else clip.labels.numpy()
        span = scores.score_span({"before": mine.scores[0], "after": mine.scores[now]}, chosen.threshold)
        crossed = int(((before >= chosen.threshold) != (after >= chosen.threshold)).sum())
        show.figure(
            figures.score_lines(before, after, labels, clip.seconds, chosen.threshold, span, chosen.colours),
            f"The clip's scores, clean and corrupted (first draw). {crossed} of {clip.units} units changed sides of "
            "the alarm threshold." + ("" if labels is None else " Purple: labelled anomalies."),
            f"scores of clip {shown(clip.name)}: mean {before.mean():.3f} clean, {after.mean():.3f} corrupted; the "
            f"largest move is {np.abs(after - before).max():.3f}",
            "before-after",
            table={
                "unit": np.arange(clip.units),
                "from (s)": (np.arange(clip.units) * clip.seconds).round(2),
                "clean": before.round(4),
                "corrupted": after.round(4),
            },
            name=f"scores of {clip.name} under {mine.kind}",
        )
        return
    at = min(chosen.sample, len(part) - 1)
    if stage.note:
        st.info(f"Only {markdown_text(stage.note, 200)} are corrupted, so no single one is shown.")
        return
    assert mine.outputs is not None
    st.markdown(f"**{markdown_text(part.names[at])}** (number {at} of {len(part):,})")
    if part.task.kind == "real":
        assert part.target is not None
        st.dataframe(
            figures.target_pairs(mine.outputs[0, at], mine.outputs[now, at], part.target[at].numpy(), part.task.names),
            hide_index=True,
            alt="targets of the chosen sample, clean and corrupted",
        )
        return
    before, after = softmax(mine.outputs[[0, now], at].astype(np.float64), axis=1)
    true = None if part.target is None else int(part.target[at])
    names = [shown(name, 30) for name in part.task.names]
    show.figure(
        figures.class_pairs(before, after, part.task.names, true, chosen.colours),
        "Probability of each class, clean and corrupted (first draw); the diamond marks the true class.",
        f"clean {names[int(before.argmax())]} {before.max():.3f}; corrupted {names[int(after.argmax())]} "
        f"{after.max():.3f}" + ("" if true is None else f"; its class is {names[true]}"),
        "before-after",
        table={"class": names, "clean": before.round(4), "corrupted": after.round(4)},
        name=f"sample {at} under {mine.kind}",
    )


def pictures(chosen: Selection, mine: Stress, now: int) -> None:
    """The sample's pictures as the model gets them."""
    data = store.data.samples(chosen.dataset)
    if data is None or not mine.rows or store.methods.stage(chosen.dataset).note:
        return
    at = min(chosen.sample, len(store.data.part(chosen.dataset)) - 1)
    st.caption(f"The sample as the model gets it at strength {mine.levels[now]:g}:")
    seen = {name: mine.rows[name][now, at].astype(np.float32) for name in data.pictures if name in mine.rows}
    samples.pictures(data, chosen, at, seen, 164)


# ---------------------------------------------------------------------------- the tabs


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
        how = st.segmented_control(
            "Bins", ["equal width", "equal mass"], default="equal width", required=True, key="bins",
            bind="query-params", help="Equal steps of confidence, or equally many rows in each.",
        )  # fmt: skip
        count = st.slider("How many bins", 2, 30, 10, key="bin-count", bind="query-params", width=260)
    kind = "width" if how != "equal mass" else "mass"
    titles = store.runs.run_titles(chosen.dataset)
    odd = stage.task.kind == "units"
    for place, (column, name) in enumerate(zip(st.columns(2, gap="medium"), (chosen.run, rival), strict=True)):
        if name is None:
            continue
        with column:
            try:
                found = store.methods.computed("reliability", name, chosen.dataset, int(count), kind)
            except ValueError as error:
                st.info(f"{markdown_text(error, 300)}.")
                continue
            st.markdown(f"**{markdown_text(titles[name])}**" + (" (baseline)" if place else ""))
            with st.container(horizontal=True):
                st.metric(
                    "ECE",
                    f"{found.ece:.1f} %",
                    help=f"A perfectly calibrated model with these confidences would show {found.by_chance:.1f} %, and "
                    f"up to {found.chance_high:.1f} % once in twenty.",
                )
                st.metric("ECE by chance", f"{found.by_chance:.1f} %")
                st.metric(
                    "Too sure by",
                    f"{found.over:+.1f} points",
                    help="Mean score less the share of anomalous units." if odd else
                    "Mean confidence less the share of samples that are named rightly.",
                )  # fmt: skip
            show.figure(
                figures.reliability_diagram(found, odd, chosen.colours),
                "On the dotted line the score is the chance of an anomaly; bars: share of the units in each bin."
                if odd
                else "On the dotted line the model is as often right as it is sure; bars: share of the samples.",
                f"expected calibration error {found.ece:.1f} percent over {found.rows:,} rows, by chance "
                f"{found.by_chance:.1f}; the largest gap is {found.worst:.1f} percent",
                f"reliability-{place}",
                table=figures.reliability_table(found),
                name=f"reliability of {name}",
            )
    if odd:
        st.caption(
            "From clip labels nobody taught these scores to be chances of single units: a run may rank units well and "
            "still be far from the dotted line."
        )


def doubts(chosen: Selection) -> None:
    """The ensemble of seeds, and dropout where the run has it: what the entropy says of the errors."""
    stage = store.methods.stage(chosen.dataset)
    run = chosen.trained
    seeds = store.runs.seeds_of(run, chosen.dataset)
    titles = store.runs.run_titles(chosen.dataset)
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
            st.info(
                f"{markdown_text(titles[run])}: {markdown_text(error, 300)}. "
                "LMF has it with `--set dropout=0.2`, MTN always."
            )
            return
        names = [f"pass {number}" for number in range(1, len(passes) + 1)]
        _doubt(chosen, calibration.doubt(stage, passes, names, chosen.threshold), "dropout", "passes")


def _doubt(chosen: Selection, found: calibration.Doubt, key: str, what: str) -> None:
    stage = store.methods.stage(chosen.dataset)
    metric, name = stage.task.metric, METRIC_WORDS[stage.task.metric]
    known = np.array(found.members)
    with st.container(horizontal=True):
        st.metric(f"{name}, mean of answers", figures.told(found.together, metric))
        st.metric(
            f"{name}, each",
            figures.told(float(known.mean()), metric),
            help=f"Mean over the {what}: "
            + ", ".join(
                f"{label} {figures.told(value, metric)}"
                for label, value in zip(found.names, found.members, strict=True)
            ),
        )
        if stage.task.kind != "real":
            st.metric(
                "Entropy finds errors",
                "–" if np.isnan(found.ranks) else f"{found.ranks:.1f} %",
                help="AUC of the entropy against being wrong: 50 tells nothing, 100 all errors come first.",
            )
            st.metric(
                "Disagreement finds errors",
                "–" if np.isnan(found.informs) else f"{found.informs:.1f} %",
                help="The same of the mutual information: what the members disagree on.",
            )
    if stage.task.kind == "real":
        st.caption("Real targets have no probabilities, so there is no entropy; the mean of the answers is judged.")
        return
    rows = stage.known.numpy()
    if not rows.any():
        st.info("No unit here has a label, so no error is known for the entropy to find.")
        return
    target = stage.target.numpy()
    decided = found.mean[:, 1] >= chosen.threshold if stage.task.kind == "units" else found.mean.argmax(1)
    wrong = decided != (target > 0 if stage.task.kind == "units" else target)
    show.figure(
        figures.doubt_bars(found, rows, wrong, chosen.colours),
        "Entropy of rows that the mean answer decides rightly and wrongly"
        + (", at the alarm threshold." if stage.task.kind == "units" else "."),
        f"{found.wrong:,} of {int(rows.sum()):,} rows are decided wrongly; mean entropy "
        f"{found.entropy[rows & ~wrong].mean() if (rows & ~wrong).any() else float('nan'):.3f} when right, "
        f"{found.entropy[rows & wrong].mean() if (rows & wrong).any() else float('nan'):.3f} when wrong",
        f"doubt-{key}",
        table={
            "row": np.arange(len(found.entropy)),
            "entropy": found.entropy.round(5),
            "information": found.information.round(5),
            "wrong": np.where(rows, wrong.astype(object), "?"),
        },
        name=f"{key} entropy of {chosen.run}",
    )


def missing(chosen: Selection, rival: RunKey | None) -> None:
    """The metric when modalities are missing altogether."""
    stage = store.methods.stage(chosen.dataset)
    if not stage.known.any():
        st.info("No unit here has a label, so nothing can be measured without a modality.")
        return
    titles = store.runs.run_titles(chosen.dataset)
    rows = []
    for name in (chosen.run, rival):
        if name is None:
            continue
        found = store.methods.computed("missing", name, chosen.dataset)
        clean = store.models.metrics(name, chosen.dataset)
        rows.append(
            {"run": titles[name], "all": getattr(clean, stage.task.metric)}
            | {words: value for words, value in found.items()}
        )
    table = pd.DataFrame(rows)
    form = st.column_config.NumberColumn(format="%.3f" if stage.task.metric == "correlation" else "%.1f")
    st.dataframe(
        table,
        hide_index=True,
        alt=f"{METRIC_WORDS[stage.task.metric]} of each run without some modalities",
        column_config={name: form for name in table.columns if name != "run"},
    )
    st.caption(
        f"{figures.begun(METRIC_WORDS[stage.task.metric])} when a modality is not there at all, as each method handles "
        "that: zeros after standardising for vector methods, a graph of ones for graph methods. A run of one modality "
        "has nothing to lose."
    )


def ranks(chosen: Selection) -> None:
    """ "Lower rank is more robust", asked of the stored LMF runs that differ in rank and seed alone."""
    stage = store.methods.stage(chosen.dataset)
    names = store.runs.ranked_runs(chosen.dataset)
    several = len({store.runs.run(name).config["rank"] for name in names}) > 1
    if not stage.known.any() or not several:
        st.info(
            "This asks LMF runs on these data that differ in the rank alone, and needs labels. Train them: "
            "`python -m core train DATASET --fusion lmf --set rank=1 --seeds 3`, and so on for 2, 4, 8."
        )
        return
    st.markdown(
        "The papers' hypothesis: *a lower rank makes low-rank fusion more robust*. Every run is put under every "
        "corruption of all its modalities; what it keeps of its clean number is held against the rank."
    )
    if not st.toggle(
        f"Put the {len(names)} LMF runs under stress, a second or two each", key="asked-ranks", bind="query-params"
    ):
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
    st.dataframe(table, hide_index=True, alt=f"what LMF runs of {len(table)} ranks keep under each corruption")
    st.caption("Kept: the area under the curve as a share of the clean number; mean ± sd over seeds.")

"""The controls of the robustness page, its numbers, its curves and the row that is looked at."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from scipy.special import softmax

from app import store
from app.figures import scores
from app.figures.style import markdown_text
from app.figures.words import begun, moved, told
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.robustness import figures
from app.widgets import samples, show
from core.machine.names import shown
from core.sample import METRIC_WORDS
from core.trust import corrupt
from core.trust.stress import KINDS, Stress

TALL = 104  # pixels of a number's card, so that all are alike


@dataclass(frozen=True)
class Asked:
    """What is looked at: a corruption, the modalities it takes, and the run it is compared with."""

    kind: str
    modalities: tuple[str, ...]
    rival: RunKey | None


def pick(chosen: Selection) -> Asked:
    """The three choices above everything else; the link holds them."""
    stage, titles = store.methods.stage(chosen.dataset), store.runs.run_titles(chosen.dataset)
    kinds = [kind for kind, about in KINDS.items() if stage.strips or not about.clips]
    others = [name for name in titles if name != chosen.run]
    rival = None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        titled = {"format_func": lambda one: KINDS[one].title}
        kind = show.one_of("Corruption", kinds, "corruption", default="noise", **titled)
        modalities = _pick_modalities(chosen)
        if others:
            rival = st.selectbox(
                "Baseline", others, index=others.index(usual_rival(chosen)), key="rival", bind="query-params",
                format_func=lambda name: titles.get(name, name), width=240,
                help="RobustAUC τ is the area between the two runs' curves: above 0, the chosen run is better.",
            )  # fmt: skip
    return Asked(kind, modalities, rival)


def _pick_modalities(chosen: Selection) -> tuple[str, ...]:
    """Those that the run reads unless chosen otherwise; an untouched choice follows the run."""
    names = list(store.data.data(chosen.dataset).modalities)
    read, state = [name for name in names if name in store.models.model(chosen.trained).used], st.session_state
    follows = state.get("corrupted-read") not in (None, read) and state.get("corrupted") == state["corrupted-read"]
    if follows:
        state["corrupted"] = read
    state["corrupted-read"] = read
    picked = st.segmented_control(
        "Modalities", names, selection_mode="multi", default=None if follows else read, key="corrupted",
        format_func=lambda name: shown(name, 40), bind="query-params",
        help="Which of the features are corrupted. A modality that a run does not read changes nothing for it.",
    )  # fmt: skip
    return tuple(name for name in names if name in picked)


def usual_rival(chosen: Selection) -> RunKey:
    """Plain concatenation of the same seed where there is one, else the next configuration."""
    runs = store.runs.runs(chosen.dataset)
    mine = runs[chosen.trained]
    others = {name: run for name, run in runs.items() if name != chosen.run}
    apart = [name for name, run in others.items() if run.group != mine.group] or list(others)
    plain = [name for name in apart if others[name].fusion == "concat"] or apart
    return next((name for name in plain if others[name].seed == mine.seed), plain[0])


def _stressed(name: RunKey, chosen: Selection, kind: str, asked: Asked) -> Stress:
    return store.methods.computed(f"stress {kind}", name, chosen.dataset, *asked.modalities)  # type: ignore[no-any-return]


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
    middle = levels[len(levels) // 2]
    chosen = st.select_slider(
        f"Strength: {KINDS[kind].strength}", levels, middle, format_func=lambda level: f"{level:g}",
        key=f"strength-{kind}", bind="query-params",
        help="Every strength is computed at once, so moving this is instant.",
    )  # fmt: skip
    return levels.index(chosen if chosen in levels else middle)


def cards(mine: Stress, other: Stress | None, now: int) -> None:
    """Clean, at this strength, the area, and tau."""
    name, metric = METRIC_WORDS[mine.metric], mine.metric
    by = float(mine.mean[now] - mine.mean[0])
    area = "The mean of the metric from strength 0 to the strongest, by the trapezoid rule."
    kept = "" if np.isnan(mine.kept) else f" It is {mine.kept:.1f} % of the clean one."

    def card(label: str, value: str, by: str | None = None, words: str | None = None) -> None:
        st.metric(label, value, by, help=words, border=True, height=TALL)

    with st.container(horizontal=True):
        card(f"{name}, clean", told(float(mine.mean[0]), metric))
        strength, there = f"{name}, strength {mine.levels[now]:g}", told(float(mine.mean[now]), metric)
        card(strength, there, None if np.isnan(by) else moved(by, metric))
        card("Area", told(mine.area, metric), words=area + kept)
        if other is not None:
            tau = corrupt.robust_auc(mine.mean, other.mean, mine.levels)
            words = "The area between this run's curve and the baseline's, metric times strength. Above 0: better "
            words += "under this corruption."
            card("RobustAUC τ", "–" if np.isnan(tau) else f"{tau:+.3g}", words=words)


def curves(chosen: Selection, mine: Stress, other: Stress | None, rival: RunKey | None, now: int) -> None:
    """Metric against strength."""
    titles = store.runs.run_titles(chosen.dataset)
    found = [(titles[chosen.trained], mine)]
    if other is not None and rival is not None:
        found.append((titles[rival], other))
    if mine.why:
        st.info(f"No {METRIC_WORDS[mine.metric]} here: {markdown_text(mine.why, 300)}. How far scores move is shown.")
    stage = store.methods.stage(chosen.dataset)
    drawn = {"shift": "mean of late and early"} | dict.fromkeys(("noise", "drop", "zero"), "mean of three draws")
    what = "how far scores move" if mine.why else METRIC_WORDS[mine.metric]
    says = f"{begun(what)} under {KINDS[mine.kind].words} on {markdown_text(', '.join(mine.modalities), 80)}, "
    says += f"{drawn.get(mine.kind, 'of the whole test part')}; both runs meet the same draws."
    says += f" On {stage.note}." if stage.note else ""
    if mine.kind == "shift" and set(store.models.model(chosen.trained).used) <= set(mine.modalities):
        says += " All that the run reads moves together: choose one modality to set it apart from the others."

    def numbers(name: str, each: Stress) -> str:
        if mine.why:
            return f"{shown(name, 60)}: at strength {each.levels[now]:g} scores move by {each.moved[now]:.3f}"
        clean, there, area = (told(float(v), each.metric) for v in (each.mean[0], each.mean[now], each.area))
        return f"{shown(name, 60)}: {clean} clean, {there} at strength {each.levels[now]:g}, area {area}"

    show.figure(
        figures.strength_lines(found, now, chosen.colours),
        says,
        "; ".join(numbers(*each) for each in found),
        "strength-lines",
        table=figures.strength_table(found),
        name=f"{mine.kind} {chosen.run}",
    )


def row(chosen: Selection, mine: Stress, now: int) -> None:
    """The chosen clip's scores, or what is said of the chosen sample, before and after."""
    stage, part = store.methods.stage(chosen.dataset), store.data.part(chosen.dataset)
    if stage.clips:
        _clip(chosen, mine, now)
        return
    at = min(chosen.sample, len(part) - 1)
    if stage.note:
        st.info(f"Only {markdown_text(stage.note, 200)} are corrupted, so no single one is shown.")
        return
    assert mine.outputs is not None
    st.markdown(f"**{markdown_text(part.names[at])}** (number {at} of {len(part):,})")
    if part.task.kind == "real":
        assert part.target is not None
        said, truth = mine.outputs[[0, now], at], part.target[at].numpy()
        table = figures.target_pairs(said[0], said[1], truth, part.task.names)
        show.table(table, "targets of the chosen sample, clean and corrupted")
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


def _clip(chosen: Selection, mine: Stress, now: int) -> None:
    """The chosen clip's scores, before and after."""
    clip = store.data.clip(chosen.dataset, chosen.clip)
    try:
        where = store.methods.stage(chosen.dataset).units(chosen.clip)
    except ValueError as error:
        st.info(markdown_text(error, 300))
        return
    before, after = mine.scores[0, where], mine.scores[now, where]
    labels = None if clip.labels is None else clip.labels.numpy()
    span = scores.score_span({"before": mine.scores[0], "after": mine.scores[now]}, chosen.threshold)
    crossed = int(((before >= chosen.threshold) != (after >= chosen.threshold)).sum())
    units = {"unit": np.arange(clip.units), "from (s)": (np.arange(clip.units) * clip.seconds).round(2)}
    show.figure(
        figures.score_lines(before, after, labels, clip.seconds, chosen.threshold, span, chosen.colours),
        f"The clip's scores, clean and corrupted (first draw). {crossed} of {clip.units} units changed sides of "
        "the alarm threshold." + ("" if labels is None else " Purple: labelled anomalies."),
        f"scores of clip {shown(clip.name)}: mean {before.mean():.3f} clean, {after.mean():.3f} corrupted; the "
        f"largest move is {np.abs(after - before).max():.3f}",
        "before-after",
        table=units | {"clean": before.round(4), "corrupted": after.round(4)},
        name=f"scores of {clip.name} under {mine.kind}",
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

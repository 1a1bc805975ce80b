"""The controls of the weights page and what stands below its bars."""

import numpy as np
import streamlit as st
from scipy.special import expit

from app import store
from app.figures.style import markdown_text
from app.figures.words import told
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.weights import figures
from app.views.weights.kernel_figures import norm_word
from app.widgets import rows, show
from core.explain.removal import Removals, disagreements, rank_agreement
from core.explain.weights import Opened, Weights, norms_of, seeds_of
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

BRANCHES, MODALITIES = "each by itself", "modalities"


# ---------------------------------------------------------------------------- numbers on top


def pick(found: Weights) -> str:
    """Whether modalities are looked at or every branch (kernel) by itself; the link holds it."""
    what = "branches" if found.what == "branch" else "kernels"
    words = (
        "A modality's share is the sum of weightᵖ over all it takes part in; shares of modalities that interact "
        "overlap. Its removal puts the training mean in its place, a branch's its own mean."
    )
    named = {BRANCHES: what, MODALITIES: MODALITIES}
    return show.one_of("Look at", list(named), "weighed", format_func=named.__getitem__, help=words)


def losses(chosen: Selection, how: str) -> Removals | None:
    """What removals cost; None, with a sentence, where that cannot be judged."""
    try:
        what = "weight losses" if how == BRANCHES else "modality losses"
        found: Removals = store.methods.computed(what, chosen.trained, chosen.dataset)
    except ValueError as error:
        st.info(f"What a removal costs cannot be told: {markdown_text(error, 300)}.")
        return None
    return found


def cards(chosen: Selection, found: Weights, costs: Removals | None) -> None:
    """The run's metric, p, the heaviest, and the share of all interactions."""
    metric, heavy = store.runs.run(chosen.trained).metric, int(found.values.argmax())
    value, p = "none" if costs is None else told(costs.whole, metric), norm_word(found.p)
    with st.container(horizontal=True):
        st.metric(METRIC_WORDS[metric], value, border=True)
        st.metric("p", p, border=True, help="Norm of the weights; at 1 few remain.")
        st.metric(f"heaviest: {shown(found.names[heavy], 40)}", f"{found.values[heavy]:.2f}", border=True)
        together = [at for at, subset in enumerate(found.subsets) if len(subset) > 1]
        if together:
            part = float((found.values[together] ** found.p).sum())
            st.metric("share of interactions", f"{part:.0%}", border=True, help="Sum of weightᵖ over interactions.")


# ---------------------------------------------------------------------------- weights beside losses


def group(chosen: Selection) -> tuple[list[RunKey], int]:
    """Names of the chosen run's seeds, and which of them is the chosen one."""
    names = seeds_of(store.runs.run(chosen.trained), store.runs.runs(chosen.dataset))
    return names, names.index(chosen.trained)


def over_seeds(chosen: Selection, names: list[RunKey], how: str) -> np.ndarray:
    """Weights of every seed, `(seeds, names)`: of branches and kernels, or of modalities their shares."""
    every: list[Weights] = [store.methods.computed("weights", name, chosen.dataset) for name in names]
    if how == BRANCHES:
        return np.stack([each.values for each in every])
    return np.array([list(each.shares.values()) for each in every])


def word(found: Weights, how: str) -> str:
    """What the weight is called on an axis."""
    if how == MODALITIES:
        return "share, sum of weightᵖ"
    return "relevance s" if found.what == "branch" else "kernel weight β"


def bars(chosen: Selection, found: Weights, how: str, costs: Removals | None) -> None:
    """The figure of the page."""
    seeds, now = group(chosen)
    names = found.names if how == BRANCHES else found.modalities
    values, weight = over_seeds(chosen, seeds, how), word(found, how)
    if how == MODALITIES:
        left = "Left: a modality's share of all weight, interactions counted for each of their modalities, so shares "
        left += "may sum to more than 1."
    elif found.sets == 1:
        left = f"Left: the weight of every {found.what}; the sum of weightᵖ is 1 (p = {found.p:g})."
    else:
        left = f"Left: the weight of every {found.what}, the mean over {found.sets} outputs with weights of their own."
    bars_of = f" The bar is the mean over {len(seeds)} seeds, each a point." if len(seeds) > 1 else ""
    right = ""
    if costs is not None:
        gone = "the modality is missing" if how == MODALITIES else f"a {found.what} says the same of every row"
        rows_of = f"{costs.groups:,} {'clips' if store.data.samples(chosen.dataset) is None else 'samples'}"
        right = f" Right: what the chosen run loses on the rows looked at when {gone}, with a 95 % interval from "
        right += f"drawing its {rows_of} again; below 0 it does better without."
    many = f" The {figures.MOST} heaviest of {len(names)} are drawn." if len(names) > figures.MOST else ""
    show.figure(
        figures.beside(names, values, now, weight, costs, chosen.colours),
        left + bars_of + right + many,
        figures.beside_sentence(names, values, costs),
        "weights",
        table=figures.beside_table(names, values, now, weight, costs),
        name=f"weights of {chosen.run}",
    )


def disagreement(chosen: Selection, found: Weights, how: str, costs: Removals) -> None:
    """Weight against loss, and the pairs where the two say the opposite."""
    agree = rank_agreement(costs)
    show.figure(
        figures.weight_cost(costs, word(found, how), chosen.colours),
        "What the training relied on (right: more) against what these rows need (up: more)."
        + ("" if np.isnan(agree) else f" Rank correlation {agree:.2f} over {len(costs.names)}."),
        "; ".join(
            f"{shown(name, 40)} weight {costs.weights[at]:.2f}, loss {costs.cost[at]:.3g}"
            for at, name in enumerate(costs.names[:8])
        ),
        "weight-cost",
        table=figures.cost_table(costs, word(found, how)),
        name=f"weight and loss of {chosen.run}",
    )
    listed = disagreements(costs)
    unit = "" if costs.metric == "correlation" else " points"
    for each in listed[:3]:
        st.markdown(
            f"**{markdown_text(each.heavier, 60)}** weighs more than **{markdown_text(each.costlier, 60)}**, yet "
            f"without the latter the loss is {each.by:.2g}{unit} larger ({each.low:.2g} to {each.high:.2g}, corrected "
            "for the number of pairs)."
        )
    if not listed:
        st.markdown("No pair of them is in opposite order by weight and by loss, beyond chance.")
    elif len(listed) > 3:
        st.caption(f"And {len(listed) - 3} more pairs.")


# ---------------------------------------------------------------------------- the chosen row


def pick_output(part: Part, said: np.ndarray) -> int:
    """Which output is taken apart; of classes the one that is named unless chosen."""
    if part.task.outputs == 1:
        return 0
    at = st.selectbox(
        "Output",
        range(part.task.outputs),
        index=None,
        format_func=lambda one: shown(part.task.names[one], 40),
        placeholder="the class it names" if part.task.kind == "class" else shown(part.task.names[0], 40),
        key="weighed_output",
        bind="query-params",
    )
    if at is not None:
        return int(at)
    return int(said.argmax()) if part.task.kind == "class" else 0


def chosen_row(chosen: Selection, part: Part, row: int, found: Opened) -> None:
    """The chosen row's output in parts that add up."""
    rows.chosen_row(chosen, part, row)
    output = pick_output(part, found.outputs[row])
    parts, base = found.parts[row, :, output].astype(np.float64), float(found.base[output])
    total = base + float(parts.sum())
    given = float(found.outputs[row, output])
    name = shown(part.task.names[output], 24)
    unit = name if part.task.kind == "real" else f"logit of {name}"
    read = f"; the score is its logistic, {expit(given):.3f}" if part.task.kind == "units" else ""
    show.figure(
        figures.part_bars(found.weights.names, parts, base, given, unit, chosen.colours),
        f"What every {found.weights.what} adds to this row's output. Base {base:+.3f} and parts {total - base:+.3f} "
        f"make {total:+.3f}; the model says {given:+.3f}{read}.",
        f"base {base:.3f}; "
        + "; ".join(
            f"{shown(each, 40)} {value:+.3f}" for each, value in list(zip(found.weights.names, parts, strict=True))[:8]
        )
        + f"; output {given:.3f}",
        "row-parts",
        table={
            "part": ["base", *(shown(each, 80) for each in found.weights.names), "sum", "output"],
            unit: [base, *parts, total, given],
        },
        name=f"parts of {part.names[row]}",
    )


# ---------------------------------------------------------------------------- tabs


def against_p(chosen: Selection, found: Weights, how: str) -> None:
    """Runs that differ in p and seed alone."""
    every = norms_of(store.runs.run(chosen.trained), store.runs.runs(chosen.dataset))
    names = found.names if how == BRANCHES else found.modalities
    values = {p: over_seeds(chosen, runs, how) for p, runs in every.items()}
    if len(values) < 2:
        fusion = store.runs.run(chosen.trained).fusion
        st.info(
            "There is no other run yet that differs from this one in p and the seed alone: "
            f"`python -m core train DATASET --fusion {fusion} --set p=1` with the other options as they are."
        )
        return
    show.figure(
        figures.norm_lines(values, names, found.p, word(found, how), chosen.colours),
        "Runs that differ from the chosen one in p and the seed alone; mean over seeds, bars are one sd. Towards p = 1 "
        "few weights remain, a large p evens them out.",
        "; ".join(
            f"p = {p:g}: " + ", ".join(f"{shown(names[at], 30)} {mean:.2f}" for at, mean in enumerate(each.mean(0)[:6]))
            for p, each in values.items()
        ),
        "weights-p",
        table=figures.norm_table(values, names),
        name=f"weights against p of {chosen.run}",
    )


def by_output(chosen: Selection, part: Part, found: Opened) -> None:
    """Which class or target hears what."""
    spread = found.parts.std(0)
    best = spread.argmax(0)
    show.figure(
        figures.output_map(spread, found.weights.names, part.task.names, chosen.colours),
        f"How far every {found.weights.what} moves every output from row to row: the standard deviation of its parts "
        "over the rows looked at.",
        "; ".join(
            f"{shown(name, 24)} is moved most by {shown(found.weights.names[at], 40)}"
            for name, at in list(zip(part.task.names, best, strict=True))[:12]
        ),
        "weights-outputs",
        table={"name": [shown(each, 80) for each in found.weights.names]}
        | {shown(name, 30): spread[:, at].round(4) for at, name in enumerate(part.task.names)},
        name=f"parts by output of {chosen.run}",
    )


def tabs(chosen: Selection, part: Part, found: Weights, how: str, said: Opened) -> None:
    """What stands below: other p (MKL solves again for these, further down), and which output hears what."""
    drawn = {}
    if found.what == "branch":
        drawn["Against p"] = lambda: against_p(chosen, found, how)
    if part.task.outputs > 1:
        drawn["By output"] = lambda: by_output(chosen, part, said)
    if drawn:
        show.tabs(drawn, key="below_weights")

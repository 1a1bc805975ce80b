"""The switches of the factors page and what its tabs show; what is switched off lives in the link."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st
from scipy.special import expit

from app import store
from app.figures.samples import probabilities
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.factors import figures
from app.widgets import show
from app.widgets.samples import pictures
from core.explain.lowrank import Factored, RowParts, Switched, has_factors, rank_curve
from core.fusion.base import Fusion
from core.fusion.jwae import Jwae
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

FUSIONS = ("lmf", "jwae-lmf", "g-lmf")


# ---------------------------------------------------------------------------- what is switched off


@dataclass(frozen=True)
class Off:
    """Ranks, interactions and single (rank, interaction) parts that are switched off, all counted from 0."""

    ranks: tuple[int, ...] = ()
    interactions: tuple[int, ...] = ()
    cells: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def read(text: str | None, rank: int, kinds: int) -> "Off":
        """What of a line fits; the rest of a bad link is passed over. r2: rank 2, i3: interaction 3, 0.1: one part.

        >>> Off.read("r1 i2 0.3 r9 <script>", 4, 4)
        Off(ranks=(1,), interactions=(2,), cells=((0, 3),))
        """
        ranks, interactions, cells = set(), set(), set()
        for word in (text or "")[:4000].split():
            if (found := re.fullmatch(r"r(\d{1,3})", word)) and int(found[1]) < rank:
                ranks.add(int(found[1]))
            elif (found := re.fullmatch(r"i(\d{1,3})", word)) and int(found[1]) < kinds:
                interactions.add(int(found[1]))
            elif found := re.fullmatch(r"(\d{1,3})\.(\d{1,3})", word):
                cell = int(found[1]), int(found[2])
                if cell[0] < rank and cell[1] < kinds:
                    cells.add(cell)
        return Off(tuple(sorted(ranks)), tuple(sorted(interactions)), tuple(sorted(cells)))

    def __str__(self) -> str:
        """The line again; equal choices give equal lines.

        >>> str(Off((1,), (2,), ((0, 3),)))
        'r1 i2 0.3'
        """
        words = [f"r{one}" for one in self.ranks] + [f"i{one}" for one in self.interactions]
        return " ".join(words + [f"{rank}.{kind}" for rank, kind in self.cells])

    def toggled(self, cell: tuple[int, int]) -> "Off":
        """The same with one part switched; a part whose rank or interaction is off brings that back whole."""
        if cell[0] in self.ranks or cell[1] in self.interactions:
            return replace(
                self,
                ranks=tuple(one for one in self.ranks if one != cell[0]),
                interactions=tuple(one for one in self.interactions if one != cell[1]),
            )
        cells = set(self.cells) ^ {cell}
        return replace(self, cells=tuple(sorted(cells)))


def change(new: Off) -> None:
    """From a callback: this is switched off now; what was can be undone."""
    st.session_state.setdefault("off_past", []).append(st.session_state.get("off") or "")
    st.session_state["off_future"] = []
    st.session_state["off"] = str(new)


def undo() -> None:
    """From a callback: the change before."""
    past, future = st.session_state.get("off_past", []), st.session_state.setdefault("off_future", [])
    if past:
        future.append(st.session_state.get("off") or "")
        st.session_state["off"] = past.pop()


def redo() -> None:
    """From a callback: take the last undo back."""
    past, future = st.session_state.setdefault("off_past", []), st.session_state.get("off_future", [])
    if future:
        past.append(st.session_state.get("off") or "")
        st.session_state["off"] = future.pop()


def switches(found: Factored) -> Off:
    """One switch a rank and one an interaction, undo, redo, as trained, and the line that a link holds."""
    rank, kinds = found.parts.shape[1:3]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        of_ranks = st.container(width="content")
        st.button("Undo", on_click=undo, disabled=not st.session_state.get("off_past"), icon=":material/undo:")
        st.button("Redo", on_click=redo, disabled=not st.session_state.get("off_future"), icon=":material/redo:")
        reset = st.container(width="content")
        with st.popover("As text", icon=":material/link:"):
            # drawn before the switches: only now is the link read
            line = st.text_input(
                "Switched off",
                key="off",
                bind="query-params",
                placeholder="nothing: as trained",
                help="Counted from 0. r1: rank 1; i2: interaction 2; 0.3: what rank 0 makes of interaction 3.",
            )
    now = Off.read(line, rank, kinds)
    keys = {"ranks": f"ranks-on-{rank}", "interactions": f"interactions-on-{kinds}"}
    st.session_state[keys["ranks"]] = [one for one in range(rank) if one not in now.ranks]
    st.session_state[keys["interactions"]] = [one for one in range(kinds) if one not in now.interactions]

    def switched() -> None:
        on = {what: st.session_state[key] for what, key in keys.items()}
        change(
            Off(
                tuple(one for one in range(rank) if one not in on["ranks"]),
                tuple(one for one in range(kinds) if one not in on["interactions"]),
                now.cells,
            )
        )

    of_ranks.pills(
        "Ranks that are on",
        range(rank),
        selection_mode="multi",
        format_func=lambda one: f"{one + 1}",
        key=keys["ranks"],
        on_change=switched,
        help="Click a rank to switch it off, in every row. Nothing is trained again.",
    )
    st.pills(
        "Interactions that are on",
        range(kinds),
        selection_mode="multi",
        format_func=lambda one: shown(" × ".join(found.interactions[one]) or "none", 40),
        key=keys["interactions"],
        on_change=switched,
        help="An interaction is what a set of modalities makes together; none is what is left without any.",
    )
    reset.button("As trained", on_click=change, args=(Off(),), disabled=now == Off())
    return now


def clicked(key: str, now: Off) -> None:
    """From a callback of a map: switch the part that was clicked."""
    points = st.session_state[key]["selection"]["points"]
    if points:
        rank, kind = points[0]["customdata"][:2]
        change(now.toggled((int(rank), int(kind))))


# ---------------------------------------------------------------------------- numbers on top


def wrong_fusion(chosen: Selection, model: Fusion | None) -> None:
    """What to do when the chosen run has no ranks: say which runs have, and open the best one on a click."""
    name = None if chosen.run is None else store.runs.run(chosen.run).fusion
    st.info(
        ("No trained run fits this dataset" if name is None else f"The chosen run is of *{name}*, which has no ranks")
        + ": only a low-rank product can be taken apart this way. "
        "Choose a run of *lmf*, *jwae-lmf* or *g-lmf*, or train one: `python -m core train DATASET --fusion lmf`."
    )
    fitting = [run for run, found in store.runs.runs(chosen.dataset).items() if found.fusion in FUSIONS]
    fitting = [run for run in fitting if has_factors(store.models.model(run))][:1]
    for run in fitting:
        title = shown(store.runs.run_titles(chosen.dataset)[run], 60)
        st.button(f"Open {title}", on_click=selection.put, kwargs={"run": run}, icon=":material/grid_view:")


def answer_words(values: np.ndarray, part: Part, output: int) -> str:
    """What the model says of one row."""
    if part.task.kind == "class":
        chance = probabilities(values[None])[0]
        best = int(chance.argmax())
        return f"{shown(part.task.names[best], 24)} · {chance[best]:.0%}"
    if part.task.kind == "units":
        return f"{expit(values[0]):.3f}"
    return f"{values[output]:.4g}"


def truth_words(part: Part, row: int, output: int) -> str:
    """What is known of one row."""
    if part.target is None:
        return "–"
    if part.task.kind == "real":
        return f"{float(part.target[row, output]):.4g}"
    return shown(part.classes[int(part.target[row])], 24)


def numbers(
    found: Factored, row: int, output: int, everything: Switched, own: RowParts, after: np.ndarray, part: Part
) -> None:
    """Metric of the set and answer for the row, each with its distance from the trained one; and the largest gap."""
    kind, words = part.task.kind, METRIC_WORDS[part.task.metric]
    name = shown(part.task.names[output], 24)
    moved = everything.now - everything.then
    by = float(after[output] - own.output[output])
    changed = f"{by:+.3g}" if abs(by) > 1e-5 * max(1.0, abs(float(own.output[output]))) else None
    st.metric(
        words[0].upper() + words[1:],
        "–" if np.isnan(moved) else f"{everything.now:.3f}" if kind == "real" else f"{everything.now:.1f} %",
        None if np.isnan(moved) or abs(moved) < 5e-4 else f"{moved:+.3g}",
        border=True,
        width=150,
        help="Of all rows that are looked at; below, the distance from the model as trained.",
    )
    if kind != "real":
        st.metric(
            "Score of this row" if kind == "units" else "Answer for this row",
            answer_words(after, part, output),
            border=True,
            width=190,
            help="What the model says of the chosen row without what is switched off.",
        )
    st.metric(
        f"{name} of this row" if kind == "real" else "Logit" if kind == "units" else f"Logit of {name}",
        f"{after[output]:+.3f}",
        changed,
        delta_color="off",
        border=True,
        width=170,
        help="The number that the parts below add up to.",
    )
    st.metric("Truth", truth_words(part, row, output), border=True, width=130, help="What is known of this row.")
    st.metric(
        "Largest gap",
        f"{max(found.gap, own.gap):.0e}",
        border=True,
        width=130,
        help=f"Between an output and the sum of its parts, over {len(found.rows):,} rows whose outputs reach "
        f"{float(np.abs(found.given).max()):.3g}: float32 rounding.",
    )


def pick_average(part: Part) -> tuple[bool, int | None]:
    """(sizes instead of signed means, the class whose rows are averaged or None for all)."""
    how = st.segmented_control(
        "Average over all rows", ["mean", "size"], default="mean", required=True, key="average", bind="query-params",
        help="Mean: signed parts, which may cancel. Size: the mean of |part|.",
    )  # fmt: skip
    if part.target is None or not part.classes:
        return how == "size", None
    kind = st.selectbox(
        "All rows of", range(len(part.classes)), index=None, key="rows_of", bind="query-params",
        format_func=lambda at: shown(part.classes[at], 40), placeholder="every class", width=200,
        help="Average over the rows whose true class this is.",
    )  # fmt: skip
    return how == "size", None if kind is None else int(kind)


def what_row(chosen: Selection, part: Part, row: int) -> None:
    """The row as it looks: its pictures, or a frame of the unit."""
    samples = store.data.samples(chosen.dataset)
    if samples is not None:
        pictures(samples, chosen, row)
        return
    clip_name, unit = part.places[row]
    picture = store.pictures.thumbnail(chosen.dataset, clip_name, unit)
    if picture is not None:
        st.image(picture, width="stretch", alt=f"a frame from the middle of unit {unit}")
    st.caption(f"{markdown_text(part.names[row])}. Clip and moment are chosen in the sidebar.")


# ---------------------------------------------------------------------------- tabs


def test_of_ranks(chosen: Selection) -> None:
    """The hypothesis that ranks keep to interactions, as a test."""
    found = store.methods.computed("specialisation", chosen.run or "", chosen.dataset)
    names = [figures.interaction_name(subset) for subset in found.interactions]
    if found.why:
        st.info(f"Nothing can be tested here: {found.why}.")
        return
    certain = [f"rank {i + 1}" for i in range(len(found.p)) if found.p[i] <= 0.05]
    verdict = (
        f"{', '.join(certain)} keep{'s' * (len(certain) == 1)} to few interactions more than ranks drawn at random."
        if certain
        else "No rank keeps to few interactions more than ranks drawn at random: here the hypothesis finds no support."
    )
    st.markdown(f"**{verdict}**")
    show.figure(
        figures.specialisation_figure(
            found.shares, found.interactions, found.index, found.null_mean, found.null_high, chosen.colours
        ),
        "Mass is the variance over all rows of what a rank makes of an interaction. *Drawn ranks* take their columns "
        "of h from the trained ranks at random: the model then computes exactly the same, so a model whose ranks mean "
        f"nothing is as likely as this one. {found.draws} draws; p is corrected for looking at every rank.",
        "; ".join(
            f"rank {i + 1}: specialisation {found.index[i]:.2f}, p {found.p[i]:.3f}" for i in range(len(found.p))
        ),
        "specialisation",
        chosen.colours,
        chosen.picture,
        {
            "rank": np.arange(1, len(found.p) + 1),
            "share of all mass": found.mass,
            "specialisation": found.index,
            "p": found.p,
            **{f"share {name}": found.shares[:, at] for at, name in enumerate(names)},
        },
    )
    st.dataframe(
        pd.DataFrame(
            {
                "rank": [f"rank {i + 1}" for i in range(len(found.p))],
                "share of all mass": found.mass,
                "keeps most to": [names[int(np.nanargmax(each))] for each in np.nan_to_num(found.shares)],
                "specialisation": found.index,
                "p, corrected": found.p,
            }
        ),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.3f")
            for name in ("share of all mass", "specialisation", "p, corrected")
        },
        alt=verdict,
    )
    st.caption(
        f"All ranks together: rank and interaction share {found.information:.3f} bits; drawn ranks "
        f"{found.information_null:.3f} on average, p = {found.information_p:.3f}."
    )


def beside(chosen: Selection, part: Part, row: int, output: int) -> None:
    """What methods that know nothing of ranks say of the same output, with what they leave unexplained."""
    found = store.methods.computed("attributions", chosen.run or "", chosen.dataset, row, output)
    table = pd.DataFrame(
        [
            {"method": one.method, **{shown(name, 30): value for name, value in one.parts.items()}}
            | {"starts from": one.base, "gap": one.gap}
            for one in found
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.1e" if name == "gap" else "%+.4f")
            for name in table.columns[1:]
        },
        alt="; ".join(f"{one.method}: gap {one.gap:.1e}" for one in found),
    )
    st.caption(
        f"Parts of *{markdown_text(part.task.names[output], 30)}* for this row, by modality, as trained. Gap: the "
        "output minus where the method starts from minus its parts; 0 when all is explained. Integrated gradients and "
        "feature ablation (captum) start from the training mean; ablation counts what modalities do together once for "
        "each of them, which its gap shows. Shapley values go over every set of modalities, the others missing."
    )


def curve(chosen: Selection) -> None:
    """Quality against rank, from runs that differ in rank and seed alone."""
    run = store.runs.run(chosen.run or "")
    found = rank_curve(store.runs.runs(chosen.dataset), run)
    if len(found.ranks) < 2:
        st.info(
            "There is one rank only among the runs like this one. Train others: "
            f"`python -m core train DATASET --fusion {run.fusion} --set rank=2 --seeds 5`."
        )
        return
    words = METRIC_WORDS[found.metric] + (" (%)" if found.metric != "correlation" else "")
    best = int(np.argmax(found.mean))
    show.figure(
        figures.rank_figure(
            found.ranks, found.mean, found.sd, found.values, int(run.config["rank"]), chosen.colours, words
        ),
        "Runs that differ in rank and seed alone, measured on the test part after the last epoch. Bars: one sd.",
        f"best mean {found.mean[best]:.3g} at rank {found.ranks[best]}",
        "rank-curve",
        chosen.colours,
        chosen.picture,
        {"rank": found.ranks, "mean": found.mean, "sd": found.sd, "seeds": found.seeds, "weights": found.weights},
    )


def latents(chosen: Selection, model: Jwae, part: Part, row: int) -> None:
    """Distance to the prior, retrieval across modalities, and a walk between two rows."""
    run = chosen.run or ""
    left, right = st.columns([1, 1], gap="medium")
    with left:
        found = store.methods.computed("prior distance", run, chosen.dataset)
        show.figure(
            figures.distance_figure(
                [one.modality for one in found], [one.mmd2 for one in found], [one.by_chance for one in found],
                chosen.colours,
            ),
            f"How far latents are from N(0, I), over {found[0].rows:,} rows. Mean length "
            + ", ".join(f"{markdown_text(one.modality)} {one.length:.2f}" for one in found)
            + f"; of the prior {found[0].expected:.2f}.",
            "; ".join(f"{shown(one.modality)} {one.mmd2:.4f}" for one in found),
            "prior-distance",
            chosen.colours,
            chosen.picture,
            {
                "modality": [shown(one.modality) for one in found],
                "MMD²": [one.mmd2 for one in found],
                "95 % by chance": [one.by_chance for one in found],
                "mean length": [one.length for one in found],
            },
        )  # fmt: skip
    with right:
        if part.target is not None and part.classes:
            st.markdown("Retrieval across modalities")
            results = store.methods.computed("retrieval", run, chosen.dataset)
            table = pd.DataFrame(
                [
                    {"asked": shown(one.asked, 24), "answered": shown(one.answers, 24), "MAP": one.map}
                    | {f"MAP@{k}": value for k, value in one.map_at.items()}
                    | {"chance": one.chance}
                    for one in results
                ]
            )
            st.dataframe(
                table,
                hide_index=True,
                column_config={name: st.column_config.NumberColumn(format="%.3f") for name in table.columns[2:]},
                alt="; ".join(f"{one.asked} to {one.answers}: MAP {one.map:.3f}" for one in results),
            )
            st.caption(
                "A row of one modality asks, rows of another answer, by cosine of latents; an answer of the same class "
                "is right. Chance: a random order."
            )
        else:
            st.info("Retrieval is judged by classes; these rows have none.")
    _walk(chosen, model, part, row)


def _walk(chosen: Selection, model: Jwae, part: Part, row: int) -> None:
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
    found = store.methods.computed("walk", chosen.run or "", chosen.dataset, row, last)
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
            chosen.colours,
            chosen.picture,
        )
    with right:
        values, unit = found.outputs, "output"
        if part.task.kind == "class":
            values, unit = probabilities(found.outputs), "probability"
        elif part.task.kind == "units":
            values, unit = expit(found.outputs), "score"
        show.figure(
            figures.walk_outputs(found.steps, values, part.task.names, chosen.colours, unit),
            "What the model answers on the way, from each modality's own latent.",
            f"{unit} of {shown(part.task.names[0])} from {values[0, 0]:.3f} to {values[-1, 0]:.3f}",
            "walk-outputs",
            chosen.colours,
            chosen.picture,
            {"step": found.steps, **{shown(name, 40): values[:, at] for at, name in enumerate(part.task.names)}},
        )


def pick_output(part: Part, answer: int) -> int:
    """Which output is added up below; the model's answer for the row unless chosen."""
    names: Sequence[str] = part.task.names
    if len(names) == 1:
        return 0
    found = st.selectbox(
        "Class" if part.task.kind == "class" else "Target",
        range(len(names)),
        index=None,
        format_func=lambda at: shown(names[at], 40),
        key="output",
        bind="query-params",
        placeholder=f"{shown(names[answer], 20)} (the answer)" if part.task.kind == "class" else shown(names[0], 20),
        width=220,
        help="The output whose parts are added up below.",
    )
    return answer if found is None else int(found)

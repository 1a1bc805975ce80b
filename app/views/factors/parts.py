"""The switches of the factors page, its numbers, maps and sums; what is switched off lives in the link."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import streamlit as st
from jaxtyping import Bool, Float
from scipy.special import expit, softmax

from app import store
from app.figures.marks import class_of
from app.figures.style import markdown_text
from app.figures.words import begun, told
from app.state import history
from app.state.selection import Selection
from app.views.factors import figures
from app.widgets import show
from app.widgets.samples import pictures
from core.explain.lowrank import Factored, RowParts, Switched, kept, of_set, switched
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

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


def switches(found: Factored) -> Off:
    """One switch a rank and one an interaction, undo, redo, as trained, and the line that a link holds."""
    rank, kinds = found.parts.shape[1:3]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        of_ranks = st.container(width="content")
        history.buttons("off")
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
        history.change(
            "off",
            Off(
                tuple(one for one in range(rank) if one not in on["ranks"]),
                tuple(one for one in range(kinds) if one not in on["interactions"]),
                now.cells,
            ),
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
    reset.button("As trained", on_click=history.change, args=("off", Off()), disabled=now == Off())
    return now


BESIDE = 4  # ranks whose numbers can be read in half a page of a small screen

# ---------------------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Now:
    """The model as it is looked at: its parts, of all rows and of one, and what becomes of both without what is off.

    on      (rank, interaction): which parts are left
    after   the row's outputs with these alone
    """

    off: Off
    found: Factored
    own: RowParts
    on: Bool[np.ndarray, "rank interactions"]
    everything: Switched
    after: Float[np.ndarray, " outputs"]


def look(chosen: Selection, row: int) -> Now:
    """Draw the switches, and answer for them."""
    found = store.methods.computed("factors", chosen.trained, chosen.dataset)
    own = store.methods.computed("row parts", chosen.trained, chosen.dataset, row)
    off = switches(found)
    on = kept(found, off.ranks, off.interactions, off.cells)
    everything = switched(found, off.ranks, off.interactions, off.cells)
    return Now(off, found, own, on, everything, own.base + own.parts[on].sum(0))


def answer_words(values: np.ndarray, part: Part, output: int) -> str:
    """What the model says of one row."""
    if part.task.kind == "class":
        chance = softmax(values[None], axis=1)[0]
        best = int(chance.argmax())
        return f"{shown(part.task.names[best], 24)} · {chance[best]:.0%}"
    return f"{expit(values[0]):.3f}" if part.task.kind == "units" else f"{values[output]:.4g}"


def truth_words(part: Part, row: int, output: int) -> str:
    """What is known of one row."""
    if part.target is None:
        return "–"
    return shown(class_of(part, row), 24) if part.classes else f"{float(part.target[row, output]):.4g}"


def numbers(part: Part, row: int, now: Now) -> int:
    """Metric of the set and answer for the row, each with its distance from the trained one; returns the output."""
    kind, metric, was, found = part.task.kind, part.task.metric, now.own.output, now.found
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        output = pick_output(part, int(np.argmax(was)) if kind == "class" else 0)
        name, value = shown(part.task.names[output], 24), float(now.after[output])
        by = value - float(was[output])
        better = now.everything.now - now.everything.then
        _card(
            begun(METRIC_WORDS[metric]),
            "–" if np.isnan(better) else told(now.everything.now, metric) + ("" if kind == "real" else " %"),
            150,
            "Of all rows that are looked at; below, the distance from the model as trained.",
            None if np.isnan(better) or abs(better) < 5e-4 else f"{better:+.3g}",
            "normal",
        )
        if kind != "real":
            words = "Score of this row" if kind == "units" else "Answer for this row"
            says = "What the model says of the chosen row without what is switched off."
            _card(words, answer_words(now.after, part, output), 190, says)
        words = {"real": f"{name} of this row", "units": "Logit", "class": f"Logit of {name}"}[kind]
        moved = f"{by:+.3g}" if abs(by) > 1e-5 * max(1.0, abs(float(was[output]))) else None
        _card(words, f"{value:+.3f}", 170, "The number that the parts below add up to.", moved)
        _card("Truth", truth_words(part, row, output), 130, "What is known of this row.")
        says = f"Between an output and the sum of its parts, over {len(found.rows):,} rows whose outputs reach "
        says += f"{float(np.abs(found.given).max()):.3g}: float32 rounding."
        _card("Largest gap", f"{max(found.gap, now.own.gap):.0e}", 130, says)
    return output


def _card(
    label: str, value: str, width: int, words: str, moved: str | None = None, tint: Literal["normal", "off"] = "off"
) -> None:
    st.metric(label, value, moved, delta_color=tint, border=True, width=width, help=words)


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


# ---------------------------------------------------------------------------- the maps and the sums


def maps(chosen: Selection, part: Part, row: int, now: Now) -> None:
    """Every part of this row, and on average; a click on a cell switches it. Wide maps stand below each other."""
    own, wide = now.own, len(now.found.names) > 1 or now.found.rank > BESIDE
    unit = "logit" if part.task.kind != "real" else "own units"
    left, between = st.container(), st.container(horizontal=True, vertical_alignment="bottom")
    right = st.container()
    if not wide:
        left, right = st.columns(2, gap="medium")
    with between:
        size, kind = pick_average(part)

    def draw(key: str, values: np.ndarray, says: str, signed: bool = True) -> None:
        show.figure(
            figures.part_map(values, own.interactions, own.names, now.on, chosen.colours, unit, signed),
            says,
            figures.map_sentence(values, own.interactions, own.names),
            key,
            table=figures.part_table(values, own.interactions, own.names),
            pointed=lambda point: history.change(
                "off", now.off.toggled((int(point["customdata"][0]), int(point["customdata"][1])))
            ),
        )

    with left:
        st.header("This row", anchor=False)
        says = f"{markdown_text(part.names[row])}: what each rank (counted from 1) makes of each interaction. "
        says += "Red raises the output, blue lowers it. Click a cell to switch that part off or on."
        draw("row-map", own.parts, says)
    with right:
        st.header("All rows", anchor=False)
        average = of_set(now.found, kind)
        says = f"{'Mean size' if size else 'Mean'} of the same parts over {average.rows:,} rows."
        draw("set-map", average.size if size else average.mean, says, not size)


def sums(chosen: Selection, part: Part, output: int, now: Now) -> None:
    """One output, twice: base and ranks, base and interactions."""
    own, unit = now.own, "logit" if part.task.kind != "real" else "own units"
    parts, base, after = own.parts[..., output], float(own.base[output]), float(now.after[output])
    left = np.where(now.on, parts, 0.0)
    show.figure(
        figures.sums(left, own.interactions, base, after, chosen.colours, unit),
        f"*{markdown_text(part.task.names[output], 30)}* of this row, twice: base (what does not depend on the ranks) "
        f"and the sums over ranks, base and the sums over interactions. As trained the gap is {own.gap:.0e}.",
        f"base {base:+.4f} and parts {own.parts[now.on][:, output].sum():+.4f} make {after:+.4f}",
        "sums",
        table=figures.sum_table(parts, own.interactions, now.on, base),
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

"""Pieces of the page of graphs: what is looked at and how it is drawn, the graphs, degrees, matrices and files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

import numpy as np
import streamlit as st

from app import store
from app.figures import network
from app.figures.graphs import relation_matrices
from app.figures.network import Layout, Panel, ranked
from app.figures.style import file_name
from app.state import selection
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.graphs import figures, tables
from app.widgets import controls, show
from app.widgets.controls import Window
from app.widgets.graph import relation_graphs
from core.clip import Clip
from core.fusion.base import Fusion
from core.machine.names import shown

LAYOUTS = ("spring", "distance", "time")
KEY = "relations"


@dataclass(frozen=True)
class Display:
    """How the graphs are drawn: nothing here changes a number that is computed.

    layout      where the units lie
    per_node    each unit's strongest connections are candidates for drawing
    after, before   the difference is after minus the mean of before; None where there is nothing to compare
    shared      one colour scale for all graphs, or each graph its own
    strengths   "value": as computed; "rank": each relation's rank in its graph; "auto": rank where the trained α
                would tell nothing apart in some graph
    mark        purple diamonds are what the "truth" or what the "alarms" call anomalous
    """

    layout: str
    per_node: int
    after: str | None
    before: tuple[str, ...]
    shared: bool
    strengths: str
    mark: str


@dataclass(frozen=True)
class View:
    """What the page is about: one window of a clip under a run with A as changed, and how it is drawn.

    graphs   title -> strengths as computed: each modality's, then the fused graph where there is one
    scores   of all units of the clip
    other    the unit at the other end of the chosen connection
    """

    chosen: Selection
    clip: Clip
    model: Fusion
    window: Window
    changes: str
    graphs: Mapping[str, np.ndarray]
    scores: np.ndarray
    how: Display
    other: int | None

    @property
    def run(self) -> RunKey:
        return self.chosen.trained

    @property
    def unit(self) -> int | None:
        return self.chosen.unit(self.clip)

    @property
    def pair(self) -> tuple[int, int] | None:
        """The chosen connection."""
        return None if self.unit is None or self.other is None else (self.unit, self.other)

    @property
    def here(self) -> np.ndarray:
        """Scores of the window's units."""
        return self.scores[self.window.first : self.window.stop]

    @property
    def truth(self) -> np.ndarray | None:
        """Labels of the window's units."""
        labels = self.clip.labels
        return None if labels is None else labels.numpy()[self.window.first : self.window.stop]

    @property
    def marked(self) -> np.ndarray:
        """Units that stand as purple diamonds."""
        return self.here >= self.chosen.threshold if self.how.mark == "alarms" or self.truth is None else self.truth

    @cached_property
    def flat(self) -> bool:
        """Whether the trained α would keep nearly all or nearly none of some graph."""
        alpha, _ = store.graphs.trained_sliders(self.run)
        return any(tables.flat(graph, alpha) for graph in self.graphs.values())

    @property
    def by_rank(self) -> bool:
        return self.how.strengths == "rank" or (self.how.strengths == "auto" and self.flat)

    @cached_property
    def seen(self) -> dict[str, np.ndarray]:
        """Title -> strengths as drawn."""
        return {name: ranked(graph) if self.by_rank else graph for name, graph in self.graphs.items()}

    @cached_property
    def panels(self) -> list[Panel]:
        """What is drawn side by side: every graph, and their difference."""
        ranges, how = tables.scaled(self.seen, self.how.shared), self.how
        panels = [Panel(name, graph, *ranges[name]) for name, graph in self.seen.items()]
        if how.after is not None:
            less = how.before[0] if len(how.before) == 1 else "mean of modalities"
            panels.append(network.difference(f"{how.after} − {less}", how.after, how.before, self.seen))
        return panels

    @cached_property
    def places(self) -> np.ndarray:
        layout = cast(Layout, self.how.layout)
        return store.graphs.places(self.run, self.chosen.dataset, self.clip.name, self.window.index, layout)


def look(chosen: Selection, clip: Clip, model: Fusion, window: Window, changes: str) -> View:
    """The rest of the controls, and what they choose."""
    graphs = store.graphs.relations(chosen.trained, chosen.dataset, clip.name, window.index, changes)
    scores = store.graphs.unit_scores(chosen.trained, chosen.dataset, clip.name, changes)
    how = _display(list(graphs), clip.labels is not None)
    other = controls.pick_other(window, chosen.unit(clip))
    return View(chosen, clip, model, window, changes, graphs, scores, how, other)


def _display(titles: list[str], labelled: bool) -> Display:
    """The popover that says how the graphs are drawn."""
    pairs = _differences(titles)
    with st.popover("Display", icon=":material/tune:"):
        layout = show.one_of(
            "Layout",
            LAYOUTS,
            "layout",
            help="Spring: related units pull each other. Distance: related units lie near each other. Time: a circle, "
            "clockwise. Computed once a clip, from the modalities' graphs: no unit ever moves.",
        )
        per_node = st.slider(
            "Strongest connections of each unit",
            1,
            31,
            8,
            key="per_node",
            bind="query-params",
            help="Only these are drawn, at most 5,000 in all. Degrees and counts always take every connection.",
        )
        against = st.selectbox("Difference", list(pairs), key="difference", format_func=shown) if pairs else None
        shared = st.toggle("One colour scale for all graphs", True, key="shared", bind="query-params")
        how = show.one_of(
            "Strengths drawn",
            ["auto", "value", "rank"],
            "strengths",
            help="Value: as computed. Rank: a connection's place among all of its graph, so that α = 0.8 draws "
            "the strongest fifth. Auto: rank where the trained α would keep nearly all or nearly none of some graph.",
        )
        mark = show.one_of(
            "Purple diamonds",
            ["truth", "alarms"],
            "mark",
            disabled=not labelled,
            help="Units labelled anomalous, or units whose score reaches the alarm threshold.",
        )
    after, before = pairs[against] if against else (None, ())
    return Display(layout, int(per_node), after, before, bool(shared), how, mark if labelled else "alarms")


def _differences(titles: list[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Words -> (after, before) of every difference that can be drawn."""
    fused = store.graphs.FUSED if store.graphs.FUSED in titles else None
    modalities = [name for name in titles if name != fused]
    pairs: dict[str, tuple[str, tuple[str, ...]]] = {}
    if fused is not None and len(modalities) > 1:
        pairs[f"{fused} − mean of modalities"] = (fused, tuple(modalities))
        pairs |= {f"{fused} − {name}": (fused, (name,)) for name in modalities}
    return pairs | {f"{b} − {a}": (b, (a,)) for at, a in enumerate(modalities) for b in modalities[at + 1 :]}


# ---------------------------------------------------------------------------- the graphs


def graphs(view: View) -> None:
    """Every graph and the difference on the same places; a click picks a unit or a connection."""
    first, pair = view.window.first, view.pair
    picked = "" if view.unit is None else f"n{view.unit - first}"
    if pair:
        picked = f"e{min(pair) - first}-{max(pair) - first}"
    relation_graphs(
        view.panels,
        key=KEY,
        clip=f"{view.chosen.dataset}/{view.clip.name}/{view.window.index}/{view.how.layout}",
        places=view.places,
        anomalous=view.marked,
        scores=view.here,
        names=tables.unit_names(first, view.clip.seconds, view.here, view.truth),
        alpha=view.chosen.alpha,
        pick=picked,
        per_node=view.how.per_node,
        first=first,
        word="by rank: " if view.by_rank else "",
        on_alpha=lambda: selection.put(alpha=float(st.session_state[KEY]["alpha"])),
        on_pick=partial(_picked, first, view.clip.seconds),
    )
    if view.by_rank:
        st.caption(_by_rank(view))


def _picked(first: int, seconds: float) -> None:
    pick = st.session_state[KEY]["pick"] or ""
    ends = [first + int(end) for end in pick[1:].split("-")] if pick else []
    selection.put(time=ends[0] * seconds if ends else None)
    st.session_state["other"] = ends[1] if len(ends) == 2 else None


def _by_rank(view: View) -> str:
    alpha, (trained, _) = view.chosen.alpha, store.graphs.trained_sliders(view.run)
    why = f"By value the trained α = {trained:.2f} would keep nearly all or nearly none of some graph. "
    return (
        f"Drawn **by rank**: α = {alpha:.2f} keeps the strongest {1 - alpha:.0%} of every graph and what equals them. "
        + (why if view.flat else "")
        + "The numbers below take strengths as computed; **Display › Strengths drawn › value** draws these."
    )


def degrees(view: View) -> None:
    """Every unit's weighted degree, before fusion and after."""
    alpha, first = view.chosen.alpha, view.window.first
    before = {name: tables.weighted(graph, alpha) for name, graph in view.graphs.items()}
    after = before.pop(store.graphs.FUSED, None)
    show.figure(
        figures.degree_change(before, after, first, view.marked, view.chosen.colours),
        f"Weighted degree of every unit, as in eq. 7: the sum of its relations of at least α = {alpha:.2f}, "
        "itself included. Bars after fusion, lines before; hatched purple bars and diamonds are anomalous units.",
        tables.degree_sentence(before, after, view.marked),
        "degrees",
        name=f"degrees of {view.clip.name}",
    )


# ---------------------------------------------------------------------------- below


def matrices(view: View) -> None:
    """The same graphs as matrices."""
    change = next((panel.graph for panel in view.panels if panel.difference), None)
    ranges = tables.scaled(view.seen, shared=True)
    low, high = next(iter(ranges.values()))
    first, stop = view.window.first, view.window.stop
    show.figure(
        relation_matrices(view.seen, first, view.marked, view.chosen.colours, change, low, high),
        "Every pair of units as a cell; diamonds at the edge mark anomalous units. Zooming one zooms all.",
        f"strengths between units {first} to {stop - 1} in {', '.join(map(shown, view.graphs))}, one matrix each",
        "matrices",
        name=f"matrices of {view.clip.name}",
    )


def save(view: View) -> None:
    """Buttons that save the graphs; a file is made when its button is pressed."""
    first, last = view.window.first, view.window.stop - 1
    name = file_name(f"graphs {view.clip.name} units {first} to {last} {view.run}")
    plain = [panel for panel in view.panels if panel.difference is None]
    scores, marked = view.here, view.marked

    def page() -> str:
        drawn = {
            panel.title: network.network(
                view.places, marked, scores, panel, view.chosen.alpha, view.how.per_node, first
            )
            for panel in view.panels
        }
        return network.page(f"Clip {shown(view.clip.name)}, units {first} to {last}", drawn)

    graphml = partial(network.graphml, plain, marked, scores, view.clip.seconds, first)
    with st.container(horizontal=True):
        for label, make, mime, icon in (
            ("HTML", page, "text/html", "public"),
            ("GraphML", graphml, "application/graphml+xml", "hub"),
            ("CSV", partial(network.edge_table, view.panels, first), "text/csv", "table"),
        ):
            file = f"{name}.{label.lower()}"
            st.download_button(label, make, file, mime, on_click="ignore", icon=f":material/{icon}:")
    st.caption(
        "HTML opens anywhere without a network and can be zoomed; GraphML holds every connection for Gephi and "
        "NetworkX; CSV has one line a pair. PNG and SVG of what you see: the buttons above the graphs."
    )

"""Relationship graphs side by side, as a component: Python sends candidates once, the browser filters them by α."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.figures import network
from app.figures.style import DARK, LIGHT, Colours, file_name
from app.widgets.static import VIS, publish

HERE = Path(__file__).parent

# Streamlit sends this text with every rerun, so it only fetches the real script, which the browser keeps.
LOADER = """
let graphs, left = false;
export default function (component) {
  left = false;
  graphs ??= import(new URL(component.data.script, document.baseURI).href);
  graphs.then((module) => left || module.show(component));
  return () => { left = true; graphs.then((module) => module.leave(component.parentElement)); };
}
"""


@cache
def _style() -> str:
    return (HERE / "graph.css").read_text(encoding="utf-8")


def relation_graphs(
    panels: Sequence[network.Panel],
    *,
    key: str,
    clip: str,
    places: np.ndarray,
    anomalous: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    alpha: float,
    pick: str,
    per_node: int,
    first: int = 0,
    word: str = "",
    on_alpha: Callable[[], None],
    on_pick: Callable[[], None],
) -> Mapping[str, Any]:
    """Draw the panels; what the user did comes back as `alpha` (a value of GRID) and `pick`.

    `pick` is "" for nothing, "n7" for unit 7, "e3-7" for the connection of 3 and 7: what Python says is drawn as
    picked, and a click calls `on_pick`. Units are counted from 0 there, and labelled from `first` on. `clip` says whose
    zoom is remembered; `names` are plain text, one a unit; `word` is said before a connection's strengths.
    """
    mount = st.components.v2.component("relation_graphs", html='<div class="graphs"></div>', css=_style(), js=LOADER)
    nodes, *_, options = network.network(places, anomalous, scores, first=first).get_network_data()
    data = {
        "script": publish(HERE / "graph.js"),
        "vis": publish(VIS),
        "key": clip,
        "file": file_name(f"graphs of {clip}"),
        "nodes": [{name: node[name] for name in ("id", "label", "x", "y", "size", "shape")} for node in nodes],
        "radius": network.radius(len(nodes)),
        "anomalous": [bool(flag) for flag in anomalous],
        "names": list(names),
        "word": word,
        "panels": network.payload(panels, per_node, alpha),
        "alpha": {"low": 0.0, "high": 1.0, "step": 0.01, "value": alpha},
        "pick": pick,
        "options": network.OPTIONS,
        "colours": {"light": _colours(LIGHT, 0), "dark": _colours(DARK, 1)},
    }
    return mount(key=key, data=data, on_alpha_change=on_alpha, on_pick_change=on_pick)


def _colours(colours: Colours, at: int) -> dict[str, str]:
    kept = ("anomaly", "edge", "normal", "selected", "ink", "quiet", "grid", "page")
    named = {name: getattr(colours, name) for name in kept}
    return named | {"weaker": network.WEAKER[at], "stronger": network.STRONGER[at]}

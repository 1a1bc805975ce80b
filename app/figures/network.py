"""What a drawing of relationship graphs is made of: places, candidate edges, and the files they can be saved as.

No Plotly here: the browser draws these with vis-network (`app/widgets/graph.py`), the saved page with pyvis. A graph
is a symmetric (n, n) array of relation strengths; its diagonal is never an edge.
"""

import base64
import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float, Int
from pyvis.network import Network
from scipy.stats import rankdata

from app.figures.style import LIGHT, above_noise
from core.machine.names import shown

Layout = Literal["spring", "distance", "time"]
GRID: Float[np.ndarray, " steps"] = np.arange(101) / 100  # the values α can take
EXTENT = 1000.0  # places lie in [-EXTENT, EXTENT] on both axes
MOST_EDGES = 5000  # drawn in all panels together; more is a hairball and slow
SENT_WHOLE = 200  # up to this many units every strength is sent, so that degrees move with α


def ranked(graph: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Each relation between two units as its rank among all of them, 0 weakest to 1 strongest.

    Equal ones share the highest of their ranks. Then α keeps the strongest 1 - α share (more where the last ones
    are equal), however narrow the strengths lie. The diagonal is 1.

    >>> ranked(np.array([[9.0, -3.0, -1.0], [-3.0, 9.0, -2.0], [-1.0, -2.0, 9.0]]))[0].tolist()
    [1.0, 0.0, 1.0]
    """
    found = np.ones(graph.shape)
    i, j = np.triu_indices(len(graph), 1)
    if len(i):
        found[i, j] = found[j, i] = (rankdata(graph[i, j], method="max") - 1) / max(len(i) - 1, 1)
    return found


def positions(graphs: Sequence[Float[np.ndarray, "n n"]], layout: Layout, seed: int = 7) -> Float[np.ndarray, "n 2"]:
    """One place a unit, shared by all graphs of a clip, so that no node moves between before, after and difference.

    `spring`: forces on the union of the graphs (the largest strength of each pair). `distance`: classical
    multidimensional scaling (Torgerson 1952) of 1 - rank of the strength. `time`: a circle, clockwise from the top.
    The same graphs and seed give the same places.
    """
    union = np.max([np.asarray(graph, dtype=float) for graph in graphs], axis=0)
    n = len(union)
    if layout == "time" or n < 3:
        turn = 2 * np.pi * np.arange(n) / n
        return EXTENT * np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    union = ranked(union)  # what lies where must not hang on how narrow the strengths lie
    if layout == "distance":
        squared = (1 - union) ** 2
        np.fill_diagonal(squared, 0)
        centre = np.eye(n) - 1 / n
        values, vectors = np.linalg.eigh(-0.5 * centre @ squared @ centre)
        vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(n)])  # eigh leaves the sign open
        places = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0))
    else:
        i, j = candidates(union, n - 1 if n <= 128 else 12)
        graph = nx.Graph()
        graph.add_nodes_from(range(n))
        graph.add_weighted_edges_from(zip(i.tolist(), j.tolist(), (union[i, j] ** 2).tolist(), strict=True))
        placed = nx.spring_layout(graph, seed=seed, iterations=100)
        places = np.array([placed[node] for node in range(n)])
    return _apart(places)


def _apart(places: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Fill the square and push nodes that cover each other apart."""
    n = len(places)
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    places = places / np.maximum(np.abs(places).max(axis=0), 1e-9)
    ranks = places.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") / max(n - 1, 1) * 2 - 1
    places = (
        0.55 * places + 0.45 * ranks
    ) * EXTENT  # a crowd takes more room than its distance from the rest leaves it
    nearest = 2.3 * radius(n)
    turn = 2 * np.pi * np.arange(n) / n
    places = places + 1e-3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)  # two on one spot still know where to go
    for _ in range(60 if n <= 400 else 0):
        between = places[:, None] - places[None]
        distance = np.hypot(between[..., 0], between[..., 1])
        np.fill_diagonal(distance, np.inf)
        push = np.maximum(nearest - distance, 0)
        if not push.any():
            break
        places = np.clip(places + 0.4 * (between * (push / distance)[..., None]).sum(axis=1), -EXTENT, EXTENT)
    return places


def radius(n: int) -> float:
    """Of a node, so that n of them cover about a seventh of the square."""
    return float(np.clip(0.48 * EXTENT / np.sqrt(n), 8, 95))


def candidates(graph: Float[np.ndarray, "n n"], per_node: int) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """Pairs i < j that are among the `per_node` largest absolute values of either end, weakest first."""
    n = len(graph)
    size = np.abs(graph).astype(float)
    np.fill_diagonal(size, -1)
    keep = np.zeros((n, n), dtype=bool)
    count = min(per_node, n - 1)
    if count > 0:
        best = np.argsort(-size, axis=1, kind="stable")[:, :count]
        keep[np.arange(n)[:, None], best] = True
    i, j = np.nonzero(np.triu(keep | keep.T, 1))
    order = np.argsort(size[i, j], kind="stable")
    return i[order], j[order]


def levels(strengths: Float[np.ndarray, " *shape"]) -> Int[np.ndarray, " *shape"]:
    """How many values of GRID each strength reaches: it is kept at α = GRID[s] exactly when its level is above s.

    >>> levels(np.array([-0.2, 0.0, 0.495, 0.5, 1.0])).tolist()
    [0, 1, 50, 51, 101]
    """
    return np.searchsorted(GRID.astype(strengths.dtype), strengths, side="right").astype(np.int64)


@dataclass(frozen=True)
class Panel:
    """One graph of the row.

    difference   None for a graph. For a difference: the titles it is made of, (after, (before, ...)); it is after
                 minus the mean of the others, and an edge is drawn where either side reaches α
    low, high    strengths drawn palest and darkest
    """

    title: str
    graph: Float[np.ndarray, "n n"]
    low: float = 0.0
    high: float = 1.0
    difference: tuple[str, tuple[str, ...]] | None = None


def difference(title: str, after: str, before: Sequence[str], graphs: Mapping[str, Float[np.ndarray, "n n"]]) -> Panel:
    """The panel of `after` minus the mean of `before`; its colours are symmetric around 0."""
    less = np.mean([graphs[name] for name in before], axis=0)
    graph = above_noise(graphs[after] - less, graphs[after], less)
    off = graph[~np.eye(len(graph), dtype=bool)]
    return Panel(title, graph, 0.0, float(np.abs(off).max(initial=0.0)) or 1.0, (after, tuple(before)))


def payload(panels: Sequence[Panel], per_node: int, alpha: float) -> list[dict[str, Any]]:
    """The panels as the browser gets them: candidate edges with their α level, and counts of all edges at every α.

    Up to SENT_WHOLE units the level of every pair goes along, one byte each, so that degrees can follow α there.
    """
    graphs = {panel.title: panel.graph for panel in panels}
    n = len(panels[0].graph)
    upper = np.triu_indices(n, 1)
    most = MOST_EDGES // len(panels)
    sent = []
    for panel in panels:
        gate = panel.graph
        if panel.difference:
            after, before = panel.difference
            gate = np.maximum(graphs[after], np.mean([graphs[name] for name in before], axis=0))
        i, j = candidates(panel.graph, per_node)
        i, j = i[-most:], j[-most:]
        level = levels(gate[i, j])
        edges = [
            [int(a), int(b), int(c), round(float(d), 3)]
            for a, b, c, d in zip(i, j, level, panel.graph[i, j], strict=True)
        ]
        every = levels(panel.graph[upper])
        entry: dict[str, Any] = {
            "id": panel.title,
            "title": panel.title,
            "kind": "difference" if panel.difference else "graph",
            "edges": edges,
            "low": round(panel.low, 4),
            "high": round(panel.high, 4),
            "levels": None,
            "counts": None,
            "degrees": None,
        }
        if panel.difference:
            entry["plus"], entry["minus"] = panel.difference[0], list(panel.difference[1])
        else:
            entry["counts"] = [
                int(count) for count in len(every) - np.searchsorted(np.sort(every), np.arange(len(GRID)), "right")
            ]
            if n <= SENT_WHOLE:
                entry["levels"] = base64.b64encode(every.astype(np.uint8).tobytes()).decode()
            else:
                entry["degrees"] = (_off(panel.graph) >= alpha).sum(axis=1).tolist()
        fixed = {key: value for key, value in entry.items() if key != "degrees"}
        entry["digest"] = hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:16]
        sent.append(entry)
    return sent


def _off(graph: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The graph without its diagonal, which no α reaches."""
    return np.where(np.eye(len(graph), dtype=bool), -np.inf, graph)


OPTIONS = {
    "physics": {"enabled": False},
    "layout": {"improvedLayout": False},
    "nodes": {"chosen": False, "shape": "dot", "borderWidth": 2, "borderWidthSelected": 2},
    "edges": {"chosen": False, "smooth": False, "hoverWidth": 0, "selectionWidth": 0},
    "interaction": {"dragNodes": False, "selectable": False, "hover": False, "zoomView": False, "tooltipDelay": 10**9},
}


def network(
    places: Float[np.ndarray, "n 2"],
    anomalous: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    panel: Panel | None = None,
    alpha: float = 0.0,
    per_node: int = 8,
    first: int = 0,
) -> Network:
    """A pyvis network: nodes at fixed places, anomalies as diamonds, higher scores larger; the panel's edges from α.

    Labels are unit numbers from `first` on. No node has a title: pyvis writes titles into the page as HTML.
    """
    drawn = Network(height="100%", width="100%", cdn_resources="in_line", bgcolor=LIGHT.page)
    size = radius(len(places)) * (0.8 + 0.35 * np.clip(np.nan_to_num(scores), 0, 1))
    for unit, (x, y) in enumerate(places):
        drawn.add_node(
            unit,
            label=str(first + unit),
            x=round(float(x), 1),
            y=round(float(y), 1),
            size=round(float(size[unit]) * (1.15 if anomalous[unit] else 1.0), 1),
            shape="diamond" if anomalous[unit] else "dot",
            color=LIGHT.anomaly if anomalous[unit] else LIGHT.normal,
        )
    if panel is not None:
        (entry,) = payload([_alone(panel)], per_node, alpha)
        step = int(np.abs(GRID - alpha).argmin())
        thick = radius(len(places))
        drawn.edges = [
            {"from": i, "to": j, **_stroke(panel, strength, bool(anomalous[i] or anomalous[j]), thick)}
            for i, j, level, strength in entry["edges"]
            if panel.difference or level > step
        ]
    drawn.set_options(json.dumps(OPTIONS | {"interaction": {"dragNodes": False, "hover": False}}))
    return drawn


def _alone(panel: Panel) -> Panel:
    return Panel(panel.title, panel.graph, panel.low, panel.high)


def _stroke(panel: Panel, strength: float, anomalous: bool, thick: float) -> dict[str, Any]:
    low = 0.0 if panel.difference else panel.low
    share = float(np.clip((abs(strength) - low) / ((panel.high - low) or 1), 0, 1))
    colour = LIGHT.anomaly if anomalous else LIGHT.edge
    if panel.difference:
        colour = WEAKER[0] if strength < 0 else STRONGER[0]
    red, green, blue = (round(255 + (int(colour[at : at + 2], 16) - 255) * (0.15 + 0.85 * share)) for at in (1, 3, 5))
    return {"color": f"#{red:02x}{green:02x}{blue:02x}", "width": round(thick * (0.03 + 0.17 * share**2), 2)}


WEAKER = ("#B35806", "#E08214")  # the two ends of PuOr, on light and on dark pages
STRONGER = ("#542788", "#B2ABD2")

CSP = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_CDN = re.compile(r"<link[^>]*?https?://[^>]*?>|<script[^>]*?https?://[^>]*?>.*?</script>", re.S)
_HEADING = re.compile(r"<center>\s*<h1>.*?</h1>\s*</center>", re.S)


def page(heading: str, networks: Mapping[str, Network]) -> str:
    """One HTML file with every graph in it, which opens without a network: pyvis's pages in sandboxed frames.

    The heading and the titles may be hostile: they are escaped, and a content policy forbids every request. vis-network
    goes in once, and each frame takes it from the page.
    """
    bodies, library = [], ""
    for drawn in networks.values():
        written = _HEADING.sub("", _CDN.sub("", drawn.generate_html()))
        scripts = [(found.start(), found.end()) for found in re.finditer(r"<script.*?</script>", written, re.S)]
        start, stop = max(scripts, key=lambda span: span[1] - span[0])  # vis-network is by far the longest
        library = written[start:stop]
        written = written[:start] + "<!--library-->" + written[stop:]
        style = (
            "<style>html,body{margin:0;height:100%}.card,#mynetwork{height:100%!important;border:0!important}</style>"
        )
        bodies.append(written.replace("</head>", style + "</head>"))
    # inside a script nothing is markup but "</" and "<!--", so both are spelled another way
    parcel = json.dumps({"library": library, "bodies": bodies}).replace("<", "\\u003c")
    figures = "\n".join(
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<iframe sandbox="allow-scripts" title="graph {at}"></iframe></figure>'
        for at, title in enumerate(networks)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CSP}; frame-src 'self'">
<title>{html.escape(heading)}</title>
<style>body{{font:14px sans-serif;color:{LIGHT.ink};margin:16px}}main{{display:grid;gap:12px;
grid-template-columns:repeat(auto-fit,minmax(420px,1fr))}}figure{{margin:0;border:1px solid {LIGHT.grid};
border-radius:8px;padding:8px}}
figcaption{{font-weight:600}}iframe{{width:100%;height:460px;border:0}}</style></head>
<body><h1>{html.escape(heading)}</h1>
<p>Purple diamonds are anomalous units, lines are relations: darker is stronger, purple touches an anomalous unit.</p>
<main>{figures}</main>
<script>const parcel = {parcel};
document.querySelectorAll("iframe").forEach((frame, at) => {{
  frame.srcdoc = parcel.bodies[at].replace("<!--library-->", () => parcel.library);
}});</script></body></html>
"""


def graphml(
    panels: Sequence[Panel],
    anomalous: Bool[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    seconds: float,
    first: int = 0,
) -> bytes:
    """Every graph in one GraphML file: an edge holds its strength in each graph, a node its start, score and label."""
    graph = nx.Graph()
    for at in range(len(anomalous)):
        start = (first + at) * seconds
        graph.add_node(first + at, start=start, score=float(scores[at]), anomalous=bool(anomalous[at]))
    for i, j in zip(*np.triu_indices(len(anomalous), 1), strict=True):
        strengths = {shown(panel.title): float(panel.graph[i, j]) for panel in panels}
        graph.add_edges_from([(first + int(i), first + int(j), strengths)])
    out = io.BytesIO()
    nx.write_graphml(graph, out)
    return out.getvalue()


def edge_table(panels: Sequence[Panel], first: int = 0) -> str:
    """CSV: one line a pair of units, one column a graph; no title can start a spreadsheet's formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    titles = [shown(panel.title) for panel in panels]
    writer.writerow(["unit", "other", *(f"'{t}" if t[:1] in tuple("=+-@") else t for t in titles)])
    for i, j in zip(*np.triu_indices(len(panels[0].graph), 1), strict=True):
        writer.writerow([first + i, first + j, *(f"{panel.graph[i, j]:.6g}" for panel in panels)])
    return out.getvalue()

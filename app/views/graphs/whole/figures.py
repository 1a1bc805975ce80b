"""A long clip as one window: communities and units as graphs, when they take place, degrees, and their numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from app.figures.draw import Trace, cells, dots, framed, line, upright
from app.figures.network import EXTENT, candidates
from app.figures.style import Colours
from core.measure.metrics import auc
from core.score.communities import Kind, Summary

LARGEST, LEAST = 64.0, 9.0  # pixels across of the largest community's node, and of any
STRONGEST = 3  # connections of each community that are drawn
PER_UNIT = 4  # connections of each unit that are drawn
SHADES = 5  # darknesses of lines
LOG = {"type": "log", "dtick": 1, "exponentformat": "power"}
BINS, COLUMNS = 240, 160  # pieces of time in a line, and in the strip of communities
WORDS: dict[Kind, str] = {
    "related": "",
    "rest": "the rest: small communities",
    "alone": "related to none of these",
    "time": "a piece of time",
}


def name_of(path: Sequence[int], group: int | None = None) -> str:
    """What a group is called, counted from 1.

    >>> name_of((2,), 0), name_of(())
    ('3.1', 'whole clip')
    """
    every = (*path, *(() if group is None else (group,)))
    return ".".join(str(number + 1) for number in every) or "whole clip"


def path_of(name: object, longest: int = 12) -> tuple[int, ...]:
    """The path a name stands for; what is no name stands for the whole clip.

    >>> path_of("3.1"), path_of("whole clip"), path_of("<script>"), path_of("0.1")
    ((2, 0), (), (), ())
    """
    words = str(name or "").split(".")
    if len(words) > longest or not all(word.isascii() and word.isdigit() and int(word[:6]) > 0 for word in words):
        return ()
    return tuple(int(word[:6]) - 1 for word in words)


Pairs = tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"], Float[np.ndarray, " e"]]


def drawn_pairs(strengths: Float[np.ndarray, "n n"], per_node: int) -> Pairs:
    """(i, j, strength) of pairs i < j among the strongest of either end, weakest first."""
    i, j = candidates(strengths, per_node)
    return i, j, strengths[i, j]


def _lines(
    places: Float[np.ndarray, "n 2"], pairs: Pairs, alpha: float, touched: Bool[np.ndarray, " n"], colours: Colours
) -> list[Trace]:
    """Connections in a few darknesses, green, purple where they touch a marked unit; below alpha dotted and grey."""
    i, j, strength = pairs
    rank = np.searchsorted(np.sort(strength), strength, side="right") / max(1, len(strength))
    shade = np.minimum((rank**3 * SHADES).astype(int), SHADES - 1)  # few are dark, or many would hide them all
    thick = min(1.0, 8 / np.sqrt(max(1, len(places))))
    weak, odd = strength < np.float32(alpha), touched[i] | touched[j]
    traces: list[Trace] = []
    for level in range(SHADES):
        share = (level + 1) / SHADES
        for flags, dash, colour, name in (
            (weak, "dot", colours.quiet, "below α"),
            (~weak & ~odd, "solid", colours.edge, "reaches α"),
            (~weak & odd, "solid", colours.anomaly, "reaches α"),
        ):
            some = flags & (shade == level)
            if not some.any():
                continue
            ends = np.full((int(some.sum()), 3, 2), np.nan, np.float32)
            ends[:, 0], ends[:, 1] = places[i[some]], places[j[some]]
            x, y = ends[:, :, 0].ravel().round(0), -ends[:, :, 1].ravel().round(0)
            drawn = line(x, y, name, colour, width=0.6 + 2.6 * thick * share**2, dash=dash, legendgroup=dash)
            shown = all(trace["name"] != name for trace in traces)
            traces.append({**drawn, "opacity": 0.15 + 0.85 * share, "showlegend": shown})
    return traces


def _square(traces: list[Trace]) -> go.Figure:
    across = {"visible": False, "range": [-1.16 * EXTENT, 1.16 * EXTENT]}
    upwards = {"visible": False, "range": [-1.3 * EXTENT, 1.16 * EXTENT]}  # room for the lowest node's words
    return framed(
        traces, 470, across, upwards, top=None, margin={"l": 4, "r": 4, "t": 28, "b": 4}, clickmode="event+select",
        dragmode="pan", legend={"itemsizing": "constant"},
    )  # fmt: skip


STILL = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}  # a click fades none


def node_sizes(sizes: Int[np.ndarray, " groups"]) -> Float[np.ndarray, " groups"]:
    """Pixels across, so that areas are in proportion to units; none too small to be hit."""
    return np.maximum(LARGEST * np.sqrt(sizes / max(1, int(sizes.max(initial=1)))), LEAST)


def summary_graph(
    found: Summary,
    path: Sequence[int],
    places: Float[np.ndarray, "groups 2"],
    marked: Bool[np.ndarray, " n"],
    alpha: float,
    seconds: float,
    what: str,
    colours: Colours,
) -> go.Figure:
    """Communities as circles whose area is their units; the purple diamond inside has the area of the marked ones.

    marked    of every unit of the clip; `what` says what they are ("anomalous")
    The customdata of a circle is its group.
    """
    sizes, counts = found.sizes, marked_in(found, marked)
    nobody = np.zeros(len(sizes), bool)
    across, (x, y) = node_sizes(sizes), (places[:, 0], -places[:, 1])
    circles = dots(
        x, y, "communities", colours.normal, "%{text}<extra></extra>", opacity=1, size=across,
        symbol=["circle-open-dot" if kind in ("alone", "rest") else "circle" for kind in found.kinds],
        rim={"color": colours.page, "width": 2}, customdata=np.arange(len(sizes)), showlegend=False,
        text=[_told(found, path, group, int(counts[group]), seconds, what) for group in range(len(sizes))], **STILL,
    )  # fmt: skip
    some = counts > 0
    marks = dots(
        x[some], y[some], f"{what} units", colours.anomaly, symbol="diamond",
        size=np.maximum(across[some] * np.sqrt(counts[some] / sizes[some]), 6),
        rim={"color": colours.page, "width": 1}, showlegend=bool(some.any()),
    )  # fmt: skip
    words = [
        f"{name_of(path, group)} · {sizes[group]:,}" + (f" · {counts[group] / sizes[group]:.0%}" if some[group] else "")
        for group in range(len(sizes))
    ]
    names = {
        "type": "scatter", "x": x, "y": y - 0.5 * across * EXTENT / 200 - 34, "mode": "text", "text": words,
        "textfont": {"size": 11, "color": colours.ink}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    lines = _lines(places, drawn_pairs(found.relations, STRONGEST), alpha, nobody, colours)
    return _square([*lines, circles, marks, names])


def _told(found: Summary, path: Sequence[int], group: int, count: int, seconds: float, what: str) -> str:
    """What is said of a community that is pointed at."""
    units = found.inside(group)
    return (
        f"<b>{name_of(path, group)}</b> {WORDS[found.kinds[group]]}<br>{len(units):,} units, "
        f"{seconds * units[0]:,.0f} to {seconds * (units[-1] + 1):,.0f} s<br>"
        f"{count:,} {what} ({count / len(units):.1%})<br>mean relation inside {found.relations[group, group]:.3f}"
    )


def unit_graph(
    graph: Float[np.ndarray, "m m"],
    members: Int[np.ndarray, " m"],
    places: Float[np.ndarray, "m 2"],
    marked: Bool[np.ndarray, " n"],
    picked: int | None,
    alpha: float,
    what: str,
    colours: Colours,
) -> go.Figure:
    """Units one by one, purple diamonds are the marked ones; the customdata of a point is its unit."""
    here = marked[members]
    traces = _lines(places, drawn_pairs(graph, PER_UNIT), alpha, here, colours)
    size = float(np.clip(150 / np.sqrt(max(1, len(members))), 7, 26))
    looks = ((False, "circle", colours.normal, "normal", 1.0), (True, "diamond", colours.anomaly, what, 1.2))
    for flag, symbol, colour, name, larger in looks:
        some = here == flag
        if some.any():
            x, y = places[some, 0].round(0), -places[some, 1].round(0)
            traces.append(dots(
                x, y, name, colour, "unit %{customdata:,}<extra></extra>", symbol=symbol, size=size * larger, opacity=1,
                rim={"color": colours.page, "width": 1}, customdata=members[some], **STILL,
            ))  # fmt: skip
    if picked is not None and picked in members:
        x, y = places[int(np.searchsorted(members, picked))] * (1, -1)
        rim, font = {"width": 3}, {"color": colours.ink, "size": 12}
        ring = dots([x], [y], "chosen", colours.selected, symbol="circle-open", size=size * 1.7, rim=rim)
        words = {"text": [f"unit {picked:,}"], "textposition": "top center", "textfont": font}
        traces.append(ring | words | {"mode": "markers+text"})
    return _square(traces)


def marked_in(found: Summary, marked: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " groups"]:
    """How many marked units every group holds."""
    return np.bincount(found.groups, marked[found.members], minlength=len(found.kinds)).astype(int)


def strip_shares(found: Summary, units: int) -> Float[np.ndarray, "groups columns"]:
    """Share of the clip's units in every piece of time that belong to each group; the pieces cover the whole clip."""
    columns = max(1, min(COLUMNS, units))
    piece = np.arange(units) * columns // max(1, units)
    count = np.bincount(piece, minlength=columns)
    table = np.zeros((len(found.kinds), columns))
    np.add.at(table, (found.groups, piece[found.members]), 1.0)
    return table / count


def time_strip(
    found: Summary, path: Sequence[int], marked: Bool[np.ndarray, " n"], seconds: float, colours: Colours
) -> go.Figure:
    """When every community takes place: one line each, dark where the units of that time belong to it."""
    shares = (100 * strip_shares(found, len(marked))).round().astype(np.uint8)
    width = len(marked) * seconds / shares.shape[1]
    rows = [name_of(path, group) for group in range(len(shares))]
    bar = {"title": {"text": "% of the<br>units then", "font": {"size": 11}}, "outlinewidth": 0, "thickness": 10}
    strip = cells(
        shares, colours.edges, "%{y}, at %{x:,.0f} s: %{z} % of the units<extra></extra>", low=0, high=100, gap=None,
        x0=width / 2, dx=width, y=rows, ygap=2, showscale=None, colorbar=bar,
    )  # fmt: skip
    at = np.flatnonzero(np.bincount(np.flatnonzero(marked) * shares.shape[1] // max(1, len(marked)), minlength=1))
    look: dict[str, Any] = {"symbol": "diamond", "size": 6, "showlegend": False, "yaxis": "y2"}
    marks = dots((at + 0.5) * width, [rows[-1]] * len(at), None, colours.anomaly, **look)
    tall = 40 + 15 * len(rows)
    across = {"title": "time (s)", "range": [0, max(len(marked) * seconds, 1e-9)], "showgrid": False}
    up = {"type": "category", "autorange": "reversed", "showgrid": False, "domain": [0, 1 - 18 / tall], "dtick": 1}
    above = {"type": "category", "visible": False, "domain": [1 - 12 / tall, 1], "anchor": "x"}
    return framed([strip, marks], 70 + tall, across, up, top=10, yaxis2=above)


def binned(
    values: Float[np.ndarray, " n"], most: int = BINS
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """(first unit and a half, mean, least, largest) of pieces of equal length; all units as they are when they are few.

    >>> [part.tolist() for part in binned(np.array([1.0, 3.0, 5.0, 7.0]), 2)]
    [[0.5, 2.5], [2.0, 6.0], [1.0, 5.0], [3.0, 7.0]]
    """
    n = len(values)
    edges = np.linspace(0, n, min(most, n) + 1).astype(int)
    first, length = edges[:-1], np.diff(edges)
    if not n:
        return (np.zeros(0),) * 4
    mean = np.add.reduceat(values.astype(float), first) / length
    return first + (length - 1) / 2, mean, np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)


def track(
    values: Float[np.ndarray, " n"],
    marked: Bool[np.ndarray, " n"],
    seconds: float,
    title: str,
    what: str,
    colours: Colours,
) -> go.Figure:
    """A number of every unit over time: the mean of each piece, and the band from its least to its largest."""
    middle, mean, low, high = (part.astype(np.float32) for part in binned(values))
    x = (middle + np.float32(0.5)) * np.float32(seconds)
    area = {"fill": "tonexty", "fillcolor": colours.faded(colours.normal, 0.28)}
    edge: Trace = {"type": "scatter", "x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    traces = [
        edge | {"y": high, "showlegend": False},
        edge | {"y": low, "name": "least to largest"} | area,
        line(x, mean, "mean", colours.ink, "at %{x:,.0f} s: %{y:.4g}<extra></extra>", width=1.4),
    ]
    some = np.flatnonzero(binned(marked.astype(np.float32))[1] > 0)
    if len(some):
        floor = float(low.min()) - 0.06 * float(np.ptp(np.concatenate([low, high])) or 1.0)
        below = np.full(len(some), floor, np.float32)
        traces.append(dots(x[some], below, what, colours.anomaly, symbol="diamond", size=6))
    return framed(traces, 250, "time (s)", title, top=None)


def degree_histogram(
    degrees: Float[np.ndarray, " n"], marked: Bool[np.ndarray, " n"], what: str, colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """How many units have which degree, on a logarithmic scale, and the table of it; marked units hatched purple."""
    low, high = (float(degrees.min()), float(degrees.max())) if len(degrees) else (0.0, 1.0)
    if high - low < 1e-5 * max(abs(high), 1.0):  # all alike: one bar
        edges = np.array([low - 0.5, high + 0.5])
    else:
        edges = np.linspace(low, high, 31)
    every, some = np.histogram(degrees, edges)[0], np.histogram(degrees[marked], edges)[0]
    traces = [
        {
            "type": "bar", "x": (edges[:-1] + edges[1:]) / 2, "y": count, "width": np.diff(edges), "name": name,
            "marker": {"color": colour, "line": {"width": 0}, "pattern": {"shape": shape, "fgcolor": colours.page}},
            "hovertemplate": "degree %{x:,.1f}: %{y:,} units<extra>" + name + "</extra>",
        }
        for count, name, colour, shape in (
            (every, "all units", colours.normal, ""),
            (some, what, colours.anomaly, "/"),
        )
        if count.any()
    ]  # fmt: skip
    figure = framed(traces, 250, "degree", {"title": "units", **LOG}, top=None, barmode="overlay", bargap=0)
    return figure, pd.DataFrame({"from": edges[:-1], "to": edges[1:], "units": every, what: some})


def pair_curve(
    pairs: Int[np.ndarray, " alphas"], total: int, alphas: Float[np.ndarray, " alphas"], alpha: float, colours: Colours
) -> go.Figure:
    """Share of all pairs that reach every value of α, on a logarithmic scale; the chosen α in orange."""
    share = np.where(pairs > 0, 100 * pairs / max(1, total), np.nan)
    curve = line(
        alphas, share, None, colours.edge, "α = %{x:.2f}: %{customdata:,} pairs, %{y:.3g} %<extra></extra>",
        width=1.6, size=4, customdata=pairs, showlegend=False,
    )  # fmt: skip
    figure = framed([curve], 250, {"title": "α", "range": [0, 1]}, {"title": "% of all pairs", **LOG}, top=None)
    upright(figure, alpha, colours.selected, None, 1.5)
    return figure


def strongest_alpha(
    pairs: Int[np.ndarray, " alphas"], total: int, alphas: Float[np.ndarray, " alphas"], share: float = 0.01
) -> float | None:
    """The least α that at most this share of the pairs reaches; None where α tells no pairs apart.

    >>> strongest_alpha(np.array([100, 40, 3, 1, 0]), 100, np.array([0, 0.25, 0.5, 0.75, 1.0]), 0.05)
    0.5
    """
    fits = np.flatnonzero((pairs <= share * total) & (pairs > 0))
    return float(alphas[fits[0]]) if len(fits) else None


def group_table(
    found: Summary,
    path: Sequence[int],
    marked: Bool[np.ndarray, " n"],
    degrees: Float[np.ndarray, " n"],
    seconds: float,
    what: str,
) -> pd.DataFrame:
    """One line a group, in the order of the drawing."""
    sizes, counts = found.sizes, marked_in(found, marked)
    inside = [found.inside(group) for group in range(len(sizes))]
    others = found.relations - np.diag(np.full(len(sizes), np.inf))
    nearest = np.where(np.isfinite(others).any(1), np.nan_to_num(others, nan=-np.inf).argmax(1), -1)
    return pd.DataFrame(
        {
            "group": [name_of(path, group) for group in range(len(sizes))],
            "units": sizes,
            what: counts,
            "share": counts / sizes,
            "inside": np.diag(found.relations),
            "nearest": [name_of(path, at) if at >= 0 else "none" for at in nearest.tolist()],
            "mean degree": [float(degrees[units].mean()) for units in inside],
            "from (s)": [float(units[0] * seconds) for units in inside],
            "to (s)": [float((units[-1] + 1) * seconds) for units in inside],
            "what": [WORDS[kind] or "community" for kind in found.kinds],
        }
    )


def unit_table(
    members: Int[np.ndarray, " m"],
    marked: Bool[np.ndarray, " n"],
    columns: dict[str, Float[np.ndarray, " n"] | None],
    partners: Int[np.ndarray, "n k"],
    values: Float[np.ndarray, "n k"],
    seconds: float,
    what: str,
) -> pd.DataFrame:
    """One line a unit: when, its numbers, and the unit of the whole clip it is most related to."""
    table: dict[str, object] = {"unit": members, "from (s)": members * seconds}
    table |= {name: column[members] for name, column in columns.items() if column is not None}
    if values.shape[1]:
        table["nearest unit"] = [int(unit) if unit >= 0 else None for unit in partners[members, 0]]
        table["its relation"] = np.where(partners[members, 0] >= 0, values[members, 0], np.nan)
    table["marked"] = [what if flag else "" for flag in marked[members]]
    return pd.DataFrame(table)


def score_table(
    scores: dict[str, Float[np.ndarray, " n"] | None], labels: Bool[np.ndarray, " n"] | None
) -> pd.DataFrame:
    """Every way to score the units of a clip: AUC against its labels, and how alike the first one ranks them."""
    first = next(iter(scores.values()))
    assert first is not None
    lines = []
    for name, values in scores.items():
        if values is None:
            continue
        judged = np.nan if labels is None else auc(values.astype(float), labels)
        lines.append({"score": name, "AUC in this clip": judged, "ranks as trained": spearman(first, values)})
    return pd.DataFrame(lines)


def spearman(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Rank correlation; NaN where one of them is the same for all."""
    x, y = rankdata(a), rankdata(b)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])

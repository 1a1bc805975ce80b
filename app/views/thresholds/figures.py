"""Operating points: curves over all thresholds, the four counts at one of them, and tables of kinds and clips."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.style import Colours
from core.clip import Clip
from core.machine.names import shown
from core.measure.thresholds import Curve, Decision, Graded, Kinds, Units

Drawn = tuple[go.Figure, pd.DataFrame]  # a figure and the numbers behind it
POINTS = 300  # of a drawn curve
ORDERS = ("missed", "false alarms", "found", "as listed")


def thinned(curve: Curve) -> Curve:
    """At most `POINTS` points of a curve at equal steps of its length, both ends among them; short ones stay whole."""
    if len(curve.x) <= POINTS:
        return curve
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    at = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(max=len(along) - 1))
    small = (each[at].astype(np.float32) for each in (curve.x, curve.y, curve.thresholds))  # half the bytes to send
    return Curve(*small)


def roc(found: Graded, now: Decision, best: Decision, colours: Colours) -> Drawn:
    """False-alarm rate against recall, and its numbers."""
    points = [(point.false_alarm_rate, point.recall) for point in (best, now)]
    return _over_thresholds(found.roc, points, ("false-alarm rate", "recall"), [(0.0, 0.0), (1.0, 1.0)], colours)


def precision_recall(found: Graded, now: Decision, best: Decision, colours: Colours) -> Drawn:
    """Recall against precision, and its numbers; an alarm at random has the anomalies' share as its precision."""
    share = len(found.anomalous) / len(found)
    points = [(point.recall, point.precision) for point in (best, now)]
    axes = ("recall", "precision")
    return _over_thresholds(found.precision_recall, points, axes, [(0.0, share), (1.0, share)], colours)


def _over_thresholds(
    curve: Curve,
    points: Sequence[tuple[float, float]],
    axes: tuple[str, str],
    chance: Sequence[tuple[float, float]],
    colours: Colours,
) -> Drawn:
    """A curve over all thresholds, the cheapest point and the one now; dotted, the line of a detector that guesses."""
    drawn, (across, up) = thinned(curve), axes
    told = f"{across} %{{x:.3f}}<br>{up} %{{y:.3f}}<extra></extra>"
    figure = go.Figure()
    figure.add_scatter(
        x=[x for x, _ in chance],
        y=[y for _, y in chance],
        mode="lines",
        name="guessing",
        line={"color": colours.normal, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=drawn.x,
        y=drawn.y,
        customdata=drawn.thresholds,
        mode="lines",
        name="every threshold",
        line={"color": colours.edge, "width": 2},
        hovertemplate=f"threshold %{{customdata:.3f}}<br>{told}",
    )
    figure.add_traces(list(_points(points, told, colours)))
    figure.update_layout(
        height=340,
        xaxis={"title": {"text": across}, "range": [-0.02, 1.02], "constrain": "domain"},
        yaxis={"title": {"text": up}, "range": [-0.02, 1.04]},
    )
    return figure, pd.DataFrame({"threshold": curve.thresholds, across: curve.x, up: curve.y})


def _points(points: Sequence[tuple[float, float]], told: str, colours: Colours) -> Iterator[go.Scatter]:
    """The cheapest threshold as a star, the one that is chosen as a dot."""
    looks = (("cheapest", "star", colours.ink), ("threshold now", "circle", colours.selected))
    for (name, symbol, colour), (x, y) in zip(looks, points, strict=True):
        marker = {"symbol": symbol, "size": 13, "color": colour, "line": {"color": colours.page, "width": 1.5}}
        yield go.Scatter(x=[x], y=[y], mode="markers", name=name, marker=marker, hovertemplate=f"{name}<br>{told}")


def histogram(found: Graded, threshold: float, span: tuple[float, float], colours: Colours) -> Drawn:
    """How the scores of normal and of anomalous units lie on either side of the threshold, and its numbers; 40 bins."""
    edges = np.linspace(*span, 41)
    table: dict[str, Any] = {"from": edges[:-1].round(4), "to": edges[1:].round(4)}
    figure = go.Figure()
    for name, side, colour, pattern, shift in (
        ("normal", found.normal, colours.normal, "", 0.27),
        ("anomalous", found.anomalous, colours.anomaly, "/", 0.73),
    ):
        above = found.above(side, edges)
        above[-1] = 0  # what equals the last edge is in the last bin
        table[name] = above[:-1] - above[1:]
        shares = table[name] / max(len(side), 1)
        figure.add_trace(_side(edges, shares, name, colour, pattern, shift, colours))
    figure.add_vline(
        x=threshold,
        line={"color": colours.selected, "width": 2},
        annotation={
            "text": "threshold",
            "font": {"color": colours.ink, "size": 11},
            "xanchor": "left" if threshold < sum(span) / 2 else "right",  # towards the middle, or it would be cut off
        },
    )
    figure.update_layout(
        height=240,
        barmode="overlay",
        xaxis={"title": {"text": "score"}, "range": list(span)},
        yaxis={"title": {"text": "share of its units"}, "tickformat": ".0%"},
    )
    return figure, pd.DataFrame(table)


def _side(
    edges: np.ndarray, shares: np.ndarray, name: str, colour: str, pattern: str, shift: float, colours: Colours
) -> go.Bar:
    """The bars of one side of the histogram, `shift` of a bin to the right of each bin's start."""
    size = edges[1] - edges[0]
    hatched = {"shape": pattern, "fillmode": "overlay", "fgcolor": colours.page, "solidity": 0.2, "size": 6}
    return go.Bar(
        x=edges[:-1] + shift * size,
        y=shares,
        width=0.45 * size,
        name=name,
        customdata=[f"{low:.3f} to {high:.3f}" for low, high in zip(edges[:-1], edges[1:], strict=True)],
        marker={"color": colour, "pattern": hatched},
        hovertemplate=f"{name}<br>score %{{customdata}}<br>share %{{y:.1%}}<extra></extra>",
    )


def cost(found: Graded, miss_price: float, now: Decision, best: Decision, colours: Colours) -> Drawn:
    """Cost in false alarms at every threshold, when a miss costs `miss_price` of them, and its numbers."""
    useful = found.thresholds
    at = np.concatenate([[0.0], useful[:: max(1, len(useful) // POINTS)], [1.0]])
    false, misses = found.above(found.normal, at), len(found.anomalous) - found.above(found.anomalous, at)
    costs = false + miss_price * misses
    figure = go.Figure(
        go.Scatter(
            x=at,
            y=costs,
            name="cost",
            line={"color": colours.edge, "width": 2, "shape": "hv"},
            hovertemplate="threshold %{x:.3f}<br>cost %{y:.0f} false alarms<extra></extra>",
        )
    )
    points = [(min(point.threshold, 1.0), point.cost(miss_price)) for point in (best, now)]
    told = "threshold %{x:.3f}<br>cost %{y:.0f}<extra></extra>"
    figure.add_traces(list(_points(points, told, colours)))
    figure.update_layout(
        height=240,
        xaxis={"title": {"text": "threshold"}},
        yaxis={"title": {"text": "cost (false alarms)"}, "rangemode": "tozero"},
    )
    return figure, pd.DataFrame({"threshold": at, "false alarms": false, "misses": misses, "cost": costs})


def confusion(now: Decision, colours: Colours) -> go.Figure:
    """The four counts at the threshold; the share of its row is the darkness."""
    counts = np.array([[now.true_alarms, now.misses], [now.false_alarms, now.true_rests]])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=["alarm", "no alarm"],
            y=["anomalous", "normal"],
            zmin=0,
            zmax=1,
            colorscale=[[0, colours.panel], [1, colours.faded(colours.normal, 0.55)]],
            showscale=False,
            xgap=3,
            ygap=3,
            text=[[f"{counts[row, col]}<br>{shares[row, col]:.0%}" for col in (0, 1)] for row in (0, 1)],
            texttemplate="%{text}",
            textfont={"size": 15, "color": colours.ink},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )
    )
    return figure.update_layout(height=200, yaxis={"autorange": "reversed"}, xaxis={"side": "top"})


# ---------------------------------------------------------------------------- tables


def decision_table(clips: Sequence[Clip], units: Units, threshold: float, order: str = "as listed") -> pd.DataFrame:
    """One row a labelled clip: its four counts at the threshold.

    order   one of `ORDERS`: as listed, or a column, the largest first
    """
    alarm = units.alarms(threshold)
    counts = {
        "found": units.each(alarm & units.labels),
        "missed": units.each(~alarm & units.labels),
        "false alarms": units.each(alarm & ~units.labels),
        "quiet": units.each(~alarm & ~units.labels),
    }
    kept = np.flatnonzero(units.labelled)
    if order in counts:
        kept = kept[np.argsort(-counts[order][kept], kind="stable")]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = counts["found"] / (counts["found"] + counts["missed"])
    return pd.DataFrame(
        {
            "clip": [clips[i].name for i in kept.tolist()],
            "kinds": [clips[i].kinds for i in kept.tolist()],
            **{name: values[kept] for name, values in counts.items()},
            "recall": recall[kept],
        }
    )


def told_clips(table: pd.DataFrame) -> pd.DataFrame:
    """A page of `decision_table` with names and kinds as they may be shown."""
    return table.assign(
        clip=[shown(name) for name in table["clip"]],
        kinds=[", ".join(shown(kind, 30) for kind in dict.fromkeys(kinds)) for kinds in table["kinds"]],
    )


def kind_table(kinds: Kinds, units: Units, threshold: float) -> pd.DataFrame:
    """One row a kind of anomaly: how many of its units raise an alarm."""
    some = kinds.code >= 0
    there = np.bincount(kinds.code[some], minlength=len(kinds.names))
    found = np.bincount(kinds.code[some & units.alarms(threshold)], minlength=len(kinds.names))
    return pd.DataFrame(
        {
            "kind": [shown(kind, 30) for kind in kinds.names],
            "units": there,
            "found": found,
            "recall": found / np.maximum(there, 1),
        }
    )

"""Relationship graphs as matrices, and what fusion does to every unit's degree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from app.figures.style import Colours, above_noise, plotly_text

DASHES = ("solid", "dash", "dot", "dashdot")
UP, DOWN = "#B2182B", "#2166AC"  # the two ends of RdBu_r
MARKERS = ("circle", "square", "triangle-up", "cross")


def relation_matrices(
    graphs: Mapping[str, Float[np.ndarray, "n n"]],
    first: int,
    anomalous: Bool[np.ndarray, " n"],
    colours: Colours,
    difference: Float[np.ndarray, "n n"] | None = None,
    low: float = 0.0,
    high: float = 1.0,
    alpha: float | None = None,
) -> go.Figure:
    """Every pair of units as a cell, one matrix a graph on one scale, and their difference around 0 on another.

    Rows and columns are units in time, the first one is `first`. Cells below `alpha` are left empty; the diagonal is
    always. Diamonds on the edge mark anomalous units. Give figures that are compared the same `low` and `high`.
    """
    titles = list(graphs) + (["difference"] if difference is not None else [])
    figure = make_subplots(1, len(titles), subplot_titles=[plotly_text(t) for t in titles], horizontal_spacing=0.035)
    units = first + np.arange(len(anomalous))
    for column, (title, graph) in enumerate(graphs.items(), start=1):
        seen = np.where(np.eye(len(graph), dtype=bool), np.nan, graph)
        if alpha is not None:
            seen = np.where(graph >= alpha, seen, np.nan)
        figure.add_heatmap(
            z=seen,
            x=units,
            y=units,
            zmin=low,
            zmax=high,
            colorscale=colours.edges,
            row=1,
            col=column,
            showscale=column == 1,
            colorbar=_bar("strength", 0.5 * (len(graphs) - 1) / len(titles), 0.3),
            hovertemplate="units %{y} and %{x}<br>strength %{z:.2f}<extra>" + plotly_text(title) + "</extra>",
        )
    if difference is not None:
        changed = above_noise(difference, *graphs.values())
        off = np.where(np.eye(len(difference), dtype=bool), np.nan, changed)
        top = float(np.nanmax(np.abs(off))) if np.isfinite(off).any() else 1.0
        figure.add_heatmap(
            z=off,
            x=units,
            y=units,
            zmin=-(top or 1.0),
            zmax=top or 1.0,
            zmid=0,
            colorscale=colours.change,
            row=1,
            col=len(titles),
            colorbar=_bar("change", (len(titles) - 0.55) / len(titles), 0.9 / len(titles)),
            hovertemplate="units %{y} and %{x}<br>changed by %{z:+.2f}<extra></extra>",
        )
    marked = units[anomalous]
    edge = first - 0.5 - 0.03 * len(units)
    for column in range(1, len(titles) + 1):
        for x, y in ((marked, np.full(len(marked), edge)), (np.full(len(marked), edge), marked)):
            figure.add_scatter(
                x=x,
                y=y,
                mode="markers",
                marker={"symbol": "diamond", "size": 6, "color": colours.anomaly},
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.update_xaxes(constrain="domain", matches="x" if column > 1 else None, row=1, col=column)
        figure.update_yaxes(
            autorange="reversed",
            scaleanchor="x" if column == 1 else None,
            constrain="domain",
            matches="y" if column > 1 else None,
            showticklabels=column == 1,
            row=1,
            col=column,
        )
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(title="unit", row=1, col=1)
    figure.update_layout(template=colours.template, height=340, margin={"b": 60})
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


def _bar(title: str, x: float, length: float) -> dict[str, Any]:
    """A colour bar that lies below the matrices, where no width is lost."""
    place = {"x": x, "xanchor": "center", "y": -0.16, "yanchor": "top", "len": length, "thickness": 8}
    return {"title": {"text": title, "side": "bottom"}, "orientation": "h", **place}


def degree_change(
    before: Mapping[str, Float[np.ndarray, " n"]],
    after: Float[np.ndarray, " n"] | None,
    first: int,
    anomalous: Bool[np.ndarray, " n"],
    colours: Colours,
    weighted: bool = True,
) -> go.Figure:
    """Every unit's degree: after fusion as bars (without fused graph: none), before it as one marked line a modality.

    Anomalous units' bars are purple and hatched, with a diamond above. `weighted`: a degree is the sum of the strengths
    that reach alpha, itself included as in eq. 7; otherwise their number.
    """
    units = first + np.arange(len(anomalous))
    figure = go.Figure()
    for kind, flags, colour, shape in (
        ("fused, normal", ~anomalous, colours.normal, ""),
        ("fused, anomalous", anomalous, colours.anomaly, "/"),
    ):
        if after is None:
            break
        figure.add_bar(
            x=units[flags],
            y=after[flags],
            name=kind,
            marker={"color": colour, "pattern": {"shape": shape, "size": 5}},
            hovertemplate="unit %{x}: %{y:.2f}<extra>" + kind + "</extra>",
        )
    for at, (name, degrees) in enumerate(before.items()):
        figure.add_scatter(
            x=units,
            y=degrees,
            name=plotly_text(name),
            mode="lines+markers",
            line={"color": colours.series[at % len(colours.series)], "dash": DASHES[at % len(DASHES)], "width": 1.5},
            marker={"symbol": MARKERS[at % len(MARKERS)], "size": 5},
            hovertemplate="unit %{x}: %{y:.2f}<extra>" + plotly_text(name) + "</extra>",
        )
    tallest = np.max([*before.values(), *([] if after is None else [after])], axis=0)
    room = 0.04 * float(tallest.max()) if len(tallest) else 0.0
    figure.add_scatter(
        x=units[anomalous],
        y=tallest[anomalous] + room,
        name="anomalous unit",
        mode="markers",
        hoverinfo="skip",
        marker={"symbol": "diamond", "size": 9, "color": colours.anomaly},
    )
    figure.update_layout(
        template=colours.template,
        height=250,
        bargap=0.25,
        xaxis_title="unit",
        yaxis_title="weighted degree" if weighted else "degree",
    )
    return figure


def shares(
    names: Sequence[str], values: Float[np.ndarray, " n"], colours: Colours, unit: str, total: float | None = None
) -> go.Figure:
    """What each part adds to a whole: one signed bar a part, in the order given, around 0.

    Red pushes up, blue down, each with its number; `total` is what the parts add up to, drawn as the last bar.
    """
    labels = [plotly_text(name) for name in names]
    numbers = [float(value) for value in values]
    tints = [DOWN if value < 0 else UP for value in numbers]
    if total is not None:
        labels, numbers, tints = [*labels, "sum"], [*numbers, total], [*tints, colours.normal]
    low, high = min(0.0, *numbers, 0.0), max(0.0, *numbers, 1e-9)
    figure = go.Figure(
        go.Bar(
            x=numbers,
            y=labels,
            orientation="h",
            marker_color=tints,
            text=[f"{value:+.3f}" for value in numbers],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
        )
    )
    figure.update_layout(
        template=colours.template,
        height=60 + 24 * len(labels),
        xaxis={"title": unit, "range": [low - 0.3 * (high - low), high + 0.3 * (high - low)]},
        bargap=0.35,
        yaxis={"autorange": "reversed", "showgrid": False},
        margin={"l": 8, "r": 60, "t": 8, "b": 8},
    )
    return figure.add_vline(x=0, line={"color": colours.quiet, "width": 1})

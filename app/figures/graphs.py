"""Relationship graphs as matrices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from app.figures.draw import Trace, cells, dots
from app.figures.style import Colours, above_noise, plotly_text


def relation_matrices(
    graphs: Mapping[str, Float[np.ndarray, "n n"]],
    first: int,
    anomalous: Bool[np.ndarray, " n"],
    colours: Colours,
    difference: Float[np.ndarray, "n n"] | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> go.Figure:
    """Every pair of units as a cell, one matrix a graph on one scale, and their difference around 0 on another.

    Rows and columns are units in time, the first one is `first`. The diagonal is left empty. Diamonds on the edge mark
    anomalous units. Give figures that are compared the same `low` and `high`.
    """
    units = first + np.arange(len(anomalous))
    of_all = len(graphs) + (difference is not None)
    drawn = {
        title: _matrix(
            graph, units, (low, high), colours.edges, "strength %{z:.2f}<extra>" + plotly_text(title) + "</extra>",
            showscale=not at, colorbar=_bar("strength", 0.5 * (len(graphs) - 1) / of_all, 0.3),
        )
        for at, (title, graph) in enumerate(graphs.items())
    }  # fmt: skip
    titles, traces = list(drawn), list(drawn.values())
    if difference is not None:
        titles.append("difference")
        traces.append(_change(above_noise(difference, *graphs.values()), units, of_all, colours))
    figure = make_subplots(1, of_all, subplot_titles=[plotly_text(t) for t in titles], horizontal_spacing=0.035)
    for column, trace in enumerate(traces, start=1):
        figure.add_trace(trace, row=1, col=column)
    for column in range(1, of_all + 1):
        figure.add_traces(_marks(units, units[anomalous], colours), rows=1, cols=column)
        _square(figure, column)
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(title="unit", row=1, col=1)
    figure.update_layout(template=colours.template, height=340, margin={"b": 60})
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


def _matrix(
    graph: Float[np.ndarray, "n n"], units: np.ndarray, span: tuple[float, float], scale: Any, hover: str, **more: Any
) -> Trace:
    seen = np.where(np.eye(len(graph), dtype=bool), np.nan, graph)
    words = "units %{y} and %{x}<br>" + hover
    return cells(seen, scale, words, low=span[0], high=span[1], gap=None, x=units, y=units, **more)


def _change(change: Float[np.ndarray, "n n"], units: np.ndarray, of_all: int, colours: Colours) -> Trace:
    top = float(np.abs(change[~np.eye(len(change), dtype=bool)]).max(initial=0.0)) or 1.0
    bar = _bar("change", (of_all - 0.55) / of_all, 0.9 / of_all)
    hover = "changed by %{z:+.2f}<extra></extra>"
    return _matrix(change, units, (-top, top), colours.change, hover, zmid=0, showscale=None, colorbar=bar)


def _bar(title: str, x: float, length: float) -> dict[str, Any]:
    """A colour bar that lies below the matrices, where no width is lost."""
    place = {"x": x, "xanchor": "center", "y": -0.16, "yanchor": "top", "len": length, "thickness": 8}
    return {"title": {"text": title, "side": "bottom"}, "orientation": "h", **place}


def _marks(units: np.ndarray, marked: Sequence[int] | np.ndarray, colours: Colours) -> list[Trace]:
    """Diamonds below and left of a matrix."""
    edge = np.full(len(marked), units[0] - 0.5 - 0.03 * len(units))
    look: dict[str, Any] = {"symbol": "diamond", "size": 6, "showlegend": False}
    return [dots(x, y, None, colours.anomaly, **look) for x, y in ((marked, edge), (edge, marked))]


def _square(figure: go.Figure, column: int) -> None:
    """Cells are squares, the first unit stands on top, and zooming one matrix zooms all."""
    others = column > 1
    figure.update_xaxes(constrain="domain", matches="x" if others else None, row=1, col=column)
    figure.update_yaxes(
        autorange="reversed",
        scaleanchor=None if others else "x",
        constrain="domain",
        matches="y" if others else None,
        showticklabels=not others,
        row=1,
        col=column,
    )

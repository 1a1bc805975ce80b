"""What figures are made of: traces as plain mappings, checked once when a figure is made of them, and its frame.

What is None is left out: then Plotly's own default holds. A trace without words to hover says nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Shaped

from app.figures.style import Colours

Trace = dict[str, Any]
Number = int | float | np.number  # checked as written while tests run, where an int is no float
Values = Sequence[Any] | Shaped[np.ndarray, "*shape"]
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
UP, DOWN = "#B2182B", "#2166AC"  # what raises a sum and what lowers it: the ends of `Colours.signed`


def _hover(words: str | None) -> Trace:
    return {"hoverinfo": "skip"} if words is None else {"hovertemplate": words}


def line(
    x: Values, y: Values, name: str | None, colour: str | None, hover: str | None = None, *,
    width: Number | None = 2, dash: str | None = None, symbol: Any = None, size: Any = None, **more: Any,
) -> Trace:  # fmt: skip
    """A line; where a size is given, with a mark at every point."""
    look = {"mode": "lines"} if size is None else {"mode": "lines+markers", "marker": {"symbol": symbol, "size": size}}
    colours = {"line": {"color": colour, "width": width, "dash": dash}}
    return {"type": "scatter", "x": x, "y": y, "name": name, **look, **colours, **_hover(hover), **more}


def dots(
    x: Values, y: Values, name: str | None, colour: Any, hover: str | None = None, *,
    symbol: Any = None, size: Any = None, opacity: Number | None = None, rim: Trace | None = None, **more: Any,
) -> Trace:  # fmt: skip
    """Points without a line; `rim` is the line around each."""
    marker = {"symbol": symbol, "size": size, "color": colour, "opacity": opacity, "line": rim}
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "name": name,
        "mode": "markers",
        "marker": marker,
        **_hover(hover),
        **more,
    }


def tick(
    x: Values, y: Values, name: str, colour: str, hover: str, size: Number = 18, width: Number = 2, **more: Any
) -> Trace:
    """A short upright stroke across each row: what its bar or point stands against."""
    return dots(x, y, name, colour, hover, symbol="line-ns-open", size=size, rim={"width": width}, **more)


def bars(names: Values, values: Values, name: str | None, colour: Any, hover: str | None = None, **more: Any) -> Trace:
    """Lying bars, one a name."""
    look = {"orientation": "h", "marker": {"color": colour}}
    return {"type": "bar", "x": values, "y": names, "name": name, **look, **_hover(hover), **more}


def cells(
    z: Shaped[np.ndarray, "rows columns"], scale: Any, hover: str | None = None, *,
    low: Number | None = None, high: Number | None = None, gap: int | None = 1, unit: str | None = None, **more: Any,
) -> Trace:  # fmt: skip
    """A table of colours from `low` to `high`; with a `unit` beside its scale, else without one."""
    bar = {"showscale": False} if unit is None else {"colorbar": {"title": {"text": unit, "side": "top"}}}
    look = {"colorscale": scale, "zmin": low, "zmax": high, "xgap": gap, "ygap": gap}
    return {"type": "heatmap", "z": z, **look, **bar, **_hover(hover), **more}


def squares(x: Values, y: Values, hover: str, size: int = 30, **more: Any) -> Trace:
    """Squares that are not seen, to be pointed at and clicked: a heatmap's own cells cannot be."""
    still = {"marker": {"opacity": 0.01}}  # a click on one changes none
    look = {"symbol": "square", "size": size, "color": "rgba(0,0,0,0)", "opacity": 0.01}
    trace = {"type": "scatter", "x": x, "y": y, "mode": "markers", "marker": look, "showlegend": False}
    return {**trace, "selected": still, "unselected": still, "hovertemplate": hover, **more}


def whiskers(
    middle: Values, low: Values, high: Values, colour: str, thickness: Number = 1, width: Number | None = None
) -> Trace:
    """Error bars from `low` to `high`, for a trace's `error_x` or `error_y`."""
    at, least, most = (np.asarray(values, dtype=float) for values in (middle, low, high))
    return {"array": most - at, "arrayminus": at - least, "color": colour, "thickness": thickness, "width": width}


def band(
    x: Shaped[np.ndarray, " n"], low: Shaped[np.ndarray, " n"], high: Shaped[np.ndarray, " n"], fill: str, **more: Any
) -> Trace:
    """The area between two lines. Gaps are left out: an outline with gaps would be filled as two shapes."""
    known = np.isfinite(low) & np.isfinite(high)
    edge = {"x": np.concatenate([x[known], x[known][::-1]]), "y": np.concatenate([high[known], low[known][::-1]])}
    look = {"fill": "toself", "fillcolor": fill, "line": {"width": 0}, "mode": "lines"}
    return {"type": "scatter", **edge, **look, "hoverinfo": "skip", "showlegend": False, **more}


def ring(x: Values, y: Values, name: str, colours: Colours, size: Number, **more: Any) -> Trace:
    """An orange ring around what is chosen."""
    rim = {"width": 3}
    return dots(x, y, name, colours.selected, symbol=more.pop("symbol", "circle-open"), size=size, rim=rim, **more)


def adding_up(
    names: Sequence[str], values: Sequence[Number], colours: Colours, room: Number, total: bool = True, **more: Any
) -> tuple[Trace, list[float]]:
    """(signed bars with their numbers, the last one grey where it is the `total`; a range with `room` for these)."""
    low, high = min(0.0, *values), max(0.0, *values)
    spare = room * (high - low) or 1.0
    tints = [DOWN if value < 0 else UP for value in values]
    if total:
        tints[-1] = colours.normal
    written = {"text": [f"{value:+.3f}" for value in values], "textposition": "outside", "cliponaxis": False}
    trace = bars(names, values, None, tints, "%{y}: %{x:+.4f}<extra></extra>", **written, **more)
    return trace, [low - spare, high + spare]


def named(labels: Sequence[str], **more: Any) -> Trace:
    """The axis of these names, the first on top, whichever trace brings them."""
    return {"categoryorder": "array", "categoryarray": list(labels)[::-1], "ticks": "", "showgrid": False, **more}


def framed(
    traces: Sequence[Trace] | go.Figure, height: int, x: str | Trace | None = None, y: str | Trace | None = None, *,
    below: Number | None = None, top: int | None = 12, **layout: Any,
) -> go.Figure:  # fmt: skip
    """The figure of these traces. x, y: titles, or all of an axis. below: the legend stands so far under the axis.

    `show.figure` puts the page's colours on it.
    """
    axes = {"xaxis": {"title": x} if isinstance(x, str) else x, "yaxis": {"title": y} if isinstance(y, str) else y}
    look = axes | {
        "legend": None if below is None else {"y": -below, "yanchor": "top"},
        "margin": None if top is None else {"t": top},
    }
    look = {name: value for name, value in (look | layout).items() if value is not None} | {"height": height}
    if isinstance(traces, go.Figure):
        return traces.update_layout(look)
    return go.Figure({"data": traces, "layout": look})


def level(
    figure: go.Figure, value: Number, words: str, colour: str, *, quiet: str | None = None, place: str = "bottom left",
    dash: str = "dot", width: Number = 1, **more: Any,
) -> None:  # fmt: skip
    """A horizontal line that says what it is."""
    note = {"text": words, "font": {"size": 10, "color": quiet or colour}}
    look = {"color": colour, "dash": dash, "width": width}
    figure.add_hline(y=value, line=look, annotation=note, annotation_position=place, **more)


def upright(figure: go.Figure, value: Number, colour: str, dash: str | None = "dot", width: Number = 1) -> None:
    """A vertical line."""
    figure.add_vline(x=value, line={"color": colour, "dash": dash, "width": width})

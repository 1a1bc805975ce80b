"""What fusion does to every unit's degree, and what the parts of a score or of a connection add."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures.draw import DASHES, Trace, adding_up, dots, framed, line
from app.figures.style import Colours, plotly_text

MARKERS = ("circle", "square", "triangle-up", "cross")


def degree_change(
    before: Mapping[str, Float[np.ndarray, " n"]],
    after: Float[np.ndarray, " n"] | None,
    first: int,
    anomalous: Bool[np.ndarray, " n"],
    colours: Colours,
) -> go.Figure:
    """Every unit's weighted degree: after fusion as bars (without fused graph: none), before it one line a modality.

    Anomalous units' bars are purple and hatched, with a diamond above. A degree is the sum of the strengths that reach
    alpha, itself included, as in eq. 7.
    """
    units = first + np.arange(len(anomalous))
    traces = [] if after is None else [
        _standing(units[flags], after[flags], kind, colour, shape)
        for kind, flags, colour, shape in (
            ("fused, normal", ~anomalous, colours.normal, ""),
            ("fused, anomalous", anomalous, colours.anomaly, "/"),
        )
    ]  # fmt: skip
    for at, (name, degrees) in enumerate(before.items()):
        colour, dash, mark = (each[at % len(each)] for each in (colours.series, DASHES[:4], MARKERS))
        hover = "unit %{x}: %{y:.2f}<extra>" + plotly_text(name) + "</extra>"
        traces.append(line(units, degrees, plotly_text(name), colour, hover, width=1.5, dash=dash, symbol=mark, size=5))
    tallest = np.max([*before.values(), *([] if after is None else [after])], axis=0)
    above = tallest[anomalous] + 0.04 * float(tallest.max(initial=0.0))
    traces.append(dots(units[anomalous], above, "anomalous unit", colours.anomaly, symbol="diamond", size=9))
    return framed(traces, 250, "unit", "weighted degree", top=None, bargap=0.25)


def _standing(x: np.ndarray, y: np.ndarray, kind: str, colour: str, shape: str) -> Trace:
    look = {"color": colour, "pattern": {"shape": shape, "size": 5}}
    return {"type": "bar", "x": x, "y": y, "name": kind, "marker": look,
            "hovertemplate": "unit %{x}: %{y:.2f}<extra>" + kind + "</extra>"}  # fmt: skip


def shares(
    names: Sequence[str], values: Float[np.ndarray, " n"], colours: Colours, what: str, total: float
) -> go.Figure:
    """What each part adds to a whole: one signed bar a part, in the order given, and what they add up to.

    Red pushes up, blue down, each with its number.
    """
    labels = [*(plotly_text(name) for name in names), "sum"]
    bars, span = adding_up(labels, [*(float(value) for value in values), total], colours, 0.3)
    figure = framed(
        [bars], 60 + 24 * len(labels), {"title": what, "range": span}, {"autorange": "reversed", "showgrid": False},
        top=None, bargap=0.35, margin={"l": 8, "r": 60, "t": 8, "b": 8},
    )  # fmt: skip
    return figure.add_vline(x=0, line={"color": colours.quiet, "width": 1})

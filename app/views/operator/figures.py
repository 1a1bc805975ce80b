"""What training made of A: its singular values, what each of its terms adds, and the scores once it is changed."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from app.figures.draw import cells, dots, framed, line
from app.figures.operator import largest
from app.figures.style import PRINTED, Colours, above_noise, plotly_text


def unfolded(A: Float[np.ndarray, "p *rest"]) -> Float[np.ndarray, "p q"]:  # noqa: F821 (a shape, not a product)
    """A as a matrix: the first modality's powers against all combinations of the others'."""
    return np.asarray(A, dtype=float).reshape(len(A), -1)


def singular_values(A: Float[np.ndarray, "p *rest"]) -> Float[np.ndarray, " n"]:  # noqa: F821
    """Of A unfolded, largest first: how many outer products (eq. 4) it takes to make it."""
    return np.linalg.svd(unfolded(A), compute_uv=False)


def rank_bars(learned: Float[np.ndarray, " n"], initial: Float[np.ndarray, " n"], colours: Colours) -> go.Figure:
    """Singular values as learned, and a stroke where each was before training."""
    steps, hover = np.arange(1, len(learned) + 1), "number %{x}: %{y:.3f}<extra>"
    bars = {
        "type": "bar",
        "x": steps,
        "y": learned,
        "name": "learned",
        "marker": {"color": colours.edge},
        "text": [f"{value:.2f}" for value in learned],
        "textposition": "inside",
        "hovertemplate": hover + "learned</extra>",
    }
    was = dots(
        steps, initial, "before training", colours.ink, hover + "before training</extra>",
        symbol="line-ew-open", size=22, rim={"width": 2},
    )  # fmt: skip
    across, up = {"title": "number", "dtick": 1, "showgrid": False}, {"title": "singular value", "rangemode": "tozero"}
    return framed([bars, was], 240, across, up, top=None, bargap=0.5)


def term_matrices(
    parts: Mapping[str, Float[np.ndarray, "p q"]], names: tuple[str, str], colours: Colours, apart: bool = True
) -> go.Figure:
    """What every term of A adds, one small matrix a question; each on its own symmetric scale if `apart`."""
    titles = [plotly_text(title, 60) for title in parts]
    figure = make_subplots(1, len(parts), subplot_titles=titles, horizontal_spacing=0.05)
    of_all = max(largest(part) for part in parts.values())
    for column, (title, part) in enumerate(parts.items(), start=1):
        top = largest(part) if apart else of_all
        hover = "row %{y}, column %{x}: %{z:+.4f}<extra>" + plotly_text(title) + "</extra>"
        printed = "%{z:.2g}" if max(part.shape) <= PRINTED else None
        drawn = cells(part, colours.signed, hover, low=-top, high=top, zmid=0, texttemplate=printed)
        figure.add_trace(drawn, row=1, col=column)
        figure.update_xaxes(title=f"power of {plotly_text(names[1])}", dtick=1, showgrid=False, row=1, col=column)
        figure.update_yaxes(autorange="reversed", dtick=1, showgrid=False, row=1, col=column)
    figure.update_yaxes(title=f"power of {plotly_text(names[0])}", row=1, col=1)
    figure.update_layout(template=colours.template, height=90 + 40 * len(next(iter(parts.values()))))
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


def training(
    initial: Float[np.ndarray, "*shape"], learned: Float[np.ndarray, "*shape"]
) -> dict[str, Float[np.ndarray, "*shape"]]:
    """Before, after, and what training added."""
    return {"drawn": initial, "learned": learned, "learned − drawn": above_noise(learned - initial, learned, initial)}


def score_change(
    then: Float[np.ndarray, " n"],
    now: Float[np.ndarray, " n"],
    anomalous: Bool[np.ndarray, " n"] | None,
    threshold: float,
    colours: Colours,
) -> go.Figure:
    """A clip's scores with A as trained (dashed) and as changed, the alarm threshold, and labelled anomalies."""
    units, hover = np.arange(len(now)), "unit %{x}: %{y:.3f}"
    traces = [
        line(units, then, "as trained", colours.quiet, hover, dash="dash", width=1.5),
        line(units, now, "as changed", colours.edge, hover),
    ]
    if anomalous is not None:
        marked = units[anomalous], now[anomalous]
        traces.append(dots(*marked, "labelled anomalous", colours.anomaly, hover, symbol="diamond", size=8))
    figure = framed(traces, 230, "unit", "score", top=None)
    figure.add_hline(y=threshold, line={"color": colours.selected, "dash": "dot", "width": 1.5})
    return figure

"""Trainings as they go: the loss of every seed, what the test part said on the way, and the old run beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.spreads import numbers
from app.figures.style import Colours
from core.measure.metrics import show
from core.sample import METRIC_WORDS
from core.train.job import Line

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def curves(lines: Sequence[Line], colours: Colours, before: float | None = None) -> go.Figure:
    """Left the loss of every epoch, right the metric of the test part, each seed a line.

    before    mean metric of the run it is compared with: the dotted level on the right
    """
    metric = lines[0].name if lines else "auc"
    unit = "" if metric in ("correlation", "mae") else " (%)"
    titles = ("loss", f"{METRIC_WORDS[metric]}{unit}")
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.16, subplot_titles=titles)
    for place, line in enumerate(lines):
        look = {
            "color": colours.series[place % len(colours.series)],
            "dash": DASHES[place // len(colours.series) % len(DASHES)],
        }
        name, group = f"seed {line.seed}", str(line.seed)
        figure.add_scatter(
            x=list(line.epochs),
            y=numbers(line.loss),
            name=name,
            legendgroup=group,
            mode="lines" if len(line.epochs) > 1 else "markers",
            line={**look, "width": 1.5},
            marker={"color": look["color"]},
            hovertemplate=f"{name}, epoch %{{x}}: loss %{{y:.4g}}<extra></extra>",
            row=1,
            col=1,
        )
        figure.add_scatter(
            x=list(line.seen),
            y=numbers(line.test),
            name=name,
            legendgroup=group,
            showlegend=False,
            mode="lines+markers",
            line={**look, "width": 1.5},
            marker={"color": look["color"], "size": 5},
            hovertemplate=f"{name}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            row=1,
            col=2,
        )
    if before is not None:
        figure.add_hline(
            y=before,
            row=1,  # type: ignore[arg-type]
            col=2,  # type: ignore[arg-type]
            line={"color": colours.selected, "dash": "dot", "width": 1.5},
            annotation={
                "text": f"before: {show(before, metric)}",
                "font": {"size": 10, "color": colours.selected},
            },
            annotation_position="bottom left",
        )
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_annotations(font={"size": 12, "color": colours.quiet}, selector={"xref": "paper"})
    figure.update_layout(
        height=260, showlegend=len(lines) > 1, hovermode="closest", legend={"y": -0.3, "yanchor": "top"}
    )
    return figure


def curve_table(lines: Sequence[Line]) -> pd.DataFrame:
    """The same as rows."""
    rows = [
        {"seed": line.seed, "what": what, "epoch": epoch, "value": value}
        for line in lines
        for what, epochs, values in (
            ("loss", line.epochs, line.loss),
            (f"{METRIC_WORDS[line.name]} of the test part", line.seen, line.test),
        )
        for epoch, value in zip(epochs, numbers(values), strict=True)
    ]
    return pd.DataFrame(rows, columns=["seed", "what", "epoch", "value"])


def curve_sentence(lines: Sequence[Line]) -> str:
    """The curves in words with their numbers."""
    said = []
    for line in lines:
        loss = [value for value in numbers(line.loss) if np.isfinite(value)]
        words = f"seed {line.seed}: "
        words += f"loss {loss[0]:.4g} to {loss[-1]:.4g} in {line.epochs[-1]} epochs" if loss else "no epoch yet"
        if line.test:
            words += f", {METRIC_WORDS[line.name]} {show(line.test[-1], line.name)}"
        said.append(words)
    return "; ".join(said)

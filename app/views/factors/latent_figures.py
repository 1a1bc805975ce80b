"""Latents of JWAE: how far from their prior, and what a walk between two rows looks like and is answered."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from app.figures import draw
from app.figures.style import Colours, plotly_text

MOST = 6  # outputs drawn along a walk


def distance_figure(
    names: Sequence[str], mmd2: Sequence[float], by_chance: Sequence[float], colours: Colours
) -> go.Figure:
    """Distance of every modality's latents to the prior, and what draws from the prior itself give."""
    labels, written = [plotly_text(name) for name in names], [f"{value:.4f}" for value in mmd2]
    name, hover = "95 % of the prior's own draws lie below", "%{y}: %{x:.4f}"
    traces = [
        draw.bars(labels, list(mmd2), "MMD² to N(0, I)", colours.edge, hover, text=written, textposition="auto"),
        draw.tick(list(by_chance), labels, name, colours.selected, hover, 24, 3),
    ]
    y = {"autorange": "reversed", "showgrid": False}
    return draw.framed(traces, 100 + 32 * len(labels), "MMD²", y, top=None, bargap=0.4)


def walk_outputs(
    steps: Float[np.ndarray, " steps"], values: Float[np.ndarray, "steps outputs"], names: Sequence[str],
    colours: Colours, unit: str,
) -> go.Figure:  # fmt: skip
    """What the model answers along a walk: the outputs that reach furthest, the others left out."""
    order = np.argsort(-values.max(0), kind="stable")[:MOST]
    traces = [
        draw.line(steps, values[:, at], plotly_text(names[at], 20), colours.series[place % len(colours.series)],
                  "%{x:.2f}: %{y:.3f}", dash=draw.DASHES[place], size=6)
        for place, at in enumerate(sorted(order.tolist()))
    ]  # fmt: skip
    x = {"title": "from the chosen row (0) to the other (1)", "range": [-0.02, 1.02]}
    return draw.framed(traces, 260, x, {"title": unit, "rangemode": "tozero"}, top=None)


def walk_pictures(
    rows: Mapping[str, Float[np.ndarray, "steps _"]], ends: Mapping[str, Float[np.ndarray, "2 _"]],
    shapes: Mapping[str, tuple[int, int]], steps: Float[np.ndarray, " steps"], colours: Colours,
) -> go.Figure:  # fmt: skip
    """One line a modality: the first row as it is, the decoded walk, the second row as it is.

    A modality that is a picture is drawn as one; another as its columns from top to bottom, each on its own scale.
    """
    titles = ["as it is", *(f"{step:.2f}" for step in steps), "as it is"]
    spacing = 0.36 / max(2, len(rows)) / 1.5
    figure = make_subplots(len(rows), 1, vertical_spacing=spacing, subplot_titles=[plotly_text(name) for name in rows])
    for line, name in enumerate(rows, start=1):
        pictures = np.concatenate([ends[name][:1], rows[name], ends[name][1:]]) if name in ends else rows[name]
        if name not in shapes:  # columns of different units: each between its least and its most on this walk
            low, high = pictures.min(0), pictures.max(0)
            pictures = (pictures - low) / np.where(high > low, high - low, 1)
        height, width = shapes.get(name, (pictures.shape[1], 1))
        gap, cell = max(1, width // 6), {"row": line, "col": 1}
        tiles = [np.pad(picture.astype(float), ((0, 0), (0, gap)), constant_values=np.nan)
                 for picture in pictures.reshape(len(pictures), height, width)]  # fmt: skip
        sheet = np.concatenate(tiles, axis=1)[:, :-gap]
        figure.add_trace(draw.cells(sheet, "gray" if name in shapes else "viridis", gap=None), **cell)
        centres = [at * (width + gap) + (width - 1) / 2 for at in range(len(pictures))]
        words = titles if name in ends else titles[1:-1]
        figure.update_xaxes(tickvals=centres, ticktext=words, showgrid=False, ticks="", **cell)
        figure.update_yaxes(autorange="reversed", visible=False, **cell)
        if name in shapes:
            figure.update_yaxes(scaleanchor="x" if line == 1 else f"x{line}", constrain="domain", **cell)
    draw.framed(figure, 60 + 160 * len(rows), top=None)
    return figure.update_annotations(font={"size": 12, "color": colours.ink})

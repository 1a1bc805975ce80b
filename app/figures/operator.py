"""The learned operator A: its weights, what training changed, and how much of it is one rank."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Shaped
from plotly.subplots import make_subplots

from app.figures.style import PRINTED, Colours, above_noise, plotly_text

SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(name: str, exponent: int) -> str:
    """A modality's graph to a power, as it is written on axes.

    >>> power("motion", 2), power("text", 0)
    ('motion²', 'I')
    """
    return f"{name}{str(exponent).translate(SUPERSCRIPT)}" if exponent > 1 else name if exponent else "I"


def term_name(names: Sequence[str], entry: Sequence[int]) -> str:
    """One term of G in words: the product of its powers; R^0 = I lives on the diagonal.

    >>> term_name(["motion", "text"], (2, 1)), term_name(["motion", "text"], (0, 1))
    ('motion² ⊙ text', 'I ⊙ text')
    """
    return " ⊙ ".join(power(name, exponent) for name, exponent in zip(names, entry, strict=True))


def operator_matrix(
    A: Float[np.ndarray, "p q"],
    names: tuple[str, str],
    colours: Colours,
    changed: Collection[tuple[int, int]] = (),
    top: float | None = None,
    title: str = "",
    reach: int = 56,
) -> go.Figure:
    """The weight of every pair of powers: rows are the first modality's, columns the second's; white is 0.

    Orange frames mark `changed` cells. Each cell is also an invisible square that can be clicked: y is its row, x its
    column. `top` is the weight drawn darkest, either sign; give figures that are compared the same.
    """
    top = top or _top(A)
    rows, columns = A.shape
    numbers = max(rows, columns) <= PRINTED
    a, b = (plotly_text(name) for name in names)
    figure = go.Figure(
        go.Heatmap(
            z=A,
            zmin=-top,
            zmax=top,
            zmid=0,
            colorscale=colours.signed,
            xgap=1,
            ygap=1,
            texttemplate="%{z:.2f}" if numbers else None,
            textfont={"size": 12 if max(rows, columns) < 8 else 10},
            hoverinfo="skip",
            colorbar={"title": "weight"},
        )
    )
    y, x = np.mgrid[0:rows, 0:columns]
    figure.add_scatter(
        x=x.ravel(),
        y=y.ravel(),
        mode="markers",
        showlegend=False,
        marker={"symbol": "square", "size": reach, "color": "rgba(0,0,0,0)", "opacity": 0.01, "line": {"width": 0}},
        selected={"marker": {"opacity": 0.01}},
        unselected={"marker": {"opacity": 0.01}},
        text=[f"{value:+.4f}" for value in A.ravel()],
        hovertemplate=f"{a} to the power %{{y}}, {b} to the power %{{x}}<br>weight %{{text}}<extra></extra>",
    )
    for row, column in changed:
        figure.add_shape(
            type="rect",
            x0=column - 0.47,
            x1=column + 0.47,
            y0=row - 0.47,
            y1=row + 0.47,
            line={"color": colours.selected, "width": 3},
        )
    figure.update_xaxes(title=f"power of {b}", dtick=1, showgrid=False, zeroline=False, range=[-0.5, columns - 0.5])
    figure.update_yaxes(title=f"power of {a}", dtick=1, showgrid=False, zeroline=False, range=[rows - 0.5, -0.5])
    return figure.update_layout(template=colours.template, height=80 + int(reach * 1.25 * rows), title=title)


def singular_values(
    learned: Float[np.ndarray, "p q"], initial: Float[np.ndarray, "p q"] | None, colours: Colours
) -> go.Figure:
    """Singular values of A, largest first: how many outer products (eq. 4) it takes to make it."""
    values = np.linalg.svd(np.asarray(learned, dtype=float), compute_uv=False)
    steps = np.arange(1, len(values) + 1)
    figure = go.Figure(
        go.Bar(
            x=steps,
            y=values,
            name="learned",
            marker_color=colours.edge,
            text=[f"{value:.2f}" for value in values],
            textposition="inside",
            hovertemplate="number %{x}: %{y:.3f}<extra>learned</extra>",
        )
    )
    if initial is not None:
        start = np.linalg.svd(np.asarray(initial, dtype=float), compute_uv=False)
        figure.add_scatter(
            x=steps,
            y=start,
            name="before training",
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 22, "color": colours.ink, "line": {"width": 2}},
            hovertemplate="number %{x}: %{y:.3f}<extra>before training</extra>",
        )
    figure.update_layout(
        template=colours.template,
        height=240,
        xaxis={"title": "number", "dtick": 1, "showgrid": False},
        yaxis={"title": "singular value", "rangemode": "tozero"},
        bargap=0.5,
    )
    return figure


def term_matrices(
    parts: Mapping[str, Float[np.ndarray, "p q"]], names: tuple[str, str], colours: Colours, apart: bool = True
) -> go.Figure:
    """What every term of A adds, one small matrix a question; each on its own symmetric scale if `apart`."""
    figure = make_subplots(
        1, len(parts), subplot_titles=[plotly_text(title, 60) for title in parts], horizontal_spacing=0.05
    )
    largest = max(_top(part) for part in parts.values())
    for column, (title, part) in enumerate(parts.items(), start=1):
        top = _top(part) if apart else largest
        figure.add_heatmap(
            z=part,
            zmin=-top,
            zmax=top,
            zmid=0,
            colorscale=colours.signed,
            xgap=1,
            ygap=1,
            showscale=False,
            texttemplate="%{z:.2g}" if max(part.shape) <= PRINTED else None,
            hovertemplate="row %{y}, column %{x}: %{z:+.4f}<extra>" + plotly_text(title) + "</extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(title=f"power of {plotly_text(names[1])}", dtick=1, showgrid=False, row=1, col=column)
        figure.update_yaxes(autorange="reversed", dtick=1, showgrid=False, row=1, col=column)
    figure.update_yaxes(title=f"power of {plotly_text(names[0])}", row=1, col=1)
    figure.update_layout(template=colours.template, height=90 + 40 * len(next(iter(parts.values()))))
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


def score_change(
    then: Float[np.ndarray, " n"],
    now: Float[np.ndarray, " n"],
    anomalous: Bool[np.ndarray, " n"] | None,
    threshold: float,
    colours: Colours,
) -> go.Figure:
    """A clip's scores with A as trained (dashed) and as changed, the alarm threshold, and labelled anomalies."""
    units = np.arange(len(now))
    figure = go.Figure()
    figure.add_scatter(
        x=units, y=then, name="as trained", mode="lines", line={"color": colours.quiet, "dash": "dash", "width": 1.5}
    )
    figure.add_scatter(x=units, y=now, name="as changed", mode="lines", line={"color": colours.edge, "width": 2})
    if anomalous is not None:
        figure.add_scatter(
            x=units[anomalous],
            y=now[anomalous],
            name="labelled anomalous",
            mode="markers",
            marker={"symbol": "diamond", "size": 8, "color": colours.anomaly},
        )
    figure.add_hline(y=threshold, line={"color": colours.selected, "dash": "dot", "width": 1.5})
    figure.update_traces(hovertemplate="unit %{x}: %{y:.3f}")
    figure.update_layout(template=colours.template, height=230, xaxis_title="unit", yaxis_title="score")
    return figure


def plane(A: Shaped[np.ndarray, "p q *rest"], rest: Sequence[int]) -> Shaped[np.ndarray, "p q"]:
    """The table of the first two modalities' powers at fixed powers of the others.

    >>> plane(np.arange(8.0).reshape(2, 2, 2), (1,)).tolist()
    [[1.0, 3.0], [5.0, 7.0]]
    """
    index: tuple[Any, ...] = (..., *rest)
    return A[index]


def unfolded(A: Float[np.ndarray, "p *rest"]) -> Float[np.ndarray, "p q"]:  # noqa: F821 (a shape, not a product)
    """A as a matrix: the first modality's powers against all combinations of the others'."""
    return np.asarray(A, dtype=float).reshape(len(A), -1)


def training(
    initial: Float[np.ndarray, "*shape"], learned: Float[np.ndarray, "*shape"]
) -> dict[str, Float[np.ndarray, "*shape"]]:
    """Before, after, and what training added."""
    return {"drawn": initial, "learned": learned, "learned − drawn": above_noise(learned - initial, learned, initial)}


def operator_sentence(A: Float[np.ndarray, "*shape"], names: Sequence[str]) -> str:
    """The largest weights in words, for who cannot see the colours."""
    order = np.argsort(-np.abs(A), axis=None, kind="stable")[:3]
    places = [tuple(int(i) for i in np.unravel_index(at, A.shape)) for at in order]
    said = ", ".join(f"{term_name(names, place)} {A[place]:+.3f}" for place in places)
    return f"operator A, {' by '.join(map(str, A.shape))}; largest weights: {said}"


def _top(A: Float[np.ndarray, "p q"]) -> float:
    return float(np.abs(A).max()) or 1.0

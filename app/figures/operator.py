"""The learned operator A: its weights, what training changed, and how much of it is one rank."""

from collections.abc import Collection, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from app.figures.style import PRINTED, SIGNED, Colours, plotly_text

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
    reach: int = 44,
) -> go.Figure:
    """The weight of every pair of powers: rows are the first modality's, columns the second's; white is 0.

    Orange frames mark `changed` cells. Each cell is also an invisible square that can be clicked: its customdata is
    (row, column). `top` is the weight drawn darkest, either sign; give figures that are compared the same.
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
            colorscale=SIGNED,
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
        marker={"symbol": "square", "size": reach, "color": colours.ink, "opacity": 0.01},
        selected={"marker": {"opacity": 0.01}},
        unselected={"marker": {"opacity": 0.01}},
        customdata=np.stack([y.ravel(), x.ravel()], axis=1),
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


def learned_and_initial(
    learned: Float[np.ndarray, "p q"], initial: Float[np.ndarray, "p q"], names: tuple[str, str], colours: Colours
) -> go.Figure:
    """A as it was drawn, as it was learned, and what training added, on one symmetric scale."""
    parts = {"drawn before training": initial, "learned": learned, "learned − drawn": learned - initial}
    top = max(_top(part) for part in parts.values())
    figure = make_subplots(1, 3, subplot_titles=list(parts), horizontal_spacing=0.06)
    for column, (title, part) in enumerate(parts.items(), start=1):
        figure.add_heatmap(
            z=part,
            zmin=-top,
            zmax=top,
            zmid=0,
            colorscale=SIGNED,
            xgap=1,
            ygap=1,
            row=1,
            col=column,
            showscale=column == 3,
            texttemplate="%{z:.2f}" if max(part.shape) <= PRINTED else None,
            hovertemplate="row %{y}, column %{x}: %{z:+.3f}<extra>" + title + "</extra>",
        )
        figure.update_xaxes(title=f"power of {plotly_text(names[1])}", dtick=1, showgrid=False, row=1, col=column)
        figure.update_yaxes(autorange="reversed", dtick=1, showgrid=False, row=1, col=column)
    figure.update_yaxes(title=f"power of {plotly_text(names[0])}", row=1, col=1)
    figure.update_layout(template=colours.template, height=80 + 46 * len(learned))
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


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
            textposition="outside",
            cliponaxis=False,
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


def _top(A: Float[np.ndarray, "p q"]) -> float:
    return float(np.abs(A).max()) or 1.0

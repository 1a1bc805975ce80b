"""The learned operator A as a table of weights, and its terms in words."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Shaped

from app.figures.draw import cells, squares
from app.figures.style import PRINTED, Colours, plotly_text

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
    """The weight of every pair of powers: rows are the first modality's, columns the second's; 0 is the page's colour.

    Orange frames mark `changed` cells. Each cell is also an invisible square that can be clicked: y is its row, x its
    column. `top` is the weight drawn darkest, either sign; give figures that are compared the same.
    """
    top = top or largest(A)
    (rows, columns), most = A.shape, max(A.shape)
    a, b = (plotly_text(name) for name in names)
    y, x = np.mgrid[0:rows, 0:columns]
    hover = f"{a} to the power %{{y}}, {b} to the power %{{x}}<br>weight %{{text}}<extra></extra>"
    numbers: dict[str, Any] = {
        "texttemplate": "%{z:.2f}" if most <= PRINTED else None,
        "textfont": {"size": 12 if most < 8 else 10},
    }
    bar = {"title": "weight"}
    figure = go.Figure([
        cells(A, colours.signed, low=-top, high=top, zmid=0, showscale=None, colorbar=bar, **numbers),
        squares(x.ravel(), y.ravel(), hover, reach, text=[f"{value:+.4f}" for value in A.ravel()]),
    ])  # fmt: skip
    for row, column in changed:
        ends = {"x0": column - 0.47, "x1": column + 0.47, "y0": row - 0.47, "y1": row + 0.47}
        figure.add_shape(type="rect", **ends, line={"color": colours.selected, "width": 3})
    figure.update_xaxes(title=f"power of {b}", dtick=1, showgrid=False, zeroline=False, range=[-0.5, columns - 0.5])
    figure.update_yaxes(title=f"power of {a}", dtick=1, showgrid=False, zeroline=False, range=[rows - 0.5, -0.5])
    return figure.update_layout(template=colours.template, height=80 + int(reach * 1.25 * rows), title=title)


def largest(A: Float[np.ndarray, "*shape"]) -> float:
    """The largest absolute weight, 1 where all are 0: the end of a scale around 0."""
    return float(np.abs(A).max()) or 1.0


def plane(A: Shaped[np.ndarray, "p q *rest"], rest: Sequence[int]) -> Shaped[np.ndarray, "p q"]:
    """The table of the first two modalities' powers at fixed powers of the others.

    >>> plane(np.arange(8.0).reshape(2, 2, 2), (1,)).tolist()
    [[1.0, 3.0], [5.0, 7.0]]
    """
    index: tuple[Any, ...] = (..., *rest)
    return A[index]


def operator_sentence(A: Float[np.ndarray, "*shape"], names: Sequence[str]) -> str:
    """The largest weights in words, for who cannot see the colours."""
    order = np.argsort(-np.abs(A), axis=None, kind="stable")[:3]
    places = [tuple(int(i) for i in np.unravel_index(at, A.shape)) for at in order]
    said = ", ".join(f"{term_name(names, place)} {A[place]:+.3f}" for place in places)
    return f"operator A, {' by '.join(map(str, A.shape))}; largest weights: {said}"

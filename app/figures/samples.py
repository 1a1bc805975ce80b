"""Samples: their classes as scores, and their pictures."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures.style import Colours
from core.sample import Part


def probabilities(outputs: Float[np.ndarray, "samples classes"]) -> Float[np.ndarray, "samples classes"]:
    """Softmax of the class logits.

    >>> probabilities(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    raised = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def one_against_rest(
    part: Part, outputs: Float[np.ndarray, "samples classes"], about: int
) -> tuple[Float[np.ndarray, " samples"], Bool[np.ndarray, " samples"]]:
    """The probability of one class as a score, and which samples are of that class."""
    if part.target is None:
        raise ValueError("these samples have no classes to judge against")
    return probabilities(outputs)[:, about], part.target.numpy() == about


def picture(vector: Float[np.ndarray, " pixels"], height: int, width: int, colours: Colours) -> go.Figure:
    """A vector that is a picture, row by row, dark to bright."""
    figure = go.Figure(
        go.Heatmap(z=vector.reshape(height, width), colorscale="gray", showscale=False, hoverinfo="skip")
    )
    return figure.update_layout(
        height=30 + round(150 * min(1.0, height / width)),
        width=12 + round(150 * min(1.0, width / height)),
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x"},
    )

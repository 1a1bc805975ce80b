"""Pictures among the modalities of samples."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from app.figures.style import Colours


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

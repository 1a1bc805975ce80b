"""What each colour means, for light and for dark pages, and how every figure is dressed.

A colour means one thing everywhere, and never alone: an anomaly is purple *and* a diamond (or hatched), an edge is
green *and* darker where it is stronger, what the user selected is orange *and* larger. Purple and green differ by
ΔE >= 39 for colour-blind viewers; blue nodes do not, so no node is blue.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from core.machine.names import shown

NOISE = 32 * float(np.finfo(np.float32).eps)  # of a number's size: what a few float32 sums may be wrong by
SCORES = "viridis"  # scores and other numbers from low to high
PRINTED = 12  # matrices up to 12 x 12 have their numbers printed in the cells
FONT = '"Source Sans", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Colours:
    """One set for light pages (`LIGHT`), one for dark (`DARK`).

    anomaly     anomalous units, truth bands, alarms that are right
    edge        the strongest relation; weaker ones fade towards `page`. Also the accent: the one line that matters
    normal      normal units and whatever is only context
    selected    what the user clicked
    ink, quiet  text and lines that must be read; text and lines that may be overlooked
    grid, page, panel   grid lines; the page behind a figure; cards and the sidebar
    series      several runs or modalities side by side, told apart by dash or marker as well
    signed      colour scale of weights and shares: zmid=0 and zmin=-zmax, so that nothing has the colour of the page
    change      the same for after minus before
    """

    name: str
    anomaly: str
    edge: str
    normal: str
    selected: str
    ink: str
    quiet: str
    grid: str
    page: str
    panel: str
    series: tuple[str, ...]
    signed: str | tuple[tuple[float, str], ...]
    change: str | tuple[tuple[float, str], ...]

    @cached_property
    def edges(self) -> list[list[Any]]:
        """Colour scale of relation strengths 0 to 1: from the page's colour to the edge's."""
        return [[0.0, self.page], [1.0, self.edge]]

    def faded(self, colour: str, alpha: float) -> str:
        """The colour, see-through: `rgba(...)` for fills.

        >>> LIGHT.faded("#762A83", 0.2)
        'rgba(118,42,131,0.2)'
        """
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        return f"rgba({red},{green},{blue},{alpha:g})"

    @cached_property
    def template(self) -> go.layout.Template:
        """Quiet and dense: no frame, hair grid, small type, colours from this set."""
        axis = {
            "gridcolor": self.grid,
            "zerolinecolor": self.grid,
            "linecolor": self.grid,
            "tickcolor": self.grid,
            "ticks": "outside",
            "ticklen": 4,
            "title": {"font": {"color": self.quiet, "size": 12}, "standoff": 6},
            "tickfont": {"color": self.quiet, "size": 11},
            "automargin": True,
        }
        return go.layout.Template(
            layout={
                "paper_bgcolor": "rgba(0,0,0,0)",
                "plot_bgcolor": "rgba(0,0,0,0)",
                "font": {"family": FONT, "size": 12, "color": self.ink},
                "title": {"font": {"size": 13, "color": self.ink}, "x": 0, "xanchor": "left", "pad": {"b": 6}},
                "margin": {"l": 8, "r": 8, "t": 30, "b": 8},
                "colorway": list(self.series),
                "colorscale": {"sequential": SCORES, "diverging": self.signed},
                "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 10}},
                "hoverlabel": {
                    "bgcolor": self.panel,
                    "bordercolor": self.grid,
                    "font": {"color": self.ink, "size": 12, "family": FONT},
                    "align": "left",
                },
                "legend": {
                    "orientation": "h",
                    "x": 0,
                    "y": 1,
                    "yanchor": "bottom",
                    "font": {"size": 11, "color": self.ink},
                    "bgcolor": "rgba(0,0,0,0)",
                },
                "xaxis": axis,
                "yaxis": axis,
            },
            data={"heatmap": [{"colorbar": {"outlinewidth": 0, "thickness": 10, "tickfont": {"color": self.quiet}}}]},
        )


LIGHT = Colours(
    name="light",
    anomaly="#762A83",
    edge="#1B7837",
    normal="#6B7280",
    selected="#E66100",
    ink="#1F2430",
    quiet="#5B6270",
    grid="#E3E6EA",
    page="#FFFFFF",
    panel="#F5F6F7",
    series=("#1B7837", "#1F2430", "#9A6A00", "#2C6FA6", "#8A8F99"),
    signed="RdBu_r",
    change="PuOr",
)
DARK = Colours(
    name="dark",
    anomaly="#C78BD9",
    edge="#5AC27A",
    normal="#9097A3",
    selected="#FF8A3D",
    ink="#E6E8EC",
    quiet="#A3AAB6",
    grid="#2C3340",
    page="#12151B",
    panel="#1B2029",
    series=("#5AC27A", "#E6E8EC", "#D9A93B", "#7DB3E0", "#8F96A3"),
    signed=((0.0, "#92C5DE"), (0.25, "#2166AC"), (0.5, "#12151B"), (0.75, "#B2182B"), (1.0, "#F4A582")),
    change=((0.0, "#FDB863"), (0.25, "#B35806"), (0.5, "#12151B"), (0.75, "#6F4FA8"), (1.0, "#C6BEE4")),
)


def colours(theme: str | None) -> Colours:
    """The set for a page whose theme is "dark" or anything else."""
    return DARK if theme == "dark" else LIGHT


def above_noise(
    values: Float[np.ndarray, "*shape"], *operands: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "*shape"]:
    """Signed numbers, 0 where float noise of what they were computed from could have made them.

    Otherwise a figure of changes that are none shows the noise in its darkest colours.

    >>> above_noise(np.array([4e-8, -0.5]), np.array([1.0]), np.array([0.5, -1.0])).tolist()
    [0.0, -0.5]
    """
    size = max((float(np.nanmax(np.abs(each), initial=0.0)) for each in operands), default=0.0)
    return np.where(np.abs(values) <= NOISE * size, values.dtype.type(0), values)


def file_name(words: str) -> str:
    """A download name made from words that may be hostile: ASCII letters, digits, dash, at most 80.

    >>> file_name("scores of <img src=x>/../test-01")
    'scores-of-img-src-x-test-01'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:80] or "figure"


def plotly_config(name: str, picture: str = "png") -> dict[str, Any]:
    """Mode bar of every figure: save as `picture` ("png" or "svg") under a clean name, and nothing that distracts."""
    return {
        "displaylogo": False,
        "displayModeBar": "hover",
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d", "toggleSpikelines"],
        "toImageButtonOptions": {"format": picture, "filename": file_name(name), "scale": 2},
    }


def plotly_text(name: object, limit: int = 40) -> str:
    """A hostile name inside a figure: Plotly reads a part of HTML (`<a>`, `<b>`) in every text it draws.

    >>> plotly_text("<a href='http://x'>y</a>")
    "&lt;a href='http://x'&gt;y&lt;/a&gt;"
    """
    return shown(name, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_text(name: object, limit: int = 80) -> str:
    r"""A hostile name inside a sentence that Streamlit reads as Markdown: no picture, link, formula, emoji or colour.

    >>> markdown_text("![x](http://y) :red[z]")
    '\\!\\[x\\]\\(http\u2060\\:\\/\\/y\\) \\:red\\[z\\]'
    >>> markdown_text("a · b_c")
    'a · b\\_c'
    """
    # the browser makes links of addresses after the escapes are gone: a joiner that nobody sees keeps them apart
    told = re.sub(r"(?i)(https?|www)(?=[:.])|(?<=@)", lambda found: found[0] + "\u2060", shown(name, limit))
    # ASCII alone: Markdown shows the backslash in front of any other sign
    return re.sub(r"([!-+./:-@\[-`{-~])", r"\\\1", told)

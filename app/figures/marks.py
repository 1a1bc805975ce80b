"""Marks that stand for classes in several figures, and which of them was clicked."""

from typing import Any

from app.figures.style import Colours
from core.sample import Part


def clicked_row(customdata: object) -> int | None:
    """The row behind a clicked point, whatever shape the browser sends it in; None for none.

    >>> clicked_row([7]), clicked_row(7), clicked_row(None)
    (7, 7, None)
    """
    value = customdata[0] if isinstance(customdata, list | tuple) and customdata else customdata
    return int(value) if isinstance(value, int | float) else None


def class_of(part: Part, row: int) -> str:
    """The name of a row's class, which may be hostile text; "" where nobody knows it or the targets are real."""
    return "" if part.target is None or not part.classes else part.classes[int(part.target[row])]


SYMBOLS = ("circle", "square", "triangle-up", "pentagon", "star", "hexagram")  # one a modality; specific parts are open


PALETTE = (
    "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#999933", "#DD8452", "#44AA99", "#8C8C8C",
)  # fmt: skip


def class_colours(part: Part, colours: Colours) -> list[str]:
    """One a class: an anomaly is purple everywhere."""
    if part.task.kind == "units":
        return [colours.normal, colours.anomaly]
    return [PALETTE[i % len(PALETTE)] for i in range(len(part.classes))]


def look(at: int, colours: Colours) -> dict[str, Any]:
    """Colour, mark and dash of name number `at`: the same in every figure of a page, and no two of thirty alike."""
    dash = ("solid", "dash", "dot")[at // len(colours.series) % 3]
    return {"colour": colours.series[at % len(colours.series)], "symbol": SYMBOLS[at % len(SYMBOLS)], "dash": dash}

"""Sweeps: the surface over two options, a line an option, the learned A of every cell, and what each option matters."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from app.figures import draw
from app.figures.operator import term_name
from app.figures.style import PRINTED, SCORES, Colours, plotly_text
from core.machine.names import shown
from core.sweep import WORDS, Cell, Importance, Line, Results, Row, plain, told

GREEK = {"alpha": "α", "lam": "λ"}
GAP = 1  # empty cells between two small matrices
LEADING = 3  # entries of A that are named
LOGARITHMIC = 100.0  # from this ratio of the largest to the smallest value on


def option(name: str) -> str:
    """An option as it stands on an axis: the papers' letter where they have one.

    >>> option("alpha"), option("P")
    ('α', 'P')
    """
    return GREEK.get(name, plotly_text(name, 30))


def digits(metric: str) -> int:
    return 3 if metric == "correlation" else 1


def unit(metric: str) -> str:
    """The metric's name with its unit."""
    return WORDS[metric] + ("" if metric == "correlation" else " (%)")


def number(value: float, metric: str) -> str:
    """A mean as it is printed.

    >>> number(73.456, "auc"), number(float("nan"), "auc")
    ('73.5', 'none')
    """
    return "none" if np.isnan(value) else f"{value:.{digits(metric)}f}"


def spread(row: Row, metric: str) -> str:
    """A cell's mean and spread in words."""
    if not row.n:
        return f"none of {row.tried} trainings has a value"
    sd = "" if np.isnan(row.sd) else f" ± {row.sd:.{digits(metric)}f}"
    return f"{number(row.mean, metric)}{sd} over {row.n} {'seed' if row.n == 1 else 'seeds'}"


def place(value: Any, values: Sequence[Any]) -> int:
    return list(values).index(value)


def strongest(A: Float[np.ndarray, "..."], names: Sequence[str], most: int = LEADING) -> str:
    """The entries of a learned A that weigh most, either sign, in words.

    >>> strongest(np.array([[0.1, -0.5], [0.25, 0.0]]), ["motion", "text"])
    'I ⊙ text −0.50, motion ⊙ I +0.25, I ⊙ I +0.10'
    """
    order = np.argsort(-np.abs(A), axis=None, kind="stable")[:most]
    places = [tuple(int(at) for at in np.unravel_index(one, A.shape)) for one in order]
    signed = [f"{A[place]:+.2f}".replace("-", "−") for place in places]
    return ", ".join(f"{term_name(names, place)} {value}" for place, value in zip(places, signed, strict=True))


def surface(
    found: Results, axes: tuple[str, str], rest: Mapping[str, Any], chosen: Cell | None, colours: Colours,
    learned: Mapping[int, str] | None = None,
) -> go.Figure:  # fmt: skip
    """The mean of every cell over two options, the others at `rest`; brighter is better.

    A star marks the best cell of the whole sweep, dots those within the seeds' spread of it, orange the chosen one.
    Every trained cell can be clicked: its customdata is its place among `found.rows`. `learned` says, by that place,
    what is strongest in the cell's A; it is shown when the cell is pointed at.
    """
    plan, metric = found.sweep.plan, found.sweep.metric
    rows_of, columns_of = plan.axes[axes[0]], plan.axes[axes[1]]
    z = np.full((len(rows_of), len(columns_of)), np.nan)
    text = np.full(z.shape, "", dtype=object)
    close, best = {row.cell for row in found.close}, found.best.cell if found.best is not None else None
    points: list[tuple[int, int, int, str]] = []
    marks: dict[str, list[tuple[int, int]]] = {"best": [], "close": []}
    for at, row in enumerate(found.rows):
        place_of = _place(found, row.cell, axes, rest)
        if not row.tried or place_of is None:
            continue
        z[place_of], text[place_of] = row.mean, number(row.mean, metric)
        points.append((*place_of, at, _pointed(found, at, learned or {})))
        if row.cell == best or row.cell in close:
            marks["best" if row.cell == best else "close"].append(place_of)
    small = max(z.shape) > PRINTED
    values = draw.cells(z.round(4), SCORES, text=None if small else text, texttemplate=None if small else "%{text}",
                        textfont={"size": 11}, colorbar={"title": {"text": unit(metric), "side": "right"}})  # fmt: skip
    values.pop("showscale")
    y, x, ats, said = zip(*points, strict=True) if points else ((),) * 4
    squares = draw.squares(list(x), list(y), "%{text}<extra></extra>", customdata=list(ats), text=list(said))
    figure = draw.framed(
        [values, squares, *_marks(marks, colours)], 130 + 34 * min(max(len(rows_of), 4), 24),
        _ticks(axes[1], columns_of), _ticks(axes[0], rows_of), legend={"y": 1.02}, top=34,
        hoverdistance=-1,  # the nearest square answers: the whole of a cell is pointed at and clicked, however wide
    )  # fmt: skip
    here = None if chosen is None else _place(found, chosen, axes, rest)
    if here is not None:
        edge = {"color": colours.selected, "width": 3}
        ends = {"x0": here[1] - 0.48, "x1": here[1] + 0.48, "y0": here[0] - 0.48, "y1": here[0] + 0.48}
        figure.add_shape(type="rect", line=edge, **ends)
    return figure


def _place(found: Results, cell: Cell, axes: tuple[str, str], rest: Mapping[str, Any]) -> tuple[int, int] | None:
    """(row, column) of a cell; None where it lies at other values of the other options."""
    settings = dict(zip(found.sweep.plan.names, cell, strict=True))
    if any(settings[name] != value for name, value in rest.items()):
        return None
    y, x = (place(settings[name], found.sweep.plan.axes[name]) for name in axes)
    return y, x


def _pointed(found: Results, at: int, learned: Mapping[int, str]) -> str:
    """What a cell says when it is pointed at."""
    row = found.rows[at]
    said = f"{told([option(n) for n in found.sweep.plan.names], row.cell)}<br>{spread(row, found.sweep.metric)}"
    if at in learned:
        said += f"<br>strongest in its A:<br>{plotly_text(learned[at], 400).replace(', ', '<br>')}"
    return said


def _marks(marks: Mapping[str, Sequence[tuple[int, int]]], colours: Colours) -> list[draw.Trace]:
    """A star for the best cell, dots for those as good, in a corner of each."""
    looks = (
        ("best", "best", "star", 11, colours.selected, "#FFFFFF"),
        ("close", "within the seeds' spread of it", "circle", 7, "#FFFFFF", "#1F2430"),
    )
    return [
        draw.dots([x + 0.34 for _, x in marks[kind]], [y + 0.3 for y, _ in marks[kind]], name, fill, symbol=symbol,
                  size=size, rim={"width": 1, "color": rim})
        for kind, name, symbol, size, fill, rim in looks
        if marks[kind]
    ]  # fmt: skip


def _ticks(name: str, values: Sequence[Any]) -> dict[str, Any]:
    step = -(-len(values) // 20)
    return {
        "title": option(name),
        "tickvals": list(range(0, len(values), step)),
        "ticktext": [plotly_text(plain(value), 16) for value in values[::step]],
        "range": [-0.5, len(values) - 0.5],
        "showgrid": False,
        "zeroline": False,
    }


def surface_sentence(found: Results) -> str:
    """The best cell and how many are as good, for who cannot see the colours."""
    plan, metric, best = found.sweep.plan, found.sweep.metric, found.best
    if best is None:
        return "no cell is done yet"
    worst = min((row for row in found.rows if row.n), key=lambda row: row.mean)
    said = f"best cell {told(plan.names, best.cell)}: {WORDS[metric]} {spread(best, metric)}, {found.sweep.judged}"
    if found.close:
        known = sum(row.n > 0 for row in found.rows)
        said += f"; {len(found.close)} of {known} cells lie within the seeds' spread of it, {found.spread:.2g}"
    return f"{said}; worst {told(plan.names, worst.cell)}: {number(worst.mean, metric)}"


def axis_lines(drawn: Sequence[Line], metric: str, judged: str, colours: Colours) -> go.Figure:
    """The mean over all cells with each value of an option, one panel an option; the band is ± 1 sd over seeds."""
    figure = make_subplots(1, len(drawn), shared_yaxes=True, horizontal_spacing=0.03)
    for column, line in enumerate(drawn, start=1):
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in line.values)
        x: list[Any] = list(line.values) if numeric else list(range(len(line.values)))
        known = np.isfinite(line.mean)
        banded = known & np.isfinite(line.sd)
        if banded.sum() > 1:
            edges = [v for v, there in zip(x, banded, strict=True) if there]
            figure.add_scatter(
                x=[*edges, *edges[::-1]],
                y=np.concatenate(
                    [(line.mean + line.sd)[banded], (line.mean - line.sd)[banded][::-1]]
                ).round(4),
                fill="toself", fillcolor=colours.faded(colours.edge, 0.15), line={"width": 0}, mode="lines",
                hoverinfo="skip", showlegend=False, row=1, col=column,
            )  # fmt: skip
        top = int(np.nanargmax(line.mean)) if known.any() else -1
        figure.add_scatter(
            x=x,
            y=line.mean.round(4),
            mode="lines+markers",
            connectgaps=True,
            line={"color": colours.edge, "width": 2},
            marker={
                "size": [11 if at == top else 6 for at in range(len(x))],
                "symbol": ["star" if at == top else "circle" for at in range(len(x))],
                "color": [colours.selected if at == top else colours.edge for at in range(len(x))],
            },
            customdata=[
                f"{option(line.name)} = {plotly_text(plain(value), 20)}: {number(mean, metric)}"
                + ("" if np.isnan(sd) else f" ± {sd:.{digits(metric)}f}")
                + f"<br>{cells} {'cell' if cells == 1 else 'cells'}"
                for value, mean, sd, cells in zip(line.values, line.mean, line.sd, line.cells, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        title = option(line.name)
        if numeric:
            far = min(x) > 0 and max(x) / min(x) >= LOGARITHMIC
            ticks = {"tickvals": x, "ticktext": [plain(v) for v in x]} if len(x) <= 12 // len(drawn) + 6 else {}
            figure.update_xaxes(title=title, type="log" if far else "linear", row=1, col=column, **ticks)
        else:
            figure.update_xaxes(**_ticks(line.name, line.values), row=1, col=column)
    figure.update_yaxes(title=f"{unit(metric)}, {judged}", row=1, col=1)
    return figure.update_layout(template=colours.template, height=320, margin={"t": 12})


def line_table(drawn: Sequence[Line]) -> pd.DataFrame:
    """The same in numbers."""
    return pd.DataFrame(
        [
            {"option": shown(line.name, 40), "value": plain(value), "mean": mean, "sd": sd, "cells": cells}
            for line in drawn
            for value, mean, sd, cells in zip(line.values, line.mean, line.sd, line.cells, strict=True)
        ]
    )


def line_sentence(drawn: Sequence[Line], metric: str) -> str:
    """Best and worst value of every option."""
    said = []
    for line in drawn:
        if np.isfinite(line.mean).any():
            top, low = int(np.nanargmax(line.mean)), int(np.nanargmin(line.mean))
            said.append(
                f"{line.name}: best {plain(line.values[top])} with {number(line.mean[top], metric)}, "
                f"worst {plain(line.values[low])} with {number(line.mean[low], metric)}"
            )
    return "; ".join(said) or "no cell is done yet"


def operator_map(
    found: Mapping[tuple[int, int], Float[np.ndarray, "_ _"]],
    axes: tuple[str, str],
    values: tuple[Sequence[Any], Sequence[Any]],
    chosen: tuple[int, int] | None,
    colours: Colours,
) -> go.Figure:
    """The learned A of every cell as a small matrix, each where its cell lies; one colour scale for all.

    Within a matrix rows are powers of the first modality from I downwards, columns powers of the second.
    """
    heights = [max((len(A) for (y, _), A in found.items() if y == row), default=1) for row in range(len(values[0]))]
    widths = [max((A.shape[1] for (_, x), A in found.items() if x == c), default=1) for c in range(len(values[1]))]
    tops = np.concatenate([[0], np.cumsum(np.array(heights) + GAP)])
    lefts = np.concatenate([[0], np.cumsum(np.array(widths) + GAP)])
    z = np.full((tops[-1] - GAP, lefts[-1] - GAP), np.nan, np.float32)
    for (row, column), A in found.items():
        z[tops[row] : tops[row] + len(A), lefts[column] : lefts[column] + A.shape[1]] = A
    largest = float(np.nanmax(np.abs(z))) if found else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=z,
            zmin=-largest,
            zmax=largest,
            zmid=0,
            colorscale=colours.signed,
            hovertemplate="weight %{z:.3f}<extra></extra>",
            hoverongaps=False,
            colorbar={"title": {"text": "weight", "side": "right"}},
        )
    )
    if chosen is not None:
        row, column = chosen
        figure.add_shape(
            type="rect", x0=lefts[column] - 0.5, x1=lefts[column] + widths[column] - 0.5,
            y0=tops[row] - 0.5, y1=tops[row] + heights[row] - 0.5, line={"color": colours.selected, "width": 2.5},
        )  # fmt: skip
    for axis, name, starts, sizes, labels in (
        ("xaxis", axes[1], lefts, widths, values[1]),
        ("yaxis", axes[0], tops, heights, values[0]),
    ):
        figure.update_layout(
            {
                axis: {
                    "title": option(name),
                    "tickvals": [float(start + (size - 1) / 2) for start, size in zip(starts[:-1], sizes, strict=True)],
                    "ticktext": [plotly_text(plain(label), 12) for label in labels],
                    "showgrid": False,
                    "zeroline": False,
                }
            }
        )
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(template=colours.template, height=560, margin={"t": 12})


def importance_bars(found: Importance, colours: Colours) -> go.Figure:
    """The share of the variance between cells that each option and each combination makes; ticks: seeds alone."""
    effects = found.effects[::-1]
    names = [f"{' × '.join(map(option, effect.names))}   {100 * effect.share:.0f} %" for effect in effects]
    figure = go.Figure(
        go.Bar(
            x=[round(100 * effect.share, 3) for effect in effects],
            y=names,
            orientation="h",
            marker={"color": colours.edge},
            name="share of the variance",
            hovertemplate="%{x:.1f} %<extra></extra>",
        )
    )
    noise = [100 * effect.noise for effect in effects]
    if np.isfinite(noise).all():
        figure.add_scatter(
            x=noise,
            y=names,
            mode="markers",
            name="what the seeds alone would make",
            marker={"symbol": "line-ns-open", "size": 20, "color": colours.ink, "line": {"width": 2}},
            hovertemplate="seeds alone: %{x:.1f} %<extra></extra>",
        )
    return figure.update_layout(
        template=colours.template,
        height=90 + 38 * len(effects),
        xaxis={"title": "share of the variance between cells (%)", "range": [0, 101], "tickvals": [0, 25, 50, 75, 100]},
        yaxis={"showgrid": False, "type": "category"},
        bargap=0.45,
        margin={"t": 30},
    )


def importance_table(found: Importance) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "option": " x ".join(shown(name, 40) for name in effect.names),
                "share (%)": round(100 * effect.share, 2),
                "seeds alone (%)": round(100 * effect.noise, 2),
            }
            for effect in found.effects
        ]
    )


def standing(row: Row, best: Cell | None, close: Collection[Cell]) -> str:
    """What is to be said of a cell beside its numbers."""
    failed = f"{len(row.failed)} failed" if row.failed else ""
    place = "best" if row.cell == best else "within the spread" if row.cell in close else ""
    return ", ".join(filter(None, [place, failed]))


def cell_table(found: Results, close: Collection[Cell], learned: Mapping[Cell, str] | None = None) -> pd.DataFrame:
    """Every cell that has a run, best first; `learned` says what is strongest in its A."""
    plan, metric = found.sweep.plan, found.sweep.metric
    best = found.best.cell if found.best is not None else None
    rows = sorted((row for row in found.rows if row.tried), key=lambda row: (np.isnan(row.mean), -row.mean))
    return pd.DataFrame(
        [
            {
                **{shown(name, 30): plain(value) for name, value in zip(plan.names, row.cell, strict=True)},
                f"{WORDS[metric]}": round(row.mean, 4),
                "sd": round(row.sd, 4),
                "seeds": row.n,
                "standing": standing(row, best, close),
                **({"strongest in A": learned.get(row.cell, "")} if learned else {}),
                "weights": row.weights,
                "seconds": round(row.seconds, 3),
            }
            for row in rows
        ]
    )

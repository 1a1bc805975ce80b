"""What the kernels of MKL see, how p spreads their weights, and how the solution was reached."""

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from app.figures import draw
from app.figures.marks import PALETTE, SYMBOLS, class_colours, look
from app.figures.style import PRINTED, SCORES, Colours, plotly_text
from core.explain.mkl import MOST_PANELS, AtNorm, Panel, Panels
from core.machine.names import shown
from core.sample import Part

MOST_LINES = 9


def norm_word(p: float) -> str:
    """p as people write it.

    >>> norm_word(4 / 3), norm_word(2.0), norm_word(float("inf"))
    ('4/3', '2', '∞')
    """
    if math.isinf(p):
        return "∞"
    return "4/3" if abs(p - 4 / 3) < 1e-3 else f"{p:g}"


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash where it is undefined.

    >>> number(0.25), number(float("nan"))
    ('0.25', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


# ---------------------------------------------------------------------------- weights against p


def norm_path(found: Sequence[AtNorm], names: Sequence[str], own: float, now: float, colours: Colours) -> go.Figure:
    """Each kernel's share of the weights' sum at every p; dotted: p of the run, orange: p as chosen."""
    shares = np.stack([each.share for each in found])
    words, traces = [norm_word(each.p) for each in found], []
    for at in np.argsort(-shares.max(0), kind="stable")[:MOST_LINES].tolist():
        name = plotly_text(names[at], 30)
        hover = f"{name}, p = %{{x}}: %{{y:.3f}} of the sum, β = %{{customdata:.3f}}<extra></extra>"
        beta = [float(each.beta[at].mean()) for each in found]
        line = draw.line(words, shares[:, at], name, hover=hover, size=8, customdata=beta, **look(at, colours))
        traces.append(line)
    x = {"title": "p", "type": "category", "showgrid": False, "range": [-0.4, len(words) - 0.6]}
    y = {"title": "β / sum of all β", "rangemode": "tozero"}
    figure = draw.framed(traces, 360, x, y, below=0.2, top=24)
    at = words.index(norm_word(own))  # categories have no lines of their own: the shapes stand at their numbers
    draw.upright(figure, at, colours.quiet)
    side = "left" if at < len(words) / 2 else "right"
    figure.add_annotation(x=at, y=1.0, yref="paper", yanchor="bottom", text=f"this run: p = {norm_word(own)}",
                          showarrow=False, font={"size": 10, "color": colours.quiet}, xanchor=side)  # fmt: skip
    if norm_word(now) != norm_word(own):
        draw.upright(figure, words.index(norm_word(now)), colours.selected, None, 1.5)
    return figure


def norm_table(found: Sequence[AtNorm], names: Sequence[str], metric: str) -> pd.DataFrame:
    """Everything that was solved again, in numbers."""
    table: dict[str, Sequence[object]] = {
        "p": [norm_word(each.p) for each in found],
        metric: [None if math.isnan(each.value) else round(each.value, 3) for each in found],
        "gap": [float(f"{each.gap:.1e}") for each in found],
        "rounds": [each.rounds for each in found],
    }
    return pd.DataFrame(
        table | {f"β {shown(name, 40)}": [round(float(each.beta[at].mean()), 4) for each in found]
                 for at, name in enumerate(names)}
    )  # fmt: skip


def weight_table(now: AtNorm, own: AtNorm, names: Sequence[str]) -> pd.DataFrame:
    """β at the chosen p beside that at the run's, the heaviest first."""
    order = np.argsort(-now.share, kind="stable")
    return pd.DataFrame(
        {
            "kernel": [shown(names[at], 60) for at in order],
            "β": now.beta.mean(1)[order].round(4),
            "share": now.share[order].round(4),
            f"share at p = {norm_word(own.p)}": own.share[order].round(4),
        }
    )


def weight_map(
    beta: Float[np.ndarray, "kernels outputs"], names: Sequence[str], outputs: Sequence[str], colours: Colours
) -> go.Figure:
    """Weights of every output's own set."""
    trace = draw.cells(
        beta, SCORES, "%{y}, %{x}: β = %{z:.3f}<extra></extra>", low=0, high=float(beta.max()), gap=None, unit="β",
        x=[plotly_text(each, 16) for each in outputs], y=[plotly_text(each, 30) for each in names],
        texttemplate="%{z:.2f}" if max(beta.shape) <= PRINTED else None,
    )  # fmt: skip
    x = {"type": "category", "showgrid": False, "title": "output"}
    return draw.framed([trace], 130 + 32 * len(names), x, {"autorange": "reversed", "showgrid": False, "ticks": ""})


# ---------------------------------------------------------------------------- how it was reached


def gap_line(history: Sequence[Mapping[str, float]], tolerance: float, colours: Colours) -> go.Figure:
    """The relative duality gap after every round, and how unequally useful the kernels still were; log axis."""
    rounds, traces = [row["epoch"] for row in history], []
    for key, name, colour, dash, symbol in (
        ("gap", "relative duality gap", colours.edge, None, "circle"),
        ("stationarity", "inequality of the kernels", colours.quiet, "dash", "square-open"),
    ):
        values, hover = [max(row[key], 1e-9) for row in history], f"round %{{x:d}}: %{{y:.2e}}<extra>{name}</extra>"
        line = draw.line(
            rounds, values, name, colour, hover, width=1.5 if dash else 2, dash=dash, symbol=symbol, size=6
        )
        traces.append(line if len(rounds) < 60 else line | {"mode": "lines"})
    x = {"title": "round: one SVM, one step of β", "showgrid": False, "range": [0.5, rounds[-1] + 0.5]}
    x["dtick"] = 1 if len(rounds) <= 12 else None
    y = {"type": "log", "exponentformat": "power", "title": "relative", "dtick": 1}
    figure = draw.framed(traces, 320, x, y, below=0.22)
    words = f"gap to reach: {tolerance:.0e}"
    draw.level(figure, tolerance, words, colours.selected, quiet=colours.quiet, place="top right", width=1.5)
    return figure


def gap_table(history: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The same in numbers."""
    columns = {"objective a row": "loss", "gap": "gap", "inequality": "stationarity", "kernels that count": "effective"}
    rounds = {"round": [int(row["epoch"]) for row in history]}
    return pd.DataFrame(rounds | {name: [row[key] for row in history] for name, key in columns.items()})


# ---------------------------------------------------------------------------- what the kernels see


def drawn_panels(found: Panels, beta: Float[np.ndarray, " kernels"]) -> list[int]:
    """Which panels are drawn: the heaviest kernels in the model's order, and all together, where it is another."""
    kernels = len(beta)
    heavy = np.sort(np.argsort(-beta, kind="stable")[: MOST_PANELS - 1]).tolist()
    return [*heavy, kernels] if kernels > 1 else heavy


def panel_maps(found: Panels, drawn: Sequence[int], part: Part, row: int, colours: Colours) -> go.Figure:
    """Kernel PCA of the same rows in every kernel, in the same colours; orange: the chosen row, where it is drawn.

    The customdata of every point is its row.
    """
    columns = min(len(drawn), 4 if len(drawn) != 5 else 3)
    lines = -(-len(drawn) // columns)
    titles = [_panel_title(found.panels[at]) for at in drawn]
    gaps = {"horizontal_spacing": 0.02, "vertical_spacing": 0.22 / lines}
    figure = make_subplots(lines, columns, subplot_titles=titles, **gaps)
    groups = _groups(found, part, colours)
    chosen = np.flatnonzero(found.rows == row)
    ring = {"color": colours.selected, "size": 13, "opacity": 1, "line": {"color": colours.page, "width": 2}}
    for place, at in enumerate(drawn):
        x, y = found.panels[at].places.T
        cell = {"row": place // columns + 1, "col": place % columns + 1}
        for name, mine, marker in groups:
            scale = {"showscale": place == 0} if "colorscale" in marker else {}
            figure.add_scatter(
                x=x[mine], y=y[mine], name=name, legendgroup=name, marker=marker | scale, customdata=found.rows[mine],
                showlegend=True if place == 0 and len(groups) > 1 else None, **cell,
            )  # fmt: skip
        if len(chosen):
            figure.add_scatter(
                x=x[chosen], y=y[chosen], name="chosen row", legendgroup="chosen row", marker=ring,
                showlegend=True if place == 0 else None, hovertemplate="chosen row<extra></extra>", **cell,
            )  # fmt: skip
    plain = {"showticklabels": False, "ticks": "", "zeroline": False, "showgrid": False, "showline": True}
    figure.update_xaxes(plain, mirror=True).update_yaxes(plain, mirror=True)
    figure.update_annotations(font={"size": 12, "color": colours.ink})
    legend = {"y": -0.03, "yanchor": "top", "itemsizing": "constant"}
    draw.framed(figure, 70 + 250 * lines, top=52, legend=legend, clickmode="event+select")
    return figure.update_layout(template=_template(len(groups) > 1, colours))


def _panel_title(panel: Panel) -> str:
    """The kernel's name, and below how far it sets the classes apart."""
    name = plotly_text(panel.name, 28)
    small = f"<br><span style='font-size:11px'>separation {number(panel.separation, 3)}</span>"
    return name if math.isnan(panel.separation) else name + small


def _template(several: bool, colours: Colours) -> go.layout.Template:
    """The page's with what a hundred traces share, which is so sent once."""
    template, faint = copy.deepcopy(colours.template), {"marker": {"opacity": 0.6}}
    hover = f"row %{{customdata}}{', %{fullData.name}' if several else ''}<extra></extra>"
    look = {"mode": "markers", "showlegend": False, "marker": {"size": 6, "opacity": 0.6}, "hovertemplate": hover}
    template.data.scatter = [go.Scatter(**look, selected=faint, unselected=faint)]
    return template


def _groups(found: Panels, part: Part, colours: Colours) -> list[tuple[str, np.ndarray, dict[str, object]]]:
    """(name, places of its rows, marker) of every class; of real targets one group coloured by the first."""
    everyone = np.arange(len(found.rows))
    if part.target is None:
        return [("rows", everyone, {"color": colours.normal})]
    target = part.target.numpy()[found.rows]
    if not part.classes:
        bar = {
            "title": {"text": plotly_text(part.task.names[0], 20), "side": "top"},
            "outlinewidth": 0,
            "thickness": 10,
        }
        return [("rows", everyone, {"color": target[:, 0], "colorscale": SCORES, "colorbar": bar})]
    palette = class_colours(part, colours)
    if part.task.kind == "units":
        symbols = ["circle", "diamond"]
    else:
        symbols = [SYMBOLS[k // len(PALETTE) % len(SYMBOLS)] for k in range(len(part.classes))]
    return [
        (plotly_text(name, 24), mine, {"color": palette[k], "symbol": symbols[k]})
        for k, name in enumerate(part.classes)
        if len(mine := np.flatnonzero(target == k))
    ]


def usefulness(found: Panels, colours: Colours) -> go.Figure:
    """Alignment and separation of each kernel and of all together, the largest alignment on top."""
    order = sorted(found.panels, key=lambda each: each.alignment)
    names, traces = [plotly_text(each.name, 30) for each in order], []
    for name, key, colour, symbol in (
        ("alignment with the target", "alignment", colours.edge, "circle"),
        ("separation of the classes", "separation", colours.ink, "diamond-open"),
    ):
        values, rim = [getattr(each, key) for each in order], {"width": 2, "color": colour}
        if not np.isnan(values).all():
            hover = f"%{{y}}: {name} %{{x:.3f}}<extra></extra>"
            traces.append(draw.dots(values, names, name, colour, hover, symbol=symbol, size=11, rim=rim))
    x = {"title": "0: none, 1: all of it", "rangemode": "tozero"}
    figure = draw.framed(traces, 150 + 30 * len(names), x, {"type": "category", "ticks": ""}, below=0.3)
    if not math.isnan(found.chance):
        draw.upright(figure, found.chance, colours.quiet)
    return figure


def panel_table(found: Panels, beta: Float[np.ndarray, " kernels"]) -> pd.DataFrame:
    """Every kernel's numbers."""
    weights = [*beta.round(4).tolist(), None][: len(found.panels)]

    def column(key: str) -> list[float | None]:
        values = [float(getattr(each, key)) for each in found.panels]
        return [None if math.isnan(value) else round(value, 4) for value in values]

    return pd.DataFrame(
        {
            "kernel": [shown(each.name, 60) for each in found.panels],
            "β": weights,
            "alignment": column("alignment"),
            "separation": column("separation"),
            "variance on the two axes": [round(float(each.shares.sum()), 4) for each in found.panels],
        }
    )

"""What the kernels of MKL see, how p spreads their weights, and how the solution was reached."""

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from app.figures.marks import PALETTE, SYMBOLS, class_colours
from app.figures.style import PRINTED, SCORES, Colours, plotly_text
from core.explain.mkl import MOST_PANELS, AtNorm, Panels
from core.machine.names import shown
from core.sample import Part

MOST_LINES = 9
DASHES = ("solid", "dash", "dot")


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
    words = [norm_word(each.p) for each in found]
    figure = go.Figure()
    for place, at in enumerate(np.argsort(-shares.max(0), kind="stable")[:MOST_LINES]):
        name = plotly_text(names[at], 30)
        figure.add_scatter(
            x=words,
            y=shares[:, at],
            mode="lines+markers",
            name=name,
            line={"color": colours.series[place % len(colours.series)], "width": 2, "dash": DASHES[place // 5 % 3]},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
            customdata=[float(each.beta[at].mean()) for each in found],
            hovertemplate=f"{name}, p = %{{x}}: %{{y:.3f}} of the sum, β = %{{customdata:.3f}}<extra></extra>",
        )
    _mark(figure, words, norm_word(own), norm_word(now), colours)
    figure.update_xaxes(title="p", type="category", showgrid=False, range=[-0.4, len(words) - 0.6])
    figure.update_yaxes(title="β / sum of all β", rangemode="tozero")
    return figure.update_layout(
        template=colours.template, height=360, margin={"t": 24}, legend={"y": -0.2, "yanchor": "top"}
    )


def _mark(figure: go.Figure, words: Sequence[str], own: str, now: str, colours: Colours) -> None:
    """Categories have no lines of their own: the shapes stand at their numbers."""
    at = list(words).index(own)
    figure.add_vline(x=at, line={"color": colours.quiet, "dash": "dot", "width": 1})
    figure.add_annotation(
        x=at,
        y=1.0,
        yref="paper",
        yanchor="bottom",
        text=f"this run: p = {own}",
        showarrow=False,
        font={"size": 10, "color": colours.quiet},
        xanchor="left" if at < len(words) / 2 else "right",
    )
    if now != own:
        figure.add_vline(x=list(words).index(now), line={"color": colours.selected, "width": 1.5})


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
    printed = max(beta.shape) <= PRINTED
    figure = go.Figure(
        go.Heatmap(
            z=beta,
            x=[plotly_text(each, 16) for each in outputs],
            y=[plotly_text(each, 30) for each in names],
            colorscale=SCORES,
            zmin=0,
            zmax=float(beta.max()),
            texttemplate="%{z:.2f}" if printed else None,
            colorbar={"title": {"text": "β", "side": "top"}},
            hovertemplate="%{y}, %{x}: β = %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", showgrid=False, title="output")
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    return figure.update_layout(template=colours.template, height=130 + 32 * len(names), margin={"t": 12})


# ---------------------------------------------------------------------------- how it was reached


def gap_line(history: Sequence[Mapping[str, float]], tolerance: float, colours: Colours) -> go.Figure:
    """The relative duality gap after every round, and how unequally useful the kernels still were; log axis."""
    rounds = [row["epoch"] for row in history]
    figure = go.Figure()
    for key, name, colour, dash, symbol in (
        ("gap", "relative duality gap", colours.edge, "solid", "circle"),
        ("stationarity", "inequality of the kernels", colours.quiet, "dash", "square-open"),
    ):
        values = [max(row[key], 1e-9) for row in history]
        figure.add_scatter(
            x=rounds,
            y=values,
            mode="lines+markers" if len(rounds) < 60 else "lines",
            name=name,
            line={"color": colour, "dash": dash, "width": 2 if dash == "solid" else 1.5},
            marker={"symbol": symbol, "size": 6},
            hovertemplate=f"round %{{x:d}}: %{{y:.2e}}<extra>{name}</extra>",
        )
    figure.add_hline(
        y=tolerance,
        line={"color": colours.selected, "dash": "dot", "width": 1.5},
        annotation={"text": f"gap to reach: {tolerance:.0e}", "font": {"size": 10, "color": colours.quiet}},
        annotation_position="top right",
    )
    figure.update_xaxes(title="round: one SVM, one step of β", showgrid=False, range=[0.5, rounds[-1] + 0.5])
    if len(rounds) <= 12:
        figure.update_xaxes(dtick=1)
    figure.update_yaxes(type="log", exponentformat="power", title="relative", dtick=1)
    return figure.update_layout(
        template=colours.template, height=320, margin={"t": 12}, legend={"y": -0.22, "yanchor": "top"}
    )


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
    titles = [
        f"{plotly_text(found.panels[at].name, 28)}<br><span style='font-size:11px'>separation "
        f"{number(found.panels[at].separation, 3)}</span>"
        if not math.isnan(found.panels[at].separation)
        else plotly_text(found.panels[at].name, 28)
        for at in drawn
    ]
    figure = make_subplots(
        lines, columns, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.22 / lines
    )
    groups = _groups(found, part, colours)
    chosen = np.flatnonzero(found.rows == row)
    for place, at in enumerate(drawn):
        places, cell = found.panels[at].places, {"row": place // columns + 1, "col": place % columns + 1}
        for name, mine, marker in groups:
            figure.add_scatter(
                x=places[mine, 0],
                y=places[mine, 1],
                name=name,
                legendgroup=name,
                showlegend=True if place == 0 and len(groups) > 1 else None,
                marker=marker | ({"showscale": place == 0} if "colorscale" in marker else {}),
                customdata=found.rows[mine],
                **cell,
            )
        if len(chosen):
            figure.add_scatter(
                x=places[chosen, 0],
                y=places[chosen, 1],
                name="chosen row",
                legendgroup="chosen row",
                showlegend=True if place == 0 else None,
                marker={
                    "color": colours.selected,
                    "size": 13,
                    "opacity": 1,
                    "line": {"color": colours.page, "width": 2},
                },
                hovertemplate="chosen row<extra></extra>",
                **cell,
            )
    figure.update_xaxes(showticklabels=False, ticks="", zeroline=False, showgrid=False, showline=True, mirror=True)
    figure.update_yaxes(showticklabels=False, ticks="", zeroline=False, showgrid=False, showline=True, mirror=True)
    figure.update_annotations(font={"size": 12, "color": colours.ink})
    template = copy.deepcopy(colours.template)  # what a hundred traces share is sent once
    faint = {"marker": {"opacity": 0.6}}
    template.data.scatter = [
        go.Scatter(
            mode="markers",
            showlegend=False,
            marker={"size": 6, "opacity": 0.6},
            selected=faint,
            unselected=faint,
            hovertemplate=f"row %{{customdata}}{', %{fullData.name}' if len(groups) > 1 else ''}<extra></extra>",
        )
    ]
    return figure.update_layout(
        template=template,
        height=70 + 250 * lines,
        margin={"t": 52},
        legend={"y": -0.03, "yanchor": "top", "itemsizing": "constant"},
        clickmode="event+select",
    )


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
    order = sorted(range(len(found.panels)), key=lambda at: found.panels[at].alignment)
    names = [plotly_text(found.panels[at].name, 30) for at in order]
    figure = go.Figure()
    for name, key, colour, symbol in (
        ("alignment with the target", "alignment", colours.edge, "circle"),
        ("separation of the classes", "separation", colours.ink, "diamond-open"),
    ):
        values = [getattr(found.panels[at], key) for at in order]
        if not np.isnan(values).all():
            figure.add_scatter(
                x=values,
                y=names,
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
                hovertemplate=f"%{{y}}: {name} %{{x:.3f}}<extra></extra>",
            )
    if not math.isnan(found.chance):
        figure.add_vline(x=found.chance, line={"color": colours.quiet, "dash": "dot", "width": 1})
    figure.update_xaxes(title="0: none, 1: all of it", rangemode="tozero")
    figure.update_yaxes(type="category", ticks="")
    return figure.update_layout(
        template=colours.template, height=150 + 30 * len(names), margin={"t": 12}, legend={"y": -0.3, "yanchor": "top"}
    )


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

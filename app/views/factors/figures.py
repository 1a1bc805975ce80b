"""Low-rank factors: what each rank and interaction adds, whether ranks keep to interactions, and walks in latents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from app.figures.graphs import DOWN, UP
from app.figures.style import PRINTED, SIGNED, Colours, plotly_text
from core.machine.names import shown

OFF = "off"


def interaction_name(subset: Sequence[str], broken: bool = False) -> str:
    """A subset of the modalities as people read it; `broken` into two lines where three or more would be long.

    >>> interaction_name(("audio", "text")), interaction_name(())
    ('audio × text', 'none')
    >>> interaction_name(("a", "b", "c"), broken=True)
    'a × b<br>× c'
    """
    names = [plotly_text(name, 20) for name in subset]
    if broken and len(names) > 2:
        half = (len(names) + 1) // 2
        return " × ".join(names[:half]) + "<br>× " + " × ".join(names[half:])
    return " × ".join(names) or "none"


def part_map(
    parts: Float[np.ndarray, "rank interactions outputs"],
    interactions: Sequence[Sequence[str]],
    outputs: Sequence[str],
    on: Bool[np.ndarray, "rank interactions"],
    colours: Colours,
    unit: str,
    signed: bool = True,
) -> go.Figure:
    """Interaction against rank (one output), or against output with one panel a rank; red adds, blue takes away.

    Parts that are switched off are empty and framed. Every cell is an invisible square whose customdata is its
    (rank, interaction). `signed=False` is for sizes, drawn from 0 up. Made of plain mappings, checked once: five times
    faster than trace by trace, which counts on every switch.
    """
    rank, kinds, outs = parts.shape
    shown_ = np.where(on[..., None], parts, np.nan)
    top = float(np.nan_to_num(np.abs(shown_)).max()) or 1.0
    scale = (
        {"zmin": -top, "zmax": top, "colorscale": SIGNED}
        if signed
        else {"zmin": 0, "zmax": top, "colorscale": colours.edges}
    )
    labels = [interaction_name(subset, broken=True) for subset in interactions]
    names = [interaction_name(subset) for subset in interactions]
    # a panel a rank: rows are interactions, columns outputs; with one output a single panel whose columns are ranks
    panels = [shown_[..., 0].T] if outs == 1 else list(shown_)
    columns = [f"rank {i + 1}" for i in range(rank)] if outs == 1 else [plotly_text(name, 16) for name in outputs]
    numbers = outs == 1 and max(rank, kinds) <= PRINTED
    gap = 0.012
    width = (1 + gap) / len(panels)
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for at, panel in enumerate(panels):
        x_axis = f"x{at + 1}" if at else "x"
        y, x = np.mgrid[0:kinds, 0 : panel.shape[1]]
        owner = x if outs == 1 else np.full_like(x, at)
        data.append(
            {
                "type": "heatmap",
                "z": panel,
                "xgap": 1,
                "ygap": 1,
                "texttemplate": "%{z:.2f}" if numbers else None,
                "hoverinfo": "skip",
                "showscale": at == len(panels) - 1,
                "colorbar": {"title": {"text": unit, "side": "top"}, "thickness": 10},
                "xaxis": x_axis,
                **scale,
            }
        )
        words = [
            f"rank {i + 1}, {names[kind]}"
            + ("" if outs == 1 else f", {columns[column]}")
            + (f": {parts[i, kind, 0 if outs == 1 else column]:+.4g}" if on[i, kind] else ": switched off")
            for i, kind, column in zip(owner.ravel(), y.ravel(), x.ravel(), strict=True)
        ]
        data.append(
            {
                "type": "scatter",
                "x": x.ravel(),
                "y": y.ravel(),
                "mode": "markers",
                "showlegend": False,
                "marker": {"symbol": "square", "size": 24, "color": "rgba(0,0,0,0)", "opacity": 0.01},
                "selected": {"marker": {"opacity": 0.01}},
                "unselected": {"marker": {"opacity": 0.01}},
                # as lists: an array would come back from the browser as a mapping
                "customdata": np.stack([owner.ravel(), y.ravel()], axis=1).tolist(),
                "text": words,
                "hovertemplate": "%{text}<extra></extra>",
                "xaxis": x_axis,
            }
        )
        for i, kind in np.argwhere(~on).tolist():
            if outs == 1 or i == at:
                left, right = (i - 0.46, i + 0.46) if outs == 1 else (-0.46, outs - 0.54)
                frame = {"x0": left, "x1": right, "y0": kind - 0.44, "y1": kind + 0.44, "xref": x_axis, "yref": "y"}
                shapes.append({"type": "rect", "line": {"color": colours.selected, "width": 2}, **frame})
                place = {"x": (left + right) / 2, "y": kind, "xref": x_axis, "yref": "y"}
                font = {"color": colours.selected, "size": 12}
                notes.append({"text": OFF, "showarrow": False, "font": font, **place})
        start = at * width
        axes[f"xaxis{at + 1}" if at else "xaxis"] = {
            "domain": [start, start + width - gap],
            "anchor": "y",
            "tickvals": list(range(len(columns))),
            "ticktext": columns,
            "showgrid": False,
            "zeroline": False,
            "range": [-0.5, len(columns) - 0.5],
            "tickangle": 0 if outs == 1 or all(len(name) < 3 for name in columns) else -60,
        }
        if outs > 1:
            place = {"x": start + (width - gap) / 2, "y": 1, "xref": "paper", "yref": "paper", "yanchor": "bottom"}
            notes.append({"text": f"rank {at + 1}", "showarrow": False, "font": {"size": 12}, **place})
    axes["yaxis"] = {
        "tickvals": list(range(kinds)),
        "ticktext": labels,
        "showgrid": False,
        "zeroline": False,
        "range": [kinds - 0.5, -0.5],
    }
    layout = {"height": (70 if outs == 1 else 110) + 30 * kinds, "shapes": shapes, "annotations": notes, **axes}
    return go.Figure({"data": data, "layout": {"template": colours.template, **layout}})


def map_sentence(
    parts: Float[np.ndarray, "rank interactions outputs"], interactions: Sequence[Sequence[str]], outputs: Sequence[str]
) -> str:
    """The three largest parts in words."""
    if not np.isfinite(parts).any():
        return "no rows, so no parts"
    order = np.argsort(-np.abs(parts), axis=None, kind="stable")[:3]
    said = []
    for at in order:
        i, s, o = (int(v) for v in np.unravel_index(at, parts.shape))
        said.append(
            f"rank {i + 1}, {interaction_name(interactions[s])}, {plotly_text(outputs[o])}: {parts[i, s, o]:+.3g}"
        )
    return (
        f"{parts.shape[0]} ranks by {parts.shape[1]} interactions by {parts.shape[2]} outputs; largest: "
        + "; ".join(said)
    )


def part_table(
    parts: Float[np.ndarray, "rank interactions outputs"],
    interactions: Sequence[Sequence[str]],
    outputs: Sequence[str],
) -> pd.DataFrame:
    """One line a rank and interaction, one column an output."""
    places = [(i, s) for i in range(parts.shape[0]) for s in range(parts.shape[1])]
    table = {
        "rank": [i + 1 for i, _ in places],
        "interaction": [shown(" × ".join(interactions[s]) or "none", 60) for _, s in places],
    }
    return pd.DataFrame(
        table | {shown(name, 40): [float(parts[i, s, o]) for i, s in places] for o, name in enumerate(outputs)}
    )


def sum_table(
    parts: Float[np.ndarray, "rank interactions"],
    interactions: Sequence[Sequence[str]],
    on: Bool[np.ndarray, "rank interactions"],
    base: float,
) -> pd.DataFrame:
    """One output as a table: ranks down, interactions across, sums at the edges; what is off counts 0."""
    left = np.where(on, parts, 0.0)
    names = [shown(" × ".join(subset) or "none", 60) for subset in interactions]
    table = pd.DataFrame(
        np.vstack([left, left.sum(0)]), columns=names, index=[*(f"rank {i + 1}" for i in range(len(left))), "sum"]
    )
    table["sum"] = table.sum(axis=1)
    table["sum with base"] = table["sum"] + base
    return table.reset_index(names="rank")


def sums(
    parts: Float[np.ndarray, "rank interactions"],
    interactions: Sequence[Sequence[str]],
    base: float,
    output: float,
    colours: Colours,
    unit: str,
) -> go.Figure:
    """The same output twice: base and the sum of every interaction, base and the sum of every rank."""
    sides = (
        ("by interaction", [interaction_name(subset, broken=True) for subset in interactions], parts.sum(0)),
        ("by rank", [f"rank {i + 1}" for i in range(len(parts))], parts.sum(1)),
    )
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    notes: list[dict[str, Any]] = []
    for at, (title, names, added) in enumerate(sides):
        values = [base, *map(float, added), output]
        low, high = min(0.0, *values), max(0.0, *values)
        room = 0.32 * (high - low) or 1.0
        number = f"{at + 1}" if at else ""
        data.append(
            {
                "type": "bar",
                "x": values,
                "y": ["base", *names, "output"],
                "orientation": "h",
                "marker": {"color": [DOWN if value < 0 else UP for value in values[:-1]] + [colours.normal]},
                "text": [f"{value:+.3f}" for value in values],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "%{y}: %{x:+.4f}<extra></extra>",
                "showlegend": False,
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
            }
        )
        domain = [0.6 * at, 0.6 * at + 0.4]
        axes[f"xaxis{number}"] = {
            "domain": domain, "anchor": f"y{number}", "title": unit, "range": [low - room, high + room],
            "zerolinecolor": colours.quiet,
        }  # fmt: skip
        axes[f"yaxis{number}"] = {"anchor": f"x{number}", "autorange": "reversed", "showgrid": False}
        place = {"x": sum(domain) / 2, "y": 1, "xref": "paper", "yref": "paper", "yanchor": "bottom"}
        notes.append({"text": title, "showarrow": False, "font": {"size": 12, "color": colours.ink}, **place})
    rows = 2 + max(len(names) for _, names, _ in sides)
    layout = {"height": 90 + 26 * rows, "bargap": 0.35, "annotations": notes, **axes}
    return go.Figure({"data": data, "layout": {"template": colours.template, **layout}})


# ---------------------------------------------------------------------------- do ranks mean something?


def specialisation_figure(
    shares_: Float[np.ndarray, "rank interactions"],
    interactions: Sequence[Sequence[str]],
    index: Float[np.ndarray, " rank"],
    null_mean: float,
    null_high: float,
    colours: Colours,
) -> go.Figure:
    """Left: how each rank's mass lies on the interactions. Right: how much it keeps to few, against drawn ranks."""
    ranks = [f"rank {i + 1}" for i in range(len(index))]
    figure = make_subplots(
        1, 2, column_widths=[0.6, 0.4], horizontal_spacing=0.12, shared_yaxes=True,
        subplot_titles=["share of the rank's mass", "specialisation"],
    )  # fmt: skip
    figure.add_heatmap(
        z=shares_,
        x=[interaction_name(subset, broken=True) for subset in interactions],
        y=ranks,
        zmin=0,
        zmax=1,
        colorscale=colours.edges,
        xgap=1,
        ygap=1,
        texttemplate="%{z:.2f}" if max(shares_.shape) <= PRINTED else None,
        showscale=False,
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=index,
        y=ranks,
        orientation="h",
        marker_color=colours.edge,
        name="this model",
        text=[f"{value:.2f}" for value in index],
        textposition="auto",
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        row=1,
        col=2,
    )
    if np.isfinite(null_mean):
        for value, dash, name in (
            (null_mean, "dash", "drawn ranks, mean"),
            (null_high, "dot", "95 % of draws stay below"),
        ):
            figure.add_scatter(
                x=[value, value],
                y=[ranks[0], ranks[-1]],
                mode="lines",
                line={"color": colours.selected if dash == "dot" else colours.quiet, "dash": dash, "width": 2},
                name=f"{name}: {value:.2f}",
                hoverinfo="skip",
                row=1,
                col=2,
            )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    largest = float(np.nanmax([*index, null_high, 0.02]))
    figure.update_xaxes(range=[0, min(1.02, 1.25 * largest)], title="0: even, 1: one interaction", row=1, col=2)
    figure.update_xaxes(showgrid=False, tickangle=-35, row=1, col=1)
    figure.update_layout(
        template=colours.template,
        height=200 + 30 * len(index),
        bargap=0.3,
        margin={"b": 130},
        legend={"x": 1, "xanchor": "right", "y": -95 / (40 + 30 * len(index)), "yanchor": "top"},
    )
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


# ---------------------------------------------------------------------------- rank against quality


def rank_figure(
    ranks: Sequence[int],
    mean: Sequence[float],
    sd: Sequence[float],
    values: Sequence[Sequence[float]],
    chosen: int,
    colours: Colours,
    unit: str,
) -> go.Figure:
    """Quality against rank: mean ± sd over seeds, every seed as a dot, the chosen run's rank framed."""
    figure = go.Figure(
        go.Scatter(
            x=list(ranks),
            y=list(mean),
            mode="lines+markers",
            name="mean ± sd",
            line={"color": colours.edge, "width": 2},
            marker={"size": 8},
            error_y={"type": "data", "array": [0.0 if np.isnan(one) else one for one in sd], "color": colours.edge},
            hovertemplate="rank %{x}: %{y:.3g}<extra></extra>",
        )
    )
    figure.add_scatter(
        x=[rank for rank, each in zip(ranks, values, strict=True) for _ in each],
        y=[value for each in values for value in each],
        mode="markers",
        name="seeds",
        marker={"size": 6, "symbol": "circle-open", "color": colours.ink},
        hovertemplate="rank %{x}, one seed: %{y:.3g}<extra></extra>",
    )
    if chosen in ranks:
        figure.add_scatter(
            x=[chosen],
            y=[mean[list(ranks).index(chosen)]],
            mode="markers",
            name="chosen run's rank",
            marker={"size": 18, "symbol": "square-open", "color": colours.selected, "line": {"width": 3}},
            hoverinfo="skip",
        )
    figure.update_xaxes(title="rank", type="log", tickvals=list(ranks), ticktext=[str(rank) for rank in ranks])
    return figure.update_layout(template=colours.template, height=300, yaxis_title=unit)


# ---------------------------------------------------------------------------- latents


def distance_figure(
    names: Sequence[str], mmd2: Sequence[float], by_chance: Sequence[float], colours: Colours
) -> go.Figure:
    """Distance of every modality's latents to the prior, and what draws from the prior itself give."""
    labels = [plotly_text(name) for name in names]
    figure = go.Figure(
        go.Bar(
            x=list(mmd2), y=labels, orientation="h", marker_color=colours.edge, name="MMD² to N(0, I)",
            text=[f"{value:.4f}" for value in mmd2], textposition="auto",
        )
    )  # fmt: skip
    figure.add_scatter(
        x=list(by_chance),
        y=labels,
        mode="markers",
        name="95 % of the prior's own draws lie below",
        marker={"symbol": "line-ns-open", "size": 24, "color": colours.selected, "line": {"width": 3}},
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_layout(
        template=colours.template, height=100 + 32 * len(labels), xaxis_title="MMD²", bargap=0.4
    )


def walk_outputs(
    steps: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "steps outputs"],
    names: Sequence[str],
    colours: Colours,
    unit: str,
    most: int = 6,
) -> go.Figure:
    """What the model answers along a walk: the outputs that reach furthest, the others left out."""
    order = np.argsort(-values.max(0), kind="stable")[:most]
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    figure = go.Figure()
    for place, at in enumerate(sorted(int(i) for i in order)):
        figure.add_scatter(
            x=steps,
            y=values[:, at],
            name=plotly_text(names[at], 20),
            mode="lines+markers",
            line={
                "color": colours.series[place % len(colours.series)],
                "dash": dashes[place % len(dashes)],
                "width": 2,
            },
        )
    figure.update_xaxes(title="from the chosen row (0) to the other (1)", range=[-0.02, 1.02])
    return figure.update_layout(template=colours.template, height=260, yaxis={"title": unit, "rangemode": "tozero"})


def walk_pictures(
    rows: Mapping[str, Float[np.ndarray, "steps _"]],
    ends: Mapping[str, Float[np.ndarray, "2 _"]],
    shapes: Mapping[str, tuple[int, int]],
    steps: Float[np.ndarray, " steps"],
    colours: Colours,
) -> go.Figure:
    """One line a modality: the first row as it is, the decoded walk, the second row as it is.

    A modality that is a picture is drawn as one; another as its columns from top to bottom, each on its own scale.
    """
    names = list(rows)
    figure = make_subplots(
        len(names),
        1,
        vertical_spacing=0.36 / max(2, len(names)) / 1.5,
        subplot_titles=[plotly_text(name) for name in names],
    )
    titles = ["as it is", *(f"{step:.2f}" for step in steps), "as it is"]
    for line, name in enumerate(names, start=1):
        pictures = np.concatenate([ends[name][:1], rows[name], ends[name][1:]]) if name in ends else rows[name]
        if name not in shapes:  # columns of different units: each between its least and its most on this walk
            low, high = pictures.min(0), pictures.max(0)
            pictures = (pictures - low) / np.where(high > low, high - low, 1)
        height, width = shapes.get(name, (pictures.shape[1], 1))
        gap = max(1, width // 6)
        tiles = []
        for picture in pictures.reshape(len(pictures), height, width):
            tiles += [picture, np.full((height, gap), np.nan)]
        sheet = np.concatenate(tiles[:-1], axis=1)
        figure.add_heatmap(
            z=sheet,
            colorscale="gray" if name in shapes else "viridis",
            showscale=False,
            hoverinfo="skip",
            row=line,
            col=1,
        )
        centres = [at * (width + gap) + (width - 1) / 2 for at in range(len(pictures))]
        figure.update_xaxes(
            tickvals=centres,
            ticktext=titles if name in ends else titles[1:-1],
            showgrid=False,
            ticks="",
            row=line,
            col=1,
        )
        figure.update_yaxes(autorange="reversed", visible=False, row=line, col=1)
        if name in shapes:
            figure.update_yaxes(scaleanchor="x" if line == 1 else f"x{line}", constrain="domain", row=line, col=1)
    figure.update_layout(template=colours.template, height=60 + 160 * len(names))
    return figure.update_annotations(font={"size": 12, "color": colours.ink})

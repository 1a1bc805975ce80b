"""Weights of modalities, kernels and interactions, what their removal costs, and what each adds to a row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from app.figures.draw import DOWN, UP
from app.figures.marks import SYMBOLS
from app.figures.style import PRINTED, Colours, plotly_text
from core.explain.removal import Removals
from core.machine.names import shown
from core.sample import METRIC_WORDS

MOST = 24  # names drawn; the heaviest of more


def label(name: str) -> str:
    """A branch's or kernel's name inside a figure, broken in two lines where it is long.

    >>> label("a × b"), label("appearance of things × motion")
    ('a × b', 'appearance of things<br>× motion')
    """
    parts = [plotly_text(each, 24) for each in name.split(" × ")]
    if len(parts) < 2 or sum(map(len, parts)) < 24:
        return " × ".join(parts)
    half = (len(parts) + 1) // 2
    return " × ".join(parts[:half]) + "<br>× " + " × ".join(parts[half:])


def heaviest(values: Float[np.ndarray, "seeds names"]) -> Int[np.ndarray, " k"]:
    """Which names are drawn: all, or the heaviest on average, in their own order.

    >>> heaviest(np.arange(30.0)[None])[:3].tolist()
    [6, 7, 8]
    """
    order = np.argsort(-values.mean(0), kind="stable")[:MOST]
    return np.sort(order)


def axis_words(metric: str) -> str:
    return METRIC_WORDS[metric] if metric == "correlation" else f"{METRIC_WORDS[metric]}, points"


def beside(
    names: Sequence[str],
    values: Float[np.ndarray, "seeds names"],
    now: int,
    weight: str,
    found: Removals | None,
    colours: Colours,
) -> go.Figure:
    """Left: the mean weight over seeds as a bar, every seed a point, the chosen run's (seed number `now`) ringed.
    Right: what the chosen run loses without it, with its 95 % interval; open where that holds 0.

    weight      what the left axis shows
    found       None where a loss cannot be judged: then the left side alone is drawn
    """
    drawn = heaviest(values)
    labels = [label(names[at]) for at in drawn]
    kept = values[:, drawn]
    figure = go.Figure()
    figure.add_bar(
        x=kept.mean(0),
        y=labels,
        orientation="h",
        name="mean over seeds",
        marker={"color": colours.faded(colours.edge, 0.35), "line": {"color": colours.edge, "width": 1}},
        hovertemplate="%{y}: %{x:.3f}<extra>mean over seeds</extra>",
    )
    if len(values) > 1:
        figure.add_scatter(
            x=kept.ravel(),
            y=labels * len(values),
            mode="markers",
            name="a seed",
            marker={"color": colours.ink, "size": 5, "opacity": 0.75},
            hovertemplate="%{y}: %{x:.3f}<extra>a seed</extra>",
        )
    figure.add_scatter(
        x=kept[now],
        y=labels,
        mode="markers",
        name="chosen run",
        marker={"symbol": "circle-open", "size": 13, "color": colours.selected, "line": {"width": 2.5}},
        hovertemplate="%{y}: %{x:.3f}<extra>chosen run</extra>",
    )
    figure.update_xaxes(title=weight, rangemode="tozero", domain=[0, 1 if found is None else 0.54])
    if found is not None:
        cost, low, high = found.cost[drawn], found.low[drawn], found.high[drawn]
        sure = (low > 0) | (high < 0)
        figure.add_scatter(
            x=cost,
            y=labels,
            xaxis="x2",
            mode="markers",
            name="loss without it (open: may be 0)",
            marker={
                "symbol": ["diamond" if each else "diamond-open" for each in sure],
                "size": 11,
                "color": colours.ink,
            },
            error_x={
                "array": high - cost,
                "arrayminus": cost - low,
                "symmetric": False,
                "color": colours.quiet,
                "thickness": 1.5,
            },
            customdata=np.stack([low, high], axis=1),
            hovertemplate="%{y}: %{x:.3g}, 95 % %{customdata[0]:.3g} to %{customdata[1]:.3g}<extra>lost</extra>",
        )
        axis = {"domain": [0.6, 1], "anchor": "y", "title": f"loss without it ({axis_words(found.metric)})"}
        axis |= {"rangemode": "tozero"}
        figure.update_layout(xaxis2=axis | {"zeroline": True, "zerolinecolor": colours.quiet, "zerolinewidth": 1.5})
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], ticks="", showgrid=False)
    return figure.update_layout(
        template=colours.template, height=130 + 34 * len(labels), bargap=0.4, margin={"t": 34}, legend={"y": 1.02}
    )


def beside_table(
    names: Sequence[str], values: Float[np.ndarray, "seeds names"], now: int, weight: str, found: Removals | None
) -> pd.DataFrame:
    """The same in numbers, every name."""
    sd = values.std(0, ddof=1) if len(values) > 1 else np.full(len(names), np.nan)
    table: dict[str, Any] = {
        "name": [shown(name, 80) for name in names],
        f"{weight}, mean": values.mean(0).round(4),
        "sd": sd.round(4),
        "chosen run": values[now].round(4),
    }
    if found is not None:
        table |= {
            f"{found.metric} without it": found.without.round(4),
            "lost": found.cost.round(4),
            "95 % from": found.low.round(4),
            "to": found.high.round(4),
        }
    return pd.DataFrame(table)


def beside_sentence(names: Sequence[str], values: Float[np.ndarray, "seeds names"], found: Removals | None) -> str:
    """Means over seeds and losses in words, the heaviest first, at most eight."""
    mean = values.mean(0)
    said = [
        f"{shown(names[at], 40)} {mean[at]:.2f}" + ("" if found is None else f", loss {found.cost[at]:.3g}")
        for at in np.argsort(-mean, kind="stable")[:8]
    ]
    return "mean weight over seeds: " + "; ".join(said)


def apart(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> list[bool]:
    """Which points have their name beside them: the largest first, and none where two names would overlap.

    >>> apart(np.array([0.0, 0.1, 1.0]), np.array([5.0, 4.9, 0.0]))
    [True, False, True]
    """
    places = np.stack([x / (np.ptp(x) or 1.0), y / (np.ptp(y) or 1.0)], axis=1)
    kept: list[int] = []
    for at in np.argsort(-np.abs(y), kind="stable").tolist():
        gaps = np.abs(places[kept] - places[at])
        if len(kept) < PRINTED and not ((gaps[:, 0] < 0.5) & (gaps[:, 1] < 0.07)).any():
            kept.append(at)
    return [at in kept for at in range(len(x))]


def weight_cost(found: Removals, weight: str, colours: Colours) -> go.Figure:
    """Every name where its weight and its loss put it; whoever relies on what is needed rises to the right."""
    figure = go.Figure()
    drawn = heaviest(found.weights[None])
    x = found.weights[drawn]
    low, wide = float(x.min()), float(x.max() - x.min()) or 0.1
    named = apart(x, found.cost[drawn])
    for place, at in enumerate(drawn):
        colour = colours.series[place % len(colours.series)]
        figure.add_scatter(
            x=[found.weights[at]],
            y=[found.cost[at]],
            mode="markers+text" if named[place] else "markers",
            name=label(found.names[at]),
            text=[label(found.names[at])],
            textposition="middle right" if found.weights[at] < low + wide / 2 else "middle left",
            textfont={"size": 11, "color": colours.ink},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 11, "color": colour},
            error_y={
                "array": [found.high[at] - found.cost[at]],
                "arrayminus": [found.cost[at] - found.low[at]],
                "symmetric": False,
                "color": colours.faded(colour, 0.5),
                "thickness": 1.5,
            },
            hovertemplate=f"{label(found.names[at])}<br>weight %{{x:.3f}}, loss %{{y:.3g}}<extra></extra>",
            showlegend=not named[place],
        )
    figure.update_xaxes(title=f"{weight}, chosen run", range=[low - 0.08 * wide, low + 1.08 * wide])
    figure.update_yaxes(
        title=f"loss without it ({axis_words(found.metric)})", zeroline=True, zerolinecolor=colours.quiet
    )
    layout = {"legend": {"y": -0.2, "yanchor": "top"}, "margin": {"t": 12}}
    return figure.update_layout(template=colours.template, height=380 + 20 * (not all(named)), **layout)


def part_bars(
    names: Sequence[str], parts: Float[np.ndarray, " names"], base: float, output: float, unit: str, colours: Colours
) -> go.Figure:
    """Base, every part, and the output they add up to; of many the largest parts alone, the others in one bar."""
    order = (
        np.sort(np.argsort(-np.abs(parts), kind="stable")[: MOST - 1]) if len(parts) > MOST else np.arange(len(parts))
    )
    left = float(parts.sum() - parts[order].sum())
    rest = [] if len(order) == len(parts) else [(f"{len(parts) - len(order)} others", left)]
    rows = [("base", base), *((label(names[at]), float(parts[at])) for at in order), *rest, ("output", output)]
    values = [value for _, value in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.25 * (high - low) or 1.0
    figure = go.Figure(
        go.Bar(
            x=values,
            y=[name for name, _ in rows],
            orientation="h",
            marker={"color": [DOWN if value < 0 else UP for value in values[:-1]] + [colours.normal]},
            text=[f"{value:+.3f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
        )
    )
    figure.update_xaxes(title=unit, range=[low - room, high + room], zeroline=True, zerolinecolor=colours.quiet)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    return figure.update_layout(
        template=colours.template, height=max(220, 80 + 30 * len(rows)), bargap=0.35, margin={"t": 12}
    )


def norm_lines(
    found: Mapping[float, Float[np.ndarray, "seeds names"]],
    names: Sequence[str],
    now: float,
    weight: str,
    colours: Colours,
) -> go.Figure:
    """Weights against p, the mean over seeds with one sd; the dotted line is the chosen run's p."""
    figure = go.Figure()
    ticks = [f"{p:g}" if np.isfinite(p) else "∞" for p in found]
    drawn = heaviest(np.concatenate(list(found.values())))[:12]
    for place, at in enumerate(drawn):
        figure.add_scatter(
            x=ticks,
            y=[values[:, at].mean() for values in found.values()],
            error_y={
                "array": [values[:, at].std(ddof=1) if len(values) > 1 else 0.0 for values in found.values()],
                "color": colours.quiet,
                "thickness": 1.2,
            },
            mode="lines+markers",
            name=label(names[at]),
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
            line={
                "color": colours.series[place % len(colours.series)],
                "width": 1.5,
                "dash": ("solid", "dash", "dot")[place // len(colours.series) % 3],
            },
            hovertemplate="p = %{x}: %{y:.3f}",
        )
    if now in found:
        figure.add_vline(x=list(found).index(now), line={"color": colours.quiet, "dash": "dot", "width": 1})
    figure.update_xaxes(title="p of the training (the dotted line: of the chosen run)", type="category", showgrid=False)
    figure.update_yaxes(title=weight, rangemode="tozero")
    return figure.update_layout(
        template=colours.template, height=340, margin={"t": 12}, legend={"y": -0.3, "yanchor": "top"}
    )


def norm_table(found: Mapping[float, Float[np.ndarray, "seeds names"]], names: Sequence[str]) -> pd.DataFrame:
    rows = []
    for p, values in found.items():
        for at, name in enumerate(names):
            sd = round(float(values[:, at].std(ddof=1)), 4) if len(values) > 1 else None
            rows.append(
                {"p": p, "name": shown(name, 80), "weight": round(float(values[:, at].mean()), 4), "sd": sd}
                | {"seeds": len(values)}
            )
    return pd.DataFrame(rows)


def output_map(
    spread: Float[np.ndarray, "names outputs"], names: Sequence[str], outputs: Sequence[str], colours: Colours
) -> go.Figure:
    """How far each name moves each output from row to row: the standard deviation of its parts."""
    drawn = heaviest(spread.mean(1)[None])
    kept = spread[drawn]
    printed = kept.shape[1] <= PRINTED
    figure = go.Figure(
        go.Heatmap(
            z=kept,
            x=[plotly_text(each, 16) for each in outputs],
            y=[label(names[at]) for at in drawn],
            colorscale=[[0, colours.page], [1, colours.faded(colours.edge, 0.7)]],
            zmin=0,
            zmax=float(kept.max()) or 1.0,
            xgap=1,
            ygap=1,
            texttemplate="%{z:.2f}" if printed else None,
            textfont={"color": colours.ink},
            colorbar={"title": {"text": "sd", "side": "top"}},
            hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", showgrid=False, title="output")
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    return figure.update_layout(template=colours.template, height=130 + 34 * len(drawn), margin={"t": 12})

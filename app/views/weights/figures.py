"""Weights of modalities, kernels and interactions, what their removal costs, and what each adds to a row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from app.figures import draw
from app.figures.marks import look
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


def loss_axis(found: Removals) -> str:
    unit = "" if found.metric == "correlation" else ", points"
    return f"loss without it ({METRIC_WORDS[found.metric]}{unit})"


def beside(
    names: Sequence[str], values: Float[np.ndarray, "seeds names"], now: int, weight: str, found: Removals | None,
    colours: Colours,
) -> go.Figure:  # fmt: skip
    """Left: the mean weight over seeds as a bar, every seed a point, the chosen run's (seed number `now`) ringed.
    Right: what the chosen run loses without it, with its 95 % interval; open where that holds 0.

    weight      what the left axis shows
    found       None where a loss cannot be judged: then the left side alone is drawn
    """
    drawn = heaviest(values)
    labels, kept = [label(names[at]) for at in drawn], values[:, drawn]
    bar = {"color": colours.faded(colours.edge, 0.35), "line": {"color": colours.edge, "width": 1}}
    mean = "%{y}: %{x:.3f}<extra>mean over seeds</extra>"
    traces = [draw.bars(labels, kept.mean(0), "mean over seeds", None, mean) | {"marker": bar}]
    if len(values) > 1:
        each = "%{y}: %{x:.3f}<extra>a seed</extra>"
        traces.append(draw.dots(kept.ravel(), labels * len(values), "a seed", colours.ink, each, size=5, opacity=0.75))
    own = draw.ring(kept[now], labels, "chosen run", colours, 13)
    own["marker"]["line"] = {"width": 2.5}
    traces.append(own | {"hoverinfo": None, "hovertemplate": "%{y}: %{x:.3f}<extra>chosen run</extra>"})
    right: dict[str, Any] = {}
    if found is not None:
        traces.append(_losses(found, drawn, labels, colours))
        axis = {"domain": [0.6, 1], "anchor": "y", "title": loss_axis(found), "rangemode": "tozero", "zeroline": True}
        right["xaxis2"] = axis | {"zerolinecolor": colours.quiet, "zerolinewidth": 1.5}
    x = {"title": weight, "rangemode": "tozero", "domain": [0, 1 if found is None else 0.54]}
    height, legend = 130 + 34 * len(labels), {"y": 1.02}
    return draw.framed(traces, height, x, draw.named(labels), top=34, bargap=0.4, legend=legend, **right)


def _losses(found: Removals, drawn: Int[np.ndarray, " k"], labels: list[str], colours: Colours) -> draw.Trace:
    cost, low, high = found.cost[drawn], found.low[drawn], found.high[drawn]
    symbols = ["diamond" if sure else "diamond-open" for sure in (low > 0) | (high < 0)]
    hover = "%{y}: %{x:.3g}, 95 % %{customdata[0]:.3g} to %{customdata[1]:.3g}<extra>lost</extra>"
    return draw.dots(
        cost, labels, "loss without it (open: may be 0)", colours.ink, hover, symbol=symbols, size=11, xaxis="x2",
        error_x=draw.whiskers(cost, low, high, colours.quiet, 1.5), customdata=np.stack([low, high], axis=1),
    )  # fmt: skip


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
    drawn, traces = heaviest(found.weights[None]), []
    x = found.weights[drawn]
    low, wide = float(x.min()), float(x.max() - x.min()) or 0.1
    named = apart(x, found.cost[drawn])
    for at, written in zip(drawn.tolist(), named, strict=True):
        name, given, cost = label(found.names[at]), float(found.weights[at]), [float(found.cost[at])]
        own = look(at, colours)
        bar = draw.whiskers(cost, [found.low[at]], [found.high[at]], colours.faded(own["colour"], 0.5), 1.5)
        words = {"text": [name], "textfont": {"size": 11, "color": colours.ink}, "showlegend": not written}
        words["textposition"] = "middle right" if given < low + wide / 2 else "middle left"
        hover = f"{name}<br>weight %{{x:.3f}}, loss %{{y:.3g}}<extra></extra>"
        point = draw.dots([given], cost, name, own["colour"], hover, symbol=own["symbol"], size=11, error_y=bar)
        traces.append(point | words | {"mode": "markers+text" if written else "markers"})
    across = {"title": f"{weight}, chosen run", "range": [low - 0.08 * wide, low + 1.08 * wide]}
    up = {"title": loss_axis(found), "zeroline": True, "zerolinecolor": colours.quiet}
    return draw.framed(traces, 380 + 20 * (not all(named)), across, up, below=0.2)


def cost_table(found: Removals, weight: str) -> pd.DataFrame:
    """The same in numbers."""
    columns = {weight: found.weights, "lost": found.cost, "95 % from": found.low, "to": found.high}
    names = {"name": [shown(name, 80) for name in found.names]}
    return pd.DataFrame(names | {name: values.round(4) for name, values in columns.items()})


def part_bars(
    names: Sequence[str], parts: Float[np.ndarray, " names"], base: float, output: float, unit: str, colours: Colours
) -> go.Figure:
    """Base, every part, and the output they add up to; of many the largest parts alone, the others in one bar."""
    order = np.arange(len(parts))
    if len(parts) > MOST:
        order = np.sort(np.argsort(-np.abs(parts), kind="stable")[: MOST - 1])
    rows = [("base", base), *((label(names[at]), float(parts[at])) for at in order.tolist())]
    if len(order) < len(parts):
        rows.append((f"{len(parts) - len(order)} others", float(parts.sum() - parts[order].sum())))
    rows.append(("output", output))
    bars, span = draw.adding_up([name for name, _ in rows], [value for _, value in rows], colours, 0.25)
    x = {"title": unit, "range": span, "zeroline": True, "zerolinecolor": colours.quiet}
    y = {"autorange": "reversed", "showgrid": False, "ticks": ""}
    return draw.framed([bars], max(220, 80 + 30 * len(rows)), x, y, bargap=0.35)


def _sd(values: Float[np.ndarray, " seeds"]) -> float:
    """Over seeds; NaN of one."""
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def norm_lines(
    found: Mapping[float, Float[np.ndarray, "seeds names"]], names: Sequence[str], now: float, weight: str,
    colours: Colours,
) -> go.Figure:  # fmt: skip
    """Weights against p, the mean over seeds with one sd; the dotted line is the chosen run's p."""
    ticks = [f"{p:g}" if np.isfinite(p) else "∞" for p in found]
    traces = []
    for at in heaviest(np.concatenate(list(found.values())))[:12].tolist():
        spread = [np.nan_to_num(_sd(values[:, at])) for values in found.values()]
        traces.append(draw.line(
            ticks, [values[:, at].mean() for values in found.values()], label(names[at]), hover="p = %{x}: %{y:.3f}",
            width=1.5, size=8, error_y={"array": spread, "color": colours.quiet, "thickness": 1.2},
            **look(at, colours),
        ))  # fmt: skip
    x = {"title": "p of the training (the dotted line: of the chosen run)", "type": "category", "showgrid": False}
    figure = draw.framed(traces, 340, x, {"title": weight, "rangemode": "tozero"}, below=0.3)
    if now in found:
        draw.upright(figure, list(found).index(now), colours.quiet)
    return figure


def norm_table(found: Mapping[float, Float[np.ndarray, "seeds names"]], names: Sequence[str]) -> pd.DataFrame:
    rows = []
    for p, values in found.items():
        for at, name in enumerate(names):
            sd, mean = round(_sd(values[:, at]), 4), round(float(values[:, at].mean()), 4)
            row = {"p": p, "name": shown(name, 80), "weight": mean, "sd": None if np.isnan(sd) else sd}
            rows.append(row | {"seeds": len(values)})
    return pd.DataFrame(rows)


def output_map(
    spread: Float[np.ndarray, "names outputs"], names: Sequence[str], outputs: Sequence[str], colours: Colours
) -> go.Figure:
    """How far each name moves each output from row to row: the standard deviation of its parts."""
    drawn = heaviest(spread.mean(1)[None])
    kept = spread[drawn]
    trace = draw.cells(
        kept, [[0, colours.page], [1, colours.faded(colours.edge, 0.7)]], "%{y}, %{x}: %{z:.3f}<extra></extra>",
        low=0, high=float(kept.max()) or 1.0, unit="sd", x=[plotly_text(each, 16) for each in outputs],
        y=[label(names[at]) for at in drawn], textfont={"color": colours.ink},
        texttemplate="%{z:.2f}" if kept.shape[1] <= PRINTED else None,
    )  # fmt: skip
    x = {"type": "category", "showgrid": False, "title": "output"}
    return draw.framed([trace], 130 + 34 * len(drawn), x, {"autorange": "reversed", "showgrid": False, "ticks": ""})

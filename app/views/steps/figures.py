"""ProFusion's steps: what each modality knows after each, what the model answers, where the context goes, the cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from app.figures.marks import SYMBOLS, class_colours
from app.figures.style import Colours, plotly_text
from core.explain.progressive import Answers, Cost, Paths, Probes, Turns
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

FAINT = 200  # other rows whose paths are drawn; all of them have a point


def _marks(figure: go.Figure, trained: int, now: int, colours: Colours) -> None:
    """R of the training, dotted, and R as chosen, orange."""
    figure.add_vline(
        x=trained,
        line={"color": colours.quiet, "dash": "dot", "width": 1},
        annotation={
            "text": f"trained: R = {trained}",
            "font": {"size": 10, "color": colours.quiet},
            "yanchor": "top",
            "xanchor": "left" if trained < 6 else "right",
        },
    )
    if now != trained:
        figure.add_vline(x=now, line={"color": colours.selected, "width": 1.5})


def probe_lines(found: Probes, relative: bool, trained: int, now: int, colours: Colours) -> go.Figure:
    """What a linear probe reads off every modality after each step; dashed: its control, the context of another row.

    relative    each line over its own value at t = 1, as the paper draws it; else the numbers with 95 % intervals
    trained     R of the training; now: R as chosen, the step in orange
    """
    figure = go.Figure()
    steps = np.arange(1, len(found.real.value) + 1)
    for j, name in enumerate(found.modalities):
        colour, symbol = colours.series[j % len(colours.series)], SYMBOLS[j % len(SYMBOLS)]
        for reading, what, dash, hollow in (
            (found.real, "", "solid", ""),
            (found.control, ", control", "dash", "-open"),
        ):
            y = reading.relative[:, j] if relative else reading.value[:, j]
            bars = None
            if not relative:
                bars = {
                    "type": "data",
                    "symmetric": False,
                    "array": reading.high[:, j] - y,
                    "arrayminus": y - reading.low[:, j],
                    "thickness": 1,
                    "width": 3,
                    "color": colours.faded(colour, 0.45),
                }
            figure.add_scatter(
                x=steps + 0.06 * (j - (len(found.modalities) - 1) / 2) + (0.03 if what else 0),
                y=y,
                mode="lines+markers",
                name=f"{plotly_text(name, 24)}{what}",
                line={"color": colour, "dash": dash, "width": 2 if not what else 1.5},
                marker={"symbol": symbol + hollow, "size": 7},
                error_y=bars,
                customdata=np.stack([steps, reading.low[:, j], reading.high[:, j]], axis=1),
                hovertemplate=f"{plotly_text(name, 24)}{what}, step %{{customdata[0]:d}}: %{{y:.2f}}"
                + ("" if relative else "<br>95 %: %{customdata[1]:.2f} to %{customdata[2]:.2f}")
                + "<extra></extra>",
            )
    if relative:
        figure.add_hline(y=1, line={"color": colours.quiet, "width": 1})
    elif np.isfinite(found.chance):
        figure.add_hline(
            y=found.chance,
            line={"color": colours.quiet, "dash": "dot", "width": 1},
            annotation={"text": "chance", "font": {"size": 10, "color": colours.quiet}},
            annotation_position="bottom left",
        )
    _marks(figure, trained, now, colours)
    unit = "" if found.metric == "correlation" else " (%)"
    title = f"probe's {METRIC_WORDS[found.metric].removeprefix('unit ')}"
    figure.update_layout(
        template=colours.template,
        height=360,
        xaxis={"title": "step t", "dtick": 1, "range": [0.7, steps[-1] + 0.3], "showgrid": False},
        yaxis={"title": f"{title} over t = 1" if relative else f"{title}{unit}"},
        legend={"y": -0.2, "yanchor": "top"},
        margin={"t": 12},
    )
    return figure


def probe_table(found: Probes) -> pd.DataFrame:
    """Every probe and its control in numbers."""
    rows = []
    for t in range(len(found.real.value)):
        for j, name in enumerate(found.modalities):
            row: dict[str, object] = {"step": t + 1, "modality": shown(name, 40)}
            for what, reading in (("", found.real), ("control ", found.control)):
                row |= {
                    f"{what}{found.metric}": round(float(reading.value[t, j]), 3),
                    f"{what}low": round(float(reading.low[t, j]), 3),
                    f"{what}high": round(float(reading.high[t, j]), 3),
                }
                if found.metric == "auc":
                    row[f"{what}accuracy"] = round(float(reading.accuracy[t, j]), 2)
            rows.append(row)
    return pd.DataFrame(rows)


def probe_sentence(found: Probes, now: int) -> str:
    """The numbers of the chosen step in words."""
    said = [
        f"{shown(name, 40)} {found.real.value[0, j]:.3g} at step 1, {found.real.value[now - 1, j]:.3g} at step {now}, "
        f"control {found.control.value[now - 1, j]:.3g}"
        for j, name in enumerate(found.modalities)
    ]
    return f"linear probe's {METRIC_WORDS[found.metric]} of each modality: " + "; ".join(said)


def answer_line(found: Answers, now: int, colours: Colours) -> go.Figure:
    """The model's own metric when it stops after each step, with its 95 % interval; orange: R as chosen."""
    steps = np.arange(1, len(found.value) + 1)
    known = np.isfinite(found.high) & np.isfinite(found.low)  # an outline with gaps would be filled as two shapes
    figure = go.Figure()
    figure.add_scatter(
        x=np.concatenate([steps[known], steps[known][::-1]]),
        y=np.concatenate([found.high[known], found.low[known][::-1]]),
        fill="toself",
        fillcolor=colours.faded(colours.edge, 0.12),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=found.value,
            mode="lines+markers",
            line={"color": colours.edge, "width": 2},
            marker={
                "size": [13 if step == now else 7 for step in steps],
                "color": [colours.selected if step == now else colours.edge for step in steps],
            },
            hovertemplate="R = %{x}: %{y:.2f}<extra></extra>",
            showlegend=False,
        )
    )
    _marks(figure, found.trained, now, colours)
    unit = "" if found.metric == "correlation" else " (%)"
    return figure.update_layout(
        template=colours.template,
        height=360,
        xaxis={"title": "R, steps at inference", "dtick": 1, "range": [0.7, steps[-1] + 0.3], "showgrid": False},
        yaxis={"title": f"{METRIC_WORDS[found.metric]}{unit}"},
        margin={"t": 12},
    )


def path_map(found: Paths, part: Part, row: int, now: int, colours: Colours) -> go.Figure:
    """Where the context of the chosen row goes, orange, step by step to `now`; the others faint, by class.

    The customdata of every point is its row.
    """
    places = found.places[:now].astype(np.float32)  # half of what is sent
    count = places.shape[1]
    figure = go.Figure()
    some = np.linspace(0, count - 1, min(FAINT, count)).astype(int)
    if now > 1:
        lines = np.full((len(some), now + 1, 2), np.nan)
        lines[:, :now] = places[:, some].transpose(1, 0, 2)
        figure.add_scatter(
            x=lines[..., 0].ravel(),
            y=lines[..., 1].ravel(),
            mode="lines",
            line={"color": colours.faded(colours.normal, 0.18), "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    target = None if part.target is None or not part.classes else part.target.numpy()
    groups = [("rows", np.arange(count), colours.normal)]
    if target is not None:
        palette = class_colours(part, colours)
        groups = [(name, np.flatnonzero(target == k), palette[k]) for k, name in enumerate(part.classes)]
    for name, rows, colour in groups:
        anomalous = part.task.kind == "units" and name == "anomalous"
        figure.add_scatter(
            x=places[-1, rows, 0],
            y=places[-1, rows, 1],
            mode="markers",
            name=plotly_text(name, 24),
            marker={"color": colour, "size": 6, "opacity": 0.45, "symbol": "diamond" if anomalous else "circle"},
            selected={"marker": {"opacity": 0.45}},
            unselected={"marker": {"opacity": 0.45}},
            customdata=rows,
            hovertemplate=f"row %{{customdata}}, {plotly_text(name, 24)}<extra></extra>",
        )
    ranges = [frame(places[-1, :, axis], places[:, row, axis]) for axis in (0, 1)]
    x, y = places[:, row].T
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        name="chosen row",
        line={"color": colours.selected, "width": 3},
        marker={"color": colours.selected, "size": 10, "line": {"color": colours.page, "width": 1.5}},
        text=step_labels(places[:, row], ranges),
        textposition="middle right",
        textfont={"color": colours.ink, "size": 12},
        customdata=np.arange(1, now + 1),
        hovertemplate="chosen row, step %{customdata}<extra></extra>",
    )
    one, two = (f"{share:.0%} of the spread" for share in found.shares)
    figure.update_xaxes(title=f"first axis, {one}", showticklabels=False, ticks="", zeroline=False, range=ranges[0])
    figure.update_yaxes(title=f"second axis, {two}", showticklabels=False, ticks="", zeroline=False, range=ranges[1])
    return figure.update_layout(
        template=colours.template,
        height=440,
        margin={"t": 12},
        legend={"y": -0.1, "yanchor": "top", "itemsizing": "constant"},
        clickmode="event+select",
    )


def frame(rows: Float[np.ndarray, " n"], path: Float[np.ndarray, " t"]) -> list[float]:
    """A range that holds the path and nine rows of ten: contexts have long tails that would squeeze all others.

    >>> frame(np.array([0.0] * 50 + [1.0] * 50 + [1000.0]), np.array([-1.0, 2.0]))
    [-1.15, 2.15]
    """
    low, high = np.quantile(rows, [0.05, 0.95])
    low, high = min(low, path.min()), max(high, path.max())
    room = 0.05 * (high - low) or 1.0
    return [float(low - room), float(high + room)]


def step_labels(path: Float[np.ndarray, "t 2"], ranges: Sequence[Sequence[float]]) -> list[str]:
    """The steps' numbers; a step that lies on a labelled one, nearer than a twentieth of the frame, goes without.

    >>> step_labels(np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0]]), [[0.0, 10.0], [0.0, 10.0]])
    ['<b>1</b>', '', '<b>3</b>']
    """
    size = np.array([high - low for low, high in ranges])
    found, last = [], np.full(2, np.inf)
    for t, place in enumerate(path, start=1):
        apart = bool(np.abs((place - last) / size).max() > 0.05)
        found.append(f"<b>{t}</b>" if apart else "")
        last = place if apart else last
    return found


def row_table(found: Answers, part: Part, row: int, threshold: float) -> pd.DataFrame:
    """What the model says of one row after each step."""
    said = found.said(threshold)
    table: dict[str, Sequence[object]] = {"step": list(range(1, len(said) + 1))}
    if part.task.kind == "real":
        names = [shown(name, 30) for name in part.task.names]
        table |= {name: found.outputs[:, row, j].round(3).tolist() for j, name in enumerate(names)}
        return pd.DataFrame(table)
    words = ["normal", "anomalous"] if part.task.kind == "units" else [shown(name, 30) for name in part.task.names]
    table["says"] = [words[k] for k in said[:, row]]
    table["score" if part.task.kind == "units" else "probability"] = found.scores[:, row].round(3).tolist()
    right = found.right(threshold)
    if right is not None:
        table["right"] = right[:, row].tolist()
    return pd.DataFrame(table)


def turn_table(found: Answers, turn: Turns, part: Part, first: int, last: int) -> pd.DataFrame:
    """One line a row whose decision changed, the largest change of score first."""
    words = ["normal", "anomalous"] if part.task.kind == "units" else [shown(name, 30) for name in part.task.names]
    table: dict[str, Sequence[object]] = {"name": [shown(part.names[row], 60) for row in turn.rows]}
    for step, values in ((first, turn.before), (last, turn.after)):
        told = values.round(3).tolist() if part.task.kind == "real" else [words[k] for k in values]
        table[f"step {step}"] = told
    if part.target is not None and part.task.kind != "real":
        table["truth"] = [words[k] for k in part.target.numpy()[turn.rows]]
    elif part.target is not None:
        table["truth"] = part.target.numpy()[turn.rows, 0].round(3).tolist()
    if turn.helped is not None and turn.hurt is not None:
        table["the steps"] = [
            "helped" if better else "hurt" if worse else "neither"
            for better, worse in zip(turn.helped, turn.hurt, strict=True)
        ]
    return pd.DataFrame(table)


def flow_bars(found: Sequence[tuple[int, int, int]], colours: Colours) -> go.Figure:
    """(step, helped, hurt) by what each step changed since the one before: helped above 0, hurt below."""
    figure = go.Figure()
    steps = [f"{step - 1} → {step}" for step, _, _ in found]
    for name, values, colour, pattern in (
        ("wrong to right", [helped for _, helped, _ in found], colours.edge, ""),
        ("right to wrong", [-hurt for _, _, hurt in found], colours.anomaly, "/"),
    ):
        figure.add_bar(
            x=steps,
            y=values,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            text=[f"{abs(value):,}" for value in values],
            textposition="outside",
            cliponaxis=False,
            customdata=[abs(value) for value in values],
            hovertemplate=f"step %{{x}}: %{{customdata:,}} rows {name}<extra></extra>",
        )
    return figure.update_layout(
        template=colours.template,
        height=280,
        barmode="relative",
        xaxis={"title": "from step to step", "type": "category", "showgrid": False},
        yaxis={"title": "rows"},
        margin={"t": 12},
        legend={"y": -0.3, "yanchor": "top"},
    )


def cost_lines(found: Cost, colours: Colours) -> go.Figure:
    """Times and operations of R steps over those of one; the dotted line is R times."""
    figure = go.Figure()
    figure.add_scatter(
        x=found.steps,
        y=found.steps,
        mode="lines",
        name="R times",
        line={"color": colours.quiet, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    for place, (name, values) in enumerate(
        (("scoring", found.seconds), ("a training pass", found.training), ("FLOPs", found.flops))
    ):
        figure.add_scatter(
            x=found.steps,
            y=over_first(values),
            mode="lines+markers",
            name=name,
            line={"color": colours.series[place], "width": 2},
            marker={"symbol": SYMBOLS[place], "size": 8},
            hovertemplate=f"R = %{{x}}: %{{y:.2f}} times one step<extra>{name}</extra>",
        )
    return figure.update_layout(
        template=colours.template,
        height=300,
        xaxis={"title": "R, steps", "dtick": 1, "showgrid": False},
        yaxis={"title": "times one step", "rangemode": "tozero"},
        margin={"t": 12},
        legend={"y": -0.25, "yanchor": "top"},
    )


def over_first(values: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each over the first; NaN when that is 0.

    >>> over_first(np.array([2.0, 3.0])).tolist()
    [1.0, 1.5]
    """
    return np.asarray(values / values[0] if values[0] else np.full(len(values), np.nan), dtype=float)


def cost_table(found: Cost) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "R": found.steps,
            "scoring (ms)": (1000 * found.seconds).round(3),
            "training pass (ms)": (1000 * found.training).round(3),
            "FLOPs a row": found.flops,
            "scoring, times R = 1": over_first(found.seconds).round(3),
            "FLOPs, times R = 1": over_first(found.flops).round(3),
        }
    )

"""ProFusion's steps: what each modality knows after each, what the model answers, where the context goes, the cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from app.figures import draw
from app.figures.marks import SYMBOLS, class_colours
from app.figures.style import Colours, plotly_text
from app.figures.words import axis
from core.explain.progressive import Answers, Cost, Paths, Probes, Turns
from core.machine.names import shown
from core.sample import METRIC_WORDS, Part

FAINT = 200  # other rows whose paths are drawn; all of them have a point


def _marks(figure: go.Figure, trained: int, now: int, colours: Colours) -> None:
    """R of the training, dotted, and R as chosen, orange."""
    font, side = {"size": 10, "color": colours.quiet}, "left" if trained < 6 else "right"
    note = {"text": f"trained: R = {trained}", "font": font, "yanchor": "top", "xanchor": side}
    figure.add_vline(x=trained, line={"color": colours.quiet, "dash": "dot", "width": 1}, annotation=note)
    if now != trained:
        draw.upright(figure, now, colours.selected, None, 1.5)


def _steps(title: str, last: int) -> draw.Trace:
    return {"title": title, "dtick": 1, "range": [0.7, last + 0.3], "showgrid": False}


def probe_lines(found: Probes, relative: bool, trained: int, now: int, colours: Colours) -> go.Figure:
    """What a linear probe reads off every modality after each step; dashed: its control, the context of another row.

    relative    each line over its own value at t = 1, as the paper draws it; else the numbers with 95 % intervals
    trained     R of the training; now: R as chosen, the step in orange
    """
    steps, count = np.arange(1, len(found.real.value) + 1), len(found.modalities)
    traces = []
    for j, title in enumerate(found.modalities):
        colour, symbol = colours.series[j % len(colours.series)], SYMBOLS[j % len(SYMBOLS)]
        for reading, what in ((found.real, ""), (found.control, ", control")):
            name, low, high = f"{plotly_text(title, 24)}{what}", reading.low[:, j], reading.high[:, j]
            y = reading.relative[:, j] if relative else reading.value[:, j]
            told = "" if relative else "<br>95 %: %{customdata[1]:.2f} to %{customdata[2]:.2f}"
            bars = None if relative else draw.whiskers(y, low, high, colours.faded(colour, 0.45), width=3)
            traces.append(draw.line(
                steps + 0.06 * (j - (count - 1) / 2) + (0.03 if what else 0), y, name, colour,
                f"{name}, step %{{customdata[0]:d}}: %{{y:.2f}}{told}<extra></extra>", width=1.5 if what else 2,
                dash="dash" if what else None, symbol=symbol + "-open" * bool(what), size=7, error_y=bars,
                customdata=np.stack([steps, low, high], axis=1),
            ))  # fmt: skip
    title = f"probe's {METRIC_WORDS[found.metric].removeprefix('unit ')}"
    over = f"{title} over t = 1" if relative else axis(title, found.metric)
    figure = draw.framed(traces, 360, _steps("step t", len(steps)), over, below=0.2)
    if relative:
        figure.add_hline(y=1, line={"color": colours.quiet, "width": 1})
    elif np.isfinite(found.chance):
        draw.level(figure, found.chance, "chance", colours.quiet)
    _marks(figure, trained, now, colours)
    return figure


def probe_table(found: Probes) -> pd.DataFrame:
    """Every probe and its control in numbers."""
    kept = {found.metric: "value", "low": "low", "high": "high"}
    if found.metric == "auc":
        kept["accuracy"] = "accuracy"
    return pd.DataFrame(
        {"step": t + 1, "modality": shown(name, 40)}
        | {
            f"{what}{word}": round(float(getattr(reading, of)[t, j]), 2 if of == "accuracy" else 3)
            for what, reading in (("", found.real), ("control ", found.control))
            for word, of in kept.items()
        }
        for t in range(len(found.real.value))
        for j, name in enumerate(found.modalities)
    )


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
    own = draw.line(steps, found.value, None, colours.edge, "R = %{x}: %{y:.2f}<extra></extra>", showlegend=False)
    size, tint = ([a if step == now else b for step in steps] for a, b in ((13, 7), (colours.selected, colours.edge)))
    own |= {"mode": "lines+markers", "marker": {"size": size, "color": tint}}
    traces = [draw.band(steps, found.low, found.high, colours.faded(colours.edge, 0.12)), own]
    title = axis(METRIC_WORDS[found.metric], found.metric)
    figure = draw.framed(traces, 360, _steps("R, steps at inference", len(steps)), title)
    _marks(figure, found.trained, now, colours)
    return figure


def answer_table(found: Answers) -> pd.DataFrame:
    """The same in numbers."""
    numbers = {found.metric: found.value, "low": found.low, "high": found.high}
    return pd.DataFrame(
        {"R": np.arange(1, len(found.value) + 1)} | {n: values.round(4) for n, values in numbers.items()}
    )


def path_map(found: Paths, part: Part, row: int, now: int, colours: Colours) -> go.Figure:
    """Where the context of the chosen row goes, orange, step by step to `now`; the others faint, by class.

    The customdata of every point is its row.
    """
    places = found.places[:now].astype(np.float32)  # half of what is sent
    traces = [_faint(places, colours)] if now > 1 else []
    still = {"marker": {"opacity": 0.45}}  # a click fades no other point
    for name, rows, colour, odd in _classes(part, places.shape[1], colours):
        traces.append(draw.dots(
            places[-1, rows, 0], places[-1, rows, 1], name, colour, f"row %{{customdata}}, {name}<extra></extra>",
            symbol="diamond" if odd else "circle", size=6, opacity=0.45, selected=still, unselected=still,
            customdata=rows,
        ))  # fmt: skip
    ranges = [frame(places[-1, :, at], places[:, row, at]) for at in (0, 1)]
    marker = {"color": colours.selected, "size": 10, "line": {"color": colours.page, "width": 1.5}}
    x, y = places[:, row].T
    told = list(map(str, range(1, now + 1)))
    traces.append(draw.line(
        x, y, "chosen row", colours.selected, "chosen row, step %{hovertext}<extra></extra>", width=3,
        text=step_labels(places[:, row], ranges), textposition="middle right", marker=marker,
        textfont={"color": colours.ink, "size": 12}, hovertext=told, customdata=[row] * now,
    ) | {"mode": "lines+markers+text"})  # fmt: skip
    first, second = (
        {"title": f"{which} axis, {share:.0%} of the spread", "showticklabels": False, "ticks": "", "zeroline": False}
        | {"range": span}
        for which, share, span in zip(("first", "second"), found.shares, ranges, strict=True)
    )
    legend = {"y": -0.1, "yanchor": "top", "itemsizing": "constant"}
    return draw.framed(traces, 440, first, second, legend=legend, clickmode="event+select")


def _faint(places: Float[np.ndarray, "t n 2"], colours: Colours) -> draw.Trace:
    """The paths of some rows, evenly spread, as one line with gaps."""
    now, count, _ = places.shape
    some = np.linspace(0, count - 1, min(FAINT, count)).astype(int)
    lines = np.full((len(some), now + 1, 2), np.nan)
    lines[:, :now] = places[:, some].transpose(1, 0, 2)
    x, y = lines[..., 0].ravel(), lines[..., 1].ravel()
    return draw.line(x, y, None, colours.faded(colours.normal, 0.18), width=1, showlegend=False)


def _classes(part: Part, count: int, colours: Colours) -> list[tuple[str, np.ndarray, str, bool]]:
    """(name, rows, colour, whether anomalous) of every class; all rows alike where there are none."""
    if part.target is None or not part.classes:
        return [("rows", np.arange(count), colours.normal, False)]
    target, palette, units = part.target.numpy(), class_colours(part, colours), part.task.kind == "units"
    return [
        (plotly_text(name, 24), np.flatnonzero(target == k), palette[k], units and name == "anomalous")
        for k, name in enumerate(part.classes)
    ]


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


def _words(part: Part) -> list[str]:
    """What the model may decide."""
    return ["normal", "anomalous"] if part.task.kind == "units" else [shown(name, 30) for name in part.task.names]


def row_table(found: Answers, part: Part, row: int, threshold: float) -> pd.DataFrame:
    """What the model says of one row after each step."""
    said, right, words = found.said(threshold), found.right(threshold), _words(part)
    table: dict[str, Sequence[object]] = {"step": list(range(1, len(said) + 1))}
    if part.task.kind == "real":
        columns = found.outputs[:, row].round(3).T.tolist()
        return pd.DataFrame(table | dict(zip(words, columns, strict=True)))
    table["says"] = [words[k] for k in said[:, row]]
    table["score" if part.task.kind == "units" else "probability"] = found.scores[:, row].round(3).tolist()
    return pd.DataFrame(table if right is None else table | {"right": right[:, row].tolist()})


def turn_table(found: Answers, turn: Turns, part: Part, first: int, last: int) -> pd.DataFrame:
    """One line a row whose decision changed, the largest change of score first."""
    words, real = _words(part), part.task.kind == "real"

    def told(values: np.ndarray) -> list[object]:
        return values.round(3).tolist() if real else [words[k] for k in values]

    table: dict[str, Sequence[object]] = {"name": [shown(part.names[row], 60) for row in turn.rows]}
    table |= {f"step {first}": told(turn.before), f"step {last}": told(turn.after)}
    if part.target is not None:
        truth = part.target.numpy()[turn.rows]
        table["truth"] = told(truth[:, 0] if real else truth)
    if turn.helped is not None and turn.hurt is not None:
        verdicts = zip(turn.helped, turn.hurt, strict=True)
        table["the steps"] = ["helped" if better else "hurt" if worse else "neither" for better, worse in verdicts]
    return pd.DataFrame(table)


def flow_bars(found: Sequence[tuple[int, int, int]], colours: Colours) -> go.Figure:
    """(step, helped, hurt) by what each step changed since the one before: helped above 0, hurt below."""
    steps, traces = [f"{step - 1} → {step}" for step, _, _ in found], []
    for name, values, colour, pattern in (
        ("wrong to right", [helped for _, helped, _ in found], colours.edge, ""),
        ("right to wrong", [-hurt for _, _, hurt in found], colours.anomaly, "/"),
    ):
        counts = [abs(value) for value in values]
        traces.append({
            "type": "bar", "x": steps, "y": values, "name": name, "text": [f"{count:,}" for count in counts],
            "marker": {"color": colour, "pattern": {"shape": pattern}}, "textposition": "outside",
            "cliponaxis": False, "customdata": counts,
            "hovertemplate": f"step %{{x}}: %{{customdata:,}} rows {name}<extra></extra>",
        })  # fmt: skip
    x = {"title": "from step to step", "type": "category", "showgrid": False}
    return draw.framed(traces, 280, x, "rows", below=0.3, barmode="relative")


def flow_table(found: Sequence[tuple[int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["step", "wrong to right", "right to wrong"])


def cost_lines(found: Cost, colours: Colours) -> go.Figure:
    """Times and operations of R steps over those of one; the dotted line is R times."""
    traces = [draw.line(found.steps, found.steps, "R times", colours.quiet, width=1, dash="dot")]
    every = {"scoring": found.seconds, "a training pass": found.training, "FLOPs": found.flops}
    for place, (name, values) in enumerate(every.items()):
        hover = f"R = %{{x}}: %{{y:.2f}} times one step<extra>{name}</extra>"
        traces.append(draw.line(found.steps, over_first(values), name, colours.series[place], hover,
                                symbol=SYMBOLS[place], size=8))  # fmt: skip
    x = {"title": "R, steps", "dtick": 1, "showgrid": False}
    return draw.framed(traces, 300, x, {"title": "times one step", "rangemode": "tozero"}, below=0.25)


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

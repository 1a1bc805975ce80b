"""Runs side by side: how good and how surely, differences to a baseline, parts of the data, where two disagree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures.style import SIGNED, Colours, plotly_text
from core.clip import Clip
from core.compare import LOWER, PLAIN, Disagreement, Line, digits, metrics_of
from core.machine.names import shown
from core.sample import Part

MOST_POINTS = 1_000  # of a scatter; the rows that differ most are always among them
MOST_ROWS = 300  # of the table of disagreements
NAME = 34  # letters of a method's name on an axis


def metric_names(lines: Sequence[Line]) -> dict[str, str]:
    """Metric -> what it is called, of those that are defined for some group."""
    found = metrics_of(next(iter(lines[0].metrics)))
    return {m: words for m, words in found.items() if any(not np.isnan(line.metrics[m].mean) for line in lines)}


def folded(title: str, width: int = 18) -> str:
    """A method's name on an axis: long ones on two lines, as even as their words allow.

    >>> folded("LEGO motion+appearance unprojected"), folded("GMF")
    ('LEGO motion+appearance<br>unprojected', 'GMF')
    """
    words = shown(title, NAME + 6).split(" ")
    sides = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
    if len(" ".join(words)) <= width or not sides:
        return plotly_text(" ".join(words), 60)
    best = min(sides, key=lambda pair: max(map(len, pair)))
    return "<br>".join(plotly_text(each, 60) for each in best)


def axis_of(metric: str, name: str) -> str:
    return name if metric in PLAIN else f"{name} (%)"


def interval_rows(lines: Sequence[Line], metric: str, baseline: str | None, what: str, colours: Colours) -> go.Figure:
    """A row a group: every seed, the mean, its 95 % interval over seeds (thick) and over clips or samples (thin).

    what    what is drawn again: clips or samples
    """
    figure = go.Figure()
    names, places = [folded(line.group.title) for line in lines], np.arange(len(lines), dtype=float)
    for kind, colour, width, shift in (("clips", colours.normal, 1.5, 0.17), ("seeds", colours.edge, 4.0, -0.17)):
        x: list[float | None] = []
        y: list[float | None] = []
        for place, line in zip(places, lines, strict=True):
            each = line.metrics[metric]
            low, high = (each.clips_low, each.clips_high) if kind == "clips" else (each.seeds_low, each.seeds_high)
            if not np.isnan(low):
                x += [low, high, None]
                y += [place + shift, place + shift, None]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name="95 % over seeds" if kind == "seeds" else f"95 % over {what}",
            line={"color": colour, "width": width},
            hoverinfo="skip",
        )
    seeds = [(place, value) for place, line in zip(places, lines, strict=True) for value in line.metrics[metric].values]
    figure.add_scatter(
        x=[value for _, value in seeds],
        y=[place - 0.17 for place, _ in seeds],
        mode="markers",
        name="a seed",
        marker={"symbol": "circle-open", "size": 6, "color": colours.ink, "line": {"width": 1}},
        hovertemplate=f"a seed: %{{x:.{digits(metric)}f}}<extra></extra>",
    )
    figure.add_scatter(
        x=[line.metrics[metric].mean for line in lines],
        y=places,
        mode="markers",
        name="mean",
        marker={
            "symbol": ["square" if line.group.id == baseline else "diamond" for line in lines],
            "size": 11,
            "color": [colours.ink if line.group.id == baseline else colours.edge for line in lines],
            "line": {"color": colours.page, "width": 1},
        },
        customdata=[
            [
                plotly_text(line.group.title, 80),
                f"{line.metrics[metric].clips_low:.{digits(metric)}f}",
                f"{line.metrics[metric].clips_high:.{digits(metric)}f}",
            ]
            for line in lines
        ],
        hovertemplate=f"%{{customdata[0]}}: %{{x:.{digits(metric)}f}}<br>over {what}: %{{customdata[1]}} to "
        "%{customdata[2]}<extra></extra>",
    )
    base = next((line for line in lines if line.group.id == baseline), None)
    if base is not None and not np.isnan(base.metrics[metric].mean):
        figure.add_vline(x=base.metrics[metric].mean, line={"color": colours.quiet, "width": 1, "dash": "dot"})
    return figure.update_layout(
        height=110 + 44 * len(lines),
        xaxis={"title": {"text": axis_of(metric, metrics_of(next(iter(lines[0].metrics)))[metric])}},
        yaxis={
            "tickvals": places.tolist(),
            "ticktext": names,
            "showgrid": False,
            "range": [len(lines) - 0.5, -0.5],
            "tickfont": {"color": colours.ink, "size": 12},
        },
    )


def interval_table(lines: Sequence[Line]) -> pd.DataFrame:
    """The numbers behind `interval_rows`, every metric."""
    rows = []
    for line in lines:
        for metric, name in metric_names(lines).items():
            each = line.metrics[metric]
            row = {"method": shown(line.group.title, 80), "metric": name, "seeds": len(each.values)}
            row |= {"mean": each.mean, "sd": each.sd, "seeds low": each.seeds_low, "seeds high": each.seeds_high}
            rows.append(row | {"clips low": each.clips_low, "clips high": each.clips_high})
    return pd.DataFrame(rows).round(4)


def delta_map(lines: Sequence[Line], colours: Colours) -> go.Figure:
    """Every group's difference to the baseline in every metric, printed with its 95 % interval.

    Red is better than the baseline, blue is worse: of errors, less is better. Each metric's darkest colour is its own
    largest difference; the baseline itself is left out.
    """
    shown_lines = [line for line in lines if line.deltas]
    names = metric_names(lines)
    better = np.array(
        [[(-1 if m in LOWER else 1) * line.deltas[m].delta for m in names] for line in shown_lines], dtype=float
    ).reshape(len(shown_lines), len(names))
    top = np.nanmax(np.abs(better), axis=0, initial=0.0, where=~np.isnan(better)) if len(better) else np.zeros(0)
    shares = better / np.where(top > 0, top, 1.0)
    text = [
        [
            "–"
            if np.isnan((d := line.deltas[m]).delta)
            else f"<b>{d.delta:+.{digits(m)}f}</b><br>{d.low:+.{digits(m)}f}<br>to {d.high:+.{digits(m)}f}"
            for m in names
        ]
        for line in shown_lines
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=[words.replace(" ", "<br>") for words in names.values()],
            y=list(range(len(shown_lines))),
            zmin=-2,
            zmax=2,  # the middle of the scale: dark ink stays readable on its lightest half
            zmid=0,
            colorscale=SIGNED,
            showscale=False,
            xgap=3,
            ygap=3,
            text=text,
            texttemplate="%{text}",
            textfont={"color": "#1F2430", "size": 11},
            customdata=[[plotly_text(line.group.title, 80)] * len(names) for line in shown_lines],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
        )
    )
    return figure.update_layout(
        height=110 + 56 * len(shown_lines),
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "tickvals": list(range(len(shown_lines))),
            "ticktext": [folded(line.group.title) for line in shown_lines],
            "tickfont": {"color": colours.ink, "size": 12},
        },
        xaxis={"side": "top", "showgrid": False, "tickangle": 0, "tickfont": {"color": colours.ink, "size": 12}},
    )


def delta_table(lines: Sequence[Line]) -> pd.DataFrame:
    """The numbers behind `delta_map`; p of each metric by itself, without correction."""
    return pd.DataFrame(
        [
            {
                "method": shown(line.group.title, 80),
                "metric": words,
                "difference": line.deltas[metric].delta,
                "low": line.deltas[metric].low,
                "high": line.deltas[metric].high,
                "p": line.deltas[metric].p,
            }
            for line in lines
            if line.deltas
            for metric, words in metric_names(lines).items()
        ]
    ).round(4)


def verdict_table(lines: Sequence[Line], what: str) -> pd.DataFrame:
    """One row a group: verdict, p after Holm and before, the interval of the difference, and which test it was."""
    rows = []
    for line in lines:
        d = line.difference
        if d is None:
            continue
        n = digits(d.metric)
        pairs = f"{d.seeds} {'seed' if d.seeds == 1 else 'seeds'}" + ("" if d.paired else ", paired in order")
        rows.append(
            {
                "method": shown(line.group.title, 80),
                "verdict": d.verdict,
                "p (Holm)": d.adjusted,
                "p": d.p,
                "difference, 95 %": "–" if np.isnan(d.low) else f"{d.delta:+.{n}f} ({d.low:+.{n}f} to {d.high:+.{n}f})",
                "test": d.test.replace("clips", what),
                "pairs": pairs,
            }
        )
    return pd.DataFrame(rows)


def number_map(
    names: Sequence[str],
    columns: Sequence[str],
    values: Float[np.ndarray, "rows columns"],
    places: int,
    colours: Colours,
) -> go.Figure:
    """Numbers of groups (rows) in parts of the data (columns), printed; darker is higher."""
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    shares = (values - low) / (high - low if high > low else 1.0)
    wide = len(columns) <= 16
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=list(range(len(columns))),
            y=list(range(len(names))),
            zmin=0,
            zmax=1,
            colorscale=[[0, colours.page], [1, colours.faded(colours.normal, 0.6)]],
            showscale=False,
            xgap=2,
            ygap=2,
            text=[["–" if np.isnan(v) else f"{v:.{places}f}" for v in row] for row in values],
            texttemplate="%{text}" if wide else None,
            textfont={"color": colours.ink},
            hovertemplate="%{text}<extra></extra>",
        )
    )
    return figure.update_layout(
        height=70 + 36 * len(names),
        xaxis={
            "tickvals": list(range(len(columns))),
            "ticktext": [plotly_text(column, 24) for column in columns],
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "tickfont": {"color": colours.ink},
        },
        yaxis={
            "autorange": "reversed",
            "tickvals": list(range(len(names))),
            "showgrid": False,
            "zeroline": False,
            "ticktext": [folded(name) for name in names],
            "tickfont": {"color": colours.ink, "size": 12},
        },
    )


def ticks(spread: Sequence[float]) -> dict[str, list[float] | list[str]]:
    """1, 2 and 5 times every power of ten of a logarithmic axis.

    >>> ticks([3.9, 4.4])["ticktext"]
    ['10,000', '20,000']
    """
    powers = range(int(np.floor(spread[0])), int(np.ceil(spread[1])) + 1)
    step = (1, 2, 5) if spread[1] - spread[0] < 2 else (1,)
    values = [s * 10.0**p for p in powers for s in step if spread[0] <= np.log10(s) + p <= spread[1]]
    return {"tickvals": values, "ticktext": [f"{value:,.10g}" for value in values]}


def cost_points(
    lines: Sequence[Line],
    cost: Sequence[float | int | None],
    axis: str,
    metric: str,
    baseline: str | None,
    colours: Colours,
) -> go.Figure:
    """Quality against cost, a point a group with its interval over clips; cost on a logarithmic axis."""
    figure = go.Figure()
    kept = [(line, price) for line, price in zip(lines, cost, strict=True) if price]
    for line, price in kept:
        each, base = line.metrics[metric], line.group.id == baseline
        figure.add_scatter(
            x=[price],
            y=[each.mean],
            mode="markers+text",
            text=[f"  {plotly_text(line.group.title, 26)}"],
            textposition="middle right",
            textfont={"size": 11, "color": colours.ink},
            marker={
                "symbol": "square" if base else "diamond",
                "size": 10,
                "color": colours.ink if base else colours.edge,
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [each.clips_high - each.mean],
                "arrayminus": [each.mean - each.clips_low],
                "thickness": 1,
                "width": 3,
                "color": colours.normal,
            },
            hovertemplate=f"{plotly_text(line.group.title, 80)}: %{{y:.{digits(metric)}f}} at %{{x:,.4g}}"
            "<extra></extra>",
            showlegend=False,
        )
    prices = [float(price) for _, price in kept if price]
    spread = [np.log10(min(prices)) - 0.3, np.log10(max(prices)) + 0.6] if prices else [0, 1]
    return figure.update_layout(
        height=340,
        xaxis={"type": "log", "title": {"text": axis}, "range": spread, **ticks(spread)},
        yaxis={"title": {"text": axis_of(metric, metrics_of(next(iter(lines[0].metrics)))[metric])}},
    )


# ---------------------------------------------------------------------------- where two disagree


def drawn_rows(found: Disagreement) -> np.ndarray:
    """Rows of the scatter: the half that differs most, the rest at equal steps through the others."""
    if len(found.order) <= MOST_POINTS:
        return np.arange(len(found.order))
    half = MOST_POINTS // 2
    others = np.sort(found.order[half:])
    return np.concatenate([found.order[:half], others[:: max(1, len(others) // half)][:half]])


def disagreement_scatter(
    found: Disagreement,
    anomalous: Bool[np.ndarray, " rows"] | None,
    titles: tuple[str, str],
    row: int | None,
    colours: Colours,
) -> go.Figure:
    """Every row by what one group says of it (x) and what the other says (y); on the dotted line both agree.

    anomalous   of units: their labels, drawn as purple diamonds; None where there are none
    row         the chosen row, ringed
    """
    rows = drawn_rows(found)
    figure = go.Figure()
    low = float(min(found.a.min(), found.b.min(), 0.0))
    high = float(max(found.a.max(), found.b.max(), 1.0))
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": colours.quiet, "dash": "dot", "width": 1}
    )
    kinds = (
        [("", np.ones(len(rows), bool), "circle", colours.normal)]
        if anomalous is None
        else [
            ("normal", ~anomalous[rows], "circle", colours.normal),
            ("anomalous", anomalous[rows], "diamond", colours.anomaly),
        ]
    )
    for name, chosen, symbol, colour in kinds:
        at = rows[chosen]
        figure.add_scatter(
            x=found.a[at].round(2).astype(np.float32),
            y=found.b[at].round(2).astype(np.float32),
            mode="markers",
            name=name,
            customdata=at.astype(np.int32),
            marker={"symbol": symbol, "size": 7, "color": colour, "opacity": 0.7},
            hovertemplate=f"row %{{customdata}} {name}<br>%{{x:.1f}} and %{{y:.1f}}<extra></extra>",
            showlegend=bool(name),
        )
    if row is not None:
        figure.add_scatter(
            x=[found.a[row]],
            y=[found.b[row]],
            mode="markers",
            name="chosen",
            marker={"symbol": "circle-open", "size": 15, "color": colours.selected, "line": {"width": 3}},
            hoverinfo="skip",
        )
    return figure.update_layout(
        height=440,
        xaxis={"title": {"text": f"{plotly_text(titles[0], NAME)}:<br>{found.what}"}},
        yaxis={"title": {"text": f"{plotly_text(titles[1], NAME)}:<br>{found.what}"}},
    )


def ends_of(clips: Sequence[Clip]) -> np.ndarray:
    """How many units there are up to the end of every clip; made once for many rows of a large set."""
    return np.cumsum([clip.units for clip in clips])


def place_of_row(row: int, clips: Sequence[Clip], ends: np.ndarray) -> tuple[Clip, int]:
    """The clip and the unit of a row, units counted through the clips one after another (`ends_of`)."""
    at = int(np.searchsorted(ends, row, "right"))
    return clips[at], int(row - (ends[at - 1] if at else 0))


def row_words(row: int, clips: Sequence[Clip], part: Part | None, ends: np.ndarray) -> tuple[str, str]:
    """(name and moment, truth) of a row; the name is hostile text."""
    if part is not None:
        truth = ""
        if part.target is not None and part.classes:
            truth = part.classes[int(part.target[row])]
        return part.names[row], truth
    clip, unit = place_of_row(row, clips, ends)
    truth = "?" if clip.labels is None else "anomaly" if bool(clip.labels[unit]) else "normal"
    return f"{clip.name}, {unit * clip.seconds:.2f} s", truth


def disagreement_table(
    found: Disagreement, clips: Sequence[Clip], part: Part | None, titles: tuple[str, str]
) -> pd.DataFrame:
    """The rows that differ most, the largest difference first: at most `MOST_ROWS`."""
    rows = found.order[:MOST_ROWS]
    ends = ends_of(clips)
    words = [row_words(int(row), clips, part, ends) for row in rows]
    first, second = (shown(title, 24) for title in titles)
    if first == second:
        second += " (second)"
    table = {
        "row": rows,
        "what": [shown(name, 80) for name, _ in words],
        "truth": [shown(truth, 30) for _, truth in words],
        "difference": found.a[rows] - found.b[rows],
        first: found.a[rows],
        second: found.b[rows],
    }
    if found.closer is not None:
        closer = {1: first, -1: second, 0: "both alike"}
        table["nearer to the truth"] = [closer[int(found.closer[row])] for row in rows]
    return pd.DataFrame(table)

"""Runs side by side: how good and how surely, differences to a baseline, parts of the data, where two disagree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures import draw
from app.figures.draw import Trace
from app.figures.style import Colours, plotly_text
from app.figures.words import axis, moved, told
from app.views.compare.rows import Rows
from core.compare import LOWER, METRICS, Disagreement, Line, digits
from core.machine.names import shown

MOST_POINTS = 1_000  # of a scatter; the rows that differ most are always among them
MOST_ROWS = 300  # of the table of disagreements
NAME = 34  # letters of a method's name on an axis


def first_of(lines: Sequence[Line]) -> str:
    """The metric that methods are compared by first."""
    return next(iter(lines[0].metrics))


def first_name(lines: Sequence[Line]) -> str:
    return METRICS[first_of(lines)][first_of(lines)]


def metric_names(lines: Sequence[Line]) -> dict[str, str]:
    """Metric -> what it is called, of those that are defined for some group."""
    found = METRICS[first_of(lines)]
    return {m: words for m, words in found.items() if any(not np.isnan(line.metrics[m].mean) for line in lines)}


def metric_axis(lines: Sequence[Line], metric: str) -> str:
    return axis(METRICS[first_of(lines)][metric], metric)


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


def method_axis(titles: Sequence[str], colours: Colours, **more: object) -> Trace:
    """Methods by number, from the top down, under their names."""
    font = {"color": colours.ink, "size": 12}
    names = {"tickvals": list(range(len(titles))), "ticktext": [folded(title) for title in titles], "tickfont": font}
    return {"autorange": "reversed", "showgrid": False} | names | more


def _spans(pairs: Sequence[tuple[float, float]], shift: float, name: str, colour: str, width: float) -> Trace:
    """A lying line an interval, beside its group's place; none where it is undefined."""
    known = [(place + shift, low, high) for place, (low, high) in enumerate(pairs) if not np.isnan(low)]
    x = [end for _, low, high in known for end in (low, high, None)]
    return draw.line(x, [at for y, _, _ in known for at in (y, y, None)], name, colour, width=width)


def interval_rows(lines: Sequence[Line], metric: str, baseline: str | None, what: str, colours: Colours) -> go.Figure:
    """A row a group: every seed, the mean, its 95 % interval over seeds (thick) and over clips or samples (thin).

    what    what is drawn again: clips or samples
    """
    n, found, titles = digits(metric), [line.metrics[metric] for line in lines], [line.group.title for line in lines]
    seeds = [(place - 0.17, value) for place, each in enumerate(found) for value in each.values]
    base = [line.group.id == baseline for line in lines]
    said = [[plotly_text(title, 80), told(e.clips_low, metric, "nan"), told(e.clips_high, metric, "nan")]
            for title, e in zip(titles, found, strict=True)]  # fmt: skip
    mean = draw.dots(
        [each.mean for each in found], list(range(len(lines))), "mean",
        [colours.ink if this else colours.edge for this in base],
        f"%{{customdata[0]}}: %{{x:.{n}f}}<br>over {what}: %{{customdata[1]}} to %{{customdata[2]}}<extra></extra>",
        symbol=["square" if this else "diamond" for this in base], size=11, rim={"color": colours.page, "width": 1},
        customdata=said,
    )  # fmt: skip
    clips, spread = [(e.clips_low, e.clips_high) for e in found], [(e.seeds_low, e.seeds_high) for e in found]
    traces = [
        _spans(clips, 0.17, f"95 % over {what}", colours.normal, 1.5),
        _spans(spread, -0.17, "95 % over seeds", colours.edge, 4.0),
        draw.dots([value for _, value in seeds], [place for place, _ in seeds], "a seed", colours.ink,
             f"a seed: %{{x:.{n}f}}<extra></extra>", symbol="circle-open", size=6, rim={"width": 1}),
        mean,
    ]  # fmt: skip
    rows = method_axis(titles, colours, autorange=None, range=[len(lines) - 0.5, -0.5])
    figure = draw.framed(traces, 110 + 44 * len(lines), metric_axis(lines, metric), rows, top=None)
    for each in (each for each, this in zip(found, base, strict=True) if this and not np.isnan(each.mean)):
        draw.upright(figure, each.mean, colours.quiet)
    return figure


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
    drawn, names = [line for line in lines if line.deltas], metric_names(lines)
    better = np.array(
        [[(-1 if m in LOWER else 1) * line.deltas[m].delta for m in names] for line in drawn], dtype=float
    )
    better = better.reshape(len(drawn), len(names))
    top = np.nanmax(np.abs(better), axis=0, initial=0.0, where=~np.isnan(better)) if len(better) else np.zeros(0)

    def words(line: Line, m: str) -> str:
        d = line.deltas[m]
        return "–" if np.isnan(d.delta) else f"<b>{moved(d.delta, m)}</b><br>{moved(d.low, m)}<br>to {moved(d.high, m)}"

    columns = [words.replace(" ", "<br>") for words in names.values()]
    trace = draw.cells(
        better / np.where(top > 0, top, 1.0), colours.signed, "%{customdata}: %{text}<extra></extra>",
        low=-2, high=2,  # the middle of the scale: ink stays readable on the half next to the page's colour
        zmid=0, gap=3, x=columns, y=list(range(len(drawn))), text=[[words(line, m) for m in names] for line in drawn],
        texttemplate="%{text}", textfont={"color": colours.ink, "size": 11},
        customdata=[[plotly_text(line.group.title, 80)] * len(names) for line in drawn],
    )  # fmt: skip
    x = {"side": "top", "showgrid": False, "tickangle": 0, "tickfont": {"color": colours.ink, "size": 12}}
    rows = method_axis([line.group.title for line in drawn], colours)
    return draw.framed([trace], 110 + 56 * len(drawn), x, rows, top=None)


def delta_table(lines: Sequence[Line]) -> pd.DataFrame:
    """The numbers behind `delta_map`; p of each metric by itself, without correction."""
    names = metric_names(lines)
    found = [(line.group.title, words, line.deltas[m]) for line in lines if line.deltas for m, words in names.items()]
    return pd.DataFrame(
        [
            {"method": shown(title, 80), "metric": words, "difference": d.delta, "low": d.low, "high": d.high, "p": d.p}
            for title, words, d in found
        ]
    ).round(4)


def verdict_table(lines: Sequence[Line], what: str) -> pd.DataFrame:
    """One row a group: verdict, p after Holm and before, the interval of the difference, and which test it was."""
    rows = []
    for title, d in ((line.group.title, line.difference) for line in lines if line.difference is not None):
        pairs = f"{d.seeds} {'seed' if d.seeds == 1 else 'seeds'}" + ("" if d.paired else ", paired in order")
        by, low, high = (moved(value, d.metric) for value in (d.delta, d.low, d.high))
        row: dict[str, object] = {"method": shown(title, 80), "verdict": d.verdict}
        row["difference, 95 %"] = "–" if np.isnan(d.low) else f"{by} ({low} to {high})"
        row |= {"p (Holm)": d.adjusted, "p": d.p}
        rows.append(row | {"test": d.test.replace("clips", what), "pairs": pairs})
    return pd.DataFrame(rows)


def number_map(
    names: Sequence[str], columns: Sequence[str], values: Float[np.ndarray, "rows columns"], places: int,
    colours: Colours,
) -> go.Figure:  # fmt: skip
    """Numbers of groups (rows) in parts of the data (columns), printed; darker is higher."""
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    trace = draw.cells(
        (values - low) / (high - low if high > low else 1.0),
        [[0, colours.page], [1, colours.faded(colours.normal, 0.6)]], "%{text}<extra></extra>", low=0, high=1, gap=2,
        x=list(range(len(columns))), y=list(range(len(names))), textfont={"color": colours.ink},
        text=[["–" if np.isnan(v) else f"{v:.{places}f}" for v in row] for row in values],
        texttemplate="%{text}" if len(columns) <= 16 else None,
    )  # fmt: skip
    words = {"tickvals": list(range(len(columns))), "ticktext": [plotly_text(column, 24) for column in columns]}
    x = words | {"side": "top", "showgrid": False, "zeroline": False, "tickfont": {"color": colours.ink}}
    return draw.framed([trace], 70 + 36 * len(names), x, method_axis(names, colours, zeroline=False), top=None)


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
    lines: Sequence[Line], cost: Sequence[float | int | None], words: str, metric: str, baseline: str | None,
    colours: Colours,
) -> go.Figure:  # fmt: skip
    """Quality against cost, a point a group with its interval over clips; cost on a logarithmic axis."""
    kept = [(line, float(price)) for line, price in zip(lines, cost, strict=True) if price]
    traces = []
    for line, price in kept:
        each, base = line.metrics[metric], line.group.id == baseline
        bar = draw.whiskers([each.mean], [each.clips_low], [each.clips_high], colours.normal, width=3)
        hover = f"{plotly_text(line.group.title, 80)}: %{{y:.{digits(metric)}f}} at %{{x:,.4g}}<extra></extra>"
        point = draw.dots([price], [each.mean], None, colours.ink if base else colours.edge, hover,
                     symbol="square" if base else "diamond", size=10, error_y=bar, showlegend=False)  # fmt: skip
        label = {"text": [f"  {plotly_text(line.group.title, 26)}"], "textposition": "middle right"}
        traces.append(point | label | {"mode": "markers+text", "textfont": {"size": 11, "color": colours.ink}})
    prices = [price for _, price in kept]
    spread = [np.log10(min(prices)) - 0.3, np.log10(max(prices)) + 0.6] if prices else [0, 1]
    x = {"type": "log", "title": words, "range": spread, **ticks(spread)}
    return draw.framed(traces, 340, x, metric_axis(lines, metric), top=None)


def cost_table(lines: Sequence[Line], measured: bool) -> pd.DataFrame:
    """What every group costs; time and memory of a scoring where they were measured."""
    table: dict[str, list[object]] = {
        "method": [shown(line.group.title, 80) for line in lines],
        "weights": [line.group.weights for line in lines],
        "FLOPs": [line.flops for line in lines],
    }
    if measured:
        table |= {"scoring (ms)": [line.ms for line in lines], "peak (MB)": [line.megabytes for line in lines]}
    return pd.DataFrame(table | {"training (s)": [round(line.group.seconds, 2) for line in lines]})


# ---------------------------------------------------------------------------- where two disagree


def drawn_rows(found: Disagreement) -> np.ndarray:
    """Rows of the scatter: the half that differs most, the rest at equal steps through the others."""
    if len(found.order) <= MOST_POINTS:
        return np.arange(len(found.order))
    half = MOST_POINTS // 2
    others = np.sort(found.order[half:])
    return np.concatenate([found.order[:half], others[:: max(1, len(others) // half)][:half]])


def disagreement_scatter(
    found: Disagreement, anomalous: Bool[np.ndarray, " rows"] | None, titles: tuple[str, str], row: int | None,
    colours: Colours,
) -> go.Figure:  # fmt: skip
    """Every row by what one group says of it (x) and what the other says (y); on the dotted line both agree.

    anomalous   of units: their labels, drawn as purple diamonds; None where there are none
    row         the chosen row, ringed
    """
    rows = drawn_rows(found)
    kinds = [("", np.ones(len(rows), bool), "circle", colours.normal)]
    if anomalous is not None:
        odd = anomalous[rows]
        kinds = [("normal", ~odd, "circle", colours.normal), ("anomalous", odd, "diamond", colours.anomaly)]
    traces = []
    for name, chosen, symbol, colour in kinds:
        at = rows[chosen]
        x, y = (side[at].round(2).astype(np.float32) for side in (found.a, found.b))
        hover = f"row %{{customdata}} {name}<br>%{{x:.1f}} and %{{y:.1f}}<extra></extra>"
        traces.append(draw.dots(x, y, name, colour, hover, symbol=symbol, size=7, opacity=0.7, showlegend=bool(name),
                           customdata=at.astype(np.int32)))  # fmt: skip
    if row is not None:
        traces.append(draw.ring([found.a[row]], [found.b[row]], "chosen", colours, 15))
    x, y = (f"{plotly_text(title, NAME)}:<br>{found.what}" for title in titles)
    figure = draw.framed(traces, 440, x, y, top=None)
    low, high = min(found.a.min(), found.b.min(), 0.0), max(found.a.max(), found.b.max(), 1.0)
    dotted = {"color": colours.quiet, "dash": "dot", "width": 1}
    return figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line=dotted)


def disagreement_table(found: Disagreement, rows: Rows, titles: tuple[str, str]) -> pd.DataFrame:
    """The rows that differ most, the largest difference first: at most `MOST_ROWS`."""
    most = found.order[:MOST_ROWS]
    words = [rows.words(int(row)) for row in most]
    first, second = (shown(title, 24) for title in titles)
    if first == second:
        second += " (second)"
    table = {
        "row": most,
        "what": [shown(name, 80) for name, _ in words],
        "truth": [shown(true, 30) for _, true in words],
    }
    table |= {"difference": found.a[most] - found.b[most], first: found.a[most], second: found.b[most]}
    if found.closer is not None:
        closer = {1: first, -1: second, 0: "both alike"}
        table["nearer to the truth"] = [closer[int(found.closer[row])] for row in most]
    return pd.DataFrame(table)

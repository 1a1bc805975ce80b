"""What corruptions do: metric against strength, scores before and after, reliability, entropy, ranks of LMF."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures import draw
from app.figures.style import Colours, plotly_text
from app.figures.words import axis
from core.experiments.ranks import Trend
from core.machine.names import shown
from core.sample import METRIC_WORDS
from core.trust.calibration import Doubt, Reliability
from core.trust.record import Record, spread_over
from core.trust.stress import KINDS, Stress

SYMBOLS = ("circle", "square")


def hatched(colour: str, shape: str, colours: Colours) -> dict[str, object]:
    """A bar's colour and the pattern over it; none for an empty shape."""
    pattern = {"shape": shape, "fillmode": "overlay", "fgcolor": colours.page, "solidity": 0.25, "size": 6}
    return {"color": colour, "pattern": pattern}


def strength_lines(found: Sequence[tuple[str, Stress]], now: int, colours: Colours) -> go.Figure:
    """Metric against strength of the run (green) and its rival (dashed), ± sd over draws; orange: the strength now.

    Where the metric is undefined: how far the scores move instead.
    """
    first, traces = found[0][1], []
    number = "%{y:.3f}" if first.why else "%{y:.2f} ± %{customdata:.2f}"
    for place, (name, stress) in enumerate(found):
        colour = (colours.edge, colours.ink)[place]
        if len(stress.values) > 1 and not first.why:
            low, high = stress.mean - stress.sd, stress.mean + stress.sd
            traces.append(draw.band(stress.levels, low, high, colours.faded(colour, 0.12)))
        traces.append(draw.line(
            stress.levels, stress.moved if first.why else stress.mean, plotly_text(name, 44), colour,
            f"strength %{{x}}: {number}<extra></extra>", dash=draw.DASHES[place], symbol=SYMBOLS[place], size=8,
            customdata=np.nan_to_num(stress.sd),
        ))  # fmt: skip
    title = "mean move of a score" if first.why else axis(METRIC_WORDS[first.metric], first.metric)
    x = {"title": KINDS[first.kind].strength, "tickvals": first.levels, "showgrid": False}
    figure = draw.framed(traces, 340, x, title, below=0.22)
    draw.upright(figure, float(first.levels[now]), colours.selected, None, 1.5)
    return figure


def strength_table(found: Sequence[tuple[str, Stress]]) -> pd.DataFrame:
    """The curves in numbers."""
    table: dict[str, object] = {"strength": found[0][1].levels}
    for place, (name, stress) in enumerate(found):
        label = shown(name, 60) + (" (baseline)" if place else "")
        if not found[0][1].why:
            table |= {label: stress.mean.round(4), f"{label}, sd": stress.sd.round(4)}
        table[f"{label}, mean move of a score"] = stress.moved.round(5)
    return pd.DataFrame(table)


def score_lines(
    before: Float[np.ndarray, " units"], after: Float[np.ndarray, " units"], labels: Bool[np.ndarray, " units"] | None,
    seconds: float, threshold: float, span: tuple[float, float], colours: Colours,
) -> go.Figure:  # fmt: skip
    """A clip's scores, clean (grey, dotted) and corrupted (green); purple bands and diamonds: labelled anomalies."""
    times = (np.arange(len(before)) + 0.5) * seconds
    odd = np.zeros(len(before), bool) if labels is None else labels
    hover = "%{{x:.1f}} s, {}: %{{y:.3f}}<extra></extra>"
    look = [("diamond", colours.anomaly, 9) if flag else ("circle", colours.edge, 5) for flag in odd]
    symbols, tints, sizes = (list(each) for each in zip(*look, strict=True))
    corrupted = draw.line(
        times, after, "corrupted", colours.edge, hover.format("corrupted"), symbol=symbols, size=sizes
    )
    corrupted["marker"]["color"] = tints
    traces = [draw.line(times, before, "clean", colours.normal, hover.format("clean"), dash="dot"), corrupted]
    x = {"title": "time (s)", "range": [0, len(before) * seconds], "showgrid": False}
    y = {"title": "score", "range": [span[0] - 0.02 * (span[1] - span[0]), span[1]]}
    figure = draw.framed(traces, 340, x, y, below=0.22)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], odd.astype(int), [0]])))
    fill = colours.faded(colours.anomaly, 0.12)
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        figure.add_vrect(x0=start * seconds, x1=stop * seconds, fillcolor=fill, line={"width": 0})
    draw.level(figure, threshold, "alarm", colours.quiet, place="top left", dash="dash")
    return figure


def class_pairs(
    before: Float[np.ndarray, " classes"], after: Float[np.ndarray, " classes"], names: Sequence[str],
    true: int | None, colours: Colours,
) -> go.Figure:  # fmt: skip
    """Probability of each class for one sample, clean (hatched grey) and corrupted (green); the diamond: its class."""
    words = [plotly_text(name, 20) + (" ◆" if place == true else "") for place, name in enumerate(names)]
    sides = (("clean", before, colours.normal, "/"), ("corrupted", after, colours.edge, ""))
    traces = [
        draw.bars(words, values, name, colour, f"%{{y}}, {name}: %{{x:.3f}}<extra></extra>")
        | {"marker": hatched(colour, shape, colours)}
        for name, values, colour, shape in sides
    ]
    x, y = {"title": "probability", "range": [0, 1]}, {"autorange": "reversed", "type": "category"}
    height = max(340, min(620, 80 + 30 * len(names)))
    return draw.framed(traces, height, x, y, below=0.16, barmode="group", bargap=0.2)


def target_pairs(
    before: Float[np.ndarray, " targets"], after: Float[np.ndarray, " targets"],
    target: Float[np.ndarray, " targets"], names: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    """Real targets of one sample: what the model says, clean and corrupted, and the truth."""
    numbers = {"truth": target.round(4), "clean": before.round(4), "corrupted": after.round(4)}
    return pd.DataFrame({"target": [shown(name, 40) for name in names]} | numbers)


def reliability_diagram(found: Reliability, odd: bool, colours: Colours) -> go.Figure:
    """Confidence against the share that is right, bin by bin, with 95 % intervals; bars: how many rows each bin has.

    odd     the share is of anomalous units; else of rightly named samples
    """
    filled = found.count > 0
    x, y, count = found.confidence[filled], found.right[filled], found.count[filled]
    spread = draw.whiskers(y, found.low[filled], found.high[filled], colours.faded(colours.edge, 0.5), width=3)
    shares = {
        "type": "bar", "x": (found.edges[:-1] + found.edges[1:])[filled] / 2, "y": count / found.rows,
        "width": np.diff(found.edges)[filled] * 0.96, "marker": {"color": colours.faded(colours.normal, 0.28)},
        "name": "share of the rows", "customdata": count, "hovertemplate": "%{customdata:,} rows<extra></extra>",
    }  # fmt: skip
    hover = "confidence %{x:.3f}, right %{y:.3f}, %{customdata:,} rows<extra></extra>"
    traces = [
        shares,
        draw.line([0, 1], [0, 1], "calibrated", colours.quiet, width=1, dash="dot"),
        draw.line(x, y, "this run", colours.edge, hover, size=8, error_y=spread, customdata=count),
    ]
    across = {"title": "score" if odd else "confidence", "range": [-0.02, 1.02]}
    up = {"title": "share anomalous" if odd else "share named rightly", "range": [0, 1.04]}
    return draw.framed(traces, 320, across, up, below=0.25, bargap=0)


def reliability_table(found: Reliability) -> pd.DataFrame:
    """Every bin in numbers."""
    numbers = {"from": found.edges[:-1], "to": found.edges[1:], "rows": found.count, "confidence": found.confidence}
    numbers |= {"right": found.right, "low": found.low, "high": found.high}
    return pd.DataFrame({name: values.round(4) for name, values in numbers.items()})


def doubt_bars(
    found: Doubt, known: Bool[np.ndarray, " rows"], wrong: Bool[np.ndarray, " rows"], colours: Colours
) -> go.Figure:
    """How the entropy of rows that are decided rightly and wrongly lies, in 20 equal bins up to log k."""
    top, traces = float(np.log(found.mean.shape[1])), []
    bins = {"start": 0, "end": top * 1.0001, "size": top * 1.0001 / 20}
    for name, chosen, colour, shape in (
        ("right", known & ~wrong, colours.edge, ""),
        ("wrong", known & wrong, colours.selected, "/"),
    ):
        traces.append({
            "type": "histogram", "x": found.entropy[chosen], "xbins": bins, "histnorm": "probability",
            "name": f"{name} ({int(chosen.sum()):,})", "marker": hatched(colour, shape, colours),
            "hovertemplate": f"{name}: %{{y:.1%}} at entropy %{{x}}<extra></extra>",
        })  # fmt: skip
    x = {"title": "predictive entropy (nats)", "range": [0, top]}
    y = {"title": "share of those rows", "tickformat": ".0%"}
    return draw.framed(traces, 300, x, y, below=0.25, barmode="group", bargap=0.08)


def trend_rows(found: Sequence[Trend], colours: Colours) -> go.Figure:
    """How what is kept follows the rank, a row a corruption: slope, 95 % interval. Left of 0 the claim holds."""
    hover = "%{y}: %{x:+.2f} points a doubling, %{customdata[0]:+.2f} to %{customdata[1]:+.2f}, "
    hover += "p %{customdata[2]:.3f} after Holm<extra></extra>"
    traces = []
    for said, symbol, colour in (
        ("supported", "circle", colours.edge),
        ("not decided", "circle-open", colours.normal),
        ("contradicted", "diamond", colours.selected),
    ):
        mine = [each for each in found if each.verdict == said]
        slopes, low, high = ([getattr(each, what) for each in mine] for what in ("slope", "low", "high"))
        traces.append(draw.dots(
            slopes, [KINDS[each.kind].title for each in mine], said, colour, hover, symbol=symbol, size=11,
            rim={"width": 2, "color": colour}, error_x=draw.whiskers(slopes, low, high, colour, 2, 0),
            customdata=[[each.low, each.high, each.adjusted] for each in mine], showlegend=bool(mine),
        ))  # fmt: skip
    x, order = "percent points kept more, a doubling of the rank", [KINDS[each.kind].title for each in found]
    rows = {"type": "category", "categoryorder": "array", "categoryarray": order[::-1]}
    figure = draw.framed(traces, 120 + 34 * len(found), x, rows, below=0.3)
    draw.upright(figure, 0, colours.quiet, None)
    return figure


def trend_table(found: Sequence[Trend]) -> pd.DataFrame:
    """The same in numbers."""
    return pd.DataFrame(
        {
            "corruption": KINDS[each.kind].title,
            "slope": round(each.slope, 3),
            "low": round(each.low, 3),
            "high": round(each.high, 3),
            "p after Holm": round(each.adjusted, 4),
            "lowest − highest rank": round(each.lowest, 3),
            "from": round(each.lowest_low, 3),
            "to": round(each.lowest_high, 3),
            "verdict": each.verdict,
        }
        for each in found
    )


def rank_table(found: Sequence[Record]) -> pd.DataFrame:
    """A row a rank: its runs, the clean metric and what is kept of it under each corruption, mean ± sd over seeds."""
    rows = []
    for rank in sorted({int(each.run.config["rank"]) for each in found}):
        mine = [each for each in found if each.run.config["rank"] == rank]
        row: dict[str, object] = {"rank": rank, "runs": len(mine), "clean": _spread([each.clean for each in mine])}
        kept = {f"{KINDS[k].title}, kept (%)": _spread([each.kept[k] for each in mine]) for k in mine[0].kept}
        rows.append(row | kept)
    return pd.DataFrame(rows)


def _spread(values: Sequence[float]) -> str:
    told = spread_over(values)
    if told["mean"] is None:
        return "–"
    return f"{told['mean']:.1f}" + ("" if told["sd"] is None else f" ± {told['sd']:.1f}")

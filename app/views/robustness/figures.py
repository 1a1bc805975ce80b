"""What corruptions do: metric against strength, scores before and after, reliability, entropy, ranks of LMF."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures.style import Colours, plotly_text
from core.experiments.ranks import Trend
from core.machine.names import shown
from core.sample import METRIC_WORDS
from core.trust.calibration import Doubt, Reliability
from core.trust.record import Record, spread_over
from core.trust.stress import KINDS, Stress

SYMBOLS = ("circle", "square")
DASHES = ("solid", "dash")


def begun(words: str) -> str:
    """With a capital letter; the others stay.

    >>> begun("unit AUC")
    'Unit AUC'
    """
    return words[:1].upper() + words[1:]


def unit_of(metric: str) -> str:
    return "" if metric == "correlation" else " (%)"


def digits(metric: str) -> int:
    return 3 if metric == "correlation" else 1


def told(value: float, metric: str) -> str:
    """A number of the metric; a dash where it is undefined."""
    return "–" if np.isnan(value) else f"{value:.{digits(metric)}f}"


def hatched(shape: str, colours: Colours) -> dict[str, object]:
    """A bar's pattern over its colour; none for an empty shape."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": colours.page, "solidity": 0.25, "size": 6}


def strength_lines(found: Sequence[tuple[str, Stress]], now: int, colours: Colours) -> go.Figure:
    """Metric against strength of the run (green) and its rival (dashed), ± sd over draws; orange: the strength now.

    Where the metric is undefined: how far the scores move instead.
    """
    figure = go.Figure()
    first = found[0][1]
    for place, (name, stress) in enumerate(found):
        colour = (colours.edge, colours.ink)[place]
        line = stress.moved if first.why else stress.mean
        if len(stress.values) > 1 and not first.why:
            low, high = stress.mean - stress.sd, stress.mean + stress.sd
            figure.add_scatter(
                x=np.concatenate([stress.levels, stress.levels[::-1]]),
                y=np.concatenate([high, low[::-1]]),
                fill="toself",
                fillcolor=colours.faded(colour, 0.12),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
            )
        figure.add_scatter(
            x=stress.levels,
            y=line,
            mode="lines+markers",
            name=plotly_text(name, 44),
            line={"color": colour, "width": 2, "dash": DASHES[place]},
            marker={"symbol": SYMBOLS[place], "size": 8},
            customdata=np.nan_to_num(stress.sd),
            hovertemplate="strength %{x}: "
            + ("%{y:.3f}" if first.why else "%{y:.2f} ± %{customdata:.2f}")
            + "<extra></extra>",
        )
    figure.add_vline(x=float(first.levels[now]), line={"color": colours.selected, "width": 1.5})
    title = "mean move of a score" if first.why else f"{METRIC_WORDS[first.metric]}{unit_of(first.metric)}"
    return figure.update_layout(
        template=colours.template,
        height=340,
        xaxis={"title": KINDS[first.kind].strength, "tickvals": first.levels, "showgrid": False},
        yaxis={"title": title},
        legend={"y": -0.22, "yanchor": "top"},
        margin={"t": 12},
    )


def strength_table(found: Sequence[tuple[str, Stress]]) -> pd.DataFrame:
    """The curves in numbers."""
    table: dict[str, object] = {"strength": found[0][1].levels}
    for place, (name, stress) in enumerate(found):
        label = shown(name, 60) + (" (baseline)" if place else "")
        if not found[0][1].why:
            table[label] = stress.mean.round(4)
            table[f"{label}, sd"] = stress.sd.round(4)
        table[f"{label}, mean move of a score"] = stress.moved.round(5)
    return pd.DataFrame(table)


def score_lines(
    before: Float[np.ndarray, " units"],
    after: Float[np.ndarray, " units"],
    labels: Bool[np.ndarray, " units"] | None,
    seconds: float,
    threshold: float,
    span: tuple[float, float],
    colours: Colours,
) -> go.Figure:
    """A clip's scores, clean (grey, dotted) and corrupted (green); purple bands and diamonds: labelled anomalies."""
    times = (np.arange(len(before)) + 0.5) * seconds
    odd = np.zeros(len(before), bool) if labels is None else labels
    figure = go.Figure()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], odd.astype(int), [0]])))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        figure.add_vrect(
            x0=start * seconds, x1=stop * seconds, fillcolor=colours.faded(colours.anomaly, 0.12), line={"width": 0}
        )
    figure.add_scatter(
        x=times,
        y=before,
        mode="lines",
        name="clean",
        line={"color": colours.normal, "dash": "dot", "width": 2},
        hovertemplate="%{x:.1f} s, clean: %{y:.3f}<extra></extra>",
    )
    figure.add_scatter(
        x=times,
        y=after,
        mode="lines+markers",
        name="corrupted",
        line={"color": colours.edge, "width": 2},
        marker={
            "symbol": ["diamond" if flag else "circle" for flag in odd],
            "color": [colours.anomaly if flag else colours.edge for flag in odd],
            "size": [9 if flag else 5 for flag in odd],
        },
        hovertemplate="%{x:.1f} s, corrupted: %{y:.3f}<extra></extra>",
    )
    figure.add_hline(
        y=threshold,
        line={"color": colours.quiet, "dash": "dash", "width": 1},
        annotation={"text": "alarm", "font": {"size": 10, "color": colours.quiet}},
        annotation_position="top left",
    )
    return figure.update_layout(
        template=colours.template,
        height=340,
        xaxis={"title": "time (s)", "range": [0, len(before) * seconds], "showgrid": False},
        yaxis={"title": "score", "range": [span[0] - 0.02 * (span[1] - span[0]), span[1]]},
        legend={"y": -0.22, "yanchor": "top"},
        margin={"t": 12},
    )


def class_pairs(
    before: Float[np.ndarray, " classes"],
    after: Float[np.ndarray, " classes"],
    names: Sequence[str],
    true: int | None,
    colours: Colours,
) -> go.Figure:
    """Probability of each class for one sample, clean (hatched grey) and corrupted (green); the diamond: its class."""
    words = [plotly_text(name, 20) + (" ◆" if place == true else "") for place, name in enumerate(names)]
    figure = go.Figure()
    for name, values, colour, shape in (
        ("clean", before, colours.normal, "/"),
        ("corrupted", after, colours.edge, ""),
    ):
        figure.add_bar(
            x=values,
            y=words,
            orientation="h",
            name=name,
            marker={
                "color": colour,
                "pattern": hatched(shape, colours),
            },
            hovertemplate=f"%{{y}}, {name}: %{{x:.3f}}<extra></extra>",
        )
    return figure.update_layout(
        template=colours.template,
        height=max(340, min(620, 80 + 30 * len(names))),
        barmode="group",
        bargap=0.2,
        xaxis={"title": "probability", "range": [0, 1]},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"y": -0.16, "yanchor": "top"},
        margin={"t": 12},
    )


def target_pairs(
    before: Float[np.ndarray, " targets"],
    after: Float[np.ndarray, " targets"],
    target: Float[np.ndarray, " targets"],
    names: Sequence[str],
) -> pd.DataFrame:
    """Real targets of one sample: what the model says, clean and corrupted, and the truth."""
    return pd.DataFrame(
        {
            "target": [shown(name, 40) for name in names],
            "truth": target.round(4),
            "clean": before.round(4),
            "corrupted": after.round(4),
        }
    )


def reliability_diagram(found: Reliability, odd: bool, colours: Colours) -> go.Figure:
    """Confidence against the share that is right, bin by bin, with 95 % intervals; bars: how many rows each bin has.

    odd     the share is of anomalous units; else of rightly named samples
    """
    filled = found.count > 0
    x, y = found.confidence[filled], found.right[filled]
    share = found.count[filled] / found.rows
    figure = go.Figure()
    figure.add_bar(
        x=(found.edges[:-1] + found.edges[1:])[filled] / 2,
        y=share,
        width=np.diff(found.edges)[filled] * 0.96,
        marker={"color": colours.faded(colours.normal, 0.28)},
        name="share of the rows",
        customdata=found.count[filled],
        hovertemplate="%{customdata:,} rows<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="calibrated",
        line={"color": colours.quiet, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name="this run",
        line={"color": colours.edge, "width": 2},
        marker={"size": 8},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": found.high[filled] - y,
            "arrayminus": y - found.low[filled],
            "thickness": 1,
            "width": 3,
            "color": colours.faded(colours.edge, 0.5),
        },
        customdata=found.count[filled],
        hovertemplate="confidence %{x:.3f}, right %{y:.3f}, %{customdata:,} rows<extra></extra>",
    )
    return figure.update_layout(
        template=colours.template,
        height=320,
        xaxis={"title": "score" if odd else "confidence", "range": [-0.02, 1.02]},
        yaxis={"title": "share anomalous" if odd else "share named rightly", "range": [0, 1.04]},
        legend={"y": -0.25, "yanchor": "top"},
        margin={"t": 12},
        bargap=0,
    )


def reliability_table(found: Reliability) -> pd.DataFrame:
    """Every bin in numbers."""
    return pd.DataFrame(
        {
            "from": found.edges[:-1].round(4),
            "to": found.edges[1:].round(4),
            "rows": found.count,
            "confidence": found.confidence.round(4),
            "right": found.right.round(4),
            "low": found.low.round(4),
            "high": found.high.round(4),
        }
    )


def doubt_bars(
    found: Doubt, known: Bool[np.ndarray, " rows"], wrong: Bool[np.ndarray, " rows"], colours: Colours
) -> go.Figure:
    """How the entropy of rows that are decided rightly and wrongly lies, in 20 equal bins up to log k."""
    top = float(np.log(found.mean.shape[1]))
    figure = go.Figure()
    for name, chosen, colour, shape in (
        ("right", known & ~wrong, colours.edge, ""),
        ("wrong", known & wrong, colours.selected, "/"),
    ):
        figure.add_histogram(
            x=found.entropy[chosen],
            xbins={"start": 0, "end": top * 1.0001, "size": top * 1.0001 / 20},
            histnorm="probability",
            name=f"{name} ({int(chosen.sum()):,})",
            marker={
                "color": colour,
                "pattern": hatched(shape, colours),
            },
            hovertemplate=f"{name}: %{{y:.1%}} at entropy %{{x}}<extra></extra>",
        )
    return figure.update_layout(
        template=colours.template,
        height=300,
        barmode="group",
        bargap=0.08,
        xaxis={"title": "predictive entropy (nats)", "range": [0, top]},
        yaxis={"title": "share of those rows", "tickformat": ".0%"},
        legend={"y": -0.25, "yanchor": "top"},
        margin={"t": 12},
    )


def trend_rows(found: Sequence[Trend], colours: Colours) -> go.Figure:
    """How what is kept follows the rank, a row a corruption: slope, 95 % interval. Left of 0 the claim holds."""
    figure = go.Figure()
    for said, symbol, colour in (
        ("supported", "circle", colours.edge),
        ("not decided", "circle-open", colours.normal),
        ("contradicted", "diamond", colours.selected),
    ):
        rows = [each for each in found if each.verdict == said]
        figure.add_scatter(
            x=[each.slope for each in rows],
            y=[KINDS[each.kind].title for each in rows],
            mode="markers",
            name=said,
            showlegend=bool(rows),
            marker={"symbol": symbol, "color": colour, "size": 11, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [each.high - each.slope for each in rows],
                "arrayminus": [each.slope - each.low for each in rows],
                "color": colour,
                "thickness": 2,
                "width": 0,
            },
            customdata=[[each.low, each.high, each.adjusted] for each in rows],
            hovertemplate="%{y}: %{x:+.2f} points a doubling, %{customdata[0]:+.2f} to %{customdata[1]:+.2f}, "
            "p %{customdata[2]:.3f} after Holm<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": colours.quiet, "width": 1})
    order = [KINDS[each.kind].title for each in found]
    return figure.update_layout(
        template=colours.template,
        height=120 + 34 * len(found),
        xaxis={"title": "percent points kept more, a doubling of the rank"},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": order[::-1]},
        legend={"y": -0.3, "yanchor": "top"},
        margin={"t": 12},
    )


def trend_table(found: Sequence[Trend]) -> pd.DataFrame:
    """The same in numbers."""
    return pd.DataFrame(
        [
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
        ]
    )


def rank_table(found: Sequence[Record]) -> pd.DataFrame:
    """A row a rank: its runs, the clean metric and what is kept of it under each corruption, mean ± sd over seeds."""
    rows = []
    for rank in sorted({int(each.run.config["rank"]) for each in found}):
        mine = [each for each in found if each.run.config["rank"] == rank]
        row: dict[str, object] = {"rank": rank, "runs": len(mine), "clean": _spread([each.clean for each in mine])}
        for kind in mine[0].kept:
            row[f"{KINDS[kind].title}, kept (%)"] = _spread([each.kept[kind] for each in mine])
        rows.append(row)
    return pd.DataFrame(rows)


def _spread(values: Sequence[float]) -> str:
    told = spread_over(values)
    if told["mean"] is None:
        return "–"
    return f"{told['mean']:.1f}" + ("" if told["sd"] is None else f" ± {told['sd']:.1f}")

"""Scores as curves and tables: clips, units, operating points."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from app.figures.style import Colours, plotly_text
from core.clip import Clip
from core.dataset import Dataset
from core.machine.names import shown
from core.measure.metrics import auc, kind_of_units, summary
from core.measure.thresholds import Curve, Decision, Graded, Units, ranks
from core.run import Run
from core.sample import METRIC_WORDS, Samples


def clip_table(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], threshold: float) -> pd.DataFrame:
    """One row a clip: its kinds of anomaly, highest score, AUC among its own units (percent), alarms, and the scores.

    AUC is NaN where a clip has one class only; `anomalous` is "?" where nobody labelled it.
    """
    rows = []
    for clip in clips:
        values = scores[clip.name]
        labels = None if clip.labels is None else clip.labels.numpy()
        rows.append(
            {
                "clip": shown(clip.name),
                "anomalous": "?" if clip.anomalous is None else "yes" if clip.anomalous else "no",
                "kinds": ", ".join(shown(kind, 30) for kind in dict.fromkeys(clip.kinds)),
                "scores": [round(float(value), 3) for value in values],
                "highest": float(values.max()),
                "AUC": float("nan") if labels is None else auc(values, labels),
                "alarms": int((values >= threshold).sum()),
                "units": clip.units,
                "seconds": clip.duration,
            }
        )
    return pd.DataFrame(rows)


def bare_clip_table(clips: Sequence[Clip]) -> pd.DataFrame:
    """The same without scores: what is known of clips before a model has looked at them."""
    return pd.DataFrame(
        {
            "clip": [shown(clip.name) for clip in clips],
            "anomalous": ["?" if clip.anomalous is None else "yes" if clip.anomalous else "no" for clip in clips],
            "kinds": [", ".join(shown(kind, 30) for kind in dict.fromkeys(clip.kinds)) for clip in clips],
            "units": [clip.units for clip in clips],
            "seconds": [clip.duration for clip in clips],
        }
    )


ORDERS = ("as listed", "highest score first", "most alarms first", "lowest AUC first")


def clip_order(
    order: str,
    units: Units,
    highest: Float[np.ndarray, " clips"],
    aucs: Float[np.ndarray, " clips"],
    threshold: float,
) -> Float[np.ndarray, " clips"]:
    """A number a clip, the smallest listed first; clips without an AUC come last in its order."""
    if order == ORDERS[1]:
        return np.asarray(-highest, dtype=float)
    if order == ORDERS[2]:
        return -units.each(units.scores >= np.asarray(threshold, units.scores.dtype)).astype(float)
    if order == ORDERS[3]:
        return np.where(np.isnan(aucs), np.inf, aucs)
    return np.arange(len(highest), dtype=float)


def unit_table(clip: Clip, scores: Float[np.ndarray, " units"], threshold: float) -> pd.DataFrame:
    """One row a unit: when it starts, score, rank (1 = highest), alarm, truth, kind of anomaly."""
    labels = None if clip.labels is None else clip.labels.numpy()
    return pd.DataFrame(
        {
            "unit": np.arange(clip.units),
            "from (s)": np.arange(clip.units) * clip.seconds,
            "score": scores,
            "truth": ["?"] * clip.units if labels is None else ["anomaly" if label else "normal" for label in labels],
            "kind": [shown(kind, 30) for kind in kind_of_units(clip)],
            "alarm": ["alarm" if score >= threshold else "" for score in scores],
            "rank": ranks(scores),
        }
    )


def score_span(scores: Mapping[str, np.ndarray], threshold: float) -> tuple[float, float]:
    """Bottom and top of every score axis of one run: 0 to 1, or closer where all scores and the threshold lie close.

    >>> score_span({"a": np.array([0.01, 0.83])}, 0.5)
    (0.0, 1.0)
    >>> score_span({"a": np.array([0.47, 0.52])}, 0.5)
    (0.45, 0.55)
    """
    low = min(threshold, *(float(values.min()) for values in scores.values()))
    high = max(threshold, *(float(values.max()) for values in scores.values()))
    if high - low > 0.4:
        return 0.0, 1.0
    low, high = math.floor(low / 0.05) * 0.05, math.ceil(high / 0.05) * 0.05
    return round(low, 2), round(max(high, low + 0.05), 2)


def thinned(curve: Curve) -> Curve:
    """At most `POINTS` points of a curve at equal steps of its length, both ends among them; short ones stay whole."""
    if len(curve.x) <= POINTS:
        return curve
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    at = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)).clip(max=len(along) - 1))
    small = (each[at].astype(np.float32) for each in (curve.x, curve.y, curve.thresholds))  # half the bytes to send
    return Curve(*small)


def operating_curve(
    curve: Curve,
    now: tuple[float, float],
    best: tuple[float, float] | None,
    axes: tuple[str, str],
    colours: Colours,
    chance: Sequence[tuple[float, float]] = (),
    height: int = 340,
) -> go.Figure:
    """A curve over all thresholds, with the point where the threshold stands now and the cheapest one.

    chance    the line of a detector that guesses, drawn dotted
    """
    figure = go.Figure()
    if chance:
        figure.add_scatter(
            x=[x for x, _ in chance],
            y=[y for _, y in chance],
            mode="lines",
            name="guessing",
            line={"color": colours.normal, "dash": "dot", "width": 1},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=curve.x,
        y=curve.y,
        customdata=curve.thresholds,
        mode="lines",
        name="every threshold",
        line={"color": colours.edge, "width": 2},
        hovertemplate=f"threshold %{{customdata:.3f}}<br>{axes[0]} %{{x:.3f}}<br>{axes[1]} %{{y:.3f}}<extra></extra>",
    )
    for name, point, symbol, colour in (
        ("cheapest", best, "star", colours.ink),
        ("threshold now", now, "circle", colours.selected),
    ):
        if point is not None:
            figure.add_scatter(
                x=[point[0]],
                y=[point[1]],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 13, "color": colour, "line": {"color": colours.page, "width": 1.5}},
                hovertemplate=f"{name}<br>{axes[0]} %{{x:.3f}}<br>{axes[1]} %{{y:.3f}}<extra></extra>",
            )
    figure.update_layout(
        height=height,
        xaxis={"title": {"text": axes[0]}, "range": [-0.02, 1.02], "constrain": "domain"},
        yaxis={"title": {"text": axes[1]}, "range": [-0.02, 1.04]},
    )
    return figure


def curve_table(curve: Curve, axes: tuple[str, str]) -> pd.DataFrame:
    """The curve's numbers."""
    return pd.DataFrame({"threshold": curve.thresholds, axes[0]: curve.x, axes[1]: curve.y})


def roc_figure(found: Graded, now: Decision, best: Decision, colours: Colours) -> tuple[go.Figure, pd.DataFrame]:
    """False-alarm rate against recall, and its numbers."""
    curve, axes = found.roc, ("false-alarm rate", "recall")
    points = (now.false_alarm_rate, now.recall), (best.false_alarm_rate, best.recall)
    return operating_curve(thinned(curve), *points, axes, colours, [(0.0, 0.0), (1.0, 1.0)]), curve_table(curve, axes)


def pr_figure(found: Graded, now: Decision, best: Decision, colours: Colours) -> tuple[go.Figure, pd.DataFrame]:
    """Recall against precision, and its numbers; an alarm at random has the anomalies' share as its precision."""
    curve, axes = found.precision_recall, ("recall", "precision")
    share = len(found.anomalous) / len(found)
    points = (now.recall, now.precision), (best.recall, best.precision)
    chance = [(0.0, share), (1.0, share)]
    return operating_curve(thinned(curve), *points, axes, colours, chance), curve_table(curve, axes)


def decision_facts(now: Decision, best: Decision, miss_price: float, hours: float, level: str) -> dict[str, str]:
    """The decision in a handful of numbers, for cards; nothing an hour where there is no video."""
    return {
        "recall": f"{now.recall:.3f}",
        "precision": "none" if math.isnan(now.precision) else f"{now.precision:.3f}",  # no alarm, no share of them
        f"false alarms ({level})": f"{now.false_alarms:,}",
        **({"false alarms an hour": f"{now.per_hour(hours):,.0f}"} if hours > 0 else {}),
        "misses": f"{now.misses:,}",
        "cost now": f"{now.cost(miss_price):,.0f}",
        "cheapest cost": f"{best.cost(miss_price):,.0f}",
    }


def hours(clips: Sequence[Clip]) -> float:
    """Length of the labelled clips."""
    return sum(clip.duration for clip in clips if clip.labels is not None) / 3600


def histogram(
    found: Graded, threshold: float, span: tuple[float, float], colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """How the scores of normal and of anomalous units lie on either side of the threshold, and its numbers; 40 bins."""
    edges = np.linspace(*span, 41)
    size = edges[1] - edges[0]
    table: dict[str, Any] = {"from": edges[:-1].round(4), "to": edges[1:].round(4)}
    figure = go.Figure()
    for name, side, colour, pattern, shift in (
        ("normal", found.normal, colours.normal, "", 0.27),
        ("anomalous", found.anomalous, colours.anomaly, "/", 0.73),
    ):
        above = found.above(side, edges)
        above[-1] = 0  # what equals the last edge is in the last bin
        counts = above[:-1] - above[1:]
        table[name] = counts
        figure.add_bar(
            x=edges[:-1] + shift * size,
            y=counts / max(len(side), 1),
            width=0.45 * size,
            name=name,
            customdata=[f"{low:.3f} to {high:.3f}" for low, high in zip(edges[:-1], edges[1:], strict=True)],
            marker={
                "color": colour,
                "pattern": {
                    "shape": pattern,
                    "fillmode": "overlay",
                    "fgcolor": colours.page,
                    "solidity": 0.2,
                    "size": 6,
                },
            },
            hovertemplate=f"{name}<br>score %{{customdata}}<br>share %{{y:.1%}}<extra></extra>",
        )
    figure.add_vline(
        x=threshold,
        line={"color": colours.selected, "width": 2},
        annotation={
            "text": "threshold",
            "font": {"color": colours.ink, "size": 11},
            "xanchor": "left" if threshold < sum(span) / 2 else "right",  # towards the middle, or it would be cut off
        },
    )
    figure.update_layout(
        height=240,
        barmode="overlay",
        xaxis={"title": {"text": "score"}, "range": list(span)},
        yaxis={"title": {"text": "share of its units"}, "tickformat": ".0%"},
    )
    return figure, pd.DataFrame(table)


def cost_figure(
    found: Graded, miss_price: float, now: Decision, best: Decision, colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """Cost in false alarms at every threshold, when a miss costs `miss_price` of them, and its numbers."""
    useful = found.thresholds
    at = np.concatenate([[0.0], useful[:: max(1, len(useful) // POINTS)], [1.0]])
    false, misses = found.above(found.normal, at), len(found.anomalous) - found.above(found.anomalous, at)
    costs = false + miss_price * misses
    figure = go.Figure(
        go.Scatter(
            x=at,
            y=costs,
            name="cost",
            line={"color": colours.edge, "width": 2, "shape": "hv"},
            hovertemplate="threshold %{x:.3f}<br>cost %{y:.0f} false alarms<extra></extra>",
        )
    )
    for name, point, symbol, colour in (
        ("cheapest", best, "star", colours.ink),
        ("threshold now", now, "circle", colours.selected),
    ):
        figure.add_scatter(
            x=[min(point.threshold, 1.0)],
            y=[point.cost(miss_price)],
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 13, "color": colour, "line": {"color": colours.page, "width": 1.5}},
            hovertemplate=f"{name}<br>threshold %{{x:.3f}}<br>cost %{{y:.0f}}<extra></extra>",
        )
    figure.update_layout(
        height=240,
        xaxis={"title": {"text": "threshold"}},
        yaxis={"title": {"text": "cost (false alarms)"}, "rangemode": "tozero"},
    )
    return figure, pd.DataFrame({"threshold": at, "false alarms": false, "misses": misses, "cost": costs})


def confusion(now: Decision, colours: Colours) -> go.Figure:
    """The four counts at the threshold; the share of its row is the darkness."""
    counts = np.array([[now.true_alarms, now.misses], [now.false_alarms, now.true_rests]])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=["alarm", "no alarm"],
            y=["anomalous", "normal"],
            zmin=0,
            zmax=1,
            colorscale=[[0, colours.panel], [1, colours.faded(colours.normal, 0.55)]],
            showscale=False,
            xgap=3,
            ygap=3,
            text=[[f"{counts[row, col]}<br>{shares[row, col]:.0%}" for col in (0, 1)] for row in (0, 1)],
            texttemplate="%{text}",
            textfont={"size": 15, "color": colours.ink},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )
    )
    return figure.update_layout(height=200, yaxis={"autorange": "reversed"}, xaxis={"side": "top"})


def decision_table(clips: Sequence[Clip], units: Units, threshold: float, order: str = "as listed") -> pd.DataFrame:
    """One row a labelled clip: its four counts at the threshold.

    order   as listed, or a column, the largest first
    """
    alarm = units.scores >= np.asarray(threshold, units.scores.dtype)
    counts = {
        "found": units.each(alarm & units.labels),
        "missed": units.each(~alarm & units.labels),
        "false alarms": units.each(alarm & ~units.labels),
        "quiet": units.each(~alarm & ~units.labels),
    }
    kept = np.flatnonzero(units.labelled)
    if order in counts:
        kept = kept[np.argsort(-counts[order][kept], kind="stable")]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = counts["found"] / (counts["found"] + counts["missed"])
    return pd.DataFrame(
        {
            "clip": [clips[i].name for i in kept.tolist()],
            "kinds": [clips[i].kinds for i in kept.tolist()],
            **{name: values[kept] for name, values in counts.items()},
            "recall": recall[kept],
        }
    )


def told_clips(table: pd.DataFrame) -> pd.DataFrame:
    """A page of `decision_table` with names and kinds as they may be shown."""
    return table.assign(
        clip=[shown(name) for name in table["clip"]],
        kinds=[", ".join(shown(kind, 30) for kind in dict.fromkeys(kinds)) for kinds in table["kinds"]],
    )


@dataclass(frozen=True)
class Kinds:
    """The kind of anomaly of every unit of some clips, one clip after another.

    names    kinds that occur, sorted; may be hostile text
    code     one a unit: its place in `names`, -1 for a unit without one
    """

    names: tuple[str, ...]
    code: Int[np.ndarray, " units"]


def kinds_of(clips: Sequence[Clip]) -> Kinds:
    """Kinds of all units; a clip without labels or without an anomaly has none."""
    code = np.full(sum(clip.units for clip in clips), -1, np.int32)
    places: dict[str, int] = {}
    start = 0
    for clip in clips:
        if clip.labels is not None and bool(clip.labels.any()):
            for unit, kind in enumerate(kind_of_units(clip)):
                if kind:
                    code[start + unit] = places.setdefault(kind, len(places))
        start += clip.units
    names = sorted(places)
    new = np.array([names.index(kind) for kind in places] + [-1], np.int32)
    code = new[code]
    code.setflags(write=False)
    return Kinds(tuple(names), code)


def kind_table(kinds: Kinds, units: Units, threshold: float) -> pd.DataFrame:
    """One row a kind of anomaly: how many of its units raise an alarm."""
    alarm = units.scores >= np.asarray(threshold, units.scores.dtype)
    some = kinds.code >= 0
    there = np.bincount(kinds.code[some], minlength=len(kinds.names))
    found = np.bincount(kinds.code[some & alarm], minlength=len(kinds.names))
    return pd.DataFrame(
        {
            "kind": [shown(kind, 30) for kind in kinds.names],
            "units": there,
            "found": found,
            "recall": found / np.maximum(there, 1),
        }
    )


def group_table(runs: Mapping[str, Run], baseline: str | None) -> pd.DataFrame:
    """One row a method (runs that differ in the seed alone): mean and sd over seeds, last epoch; all for one task.

    Columns: group, method, seeds, the number methods are compared by (`primary`) with its sd, further numbers, the
    same number with a single modality there ("only …", means), weights, seconds. sd is NaN with one seed.
    baseline    group that the last column is the difference in the compared number to
    """
    first = next(iter(runs.values()))
    name_of = primary(first)
    groups: dict[str, list[Run]] = {}
    for run in runs.values():
        groups.setdefault(run.group, []).append(run)
    rows = []
    for group, made in groups.items():
        row: dict[str, Any] = {"group": group, "method": shown(made[0].title, 60), "seeds": len(made)}
        for metric, name in SHOWN_METRICS[first.metric]:
            mean, sd = summary([run.metrics.get(metric) for run in made])
            row[name] = float("nan") if mean is None else mean
            row[f"± {name}"] = float("nan") if sd is None else sd
        for modality in made[0].metrics.get("alone", {}):
            mean, _ = summary([run.metrics["alone"].get(modality) for run in made])
            row[f"only {shown(modality, 30)}"] = float("nan") if mean is None else mean
        rows.append(row | {"weights": made[0].weights, "seconds": sum(run.seconds for run in made) / len(made)})
    table = pd.DataFrame(rows)
    if baseline in groups:
        table[DELTA] = table[name_of] - float(table.loc[table["group"] == baseline, name_of].iloc[0])
    return table.sort_values(name_of, ascending=False, kind="stable", ignore_index=True)


POINTS = 300  # of a drawn curve
DELTA = "Δ"
BARS = 24  # methods drawn at once
SHOWN_METRICS = {
    "auc": (
        ("auc", "unit AUC"),
        ("auc_anomalous", "AUC in anomalous clips"),
        ("ap", "AP"),
        ("auc_frames", "frame AUC"),
    ),
    "accuracy": (("accuracy", "accuracy"), ("macro_f1", "macro F1")),
    "correlation": (("correlation", "correlation"), ("mae", "mean absolute error")),
}


def primary(run: Run) -> str:
    """Name of the number that this run is compared by."""
    return METRIC_WORDS[run.metric]


def method_bars(table: pd.DataFrame, chosen: str | None, colours: Colours) -> go.Figure:
    """The compared number of each method, mean over seeds with sd as whiskers; the chosen run's method accented.

    At most `BARS` of them: the best, and the chosen and the last one wherever they stand. The table holds all.
    """
    if len(table) > BARS:
        best = table.head(BARS - 2)
        table = pd.concat([best, table.loc[(table["group"] == chosen) | (table.index == len(table) - 1)]])
        table = table[~table.index.duplicated()]
    table = table.iloc[::-1]
    name = str(table.columns[3])
    percent = name != METRIC_WORDS["correlation"]
    digits = 1 if percent else 3
    figure = go.Figure(
        go.Bar(
            x=table[name],
            y=[plotly_text(method) for method in table["method"]],
            orientation="h",
            error_x={"type": "data", "array": table[f"± {name}"].fillna(0), "color": colours.ink, "thickness": 1.2},
            marker={"color": [colours.edge if group == chosen else colours.normal for group in table["group"]]},
            text=[
                f"{value:.{digits}f}" + (f" (Δ {delta:+.{digits}f})" if delta else "")
                for value, delta in zip(table[name], table.get(DELTA, [0.0] * len(table)), strict=True)
            ],
            textposition="inside",
            insidetextanchor="start",
            textfont={"color": colours.page},
            hovertemplate=f"%{{y}}: %{{x:.{digits}f}}<extra></extra>",
        )
    )
    if name == METRIC_WORDS["auc"]:
        figure.add_vline(x=50, line={"color": colours.quiet, "width": 1, "dash": "dot"})
    low = min(0.0, float(table[name].min())) if len(table) else 0.0
    return figure.update_layout(
        height=60 + (30 if len(table) < 25 else 22) * len(table),
        xaxis={"title": {"text": f"{name} (%)" if percent else name}, "range": [low, 100 if percent else 1]},
        bargap=0.25,
    )


def said(what: str, names: Sequence[str], values: Sequence[float]) -> str:
    """Numbers as a sentence, for those who do not see the figure.

    >>> said("unit AUC", ["LEGO", "sum"], [90.0, 80.0])
    'unit AUC: LEGO 90.0, sum 80.0'
    """
    return f"{what}: " + ", ".join(f"{name} {value:.1f}" for name, value in zip(names, values, strict=True))


@dataclass(frozen=True)
class Moment:
    """A unit of a clip and its score."""

    clip: str
    unit: int
    score: float
    anomalous: bool | None


def top_moments(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], count: int = 10) -> list[Moment]:
    """The units with the highest scores, at most one from each clip while there are enough clips."""
    found = []
    for clip in clips:
        order = np.argsort(-scores[clip.name], kind="stable")[:count]
        for place, unit in enumerate(order.tolist()):
            truth = None if clip.labels is None else bool(clip.labels[unit])
            found.append(
                (place, -float(scores[clip.name][unit]), Moment(clip.name, unit, float(scores[clip.name][unit]), truth))
            )
    found.sort(key=lambda item: item[:2])
    return sorted((moment for _, _, moment in found[:count]), key=lambda moment: -moment.score)


def dataset_table(data: Dataset | Samples) -> pd.DataFrame:
    """One row a modality: its width and what made it."""
    return pd.DataFrame(
        {
            "modality": [shown(name) for name in data.widths],
            "width": list(data.widths.values()),
            "made by": [shown(data.extractors.get(name, "?"), 200) for name in data.widths],
        }
    )


def dataset_facts(data: Dataset, shown_clips: Sequence[Clip]) -> dict[str, str]:
    """The dataset in a handful of numbers, for cards."""
    labelled = [clip for clip in shown_clips if clip.labels is not None]
    units = sum(clip.units for clip in labelled)
    anomalous = sum(int(clip.labels.sum()) for clip in labelled if clip.labels is not None)
    minutes = sum(clip.duration for clip in shown_clips) / 60
    first = shown_clips[0]
    return {
        "clips here / in all": f"{len(shown_clips)} / {len(data.clips)}",
        "units here": f"{sum(clip.units for clip in shown_clips):,}",
        "anomalous units": f"{anomalous:,} ({anomalous / units:.0%})" if units else "not labelled",
        "video": f"{minutes:.1f} min",
        "a unit": f"{first.frames_per_unit} frames, {first.seconds:.2f} s",
    }

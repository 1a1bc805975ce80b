"""Scores as curves and tables: clips, units, operating points."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from app.figures.style import Colours, plotly_text
from core.clip import Clip
from core.data.dataset import Dataset
from core.data.names import shown
from core.evaluate import Curve, Decision, auc, decide, kind_of_units, precision_recall, ranks, roc
from core.runs import Run
from core.sample import METRIC_WORDS, Samples
from core.table import summary

Scores = Float[np.ndarray, " n"]
Labels = Bool[np.ndarray, " n"]


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


def roc_figure(
    scores: Scores, labels: Labels, now: Decision, best: Decision, colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """False-alarm rate against recall, and its numbers."""
    curve, axes = roc(scores, labels), ("false-alarm rate", "recall")
    points = (now.false_alarm_rate, now.recall), (best.false_alarm_rate, best.recall)
    return operating_curve(curve, *points, axes, colours, [(0.0, 0.0), (1.0, 1.0)]), curve_table(curve, axes)


def pr_figure(
    scores: Scores, labels: Labels, now: Decision, best: Decision, colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """Recall against precision, and its numbers; an alarm at random has the anomalies' share as its precision."""
    curve, axes = precision_recall(scores, labels), ("recall", "precision")
    share = float(labels.mean())
    points = (now.recall, now.precision), (best.recall, best.precision)
    return operating_curve(curve, *points, axes, colours, [(0.0, share), (1.0, share)]), curve_table(curve, axes)


def decision_facts(now: Decision, best: Decision, miss_price: float, hours: float, level: str) -> dict[str, str]:
    """The decision in a handful of numbers, for cards; nothing an hour where there is no video."""
    return {
        "recall": f"{now.recall:.3f}",
        "precision": f"{now.precision:.3f}",
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
    scores: Scores, labels: Labels, threshold: float, span: tuple[float, float], colours: Colours
) -> go.Figure:
    """How the scores of normal and of anomalous units lie on either side of the threshold; 40 equal bins."""
    bins = {"start": span[0], "end": span[1], "size": (span[1] - span[0]) / 40}
    figure = go.Figure()
    for name, chosen, colour, pattern in (
        ("normal", ~labels, colours.normal, ""),
        ("anomalous", labels, colours.anomaly, "/"),
    ):
        figure.add_histogram(
            x=scores[chosen],
            xbins=bins,
            name=name,
            histnorm="probability",
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
            hovertemplate=f"{name}<br>score %{{x}}<br>share %{{y:.1%}}<extra></extra>",
        )
    figure.add_vline(
        x=threshold,
        line={"color": colours.selected, "width": 2},
        annotation={"text": "threshold", "font": {"color": colours.ink, "size": 11}},
    )
    return figure.update_layout(
        height=240,
        barmode="group",
        bargap=0.1,
        xaxis={"title": {"text": "score"}, "range": list(span)},
        yaxis={"title": {"text": "share of its units"}, "tickformat": ".0%"},
    )


def cost_figure(
    scores: Scores, labels: Labels, miss_price: float, now: Decision, best: Decision, colours: Colours
) -> tuple[go.Figure, pd.DataFrame]:
    """Cost in false alarms at every threshold, when a miss costs `miss_price` of them, and its numbers."""
    at = np.concatenate([[0.0], np.unique(scores), [1.0]])
    at = at[:: max(1, len(at) // 400)]
    # one sort of each class serves every threshold
    false = (~labels).sum() - np.searchsorted(np.sort(scores[~labels]), at, "left")
    misses = np.searchsorted(np.sort(scores[labels]), at, "left")
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


def decision_table(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], threshold: float) -> pd.DataFrame:
    """One row a labelled clip: its four counts at the threshold."""
    rows = []
    for clip in clips:
        if clip.labels is None:
            continue
        now = decide(scores[clip.name], clip.labels.numpy(), threshold)
        rows.append(
            {
                "clip": shown(clip.name),
                "kinds": ", ".join(shown(kind, 30) for kind in dict.fromkeys(clip.kinds)),
                "found": now.true_alarms,
                "missed": now.misses,
                "false alarms": now.false_alarms,
                "quiet": now.true_rests,
                "recall": now.recall,
            }
        )
    return pd.DataFrame(rows)


def kind_table(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], threshold: float) -> pd.DataFrame:
    """One row a kind of anomaly: how many of its units raise an alarm."""
    kept = [clip for clip in clips if clip.labels is not None and clip.labels.any()]
    kinds = np.array([kind for clip in kept for kind in kind_of_units(clip)])
    alarms = np.concatenate([scores[clip.name] >= threshold for clip in kept]) if kept else np.zeros(0, bool)
    rows = []
    for kind in sorted(set(kinds) - {""}):
        chosen = kinds == kind
        rows.append(
            {
                "kind": shown(kind, 30),
                "units": int(chosen.sum()),
                "found": int(alarms[chosen].sum()),
                "recall": float(alarms[chosen].mean()),
            }
        )
    return pd.DataFrame(rows, columns=["kind", "units", "found", "recall"])


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

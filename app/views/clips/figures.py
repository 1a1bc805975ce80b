"""Clips, their units and samples with what a model says of each: tables and figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int
from scipy.special import softmax

from app.figures.style import PRINTED, Colours, plotly_text
from core.clip import Clip
from core.machine.names import shown
from core.measure.metrics import auc, kind_of_units
from core.measure.thresholds import Units, ranks
from core.sample import Part

ORDERS = ("as listed", "highest score first", "most alarms first", "lowest AUC first")


def bare_clip_table(clips: Sequence[Clip]) -> pd.DataFrame:
    """One row a clip: what is known before a model has looked at it; `anomalous` is "?" where nobody labelled it."""
    return pd.DataFrame(
        {
            "clip": [shown(clip.name) for clip in clips],
            "anomalous": ["?" if clip.anomalous is None else "yes" if clip.anomalous else "no" for clip in clips],
            "kinds": [", ".join(shown(kind, 30) for kind in dict.fromkeys(clip.kinds)) for clip in clips],
            "units": [clip.units for clip in clips],
            "seconds": [clip.duration for clip in clips],
        }
    )


def clip_table(clips: Sequence[Clip], scores: Mapping[str, np.ndarray], threshold: float) -> pd.DataFrame:
    """The same with all scores, the highest, AUC among its own units (percent; NaN with one class), and alarms."""
    known, every = bare_clip_table(clips), [scores[clip.name] for clip in clips]
    judged = {
        "scores": [[round(float(value), 3) for value in values] for values in every],
        "highest": [float(values.max()) for values in every],
        "AUC": [
            float("nan") if clip.labels is None else auc(values, clip.labels.numpy())
            for clip, values in zip(clips, every, strict=True)
        ],
        "alarms": [int((values >= threshold).sum()) for values in every],
    }
    return pd.DataFrame({**known.iloc[:, :3], **judged, **known.iloc[:, 3:]})


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
        return -units.each(units.alarms(threshold)).astype(float)
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


# ---------------------------------------------------------------------------- samples


def answer_table(part: Part, outputs: Float[np.ndarray, "samples outputs"]) -> pd.DataFrame:
    """One row a sample: its class and the one the model names, or its real targets and the model's values."""
    table = {"sample": np.arange(len(part)), "name": [shown(name, 60) for name in part.names]}
    if part.task.kind == "class":
        names, chance = np.array([shown(n, 30) for n in part.task.names]), softmax(outputs, axis=1)
        found = outputs.argmax(1)
        table |= {"named": names[found], "probability": chance.max(1)}
        if part.target is not None:
            target = part.target.numpy()
            table |= {
                "class": names[target],
                "right": found == target,
                "of its class": chance[range(len(part)), target],
            }
        return pd.DataFrame(table)
    for place, name in enumerate(part.task.names):
        if part.target is not None:
            table[f"{shown(name, 30)}"] = part.target.numpy()[:, place]
        table[f"{shown(name, 30)}, model"] = outputs[:, place]
    return pd.DataFrame(table)


def confusion_matrix(
    target: Int[np.ndarray, " samples"], found: Int[np.ndarray, " samples"], names: Sequence[str], colours: Colours
) -> go.Figure:
    """How many samples of each class (rows) were named as each class (columns); darkness is the share of the row."""
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (target, found), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    words = [plotly_text(name, 20) for name in names]
    printed = len(names) <= PRINTED
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=words,
            y=words,
            zmin=0,
            zmax=1,
            colorscale=[[0, colours.page], [1, colours.faded(colours.normal, 0.7)]],
            showscale=False,
            xgap=1,
            ygap=1,
            text=counts if printed else None,
            texttemplate="%{text}" if printed else None,
            customdata=counts,
            textfont={"color": colours.ink},
            hovertemplate="class %{y}, named %{x}: %{customdata} samples, %{z:.0%} of the class<extra></extra>",
        )
    )
    return figure.update_layout(
        height=min(560, 120 + 28 * len(names)),
        xaxis={"title": {"text": "named"}, "type": "category", "side": "bottom"},
        yaxis={"title": {"text": "class"}, "type": "category", "autorange": "reversed"},
    )


def class_bars(
    chance: Float[np.ndarray, " classes"], names: Sequence[str], true: int | None, colours: Colours
) -> go.Figure:
    """Probability of each class for one sample; the true class is green and marked."""
    words = [plotly_text(name, 20) + (" ◆" if place == true else "") for place, name in enumerate(names)]
    figure = go.Figure(
        go.Bar(
            x=chance,
            y=words,
            orientation="h",
            marker={"color": [colours.edge if place == true else colours.normal for place in range(len(names))]},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    return figure.update_layout(
        height=min(520, 70 + 22 * len(names)),
        xaxis={"title": {"text": "probability"}, "range": [0, 1]},
        yaxis={"autorange": "reversed", "type": "category"},
        bargap=0.25,
    )


def target_scatter(
    target: Float[np.ndarray, " samples"],
    found: Float[np.ndarray, " samples"],
    name: str,
    chosen: int | None,
    colours: Colours,
) -> go.Figure:
    """The model's value of every sample against its target; on the dotted line both are equal."""
    low, high = float(min(target.min(), found.min())), float(max(target.max(), found.max()))
    figure = go.Figure(
        go.Scattergl(
            x=target,
            y=found,
            mode="markers",
            marker={"color": colours.normal, "size": 6, "opacity": 0.6},
            customdata=np.arange(len(target)),
            hovertemplate="sample %{customdata}: target %{x:.3g}, model %{y:.3g}<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": colours.quiet, "dash": "dot", "width": 1}
    )
    if chosen is not None:
        figure.add_scatter(
            x=[target[chosen]],
            y=[found[chosen]],
            mode="markers",
            marker={"color": colours.selected, "size": 13, "symbol": "circle-open", "line": {"width": 3}},
            hoverinfo="skip",
            showlegend=False,
        )
    return figure.update_layout(
        height=380,
        xaxis={"title": {"text": f"{plotly_text(name)}: target"}},
        yaxis={"title": {"text": "model"}},
    )


def target_table(per: dict[str, dict[str, float]]) -> pd.DataFrame:
    """One row a target or class, one column a metric."""
    names = list(next(iter(per.values()), {}))
    return pd.DataFrame(
        {"name": [shown(name, 40) for name in names]} | {k: [v[n] for n in names] for k, v in per.items()}
    )

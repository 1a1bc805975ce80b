"""Samples on the page: what a set holds, what a model says of each sample, and how well."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int

from app.figures.style import PRINTED, Colours, plotly_text
from core.machine.names import shown
from core.sample import Part, Samples


def sample_facts(data: Samples, part: Part) -> dict[str, str]:
    """The sample set in a handful of numbers, for cards."""
    facts = {"samples here / in all": f"{len(part):,} / {len(data):,}", "modalities": str(len(data.widths))}
    if data.task.kind == "class":
        return facts | {"classes": str(data.task.outputs), "largest class here": f"{largest_class(part):.1%}"}
    return facts | {"targets": str(data.task.outputs)}


def largest_class(part: Part) -> float:
    """Share of the most frequent class: what naming it always would reach."""
    if part.target is None or not len(part):
        return float("nan")
    return float(np.bincount(part.target.numpy()).max() / len(part))


def probabilities(outputs: Float[np.ndarray, "samples classes"]) -> Float[np.ndarray, "samples classes"]:
    """Softmax of the class logits.

    >>> probabilities(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    raised = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def one_against_rest(
    part: Part, outputs: Float[np.ndarray, "samples classes"], about: int
) -> tuple[Float[np.ndarray, " samples"], Bool[np.ndarray, " samples"]]:
    """The probability of one class as a score, and which samples are of that class."""
    if part.target is None:
        raise ValueError("these samples have no classes to judge against")
    return probabilities(outputs)[:, about], part.target.numpy() == about


def answer_table(part: Part, outputs: Float[np.ndarray, "samples outputs"]) -> pd.DataFrame:
    """One row a sample: its class and the one the model names, or its real targets and the model's values."""
    table = {"sample": np.arange(len(part)), "name": [shown(name, 60) for name in part.names]}
    if part.task.kind == "class":
        names, chance = np.array([shown(n, 30) for n in part.task.names]), probabilities(outputs)
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


def picture(vector: Float[np.ndarray, " pixels"], height: int, width: int, colours: Colours) -> go.Figure:
    """A vector that is a picture, row by row, dark to bright."""
    figure = go.Figure(
        go.Heatmap(z=vector.reshape(height, width), colorscale="gray", showscale=False, hoverinfo="skip")
    )
    return figure.update_layout(
        height=30 + round(150 * min(1.0, height / width)),
        width=12 + round(150 * min(1.0, width / height)),
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x"},
    )


def target_table(per: dict[str, dict[str, float]]) -> pd.DataFrame:
    """One row a target or class, one column a metric."""
    names = list(next(iter(per.values()), {}))
    return pd.DataFrame(
        {"name": [shown(name, 40) for name in names]} | {k: [v[n] for n in names] for k, v in per.items()}
    )

"""Low-rank factors: what each rank and interaction adds, whether ranks keep to interactions, rank against quality."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from app.figures import draw
from app.figures.style import PRINTED, Colours, plotly_text
from core.machine.names import shown

OFF = "off"
FEW = 8  # ranks whose panels have room for the word
GAP = 0.012  # between two ranks' panels, of the width of all
Parts = Float[np.ndarray, "rank interactions outputs"]
On = Bool[np.ndarray, "rank interactions"]


def interaction_name(subset: Sequence[str], broken: bool = False) -> str:
    """A subset of the modalities as people read it; `broken` into two lines where three or more would be long.

    >>> interaction_name(("audio", "text")), interaction_name(())
    ('audio × text', 'none')
    >>> interaction_name(("a", "b", "c"), broken=True)
    'a × b<br>× c'
    """
    names = [plotly_text(name, 20) for name in subset]
    if broken and len(names) > 2:
        half = (len(names) + 1) // 2
        return " × ".join(names[:half]) + "<br>× " + " × ".join(names[half:])
    return " × ".join(names) or "none"


def _plain(subset: Sequence[str]) -> str:
    """The same outside of figures."""
    return shown(" × ".join(subset) or "none", 60)


def part_map(
    parts: Parts, interactions: Sequence[Sequence[str]], outputs: Sequence[str], on: On, colours: Colours, unit: str,
    signed: bool = True,
) -> go.Figure:  # fmt: skip
    """Interaction against rank (one output), or against output with one panel a rank; red adds, blue takes away.

    Parts that are switched off are empty and framed. Every cell is an invisible square whose customdata is its
    (rank, interaction). `signed=False` is for sizes, drawn from 0 up.
    """
    rank, kinds, outs = parts.shape
    left = np.where(on[..., None], parts, np.nan)
    top = float(np.nan_to_num(np.abs(left)).max()) or 1.0
    # a panel a rank: rows are interactions, columns outputs; with one output a single panel whose columns are ranks
    panels = [left[..., 0].T] if outs == 1 else list(left)
    columns = [f"{i + 1}" for i in range(rank)] if outs == 1 else [plotly_text(name, 16) for name in outputs]
    numbers = "%{z:.2f}" if outs == 1 and max(rank, kinds) <= PRINTED else None
    width = (1 + GAP) / len(panels)
    traces: list[draw.Trace] = []
    axes: dict[str, Any] = {}
    notes: list[dict[str, Any]] = []
    for at, panel in enumerate(panels):
        number, start = f"{at + 1}" if at else "", at * width
        scale, last = (colours.signed if signed else colours.edges), unit if at == len(panels) - 1 else None
        traces.append(draw.cells(panel, scale, low=-top if signed else 0, high=top, unit=last, texttemplate=numbers,
                                 xaxis=f"x{number}"))  # fmt: skip
        traces.append(_squares(parts, None if outs == 1 else at, interactions, columns, on) | {"xaxis": f"x{number}"})
        axes[f"xaxis{number}"] = {
            "domain": [start, start + width - GAP], "anchor": "y", "range": [-0.5, len(columns) - 0.5],
            "title": "rank" if outs == 1 else None,
            "tickvals": list(range(len(columns))), "ticktext": columns, "showgrid": False, "zeroline": False,
            "tickangle": 0 if outs == 1 or all(len(name) < 3 for name in columns) else -60,
        }  # fmt: skip
        if outs > 1:
            title = f"rank {at + 1}" if rank <= FEW else f"{at + 1}"  # of many the words would stand in each other
            notes.append(_title(title, start + (width - GAP) / 2))
    frames, words = _off(on, outs, colours)
    y = {
        "tickvals": list(range(kinds)), "ticktext": [interaction_name(subset, broken=True) for subset in interactions],
        "showgrid": False, "zeroline": False, "range": [kinds - 0.5, -0.5],
    }  # fmt: skip
    height = (90 if outs == 1 else 110) + 30 * kinds
    return draw.framed(traces, height, y=y, top=None, shapes=frames, annotations=[*notes, *words], **axes)


def _squares(
    parts: Parts, rank: int | None, interactions: Sequence[Sequence[str]], columns: Sequence[str], on: On
) -> draw.Trace:
    """What the cells of one rank's panel say and give when they are clicked; of rank None, all ranks' one output."""
    y, x = (each.ravel() for each in np.mgrid[0 : parts.shape[1], 0 : len(columns)])
    owner, output = (x, np.zeros_like(x)) if rank is None else (np.full_like(x, rank), x)
    words = []
    for i, kind, out in zip(owner, y, output, strict=True):
        where = f"rank {i + 1}, {interaction_name(interactions[kind])}" + ("" if rank is None else f", {columns[out]}")
        words.append(where + (f": {parts[i, kind, out]:+.4g}" if on[i, kind] else ": switched off"))
    places = np.stack([owner, y], axis=1).tolist()  # as lists: an array would come back from the browser as a mapping
    return draw.squares(x, y, "%{text}<extra></extra>", 24, text=words, customdata=places)


def _off(on: On, outs: int, colours: Colours) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(frames, words) of what is switched off: a cell of the one panel, or a row of its rank's."""
    frames, words = [], []
    for i, kind in np.argwhere(~on).tolist():
        left, right = (i - 0.46, i + 0.46) if outs == 1 else (-0.46, outs - 0.54)
        axes = {"xref": f"x{i + 1}" if outs > 1 and i else "x", "yref": "y"}
        line = {"color": colours.selected, "width": 2}
        frames.append(
            {"type": "rect", "x0": left, "x1": right, "y0": kind - 0.44, "y1": kind + 0.44, "line": line} | axes
        )
        font = {"color": colours.selected, "size": 12}
        words.append({"text": OFF, "showarrow": False, "font": font, "x": (left + right) / 2, "y": kind} | axes)
    return frames, words


def _title(words: str, x: float, colour: str | None = None) -> dict[str, Any]:
    """Words above a panel."""
    font = {"size": 12, "color": colour}
    return {"text": words, "showarrow": False, "font": font, "x": x, "y": 1, "xref": "paper", "yref": "paper",
            "yanchor": "bottom"}  # fmt: skip


def map_sentence(parts: Parts, interactions: Sequence[Sequence[str]], outputs: Sequence[str]) -> str:
    """The three largest parts in words."""
    if not np.isfinite(parts).any():
        return "no rows, so no parts"
    said = []
    for at in np.argsort(-np.abs(parts), axis=None, kind="stable")[:3]:
        i, s, o = (int(v) for v in np.unravel_index(at, parts.shape))
        where = f"rank {i + 1}, {interaction_name(interactions[s])}, {plotly_text(outputs[o])}"
        said.append(f"{where}: {parts[i, s, o]:+.3g}")
    sizes = zip(parts.shape, ("ranks", "interactions", "outputs"), strict=True)
    return " by ".join(f"{size} {what}" for size, what in sizes) + "; largest: " + "; ".join(said)


def part_table(parts: Parts, interactions: Sequence[Sequence[str]], outputs: Sequence[str]) -> pd.DataFrame:
    """One line a rank and interaction, one column an output."""
    table = {
        "rank": np.repeat(np.arange(1, len(parts) + 1), len(interactions)),
        "interaction": [_plain(subset) for subset in interactions] * len(parts),
    }
    columns = parts.reshape(-1, parts.shape[-1]).T
    return pd.DataFrame(table | {shown(name, 40): column for name, column in zip(outputs, columns, strict=True)})


def sum_table(
    parts: Float[np.ndarray, "rank interactions"], interactions: Sequence[Sequence[str]], on: On, base: float
) -> pd.DataFrame:
    """One output as a table: ranks down, interactions across, sums at the edges; what is off counts 0."""
    left = np.where(on, parts, 0.0)
    rows = [*(f"rank {i + 1}" for i in range(len(left))), "sum"]
    table = pd.DataFrame(
        np.vstack([left, left.sum(0)]), columns=[_plain(subset) for subset in interactions], index=rows
    )
    table["sum"] = table.sum(axis=1)
    table["sum with base"] = table["sum"] + base
    return table.reset_index(names="rank")


def sums(
    parts: Float[np.ndarray, "rank interactions"], interactions: Sequence[Sequence[str]], base: float, output: float,
    colours: Colours, unit: str,
) -> go.Figure:  # fmt: skip
    """The same output twice: base and the sum of every interaction, base and the sum of every rank."""
    sides = (
        ("by interaction", [interaction_name(subset, broken=True) for subset in interactions], parts.sum(0)),
        ("by rank", [f"rank {i + 1}" for i in range(len(parts))], parts.sum(1)),
    )
    traces, notes, axes = [], [], dict[str, Any]()
    for at, (title, names, added) in enumerate(sides):
        number, domain = f"{at + 1}" if at else "", [0.6 * at, 0.6 * at + 0.4]
        trace, span = draw.adding_up(["base", *names, "output"], [base, *map(float, added), output], colours, 0.32)
        traces.append(trace | {"xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": False})
        axis = {"domain": domain, "anchor": f"y{number}", "title": unit, "range": span, "zerolinecolor": colours.quiet}
        axes[f"xaxis{number}"] = axis
        axes[f"yaxis{number}"] = {"anchor": f"x{number}", "autorange": "reversed", "showgrid": False}
        notes.append(_title(title, sum(domain) / 2, colours.ink))
    height = 90 + 26 * (2 + max(len(names) for _, names, _ in sides))
    return draw.framed(traces, height, top=None, bargap=0.35, annotations=notes, **axes)


# ---------------------------------------------------------------------------- do ranks mean something?


def specialisation_figure(
    shares: Float[np.ndarray, "rank interactions"], interactions: Sequence[Sequence[str]],
    index: Float[np.ndarray, " rank"], null_mean: float, null_high: float, colours: Colours,
) -> go.Figure:  # fmt: skip
    """Left: how each rank's mass lies on the interactions. Right: how much it keeps to few, against drawn ranks."""
    ranks, right = [f"rank {i + 1}" for i in range(len(index))], {"row": 1, "col": 2}
    figure = make_subplots(
        1, 2, column_widths=[0.6, 0.4], horizontal_spacing=0.12, shared_yaxes=True,
        subplot_titles=["share of the rank's mass", "specialisation"],
    )  # fmt: skip
    mass = draw.cells(
        shares, colours.edges, "%{y}, %{x}: %{z:.3f}<extra></extra>", low=0, high=1, y=ranks,
        x=[interaction_name(subset, broken=True) for subset in interactions],
        texttemplate="%{z:.2f}" if max(shares.shape) <= PRINTED else None,
    )  # fmt: skip
    figure.add_trace(mass, row=1, col=1)
    written = {"text": [f"{value:.2f}" for value in index], "textposition": "auto"}
    own = draw.bars(ranks, index, "this model", colours.edge, "%{y}: %{x:.3f}<extra></extra>", **written)
    figure.add_trace(own, **right)
    drawn = (
        (null_mean, "dash", "drawn ranks, mean", colours.quiet),
        (null_high, "dot", "95 % of draws stay below", colours.selected),
    )
    for value, dash, name, colour in drawn if np.isfinite(null_mean) else ():
        ends = [value, value], [ranks[0], ranks[-1]]
        figure.add_trace(draw.line(*ends, f"{name}: {value:.2f}", colour, dash=dash), **right)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    largest = float(np.nanmax([*index, null_high, 0.02]))
    figure.update_xaxes(range=[0, min(1.02, 1.25 * largest)], title="0: even, 1: one interaction", **right)
    figure.update_xaxes(showgrid=False, tickangle=-35, row=1, col=1)
    legend = {"x": 1, "xanchor": "right", "y": -95 / (40 + 30 * len(index)), "yanchor": "top"}
    draw.framed(figure, 200 + 30 * len(index), bargap=0.3, margin={"b": 130}, legend=legend)
    return figure.update_annotations(font={"size": 12, "color": colours.ink})


# ---------------------------------------------------------------------------- rank against quality


def rank_figure(
    ranks: Sequence[int], mean: Sequence[float], sd: Sequence[float], values: Sequence[Sequence[float]], chosen: int,
    colours: Colours, unit: str,
) -> go.Figure:  # fmt: skip
    """Quality against rank: mean ± sd over seeds, every seed as a dot, the chosen run's rank framed."""
    seeds = [(rank, value) for rank, each in zip(ranks, values, strict=True) for value in each]
    spread = {"type": "data", "array": [0.0 if np.isnan(one) else one for one in sd], "color": colours.edge}
    traces = [
        draw.line(list(ranks), list(mean), "mean ± sd", colours.edge, "rank %{x}: %{y:.3g}<extra></extra>", size=8,
                  error_y=spread),
        draw.dots([rank for rank, _ in seeds], [value for _, value in seeds], "seeds", colours.ink,
                  "rank %{x}, one seed: %{y:.3g}<extra></extra>", size=6, symbol="circle-open"),
    ]  # fmt: skip
    if chosen in ranks:
        here = [mean[list(ranks).index(chosen)]]
        traces.append(draw.ring([chosen], here, "chosen run's rank", colours, 18, symbol="square-open"))
    x = {"title": "rank", "type": "log", "tickvals": list(ranks), "ticktext": [str(rank) for rank in ranks]}
    return draw.framed(traces, 300, x, unit, top=None)

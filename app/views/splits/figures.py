"""Invariant and specific parts: a map of them, what a probe reads off them, and how much lies on each side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int
from scipy.special import expit, softmax

from app.figures import draw
from app.figures.marks import SYMBOLS, class_colours
from app.figures.style import SCORES, Colours, plotly_text
from core.explain.probes import Probe
from core.explain.split import INVARIANT, Available, Cloud, Compared, Parts
from core.machine.names import Name, shown
from core.measure.retrieval import Retrieval
from core.run import Run
from core.sample import Part

MOST_DRAWN = 2_400
MOST_KEYS = 12  # classes named in the legend


def row_scores(outputs: Float[np.ndarray, "n outputs"], part: Part) -> tuple[Float[np.ndarray, " n"], str]:
    """One number a row and what it is: the unit's score, the highest class probability, or the first real target."""
    if part.task.kind == "units":
        return expit(outputs[:, 0]), "score"
    if part.task.kind == "class":
        return softmax(outputs, axis=1).max(1), "highest class probability"
    return outputs[:, 0], shown(part.task.names[0], 40)


def drawn_points(cloud: Cloud) -> Int[np.ndarray, " k"]:
    """Which points of each group are drawn: evenly spread, at most 2,400 in all, as browsers draw them one by one."""
    groups = len(cloud.kinds) * len(cloud.modalities)
    each = len(cloud.row) // groups
    return np.unique(np.linspace(0, each - 1, min(each, MOST_DRAWN // groups)).round().astype(np.int64))


def steps(palette: Sequence[str]) -> list[list[Any]]:
    """A colour scale that gives number c of 0 .. k-1 the c-th colour, when it runs from 0 to k-1.

    >>> steps(["red", "blue"])
    [[0.0, 'red'], [0.5, 'red'], [0.5, 'blue'], [1.0, 'blue']]
    """
    last = max(1, len(palette) - 1)
    edges = [0.0, *((c - 0.5) / last for c in range(1, len(palette))), 1.0]
    return [[edge, colour] for c, colour in enumerate(palette) for edge in edges[c : c + 2]]


def groups_of(cloud: Cloud) -> list[tuple[int, int, str, str]]:
    """(kind, modality, name, symbol) of every group of points: the symbol is the modality's, open where specific."""
    return [
        (k, m, f"{plotly_text(name, 24)}, {kind}", SYMBOLS[m % len(SYMBOLS)] + ("" if kind == INVARIANT else "-open"))
        for k, kind in enumerate(cloud.kinds)
        for m, name in enumerate(cloud.modalities)
    ]


def parts_map(
    places: Float[np.ndarray, "points 2"], cloud: Cloud, part: Part, colour_by: str,
    scores: tuple[Float[np.ndarray, " n"], str], chosen: int, how: str, colours: Colours,
) -> go.Figure:  # fmt: skip
    """Every part as a point; colour by "modality", "class" or "score", the symbol is the modality's, open if specific.

    Trace number t holds the `drawn_points` of group t of the cloud, the data's row as customdata; the points of the
    `chosen` row wear an orange ring, drawn last, always and never clicked.
    """
    by_class = colour_by == "class" and part.target is not None and bool(part.classes)
    target = part.target.numpy() if by_class and part.target is not None else None
    palette, drawn, (values, what) = class_colours(part, colours), drawn_points(cloud), scores
    still = {"marker": {"opacity": 0.8}}  # a click fades no other point
    traces = []
    for k, m, name, symbol in groups_of(cloud):
        mine = np.flatnonzero((cloud.kind == k) & (cloud.modality == m))[drawn]
        row = cloud.row[mine]
        tint: dict[str, Any] = {"color": colours.series[m % len(colours.series)]}
        if target is not None:  # numbers and a scale of steps: a list of colour names takes Plotly twice as long
            tint = {"color": target[row], "cmin": 0, "cmax": max(1, len(palette) - 1), "colorscale": steps(palette)}
        elif colour_by == "score":
            tint = {"color": values[row], "coloraxis": "coloraxis"}
        hover = f"{name}<br>row %{{customdata}}%{{text}}<extra></extra>"
        trace = draw.dots(
            places[mine, 0], places[mine, 1], name, None, hover, customdata=row, text=told_class(part, row),
            selected=still, unselected=still, showlegend="cmin" not in tint and "coloraxis" not in tint,
        )  # fmt: skip
        traces.append(trace | {"marker": {"symbol": symbol, "size": 6, "opacity": 0.8} | tint})
    if target is not None or colour_by == "score":
        classes = {} if target is None else dict(zip(part.classes, palette, strict=True))
        traces += _keys(cloud, colours, classes)
    here = cloud.row == chosen
    symbols = [SYMBOLS[m % len(SYMBOLS)] + "-open" for m in cloud.modality[here]]
    ring = draw.ring(places[here, 0], places[here, 1], "chosen row", colours, 15, symbol=symbols)
    ring["marker"]["line"] |= {"color": colours.selected}
    plain = {"showticklabels": False, "ticks": "", "zeroline": False}
    return draw.framed(
        [*traces, ring], 520, {"title": f"{how} 1"} | plain, {"title": f"{how} 2"} | plain, top=8,
        legend={"y": -0.06, "yanchor": "top", "itemsizing": "constant"},
        coloraxis={"colorscale": SCORES, "colorbar": {"title": plotly_text(what, 30), "thickness": 10}},
        uirevision=f"{how} {cloud.kinds}", clickmode="event+select",
    )  # fmt: skip


def _keys(cloud: Cloud, colours: Colours, classes: Mapping[str, str]) -> list[draw.Trace]:
    """What symbols and class colours mean, as entries of the legend that hold no points."""
    entries = [(name, symbol, colours.quiet) for _, _, name, symbol in groups_of(cloud)]
    entries += [(plotly_text(name, 24), "diamond", colour) for name, colour in list(classes.items())[:MOST_KEYS]]
    return [draw.dots([None], [None], name, colour, symbol=symbol, size=8) for name, symbol, colour in entries]


def told_class(part: Part, row: Int[np.ndarray, " k"]) -> list[str]:
    """What a hover adds about rows: their class."""
    if part.target is None or not part.classes:
        return [""] * len(row)
    names = [f", class {plotly_text(name, 24)}" for name in part.classes]
    return [names[c] for c in part.target.numpy()[row]]


# ---------------------------------------------------------------------------- probes


def probe_words(probe: Probe) -> str:
    """One probe as a label: what is asked, and of which parts.

    >>> probe_words(Probe("class", "invariant", "audio", 0.5, 0.4, 0.6, 0.1, 10, 10))
    'class from audio, invariant'
    """
    of = plotly_text(probe.modality, 24) if probe.modality else "all"
    return f"{probe.asked} from {of}, {probe.kind}"


def probe_figure(probes: Sequence[Probe], colours: Colours) -> go.Figure:
    """Value and interval of each probe, and the chance it stands against; invariant filled, specific open."""
    labels = [probe_words(probe) for probe in probes]
    traces = []
    for kind, symbol in (("invariant", "circle"), ("specific", "diamond-open")):
        mine = [probe for probe in probes if probe.kind == kind]
        values, low, high = ([getattr(probe, what) for probe in mine] for what in ("value", "low", "high"))
        traces.append(draw.dots(
            values, list(map(probe_words, mine)), f"{kind} parts", colours.edge if kind == INVARIANT else colours.ink,
            "%{y}: %{x:.3f}<extra></extra>", symbol=symbol, size=10,
            error_x=draw.whiskers(values, low, high, colours.quiet, 1.5),
        ))  # fmt: skip
    chance = [probe.chance for probe in probes]
    traces.append(draw.tick(chance, labels, "chance", colours.selected, "chance %{x:.3f}<extra></extra>"))
    title = probes[-1].measure if len({p.measure for p in probes}) == 1 else "value"
    x = {"title": title, "range": [min(0.0, *(probe.low for probe in probes)), 1.02]}
    return draw.framed(traces, 110 + 27 * len(probes), x, draw.named(labels), top=34)


def probe_table(probes: Sequence[Probe]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "asked": probe.asked,
            "of parts": probe.kind,
            "modality": shown(probe.modality, 40) if probe.modality else "all",
            "value": probe.value,
            "95 % from": probe.low,
            "to": probe.high,
            "chance": probe.chance,
            "above chance": "yes" if probe.low > probe.chance else "no",
            "measure": probe.measure,
            "rows fitted": probe.fitted,
            "rows judged": probe.judged,
        }
        for probe in probes
    )


def probe_sentence(probes: Sequence[Probe]) -> str:
    return "; ".join(
        f"{probe_words(p)} {p.value:.2f}, {p.low:.2f} to {p.high:.2f}, chance {p.chance:.2f}" for p in probes
    )


# ---------------------------------------------------------------------------- reconstruction and mass


def lost_figure(found: Parts, colours: Colours) -> go.Figure:
    """Reconstruction error of each modality over its variance; from the line at 1 on the mean would do as well."""
    names, values = [plotly_text(name, 24) for name in found.modalities], [found.lost[n] for n in found.modalities]
    written = ["undefined" if np.isnan(value) else f"{value:.2g}" for value in values]
    bars = draw.bars(names, values, None, colours.edge, "%{y}: %{x:.4g}<extra></extra>", text=written,
                     textposition="outside", cliponaxis=False)  # fmt: skip
    x = {"title": "squared error / variance", "range": [0, 1.18 * float(np.nanmax([1.0, *values]))]}
    figure = draw.framed([bars], 90 + 34 * len(names), x, draw.named(names), bargap=0.4)
    draw.upright(figure, 1, colours.selected, width=1.5)
    return figure


def _sides(found: Parts) -> list[tuple[str, str, np.ndarray, float]]:
    """(modality, which row, shares of all rows, share were every column alike) of both sides of the boundary."""
    return [
        (name, side, values, found.even[name][even])
        for side, shares, even in (("dissolved", found.dissolved, 0), ("put out", found.out, 1))
        for name, values in shares.items()
    ]


def mass_figure(found: Parts, chosen: int, colours: Colours) -> go.Figure:
    """The share on the invariant side over rows: box the middle half, whiskers 5 to 95 %, the chosen row orange."""
    sides, traces = _sides(found), []
    labels = [f"{plotly_text(name, 20)}, {side}" for name, side, _, _ in sides]
    for label, (_, side, values, _) in zip(labels, sides, strict=True):
        quantiles = [[float(v)] for v in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])]
        box = dict(zip(("lowerfence", "q1", "median", "q3", "upperfence"), quantiles, strict=True))
        fill = colours.faded(colours.edge, 0.25 if side == "dissolved" else 0.05)
        look = {"orientation": "h", "fillcolor": fill, "line": {"color": colours.edge, "width": 1.5}}
        traces.append({"type": "box", "y": [label], "name": label, "showlegend": False, **box, **look})
    for name, at, symbol, colour in (
        ("every column alike", [even for *_, even in sides], "line-ns-open", colours.ink),
        ("chosen row", [float(values[chosen]) for _, _, values, _ in sides], "diamond", colours.selected),
    ):
        hover = f"%{{y}}: %{{x:.3f}}<extra>{name}</extra>"
        rim = {"width": 2, "color": colour}
        traces.append(draw.dots(at, labels, name, colour, hover, symbol=symbol, size=12, rim=rim))
    x = {"title": "share of the squared length on the invariant side", "range": [0, 1]}
    return draw.framed(traces, 110 + 34 * len(labels), x, draw.named(labels), top=34)


def mass_table(found: Parts, chosen: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "modality": shown(name, 40),
            "row": side,
            "mean share": float(values.mean()),
            "5 %": float(np.quantile(values, 0.05)),
            "95 %": float(np.quantile(values, 0.95)),
            "every column alike": even,
            "chosen row": float(values[chosen]),
            "error / variance": found.lost[name],
        }
        for name, side, values, even in _sides(found)
    )


# ---------------------------------------------------------------------------- missing modalities


def set_words(modalities: Sequence[str]) -> str:
    return " + ".join(plotly_text(name, 20) for name in modalities)


def availability_figure(found: Sequence[Available], metric: str, colours: Colours) -> go.Figure:
    """The metric with every choice of modalities; all of them in full colour."""
    known = [each for each in found if each.value is not None]
    most = max((len(each.modalities) for each in found), default=0)
    names = [set_words(each.modalities) for each in known]
    tints = [colours.edge if len(e.modalities) == most else colours.faded(colours.edge, 0.45) for e in known]
    bars = draw.bars(names, [each.value for each in known], None, tints, "%{y}: %{x:.1f}<extra></extra>",
                     text=[f"{each.value:.3g}" for each in known], textposition="inside")  # fmt: skip
    x = {"title": metric, "rangemode": "tozero"}
    return draw.framed([bars], 80 + 30 * max(1, len(known)), x, draw.named(names))


def _mean(values: Sequence[float | int | None]) -> float | None:
    """None as soon as one is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def availability_table(runs: Mapping[Name, Run], chosen: Name | None, modalities: Sequence[str]) -> pd.DataFrame:
    """Every method trained on this data: mean over its seeds with all modalities, with each alone, and what that costs.

    Methods that read other modalities are left out, and so are those that say nothing of single modalities.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs.values():
        if set(run.source.widths) == set(modalities) and run.metrics.get("alone"):
            groups.setdefault(run.group, []).append(run)
    mine = runs[chosen].group if chosen is not None and chosen in runs else None
    names = {name: f"{shown(name, 24)} alone" for name in modalities}
    rows = []
    for group, found in groups.items():
        title = shown(found[0].title, 60) + (" (chosen)" if group == mine else "")
        whole = _mean([run.metrics.get(run.metric) for run in found])
        alone = {words: _mean([run.metrics["alone"].get(name) for run in found]) for name, words in names.items()}
        rest = _mean(list(alone.values()))
        loss = None if whole is None or rest is None else whole - rest
        rows.append({"method": title, "all": whole, **alone, "mean loss": loss, "seeds": len(found)})
    columns = ["method", "all", *names.values(), "mean loss", "seeds"]
    return pd.DataFrame(rows, columns=columns).sort_values("mean loss", kind="stable")


# ---------------------------------------------------------------------------- across modalities


def retrieval_figure(found: Sequence[Retrieval], chance_at: Mapping[int, float], colours: Colours) -> go.Figure:
    """MAP by depth, one line a direction, and what random orders reach."""
    hover = "first %{x}: %{y:.3f}"
    traces = []
    for place, each in enumerate(found):
        colour, dash = (these[place % len(these)] for these in (colours.series, draw.DASHES))
        name = f"{plotly_text(each.asked, 20)} → {plotly_text(each.answers, 20)}"
        x, y = [*map(str, each.map_at), "all"], [*each.map_at.values(), each.map]
        traces.append(draw.line(x, y, name, colour, hover, width=None, dash=dash, size=6))
    if found:
        x, y = [*map(str, chance_at), "all"], [*chance_at.values(), found[0].chance]
        traces.append(draw.line(x, y, "random order", colours.selected, hover, width=None, dash="dot"))
    axis = {"title": "answers looked at", "type": "category"}
    return draw.framed(traces, 330, axis, {"title": "MAP", "rangemode": "tozero"}, top=60)


def retrieval_table(found: Sequence[Retrieval], chance_at: Mapping[int, float]) -> pd.DataFrame:
    every = [(shown(e.asked, 30), shown(e.answers, 30), e.map_at, e.map) for e in found]
    every += [("random order", "", dict(chance_at), each.chance) for each in found[:1]]
    return pd.DataFrame(
        {"query": asked, "answers": answers} | {f"MAP@{k}": value for k, value in at.items()} | {"MAP": whole}
        for asked, answers, at, whole in every
    )


# ---------------------------------------------------------------------------- boundary and magnification


def boundary_figure(found: Sequence[Compared], metric: str, colours: Colours) -> go.Figure:
    """The metric against the boundary, one line a magnification; the chosen run's setting wears an orange ring."""
    known = [each for each in found if each.value is not None]
    traces = []
    for place, n in enumerate(sorted({each.magnification for each in known})):
        mine = [each for each in known if each.magnification == n]
        spread = {"array": [each.sd or 0.0 for each in mine], "color": colours.quiet, "thickness": 1.2}
        traces.append(draw.line(
            [each.boundary for each in mine], [each.value for each in mine], f"magnification {n}",
            colours.series[place % len(colours.series)], "boundary %{x:g}: %{y:.2f}", width=1.5,
            symbol=SYMBOLS[place % len(SYMBOLS)], size=9, error_y=spread,
        ))  # fmt: skip
    here = [each for each in known if each.mine]
    traces.append(draw.ring([e.boundary for e in here], [e.value for e in here], "chosen run", colours, 18))
    x = {"title": "share of the dissolved columns on the invariant side", "range": [0, 1]}
    return draw.framed(traces, 300, x, metric, top=40)


def boundary_table(found: Sequence[Compared], metric: str) -> pd.DataFrame:
    names = list(dict.fromkeys(name for each in found for name in each.alone))
    return pd.DataFrame(
        {"magnification": e.magnification, "boundary": e.boundary, metric: e.value, "sd": e.sd, "seeds": e.seeds}
        | {f"{shown(name, 24)} alone": e.alone.get(name) for name in names}
        | {"": "chosen" if e.mine else ""}
        for e in found
    )

"""Invariant and specific parts: a map of them, what a probe reads off them, and how much lies on each side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int
from scipy.special import expit

from app.figures.marks import SYMBOLS, class_colours
from app.figures.samples import probabilities
from app.figures.style import SCORES, Colours, plotly_text
from core.explain.probes import Probe
from core.explain.split import INVARIANT, Available, Cloud, Compared, Parts
from core.machine.names import Name, shown
from core.measure.retrieval import Retrieval
from core.run import Run
from core.sample import Part

MOST_DRAWN = 2_400
# classes have no meaning of their own, so they get colours that nothing else has


def row_scores(outputs: Float[np.ndarray, "n outputs"], part: Part) -> tuple[Float[np.ndarray, " n"], str]:
    """One number a row and what it is: the unit's score, the highest class probability, or the first real target."""
    if part.task.kind == "units":
        return expit(outputs[:, 0]), "score"
    if part.task.kind == "class":
        return probabilities(outputs).max(1), "highest class probability"
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


def parts_map(
    places: Float[np.ndarray, "points 2"],
    cloud: Cloud,
    part: Part,
    colour_by: str,
    scores: tuple[Float[np.ndarray, " n"], str],
    chosen: int,
    how: str,
    colours: Colours,
) -> go.Figure:
    """Every part as a point; colour by "modality", "class" or "score", the symbol is the modality's, open if specific.

    Trace number t holds the `drawn_points` of group t of the cloud, the data's row as customdata; the points of the
    `chosen` row wear an orange ring, drawn last, always and never clicked.
    """
    figure = go.Figure()
    by_class = colour_by == "class" and part.target is not None and bool(part.classes)
    target = part.target.numpy() if by_class and part.target is not None else None
    palette = class_colours(part, colours)
    values, what = scores
    drawn = drawn_points(cloud)
    for k, kind in enumerate(cloud.kinds):
        for m, name in enumerate(cloud.modalities):
            mine = np.flatnonzero((cloud.kind == k) & (cloud.modality == m))[drawn]
            row = cloud.row[mine]
            marker: dict[str, Any] = {
                "symbol": SYMBOLS[m % len(SYMBOLS)] + ("" if kind == INVARIANT else "-open"),
                "size": 6,
                "opacity": 0.8,
            }
            if target is not None:
                # numbers and a scale of steps: a list of colour names takes Plotly twice as long
                marker |= {
                    "color": target[row],
                    "cmin": 0,
                    "cmax": max(1, len(palette) - 1),
                    "colorscale": steps(palette),
                }
            elif colour_by == "score":
                marker |= {"color": values[row], "coloraxis": "coloraxis"}
            else:
                marker["color"] = colours.series[m % len(colours.series)]
            words = [""] * len(row) if part.target is None else told_class(part, row)
            figure.add_scatter(
                x=places[mine, 0],
                y=places[mine, 1],
                mode="markers",
                name=f"{plotly_text(name, 24)}, {kind}",
                marker=marker,
                customdata=row,
                text=words,
                selected={"marker": {"opacity": 0.8}},
                unselected={"marker": {"opacity": 0.8}},
                showlegend=target is None and colour_by != "score",
                hovertemplate=f"{plotly_text(name, 24)}, {kind}<br>row %{{customdata}}%{{text}}<extra></extra>",
            )
    if target is not None or colour_by == "score":
        _keys(figure, cloud, colours, {} if target is None else dict(zip(part.classes, palette, strict=True)))
    here = cloud.row == chosen
    figure.add_scatter(
        x=places[here, 0],
        y=places[here, 1],
        mode="markers",
        name="chosen row",
        marker={
            "symbol": [SYMBOLS[m % len(SYMBOLS)] + "-open" for m in cloud.modality[here]],
            "size": 15,
            "color": colours.selected,
            "line": {"width": 3, "color": colours.selected},
        },
        hoverinfo="skip",
    )
    figure.update_xaxes(title=f"{how} 1", showticklabels=False, ticks="", zeroline=False)
    figure.update_yaxes(title=f"{how} 2", showticklabels=False, ticks="", zeroline=False)
    figure.update_layout(
        template=colours.template,
        height=520,
        margin={"t": 8},
        legend={"y": -0.06, "yanchor": "top", "itemsizing": "constant"},
        coloraxis={"colorscale": SCORES, "colorbar": {"title": plotly_text(what, 30), "thickness": 10}},
        uirevision=f"{how} {cloud.kinds}",
        clickmode="event+select",
    )
    return figure


def _keys(figure: go.Figure, cloud: Cloud, colours: Colours, classes: Mapping[str, str]) -> None:
    """What symbols and class colours mean, as entries of the legend that hold no points."""
    entries: list[tuple[str, str, str]] = []
    for kind in cloud.kinds:
        for m, name in enumerate(cloud.modalities):
            symbol = SYMBOLS[m % len(SYMBOLS)] + ("" if kind == INVARIANT else "-open")
            entries.append((f"{plotly_text(name, 24)}, {kind}", symbol, colours.quiet))
    entries += [(plotly_text(name, 24), "diamond", colour) for name, colour in list(classes.items())[:12]]
    for name, symbol, colour in entries:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=name, marker={"symbol": symbol, "size": 8, "color": colour}
        )


def told_class(part: Part, row: Int[np.ndarray, " k"]) -> list[str]:
    """What a hover adds about rows: their class."""
    if part.target is None or not part.classes:
        return [""] * len(row)
    names = [f", class {plotly_text(name, 24)}" for name in part.classes]
    return [names[c] for c in part.target.numpy()[row]]


def clicked_row(cloud: Cloud, curve: int, point: int) -> int | None:
    """The data's row behind a clicked point of `parts_map`; None for a point that stands for none.

    >>> import numpy as np
    >>> three = np.array([0, 4, 9])
    >>> which, names = np.repeat([0, 1], 3), ("a", "b")
    >>> cloud = Cloud(np.zeros((6, 2)), np.tile(three, 2), which, np.zeros(6, int), names, ("k",), 10)
    >>> clicked_row(cloud, 1, 2), clicked_row(cloud, 2, 0)
    (9, None)
    """
    groups = len(cloud.kinds) * len(cloud.modalities)
    each, drawn = len(cloud.row) // groups, drawn_points(cloud)
    return int(cloud.row[curve * each + drawn[point]]) if 0 <= curve < groups and 0 <= point < len(drawn) else None


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
    figure = go.Figure()
    for kind, symbol in (("invariant", "circle"), ("specific", "diamond-open")):
        mine = [i for i, probe in enumerate(probes) if probe.kind == kind]
        figure.add_scatter(
            x=[probes[i].value for i in mine],
            y=[labels[i] for i in mine],
            mode="markers",
            name=f"{kind} parts",
            marker={"symbol": symbol, "size": 10, "color": colours.edge if kind == INVARIANT else colours.ink},
            error_x={
                "array": [probes[i].high - probes[i].value for i in mine],
                "arrayminus": [probes[i].value - probes[i].low for i in mine],
                "color": colours.quiet,
                "thickness": 1.5,
            },
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    figure.add_scatter(
        x=[probe.chance for probe in probes],
        y=labels,
        mode="markers",
        name="chance",
        marker={"symbol": "line-ns-open", "size": 18, "color": colours.selected, "line": {"width": 2}},
        hovertemplate="chance %{x:.3f}<extra></extra>",
    )
    low = min(0.0, *(probe.low for probe in probes))
    figure.update_xaxes(
        title=probes[-1].measure if len({p.measure for p in probes}) == 1 else "value", range=[low, 1.02]
    )
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], ticks="", showgrid=False)
    return figure.update_layout(template=colours.template, height=110 + 27 * len(probes), margin={"t": 34})


def probe_table(probes: Sequence[Probe]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "asked": [probe.asked for probe in probes],
            "of parts": [probe.kind for probe in probes],
            "modality": [shown(probe.modality, 40) if probe.modality else "all" for probe in probes],
            "value": [probe.value for probe in probes],
            "95 % from": [probe.low for probe in probes],
            "to": [probe.high for probe in probes],
            "chance": [probe.chance for probe in probes],
            "above chance": ["yes" if probe.low > probe.chance else "no" for probe in probes],
            "measure": [probe.measure for probe in probes],
            "rows fitted": [probe.fitted for probe in probes],
            "rows judged": [probe.judged for probe in probes],
        }
    )


def probe_sentence(probes: Sequence[Probe]) -> str:
    return "; ".join(
        f"{probe_words(probe)} {probe.value:.2f}, {probe.low:.2f} to {probe.high:.2f}, chance {probe.chance:.2f}"
        for probe in probes
    )


# ---------------------------------------------------------------------------- reconstruction and mass


def lost_figure(found: Parts, colours: Colours) -> go.Figure:
    """Reconstruction error of each modality over its variance; from the line at 1 on the mean would do as well."""
    names = [plotly_text(name, 24) for name in found.modalities]
    values = [found.lost[name] for name in found.modalities]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            marker_color=colours.edge,
            text=["undefined" if value != value else f"{value:.2g}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    )
    figure.add_vline(x=1, line={"color": colours.selected, "dash": "dot", "width": 1.5})
    top = max([1.0, *(value for value in values if value == value)])
    figure.update_xaxes(title="squared error / variance", range=[0, 1.18 * top])
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    return figure.update_layout(template=colours.template, height=90 + 34 * len(names), bargap=0.4, margin={"t": 12})


def mass_figure(found: Parts, chosen: int, colours: Colours) -> go.Figure:
    """The share on the invariant side over rows: box the middle half, whiskers 5 to 95 %, the chosen row orange."""
    figure = go.Figure()
    marks: list[tuple[str, float, float]] = []
    for side, shares, even in (("dissolved", found.dissolved, 0), ("put out", found.out, 1)):
        for name, values in shares.items():
            label = f"{plotly_text(name, 20)}, {side}"
            low, first, middle, third, high = (float(v) for v in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))
            figure.add_box(
                y=[label],
                q1=[first],
                median=[middle],
                q3=[third],
                lowerfence=[low],
                upperfence=[high],
                orientation="h",
                name=label,
                fillcolor=colours.faded(colours.edge, 0.25 if side == "dissolved" else 0.05),
                line={"color": colours.edge, "width": 1.5},
                showlegend=False,
            )
            marks.append((label, found.even[name][even], float(values[chosen])))
    labels = [label for label, _, _ in marks]
    for name, at, symbol, colour in (
        ("every column alike", 1, "line-ns-open", colours.ink),
        ("chosen row", 2, "diamond", colours.selected),
    ):
        figure.add_scatter(
            x=[mark[at] for mark in marks],
            y=labels,
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2, "color": colour}},
            hovertemplate="%{y}: %{x:.3f}<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title="share of the squared length on the invariant side", range=[0, 1])
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], ticks="", showgrid=False)
    return figure.update_layout(template=colours.template, height=110 + 34 * len(labels), margin={"t": 34})


def mass_table(found: Parts, chosen: int) -> pd.DataFrame:
    rows = []
    for side, shares, even in (("dissolved", found.dissolved, 0), ("put out", found.out, 1)):
        for name, values in shares.items():
            rows.append(
                {
                    "modality": shown(name, 40),
                    "row": side,
                    "mean share": float(values.mean()),
                    "5 %": float(np.quantile(values, 0.05)),
                    "95 %": float(np.quantile(values, 0.95)),
                    "every column alike": found.even[name][even],
                    "chosen row": float(values[chosen]),
                    "error / variance": found.lost[name],
                }
            )
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------------- missing modalities


def set_words(modalities: Sequence[str]) -> str:
    return " + ".join(plotly_text(name, 20) for name in modalities)


def availability_figure(found: Sequence[Available], metric: str, colours: Colours) -> go.Figure:
    """The metric with every choice of modalities; all of them in full colour."""
    known = [each for each in found if each.value is not None]
    most = max((len(each.modalities) for each in found), default=0)
    figure = go.Figure(
        go.Bar(
            x=[each.value for each in known],
            y=[set_words(each.modalities) for each in known],
            orientation="h",
            marker_color=[
                colours.edge if len(each.modalities) == most else colours.faded(colours.edge, 0.45) for each in known
            ],
            text=[f"{each.value:.3g}" for each in known],
            textposition="inside",
            hovertemplate="%{y}: %{x:.1f}<extra></extra>",
        )
    )
    figure.update_xaxes(title=metric, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    return figure.update_layout(template=colours.template, height=80 + 30 * max(1, len(known)), margin={"t": 12})


def availability_table(runs: Mapping[Name, Run], chosen: Name | None, modalities: Sequence[str]) -> pd.DataFrame:
    """Every method trained on this data: mean over its seeds with all modalities, with each alone, and what that costs.

    Methods that read other modalities are left out, and so are those that say nothing of single modalities.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs.values():
        if set(run.source.widths) == set(modalities) and run.metrics.get("alone"):
            groups.setdefault(run.group, []).append(run)
    mine = runs[chosen].group if chosen is not None and chosen in runs else None
    rows = []
    for group, found in groups.items():
        values = [run.metrics.get(run.metric) for run in found]
        alone = [run.metrics["alone"] for run in found]
        whole = [value for value in values if value is not None]
        row: dict[str, Any] = {
            "method": shown(found[0].title, 60) + (" (chosen)" if group == mine else ""),
            "all": float(np.mean(whole)) if len(whole) == len(values) else None,
        }
        for name in modalities:
            each = [one.get(name) for one in alone]
            row[f"{shown(name, 24)} alone"] = (
                None if None in each else float(np.mean([v for v in each if v is not None]))
            )
        rest = [row[f"{shown(name, 24)} alone"] for name in modalities]
        row["mean loss"] = None if row["all"] is None or None in rest else row["all"] - float(np.mean(rest))
        row["seeds"] = len(found)
        rows.append(row)
    columns = ["method", "all", *[f"{shown(n, 24)} alone" for n in modalities], "mean loss", "seeds"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("mean loss", kind="stable")


# ---------------------------------------------------------------------------- across modalities


def retrieval_figure(found: Sequence[Retrieval], chance_at: Mapping[int, float], colours: Colours) -> go.Figure:
    """MAP by depth, one line a direction, and what random orders reach."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for place, each in enumerate(found):
        figure.add_scatter(
            x=[str(k) for k in each.map_at] + ["all"],
            y=[*each.map_at.values(), each.map],
            mode="lines+markers",
            name=f"{plotly_text(each.asked, 20)} → {plotly_text(each.answers, 20)}",
            line={"color": colours.series[place % len(colours.series)], "dash": dashes[place % len(dashes)]},
            hovertemplate="first %{x}: %{y:.3f}",
        )
    if found:
        figure.add_scatter(
            x=[str(k) for k in chance_at] + ["all"],
            y=[*chance_at.values(), found[0].chance],
            mode="lines",
            name="random order",
            line={"color": colours.selected, "dash": "dot"},
            hovertemplate="first %{x}: %{y:.3f}",
        )
    figure.update_xaxes(title="answers looked at", type="category")
    figure.update_yaxes(title="MAP", rangemode="tozero")
    return figure.update_layout(template=colours.template, height=330, margin={"t": 60})


def retrieval_table(found: Sequence[Retrieval], chance_at: Mapping[int, float]) -> pd.DataFrame:
    rows = [
        {"query": shown(each.asked, 30), "answers": shown(each.answers, 30)}
        | {f"MAP@{k}": value for k, value in each.map_at.items()}
        | {"MAP": each.map}
        for each in found
    ]
    if found:
        random = {f"MAP@{k}": value for k, value in chance_at.items()} | {"MAP": found[0].chance}
        rows.append({"query": "random order", "answers": ""} | random)
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------------- boundary and magnification


def boundary_figure(found: Sequence[Compared], metric: str, colours: Colours) -> go.Figure:
    """The metric against the boundary, one line a magnification; the chosen run's setting wears an orange ring."""
    figure = go.Figure()
    known = [each for each in found if each.value is not None]
    for place, n in enumerate(sorted({each.magnification for each in known})):
        mine = [each for each in known if each.magnification == n]
        figure.add_scatter(
            x=[each.boundary for each in mine],
            y=[each.value for each in mine],
            mode="lines+markers",
            name=f"magnification {n}",
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 9},
            line={"color": colours.series[place % len(colours.series)], "width": 1.5},
            error_y={"array": [each.sd or 0.0 for each in mine], "color": colours.quiet, "thickness": 1.2},
            hovertemplate="boundary %{x:g}: %{y:.2f}",
        )
    here = [each for each in known if each.mine]
    figure.add_scatter(
        x=[each.boundary for each in here],
        y=[each.value for each in here],
        mode="markers",
        name="chosen run",
        marker={"symbol": "circle-open", "size": 18, "color": colours.selected, "line": {"width": 3}},
        hoverinfo="skip",
    )
    figure.update_xaxes(title="share of the dissolved columns on the invariant side", range=[0, 1])
    figure.update_yaxes(title=metric)
    return figure.update_layout(template=colours.template, height=300, margin={"t": 40})


def boundary_table(found: Sequence[Compared], metric: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "magnification": [each.magnification for each in found],
            "boundary": [each.boundary for each in found],
            metric: [each.value for each in found],
            "sd": [each.sd for each in found],
            "seeds": [each.seeds for each in found],
        }
        | {
            f"{shown(name, 24)} alone": [each.alone.get(name) for each in found]
            for name in dict.fromkeys(name for each in found for name in each.alone)
        }
        | {"": ["chosen" if each.mine else "" for each in found]}
    )

"""Tables beside the graphs: what a picture shows, as numbers that can be sorted, read aloud and saved."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from core.explain.whatif import WhatIf
from core.machine.names import shown


def degrees(graph: Float[np.ndarray, "n n"], alpha: float) -> Int[np.ndarray, " n"]:
    """How many other units each unit is related to by at least alpha.

    >>> degrees(np.array([[1.0, 0.5], [0.5, 1.0]]), 0.5).tolist()
    [1, 1]
    """
    return ((graph >= np.asarray(alpha, graph.dtype)) & ~np.eye(len(graph), dtype=bool)).sum(axis=1)


def units(
    graphs: Mapping[str, Float[np.ndarray, "n n"]],
    first: int,
    seconds: float,
    scores: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"] | None,
    threshold: float,
    alpha: float,
) -> pd.DataFrame:
    """One row a unit of the window: when it starts, score, alarm, truth, and its degree in every graph."""
    table: dict[str, object] = {
        "unit": first + np.arange(len(scores)),
        "from (s)": (first + np.arange(len(scores))) * seconds,
        "score": scores,
        "alarm": ["alarm" if score >= threshold else "" for score in scores],
        "truth": ["?"] * len(scores) if truth is None else ["anomaly" if flag else "normal" for flag in truth],
    }
    for name, graph in graphs.items():
        table[f"° {shown(name, 30)}"] = degrees(graph, alpha)
    return pd.DataFrame(table)


def neighbours(
    graphs: Mapping[str, Float[np.ndarray, "n n"]],
    unit: int,
    first: int,
    seconds: float,
    scores: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"] | None,
) -> pd.DataFrame:
    """Every other unit of the window, the most strongly related in the last graph first."""
    others = np.array([at for at in range(len(scores)) if at != unit], dtype=int)
    table: dict[str, object] = {"unit": first + others, "from (s)": (first + others) * seconds}
    for name, graph in graphs.items():
        table[shown(name, 30)] = graph[unit, others]
    table["score"] = scores[others]
    table["truth"] = ["?" if truth is None else "anomaly" if truth[at] else "normal" for at in others]
    order = np.argsort(-list(graphs.values())[-1][unit, others], kind="stable")
    return pd.DataFrame(table).iloc[order].reset_index(drop=True)


def flat(graph: Float[np.ndarray, "n n"], alpha: float) -> bool:
    """True when alpha tells next to nothing apart: it keeps fewer than 2 or more than 98 relations in a hundred."""
    off = graph[~np.eye(len(graph), dtype=bool)]
    return bool(off.size) and not 0.02 <= float((off >= np.asarray(alpha, off.dtype)).mean()) <= 0.98


def contact_sheet(frames: np.ndarray, columns: int = 8, gap: int = 2) -> np.ndarray:
    """uint8 (count, height, width, 3) as one picture, in reading order; the last row is filled with white."""
    count, height, width, _ = frames.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for at, frame in enumerate(frames):
        y, x = (at // columns) * (height + gap), (at % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = frame
    return sheet


def weighted(graph: Float[np.ndarray, "n n"], alpha: float) -> Float[np.ndarray, " n"]:
    """Degrees of eq. 7: the sum of each row's relations that are at least alpha, its own included."""
    return (graph * (graph >= np.asarray(alpha, graph.dtype))).sum(axis=1)


def unit_names(
    first: int, seconds: float, scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"] | None
) -> list[str]:
    """What is said of each unit when it is pointed at.

    >>> unit_names(3, 0.5, np.array([0.25]), np.array([True]))
    ['Unit 3 · 1.50–2.00 s · score 0.250 · labelled anomalous']
    """
    flags = [""] * len(scores) if truth is None else ["anomalous" if flag else "normal" for flag in truth]
    return [
        f"Unit {unit} · {unit * seconds:.2f}–{(unit + 1) * seconds:.2f} s · score {score:.3f}"
        + (f" · labelled {flag}" if flag else "")
        for unit, (score, flag) in enumerate(zip(scores, flags, strict=True), start=first)
    ]


def degree_sentence(
    before: Mapping[str, Float[np.ndarray, " n"]],
    after: Float[np.ndarray, " n"] | None,
    anomalous: Bool[np.ndarray, " n"],
) -> str:
    """The figure's numbers in a sentence, for who cannot see it."""

    def mean(values: Float[np.ndarray, " n"], flags: Bool[np.ndarray, " n"]) -> str:
        return f"{values[flags].mean():.2f}" if flags.any() else "none"

    parts = [
        f"{name} {mean(values, ~anomalous)} and {mean(values, anomalous)}"
        for name, values in [(shown(n, 30), v) for n, v in before.items()]
        + ([] if after is None else [("fused", after)])
    ]
    return "mean weighted degree of normal and of anomalous units: " + "; ".join(parts)


def what_if(answers: Sequence[WhatIf], unit: int) -> pd.DataFrame:
    """One row a change: what becomes of this unit's score, and the largest move of any other unit's."""
    rows = []
    for answer in answers:
        others = np.delete(answer.delta, unit)
        moved = others[np.isfinite(others)]
        rows.append(
            {
                "what": shown(answer.what, 60),
                "score before": answer.old[unit],
                "score after": answer.new[unit],
                "change": answer.delta[unit],
                "largest change elsewhere": moved[np.abs(moved).argmax()] if moved.size else np.nan,
            }
        )
    return pd.DataFrame(rows)


def cut(answer: WhatIf, pair: tuple[int, int]) -> pd.DataFrame:
    """Both ends' scores with and without their connection."""
    return pd.DataFrame(
        [
            {
                "unit": unit,
                "score before": answer.old[unit],
                "score after": answer.new[unit],
                "change": answer.delta[unit],
            }
            for unit in pair
        ]
    )


def scaled(graphs: Mapping[str, Float[np.ndarray, "n n"]], shared: bool) -> dict[str, tuple[float, float]]:
    """Graph -> the strengths drawn palest and darkest: from the 5th percentile to the largest, of all or its own."""
    ranges = {}
    for name, graph in graphs.items():
        off = graph[~np.eye(len(graph), dtype=bool)]
        ranges[name] = (float(np.quantile(off, 0.05)), float(off.max())) if off.size else (0.0, 1.0)
    if shared and ranges:
        low, high = min(a for a, _ in ranges.values()), max(b for _, b in ranges.values())
        ranges = dict.fromkeys(ranges, (low, high))
    return ranges


def leading(parts: Float[np.ndarray, "*shape"], count: int) -> list[tuple[int, ...]]:
    """Places of the largest parts, either sign, the largest first."""
    order = np.argsort(-np.abs(parts), axis=None, kind="stable")[:count]
    return [tuple(int(at) for at in np.unravel_index(place, parts.shape)) for place in order]

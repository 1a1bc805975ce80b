"""Methods side by side: runs that differ in the seed alone, as one row and one bar."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.figures.style import Colours, plotly_text
from core.compare import METRICS
from core.machine.names import Name, shown
from core.measure.metrics import summary
from core.run import Run
from core.sample import METRIC_WORDS

DELTA = "Δ"
BARS = 24  # methods drawn at once


def group_table(runs: Mapping[Name, Run], baseline: str | None) -> pd.DataFrame:
    """One row a method (runs that differ in the seed alone): mean and sd over seeds, last epoch; all for one task.

    Columns: group, method, seeds, the number methods are compared by with its sd, further numbers, the same number with
    a single modality there ("only …", means), weights, seconds. sd is NaN with one seed.
    baseline    group that the last column is the difference in the compared number to
    """
    name = METRIC_WORDS[next(iter(runs.values())).metric]
    groups: dict[str, list[Run]] = {}
    for run in runs.values():
        groups.setdefault(run.group, []).append(run)
    table = pd.DataFrame([{"group": group} | _row(made) for group, made in groups.items()])
    if baseline in groups:
        table[DELTA] = table[name] - float(table.loc[table["group"] == baseline, name].iloc[0])
    return table.sort_values(name, ascending=False, kind="stable", ignore_index=True)


def _row(made: Sequence[Run]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": shown(made[0].title, 60), "seeds": len(made)}
    for metric, name in METRICS[made[0].metric].items():
        row[name], row[f"± {name}"] = summary([run.metrics.get(metric) for run in made])
    for modality in made[0].metrics.get("alone", {}):
        row[f"only {shown(modality, 30)}"], _ = summary([run.metrics["alone"].get(modality) for run in made])
    row = {name: float("nan") if value is None else value for name, value in row.items()}
    return row | {"weights": made[0].weights, "seconds": sum(run.seconds for run in made) / len(made)}


def method_bars(table: pd.DataFrame, chosen: str | None, colours: Colours) -> go.Figure:
    """The compared number of each method, mean over seeds with sd as whiskers; the chosen run's method accented.

    At most `BARS` of them: the best, and the chosen and the last one wherever they stand. The table holds all.
    """
    if len(table) > BARS:
        table = table[(table.index < BARS - 2) | (table["group"] == chosen) | (table.index == len(table) - 1)]
    table = table.iloc[::-1]
    name = str(table.columns[3])
    percent = name != METRIC_WORDS["correlation"]
    digits = 1 if percent else 3
    deltas = table[DELTA] if DELTA in table else [0.0] * len(table)
    figure = go.Figure(
        go.Bar(
            x=table[name],
            y=[plotly_text(method) for method in table["method"]],
            orientation="h",
            error_x={"type": "data", "array": table[f"± {name}"].fillna(0), "color": colours.ink, "thickness": 1.2},
            marker={"color": [colours.edge if group == chosen else colours.normal for group in table["group"]]},
            text=[
                f"{value:.{digits}f}" + (f" (Δ {delta:+.{digits}f})" if delta else "")
                for value, delta in zip(table[name], deltas, strict=True)
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

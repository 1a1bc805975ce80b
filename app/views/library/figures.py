"""Tables of the library: datasets, runs, problems. Names stay raw text: a data frame draws them as they are."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from core.data.check import Report
from core.machine.names import Name, shown
from core.run import Run

RESULTS = ("accuracy", "correlation")  # of runs on samples
SEVERITY = {"error": "● error", "warning": "▲ warning", "note": "· note"}  # a sign and a word, never colour alone


def dataset_table(found: Mapping[Name, Mapping[str, Any]], wanted: str = "") -> pd.DataFrame:
    """One row a dataset whose name, modalities or licence hold the wanted words; index: its key.

    found   key -> {"index": dataset.json's content, or None where it cannot be read, "bytes", "when", "own"}
    """
    rows = {}
    for key, about in found.items():
        index = about["index"]
        modalities = {} if index is None else {m: e["width"] for m, e in index["modalities"].items()}
        row = {
            "dataset": shown(key, 60),
            "name": "cannot be read" if index is None else shown(index["name"], 60),
            "holds": "" if index is None else holding(index),
            "modalities": ", ".join(f"{shown(m, 20)} {w}" for m, w in modalities.items()),
            "splits": "" if index is None else ", ".join(shown(split, 20) for split in index["splits"]),
            "MB": round(about["bytes"] / 1e6, 2),
            "since": day(about["when"]),
            "kind": "simulated" if index and index["simulated"] else "yours" if about["own"] else "",
            "licence": "" if index is None else shown(index["licence"], 60),
        }
        if has(row, wanted):
            rows[key] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def run_table(found: Mapping[Name, Run], own: Sequence[str], wanted: str = "") -> pd.DataFrame:
    """One row a run, best unit AUC first, then those on samples; index: its folder's name."""
    rows = {}
    for name, run in found.items():
        auc, ap = run.metrics.get("auc"), run.metrics.get("ap")
        row = {
            "model": shown(run.title, 60),
            "trained on": shown(run.source.name, 60),
            "unit AUC": _number(auc),
            "unit AP": _number(ap),
            **{name: _number(run.metrics.get(name)) for name in RESULTS},
            "seed": run.seed,
            "weights": run.weights,
            "seconds": round(run.seconds, 1),
            "kind": "yours" if name in own else "",
            "run": shown(name, 60),
        }
        if has(row, wanted):
            rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    if table.empty:
        return table
    table = table.sort_values(["unit AUC", *RESULTS], ascending=False, na_position="last", kind="stable")
    return table.drop(columns=[column for column in RESULTS if table[column].isna().all()])


def holding(index: Mapping[str, Any]) -> str:
    """How much a dataset holds, and what is asked of its samples.

    >>> holding({"clips": {"a": 1, "b": 2}})
    '2 clips'
    """
    if "samples" not in index:
        return f"{len(index['clips']):,} clips"
    task = index["task"]
    asked = f"{task.outputs} classes" if task.kind == "class" else f"{task.outputs} real targets"
    return f"{index['samples']:,} samples, {asked}"


def has(row: Mapping[str, Any], wanted: str) -> bool:
    """Whether every wanted word occurs somewhere in the row.

    >>> has({"model": "LEGO motion+text", "seed": 3}, "lego 3"), has({"model": "MTN"}, "lego")
    (True, False)
    """
    text = " ".join(str(value) for value in row.values()).lower()
    return all(word in text for word in wanted.lower().split())


def problem_table(report: Report) -> pd.DataFrame:
    """Everything wrong with a dataset, worst first."""
    order = list(SEVERITY)
    rows = [
        {"": SEVERITY[p.severity], "where": shown(p.where, 120), "what": shown(p.text, 400), "what to do": p.fix}
        for p in sorted(report.problems, key=lambda p: order.index(p.severity))
    ]
    return pd.DataFrame(rows, columns=["", "where", "what", "what to do"])


def modality_table(report: Report) -> pd.DataFrame:
    """Width of each modality, and of clips their crops and lengths."""
    if report.samples:
        return pd.DataFrame(
            [
                {"modality": shown(m.name, 40), "width": span(m.widths), "made by": shown(m.extractor, 200)}
                for m in report.modalities
            ]
        )
    return pd.DataFrame(
        [
            {
                "modality": shown(m.name, 40),
                "width": span(m.widths),
                "crops": span(m.crops) or "none",
                "units": span(m.units),
                "clips": m.clips,
                "made by": shown(m.extractor, 200),
            }
            for m in report.modalities
        ]
    )


def target_table(report: Report) -> pd.DataFrame:
    """What samples are asked for: every class with its samples, or every target with its range."""
    if report.classes:
        total = sum(report.classes.values())
        return pd.DataFrame(
            [
                {"class": shown(name, 60), "samples": count, "share": f"{count / total:.1%}"}
                for name, count in report.classes.items()
            ]
        )
    return pd.DataFrame(
        [{"target": shown(name, 60), "lowest": low, "highest": high} for name, (low, high) in report.targets.items()]
    )


def facts(report: Report) -> dict[str, str]:
    """The report's first numbers."""
    if report.samples:
        asked = (
            {"Classes": f"{len(report.classes):,}"} if report.classes else {"Real targets": f"{len(report.targets):,}"}
        )
        parts = next(iter(report.splits.values()), {})
        return {"Samples": f"{report.samples:,}", **asked, **{f"In {shown(p, 20)}": f"{n:,}" for p, n in parts.items()}}
    found = {"Clips": f"{report.clips:,}", "Units": f"{report.units:,}"}
    if report.frames is not None:
        found["Frames"] = f"{report.frames:,}"
    if report.fps is not None:
        found["Frames a second"] = f"{report.fps:g}"
    if report.labels:
        found["Anomalous clips"] = f"{report.labels['anomalous']} of {report.clips}"
        found["With labelled frames"] = f"{report.labels['with labelled frames']}"
    return found


def setting_table(run: Run) -> pd.DataFrame:
    """What a run was asked for, as text."""
    pairs = {**run.config, **{f"training {name}": value for name, value in run.training.items()}}
    return pd.DataFrame({"setting": [shown(n, 60) for n in pairs], "value": [shown(v, 120) for v in pairs.values()]})


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def span(values: Sequence[int]) -> str:
    """
    >>> span((5, 11)), span((7, 7)), span(())
    ('5–11', '7', '')
    """
    if not values:
        return ""
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)}–{max(values)}"


def day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")

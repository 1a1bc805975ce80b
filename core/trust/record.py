"""Every run under every corruption, in one table."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import run as runs
from core.dataset import Data
from core.fusion.base import Fusion
from core.machine.names import told_apart
from core.run import Run
from core.sample import METRIC_WORDS
from core.trust.calibration import calibrated
from core.trust.rows import Stage, staged, undefined
from core.trust.stress import KINDS, Stress, stressed


@dataclass(frozen=True)
class Record:
    """One run under every corruption of all it reads.

    clean       the metric; area, kept: corruption -> as in `Stress`, NaN where undefined
    curves      corruption -> the metric at every strength
    ece         expected calibration error in percent, ten equal steps; NaN for real targets
    softer      strengths at which PGD's mean loss is below FGSM's: never, by how PGD searches
    worse       strengths at which its metric is above FGSM's by more than rounding, and by how much at most
    seconds     of one core
    """

    run: Run
    clean: float
    area: Mapping[str, float]
    kept: Mapping[str, float]
    curves: Mapping[str, tuple[float, ...]]
    ece: float
    softer: int
    worse: int
    margin: float
    seconds: float
    why: str = ""


def asked_of(stage: Stage) -> list[str]:
    """Corruptions that these rows can be put under."""
    return [kind for kind, about in KINDS.items() if not (about.clips and not stage.strips)]


def recorded(model: Fusion, stage: Stage, run: Run, kinds: Sequence[str] | None = None) -> Record:
    """Every corruption of all modalities the model reads; of a time shift only its first, so that they part."""
    began = time.thread_time()
    found: dict[str, Stress] = {}
    for kind in kinds or asked_of(stage):
        if kind == "shift":
            if len(model.used) > 1:
                found[kind] = stressed(model, stage, kind, model.used[:1])
        else:
            found[kind] = stressed(model, stage, kind)
    softer, worse, margin = 0, 0, 0.0
    if "fgsm" in found and "pgd" in found:
        a, b = found["fgsm"], found["pgd"]
        softer = int((b.loss < a.loss - 1e-9 * np.maximum(1, np.abs(a.loss))).sum())
        gaps = np.nan_to_num(b.mean - a.mean)
        worse, margin = int((gaps > 1e-6).sum()), max(0.0, float(gaps.max()))
    real = stage.task.kind == "real" or not stage.known.any()
    return Record(
        run,
        next(iter(found.values())).mean[0].item(),
        {kind: each.area for kind, each in found.items()},
        {kind: each.kept for kind, each in found.items()},
        {kind: tuple(each.mean.tolist()) for kind, each in found.items()},
        np.nan if real else calibrated(model, stage).ece,
        softer,
        worse,
        margin,
        time.thread_time() - began,
        next(iter(found.values())).why,
    )


def records(
    data: Data,
    folders: Sequence[Path],
    tell: Callable[[str], None] = lambda line: None,
    kinds: Sequence[str] | None = None,
) -> list[Record]:
    """Runs on the part they were tested on, one after another, all under the same draws."""
    stages: dict[str | None, Stage] = {}
    found = []
    for number, folder in enumerate(folders, start=1):
        run = runs.load(folder)
        protocol = run.source.protocol if run.source.protocol in data.splits else None
        if protocol not in stages:
            stages[protocol] = staged(data, protocol)
        stage = stages[protocol]
        if not stage.known.any():
            raise ValueError(f"{data.name!r}: {undefined(stage)}, so no robustness can be measured")
        record = recorded(runs.model(folder), stage, run, kinds)
        found.append(record)
        tell(
            f"{number} of {len(folders)}: {run.title} seed {run.seed}, {record.clean:.3g} clean, "
            + ", ".join(f"{kind} {area:.3g}" for kind, area in record.area.items())
            + f" ({record.seconds:.1f} s)"
        )
    return found


def trained_on(data: Data, root: Path) -> list[Path]:
    """The folders of the runs below a root that were trained on these very data."""
    return [root / name for name, run in runs.listing(root).items() if run.source.digest == data.digest()]


def spread_over(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample sd over seeds; None where undefined."""
    table = np.array(values)
    mean = float(table.mean()) if len(table) and np.isfinite(table).all() else None
    return {"mean": mean, "sd": float(table.std(ddof=1)) if mean is not None and len(table) > 1 else None}


def grouped(found: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a configuration, mean and sd over its seeds, the best clean one first."""
    groups: dict[str, list[Record]] = {}
    for each in found:
        groups.setdefault(each.run.group, []).append(each)
    titles = told_apart({group: members[0].run.title for group, members in groups.items()})
    rows = []
    for group, members in groups.items():
        first = members[0]
        rows.append(
            {
                "group": group,
                "title": titles[group],
                "metric": first.run.metric,
                "seeds": len(members),
                "clean": spread_over([each.clean for each in members]),
                "area": {kind: spread_over([each.area[kind] for each in members]) for kind in first.area},
                "kept": {kind: spread_over([each.kept[kind] for each in members]) for kind in first.kept},
                "ece": spread_over([each.ece for each in members]),
                "pgd_softer_than_fgsm": sum(each.softer for each in members),
                "pgd_metric_above_fgsm": sum(each.worse for each in members),
                "pgd_metric_above_fgsm_by": max(each.margin for each in members),
                "seconds": sum(each.seconds for each in members),
                **({"why": first.why} if first.why else {}),
            }
        )
    return sorted(rows, key=lambda row: -(row["clean"]["mean"] if row["clean"]["mean"] is not None else -1e9))


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for a terminal."""
    if not rows:
        return "no run was trained on these data"
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["area"]))
    n = 3 if rows[0]["metric"] == "correlation" else 1

    def cell(value: Mapping[str, float | None], digits: int = n) -> str:
        if value["mean"] is None:
            return "-"
        return f"{value['mean']:.{digits}f}" + ("" if value["sd"] is None else f" ± {value['sd']:.{digits}f}")

    head = ["method", "seeds", "clean", *(f"area {kind}" for kind in kinds), "ECE"]
    lines = [head]
    for row in rows:
        areas = [cell(row["area"][kind]) if kind in row["area"] else "-" for kind in kinds]
        lines.append([row["title"], str(row["seeds"]), cell(row["clean"]), *areas, cell(row["ece"], 1)])
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    told = [
        "  ".join(c.ljust(w) if not at else c.rjust(w) for at, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    softer = sum(row["pgd_softer_than_fgsm"] for row in rows)
    above = sum(row["pgd_metric_above_fgsm"] for row in rows)
    most = max(row["pgd_metric_above_fgsm_by"] for row in rows)
    told.append(
        f"Area: mean {METRIC_WORDS[rows[0]['metric']]} from strength 0 to the strongest. PGD's loss is below FGSM's in "
        f"{softer} cases of run and strength; its metric is above FGSM's in {above}"
        + (f", by {most:.2g} at most." if above else ".")
    )
    return "\n".join(told)


def table(
    data: Data, folders: Sequence[Path], tell: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Any], str]:
    """(rows and what the strengths are, the same as text) of these runs."""
    stage = staged(data)
    rows = grouped(records(data, folders, tell))
    result = {
        "dataset": data.name,
        "corruptions": {
            kind: {"title": KINDS[kind].title, "strength": KINDS[kind].strength, "levels": KINDS[kind].levels}
            for kind in asked_of(stage)
        },
        "runs": len(folders),
        "pgd_softer_than_fgsm": sum(row["pgd_softer_than_fgsm"] for row in rows),
        "rows": rows,
    }
    return result, table_text(rows)

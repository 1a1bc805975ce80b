"""Commands that judge methods and runs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.cli.shared import Json, Modalities, Protocol, Set, left_out, names, opened, put, tell, training


def table(
    dataset: Path,
    fusions: Annotated[str, typer.Option(help="Comma-separated; concat@graph for one level, single:text for one.")] = (
        "single,concat,sum,product,mtn,lego"
    ),
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    set_: Set = None,
    protocol: Protocol = None,
    modalities: Modalities = None,
    out: Annotated[Path | None, typer.Option(help="Also keep every run in this folder.")] = None,
    stored: Annotated[
        Path | None, typer.Option("--runs", help="Train nothing: score the runs in this folder again.")
    ] = None,
    json_: Json = False,
) -> None:
    """Methods x metrics, mean ± sd over seeds at the last epoch; videos are extracted first."""
    from core.experiments.table import methods, text
    from core.experiments.table import stored as rows_on_disk
    from core.experiments.table import table as rows_of
    from core.measure.metrics import few

    options, loop = training(set_)
    data = opened(dataset)
    if stored is not None:
        about, rows = left_out(stored), rows_on_disk(data, stored, tell)
    else:
        rest = {"training": loop, "seeds": tuple(range(seeds)), "protocol": protocol}
        chosen = methods(names(fusions), names(modalities) or data.modalities, options, **rest)
        about, rows = {"seeds": seeds}, list(rows_of(data, chosen, out, tell))
    result = {"dataset": data.name, **about, "rows": [asdict(row) for row in rows]}
    put(result, text(rows), json_, few(data.shown(protocol)))


def compare(
    dataset: Path,
    stored: Annotated[Path, typer.Option("--runs", help="Folder of runs; those trained on these very data count.")],
    fusions: Annotated[
        str | None, typer.Option(help="Comma-separated: a fusion (all its configurations), a title or a group's id.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="What the others are tested against; the best unless given.")] = (
        None
    ),
    form: Annotated[str, typer.Option("--format", help="text, md, latex or csv.")] = "text",
    memory: Annotated[
        bool, typer.Option("--memory", help="Also the peak memory of a scoring, in processes of their own.")
    ] = False,
    json_: Json = False,
) -> None:
    """Stored runs side by side: intervals, a paired test against a baseline on the same clips, parts, cost."""
    from core import compare as side

    data, unread = opened(dataset), left_out(stored)
    base, lines = side.compare(data, stored, names(fusions), baseline, dataset if memory else None)
    result = {"dataset": data.name, "baseline": base, "rows": side.records(lines, base)} | unread
    put(result, side.report(data, base, lines, form).rstrip("\n"), json_)


def robustness(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs, and last the dataset.")],
    json_: Json = False,
) -> None:
    """Every run under noise, attacks, losses and time shifts: area under each curve, and calibration.

    A folder of runs stands for those that were trained on these very data. A second or two a run, up to ten with
    attention.
    """
    from core.trust import record

    *folders, last = paths
    if not folders:
        raise ValueError("robustness wants one run or a folder of runs, and then the dataset")
    data = opened(last)
    chosen = [
        run
        for folder in folders
        for run in ([folder] if (folder / "run.json").is_file() else record.trained_on(data, folder))
    ]
    unread = left_out(*(folder for folder in folders if not (folder / "run.json").is_file()))
    if not chosen:
        raise ValueError(f"no run there was trained on {data.name!r}")
    result, text = record.table(data, chosen, tell)
    put(result | unread, text, json_)

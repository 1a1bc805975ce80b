"""The command that sweeps options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.shared import Device, Json, Modalities, Protocol, Set, device_of, names, opened, put, recipe, tell
from core.workspace import Workspace


def sweep(
    dataset: Path,
    fusion: Annotated[str, typer.Option(help="Name of the fusion.")] = "lego",
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis", help="An option and its values: P=1..10, alpha=0.1..0.9 step 0.1, lam=1e-4..100 times 10."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Axes of a figure of the paper: figure-5, figure-4-alpha, figure-4-k or figure-4-lambda."),
    ] = None,
    set_: Set = None,
    seeds: Annotated[int, typer.Option(help="Seeds of every cell, from 0 on.", min=1)] = 3,
    guided: Annotated[bool, typer.Option("--guided", help="Let Optuna's TPE choose which cells to train.")] = False,
    trials: Annotated[int, typer.Option(help="--guided: how many cells.", min=1)] = 40,
    judge: Annotated[str, typer.Option(help="held-out: a part of the training data; test: as the papers do.")] = (
        "held-out"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder of sweeps; else `sweeps` in $FUSESCOPE_WORKSPACE or ./workspace.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster, host:port; local starts one on this machine.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of this machine.", min=1)] = 1,
    protocol: Protocol = None,
    modalities: Modalities = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Train one fusion at many options and seeds; the same command goes on where a stopped sweep was.

    Every cell is the mean over seeds; printed are the best one, those within its spread, and what each option matters.
    """
    import time

    from core import sweep as sweeps

    axes: dict[str, Any] = {}
    usual: dict[str, Any] = {}
    if preset is not None:
        if preset not in sweeps.PRESETS:
            raise ValueError(f"there is no preset {preset!r}; there are {', '.join(sweeps.PRESETS)}")
        lines, usual = sweeps.PRESETS[preset]
        axes = {key: sweeps.values_of(value, key) for key, value in lines.items()}
    for each in axis or ():
        key, sign, values = each.partition("=")
        if not sign:
            raise ValueError(f"--axis wants option=values, got {each!r}")
        axes[key.strip()] = sweeps.values_of(values, key.strip())
    data = opened(dataset)
    asked = recipe(fusion, set_, seeds, options=usual, protocol=protocol, modalities=names(modalities), device=device)
    how: sweeps.How = "guided" if guided else "grid"
    plan = sweeps.Plan(str(dataset.resolve()), axes, asked, how, trials, judge)  # type: ignore[arg-type]
    root = sweeps.begin(plan, data, out or Workspace.here().sweeps)
    tell(f"{root}: {sweeps.read(root).title}")
    began, last = time.perf_counter(), 0.0

    def step(share: float, words: str) -> None:
        nonlocal last
        if share == 1 or time.perf_counter() - last > 1:
            last = time.perf_counter()
            tell(f"  {words}")

    for _ in sweeps.sweep(root, data, address, workers, step, device_of(device)):
        pass
    seconds, found = time.perf_counter() - began, sweeps.results(root)
    put({"folder": str(root), **sweeps.record(found, seconds)}, sweeps.text(found, seconds), json_)

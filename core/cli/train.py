"""Commands that train, and that count what a training holds."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.shared import (
    Device,
    Json,
    Modalities,
    Protocol,
    Set,
    device_of,
    names,
    opened,
    put,
    recipe,
    settings,
    tell,
)
from core.workspace import Workspace


def train(
    dataset: Path,
    fusion: Annotated[str, typer.Option(help="Name of the fusion.")] = "lego",
    set_: Set = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0 on.", min=1)] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of runs; else `runs` in $FUSESCOPE_WORKSPACE or ./workspace.")
    ] = None,
    protocol: Protocol = None,
    modalities: Modalities = None,
    device: Device = "cpu",
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision: layers multiply in bfloat16.")] = False,
    json_: Json = False,
) -> None:
    """Train one fusion from K seeds; each becomes a run folder."""
    import torch

    from core import run as runs
    from core.machine.device import sparing
    from core.measure.metrics import show, summary
    from core.recipe import Recipe
    from core.sample import METRIC_WORDS
    from core.train import memory
    from core.train.loop import Trained
    from core.train.loop import train as fit

    pairs = [*(set_ or ()), *["amp=true"] * amp]
    asked = recipe(fusion, pairs, seeds, protocol=protocol, modalities=names(modalities), device=device)
    data = opened(dataset)
    memory.afford(asked, memory.shape_of(data, protocol, asked.modalities))
    made = []
    for each in asked.each:

        def one(_: int, on: torch.device, each: Recipe = each) -> Trained:
            return fit(data, each, device=on)

        done = sparing(one, 1, device_of(device), tell)
        folder = runs.save(done.run, done.model.state_dict(), done.history, out or Workspace.here().runs)
        made.append(done.run)
        metric = done.run.metric
        tell(f"{folder}: {METRIC_WORDS[metric]} {show(done.run.metrics[metric], metric)}, {done.run.seconds:.1f} s")
    mean, sd = summary([run.metrics[metric] for run in made])
    result: dict[str, Any] = {"runs": [run.id for run in made], "group": made[0].group, "metric": metric}
    result |= {f"{metric}_mean": mean, f"{metric}_sd": sd}
    result |= {"metrics": [dict(run.metrics) for run in made], "weights": made[0].weights}
    spread = f"{METRIC_WORDS[metric]} {show(mean, metric)} ± {show(sd, metric)}"
    put(result, f"{made[0].title}: {spread} over {seeds} seeds, last epoch", json_)


def count(
    fusion: str,
    widths: Annotated[str, typer.Option(help="Comma-separated widths of the modalities.")],
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Number of trainable weights, as one integer; of GMF and LMF the fusion alone, without its classifier.

    --json adds all weights, classifier included, and the FLOPs of one unit (2 for a multiplication and its addition).
    """
    import torch

    from core.fusion.base import count_weights
    from core.recipe import Recipe
    from core.run import build
    from core.score.flops import flops

    own = Recipe(fusion, settings(set_)).options
    sizes = {f"m{i}": int(width) for i, width in enumerate(names(widths))}
    with torch.device("meta"):  # shapes alone: a billion weights cost nothing
        model = build(fusion, sizes, own)
        result: dict[str, Any] = {"fusion": fusion, "weights": count_weights(model.fusion_part())}
        result["all_weights"] = count_weights(model)
        with contextlib.suppress(RuntimeError):  # graphs look at their numbers, and shapes have none
            result["flops"] = flops(model)
    if "flops" not in result:
        result["flops"] = flops(build(fusion, sizes, own))
    put(result, str(result["weights"]), json_)

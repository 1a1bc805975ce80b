"""Commands that reproduce the papers and measure speed."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.shared import Json, Set, opened, put, recipe, tell


def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark; all unless given.")] = None, json_: Json = False
) -> None:
    """Ratios of fast paths against their named rivals, in one run; `methods`: quality and cost of every method."""
    from core.experiments.bench import run as measure_all

    result, text = measure_all(name, tell)
    put(result, text, json_)


def experiment(
    name: Annotated[
        str, typer.Argument(help="profusion-synthetic, intense; with a dataset profusion-steps, mkl, rank-robustness.")
    ],
    dataset: Annotated[Path | None, typer.Argument(help="For the last three: what to train on.")] = None,
    trials: Annotated[int, typer.Option(help="profusion-synthetic: draws of every setting.", min=2)] = 30,
    seeds: Annotated[int, typer.Option(help="Seeds of every model; mkl: draws.", min=1)] = 5,
    stored: Annotated[
        Path | None, typer.Option("--runs", help="rank-robustness: take the LMF runs of this folder, train none.")
    ] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """A paper's experiment, run anew.

    profusion-synthetic is B.1 of ProFusion: against a base of matched size on drawn data, and RobustAUC. About four
    minutes of one core. profusion-steps is G: every base and join against the base of matched size, and what linear
    probes read off every modality at every step, with its control. intense is what its relevances must show: planted
    strengths in their order, and XOR that no linear model can learn. About ten seconds. mkl is ℓp-norm MKL on samples
    with classes: draws of 400 training rows, p from 1 to 64 against the average kernel, single views and a noise
    kernel, with every solution's duality gap. Half a minute on six views of 2,000 digits. rank-robustness asks of LMF
    whether a lower rank is more robust: ranks 1, 2, 4, 8 under every corruption. Two seconds a run, and its training.
    """
    from core.experiments import progressive, synthetic

    if name == "profusion-synthetic":
        put(*synthetic.report(list(synthetic.experiment(trials, tell=tell))), json_)
    elif name == "profusion-steps" and dataset is not None:
        data = opened(dataset)
        rows = list(progressive.experiment(data, recipe("profusion", set_, seeds), tell))
        put(*progressive.report(data.name, rows), json_)
    elif name == "intense":
        from core.experiments import intense

        put(*intense.report(list(intense.experiment(seeds, tell))), json_)
    elif name == "mkl" and dataset is not None:
        from core.experiments import mkl

        config, views = recipe("mkl", set_).options, opened(dataset)
        put(*mkl.report(views.name, config, list(mkl.experiment(views, config, seeds, tell=tell))), json_)
    elif name == "rank-robustness" and dataset is not None:
        from core.experiments import ranks
        from core.trust import record

        data = opened(dataset)
        if stored is not None:
            found = record.records(data, ranks.of_ranks(record.trained_on(data, stored)), tell)
        else:
            found = ranks.trained_ranks(data, recipe("lmf", set_, seeds), tell)
        put(*ranks.rank_report(data.name, found), json_)
    else:
        raise ValueError(
            f"there is profusion-synthetic, intense; profusion-steps, mkl, rank-robustness with DATASET; got {name!r}"
        )

"""`python -m core …`: whatever a page computes, a script can. `--json` prints one JSON object and nothing else."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads are slower than one for models this small

import typer  # noqa: E402

from core.cli import data, demo, experiments, judge, score, sweep, train  # noqa: E402
from core.cli.shared import Explained, tell  # noqa: E402

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for command in (
    data.check,
    data.extract,
    score.bulk,
    data.build,
    train.train,
    score.score,
    judge.table,
    train.count,
    experiments.bench,
    score.retrieve,
    experiments.experiment,
    judge.compare,
    sweep.sweep,
    judge.robustness,
    score.whole,
):
    takes_options = command in (train.train, train.count, sweep.sweep, judge.table)
    app.command(cls=Explained if takes_options else None)(command)
app.add_typer(demo.app, name="demo")


def main() -> int:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        left = app(standalone_mode=False)  # the code of a typer.Exit comes back as a value
    except (ValueError, OSError) as error:
        tell(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        tell("stopped; run the same command again to go on")
        return 130
    except typer.Exit as leave:
        return leave.exit_code
    except Exception as error:  # click's own usage errors carry their message
        if hasattr(error, "format_message"):
            tell(f"error: {error.format_message()}")
            return 2
        raise
    return left if isinstance(left, int) else 0

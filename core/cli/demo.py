"""The commands that rebuild the demo inside, `python -m core demo …`; the work lies in `core/experiments/demo.py`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Rebuild the demo inside: videos, features, runs, and what they are worth."
)
ASSETS, WORK = Path("assets"), Path("workspace/demo")


@app.command()
def build(
    only: Annotated[str | None, typer.Option(help="One part alone: videos, features, runs.")] = None,
    assets: Annotated[Path, typer.Option(help="Where the demo goes.")] = ASSETS,
    work: Annotated[Path, typer.Option(help="Where unfinished work lies; a second call goes on from there.")] = WORK,
) -> None:
    """Rebuild the demo; parts that come out as they were change no file."""
    from core.experiments import demo

    demo.build(only, assets, work)


@app.command()
def judge(assets: Annotated[Path, typer.Option(help="Where the demo lies.")] = ASSETS) -> None:
    """Measure every run again by today's way of measuring; weights stay, numbers in run.json and README may change."""
    from core.experiments import demo

    demo.judge(assets)


@app.command()
def kinds(assets: Annotated[Path, typer.Option(help="Where the demo lies.")] = ASSETS) -> None:
    """Print the table of assets/README.md, computed anew from the weights."""
    from core.experiments import demo

    demo.kinds(assets)

"""Plans, samples and tables of sweeps with known answers, for tests alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from core import run
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.sweep import Plan, Results, Row, Sweep, cells
from tests.core import made

SHORT = TrainConfig(epochs=2, batch=8)
SOURCE = run.Source("made", "0" * 64, "held-out", made.WIDTHS)
RUN = run.Run("lego", {}, {"epochs": 10}, SOURCE, 0, seconds=2.0)


def plan(axes: dict[str, Sequence[Any]] | None = None, **given: Any) -> Plan:
    """A small plan; `given` are fields of a plan, or of its recipe."""
    asked: dict[str, Any] = {"fusion": "lego", "fixed": {"project": None}, "training": SHORT, "seeds": 2} | given
    one = Recipe(asked.pop("fusion"), asked.pop("fixed"), asked.pop("training"), tuple(range(asked.pop("seeds"))))
    every = {"P": (1, 2), "Q": (0, 2)} if axes is None else axes
    return Plan("somewhere", {name: tuple(values) for name, values in every.items()}, one, **asked)


def samples() -> Samples:
    random = torch.Generator().manual_seed(0)
    target = torch.arange(60) % 3
    features = {name: torch.randn(60, 4, generator=random) + target[:, None] for name in ("a", "b")}
    parts = {"half": {"train": torch.arange(40), "test": torch.arange(40, 60)}}
    return Samples("three", features, target, Task("class", ("x", "y", "z")), parts)


def times(root: Path) -> dict[str, int]:
    """Run -> when it was written, of runs alone."""
    found = [folder for folder in (root / "runs").iterdir() if not folder.name.startswith(".")]
    return {folder.name: (folder / "run.json").stat().st_mtime_ns for folder in found}


def table(axes: dict[str, Sequence[Any]], value: Callable[..., float], seeds: int = 1) -> Results:
    """A sweep whose cells have these values: `value(*cell, seed)`."""
    asked = Sweep(plan(axes, seeds=seeds), SOURCE, "auc")
    rows = [
        Row(cell, {s: value(*cell, s) for s in range(seeds)}, {s: f"{cell}{s}" for s in range(seeds)})
        for cell in cells(asked.plan)
    ]
    return Results(asked, tuple(rows))

"""The time a sweep will take is counted in its own steps: as many as it then really does, together or alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core import sweep
from core.dataset import Dataset
from core.recipe import TrainConfig
from core.sweep import Estimate, estimate
from core.sweep.cost import Probe
from core.train.ensemble import fit, stack
from tests.core.sweep.made import plan, samples


class Steps:
    """A clock that moves by one with every step of Adam, whoever takes it, and with nothing else."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    clock = Steps()
    for kind in (stack.Adam, torch.optim.Adam):

        def step(self: Any, *words: Any, real: Any = kind.step) -> Any:
            clock.now += 1
            return real(self, *words)

        monkeypatch.setattr(kind, "step", step)
    return clock


CASES = [
    ({"P": (1, 2), "Q": (0, 2)}, {}, (8, 0)),
    ({"P": (1, 2), "Q": (0, 2)}, {"how": "guided", "trials": 3}, (6, 0)),
    ({"P": range(1, 4), "Q": range(4)}, {"how": "guided", "trials": 10}, (20, 0)),  # eight cells, then two
    ({"project": (None, 4)}, {"fixed": {"nodes": 32}, "seeds": 3, "training": TrainConfig(epochs=3, batch=4)}, (3, 3)),
    ({"level": ("feature", "graph")}, {"fusion": "concat", "fixed": {}, "judge": "test"}, (0, 4)),
    ({"lr": (0.1, 0.01), "epochs": (1, 3)}, {}, (8, 0)),
]


@pytest.mark.parametrize(
    ("axes", "given", "counts"), CASES, ids=["grid", "guided", "batches", "mixed", "alone", "epochs"]
)
def test_as_many_steps_are_told_as_are_done(
    clips: Dataset, tmp_path: Path, steps: Steps, axes: dict, given: dict, counts: tuple[int, int]
) -> None:
    asked = plan(axes, **given)
    found = estimate(asked, clips, clock=steps)
    assert found is not None
    assert (found.together, found.alone) == counts
    before = steps.now
    list(sweep.sweep(sweep.begin(asked, clips, tmp_path), clips))
    assert found.seconds == steps.now - before
    both = estimate(asked, clips, workers=2, clock=steps)
    assert both is not None
    assert both.seconds == found.seconds / 2


def test_large_grids_are_told_from_some_of_their_cells(clips: Dataset, steps: Steps, monkeypatch) -> None:
    asked = plan({"alpha": [n / 1000 for n in range(100)], "k": range(1, 7)}, seeds=1)
    sizes: set[int] = set()

    def spy(models: list, *words: Any) -> Any:
        sizes.add(len(models))
        return fit.fit_many(models, *words)

    monkeypatch.setattr(sweep.cost, "fit_many", spy)
    every = estimate(asked, clips, clock=steps)
    monkeypatch.setattr(sweep.cost, "MOST_CELLS", 20)
    some = estimate(asked, clips, clock=steps)
    assert sizes == {50}, "ensembles of another size take other times"
    assert every is not None
    assert every == some
    assert every.together == 600


def test_samples_are_counted_one_by_one(steps: Steps, tmp_path: Path) -> None:
    asked = plan({"rank": (1, 2)}, fusion="lmf", fixed={}, training=TrainConfig(epochs=2, batch=8))
    found = estimate(asked, samples(), clock=steps)
    assert found is not None
    list(sweep.sweep(sweep.begin(asked, samples(), tmp_path), samples()))
    assert (found.together, found.alone, found.seconds) == (0, 4, 4 * 2 * 4)  # 30 of 40 samples in batches of 8


def test_measuring_is_counted_and_solvers_are_not(clips: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan()
    monkeypatch.setattr(Probe, "ensemble", lambda self, members: 0.0)
    ticks = iter(range(100))
    found = estimate(asked, clips, clock=lambda: float(next(ticks)))
    assert found is not None
    assert found.seconds == asked.trainings * 1.0  # one tick for four held-out clips, all of them
    assert estimate(plan({"C": (1.0, 2.0)}, fusion="mkl", fixed={}), clips) is None


def test_it_is_said_with_no_more_than_is_known() -> None:
    assert Estimate(66.7, 300, 0).words == "about a minute, trained together"
    assert Estimate(700.0, 0, 5).words == "about 12 minutes, trained one by one"
    assert Estimate(8000.0, 200, 1000).words == "about 2 hours, 200 trained together, 1,000 one by one"

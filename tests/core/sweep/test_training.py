"""What is asked is what is trained, and nothing is done twice whatever dies."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import jobs, run, sweep
from core.data import native, read
from core.dataset import Dataset
from core.machine import lease
from core.recipe import Recipe
from core.sweep import Sweep, cells, held_out, training
from core.train.loop import train
from tests.core.sweep.made import RUN, SHORT, SOURCE, plan, samples, times

HOME = Path(__file__).parents[3]


@pytest.mark.parametrize("judge", ["held-out", "test"])
def test_a_cell_is_the_training_one_would_do_by_hand(
    clips: Dataset, finished: Path, tmp_path: Path, judge: str
) -> None:
    root = finished
    if judge == "test":
        root = sweep.begin(plan({"P": (2,), "Q": (2,)}, seeds=1, judge="test"), clips, tmp_path)
        list(sweep.sweep(root, clips))
    alone = train(
        clips if judge == "test" else held_out(clips, None, 0.25),
        Recipe("lego", {"project": None, "P": 2, "Q": 2}, SHORT, (0,)),
    )
    row = sweep.results(root).row((2, 2))
    assert row is not None
    assert row.runs[0] == alone.run.id
    assert row.values[0] == pytest.approx(alone.run.metrics["auc"], abs=0.5)
    stored = run.load(root / "runs" / row.runs[0])
    assert ("on test" if judge == "test" else "on held-out") in stored.note
    for name, weight in run.model(root / "runs" / row.runs[0]).state_dict().items():
        torch.testing.assert_close(weight, alone.model.state_dict()[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["concat", "lmf", "intense"])
def test_methods_that_are_not_stepped_together_are_swept_too(tmp_path: Path, fusion: str) -> None:
    """`sweep` itself raises when a run is not the one that was foretold, so this covers every config's names."""
    data = samples()
    asked = plan({"batch": (16, 40)}, fusion=fusion, fixed={}, seeds=1, training=replace(SHORT, batch=32))
    root = sweep.begin(asked, data, tmp_path)
    assert [one.cell for one in sweep.sweep(root, data)] == [(16,), (40,)]
    assert {row.n for row in sweep.results(root).rows} == {1}
    assert sweep.read(root).judged == "on held-out training samples"


def test_an_option_that_records_leave_out_may_be_an_axis(tmp_path: Path) -> None:
    """`amp` stands in a run's record only where it is on."""
    data = samples()
    root = sweep.begin(plan({"amp": (False, True)}, fusion="sum", fixed={}, seeds=1), data, tmp_path)
    list(sweep.sweep(root, data))
    assert {row.cell: row.n for row in sweep.results(root).rows} == {(False,): 1, (True,): 1}


def test_a_finished_sweep_trains_nothing(clips: Dataset, finished: Path) -> None:
    before = times(finished)
    assert not sweep.todo(finished)
    assert not list(sweep.sweep(finished, clips))
    assert times(finished) == before
    assert sweep.begin(plan(), clips, finished.parent) == finished
    assert sweep.begin(plan(seeds=3), clips, finished.parent) != finished


def test_what_is_missing_is_what_is_done(clips: Dataset, tmp_path: Path) -> None:
    root = sweep.begin(plan(), clips, tmp_path)
    going = sweep.sweep(root, clips)
    first = [next(going) for _ in range(3)]
    going.close()
    dead = f"{lease.here()}-{2**22 + 1}-1"  # above the largest process number there can be
    for writer in (dead, lease.mark()):
        (root / "runs" / f".draft-{writer}-a").mkdir()
    before = times(root)
    left = sweep.todo(root)
    assert len(left) == 8 - len(before)
    assert not {(one.cell, one.seed) for one in first} & set(left)
    again = list(sweep.sweep(root, clips))
    assert sorted((one.cell, one.seed) for one in again) == sorted(left)
    assert [draft.name for draft in (root / "runs").glob(".draft-*")] == [f".draft-{lease.mark()}-a"]
    after = times(root)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before


def test_a_kill_loses_nothing_and_nothing_is_trained_twice(clips: Dataset, tmp_path: Path) -> None:
    """kill -9 in the middle of a real command; the same command goes on, and what was there is not touched."""
    data = tmp_path / "data"
    native.write(clips, data)
    words = [
        *(sys.executable, "-m", "core", "sweep", str(data), "--fusion", "sum", "--axis", "hidden=4..9"),
        *("--set", "epochs=20", "--seeds", "2", "--out", str(tmp_path / "sweeps"), "--json"),
    ]
    first = subprocess.Popen(words, cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end and len(list((tmp_path / "sweeps").glob("*/runs/[!.]*"))) < 3:
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (root,) = (tmp_path / "sweeps").iterdir()
    before = times(root)
    assert 3 <= len(before) < 12
    second = subprocess.run(words, cwd=HOME, capture_output=True, text=True, check=True, timeout=120)
    assert '"done": 12' in second.stdout
    after = times(root)
    assert len(after) == 12
    assert {name: after[name] for name in before} == before
    assert not list((root / "runs").glob(".draft-*"))


def test_a_training_that_diverges_is_told_and_not_tried_again(
    clips: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.train_many

    def wild(data: Any, asked: Sequence[Any], tell: Any, device: Any, chunk: int, failed: Any) -> Any:
        """Every training with P = 2 comes to nothing, as `train_many` tells it."""
        lost = [index for index, one in enumerate(asked) if one.options.P == 2]
        kept = [index for index in range(len(asked)) if index not in lost]
        for place, trained in real(data, [asked[index] for index in kept], tell, device, chunk):
            yield kept[place], trained
        for index in lost:
            failed(index, "diverged at epoch 2: the loss is no finite number any more")

    monkeypatch.setattr(training, "train_many", wild)
    root = sweep.begin(plan(seeds=1), clips, tmp_path)
    done = list(sweep.sweep(root, clips))
    assert {one.cell for one in done if one.run is None} == {(2, 0), (2, 2)}
    found = sweep.results(root)
    assert found.complete
    assert {row.cell for row in found.rows if row.n} == {(1, 0), (1, 2)}
    assert all("diverged at epoch" in why for row in found.rows for why in row.failed.values())
    assert found.best is not None
    assert found.best.cell[0] == 1
    assert not sweep.todo(root)
    assert not list(sweep.sweep(root, clips))


def test_other_workers_make_the_same_runs(
    clips: Dataset, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the pool everything is pickled, pieces come back in any order, and only this process writes."""

    def scattered(
        work: Callable, tasks: Sequence[Any], address: str | None, workers: int, shared: tuple
    ) -> Iterator[tuple[int, Any]]:
        assert len(tasks) > 1
        for index in reversed(range(len(tasks))):
            handed, task, common = pickle.loads(pickle.dumps((work, tasks[index], shared)))
            yield index, pickle.loads(pickle.dumps(handed(task, *common)))

    monkeypatch.setattr(training, "spread", scattered)
    root = sweep.begin(plan(), clips, tmp_path)
    assert len(list(sweep.sweep(root, clips, workers=2))) == 8
    here, there = sweep.results(finished), sweep.results(root)
    for a, b in zip(here.rows, there.rows, strict=True):
        assert a.runs == b.runs
        assert list(a.values.values()) == pytest.approx(list(b.values.values()), abs=0.5)


def test_the_job_of_a_page_does_the_same(clips: Dataset, tmp_path: Path) -> None:
    native.write(clips, tmp_path / "data")
    data = read(tmp_path / "data")
    root = sweep.begin(plan({"P": (1, 2)}, seeds=1), data, tmp_path / "sweeps")
    said: list[str] = []
    assert (
        jobs.kinds.HANDLERS["sweep"](
            {"sweep": str(root), "dataset": str(tmp_path / "data")}, lambda share, words: said.append(words)
        )
        == root.name
    )
    assert sweep.results(root).complete
    assert any("to go" in words for words in said)


def test_a_waiting_job_passes_when_all_that_is_trained_is_on_disk(
    clips: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = native.write(clips, tmp_path / "data")
    asked = replace(plan({"level": ("feature", "graph")}, fusion="concat", fixed={}), dataset=str(folder))
    root = sweep.begin(asked, native.read(folder), tmp_path / "sweeps")
    monkeypatch.setattr(jobs.queue, "ensure", lambda root: None)
    waiting = jobs.submit(tmp_path / "jobs", "train", "short", {})
    given = {"sweep": str(root), "dataset": str(folder), "job": str(tmp_path / "jobs" / "me")}
    stamps: dict[str, int] = {}
    for done in (1, 2):
        with pytest.raises(jobs.Passed):
            jobs.kinds.HANDLERS["sweep"](given, lambda share, words: None)
        assert len(times(root)) == done
        assert times(root).items() >= stamps.items(), "nothing is trained twice"
        stamps = times(root)
    jobs.cancel(tmp_path / "jobs", waiting.id)
    assert jobs.kinds.HANDLERS["sweep"](given, lambda share, words: None) == root.name
    assert sweep.results(root).complete
    assert times(root).items() >= stamps.items()


def test_a_guided_sweep_that_is_resumed_asks_for_the_same_cells(clips: Dataset, tmp_path: Path) -> None:
    asked = plan({"P": range(5), "head": ("row", "sorted"), "Q": range(3)}, how="guided", trials=12, seeds=1)
    asked = replace(asked, recipe=asked.recipe.but(epochs=1))
    through, stopped = (sweep.begin(asked, clips, tmp_path / name) for name in ("through", "stopped"))
    whole = [one.cell for one in sweep.sweep(through, clips)]
    assert len(set(whole)) == len(whole) == 12
    going = sweep.sweep(stopped, clips)
    first = [next(going).cell for _ in range(10)]
    going.close()
    rest = [one.cell for one in sweep.sweep(stopped, clips)]
    assert len(first) + len(rest) == 12
    assert set(first + rest) == set(whole)
    assert sweep.results(stopped).total == sweep.results(stopped).done == 12


def test_a_guided_sweep_goes_where_it_is_good(tmp_path: Path, clips: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted peak in 15 x 15 cells: half of 48 asked cells lie nearer to it than two thirds of all cells do."""
    asked = Sweep(plan({"P": range(15), "Q": range(15)}, how="guided", trials=48, seeds=1), SOURCE, "auc")
    there: dict[str, float] = {}

    def value(folder: Path) -> Any:
        return replace(RUN, metrics={"auc": there[folder.name]})

    monkeypatch.setattr(run, "load", value)
    named = []
    for batch in sweep.guided(asked, tmp_path):
        assert len(set(batch)) == len(batch)
        for cell in batch:
            there[asked.run_id(cell, 0)] = -float((cell[0] - 11) ** 2 + (cell[1] - 4) ** 2)
        named += batch
    assert len(set(named)) == 48
    far = sorted(math.hypot(p - 11, q - 4) for p, q in cells(asked.plan))
    assert np.median([math.hypot(p - 11, q - 4) for p, q in named[16:]]) < far[len(far) // 3]


def test_more_trials_than_cells_are_all_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Sweep(plan({"P": range(3), "head": ("row", "sorted")}, how="guided", trials=40, seeds=1), SOURCE, "auc")
    monkeypatch.setattr(run, "load", lambda folder: replace(RUN, metrics={"auc": None}))  # all undefined
    named = [cell for batch in sweep.guided(asked, tmp_path) for cell in batch]
    assert sorted(named) == sorted(cells(asked.plan))

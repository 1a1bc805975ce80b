"""Jobs: what is planned is what comes out, what cannot be trained is refused before, and watching changes nothing."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core import run as runs
from core.fusion import FUSIONS
from core.recipe import Recipe, TrainConfig
from core.sample import UNITS
from core.train import job as work
from core.train.job import carry_out, lines, planned, refuse
from core.train.loop import Progress, train
from tests.core.data.test_samples import made as samples
from tests.core.made import dataset

SMALL = TrainConfig(epochs=2, batch=8)
QUIET: Callable[[float, str], None] = lambda share, words: None  # noqa: E731


@pytest.fixture(scope="module")
def clips() -> Any:
    return dataset(4, 4)


@pytest.mark.parametrize("kind", ["clips", "samples"])
def test_what_is_planned_is_what_comes_out(clips, kind: str) -> None:
    data = clips if kind == "clips" else samples()
    task = UNITS if kind == "clips" else data.task
    for fusion in ("lego", "single", "g-lmf", "mkl"):  # a graph, a subclass, wiring round another method, a solver
        about = FUSIONS[fusion]
        if task.kind in about.tasks:
            order = Recipe(fusion, {}, TrainConfig(epochs=1, batch=8), (3,))
            (plan,) = planned(order, data)
            done = train(data, order).run
            assert plan.weights == (0 if about.solved else done.weights), fusion
            came = {"metrics": done.metrics, "seconds": done.seconds, "note": done.note, "weights": done.weights}
            assert (plan.id, replace(plan, **came)) == (done.id, done), fusion


def test_watching_a_training_changes_no_bit_of_it(clips) -> None:
    for data, fusion in ((clips, "lego"), (samples(), "lmf")):
        seen: list[float] = []

        def watch(now: Progress, seen: list[float] = seen) -> None:
            assert now.measure is not None
            seen.append(now.measure())

        plain = train(data, Recipe(fusion, {}, SMALL, (1,)))
        watched = train(data, Recipe(fusion, {}, SMALL, (1,)), progress=watch)
        assert watched.run.id == plain.run.id
        assert watched.history == plain.history
        for name, weight in plain.model.state_dict().items():
            torch.testing.assert_close(watched.model.state_dict()[name], weight, rtol=0, atol=0)
        assert seen[-1] == pytest.approx(plain.run.metrics[plain.run.metric])


def test_every_seed_becomes_a_run_once(clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Recipe("lego", {"P": 1}, SMALL, (0, 2))
    monkeypatch.setattr(work, "SHARE", 1e9)  # measure whenever it is allowed to
    root, job = tmp_path / "runs", tmp_path / "job"
    job.mkdir()
    said: list[tuple[float, str]] = []
    made = carry_out(order, clips, root, job, lambda share, words: said.append((share, words)), every=0.0)
    assert made == [train(clips, Recipe("lego", {"P": 1}, SMALL, (seed,))).run.id for seed in (0, 2)]
    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert said[-1][0] == 1.0
    assert any("seed 2 (2 of 2): epoch 1 of 2, loss" in words for _, words in said)
    first, second = lines(job)
    assert (first.seed, second.seed, first.state, second.state) == (0, 2, "done", "done")
    for line in (first, second):
        stored, history = runs.load(root / line.run), runs.history(root / line.run)
        assert line.metric == stored.metrics["auc"] == line.test[-1]
        assert list(line.epochs) == [row["epoch"] for row in history]
        assert line.loss == pytest.approx([row["loss"] for row in history], rel=1e-5)

    def never(*words: Any, **more: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(work, "train", never)
    assert carry_out(order, clips, tmp_path / "elsewhere", job, QUIET, [root]) == made
    assert [line.state for line in lines(job)] == ["there", "there"]
    assert [line.metric for line in lines(job)] == [first.metric, second.metric]
    assert not (tmp_path / "elsewhere").exists()


def test_a_stop_between_epochs_leaves_whole_runs_alone(clips, tmp_path: Path) -> None:
    class StoppedError(Exception): ...

    def stop(share: float, words: str) -> None:
        if words.startswith("seed 1 (2 of 3): epoch 2"):
            raise StoppedError

    order = Recipe("lego", {}, SMALL, (0, 1, 2))
    with pytest.raises(StoppedError):
        carry_out(order, clips, tmp_path / "runs", tmp_path, stop)
    (left,) = (tmp_path / "runs").iterdir()
    assert left.name == planned(order, clips)[0].id
    runs.model(left)
    assert [line.state for line in lines(tmp_path)] == ["done", "running", "waiting"]


def test_data_that_change_meanwhile_give_no_run_under_the_old_name(clips, tmp_path: Path, monkeypatch) -> None:
    order = Recipe("lego", {}, SMALL, (0,))
    before = planned(order, clips)
    monkeypatch.setattr(work, "planned", lambda asked, data: before)
    with pytest.raises(ValueError, match="its data changed meanwhile"):
        carry_out(order, dataset(seed=7), tmp_path / "runs", tmp_path, QUIET)
    assert not (tmp_path / "runs").exists()


def test_full_memory_of_an_accelerator_goes_on_elsewhere_and_says_so(clips, tmp_path, monkeypatch) -> None:
    real, asked, said = train, [], []

    def small(*words: Any) -> Any:
        asked.append(str(words[-1]))
        if str(words[-1]) == "meta":  # stands for an accelerator: every machine has it
            raise torch.OutOfMemoryError
        return real(*words)

    monkeypatch.setattr(work, "train", small)
    monkeypatch.setattr(work, "device_named", lambda asked: "meta")
    order = Recipe("lego", {}, TrainConfig(epochs=1, batch=8), (0, 1), device="auto")
    carry_out(order, clips, tmp_path / "runs", tmp_path, lambda share, words: said.append(words))
    assert asked == ["meta", "cpu", "cpu"]
    assert any("the accelerator's memory is full" in words for words in said)


def unlabelled() -> Any:
    data = dataset(4, 4)
    return replace(data, clips={n: replace(c, labels=None, truth=None) for n, c in data.clips.items()})


def one_kind() -> Any:
    data = dataset(4, 4)
    normal = tuple(n for n, c in data.clips.items() if not c.anomalous)
    return replace(data, splits={"weak": {"train": normal[:2], "test": normal[2:]}})


@pytest.mark.parametrize(
    ("order", "data", "words"),
    [
        (Recipe("lego", {"nodes": 16}), dataset, "nodes and units"),
        (Recipe("lego", {"relation": "soft-dtw", "steps": 5}), dataset, "does not split into 5 frames"),
        (Recipe("lego", modalities=("motion",)), dataset, "two or more modalities"),
        (Recipe("lego", protocol="weka"), dataset, "has no split 'weka'; did you mean 'weak'"),
        (Recipe("lego", modalities=("smell", "text")), dataset, "no modality 'smell'"),
        (Recipe("lego", seeds=tuple(range(21))), dataset, "1 to 20 seeds"),
        (Recipe("mbt", {"dim": 33}), dataset, "does not split into 4 heads"),
        (Recipe("lego", {}, TrainConfig(supervision="unit")), unlabelled, "label"),
        (Recipe("lego"), one_kind, "normal and anomalous"),
        (Recipe("lego"), samples, "cannot be trained on samples"),
        (Recipe("concat", {"level": "graph"}), samples, "use level=feature"),
    ],
)
def test_what_would_fail_is_refused_before(order: Recipe, data: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse(order, data())


def test_what_would_work_is_let_through(clips) -> None:
    for order, data in ((Recipe("lego"), clips), (Recipe("mkl"), clips), (Recipe("lmf"), samples()),
                        (Recipe("lmf"), samples("real"))):  # fmt: skip
        before = torch.get_rng_state()
        refuse(order, data)
        assert torch.equal(torch.get_rng_state(), before)


def test_the_recipe_of_a_run_gives_that_run_again(clips) -> None:
    asked = Recipe("lego", {"P": 2, "lam": 0.3}, SMALL, (5,), modalities=("text", "motion"))
    run = train(clips, asked).run
    assert run.recipe == replace(asked, protocol="weak")
    assert planned(run.recipe, clips)[0].id == run.id
    (changed,) = planned(run.recipe.but(alpha=0.25, Q=1, epochs=4), clips)
    assert changed.id != run.id
    assert {n: v for n, v in changed.config.items() if v != run.config[n]} == {"alpha": 0.25, "Q": 1}
    assert {n: v for n, v in changed.training.items() if v != run.training[n]} == {"epochs": 4}
    old = replace(run, config={**run.config, "gone": 1}, training={"epochs": 2, "batch": 8, "imported": "x"})
    assert planned(old.recipe, clips)[0].id == run.id


def test_lines_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    assert lines(tmp_path) == []
    for content in ("{", "[1]", '[{"seed": 1}]', "{}"):
        (tmp_path / work.LINES).write_text(content)
        assert lines(tmp_path) == []
    book = work.Book(tmp_path, planned(Recipe("lego"), dataset(4, 4)), 0.0)
    book.put(0, loss=(1.0, math.nan, math.inf), epochs=(1, 2, 3))
    assert lines(tmp_path)[0].loss == (1.0, None, None)

"""Sweeps: what is asked is what is trained, nothing is done twice whatever dies, and shares of variance are exact."""

import itertools
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

from core import jobs, runs, sweep
from core.clip import Clip
from core.data import native, read
from core.data.dataset import Dataset
from core.evaluate import auc
from core.infer import score
from core.options import options
from core.sample import UNITS, Samples, Task
from core.sweep import Plan, Results, Row, Sweep, cells, checked_plan, decomposed, held_out, importance, values_of
from core.train import TrainConfig, train
from tests.core import made

SHORT = TrainConfig(epochs=2, batch=8)
HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips() -> Dataset:
    return made.dataset(train=16, test=6)


def plan(axes: dict[str, Sequence[Any]] | None = None, **given: Any) -> Plan:
    usual: dict[str, Any] = {"fixed": {"project": None, "nodes": 32}, "training": SHORT, "seeds": 2}
    return Plan("somewhere", {n: tuple(v) for n, v in (axes or {"P": (1, 2), "Q": (0, 2)}).items()}, **(usual | given))


def samples() -> Samples:
    random = torch.Generator().manual_seed(0)
    target = torch.arange(60) % 3
    features = {name: torch.randn(60, 4, generator=random) + target[:, None] for name in ("a", "b")}
    parts = {"half": {"train": torch.arange(40), "test": torch.arange(40, 60)}}
    return Samples("three", features, target, Task("class", ("x", "y", "z")), parts)


# ---------------------------------------------------------------------------- axes as they are typed


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..10", tuple(range(1, 11))),
        ("0.1..0.9 step 0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("1e-4..100 times 10", (1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100)),
        (" 1 , 4..8 step 2 ,none", (1, 4, 6, 8, None)),
        ("sorted, row", ("sorted", "row")),
        ("-1..1", (-1, 0, 1)),
        ("true,false", (True, False)),
    ],
)
def test_a_typed_axis_names_exactly_these_values(text: str, values: tuple) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10..1", "runs backwards"),
        ("1..5 step 0", "above 0"),
        ("0..1 times 2", "above 0"),
        ("1..9 times 1", "above 1"),
        ("1,,2", "missing"),
        ("", "missing"),
        ("1, 2, 1", "twice"),
        ("1..1000", "more than 200"),
        ("0.1..0.9", "how far apart"),
        ("a..b", "no number"),
        ("1 2 3", "commas"),
        ("1..1e30", "no number"),
        ("nan..2", "no number"),
    ],
)
def test_a_mistake_in_an_axis_is_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        values_of(text, "P")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axes": {"R": (1,)}}, "no option 'R'"),
        ({"axes": {"P": (1, "many")}}, "whole number"),
        ({"axes": {"head": ("row", "column")}}, "row"),
        ({"axes": {}}, "axes"),
        ({"axes": {"P": (1, 1)}}, "once"),
        ({"axes": {"project": (None, 8)}, "fixed": {"project": 4}}, "fixed as well"),
        ({"axes": {"P": tuple(range(200)), "Q": tuple(range(200))}}, "trainings"),
        ({"fusion": "nothing"}, "no method"),
        ({"seeds": 0}, "1 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_plan(replace(plan(), **change), UNITS)


def test_a_cell_that_cannot_be_built_is_told_before_anything_is_trained(clips: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="P = -1, Q = 2"):
        sweep.begin(plan({"P": (1, -1), "Q": (2,)}), clips, tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_option_of_the_method_and_the_loop_may_be_an_axis() -> None:
    names = [option.name for option in sweep.sweepable("lego", UNITS)]
    assert {"P", "alpha", "lr", "epochs"} <= set(names)
    assert len(names) == len(set(names))
    found = plan({"P": (1, 2), "lr": (0.1, 0.2)})
    assert (found.config((2, 0.1))["P"], found.loop((2, 0.1)).lr) == (2, 0.1)
    assert set(found.config((2, 0.1))) == {option.name for option in options(runs.FUSIONS["lego"].Config)}


# ---------------------------------------------------------------------------- what is judged on what


def test_the_test_part_is_not_in_what_a_held_out_sweep_sees(clips: Dataset) -> None:
    found = held_out(clips, None, 0.25)
    assert isinstance(found, Dataset)
    train_part, test_part = ({clip.name for clip in clips.part(part)} for part in ("train", "test"))
    assert set(found.clips) == train_part
    kept, held = ({clip.name for clip in found.part(part)} for part in ("train", "test"))
    assert kept | held == train_part
    assert not kept & held
    assert not held & test_part
    assert sorted(bool(clips.clips[name].anomalous) for name in held) == [False, False, True, True]
    assert held == {clip.name for clip in held_out(clips, None, 0.25).part("test")}
    assert held != {clip.name for clip in held_out(clips, None, 0.25, seed=1).part("test")}
    assert found.digest() != clips.digest()


def test_samples_are_held_out_class_by_class() -> None:
    data = samples()
    found = held_out(data, None, 0.25)
    assert isinstance(found, Samples)
    assert len(found) == 40
    assert np.bincount(found.part("test").target).tolist() == [4, 3, 3]  # a quarter of 14, 13, 13, rounded
    for part in ("train", "test"):
        rows = found.part(part)
        for place, name in enumerate(rows.names):
            origin = int(name.removeprefix("sample "))
            assert origin < 40
            torch.testing.assert_close(rows.features["b"][place], data.features["b"][origin])


def test_clips_whose_units_nobody_labelled_are_judged_as_clips(clips: Dataset, tmp_path: Path) -> None:
    def bare(clip: Clip) -> Clip:
        return replace(clip, labels=None, truth=None, kinds=(), anomalous=clip.anomalous)

    data = replace(clips, clips={name: bare(clip) for name, clip in clips.clips.items()})
    root = sweep.begin(plan({"P": (1,)}, seeds=1), data, tmp_path)
    (done,) = sweep.sweep(root, data)
    assert sweep.read(root).metric == "auc_clips"
    model = runs.model(root / "runs" / done.run.id)
    held = held_out(data, None, 0.25).part("test")
    scores = score(model, held)
    by_hand = auc(np.array([scores[c.name].max() for c in held]), np.array([bool(c.anomalous) for c in held]))
    assert done.run.metrics["auc_clips"] == by_hand
    assert sweep.results(root).rows[0].mean == by_hand

    def normal(clip: Clip) -> Clip:
        return replace(bare(clip), anomalous=False)

    with pytest.raises(ValueError, match="nothing to judge by"):
        sweep.begin(plan(judge="test"), replace(data, clips={n: normal(c) for n, c in clips.clips.items()}), tmp_path)


# ---------------------------------------------------------------------------- trained, stopped, gone on with


@pytest.fixture(scope="module")
def finished(clips: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that ran through."""
    root = sweep.begin(plan(), clips, tmp_path_factory.mktemp("sweeps"))
    told: list[tuple[float, str]] = []
    done = list(sweep.sweep(root, clips, progress=lambda share, words: told.append((share, words))))
    assert [one.done for one in done] == list(range(1, 9))
    assert told[-1][0] == 1
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    return root


@pytest.mark.parametrize("judge", ["held-out", "test"])
def test_a_cell_is_the_training_one_would_do_by_hand(
    clips: Dataset, finished: Path, tmp_path: Path, judge: str
) -> None:
    root = finished
    if judge == "test":
        root = sweep.begin(plan({"P": (2,), "Q": (2,)}, seeds=1, judge="test"), clips, tmp_path)
        list(sweep.sweep(root, clips))
    alone = train(
        clips if judge == "test" else held_out(clips, None, 0.25), "lego", {"project": None, "P": 2, "Q": 2}, SHORT, 0
    )
    row = sweep.results(root).row((2, 2))
    assert row is not None
    assert row.runs[0] == alone.run.id
    assert row.values[0] == pytest.approx(alone.run.metrics["auc"], abs=0.5)
    stored = runs.load(root / "runs" / row.runs[0])
    assert ("on test" if judge == "test" else "on held-out") in stored.note
    for name, weight in runs.model(root / "runs" / row.runs[0]).state_dict().items():
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


def times(root: Path) -> dict[str, int]:
    """Run -> when it was written, of runs alone."""
    found = [folder for folder in (root / "runs").iterdir() if not folder.name.startswith(".")]
    return {folder.name: (folder / "run.json").stat().st_mtime_ns for folder in found}


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
    (root / "runs" / ".draft-dead").mkdir()  # what a killed writer leaves
    before = times(root)
    left = sweep.todo(root)
    assert len(left) == 8 - len(before)
    assert not {(one.cell, one.seed) for one in first} & set(left)
    again = list(sweep.sweep(root, clips))
    assert sorted((one.cell, one.seed) for one in again) == sorted(left)
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
    real = sweep.train_many

    def wild(data: Any, asked: Sequence[Any], *rest: Any, **named: Any) -> Any:
        steps = [replace(one, training=replace(SHORT, lr=1e36)) if one.config["P"] == 2 else one for one in asked]
        return real(data, steps, *rest, **named)

    monkeypatch.setattr(sweep, "train_many", wild)
    root = sweep.begin(plan(seeds=1), clips, tmp_path)
    done = list(sweep.sweep(root, clips))
    assert {one.cell for one in done if one.run is None} == {(2, 0), (2, 2)}
    found = sweep.results(root)
    assert found.complete
    assert {row.cell for row in found.rows if row.n} == {(1, 0), (1, 2)}
    assert all("not finite" in why for row in found.rows for why in row.failed.values())
    assert found.best is not None
    assert found.best.cell[0] == 1
    assert not sweep.todo(root)
    assert not list(sweep.sweep(root, clips))


def test_two_processes_do_not_share_a_sweep(clips: Dataset, finished: Path) -> None:
    with sweep.locked(finished):
        with pytest.raises(ValueError, match=f"process {os.getpid()} is at work"):
            list(sweep.sweep(finished, clips))
        with pytest.raises(ValueError, match="at work"):
            sweep.remove(finished)
    assert sweep.results(finished).complete


def test_other_data_are_another_sweep(clips: Dataset, finished: Path) -> None:
    other = made.dataset(train=16, test=6, seed=1)
    with pytest.raises(ValueError, match="other data"):
        list(sweep.sweep(finished, other))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "fusescope-sweep", "version": 2}', "\x00"])
def test_a_broken_record_is_a_sentence_and_no_listing_fails(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sweep.json").write_text(content)
    with pytest.raises(ValueError, match="sweep 'bad'"):
        sweep.read(tmp_path / "bad")
    assert not sweep.listing(tmp_path)


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

    monkeypatch.setattr(sweep, "spread", scattered)
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
        jobs.HANDLERS["sweep"](
            {"sweep": str(root), "dataset": str(tmp_path / "data")}, lambda share, words: said.append(words)
        )
        == root.name
    )
    assert sweep.results(root).complete
    assert any("to go" in words for words in said)


# ---------------------------------------------------------------------------- guided


def test_a_guided_sweep_that_is_resumed_asks_for_the_same_cells(clips: Dataset, tmp_path: Path) -> None:
    asked = plan({"P": range(5), "head": ("row", "sorted"), "Q": range(3)}, how="guided", trials=12, seeds=1)
    asked = replace(asked, training=TrainConfig(epochs=1, batch=8))
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

    monkeypatch.setattr(sweep.runs, "load", value)
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
    monkeypatch.setattr(sweep.runs, "load", lambda folder: replace(RUN, metrics={"auc": None}))  # all undefined
    named = [cell for batch in sweep.guided(asked, tmp_path) for cell in batch]
    assert sorted(named) == sorted(cells(asked.plan))


# ---------------------------------------------------------------------------- what came out

SOURCE = runs.Source("made", "0" * 64, "held-out", made.WIDTHS)
RUN = runs.Run("lego", {}, {"epochs": 10}, SOURCE, 0, seconds=2.0)


def table(axes: dict[str, Sequence[Any]], value: Callable[..., float], seeds: int = 1) -> Results:
    """A sweep whose cells have these values: `value(*cell, seed)`."""
    asked = Sweep(plan(axes, seeds=seeds), SOURCE, "auc")
    rows = [
        Row(cell, {s: value(*cell, s) for s in range(seeds)}, {s: f"{cell}{s}" for s in range(seeds)})
        for cell in cells(asked.plan)
    ]
    return Results(asked, tuple(rows))


def shares(found: Results) -> dict[tuple[str, ...], float]:
    weighed = importance(found)
    assert weighed is not None
    return {effect.names: effect.share for effect in weighed.effects}


GRID = {"P": range(4), "Q": range(3), "k": (1, 5)}


def test_a_planted_option_explains_everything_and_an_idle_one_nothing() -> None:
    found = shares(table(GRID, lambda p, q, k, s: 70 + 3.0 * p**2))
    assert found.pop(("P",)) == pytest.approx(1)
    assert max(found.values()) == pytest.approx(0, abs=1e-12)


def test_what_only_a_pair_explains_is_the_pairs() -> None:
    found = shares(table({"P": (0, 1), "Q": (0, 1)}, lambda p, q, s: float(p ^ q)))
    assert found == pytest.approx({("P",): 0, ("Q",): 0, ("P", "Q"): 1})


def test_shares_add_up_to_one_and_equal_the_slow_formula() -> None:
    random = np.random.default_rng(0)
    f = random.normal(size=(4, 3, 2))
    parts = decomposed(f)
    assert sum(parts.values()) == pytest.approx(f.var())
    for axes in ((0,), (1,), (0, 2), (0, 1, 2)):
        # inclusion and exclusion over subsets, cell by cell
        total = 0.0
        for cell in np.ndindex(*f.shape):
            effect = 0.0
            for size in range(len(axes) + 1):
                for kept in itertools.combinations(axes, size):
                    place = tuple(cell[axis] if axis in kept else slice(None) for axis in range(3))
                    effect += (-1) ** (len(axes) - size) * float(np.mean(f[place]))
            total += effect**2
        assert parts[axes] == pytest.approx(total / f.size)


def test_with_gaps_a_forest_agrees_with_optunas_fanova() -> None:
    """An independent implementation on the same trials: main effects within 0.12 of each other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random = np.random.default_rng(1)
    whole = table({"P": range(8), "Q": range(8)}, lambda p, q, s: 2.0 * p + 0.8 * q)
    some = sorted(random.choice(64, 45, replace=False))
    found = importance(Results(whole.sweep, tuple(whole.rows[i] for i in some)))
    assert found is not None
    assert not found.exact
    ours = {effect.names: effect.share for effect in found.effects}
    study = optuna.create_study(direction="maximize")
    across = {name: optuna.distributions.IntDistribution(0, 7) for name in ("P", "Q")}
    for i in some:
        row = whole.rows[i]
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(zip("PQ", row.cell, strict=True)), distributions=across, value=row.mean
            )
        )
    theirs = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
    )
    exact = shares(whole)
    for name in ("P", "Q"):
        assert ours[(name,)] == pytest.approx(theirs[name], abs=0.12)
        assert ours[(name,)] == pytest.approx(exact[(name,)], abs=0.12)


def test_where_nothing_matters_the_seeds_make_all_of_it() -> None:
    """Pure noise: the share that seeds alone would make is 1 on average, and every effect is near its own."""
    random = np.random.default_rng(2)
    totals, gaps = [], []
    for _ in range(60):
        weighed = importance(table({"P": range(6), "Q": range(5)}, lambda p, q, s: float(random.normal()), seeds=4))
        assert weighed is not None
        totals.append(sum(effect.noise for effect in weighed.effects))
        gaps.append([effect.share - effect.noise for effect in sorted(weighed.effects, key=lambda e: e.names)])
    assert np.mean(totals) == pytest.approx(1, abs=0.1)
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.05


def test_a_constant_or_a_handful_says_nothing() -> None:
    assert importance(table({"P": (1, 2)}, lambda p, s: 70.0)) is None
    few = table({"P": range(4), "Q": range(4)}, lambda p, q, s: float(p))
    assert importance(Results(few.sweep, few.rows[:5])) is None


def test_rows_lines_best_and_close_by_hand() -> None:
    random = np.random.default_rng(3)
    values = random.normal(70, 2, size=(4, 3, 3))
    values[1, 2, 1] = np.nan  # a training that diverged
    found = table({"P": range(4), "Q": range(3)}, lambda p, q, s: float(values[p, q, s]), seeds=3)
    row = found.row((0, 1))
    assert row is not None
    assert (row.mean, row.sd, row.n) == (
        pytest.approx(values[0, 1].mean()), pytest.approx(values[0, 1].std(ddof=1)), 3
    )  # fmt: skip
    gap = found.row((1, 2))
    assert gap is not None
    assert (gap.mean, gap.n) == (pytest.approx(np.nanmean(values[1, 2])), 2)
    means = {row.cell: row.mean for row in found.rows if row.n == 3}
    best = max(means, key=means.__getitem__)
    assert found.best is not None
    assert found.best.cell == best
    each = [np.nanstd(values[p, q], ddof=1) for p in range(4) for q in range(3)]
    sd = max(values[best].std(ddof=1), np.median(each))
    assert found.spread == pytest.approx(sd)
    expected = {(p, q) for p in range(4) for q in range(3) if np.nanmean(values[p, q]) >= means[best] - sd}
    assert {row.cell for row in found.close} == expected
    np.testing.assert_allclose(found.lattice(), np.nanmean(values, axis=2))
    first, second = sweep.lines(found)
    np.testing.assert_allclose(first.mean[[0, 2, 3]], values[[0, 2, 3]].mean(axis=(1, 2)))
    np.testing.assert_allclose(first.mean[1], values[1][:, [0, 2]].mean())  # without the seed that a cell lacks
    np.testing.assert_allclose(first.sd[0], values[0].mean(axis=0).std(ddof=1))
    np.testing.assert_allclose(second.mean[0], values[:, 0].mean())
    one = table({"P": (1, 2)}, lambda p, s: float(p))
    assert not one.close
    assert one.best is not None
    assert one.best.cell == (2,)


def test_the_record_is_plain_and_holds_no_nan(finished: Path) -> None:
    import json

    found = sweep.results(finished)
    record = json.loads(json.dumps(sweep.record(found, 1.5), allow_nan=False))
    assert (record["done"], record["trainings"], len(record["cells"])) == (8, 8, 4)
    assert sum(effect["share"] for effect in record["importance"]["effects"]) == pytest.approx(1)
    assert "on held-out training clips" in sweep.text(found)


def test_the_time_is_judged_by_what_was_trained() -> None:
    asked = plan({"P": (1, 2)}, training=TrainConfig(epochs=30), seeds=5)
    seen = [replace(RUN, seconds=seconds) for seconds in (1.0, 2.0, 3.0)]
    others = [replace(RUN, fusion="mtn", seconds=99.0), replace(RUN, source=replace(SOURCE, widths={"x": 1}))]
    found = sweep.estimate(asked, made.WIDTHS, 10, [*seen, *others])
    assert found is not None
    assert (found.low, found.high, found.count) == (45.0, 75.0, 3)  # quartiles 1.5 and 2.5, three times the epochs
    assert sweep.estimate(asked, made.WIDTHS, 10, others) is None


def test_a_cell_is_opened_once_and_a_sweep_removed_whole(clips: Dataset, tmp_path: Path) -> None:
    root = sweep.begin(plan({"P": (1, 2)}), clips, tmp_path / "sweeps")
    list(sweep.sweep(root, clips))
    row = sweep.results(root).rows[1]
    for _ in range(2):
        assert sweep.promote(root, row, tmp_path / "runs") == list(row.runs.values())
    assert set(runs.listing(tmp_path / "runs")) == set(row.runs.values())
    A = sweep.operators(root, row)
    assert A is not None
    each = [runs.model(tmp_path / "runs" / name).operator().detach().numpy() for name in row.runs.values()]
    np.testing.assert_allclose(A, np.mean(each, axis=0), rtol=1e-6)
    assert A.shape == (3, 4)
    stamps = times(tmp_path)
    sweep.remove(root)
    assert not list((tmp_path / "sweeps").iterdir())
    assert times(tmp_path) == stamps
    with pytest.raises(ValueError, match="no sweep"):
        sweep.remove(root)

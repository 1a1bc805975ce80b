"""Weights beside what removals cost: what is planted is found, what is undefined is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core import weights
from core.__main__ import app
from core.evaluate import auc
from core.fusion.intense import Intense
from core.fusion.mkl import Mkl
from core.infer import outputs
from core.runs import Run, Source, build
from core.sample import UNITS, Part, Samples, Task, part_of
from core.splits import availability
from core.train import TrainConfig, train
from tests.core.made import dataset

TRAINING = TrainConfig(epochs=20, batch=100, lr=0.03, weight_decay=0.0)


def planted(kind: str = "class") -> Samples:
    """`told` knows the answer, `half` some of it, `blind` nothing."""
    random = torch.Generator().manual_seed(0)
    features = {name: torch.randn(400, 4, generator=random) for name in ("told", "half", "blind")}
    answer = features["told"][:, :1] + 0.5 * features["half"][:, :1]
    parts = {"half": {"train": torch.arange(200), "test": torch.arange(200, 400)}}
    if kind == "class":
        return Samples("planted", features, (answer[:, 0] > 0).long(), Task("class", ("no", "yes")), parts)
    return Samples("planted", features, 50 + 10 * answer, Task("real", ("height",)), parts)


def units() -> Part:
    return part_of(dataset(train=12, test=12))


@pytest.fixture(scope="module")
def trained() -> tuple[Intense, Part]:
    data = planted()
    model = train(data, "intense", {"project": 2}, TRAINING).model
    assert isinstance(model, Intense)
    return model, data.part("test")


# ---------------------------------------------------------------------------- weights


@pytest.mark.parametrize("options", [{}, {"kernel": "all"}, {"kernel": "all", "weights": "each", "p": 1.0}])
def test_kernels_of_mkl_have_their_own_names_and_a_norm_of_1(options: dict[str, object]) -> None:
    data = planted()
    model = train(data, "mkl", options, TRAINING).model
    found = weights.weights(model)
    assert found.what == "kernel"
    assert found.modalities == ("told", "half", "blind")
    several = "kernel" in options
    assert len(set(found.names)) == len(found.names) == (9 if several else 3)
    assert ("told, rbf" if several else "told") in found.names
    assert (found.values**found.p).sum() == pytest.approx(1, abs=1e-4)
    assert max(found.shares, key=found.shares.get) == "told"  # type: ignore[arg-type]
    assert sum(found.shares.values()) == pytest.approx(1)  # kernels have one modality each: nothing is counted twice
    said = weights.opened(model, data.part("test"))
    np.testing.assert_allclose(said.base + said.parts.sum(1), said.outputs, atol=1e-9)
    np.testing.assert_allclose(said.outputs, outputs(model, data.part("test").features), atol=1e-5)


def test_shares_of_interactions_overlap_and_an_infinite_norm_is_even() -> None:
    subsets, s = [("a",), ("b",), ("a", "b")], np.array([0.6, 0.0, 0.8])
    assert weights.share(subsets, s, 2.0, "b") == pytest.approx(0.64)
    assert weights.share(subsets, s, 2.0, "a") == pytest.approx(1.0)
    assert weights.share(subsets, s, np.inf, "b") == pytest.approx(2 / 3)
    assert np.isnan(weights.share(subsets, np.zeros(3), 2.0, "b"))


def a_run(seed: int = 0, p: float = 2.0, **options: object) -> Run:
    config = {"p": p, "order": 2, "project": 8, "hidden": None, "lam": 0.01, **options}
    return Run("intense", config, {"epochs": 5}, Source("d", "digest", "half", {"a": 2, "b": 3}), seed)


def test_seeds_and_norms_of_a_run_are_told_apart() -> None:
    every = {
        "later": a_run(3), "first": a_run(1), "one": a_run(0, 1.0), "large": a_run(0, 64.0), "other": a_run(0, lam=0.5),
        "elsewhere": replace(a_run(0), source=Source("d", "another", "half", {"a": 2, "b": 3})),
        "kernels": replace(a_run(0), fusion="mkl"),
    }  # fmt: skip
    assert weights.seeds_of(a_run(1), every) == ["first", "later"]
    assert weights.norms_of(a_run(1), every) == {1.0: ["one"], 2.0: ["first", "later"], 64.0: ["large"]}


# ---------------------------------------------------------------------------- parts


@pytest.mark.parametrize("kind", ["units", "class", "real"])
def test_parts_and_base_are_the_models_answer(kind: str) -> None:
    part = units() if kind == "units" else planted(kind).part("test")
    torch.manual_seed(0)
    model = build("intense", {name: rows.shape[1] for name, rows in part.features.items()}, {"order": 3}, part.task)
    model.learn(part.features, part.target if kind == "real" else None)
    torch.nn.init.normal_(model.get_parameter("predict.bias"))
    found = weights.opened(model, part, entries=5_000)  # in pieces
    np.testing.assert_allclose(found.base + found.parts.sum(1), found.outputs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.outputs, outputs(model, part.features), rtol=1e-4, atol=1e-4)
    assert not found.parts.flags.writeable
    assert next(model.parameters()).dtype == torch.float32  # the model itself stays as it is


# ---------------------------------------------------------------------------- removals


def test_what_is_needed_costs_and_what_is_noise_does_not(trained: tuple[Intense, Part]) -> None:
    model, part = trained
    found = weights.without_modalities(model, part)
    told, half, blind = (found.names.index(name) for name in ("told", "half", "blind"))
    assert found.whole > 90
    assert found.cost[told] > 20 > found.cost[half] > 3 > abs(found.cost[blind])
    assert found.low[told] > 0
    assert found.low[blind] <= 0 <= found.high[blind]
    np.testing.assert_allclose(found.whole - found.without, found.cost)
    assert (found.low <= found.cost).all()
    assert (found.cost <= found.high).all()
    np.testing.assert_allclose(found.weights, list(weights.weights(model).shares.values()))
    assert found.groups == len(part)
    assert weights.rank_agreement(found) == pytest.approx(1)


def test_a_removed_modality_is_the_missing_one_of_every_other_page(trained: tuple[Intense, Part]) -> None:
    found = weights.without_modalities(*trained)
    known = {each.modalities: each.value for each in availability(trained[0], planted())}
    for name, value in zip(found.names, found.without, strict=True):
        assert value == pytest.approx(known[tuple(other for other in found.names if other != name)])


def test_a_removed_branch_is_a_branch_whose_weights_are_0() -> None:
    """AUC does not see the constant that the mean puts in its place."""
    part = units()
    model = build("intense", {name: rows.shape[1] for name, rows in part.features.items()}, {"project": 3})
    assert isinstance(model, Intense)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.predict.weight)
    model.learn(part.features)
    found = weights.without_parts(weights.opened(model, part), part)
    np.testing.assert_allclose(found.weights, weights.weights(model).values)
    kept = model.predict.weight.detach().clone()
    for at, size in enumerate(model.sizes):
        start = sum(model.sizes[:at])
        with torch.no_grad():
            model.predict.weight.copy_(kept)
            model.predict.weight[:, start : start + size] = 0
        assert weights.metric(outputs(model, part.features), part) == pytest.approx(found.without[at], abs=1e-9)


def test_drawing_clips_again_is_counting_their_rows_as_often() -> None:
    """The AUC of one draw equals that of the rows written out, and without a change every paired difference is 0."""
    from core.compare import resamples
    from core.splits import group_numbers

    part = units()
    random = np.random.default_rng(0)
    values = random.normal(size=(len(part), 1)).astype(np.float32)
    draws, groups = weights.metric_draws(values, part), group_numbers(part)
    for number in (0, 7):
        repeated = np.repeat(np.arange(len(part)), resamples(12)[number][groups])
        assert draws[number] == pytest.approx(auc(values[repeated, 0], part.target.numpy()[repeated] > 0))
    same = weights.removals(values, {"nothing": values, "all": values * 0}, {"nothing": 1.0}, part)
    assert not np.nan_to_num(same.draws[0]).any()  # NaN: a draw without anomalies
    assert (same.low[0], same.cost[0], same.high[0]) == (0, 0, 0)
    assert same.without[1] == 50
    assert np.isnan(same.weights[1])
    assert same.groups == groups.max() + 1 == 12


def test_a_correlation_is_lost_in_itself() -> None:
    part = planted("real").part("test")
    wide = part.target.numpy()
    found = weights.removals(wide, {"sign": -wide}, {}, part)
    assert found.whole == pytest.approx(1)
    assert found.cost[0] == pytest.approx(2)
    assert found.metric == "correlation"


def made(weight: list[float], cost: list[float], spread: float = 1.0) -> weights.Removals:
    random = np.random.default_rng(0)
    draws = np.array(cost)[:, None] + spread * random.normal(size=(len(cost), 2000))
    w, c = np.array(weight), np.array(cost)
    names = tuple("abcdef"[: len(cost)])
    return weights.Removals("auc", names, w, 80.0, 80 - c, c, c - spread, c + spread, draws, 30)


def test_disagreements_are_pairs_in_opposite_order_beyond_chance() -> None:
    (found,) = weights.disagreements(made([0.9, 0.1], [0.0, 10.0]))
    assert (found.heavier, found.costlier) == ("a", "b")
    assert found.low < found.by == 10 < found.high
    assert weights.disagreements(made([0.9, 0.1], [10.0, 0.0])) == ()
    assert weights.disagreements(made([0.9, 0.1], [0.0, 1.0])) == ()  # within chance: sd of the difference is 1.4
    assert weights.disagreements(made([0.5, 0.5], [0.0, 10.0])) == ()  # neither is heavier
    assert weights.disagreements(made([np.nan, 0.5], [0.0, 10.0])) == ()
    three = weights.disagreements(made([0.9, 0.5, 0.1], [0.0, 10.0, 20.0]))
    assert [(each.heavier, each.costlier) for each in three] == [("a", "c"), ("a", "b"), ("b", "c")]
    # 2.3 sd of the difference: beyond chance for a single pair, not for the fifteen of six
    assert weights.disagreements(made([0.9, 0.1], [0.0, 3.2]))
    assert not weights.disagreements(made([0.9, 0.1, 0.0, 0.0, 0.0, 0.0], [0.0, 3.2, 0.0, 0.0, 0.0, 0.0]))


def test_rank_agreement_needs_three_names_that_differ() -> None:
    assert np.isnan(weights.rank_agreement(made([0.9, 0.1], [0.0, 1.0])))
    assert np.isnan(weights.rank_agreement(made([0.9, 0.1, 0.5], [1.0, 1.0, 1.0])))
    assert weights.rank_agreement(made([3.0, 2.0, 1.0], [1.0, 2.0, 3.0])) == pytest.approx(-1)


def test_what_cannot_be_told_is_said(trained: tuple[Intense, Part]) -> None:
    model, part = trained
    unlabelled = Part(part.features, None, part.task, part.names, part.places)
    with pytest.raises(ValueError, match="no labels"):
        weights.without_modalities(model, unlabelled)
    quiet = units()
    calm = Part(quiet.features, torch.zeros(len(quiet), dtype=torch.long), UNITS, quiet.names, quiet.places)
    with pytest.raises(ValueError, match="one class"):
        weights.removals(np.zeros((len(calm), 1), np.float32), {"x": np.zeros((len(calm), 1), np.float32)}, {}, calm)
    with pytest.raises(ValueError, match="one modality"):
        weights.without_modalities(build("intense", {"told": 4}, {}, part.task), part)
    with pytest.raises(ValueError, match="Concat does not weigh"):
        weights.opened(build("concat", model.widths, {}, part.task), part)
    other = weights.without_modalities(build("concat", model.widths, {}, part.task), part)
    assert np.isnan(other.weights).all()  # a loss without a weight beside it


def test_mkl_has_nothing_to_say_of_rows_before_it_is_solved() -> None:
    model = build("mkl", {"a": 2, "b": 3}, {})
    assert isinstance(model, Mkl)
    assert not weights.weights(model).values.any()
    assert np.isnan(weights.weights(model).shares["a"])


# ---------------------------------------------------------------------------- what METHODS asks of InTense


@pytest.fixture(scope="module")
def trials() -> list[weights.Trial]:
    return list(weights.experiment(3))


def test_planted_strengths_come_out_in_their_order(trials: list[weights.Trial]) -> None:
    assert all(each.spearman >= 0.95 for each in trials)
    for each in trials:
        assert each.strengths["m10"] > 2 * each.strengths["m1"]


def test_xor_is_learned_by_the_pair_and_by_nothing_linear(trials: list[weights.Trial]) -> None:
    for each in trials:
        assert each.accuracy >= 95
        assert each.pair >= 0.9
        assert max(value for name, value in each.xor.items() if name != "1 × 2") < 0.2
        assert 45 < each.without < 55  # 1,000 test rows at chance: ± 3.1 in 95 of 100
        assert 45 < each.linear < 55


def test_the_parity_of_three_needs_all_three() -> None:
    data = weights.exclusive(0, 1500, asked=3)
    model = train(data, "intense", {"order": 3, "project": 2}, replace(weights.TRAINING, epochs=20), 0)
    found = weights.weights(model.model)
    assert model.run.metrics["accuracy"] > 95
    assert found.values[found.names.index("1 × 2 × 3")] > 0.9


def test_the_command_prints_one_object(trials: list[weights.Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "experiment", lambda seeds, tell: iter(trials[:seeds]))
    told = CliRunner().invoke(app, ["experiment", "intense", "--seeds", "3", "--json"])
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert found["holds"] == {"spearman": True, "accuracy": True, "pair": True}
    assert found["accuracy"]["mean"] == pytest.approx(np.mean([each.accuracy for each in trials]))
    assert found["xor"]["1 × 2"]["sd"] == pytest.approx(np.std([each.pair for each in trials], ddof=1))
    failing = [replace(each, pair=0.5) for each in trials]
    result, text = weights.report(failing)
    assert result["holds"]["pair"] is False
    assert "does not hold" in text
    assert (
        "sd" not in weights.report(trials[:1])[0]["spearman"] or weights.report(trials[:1])[0]["spearman"]["sd"] is None
    )

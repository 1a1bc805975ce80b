"""Weights: what is planted is found, parts are the whole answer, what is undefined is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.cli.main import app
from core.experiments import intense
from core.explain import weights
from core.fusion.mkl import Mkl
from core.recipe import Recipe, TrainConfig
from core.run import Run, Source, build
from core.sample import Part, Samples, Task
from core.score.infer import outputs
from core.train.loop import train
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
    return dataset(train=12, test=12).part("test").flat()


# ---------------------------------------------------------------------------- weights


@pytest.mark.parametrize("options", [{}, {"kernel": "all"}, {"kernel": "all", "weights": "each", "p": 1.0}])
def test_kernels_of_mkl_have_their_own_names_and_a_norm_of_1(options: dict[str, object]) -> None:
    data = planted()
    model = train(data, Recipe("mkl", options, TRAINING)).model
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


def test_mkl_has_nothing_to_say_of_rows_before_it_is_solved() -> None:
    model = build("mkl", {"a": 2, "b": 3}, {})
    assert isinstance(model, Mkl)
    assert not weights.weights(model).values.any()
    assert np.isnan(weights.weights(model).shares["a"])


# ---------------------------------------------------------------------------- what METHODS asks of InTense


@pytest.fixture(scope="module")
def trials() -> list[intense.Trial]:
    return list(intense.experiment(3))


def test_planted_strengths_come_out_in_their_order(trials: list[intense.Trial]) -> None:
    assert all(each.spearman >= 0.95 for each in trials)
    for each in trials:
        assert each.strengths["m10"] > 2 * each.strengths["m1"]


def test_xor_is_learned_by_the_pair_and_by_nothing_linear(trials: list[intense.Trial]) -> None:
    for each in trials:
        assert each.accuracy >= 95
        assert each.pair >= 0.9
        assert max(value for name, value in each.xor.items() if name != "1 × 2") < 0.2
        assert 45 < each.without < 55  # 1,000 test rows at chance: ± 3.1 in 95 of 100
        assert 45 < each.linear < 55


def test_the_parity_of_three_needs_all_three() -> None:
    data = intense.exclusive(0, 1500, asked=3)
    model = train(data, Recipe("intense", {"order": 3, "project": 2}, replace(intense.TRAINING, epochs=20), (0,)))
    found = weights.weights(model.model)
    assert model.run.metrics["accuracy"] > 95
    assert found.values[found.names.index("1 × 2 × 3")] > 0.9


def test_the_command_prints_one_object(trials: list[intense.Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intense, "experiment", lambda seeds, tell: iter(trials[:seeds]))
    told = CliRunner().invoke(app, ["experiment", "intense", "--seeds", "3", "--json"])
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert found["holds"] == {"spearman": True, "accuracy": True, "pair": True}
    assert found["accuracy"]["mean"] == pytest.approx(np.mean([each.accuracy for each in trials]))
    assert found["xor"]["1 × 2"]["sd"] == pytest.approx(np.std([each.pair for each in trials], ddof=1))
    failing = [replace(each, pair=0.5) for each in trials]
    result, text = intense.report(failing)
    assert result["holds"]["pair"] is False
    assert "does not hold" in text
    assert (
        "sd" not in intense.report(trials[:1])[0]["spearman"] or intense.report(trials[:1])[0]["spearman"]["sd"] is None
    )

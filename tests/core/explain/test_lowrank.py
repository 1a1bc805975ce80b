"""Parts that add up, switches that are the model without its weights, a null that is really null, planted ranks."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data import read
from core.explain.lowrank import (
    attributions,
    concentration,
    information,
    kept,
    of_row,
    of_set,
    opened,
    rank_curve,
    reading,
    specialisation,
    switched,
)
from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.fusion.lmf import Lmf, LmfConfig, interactions
from core.measure.metrics import measure
from core.recipe import Recipe, TrainConfig
from core.run import Run, Source, listing, load
from core.run import model as stored
from core.sample import UNITS, Part, Samples, Task
from core.score.infer import outputs
from core.train.loop import train
from tests.core.made import WIDTHS as CLIP_WIDTHS
from tests.core.made import dataset

WIDTHS = {"audio": 5, "text": 7, "visual": 4}
TASKS = {
    "units": UNITS,
    "class": Task("class", ("a", "b", "c")),
    "real": Task("real", ("mood", "age")),
}
METHODS = ("lmf", "jwae-lmf", "g-lmf")


def part(task: Task, count: int = 50, seed: int = 0) -> Part:
    random = torch.Generator().manual_seed(seed)
    features = {name: 3 * torch.randn(count, width, generator=random) + 1 for name, width in WIDTHS.items()}
    target: torch.Tensor = torch.randint(0, max(2, task.outputs), (count,), generator=random)
    if task.kind == "real":
        target = 40 * torch.randn(count, task.outputs, generator=random) + 100
    return Part(features, target, task, tuple(f"row {i}" for i in range(count)), tuple(("", i) for i in range(count)))


def model(fusion: str, task: Task, seed: int = 0, **config) -> Fusion:
    torch.manual_seed(seed)
    kind = FUSIONS[fusion]
    made = kind(WIDTHS, kind.Config(**config), task).eval()
    rows = part(task, 80, seed=3)
    made.learn(rows.features, rows.target)
    return made


@pytest.mark.parametrize("fusion", METHODS)
@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_parts_add_up_to_what_the_model_answers(fusion, task):
    made, rows = model(fusion, task), part(task)
    found = opened(made, rows)
    assert found.parts.shape == (50, 4, 8, task.outputs)
    scale = np.abs(found.given).max()
    np.testing.assert_allclose(found.base + found.parts.sum((1, 2)), outputs(made, rows.features), atol=1e-5 * scale)
    assert 0 < found.gap <= 1e-5 * scale
    assert found.gap == pytest.approx(found.gaps.max())


@pytest.mark.parametrize("fusion", METHODS)
def test_in_float64_the_gap_is_gone(fusion):
    rows = part(TASKS["class"])
    wide = replace(rows, features={name: each.double() for name, each in rows.features.items()})
    assert opened(model(fusion, rows.task).double(), wide).gap < 1e-10


def test_a_row_alone_and_among_others_is_the_same():
    made, rows = model("lmf", TASKS["real"]), part(TASKS["real"])
    found, one = opened(made, rows), of_row(made, rows, 17)
    np.testing.assert_allclose(one.parts, found.parts[17], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(one.output, found.given[17], rtol=1e-5)
    with pytest.raises(ValueError, match="rows 0 to 49, not 50"):
        of_row(made, rows, 50)


@pytest.mark.parametrize("fusion", METHODS)
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_is_off_is_a_model_whose_rank_weighs_nothing(fusion, rank):
    made, rows = model(fusion, TASKS["class"]), part(TASKS["class"])
    left = switched(opened(made, rows), ranks_off=[rank])
    module = made.low_rank().module
    with torch.no_grad():
        module.w[rank] = 0
    expected = outputs(made, rows.features)
    np.testing.assert_allclose(left.outputs, expected, atol=1e-4)
    assert left.now == measure(expected, rows).accuracy


def test_an_interaction_that_is_off_with_all_that_hold_the_modality_is_the_model_without_it():
    """LMF: everything with audio switched off = audio missing."""
    made, rows = model("lmf", TASKS["real"]), part(TASKS["real"])
    found = opened(made, rows)
    off = [at for at, subset in enumerate(found.interactions) if "audio" in subset]
    rest = {name: each for name, each in rows.features.items() if name != "audio"}
    np.testing.assert_allclose(switched(found, interactions_off=off).outputs, outputs(made, rest), rtol=1e-4)


def test_switches_combine_and_all_off_leaves_the_base():
    found = opened(model("lmf", TASKS["class"]), part(TASKS["class"]))
    mask = kept(found, [1], [0, 7], [(2, 3), (1, 1)])
    assert mask.sum() == 3 * 6 - 1
    left = switched(found, [1], [0, 7], [(2, 3)])
    np.testing.assert_allclose(left.outputs, found.base + found.parts[:, mask].sum(1))
    np.testing.assert_allclose(switched(found, range(4)).outputs, found.base)
    nothing = switched(found)
    assert nothing.now == nothing.then
    np.testing.assert_array_equal(nothing.outputs, found.given.astype(np.float64))
    for bad in ({"ranks_off": [4]}, {"interactions_off": [8]}, {"cells_off": [(0, 9)]}):
        with pytest.raises(ValueError, match="there is no"):
            switched(found, **bad)


def test_averages_are_of_the_rows_of_a_class():
    rows = part(TASKS["class"])
    found = opened(model("lmf", rows.task), rows)
    chosen = rows.target.numpy() == 2
    np.testing.assert_allclose(of_set(found, 2).mean, found.parts[chosen].mean(0))
    np.testing.assert_allclose(of_set(found, 2).size, np.abs(found.parts[chosen]).mean(0))
    assert sum(of_set(found, kind).rows for kind in range(3)) == of_set(found).rows == 50
    np.testing.assert_allclose(
        sum(of_set(found, kind).mean * of_set(found, kind).rows for kind in range(3)) / 50, of_set(found).mean
    )
    empty = replace(found, part=replace(rows, target=torch.zeros(50, dtype=torch.long)))
    assert np.isnan(of_set(empty, 1).mean).all()
    unknown = replace(found, part=replace(rows, target=None))
    assert math.isnan(switched(unknown).now)
    with pytest.raises(ValueError, match="no classes"):
        of_set(unknown, 1)


def test_rows_of_very_large_sets_are_evenly_spaced():
    rows = part(TASKS["units"], 300)
    found = opened(model("lmf", rows.task), rows, values=32 * 30)
    assert len(found.rows) == len(found.part) == 30
    assert found.rows[0] == 0
    assert found.rows[-1] == 299
    np.testing.assert_allclose(found.given, outputs(model("lmf", rows.task), rows.features)[found.rows], rtol=1e-4)


def test_units_of_clips_have_the_auc_of_the_run():
    data = dataset()
    trained = train(data, Recipe("lmf", {"project": 4}, TrainConfig(epochs=4, batch=8)))
    found = opened(trained.model, data.part("test").flat())
    assert switched(found).now == pytest.approx(trained.run.metrics["auc"])
    assert found.interactions == interactions(list(CLIP_WIDTHS))


def test_fusions_without_a_product_say_so():
    with pytest.raises(ValueError, match="LEGO has no low-rank product"):
        reading(FUSIONS["lego"](WIDTHS))
    assert reading(FUSIONS["jwae-lmf"](WIDTHS)).module.names == tuple(WIDTHS)
    with pytest.raises(ValueError, match="jWAE has no low-rank product"):
        opened(FUSIONS["jwae"](WIDTHS), part(UNITS))
    with pytest.raises(ValueError, match="512 interactions of 9 modalities"):
        opened(Lmf({f"m{i}": 2 for i in range(9)}), part(UNITS))


# ---------------------------------------------------------------------------- the test of ranks


def shuffled(made: Lmf, random: np.random.Generator) -> None:
    """Renumber the ranks in every column of h by itself; w goes into the first factor before."""
    with torch.no_grad():
        first = next(iter(made.product.factors.values()))
        first *= made.product.w[:, None, None]
        made.product.w.fill_(1.0)
        for column in range(first.shape[-1]):
            order = torch.from_numpy(random.permutation(len(made.product.w)))
            for W in made.product.factors.values():
                W[..., column] = W[order][..., column]


def test_the_null_is_the_same_function():
    made, rows = model("lmf", TASKS["class"]), part(TASKS["class"])
    before = outputs(made, rows.features)
    parts = opened(made, rows).parts
    shuffled(made, np.random.default_rng(0))
    after = opened(made, rows).parts
    np.testing.assert_allclose(outputs(made, rows.features), before, atol=1e-4)
    np.testing.assert_allclose(after.sum(1), parts.sum(1), atol=1e-4)
    assert np.abs(after - parts).max() > 0.1


def test_masses_are_variances_of_parts_and_draws_are_shuffled_models():
    made, rows = model("lmf", TASKS["class"]), part(TASKS["class"])
    found = opened(made, rows)
    variance = found.parts.var(0).sum(-1)[:, 1:]
    result = specialisation(found, draws=400)
    np.testing.assert_allclose(result.shares, variance / variance.sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(result.mass, variance.sum(1) / variance.sum(), rtol=1e-6)
    np.testing.assert_allclose(result.index, concentration(variance), rtol=1e-6)
    random, drawn = np.random.default_rng(1), []
    for _ in range(60):
        shuffled(made, random)
        drawn.append(specialisation(opened(made, rows), draws=1).index)
    assert np.mean(drawn) == pytest.approx(result.null_mean, abs=4 * np.std(drawn) / 60**0.5)


def test_ranks_that_were_given_an_interaction_each_are_found():
    made = model("lmf", TASKS["class"], rank=3, out=16)
    with torch.no_grad():
        for at, name in enumerate(WIDTHS):
            made.product.factors[name][torch.arange(3) != at, 1:] *= 0.02
    result = specialisation(opened(made, part(TASKS["class"], 200)))
    assert result.interactions[:3] == (("audio",), ("text",), ("visual",))
    assert result.shares[:, :3].argmax(1).tolist() == [0, 1, 2]
    assert (result.index > 0.9).all()
    assert (result.p <= 0.01).all()
    assert result.information_p <= 0.01
    assert result.information > 1
    assert result.null_mean < 0.6


def test_ranks_drawn_at_random_are_rarely_called_special():
    """Fresh models, whose ranks mean nothing: any rank below 5 % in about 5 % of them."""
    rows = part(TASKS["class"])
    drawn = [specialisation(opened(model("lmf", rows.task, seed), rows), draws=199) for seed in range(60)]
    called = [bool((one.p <= 0.05).any()) for one in drawn]
    assert all(((one.index > one.null_high) == (one.p <= 0.05)).all() for one in drawn)  # corrected for four ranks
    assert sum(called) <= 9  # 3 expected; more than 9 has a chance below 1 in 1000


@pytest.mark.parametrize(
    ("config", "why"),
    [({"rank": 1}, "one rank"), ({"out": 1}, "one column"), ({}, "one interaction")],
)
def test_where_nothing_can_be_tested_it_says_why(config, why):
    rows = part(TASKS["class"])
    if not config:
        rows = replace(rows, features={"audio": rows.features["audio"]})
        made: Fusion = Lmf({"audio": 5}, LmfConfig(), rows.task).eval()
    else:
        made = model("lmf", rows.task, **config)
    result = specialisation(opened(made, rows))
    assert why in result.why
    assert result.draws == 0
    assert np.isnan(result.p).all()


def test_information_is_zero_when_every_rank_is_alike_and_log_when_each_has_its_own():
    assert information(np.ones((3, 4))) == pytest.approx(0)
    assert information(np.eye(4)) == pytest.approx(2)
    assert np.isnan(concentration(np.zeros(3)))


# ---------------------------------------------------------------------------- beside it


def by_method(found):
    return {one.method: one for one in found}


def test_shapley_values_of_lmf_are_its_parts_shared_evenly():
    """A missing modality has no part, so what modalities make together is what their coalitions gain."""
    made, rows = model("lmf", TASKS["class"], hidden=6, project=4), part(TASKS["class"])
    found = by_method(attributions(made, rows, 9, 2))
    assert found["Shapley values"].parts == pytest.approx(found["Low-rank parts, shared evenly"].parts, abs=1e-4)


@pytest.mark.parametrize("fusion", METHODS)
def test_methods_that_promise_completeness_keep_it(fusion):
    made, rows = model(fusion, TASKS["real"]), part(TASKS["real"])
    found = by_method(attributions(made, rows, 3, 1))
    size = 1e-3 * float(np.abs(outputs(made, rows.features)).max())
    for name, one in found.items():
        whole = one.base + sum(one.parts.values()) + one.gap
        assert whole == pytest.approx(float(outputs(made, rows.features)[3, 1]), abs=size), name
        if name != "Feature ablation":
            assert abs(one.gap) < size, name


def test_ablation_is_the_drop_without_the_modality_and_its_gap_the_interactions():
    made, rows = model("lmf", TASKS["units"]), part(TASKS["units"])
    one = by_method(attributions(made, rows, 4))["Feature ablation"]
    whole = outputs(made, rows.features)[4, 0]
    for name in WIDTHS:
        rest = {other: each for other, each in rows.features.items() if other != name}
        assert one.parts[name] == pytest.approx(float(whole - outputs(made, rest)[4, 0]), abs=1e-4)
    assert abs(one.gap) > 1e-3


def test_of_a_product_of_two_modalities_each_gets_half():
    made = Lmf({"a": 1, "b": 1}, LmfConfig(rank=1, out=1), Task("real", ("y",))).eval()
    with torch.no_grad():
        for W in made.product.factors.values():
            W[:] = torch.tensor([[[0.0], [1.0]]])
        made.predict.weight.fill_(1.0)
        made.predict.bias.zero_()
    rows = Part({"a": torch.tensor([[2.0]]), "b": torch.tensor([[3.0]])}, None, made.task, ("row",), (("", 0),))
    found = by_method(attributions(made, rows, 0))
    assert found["Shapley values"].parts == pytest.approx({"a": 3, "b": 3})
    assert found["Integrated gradients"].parts == pytest.approx({"a": 3, "b": 3}, abs=1e-5)
    assert found["Feature ablation"].parts == pytest.approx({"a": 6, "b": 6})
    assert found["Feature ablation"].gap == pytest.approx(-6)


# ---------------------------------------------------------------------------- rank against quality


def run(rank: int, seed: int, accuracy: float, **other) -> Run:
    return Run(
        fusion=other.get("fusion", "lmf"),
        config={"rank": rank, "out": other.get("out", 16)},
        training={"epochs": other.get("epochs", 50)},
        source=Source("digits", "abc", "half", {"a": 3}),
        seed=seed,
        metrics={"accuracy": accuracy},
        weights=100 * rank,
        task={"kind": "class", "names": ["x", "y"]},
    )


def test_the_curve_joins_runs_that_differ_in_rank_and_seed_alone():
    found = [run(4, 0, 90), run(4, 1, 92), run(1, 0, 80), run(2, 0, 85)]
    other = [run(8, 0, 99, out=4), run(8, 0, 99, epochs=1), run(8, 0, 99, fusion="jwae-lmf")]
    curve = rank_curve({str(at): one for at, one in enumerate(found + other)}, found[0])
    assert curve.ranks == (1, 2, 4)
    assert curve.mean == (80, 85, 91)
    assert curve.seeds == (1, 1, 2)
    assert curve.weights == (100, 200, 400)
    assert curve.sd[2] == pytest.approx(2**0.5)
    assert math.isnan(curve.sd[0])
    assert curve.values[2] == (90, 92)


def test_trained_runs_of_other_ranks_are_joined_too():
    random = torch.Generator().manual_seed(0)
    data = Samples(
        "tiny", {name: torch.randn(30, width, generator=random) for name, width in WIDTHS.items()},
        torch.randint(0, 2, (30,), generator=random), Task("class", ("a", "b")), {},
    )  # fmt: skip
    runs = [
        train(data, Recipe("lmf", {"rank": rank}, TrainConfig(epochs=1), (seed,))).run
        for rank in (1, 2)
        for seed in (0, 1)
    ]
    curve = rank_curve({one.id: one for one in runs}, runs[0])
    assert curve.ranks == (1, 2)
    assert curve.seeds == (2, 2)


# ---------------------------------------------------------------------------- the runs that are shipped

ASSETS = Path(__file__).parents[3] / "assets"
SHIPPED = [name for name, run in listing(ASSETS / "runs").items() if run.fusion in METHODS]


@pytest.mark.skipif(not SHIPPED, reason="needs the demos' runs: make assets")
def test_the_parts_of_every_shipped_run_add_up_on_every_row():
    """Within float32 rounding of the largest output: 1e-5 of it, over all test rows of both demos."""
    found = {}
    for folder in ("demo", "digits"):
        data = read(ASSETS / folder)
        rows = data.part("test").flat()
        for name in SHIPPED:
            if load(ASSETS / "runs" / name).source.digest == data.digest():
                each = opened(stored(ASSETS / "runs" / name), rows)
                found[name] = each.gap / np.abs(each.given).max()
    assert len(found) == len(SHIPPED)
    assert max(found.values()) < 1e-5, max(found, key=found.__getitem__)

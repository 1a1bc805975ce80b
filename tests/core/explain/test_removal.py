"""What removals cost beside the weights: what is needed costs, what is noise does not, what is undefined is told."""

import numpy as np
import pytest
import torch

from core.explain import removal, weights
from core.explain.probes import group_numbers
from core.explain.split import availability
from core.fusion.intense import Intense
from core.measure.metrics import auc
from core.measure.redraw import resamples
from core.recipe import Recipe
from core.run import build
from core.sample import UNITS, Part
from core.score.infer import outputs
from core.train.loop import train
from tests.core.explain.test_weights import TRAINING, planted, units


@pytest.fixture(scope="module")
def trained() -> tuple[Intense, Part]:
    data = planted()
    model = train(data, Recipe("intense", {"project": 2}, TRAINING)).model
    assert isinstance(model, Intense)
    return model, data.part("test")


def test_what_is_needed_costs_and_what_is_noise_does_not(trained: tuple[Intense, Part]) -> None:
    model, part = trained
    found = removal.without_modalities(model, part)
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
    assert removal.rank_agreement(found) == pytest.approx(1)


def test_a_removed_modality_is_the_missing_one_of_every_other_page(trained: tuple[Intense, Part]) -> None:
    found = removal.without_modalities(*trained)
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
    found = removal.without_parts(weights.opened(model, part), part)
    np.testing.assert_allclose(found.weights, weights.weights(model).values)
    kept = model.predict.weight.detach().clone()
    for at, size in enumerate(model.sizes):
        start = sum(model.sizes[:at])
        with torch.no_grad():
            model.predict.weight.copy_(kept)
            model.predict.weight[:, start : start + size] = 0
        assert removal.metric(outputs(model, part.features), part) == pytest.approx(found.without[at], abs=1e-9)


def test_drawing_clips_again_is_counting_their_rows_as_often() -> None:
    """The AUC of one draw equals that of the rows written out, and without a change every paired difference is 0."""
    part = units()
    random = np.random.default_rng(0)
    values = random.normal(size=(len(part), 1)).astype(np.float32)
    draws, groups = removal.metric_draws(values, part), group_numbers(part)
    for number in (0, 7):
        repeated = np.repeat(np.arange(len(part)), resamples(12)[number][groups])
        assert draws[number] == pytest.approx(auc(values[repeated, 0], part.target.numpy()[repeated] > 0))
    same = removal.removals(values, {"nothing": values, "all": values * 0}, {"nothing": 1.0}, part)
    assert not np.nan_to_num(same.draws[0]).any()  # NaN: a draw without anomalies
    assert (same.low[0], same.cost[0], same.high[0]) == (0, 0, 0)
    assert same.without[1] == 50
    assert np.isnan(same.weights[1])
    assert same.groups == groups.max() + 1 == 12


def test_a_correlation_is_lost_in_itself() -> None:
    part = planted("real").part("test")
    wide = part.target.numpy()
    found = removal.removals(wide, {"sign": -wide}, {}, part)
    assert found.whole == pytest.approx(1)
    assert found.cost[0] == pytest.approx(2)
    assert found.metric == "correlation"


def made(weight: list[float], cost: list[float], spread: float = 1.0) -> removal.Removals:
    random = np.random.default_rng(0)
    draws = np.array(cost)[:, None] + spread * random.normal(size=(len(cost), 2000))
    w, c = np.array(weight), np.array(cost)
    names = tuple("abcdef"[: len(cost)])
    return removal.Removals("auc", names, w, 80.0, 80 - c, c, c - spread, c + spread, draws, 30)


def test_disagreements_are_pairs_in_opposite_order_beyond_chance() -> None:
    (found,) = removal.disagreements(made([0.9, 0.1], [0.0, 10.0]))
    assert (found.heavier, found.costlier) == ("a", "b")
    assert found.low < found.by == 10 < found.high
    assert removal.disagreements(made([0.9, 0.1], [10.0, 0.0])) == ()
    assert removal.disagreements(made([0.9, 0.1], [0.0, 1.0])) == ()  # within chance: sd of the difference is 1.4
    assert removal.disagreements(made([0.5, 0.5], [0.0, 10.0])) == ()  # neither is heavier
    assert removal.disagreements(made([np.nan, 0.5], [0.0, 10.0])) == ()
    three = removal.disagreements(made([0.9, 0.5, 0.1], [0.0, 10.0, 20.0]))
    assert [(each.heavier, each.costlier) for each in three] == [("a", "c"), ("a", "b"), ("b", "c")]
    # 2.3 sd of the difference: beyond chance for a single pair, not for the fifteen of six
    assert removal.disagreements(made([0.9, 0.1], [0.0, 3.2]))
    assert not removal.disagreements(made([0.9, 0.1, 0.0, 0.0, 0.0, 0.0], [0.0, 3.2, 0.0, 0.0, 0.0, 0.0]))


def test_rank_agreement_needs_three_names_that_differ() -> None:
    assert np.isnan(removal.rank_agreement(made([0.9, 0.1], [0.0, 1.0])))
    assert np.isnan(removal.rank_agreement(made([0.9, 0.1, 0.5], [1.0, 1.0, 1.0])))
    assert removal.rank_agreement(made([3.0, 2.0, 1.0], [1.0, 2.0, 3.0])) == pytest.approx(-1)


def test_what_cannot_be_told_is_said(trained: tuple[Intense, Part]) -> None:
    model, part = trained
    unlabelled = Part(part.features, None, part.task, part.names, part.places)
    with pytest.raises(ValueError, match="no labels"):
        removal.without_modalities(model, unlabelled)
    quiet = units()
    calm = Part(quiet.features, torch.zeros(len(quiet), dtype=torch.long), UNITS, quiet.names, quiet.places)
    with pytest.raises(ValueError, match="one class"):
        removal.removals(np.zeros((len(calm), 1), np.float32), {"x": np.zeros((len(calm), 1), np.float32)}, {}, calm)
    with pytest.raises(ValueError, match="one modality"):
        removal.without_modalities(build("intense", {"told": 4}, {}, part.task), part)
    with pytest.raises(ValueError, match="Concat does not weigh"):
        weights.opened(build("concat", model.widths, {}, part.task), part)
    other = removal.without_modalities(build("concat", model.widths, {}, part.task), part)
    assert np.isnan(other.weights).all()  # a loss without a weight beside it

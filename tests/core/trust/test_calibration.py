"""Calibration: known answers, bounds, chance; entropy and ensembles; dropout at inference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset import Dataset
from core.fusion.lmf import LmfConfig
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import UNITS, Samples
from core.train.loop import train
from core.trust import calibration
from core.trust.calibration import doubt, entropy, reliability
from core.trust.rows import Stage, reader, staged
from core.trust.stress import stressed
from tests.core.made import dataset
from tests.core.trust.test_attack import blobs

UP = np.array([False, False, False, True])  # one of four is right


def test_a_perfectly_calibrated_model_has_no_error() -> None:
    sure = np.repeat([0.25, 0.75], 4)
    found = reliability(sure, np.concatenate([UP, ~UP]))
    assert found.ece == 0
    assert found.worst == 0
    assert found.over == 0
    assert found.rows == 8
    assert found.brier == pytest.approx(0.25 * 0.75)


@pytest.mark.parametrize("how", ["width", "mass"])
def test_known_errors(how: calibration.How) -> None:
    """All rows say 0.9 and a quarter is right: 65 points. Half say 0.9, half 0.1, all are right: 50 points."""
    found = reliability(np.full(8, 0.9), np.tile(UP, 2), how=how)
    assert found.ece == pytest.approx(65)
    assert found.over == pytest.approx(65)
    found = reliability(np.repeat([0.9, 0.1], 4), np.ones(8, bool), how=how)
    assert found.ece == pytest.approx((10 + 90) / 2)
    assert found.worst == pytest.approx(90)
    assert found.over == pytest.approx(-50)


def test_errors_that_cancel_do_not_hide_in_the_ece_but_in_the_mean() -> None:
    found = reliability(np.repeat([0.2, 0.8], 10), np.repeat([True, False], [10, 10]))
    assert found.ece == pytest.approx(80)
    assert found.over == pytest.approx(0)


rows = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(rows, st.integers(2, 12), st.sampled_from(["width", "mass"]))
@settings(max_examples=40, deadline=None)
def test_it_is_the_slow_sum_over_bins(rows: list[tuple[float, bool]], bins: int, how: calibration.How) -> None:
    sure, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = reliability(sure, right, bins, how)
    total = 0.0
    for b in range(len(found.edges) - 1):
        low, high = found.edges[b], found.edges[b + 1]
        last = b == len(found.edges) - 2
        inside = [i for i in range(len(rows)) if low <= sure[i] < high or (last and sure[i] == high)]
        assert found.count[b] == len(inside)
        if inside:
            total += len(inside) * abs(right[inside].mean() - sure[inside].mean())
            assert found.low[b] <= found.right[b] + 1e-9
            assert found.right[b] <= found.high[b] + 1e-9
    assert found.count.sum() == len(rows)
    assert found.ece == pytest.approx(100 * total / len(rows), abs=1e-9)
    assert abs(found.over) <= found.ece + 1e-9 <= 100 + 2e-9


def test_equal_mass_gives_equal_counts_and_keeps_equal_confidences_together() -> None:
    random = np.random.default_rng(0)
    found = reliability(random.random(1000), random.random(1000) < 0.5, 10, "mass")
    assert found.count.tolist() == [100] * 10
    found = reliability(np.repeat([0.1, 0.5, 0.9], [60, 20, 20]), np.zeros(100, bool), 10, "mass")
    assert sorted(found.count[found.count > 0].tolist()) == [20, 20, 60]


def test_chance_is_what_calibrated_rows_show() -> None:
    """Drawn from their own confidences, rows have the ECE that `by_chance` says, far from 0 for few rows."""
    random = np.random.default_rng(1)
    sure = random.random(80)
    seen = [reliability(sure, random.random(80) < sure).ece for _ in range(60)]
    told = reliability(sure, random.random(80) < sure)
    assert told.by_chance == pytest.approx(np.mean(seen), rel=0.1)
    assert told.by_chance > 4
    assert np.mean(np.array(seen) <= told.chance_high) > 0.85


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (np.array([0.2, 1.2]), np.array([0.2, np.nan])):
        with pytest.raises(ValueError, match="from 0 to 1"):
            reliability(wrong, np.ones(2, bool))
    with pytest.raises(ValueError, match="no rows"):
        reliability(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="two bins"):
        reliability(np.zeros(2), np.zeros(2, bool), 1)


# ---------------------------------------------------------------------------- entropy and ensembles


@pytest.fixture(scope="module")
def data() -> Samples:
    return blobs()


@pytest.fixture(scope="module")
def stage(data: Samples) -> Stage:
    return staged(data)


@pytest.fixture(scope="module")
def members(data: Samples, stage: Stage) -> list[calibration.Answer]:
    training = TrainConfig(epochs=6, batch=30, lr=0.01)
    return [
        calibration.clean(reader(train(data, Recipe("lmf", {"rank": 1, "out": 4}, training, (seed,))).model, stage))
        for seed in range(3)
    ]


def test_entropy_has_its_bounds() -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(5), 50)
    assert (entropy(p) >= 0).all()
    assert (entropy(p) <= np.log(5)).all()
    assert entropy(np.full(5, 0.2)) == pytest.approx(np.log(5))
    assert entropy(np.eye(5)).tolist() == [0.0] * 5


def test_an_ensemble_of_one_is_the_member(stage: Stage, members: list[calibration.Answer]) -> None:
    found = doubt(stage, members[:1])
    assert found.together == found.members[0]
    np.testing.assert_allclose(found.information, 0, atol=1e-12)
    np.testing.assert_allclose(found.mean.sum(1), 1)
    same = doubt(stage, members[:1] * 4)
    np.testing.assert_allclose(same.mean, found.mean)
    np.testing.assert_allclose(same.information, 0, atol=1e-12)


def test_information_is_what_is_left_of_the_entropy(stage: Stage, members: list[calibration.Answer]) -> None:
    """H(mean) = mean H + information, all at least 0; it is the mean divergence of the members from their mean."""
    found = doubt(stage, members)
    each = np.stack([calibration.probabilities(*answer, "class") for answer in members])
    divergence = (each * np.log(each / found.mean)).sum(-1).mean(0)
    np.testing.assert_allclose(found.information, divergence, atol=1e-12)
    np.testing.assert_allclose(found.entropy, entropy(each).mean(0) + divergence)
    assert (found.information >= 0).all()
    assert found.wrong == int((found.mean.argmax(1) != stage.target.numpy()).sum())
    assert found.together == pytest.approx(100 - 100 * found.wrong / len(stage))
    assert 50 < found.ranks <= 100, "it is less sure where it is wrong"


def test_members_that_contradict_each_other_know_nothing_together() -> None:
    """Two units, two members: sure of opposite things, and unsure alike; both means have entropy log 2."""
    half = torch.zeros(2, dtype=torch.long)
    stage = Stage({}, {}, {}, ((0, 2),), torch.arange(2), half, torch.ones(2, dtype=torch.bool), UNITS, (("c", 2),))
    answers = [(np.array([1.0, 0.5], np.float32), None), (np.array([0.0, 0.5], np.float32), None)]
    found = doubt(stage, answers)
    np.testing.assert_allclose(found.entropy, np.log(2))
    np.testing.assert_allclose(found.information, [np.log(2), 0], atol=1e-12)
    assert found.wrong == 2
    assert doubt(stage, answers, threshold=0.6).wrong == 0


def test_real_targets_have_a_mean_and_no_entropy() -> None:
    data = blobs(kind="real")
    stage = staged(data)
    training = TrainConfig(epochs=4, batch=30, lr=0.01)
    models = [train(data, Recipe("lmf", {}, training, (seed,))).model for seed in range(2)]
    found = doubt(stage, [calibration.clean(reader(model, stage)) for model in models])
    assert not len(found.entropy)
    assert found.together >= min(found.members)
    assert np.isnan(found.ranks)
    with pytest.raises(ValueError, match="no probabilities"):
        calibration.calibrated(models[0], stage)


def test_dropout_leaves_out_at_random_and_nothing_else(data: Samples, stage: Stage) -> None:
    torch.manual_seed(0)
    model = build("lmf", data.widths, {"dropout": 0.5}, data.task).eval()
    passes = calibration.dropped_out(model, stage, passes=3)
    again = calibration.dropped_out(model, stage, passes=3)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(passes, again, strict=True)), "seeded"
    assert not np.array_equal(passes[0][1], passes[1][1])
    assert not model.dropout.training, "the model itself stays as it is"
    found = doubt(stage, passes)
    assert found.information.mean() > 1e-4
    model.dropout.p = 1e-12
    np.testing.assert_allclose(
        calibration.dropped_out(model, stage, 1)[0][1], calibration.clean(reader(model, stage))[1]
    )
    for without in (build("lmf", data.widths, {}, data.task), build("concat", data.widths, {}, data.task)):
        with pytest.raises(ValueError, match="without dropout"):
            calibration.dropped_out(without, stage)


def test_of_units_the_score_is_held_against_the_labels_that_are_known() -> None:
    clips = dataset(train=6, test=4)
    stage = staged(clips)
    model = build("lmf", clips.widths, {"rank": LmfConfig().rank}, UNITS)
    found = calibration.calibrated(model, stage)
    scores = stressed(model, stage, "noise", levels=(0.0, 1.0), draws=1).scores[0]
    labels = stage.target.numpy() > 0
    slow = reliability(scores.astype(float), labels)
    assert found.ece == slow.ece
    assert found.over == pytest.approx(100 * (scores.mean() - labels.mean()), abs=1e-4)
    half = Dataset("one", {clip.name: clip for clip in clips.part("test")}, {}, 16.0)
    assert calibration.calibrated(model, staged(half)).rows == len(stage)

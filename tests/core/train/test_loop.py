"""Training: what a step sees, that it is repeatable, and that planted signals are found."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.clip import Clip
from core.dataset import Dataset
from core.fusion.base import Fused
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import Samples, Task
from core.score.infer import outputs, resample
from core.train.job import refuse
from core.train.loop import Prepared, batches, clip_score, prepare, resample_labels, sample_loss, step_loss, train
from tests.core.made import WIDTHS, clip, dataset

SHORT = TrainConfig(epochs=3, batch=8)


@pytest.mark.parametrize("units", [1, 5, 31, 32, 33, 64, 100])
def test_resampling_keeps_a_constant_and_never_leaves_the_range(units):
    torch.testing.assert_close(resample(torch.full((units, 3), 2.5), 32), torch.full((32, 3), 2.5))
    rows = torch.rand(units, 3)
    found = resample(rows, 32)
    assert (found.amin(0) >= rows.amin(0) - 1e-6).all()
    assert (found.amax(0) <= rows.amax(0) + 1e-6).all()


def test_resampling_to_its_own_length_changes_nothing():
    rows = torch.rand(32, 3)
    torch.testing.assert_close(resample(rows, 32), rows)


def test_bins_are_plain_means():
    rows = torch.rand(64, 3)
    torch.testing.assert_close(resample(rows, 32), rows.reshape(32, 2, 3).mean(1))


def test_no_anomalous_unit_is_lost_by_resampling():
    labels = torch.zeros(100, dtype=torch.bool)
    labels[57] = True
    assert resample_labels(labels, 32).sum() == 1


def test_batches_pair_as_many_normal_as_anomalous_and_visit_every_clip():
    anomalous = torch.tensor([True] * 4 + [False] * 11)
    seen = []
    for index in batches(anomalous, 6, torch.Generator().manual_seed(0)):
        assert anomalous[index].sum() * 2 == len(index)
        seen += index.tolist()
    assert set(seen) == set(range(15))


def test_clip_score_is_the_mean_of_the_highest():
    scores = torch.tensor([[0.1, 0.9, 0.5]])
    assert clip_score(scores, 1).item() == pytest.approx(0.9)
    assert clip_score(scores, 2).item() == pytest.approx(0.7)
    assert clip_score(scores, 99).item() == pytest.approx(0.5)


def test_clip_supervision_never_looks_at_unit_labels():
    data = prepare(dataset().part("train"), tuple(WIDTHS), 32)
    torch.manual_seed(0)
    model = train(dataset(), Recipe("lego", {}, SHORT)).model
    blind = Prepared(data.features, data.anomalous, None)
    features = {name: rows[:, 0] for name, rows in data.features.items()}
    seen = step_loss(model, features, data.anomalous, data.labels, SHORT)
    torch.testing.assert_close(step_loss(model, features, data.anomalous, blind.labels, SHORT), seen)
    with pytest.raises(ValueError, match="unit labels"):
        step_loss(model, features, data.anomalous, None, TrainConfig(supervision="unit"))


@pytest.mark.parametrize("fusion", ["lego", "concat"])
def test_the_same_seed_gives_the_same_run_and_another_does_not(fusion):
    one, two, other = (train(dataset(), Recipe(fusion, {}, SHORT, (seed,))).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(dataset(), Recipe("lego", {}, SHORT))
    torch.testing.assert_close(torch.rand(3), wanted)


@pytest.mark.parametrize(("fusion", "options"), [("lego", {"head": "sorted"}), ("concat", {"level": "graph"})])
def test_planted_anomalies_are_found_from_clip_labels_alone(fusion, options):
    found = train(dataset(24, 16), Recipe(fusion, options, TrainConfig(epochs=400, batch=24, lr=5e-3), (0,)))
    assert found.run.metrics["auc"] > 90


def test_metrics_are_the_last_epochs_and_the_best_has_its_own_name():
    run = train(dataset(), Recipe("lego", {}, TrainConfig(epochs=4, batch=8, track=True)))
    tracked = [row["auc_test"] for row in run.history]
    assert run.run.metrics["auc"] == tracked[-1]
    assert run.run.metrics["auc_best_epoch_on_test"] == max(tracked)


def test_one_class_cannot_be_trained_on():
    calm = {f"c{n}": clip(f"c{n}", anomalous=False, seed=n) for n in range(4)}
    split = {"weak": {"train": tuple(calm), "test": tuple(calm)}}
    with pytest.raises(ValueError, match="got 4 normal and 0 anomalous"):
        train(Dataset("calm", calm, split, 16.0), Recipe("lego", {}, SHORT))


def test_an_unlabelled_training_clip_is_named():
    bare = Clip("bare", clip().features, None, 1.0)
    clips = {"bare": bare, "odd": clip("odd")}
    with pytest.raises(ValueError, match="1 training clips have no label, first 'bare'"):
        train(Dataset("d", clips, {"weak": {"train": tuple(clips), "test": ("odd",)}}, 16.0), Recipe("lego", {}, SHORT))


def test_crops_train_too():
    clips = {f"c{n}": clip(f"c{n}", units=12, anomalous=n % 2 == 1, seed=n, crops=5) for n in range(6)}
    data = Dataset("crops", clips, {"weak": {"train": tuple(clips), "test": tuple(clips)}}, 16.0)
    assert train(data, Recipe("lego", {}, SHORT)).run.metrics["units"] == 72


def test_graphs_that_nothing_learned_precedes_are_made_once_and_train_the_same(monkeypatch):
    config = {"project": None, "P": 2, "Q": 2}
    once = train(dataset(), Recipe("lego", config, SHORT, (1,)))
    monkeypatch.setattr("core.train.loop.fixed_graphs", lambda model, data: None)
    each = train(dataset(), Recipe("lego", config, SHORT, (1,)))
    assert [row["loss"] for row in once.history] == pytest.approx([row["loss"] for row in each.history], abs=1e-4)
    for name, weights in each.model.state_dict().items():
        torch.testing.assert_close(once.model.state_dict()[name], weights, atol=1e-3, rtol=1e-3)


def vectors(task: Task, seed: int = 0) -> Samples:
    """Which of three classes: one half of the answer in each modality, so that neither suffices."""
    random = torch.Generator().manual_seed(seed)
    first, second = torch.randint(2, (2, 400), generator=random)
    kind = first + second  # 0, 1, 2
    features = {
        "a": torch.randn(400, 5, generator=random) * 0.15 + 100.0,
        "b": torch.randn(400, 4, generator=random) * 0.0015,
    }
    features["a"][:, 2] += first
    features["b"][:, 1] += 0.01 * second
    target = kind if task.kind == "class" else torch.stack([1000.0 * kind + 7, -kind.float()], 1)
    return Samples(
        "halves", features, target, task, {"fixed": {"train": torch.arange(300), "test": torch.arange(300, 400)}}
    )


CLASSES, REALS = Task("class", ("none", "one", "both")), Task("real", ("grams", "drop"))


def test_samples_are_learned_although_columns_and_targets_differ_in_scale():
    classes = train(vectors(CLASSES), Recipe("concat", {}, TrainConfig(epochs=30), (1,))).run.metrics
    assert classes["accuracy"] > 90
    assert max(classes["alone"].values()) < classes["accuracy"] - 20
    reals = train(vectors(REALS), Recipe("concat", {}, TrainConfig(epochs=30), (1,))).run.metrics
    assert min(reals["correlation_of"].values()) > 0.9
    assert reals["mae_of"]["grams"] < 400  # of a range of 2,000
    assert reals["mae_of"]["drop"] < 0.4


def test_a_training_on_samples_is_repeatable_and_moves_with_the_seed():
    one, two, other = (
        train(vectors(CLASSES), Recipe("lmf", {}, TrainConfig(epochs=2), (seed,))).model.state_dict()
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_what_is_learned_from_samples_is_learned_from_the_training_part_alone():
    data = vectors(REALS)
    model = train(data, Recipe("concat", {}, TrainConfig(epochs=1), (0,))).model
    rows = data.part("train").features["a"]
    torch.testing.assert_close(model.standard.mean_of_a, rows.mean(0))
    torch.testing.assert_close(model.standard.target_mean, data.part("train").target.mean(0))


def test_a_column_that_never_moves_is_centred_and_not_blown_up():
    data = vectors(CLASSES)
    features = {**data.features, "a": data.features["a"].clone()}
    features["a"][:, 0] = 5.0
    model = build("concat", data.widths, {}, CLASSES)
    model.learn(features, data.target)
    assert model.standard.spread_of_a[0] == 1.0
    assert outputs(model, features).max() < 1e3


def test_an_empty_training_part_is_refused():
    data = vectors(CLASSES)
    empty = Samples(
        "halves", data.features, data.target, CLASSES, {"x": {"train": torch.arange(0), "test": torch.arange(5)}}
    )
    with pytest.raises(ValueError, match="'halves': the training part holds no samples"):
        train(empty, Recipe("concat"))


def test_outputs_in_small_batches_are_the_same():
    data = vectors(CLASSES)
    model = build("concat", data.widths, {}, CLASSES)
    torch.testing.assert_close(
        torch.tensor(outputs(model, data.features, entries=50)), torch.tensor(outputs(model, data.features))
    )
    with pytest.raises(ValueError, match="'a' has width 3, the model was trained on 5"):
        outputs(model, {"a": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="none of the modalities"):
        outputs(model, {"c": torch.zeros(2, 3)})


def test_real_targets_count_alike_whatever_their_units():
    outputs, target = torch.tensor([[1.0, 10.0], [3.0, 30.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    fused = Fused(torch.zeros(2), None, outputs)
    expected = ((1 / 2) ** 2 + (10 / 20) ** 2 + (3 / 2) ** 2 + (30 / 20) ** 2) / 4
    assert float(sample_loss(fused, target, torch.tensor([2.0, 20.0]))) == pytest.approx(expected)
    chance = sample_loss(Fused(torch.zeros(2), None, torch.zeros(2, 4)), torch.tensor([0, 3]), None)
    assert float(chance) == pytest.approx(np.log(4))


def wide(scale: float) -> Any:
    """The small data set with features this many times as large."""
    data = dataset(4, 4)
    clips = {
        name: replace(clip, features={m: rows * scale for m, rows in clip.features.items()})
        for name, clip in data.clips.items()
    }
    return replace(data, clips=clips)


@pytest.mark.parametrize(
    ("fusion", "options", "training", "scale"),
    [
        ("mtn", {}, SHORT, 1e14),
        ("lego", {}, replace(SHORT, lr=1e36), 1.0),
        ("concat", {}, replace(SHORT, lr=1e30, epochs=4), 1.0),
        ("lmf", {}, replace(SHORT, lr=1e30, epochs=4), 1.0),
    ],
)
def test_a_training_that_diverges_says_when_and_what_to_do(fusion, options, training, scale):
    with pytest.raises(ValueError, match=r"^diverged at epoch \d+: .*smaller step size \(lr\)"):
        train(wide(scale), Recipe(fusion, options, training))


def test_samples_that_diverge_say_so_too():
    with pytest.raises(ValueError, match=r"^diverged at epoch \d+: "):
        train(vectors(REALS), Recipe("lmf", {}, TrainConfig(epochs=6, lr=1e30)))


def test_a_job_that_would_diverge_at_once_is_refused_before_it_starts():
    with pytest.raises(ValueError, match="^diverged at epoch 1: "):
        refuse(Recipe("mtn", {}, SHORT), wide(1e14))

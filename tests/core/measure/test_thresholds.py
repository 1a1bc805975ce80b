"""Many clips at once: one pass over an array says what a loop over clips says."""

from dataclasses import replace

import numpy as np
import pytest

from core.measure.metrics import auc, average_precision
from core.measure.thresholds import decide, graded, one_against_rest, precision_recall, roc, units_of
from tests.core.test_compare import made_clips


@pytest.fixture
def world() -> tuple:
    """Clips with ties in their scores; one is normal throughout, one is not labelled, and one has a single unit."""
    clips, scores = made_clips(9, seed=4)
    blind = replace(clips[1], labels=None, truth=None, anomalous=None)
    short = replace(
        clips[2],
        features={name: rows[:1] for name, rows in clips[2].features.items()},
        labels=clips[2].labels[:1],
        truth=(),
        frames=10,
    )
    return (clips[0], blind, short, *clips[3:]), scores | {short.name: scores[short.name][:1]}


def test_highest_score_and_auc_of_every_clip(world: tuple) -> None:
    clips, scores = world
    units = units_of(scores, clips)
    assert units.highest().tolist() == [float(scores[each.name].max()) for each in clips]
    slow = [np.nan if each.labels is None else auc(scores[each.name], each.labels.numpy()) for each in clips]
    np.testing.assert_allclose(units.inside(), slow)
    assert np.isnan(slow[:3]).all()
    assert not np.isnan(slow[4])


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.1])
def test_counts_of_every_clip_at_a_threshold(world: tuple, threshold: float) -> None:
    clips, scores = world
    units = units_of(scores, clips)
    alarm = units.scores >= np.float32(threshold)
    for at, each in enumerate(clips):
        if each.labels is not None:
            now = decide(scores[each.name], each.labels.numpy(), threshold)
            assert units.each(alarm & units.labels)[at] == now.true_alarms
            assert units.each(~alarm & ~units.labels)[at] == now.true_rests


@pytest.mark.parametrize("kind", ["both", "normal", "anomalous"])
@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.7, 0.35, 2.0, float("inf")])
def test_sorted_once_every_threshold_is_what_the_scores_say(kind: str, threshold: float) -> None:
    """0.7 as float32 lies below 0.7: both compare in the scores' own precision."""
    random = np.random.default_rng(3)
    scores = np.round(random.random(80), 1).astype(np.float32)
    labels = {"both": random.random(80) < 0.3, "normal": np.zeros(80, bool), "anomalous": np.ones(80, bool)}[kind]
    found = graded(scores, labels)
    assert found.decide(threshold) == decide(scores, labels, threshold)
    every = [decide(scores, labels, at) for at in (np.inf, *np.unique(scores)[::-1].tolist())]
    for price in (0.0, 1.0, 7.0):
        assert found.cheapest(price) == min(every, key=lambda one: one.cost(price))
    np.testing.assert_equal(found.auc, auc(scores, labels))
    assert found.average_precision == pytest.approx(average_precision(scores, labels), nan_ok=True)
    for mine, plain in ((found.roc, roc(scores, labels)), (found.precision_recall, precision_recall(scores, labels))):
        np.testing.assert_allclose(mine.x, plain.x)
        np.testing.assert_allclose(mine.y, plain.y)
    assert found.span.min() == scores.min()
    assert found.span.max() == scores.max()
    assert found.thresholds.tolist() == np.unique(scores).tolist()


def test_one_class_against_the_rest_is_its_probability() -> None:
    outputs, target = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3
    outputs[0] = 1000, 0, -1000  # large logits survive
    found = one_against_rest(outputs, target, 1)
    chance = np.exp(outputs[1:]) / np.exp(outputs[1:]).sum(1, keepdims=True)
    np.testing.assert_allclose(found.anomalous, np.sort(chance[target[1:] == 1, 1]))
    assert len(found.normal) == (target != 1).sum()
    with pytest.raises(ValueError, match="no classes"):
        one_against_rest(outputs, None, 1)

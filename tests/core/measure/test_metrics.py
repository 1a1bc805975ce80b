"""Judging scores: scikit-learn as the independent answer, identities, and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, recall_score, roc_auc_score

from core.clip import Clip
from core.measure.metrics import (
    auc,
    average_precision,
    by_kind,
    class_metrics,
    jsonable,
    measure,
    real_metrics,
)
from core.measure.thresholds import decide, graded, precision_recall, roc
from tests.core.made import clip, dataset

RATED = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40).map(
    lambda rows: (np.array([r[0] / 8 for r in rows]), np.array([r[1] for r in rows]))
)


@given(RATED)
def test_auc_is_scikit_learns_ties_included(rated):
    scores, labels = rated
    if labels.all() or not labels.any():
        assert np.isnan(auc(scores, labels))
    else:
        assert auc(scores, labels) == pytest.approx(100 * roc_auc_score(labels, scores))
        assert average_precision(scores, labels) == pytest.approx(100 * average_precision_score(labels, scores))


@given(RATED)
def test_turning_the_scores_round_turns_auc_round(rated):
    scores, labels = rated
    if not labels.all() and labels.any():
        assert auc(-scores, labels) == pytest.approx(100 - auc(scores, labels))


@given(RATED, st.floats(0, 1), st.floats(0, 1))
def test_raising_the_threshold_never_adds_alarms(rated, t, u):
    low, high = sorted((t, u))
    loose, strict = decide(*rated, low), decide(*rated, high)
    assert strict.true_alarms <= loose.true_alarms
    assert strict.false_alarms <= loose.false_alarms


@given(RATED, st.floats(0.1, 10), st.floats(0, 1))
def test_cheapest_is_cheapest(rated, price, other):
    best = graded(*rated).cheapest(price)
    assert best.cost(price) <= decide(*rated, other).cost(price) + 1e-9
    assert best == decide(*rated, best.threshold)


def test_dearer_misses_lower_the_threshold():
    scores, labels = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True])
    assert graded(scores, labels).cheapest(miss_price=0.5).threshold == 0.9
    assert graded(scores, labels).cheapest(miss_price=5.0).threshold == 0.4


@given(RATED)
def test_points_of_both_curves_are_what_decide_counts(rated):
    scores, labels = rated
    curve = roc(scores, labels)
    for x, y, threshold in zip(curve.x, curve.y, curve.thresholds, strict=True):
        at = decide(scores, labels, threshold)
        assert (at.false_alarm_rate, at.recall) == pytest.approx((x, y))
    curve = precision_recall(scores, labels)
    for x, y, threshold in zip(curve.x[:-1], curve.y[:-1], curve.thresholds[:-1], strict=True):
        at = decide(scores, labels, threshold)
        assert (at.recall, at.precision) == pytest.approx((x, y))


def test_frames_repeat_their_units_score_up_to_the_last_true_frame():
    one = clip("a", units=10)  # 155 frames, anomalous from 64 to 112
    scores = {"a": np.linspace(0, 1, 10).astype(np.float32)}
    frames = np.repeat(scores["a"], 16)[:155]
    truth = np.zeros(155, bool)
    truth[64:112] = True
    assert measure(scores, [one]).auc_frames == pytest.approx(100 * roc_auc_score(truth, frames))


def test_anomalous_clips_alone_are_harder_than_with_easy_normal_clips():
    clips = [clip("odd", units=10), clip("calm", units=50, anomalous=False)]
    scores = {"odd": np.full(10, 0.9, np.float32), "calm": np.zeros(50, np.float32)}
    found = measure(scores, clips)
    assert found.auc > 90
    assert found.auc_anomalous == 50
    assert (found.units, found.anomalous) == (60, 3)


@pytest.mark.parametrize(("anomalous", "word"), [(False, "normal")])
def test_one_class_has_no_auc_but_a_reason(anomalous, word):
    found = jsonable(measure({"a": np.zeros(10, np.float32)}, [clip("a", units=10, anomalous=anomalous)]))
    assert found["auc"] is None
    assert found["why"] == f"all 10 units are {word}: AUC needs both kinds"


def test_clips_without_labels_have_no_auc_but_a_reason():
    bare = Clip("a", {"m": clip().features["motion"]}, None, 1.0)
    assert jsonable(measure({"a": np.zeros(20, np.float32)}, [bare]))["why"] == "no clip has unit labels"


def test_kinds_are_judged_against_every_normal_unit():
    one, two = clip("a", units=10), clip("b", units=10, anomalous=False)
    scores = {"a": np.zeros(10, np.float32), "b": np.full(10, 0.5, np.float32)}
    scores["a"][4:7] = 1
    assert by_kind(scores, [one, two]) == {"odd": (100.0, 3)}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_class_metrics_are_scikit_learns(pairs):
    target, found = (np.array(column) for column in zip(*pairs, strict=True))
    names = ("a", "b", "c", "d")
    judged = class_metrics(np.eye(4)[found], target, names)
    assert judged.accuracy == pytest.approx(100 * accuracy_score(target, found))
    occurs = sorted(set(target.tolist()))
    expected = f1_score(target, found, average="macro", labels=occurs, zero_division=0)
    assert judged.macro_f1 == pytest.approx(100 * expected)
    each = recall_score(target, found, average=None, labels=occurs, zero_division=0)
    assert judged.recall == pytest.approx({names[i]: 100 * r for i, r in zip(occurs, each, strict=True)})


def test_real_metrics_are_numpys_and_undefined_stays_undefined():
    random = np.random.default_rng(0)
    target = random.normal(size=(50, 3)).astype(np.float32)
    found = target + random.normal(size=(50, 3))
    target[:, 2] = 4.0
    judged = real_metrics(found, target, ("x", "y", "z"))
    expected = [np.corrcoef(found[:, i], target[:, i])[0, 1] for i in (0, 1)]
    assert [judged.correlation_of["x"], judged.correlation_of["y"]] == pytest.approx(expected)
    assert np.isnan(judged.correlation_of["z"])
    assert judged.correlation == pytest.approx(np.mean(expected))
    assert judged.mae_of["y"] == pytest.approx(np.abs(found - target)[:, 1].mean())
    assert "undefined" in judged.why
    assert jsonable(judged)["correlation_of"]["z"] is None


def test_real_metrics_do_not_depend_on_the_targets_units():
    random = np.random.default_rng(1)
    target, found = random.normal(size=(2, 30, 1))
    one, two = real_metrics(found, target, ("x",)), real_metrics(1000 * found + 5, 1000 * target + 5, ("x",))
    assert two.correlation == pytest.approx(one.correlation)
    assert two.mae == pytest.approx(1000 * one.mae)


def test_units_as_rows_are_judged_like_units_of_clips():
    data = dataset(train=2, test=4)
    part = data.part("test").flat()
    scores = np.random.default_rng(2).normal(size=len(part))
    by_clip, at = {}, 0
    for each in data.part("test"):
        by_clip[each.name] = scores[at : at + each.units]
        at += each.units
    judged, expected = measure(scores[:, None], part), measure(by_clip, data.part("test"))
    assert (judged.auc, judged.ap, judged.units) == (expected.auc, expected.ap, expected.units)


def test_a_model_that_diverged_has_no_quality_and_a_reason():
    part = dataset(train=2, test=4).part("test").flat()
    scores = np.zeros((len(part), 1))
    scores[3] = np.inf
    judged = measure(scores, part)
    assert np.isnan(judged.auc)
    assert judged.why == f"1 of {len(part)} rows have outputs that are not finite: the model diverged"

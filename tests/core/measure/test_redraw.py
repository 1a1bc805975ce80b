"""Metrics on clips drawn again: every draw the slow way, the linear draws against the exact ones and their slope."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from core.compare import METRICS, judge
from core.measure import redraw as d
from core.measure.metrics import measure
from core.sample import Part, Task
from tests.core.made import clip


def made_clips(count: int = 12, seed: int = 0) -> tuple:  # noqa: ANN001
    """Clips of unequal length, a third of them without an anomaly, and scores with ties."""
    random = np.random.default_rng(seed)
    clips = tuple(clip(f"clip {i}", 8 + i % 5, i % 3 > 0, seed * 100 + i) for i in range(count))
    scores = {
        each.name: np.round(0.3 * each.labels.numpy() + random.normal(0.4, 0.2, each.units), 1).astype(np.float32)
        for each in clips
    }
    return clips, scores


def replicated(clips: tuple, scores: dict, counts: np.ndarray) -> tuple:
    """The clips as often as they were drawn, under names of their own."""
    again, values = [], {}
    for each, times in zip(clips, counts, strict=True):
        for copy in range(times):
            again.append(replace(each, name=f"{each.name} copy {copy}"))
            values[again[-1].name] = scores[each.name]
    return tuple(again), values


def test_every_draw_equals_the_metric_of_the_clips_that_were_drawn() -> None:
    """The slow way: put every drawn clip in as often as it was drawn and measure."""
    clips, scores = made_clips()
    judged = judge(scores, clips)
    assert judged.value == {m: getattr(measure(scores, clips), m) for m in METRICS["auc"]}
    for at, counts in enumerate(d.resamples(len(clips))[:25]):
        slow = measure(*reversed(replicated(clips, scores, counts)))
        for metric, draws in judged.draws.items():
            assert draws[at] == pytest.approx(getattr(slow, metric), abs=1e-9), metric


def test_beyond_exact_draws_are_linear_and_spread_as_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    clips, scores = made_clips(90, seed=3)
    exact = judge(scores, clips)
    monkeypatch.setattr(d, "EXACT", 10)
    linear = judge(scores, clips)
    assert not exact.linear
    assert linear.linear
    for metric, draws in linear.draws.items():
        assert np.corrcoef(draws, exact.draws[metric])[0, 1] > 0.97, metric
        assert draws.std() == pytest.approx(exact.draws[metric].std(), rel=0.08), metric
        assert draws.mean() == pytest.approx(exact.value[metric], abs=0.1 * draws.std()), metric


def test_the_slope_is_what_a_little_more_of_a_clip_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite differences of AUC and AP in how often one clip counts, against the linear draws of a single clip."""
    clips, scores = made_clips(6, seed=1)
    values = np.concatenate([scores[each.name] for each in clips]).astype(float)
    labels = np.concatenate([each.labels.numpy() for each in clips]).astype(float)
    of = np.repeat(np.arange(6), [each.units for each in clips])
    step = 1e-6
    monkeypatch.setattr(d, "EXACT", 0)
    for which in range(6):
        table = np.ones((200, 6), np.uint8)
        table[0, which] = 2
        monkeypatch.setattr(d, "resamples", lambda count, table=table: table)
        weight = np.where(of == which, 1 + step, 1.0)

        def slow_auc(w: np.ndarray) -> float:
            wins = (values[:, None] > values) + 0.5 * (values[:, None] == values)
            return 100 * (w * labels) @ wins @ (w * (1 - labels)) / ((w @ labels) * (w @ (1 - labels)))

        def slow_ap(w: np.ndarray) -> float:
            return 100 * average_precision_score(labels, values, sample_weight=w)

        for slow, draws in (
            (slow_auc, d.auc_draws(values, labels, 1 - labels, of, 6)),
            (slow_ap, d.ap_draws(values, labels, of, 6)),
        ):
            once = np.ones_like(weight)
            assert draws[0] - draws[1] == pytest.approx((slow(weight) - slow(once)) / step, abs=1e-3)
            assert draws[1] == pytest.approx(slow(once))


def test_samples_draw_accuracy_f1_correlation_and_error_the_slow_way() -> None:
    random = np.random.default_rng(2)
    target, said = random.integers(0, 3, 60), random.normal(size=(60, 4)).astype(np.float32)
    said[np.arange(60), target] += 1
    real, guess = random.normal(size=(60, 2)).astype(np.float32), random.normal(size=(60, 2)).astype(np.float32)
    places = tuple(("", i) for i in range(60))
    for task, truth, answer in (
        (Task("class", tuple("abcd")), torch.from_numpy(target), said),
        (Task("real", ("x", "y")), torch.from_numpy(real), real + guess),
    ):
        part = Part({}, truth, task, tuple(map(str, range(60))), places)
        judged = judge(answer, part)
        for at, counts in enumerate(d.resamples(60)[:20]):
            index = np.repeat(np.arange(60), counts)
            slow = measure(answer[index], part.take(torch.from_numpy(index)))
            for metric, draws in judged.draws.items():
                assert draws[at] == pytest.approx(getattr(slow, metric), rel=1e-5), metric

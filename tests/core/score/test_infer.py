"""Inference: windows, crops, read-only results, and features that do not fit the model."""

import numpy as np
import pytest
import torch

from core.clip import Clip
from core.fusion import FUSIONS
from core.score import infer
from core.score.infer import array, look, score, spans
from tests.core.made import WIDTHS, clip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return FUSIONS["lego"](WIDTHS).eval()


@pytest.mark.parametrize("units", [1, 31, 32, 33, 64, 65, 100])
def test_every_unit_is_scored_exactly_once(units):
    fresh = [unit for _, stop, first in spans(units, 32) for unit in range(first, stop)]
    assert fresh == list(range(units))
    assert all(stop - start == min(units, 32) for start, stop, _ in spans(units, 32))


def test_the_last_window_gives_scores_only_to_what_is_new(model):
    whole = clip(units=40)
    first = Clip("a", {n: r[:32] for n, r in whole.features.items()}, None, 1.0)
    last = Clip("b", {n: r[8:] for n, r in whole.features.items()}, None, 1.0)
    wanted = np.concatenate([look(model, first).scores, look(model, last).scores[24:]])
    np.testing.assert_allclose(look(model, whole).scores, wanted, atol=1e-6)


def test_a_short_clip_is_repeated_and_scored_on_its_first_units(model):
    short = clip(units=5)
    index = torch.arange(32) % 5
    long = Clip("long", {n: r[index] for n, r in short.features.items()}, None, 1.0)
    np.testing.assert_allclose(look(model, short).scores, look(model, long).scores[:5], atol=1e-6)


def test_graphs_show_the_real_units_alone(model):
    trace = look(model, clip(units=5)).windows[0].trace
    assert trace.fused.shape == (5, 5)
    assert {name: graph.shape for name, graph in trace.graphs.items()} == {"motion": (5, 5), "text": (5, 5)}


def test_crops_are_scored_one_by_one_and_averaged(model):
    many = clip(units=12, crops=5)
    singles = [
        look(model, Clip(str(c), {n: r[c] for n, r in many.features.items()}, None, 1.0)).scores for c in range(5)
    ]
    np.testing.assert_allclose(look(model, many).scores, np.mean(singles, axis=0), atol=1e-6)


def test_one_modality_may_have_crops_and_the_other_none(model):
    many, one = clip(units=12, crops=5), clip(units=12)
    mixed = Clip("mixed", {"motion": many.features["motion"], "text": one.features["text"]}, None, 1.0)
    assert look(model, mixed).scores.shape == (12,)


def test_results_cannot_be_changed_by_a_view(model):
    with pytest.raises(ValueError, match="read-only"):
        array(torch.zeros(3))[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        look(model, clip()).scores[0] = 1


def test_another_width_is_refused_with_both_numbers(model):
    wide = Clip("wide", {"motion": torch.zeros(4, 13), "text": torch.zeros(4, 8)}, None, 1.0)
    for run in (look, lambda m, c: score(m, [c])):
        with pytest.raises(ValueError, match=r"'wide': modality 'motion' has width 13, the model was trained on 12"):
            run(model, wide)


def test_a_clip_without_any_of_the_models_modalities_is_refused(model):
    with pytest.raises(ValueError, match="has modalities audio, the model reads motion, text"):
        look(model, Clip("a", {"audio": torch.zeros(4, 12)}, None, 1.0))


def test_small_batches_change_nothing(model):
    clips = [clip(str(n), units=n) for n in (5, 40, 33)]
    one, many = score(model, clips, entries=1), score(model, clips)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], atol=1e-6)


@pytest.mark.parametrize("fusion", ["lmf", "concat", "perceiver", "lego"])
def test_rows_that_are_alike_score_alike_wherever_they_stand(fusion):
    """In float32 the place in a batch decides the last bits, and with them the order of ties in an AUC."""
    torch.manual_seed(4)
    model = FUSIONS[fusion](WIDTHS).eval()
    row = {name: torch.randn(1, width) for name, width in WIDTHS.items()}
    clips = [Clip(str(n), {m: r.expand(n, -1).clone() for m, r in row.items()}, None, 1.0) for n in (3, 32, 61)]
    seen = np.concatenate(list(score(model, clips).values()))
    assert len(np.unique(seen)) == 1
    some = score(model, clips, entries=100)
    assert all(np.array_equal(some[name], values) for name, values in score(model, clips).items())


def test_clips_of_many_lengths_do_not_wait_for_their_like_without_end(monkeypatch):
    """Every length is there once, so no batch ever fills; four batches' worth of values may wait, and one clip more."""
    torch.manual_seed(0)
    model = FUSIONS["concat"](WIDTHS, FUSIONS["concat"].Config(level="feature")).eval()
    assert model.window is None
    clips = [clip(f"c{units}", units=units) for units in range(20, 60)]
    wanted = score(model, clips)
    width, scored, most = sum(WIDTHS.values()), [], []
    real = infer.to_device
    monkeypatch.setattr(infer, "to_device", lambda batch, on: scored.append(len(batch["motion"])) or real(batch, on))
    size = 120 * width  # the longest two together
    found = score(model, clips, entries=size, tell=lambda share: most.append(round(share * 40) + 1 - sum(scored)))
    assert max(most[:-1]) <= infer.WAITING * size // (20 * width) < len(clips)
    assert most[-2] > 1
    assert scored.count(1) == len(clips), "none found its like"
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)

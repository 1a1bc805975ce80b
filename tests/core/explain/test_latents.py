"""Latents of joint autoencoders: distance to the prior, retrieval, walks; and the Wikipedia set against CCA."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from core import run
from core.data import read
from core.explain.latents import compared, latents, prior_distance, retrieved, walk
from core.fusion import FUSIONS
from core.fusion.lmf import Lmf
from core.recipe import Recipe, TrainConfig
from core.score.infer import outputs
from core.train.loop import train
from tests.command import command
from tests.core.fusion.test_jwae import WIDTHS, paired

WIKIPEDIA = Path(__file__).parents[3] / "../shared/data/wikipedia"
METHODS = ("jwae", "jwae-lmf")
TRAINING = TrainConfig(epochs=25, batch=64, lr=3e-3, weight_decay=0.0)


@pytest.fixture(scope="module")
def data():
    return paired()


@pytest.fixture(scope="module", params=METHODS)
def trained(request, data):
    return train(data, Recipe(request.param, {"latent": 6, "align": 2.0, "match": 1.0}, TRAINING))


def test_pairs_of_one_hidden_point_find_each_other(trained, data):
    found = {(one.asked, one.answers): one for one in retrieved(trained.model, data.part("test"))}
    assert set(found) == {("image", "text"), ("text", "image")}
    for one in found.values():
        assert one.map > one.chance + 0.3
        assert one.map_at[10] > one.chance + 0.3
        assert one.queries == 200


def test_distance_is_small_where_the_prior_was_matched_and_large_where_latents_are_moved(trained, data):
    test = data.part("test")
    near = prior_distance(trained.model, test)
    assert [one.modality for one in near] == list(WIDTHS)
    for name, layers in zip(WIDTHS, trained.model.encoders, strict=True):
        assert name in {one.modality for one in near}
        with torch.no_grad():
            layers[-1].bias += 3
    far = prior_distance(trained.model, test)
    with torch.no_grad():
        for layers in trained.model.encoders:
            layers[-1].bias -= 3
    for a, b in zip(near, far, strict=True):
        assert b.mmd2 > 3 * abs(a.mmd2)
        assert b.mmd2 > 10 * b.by_chance
        assert b.length > b.expected
        assert a.expected == pytest.approx(math.sqrt(6), rel=0.1)
        assert a.rows == 200


def test_draws_of_the_prior_itself_stay_below_what_chance_gives(data, monkeypatch):
    """A model whose latents are N(0, I): in 40 sets about 5 % lie above."""
    fresh = FUSIONS["jwae"](WIDTHS, FUSIONS["jwae"].Config(latent=6), data.task)
    random = torch.Generator().manual_seed(3)
    above = 0
    for _ in range(20):
        z = {name: torch.randn(200, 6, generator=random).numpy() for name in WIDTHS}
        monkeypatch.setattr("core.explain.latents.latents", lambda model, part, z=z: z)
        above += sum(one.mmd2 > one.by_chance for one in prior_distance(fresh, data.part("test"), seed=above))
    assert above <= 8


def test_a_walk_begins_and_ends_at_the_rows(trained, data):
    test = data.part("test")
    found = walk(trained.model, test, 4, 9, steps=5)
    assert found.steps.tolist() == [0, 0.25, 0.5, 0.75, 1]
    expected = outputs(trained.model, test.features)
    np.testing.assert_allclose(found.outputs[[0, -1]], expected[[4, 9]], rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        fused = trained.model(test.features)
    for name, rows in test.features.items():
        np.testing.assert_array_equal(found.ends[name], rows[[4, 9]].numpy())
        spread, mean = (trained.model.standard.get_buffer(f"{what}_of_{name}") for what in ("spread", "mean"))
        decoded = (mean + spread * fused.trace.reconstructed[name])[[4, 9]]
        np.testing.assert_allclose(found.rows[name][[0, -1]], decoded.numpy(), rtol=1e-4, atol=1e-4)
        assert found.crossed[name].shape == (5, rows.shape[1])


def test_crossed_rows_come_from_the_other_modality_alone(trained, data):
    test = data.part("test")
    before = walk(trained.model, test, 4, 9)
    changed = {**test.features, "image": test.features["image"] + 1}
    after = walk(trained.model, type(test)(changed, test.target, test.task, test.names, test.places), 4, 9)
    np.testing.assert_array_equal(after.crossed["image"], before.crossed["image"])
    assert not np.allclose(after.crossed["text"], before.crossed["text"])


@pytest.mark.parametrize(("first", "last", "steps"), [(0, 200, 5), (-1, 0, 5), (0, 1, 1)])
def test_a_walk_that_cannot_be_is_refused(trained, data, first, last, steps):
    with pytest.raises(ValueError, match="rows 0 to 199|at least its two ends"):
        walk(trained.model, data.part("test"), first, last, steps)


def test_other_fusions_have_no_latents_but_gmf_has_invariant_parts(data):
    test = data.part("test")
    with pytest.raises(ValueError, match="LMF has no joint autoencoders"):
        latents(Lmf(WIDTHS), test)
    with pytest.raises(ValueError, match="no common space"):
        compared(Lmf(WIDTHS), test)
    gmf = FUSIONS["gmf"](WIDTHS)
    assert {rows.shape for rows in compared(gmf, test).values()} == {(200, 6)}


def test_the_command_says_what_the_function_does(trained, data, tmp_path):
    from core.data.samples.native import write

    write(data, tmp_path / "paired")
    run.save(trained.run, trained.model.state_dict(), trained.history, tmp_path / "runs")
    code, out, err = command("retrieve", tmp_path / "runs", tmp_path / "paired", "--json")
    assert code == 0, err
    said = json.loads(out)
    expected = retrieved(trained.model, data.part("test"))
    assert [one["map"] for one in said["directions"]] == pytest.approx([one.map for one in expected], abs=1e-6)
    code, out, err = command("retrieve", tmp_path, tmp_path / "paired", "--json")
    assert (code, out) == (2, "")
    assert "neither a run nor a folder of runs" in err


@pytest.mark.slow
@pytest.mark.skipif(not WIKIPEDIA.is_dir(), reason="needs ../shared/data/wikipedia")
def test_retrieval_on_wikipedia_beats_cca_both_ways_without_labels():
    """CCA with nine components: 0.228 image to text, 0.179 text to image, as the field reports it."""
    data = read(WIKIPEDIA)
    options = {"labels": False, "latent": 32, "hidden": 256, "align": 1.0, "match": 0.3}
    model = train(data, Recipe("jwae", options, TrainConfig(epochs=30, batch=128, weight_decay=0.01))).model
    found = {one.asked: one for one in retrieved(model, data.part("test"))}
    assert found["image"].chance == pytest.approx(0.118, abs=0.001)
    assert found["image"].map > 0.228
    assert found["text"].map > 0.179

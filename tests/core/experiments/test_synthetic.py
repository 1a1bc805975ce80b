"""ProFusion's synthetic experiment: the generator's formula, training together, RobustAUC."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.experiments import synthetic
from core.experiments.synthetic import (
    CONFIG,
    TARGET,
    Cell,
    compare,
    fit_together,
    generate,
    robust,
    squared_error,
    trained_pair,
)
from core.fusion.profusion import ProFusionConfig
from core.recipe import Recipe, TrainConfig
from core.train.loop import train
from core.trust.corrupt import noisy, robust_auc, spreads_of, under_noise

SMALL = {"train": 60, "test": 50, "latent": 3, "width": 5}
SHORT = TrainConfig(epochs=3, batch=25, lr=3e-3, weight_decay=1e-3)


def test_the_parts_are_where_the_formula_puts_them() -> None:
    """Without noise in it the second modality is a wave in [-1, 1]; eta adds twice that wave to the first."""
    plain, mixed, noisy_ = (generate(eta, sigma, 3, **SMALL) for eta, sigma in ((0.0, 0.0), (1.5, 0.0), (1.5, 2.0)))
    wave = plain.features["second"]
    assert wave.abs().max() <= 1
    assert plain.simulated
    torch.testing.assert_close(mixed.features["first"] - plain.features["first"], 3.0 * wave)
    assert torch.equal(mixed.features["second"], wave)
    torch.testing.assert_close(generate(-1.5, 0.0, 3, **SMALL).features["first"], mixed.features["first"])  # |eta|
    extra = (noisy_.features["second"] - wave) / 2
    assert abs(float(extra.std()) - 1) < 0.1
    assert torch.equal(plain.target, noisy_.target)


def test_what_the_formula_leaves_is_noise_of_variance_one() -> None:
    """Row by row, with the matrices drawn again from the seed: X_1, X_2 and Y less their formulas are N(0, 1)."""
    data = generate(1.5, 0.5, 7, train=500, test=500, latent=3, width=6)
    random = torch.Generator().manual_seed(7)
    W_1, W_2, W_y = (torch.randn(rows, 3, generator=random) for rows in (6, 6, 1))
    Z = 5 * torch.rand(1000, 3, generator=random) - 2.5
    left: dict[str, list[torch.Tensor]] = {"first": [], "second": [], "y": []}
    for i, z in enumerate(Z):
        h = W_1 @ z
        h = torch.where(h > 0, h, 0.01 * h)
        wave = torch.sin(W_2 @ z)
        left["first"].append(data.features["first"][i] - (h + 2 * 1.5 * wave))
        left["second"].append((data.features["second"][i] - wave) / 0.5)
        left["y"].append(data.target[i] - W_y @ z)
    assert float(Z.abs().max()) <= 2.5
    for name, values in left.items():
        noise = torch.stack(values)
        assert abs(float(noise.mean())) < 0.1, name
        assert abs(float(noise.std()) - 1) < 0.1, name
        assert abs(float(torch.corrcoef(torch.cat([noise, Z], dim=1).T)[:-3, -3:].abs().max())) < 0.15, name


def test_seeds_are_other_draws() -> None:
    assert generate(1.0, 1.0, 0, **SMALL).digest() == generate(1.0, 1.0, 0, **SMALL).digest()
    assert generate(1.0, 1.0, 0, **SMALL).digest() != generate(1.0, 1.0, 1, **SMALL).digest()


@pytest.mark.parametrize("join", ["add", "concat"])
def test_training_together_is_training_one_by_one(join: str) -> None:
    config = replace(CONFIG, join=join, hidden=6)
    pair = trained_pair(1.0, 0.5, 3, config, SHORT, first=4, **SMALL)
    for place, seed in enumerate((4, 5, 6)):
        data = generate(1.0, 0.5, seed, **SMALL)
        options = {"steps": 2, "base": "concat", "join": join, "hidden": 6}
        alone = train(data, Recipe("profusion", options, SHORT, (seed,))).model
        for name, weight in alone.state_dict().items():
            torch.testing.assert_close(pair.pro[place].state_dict()[name], weight, rtol=1e-3, atol=1e-5)
        part = data.part("test")
        assert squared_error(pair.pro[place], part) == pytest.approx(squared_error(alone, part), rel=1e-4)


def test_classes_are_trained_together_too() -> None:
    """The same loop for cross-entropy; samples of other counts are refused."""
    from core.run import build
    from core.sample import Samples, Task

    made = []
    for seed in range(2):
        drawn = generate(0.0, 0.0, seed, **SMALL)
        classes = (drawn.target[:, 0] > 0).long()
        made.append(Samples("made", drawn.features, classes, Task("class", ("low", "high")), drawn.splits))
    models = []
    for seed, data in enumerate(made):
        torch.manual_seed(seed)
        models.append(build("profusion", data.widths, {"hidden": 4}, data.task))
    losses = fit_together(models, [data.part("train") for data in made], SHORT, [0, 1])
    for seed, data in enumerate(made):
        alone = train(data, Recipe("profusion", {"hidden": 4}, SHORT, (seed,)))
        assert losses[seed] == pytest.approx(alone.history[-1]["loss"], rel=1e-4)
    with pytest.raises(ValueError, match="equally many"):
        fit_together(models, [made[0].part("train"), made[1].part("test")], SHORT, [0, 1])


def test_the_base_is_of_matched_size_and_trained_on_the_same_samples() -> None:
    pair = trained_pair(1.0, 0.5, 2, ProFusionConfig(hidden=6), SHORT, **SMALL)
    cell = compare(1.0, 0.5, pair)
    assert abs(cell.base_weights - cell.pro_weights) < 0.1 * cell.pro_weights
    assert {model.config.steps for model in pair.base} == {1}
    options = {"steps": 1, "hidden": pair.base[0].config.hidden}
    alone = train(pair.data[1], Recipe("profusion", options, SHORT, (1,))).model
    assert cell.base[1] == pytest.approx(squared_error(alone, pair.data[1].part("test")), rel=1e-4)


def test_wins_and_gains_are_counted() -> None:
    cell = Cell(0.0, 0.0, np.array([2.0, 4.0, 1.0]), np.array([1.0, 3.0, 2.0]), 10, 11)
    assert cell.wins == 2
    np.testing.assert_allclose(cell.gains, [50, 25, -100])
    assert not cell.holds  # two of three, but worse on average
    assert Cell(0.0, 0.0, np.array([2.0, 4.0, 2.0]), np.array([1.0, 3.0, 2.1]), 10, 11).holds
    assert not Cell(0.0, 0.0, np.array([2.0, 4.0, 2.0]), np.array([0.1, 4.1, 2.1]), 10, 11).holds  # one of three


@pytest.mark.slow
def test_running_again_helps_on_the_synthetic_data() -> None:
    """B.1, one setting: METHODS asks for two trials of three, and a mean gain above 0."""
    cell = compare(1.0, 0.5, trained_pair(1.0, 0.5, 4, training=replace(synthetic.TRAINING, epochs=30)))
    assert cell.wins >= 3
    assert cell.gains.mean() > 0


def test_noise_of_level_one_has_the_columns_own_spread() -> None:
    part = generate(1.0, 1.0, 0, train=10, test=3000).part("test")
    spread = spreads_of(part)
    for level in (0.0, 0.5, 1.0):
        changed = noisy(part.features, level, spread, seed=2)
        for name, rows in part.features.items():
            measured = (changed[name] - rows).std(0) / rows.std(0)
            torch.testing.assert_close(measured, torch.full_like(measured, level), rtol=0.1, atol=1e-6)
    half, whole = (noisy(part.features, level, spread, seed=2)["first"] for level in (0.5, 1.0))
    torch.testing.assert_close(
        whole - part.features["first"], 2 * (half - part.features["first"]), atol=1e-4, rtol=1e-3
    )


def test_robust_auc_is_the_area_between_the_curves() -> None:
    at = (0.0, 0.25, 0.5, 0.75, 1.0)
    levels = np.array(at)
    assert robust_auc(5 - levels, 5 - levels, at) == 0
    assert robust_auc(5 - levels, 3 - levels, at) == pytest.approx(2)
    assert robust_auc(5 - levels, 5 - 3 * levels, at) == pytest.approx(1)
    with pytest.raises(ValueError, match="two or more levels"):
        robust_auc(np.array([1.0]), np.array([1.0]), [0.0])


def test_performance_falls_under_noise_and_is_the_clean_one_at_zero() -> None:
    pair = trained_pair(1.0, 0.5, 2, replace(CONFIG, hidden=8), replace(SHORT, epochs=20), **SMALL)
    found = robust(1.0, 0.5, pair, (0.0, 1.0, 2.0))
    assert found.base[0] == pytest.approx(compare(1.0, 0.5, pair).base.mean())
    assert found.pro[0] == pytest.approx(compare(1.0, 0.5, pair).pro.mean())
    assert found.base[2] > found.base[1] > found.base[0]
    same = robust(1.0, 0.5, replace(pair, base=pair.pro), (0.0, 1.0))
    np.testing.assert_array_equal(same.tau, 0)
    flat = under_noise(lambda features: 3.0, pair.data[0].features, {}, (0.0,))
    np.testing.assert_array_equal(flat, 3.0)


def test_the_report_counts_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    options = {"config": replace(CONFIG, hidden=4), "training": SHORT, **SMALL}
    found = list(synthetic.experiment(2, (0.0, 1.0), (0.5,), said.append, **options))
    result, text = synthetic.report(found)
    assert len(said) == 2 == len(result["cells"])
    assert result["better_percent"] == 25 * sum(cell.wins for cell, _ in found)
    assert "published: close to 90 %, 8 %" in text
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert TARGET.metric == "correlation"

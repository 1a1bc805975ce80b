"""What the steps of ProFusion do: planted data say what a probe must find, and what its control must not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from core.cli.main import app
from core.data.samples import native
from core.experiments import progressive as experiments_progressive
from core.explain import progressive
from core.fusion.base import Fusion
from core.fusion.profusion import ProFusion
from core.measure import intervals
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import Part, Samples, Task
from core.score.infer import outputs
from core.train.loop import train
from tests.core.made import dataset

TRAINING = TrainConfig(epochs=30, batch=32, lr=1e-2, weight_decay=0.0)


def planted(kind: str = "class", seed: int = 0, count: int = 600) -> Samples:
    """`told` alone knows the answer; `blind` is noise."""
    random = torch.Generator().manual_seed(seed)
    told = torch.randn(count, 6, generator=random)
    blind = torch.randn(count, 5, generator=random)
    if kind == "class":
        told[:, 0] += torch.where(told[:, 0] > 0, 1.0, -1.0)
        target, task = (told[:, 0] > 0).long(), Task("class", ("low", "high"))
    else:
        target, task = 10 * told[:, :1] + 50, Task("real", ("height",))
    parts = {"train": torch.arange(count // 2), "test": torch.arange(count // 2, count)}
    return Samples("planted", {"told": told, "blind": blind}, target, task, {"half": parts})


def probed(model: Fusion, data: Samples, most: int = 3) -> progressive.Probes:
    return progressive.probes(model, data.part("train"), data.part("test"), most)


@pytest.fixture(scope="module", params=["add", "concat"])
def trained(request: pytest.FixtureRequest) -> tuple[ProFusion, Samples]:
    data = planted()
    options = {"steps": 2, "join": request.param, "hidden": 12}
    model = train(data, Recipe("profusion", options, TRAINING, (0,))).model
    assert isinstance(model, ProFusion)
    if request.param == "add":  # after 30 epochs the model still owes the blind side nothing: hand it the context
        torch.manual_seed(1)
        torch.nn.init.normal_(model.W[1].weight, std=1.0)
    else:
        torch.nn.init.normal_(model.W[1].weight, std=1.0)
        torch.nn.init.normal_(model.base.G[1][0].weight, std=1.0)
    return model, data


def column(found: progressive.Probes, name: str) -> int:
    return found.modalities.index(name)


def test_the_blind_side_learns_by_the_context_and_the_control_stays_blind(trained) -> None:  # noqa: ANN001
    found = probed(*trained, most=3)
    blind, told = column(found, "blind"), column(found, "told")
    assert found.real.value[0, told] > 90
    assert found.real.low[0, blind] < 50 < found.real.high[0, blind] + 5
    assert found.real.value[1, blind] > 75
    assert abs(found.control.value[1, blind] - 50) < 9
    assert found.control.high[1, blind] < found.real.low[1, blind]
    np.testing.assert_array_equal(found.control.value[0], found.real.value[0])  # at t = 1 there is no context
    np.testing.assert_allclose(found.real.relative[0], 1)
    np.testing.assert_allclose(found.real.relative[1] * found.real.value[0], found.real.value[1])


def test_with_nothing_brought_back_no_step_knows_more_and_the_control_is_the_same() -> None:
    data = planted()
    model = build("profusion", data.widths, {"steps": 2, "hidden": 8}, data.task)
    for layer in model.W:
        torch.nn.init.zeros_(layer.weight)
    found = probed(model, data, most=3)
    np.testing.assert_array_equal(found.real.value, found.control.value)
    np.testing.assert_array_equal(found.real.value[0], found.real.value[2])


def test_a_context_goes_to_another_row_and_to_each_once() -> None:
    for count in (2, 3, 50):
        taken = progressive.others(count)
        assert sorted(taken.tolist()) == list(range(count))
        assert not (taken == torch.arange(count)).any()
    assert progressive.others(1).tolist() == [0]


@torch.inference_mode()
def test_the_control_is_the_true_context_of_the_other_row(trained) -> None:  # noqa: ANN001
    """Row by row: G_j on the row's own input and on c_{t-1} of the row it was paired with."""
    model, data = trained
    part = data.part("test").flat()
    seen = progressive.unroll(model, part, 3, seed=4)
    taken = progressive.others(len(part), 4)
    for row in (0, 17):
        alone = {name: rows[row : row + 1] for name, rows in part.features.items()}
        other = {name: rows[taken[row] : taken[row] + 1] for name, rows in part.features.items()}
        contexts = model.unroll(other, 3).contexts
        for t in (1, 2):
            expected = model.encode(model.inputs(alone), contexts[t - 1])
            for name, values in expected.items():
                np.testing.assert_allclose(seen.control[name][t, row], values[0], rtol=1e-4, atol=1e-4)


def test_many_rows_are_unrolled_in_pieces(trained, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    model, data = trained
    whole = progressive.unroll(model, data.part("test").flat(), 3)
    monkeypatch.setattr(progressive, "ROWS", 64)
    pieces = progressive.unroll(model, data.part("test").flat(), 3)
    for name in model.widths:
        np.testing.assert_allclose(pieces.control[name], whole.control[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(pieces.outputs, whole.outputs, rtol=1e-4, atol=1e-4)
    assert not whole.outputs.flags.writeable


# ---------------------------------------------------------------------------- the probe itself


def test_a_probe_reads_what_is_planted_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    rows, target = random.normal(size=(400, 3)), random.integers(0, 2, 400)
    rows[:, 1] += 2.0 * target
    dead = np.concatenate([rows, np.zeros((400, 1))], axis=1)  # a dead ReLU
    a, b = dead[:200].astype(np.float32), dead[200:].astype(np.float32)
    value, low, high, accuracy = progressive.read_off(a, target[:200], b, target[200:], Task("class", ("x", "y")))
    assert value == accuracy
    assert low < value < high
    assert 78 < value < 90  # two Gaussians two deviations apart: 84 %
    units = progressive.read_off(a, target[:200], b, target[200:], Task("units", ("anomalous",)))
    assert 87 < units[0] < 97  # their AUC: 92
    assert units[3] == accuracy
    nothing = progressive.read_off(a[:, [0, 2]], target[:200], b[:, [0, 2]], target[200:], Task("class", ("x", "y")))
    assert abs(nothing[0] - 50) < 10


def test_real_targets_are_read_by_ridge_regression() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 4)).astype(np.float32)
    target = (100 + 3 * rows[:, :1] + random.normal(size=(400, 1))).astype(np.float32)
    value, low, high, accuracy = progressive.read_off(
        rows[:200], target[:200], rows[200:], target[200:], Task("real", ("y",))
    )
    assert value == pytest.approx(3 / 10**0.5, abs=0.03)
    assert low < value < high
    assert np.isnan(accuracy)
    model = build("profusion", {"told": 6, "blind": 5}, {}, Task("real", ("height",)))
    found = probed(model, planted("real"), most=2)
    assert found.metric == "correlation"
    assert found.real.value[0, 0] > 0.6
    assert abs(found.real.value[0, 1]) < 0.25
    assert found.chance == 0


def test_an_interval_holds_what_repeated_draws_give() -> None:
    """Wilson, Hanley-McNeil and Fisher against 2,000 simulated data sets: about 95 % hold the truth."""
    random = np.random.default_rng(1)
    held = {"accuracy": 0, "auc": 0, "correlation": 0}
    for _ in range(600):
        right = int(random.binomial(60, 0.8))
        low, high = intervals.wilson(right, 60)
        held["accuracy"] += low <= 80 <= high
        a, b = random.normal(size=40) + 1, random.normal(size=60)
        value = 100 * roc_auc_score(np.r_[np.ones(40), np.zeros(60)], np.r_[a, b])
        low, high = intervals.auc_interval(float(value), 40, 60)
        held["auc"] += low <= 76.02 <= high
        x = random.normal(size=50)
        y = x + random.normal(size=50)
        low, high = intervals.fisher(float(np.corrcoef(x, y)[0, 1]), 50)
        held["correlation"] += low <= 0.5**0.5 <= high
    assert all(0.92 <= count / 600 <= 0.98 for count in held.values()), held


def test_the_intervals_stay_where_they_make_sense() -> None:
    z = 1.959964
    for right, count in ((1, 3), (40, 60), (7, 7)):  # both edges solve (p - edge)^2 = z^2 edge (1 - edge) / n
        for edge in np.array(intervals.wilson(right, count)) / 100:
            assert (right / count - edge) ** 2 == pytest.approx(z**2 * edge * (1 - edge) / count, abs=1e-6)
    assert intervals.wilson(10, 10)[1] == pytest.approx(100)
    assert intervals.wilson(0, 10)[0] == pytest.approx(0)
    assert intervals.auc_interval(100.0, 3, 3) == (100.0, 100.0)
    assert intervals.fisher(0.9, 3) == (-1.0, 1.0)
    assert intervals.fisher(1.0, 30) == (1.0, 1.0)


# ---------------------------------------------------------------------------- answers, turns, paths, cost


def test_the_answer_at_the_trained_step_is_the_models(trained) -> None:  # noqa: ANN001
    model, data = trained
    part = data.part("test").flat()
    found = progressive.answers(model, data.part("test").flat(), most=4)
    np.testing.assert_allclose(found.outputs[1], outputs(model, part.features), rtol=1e-4, atol=1e-4)
    assert found.trained == 2
    share = 100 * (found.outputs[1].argmax(1) == part.target.numpy()).mean()
    assert found.value[1] == pytest.approx(share)
    assert (found.low[1], found.high[1]) == intervals.wilson(round(3 * share), 300)
    right = found.right()
    assert right is not None
    np.testing.assert_allclose(100 * right.mean(1), found.value)


def test_turns_add_up_to_the_change_of_accuracy(trained) -> None:  # noqa: ANN001
    found = progressive.answers(trained[0], trained[1].part("test").flat(), most=4)
    for first, last in ((1, 2), (2, 4), (3, 3)):
        turn = progressive.turns(found, first, last)
        assert turn.helped is not None
        assert turn.hurt is not None
        gained = 100 * (int(turn.helped.sum()) - int(turn.hurt.sum())) / found.scores.shape[1]
        assert gained == pytest.approx(found.value[last - 1] - found.value[first - 1], abs=1e-9)
        assert (turn.before != turn.after).all()
        moved = np.abs(found.scores[last - 1] - found.scores[first - 1])[turn.rows]
        assert (np.diff(moved) <= 0).all()
    assert len(progressive.turns(found, 3, 3).rows) == 0


def test_units_are_decided_by_the_threshold() -> None:
    data = dataset(train=12, test=8)
    model = build("profusion", data.widths, {"steps": 2, "hidden": 6})
    model.learn({name: rows for name, rows in data.part("train").flat().features.items()})
    found = progressive.answers(model, data.part("test").flat(), most=3)
    np.testing.assert_allclose(found.scores[1], 1 / (1 + np.exp(-found.outputs[1, :, 0])), rtol=1e-6)
    assert found.metric == "auc"
    assert not found.said(1.1).any()
    assert found.said(0.0).all()
    assert found.said(float(found.scores[1, 3]))[1, 3] == 1  # at the threshold is an alarm
    assert len(progressive.turns(found, 1, 3, 0.0).rows) == 0
    right = found.right(0.0)
    assert right is not None
    assert right.mean() == pytest.approx(data.part("test").flat().target.float().mean())


def test_rows_without_truth_change_without_being_right_or_wrong() -> None:
    data = planted()
    model = build("profusion", data.widths, {"steps": 2, "hidden": 6}, data.task)
    found = progressive.answers(model, data.part("test").flat(), most=3)
    nan = found.value * np.nan
    unknown = progressive.Answers(found.outputs, found.scores, nan, nan, nan, "accuracy", 2, data.task, None)
    turn = progressive.turns(unknown, 1, 2)
    assert turn.helped is None
    np.testing.assert_array_equal(turn.rows, progressive.turns(found, 1, 2).rows)


def test_real_answers_are_better_where_the_error_is_smaller() -> None:
    data = planted("real")
    model = build("profusion", data.widths, {"steps": 2, "hidden": 6}, data.task)
    model.learn(data.part("train").flat().features, data.part("train").flat().target)
    found = progressive.answers(model, data.part("test").flat(), most=3)
    turn = progressive.turns(found, 1, 2)
    part = data.part("test").flat()
    error = np.abs(found.outputs[..., 0] - part.target.numpy()[:, 0])
    assert turn.helped is not None
    np.testing.assert_array_equal(turn.helped, error[1, turn.rows] < error[0, turn.rows])
    assert (np.abs(error[1] - error[0])[turn.rows] > 0.1 * part.target.numpy().std()).all()
    assert probed(model, data, most=2).majority != probed(model, data, most=2).majority  # NaN


def test_paths_start_where_the_contexts_are(trained) -> None:  # noqa: ANN001
    """With the axes of numpy's SVD: the same distances from the mean, up to the signs of the axes."""
    model, data = trained
    found = progressive.paths(model, data.part("test").flat(), most=4)
    contexts = progressive.unroll(model, data.part("test").flat(), 4).contexts.astype(float)
    flat = contexts[:2].reshape(-1, contexts.shape[-1])
    _, _, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    expected = (contexts - flat.mean(0)) @ axes[:2].T
    np.testing.assert_allclose(np.abs(found.places), np.abs(expected), rtol=1e-6, atol=1e-6)
    assert found.fitted == 2
    assert 0.5 < found.shares.sum() <= 1
    assert np.isnan(found.length[0])
    row = np.linalg.norm(contexts[1] - contexts[0], axis=-1)
    assert found.length[1] == pytest.approx(row.mean())


def test_a_context_of_one_number_has_a_path_too() -> None:
    data = planted()
    model = build("profusion", data.widths, {"steps": 2, "base": "lmf", "hidden": 1}, data.task)
    assert np.isfinite(progressive.paths(model, data.part("test").flat(), most=3).places).all()


def test_cost_grows_in_equal_steps_and_trains_nothing(trained) -> None:  # noqa: ANN001
    model, data = trained
    model.zero_grad()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = progressive.cost(model, data.part("test").flat(), most=4, rounds=2)
    grown = np.diff(found.flops)
    assert (grown == grown[0]).all()
    assert grown[0] > found.flops[0]
    assert (found.seconds > 0).all()
    assert (found.training > 0).all()
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())


# ---------------------------------------------------------------------------- refusals and the experiment


def test_other_fusions_and_the_base_are_refused() -> None:
    data = planted()
    with pytest.raises(ValueError, match="choose a run of ProFusion"):
        probed(build("concat", data.widths, {}, data.task), data)
    with pytest.raises(ValueError, match="steps=1"):
        progressive.answers(build("profusion", data.widths, {"steps": 1}, data.task), data.part("test").flat())


def test_what_a_probe_cannot_use_is_said() -> None:
    data = planted()
    model = build("profusion", data.widths, {}, data.task)
    one_class = Samples("one", data.features, torch.zeros(600, dtype=torch.long), data.task, data.splits)
    with pytest.raises(ValueError, match="one class only"):
        probed(model, one_class)

    rows = data.part("train")
    unlabelled = Part(rows.features, None, rows.task, rows.names, rows.places)
    with pytest.raises(ValueError, match="training rows have no labels"):
        progressive.probes(model, unlabelled, data.part("test"))


def test_the_experiment_compares_matched_sizes_from_the_same_seeds() -> None:
    data, short = planted(count=200), TrainConfig(epochs=2, batch=50)
    said: list[str] = []
    asked = Recipe("profusion", {"hidden": 5, "pieces": 2}, short, (0, 1))
    found = list(experiments_progressive.experiment(data, asked, said.append))
    assert [(each.base, each.join) for each in found] == [
        (base, join) for base in ("concat", "lmf", "recurrent") for join in ("add", "concat")
    ]
    assert len(said) == 12
    for each in found:
        assert abs(each.plain_weights - each.again_weights) < 0.2 * each.again_weights
        alone = train(data, asked.but(base=each.base, join=each.join).each[1])
        assert alone.run.metrics["accuracy"] == each.again[1]
    result, text = experiments_progressive.report("planted", found)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert text.count("linear probe") == 12


def test_the_command_runs_the_experiment_on_a_folder(tmp_path: Path) -> None:
    native.write(planted(count=120), tmp_path / "planted")
    options = [f"--set={each}" for each in ("hidden=3", "pieces=2", "epochs=1", "batch=60")]
    asked = ["experiment", "profusion-steps", str(tmp_path / "planted"), "--seeds=1", *options, "--json"]
    answer = CliRunner().invoke(app, asked)
    rows = json.loads(answer.stdout)["rows"]
    assert [(row["base"], row["join"]) for row in rows][:2] == [("concat", "add"), ("concat", "concat")]
    assert rows[0]["seeds"] == 1
    assert len(rows[0]["control"]["blind"]) == 4
    refused = CliRunner().invoke(app, ["experiment", "profusion-step"])
    assert "profusion-steps" in str(refused.exception)


def test_a_probe_of_activations_that_diverged_is_undefined_and_stops_nothing():
    random = np.random.default_rng(0)
    rows, target = random.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    fine = progressive.read_off(rows, target, rows, target, Task("class", ("a", "b")))
    assert np.isfinite(fine).all()
    wild = rows.copy()
    wild[3, 1] = np.inf
    for train_rows, test_rows in ((wild, rows), (rows, wild)):
        assert np.isnan(progressive.read_off(train_rows, target, test_rows, target, Task("class", ("a", "b")))).all()
    assert np.isfinite(progressive.read_off(1e30 * rows, target, 1e30 * rows, target, Task("class", ("a", "b")))).all()

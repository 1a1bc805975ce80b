"""Trained together is trained alone: the same gradients, loss curves, scores and records."""

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from core import run
from core.clip import Clip
from core.dataset import Dataset
from core.fusion.lego import Lego, LegoConfig
from core.recipe import Recipe, TrainConfig
from core.score.infer import score
from core.train import ensemble
from core.train.ensemble import fit, stack, together, train_many
from core.train.loop import Prepared, batches, clip_score, prepare, train
from tests.core.made import WIDTHS, clip, dataset

NODES = 8
BASE = {"nodes": NODES, "project": None, "alpha": 0.2, "k": 3}
SHORT = TrainConfig(epochs=6, batch=6, units=NODES, lr=3e-3)


@pytest.fixture(scope="module")
def data():
    return dataset(10, 6)


@pytest.fixture
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def three(data: Dataset) -> Dataset:
    """The same clips with a third modality."""
    clips = {
        name: Clip(
            name, {**each.features, "third": each.features["text"].flip(-2)[..., :5]}, each.labels, 1.0, each.frames
        )
        for name, each in data.clips.items()
    }
    return replace(data, clips=clips)


CASES = {
    "default": ({}, {}),
    "row, released": ({"head": "row", "regulariser": "released", "gate": "none", "lam": 0.3}, {"top": 3}),
    "relative, raw": ({"head": "relative", "rescale": "none", "gate": "relu"}, {}),
    "standard": ({"rescale": "standard", "gate": "none"}, {"supervision": "unit"}),
    "walks": ({"expansion": "walks", "rescale": "standard", "normalise": "degree"}, {}),
    "negative": ({"gate": "none", "head": "row"}, {"top": 2}),
    "standard, relative": ({"relation": "rbf", "rescale": "standard", "head": "relative", "lam": 2.0}, {"top": 2}),
    "frames": ({"relation": "soft-dtw", "steps": 2, "regulariser": "released"}, {}),
}
MEMBERS = (
    {"P": 1, "Q": 1},
    {"P": 3, "Q": 2, "k": 1},
    {"P": 2, "Q": 4, "lam": 0.0},
    {"P": 0, "Q": 3, "k": 20},
    {"k": 0},
)


@pytest.mark.parametrize(("case", "modalities"), [*((case, 2) for case in CASES), ("default", 3)])
def test_every_members_gradient_is_autograds_of_its_own_model(case, modalities, data, doubles):
    """In double precision to 1e-9: the formulas, the padding of A and the pull through projections."""
    options, trained = CASES[case]
    source = data if modalities == 2 else three(data)
    widths = {name: width - width % 2 for name, width in source.widths.items()}
    training = replace(SHORT, **trained)
    found = prepare(source.part("train"), tuple(widths), NODES)
    rows = {name: rows[..., : widths[name]].double() for name, rows in found.features.items()}
    ready = Prepared(rows, found.anomalous, found.labels)
    torch.manual_seed(3)
    models = [Lego(widths, LegoConfig(**BASE | options | own)) for own in MEMBERS]
    if case == "negative":
        for model in models:
            model.A.data.abs_().neg_()  # G has no positive entry: its largest magnitude scales it

    seen = []

    class Spy(stack.Adam):
        def step(self, gradient):
            seen.append({name: every.clone() for name, every in stack_of(self).views(gradient).items()})

    def stack_of(adam):
        made = stack.Stack(models, "cpu")
        assert made.flat.shape == adam.flat.shape
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Adam", Spy)
        patch.setattr(fit, "BLOCK", 2)
        whole, losses = fit.fit_many(models, ready, [replace(training, epochs=1)] * len(models), [0] * len(models))
    steps = list(batches(ready.anomalous, training.batch, torch.Generator().manual_seed(0)))
    assert len(seen) == len(steps)
    assert not any((gradients["A"] * (1 - whole.inside)).any() for gradients in seen)  # what pads A never moves
    for member, model in enumerate(models):
        total = torch.zeros(2)
        for index, gradients in zip(steps, seen, strict=True):
            features = {name: every[index, 0] for name, every in ready.features.items()}
            fused, anomalous = model(features), ready.anomalous[index]
            unit = training.supervision == "unit"
            value = fused.scores if unit else clip_score(fused.scores, training.top)
            truth = ready.labels[index] if unit else anomalous
            loss = torch.nn.functional.binary_cross_entropy(value, truth.double())
            penalty = model.penalty(fused, anomalous)
            model.zero_grad()
            (loss + penalty).backward()
            total += torch.stack([loss.detach(), penalty.detach()])
            for name, weight in model.named_parameters():
                wanted = torch.zeros_like(weight) if weight.grad is None else weight.grad
                size = max(1.0, float(wanted.abs().max()))
                torch.testing.assert_close(
                    whole.own(gradients[name], member, name) / size, wanted / size, atol=1e-9, rtol=0,
                    msg=lambda text, name=name, member=member: f"member {member}, {name}: {text}",
                )  # fmt: skip
        np.testing.assert_allclose(losses[0, member], total / len(steps), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"gate": "none", "regulariser": "released", "head": "row"}])
def test_gradients_are_those_of_torch_func(options, data, doubles):
    """`vmap(grad)` over `functional_call` of the model as it stands, stacked weights: in double precision to 1e-9."""
    torch.manual_seed(1)
    found = prepare(data.part("train"), data.modalities, NODES)
    ready = Prepared({n: rows.double() for n, rows in found.features.items()}, found.anomalous, found.labels)
    models = [Lego(data.widths, LegoConfig(**BASE | {"P": 2, "Q": 3, "lam": 0.7} | options)).train() for _ in range(4)]
    stacked, _ = torch.func.stack_module_state(models)
    index = next(batches(ready.anomalous, SHORT.batch, torch.Generator().manual_seed(0)))
    anomalous = ready.anomalous[index]

    def loss(weights, features):
        fused = torch.func.functional_call(models[0], weights, (features,))
        value = clip_score(fused.scores, SHORT.top)
        known = torch.nn.functional.binary_cross_entropy(value, anomalous.double())
        return known + models[0].penalty(fused, anomalous)

    features = {name: rows[index, 0] for name, rows in ready.features.items()}
    weights = {name: weight.detach() for name, weight in stacked.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some products are slow there
        wanted = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None))(weights, features)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.Adam, "step", lambda self, gradient: seen.append(gradient.clone()))
        whole, _ = fit.fit_many(models, ready, [replace(SHORT, epochs=1)] * 4, [0] * 4)
    for name, ours in whole.views(seen[0]).items():
        size = max(1.0, float(wanted[name].abs().max()))
        torch.testing.assert_close(
            ours / size, wanted[name] / size, atol=1e-9, rtol=0, msg=lambda t, n=name: f"{n}: {t}"
        )
    assert all(float(every.abs().max()) > 1e-6 for every in wanted.values())


def differences(data: Dataset, asked: list[Recipe], found: dict) -> None:
    """Loss curves to 1e-4 (of a loss above 1: of its size), unit scores to 1e-3, and the same records."""
    test = data.part("test")
    for index, each in enumerate(asked):
        alone = train(data, each)
        many = found[index]
        assert many.run.id == alone.run.id
        assert many.run.group == alone.run.group
        assert (many.run.weights, many.run.source, many.run.task) == (
            alone.run.weights, alone.run.source, alone.run.task)  # fmt: skip
        assert [list(row) for row in many.history] == [list(row) for row in alone.history]
        for ours, theirs in zip(many.history, alone.history, strict=True):
            for name, value in theirs.items():
                assert ours[name] == pytest.approx(value, abs=1e-4 * max(1.0, abs(theirs["loss"]))), (index, name)
        wanted, scores = score(alone.model, test), score(many.model, test)
        for name, values in wanted.items():
            np.testing.assert_allclose(scores[name], values, atol=1e-3)
        assert set(many.run.metrics) == set(alone.run.metrics)
        assert many.run.metrics["auc"] == pytest.approx(alone.run.metrics["auc"], abs=0.2)


def grid(options: dict, training: TrainConfig) -> list[Recipe]:
    members = [
        ({"P": 1, "Q": 3}, {}, 0),
        ({"P": 4, "Q": 1, "lam": 0.0}, {"lr": 1e-2}, 0),
        ({"alpha": 0.6, "k": 2}, {"weight_decay": 0.1}, 1),
        ({"P": 2, "Q": 2}, {}, 7),
    ]
    return [Recipe("lego", BASE | options | own, replace(training, **theirs), (seed,)) for own, theirs, seed in members]


@pytest.mark.parametrize(
    ("options", "training"),
    [
        ({}, SHORT),
        ({"head": "row", "regulariser": "released", "rescale": "standard", "gate": "relu"}, SHORT),
        ({}, replace(SHORT, track=True, top=3)),
    ],
    ids=["default", "released", "tracked"],
)
def test_a_member_is_the_training_of_its_seed_alone(data, options, training):
    asked = grid(options, training)
    assert together(asked) == [[0, 1, 2, 3]]
    differences(data, asked, dict(train_many(data, asked)))


def test_members_of_any_gate_and_power_are_their_trainings_alone(data):
    draw = np.random.default_rng(0)
    own = [
        {"alpha": float(alpha), "lam": float(draw.choice([0, 0.1, 1, 2])), "P": p, "Q": q}
        for alpha, p, q in zip(
            [0, 0.02, 0.05, 0.1, 0.2, 0.3], draw.permutation(6)[:6] % 5 + 1, draw.permutation(6) % 5 + 1, strict=True
        )
    ]
    own = [{**each, "P": int(each["P"]), "Q": int(each["Q"])} for each in own]
    asked = [Recipe("lego", BASE | each, SHORT, (seed,)) for seed, each in enumerate(own)]
    assert len(together(asked)) == 1
    differences(data, asked, dict(train_many(data, asked)))


def test_crops_are_drawn_as_they_are_alone(data):
    clips = {f"c{n}": clip(f"c{n}", 12, n % 2 == 1, n, crops=3) for n in range(12)}
    names = tuple(clips)
    cropped = Dataset("crops", clips, {"weak": {"train": names[:8], "test": names[8:]}}, 16.0)
    asked = grid({}, replace(SHORT, supervision="unit"))[:3]
    differences(cropped, asked, dict(train_many(cropped, asked)))


def test_who_else_is_there_and_in_which_order_does_not_matter(data):
    asked = grid({}, SHORT)
    wanted = dict(train_many(data, asked))
    turned = dict(train_many(data, asked[::-1], chunk=3))
    for index, each in wanted.items():
        other = turned[len(asked) - 1 - index]
        assert other.run.id == each.run.id
        for name, weight in each.model.state_dict().items():
            torch.testing.assert_close(other.model.state_dict()[name], weight, atol=1e-5, rtol=1e-4)


def test_a_member_that_diverges_is_told_and_harms_no_other(data):
    asked = grid({}, SHORT)
    wanted = dict(train_many(data, asked))
    asked[1] = replace(asked[1], training=replace(SHORT, lr=1e36))
    why = {}
    found = dict(train_many(data, asked, failed=why.__setitem__))
    assert sorted(found) == [0, 2, 3]
    assert list(why) == [1]
    assert why[1].startswith("diverged at epoch ")
    for index, each in found.items():
        for name, weight in each.model.state_dict().items():
            torch.testing.assert_close(weight, wanted[index].model.state_dict()[name], atol=1e-5, rtol=1e-4)
    left = train_many(data, asked)
    assert len([next(left) for _ in range(3)]) == 3
    with pytest.raises(
        ValueError, match=r"1 of 4 trainings came to nothing, the first \(lego, seed 0\) because it diverged at epoch"
    ):
        next(left)


def test_what_cannot_be_stepped_together_is_trained_alone(data):
    asked = [
        Recipe("lego", BASE, SHORT, (0,)),
        Recipe("concat", {"project": 3}, replace(SHORT, epochs=2), (1,)),
        Recipe("lego", BASE, SHORT, (1,)),
        Recipe("lego", BASE | {"rescale": "batch"}, replace(SHORT, epochs=2), (0,)),
        Recipe("lego", BASE | {"operator": "outer"}, replace(SHORT, epochs=2), (0,)),
        Recipe("lego", BASE | {"nodes": 5}, SHORT, (0,)),
        Recipe("lego", BASE, replace(SHORT, epochs=2), (0,)),
        Recipe("lego", BASE | {"project": 4}, replace(SHORT, epochs=2), (0,)),
        Recipe("lego", BASE | {"project": 4}, replace(SHORT, epochs=2), (1,)),
        Recipe("lego", BASE, replace(SHORT, amp=True), (0,)),
        Recipe("lego", BASE, replace(SHORT, amp=True), (1,)),
    ]
    assert together(asked) == [[0, 2], [1], [3], [4], [5], [6], [7], [8], [9], [10]]
    asked = asked[:9]
    assert together([asked[5], replace(asked[5], seeds=(1,))]) == [[0], [1]]
    assert together([asked[0], replace(asked[0], modalities=("text", "motion"))]) == [[0], [1]]
    why = {}
    found = dict(train_many(data, asked, failed=why.__setitem__))
    assert sorted(found) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert "set nodes and units alike" in why[5]
    for index in (1, 3, 4, 8):
        alone = train(data, asked[index])
        assert found[index].run.id == alone.run.id
        assert found[index].history == alone.history


def test_a_run_is_saved_under_the_same_name_and_read_again(data, tmp_path):
    (_, done), _ = train_many(data, grid({}, SHORT)[:2])
    folder = run.save(done.run, done.model.state_dict(), done.history, tmp_path)
    again = run.model(folder)
    for name, weight in done.model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight)
    assert run.history(folder)[-1]["loss"] == pytest.approx(done.history[-1]["loss"], rel=1e-4)


def test_progress_counts_every_epoch_and_a_stop_leaves_the_random_state(data):
    asked = grid({}, replace(SHORT, epochs=3))
    seen = []
    list(train_many(data, asked, progress=lambda *step: seen.append(step), chunk=2))
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})
    assert seen[-1][:2] == (12, 12)
    assert all(b[0] - a[0] <= 2 for a, b in pairwise(seen))
    assert np.isfinite([loss for _, _, loss in seen]).all()

    def stop(done, total, loss):
        raise KeyboardInterrupt

    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        list(train_many(data, asked, progress=stop))
    torch.testing.assert_close(torch.rand(3), wanted)


def test_units_without_labels_are_refused_as_they_are_alone(data):
    bare = Dataset("bare", {n: replace(c, labels=None) for n, c in data.clips.items()}, data.splits, 16.0)
    asked = grid({}, replace(SHORT, supervision="unit"))
    with pytest.raises(ValueError, match="needs unit labels"):
        list(train_many(bare, asked))
    with pytest.raises(ValueError, match="no modality 'smell'"):
        list(train_many(data, [replace(each, modalities=("smell", "text")) for each in asked]))
    assert set(WIDTHS) == set(data.modalities)


def test_graphs_that_would_take_too_much_are_stepped_with_fewer_others(data, monkeypatch):
    asked = grid({}, SHORT)
    assert ensemble.at_once(asked, 10, 2, 50) == 50
    monkeypatch.setattr(ensemble, "SPACE", terms := 10 * 5 * 4 * NODES**2 * 4)  # P up to 4, Q up to 3
    assert ensemble.at_once(asked, 10, 2, 50) == terms // (6 * NODES**2 * 4) == 33
    assert ensemble.at_once(asked, 10, 2, 20) == 20
    assert ensemble.at_once(asked, 11, 2, 50) == 1
    assert ensemble.at_once(asked, 10, 3, 50) == 1
    large = [each.but(nodes=20_000) for each in asked]
    assert ensemble.at_once(large, 10, 2, 50) == 1
    monkeypatch.setattr(ensemble, "_ensemble", lambda *words: pytest.fail("these were to be trained alone"))
    monkeypatch.setattr(ensemble, "SPACE", 1)
    assert sorted(index for index, _ in train_many(data, asked[:2])) == [0, 1]


def test_short_memory_halves_the_ensemble_and_says_so(data, monkeypatch):
    """Stubbed: no more than two members fit; then on a device where none does, the CPU."""
    asked = grid({}, SHORT)
    wanted = dict(train_many(data, asked))
    plain = fit.fit_many

    def tight(models, *rest):
        if len(models) > 2:
            plain(models, *rest)  # full at the very end: its epochs were told, and do not count
            raise torch.OutOfMemoryError("full")
        return plain(models, *rest)

    monkeypatch.setattr(ensemble, "fit_many", tight)
    said, seen = [], []
    found = dict(train_many(data, asked, say=said.append, progress=lambda *step: seen.append(step)))
    assert sorted(found) == [0, 1, 2, 3]
    assert len(said) == 1
    assert "out of memory, going on with 2 at a time" in said[0]
    assert seen[-1][:2] == (24, 24)
    for index, each in found.items():
        for name, weight in each.model.state_dict().items():
            torch.testing.assert_close(weight, wanted[index].model.state_dict()[name], atol=1e-5, rtol=1e-4)

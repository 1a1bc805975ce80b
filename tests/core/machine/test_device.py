"""The same scores on the accelerator as on the processor, skipped, and said so, where there is none; what happens when
memory is short; and mixed precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from core.explain import lego
from core.fusion import FUSIONS
from core.machine.device import MIXED, Rounded, device_named, device_words, mixed, sparing
from core.recipe import Recipe, TrainConfig
from core.score.infer import look, score
from core.train.ensemble import train_many
from core.train.loop import train
from tests.core.made import WIDTHS, clip, dataset

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: CPU against GPU unchecked")

CASES = [(name, {}) for name in FUSIONS] + [
    ("lego", {"expansion": "walks", "rescale": "standard"}),
    ("lego", {"relation": "rbf", "head": "relative"}),
    ("concat", {"level": "graph"}),
    ("product", {"level": "graph"}),
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def model(request):
    torch.manual_seed(0)
    name, options = request.param
    return FUSIONS[name](WIDTHS, FUSIONS[name].Config(**options)).eval()


@gpu
def test_scores_on_the_gpu_are_the_cpus(model):
    clips = [clip(f"c{n}", units=n, seed=n, crops=n % 3) for n in (5, 32, 70)]
    wanted, looked = score(model, clips), look(model, clips[2]).scores
    model.cuda()
    found = score(model, clips)
    for each in clips:
        np.testing.assert_allclose(found[each.name], wanted[each.name], atol=1e-4)
    np.testing.assert_allclose(look(model, clips[2]).scores, looked, atol=1e-4)


@gpu
def test_explanations_on_the_gpu_are_the_cpus(model):
    here = clip(units=40)
    wanted = lego.explain(model, here, 35)
    found = lego.explain(model.cuda(), here, 35)
    assert found.score == pytest.approx(wanted.score, abs=1e-4)
    for name, part in wanted.modalities.items():
        assert found.modalities[name] == pytest.approx(part, abs=1e-4)
    if wanted.edges is not None:
        np.testing.assert_allclose(found.edges, wanted.edges, atol=1e-3)
    if wanted.terms is not None:
        np.testing.assert_allclose(found.terms, wanted.terms, atol=1e-3)


@gpu
@pytest.mark.parametrize("name", list(FUSIONS))
def test_training_on_the_gpu_gives_a_run_that_scores_on_the_cpu(name):
    found = train(dataset(), Recipe(name, training=TrainConfig(epochs=2, batch=4)), device="cuda")
    assert next(found.model.parameters()).device.type == "cpu"
    assert np.isfinite(found.run.metrics["auc"])


@gpu
def test_an_ensemble_on_the_gpu_has_the_loss_curves_and_scores_of_the_cpu():
    training = TrainConfig(epochs=5, batch=6)
    options = {"project": None, "alpha": 0.2}
    asked = [Recipe("lego", options | {"P": p, "regulariser": r}, training) for p in (1, 3) for r in ("equation",)]
    wanted, found = (dict(train_many(dataset(), asked, device=device)) for device in ("cpu", "cuda"))
    for index, each in wanted.items():
        for ours, theirs in zip(found[index].history, each.history, strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        clips = dataset().part("test")
        scores, right = score(found[index].model, clips), score(each.model, clips)
        for one in clips:
            np.testing.assert_allclose(scores[one.name], right[one.name], atol=1e-4)


@gpu
def test_mixed_precision_on_the_gpu_learns_what_full_precision_does():
    found = [train(dataset(), Recipe("concat", training=TrainConfig(5, amp=on)), device="cuda") for on in (False, True)]
    assert found[1].history[-1]["loss"] == pytest.approx(found[0].history[-1]["loss"], abs=0.05)
    assert "GB" in device_words("cuda")


def test_mixed_precision_rounds_layers_while_they_train_and_nothing_else():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))
    rows = torch.randn(5, 64)
    plain = model(rows)
    with mixed(model):
        rough = model(rows)
        assert rough.dtype == torch.float32
        assert 0 < (rough - plain).abs().max() < 0.05
        rough.sum().backward()
        assert model[0].weight.grad.dtype == model[0].weight.dtype == torch.float32
        torch.testing.assert_close(model.eval()(rows), plain, atol=0, rtol=0)
        model.train()
    assert not any(isinstance(layer, Rounded) for layer in model.modules())
    torch.testing.assert_close(model(rows), plain, atol=0, rtol=0)
    with mixed(model, on=False):
        torch.testing.assert_close(model(rows), plain, atol=0, rtol=0)


def test_a_run_in_mixed_precision_has_a_name_of_its_own_and_says_so_and_others_keep_theirs():
    plain, rough = (train(dataset(), Recipe("concat", training=TrainConfig(2, 4, amp=on))) for on in (False, True))
    assert (plain.run.note, rough.run.note) == ("", MIXED)
    assert plain.run.id != rough.run.id
    assert plain.run.group != rough.run.group
    assert rough.run.training == {**plain.run.training, "amp": True}
    assert rough.run.title == f"{plain.run.title} in mixed precision"
    before = replace(plain.run, training={k: v for k, v in plain.run.training.items() if k != "amp"})
    assert before.id == plain.run.id == replace(before, training={**before.training, "amp": False}).id
    assert rough.run.recipe.training.amp
    assert rough.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], abs=0.05)
    assert rough.history != plain.history
    weights = rough.model.state_dict()
    assert all(weight.dtype == torch.float32 for weight in weights.values() if weight.is_floating_point())


def test_short_memory_is_halved_then_left_to_the_cpu_and_each_time_said(monkeypatch):
    monkeypatch.setattr("core.machine.device.device_words", lambda device=None: f"the {torch.device(device).type}")
    tried, said = [], []

    def work(size: int, on: torch.device) -> str:
        tried.append((size, on.type))
        if on.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"{size} done"

    assert sparing(work, 10, "cuda", said.append, least=3) == "3 done"
    assert tried == [(10, "cuda"), (5, "cuda"), (3, "cuda"), (3, "cpu")]
    assert said == [
        "the cuda: out of memory, going on with 5 at a time",
        "the cuda: out of memory, going on with 3 at a time",
        "the cuda: out of memory, going on with the cpu",
    ]
    with pytest.raises(ValueError, match="the cpu: out of memory even with 1 at a time"):
        sparing(lambda size, on: (_ for _ in ()).throw(torch.OutOfMemoryError("full")), 2, "cpu")
    with pytest.raises(KeyError):
        sparing(lambda size, on: {}[size], 2, "cpu")


def test_scores_do_not_depend_on_how_much_goes_through_at_once():
    torch.manual_seed(0)
    model = FUSIONS["lego"](WIDTHS).eval()
    clips = [clip(f"c{n}", units=n, seed=n) for n in (5, 40, 70)]
    wanted = score(model, clips)
    for name, values in score(model, clips, 1).items():
        np.testing.assert_allclose(values, wanted[name], atol=1e-6)


def test_the_badge_names_the_processor():
    assert device_words("cpu").startswith("CPU, ")


def test_a_device_that_is_not_here_is_refused_by_name(monkeypatch):
    assert device_named("cpu") == "cpu"
    with pytest.raises(ValueError, match="no device 'gpu'; there are cpu, cuda and auto"):
        device_named("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto") == "cpu"
    with pytest.raises(ValueError, match="'cuda:1' is not here"):
        device_named("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (device_named("auto"), device_named("cuda:1")) == ("cuda", "cuda:1")

"""InTense against its formulas written out in loops, and what must hold of norms, branches and parts."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core import run
from core.fusion.intense import Intense, IntenseConfig, branches, freed, moments, power_norm, product, relevances
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import UNITS, Samples, Task
from core.train.loop import train

WIDTHS = {"a": 5, "b": 3, "c": 4}
TASKS = [UNITS, Task("class", ("x", "y", "z")), Task("real", ("u", "v"))]


def rows(count: int = 40, seed: int = 0) -> dict[str, Tensor]:
    """Skewed rows of modalities that depend on each other, so that no moment is 0."""
    random = torch.Generator().manual_seed(seed)
    common = torch.randn(count, 1, generator=random)
    return {name: (torch.randn(count, width, generator=random) + common).exp() for name, width in WIDTHS.items()}


def centred(count: int, widths: tuple[int, ...] = (2, 3, 2), seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    common = torch.randn(count, 1, generator=random, dtype=torch.float64)
    z = {}
    for name, width in zip("abcd", widths, strict=False):
        made = (0.5 * torch.randn(count, width, generator=random, dtype=torch.float64) + common).exp()
        z[name] = made - made.mean(0)
    return z


def model(task: Task = UNITS, **options: object) -> Intense:
    torch.manual_seed(1)
    made = build("intense", WIDTHS, {"project": 3, **options}, task)
    assert isinstance(made, Intense)
    with torch.no_grad():
        made.predict.weight.normal_()
        made.predict.bias.normal_()
    return made


# ---------------------------------------------------------------------------- branches


def test_three_modalities_freed_entry_by_entry() -> None:
    """z_123 - E[123] - E[12] ⊗ z_3 - E[13] ⊗ z_2 - E[23] ⊗ z_1, in loops."""
    z = centred(7)
    subsets = branches(z, 3)
    found = freed(z, moments(z, subsets), subsets)["a", "b", "c"]
    a, b, c = (z[name].numpy() for name in "abc")
    for n, i, j, k in itertools.product(range(7), range(2), range(3), range(2)):
        slow = a[n, i] * b[n, j] * c[n, k] - np.mean(a[:, i] * b[:, j] * c[:, k])
        slow -= np.mean(a[:, i] * b[:, j]) * c[n, k]
        slow -= np.mean(a[:, i] * c[:, k]) * b[n, j]
        slow -= np.mean(b[:, j] * c[:, k]) * a[n, i]
        assert float(found[n, i, j, k]) == pytest.approx(slow, abs=1e-12)


def test_four_modalities_freed_entry_by_entry() -> None:
    z = centred(6, (2, 2, 2, 2))
    subsets = branches(z, 4)
    found = freed(z, moments(z, subsets), subsets)["a", "b", "c", "d"].numpy()
    for place in itertools.product(range(2), repeat=4):
        each = [z[name][:, at].numpy() for name, at in zip("abcd", place, strict=True)]
        whole = np.prod(each, axis=0)
        slow = whole - whole.mean()
        for one in range(4):
            three = np.prod([each[other] for other in range(4) if other != one], axis=0)
            slow = slow - three.mean() * each[one]
        for one, two in itertools.combinations(range(4), 2):
            kept = [each[other] for other in range(4) if other not in (one, two)]
            pair = kept[0] * kept[1]
            slow = slow - (each[one] * each[two]).mean() * (pair - pair.mean())
        np.testing.assert_allclose(found[(slice(None), *place)], slow, atol=1e-12)


def correlation(a: Tensor, b: Tensor) -> float:
    """The largest between any column of the one and any of the other."""
    a, b = (each.flatten(1) - each.flatten(1).mean(0) for each in (a, b))
    return float(((a / a.norm(dim=0)).T @ (b / b.norm(dim=0))).abs().max())


@pytest.mark.parametrize("kind", ["gaussian", "independent"])
def test_a_freed_interaction_is_uncorrelated_with_what_is_below_it(kind: str) -> None:
    random = torch.Generator().manual_seed(0)
    common = torch.randn(200_000, 2, generator=random, dtype=torch.float64)
    z = {}
    for name in "abc":
        made = torch.randn(200_000, 2, generator=random, dtype=torch.float64)
        made = made + common if kind == "gaussian" else made.abs()  # skewed
        z[name] = (made - made.mean(0)) / made.std(0)
    subsets = branches(z, 3)
    found = freed(z, moments(z, subsets), subsets)
    for whole, lower in itertools.combinations(reversed(subsets), 2):
        if set(lower) < set(whole):
            assert correlation(found[whole], found[lower]) < 0.03, (whole, lower)
    if kind == "gaussian":  # what freeing is for
        assert correlation(product(z, ("a", "b", "c")), z["a"]) > 0.4
    for subset in subsets:
        assert float(found[subset].mean(0).abs().max()) < 1e-12


@pytest.mark.parametrize(("order", "project"), [(1, 2), (2, 8), (3, 4)])
def test_every_branch_has_mean_0_and_a_mean_square_of_1_whatever_its_width(order: int, project: int) -> None:
    fusion = model(order=order, project=project)
    fusion.learn(rows())
    for mode in (
        fusion.train(),
        fusion.eval(),
    ):  # by the rows' own statistics, and by those that were learned from them
        mode.calibrate(rows())
        for u in mode.rows_of_branches(rows()).values():
            assert float(u.detach().square().sum(-1).mean()) == pytest.approx(1, abs=2e-3)
            assert float(u.detach().mean(0).abs().max()) < 1e-4


@torch.no_grad()
def test_running_statistics_are_those_evaluation_needs() -> None:
    """Interactions of a small batch that normalises itself are smaller than those of all rows together."""
    random = torch.Generator().manual_seed(3)
    fusion = model(order=3).train()
    raw = fusion.latents({name: torch.randn(4000, width, generator=random) for name, width in WIDTHS.items()})
    whole = fusion.measured(raw)[1]
    kept, own = [], []
    for step, index in enumerate(torch.randperm(4000, generator=random).split(10)):
        batch = {name: values[index] for name, values in raw.items()}
        fusion.keep(batch, 0.1)
        if step >= 50:
            kept.append(fusion.standing().powers.clone())
            own.append(fusion.measured(batch)[1])
    running, selfish = (torch.stack(each).mean(0) / whole for each in (kept, own))
    assert ((running > 0.85) & (running < 1.05)).all()
    assert float(selfish[-1]) < 0.7
    assert (selfish[3:] < running[3:] - 0.03).all()


def test_the_statistics_follow_the_encoders_while_these_are_trained() -> None:
    fusion, data = model(order=3), rows()
    fusion.learn(data)
    with torch.no_grad():
        for weight in fusion.encode.parameters():
            weight.mul_(3)
    for _ in range(80):  # 0.9^80: what was before is forgotten
        fusion.train()(data)
    for u in fusion.eval().rows_of_branches(data).values():
        assert float(u.detach().square().sum(-1).mean()) == pytest.approx(1, abs=0.1)


def test_one_row_is_trained_on_by_the_running_statistics() -> None:
    fusion = model(order=3)
    fusion.learn(rows())
    held = {name: values.clone() for name, values in fusion.named_buffers()}
    one = {name: values[:1] for name, values in rows().items()}
    torch.testing.assert_close(fusion.train()(one).scores, fusion.eval()(one).scores)
    assert all(torch.equal(values, held[name]) for name, values in fusion.named_buffers())
    fusion.learn(one)  # a training part of one row has no spread
    assert fusion.eval()(one).scores.isfinite().all()


def test_a_modality_that_never_moves_says_nothing() -> None:
    data = rows() | {"b": torch.full((40, 3), 7.0)}
    for mode in (True, False):
        fusion = model(order=3).train(mode)
        fusion.learn(data)
        fused = fusion(data)
        assert fused.outputs.isfinite().all()
        for at, subset in enumerate(fusion.subsets):
            assert bool(fused.trace.parts[:, at].any()) == ("b" not in subset)


# ---------------------------------------------------------------------------- norms and relevances


@pytest.mark.parametrize("p", [1.0, 4 / 3, 2.0, 64.0])
def test_the_penalty_is_the_least_over_all_weights_and_the_relevances_reach_it(p: float) -> None:
    """(sum ‖W‖^q)^(2/q) = min over ‖s‖_p <= 1 of sum ‖W‖² / s: multiple kernel learning."""
    random = torch.Generator().manual_seed(0)
    norms = 3 * torch.rand(6, generator=random, dtype=torch.float64)
    s = relevances(norms, p)
    assert float(s.pow(p).sum()) == pytest.approx(1)
    least = float(power_norm(norms, p))
    assert float((norms.square() / s).sum()) == pytest.approx(least)
    for _ in range(50):
        other = s * (1 + 0.3 * torch.randn(6, generator=random, dtype=torch.float64)).clamp(min=0.05)
        other = other / other.pow(p).sum() ** (1 / p)
        assert float((norms.square() / other).sum()) >= least


def test_relevances_of_large_p_and_of_nothing() -> None:
    norms = torch.tensor([1e-12, 1e12, 1.0])
    for p in (1.0, 2.0, 500.0):
        assert float(relevances(norms, p).pow(p).sum()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(relevances(torch.ones(4), 1.0), torch.full((4,), 0.25))
    torch.testing.assert_close(relevances(torch.tensor([2.0, 1.0]), 500.0), torch.ones(2), atol=5e-3, rtol=0)
    assert not relevances(torch.zeros(3), 2.0).any()


@pytest.mark.parametrize("p", [1.0, 2.0, 64.0])
def test_the_penalty_has_a_gradient_even_at_zero(p: float) -> None:
    norms = torch.rand(4, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda n: power_norm(n, p), norms)
    for silent in (slice(0, 3), slice(None)):  # one branch, all branches
        fusion = model(p=p)
        with torch.no_grad():
            fusion.predict.weight[:, silent] = 0
        fused = fusion.train()(rows())
        penalty = fusion.penalty(fused, torch.zeros(0, dtype=torch.bool))
        (fused.scores.square().sum() + penalty).backward()
        assert all(weight.grad.isfinite().all() for weight in fusion.parameters())
        assert (float(penalty.detach()) == 0) == (silent == slice(None))


def test_the_penalty_is_lam_times_the_block_norm() -> None:
    fusion = model(TASKS[1], p=1.0, lam=0.5)
    weight, at, total = fusion.predict.weight.detach().numpy(), 0, 0.0
    for subset in fusion.subsets:
        wide = 3 ** len(subset)
        total += float(np.sqrt((weight[:, at : at + wide] ** 2).sum()))
        at += wide
    assert at == weight.shape[1]
    penalty = fusion.penalty(fusion(rows()), torch.zeros(0, dtype=torch.bool))
    assert penalty.item() == pytest.approx(0.5 * total**2)


def test_every_branch_begins_with_the_same_relevance() -> None:
    torch.manual_seed(0)
    fresh = Intense(WIDTHS, IntenseConfig(order=3, project=8), TASKS[1])
    s = fresh.relevance.detach()
    assert float(s.max() / s.min()) < 1.35
    assert fresh.subsets == branches(WIDTHS, 3)


# ---------------------------------------------------------------------------- parts, storage, options


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_parts_add_up_to_the_outputs(task: Task) -> None:
    fusion = model(task, order=3).eval()
    target = 50 + 10 * torch.randn(40, 2) if task.kind == "real" else None
    fusion.learn(rows(), target)
    fused = fusion({name: values.reshape(2, 20, -1) for name, values in rows().items()})
    total = fused.trace.parts.sum(-2) + fused.trace.bias
    if task.kind == "real":
        total = target.mean(0) + target.std(0, correction=0) * total
    torch.testing.assert_close(total, fused.outputs)
    assert fused.trace.parts.shape == (2, 20, 7, task.outputs)
    torch.testing.assert_close(fused.trace.relevance, fusion.relevance)


def sample_set(scale: float = 1.0) -> Samples:
    """Two modalities of equal worth; `scale` only changes the unit of the first."""
    random = torch.Generator().manual_seed(0)
    one, two = torch.randn(300, 4, generator=random), torch.randn(300, 3, generator=random)
    target = (one[:, 0] + two[:, 0] + 0.5 * one[:, 1] * two[:, 1] > 0).long()
    parts = {"half": {"train": torch.arange(200), "test": torch.arange(200, 300)}}
    return Samples("two", {"one": scale * one + scale, "two": two}, target, Task("class", ("no", "yes")), parts)


TRAINING = TrainConfig(epochs=6, batch=50, lr=0.02, weight_decay=0.0)


def test_the_unit_of_a_modality_does_not_change_its_relevance() -> None:
    metres, feet = (
        train(sample_set(scale), Recipe("intense", {"project": 2}, TRAINING)).model for scale in (1.0, 256.0)
    )
    torch.testing.assert_close(metres.relevance, feet.relevance, atol=1e-3, rtol=1e-3)


def test_what_was_learned_survives_the_disk(tmp_path: Path) -> None:
    trained = train(sample_set(), Recipe("intense", {"project": 2, "order": 2}, TRAINING))
    back = run.model(run.save(trained.run, trained.model.state_dict(), trained.history, tmp_path))
    part = sample_set().part("test")
    fresh = build("intense", back.widths, {"project": 2}, part.task)
    for (name, values), (_, other) in zip(back.named_buffers(), fresh.named_buffers(), strict=True):
        assert torch.equal(values, dict(trained.model.named_buffers())[name])
        assert name.startswith("standard.target") or not torch.equal(values, other), name  # training moved them all
    torch.testing.assert_close(back(part.features).outputs, trained.model(part.features).outputs)


def test_a_small_p_leaves_fewer_branches() -> None:
    """What only noise can use is kept smaller by p = 1 than by a large p, at the same strength."""
    found = [
        train(sample_set(), Recipe("intense", {"project": 2, "p": p, "lam": 0.1}, TrainConfig(25, 50, 0.02, 0.0))).model
        for p in (1.0, 64.0)
    ]
    few, even = (fusion.norms.detach() / fusion.norms.detach().max() for fusion in found)
    assert float(few.min()) < 0.5 * float(even.min())


def test_orders_beyond_the_modalities() -> None:
    assert Intense(WIDTHS, IntenseConfig(order=9)).subsets == branches(WIDTHS, 3)
    assert Intense({"a": 2}).subsets == (("a",),)
    with pytest.raises(ValueError, match="262,144 entries"):
        Intense(WIDTHS, IntenseConfig(order=3, project=64))

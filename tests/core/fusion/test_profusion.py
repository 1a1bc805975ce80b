"""ProFusion: the base model when nothing is brought back, the literal loop when something is."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from core.fusion.base import count_weights
from core.fusion.profusion import ProFusion, ProFusionConfig, matched
from core.sample import UNITS, Task
from core.score.flops import flops
from core.score.infer import look, outputs
from tests.core.made import clip

WIDTHS = {"motion": 13, "text": 8, "type": 5}  # "type" is a method of every module; 13 makes no equal pieces
CLASSES = Task("class", ("one", "two", "three"))
REAL = Task("real", ("height", "weight"))
BASES = ("concat", "lmf", "recurrent")
JOINS = ("add", "concat")


def made(task: Task = CLASSES, seed: int = 0, widths: dict[str, int] | None = None, **options: object) -> ProFusion:
    torch.manual_seed(seed)
    return ProFusion(widths or WIDTHS, ProFusionConfig(**options), task).eval()  # type: ignore[arg-type]


@pytest.fixture
def rows() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(9, width) for name, width in WIDTHS.items()}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("project", [None, 6])
@pytest.mark.parametrize("task", [UNITS, CLASSES, REAL], ids=lambda task: task.kind)
def test_without_back_projections_it_is_the_base_bit_for_bit(rows, base, project, task) -> None:  # noqa: ANN001
    """The same seed gives the same weights; W = 0 brings nothing back, however often it runs."""
    plain = made(task, steps=1, base=base, project=project)
    again = made(task, steps=4, base=base, project=project)
    shared = plain.state_dict()
    assert all(torch.equal(again.state_dict()[name], weight) for name, weight in shared.items())
    assert not torch.equal(again(rows).outputs, plain(rows).outputs)
    for layer in again.W:
        nn.init.zeros_(layer.weight)
    assert torch.equal(again(rows).outputs, plain(rows).outputs)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
def test_one_step_is_the_base_and_has_nothing_idle(rows, base, join) -> None:  # noqa: ANN001
    one, late = made(steps=1, base=base, join=join), made(steps=1, base=base, join="add")
    assert torch.equal(one(rows).outputs, late(rows).outputs)
    assert not len(one.W)
    with pytest.raises(ValueError, match="no back-projections"):
        one.unroll(rows, 2)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
def test_the_first_of_many_steps_knows_no_context(rows, base, join) -> None:  # noqa: ANN001
    """c_0 = 0: step 1 is P(F(G(x))), and a model run with R = 1 is its own base."""
    model = made(steps=3, base=base, join=join)
    for layer in model.W:
        nn.init.normal_(layer.weight, std=10)
    before = model.unroll(rows, 1).outputs[0]
    assert torch.equal(model(rows).trace.outputs[0], before)
    for layer in model.W:
        nn.init.normal_(layer.weight, std=10)
    assert torch.equal(model(rows).trace.outputs[0], before)
    assert not torch.equal(model(rows).trace.outputs[1], before)


def gru(model: nn.GRU, pieces: list[torch.Tensor]) -> torch.Tensor:
    """A GRU as its formulas say it, one row, one piece after another."""
    h = torch.zeros(model.hidden_size)
    for piece in pieces:
        a = model.weight_ih_l0 @ piece + model.bias_ih_l0
        b = model.weight_hh_l0 @ h + model.bias_hh_l0
        (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
        r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        h = (1 - z) * torch.tanh(an + r * bn) + z * h
    return h


def low_rank(model: nn.Module, parts: list[torch.Tensor]) -> torch.Tensor:
    """h by contraction with the full tensor of three modalities that the factors stand for."""
    a, b, c = (model.get_parameter(f"factor_of_part_{j}") for j in range(3))
    full = torch.einsum("r,rxo,ryo,rzo->xyzo", model.w, a, b, c)
    x, y, z = (torch.cat([torch.ones(1), part]) for part in parts)
    return torch.einsum("xyzo,x,y,z->o", full, x, y, z) + model.b


def slowly(model: ProFusion, rows: dict[str, torch.Tensor], steps: int) -> list[torch.Tensor]:
    """P(c_t) of one row, as the formulas say it."""
    c = torch.zeros(model.base.context)
    found = []
    for _ in range(steps):
        parts = []
        for j, (name, x) in enumerate(rows.items()):
            if model.config.project:
                layer = model.project[f"of_{name}"]
                x = layer.weight @ x + layer.bias
            back = model.W[j].weight @ c
            x = x + back if model.config.join == "add" else torch.cat([x, back])
            G = model.base.G[j]
            if model.config.base == "recurrent":
                length = -(-len(x) // model.config.pieces)
                padded = torch.cat([x, torch.zeros(length * model.config.pieces - len(x))])
                parts.append(gru(G.gru, list(padded.split(length))))
            else:
                first, _, second, _ = G
                h = (first.weight @ x + first.bias).clamp(min=0)
                parts.append((second.weight @ h + second.bias).clamp(min=0))
        c = low_rank(model.base.F.product, parts) if model.config.base == "lmf" else torch.cat(parts)
        found.append(model.base.P.weight @ c + model.base.P.bias)
    return found


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("project", [None, 6])
@torch.no_grad()
def test_equals_the_literal_loop(rows, base, join, project) -> None:  # noqa: ANN001
    model = made(steps=3, base=base, join=join, project=project).double()
    rows = {name: values.double() for name, values in rows.items()}
    trace = model(rows).trace
    torch.set_default_dtype(torch.float64)
    try:
        for at in (0, 5):
            expected = torch.stack(slowly(model, {name: values[at] for name, values in rows.items()}, 3))
            torch.testing.assert_close(trace.outputs[:, at], expected, rtol=1e-12, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
def test_its_answer_is_the_last_steps(rows, base, join) -> None:  # noqa: ANN001
    model = made(REAL, steps=3, base=base, join=join)
    model.learn(rows, torch.randn(9, 2) * 30 + 100)
    fused = model(rows)
    assert torch.equal(fused.outputs, fused.trace.outputs[-1])
    assert fused.outputs.mean() > 50  # in the targets' own units, at every step
    assert (fused.trace.outputs.mean((1, 2)) > 50).all()
    torch.testing.assert_close(model.unroll(rows, 5).outputs[:3], fused.trace.outputs)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
def test_it_runs_on_clips_and_on_samples(base, join) -> None:  # noqa: ANN001
    widths = {"motion": 12, "text": 8}
    model = made(UNITS, widths=widths, steps=2, base=base, join=join)
    seen = clip(units=7)
    torch.testing.assert_close(
        torch.tensor(look(model, seen).scores), torch.tensor(outputs(model, seen.features)[:, 0]).sigmoid()
    )
    alone = model({name: rows[3:4] for name, rows in seen.features.items()}).outputs
    torch.testing.assert_close(alone[0], torch.tensor(outputs(model, seen.features))[3])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("steps", [1, 2])
def test_training_moves_every_weight(rows, base, join, steps) -> None:  # noqa: ANN001
    model = made(steps=steps, base=base, join=join, project=6).train()
    model(rows).outputs.square().sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("join", JOINS)
def test_the_matched_base_has_nearly_as_many_weights(base, join) -> None:  # noqa: ANN001
    config = ProFusionConfig(steps=3, base=base, join=join, hidden=16)
    rival = matched(WIDTHS, config, CLASSES)
    wanted = count_weights(ProFusion(WIDTHS, config, CLASSES))
    sizes = {h: count_weights(ProFusion(WIDTHS, replace(rival, hidden=h), CLASSES)) for h in range(1, 64)}
    assert rival.steps == 1
    assert abs(sizes[rival.hidden] - wanted) == min(abs(size - wanted) for size in sizes.values())


@pytest.mark.parametrize("base", BASES)
def test_every_step_costs_the_same(base) -> None:  # noqa: ANN001
    """B.2: the cost grows with R in equal steps; W and the steps after the first cost more than the first alone."""
    costs = [flops(made(steps=steps, base=base)) for steps in (1, 2, 3, 5)]
    assert costs[2] - costs[1] == (costs[3] - costs[2]) / 2
    assert costs[1] - costs[0] > costs[0]

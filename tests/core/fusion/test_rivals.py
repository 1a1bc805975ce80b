"""MBT, Perceiver and MISA against their formulas, and what each is known for."""

import math

import pytest
import torch

from core.fusion import FUSIONS
from core.fusion.mbt import Block, Bottleneck, attend
from core.fusion.misa import Misa, moment_gap, overlap
from core.fusion.perceiver import Latents
from core.sample import Task

WIDTHS = {"a": 5, "b": 9, "c": 7}


def rows(count: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return {name: torch.randn(count, width) for name, width in WIDTHS.items()}


def test_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 5, 8), torch.randn(3, 7, 8), torch.randn(3, 7, 8)
    per_head = [each.unflatten(-1, (2, 4)).transpose(1, 2) for each in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*per_head).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(attend(q, k, v, 2), expected)


def test_attention_equals_the_formula_written_slowly() -> None:
    torch.manual_seed(1)
    q, k, v = torch.randn(3, 4).tolist(), torch.randn(5, 4).tolist(), torch.randn(5, 4).tolist()
    found = attend(torch.tensor(q), torch.tensor(k), torch.tensor(v), 2)
    for i in range(3):
        for head in range(2):
            own = range(2 * head, 2 * head + 2)
            raised = [math.exp(sum(q[i][c] * k[j][c] for c in own) / math.sqrt(2)) for j in range(5)]
            for c in own:
                mean = sum(raised[j] * v[j][c] for j in range(5)) / sum(raised)
                assert float(found[i, c]) == pytest.approx(mean, abs=1e-6)


def test_a_block_asks_its_context_and_nothing_else() -> None:
    torch.manual_seed(0)
    block = Block(8, 2)
    tokens, context = torch.randn(2, 3, 8), torch.randn(2, 6, 8)
    moved = tokens.clone()
    moved[:, 1] += 1  # another token of the same row is not looked at
    torch.testing.assert_close(block(moved, context)[:, [0, 2]], block(tokens, context)[:, [0, 2]])
    assert not torch.allclose(block(tokens, context + torch.randn(8)), block(tokens, context))


def test_streams_of_mbt_meet_only_in_the_bottleneck() -> None:
    """With the bottleneck shut every stream answers as if the others were not there."""
    torch.manual_seed(0)
    core = Bottleneck(WIDTHS, dim=8, tokens=3, bottlenecks=2, layers=3, alone=1, heads=2)
    x = rows()
    other = {**x, "b": torch.randn_like(x["b"])}

    def answers(features: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        hook = core.norm.register_forward_hook(lambda module, given, found: kept.append(found))
        core(features)
        hook.remove()
        return list(kept[0])

    assert not torch.allclose(answers(x)[0], answers(other)[0])
    for blocks in core.layers[1:]:  # what the others wrote into the shared tokens is thrown away
        for block in blocks:
            block.register_forward_hook(
                lambda module, given, found: torch.cat([found[..., :4, :], 0 * found[..., 4:, :]], -2)
            )
    torch.testing.assert_close(answers(x)[0], answers(other)[0])
    assert not torch.allclose(answers(x)[1], answers(other)[1])


def test_mbts_first_layers_do_not_exchange() -> None:
    with pytest.raises(ValueError, match="at least one must exchange"):
        Bottleneck(WIDTHS, dim=8, tokens=3, bottlenecks=2, layers=2, alone=2, heads=2)


def test_the_order_of_latents_does_not_matter() -> None:
    torch.manual_seed(0)
    core, x = Latents(WIDTHS, dim=8, tokens=3, latents=5, layers=2, heads=2), rows()
    before = core(x)
    with torch.no_grad():
        core.latents.copy_(core.latents.flip(0).clone())
    torch.testing.assert_close(core(x), before)


def test_the_perceiver_does_not_know_modalities_but_by_their_tokens() -> None:
    """Tokens are one stack: naming the modalities in another order changes nothing."""
    torch.manual_seed(0)
    core, x = Latents(WIDTHS, dim=8, tokens=3, latents=5, layers=2, heads=2), rows()
    before = core(x)
    core.names = ("c", "a", "b")
    torch.testing.assert_close(core(x), before)


def test_cmd_equals_the_formula_written_slowly() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(6, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)

    def moment(rows: torch.Tensor, column: int, k: int) -> float:
        values = rows[:, column].tolist()
        mean = sum(values) / len(values)
        return mean if k == 1 else sum((value - mean) ** k for value in values) / len(values)

    expected = sum(
        math.dist([moment(x, c, k) for c in range(3)], [moment(y, c, k) for c in range(3)]) for k in range(1, 6)
    )
    assert float(moment_gap(x, y)) == pytest.approx(expected, abs=2e-5)


def test_cmd_feels_a_shift_and_a_spread_and_not_the_order() -> None:
    torch.manual_seed(0)
    x = torch.rand(50, 4)
    assert float(moment_gap(x, x[torch.randperm(50)])) < 1e-5
    assert float(moment_gap(x, x + 0.1)) == pytest.approx(0.2, abs=1e-3)  # ‖(0.1, 0.1, 0.1, 0.1)‖, moments alike
    assert float(moment_gap(x, 0.5 * (x - x.mean(0)) + x.mean(0))) > 0.05


def test_unrelated_columns_do_not_overlap() -> None:
    """Rows that fill orthogonal columns one after another overlap nowhere; a part overlaps with itself."""
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    a, b = signs[:, :1], signs[:, 1:]
    assert float(overlap(a, b)) == pytest.approx(0, abs=1e-9)
    assert float(overlap(a, a)) == pytest.approx(16, abs=1e-4)  # (Σ of four ones)²


def test_misas_loss_brings_shared_parts_together_and_private_ones_apart() -> None:
    torch.manual_seed(0)
    model = Misa(WIDTHS, task=Task("class", ("x", "y")))
    x = rows(64)
    nobody = torch.zeros(0, dtype=torch.bool)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)

    @torch.no_grad()
    def seen() -> tuple[float, float, float]:
        trace = model(x).trace
        c, p = trace.invariant, trace.specific
        lost = sum(float((trace.reconstructed[n] - u).square().mean()) for n, u in trace.inputs.items())
        return float(moment_gap(c["a"], c["b"])), float(overlap(p["a"], p["b"])), lost

    before = seen()
    for _ in range(150):
        adam.zero_grad()
        model.penalty(model(x), nobody).backward()
        adam.step()
    after = seen()
    assert all(now < 0.6 * then for now, then in zip(after, before, strict=True)), (before, after)


def test_misa_is_stable_where_parts_are_equal() -> None:
    """One sample: all moments vanish, and no gradient may be NaN."""
    model = Misa(WIDTHS)
    fused = model({name: each[:1] for name, each in rows().items()})
    model.penalty(fused, torch.zeros(0, dtype=torch.bool)).backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("fusion", ["mbt", "perceiver", "misa"])
def test_a_missing_modality_changes_the_output(fusion: str) -> None:
    torch.manual_seed(0)
    model = FUSIONS[fusion](WIDTHS, FUSIONS[fusion].Config(), Task("class", ("x", "y"))).eval()  # type: ignore[call-arg]
    x = rows()
    for name in WIDTHS:
        rest = {other: each for other, each in x.items() if other != name}
        assert not torch.allclose(model(rest).outputs, model(x).outputs, atol=1e-4), name


@pytest.mark.parametrize("fusion", ["gmf", "g-mbt", "g-perceiver", "g-lmf", "mbt", "perceiver", "misa"])
@pytest.mark.parametrize("project", [None, 4])
def test_all_weights_of_any_number_of_modalities_learn(fusion: str, project: int | None) -> None:
    torch.manual_seed(0)
    model = FUSIONS[fusion](WIDTHS, FUSIONS[fusion].Config(project=project), Task("real", ("x", "y")))  # type: ignore[call-arg]
    fused = model(rows(16))
    (fused.outputs.square().sum() + model.penalty(fused, torch.zeros(0, dtype=torch.bool))).backward()
    still = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("fusion", ["gmf", "g-mbt", "g-perceiver", "g-lmf", "mbt", "perceiver", "misa"])
def test_weights_can_be_counted_without_memory(fusion: str) -> None:
    from core.fusion.base import count_weights

    with torch.device("meta"):
        model = FUSIONS[fusion]({"a": 512, "b": 4096})
    assert 0 < count_weights(model.fusion_part()) < count_weights(model)

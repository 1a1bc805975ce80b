"""LMF against the tensor it never builds, its two exact decompositions, its published count, and planted products."""

import math

import pytest
import torch

from core.fusion.base import count_weights
from core.fusion.lmf import Lmf, LmfConfig, LowRank, interactions
from core.measure.metrics import measure
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.score.infer import outputs
from core.train.loop import train

WIDTHS = {"audio": 5, "text": 7, "visual": 4}


def product(widths=WIDTHS, rank: int = 3, out: int = 6, seed: int = 0) -> LowRank:
    torch.manual_seed(seed)
    made = LowRank(widths, rank, out).double()
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    return made


def rows(widths=WIDTHS, count: tuple[int, ...] = (11,), kind=torch.float64, seed: int = 1):
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(*count, width, generator=random).to(kind) for name, width in widths.items()}


def full_tensor(made: LowRank) -> torch.Tensor:
    """W = sum over i of w_i * W_1^i outer W_2^i outer W_3^i, one axis a modality and h."""
    audio, text, visual = made.factors.values()
    return torch.einsum("r,rao,rbo,rco->abco", made.w, audio, text, visual)


def with_one(z: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.ones_like(z[..., :1]), z], dim=-1)


def test_equals_contraction_with_the_full_tensor():
    made, z = product(), rows()
    cube = torch.einsum("na,nb,nc->nabc", *(with_one(each) for each in z.values()))
    expected = torch.einsum("nabc,abco->no", cube, full_tensor(made)) + made.b
    torch.testing.assert_close(made(z), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("kind", "gap"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_both_decompositions_add_up(kind, gap):
    made = product().to(kind)
    for weight in made.parameters():
        weight.data /= 2  # values near 1, so that 1e-5 means something in float32
    z = rows(kind=kind, count=(4, 9))
    h, terms, parts = made(z), made.terms(z), made.expanded(z)
    assert terms.shape == (4, 9, 3, 6)
    assert parts.shape == (4, 9, 3, 8, 6)
    torch.testing.assert_close(parts.sum(-2), terms, rtol=0, atol=gap)
    torch.testing.assert_close(parts.sum((-3, -2)) + made.b, h, rtol=0, atol=gap)


def test_a_part_is_the_block_of_the_full_tensor_that_its_modalities_meet():
    """Interaction S reads the entries of W whose index is above 0 for the modalities in S and 0 for the others."""
    made, z = product(), rows()
    W = full_tensor(made)
    for place, subset in enumerate(interactions(list(WIDTHS))):
        sides = [z[name] if name in subset else torch.ones(11, 1, dtype=torch.float64) for name in WIDTHS]
        block = W[tuple(slice(1, None) if name in subset else slice(0, 1) for name in WIDTHS)]
        expected = torch.einsum("na,nb,nc,abco->no", *sides, block)
        torch.testing.assert_close(made.expanded(z)[..., place, :].sum(-2), expected, rtol=0, atol=1e-10)


def test_one_modality_is_a_linear_map():
    made, z = product({"text": 7}), rows({"text": 7})
    expected = with_one(z["text"]) @ torch.einsum("r,rdo->do", made.w, made.factors["text"]) + made.b
    torch.testing.assert_close(made(z), expected)
    assert interactions(["text"]) == ((), ("text",))


@pytest.mark.parametrize(("widths", "rank", "out"), [((16, 16, 32), 4, 16), ((128, 64, 300), 4, 16), ((7,), 1, 1)])
def test_count_of_the_fusion_alone(widths, rank, out):
    named = {f"m{at}": width for at, width in enumerate(widths)}
    made = Lmf(named, LmfConfig(rank=rank, out=out)).fusion_part()
    assert count_weights(made) == rank * out * sum(width + 1 for width in widths) + rank + out
    if widths == (16, 16, 32):
        assert count_weights(made) == 4308


def test_a_missing_modality_has_a_part_in_nothing():
    torch.manual_seed(2)
    model = Lmf(WIDTHS, LmfConfig(project=4, hidden=8)).eval()
    model.learn(rows(kind=torch.float32, count=(200,), seed=5))
    z = model.latents({name: each for name, each in rows(kind=torch.float32).items() if name != "text"})
    assert not z["text"].any()
    parts = model.product.expanded(z)
    for place, subset in enumerate(interactions(list(WIDTHS))):
        assert bool(parts[..., place, :].any()) == ("text" not in subset)


@pytest.mark.parametrize("rank", [1, 4, 32])
@pytest.mark.parametrize("modalities", [2, 5])
def test_a_fresh_product_neither_vanishes_nor_blows_up_and_favours_no_interaction(rank, modalities):
    widths = {f"m{at}": 40 for at in range(modalities)}
    torch.manual_seed(3)
    made = LowRank(widths, rank, 64)
    parts = made.expanded(rows(widths, (200,), torch.float32)).sum(-3)
    sizes = parts.square().mean((0, 2))
    assert len(sizes) == 2**modalities
    assert (sizes > 0.5).all()
    assert (sizes < 2).all()


def test_the_rank_that_was_planted_is_enough():
    """A target that is a product of both modalities: no sum can make it, rank 1 can."""
    random = torch.Generator().manual_seed(4)
    features = {"a": torch.randn(600, 6, generator=random), "b": torch.randn(600, 5, generator=random)}
    target = (features["a"][:, :1] * features["b"][:, 1:2]) * 3 + 10
    splits = {"half": {"train": torch.arange(400), "test": torch.arange(400, 600)}}
    data = Samples("product", features, target, Task("real", ("y",)), splits)
    training = TrainConfig(epochs=60, batch=32, lr=0.01, weight_decay=0.0)
    rivals = {"lmf": {}, "single": {"modality": "a"}}
    found = {
        name: train(data, Recipe(name, each, training)).run.metrics["correlation"] for name, each in rivals.items()
    }
    assert found["lmf"] > 0.98
    assert found["single"] < 0.5
    alone = train(data, Recipe("lmf", {"rank": 1}, training))
    assert alone.run.metrics["correlation"] > 0.95
    test = data.part("test")
    assert measure(outputs(alone.model, test.features), test).mae < 1.0
    assert set(alone.run.metrics["alone"]) == {"a", "b"}
    assert all(abs(value) < 0.3 for value in alone.run.metrics["alone"].values())


def test_names_that_torch_itself_uses_are_good_modality_names():
    widths = {"training": 3, "parameters": 4, "b": 2, "w": 2}
    model = Lmf(widths)
    assert model(rows(widths, kind=torch.float32)).outputs.shape == (11, 1)
    assert len(list(model.product.parameters())) == 6


def test_the_seed_rows_have_the_spread_that_is_promised():
    made = LowRank({"wide": 500}, 2, 50)
    W = made.factors["wide"]
    assert set(W[:, 0].abs().unique().tolist()) == {1.0}
    assert W[:, 1:].std().item() == pytest.approx(1 / math.sqrt(500), rel=0.05)

"""Joint Wasserstein autoencoders: the prior, the ranking term, both ways to match, and what labels may do."""

import math

import pytest
import torch

from core.fusion import FUSIONS
from core.fusion.jwae import Jwae, JwaeConfig, JwaeLmf, JwaeLmfConfig, Reversed, mmd, multiquadratic, ranking
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.train.loop import train

WIDTHS = {"image": 9, "text": 6}
NOBODY = torch.zeros(0, dtype=torch.bool)


def features(count: int = 40, seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=random) for name, width in WIDTHS.items()}


def paired(count: int = 600, classes: int = 4) -> Samples:
    """Two views of one hidden point near its class's centre, each through its own bent map."""
    random = torch.Generator().manual_seed(7)
    target = torch.randint(classes, (count,), generator=random)
    hidden = torch.randn(classes, 3, generator=random)[target] * 1.5 + 0.5 * torch.randn(count, 3, generator=random)
    views = {
        name: (hidden @ torch.randn(3, width, generator=random)).tanh()
        + 0.1 * torch.randn(count, width, generator=random)
        for name, width in WIDTHS.items()
    }
    splits = {"half": {"train": torch.arange(400), "test": torch.arange(400, count)}}
    return Samples("paired", views, target, Task("class", tuple("abcd"[:classes])), splits)


def test_kernel_and_distance_are_the_slow_formula():
    x, y = torch.randn(2, 8, 3, dtype=torch.float64)
    C = [2 * 3 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]

    def k(a, b):
        return sum(c / (c + float((a - b).square().sum())) for c in C)

    torch.testing.assert_close(multiquadratic(x, y), torch.tensor([[k(a, b) for b in y] for a in x], dtype=x.dtype))
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    expected = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs) / len(pairs)
    expected -= 2 * sum(k(a, b) for a in x for b in y) / 64
    assert float(mmd(x, y)) == pytest.approx(expected)


def test_the_distance_is_zero_on_average_between_equals_and_grows_with_a_shift():
    random = torch.Generator().manual_seed(1)
    equal = [float(mmd(*torch.randn(2, 60, 5, generator=random))) for _ in range(200)]
    assert abs(sum(equal) / 200) < 3 * torch.tensor(equal).std() / math.sqrt(200)
    assert min(equal) < 0
    drawn = torch.randn(300, 5, generator=random)
    shifted = [float(mmd(torch.randn(300, 5, generator=random) + by, drawn)) for by in (0, 0.5, 1, 2)]
    assert shifted == sorted(shifted)
    assert shifted[1] > 5 * max(equal) / 5


def test_rows_of_length_one_are_far_from_the_prior():
    """Why latents are not normalised: their norms give them away."""
    random = torch.Generator().manual_seed(2)
    x, drawn = torch.randn(2, 300, 16, generator=random)
    assert float(mmd(torch.nn.functional.normalize(x, dim=1), drawn)) > 20 * abs(float(mmd(x, drawn)))


@pytest.mark.parametrize("negatives", ["all", "hardest"])
def test_ranking_is_the_slow_formula(negatives):
    a, b = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    cos = [[float(torch.cosine_similarity(x, y, dim=0)) for y in b] for x in a]
    expected = 0.0
    for i in range(7):
        for way in ([cos[i][j] for j in range(7) if j != i], [cos[j][i] for j in range(7) if j != i]):
            missed = [max(0.0, 0.2 - cos[i][i] + other) for other in way]
            expected += (max(missed) if negatives == "hardest" else sum(missed) / 6) / 7
    assert float(ranking(a, b, 0.2, negatives)) == pytest.approx(expected)


def test_a_reversed_gradient_is_the_negative():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    Reversed.apply(x).square().sum().backward()
    torch.testing.assert_close(x.grad, -2 * x.detach())


@pytest.mark.parametrize("fusion", [Jwae, JwaeLmf])
@pytest.mark.parametrize("prior", ["mmd", "adversarial"])
@pytest.mark.parametrize("shape", [{}, {"hidden": None}, {"project": 5}, {"project": 5, "hidden": None}])
def test_every_option_moves_every_weight(fusion, prior, shape):
    torch.manual_seed(0)
    model = fusion(WIDTHS, fusion.Config(prior=prior, **shape))
    fused = model(features())
    (fused.scores.square().sum() + model.penalty(fused, NOBODY)).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_one_step_trains_both_sides_of_the_game():
    """With reconstruction and pairs off, the discriminator gets better at a fixed encoder, and an encoder fools it."""
    torch.manual_seed(0)
    model = Jwae(WIDTHS, JwaeConfig(prior="adversarial", reconstruct=0.0, align=0.0, match=1.0))
    rows = {name: each * 5 for name, each in features(200).items()}

    def distance() -> torch.Tensor:
        torch.manual_seed(1)
        return model.penalty(model(rows), NOBODY)

    before = distance()
    gradients = dict(
        zip(
            dict(model.named_parameters()),
            torch.autograd.grad(before, list(model.parameters()), allow_unused=True),
            strict=True,
        )
    )
    for side, sign in (("critic", -1), ("encoders", 1)):
        kept = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.startswith(side) and gradients[name] is not None:
                    weight -= 0.01 * gradients[name]
        assert float((distance() - before).detach()) * sign > 0, side
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(kept[name])


@pytest.mark.parametrize("prior", ["mmd", "adversarial"])
def test_latents_come_to_their_prior(prior):
    data = paired()
    training = TrainConfig(epochs=40, batch=64, lr=3e-3, weight_decay=0.0)
    far = []
    for match in (0.0, 3.0):
        options = {"latent": 4, "prior": prior, "match": match, "align": 0.0}
        model = train(data, Recipe("jwae", options, training)).model
        with torch.inference_mode():
            z = model.encode(data.part("test").features)[1]
        drawn = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        far.append(sum(float(mmd(each, drawn)) for each in z.values()))
    assert far[1] < far[0] / 2


def test_pairs_come_together_and_what_is_left_out_is_told_from_the_rest():
    data = paired()
    training = TrainConfig(epochs=30, batch=64, lr=3e-3, weight_decay=0.0)
    rates = []
    for align in (0.0, 3.0):
        model = train(data, Recipe("jwae", {"latent": 4, "align": align, "labels": False}, training)).model
        with torch.inference_mode():
            z = model.encode(data.part("test").features)[1]
        rates.append(float(torch.cosine_similarity(z["image"], z["text"], dim=-1).mean()))
    assert rates[1] > 0.8
    assert rates[1] > rates[0] + 0.3


def test_a_missing_modality_is_what_the_others_say():
    model = Jwae(WIDTHS).eval()
    rows = features()
    z = model.encode({"image": rows["image"]})[1]
    torch.testing.assert_close(z["text"], z["image"])
    torch.testing.assert_close(z["image"], model.encode(rows)[1]["image"])


def test_hidden_labels_shape_no_latent():
    """The same encoders come out whatever the labels are; with labels=True they do not."""
    data = paired()
    other = Samples("shuffled", data.features, data.target.flip(0), data.task, data.splits)
    training = TrainConfig(epochs=3, batch=64)
    for fusion in ("jwae", "jwae-lmf"):
        for labels in (False, True):
            a, b = (
                train(one, Recipe(fusion, {"labels": labels}, training)).model.state_dict() for one in (data, other)
            )
            same = all(torch.equal(a[name], b[name]) for name in a if name.startswith(("encoders", "decoders")))
            assert same == (not labels)
            assert not torch.equal(a["predict.weight"], b["predict.weight"])


def test_restored_rows_have_the_features_own_units():
    data = paired()
    shifted = Samples(
        "far", {name: each * 9 + 100 for name, each in data.features.items()}, data.target, data.task, data.splits
    )
    model = train(
        shifted, Recipe("jwae", {"match": 0.0, "align": 0.0}, TrainConfig(epochs=40, lr=0.01, weight_decay=0.0))
    ).model
    test = shifted.part("test").features
    with torch.inference_mode():
        found = model.restored(model.encode(test)[1])
    for name, rows in test.items():
        assert (found[name] - rows).square().mean() < 0.35 * rows.var()


def test_the_union_reads_latents_through_the_product():
    torch.manual_seed(4)
    model = JwaeLmf(WIDTHS, JwaeLmfConfig(latent=5, rank=3, out=7)).eval()
    fused = model(features())
    trace = fused.trace
    torch.testing.assert_close(trace.terms.sum(-2) + model.product.b, trace.fused)
    torch.testing.assert_close(model.product(trace.latents), trace.fused)
    torch.testing.assert_close(fused.outputs, model.predict(trace.fused))


def test_three_modalities_and_one():
    for widths in ({"a": 3, "b": 4, "c": 5}, {"a": 3}):
        for name in ("jwae", "jwae-lmf"):
            model = FUSIONS[name](widths)
            fused = model({each: torch.randn(20, width) for each, width in widths.items()})
            assert model.penalty(fused, NOBODY).isfinite()

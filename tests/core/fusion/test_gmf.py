"""GMF against its formula written slowly, its identities, and the published counts."""

import pytest
import torch

from core.fusion import FUSIONS
from core.fusion.base import count_weights
from core.fusion.gmf import Gmf, GmfConfig, Maps, SplitTrace, misfit
from core.sample import Task
from tests.core.made import WIDTHS

CLASSES = Task("class", ("a", "b", "c"))
THREE = {"a": 5, "b": 9, "c": 7}
SPLIT = ("gmf", "g-mbt", "g-perceiver", "g-lmf")


def maps(widths: dict[str, int], **options: float) -> Maps:
    torch.manual_seed(3)
    made = Maps(widths, **options)  # type: ignore[arg-type]
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return made.double().requires_grad_(False)


def rows(widths: dict[str, int], count: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return {name: torch.randn(count, width, dtype=torch.float64) for name, width in widths.items()}


@pytest.mark.parametrize(
    ("widths", "count"),
    [
        ((512, 512), 5_250_048),  # tables 2 and 3: 5.25M, 0.32M, 119.21M
        ((128, 128), 329_472),
        ((128, 4096), 119_202_816),
        ((4096, 4096), 335_601_664),
    ],
)
def test_the_published_counts(widths: tuple[int, int], count: int) -> None:
    with torch.device("meta"):
        model = Gmf({"a": widths[0], "b": widths[1]})
    assert count_weights(model.fusion_part()) == count


@pytest.mark.parametrize("widths", [{"a": 6, "b": 4}, THREE])
@pytest.mark.parametrize(("magnification", "boundary"), [(4, 0.5), (3, 0.35), (1, 0.5)])
def test_equals_the_formula_written_slowly(widths: dict[str, int], magnification: int, boundary: float) -> None:
    """Appendix J, row by row and column by column, without a matrix product."""
    made, x = maps(widths, magnification=magnification, boundary=boundary), rows(widths, 2)
    names, shared = list(widths), min(widths.values())

    def linear(layer: torch.nn.Linear, row: list[float]) -> list[float]:
        return [
            float(layer.bias[o]) + sum(float(layer.weight[o, i]) * row[i] for i in range(len(row)))
            for o in range(layer.out_features)
        ]

    trace = made(x)
    for n in range(2):
        inv, spec = {}, {}
        for at, name in enumerate(names):
            z = linear(made.dissolve[at], x[name][n].tolist())
            b = int(boundary * magnification * widths[name])
            inv[name] = linear(made.concentrate_invariant[at], z[:b])
            spec[name] = linear(made.concentrate_specific[at], z[b:])
            assert len(z) == magnification * widths[name]
            assert len(inv[name]) == shared
            assert len(spec[name]) == widths[name]
        for at, name in enumerate(names):
            out = inv[names[(at + 1) % len(names)]] + spec[name]
            torch.testing.assert_close(trace.outputs[name][n].tolist(), out)
            torch.testing.assert_close(trace.reconstructed[name][n].tolist(), linear(made.reconstruct[at], out))


@pytest.mark.parametrize("widths", [{"a": 6, "b": 4}, THREE])
def test_an_invariant_part_reaches_only_the_modality_before_it(widths: dict[str, int]) -> None:
    made, x = maps(widths), rows(widths)
    before, names = made(x), list(widths)
    for at in range(len(names)):
        layer = made.concentrate_invariant[at]
        layer.bias += 1
        after = made(x)
        layer.bias -= 1
        moved = [other for other in names if not torch.equal(before.outputs[other], after.outputs[other])]
        assert moved == [names[at - 1]]
        assert [o for o in names if not torch.equal(before.reconstructed[o], after.reconstructed[o])] == moved
        assert all(torch.equal(before.specific[other], after.specific[other]) for other in names)


def test_everything_before_the_classifier_is_affine() -> None:
    made, x, y = maps(THREE), rows(THREE), {name: each.flip(0) for name, each in rows(THREE).items()}
    mixed = made({name: 0.3 * x[name] + 0.7 * y[name] for name in THREE})
    for name in THREE:
        torch.testing.assert_close(mixed.outputs[name], 0.3 * made(x).outputs[name] + 0.7 * made(y).outputs[name])


def test_the_loss_is_each_modalitys_mean_squared_error_added_up() -> None:
    torch.manual_seed(0)
    model = Gmf(WIDTHS, GmfConfig(lam=2.5))
    fused = model({name: torch.randn(7, width) for name, width in WIDTHS.items()})
    by_hand = 0.0
    for name, given in fused.trace.inputs.items():
        by_hand += torch.nn.functional.mse_loss(fused.trace.reconstructed[name], given).item()
    penalty = model.penalty(fused, torch.zeros(0, dtype=torch.bool))
    assert penalty.item() == pytest.approx(2.5 * by_hand)


def test_a_wide_enough_code_can_give_its_inputs_back() -> None:
    """Z_j is wider than x_j, so training on the reconstruction alone must bring the error towards 0."""
    torch.manual_seed(0)
    made, x = Maps({"a": 6, "b": 4}), {name: each.float() for name, each in rows({"a": 6, "b": 4}, 64).items()}
    adam = torch.optim.Adam(made.parameters(), lr=0.01)
    first = misfit(made(x)).item()
    for _ in range(300):
        adam.zero_grad()
        misfit(made(x)).backward()
        adam.step()
    assert misfit(made(x)).item() < 1e-3 * first


@pytest.mark.parametrize("fusion", SPLIT)
@pytest.mark.parametrize("project", [None, 4])
def test_three_modalities_classes_and_projection(fusion: str, project: int | None) -> None:
    torch.manual_seed(0)
    model = FUSIONS[fusion](THREE, FUSIONS[fusion].Config(project=project), CLASSES)  # type: ignore[call-arg]
    fused = model({name: torch.randn(2, 6, width) for name, width in THREE.items()})
    assert fused.outputs is not None
    assert fused.outputs.shape == (2, 6, 3)
    assert isinstance(fused.trace, SplitTrace)
    widths = {name: project or width for name, width in THREE.items()}
    assert {name: each.shape[-1] for name, each in fused.trace.specific.items()} == widths
    assert {each.shape[-1] for each in fused.trace.invariant.values()} == {min(widths.values())}


@pytest.mark.parametrize("fusion", SPLIT)
def test_a_missing_modality_changes_the_output_as_zeros_would(fusion: str) -> None:
    torch.manual_seed(0)
    model = FUSIONS[fusion](THREE, FUSIONS[fusion].Config(), CLASSES).eval()  # type: ignore[call-arg]
    x = {name: torch.randn(5, width) + 3 for name, width in THREE.items()}
    model.learn(x)
    whole = model(x).outputs
    for name in THREE:
        rest = {other: each for other, each in x.items() if other != name}
        masked = model(rest).outputs
        assert not torch.allclose(masked, whole, atol=1e-3), name
        mean = {**x, name: x[name].mean(0).expand_as(x[name])}  # zeros once standardised
        torch.testing.assert_close(masked, model(mean).outputs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", SPLIT[1:])
def test_the_module_of_a_front_end_sees_specific_parts_alone(fusion: str) -> None:
    """Figure 13: nothing invariant goes through the module, and everything invariant reaches the classifier."""
    torch.manual_seed(0)
    model = FUSIONS[fusion](THREE, FUSIONS[fusion].Config(), CLASSES).eval()  # type: ignore[call-arg]
    x = {name: torch.randn(5, width) for name, width in THREE.items()}
    before = model(x)
    through = model.module(before.trace.specific)
    with torch.no_grad():
        for layer in model.maps.concentrate_invariant:
            layer.bias += 1
    after = model(x)
    torch.testing.assert_close(model.module(after.trace.specific), through)
    read = torch.cat([*after.trace.invariant.values(), through], -1)
    torch.testing.assert_close(model.head(read), after.outputs)
    assert not torch.allclose(after.outputs, before.outputs)


@pytest.mark.parametrize(
    ("widths", "options", "words"),
    [
        ({"a": 4}, {}, "needs two or more"),
        ({"a": 4, "b": 4}, {"boundary": 0.0}, "leaves 0 of 16"),
        ({"a": 4, "b": 4}, {"boundary": 1.0}, "leaves 16 of 16"),
        ({"a": 1, "b": 4}, {"magnification": 1}, "leaves 0 of 1"),
    ],
)
def test_what_cannot_be_split_is_told(widths: dict[str, int], options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Gmf(widths, GmfConfig(**options))  # type: ignore[arg-type]


def test_the_factors_behind_g_lmf_add_up_to_its_outputs() -> None:
    torch.manual_seed(0)
    model = FUSIONS["g-lmf"](THREE, None, CLASSES).eval()  # type: ignore[call-arg]
    x = {name: torch.randn(5, width) for name, width in THREE.items()}
    read = model.low_rank()
    specific, rest = read.inputs(x)
    fused = read.module.terms(specific).sum(-2) + read.module.b
    torch.testing.assert_close(fused @ read.readout.T + rest, model(x).outputs)
    with pytest.raises(ValueError, match="hidden=0"):
        FUSIONS["g-lmf"](THREE, FUSIONS["g-lmf"].Config(hidden=8), CLASSES).low_rank()  # type: ignore[call-arg]

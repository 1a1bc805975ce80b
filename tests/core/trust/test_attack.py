"""FGSM and PGD: inside the box, as captum has them, PGD never weaker; on rows and on clips whose units depend."""

import numpy as np
import pytest
import torch
from captum.robust import FGSM, PGD
from torch import nn

from core.dataset import Dataset
from core.fusion import FUSIONS
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import UNITS, Samples, Task
from core.train.loop import train
from core.trust import attack, corrupt
from core.trust.attack import Verdict
from core.trust.rows import Reader, Stage, reader, staged
from tests.core.made import dataset


def blobs(seed: int = 0, count: int = 300, kind: str = "class") -> Samples:
    """Three classes that two views tell apart, not perfectly."""
    random = torch.Generator().manual_seed(seed)
    target = torch.arange(count) % 3
    centres = {name: torch.randn(3, width, generator=random) for name, width in (("left", 6), ("right", 5))}
    features = {
        name: each[target] + 0.9 * torch.randn(count, each.shape[1], generator=random) for name, each in centres.items()
    }
    parts = {"half": {"train": torch.arange(count // 2), "test": torch.arange(count // 2, count)}}
    if kind == "real":
        real = torch.stack([features["left"][:, 0], features["right"].sum(1)], dim=1)
        return Samples("real", features, real, Task("real", ("x", "y")), parts)
    return Samples("blobs", features, target, Task("class", ("a", "b", "c")), parts)


@pytest.fixture(scope="module")
def data() -> Samples:
    return blobs()


@pytest.fixture(scope="module")
def lmf(data: Samples) -> nn.Module:
    return train(data, Recipe("lmf", {"rank": 2, "out": 8}, TrainConfig(epochs=15, batch=30, lr=0.01), (0,))).model


@pytest.fixture(scope="module")
def clips() -> Dataset:
    return dataset(train=8, test=5)


def doubled(stage: Stage) -> dict[str, torch.Tensor]:
    return {name: rows.double() for name, rows in stage.features.items()}


def radii(stage: Stage, names: list[str], level: float) -> dict[str, torch.Tensor]:
    return {name: level * stage.spread[name].double() for name in names}


# ---------------------------------------------------------------------------- against captum


def theirs(reading: Reader, kind: str, name: str, level: float, steps: int = 10) -> torch.Tensor:
    """The modality as captum attacks it, in units of each column's deviation, so that its one number is our box."""
    stage = reading.stage
    clean, spread = doubled(stage), stage.spread[name].double()

    def forward(z: torch.Tensor) -> torch.Tensor:
        outputs = reading.rows({**clean, name: z * spread})[1]
        assert outputs is not None
        return outputs

    loss = nn.CrossEntropyLoss(reduction="none")
    z = clean[name] / spread
    if kind == "fgsm":
        found = FGSM(forward, loss)
        found.zero_thresh = 0.0
        return found.perturb(z, level, stage.target) * spread
    found = PGD(forward, loss)
    found.fgsm.zero_thresh = 0.0
    return found.perturb(z, level, attack.PACE / steps * level, steps, stage.target) * spread


@pytest.mark.filterwarnings("ignore:Input Tensor")  # captum asks for gradients itself, and says so
@pytest.mark.parametrize("name", ["left", "right"])
def test_fgsm_moves_every_number_as_captum_does(data: Samples, lmf: nn.Module, name: str) -> None:
    stage = staged(data)
    reading = reader(lmf, stage)
    clean = doubled(stage)
    ours = attack.fgsm(reading.judge, clean, radii(stage, [name], 0.3))
    torch.testing.assert_close(ours[name], theirs(reading, "fgsm", name, 0.3))
    assert not torch.equal(ours[name], clean[name])
    for other in set(clean) - {name}:
        assert torch.equal(ours[other], clean[other])


@pytest.mark.filterwarnings("ignore:Input Tensor")
@pytest.mark.parametrize("level", [0.2, 0.5])
def test_attack_success_is_captums_within_a_point(data: Samples, lmf: nn.Module, level: float) -> None:
    stage = staged(data)
    reading, name = reader(lmf, stage), "left"
    clean = doubled(stage)

    def success(rows: torch.Tensor) -> float:
        with torch.no_grad():
            return 100 * float(reading.judge({**clean, name: rows}).fooled.double().mean())

    box = radii(stage, [name], level)
    one = attack.fgsm(reading.judge, clean, box)[name]
    many = attack.pgd(reading.judge, clean, box, reading.piece)[0][name]
    gaps = [success(one) - success(theirs(reading, "fgsm", name, level))]
    gaps.append(success(many) - success(theirs(reading, "pgd", name, level)))
    assert success(one) > success(clean[name]) + 5, "the attack does something"
    assert np.abs(gaps).max() <= 1.0
    assert gaps[1] >= 0, "the best of all steps is no worse than the last one"


# ---------------------------------------------------------------------------- what must hold of any attack

CASES = [("class", "lmf"), ("class", "concat"), ("real", "lmf"), ("units", "lego"), ("units", "lmf"), ("units", "mtn")]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, data: Samples, clips: Dataset) -> Reader:
    kind, fusion = request.param
    torch.manual_seed(1)
    if kind == "units":
        made = build(fusion, clips.widths, {}, UNITS)
        stage = staged(clips)
    else:
        of = data if kind == "class" else blobs(kind="real")
        made, stage = build(fusion, of.widths, {}, of.task), staged(of)
    for weight in made.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=0.3)
    return reader(made, stage)


def loss(reading: Reader, features: dict[str, torch.Tensor]) -> Verdict:
    with torch.no_grad():
        return reading.judge(features)


@pytest.mark.parametrize("level", [0.05, 0.4])
def test_pgd_stays_in_the_box_and_is_never_weaker_than_fgsm(case: Reader, level: float) -> None:
    """Piece by piece: its loss is at least FGSM's, and it fools whatever FGSM fools."""
    clean, names = doubled(case.stage), list(case.model.widths)
    box = radii(case.stage, names, level)
    corner = attack.fgsm(case.judge, clean, box)
    start = {name: each.double() for name, each in corrupt.uniforms(case.stage.features, 0).items()}
    found, told = attack.pgd(case.judge, clean, box, case.piece, 4, start)
    for name in names:
        for point in (corner, found):
            assert ((point[name] - clean[name]).abs() <= box[name] * (1 + 1e-9) + 1e-12).all()
        moved = (corner[name] - clean[name]).abs()
        assert ((moved == 0) | ((moved - box[name]).abs() <= 1e-9)).all(), "FGSM goes to corners"
    one, many = loss(case, corner), loss(case, found)
    torch.testing.assert_close(many.loss, told.loss, rtol=1e-9, atol=1e-9)
    assert (many.loss >= one.loss - 1e-9).all()
    assert not (one.fooled & ~many.fooled).any()
    assert many.loss.mean() > loss(case, clean).loss.mean(), "it raises the loss"


def test_a_point_that_is_told_is_a_candidate(case: Reader) -> None:
    """PGD without a step, told the worst point of a search, is as bad; told nothing it is FGSM or x itself."""
    clean, names = doubled(case.stage), list(case.model.widths)
    box = radii(case.stage, names, 0.3)
    found, told = attack.pgd(case.judge, clean, box, case.piece, 6)
    _, again = attack.pgd(case.judge, clean, box, case.piece, 1, more=[found])
    assert (again.loss >= told.loss - 1e-9).all() or case.stage.task.kind == "class"
    if case.stage.task.kind == "class":
        assert not (told.fooled & ~again.fooled).any()


def test_a_radius_of_zero_changes_nothing(case: Reader) -> None:
    clean = doubled(case.stage)
    box = radii(case.stage, list(case.model.widths), 0.0)
    for name, rows in attack.pgd(case.judge, clean, box, case.piece, 2)[0].items():
        assert torch.equal(rows, clean[name])


def test_the_gradient_of_a_clips_loss_is_the_slope_of_it(clips: Dataset) -> None:
    """Through windows that overlap, cosines, powers, sorted rows: against central differences."""
    stage = staged(clips)
    torch.manual_seed(0)
    reading = reader(build("lego", clips.widths, {}, UNITS), stage)
    clean = doubled(stage)
    _, slopes = attack.gradients(reading.judge, clean, ["motion"])
    random = np.random.default_rng(0)
    for row, column in zip(random.integers(0, len(stage.answer), 8), random.integers(0, 12, 8), strict=True):
        sides = []
        for step in (1e-5, -1e-5):
            moved = {**clean, "motion": clean["motion"].clone()}
            moved["motion"][row, column] += step
            sides.append(float(loss(reading, moved).loss.sum()))
        slope = (sides[0] - sides[1]) / 2e-5
        assert float(slopes["motion"][row, column]) == pytest.approx(slope, rel=1e-3, abs=1e-7)


def test_units_without_a_label_are_left_alone(clips: Dataset) -> None:
    from dataclasses import replace

    part = list(clips.part("test"))
    part[1] = replace(part[1], labels=None, truth=None, anomalous=None)
    half = Dataset("half", {clip.name: clip for clip in part}, {}, 16.0)
    stage = staged(half)
    reading = reader(FUSIONS["lmf"](half.widths), stage)
    clean = doubled(stage)
    found = attack.fgsm(reading.judge, clean, radii(stage, ["motion"], 0.5))
    moved = (found["motion"] != clean["motion"]).any(1)
    assert torch.equal(moved, stage.known)


def test_a_model_without_a_gradient_is_refused(data: Samples, lmf: nn.Module) -> None:
    stage = staged(data)
    reading = reader(lmf, stage)

    def blind(features: dict[str, torch.Tensor]) -> Verdict:
        told = reading.judge({name: rows.detach() for name, rows in features.items()})
        return Verdict(told.loss.detach(), told.fooled)

    with pytest.raises(ValueError, match="no gradient"):
        attack.fgsm(blind, doubled(stage), radii(stage, ["left"], 0.1))


def test_mkl_has_a_gradient_through_its_kernels(data: Samples) -> None:
    """Solved, not trained, and attacked all the same."""
    model = train(data, Recipe("mkl", {}, TrainConfig(), (0,))).model
    stage = staged(data)
    reading = reader(model, stage)
    clean = doubled(stage)
    box = radii(stage, ["left", "right"], 0.3)
    found, told = attack.pgd(reading.judge, clean, box, reading.piece, 3)
    assert told.loss.mean() > loss(reading, clean).loss.mean() + 0.05
    assert (told.loss >= loss(reading, attack.fgsm(reading.judge, clean, box)).loss - 1e-9).all()

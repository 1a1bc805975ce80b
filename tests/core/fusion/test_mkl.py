"""MKL as a fusion: its answers are those of scikit-learn's machines, its parts add up, its runs come back."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.svm import SVC, SVR

from core import run
from core.data import read
from core.experiments import mkl
from core.explain import mkl as seen
from core.fusion import mkl as module
from core.fusion import svm
from core.fusion.mkl import Mkl, MklConfig, witnesses
from core.recipe import Recipe, TrainConfig
from core.sample import UNITS, Samples, Task
from core.score.infer import outputs, score
from core.train.loop import prepare, train, unit_rows
from tests.core.made import dataset

SHARED = Path(__file__).parents[4] / "shared" / "data"
WIDTHS = {"left": 5, "right": 3}
TASKS = {"units": UNITS, "class": Task("class", ("a", "b", "c")), "real": Task("real", ("x", "y"))}


def data(kind: str, count: int = 60, seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    features = {name: 3 + torch.randn(count, width, generator=random) for name, width in WIDTHS.items()}
    told = features["left"][:, :3] + 0.5 * features["right"]
    if kind == "real":
        return features, 10 * told[:, :2] + 50
    return features, told.argmax(1) if kind == "class" else (told[:, 0] > told[:, 1]).long()


def solved(kind: str, seed: int = 0, count: int = 60, **options: object) -> Mkl:
    torch.manual_seed(seed)
    features, target = data(kind, count)
    model = Mkl(WIDTHS, MklConfig(**options), TASKS[kind]).eval()  # type: ignore[arg-type]
    model.learn(features, target)
    model.solve(features, target, torch.arange(count), 1, lambda *_: None)
    return model


def mixed(model: Mkl, features: dict[str, torch.Tensor], known: dict[str, torch.Tensor]) -> np.ndarray:
    """K_β between rows and known rows, written out: standardised by the known rows' mean and spread."""
    beta = model.beta.detach().double().numpy()[:, 0]
    total = 0.0
    for name, weight in zip(WIDTHS, beta, strict=True):
        mean, spread = known[name].double().mean(0), known[name].double().std(0, correction=0)
        x, y = ((rows[name].double() - mean) / spread for rows in (features, known))
        sigma = torch.nn.functional.pdist(y).median()
        total = total + weight * torch.exp(-torch.cdist(x, y).square() / (2 * sigma**2)).numpy()
    return np.asarray(total)


@pytest.mark.parametrize("kind", TASKS)
def test_answers_are_those_of_scikit_learns_machines_on_the_same_kernel(kind: str) -> None:
    model, (known, target), (asked, _) = solved(kind, C=2.0), data(kind), data(kind, 20, 1)
    K, L = mixed(model, known, known), mixed(model, asked, known)
    found = outputs(model, asked)
    if kind == "real":
        wanted = (target - target.mean(0)) / target.std(0, correction=0)
        for o in range(2):
            machine = SVR(kernel="precomputed", C=2.0, epsilon=0.1, tol=1e-6).fit(K, wanted[:, o])
            expected = machine.predict(L) * float(target[:, o].std(correction=0)) + float(target[:, o].mean())
            np.testing.assert_allclose(found[:, o], expected, atol=0.02)
        return
    labels = [target.numpy() == c for c in range(3)] if kind == "class" else [target.numpy() == 1]
    for o, positive in enumerate(labels):
        machine = SVC(kernel="precomputed", C=2.0, tol=1e-6).fit(K, positive)
        f = machine.decision_function(L)
        logit = model.slope[o].item() * f + model.offset[o].item()
        np.testing.assert_allclose(found[:, o], logit, atol=0.01 * np.abs(logit).max())


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("options", [{"kernel": "all"}, {"kernel": "linear", "normalise": "trace", "weights": "each"}])
def test_the_kernels_parts_and_the_bias_are_the_output(kind: str, options: dict[str, str]) -> None:
    model, (asked, _) = solved(kind, **options), data(kind, 9, 2)
    fused = model(asked)
    assert fused.trace.terms.shape == (9, len(model.kernels), TASKS[kind].outputs)
    total = fused.trace.terms.sum(-2) + fused.trace.bias
    torch.testing.assert_close(model.standard.real(total) if kind == "real" else total, fused.outputs)
    norms = [svm.norm(column, 2.0) for column in model.beta.detach().double().numpy().T]
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


def test_a_set_of_weights_for_each_class_is_that_class_alone() -> None:
    both, (features, target) = solved("class", weights="each"), data("class")
    assert both.beta.shape == (2, 3)
    for o in range(3):
        alone = Mkl(WIDTHS, MklConfig(), UNITS)
        alone.learn(features)
        alone.solve(features, (target == o).long(), torch.arange(60), 1, lambda *_: None)
        torch.testing.assert_close(both.beta[:, o], alone.beta[:, 0])
    shared = solved("class")
    assert shared.beta.shape == (2, 1)
    assert not torch.allclose(both.beta, shared.beta.expand(-1, 3), atol=1e-3)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
def test_normalised_kernels_have_length_1(kernel: str) -> None:
    features, _ = data("class")
    cosine, trace = (
        solved("class", kernel=kernel, normalise=how).kernels_of(features)[0].diagonal() for how in ("cosine", "trace")
    )
    np.testing.assert_allclose(cosine, 1, rtol=1e-6)
    assert trace.mean() == pytest.approx(1)


def test_a_missing_modality_adds_nothing_to_a_linear_kernel_and_the_mean_to_others() -> None:
    features, _ = data("class", 10, 3)
    rest = {"left": features["left"]}
    assert not solved("class", kernel="linear")(rest).trace.terms[:, 1].any()
    terms = solved("class")(rest).trace.terms[:, 1]
    torch.testing.assert_close(terms, terms[:1].expand_as(terms))
    assert terms.any()


def test_the_mean_itself_has_no_direction() -> None:
    """A cosine divides by the row's length; a row that is the mean up to rounding must not become a row of length 1."""
    model, (known, _) = solved("class", kernel="linear"), data("class")
    mean = {name: rows.double().mean(0, keepdim=True).float() for name, rows in known.items()}
    near = model({name: rows + 1e-6 for name, rows in mean.items()}).trace.terms
    far = model({name: rows + 1.0 for name, rows in mean.items()}).trace.terms
    assert near.abs().max() < 1e-3 * far.abs().max()


def test_all_directions_are_as_good_as_the_columns_and_few_are_those_of_pca() -> None:
    """Kernels know distances and inner products alone, which a rotation leaves as they are."""
    asked, _ = data("class", 20, 4)
    whole = outputs(solved("class", kernel="all"), asked)
    np.testing.assert_allclose(outputs(solved("class", kernel="all", project=99), asked), whole, atol=2e-3)
    few, (known, _) = solved("class", project=2), data("class")
    rows = few.rows(known)["left"].numpy()
    expected = PCA(2, svd_solver="full").fit_transform(rows)
    np.testing.assert_allclose(np.abs(few.seen(known)["left"].numpy()), np.abs(expected), atol=1e-4)
    assert few.get_buffer("support_of_left").shape[1] == 2


def test_rows_beyond_the_cap_are_drawn_evenly_and_said_so() -> None:
    features, target = data("class", 120)
    model = Mkl(WIDTHS, MklConfig(most=45), TASKS["class"])
    model.learn(features)
    torch.manual_seed(0)
    drawn = model.drawn(target)
    share = torch.bincount(target[drawn]) / torch.bincount(target)
    assert (share - 45 / 120).abs().max() < 0.03
    note = model.solve(features, target, torch.arange(120), 1, lambda *_: None).note
    assert f"solved on {len(drawn)} of 120 training rows" in note
    assert 42 < len(drawn) <= 45
    assert len(model.a) <= len(drawn)
    assert model.solve(*data("class", 30), torch.arange(30), 1, lambda *_: None).note == ""


def test_a_solution_that_stops_early_says_its_gap() -> None:
    model, (features, target) = Mkl(WIDTHS, MklConfig(p=1.0, rounds=1), TASKS["class"]), data("class")
    model.learn(features)
    said = model.solve(features, target, torch.arange(60), 1, lambda *_: None)
    assert len(said.history) == 1
    assert f"gap is {said.history[0]['gap']:.1e} after 1 rounds" in said.note


def test_many_rows_are_answered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (asked, _) = solved("class"), data("class", 50, 5)
    whole = model(asked).outputs
    monkeypatch.setattr(module, "ENTRIES", 7 * len(model.a))
    torch.testing.assert_close(model(asked).outputs, whole)


def test_witnesses_are_the_units_the_machine_calls_so_and_the_highest_of_each_clip() -> None:
    f = np.array([0.5, -0.1, 0.3, -3.0, -2.0, -4.0, 0.9, 0.9])
    bags = np.repeat([0, 1, 2], [3, 3, 2])
    anomalous = bags < 2
    assert witnesses(f, anomalous, bags, 1).tolist() == [1, -1, 1, -1, 1, -1, -1, -1]
    assert witnesses(f, anomalous, bags, 2).tolist() == [1, -1, 1, 1, 1, -1, -1, -1]


# ---------------------------------------------------------------------------- as a run


def test_clips_are_learned_from_clip_labels_alone_and_the_run_comes_back(tmp_path: Path) -> None:
    made = dataset(train=16, test=8)
    blind = replace(made, clips={name: replace(clip, labels=None, truth=None, anomalous=clip.anomalous)
                                 if name in made.splits["weak"]["train"] else clip
                                 for name, clip in made.clips.items()})  # fmt: skip
    one = train(made, Recipe("mkl", {"p": "inf", "witness": 2, "most": 300}, TrainConfig(units=24)))
    two = train(blind, Recipe("mkl", {"p": "inf", "witness": 2, "most": 300}, TrainConfig(units=24)))
    assert one.run.metrics["auc"] > 80
    assert "of 384 training rows" in one.run.note
    for key, values in one.model.state_dict().items():
        assert torch.equal(values, two.model.state_dict()[key]), key
    folder = run.save(one.run, one.model.state_dict(), one.history, tmp_path)
    assert json.loads((folder / "run.json").read_text())["config"]["p"] == "inf"
    clips = made.part("test")
    again = score(run.model(folder), clips)
    assert all((again[name] == values).all() for name, values in score(one.model, clips).items())
    history = run.history(folder)
    assert history[-1]["gap"] <= 1e-4
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    with pytest.raises(ValueError, match="needs unit labels"):
        train(blind, Recipe("mkl", {}, TrainConfig(supervision="unit")))


def test_crops_are_rows_of_their_own_with_the_label_of_their_unit() -> None:
    made = dataset(train=4, test=2)
    first, *others = made.part("train")
    cropped = replace(first, features={name: torch.stack([rows, rows + 1]) for name, rows in first.features.items()})
    ready = prepare([cropped, *others], tuple(made.widths), 8)
    features, target, place = unit_rows(ready, "unit")
    assert ready.labels is not None
    assert features["motion"].shape == (4 * 2 * 8, 12)
    torch.testing.assert_close(features["motion"][8:16], features["motion"][:8] + 1)
    assert place.tolist() == [clip for clip in range(4) for _ in range(16)]
    assert target.tolist() == [label for clip in ready.labels.long().tolist() for _ in range(2) for label in clip]
    assert unit_rows(ready, "clip")[1].tolist() == [int(ready.anomalous[clip]) for clip in place]


@pytest.mark.parametrize("change", [{"a": (7, 3)}, {"support_of_left": (7, 5)}, {"beta": (9, 1)}, {"a": (7,)}])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, tuple[int, ...]]) -> None:
    features, target = data("class")
    parts = {"half": {"train": torch.arange(40), "test": torch.arange(40, 60)}}
    done = train(Samples("set", features, target, TASKS["class"], parts), Recipe("mkl"))
    weights = done.model.state_dict() | {name: torch.zeros(shape) for name, shape in change.items()}
    folder = run.save(done.run, weights, done.history, tmp_path)
    with pytest.raises(ValueError, match="do not fit its config"):
        run.model(folder)


# ---------------------------------------------------------------------------- at another p, and real data


def test_the_runs_own_p_solved_again_gives_its_own_weights() -> None:
    features, target = data("class", 90)
    parts = {"half": {"train": torch.arange(60), "test": torch.arange(60, 90)}}
    made = Samples("set", features, target, TASKS["class"], parts)
    done = train(made, Recipe("mkl", {"p": 1.5, "kernel": "all"}))
    again = seen.at_norm(done.model, made, made.part("test").flat(), 1.5)
    np.testing.assert_array_equal(again.beta, done.model.beta.detach().double().numpy())
    assert again.value == pytest.approx(done.run.metrics["accuracy"])
    assert (again.rows, again.of, again.rounds) == (60, 60, len(done.history))
    assert again.share.sum() == pytest.approx(1)
    even = seen.at_norm(done.model, made, made.part("test").flat(), math.inf, most=30)
    np.testing.assert_array_equal(even.beta, 1)
    assert even.rows == 30


def test_panels_are_the_kernels_on_the_rows_that_are_drawn() -> None:
    features, target = data("class", 90)
    made = Samples("set", features, target, TASKS["class"], {})
    model = solved("class", kernel="all")
    found = seen.panels(model, made.part("all").flat())
    assert [each.name for each in found.panels] == [
        *(f"{side}, {kind}" for side in WIDTHS for kind in svm.KINDS), "all together"]  # fmt: skip
    K = model.kernels_of(features)
    mixed_kernel = np.tensordot(model.beta.detach().numpy()[:, 0], K, 1)
    assert found.panels[-1].separation == pytest.approx(svm.separation(mixed_kernel, target.numpy()))
    assert found.panels[1].separation == pytest.approx(svm.separation(K[1], target.numpy()))
    assert found.chance == pytest.approx(2 / 89)
    assert len(found.rows) == 90
    assert len(seen.drawn_rows(5000, 2)) <= seen.MOST_ROWS
    real = seen.panels(solved("real"), Samples("r", *data("real", 30), TASKS["real"], {}).part("all").flat())
    assert math.isnan(real.panels[0].separation)
    assert 0 < real.panels[0].alignment < 1


@pytest.mark.skipif(not (SHARED / "mfeat").is_dir(), reason="needs ../shared/data")
def test_six_views_of_digits() -> None:
    """METHODS section 4 on one draw of 400 rows; the mean over five is `python -m core experiment mkl`."""
    found = mkl.views(read(SHARED / "mfeat"), MklConfig(), seed=3, asked=(1.0, 64.0))
    assert max(found.gap.values()) <= 1e-4
    assert max(found.stationarity.values()) <= 0.01
    assert abs(found.accuracy[64.0] - found.average) <= 0.5
    assert found.noise[1.0] < 0.1
    assert found.noise[64.0] > found.noise[2.0] > found.noise[1.0]
    assert found.average > max(found.single.values()) + 2
    assert found.average > 97.5
    assert found.order < 5e-3
    assert set(found.recall) == {str(k) for k in range(10)}

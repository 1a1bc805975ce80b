"""Runs under corruption: strength 0 is the clean score, all meet the same draws, tables, the claim about ranks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core import run as runs
from core.clip import Clip
from core.data import native
from core.data.samples import native as native_samples
from core.dataset import Dataset
from core.experiments import ranks
from core.fusion.base import Fusion
from core.measure import tests
from core.measure.metrics import measure
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import UNITS, Samples
from core.score.infer import outputs, score
from core.train.loop import train
from core.trust import corrupt, record
from core.trust.rows import of_clips, reader, staged
from core.trust.stress import KINDS, stressed
from tests.core.made import clip, dataset
from tests.core.trust.test_attack import blobs

CASES = [("lego", {}), ("lego", {"project": None}), ("mtn", {}), ("lmf", {}), ("concat", {"level": "graph"})]
FEW = {kind: about.levels[:: len(about.levels) // 2] for kind, about in KINDS.items()}


def drawn(fusion: str, options: dict[str, object], data: Dataset | Samples) -> Fusion:
    torch.manual_seed(0)
    model = build(fusion, data.widths, options, data.task if isinstance(data, Samples) else UNITS)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.25)
    return model.eval()


@pytest.fixture(scope="module")
def clips() -> Dataset:
    """Short and long clips: LEGO's window of 32 repeats some and cuts others into overlapping parts."""
    found = dataset(train=6, test=4)
    long = {name: clip(name, units, seed=units) for name, units in (("long", 70), ("exact", 32))}
    split = {"train": found.splits["weak"]["train"], "test": (*found.splits["weak"]["test"], *long)}
    return replace(found, clips={**found.clips, **long}, splits={"weak": split})


@pytest.fixture(scope="module")
def samples() -> Samples:
    return blobs()


# ---------------------------------------------------------------------------- strength 0 is what the pages show


@pytest.mark.parametrize(("fusion", "options"), CASES, ids=lambda each: str(each))
def test_strength_0_is_the_clean_score(clips: Dataset, fusion: str, options: dict[str, object]) -> None:
    model, test = drawn(fusion, options, clips), clips.part("test")
    wanted = score(model, test)
    for kind in KINDS:
        found = stressed(model, staged(clips), kind, levels=FEW[kind][:2], draws=1, steps=1)
        np.testing.assert_array_equal(found.scores[0], np.concatenate([wanted[each.name] for each in test]))
        assert found.mean[0] == measure(wanted, test).auc
        assert not np.array_equal(found.scores[1], found.scores[0]), kind


def test_strength_0_is_the_clean_answer_of_samples(samples: Samples) -> None:
    model, test = drawn("lmf", {}, samples), samples.part("test")
    for kind in ("noise", "fgsm", "pgd", "drop", "zero"):
        found = stressed(model, staged(samples), kind, levels=FEW[kind][:2], draws=2, steps=1)
        assert found.outputs is not None
        np.testing.assert_array_equal(found.outputs[0], outputs(model, test.features))
        assert found.mean[0] == measure(outputs(model, test.features), test).accuracy


def test_crops_are_averaged_as_everywhere() -> None:
    test = [clip("a", 12, crops=3), clip("b", 40, crops=3, seed=1), clip("c", 9, seed=2)]
    mixed = Clip("d", {"motion": test[0].features["motion"], "text": test[0].features["text"][0]}, test[0].labels, 1.0)
    test.append(mixed)
    stage = of_clips(test, None)
    for fusion in ("lego", "lmf"):
        model = drawn(fusion, {}, dataset())
        found = stressed(model, stage, "noise", levels=(0.0, 1.0), draws=1)
        np.testing.assert_allclose(found.scores[0], np.concatenate(list(score(model, test).values())), atol=2e-7)


# ---------------------------------------------------------------------------- the same for every run


def test_the_noise_is_the_same_whatever_a_run_reads(clips: Dataset) -> None:
    """A run of motion alone under noise on both is the same as under noise on motion; and as noise made by hand."""
    model = drawn("single", {"modality": "motion", "level": "feature"}, clips)
    stage = staged(clips)
    both, one = (stressed(model, stage, "noise", names) for names in (("motion", "text"), ("motion",)))
    np.testing.assert_array_equal(both.values, one.values)
    blind = stressed(model, stage, "noise", ("text",))
    np.testing.assert_array_equal(blind.scores, np.broadcast_to(blind.scores[0], blind.scores.shape))
    lmf = drawn("lmf", {}, clips)
    fused = stressed(lmf, stage, "noise", ("motion",), levels=(0.0, 1.0), draws=1)
    wide = {name: rows.double() for name, rows in stage.features.items()}
    noise = stage.spread["motion"].double() * corrupt.gaussians(stage.features, 0)["motion"]
    by_hand = reader(lmf, stage).answers({**wide, "motion": wide["motion"] + noise})[0]
    np.testing.assert_array_equal(fused.scores[1], by_hand)
    alone = build("lmf", {"text": clips.widths["text"]}, {}, UNITS)  # the second of the drawn modalities
    drawn_for_all = wide["text"] + stage.spread["text"].double() * corrupt.gaussians(stage.features, 0)["text"]
    by_hand = reader(alone, stage).answers({"text": drawn_for_all})[0]
    np.testing.assert_array_equal(stressed(alone, stage, "noise", levels=(0.0, 1.0), draws=1).scores[1], by_hand)


def test_the_spread_is_the_training_parts(clips: Dataset) -> None:
    rows = torch.cat([each.features["motion"] for each in clips.part("train")])
    torch.testing.assert_close(staged(clips).spread["motion"], rows.std(0, correction=0))
    nobody = Dataset("test", {each.name: each for each in clips.part("test")}, {}, 16.0)
    rows = torch.cat([each.features["motion"] for each in clips.part("test")])
    torch.testing.assert_close(staged(nobody).spread["motion"], rows.std(0, correction=0))


# ---------------------------------------------------------------------------- what is lost altogether


def test_to_lose_every_row_is_to_miss_the_modality(clips: Dataset, samples: Samples) -> None:
    """Of samples the training mean, which methods take for a missing one; of LEGO equal rows, a graph of ones."""
    model, test = drawn("lmf", {}, samples), samples.part("test")
    model.learn(samples.part("train").features)  # type: ignore[arg-type]
    found = stressed(model, staged(samples), "drop", ("left",))
    assert found.outputs is not None
    np.testing.assert_allclose(found.outputs[-1], outputs(model, {"right": test.features["right"]}), atol=1e-6)
    lego, units = drawn("lego", {"project": None}, clips), clips.part("test")
    found = stressed(lego, staged(clips), "drop", ("text",))
    without = score(lego, [each.keep(("motion",)) for each in units])
    np.testing.assert_allclose(found.scores[-1], np.concatenate(list(without.values())), atol=1e-6)


def test_rows_of_zeros_are_zeros(samples: Samples) -> None:
    model, test = drawn("lmf", {}, samples), samples.part("test")
    found = stressed(model, staged(samples), "zero", ("left",))
    assert found.outputs is not None
    nothing = {**test.features, "left": torch.zeros_like(test.features["left"])}
    np.testing.assert_array_equal(found.outputs[-1], outputs(model, nothing))


def test_a_shift_of_all_modalities_shifts_the_scores_of_rows_that_stand_alone(clips: Dataset) -> None:
    model, stage = drawn("lmf", {}, clips), staged(clips)
    found = stressed(model, stage, "shift", levels=(0.0, 2.0))
    for start, stop in stage.strips:
        np.testing.assert_allclose(found.scores[1, start + 2 : stop], found.scores[0, start : stop - 2], atol=1e-7)
        np.testing.assert_allclose(found.scores[1, start : start + 2], found.scores[0, start], atol=1e-7)
    assert found.values.shape == (2, 2), "late and early"


# ---------------------------------------------------------------------------- attacks as curves


@pytest.mark.parametrize("fusion", ["lego", "lmf"])
def test_attacks_are_monotone_and_pgd_is_never_weaker(clips: Dataset, fusion: str) -> None:
    model, stage = drawn(fusion, {}, clips), staged(clips)
    one, many = (stressed(model, stage, kind, steps=3) for kind in ("fgsm", "pgd"))
    assert (many.loss >= one.loss - 1e-9).all()
    assert (np.diff(many.loss) >= -1e-9).all(), "a larger box holds the smaller one"
    assert many.loss[-1] > many.loss[0]
    if fusion == "lmf":  # a higher loss of a unit is a lower or higher score, as its label has it
        assert (many.mean <= one.mean + 1e-9).all()


def test_fgsm_on_a_linear_model_is_known(samples: Samples) -> None:
    """Logits are linear in the rows: of real targets the attack moves every output by epsilon times sum |w| spread."""
    data = blobs(kind="real")
    data = replace(data, target=data.target[:, :1], task=replace(data.task, names=("x",)))
    alone = replace(data, features={"left": data.features["left"]})
    model, stage = drawn("lmf", {"rank": 2}, alone), staged(alone)  # of one modality LMF is a linear map
    found = stressed(model, stage, "fgsm", levels=(0.0, 0.1, 0.2))
    assert found.outputs is not None
    moves = np.abs(found.outputs - found.outputs[0])[..., 0]
    np.testing.assert_allclose(moves[1], moves[1, 0], rtol=1e-4)
    np.testing.assert_allclose(moves[2], 2 * moves[1], rtol=1e-4)


# ---------------------------------------------------------------------------- what cannot be


def test_what_cannot_be_is_said(clips: Dataset, samples: Samples) -> None:
    model, stage = drawn("lmf", {}, samples), staged(samples)
    for words, arguments in (
        ("no corruption 'heat'", {"kind": "heat"}),
        ("no modality 'smell'", {"kind": "noise", "modalities": ("smell",)}),
        ("samples have no time", {"kind": "shift"}),
        ("begin at 0", {"kind": "noise", "levels": (0.5, 1.0)}),
    ):
        with pytest.raises(ValueError, match=words):
            stressed(model, stage, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="LMF reads 'motion' in this run, these data have left, right"):
        stressed(drawn("lmf", {}, clips), stage, "noise")
    with pytest.raises(ValueError, match="trained for classes in this run, these data hold real targets"):
        stressed(model, staged(blobs(kind="real")), "noise")
    blank = [replace(each, labels=None, truth=None, anomalous=None) for each in clips.part("test")]
    unknown = of_clips(blank, None)
    with pytest.raises(ValueError, match="no unit here has a label"):
        stressed(drawn("lmf", {}, clips), unknown, "pgd")
    found = stressed(drawn("lmf", {}, clips), unknown, "noise")
    assert np.isnan(found.values).all()
    assert "label" in found.why
    assert found.moved[0] == 0
    assert found.moved[-1] > 0
    normal = [replace(each, labels=torch.zeros_like(each.labels), truth=()) for each in clips.part("test")]
    assert "normal" in stressed(drawn("lmf", {}, clips), of_clips(normal, None), "fgsm").why


def test_a_large_part_is_drawn_from_and_says_so(clips: Dataset, samples: Samples) -> None:
    stage = staged(samples, entries=11 * 20)
    assert len(stage) == 20
    assert "20 of 150 samples" in stage.note
    few = staged(clips, entries=20 * 60)
    assert few.note
    assert 1 <= len(few.clips) < len(clips.part("test"))
    assert sum(count for _, count in few.clips) == len(few)
    with pytest.raises(ValueError, match="clips, drawn at random"):
        few.units("nobody")
    name = few.clips[-1][0]
    assert few.units(name).stop == len(few)


# ---------------------------------------------------------------------------- tables and the claim


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Samples]:
    root = tmp_path_factory.mktemp("ranks")
    data = native_samples.read(native_samples.write(blobs(), root / "data") or root / "data")
    training = TrainConfig(epochs=4, batch=50, lr=0.01)
    for rank, seeds in ((1, 2), (4, 2)):
        for seed in range(seeds):
            done = train(data, Recipe("lmf", {"rank": rank, "out": 4}, training, (seed,)))
            runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    done = train(data, Recipe("concat", {}, training, (0,)))
    runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root, data


def test_the_table_is_the_curves_of_its_runs(stored: tuple[Path, Samples]) -> None:
    root, data = stored
    every = record.trained_on(data, root / "runs")
    assert len(every) == 5
    found, text = record.table(data, [f for f in every if runs.load(f).config.get("rank", 1) == 1])
    json.dumps(found, allow_nan=False)
    assert found["runs"] == 3
    assert found["pgd_softer_than_fgsm"] == 0
    assert sorted(row["seeds"] for row in found["rows"]) == [1, 2]
    assert set(found["corruptions"]) == {"noise", "fgsm", "pgd", "drop", "zero"}
    row = next(row for row in found["rows"] if row["title"].startswith("concat"))
    model = runs.model(next(path for path in (root / "runs").iterdir() if path.name.startswith("concat")))
    noise = stressed(model, staged(data), "noise")
    assert row["area"]["noise"] == {"mean": pytest.approx(corrupt.area(noise.mean, noise.levels)), "sd": None}
    assert row["kept"]["noise"]["mean"] == pytest.approx(100 * noise.area / noise.mean[0])
    for title in (row["title"], "area pgd", "ECE"):
        assert title in text


def test_the_largest_set_of_runs_that_differ_in_rank_alone(stored: tuple[Path, Samples]) -> None:
    root, data = stored
    folders = ranks.of_ranks(record.trained_on(data, root / "runs"))
    assert sorted((runs.load(f).config["rank"], runs.load(f).seed) for f in folders) == [(1, 0), (1, 1), (4, 0), (4, 1)]
    found = record.records(data, folders, kinds=("noise", "drop"))
    result, text = ranks.rank_report(data.name, found)
    json.dumps(result, allow_nan=False)
    assert [each["kind"] for each in result["trends"]] == ["noise", "drop"]
    assert result["verdict"] in text
    with pytest.raises(ValueError, match="two ranks or more"):
        ranks.rank_report(data.name, found[:1])


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.floats(0, 100)), min_size=4, max_size=20).filter(
        lambda rows: len({rank for rank, _ in rows}) > 1 and np.std([kept for _, kept in rows]) > 1
    )
)
@settings(max_examples=25, deadline=None)
def test_the_slope_is_that_of_least_squares(rows: list[tuple[int, float]]) -> None:
    ranks, kept = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    slope, low, high, p = tests.trend(ranks, kept)
    table = np.column_stack([np.log2(ranks), np.ones(len(rows))])
    expected, (rest, *_), *_ = np.linalg.lstsq(table, kept)
    error = float(np.sqrt(rest / (len(rows) - 2) * np.linalg.inv(table.T @ table)[0, 0]))
    assert slope == pytest.approx(expected[0], abs=1e-9)
    if error > 1e-3:
        assert p == pytest.approx(2 * stats.t.sf(abs(slope) / error, len(rows) - 2), abs=1e-6)
        assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, len(rows) - 2) * error, rel=1e-6)


def test_a_flat_line_has_no_slope_and_one_rank_none_to_tell() -> None:
    assert tests.trend(np.array([1.0, 2.0, 4.0]), np.full(3, 80.0)) == (0.0, 0.0, 0.0, 1.0)
    assert np.isnan(tests.trend(np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]))).all()


def test_the_gap_is_welchs() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(3, 1, 5), random.normal(1, 3, 8)
    gap, low, high = tests.welch(a, b)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert gap == pytest.approx(a.mean() - b.mean())


@pytest.mark.parametrize(("direction", "said"), [(-3.0, "supported"), (3.0, "contradicted"), (0.0, "not decided")])
def test_verdicts_follow_the_slope(stored: tuple[Path, Samples], direction: float, said: str) -> None:
    """Planted: what is kept falls, grows or does not move with the rank."""
    root, data = stored
    run = runs.load(next(iter(ranks.of_ranks(record.trained_on(data, root / "runs")))))
    random = np.random.default_rng(1)
    made = []
    for rank in (1, 2, 4, 8):
        for seed in range(4):
            kept = 80 + direction * np.log2(rank) + random.normal()
            mine = replace(run, config={**run.config, "rank": rank}, seed=seed)
            made.append(record.Record(mine, 90.0, {}, {"noise": kept}, {}, 1.0, 0, 0, 0.0, 0.0))
    found = ranks.trends(made)
    assert [each.verdict for each in found] == [said]
    assert said in ranks.verdict(found)
    if direction:
        assert found[0].low < direction < found[0].high
        assert found[0].lowest == pytest.approx(-3 * direction, abs=2)


def test_clips_of_a_folder_run_in_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from core.cli.main import app

    made = dataset(train=4, test=3)
    native.write(made, tmp_path / "data")
    data = native.read(tmp_path / "data")
    done = train(data, Recipe("lmf", {"rank": 1, "out": 2}, TrainConfig(epochs=1), (0,)))
    runs.save(done.run, done.model.state_dict(), done.history, tmp_path / "runs")
    app(["robustness", str(tmp_path / "runs"), str(tmp_path / "data"), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["rows"][0]["area"].keys() == KINDS.keys()
    assert told["rows"][0]["clean"]["mean"] == pytest.approx(done.run.metrics["auc"])
    with pytest.raises(ValueError, match="wants one run"):
        app(["robustness", str(tmp_path / "data")], standalone_mode=False)

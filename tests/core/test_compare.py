"""Runs side by side: tests against scipy and DeLong, hostile names, the command."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from core import compare as c
from core import run as runs
from core.cli.main import app as commands
from core.compare.judged import frames_of_units
from core.data import native, read
from core.data.samples import native as sample_files
from core.measure import redraw
from core.measure.metrics import auc, measure, pooled_frames
from core.recipe import Recipe, TrainConfig
from core.sample import Part, Task
from core.score.infer import score
from core.score.judge import alone
from core.train.loop import train
from tests.core.made import dataset
from tests.core.measure.test_redraw import made_clips
from tests.core.train.test_loop import CLASSES, vectors


def test_frames_are_counted_as_the_metric_counts_them() -> None:
    clips, scores = made_clips(5)
    counted = np.concatenate([frames_of_units(each) for each in clips], axis=1).sum(1)
    _, labels = pooled_frames(scores, clips)
    assert counted.tolist() == [labels.sum(), (~labels).sum()]


# ---------------------------------------------------------------------------- tests


def delong(scores_a: np.ndarray, scores_b: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Difference of two AUCs (percent) and its standard error after DeLong et al. (1988), every pair compared."""

    def placements(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wins = (s[labels][:, None] > s[~labels]) + 0.5 * (s[labels][:, None] == s[~labels])
        return wins.mean(1), wins.mean(0)

    (pa, na), (pb, nb) = placements(scores_a), placements(scores_b)
    variance = np.var(pa - pb, ddof=1) / labels.sum() + np.var(na - nb, ddof=1) / (~labels).sum()
    return 100 * (pa.mean() - pb.mean()), 100 * float(np.sqrt(variance))


def one_unit_clips(count: int, gain_a: float, gain_b: float, seed: int) -> tuple:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2 == 0
    common = random.normal(size=count)
    sides = [gain * labels + common + random.normal(size=count) for gain in (gain_a, gain_b)]
    return labels, sides


@pytest.mark.parametrize(("count", "gains"), [(90, (1.0, 1.0)), (400, (2.0, 1.4))])
def test_the_paired_test_agrees_with_delongs_where_every_clip_is_one_unit(count: int, gains: tuple) -> None:
    labels, (a, b) = one_unit_clips(count, *gains, seed=5)
    of, odd = np.arange(count), labels.astype(float)
    sides = [
        c.Judged(
            "auc", {"auc": auc(s, labels)}, {"auc": redraw.auc_draws(s, odd, 1 - odd, of, count)}, None, count, False
        )
        for s in (a, b)
    ]
    found = c.difference({0: sides[0]}, {0: sides[1]}, "auc")
    delta, error = delong(a, b, labels)
    assert found.delta == pytest.approx(delta)
    assert (found.high - found.low) / (2 * norm.ppf(0.975)) == pytest.approx(error, rel=0.12)
    assert found.p == pytest.approx(2 * norm.sf(abs(delta) / error), abs=0.05)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 1), (12, 12), (30, 11), (3, 40)])
def test_mcnemar_is_a_binomial_test_of_who_is_right_alone(only_a: int, only_b: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True] * 7 + [False] * 5)
    b = np.array([False] * only_a + [True] * only_b + [True] * 7 + [False] * 5)
    wanted = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert c.mcnemar(a, b) == pytest.approx(wanted)


def test_holm_gives_the_textbook_numbers() -> None:
    assert c.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert c.holm([0.6, 0.001, 0.7]) == pytest.approx([1.0, 0.003, 1.0])


def test_a_run_is_not_told_apart_from_itself() -> None:
    clips, scores = made_clips()
    judged = c.judge(scores, clips)
    for seeds in ({0: judged}, {0: judged, 1: judged}):
        found = c.difference(seeds, seeds, "auc")
        assert (found.delta, found.low, found.high, found.p, found.verdict) == (0, 0, 0, 1, "not told apart")


def test_a_planted_difference_is_found_and_its_mirror_is_worse() -> None:
    clips, scores = made_clips(20)
    random = np.random.default_rng(0)
    noise = {name: random.normal(size=len(each)).astype(np.float32) for name, each in scores.items()}
    good, bad = c.judge(scores, clips), c.judge(noise, clips)
    found, mirror = (c.difference({0: x}, {0: y}, "auc") for x, y in ((good, bad), (bad, good)))
    assert found.verdict == "better"
    assert mirror.verdict == "worse"
    assert (mirror.delta, mirror.low, mirror.high) == pytest.approx((-found.delta, -found.high, -found.low))
    assert mirror.p == found.p < 0.01
    assert c.difference({0: good}, {0: good, 7: bad}, "auc").seeds == 1
    assert not c.difference({0: good}, {7: bad}, "auc").paired


def test_of_errors_less_is_better() -> None:
    assert c.verdict(-1.0, 0.01, "mae") == "better"
    assert c.verdict(-1.0, 0.01, "auc") == "worse"
    assert c.verdict(-1.0, 0.05, "auc") == "not told apart"
    assert c.verdict(float("nan"), float("nan"), "auc") == "undefined"


def test_the_test_keeps_its_level_when_clips_and_seeds_both_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of three seeds whose models are drawn alike, clips with a mood of their own: 5 % are told apart."""
    random = np.random.default_rng(11)
    monkeypatch.setattr(redraw, "DRAWS", 600)
    clips, units, rejected, covered = 23, 5, 0, 0  # as many clips as no other test has: draws are kept
    of = np.repeat(np.arange(clips), units)
    trials = 100
    for _ in range(trials):
        labels = (random.random(clips * units) < 0.3) & (of % 2 == 0)
        odd, mood = labels.astype(float), random.normal(size=clips)[of]
        groups = []
        for gain in (1.0, 1.0):
            runs_ = {}
            for seed in range(3):
                s = (gain + 0.3 * random.normal()) * labels + 0.7 * mood + random.normal(size=len(of))
                runs_[seed] = c.Judged(
                    "auc",
                    {"auc": auc(s, labels)},
                    {"auc": redraw.auc_draws(s, odd, 1 - odd, of, clips)},
                    None,
                    clips,
                    False,
                )
            groups.append(runs_)
        found = c.difference(groups[0], groups[1], "auc")
        rejected += found.p < 0.05
        covered += found.low <= 0 <= found.high
    assert rejected <= 0.1 * trials  # at 5 % more would happen once in 90 times
    assert covered >= 0.9 * trials


def test_the_interval_over_seeds_is_students() -> None:
    judged = [c.Judged("auc", {"auc": v}, {"auc": np.array([v, v])}, None, 1, False) for v in (70.0, 74.0, 75.5)]
    found = c.estimate(judged, "auc")
    values = np.array([70.0, 74.0, 75.5])
    wanted = student.interval(0.95, 2, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(3))
    assert (found.seeds_low, found.seeds_high) == pytest.approx(wanted)
    assert np.isnan(c.estimate(judged[:1], "auc").seeds_low)


def test_what_has_no_truth_or_one_class_is_undefined_and_says_why() -> None:
    clips, scores = made_clips(4)
    blind = tuple(replace(each, labels=None, truth=None) for each in clips)
    quiet = tuple(replace(each, labels=torch.zeros(each.units, dtype=torch.bool), truth=()) for each in clips)
    for some, word in ((blind, "no clip has unit labels"), (quiet, "needs both kinds")):
        judged = c.judge(scores, some)
        assert word in judged.why
        found = c.difference({0: judged}, {0: judged}, "auc")
        assert found.verdict == "undefined"
        assert np.isnan(found.p)
        assert np.isnan(c.estimate([judged], "auc").clips_low)
    wild = c.judge({name: each * np.nan for name, each in scores.items()}, clips)
    assert "not finite" in wild.why


# ---------------------------------------------------------------------------- disagreement


def test_the_largest_disagreement_is_where_percentiles_differ_most() -> None:
    clips, scores = made_clips(3)
    other = {name: each.copy() for name, each in scores.items()}
    name = clips[1].name
    other[name][2] = 9.0  # by far the highest
    found = c.disagreement_of([scores], [other], clips)
    at = clips[0].units + 2
    assert found.order[0] == at
    values = np.concatenate([other[each.name] for each in clips])
    n = len(values)
    slow = [100 * ((values < v).sum() + 0.5 * ((values == v).sum() - 1)) / (n - 1) for v in values]
    np.testing.assert_allclose(found.b, slow)
    assert found.closer is not None
    assert found.closer[at] == (1 if not clips[1].labels[2] else -1)


def test_samples_disagree_by_the_probability_of_their_class_or_by_their_error() -> None:
    places = tuple(("", i) for i in range(2))
    part = Part({}, torch.tensor([0, 1]), Task("class", ("a", "b")), ("p", "q"), places)
    one, other = np.log([[0.9, 0.1], [0.5, 0.5]]), np.log([[0.8, 0.2], [0.9, 0.1]])
    found = c.disagreement_of([one], [other], part)
    np.testing.assert_allclose(found.a, [90, 50])
    np.testing.assert_allclose(found.b, [80, 10])
    assert found.order.tolist() == [1, 0]
    assert found.closer.tolist() == [1, 1]
    part = Part({}, torch.tensor([[0.0], [4.0]]), Task("real", ("x",)), ("p", "q"), places)
    found = c.disagreement_of([np.array([[0.0], [1.0]])], [np.array([[2.0], [4.0]])], part)
    np.testing.assert_allclose(found.a, [0, 1.5])  # the target's spread is 2
    assert found.closer.tolist() == [1, -1]


# ---------------------------------------------------------------------------- a folder of runs


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with LEGO from two seeds and sums, samples with LMF and concatenation."""
    root = tmp_path_factory.mktemp("stored")
    native.write(dataset(), root / "clips")
    sample_files.write(vectors(CLASSES), root / "vectors")
    jobs = [("clips", "lego", {"P": 2, "Q": 2}, 2), ("clips", "sum", {"level": "feature"}, 2),
            ("vectors", "lmf", {}, 1), ("vectors", "concat", {"level": "feature"}, 1)]  # fmt: skip
    for key, fusion, options, seeds in jobs:
        for seed in range(seeds):
            done = train(read(root / key), Recipe(fusion, options, TrainConfig(epochs=1, batch=150), (seed,)))
            runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root


@pytest.fixture(scope="module")
def compared(stored: Path) -> tuple:
    return c.compare(read(stored / "clips"), stored / "runs", ["lego", "sum"], "sum")


def test_a_comparison_says_what_the_parts_say(stored: Path, compared: tuple) -> None:
    data = read(stored / "clips")
    base, lines = compared
    by = {line.group.first.fusion: line for line in lines}
    assert set(by) == {"lego", "sum"}
    assert by["sum"].difference is None
    assert base == by["sum"].group.id
    test = data.part("test")
    models = [runs.model(stored / "runs" / name) for name in by["lego"].group.runs.values()]
    now = [measure(score(model, test), test).auc for model in models]
    assert by["lego"].metrics["auc"].mean == pytest.approx(np.mean(now))
    assert by["lego"].metrics["auc"].sd == pytest.approx(np.std(now, ddof=1))
    single = [alone(model, test) for model in models]
    for name in data.modalities:
        assert by["lego"].missing[f"only {name}"] == pytest.approx(np.mean([each[name] for each in single]))
    assert by["lego"].parts == pytest.approx({"odd": np.mean(now)})  # every anomaly of this world is an "odd" one
    assert by["lego"].ms is not None
    assert by["lego"].ms > 0


def test_names_choose_groups_and_a_wrong_one_is_told(stored: Path, compared: tuple) -> None:
    every = {line.group.id: line.group for line in compared[1]}
    ids = {group.first.fusion: id_ for id_, group in every.items()}
    values = {ids["lego"]: 1.0, ids["sum"]: 2.0}
    assert c.wanted(every, [ids["sum"][:8], "lego"], values) == [ids["sum"], ids["lego"]]
    assert c.wanted(every, [every[ids["lego"]].title], values) == [ids["lego"]]
    with pytest.raises(ValueError, match="'magic'.*lego"):
        c.wanted(every, ["magic"], values)
    with pytest.raises(ValueError, match="no run below"):
        c.compare(dataset(seed=5), stored / "runs")


def test_runs_of_another_split_are_not_measured_on_what_they_learned(tmp_path: Path) -> None:
    made = dataset()
    split = made.splits["weak"]
    both = replace(made, splits={"weak": split, "turned": {"train": split["test"], "test": split["train"]}})
    for protocol, options in (("weak", {"P": 1}), ("weak", {"P": 2}), ("turned", {"P": 3})):
        done = train(both, Recipe("lego", {"project": None, **options}, TrainConfig(epochs=1), (0,), protocol))
        runs.save(done.run, done.model.state_dict(), done.history, tmp_path)
    every = {run.config["P"]: run.group for run in runs.listing(tmp_path).values()}
    for base, others in ((1, {1, 2}), (3, {3})):
        _, lines = c.compare(both, tmp_path, None, every[base])
        assert {line.group.first.config["P"] for line in lines} == others
        for line in lines:
            assert line.metrics["auc"].mean == pytest.approx(line.group.first.metrics["auc"])
    assert len(c.compare(both, tmp_path, ["lego"], every[1])[1]) == 2
    with pytest.raises(ValueError, match="'turned'.*'weak'"):
        c.compare(both, tmp_path, [every[3]], every[1])


def test_one_seed_each_of_classes_is_mcnemars(stored: Path) -> None:
    _, lines = c.compare(read(stored / "vectors"), stored / "runs")
    (tested,) = [line.difference for line in lines if line.difference is not None]
    assert tested.test == "McNemar, exact"
    assert set(lines[0].parts) <= set(read(stored / "vectors").task.names)


def test_the_command_prints_what_the_library_says(
    stored: Path, compared: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["compare", str(stored / "clips"), "--runs", str(stored / "runs"), "--baseline", "sum", "--json"]
    commands(given, standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    rows = {row["fusion"]: row for row in found["rows"]}
    assert rows["lego"]["verdict"] in ("better", "worse", "not told apart")
    assert rows["lego"]["auc_clips_low"] <= rows["lego"]["auc"] <= rows["lego"]["auc_clips_high"]
    base, lines = compared
    by = {line.group.first.fusion: line for line in lines}
    assert rows["lego"]["difference"] == by["lego"].difference.delta
    table = list(csv.DictReader(io.StringIO(c.report(dataset(), base, lines, "csv"))))
    assert {row["fusion"]: float(row["auc"]) for row in table} == {
        k: line.metrics["auc"].mean for k, line in by.items()
    }
    assert "AUC by kind of anomaly" in c.report(dataset(), base, lines)
    assert c.report(dataset(), base, lines, "md").splitlines()[1].startswith("| --- |")
    assert r"\toprule" in c.report(dataset(), base, lines, "latex")
    with pytest.raises(ValueError, match="pdf"):
        c.report(dataset(), base, lines, "pdf")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the kernel's account of peak memory")
def test_peak_memory_is_measured_in_a_process_of_its_own(stored: Path) -> None:
    names = list(runs.listing(stored / "runs"))
    lego = next(name for name in names if name.startswith("lego"))
    found = c.peaks(stored / "clips", "test", [stored / "runs" / lego, stored / "runs" / "nothing"])
    assert found[0] is not None
    assert 0 <= found[0] < 200
    assert found[1] is None


# ---------------------------------------------------------------------------- names

HOSTILE = ["a|b", "<img src=x>", "![x](http://y)", r"\input{/etc/passwd}", "50 % & more_$#", "[1em]", "*", "^~{}",
           '=HYPERLINK("x")', "a\nb\u202e", "\u4e2d", "`id`", "www.example.org", "x" * 500]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_its_cell(name: str) -> None:
    made = c.Table(("method", "AUC"), ((name, c.Value(71.25, 0.5)), ("plain", c.Value(None))))
    rows = c.markdown(made).splitlines()
    assert len(rows) == 4
    assert len(re.findall(r"(?<!\\)\|", rows[2])) == 3
    bare = re.sub(r"\\.", "", rows[2])
    assert not set("<>![]()`*#") & set(bare)
    row = next(line for line in c.latex(made).splitlines() if "71.2" in line)
    bare = re.sub(r"\\(text[a-z]+|dots|alpha|lambda|Delta|cdot|pm)(\{\})?|\\[{}$&#%_]|\{[\[\]*-]\}", "", row)
    bare = bare.removesuffix(r"\\").replace("$71.2 $", "").replace("$71.2  0.5$", "").replace("''", "")
    assert bare.count("&") == 1
    assert not set('\\{}$#%_~^<>[]*"`|') & set(bare), bare
    assert not row.lstrip().startswith(("[", "*"))
    cells = list(csv.reader(io.StringIO(c.as_csv([{"method": name, "auc": 1.0}]))))
    assert len(cells) == 2
    assert cells[1][0][:1] not in set("=+-@")


def test_numbers_read_as_numbers() -> None:
    assert c.Value(1234567, digits=0).told() == "1,234,567"
    assert c.Value(-3.25, span=(-5.0, -1.0), signed=True).told() == "-3.2 [-5.0, -1.0]"
    assert c.Value(float("nan")).told() == "–"
    made = c.Table(("method", "weights"), (("x", c.Value(27585, digits=0)),))
    assert "$27{,}585$" in c.latex(made)

"""The table and the commands: rows, options by name, JSON that other programs read."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from core import run
from core.cli.shared import literal, settings
from core.data import native
from core.experiments.table import methods, stored, table, text
from core.measure.metrics import measure, summary
from core.recipe import Recipe, TrainConfig, changed
from core.run import build
from core.score.flops import flops
from core.score.infer import score
from core.score.novelty import novelty
from core.train.loop import train
from tests.command import command
from tests.core.made import dataset
from tests.core.train.test_loop import CLASSES, vectors

SHORT = TrainConfig(epochs=2, batch=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "made"
    native.write(dataset(), root)
    return root


def alone(*words):
    """As a user types it, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "core", *map(str, words)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_names_unfold_into_levels_and_modalities():
    found = methods(["single", "concat@graph", "lego"], ["motion", "text"], {"P": 2, "head": "row"})
    assert [(m.fusion, m.level, m.settings.get("modality") or None) for m in found] == [
        ("single", "feature", "motion"),
        ("single", "feature", "text"),
        ("single", "graph", "motion"),
        ("single", "graph", "text"),
        ("concat", "graph", None),
        ("lego", "graph", None),
    ]
    assert changed(found[-1].options) == {"P": 2, "head": "row"}
    assert (found[0].settings["head"], found[0].modalities) == ("row", ("motion", "text"))


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [(["magic"], {}, "unknown fusion"), (["lego"], {"hidden": 3}, "option 'hidden'"), (["mtn@graph"], {}, "no level")],
)
def test_what_no_fusion_knows_is_an_error(names, options, message):
    with pytest.raises(ValueError, match=message):
        methods(names, ["motion"], options)


def test_sd_is_the_sample_sd_and_undefined_stays_undefined():
    assert summary([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert summary([1.0]) == (1.0, None)
    assert summary([1.0, None]) == (None, None)


def test_rows_are_means_over_the_runs_it_keeps(tmp_path):
    rows = list(table(dataset(), methods(["lego"], ["motion", "text"], {}, training=SHORT, seeds=(0, 1)), tmp_path))
    stored = [json.loads((folder / "run.json").read_text())["metrics"]["auc"] for folder in tmp_path.iterdir()]
    assert rows[0].auc_mean == pytest.approx(sum(stored) / 2)
    assert rows[0].seeds == 2
    assert "lego" in text(rows)


@pytest.mark.parametrize(
    ("word", "value"),
    [("none", None), ("True", True), ("3", 3), ("1e-4", 1e-4), ("row", "row"), ("soft-dtw", "soft-dtw")],
)
def test_set_takes_literals(word, value):
    assert literal(word) == value


def test_help_says_what_may_be_set():
    code, out, _ = command("train", "data", "--fusion", "lmf", "--help")
    assert code == 0
    for words in ("rank=4: rank-1 terms r (a whole number from 1 to", "project=none: ", "epochs=50: passes over"):
        assert words in out
    assert "Name a fusion beside --help" in command("train", "--help")[1]


def test_set_without_a_value_is_an_error():
    with pytest.raises(ValueError, match="wants key=value"):
        settings(["P"])


def test_count_prints_an_integer_alone():
    words = ("count", "lego", "--widths", "2048,768", "--set", "P=3", "--set", "Q=3", "--set", "project=32")
    assert command(*words) == alone(*words) == (0, "91281\n", "")


def test_train_then_score_print_one_json_object_and_agree(folder, tmp_path):
    code, out, err = alone(
        "train", folder, "--fusion", "lego", "--set", "epochs=2", "--set", "P=2", "--out", tmp_path, "--json"
    )
    assert code == 0, err
    made = json.loads(out)
    code, out, err = command("score", tmp_path / made["runs"][0], folder, "--json", "--per-clip")
    assert code == 0, err
    found = json.loads(out)
    assert found["auc"] == pytest.approx(made["metrics"][0]["auc"], abs=1e-6)
    assert set(found["scores"]) == set(dataset().splits["weak"]["test"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "nowhere", "nothing"], "'nowhere' is no run"),
        (["train", "nowhere"], "does not exist"),
        (["count", "magic", "--widths", "3,4"], "unknown fusion 'magic'"),
        (["count", "lego"], "Missing option"),
    ],
)
def test_mistakes_get_a_sentence_and_code_2(words, message):
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_mistake_ends_the_process_with_its_code():
    code, out, err = alone("score", "nowhere", "nothing")
    assert (code, out) == (2, "")
    assert "'nowhere' is no run" in err
    assert "Traceback" not in err


def test_samples_have_rows_of_their_own_metric_and_leave_out_what_needs_clips():
    data = vectors(CLASSES)
    chosen = methods(["concat", "lmf", "lego"], data.modalities, {"rank": 2}, training=SHORT, seeds=(0, 1))
    rows = list(table(data, chosen))
    assert [row.fusion for row in rows] == ["concat", "lmf"]
    assert {row.metric for row in rows} == {"accuracy"}
    assert rows[1].options == {"rank": 2}
    assert rows[0].mean is not None
    assert rows[0].sd is not None
    assert set(rows[0].alone) == {"a", "b"}
    assert set(rows[0].more) == {"macro_f1"}
    said = text(rows)
    assert "lmf rank=2" in said
    assert "only a" in said
    with pytest.raises(ValueError, match="none of these methods reads samples"):
        list(table(data, methods(["lego"], data.modalities, {})))


def test_flops_are_two_for_a_multiplication_and_its_addition():
    model = build("concat", {"a": 10, "b": 4}, {"project": 8, "hidden": 6})
    products = 10 * 8 + 4 * 8 + 16 * 6 + 6
    assert flops(model) == 2 * products
    assert flops(build("mtn", {"a": 16}, {})) > 0


def test_a_run_on_samples_is_scored_by_the_same_command(tmp_path):
    from core.data.samples import native as sample_folder

    data = vectors(CLASSES)
    sample_folder.write(data, tmp_path / "halves")
    code, out, _ = command(
        "train", tmp_path / "halves", "--fusion", "lmf", "--set", "epochs=2", "--out", tmp_path / "runs", "--json"
    )
    assert code == 0
    made = json.loads(out)
    assert made["metric"] == "accuracy"
    code, out, _ = command("score", tmp_path / "runs" / made["runs"][0], tmp_path / "halves", "--per-clip", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["accuracy"] == pytest.approx(made["metrics"][0]["accuracy"])
    assert (len(found["outputs"]), len(found["outputs"][0])) == (100, 3)


@pytest.mark.parametrize(
    ("words", "weights"),
    [
        (("gmf", "--widths", "512,512"), 5_250_048),
        (("gmf", "--widths", "128,128"), 329_472),
        (("gmf", "--widths", "128,4096"), 119_202_816),
        (("gmf", "--widths", "4096,4096"), 335_601_664),
        (("lmf", "--widths", "16,16,32", "--set", "rank=4", "--set", "out=16"), 4_308),
    ],
)
def test_published_counts(words, weights):
    """GMF: appendix J with reconstruction, without classifier; LMF: r h sum(d_m + 1) + r + h."""
    code, out, _ = command("count", *words)
    assert (code, out.strip()) == (0, str(weights))


def test_stored_runs_are_scored_again_and_those_of_other_data_left_out(tmp_path):
    data = vectors(CLASSES)
    for number, seed in ((0, 0), (0, 1), (9, 0)):
        done = train(vectors(CLASSES, number), Recipe("lmf", {"rank": 2}, TrainConfig(epochs=2), (seed,)))
        lied = replace(done.run, metrics={**done.run.metrics, "accuracy": 1.0})
        run.save(lied, done.model.state_dict(), done.history, tmp_path)
    (found,) = stored(data, tmp_path)
    assert (found.seeds, found.options) == (2, {"rank": 2})
    assert found.mean > 30, "what the record says is not what is shown"
    assert found.flops == flops(done.model)
    assert set(found.alone) == {"a", "b"}


def test_where_every_training_clip_is_normal_methods_are_compared_by_frames():
    data = dataset()
    late = {n: replace(clip, truth=((70, 100),)) if clip.truth else clip for n, clip in data.clips.items()}
    data, names = replace(data, clips=late), tuple(late)  # units begin and end with normal frames
    normal = tuple(name for name in names[:12] if not data.clips[name].anomalous)
    data = replace(data, splits={**data.splits, "unsupervised": {"train": normal, "test": names[12:]}})
    chosen = methods(["sum", "lego"], data.modalities, {}, protocol="unsupervised")
    found, lego = table(data, chosen)
    test = data.part("test", "unsupervised")
    wanted = measure(novelty(data.part("train", "unsupervised"), test, data.modalities, "sum"), test)
    assert (found.metric, found.mean, found.sd, found.auc_mean) == ("auc_frames", wanted.auc_frames, None, wanted.auc)
    assert wanted.auc_frames != wanted.auc
    assert lego.mean is None
    said = text([found, lego])
    assert f"{wanted.auc:.1f}" in said
    assert f"{wanted.auc_frames:.1f}" in said
    assert "± -" not in said
    unknown = {name: replace(clip, truth=None) for name, clip in data.clips.items()}
    (found, _) = table(replace(data, clips=unknown), chosen)
    assert (found.metric, found.mean) == ("auc", wanted.auc), "without truth of frames by units"


@pytest.fixture(scope="module")
def scored(folder, tmp_path_factory):
    """A folder of one run that can be read, one that cannot, and data that nobody labelled."""
    root = tmp_path_factory.mktemp("scored")
    done = train(dataset(), Recipe("jwae", {"project": 4}, TrainConfig(epochs=1)))
    kept = run.save(done.run, done.model.state_dict(), done.history, root / "runs")
    (root / "runs" / "broken").mkdir()
    (root / "runs" / "broken" / "run.json").write_text("{")
    clips = {name: replace(clip, labels=None, truth=None, anomalous=None) for name, clip in dataset(0, 2).clips.items()}
    native.write(replace(dataset(0, 2), clips=clips, splits={}), root / "bare")
    return root, kept


def test_without_labels_scores_are_what_is_told(scored):
    root, kept = scored
    bare = native.read(root / "bare")
    wanted = score(run.model(kept), bare.shown())
    code, out, err = command("score", kept, root / "bare")
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == "2 clips, and nobody labelled their units: scores alone"
    assert lines == [f"{name}: {' '.join(f'{value:.3f}' for value in values)}" for name, values in wanted.items()]
    _, out, _ = command("score", kept, root / "bare", "--json")
    assert {name: len(values) for name, values in json.loads(out)["scores"].items()} == {
        name: clip.units for name, clip in bare.clips.items()
    }


def test_every_clip_is_told_as_text_and_few_clips_with_a_warning(scored, folder):
    _, kept = scored
    code, out, _ = command("score", kept, folder, "--per-clip")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()[1:-1]] == list(dataset().splits["weak"]["test"])
    assert out.splitlines()[-1].startswith("So few labelled clips (8) are judged")
    _, out, _ = command("score", kept, folder, "--part", "train", "--json")
    assert "warning" not in json.loads(out), "twelve are enough"
    _, out, _ = command("score", kept, folder, "--json")
    assert json.loads(out)["warning"].startswith("So few labelled clips (8)")
    _, out, _ = command("table", folder, "--fusions", "concat@feature", "--seeds", 1, "--set", "epochs=1", "--json")
    assert json.loads(out)["warning"].startswith("So few labelled clips (8)")


@pytest.mark.parametrize("name", ["compare", "table", "robustness", "retrieve"])
def test_a_run_that_cannot_be_read_is_left_out_aloud(scored, folder, name):
    runs = scored[0] / "runs"
    words = {
        "compare": (folder, "--runs", runs), "table": (folder, "--runs", runs), "robustness": (runs, folder),
        "retrieve": (runs, folder),
    }[name]  # fmt: skip
    code, out, err = command(name, *words, "--json")
    assert code == 0, err
    assert "left out: run 'broken': run.json cannot be read" in err
    (why,) = json.loads(out)["left_out"]
    assert why.startswith("run 'broken'")


@pytest.mark.parametrize("name", ["score", "retrieve"])
def test_commands_look_at_what_the_pages_look_at(scored, tmp_path, name):
    _, kept = scored
    data = dataset(4, 0)
    data = replace(data, splits={"mine": {"train": tuple(data.clips)[:2]}})
    native.write(data, tmp_path / "data")
    code, out, err = command(name, kept, tmp_path / "data", "--json")
    assert code == 0, err
    assert json.loads(out)["clips" if name == "score" else "rows"] == (
        4 if name == "score" else len(data.shown().flat())
    )
    code, _, err = command(name, kept, tmp_path / "data", "--part", "test", "--json")
    assert (code, "no part 'test'" in err) == (2, True)

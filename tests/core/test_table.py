"""The table and the commands: rows, options by name, JSON that other programs read."""

import json
import subprocess
import sys

import pytest

from core.__main__ import literal, settings
from core.data import native
from core.table import methods, summary, table, text
from core.train import TrainConfig
from tests.core.made import dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "made"
    native.write(dataset(), root)
    return root


def run(*words):
    done = subprocess.run([sys.executable, "-m", "core", *map(str, words)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_names_unfold_into_levels_and_modalities():
    found = methods(["single", "concat@graph", "lego"], ["motion", "text"], {"P": 2, "head": "row"})
    assert [(m.fusion, m.level, m.options.get("modality")) for m in found] == [
        ("single", "feature", "motion"),
        ("single", "feature", "text"),
        ("single", "graph", "motion"),
        ("single", "graph", "text"),
        ("concat", "graph", None),
        ("lego", "graph", None),
    ]
    assert found[-1].options == {"P": 2, "head": "row"}
    assert "P" not in found[0].options


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
    rows = list(
        table(dataset(), methods(["lego"], ["motion", "text"], {}), 2, TrainConfig(epochs=2, batch=8), out=tmp_path)
    )
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


def test_set_without_a_value_is_an_error():
    with pytest.raises(ValueError, match="wants key=value"):
        settings(["P"])


def test_count_prints_an_integer_alone():
    assert (
        run("count", "lego", "--widths", "2048,768", "--set", "P=3", "--set", "Q=3", "--set", "project=32")[1]
        == "91281\n"
    )


def test_train_then_score_print_one_json_object_and_agree(folder, tmp_path):
    code, out, err = run(
        "train", folder, "--fusion", "lego", "--set", "epochs=2", "--set", "P=2", "--out", tmp_path, "--json"
    )
    assert code == 0, err
    made = json.loads(out)
    code, out, err = run("score", tmp_path / made["runs"][0], folder, "--json", "--per-clip")
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
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err

"""Run folders: they come back as saved, nobody sees half of one, and a damaged one is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core import run as runs
from core.experiments.ranks import of_ranks
from core.machine import drafts
from core.recipe import Recipe, TrainConfig
from core.run import Run, Source
from core.sample import UNITS, Task
from core.score.infer import score
from core.train.loop import train
from tests.core.made import dataset


@pytest.fixture(scope="module")
def trained():
    return train(dataset(), Recipe("lego", {"P": 2}, TrainConfig(epochs=2, batch=8), (3,)))


@pytest.fixture
def folder(trained, tmp_path):
    return runs.save(trained.run, trained.model.state_dict(), trained.history, tmp_path)


def test_a_run_comes_back_as_it_was_saved(trained, folder):
    again = runs.load(folder)
    assert again.id == trained.run.id == folder.name
    assert (again.config, again.seed, again.metrics) == (trained.run.config, 3, trained.run.metrics)
    assert [row["epoch"] for row in runs.history(folder)] == [1, 2]
    clips = dataset().part("test")
    one, two = score(trained.model, clips), score(runs.model(folder), clips)
    assert all((one[name] == two[name]).all() for name in one)


def test_committed_runs_have_the_names_that_they_are_given_today():
    found = runs.listing(Path(__file__).parents[2] / "assets" / "runs")
    assert len(found) > 300
    assert [run.id for run in found.values()] == list(found)
    records = [json.loads((Path(__file__).parents[2] / "assets" / "runs" / n / "run.json").read_text()) for n in found]
    assert [run.group for run in found.values()] == [record["group"] for record in records]


def test_seeds_share_a_group_and_differ_in_id(trained):
    other = train(dataset(), Recipe("lego", {"P": 2}, TrainConfig(epochs=2, batch=8), (4,))).run
    assert other.group == trained.run.group
    assert other.id != trained.run.id


def test_another_option_or_other_data_is_another_run(trained):
    longer = train(dataset(), Recipe("lego", {"P": 2}, TrainConfig(epochs=1, batch=8), (3,))).run
    elsewhere = train(dataset(seed=1), Recipe("lego", {"P": 2}, TrainConfig(epochs=2, batch=8), (3,))).run
    assert len({trained.run.id, longer.id, elsewhere.id}) == 3


def test_a_second_finisher_keeps_the_first_and_leaves_no_draft(trained, folder):
    before = (folder / "model.safetensors").read_bytes()
    runs.save(trained.run, {"x": torch.zeros(1)}, [], folder.parent)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_writer_killed_midway_leaves_nothing_that_looks_like_a_run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(drafts.os, "rename", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        runs.save(trained.run, trained.model.state_dict(), [], tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".draft-dead").mkdir()
    assert runs.listing(tmp_path) == {}


def test_one_who_finishes_while_another_writes_the_same_run_keeps_what_is_there(trained, tmp_path, monkeypatch):
    first, real = runs.save(trained.run, trained.model.state_dict(), trained.history, tmp_path / "a"), drafts.os.rename

    def slower(draft, target):
        shutil.copytree(first, target)
        real(draft, target)

    monkeypatch.setattr(drafts.os, "rename", slower)
    again = runs.save(trained.run, {"x": torch.zeros(1)}, [], tmp_path / "b")
    assert (again / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    assert [path.name for path in again.parent.iterdir()] == [again.name]


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv"])
def test_one_flipped_byte_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not what was written"):
        runs.model(folder) if name.startswith("model") else runs.history(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "magic"}, "unknown fusion 'magic'"),
        ({"version": 2}, "written in version 2"),
        ({"format": "other"}, "not a FuseScope run"),
        ({"source": {"name": "x"}}, "other fields than expected"),
        ({"source": None}, "source"),
        ({"training": None}, "training"),
        ({"config": [1]}, "config"),
        ({"seed": "x"}, "seed"),
        ({"seed": True}, "seed"),
        ({"seconds": "long"}, "seconds"),
        ({"weights": 1.5}, "weights"),
        ({"note": {}}, "note"),
        ({"versions": {"torch": 2}}, "versions"),
        ({"task": {"kind": "units"}}, "names"),
        ({"task": 3}, "task"),
        ({"metrics": {"auc": "high"}}, "'auc' is no number but 'high'"),
        ({"metrics": {"auc": 50.0, "alone": {"a": [1]}}}, "'a' is no number"),
        ({"metrics": {"auc": float("nan")}}, "'auc' is no number but 'nan'"),
        ({"metrics": None}, "metrics"),
    ],
)
def test_a_run_of_another_kind_is_refused_and_not_listed(folder, change, message):
    record = json.loads((folder / "run.json").read_text()) | change
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        runs.load(folder)
    assert runs.listing(folder.parent) == {}


def test_weights_that_do_not_fit_the_config_are_refused(folder):
    record = json.loads((folder / "run.json").read_text())
    record["config"]["P"] = 7
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="1 weights do not fit its config, first 'A'"):
        runs.model(folder)


def test_an_unknown_option_is_named():
    with pytest.raises(ValueError, match="LEGO has no option 'colour'"):
        runs.build("lego", {"a": 4, "b": 4}, {"colour": 1})


LMF = runs.Run("lmf", {"rank": 1, "out": 4}, {"epochs": 2}, runs.Source("made", "0" * 64, "one", {"a": 2, "b": 3}), 0)


def test_runs_are_alike_but_for_what_is_named():
    assert LMF.alike(replace(LMF, seed=7, metrics={"auc": 50.0}, source=replace(LMF.source, name="renamed")))
    other = replace(LMF, config={"rank": 4, "out": 4})
    assert LMF.alike(other, but={"rank"})
    assert not LMF.alike(other)
    assert not LMF.alike(other, but={"out"})
    for different in (
        {"source": replace(LMF.source, protocol="two")},
        {"source": replace(LMF.source, digest="1" * 64)},
        {"source": replace(LMF.source, widths={"b": 3, "a": 2})},
        {"training": {"epochs": 3}},
        {"fusion": "concat"},
    ):
        assert not LMF.alike(replace(other, **different), but={"rank"})


def test_ranks_of_another_split_are_no_evidence(tmp_path):
    """The rank experiment compared runs of two splits, which have no test part in common."""
    folders = []
    for protocol, ranks in (("one", (1, 2, 4)), ("two", (1, 8))):
        for rank in ranks:
            run = replace(LMF, config={**LMF.config, "rank": rank}, source=replace(LMF.source, protocol=protocol))
            folders.append(runs.save(run, {}, [], tmp_path))
    assert of_ranks(folders) == folders[:3]


def test_runs_that_fit_come_best_method_first_and_those_of_this_data_before_others() -> None:
    def made(fusion: str, seed: int, auc: float, digest: str = "mine", **widths: int) -> Run:
        source = Source("set", digest, "weak", widths or {"a": 4})
        return Run(fusion, {"level": "feature"}, {}, source, seed, {"auc": auc})

    found = {
        "elsewhere": made("concat", 0, 99.0, "theirs"),
        "second seed": made("concat", 1, 60.0),
        "first seed": made("concat", 0, 50.0),
        "another width": made("concat", 0, 90.0, a=5),
        "another modality": made("concat", 0, 90.0, b=4),
    }
    fits = runs.fitting(found, {"a": 4, "c": 2}, UNITS, "mine")
    assert list(fits) == ["first seed", "second seed", "elsewhere"]
    assert not runs.fitting(found, {"a": 4}, Task("class", ("x", "y")), "mine")

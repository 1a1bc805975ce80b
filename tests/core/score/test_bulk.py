"""Bulk scoring: the same scores as `score`, whatever stops it, with few clips in memory at a time."""

import json
import shutil
import weakref
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from core import run as runs
from core.cli.main import app
from core.data import native
from core.recipe import Recipe, TrainConfig
from core.score import bulk as streamed
from core.score.bulk import bulk
from core.score.infer import score
from core.train.loop import train
from tests.core.made import dataset


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset folder of twenty clips and a run that fits it."""
    root = tmp_path_factory.mktemp("bulk")
    native.write(dataset(), root / "data")
    data = native.read(root / "data")
    trained = train(data, Recipe("lego", {}, TrainConfig(epochs=2, batch=8)))
    folder = runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root / "data", folder, score(trained.model, tuple(data.clips.values())), data


def table(out: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(part) for part in sorted(out.glob("part-*.parquet"))], ignore_index=True)


def same(out: Path, wanted, data) -> None:
    found = table(out)
    assert list(dict.fromkeys(found["clip"])) == list(wanted)
    for name, rows in found.groupby("clip"):
        np.testing.assert_array_equal(rows["score"].to_numpy(), wanted[name])
        assert rows["unit"].tolist() == list(range(len(rows)))
        assert rows["truth"].tolist() == data.clips[name].labels.tolist()
        assert rows["seconds"].tolist() == [unit * data.clips[name].seconds for unit in range(len(rows))]


def test_every_clip_is_scored_as_score_does(world, tmp_path):
    folder, run, wanted, data = world
    seen = []
    done = bulk(run, str(folder), tmp_path / "out", part=6, progress=seen.append)
    assert (done.parts, done.of, done.clips, done.units) == (4, 4, 20, sum(map(len, wanted.values())))
    assert [now.clips for now in seen] == [6, 12, 18, 20]
    same(tmp_path / "out", wanted, data)


def test_an_address_is_streamed_like_a_folder(world, tmp_path):
    folder, run, wanted, data = world
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bulk/data", recursive=True)
    bulk(run, "memory://bulk/data", tmp_path / "out", part=9)
    same(tmp_path / "out", wanted, data)
    memory.rm("/bulk/data/features/motion/clip-03.npy")
    with pytest.raises(ValueError, match="clip-03.npy"):
        bulk(run, "memory://bulk/data", tmp_path / "other")
    memory.rm("/bulk", recursive=True)


def test_a_killed_call_goes_on_and_does_nothing_twice(world, tmp_path):
    folder, run, wanted, data = world

    def stop(now):
        if now.parts == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bulk(run, str(folder), tmp_path / "out", part=6, progress=stop)
    before = {part: part.stat().st_mtime_ns for part in (tmp_path / "out").glob("part-*")}
    assert len(before) == 2
    done = bulk(run, str(folder), tmp_path / "out", part=6)
    assert done.units == sum(len(wanted[name]) for name in list(wanted)[12:])
    assert all(part.stat().st_mtime_ns == when for part, when in before.items())
    same(tmp_path / "out", wanted, data)


def test_processes_give_the_same(world, tmp_path):
    folder, run, wanted, data = world
    bulk(run, str(folder), tmp_path / "out", part=5, workers=2)
    same(tmp_path / "out", wanted, data)


def test_never_more_than_one_part_is_in_memory(world, tmp_path, monkeypatch):
    folder, run, *_ = world
    read, alive, most = native.read_clip, [], [0]

    def counted(*words):
        clip, note = read(*words)
        alive.append(weakref.ref(clip))
        most[0] = max(most[0], sum(one() is not None for one in alive))
        return clip, note

    monkeypatch.setattr(streamed.native, "read_clip", counted)
    bulk(run, str(folder), tmp_path / "out", part=4)
    assert most[0] <= 4 + 1  # the part, and the one that was tried first


def test_scores_of_other_data_are_not_mixed_in(world, tmp_path):
    folder, run, *_ = world
    bulk(run, str(folder), tmp_path / "out", part=6)
    with pytest.raises(ValueError, match="scores of another part"):
        bulk(run, str(folder), tmp_path / "out", part=7)
    with pytest.raises(ValueError, match="scores of another data"):
        bulk(run, str(folder), tmp_path / "out", clips=["clip-01"], part=6)


def test_a_damaged_file_names_its_clip_and_keeps_the_parts_before(world, tmp_path):
    folder, run, *_ = world
    broken = tmp_path / "data"
    shutil.copytree(folder, broken)
    file = broken / "features" / "text" / "clip-15.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match="clip-15.npy"):
        bulk(run, str(broken), tmp_path / "out", part=6)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 2


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nosuch://x", "cannot be opened"),
        ("/nowhere/at/all", "no dataset of clips"),
        ("memory://gone", "cannot be read"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(world, tmp_path, address, told):
    with pytest.raises(ValueError, match=told):
        bulk(world[1], address, tmp_path / "out")


def test_the_command_prints_one_object(world, tmp_path, capsys):
    folder, run, wanted, _ = world
    app(["bulk", str(run), str(folder), str(tmp_path / "out"), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["clips"] == 20
    assert told["units_scored_now"] == sum(map(len, wanted.values()))

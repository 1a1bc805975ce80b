"""What a sweep sees and what it leaves on disk: the test part stays unseen, one process works on it, broken is told."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core import run, sweep
from core.clip import Clip
from core.dataset import Dataset
from core.measure.metrics import auc
from core.recipe import TrainConfig
from core.sample import Samples
from core.score.infer import score
from core.sweep import Sweep, held_out
from tests.core import made
from tests.core.sweep.made import SOURCE, plan, samples


def test_a_cell_that_cannot_be_built_is_told_before_anything_is_trained(clips: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="option 'P' takes a whole number from 0"):
        sweep.begin(plan({"P": (1, -1), "Q": (2,)}), clips, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cell_that_needs_more_memory_than_there_is_is_told(clips: Dataset, tmp_path: Path) -> None:
    wide = plan({"head": ("row", "sorted"), "P": (2, 10**7), "k": (1, 2)})
    with pytest.raises(ValueError, match=r"head = row, P = 10000000, k = 2: with P=10,000,000 this training would"):
        sweep.begin(wide, clips, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_test_part_is_not_in_what_a_held_out_sweep_sees(clips: Dataset) -> None:
    found = held_out(clips, None, 0.25)
    assert isinstance(found, Dataset)
    train_part, test_part = ({clip.name for clip in clips.part(part)} for part in ("train", "test"))
    assert set(found.clips) == train_part
    kept, held = ({clip.name for clip in found.part(part)} for part in ("train", "test"))
    assert kept | held == train_part
    assert not kept & held
    assert not held & test_part
    assert sorted(bool(clips.clips[name].anomalous) for name in held) == [False, False, True, True]
    assert held == {clip.name for clip in held_out(clips, None, 0.25).part("test")}
    assert held != {clip.name for clip in held_out(clips, None, 0.25, seed=1).part("test")}
    assert found.digest() != clips.digest()


def test_samples_are_held_out_class_by_class() -> None:
    data = samples()
    found = held_out(data, None, 0.25)
    assert isinstance(found, Samples)
    assert len(found) == 40
    assert np.bincount(found.part("test").target).tolist() == [4, 3, 3]  # a quarter of 14, 13, 13, rounded
    for part in ("train", "test"):
        rows = found.part(part)
        for place, name in enumerate(rows.names):
            origin = int(name.removeprefix("sample "))
            assert origin < 40
            torch.testing.assert_close(rows.features["b"][place], data.features["b"][origin])


def test_clips_whose_units_nobody_labelled_are_judged_as_clips(clips: Dataset, tmp_path: Path) -> None:
    def bare(clip: Clip) -> Clip:
        return replace(clip, labels=None, truth=None, kinds=(), anomalous=clip.anomalous)

    data = replace(clips, clips={name: bare(clip) for name, clip in clips.clips.items()})
    root = sweep.begin(plan({"P": (1,)}, seeds=1), data, tmp_path)
    (done,) = sweep.sweep(root, data)
    assert sweep.read(root).metric == "auc_clips"
    model = run.model(root / "runs" / done.run.id)
    held = held_out(data, None, 0.25).part("test")
    scores = score(model, held)
    by_hand = auc(np.array([scores[c.name].max() for c in held]), np.array([bool(c.anomalous) for c in held]))
    assert done.run.metrics["auc_clips"] == by_hand
    assert sweep.results(root).rows[0].mean == by_hand

    def normal(clip: Clip) -> Clip:
        return replace(bare(clip), anomalous=False)

    with pytest.raises(ValueError, match="nothing to judge by"):
        sweep.begin(plan(judge="test"), replace(data, clips={n: normal(c) for n, c in clips.clips.items()}), tmp_path)


def test_two_processes_do_not_share_a_sweep(clips: Dataset, finished: Path) -> None:
    with sweep.locked(finished):
        with pytest.raises(ValueError, match=f"process {os.getpid()} is at work"):
            list(sweep.sweep(finished, clips))
        with pytest.raises(ValueError, match="at work"):
            sweep.remove(finished)
    assert sweep.results(finished).complete


def test_other_data_are_another_sweep(clips: Dataset, finished: Path) -> None:
    other = made.dataset(train=16, test=6, seed=1)
    with pytest.raises(ValueError, match="other data"):
        list(sweep.sweep(finished, other))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "fusescope-sweep", "version": 2}', "\x00"])
def test_a_broken_record_is_a_sentence_and_no_listing_fails(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sweep.json").write_text(content)
    with pytest.raises(ValueError, match="sweep 'bad'"):
        sweep.read(tmp_path / "bad")
    assert not sweep.listing(tmp_path)


def test_a_sweep_keeps_its_name_when_the_training_loop_gets_a_new_option() -> None:
    """The name it had before there was mixed precision: the same command goes on with what lies there."""
    assert Sweep(plan(), SOURCE, "auc").id == "lego-119065699e"
    assert Sweep(plan(training=TrainConfig(epochs=2, batch=8, amp=True)), SOURCE, "auc").id != "lego-119065699e"


def test_a_sweep_that_was_named_with_its_defaults_goes_on_where_it_was(clips: Dataset, tmp_path: Path) -> None:
    """What was said and is the default anyway was part of the name once: `--set nodes=32`."""
    made_now = sweep.begin(plan(seeds=1), clips, tmp_path)
    record = json.loads((made_now / "sweep.json").read_text())
    record["plan"]["fixed"]["nodes"] = 32
    (made_now / "sweep.json").write_text(json.dumps(record))
    before = made_now.rename(tmp_path / "lego-0123456789")
    assert sweep.begin(plan(seeds=1), clips, tmp_path) == before
    assert sweep.begin(plan(seeds=2), clips, tmp_path) != before

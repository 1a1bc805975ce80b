"""The committed demo: it loads, says what it is, stays small, and its runs are what their records say."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from core import run as runs
from core.data import native, read, simulate
from core.dataset import Dataset
from core.experiments import demo
from core.measure.metrics import jsonable, measure
from core.recipe import Recipe, TrainConfig
from core.sample import Samples
from core.score.infer import outputs, score
from core.train.job import planned
from tests.core import made

ASSETS = Path(__file__).parents[3] / "assets"
RUNS = sorted(runs.listing(ASSETS / "runs"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return native.read(ASSETS / "demo")


@pytest.fixture(scope="module")
def digits() -> Samples:
    found = read(ASSETS / "digits")
    assert isinstance(found, Samples)
    return found


def test_the_demo_is_the_simulator_s_clips_and_says_so(dataset) -> None:
    made_from = {recipe.name: recipe for recipe in simulate.recipes()}
    assert dataset.simulated
    assert dataset.licence == simulate.LICENCE
    assert set(dataset.clips) == set(made_from)
    assert {n: part for part in ("train", "test") for n in (c.name for c in dataset.part(part))} == {
        name: recipe.part for name, recipe in made_from.items()
    }
    for name, clip in dataset.clips.items():
        assert clip.frames == made_from[name].frames
        assert Counter(clip.kinds) == Counter(made_from[name].kinds)
        assert clip.anomalous == bool(clip.truth) == bool(clip.kinds)
        assert clip.video is not None


def test_the_committed_truth_is_planned_by_the_recipes(dataset) -> None:
    for recipe in simulate.recipes()[::9]:
        planned = recipe.scene().truth
        assert dataset.clips[recipe.name].truth == tuple((a, b) for _, a, b in planned), recipe.name
        assert dataset.clips[recipe.name].kinds == tuple(kind for kind, _, _ in planned)


@pytest.mark.parametrize("name", ["plaza-test-01", "path-train-02"])
def test_a_committed_video_is_what_its_recipe_draws(dataset, name) -> None:
    """Two frames of it, but for the codec's loss; so are its format and its length."""
    (recipe,) = [recipe for recipe in simulate.recipes() if recipe.name == name]
    with av.open(str(dataset.clips[name].video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == recipe.frames
    scene = recipe.scene()
    background = simulate.ground(scene.view)
    for frame in (7, recipe.frames - 5):
        assert abs(pictures[frame].astype(float) - simulate.draw(scene, background, frame)).mean() < 6


def test_no_runs_no_truth() -> None:
    assert len(RUNS) >= 5 * demo.SEEDS


@pytest.mark.parametrize("name", RUNS)
def test_stored_metrics_are_what_the_weights_score(dataset, digits, name) -> None:
    run, model = runs.load(ASSETS / "runs" / name), runs.model(ASSETS / "runs" / name)
    if run.asked.kind == "class":
        assert run.source.digest == digits.digest()
        now = jsonable(measure(outputs(model, digits.part("test").features), digits.part("test")))
    else:
        assert run.source.digest == dataset.digest()
        clips = dataset.part("test")
        now = jsonable(measure(score(model, clips), clips))
    assert now.keys() == run.metrics.keys() - {"auc_best_epoch_on_test", "alone"}
    for key, value in now.items():
        assert value == pytest.approx(run.metrics[key], abs=1e-6), key


def test_assets_are_small_and_each_is_accounted_for() -> None:
    sizes = {path.relative_to(ASSETS).as_posix(): path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 30e6
    assert sum(size for name, size in sizes.items() if name.endswith(".mp4")) < 10e6
    told = (ASSETS / "README.md").read_text()
    for top in {"/".join(name.split("/")[:2]) for name in sizes} - {"README.md"}:
        assert top.split("/")[0] in told
    for kind, about in simulate.KINDS.items():
        assert f"| {kind} | {about.evidence} |" in told
    assert "simulated" in told


def test_a_rebuild_that_changes_nothing_touches_no_file(tmp_path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "one").write_text("1")
    (source / "two").write_text("2")
    assert demo.mirror(source, target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert not demo.mirror(source, target)
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    (source / "two").write_text("3")
    (source / "sub" / "one").unlink()
    (source / "sub").rmdir()
    assert demo.mirror(source, target)
    assert demo.tree(target) == demo.tree(source)
    assert not (target / "sub").exists()


def test_training_goes_on_where_it_stopped_and_drops_runs_of_other_data(tmp_path) -> None:
    small, short = made.dataset(), TrainConfig(epochs=1, batch=8)
    lego, concat = (
        Recipe(fusion, options, short, (0, 1), modalities=("motion", "text"))
        for fusion, options in (("lego", {}), ("concat", {"level": "graph"}))
    )
    said: list[str] = []
    demo.train_all({"demo": small}, tmp_path, said.append, {"demo": [lego]})
    first = runs.listing(tmp_path)
    assert len(first) == len(said) == 2
    demo.train_all({"demo": small}, tmp_path, said.append, {"demo": [lego, concat]})
    assert len(said) == 4
    assert first.items() <= runs.listing(tmp_path).items()
    names = tuple(small.clips)
    other = replace(small, clips={n: replace(c, truth=None) for n, c in small.clips.items()}, name=names[0])
    demo.train_all({"demo": other}, tmp_path, said.append, {"demo": lego.each[:1], "digits": [concat]})
    assert {run.source.digest for run in runs.listing(tmp_path).values()} == {other.digest()}


def test_what_make_assets_would_train_is_what_lies_there(dataset, digits) -> None:
    data = {"demo": dataset, "digits": digits}
    every = [run.id for name, recipes in demo.RECIPES.items() for each in recipes for run in planned(each, data[name])]
    assert sorted(every) == RUNS


def test_features_are_read_back_as_half_precision(dataset) -> None:
    for clip in list(dataset.clips.values())[:3]:
        for rows in clip.features.values():
            assert rows.dtype == torch.float32
            np.testing.assert_array_equal(rows, rows.half().float())
    index = json.loads((ASSETS / "demo" / "dataset.json").read_text())
    assert index["simulated"] is True

"""What a training will take is what its own code takes, found without taking any; too much is refused by name."""

import re
import resource
from pathlib import Path
from typing import Any

import pytest

from core.cli.main import app
from core.data import native
from core.fusion import FUSIONS
from core.fusion.base import count_weights
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.train import memory
from core.train.job import carry_out, refuse
from core.train.loop import prepare, step_loss
from core.train.memory import Peak, afford, needed, shape_of
from tests.core.data.test_samples import made as samples
from tests.core.made import dataset

CASES = [
    ("lego", {}),
    ("lego", {"relation": "rbf", "rescale": "standard", "head": "row"}),
    ("lego", {"expansion": "walks", "pairing": "random"}),
    ("concat", {"level": "graph"}),
    ("g-lmf", {}),
    ("mbt", {}),
    ("profusion", {}),
]


@pytest.fixture(scope="module")
def clips() -> Any:
    return dataset(10, 6)


@pytest.mark.parametrize(("fusion", "own"), CASES, ids=[" ".join([n, *map(str, o.values())]) for n, o in CASES])
def test_a_step_without_numbers_takes_what_a_real_one_takes(clips: Any, fusion: str, own: dict[str, Any]) -> None:
    """The same code with numbers, its living tensors added up: within a third, for numpy sorts uncounted."""
    for units in (8, 40):
        own = own | ({"nodes": units} if "nodes" in {f for f in FUSIONS[fusion].Config.__dataclass_fields__} else {})
        training = TrainConfig(batch=8, units=units)
        model = build(fusion, clips.widths, own).train()
        data = prepare(clips.part("train")[:8], clips.modalities, units)
        walk = Peak()
        with walk:
            features = {name: rows[:, 0].clone() for name, rows in data.features.items()}
            sum(step_loss(model, features, data.anomalous, None, training)).backward()
        found = needed(Recipe(fusion, own, training), shape_of(clips))
        assert found.step == pytest.approx(walk.most, rel=0.3)
        assert found.weights == 12 * count_weights(model)


def test_what_a_graph_of_all_units_needs_grows_with_the_square(clips: Any) -> None:
    shape = shape_of(clips)
    for own in ({}, {"project": None}):
        small, large = (
            needed(Recipe("lego", {"nodes": n, **own}, TrainConfig(batch=8, units=n)), shape) for n in (1_000, 20_000)
        )
        graph = 4 * 20_000**2
        assert large.weights == pytest.approx(3 * graph, rel=0.01)  # the head's own N x N weights, and Adam's
        assert large.step > 8 * 6 * graph  # three powers of two graphs for each of a batch's clips
        assert 300 < large.step / small.step < 420
        assert large.graphs == (2 * sum(shape.clips) * graph if own else 0)
        assert large.clips == sum(shape.clips) * 20_000 * sum(clips.widths.values()) * 4


def test_high_powers_lie_on_the_line_that_low_ones_lie_on(clips: Any) -> None:
    shape, training = shape_of(clips), TrainConfig(batch=8, units=8)
    recipe = Recipe("lego", {"nodes": 8, "P": 24, "Q": 20}, training)
    walked = memory._needed("lego", recipe.options, training, shape)
    drawn = needed(recipe, shape)
    assert drawn.step == pytest.approx(walked.step, rel=0.1)
    assert drawn.weights == walked.weights
    assert needed(recipe.but(P=10**9), shape).step > 10**9 * 8 * 8 * 8 * 4


def test_exactly_as_much_as_there_is_is_enough(clips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, shape = Recipe("lego", {"nodes": 200}, TrainConfig(batch=8, units=200)), shape_of(clips)
    need = needed(recipe, shape)
    monkeypatch.setattr(memory, "free", lambda device: need.total)
    assert afford(recipe, shape) == need
    monkeypatch.setattr(memory, "free", lambda device: need.total - 1)
    with pytest.raises(ValueError, match="with nodes=200 and units=200 this training would need about"):
        afford(recipe, shape)


@pytest.mark.parametrize(
    ("fusion", "own", "training", "named"),
    [
        ("lego", {"P": 10**7, "lam": 0.5}, {}, "with P=10,000,000 this"),
        ("lego", {"project": 10**7}, {"lr": 0.1}, "with project=10,000,000 this"),
        ("mbt", {"dim": 2**17}, {}, "with dim=131,072 this"),
        ("mkl", {"most": 10**7}, {"units": 10**6}, "with units=1,000,000 this"),
        ("concat", {}, {"units": 10**9}, "with units=1,000,000,000 this"),
        ("lmf", {"rank": 10**8}, {}, "with rank=100,000,000 this"),
    ],
)
def test_the_option_that_asks_for_too_much_is_named(
    clips: Any, fusion: str, own: dict[str, Any], training: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as refused:
        refuse(Recipe(fusion, own, TrainConfig(**training)), clips)
    assert re.search(r"need about [\d.,]+ [GTP]B of memory \(.*\), and [\d.,]+ [MG]B are free", str(refused.value))


def test_samples_are_reckoned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("class", "real"):
        need = needed(Recipe("lmf"), shape_of(samples(kind)))
        assert need.step > 0
        assert need.scoring > 0
        assert need.clips == 0
    monkeypatch.setattr(memory, "free", lambda device="cpu": 1000)
    with pytest.raises(ValueError, match=r"this training would need about .*; take fewer clips or modalities"):
        refuse(Recipe("lmf"), samples())


def test_to_find_out_takes_no_memory_and_a_job_looks_again(
    clips: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    order = Recipe("lego", {"nodes": 20_000}, TrainConfig(units=20_000))
    with pytest.raises(ValueError, match="with nodes=20,000 and units=20,000 this training would need about"):
        refuse(order, clips)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes; a graph has 1.6 million
    monkeypatch.setattr(memory, "free", lambda device="cpu": 10_000)
    with pytest.raises(ValueError, match=r"and 10\.0 kB are free"):
        carry_out(
            Recipe("concat", {}, TrainConfig(epochs=1)), clips, tmp_path / "runs", tmp_path, lambda share, words: None
        )
    assert not (tmp_path / "runs").exists()


def test_the_command_refuses_before_it_trains(clips: Any, tmp_path: Path) -> None:
    native.write(clips, tmp_path / "clips")
    with pytest.raises(ValueError, match="with nodes=20,000 and units=20,000 this training would need about"):
        app(
            ["train", str(tmp_path / "clips"), "--set", "nodes=20000", "--set", "units=20000", "--out", str(tmp_path)],
            standalone_mode=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_more_than_can_be_counted_is_refused(clips: Any) -> None:
    with pytest.raises(ValueError, match="more weights than can be counted"):
        refuse(Recipe("lmf", {"rank": 10**9, "out": 10**9}), clips)


def test_what_cannot_be_counted_is_said_and_the_rest_is_counted(
    clips: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that asks for a number, which shapes do not have: the test part is scored all the same."""
    recipe, shape = Recipe("concat", training=TrainConfig(units=9)), shape_of(clips)
    whole = needed(recipe, shape)

    def asks(*given: Any) -> Any:
        raise NotImplementedError("a number\nis asked for")

    monkeypatch.setattr(memory, "step_loss", asks)
    memory._needed.cache_clear()
    need = afford(recipe, shape)
    memory._needed.cache_clear()
    assert (need.step, need.scoring, need.weights) == (0, whole.scoring, whole.weights)
    assert need.uncounted == "one training step (a number)"
    assert "memory of one training step (a number) could not be counted; the training needs at least" in caplog.text
    assert not whole.uncounted
    monkeypatch.setattr(memory, "free", lambda device="cpu": 1000)
    with pytest.raises(ValueError, match="this training would need at least"):
        afford(recipe, shape)

"""Scores that are kept: given back bit for bit, and never for other clips, another run or other code."""

import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core import run as runs
from core.clip import Clip, Stored
from core.dataset import Dataset
from core.recipe import Recipe, TrainConfig
from core.score import stored as kept
from core.score.infer import look, score
from core.train.loop import train


def clip(number: int, units: int = 0) -> Clip:
    random = np.random.default_rng(number)
    units = units or 3 + number % 4
    labels = torch.arange(units) < number % 2
    rows = {name: torch.from_numpy(random.normal(size=(units, 2)).astype(np.float32)) for name in ("a", "b")}
    return Clip(f"clip {number}", rows, labels, 0.64)


CLIPS = tuple(map(clip, range(24)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = Dataset("Some", {each.name: each for each in CLIPS}, {}, 25.0)
    done = train(data, Recipe("sum", {"level": "feature"}, TrainConfig(epochs=1, batch=24), (0,)))
    return runs.save(done.run, done.model.state_dict(), done.history, tmp_path_factory.mktemp("runs"))


def test_scores_come_back_bit_for_bit_and_for_their_own_clips_alone(run: Path, tmp_path: Path) -> None:
    found = score(runs.model(run), CLIPS)
    place = kept.place_of(tmp_path / "scores", run, "d" * 64, "test")
    assert kept.load(place, CLIPS) is None
    kept.save(found, CLIPS, place)
    back = kept.load(place, CLIPS)
    assert back is not None
    assert list(back) == [each.name for each in CLIPS]
    for name, values in back.items():
        np.testing.assert_array_equal(values, found[name])
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
    assert kept.load(place, CLIPS[1:]) is None
    assert kept.load(place, [replace(each, name=f"other {each.name}") for each in CLIPS]) is None
    assert kept.load(place, CLIPS[::-1]) is None
    content = place.read_bytes()
    for spoilt in (content[:-30], content[:200] + b"\0" * 40 + content[240:], b"", b"no archive"):
        place.write_bytes(spoilt)
        assert kept.load(place, CLIPS) is None


def test_whatever_scores_come_from_is_in_their_name(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [kept.place_of(tmp_path, run, "d", part) for part in ("test", "all")]
    places.append(kept.place_of(tmp_path, run, "e", "test"))
    other = tmp_path / run.name
    shutil.copytree(run, other)
    places.append(kept.place_of(tmp_path, other, "d", "test"))
    os.utime(other / "model.safetensors", ns=(1, 1))
    places.append(kept.place_of(tmp_path, other, "d", "test"))
    monkeypatch.setattr(kept, "code", lambda: "other code")
    places.append(kept.place_of(tmp_path, run, "d", "test"))
    assert len(set(places)) == len(places)
    monkeypatch.undo()
    assert places[0] == kept.place_of(tmp_path, run, "d", "test")


def test_only_the_newest_files_stay(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT", 2)
    found = score(runs.model(run), CLIPS)
    for number in range(3):
        place = tmp_path / f"{number}.npz"
        kept.save(found, CLIPS, place)
        os.utime(place, (number, number))
    kept.save(found, CLIPS, tmp_path / "3.npz")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.npz", "3.npz"]


@pytest.mark.parametrize(("lengths", "most"), [((4,), 64 + 2 * 16), (tuple(range(3, 27)), 5 * 64 + 2 * 104)])
def test_clips_are_let_go_once_they_are_scored_and_score_as_alone(
    run: Path, lengths: tuple[int, ...], most: int
) -> None:
    """Numbers held at once: a batch of clips of one length; of many lengths what waits is bounded by five batches."""
    model, held, shares = runs.model(run), [0], []
    most_held = [0]

    def let_go(size: int) -> None:
        held[0] -= size

    def stored(number: int) -> tuple[Clip, Clip]:
        each = clip(number, lengths[number % len(lengths)])

        def read(name: str) -> torch.Tensor:
            rows = each.features[name].numpy().copy()  # alive as long as any view of it is
            weakref.finalize(rows, let_go, rows.size)
            held[0] += rows.size
            most_held[0] = max(most_held[0], held[0])
            return torch.from_numpy(rows)

        return each, Clip(each.name, Stored(read, each.shapes), each.labels, each.seconds)

    pairs = [stored(number) for number in range(24)]
    found = score(model, [on_disk for _, on_disk in pairs], entries=64, tell=shares.append)
    for each, _ in pairs:
        np.testing.assert_allclose(found[each.name], look(model, each).scores, atol=1e-6)
    assert 0 < most_held[0] <= most < sum(4 * each.units for each, _ in pairs)
    assert shares == [*(number / 24 for number in range(24)), 1.0]


def test_what_the_listener_raises_ends_the_scoring(run: Path) -> None:
    def stop(share: float) -> None:
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(runs.model(run), CLIPS, tell=stop)

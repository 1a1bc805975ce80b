"""Large sets: what is opened without reading is what reading gives, and no file that changed is taken for the old."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from core.clip import Clip, Stored
from core.data import fields, native, npy
from core.data import index as native_index
from core.dataset import Dataset


def clip(number: int, crops: int = 0) -> Clip:
    random = np.random.default_rng(number)
    units = 4 + number % 3
    shape = (units, 3) if not crops else (crops, units, 3)
    rows = {"a": torch.from_numpy(random.normal(size=shape).astype(np.float32)), "b": torch.ones(units, 2) * number}
    truth = ((16, 40),) if number % 2 else ()
    return Clip(f"clip {number}", rows, None, 0.64, units * 16 - 3, truth, bool(truth), ("van",) * len(truth))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    clips = {each.name: each for each in (clip(2), clip(0, crops=5), clip(1), clip(3))}
    names = tuple(clips)
    return native.write(Dataset("Some", clips, {"weak": {"train": names[:2], "test": names[2:]}}, 25.0), tmp_path / "d")


def opened(place: Path) -> Dataset:
    found = native_index.read(place, place.parent / "index", large=1)
    assert isinstance(found, Dataset)
    return found


def kept(place: Path) -> Path:
    return native_index.place_of(place, place.parent / "index")


def forbidden(*_: object) -> None:
    raise AssertionError("a feature file was read")


def without_sums(place: Path) -> None:
    """As other hands would make it."""
    index = json.loads((place / "dataset.json").read_text())
    del index["files"], index["sum"]
    (place / "dataset.json").write_text(json.dumps(index))


def rewrite(file: Path, change: float = 1.0) -> None:
    """Other numbers of the same size at the same time: only the entry's own time tells."""
    before = file.stat()
    with file.open("rb") as stream:
        values = npy.read(stream, before.st_size, "x") + np.float32(change)
    with file.open("r+b") as stream:
        stream.write(npy.packed(values))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("again", [False, True])
def test_what_is_opened_is_what_reading_gives(place: Path, again: bool) -> None:
    (place / "features/b/clip 1.npy").write_bytes(npy.packed(np.ones((6, 2), np.float32)))  # a unit more than of a
    without_sums(place)
    whole = native.read(place)
    if again:
        opened(place)
    found = opened(place)
    assert (found.on_disk, whole.on_disk) == (True, False)
    assert found.digest() == whole.digest()
    assert (found.splits, found.notes, found.widths, list(found.clips)) == (
        whole.splits, whole.notes, whole.widths, list(whole.clips)
    )  # fmt: skip
    assert any("cut to" in note for note in found.notes)
    for mine, theirs in zip(found.clips.values(), whole.clips.values(), strict=True):
        assert isinstance(mine.features, Stored)
        assert mine.shapes == theirs.shapes
        told = [(c.units, c.truth, c.kinds, c.anomalous, c.frames, c.notes, c.duration) for c in (mine, theirs)]
        assert told[0] == told[1]
        torch.testing.assert_close(mine.labels, theirs.labels)
        torch.testing.assert_close(dict(mine.features), dict(theirs.features), rtol=0, atol=0)
        assert "c" not in mine.features
        with pytest.raises(KeyError):
            mine.features["c"]


def test_the_second_opening_reads_no_feature_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = opened(place).digest()
    monkeypatch.setattr(fields, "array", forbidden)
    found = opened(place)
    assert found.digest() == digest
    assert [each.units for each in found.part("test")] == [5, 4]
    with pytest.raises(AssertionError, match="was read"):
        found.clips["clip 1"].features["a"]


def test_a_set_of_few_clips_is_read_at_once(place: Path) -> None:
    found = native_index.read(place, place.parent / "index")
    assert isinstance(found, Dataset)
    assert not found.on_disk
    assert not kept(place).exists()


@pytest.mark.parametrize("sums", [True, False])
def test_a_file_that_changes_under_an_open_dataset_is_not_taken_for_the_old_one(place: Path, sums: bool) -> None:
    if not sums:
        without_sums(place)
    found = opened(place)
    rewrite(place / "features/a/clip 1.npy")
    with pytest.raises(ValueError, match="damaged or was replaced" if sums else "has changed since"):
        found.clips["clip 1"].features["a"]
    assert found.clips["clip 3"].features["a"].shape == (4, 3)


def test_a_clip_that_changed_since_is_read_anew(place: Path) -> None:
    without_sums(place)
    before = opened(place)
    rewrite(place / "features/a/clip 1.npy")
    found = opened(place)
    assert found.digest() == native.read(place).digest() != before.digest()
    torch.testing.assert_close(found.clips["clip 1"].features["a"], clip(1).features["a"] + 1)


def test_damage_is_told_when_the_set_is_opened_again(place: Path) -> None:
    opened(place)
    rewrite(place / "features/a/clip 1.npy")
    with pytest.raises(ValueError, match=r"'features/a/clip 1.npy' does not match its checksum"):
        opened(place)
    (place / "features/a/clip 1.npy").unlink()
    with pytest.raises(ValueError, match="there is no such file"):
        opened(place)


def older(found: dict) -> None:
    found["version"] -= 1
    found["sum"] = fields.total({name: value for name, value in found.items() if name != "sum"})


def longer(found: dict) -> None:
    found["units"][0] += 1


def shorter(found: dict) -> None:
    found["units"].pop()


@pytest.mark.parametrize("spoil", [older, longer, shorter, "", "[1]", '{"sum": 1}', "\udcff"])
def test_an_index_of_another_version_or_a_damaged_one_is_made_again(place: Path, spoil: object) -> None:
    opened(place)
    good = kept(place).read_bytes()
    if callable(spoil):
        found = json.loads(good)
        spoil(found)
        kept(place).write_text(json.dumps(found))
    else:
        kept(place).write_bytes(str(spoil).encode("utf-8", "surrogateescape"))
    assert opened(place).digest() == native.read(place).digest()
    assert kept(place).read_bytes() == good


def test_where_nothing_can_be_written_the_set_opens_all_the_same(place: Path) -> None:
    (place.parent / "index").write_text("a file, not a folder")
    assert opened(place).digest() == native.read(place).digest()

"""The native folder: what is written comes back bit for bit, and no flipped byte goes unseen."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.clip import Clip
from core.data import Dataset, native, read
from core.machine import drafts, lease


def made(units: int = 12, crops: int | None = None) -> Dataset:
    torch.manual_seed(0)
    shape = (units,) if crops is None else (crops, units)
    clips = {
        name: Clip(
            name=name,
            features={"motion": torch.randn(*shape, 6), "text": torch.randn(units, 4)},
            labels=None,
            seconds=1.6,
            frames=units * 16 - 4,
            truth=truth,
            anomalous=bool(truth),
            kinds=("cyclist",) * len(truth),
        )
        for name, truth in (("test-01", ((15, 40),)), ("test-02", ()), ("<b>x", ((0, 1), (20, 24))))
    }
    splits = {
        "weak": {"train": ("test-01",), "test": ("test-02", "<b>x")},
        "other": {"train": (), "test": ("test-01",)},
    }
    return Dataset("made", clips, splits, 10.0, extractors={"motion": "flow", "text": "words"}, simulated=True)


def edited(folder: Path, change) -> Path:
    """The folder with its dataset.json changed, by someone who removed the checksum as told."""
    place = folder / "dataset.json"
    index = json.loads(place.read_text())
    index.pop("sum")
    change(index)
    place.write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("crops", [None, 10])
def test_what_is_written_is_read_back(tmp_path: Path, crops: int | None) -> None:
    before = made(crops=crops)
    native.write(before, tmp_path / "made")
    after = read(tmp_path / "made")
    assert after.splits == before.splits
    assert list(after.splits) == list(before.splits)
    assert (after.name, after.fps, after.simulated, after.extractors) == ("made", 10.0, True, before.extractors)
    for name, clip in before.clips.items():
        back = after.clips[name]
        assert (back.truth, back.frames, back.anomalous, back.kinds) == (
            clip.truth,
            clip.frames,
            clip.anomalous,
            clip.kinds,
        )
        for modality, values in clip.features.items():
            torch.testing.assert_close(back.features[modality], values, rtol=0, atol=0)
        assert back.labels is not None
    assert after.clips["test-01"].labels.tolist() == [True, True, True] + [False] * 9


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float32, (3, 5, 2), elements=st.floats(-(2.0**49), 2.0**49, width=32)))
def test_every_float32_survives_the_disk(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    clip = Clip("c", {"m": torch.from_numpy(values)}, None, 1.0)
    folder = native.write(Dataset("d", {"c": clip}, {}, 16.0), tmp_path_factory.mktemp("d") / "d")
    assert native.read(folder).clips["c"].features["m"].numpy().tobytes() == values.tobytes()


def test_on_disk_units_come_before_crops(tmp_path: Path) -> None:
    native.write(made(crops=10), tmp_path / "made")
    assert np.load(tmp_path / "made/features/motion/test-01.npy").shape == (12, 10, 6)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    folder = native.write(made(units=3), tmp_path / "made")
    generator = np.random.default_rng(0)
    for place in sorted(folder.rglob("*")):
        if not place.is_file():
            continue
        content = place.read_bytes()
        for at in generator.integers(0, len(content), 60):
            damaged = bytearray(content)
            damaged[at] ^= 1 << int(generator.integers(0, 8))
            if place.suffix == ".json" and _same_json(content, damaged):
                continue
            place.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"dataset\.json|file '"):
                native.read(folder)
        place.write_bytes(content)
    native.read(folder)


def _same_json(before: bytes, after: bytes) -> bool:
    """Some flips change white space alone."""
    try:
        return json.loads(before) == json.loads(after)
    except ValueError:
        return False


def test_a_replaced_feature_file_is_refused_by_name(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    np.save(folder / "features/motion/test-01.npy", np.zeros((12, 6), np.float32))
    with pytest.raises(ValueError, match=r"features/motion/test-01.npy.*does not match its checksum"):
        native.read(folder)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    before = made()
    folder = native.write(before, tmp_path / "made", half=True)
    values = native.read(folder).clips["test-01"].features["motion"]
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, before.clips["test-01"].features["motion"].half().float(), rtol=0, atol=0)


def test_a_folder_made_by_other_hands_is_read_and_said(tmp_path: Path) -> None:
    folder = edited(native.write(made(), tmp_path / "made"), lambda index: index.pop("files"))
    assert any("no checksums" in note for note in native.read(folder).notes)


def test_one_unit_more_is_cut_and_said_and_two_are_refused(tmp_path: Path) -> None:
    folder = edited(native.write(made(), tmp_path / "made"), lambda index: index.pop("files"))
    place = folder / "features/text/test-02.npy"
    np.save(place, np.zeros((13, 4), np.float32))
    clip = native.read(folder).clips["test-02"]
    assert clip.units == 12
    assert clip.notes == ("clip 'test-02': unit counts differ by one (motion 12, text 13); cut to 12",)
    np.save(place, np.zeros((14, 4), np.float32))
    with pytest.raises(ValueError, match="clip 'test-02': unit counts differ by 2: motion 12, text 14"):
        native.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i["clips"].update({"../../etc/passwd": i["clips"]["test-01"]}), "is a path"),
        (lambda i: i["clips"].update({"a\u202eb": i["clips"]["test-01"]}), "invisible characters"),
        (lambda i: i["clips"].update({"x" * 300: i["clips"]["test-01"]}), "at most 200 bytes"),
        (lambda i: i["modalities"].update({"../x": {"width": 3}}), "is a path"),
        (lambda i: i["modalities"]["motion"].update(width=7), "is 6 wide, dataset.json says 7"),
        (lambda i: i["modalities"]["motion"].update(width=True), "width is True"),
        (lambda i: i["clips"]["test-01"].update(truth=[[5, 2]]), "no interval"),
        (lambda i: i["clips"]["test-01"].update(truth=[[0, 999]]), "reaches past its 188 frames"),
        (lambda i: i["clips"]["test-01"].update(frames=900), "900 frames are 56.25 units of 16"),
        (lambda i: i["clips"]["test-01"].update(video="/etc/x.mp4"), "absolute"),
        (lambda i: i["clips"]["test-01"].update(video="../secret.mp4"), "leaves the dataset's folder"),
        (lambda i: i["clips"]["test-01"].update(video="http://x.y/z.mp4"), "is an address"),
        (lambda i: i["splits"]["weak"]["test"].append("nobody"), "unknown clips, first 'nobody'"),
        (lambda i: i.update(fps=0), "fps is 0"),
        (lambda i: i.update(fps="25"), "fps is '25'"),
        (lambda i: i.update(version=2), "version 2"),
        (lambda i: i.update(clips=[]), "clips is"),
        (lambda i: i.update(clips={}), "0 clips"),
        (lambda i: i.update(format="other"), "is no dataset"),
    ],
)
def test_a_wrong_field_is_refused_by_name(tmp_path: Path, change, message: str) -> None:
    folder = edited(native.write(made(), tmp_path / "made"), change)
    with pytest.raises(ValueError, match=message) as refused:
        native.read(folder)
    assert str(tmp_path) not in str(refused.value)


def test_truth_edited_by_hand_names_the_way_out(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    place = folder / "dataset.json"
    place.write_text(place.read_text().replace('"fps": 10.0', '"fps": 12.0'))
    with pytest.raises(ValueError, match="remove its line 'sum'"):
        native.read(folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    secret = tmp_path / "secret"
    (folder / "features/text").rename(secret)
    (folder / "features/text").symlink_to(secret)
    with pytest.raises(ValueError, match="link that leaves"):
        native.read(folder)


def test_a_pipe_in_place_of_features_does_not_hang(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    place = folder / "features/text/test-01.npy"
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ValueError, match="not a regular file"):
        native.read(folder)


def test_an_existing_folder_is_never_overwritten_unasked(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    before = _fingerprint(folder)
    with pytest.raises(ValueError, match="exists already"):
        native.write(made(units=3), folder)
    assert _fingerprint(folder) == before
    native.write(made(units=3), folder, overwrite=True)
    assert native.read(folder).clips["test-01"].units == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    dataset = made()
    broken = Clip("late", dataset.clips["test-01"].features, None, 1.0, video=tmp_path / "gone.mp4")
    with pytest.raises(FileNotFoundError):
        native.write(Dataset("d", {**dataset.clips, "late": broken}, {}, 10.0), tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_half_way_keeps_the_old_version_and_no_draft(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    before = _fingerprint(folder)
    dataset = made()
    dataset.clips["<b>x"].features["text"][0, 0] = 1e6  # the last file written; too large for float16
    with pytest.raises(ValueError, match="does not fit float16"):
        native.write(dataset, folder, half=True, overwrite=True)
    assert _fingerprint(folder) == before
    assert [place.name for place in tmp_path.iterdir()] == ["made"]


def test_a_disk_too_full_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(drafts.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 100})())
    with pytest.raises(ValueError, match="'made' needs 1,440 bytes, the disk has 100 free"):
        native.write(made(), tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_drafts_of_dead_writers_are_swept_and_a_half_replaced_version_returns(tmp_path: Path) -> None:
    dead = 2**22 + 1  # above the largest process number there can be
    (tmp_path / f".draft-{lease.here()}-{dead}-1-abc").mkdir()
    native.write(made(), tmp_path / f".draft-{lease.here()}-{dead}-1-old-made")
    (tmp_path / f".draft-{lease.mark()}-mine").mkdir()
    drafts.sweep(tmp_path)
    assert sorted(place.name for place in tmp_path.iterdir()) == [f".draft-{lease.mark()}-mine", "made"]
    native.read(tmp_path / "made")


def test_unit_labels_without_frames_come_back_as_the_same_labels(tmp_path: Path) -> None:
    labels = torch.tensor([False, True, True, False, True])
    clip = Clip("c", {"m": torch.zeros(5, 2)}, labels, 1.0)
    folder = native.write(Dataset("d", {"c": clip}, {}, 16.0), tmp_path / "d")
    assert native.read(folder).clips["c"].labels.tolist() == labels.tolist()


def _fingerprint(folder: Path) -> str:
    total = hashlib.sha256()
    for place in sorted(folder.rglob("*")):
        total.update(str(place).encode() + (place.read_bytes() if place.is_file() else b""))
    return total.hexdigest()

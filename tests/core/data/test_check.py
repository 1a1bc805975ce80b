"""The report: it names what lies there, lists every problem, and never raises."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from core.data import check, guard, native, read
from tests.core.data import hostile
from tests.core.data.made import feature_folder
from tests.core.data.test_native import edited, made


def test_a_good_dataset_has_nothing_in_the_way(tmp_path: Path) -> None:
    report = check.check(native.write(made(), tmp_path / "made"))
    assert report.ok
    assert (report.kind, report.clips, report.units, report.frames) == ("native", 3, 36, 3 * 188)
    assert [(m.name, m.widths, m.crops, m.units) for m in report.modalities] == [
        ("motion", (6,), (), (12, 12)),
        ("text", (4,), (), (12, 12)),
    ]
    assert report.splits["weak"] == {"train": 1, "test": 2}
    assert report.labels == {"anomalous": 2, "normal": 1, "unknown": 0, "with labelled frames": 3}
    assert "made: a FuseScope dataset (simulated)" in report.text()
    assert report.text().endswith("nothing stands in the way")


def test_it_lists_every_broken_file_of_a_dataset(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    (folder / "features/motion/test-01.npy").write_bytes(b"x")
    (folder / "features/text/test-02.npy").unlink()
    text = check.check(folder).text()
    assert "features/motion/test-01.npy" in text
    assert "features/text/test-02.npy" in text
    assert "2 errors" in text


def test_a_dataset_whose_splits_overlap_is_warned_about(tmp_path: Path) -> None:
    folder = edited(
        native.write(made(), tmp_path / "made"), lambda i: i["splits"]["weak"]["test"].extend(["test-01", "test-02"])
    )
    text = check.check(folder).text()
    assert "1 clips are in train and in test, first 'test-01'" in text
    assert "names 1 clips twice" in text


def test_the_report_as_json_holds_the_same(tmp_path: Path) -> None:
    report = check.check(feature_folder(tmp_path / "made"))
    told = json.loads(json.dumps(report.to_json()))
    assert told["ok"] is True
    assert told["found"] == "a folder of feature files"
    assert told["truth"] == {"file": "gt-made.npy", "entries": 384, "anomalous": 104, "fits": "frames", "units": 24}
    assert told["modalities"][0] == {
        "name": "i3d",
        "widths": [16],
        "crops": [10],
        "clips": 6,
        "units": [5, 11],
        "extractor": "",
    }


def test_frame_folders_are_reported_and_sent_to_extraction(tmp_path: Path) -> None:
    import cv2

    for part in ("train", "test"):
        for number in range(20):
            place = tmp_path / "set" / part / "01" / f"{number:03d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            if (part, number) != ("test", 7):
                cv2.imwrite(str(place), np.full((8, 8, 3), number, np.uint8))
    report = check.check(tmp_path / "set")
    assert (report.kind, report.clips, report.frames) == ("footage", 2, 39)
    assert "1 of the numbers 0 to 19 have no picture" in report.text()
    assert "python -m core extract set OUT" in report.text()
    with pytest.raises(ValueError, match="extract it first: python -m core extract set OUT"):
        read(tmp_path / "set")


def test_videos_are_counted_and_broken_ones_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.mp4").write_bytes(hostile.good_video(20))
    (tmp_path / "set/b.mp4").write_bytes(hostile.good_video(20)[:300])
    report = check.check(tmp_path / "set")
    assert report.frames == 20
    assert not report.ok
    assert "clip 'b'" in report.text()
    single = check.check(tmp_path / "set/a.mp4")
    assert (single.kind, single.frames, single.fps) == ("video", 20, 10.0)


@pytest.mark.parametrize("ending", [".mp4", ".M4V", *guard.VIDEOS])
def test_every_ending_of_a_video_is_one_for_check_and_for_extraction(tmp_path: Path, ending: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / f"set/a{ending}").write_bytes(hostile.good_video(20))
    report = check.check(tmp_path / "set")
    assert (report.kind, report.clips, report.ok) == ("footage", 1, True), report.text()
    assert check.kind(tmp_path / f"set/a{ending}") == "video"


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "safetensors", "h5"])
def test_single_files_show_what_they_hold(tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"a.{kind}"
    place.write_bytes(hostile.GOOD[kind]())
    report = check.check(place)
    assert report.kind == "arrays"
    assert report.ok
    assert report.contents
    place.write_bytes(hostile.GOOD[kind]()[:-50])
    assert not check.check(place).ok


def test_bad_numbers_in_a_single_file_are_counted(tmp_path: Path) -> None:
    values = np.ones((5, 3), np.float32)
    values[4, 1] = np.nan
    values[2] = 0
    np.save(tmp_path / "a.npy", values)
    text = check.check(tmp_path / "a.npy").text()
    assert "array: has 1 NaN or infinite values, in rows 4" in text
    assert "has 1 rows of zeros" in text


def test_paths_that_lead_nowhere_are_said(tmp_path: Path) -> None:
    assert "there is no such file or folder" in check.check(tmp_path / "gone").text()
    assert "holds no dataset.json" in check.check(tmp_path).text()
    (tmp_path / "a.txt").write_text("x")
    assert not check.check(tmp_path / "a.txt").ok
    os.mkfifo(tmp_path / "pipe")
    assert not check.check(tmp_path / "pipe").ok
    for path in (tmp_path / "gone", tmp_path, tmp_path / "a.txt", tmp_path / "pipe"):
        assert str(tmp_path) + "/" not in check.check(path).text()
        with pytest.raises(ValueError, match=path.name):
            read(path)


def test_hostile_names_are_escaped_and_cut_in_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "a\u202e\x1b[2Jb"
    folder.mkdir()
    (folder / ("x" * 150 + "\x1b[31m_i3d.npy")).write_bytes(hostile.good_npy())
    text = check.check(folder).text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(len(line) < 400 for line in text.splitlines())


def test_a_run_folder_is_recognised(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config": {"fusion": "lego", "P": 3}}))
    (folder / "model.safetensors").write_bytes(hostile.good_safetensors())
    report = check.check(folder)
    assert report.ok
    assert "fusion: lego" in report.contents
    assert "9 weights" in report.contents
    (folder / "model.safetensors").write_bytes(hostile.good_safetensors()[:-3])
    assert not check.check(folder).ok

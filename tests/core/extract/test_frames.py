"""Layouts and truth files, written by hand."""

import json

import cv2
import numpy as np
import pytest
import scipy.io

from core.data.frames import collection
from tests.core.extract.made import pictures, walkway, write_frames, write_video

FEW = pictures([], 4)


def by_name(root, **options):
    made = collection(root, **options)
    return made, {f.name: f for f in made.footage}


def test_ucsd_layout_intervals_and_splits(tmp_path):
    walkway(tmp_path, frames=62)
    made, clips = by_name(tmp_path)
    assert list(clips) == ["train-01", "test-01", "test-02"]
    assert clips["test-02"].truth == ((5, 60),)
    assert clips["train-01"].truth == ()
    assert clips["test-01"].truth is None
    assert made.fps == 10
    assert list(made.splits) == ["weak", "unsupervised"]
    assert made.splits["weak"] == {"train": ("test-02", "train-01"), "test": ("test-01",)}
    assert made.splits["unsupervised"] == {"train": ("train-01",), "test": ("test-01", "test-02")}


def test_mat_cells_are_one_based_and_inclusive(tmp_path):
    for name in ("01", "02"):
        write_frames(tmp_path / "testing" / "frames" / name, FEW)
    write_frames(tmp_path / "training" / "frames" / "01", FEW)
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.array([[1, 4], [2, 4]]), np.array([[3], [4]])
    scipy.io.savemat(tmp_path / "ped2.mat", {"gt": cells})
    made, clips = by_name(tmp_path)
    assert clips["test-01"].truth == ((0, 2), (3, 4))
    assert clips["test-02"].truth == ((2, 4),)
    assert clips["train-01"].truth == ()
    assert made.fps == 25
    assert any("25 frames a second" in note for note in made.notes)


def test_avenue_label_masks(tmp_path):
    write_video(tmp_path / "testing_videos" / "01.avi.mp4", FEW)
    (tmp_path / "testing_label_mask").mkdir()
    masks = np.empty((1, 4), dtype=object)
    for i in range(4):
        masks[0, i] = np.full((3, 3), i in (1, 2), dtype=np.uint8)
    write_video(tmp_path / "testing_videos" / "02.mp4", FEW)
    scipy.io.savemat(tmp_path / "testing_label_mask" / "2_label.mat", {"volLabel": masks})
    clips = by_name(tmp_path)[1]
    assert clips["test-02"].truth == ((1, 3),)


def test_shanghaitech_frame_masks(tmp_path):
    write_frames(tmp_path / "testing" / "frames" / "01_0014", FEW)
    (tmp_path / "testing" / "test_frame_mask").mkdir()
    np.save(tmp_path / "testing" / "test_frame_mask" / "01_0014.npy", np.array([0, 1, 1, 0], np.int8))
    assert by_name(tmp_path)[1]["test-01_0014"].truth == ((1, 3),)


def test_pixel_masks_as_pictures_and_packed(tmp_path):
    write_frames(tmp_path / "a" / "Test" / "Test001", FEW)
    (tmp_path / "a" / "Test" / "Test001_gt").mkdir()
    for i in range(4):
        mask = np.full((8, 8), 255 * (i == 3), np.uint8)
        cv2.imwrite(str(tmp_path / "a" / "Test" / "Test001_gt" / f"{i:03d}.bmp"), mask)
    assert by_name(tmp_path / "a")[1]["test-Test001"].truth == ((3, 4),)
    write_frames(tmp_path / "b" / "test" / "01", FEW)
    masks = np.zeros((4, 8, 8), bool)
    masks[:2, 3, 3] = True
    np.savez(tmp_path / "b" / "pixel_masks_packed.npz", Test001=np.packbits(masks, axis=-1))
    assert by_name(tmp_path / "b")[1]["test-01"].truth == ((0, 2),)


def test_described_videos(tmp_path):
    write_video(tmp_path / "one.mp4", FEW)
    write_video(tmp_path / "two.mp4", FEW)
    described = {
        "fps": 10,
        "clips": {"one": {"truth": [[1, 3]], "kinds": ["cyclist"], "anomalous": True}, "two": {"truth": []}},
        "splits": {"weak": {"train": ["one"], "test": ["two"]}},
        "licence": "ours",
        "simulated": True,
    }
    (tmp_path / "truth.json").write_text(json.dumps(described))
    made, clips = by_name(tmp_path)
    assert (clips["one"].truth, clips["one"].kinds, clips["one"].anomalous) == (((1, 3),), ("cyclist",), True)
    assert clips["two"].truth == ()
    assert (made.simulated, made.licence, made.fps) == (True, "ours", 10)
    assert made.splits["weak"] == {"train": ("one",), "test": ("two",)}


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({"Test009": [[0, 2]]}, "'Test009', which is not in the folder"),
        ({"Test001": [[2, 2]]}, "'Test001': truth must be"),
        ({"Test001": [[0, 2], [1, 3]]}, "overlap at frame 1"),
        ({"Test001": [[0, 9]]}, "'test-01' has 4 frames, but truth reaches frame 9"),
    ],
)
def test_truth_that_does_not_fit_is_refused_by_name(tmp_path, truth, said):
    write_frames(tmp_path / "test" / "01", FEW)
    (tmp_path / "intervals.json").write_text(json.dumps({"fps": 10, "anomalous_frames": truth}))
    with pytest.raises(ValueError, match=said):
        collection(tmp_path)


def test_an_empty_folder_says_what_is_needed(tmp_path):
    with pytest.raises(ValueError, match="holds neither videos"):
        collection(tmp_path)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    write_frames(tmp_path / "elsewhere" / "01", FEW)
    write_frames(tmp_path / "root" / "here", FEW)
    (tmp_path / "root" / "there").symlink_to(tmp_path / "elsewhere" / "01")
    assert list(by_name(tmp_path / "root")[1]) == ["here"]

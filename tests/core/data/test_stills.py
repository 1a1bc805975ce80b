"""Pictures of a unit are made in the child: the right ones, and none of a video that is too large."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from core.clip import Clip
from core.data.stills import unit_frames
from tests.core.data import hostile
from tests.core.extract.made import write_video


def clip(video: Path, units: int = 3) -> Clip:
    """16 frames a unit, 10 frames a second."""
    return Clip("a", {"motion": torch.ones(units, 2)}, None, 1.6, video=video, frames_per_unit=16)


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_a_unit_shows_its_own_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [grey(5 * t) for t in range(48)])
    for unit in range(3):
        found = unit_frames(clip(tmp_path / "a.mp4"), unit, height=24, every=4)
        assert found.shape == (4, 24, 32, 3)
        expected = [5 * (16 * unit + k) for k in range(0, 16, 4)]
        assert np.abs(found.mean((1, 2, 3)) - expected).max() < 4


def test_a_unit_that_the_video_does_not_hold_is_no_picture_of_another(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [grey(5 * t) for t in range(20)])
    assert len(unit_frames(clip(tmp_path / "a.mp4"), 1)) == 4
    with pytest.raises(ValueError, match="clip 'a': the video ends before unit 2 at 3.20 s"):
        unit_frames(clip(tmp_path / "a.mp4"), 2)
    with pytest.raises(ValueError, match="has units 0 to 2, not 3"):
        unit_frames(clip(tmp_path / "a.mp4"), 3)


def test_pictures_too_large_to_decode_are_refused(tmp_path: Path) -> None:
    content = bytearray(hostile.good_video(4, "avi", "rawvideo"))
    at = content.find(b"strf") + 12
    content[at : at + 8] = struct.pack("<ii", 16_384, 8_704)
    (tmp_path / "x.txt").write_bytes(bytes(content))
    with pytest.raises(ValueError, match="clip 'a' has pictures of 16384 x 8704; up to 35,389,440 pixels are decoded"):
        unit_frames(clip(tmp_path / "x.txt"), 0)
    write_video(tmp_path / "strip.mp4", [grey(9, 1024, 16)] * 16)
    with pytest.raises(ValueError, match="pictures of 1024 x 16 are too many"):
        unit_frames(clip(tmp_path / "strip.mp4"), 0)
    assert "no MP4" in str(pytest.raises(ValueError, unit_frames, clip(_text(tmp_path)), 0).value)


def _text(folder: Path) -> Path:
    place = folder / "list.mp4"
    place.write_text("#EXTM3U\nother.mp4\n")
    return place

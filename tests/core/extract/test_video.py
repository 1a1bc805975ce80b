"""What a video file says of itself is not believed."""

import numpy as np
import pytest

from core.data import video
from tests.core.extract.made import Square, pictures, write_video


@pytest.fixture(scope="module")
def shown() -> list[np.ndarray]:
    return pictures([Square(10, 1.0)], 20)


def test_frames_are_counted_and_come_back_in_order(tmp_path, shown):
    write_video(tmp_path / "a.mp4", shown, rate=10)
    found = video.probe(tmp_path / "a.mp4")
    assert (found.frames, found.fps, found.variable) == (20, 10.0, False)
    back = list(video.pictures(tmp_path / "a.mp4", found, found.fps))
    assert len(back) == 20
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(back, shown, strict=True)) < 4


def test_a_variable_rate_is_laid_on_a_grid(tmp_path, shown):
    """Ten frames at ticks 0..9, the next ten every fourth tick: the grid shows each of those four times."""
    times = [*range(10), *range(12, 52, 4)]
    write_video(tmp_path / "v.mp4", shown, times=times, rate=10)
    found = video.probe(tmp_path / "v.mp4")
    assert found.variable
    wanted = video.grid(found, 10.0)
    expected = [max(i for i, t in enumerate(times) if t <= tick) for tick in range(len(wanted))]
    assert wanted.tolist() == expected
    assert len(list(video.pictures(tmp_path / "v.mp4", found, 10.0))) == len(wanted)


def test_truth_moves_with_the_grid(tmp_path, shown):
    write_video(tmp_path / "v.mp4", shown, times=[*range(10), *range(12, 52, 4)], rate=10)
    found = video.probe(tmp_path / "v.mp4")
    assert video.on_grid(((11, 13),), found, 10.0) == ((16, 24),)


def test_halving_the_rate_keeps_every_second_frame(tmp_path, shown):
    write_video(tmp_path / "a.mp4", shown, rate=10)
    found = video.probe(tmp_path / "a.mp4")
    assert video.grid(found, 5.0).tolist() == list(range(0, 20, 2))


def test_a_playlist_called_mp4_opens_nothing(tmp_path, shown):
    write_video(tmp_path / "secret.mp4", shown)
    for text in ("#EXTM3U\n#EXTINF:1,\nsecret.mp4\n", "ffconcat version 1.0\nfile secret.mp4\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(ValueError, match="'list.mp4' is no MP4"):
            video.probe(tmp_path / "list.mp4")


def test_a_playlist_behind_an_mp4_signature_opens_nothing(tmp_path):
    (tmp_path / "list.mp4").write_bytes(b"\0\0\0\x18ftypmp42#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x\n")
    with pytest.raises(ValueError, match="cannot be decoded|no frame"):
        video.probe(tmp_path / "list.mp4")


@pytest.mark.parametrize("content", [b"", b"hello", b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="x.mp4"):
        video.probe(tmp_path / "x.mp4")


def test_the_written_copy_keeps_count_and_rate(tmp_path, shown):
    with video.Writer(tmp_path / "w.mp4", 12.5) as writer:
        for picture in shown:
            writer.add(picture)
    found = video.probe(tmp_path / "w.mp4")
    assert (found.frames, found.fps) == (20, 12.5)

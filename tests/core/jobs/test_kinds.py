"""What jobs bring in, and what they leave out."""

import json
import zipfile
from pathlib import Path

import pytest

from core.data import fields, native
from core.jobs.kinds import HANDLERS
from tests.core.data import hostile
from tests.core.data.test_native import made


def archive(folder: Path, video: str, content: bytes) -> Path:
    """A dataset whose first clip names this file as its video, all in one .zip."""
    native.write(made(), folder / "made")
    index = json.loads((folder / "made/dataset.json").read_text())
    next(iter(index["clips"].values()))["video"] = video
    index["sum"] = fields.total({key: value for key, value in index.items() if key != "sum"})
    (folder / "made/dataset.json").write_text(json.dumps(index))
    with zipfile.ZipFile(folder / "made.zip", "w") as target:
        for file in sorted((folder / "made").rglob("*.*")):
            target.write(file, file.relative_to(folder / "made"))
        target.writestr(video, content)
    return folder / "made.zip"


def brought(files: list[Path], out: Path) -> str:
    given = {"files": [str(file) for file in files], "name": "mine", "out": str(out)}
    return HANDLERS["files"](given, lambda share, words: None)


def test_an_archive_brings_no_video_whatever_it_calls_it(tmp_path: Path) -> None:
    given = archive(tmp_path, "clips/x.txt", hostile.good_video())
    with pytest.raises(ValueError, match="video is 'clips/x.txt'; the name of one ends in .mp4"):
        brought([given], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_video_beside_an_archive_is_left_out_and_said(tmp_path: Path) -> None:
    given = archive(tmp_path, "x.mp4", b"")
    (tmp_path / "x.mp4").write_bytes(hostile.good_video())
    assert brought([given, tmp_path / "x.mp4"], tmp_path / "out") == "out"
    found = native.read(tmp_path / "out")
    assert {clip.video for clip in found.clips.values()} == {None}
    assert any("1 videos, first that of clip" in note for note in found.notes)
    assert not (tmp_path / "out/clips").exists()


def test_two_uploads_of_one_name_both_come_in(tmp_path: Path) -> None:
    """Both were sent before the first was read, so neither could know of the other."""
    given = archive(tmp_path, "x.mp4", b"")
    assert [brought([given], tmp_path / "data/mine") for _ in range(2)] == ["mine", "mine-2"]
    assert [native.read(tmp_path / "data" / name).name for name in ("mine", "mine-2")] == ["mine", "mine-2"]

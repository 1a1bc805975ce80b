"""The whole way: footage in, dataset out; killed and resumed; one more clip measured by the same calibration."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data import native
from core.extract import captions, extract, extract_clip, pipeline
from core.extract.run import load_views
from tests.core.extract.made import WALKERS, Square, pictures, walkway, write_video


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("walkway")
    walkway(root / "footage")
    return root, extract(root / "footage", root / "out", workers=0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_dataset_comes_out(made):
    root, dataset = made
    assert dataset.modalities == ("motion", "appearance", "text")
    assert {name: clip.units for name, clip in dataset.clips.items()} == {"train-01": 5, "test-01": 5, "test-02": 5}
    clip = dataset.clips["test-02"]
    assert clip.frames == 66
    assert clip.truth == ((5, 60),)
    assert clip.labels.tolist() == [True, True, True, True, False]
    assert clip.anomalous
    assert clip.video.read_bytes()[4:8] == b"ftyp"
    assert captions(root / "out", "test-02")["text"][0].stop == 64
    assert not list(root.glob(".draft-*"))


def test_the_last_unit_may_be_short(tmp_path):
    write_video(tmp_path / "short.mp4", pictures(WALKERS, 17))
    dataset = extract(tmp_path / "short.mp4", tmp_path / "out", workers=0, videos=False)
    assert dataset.clips["short"].units == 2
    assert dataset.clips["short"].video is None


def test_again_gives_the_same_bytes(made, tmp_path):
    root, _ = made
    extract(root / "footage", tmp_path / "again", workers=0)
    assert files(tmp_path / "again") == files(root / "out")


def test_labels_are_not_looked_at(made, tmp_path):
    root, dataset = made
    footage = tmp_path / "footage"
    footage.mkdir()
    for part in ("train", "test", "split_weak.json"):
        (footage / part).symlink_to(root / "footage" / part)
    copied = tmp_path / "copied"
    subprocess.run(["cp", "-rL", footage, copied], check=True)
    blind = extract(copied, tmp_path / "blind", workers=0, videos=False, fps=10.0)
    for name, clip in dataset.clips.items():
        for modality, rows in clip.features.items():
            torch.testing.assert_close(blind.clips[name].features[modality], rows, rtol=0, atol=0)


def test_a_killed_extraction_goes_on_where_it_stopped(made, tmp_path, monkeypatch):
    root, _ = made
    script = (
        "import sys, time; from pathlib import Path; from core.extract import extract\n"
        "told = []\n"
        "def slowly(p):\n"
        "    told.append(p)\n"
        "    if p.stage == 'objects': print('objects', p.clip, flush=True); time.sleep(0.3)\n"
        f"extract(Path({str(root / 'footage')!r}), Path({str(tmp_path / 'out')!r}), workers=0, progress=slowly)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    second = {"train-01", "test-01", "test-02"}
    for line in child.stdout:  # killed in the middle of the second clip's objects
        second.discard(line.split()[1])
        if len(second) == 1:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "out").exists()
    done: list[str] = []
    for name in ("survey_clip", "find_objects"):
        whole = getattr(pipeline, name)

        def counted(clip, *rest, whole=whole, name=name):
            done.append(f"{name} {clip.footage.name}")
            return whole(clip, *rest)

        monkeypatch.setattr(pipeline, name, counted)
    extract(root / "footage", tmp_path / "out", workers=0)
    assert not [what for what in done if what.startswith("survey")]
    assert 1 <= len(done) < 3
    assert files(tmp_path / "out") == files(root / "out")


def test_worker_processes_give_the_same_and_tell_how_far_they_are(made, tmp_path):
    root, _ = made
    told = []
    extract(root / "footage", tmp_path / "out", workers=2, progress=told.append)
    assert files(tmp_path / "out") == files(root / "out")
    assert told[-1].done == told[-1].total == 3 * 3 * 66
    assert {p.stage for p in told} == {"survey", "objects", "describe"}


def test_an_upload_is_measured_by_the_calibration_of_the_dataset(made, tmp_path):
    """The same pictures as a clip of the dataset, as a video file: features differ only by what coding loses."""
    root, dataset = made
    fast = [*WALKERS[:2], Square(-20, 3.0, foot=104)]
    write_video(tmp_path / "mine.mp4", pictures(fast, 66), rate=10)
    mine = extract_clip(tmp_path / "mine.mp4", root / "out", tmp_path / "joined", workers=0)
    assert mine.widths == dataset.widths
    assert len(load_views(tmp_path / "joined")) == len(load_views(root / "out"))
    assert not [note for note in mine.notes if "does not know" in note]
    ours, theirs = (d.features["motion"].numpy() for d in (mine.clips["mine"], dataset.clips["test-02"]))
    assert np.corrcoef(ours[:, 1:].ravel(), theirs[:, 1:].ravel())[0, 1] > 0.9


def test_an_upload_from_an_unknown_view_is_said(made, tmp_path):
    root, _ = made
    shown = pictures(WALKERS, 34)
    for picture in shown:
        picture[:, :60] = 255 - picture[:, :60]
        picture[:20] = 20
    write_video(tmp_path / "other.mp4", shown, rate=10)
    mine = extract_clip(tmp_path / "other.mp4", root / "out", tmp_path / "joined", workers=0, videos=False)
    assert any("a view the dataset does not know" in note for note in mine.notes)


def test_an_upload_at_another_rate_is_brought_to_the_dataset_s(made, tmp_path):
    root, _ = made
    write_video(tmp_path / "quick.mp4", pictures(WALKERS, 60), rate=30)
    mine = extract_clip(tmp_path / "quick.mp4", root / "out", tmp_path / "joined", workers=0, videos=False)
    assert (mine.fps, mine.clips["quick"].frames) == (10.0, 20)
    assert any("resampled from 30 to 10" in note for note in mine.notes)


def test_refusals_name_what_is_wrong(made, tmp_path):
    root, _ = made
    with pytest.raises(ValueError, match="exists already"):
        extract(root / "footage", root / "out")
    with pytest.raises(ValueError, match="no extractor 'smell'"):
        extract(root / "footage", tmp_path / "x", modalities=("smell",), workers=0)
    native.write(native.read(root / "out"), tmp_path / "foreign")
    with pytest.raises(ValueError, match="no calibration.npz"):
        extract_clip(root / "out" / "clips" / "test-01.mp4", tmp_path / "foreign", tmp_path / "y", workers=0)
    (tmp_path / "list.mp4").write_text("#EXTM3U\nsecret.mp4\n")
    with pytest.raises(ValueError, match="'list.mp4' is no MP4"):
        extract(tmp_path / "list.mp4", tmp_path / "z", workers=0)


def test_two_real_clips(tmp_path):
    """A clip with a cyclist has evidence where it rides; a clip of walkers has almost none. No labels are used."""
    ped2 = Path(__file__).parents[3] / "../shared/data/ucsd_ped2"
    if not ped2.is_dir():
        pytest.skip("needs ../shared/data/ucsd_ped2")
    for part, clip in (("train", "10"), ("test", "02")):
        (tmp_path / "ped2" / part).mkdir(parents=True)
        subprocess.run(["cp", "-r", ped2 / part / clip, tmp_path / "ped2" / part], check=True)
    dataset = extract(tmp_path / "ped2", tmp_path / "out", workers=0, fps=10.0, videos=False)
    evidence = {name: clip.features["motion"][:, 1:].amax(-1) for name, clip in dataset.clips.items()}
    assert evidence["test-02"][6:].min() > 1
    assert evidence["test-02"][:4].max() < 0.5
    assert evidence["train-10"].max() < 0.5

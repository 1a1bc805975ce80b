"""Who wrote a file, and whether it still does, told across containers and killed processes."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.machine import drafts, lease

DEAD = 999_999_999


def test_a_process_is_told_by_its_machine_its_number_and_when_it_began(tmp_path: Path, monkeypatch) -> None:
    host, process, began = lease.mark().split("-")
    assert not lease.gone(lease.mark(), tmp_path)
    assert lease.gone(f"{host}-{DEAD}-1", tmp_path)
    assert lease.gone(f"{host}-{process}-{int(began) - 1}", tmp_path), "the number went to another process"
    for unseen in (f"0ther000-{DEAD}-1", str(DEAD), ""):
        assert not lease.gone(unseen, tmp_path)
        with monkeypatch.context() as later:
            later.setattr(lease, "ABANDONED", -1.0)
            assert lease.gone(unseen, tmp_path)


def test_what_is_being_written_elsewhere_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f".draft-abcdef01-{DEAD}-1-new").mkdir()
    (tmp_path / f".draft-abcdef01-{DEAD}-1-old-kept").mkdir()
    (tmp_path / f".draft-{lease.mark()}-mine").touch()
    (tmp_path / f".draft-{lease.here()}-{DEAD}-1-dead").mkdir()
    assert drafts.sweep(tmp_path) == [f".draft-{lease.here()}-{DEAD}-1-dead"]
    monkeypatch.setattr(lease, "ABANDONED", -1.0)
    assert drafts.sweep(tmp_path) == [f".draft-abcdef01-{DEAD}-1-new"]
    assert sorted(place.name for place in tmp_path.iterdir()) == [f".draft-{lease.mark()}-mine", "kept"]


def test_folders_of_killed_readers_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = "from core.data import guard; reader = guard.Reader(); print('on', flush=True); import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert child.stdout is not None
    child.stdout.readline()
    (left,) = tmp_path.glob("fusescope-guard-*")
    (tmp_path / "fusescope-guard-abcd1234").mkdir()  # as earlier versions called it
    (tmp_path / "fusescope-other").mkdir()
    with drafts.scratch("upload") as mine:
        assert drafts.sweep_scratch() == []
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert drafts.sweep_scratch() == [left.name]
        assert mine.exists()
        monkeypatch.setattr(lease, "ABANDONED", -1.0)
        assert drafts.sweep_scratch() == ["fusescope-guard-abcd1234"]
    assert [place.name for place in tmp_path.iterdir()] == ["fusescope-other"]

"""Workers that meet files of strangers know no secrets, and end when they take too long or too much."""

import hashlib
import os
import resource
import time
from pathlib import Path

import pytest

from core.extract import crew
from core.extract.crew import Crew
from core.machine import pool, process


def looked(name: str) -> tuple[dict[str, str], bytes, int, int]:
    began = Path("/proc/self/environ").read_bytes()
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]
    return dict(os.environ), began, *limits


def slept(name: str) -> None:
    try:
        time.sleep(60)
    except Exception as error:  # as a reader does that takes whatever a damaged file raises
        raise AssertionError("the end of its time is no error of a file") from error


def ate(name: str) -> None:
    bytearray(1 << 45)


def spun(name: str) -> None:
    """In a library that heeds no signal."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)


def environment(name: str) -> bytes:
    return Path("/proc/self/environ").read_bytes()


def test_a_worker_knows_no_secrets_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("FUSESCOPE_DATA", "/d")
    with Crew(1, None) as workers:
        told, began, memory, core = workers.run(looked, {"a": ("a",)}, "looking")["a"]
    assert b"SECRET" not in began
    assert "SECRET_TOKEN" not in told
    assert told["FUSESCOPE_DATA"] == "/d"
    assert told["OPENCV_IO_MAX_IMAGE_PIXELS"] == str(process.PIXELS)
    assert (memory, core) == (crew.MEMORY, 0)
    assert os.environ["SECRET_TOKEN"] == "abc"
    found = pool.spread(environment, ["a", "b"], workers=2)
    assert not any(b"SECRET" in told for _, told in found)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (slept, "clip 'a': surveying took more than 0.0083 minutes and was given up; cut it into parts"),
        (ate, "clip 'a': surveying needs more memory than the 12 GB that a worker may take"),
        (spun, "a worker process died .*; not done: 'a'"),
    ],
)
def test_a_worker_that_takes_too_much_is_ended_and_says_so(monkeypatch: pytest.MonkeyPatch, work, words: str) -> None:
    monkeypatch.setattr(crew, "PATIENCE", 0.5)
    with Crew(1, None) as workers, pytest.raises(ValueError, match=words):
        workers.run(work, {"a": ("a",)}, "surveying")


def test_each_frame_of_a_clip_gives_it_more_time() -> None:
    class Clip:
        frames = 100

    assert Crew(1, None)._patience((Clip(),)) == crew.PATIENCE + 50
    assert Crew(1, None, models=True)._patience((Clip(),)) == crew.PATIENCE + 1000

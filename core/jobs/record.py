"""A job's record on disk: what was asked, how it stands, and whose turn it is."""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from core.machine import drafts

State = Literal["queued", "running", "done", "failed", "cancelled"]
ACTIVE = ("queued", "running")
LONG = ("sweep",)  # kinds that let others pass
RECORD = 1 << 20
EVERY = 0.25  # seconds between two notes of progress
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One piece of work. `progress` runs from 0 to 1; times are seconds since 1970, 0 before they happen.

    kind        which function of `HANDLERS` does it, with `arguments`
    title       what is being done, in words for people; may hold hostile names
    message     where it stands, or why it failed
    result      name of what came out (a dataset), "" until then
    """

    id: str
    kind: str
    title: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state: State = "queued"
    progress: float = 0.0
    message: str = ""
    pid: int = 0
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    result: str = ""

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class Passed(Exception):  # noqa: N818 - it is no error
    """Raised by the work of a job that lets another one pass; it is queued again."""


Report = Callable[[float, str], None]  # progress 0..1, and where it stands in words


def find(root: Path, id: str) -> Job | None:
    """The job of this id as it stands now, None when there is none."""
    if not id or "/" in id or id.startswith("."):
        return None
    job = read(root / id / "job.json")
    return None if job is None else _settled(root, job)


def listing(root: Path) -> list[Job]:
    """Every job, oldest first."""
    found = [find(root, folder.name) for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []
    return [job for job in found if job is not None]


def waiting(root: Path, job: Job) -> int:
    """How many jobs are served before this one, the running one included; 0 when it is no longer queued."""
    if job.state != "queued":
        return 0
    return sum(
        other.state == "running" or (other.state == "queued" and turn(other) < turn(job)) for other in listing(root)
    )


def passing(folder: Path) -> bool:
    """Whether a job that does not let others pass waits; `folder` is what a handler is told as "job"."""
    return any(job.state == "queued" and job.kind not in LONG for job in listing(folder.parent))


def turn(job: Job) -> tuple[bool, str]:
    """Who is lower is served first."""
    return job.kind in LONG, job.id


def forget(root: Path, id: str) -> None:
    """Remove the record of a job that has ended."""
    job = find(root, id)
    if job is None or job.active:
        return
    (root / id / "job.json").unlink(missing_ok=True)  # first: no one shall read a record whose files are going
    shutil.rmtree(root / id, ignore_errors=True)


def _settled(root: Path, job: Job) -> Job:
    """The record, corrected where its process is gone or it was cancelled while it waited."""
    asked = (root / job.id / "cancel").exists()
    if job.state == "queued" and asked:
        job = replace(job, state="cancelled", message="cancelled", finished=time.time())
    elif job.state == "running" and not lives(job):
        again = read(root / job.id / "job.json")  # it may have ended between the two looks
        if again is None or again.state != "running":
            return again or job
        words = "cancelled" if asked else "its process ended before it was done; start it again"
        job = replace(again, state="cancelled" if asked else "failed", message=words, finished=time.time())
    else:
        return job
    drop_upload(Path(job.arguments.get("uploaded", "")))
    with contextlib.suppress(OSError):
        write(root, job)
    return job


def drop_upload(folder: Path) -> None:
    """Remove an upload's folder once its job has ended; anything that is not one is left alone."""
    if folder.parent.name == "uploads":
        shutil.rmtree(folder, ignore_errors=True)


def lives(job: Job) -> bool:
    """Whether the job's process lives; a number that now belongs to another process does not count."""
    if job.pid <= 0 or not drafts.alive(job.pid):
        return False
    try:
        told = Path(f"/proc/{job.pid}/cmdline").read_bytes()
    except OSError:
        return not os.path.isdir("/proc/self")  # without /proc the number is all there is
    return job.id.encode() in told


def read(path: Path) -> Job | None:
    try:
        if path.stat().st_size > RECORD:
            return None
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {entry.name for entry in fields(Job)}
        return Job(**{name: value for name, value in told.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write(root: Path, job: Job) -> None:
    drafts.write_file(root / job.id / "job.json", json.dumps(asdict(job), indent=1).encode())

"""A job's record on disk: what was asked, how it stands, and whose turn it is."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from core.data.fields import parsed
from core.machine import drafts, lease
from core.machine.names import opened
from core.workspace import Workspace

State = Literal["queued", "running", "done", "failed", "cancelled"]
ACTIVE = ("queued", "running")
LONG = ("sweep",)  # kinds that let others pass
RECORD = 1 << 20
EVERY = 0.25  # seconds between two notes of progress


@dataclass(frozen=True)
class Job:
    """One piece of work. `progress` runs from 0 to 1; times are seconds since 1970, 0 before they happen.

    kind        which function of `HANDLERS` does it, with `arguments`
    title       what is being done, in words for people; may hold hostile names
    message     where it stands, or why it failed
    pid, host   the process that does it, and where that number means something (`lease.here`)
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
    host: str = ""
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


def asked(root: Path, id: str) -> str | None:
    """Why a job is to stop: "" when someone asked for it, a sentence when it took too long; None when it is not."""
    try:
        return (root / id / "cancel").read_text(encoding="utf-8")[:2000]
    except OSError:
        return None


def stopped(job: Job, why: str) -> Job:
    """The job as it stands once it was stopped."""
    return replace(job, state="failed" if why else "cancelled", message=why or "cancelled", finished=time.time())


def _settled(root: Path, job: Job) -> Job:
    """The record, corrected where its process is gone or it was cancelled while it waited."""
    why = asked(root, job.id)
    if job.state == "queued" and why is not None:
        job = stopped(job, why)
    elif job.state == "running" and not lives(root, job):
        again = read(root / job.id / "job.json")  # it may have ended between the two looks
        if again is None or again.state != "running":
            return again or job
        job = stopped(again, "its process ended before it was done; start it again" if why is None else why)
    else:
        return job
    drop_upload(root, job)
    with contextlib.suppress(OSError):
        write(root, job)
    return job


def drop_upload(root: Path, job: Job) -> None:
    """Remove the folder that a job was to read, once it has ended, if it was uploaded."""
    folder = Path(str(job.arguments.get("uploaded", "")))
    if folder.parent.absolute() == Workspace(root.absolute().parent).uploads and folder.name not in ("", ".."):
        shutil.rmtree(folder, ignore_errors=True)


def lives(root: Path, job: Job) -> bool:
    """Whether the job's process lives; a number that now belongs to another process does not count.

    One of another machine, or of another container, lives as long as it shows it (`beat`).
    """
    if job.host and job.host != lease.here():
        return time.time() - _last_sign(root / job.id) < lease.LOST
    if job.pid <= 0 or not lease.alive(job.pid):
        return False
    try:
        told = Path(f"/proc/{job.pid}/cmdline").read_bytes()
    except OSError:
        return not os.path.isdir("/proc/self")  # without /proc the number is all there is
    return job.id.encode() in told


def beat(folder: Path) -> None:
    """A sign of life, for those who cannot see this process."""
    with contextlib.suppress(OSError):
        (folder / "beat").touch()


def _last_sign(folder: Path) -> float:
    last = 0.0
    for name in ("beat", "job.json"):
        with contextlib.suppress(OSError):
            last = max(last, (folder / name).stat().st_mtime)
    return last


LARGEST = {"progress": 1.0, "pid": 1 << 31}  # of numbers; times end in the year 5138


def read(path: Path) -> Job | None:
    """The record in this file; None where there is none, or one that is not what we write."""
    try:
        stream, size = opened(path, RECORD, "job.json")
        with stream:
            told = parsed(stream.read(size), "job.json")
        known = {entry.name: told[entry.name] for entry in fields(Job) if entry.name in told}
        job = Job(**known)
    except (ValueError, TypeError, KeyError):
        return None
    return job if all(_usable(name, getattr(job, name)) for name in known) and job.id == path.parent.name else None


def _usable(name: str, value: Any) -> bool:
    """Whether a field of a record holds what it may."""
    if name == "state":
        return value in get_args(State)
    if name == "arguments":
        return isinstance(value, dict)
    if name in ("progress", "pid", "created", "started", "finished"):
        whole = type(value) is int
        return (whole or (type(value) is float and name != "pid")) and 0 <= value <= LARGEST.get(name, 1e11)
    return isinstance(value, str)


def write(root: Path, job: Job) -> None:
    drafts.write_file(root / job.id / "job.json", json.dumps(asdict(job), indent=1).encode())

"""Long work in processes of its own: extraction and imports outlive a slider, a reload, a closed tab and the server.

    jobs/<id>/job.json    what was asked, state, progress, process, result; written whole or not at all
    jobs/<id>/log.txt     what the process printed
    jobs/<id>/cancel      someone asked for it to stop
    jobs/<id>/…           what the work itself keeps there while it goes on (its handler is told the folder as "job")
    jobs/worker.lock      held by the one worker, which starts one job after another, oldest first

    python -m core.jobs work ROOT       the worker: started by `submit`, ends when nothing is waiting
    python -m core.jobs run ROOT ID     one job, in a process group that `cancel` can end

Kinds in `LONG` are begun last and let others pass: when such a job asks (`passing`) and another waits, it raises
`Passed`, is queued again, and later goes on where it was, so it must be one that can.

A record never lies for long: who finds one "running" whose process is gone calls it failed. A queue never stands still
for long: the job that ends sees that a worker runs, and so does who looks at a queue that waits (`revive`).
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from core.machine import drafts
from core.machine.names import shown

State = Literal["queued", "running", "done", "failed", "cancelled"]
ACTIVE = ("queued", "running")
LONG = ("sweep",)  # kinds that let others pass
RECORD = 1 << 20
MOST_WAITING = 50
HALF_MADE = 60.0  # seconds after which a folder without a record is nobody's
EVERY = 0.25  # seconds between two notes of progress
NICE = 10
COMMAND = (sys.executable, "-m", "core.jobs")  # how this module starts itself again
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


def submit(root: Path, kind: str, title: str, arguments: Mapping[str, Any]) -> Job:
    """Put a job at the end of the queue and see that a worker runs. Errors: `ValueError` for an unknown kind."""
    if kind not in HANDLERS:
        raise ValueError(f"there is no work called '{shown(kind, 40)}'; there is {', '.join(HANDLERS)}")
    if sum(job.state == "queued" for job in listing(root)) >= MOST_WAITING:
        raise ValueError(f"{MOST_WAITING} jobs wait already; stop some of them, or come back when they are done")
    now = time.time()
    # time first: names sort in the order of the queue
    job = Job(f"{time.time_ns():x}-{secrets.token_hex(4)}", kind, title, dict(arguments), created=now)
    (root / job.id).mkdir(parents=True)
    _write(root, job)
    ensure(root)
    return job


def find(root: Path, id: str) -> Job | None:
    """The job of this id as it stands now, None when there is none."""
    if not id or "/" in id or id.startswith("."):
        return None
    job = _read(root / id / "job.json")
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
        other.state == "running" or (other.state == "queued" and _turn(other) < _turn(job)) for other in listing(root)
    )


def passing(folder: Path) -> bool:
    """Whether a job that does not let others pass waits; `folder` is what a handler is told as "job"."""
    return any(job.state == "queued" and job.kind not in LONG for job in listing(folder.parent))


def _turn(job: Job) -> tuple[bool, str]:
    """Who is lower is served first."""
    return job.kind in LONG, job.id


def cancel(root: Path, id: str) -> None:
    """Stop a job, running or waiting; nothing it had begun is left where others would find it."""
    job = find(root, id)
    if job is None or not job.active:
        return
    (root / id / "cancel").touch()
    job = find(root, id) or job
    if job.state == "running" and _mine(job):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)
        _gone(job, 2.0)
        with contextlib.suppress(ProcessLookupError):
            if _mine(job):
                os.killpg(job.pid, signal.SIGKILL)
        _gone(job, 5.0)
    find(root, id)  # writes down that it was cancelled


def _gone(job: Job, seconds: float) -> None:
    """Wait until the job's process has ended, but not longer than this."""
    end = time.monotonic() + seconds
    while _mine(job) and time.monotonic() < end:
        time.sleep(0.02)


def forget(root: Path, id: str) -> None:
    """Remove the record of a job that has ended."""
    job = find(root, id)
    if job is None or job.active:
        return
    (root / id / "job.json").unlink(missing_ok=True)  # first: no one shall read a record whose files are going
    shutil.rmtree(root / id, ignore_errors=True)


def ensure(root: Path) -> None:
    """Start a worker unless one is at work.

    The lock is taken here and handed on with the open file: no moment is left in which a worker that is still starting
    holds nothing, and everyone who looks would start another.
    """
    with (root / "worker.lock").open("a") as lock:
        if not _lock(lock.fileno()):
            return
        worker = subprocess.Popen(
            [*COMMAND, "work", str(root.resolve()), str(lock.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=_home(),
            env=_environment(),
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    threading.Thread(target=worker.wait, daemon=True).start()  # or it would stay a zombie until this process ends


def revive(root: Path) -> None:
    """See that a worker runs where jobs wait and nothing else would start them: it was killed."""
    found = listing(root)
    if any(job.state == "queued" for job in found) and not any(job.state == "running" for job in found):
        ensure(root)


def tidy(root: Path) -> None:
    """Remove what killed writers left: drafts of dead processes, and folders that never got their record."""
    for folder in root.iterdir():
        if folder.is_dir():
            drafts.sweep(folder)
            with contextlib.suppress(OSError):
                if not (folder / "job.json").exists() and time.time() - folder.stat().st_mtime > HALF_MADE:
                    shutil.rmtree(folder, ignore_errors=True)


def work(root: Path, held: int | None = None) -> None:
    """Run waiting jobs, one at a time, until none is left; at once when another worker is at it.

    held    the open worker.lock, locked already by who started this process
    """
    while held is not None or any(job.state == "queued" for job in listing(root)):
        with (root / "worker.lock").open("a") if held is None else os.fdopen(held, "a") as lock:
            if held is None and not _lock(lock.fileno()):
                return
            held = None
            tidy(root)
            while (job := _next(root)) is not None:
                _start(root, job)
        # the lock is free again: a job that came in just now, and found it held, is seen by the loop


def _next(root: Path) -> Job | None:
    """The waiting job whose turn it is, once nothing that a killed worker left runs any more."""
    while True:
        jobs = listing(root)
        if not any(job.state == "running" for job in jobs):
            return min((job for job in jobs if job.state == "queued"), key=_turn, default=None)
        time.sleep(0.2)


def _start(root: Path, job: Job) -> None:
    with (root / job.id / "log.txt").open("ab") as written:
        # the job's process takes no part in the lock: a worker that is killed must not hold it through its child
        process = subprocess.Popen(
            [*COMMAND, "run", str(root), job.id],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            cwd=_home(),
            env=_environment(),
            start_new_session=True,
        )
    _write(root, replace(job, state="running", pid=process.pid, started=time.time(), message="starting"))
    process.wait()
    find(root, job.id)  # settles the record of a process that died


def run(root: Path, id: str) -> None:
    """Do one job in this process and write down how it goes."""
    job = _own(root, id)
    last = 0.0

    def report(progress: float, message: str) -> None:
        nonlocal job, last
        if (root / id / "cancel").exists():
            raise KeyboardInterrupt
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            job = replace(job, progress=min(max(progress, 0.0), 1.0), message=shown(message, 200))
            with contextlib.suppress(OSError):  # a full disk must not end the work that may yet free it
                _write(root, job)

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt  # so that what was begun is cleaned up

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(OSError):
        os.nice(NICE)  # people who look at pages go first
    try:
        result = HANDLERS[job.kind]({**job.arguments, "job": str(root / id)}, report)
        job = replace(job, state="done", progress=1.0, message="", result=result)
    except Passed:
        _write(root, replace(job, state="queued", pid=0, started=0.0, message="lets a shorter job pass"))
        revive(root)
        return
    except KeyboardInterrupt:
        job = replace(job, state="cancelled", message="cancelled")
    except ValueError as refused:
        job = replace(job, state="failed", message=str(refused)[:2000])
    except MemoryError:
        job = replace(job, state="failed", message="there is not enough memory for this; try a shorter or smaller file")
    except OSError as error:
        traceback.print_exc()
        job = replace(job, state="failed", message=f"a file could not be read or written: {error.strerror}")
    except Exception:
        traceback.print_exc()
        number = secrets.token_hex(3)
        print(f"error {number}", file=sys.stderr)
        job = replace(job, state="failed", message=f"something went wrong on our side (error {number}, see the log)")
    drop_upload(Path(job.arguments.get("uploaded", "")))
    _write(root, replace(job, finished=time.time()))
    revive(root)  # the worker that started this may have been killed


def _own(root: Path, id: str) -> Job:
    """The record of the job this process is to do, once the worker has written who does it."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        job = _read(root / id / "job.json")
        if job is not None and job.state == "running" and job.pid == os.getpid():
            return job
        if job is not None and not job.active:
            raise SystemExit(f"job {id} was {job.state} before it began")
        time.sleep(0.01)
    raise SystemExit(f"job {id} was never handed over")


def _settled(root: Path, job: Job) -> Job:
    """The record, corrected where its process is gone or it was cancelled while it waited."""
    asked = (root / job.id / "cancel").exists()
    if job.state == "queued" and asked:
        job = replace(job, state="cancelled", message="cancelled", finished=time.time())
    elif job.state == "running" and not _mine(job):
        again = _read(root / job.id / "job.json")  # it may have ended between the two looks
        if again is None or again.state != "running":
            return again or job
        words = "cancelled" if asked else "its process ended before it was done; start it again"
        job = replace(again, state="cancelled" if asked else "failed", message=words, finished=time.time())
    else:
        return job
    drop_upload(Path(job.arguments.get("uploaded", "")))
    with contextlib.suppress(OSError):
        _write(root, job)
    return job


def drop_upload(folder: Path) -> None:
    """Remove an upload's folder once its job has ended; anything that is not one is left alone."""
    if folder.parent.name == "uploads":
        shutil.rmtree(folder, ignore_errors=True)


def _mine(job: Job) -> bool:
    """Whether the job's process lives; a number that now belongs to another process does not count."""
    if job.pid <= 0 or not drafts.alive(job.pid):
        return False
    try:
        told = Path(f"/proc/{job.pid}/cmdline").read_bytes()
    except OSError:
        return not os.path.isdir("/proc/self")  # without /proc the number is all there is
    return job.id.encode() in told


def _read(path: Path) -> Job | None:
    try:
        if path.stat().st_size > RECORD:
            return None
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {entry.name for entry in fields(Job)}
        return Job(**{name: value for name, value in told.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(root: Path, job: Job) -> None:
    drafts.write_file(root / job.id / "job.json", json.dumps(asdict(job), indent=1).encode())


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _home() -> Path:
    """Where `python -m core.jobs` finds the package."""
    return Path(__file__).parents[1]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


# --- what can be done -----------------------------------------------------------------------------------------


def _extract_clip(given: Mapping[str, Any], report: Report) -> str:
    """A user's video, measured like the clips of the dataset its models were trained on."""
    from core.extract import Progress, extract_clip

    def told(step: Progress) -> None:
        report(step.done / max(step.total, 1), f"{step.stage} {step.clip}: frame {step.done:,} of {step.total:,}")

    out = Path(given["out"])
    with _cleared(out):
        extract_clip(Path(given["file"]), Path(given["dataset"]), out, progress=told, name=given["name"])
    return out.name


def _extract(given: Mapping[str, Any], report: Report) -> str:
    """A folder of videos or frames, measured by itself."""
    from core.extract import Progress, extract

    def told(step: Progress) -> None:
        report(step.done / max(step.total, 1), f"{step.stage} {step.clip}: frame {step.done:,} of {step.total:,}")

    out = Path(given["out"])
    with _cleared(out):
        extract(Path(given["folder"]), out, progress=told, fps=given.get("fps"), name=given["name"], workers=1)
    return out.name


@contextlib.contextmanager
def _cleared(out: Path) -> Iterator[None]:
    """An extraction keeps its steps to resume from; one that was stopped or refused here is not taken up again."""
    try:
        yield
    finally:
        shutil.rmtree(out.parent / f".draft-extract-{out.name}", ignore_errors=True)


def _import_features(given: Mapping[str, Any], report: Report) -> str:
    """Feature files with their lists, files of samples, or a dataset of ours, as a dataset of ours.

    options, samples    what feature files, and what files of samples, do not say; the folder tells which it is
    """
    from dataclasses import replace as changed

    from core.data import check, index, native, read
    from core.data.samples import native as stored
    from core.sample import Samples

    report(0.1, "reading")
    folder, out = Path(given["folder"]), Path(given["out"])
    kind = check.kind(folder)
    options = given.get({"features": "options", "tables": "samples"}.get(kind, ""), {})
    found = read(folder, **options)
    if isinstance(found, Samples):
        report(0.6, f"{len(found):,} samples read, writing")
        stored.write(changed(found, name=given["name"]), out)
    else:
        report(0.6, f"{len(found.clips)} clips read, writing")
        native.write(changed(found, name=given["name"]), out)
        if out.parent.name == "data":  # the workspace's: who opens a large set does not wait for its index
            report(0.95, "looking at what was written")
            index.read(out, out.parents[1] / "index")
    return out.name


def _import_files(given: Mapping[str, Any], report: Report) -> str:
    """Uploaded feature files or an archive of them: unpacked by the guarded child, then read like a folder."""
    from core import shelf

    report(0.05, "unpacking")
    with shelf.unpacked([Path(file) for file in given["files"]]) as folder:
        return _import_features({**given, "folder": str(folder)}, report)


def _whole(given: Mapping[str, Any], report: Report) -> str:
    """A long clip as one window."""
    from core.score import whole

    return whole.work(given, report)


def _import_checkpoint(given: Mapping[str, Any], report: Report) -> str:
    """Weights of the released LEGO code as a run."""
    from core import shelf

    report(0.1, "reading the weights")
    visual, text = given["modalities"]
    return shelf.adopt_released(Path(given["file"]), (visual, text), Path(given["runs"]))


def _sweep(given: Mapping[str, Any], report: Report) -> str:
    """One method at many options; stopped or killed, it goes on where it was when it is started again."""
    from core.sweep import work

    return work(given, report)


def _train(given: Mapping[str, Any], report: Report) -> str:
    """One fusion from one seed or several (`core.train.order`); the ids of their runs, one after another."""
    report(0.0, "starting")
    from core.data import read
    from core.train.order import Order, carry_out

    order = Order.read(given["order"])
    report(0.0, "reading the data")
    data = read(Path(given["dataset"]))
    known = [Path(folder) for folder in given.get("known", ())]
    return " ".join(carry_out(order, data, Path(given["runs"]), Path(given["job"]), report, known, EVERY))


HANDLERS: dict[str, Callable[[Mapping[str, Any], Report], str]] = {
    "clip": _extract_clip,
    "footage": _extract,
    "features": _import_features,
    "files": _import_files,
    "checkpoint": _import_checkpoint,
    "whole": _whole,
    "train": _train,
    "sweep": _sweep,
}


def main(words: list[str]) -> None:
    match words:
        case ["work", folder]:
            work(Path(folder))
        case ["work", folder, handle]:
            work(Path(folder), int(handle))
        case ["run", folder, name]:
            run(Path(folder), name)
        case _:
            raise SystemExit("usage: python -m core.jobs work ROOT | run ROOT ID")


if __name__ == "__main__":
    main(sys.argv[1:])

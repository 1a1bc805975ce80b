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
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.jobs import kinds, record
from core.jobs.record import Job, Passed, drop_upload, find, listing, lives, read, turn, write
from core.machine import drafts
from core.machine.names import shown

MOST_WAITING = 50
HALF_MADE = 60.0  # seconds after which a folder without a record is nobody's
NICE = 10
COMMAND = (sys.executable, "-m", "core.jobs")  # how this module starts itself again


def submit(root: Path, kind: str, title: str, arguments: Mapping[str, Any]) -> Job:
    """Put a job at the end of the queue and see that a worker runs. Errors: `ValueError` for an unknown kind."""
    if kind not in kinds.HANDLERS:
        raise ValueError(f"there is no work called '{shown(kind, 40)}'; there is {', '.join(kinds.HANDLERS)}")
    if sum(job.state == "queued" for job in listing(root)) >= MOST_WAITING:
        raise ValueError(f"{MOST_WAITING} jobs wait already; stop some of them, or come back when they are done")
    now = time.time()
    # time first: names sort in the order of the queue
    job = Job(f"{time.time_ns():x}-{secrets.token_hex(4)}", kind, title, dict(arguments), created=now)
    (root / job.id).mkdir(parents=True)
    write(root, job)
    ensure(root)
    return job


def cancel(root: Path, id: str) -> None:
    """Stop a job, running or waiting; nothing it had begun is left where others would find it."""
    job = find(root, id)
    if job is None or not job.active:
        return
    (root / id / "cancel").touch()
    job = find(root, id) or job
    if job.state == "running" and lives(job):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)
        _gone(job, 2.0)
        with contextlib.suppress(ProcessLookupError):
            if lives(job):
                os.killpg(job.pid, signal.SIGKILL)
        _gone(job, 5.0)
    find(root, id)  # writes down that it was cancelled


def _gone(job: Job, seconds: float) -> None:
    """Wait until the job's process has ended, but not longer than this."""
    end = time.monotonic() + seconds
    while lives(job) and time.monotonic() < end:
        time.sleep(0.02)


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
            return min((job for job in jobs if job.state == "queued"), key=turn, default=None)
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
    write(root, replace(job, state="running", pid=process.pid, started=time.time(), message="starting"))
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
        if time.monotonic() - last >= record.EVERY:
            last = time.monotonic()
            job = replace(job, progress=min(max(progress, 0.0), 1.0), message=shown(message, 200))
            with contextlib.suppress(OSError):  # a full disk must not end the work that may yet free it
                write(root, job)

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt  # so that what was begun is cleaned up

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(OSError):
        os.nice(NICE)  # people who look at pages go first
    try:
        result = kinds.HANDLERS[job.kind]({**job.arguments, "job": str(root / id)}, report)
        job = replace(job, state="done", progress=1.0, message="", result=result)
    except Passed:
        write(root, replace(job, state="queued", pid=0, started=0.0, message="lets a shorter job pass"))
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
    write(root, replace(job, finished=time.time()))
    revive(root)  # the worker that started this may have been killed


def _own(root: Path, id: str) -> Job:
    """The record of the job this process is to do, once the worker has written who does it."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        job = read(root / id / "job.json")
        if job is not None and job.state == "running" and job.pid == os.getpid():
            return job
        if job is not None and not job.active:
            raise SystemExit(f"job {id} was {job.state} before it began")
        time.sleep(0.01)
    raise SystemExit(f"job {id} was never handed over")


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _home() -> Path:
    """Where `python -m core.jobs` finds the package."""
    return Path(__file__).parents[2]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


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

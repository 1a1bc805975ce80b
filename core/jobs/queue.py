"""Long work in processes of its own: extraction and imports outlive a slider, a reload, a closed tab and the server.

    jobs/<id>/job.json    what was asked, state, progress, process, result; written whole or not at all
    jobs/<id>/log.txt     what the process printed
    jobs/<id>/cancel      it is to stop: empty when someone asked for it, else why
    jobs/<id>/beat        touched while it goes on, for servers that see the disk and not the process
    jobs/<id>/…           what the work itself keeps there while it goes on (its handler is told the folder as "job")
    jobs/worker.lock      held by the one worker, which starts one job after another, oldest first

    python -m core.jobs work ROOT       the worker: started by `submit`, ends when nothing is waiting
    python -m core.jobs run ROOT ID     one job, in a process group that `cancel` can end

Kinds in `LONG` are begun last and let others pass: when such a job asks (`passing`) and another waits, it raises
`Passed`, is queued again, and later goes on where it was, so it must be one that can.

A record never lies for long: who finds one "running" whose process is gone calls it failed. One of another machine or
container counts as gone when it has shown no sign of life for two minutes. A queue never stands still
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
from core.machine import drafts, lease, memory, process
from core.machine.names import shown

MOST_WAITING = 50
HALF_MADE = 60.0  # seconds after which a folder without a record is nobody's
NICE = 10
LOOK = 1.0  # seconds between two looks at a job that goes on
MEMORY = 0.8  # share of the machine's, or of the container's, that a job may take
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


def cancel(root: Path, id: str, why: str = "") -> None:
    """Stop a job, running or waiting; nothing it had begun is left where others would find it.

    why     a sentence, when it is not stopped because someone asked for it; it then counts as failed
    """
    job = find(root, id)
    if job is None or not job.active:
        return
    (root / id / "cancel").write_text(why, encoding="utf-8")
    job = find(root, id) or job
    if job.state == "running" and job.host in ("", lease.here()):  # where it is elsewhere, its own worker ends it
        _end(root, job)
    find(root, id)  # writes down that it was stopped


def _end(root: Path, job: Job) -> None:
    """End a job's process and all that it started: first in good order, then at once."""
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        if not lives(root, job):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, number)
        end = time.monotonic() + seconds
        while lives(root, job) and time.monotonic() < end:
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
            drafts.sweep_scratch()
            while (job := _next(root)) is not None:
                _start(root, job)
        # the lock is free again: a job that came in just now, and found it held, is seen by the loop


def _next(root: Path) -> Job | None:
    """The waiting job whose turn it is, once nothing that a killed worker left runs any more."""
    while True:
        jobs = listing(root)
        running = [job for job in jobs if job.state == "running"]
        if not running:
            return min((job for job in jobs if job.state == "queued"), key=turn, default=None)
        for job in running:
            _watch(root, job)
        time.sleep(0.2)


def _start(root: Path, job: Job) -> None:
    with (root / job.id / "log.txt").open("ab") as written:
        # the job's process takes no part in the lock: a worker that is killed must not hold it through its child
        child = subprocess.Popen(
            [*COMMAND, "run", str(root), job.id],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            cwd=_home(),
            env=_environment(),
            start_new_session=True,
        )
    job = replace(job, state="running", pid=child.pid, host=lease.here(), started=time.time(), message="starting")
    write(root, job)
    while child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(LOOK)
            break
        _watch(root, job)
    find(root, job.id)  # settles the record of a process that died


def _watch(root: Path, job: Job) -> None:
    """Stop a job of this machine that takes too long, or whose end was asked for on another one."""
    if job.host not in ("", lease.here()):
        return
    most = kinds.seconds(job.kind)
    if time.time() - job.started > most:
        cancel(root, job.id, f"it took more than {most / 3600:g} hours and was stopped; try a smaller part")
    elif record.asked(root, job.id) is not None:
        _end(root, job)


def run(root: Path, id: str) -> None:
    """Do one job in this process and write down how it goes."""
    job = _own(root, id)
    last = 0.0

    def report(progress: float, message: str) -> None:
        nonlocal job, last
        if record.asked(root, id) is not None:
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
    process.cap(int(MEMORY * memory.total()))
    threading.Thread(target=_beats, args=(root / id,), daemon=True).start()
    try:
        result = kinds.HANDLERS[job.kind]({**job.arguments, "job": str(root / id)}, report)
        job = replace(job, state="done", progress=1.0, message="", result=result)
    except Passed:
        write(root, replace(job, state="queued", pid=0, host="", started=0.0, message="lets a shorter job pass"))
        revive(root)
        return
    except KeyboardInterrupt:
        job = record.stopped(job, record.asked(root, id) or "")
    except Exception as error:
        job = replace(job, state="failed", message=_told(error))
    drop_upload(root, job)
    write(root, replace(job, finished=time.time()))
    revive(root)  # the worker that started this may have been killed


def _told(error: Exception) -> str:
    """What went wrong, in words for people; what they cannot mend is in the job's log, under a number."""
    if isinstance(error, ValueError):
        return str(error)[:2000]
    if memory.is_full(error):
        most = int(MEMORY * memory.total())
        return f"it needs more memory than the {most / 1e9:.1f} GB that a job may take; try a shorter or smaller file"
    traceback.print_exception(error)
    if isinstance(error, OSError):
        return f"a file could not be read or written: {error.strerror}"
    number = secrets.token_hex(3)
    print(f"error {number}", file=sys.stderr)
    return f"something went wrong on our side (error {number}, see the log)"


def _beats(folder: Path) -> None:
    while True:
        record.beat(folder)
        time.sleep(lease.BEAT)


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
    return process.environment() | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


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

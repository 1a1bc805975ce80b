"""Work on many clips: in processes that know little and may take little, on a Ray cluster, or right here."""

import math
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Literal

import cv2

from core.machine import memory, pool, process

MEMORY = 12 << 30  # address space of a worker, libraries included
PATIENCE = 1800.0  # seconds that one step of a clip may take, and more for each of its frames
A_FRAME, A_FRAME_SEEN = 0.5, 10.0  # the second where pretrained models look at them


@dataclass(frozen=True)
class Progress:
    """Where an extraction stands: `done` of `total` frames, of all clips and passes together."""

    stage: Literal["probe", "survey", "objects", "describe"]
    clip: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.stage} {self.clip}: {self.done:,} of {self.total:,} frames"


Report = Callable[[Progress], None]
TOLD_EVERY = 20  # frames
_told: Callable[[str, str, int], None] | None = None


def tell(stage: str, clip: str, done: int, end: bool = False) -> None:
    """How far the work on a clip is; told now and then, and at its end."""
    if _told is not None and (end or done % TOLD_EVERY == 0):
        _told(stage, clip, done)


def _start_worker(told: Any, limit: int) -> None:
    global _told
    _told = lambda *what: told.put(what)  # noqa: E731
    cv2.setNumThreads(1)
    process.cap(MEMORY, limit)


class _LateError(BaseException):
    """Time is up; no reader that takes what a damaged file raises may take this."""


def _bounded(seconds: float, where: str, work: Callable[..., Any], job: tuple) -> Any:
    """One step of one clip in a worker, whose end is told in a sentence when it takes too long or too much.

    A decoder that does not come back is ended by the system, once it has used as much processor time several times.
    """

    def late(number: int, frame: object) -> None:
        raise _LateError

    signal.signal(signal.SIGALRM, late)
    most = math.ceil(time.process_time() + 2 * seconds * (os.cpu_count() or 1)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return work(*job)
    except _LateError:
        raise ValueError(
            f"{where} took more than {seconds / 60:.2g} minutes and was given up; cut it into parts"
        ) from None
    except Exception as error:
        if memory.is_full(error):
            raise ValueError(f"{where} needs more memory than the {MEMORY >> 30} GB that a worker may take") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _on_cluster(task: tuple[Callable[..., Any], tuple]) -> Any:
    """One clip's work on a machine of a cluster, under the caps of a worker of ours; files are shared by name."""
    cv2.setNumThreads(1)
    # what is filled, not what is mapped: Ray's own store is mapped into every worker
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work, job = task
    return work(*job)


class Crew:
    """Runs a function on many clips: in `workers` processes, on a Ray cluster, or right here when there are neither."""

    def __init__(
        self,
        workers: int,
        report: Report | None,
        accelerated: bool = False,
        models: bool = False,
        address: str | None = None,
    ) -> None:
        """`accelerated` processes may map, not fill, more than MEMORY: drivers reserve far more than they use.

        models      pretrained ones look at every frame, which takes longer
        address     of a Ray cluster whose machines see the same files under the same names
        """
        self.workers, self.report, self.address = 0 if address else workers, report, address
        self.limit = resource.RLIMIT_DATA if accelerated else resource.RLIMIT_AS
        self.a_frame = A_FRAME_SEEN if models else A_FRAME
        self.done: dict[tuple[str, str], int] = {}
        self.total = 1
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Crew":
        if self.workers:
            context = process.Clean()
            self.told = context.SimpleQueue()  # a put is done before its worker's result is: nothing told is lost
            self.pool = ProcessPoolExecutor(self.workers, context, _start_worker, (self.told, self.limit))
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.told.close()

    def run(self, work: Callable[..., Any], jobs: Mapping[str, tuple], step: str) -> dict[str, Any]:
        """Clip name -> result. The first error ends the rest; `step` is how messages call the work."""
        if self.address is not None:
            return self._far(work, jobs, step)
        if self.pool is None:
            return {name: self._here(work, job) for name, job in jobs.items()}
        futures: dict[str, Future] = {
            name: self.pool.submit(_bounded, self._patience(job), f"clip {name!r}: {step}", work, job)
            for name, job in jobs.items()
        }
        results = {}
        for name, future in futures.items():
            while True:
                self._hear()
                try:
                    results[name] = future.result(timeout=0.2)
                    break
                except NotYet:
                    continue
                except BrokenProcessPool as error:
                    waiting = ", ".join(repr(n) for n, f in futures.items() if n not in results)[:200]
                    raise ValueError(
                        "a worker process died (out of memory, out of time, or a file that crashes the decoder); "
                        f"not done: {waiting}"
                    ) from error
                except BaseException:
                    for other in futures.values():
                        other.cancel()
                    raise
        self._hear()
        return results

    def _patience(self, job: tuple) -> float:
        """Seconds that one step of a clip may take, by its frames once they are counted."""
        return PATIENCE + self.a_frame * getattr(job[0], "frames", 0)

    def _far(self, work: Callable[..., Any], jobs: Mapping[str, tuple], step: str) -> dict[str, Any]:
        """On the cluster nothing is heard of a clip before it is done."""
        names, results = list(jobs), {}
        for index, result in pool.spread(_on_cluster, [(work, jobs[name]) for name in names], self.address):
            results[names[index]] = result
            if frames := getattr(jobs[names[index]][0], "frames", 0):
                self._heard(step, names[index], frames)
        return results

    def _here(self, work: Callable[..., Any], job: tuple) -> Any:
        global _told
        before, _told = _told, self._heard
        try:
            return work(*job)
        finally:
            _told = before

    def _hear(self) -> None:
        while not self.told.empty():
            self._heard(*self.told.get())

    def _heard(self, stage: Any, clip: str, done: int) -> None:
        self.done[stage, clip] = done
        if self.report is not None:
            self.report(Progress(stage, clip, min(sum(self.done.values()), self.total), self.total))

"""One function, many tasks: here, in processes beside this one, or on a Ray cluster; results come as they are done.

    spread(work, tasks)                             one after another, in this process
    spread(work, tasks, workers=2)                  in processes of this machine
    spread(work, tasks, address="host:6379")        on a Ray cluster ("local": one of its own on this machine)

`work(task, *shared)` is a function of a module, so that others can import it, and may be begun twice: a task whose
worker dies is given to another one. Each task's result is handed out once. What one process holds (weights, data) goes
into `shared`, which every worker gets once. Ray (requirements-ray.txt) schedules and moves objects; nothing here does.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from core.machine import memory, process

TRIES = 3  # deaths of workers that one task may see before it is called the reason
AHEAD = 4  # tasks handed out for every worker, so that none waits and memory stays flat
LOOK = 5.0  # seconds without an answer after which a cluster is asked whether it still has workers
LOST = 120.0  # seconds that a cluster may be without any; machines that are being replaced come back sooner

Work = Callable[..., Any]
_shared: tuple[Any, ...] = ()


def spread(
    work: Work,
    tasks: Sequence[Any],
    address: str | None = None,
    workers: int = 1,
    shared: tuple[Any, ...] = (),
) -> Iterator[tuple[int, Any]]:
    """(index of the task, `work(task, *shared)`) in the order in which they are done.

    Errors: what `work` raises, with the task's number in a note; `ValueError` when a task's workers died three times,
    when Ray is not installed, when no cluster answers at the address, or when it has had no worker for two minutes.
    """
    if address is not None:
        yield from _on_ray(work, tasks, address, shared)
    elif workers > 1 and len(tasks) > 1:
        yield from _in_processes(work, tasks, min(workers, len(tasks)), shared)
    else:
        for index, task in enumerate(tasks):
            with _named(index, len(tasks)):
                result = work(task, *shared)
            yield index, result


@contextlib.contextmanager
def _named(index: int, count: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in task {index + 1} of {count}")
        raise


def _died(index: int, count: int) -> ValueError:
    return ValueError(
        f"task {index + 1} of {count}: {TRIES} workers died over it (out of memory, or a crash in a library); "
        "what the others made is kept"
    )


# ---------------------------------------------------------------------------- processes of this machine


def _begin(shared: tuple[Any, ...]) -> None:
    global _shared
    _shared = shared
    process.cap(memory.total())  # what fills the machine ends in a sentence, not in the death of a neighbour


def _call(work: Work, task: Any) -> Any:
    return work(task, *_shared)


def _in_processes(work: Work, tasks: Sequence[Any], workers: int, shared: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of two threads are 2.4 times slower than two of one
    waiting, deaths = list(range(len(tasks))), [0] * len(tasks)
    while waiting:
        with ProcessPoolExecutor(workers, process.Clean(), _begin, (shared,)) as pool:
            flying: dict[Future, int] = {}
            try:
                while waiting or flying:
                    while waiting and len(flying) < AHEAD * workers:
                        index = waiting.pop(0)
                        flying[pool.submit(_call, work, tasks[index])] = index
                    done, _ = wait(flying, return_when=FIRST_COMPLETED)
                    for future in done:
                        index = flying[future]
                        with _named(index, len(tasks)):
                            result = future.result()
                        del flying[future]  # a broken pool's stay, to be begun again
                        yield index, result
            except BrokenProcessPool:
                # the pool does not say whose worker it was: those handed out first were at work
                lost = sorted(flying.values())
                for index in lost[:workers]:
                    deaths[index] += 1
                    if deaths[index] >= TRIES:
                        raise _died(index, len(tasks)) from None
                waiting = lost + waiting
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


# ---------------------------------------------------------------------------- Ray


def connect(address: str) -> Any:
    """The `ray` module, connected to the cluster at the address; "local" starts one on this machine.

    Our own code travels to the workers; they need only the packages of requirements.txt.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls out
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
    except ImportError:
        raise ValueError(
            "work on a cluster needs Ray, which is not installed: pip install -r requirements-ray.txt"
        ) from None
    if ray.is_initialized():
        return ray
    if address != "local":
        _listens(address)
    settings: dict[str, Any] = {
        "runtime_env": {
            "py_modules": [str(Path(__file__).parents[1])],
            "env_vars": {"OMP_NUM_THREADS": "1"},
        },
        "log_to_driver": False,
        "logging_level": "error",
    }
    try:
        if address == "local":
            ray.init(address="local", include_dashboard=False, **settings)
        else:
            ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f"no Ray cluster answers at {address!r} ({str(error).splitlines()[0][:200]})") from None
    return ray


def _listens(address: str) -> None:
    """A `ValueError` when nobody takes calls there; Ray itself would wait five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"{address!r} is no address of a Ray cluster; it looks like host:6379, ray://host:10001 or local"
        )
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray cluster answers at {address!r} ({error})") from None


def _on_ray(work: Work, tasks: Sequence[Any], address: str, shared: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
    ray = connect(address)
    # a call that raises is an answer and not begun again; a call whose worker or machine dies is
    remote = ray.remote(num_cpus=1, max_retries=TRIES - 1, retry_exceptions=False)(work)
    held = [ray.put(one) for one in shared]
    slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = iter(range(len(tasks)))
    flying: dict[Any, int] = {}
    alive, given = time.monotonic(), 0
    try:
        while True:
            while len(flying) < AHEAD * slots and (index := next(waiting, None)) is not None:
                flying[remote.remote(tasks[index], *held)] = index
            if not flying:
                return
            found, _ = ray.wait(list(flying), num_returns=1, timeout=LOOK)
            if found or any(node["Alive"] and node["Resources"].get("CPU") for node in ray.nodes()):
                alive = time.monotonic()
            elif time.monotonic() - alive > LOST:
                raise ValueError(
                    f"the cluster at {address!r} has had no worker for {LOST:.0f} s, with {len(tasks) - given} of "
                    f"{len(tasks)} tasks still to do; what was done is kept: begin again when it has some"
                )
            if not found:
                continue
            (done,) = found
            index = flying[done]
            with _named(index, len(tasks)):
                try:
                    result = ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, Exception) else error from None
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
                    raise _died(index, len(tasks)) from None
            del flying[done]
            given += 1
            yield index, result
    finally:
        for one in flying:
            with contextlib.suppress(Exception):
                ray.cancel(one, force=True)

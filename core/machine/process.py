"""What a process of ours may know and take: a bare environment, a bound on memory, pictures of a bounded size."""

import contextlib
import os
import re
import resource
from collections.abc import Iterator, Mapping
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

PIXELS = 8192 * 4320  # of one picture of a stranger

# what processes of ours need: where programs, caches and the workspace are, the accelerator, the number of threads.
# Everything else stays behind: tokens, passwords, proxies.
KNOWN = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|\w+_NUM_THREADS|MPLCONFIGDIR|XDG_CACHE_HOME|VIRTUAL_ENV"
    r"|(PYTHON|FUSESCOPE|RAY|NUMBA|CUDA|CUBLAS|NVIDIA|PYTORCH)\w*|HF_(HOME|HUB_CACHE|HUB_OFFLINE)"
)


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process that may meet files of strangers is told of this one's environment.

    >>> sorted(environment({"HOME": "/h", "AWS_SECRET": "x", "FUSESCOPE_DATA": "/d"}))
    ['FUSESCOPE_DATA', 'HOME', 'OPENCV_IO_MAX_IMAGE_PIXELS']
    """
    kept = {name: value for name, value in given.items() if KNOWN.fullmatch(name)}
    return kept | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(PIXELS)}


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's own name
        with _only(environment()):
            return SpawnProcess._Popen(process_obj)  # type: ignore[attr-defined]


class Clean(SpawnContext):
    """Processes that begin anew, with `environment()` and nothing else."""

    Process = _Process


@contextlib.contextmanager
def _only(names: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cap(memory: int, limit: int = resource.RLIMIT_DATA) -> None:
    """At most so many bytes for this process, and no core files; what it starts later is bounded the same way.

    limit   RLIMIT_DATA counts what can be filled, RLIMIT_AS also what is only mapped
    """
    soft, hard = resource.getrlimit(limit)
    known = [most for most in (soft, hard, memory) if most != resource.RLIM_INFINITY]
    resource.setrlimit(limit, (min(known), min(known)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

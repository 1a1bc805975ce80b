"""How much memory this machine, its container or its accelerator still has."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def free(device: object = "cpu") -> int:
    """Bytes that can still be had: of this machine or of the container, and of the accelerator if that has more.

    Memory is counted as it is now: what others hold is not there. Where the system does not say, all of it.
    """
    found = _available()
    if str(device).startswith("cuda"):
        import torch  # takes seconds; who only asks for this machine's memory does not wait for it

        if torch.cuda.is_available():
            found = max(found, torch.cuda.mem_get_info(torch.device(str(device)))[0])
    return found


def total() -> int:
    """Bytes that this machine or the container has in all."""
    told = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [most for most, _ in _limits(Path("/sys/fs/cgroup"))]
    return min([told, *limits])


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory could not be had; the libraries have a word each for it.

    >>> is_full(RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"))
    True
    """
    words = ("can't allocate memory", "Insufficient memory", "CUDA out of memory", "Cannot allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _available() -> int:
    told = [_container()]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
    except (OSError, ValueError, IndexError):
        pass
    if len(told) == 1:
        told.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(one for one in told if one is not None)


def _container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container may still take; None without a limit."""
    return next((max(0, most - now) for most, now in _limits(root)), None)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(most, now) in bytes of every limit that a container has."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
            yield int((root / limit).read_text()), int((root / used).read_text())

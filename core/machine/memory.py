"""How much memory this machine, its container or its accelerator still has."""

import os
from pathlib import Path

import torch


def free(device: torch.device | str = "cpu") -> int:
    """Bytes that can still be had: of this machine or of the container, and of the accelerator if that has more.

    Memory is counted as it is now: what others hold is not there. Where the system does not say, all of it.
    """
    found = _available()
    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        found = max(found, torch.cuda.mem_get_info(device)[0])
    return found


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
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, now = int((root / limit).read_text()), int((root / used).read_text())
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
        return max(0, most - now)
    return None

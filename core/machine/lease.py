"""Who holds something, and whether it still does: a process, told by its machine, its number and when it began.

A number means something only beside the processes that it was given among: two containers on one disk see each other's
files, not each other's processes. So what is held elsewhere counts as held for as long as it shows life.
"""

import functools
import hashlib
import os
import socket
import time
from pathlib import Path

BEAT = 5.0  # seconds between two signs of life of a job
LOST = 120.0  # seconds without one after which a job of another machine is nobody's
ABANDONED = 24 * 3600.0  # seconds after which a file half written elsewhere is


@functools.cache
def here() -> str:
    """Eight letters for this machine and its table of processes; those of a container differ from its host's."""
    told = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            told.append(read().strip())
        except OSError:  # not Linux: the name of the machine must do
            continue
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:8]


def born(process: int) -> int:
    """When this process began, in ticks of its machine; 0 where there is none, or the system does not say."""
    try:
        return int(_fields(process)[19])
    except (OSError, IndexError, ValueError):
        return 0


def alive(process: int, began: int = 0) -> bool:
    """Whether a process with this number runs here (a zombie does not), and began then, where that is known."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        told = _fields(process)
    except (OSError, IndexError):
        return True
    return told[0] != "Z" and (not began or int(told[19]) == began)


def _fields(process: int) -> list[str]:
    """What the system says of a process, from its state on; its name, which comes before, may hold anything."""
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()


def mark() -> str:
    """This process, in a file's name."""
    return f"{here()}-{os.getpid()}-{born(os.getpid())}"


def gone(told: str, place: Path) -> bool:
    """Whether the process that this mark tells of left `place` behind; one of elsewhere, when it has not been touched
    for a day."""
    host, _, rest = told.partition("-")
    process, _, began = rest.partition("-")
    if host == here() and process.isdigit() and began.isdigit():
        return not alive(int(process), int(began))
    return time.time() - touched(place) > ABANDONED


def touched(place: Path) -> float:
    """Seconds since 1970 at which a file, or anything below a folder, was last changed or moved."""
    last = os.lstat(place).st_ctime
    for folder, inner, files in os.walk(place):
        for name in (*inner, *files):
            try:
                last = max(last, os.lstat(os.path.join(folder, name)).st_ctime)
            except OSError:  # it has gone since
                continue
    return last

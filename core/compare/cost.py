"""What scoring costs here: processor time, and peak memory in a process of its own."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from core import run as runs
from core.clip import Clip
from core.fusion.base import Fusion
from core.sample import Part
from core.score.judge import answers

ROOT = Path(__file__).parents[2]


def scoring_time(model: Fusion, test: Sequence[Clip] | Part, turns: int = 5) -> float:
    """Milliseconds of processor time of one thread to score the whole test part: the median of some turns, one to warm.

    Of this thread alone, so that other visitors and jobs do not count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(turns + 1):
            began = time.thread_time()
            answers(model, test)
            taken.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    return 1e3 * statistics.median(taken[1:])


PEAKS = "import sys; from core.compare.cost import tell_peaks; tell_peaks(sys.argv[1], sys.argv[2], sys.argv[3:])"


def peaks(data: Path, part: str, folders: Sequence[Path], seconds: float = 300) -> list[float | None]:
    """Megabytes each run's scoring adds at most to a process that has loaded data and model; None where unknown.

    Measured in processes of their own, one a run, by the kernel's account (Linux). Takes some seconds.
    """
    program = [sys.executable, "-W", "ignore", "-c", PEAKS, str(data.resolve()), part]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [*program, *(str(folder.resolve()) for folder in folders)],
            capture_output=True, text=True, timeout=seconds, env=environment, cwd=ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [None] * len(folders)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [*lines, *[None] * len(folders)][: len(folders)]


def tell_peaks(data: str, part: str, folders: Sequence[str]) -> None:
    """What `peaks` starts: one line a run, each measured in a child that begins with the same memory."""
    import ctypes

    from core.data import read
    from core.machine.peak import peak

    torch.set_num_threads(1)
    found = read(Path(data))
    test = found.part(part)
    for folder in folders:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            told: float | None = None
            with contextlib.suppress(Exception):  # a run that cannot be measured is told as unknown
                model = runs.model(Path(folder))
                with contextlib.suppress(AttributeError, OSError):  # memory freed before must not hide what is asked
                    ctypes.CDLL(None).malloc_trim(0)
                told = peak(partial(answers, model, test))
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as heard:
            print(heard.read() or "null", flush=True)
        os.waitpid(child, 0)

"""The first map of a process: what a visitor waits for after a restart."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.experiments.bench.shared import Row, Tell, compared
from core.experiments.demo import ROOT

POINTS = 5_000
UMAP_GOAL = 5.0
AS_USUAL = "import sys, numpy as np; from umap import UMAP; UMAP().fit(np.load(sys.argv[1]))"
OURS = "import sys, numpy as np; from core.explain.plane import umap; umap(np.load(sys.argv[1]))"


def processor_seconds(program: str, rows: Path, cache: Path) -> float:
    """Processor time of a fresh Python that runs this program, one thread; compiled code may be kept in `cache`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(rows)],
        cwd=ROOT,
        env=os.environ | threads | {"NUMBA_CACHE_DIR": str(cache)},
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_map(tell: Tell) -> Iterator[Row]:
    """The first UMAP of a process: what a visitor waits for after a restart. Both had one process before to compile."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 64))[random.integers(0, 20, POINTS)] * 2 + random.normal(size=(POINTS, 64))
    seconds = {}
    for name, program in (("ours", OURS), ("as usual", AS_USUAL)):
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "rows.npy", rows.astype(np.float32))
            for turn in ("compiling", "timed"):
                tell(f"UMAP of {POINTS:,} points in a fresh process, {name}, {turn}")
                seconds[name] = processor_seconds(program, Path(folder) / "rows.npy", Path(folder) / "cache")
    yield compared(
        f"first UMAP of {POINTS:,} points in a process",
        1e3 * seconds["ours"],
        "UMAP().fit",
        1e3 * seconds["as usual"],
        UMAP_GOAL,
        "both after a process that compiled; imports included",
    )

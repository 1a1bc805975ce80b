"""Ratios of fast paths against their named rivals, in one run: what counts is the ratio, since machines differ.

Variants take turns of at least a tenth of a second, so that a machine that slows down slows all of them; each gets the
median of its turns. Time is this process's processor time on one thread: other programs on the machine do not count.
Every fast path is compared with its rival's answer before it is timed.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict

import torch

from core.data import read
from core.dataset import Dataset
from core.experiments.bench.fuse import fusing
from core.experiments.bench.large import many_clips
from core.experiments.bench.long import long_windows
from core.experiments.bench.shared import Row, Tell, table
from core.experiments.bench.sliders import demo, sliding
from core.experiments.bench.sweep import sweeping
from core.experiments.bench.train import training
from core.experiments.bench.umap import first_map
from core.experiments.demo import ASSETS
from core.experiments.table import stored
from core.experiments.table import text as methods_text
from core.sample import Samples
from core.trust import record

Told = tuple[dict[str, object], str]

BENCHMARKS: dict[str, Callable[[Tell], Iterator[Row]]] = {
    "fuse": fusing,
    "train": training,
    "sliders": sliding,
    "demo": demo,
    "long": long_windows,
    "umap": first_map,
    "large sets": many_clips,
    "sweep": sweeping,
}


def methods(data: Dataset | Samples, tell: Tell) -> tuple[object, str]:
    """Every method, its committed runs scored again: quality, what a single modality leaves, cost."""
    rows = stored(data, ASSETS / "runs", tell)
    return [asdict(row) for row in rows], methods_text(rows)


def robustness(data: Dataset | Samples, tell: Tell) -> tuple[object, str]:
    """Every committed run under every corruption. About ten minutes of one core."""
    return record.table(data, record.trained_on(data, ASSETS / "runs"), tell)


RECORDS: dict[str, Callable[[Dataset | Samples, Tell], tuple[object, str]]] = {
    "methods": methods,
    "robustness": robustness,
}


def on_demos(name: str, tell: Tell) -> Told:
    """A record of the committed runs on both demos."""
    values: dict[str, object] = {}
    texts = []
    for key in ("demo", "digits"):
        if not (ASSETS / key / "dataset.json").is_file():
            raise ValueError("the demo is not here: make assets builds it")
        values[key], text = RECORDS[name](read(ASSETS / key), tell)
        texts.append(f"{key}\n{text}")
    return values, "\n\n".join(texts)


def run(name: str | None, tell: Tell) -> Told:
    """(rows as plain values, the same as a table) of one benchmark, or of all."""
    if name in RECORDS:
        return on_demos(name, tell)
    if name is not None and name not in BENCHMARKS:
        raise ValueError(f"there is no benchmark {name!r}; there are {', '.join([*BENCHMARKS, *RECORDS])}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for key, bench in BENCHMARKS.items() if name in (None, key) for row in bench(tell)]
    finally:
        torch.set_num_threads(threads)
    result: dict[str, object] = {"cores": os.cpu_count(), "threads": 1, "rows": [asdict(row) for row in rows]}
    note = "Medians of processor time on one thread, variants in turn; ratio = rival / ours."
    return result, f"{table(rows)}\n{note}"

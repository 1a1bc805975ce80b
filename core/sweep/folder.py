"""A sweep on disk: what its runs are trained and judged on, what is there, and what is still to be done.

    sweeps/<id>/sweep.json    what was asked for (`Plan`), the data's fingerprint, versions
    sweeps/<id>/runs/<run>/   an ordinary run folder each; what is missing is what is still to be done
    sweeps/<id>/failed/<run>  why a training came to nothing (it diverged): not tried again
    sweeps/<id>/lock          held by the process that works on it

`judge="held-out"` measures on a part of the training clips and never sees the test part; `judge="test"` is what the
papers' figures do (Ding et al., ICLR 2025, figures 4 and 5): whoever then picks the best cell has picked it on test.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import run as runs
from core.clip import Clip
from core.dataset import Dataset
from core.fusion.base import Fusion
from core.machine import drafts
from core.machine.names import shown
from core.measure.metrics import auc
from core.recipe import Recipe
from core.run import Run, Source
from core.sample import METRIC_WORDS, Samples, Task
from core.score.infer import score
from core.sweep.plan import Cell, Plan, cells, checked_plan, told
from core.train import memory
from core.train.loop import widths_of
from core.workspace import Workspace

FORMAT: dict[str, Any] = {"format": "fusescope-sweep", "version": 1}
WORDS = METRIC_WORDS | {"auc_clips": "clip AUC"}

Data = Dataset | Samples


# ---------------------------------------------------------------------------- what is judged on what


def held_out(data: Data, protocol: str | None, share: float, seed: int = 0) -> Data:
    """The training part alone, a share of every class held out as its test part: the real test part is not in it."""
    random = torch.Generator().manual_seed(seed)

    def divided(classes: Sequence[Any]) -> tuple[list[int], list[int]]:
        kept, held = [], []
        for one in dict.fromkeys(classes):
            index = torch.tensor([place for place, other in enumerate(classes) if other == one])
            index = index[torch.randperm(len(index), generator=random)]
            count = min(max(1, round(share * len(index))), len(index) - 1)  # a class of one stays in training
            held += index[:count].tolist()
            kept += index[count:].tolist()
        return sorted(kept), sorted(held)

    if isinstance(data, Samples):
        part = data.part("train", protocol)
        assert part.target is not None
        kept, held = divided(part.target.tolist() if part.task.kind == "class" else [None] * len(part))
        parts = {"train": torch.tensor(kept), "test": torch.tensor(held)}
        name = f"{data.name}, {len(held):,} of {len(part):,} training samples held out"
        return replace(
            data, name=name, features=part.features, target=part.target, names=part.names,
            splits={"held-out": parts}, notes=(),
        )  # fmt: skip
    clips = data.part("train", protocol)
    kept, held = divided([clip.anomalous for clip in clips])
    split = {"train": tuple(clips[i].name for i in kept), "test": tuple(clips[i].name for i in held)}
    name = f"{data.name}, {len(held)} of {len(clips)} training clips held out"
    return replace(data, name=name, clips={c.name: c for c in clips}, splits={"held-out": split}, notes=())


def judged_data(plan: Plan, data: Data) -> tuple[Data, str]:
    """(what the runs are trained and measured on, the protocol)."""
    if plan.judge == "held-out":
        return held_out(data, plan.recipe.protocol, plan.share), "held-out"
    return data, data.split(plan.recipe.protocol)


def metric_of(data: Data, protocol: str) -> str:
    """The metric the data allow: the task's, or for clips whose units nobody labelled the AUC over clips."""
    if isinstance(data, Samples):
        return data.task.metric
    test = data.part("test", protocol)
    units = {bool(flag) for clip in test if clip.labels is not None for flag in clip.labels.tolist()}
    if len(units) == 2:
        return "auc"
    if {clip.anomalous for clip in test} >= {True, False}:
        return "auc_clips"
    raise ValueError(
        f"{data.name!r}: nothing to judge by, the {len(test)} clips to be measured are all of one kind or unlabelled"
    )


def clip_auc(model: Fusion, clips: Sequence[Clip]) -> float:
    """How well the highest unit score tells anomalous clips from normal ones, in percent."""
    known = [clip for clip in clips if clip.anomalous is not None]
    found = score(model, known)
    return auc(np.array([found[clip.name].max() for clip in known]), np.array([bool(clip.anomalous) for clip in known]))


# ---------------------------------------------------------------------------- the folder


@dataclass(frozen=True)
class Sweep:
    """A sweep as its folder holds it.

    source      what its runs were trained on; data: the fingerprint of the whole data set, which says whose sweep it is
    metric      the key of the runs' metrics that cells are compared by
    """

    plan: Plan
    source: Source
    metric: str
    created: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    task: str = "units"
    data: str = ""

    @cached_property
    def id(self) -> str:
        asked = {name: value for name, value in self.plan.plain().items() if name != "dataset"}
        asked |= {"axes": list(self.plan.axes.items()), "data": [*_plain(self.source)], "metric": self.metric}
        asked["training"] = runs.recorded(asked["training"])
        if self.plan.how == "grid":
            asked["trials"] = None
        return f"{self.plan.fusion}-{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:10]}"

    def recipe(self, cell: Cell, seed: int) -> Recipe:
        """What this training is asked for, on the data its runs are judged on."""
        return replace(self.plan.of(cell, seed), protocol=self.source.protocol)

    def run_id(self, cell: Cell, seed: int) -> str:
        """The folder that this training's run will have."""
        asked = self.plan.of(cell, seed)
        return Run(asked.fusion, asdict(asked.options), asdict(asked.training), self.source, seed).id

    @property
    def judged(self) -> str:
        """What the numbers were measured on, in words that stand beside every one of them."""
        if self.plan.judge == "test":
            return "on test"
        return "on held-out training " + ("clips" if self.task == "units" else "samples")

    @property
    def title(self) -> str:
        """What is swept, in words: method, axes, how many cells."""
        axes = " x ".join(self.plan.names)
        how = "" if self.plan.how == "grid" else ", guided"
        return (
            f"{runs.WORDS.get(self.plan.fusion, self.plan.fusion)}: {axes}, {self.plan.size} cells{how}, {self.judged}"
        )


def _plain(source: Source) -> tuple[str, str, list[tuple[str, int]]]:
    return source.digest, source.protocol, list(source.widths.items())


def staged(plan: Plan, data: Data) -> tuple[Sweep, Data]:
    """(the sweep, the data its runs are trained and measured on), checked."""
    plan = checked_plan(plan, data.task)
    used, protocol = judged_data(plan, data)
    widths = widths_of(used, plan.recipe.modalities)
    source = Source(used.name, used.digest(), protocol, widths, used.simulated)
    metric, task = metric_of(used, protocol), used.task
    with torch.device("meta"):  # shapes alone: a config that cannot be built is told before anything is trained
        for cell in cells(plan):
            try:
                runs.build(plan.fusion, widths, plan.of(cell).options, task)
            except ValueError as error:
                raise ValueError(f"{told(plan.names, cell)}: {error}") from None
    afford(plan, data)
    return Sweep(plan, source, metric, time.time(), runs.versions(), task.kind, data.digest()), used


def afford(plan: Plan, data: Data) -> None:
    """A `ValueError` when a cell needs more memory than there is: the largest number of every axis, each of its words.

    A training goes on alone where it would need too much together with others (`core.train.ensemble.at_once`).
    """
    shape = memory.shape_of(data, plan.recipe.protocol, plan.recipe.modalities)
    top = [max(values) if _counts(values) else values[0] for values in plan.axes.values()]
    chosen = [tuple(top)]
    for place, values in enumerate(plan.axes.values()):
        chosen += [(*top[:place], value, *top[place + 1 :]) for value in values[1:] if not _counts(values)]
    for cell in chosen:
        try:
            memory.afford(plan.of(cell), shape)
        except ValueError as error:
            raise ValueError(f"{told(plan.names, cell)}: {error}") from None


def _counts(values: Sequence[Any]) -> bool:
    """Whether these are numbers alone."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def begin(plan: Plan, data: Data, sweeps: Path) -> Path:
    """The sweep's folder, made unless it is there: the same plan on the same data is the same sweep."""
    found, _ = staged(plan, data)
    # before there were recipes, options that are the defaults anyway were part of the name
    root = sweeps / next((name for name, one in listing(sweeps).items() if one.id == found.id), found.id)
    if not (root / "sweep.json").is_file():
        record = FORMAT | asdict(found) | {"plan": plan.plain(), "id": found.id}
        (root / "runs").mkdir(parents=True, exist_ok=True)
        drafts.write_file(root / "sweep.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return root


def read(root: Path) -> Sweep:
    """The record of a sweep; a `ValueError` says what is wrong with it."""
    try:
        record = json.loads((root / "sweep.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{shown(root.name)!r} is no sweep: it has no sweep.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"sweep {shown(root.name)!r}: sweep.json cannot be read ({error})") from None
    try:
        if (record["format"], record["version"]) != (FORMAT["format"], FORMAT["version"]):
            raise ValueError(f"it is of format {record['format']!r}, version {record['version']!r}")
        sweep = Sweep(
            checked_plan(Plan.read(record["plan"]), Task(record["task"], ("a", "b"))), Source(**record["source"]),
            record["metric"], record["created"], record["versions"], record["task"], record["data"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"sweep {shown(root.name)!r}: sweep.json does not describe a sweep ({error})") from None
    return sweep


def listing(sweeps: Path) -> dict[str, Sweep]:
    """Folder name -> sweep, newest first; what cannot be read is passed over."""
    found = {}
    for folder in sweeps.iterdir() if sweeps.is_dir() else ():
        with contextlib.suppress(ValueError):
            if not folder.name.startswith(".") and (folder / "sweep.json").is_file():
                found[folder.name] = read(folder)
    return dict(sorted(found.items(), key=lambda item: -item[1].created))


def _there(root: Path) -> set[str]:
    """Names of the runs that are done, failed ones included."""
    return {place.name for part in ("runs", "failed") if (root / part).is_dir() for place in (root / part).iterdir()}


def todo(root: Path, chosen: Iterable[Cell] | None = None) -> list[tuple[Cell, int]]:
    """(cell, seed) still to be trained, of these cells or of the whole grid; seeds of a cell one after another."""
    sweep, there = read(root), _there(root)
    wanted = cells(sweep.plan) if chosen is None else chosen
    pairs = [(cell, seed) for cell in wanted for seed in range(sweep.plan.seeds)]
    return [(cell, seed) for cell, seed in pairs if sweep.run_id(cell, seed) not in there]


@contextlib.contextmanager
def locked(root: Path, sign: bool = True) -> Iterator[None]:
    """Of two processes that would work on one sweep, the second is told; a dead one's hold ends with it.

    sign    write into the lock who holds it, for others to be told
    """
    with (root / "lock").open("a+") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ValueError(f"process {file.read(20).strip() or '?'} is at work on this sweep already") from None
        if sign:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


def remove(root: Path) -> str:
    """Throw a sweep of a workspace away, refused while a process is at work on it; the ticket that puts it back."""
    read(root)
    with locked(root, sign=False):
        return Workspace(root.parents[1]).throw_away(root.parent.name, root.name)

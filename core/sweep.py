r"""Sweeps: one method trained at many options and seeds, kept so that nothing is ever done twice.

    sweeps/<id>/sweep.json    what was asked for (`Plan`), the data's fingerprint, versions
    sweeps/<id>/runs/<run>/   an ordinary run folder each; what is missing is what is still to be done
    sweeps/<id>/failed/<run>  why a training came to nothing (it diverged): not tried again
    sweeps/<id>/lock          held by the process that works on it

A cell is one choice of every axis. Its value is the mean of the task's metric over seeds, its spread their standard
deviation. Importance of options is the functional analysis of variance of the cells' means f over the whole grid,

    f_S = E[f | x_S] - sum over T in S of f_T        share of S = Var(f_S) / Var(f)        shares add up to 1

(Hooker 2007; Hutter et al. 2014), exact where every cell is there, else of a random forest fitted to those that are.
What seeds alone would make of that variance is E[sd^2] / n, split over the effects by their degrees of freedom.

`judge="held-out"` measures on a part of the training clips and never sees the test part; `judge="test"` is what the
papers' figures do (Ding et al., ICLR 2025, figures 4 and 5): whoever then picks the best cell has picked it on test.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from core import runs
from core.clip import Clip
from core.data import drafts
from core.data.dataset import Dataset
from core.data.names import shown
from core.ensemble import Asked, ordered, together, train_many
from core.evaluate import auc
from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.fusion.lego import Lego
from core.infer import array, score
from core.options import Option, checked, made, options, training_options
from core.pool import spread
from core.runs import History, Run, Source
from core.sample import METRIC_WORDS, Samples, Task, task_of
from core.train import TrainConfig, widths_of

FORMAT: dict[str, Any] = {"format": "fusescope-sweep", "version": 1}
MOST_VALUES, MOST_AXES, MOST_TRAININGS = 200, 4, 20_000
BATCH = 8  # cells that a guided sweep asks for at once: they are trained together
CHUNK = 50  # trainings stepped together
WORDS = METRIC_WORDS | {"auc_clips": "clip AUC"}
NAN = float("nan")

How = Literal["grid", "guided"]
Judge = Literal["held-out", "test"]
Data = Dataset | Samples
Cell = tuple[Any, ...]  # one value an axis, in the plan's order
Tell = Callable[[float, str], None]  # share done, and where it stands in words

# axes as they are typed, and what stays fixed: the paper's figures 4 and 5
PRESETS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "figure-5": ({"P": "1..10", "Q": "1..10"}, {"project": None}),
    "figure-4-alpha": ({"alpha": "0.1..0.9 step 0.1"}, {"project": None}),
    "figure-4-k": ({"k": "1..20"}, {"project": None}),
    "figure-4-lambda": ({"lam": "1e-4..100 times 10"}, {"project": None}),
}


@dataclass(frozen=True)
class Plan:
    """What a sweep is asked for.

    dataset     folder of the data, for the record; not in the sweep's id, which holds its fingerprint
    axes        option of the method or of the training loop -> the values it takes, in order
    fixed       the method's other options, where they are not the defaults
    training    the loop's settings; modalities: None for all, else these in this order
    how         grid: every cell; guided: `trials` cells that Optuna's TPE asks for, from a seed of its own
    seeds       each cell is trained from seeds 0 .. seeds - 1
    judge       held-out: `share` of every class of the training part, drawn once from a seed; test: the test part
    """

    dataset: str
    axes: Mapping[str, tuple[Any, ...]]
    fusion: str = "lego"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    training: TrainConfig = TrainConfig()
    protocol: str | None = None
    modalities: tuple[str, ...] | None = None
    how: How = "grid"
    trials: int = 40
    seeds: int = 3
    judge: Judge = "held-out"
    share: float = 0.25

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.axes)

    @property
    def size(self) -> int:
        """How many cells there are to be trained."""
        every = math.prod(len(values) for values in self.axes.values())
        return every if self.how == "grid" else min(every, self.trials)

    @property
    def trainings(self) -> int:
        return self.size * self.seeds

    def config(self, cell: Cell) -> dict[str, Any]:
        """All options of the method in this cell."""
        given = dict(zip(self.names, cell, strict=True))
        kind = FUSIONS[self.fusion].Config
        own = {option.name for option in options(kind)}
        return asdict(made(kind, {**self.fixed, **{name: value for name, value in given.items() if name in own}}))

    def loop(self, cell: Cell) -> TrainConfig:
        """The training settings in this cell."""
        given = dict(zip(self.names, cell, strict=True))
        known = {option.name for option in options(TrainConfig)}
        own = {option.name for option in options(FUSIONS[self.fusion].Config)}
        return replace(self.training, **{n: v for n, v in given.items() if n in known and n not in own})

    def asked(self, cell: Cell, seed: int) -> Asked:
        return Asked(self.fusion, self.config(cell), self.loop(cell), seed)


def cells(plan: Plan) -> list[Cell]:
    """Every choice of values, the last axis moving fastest.

    >>> cells(Plan("", {"P": (1, 2), "Q": (3, 4)}))
    [(1, 3), (1, 4), (2, 3), (2, 4)]
    """
    return list(itertools.product(*plan.axes.values()))


def told(names: Sequence[str], cell: Cell) -> str:
    """A cell in words.

    >>> told(("P", "lam"), (3, 0.01))
    'P = 3, lam = 0.01'
    """
    return ", ".join(f"{name} = {plain(value)}" for name, value in zip(names, cell, strict=True))


def plain(value: Any) -> str:
    """A value as it is typed.

    >>> plain(None), plain(True), plain(0.1), plain(1e-4), plain("sorted")
    ('none', 'true', '0.1', '0.0001', 'sorted')
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------------- axes as they are typed

RANGE = re.compile(r"(\S+?)\s*\.\.\s*(\S+?)(?:\s+(step|times)\s+(\S+))?")


def values_of(text: str, what: str = "the axis") -> tuple[Any, ...]:
    """The values that a line of text names; a `ValueError` says what is wrong with it.

    >>> values_of("1..4"), values_of("0.1..0.4 step 0.1"), values_of("1e-2..1 times 10")
    ((1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4), (0.01, 0.1, 1))
    >>> values_of("none, 8..24 step 8, sorted")
    (None, 8, 16, 24, 'sorted')
    """
    found: list[Any] = []
    for piece in text.split(","):
        if not piece.strip():
            raise ValueError(f"{what}: a value is missing in {shown(text, 60)!r}; write 1..10 or 1, 2, 5")
        found += _piece(piece.strip(), what)
        if len(found) > MOST_VALUES:
            raise ValueError(f"{what} takes more than {MOST_VALUES} values; use larger steps")
    twice = [value for place, value in enumerate(found) if value in found[:place]]
    if twice:
        raise ValueError(f"{what} names {plain(twice[0])} twice")
    return tuple(found)


def _piece(piece: str, what: str) -> list[Any]:
    if ".." not in piece:
        if " " in piece:
            raise ValueError(f"{what}: put commas between values, got {shown(piece, 60)!r}")
        return [_value(piece)]
    match = RANGE.fullmatch(piece)
    if match is None:
        raise ValueError(f"{what}: {shown(piece, 60)!r} is no range; write 1..10, 0.1..0.9 step 0.1, 0.01..10 times 10")
    first, last = _number(match[1], what), _number(match[2], what)
    if match[3] is None and first != first.to_integral_value():
        raise ValueError(f"{what}: say how far apart the values lie: {match[1]}..{match[2]} step 0.1")
    by = _number(match[4], what) if match[4] else Decimal(1)
    if last < first:
        raise ValueError(f"{what}: {match[1]}..{match[2]} runs backwards; write {match[2]}..{match[1]}")
    if match[3] == "times" and (by <= 1 or first <= 0):
        raise ValueError(f"{what}: times wants a factor above 1 and a first value above 0, got {shown(piece, 60)!r}")
    if match[3] != "times" and by <= 0:
        raise ValueError(f"{what}: a step must be above 0, got {match[4]}")
    found: list[Any] = []
    while first <= last and len(found) <= MOST_VALUES:
        found.append(int(first) if first == first.to_integral_value() else float(first))
        first = first * by if match[3] == "times" else first + by
    return found


def _number(text: str, what: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{what}: {shown(text, 40)!r} is no number") from None
    if not found.is_finite() or abs(found) > 10**12:
        raise ValueError(f"{what}: {shown(text, 40)!r} is no number that can be counted from")
    return found


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def sweepable(fusion: str, task: Task) -> list[Option]:
    """Options that an axis may name: the method's, then the training loop's (a name of both is the method's)."""
    own = options(FUSIONS[fusion].Config)
    taken = {option.name for option in own} | {"track"}
    return own + [option for option in training_options(FUSIONS[fusion], task) if option.name not in taken]


def checked_plan(plan: Plan, task: Task) -> Plan:
    """The plan with every value as configs hold it; a `ValueError` names what is unknown, wrong or too much."""
    if plan.fusion not in FUSIONS or task.kind not in FUSIONS[plan.fusion].tasks:
        fit = [name for name, kind in FUSIONS.items() if task.kind in kind.tasks]
        raise ValueError(f"no method {shown(plan.fusion, 40)!r} can be trained here; there are {', '.join(fit)}")
    if not 1 <= len(plan.axes) <= MOST_AXES:
        raise ValueError(f"a sweep has 1 to {MOST_AXES} axes, got {len(plan.axes)}")
    known = sweepable(plan.fusion, task)
    by_name = {option.name: option for option in known}
    unknown = [name for name in plan.axes if name not in by_name]
    if unknown:
        raise ValueError(f"{plan.fusion} has no option {shown(unknown[0], 40)!r}; it has {', '.join(sorted(by_name))}")
    axes = {}
    for name, values in plan.axes.items():
        axes[name] = tuple(by_name[name].checked(value) for value in values)
        if not axes[name] or len(set(axes[name])) < len(axes[name]):
            raise ValueError(f"axis {name!r} needs one or more values, each of them once")
    fixed = checked(options(FUSIONS[plan.fusion].Config), plan.fixed)
    both = [name for name in axes if name in fixed]
    if both:
        raise ValueError(f"{both[0]!r} is an axis and cannot be fixed as well")
    if plan.how not in ("grid", "guided") or plan.judge not in ("held-out", "test"):
        raise ValueError(f"a sweep is grid or guided, judged on held-out or test, not {plan.how!r}, {plan.judge!r}")
    if plan.seeds < 1 or plan.trials < 1 or not 0 < plan.share < 1:
        raise ValueError(
            f"seeds and trials are 1 or more, the held-out share is between 0 and 1; got {plan.seeds}, {plan.trials}, "
            f"{plan.share}"
        )
    plan = replace(plan, axes=axes, fixed=fixed)
    if plan.trainings > MOST_TRAININGS:
        raise ValueError(f"{plan.size:,} cells x {plan.seeds} seeds are {plan.trainings:,} trainings; "
                         f"up to {MOST_TRAININGS:,} are taken")  # fmt: skip
    return plan


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
        return held_out(data, plan.protocol, plan.share), "held-out"
    return data, plan.protocol or next(iter(data.splits), "all")


def metric_of(data: Data, protocol: str) -> str:
    """The metric the data allow: the task's, or for clips whose units nobody labelled the AUC over clips."""
    if isinstance(data, Samples):
        return data.task.metric
    test = data.part("test", None if protocol == "all" else protocol)
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
        asked = {name: value for name, value in asdict(self.plan).items() if name != "dataset"}
        asked |= {"axes": list(self.plan.axes.items()), "data": [*_plain(self.source)], "metric": self.metric}
        if self.plan.how == "grid":
            asked["trials"] = None
        return f"{self.plan.fusion}-{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:10]}"

    def run_id(self, cell: Cell, seed: int) -> str:
        """The folder that this training's run will have."""
        asked = self.plan.asked(cell, seed)
        return Run(asked.fusion, asked.config, asdict(asked.training), self.source, seed).id

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
    plan = checked_plan(plan, task_of(data))
    used, protocol = judged_data(plan, data)
    widths = widths_of(used, plan.modalities)
    source = Source(used.name, used.digest(), protocol, widths, used.simulated)
    metric, task = metric_of(used, protocol), task_of(used)
    with torch.device("meta"):  # shapes alone: a config that cannot be built is told before anything is trained
        for cell in cells(plan):
            try:
                runs.build(plan.fusion, widths, plan.config(cell), task)
            except ValueError as error:
                raise ValueError(f"{told(plan.names, cell)}: {error}") from None
    return Sweep(plan, source, metric, time.time(), runs.versions(), task.kind, data.digest()), used


def begin(plan: Plan, data: Data, sweeps: Path) -> Path:
    """The sweep's folder, made unless it is there: the same plan on the same data is the same sweep."""
    found, _ = staged(plan, data)
    root = sweeps / found.id
    if not (root / "sweep.json").is_file():
        record = FORMAT | asdict(found) | {"id": found.id}
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
        plan = {**record["plan"], "training": TrainConfig(**record["plan"]["training"])}
        plan["axes"] = {name: tuple(values) for name, values in plan["axes"].items()}
        plan["modalities"] = None if plan["modalities"] is None else tuple(plan["modalities"])
        sweep = Sweep(
            checked_plan(Plan(**plan), Task(record["task"], ("a", "b"))), Source(**record["source"]), record["metric"],
            record["created"], record["versions"], record["task"], record["data"],
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
def locked(root: Path) -> Iterator[None]:
    """Of two processes that would work on one sweep, the second is told; a dead one's hold ends with it."""
    with (root / "lock").open("a+") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ValueError(f"process {file.read(20).strip() or '?'} is at work on this sweep already") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


# ---------------------------------------------------------------------------- work


@dataclass(frozen=True)
class Done:
    """One training that is on disk now, and how many of how many are. run: None when it came to nothing."""

    cell: Cell
    seed: int
    run: Run | None
    done: int
    total: int


@dataclass(frozen=True)
class Found:
    """What came of the training at this place in a task: what a run folder holds, or why there is none."""

    place: int
    run: Run | None
    weights: Mapping[str, torch.Tensor]
    history: History
    why: str = ""


def _trained(
    asked: Sequence[Asked], sweep: Sweep, data: Data, device: str, tell: Callable[[int, int, float], None] | None = None
) -> Iterator[Found]:
    """Train, stepped together where that can be; every run carries the numbers the sweep is judged by and a note."""
    protocol = sweep.source.protocol
    undone: list[Found] = []

    def failed(index: int, why: str) -> None:
        undone.append(Found(index, None, {}, [], why))

    for index, trained in train_many(data, asked, protocol, sweep.plan.modalities, tell, device, CHUNK, failed=failed):
        metrics = dict(trained.run.metrics)
        if sweep.metric == "auc_clips":
            assert isinstance(data, Dataset)
            found = clip_auc(trained.model, data.part("test", None if protocol == "all" else protocol))
            metrics["auc_clips"] = None if math.isnan(found) else found
        note = f"a cell of sweep {sweep.id}, measured {sweep.judged}"
        run = replace(trained.run, metrics=metrics, note="; ".join(filter(None, [trained.run.note, note])))
        yield Found(index, run, trained.model.state_dict(), trained.history)
    yield from undone


def train_piece(asked: Sequence[Asked], sweep: Sweep, data: Data, device: str) -> list[Found]:
    """Some trainings of a sweep, anywhere; nothing is left behind there."""
    torch.set_num_threads(1)
    return list(_trained(asked, sweep, data, device))


def _pieces(asked: Sequence[Asked], workers: int, samples: bool) -> list[list[int]]:
    """Trainings in tasks of one worker each: together where that can be, and enough tasks that all have work."""
    found: list[list[int]] = []
    for group in together(asked):
        line = ordered(asked, group)
        size = 1 if samples else max(1, min(CHUNK, -(-len(line) // (2 * workers))))
        found += [line[start : start + size] for start in range(0, len(line), size)]
    return found


def _train(
    sweep: Sweep, data: Data, root: Path, wanted: Sequence[tuple[Cell, int]], address: str | None, workers: int,
    device: str, tell: Callable[[float], None],
) -> Iterator[tuple[Cell, int, Run | None]]:  # fmt: skip
    """Train what is wanted and save each run as it is done; `tell` hears the share of epochs done."""
    asked = [sweep.plan.asked(cell, seed) for cell, seed in wanted]

    def kept(index: int, found: Found) -> tuple[Cell, int, Run | None]:
        cell, seed = wanted[index]
        if found.run is None:
            (root / "failed").mkdir(exist_ok=True)
            drafts.write_file(root / "failed" / sweep.run_id(cell, seed), found.why.encode())
            return cell, seed, None
        if found.run.id != sweep.run_id(cell, seed):
            raise RuntimeError(f"run {found.run.id} is not the one that was asked for, {sweep.run_id(cell, seed)}")
        runs.save(found.run, found.weights, found.history, root / "runs")
        return cell, seed, found.run

    if address is None and workers == 1:
        for found in _trained(asked, sweep, data, device, lambda now, total, _: tell(now / max(1, total))):
            yield kept(found.place, found)
        return
    pieces = _pieces(asked, workers if address is None else max(workers, 4), isinstance(data, Samples))
    tasks = [[asked[index] for index in piece] for piece in pieces]
    finished = 0
    for at, made_there in spread(train_piece, tasks, address, workers, (sweep, data, device)):
        for found in made_there:
            finished += 1
            tell(finished / len(asked))
            yield kept(pieces[at][found.place], found)


def sweep(
    root: Path,
    data: Data,
    address: str | None = None,
    workers: int = 1,
    progress: Tell | None = None,
    device: str = "cpu",
) -> Iterator[Done]:
    """Train whatever the sweep in this folder still lacks; run it again after anything, and it goes on.

    Errors: `ValueError` when the data are no longer those it began with, or another process is at it.
    """
    asked = read(root)
    found, used = staged(asked.plan, data)
    if found.id != asked.id:
        raise ValueError(
            f"sweep {root.name!r} began on other data: {asked.source.name!r} has changed since; begin a new sweep"
        )
    tell = progress or (lambda share, words: None)
    with locked(root):
        runs.sweep_drafts(root / "runs")
        total, begun, started = asked.plan.trainings, 0, time.monotonic()
        batches = iter([cells(asked.plan)]) if asked.plan.how == "grid" else guided(asked, root)
        done = 0
        for batch in batches:
            wanted = todo(root, batch)
            done += len(batch) * asked.plan.seeds - len(wanted)

            def step(share: float, before: int = done, here: int = begun, count: int = len(wanted)) -> None:
                now, made_here = before + share * count, here + share * count
                left = (time.monotonic() - started) / max(made_here, 1e-9) * (total - now)
                tell(now / total, f"{100 * now / total:.0f} %, {_duration(left)} to go")

            for cell, seed, run in _train(asked, used, root, wanted, address, workers, device, step):
                done += 1
                yield Done(cell, seed, run, done, total)
            begun += len(wanted)
        tell(1.0, f"{done:,} of {total:,} trainings")


def _duration(seconds: float) -> str:
    """About how long, in words.

    >>> _duration(4.2), _duration(75.0), _duration(7300.0)
    ('5 s', '80 s', '2.0 h')
    """
    if seconds < 10:
        return f"{math.ceil(seconds)} s"
    if seconds < 120:
        return f"{math.ceil(seconds / 10) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def guided(asked: Sweep, root: Path) -> Iterator[list[Cell]]:
    """Cells that Optuna's TPE asks for, in batches; each is to be on disk before the next is drawn.

    The sampler has a fixed seed and hears the same values in the same order whenever the sweep is run again, so a
    resumed sweep asks for the same cells, finds them on disk, and goes on. Cells it names twice are answered at once.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = asked.plan
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=max(BATCH, 5 * len(plan.axes)), multivariate=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    ordered = {
        n: all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in vs) for n, vs in plan.axes.items()
    }
    known: dict[Cell, float] = {}

    def drawn() -> tuple[Any, Cell]:
        trial = study.ask()
        places = [
            trial.suggest_int(name, 0, len(values) - 1)  # the place in the list: steps count alike, on any scale
            if ordered[name]
            else trial.suggest_categorical(name, list(range(len(values))))
            for name, values in plan.axes.items()
        ]
        return trial, tuple(values[place] for values, place in zip(plan.axes.values(), places, strict=True))

    def answer(trial: Any, value: float) -> None:
        if math.isnan(value):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)

    left = plan.size
    while left:
        batch: dict[Cell, Any] = {}
        for _ in range(50 * BATCH):
            if len(batch) == min(BATCH, left):
                break
            trial, cell = drawn()
            if cell in known or cell in batch:
                answer(trial, known.get(cell, NAN))
            else:
                batch[cell] = trial
        for cell in cells(plan):  # TPE keeps naming what it has seen: the next ones of the grid take their turn
            if len(batch) == min(BATCH, left):
                break
            if cell not in known and cell not in batch:
                batch[cell] = None
        yield list(batch)
        for cell, trial in batch.items():
            folders = [root / "runs" / asked.run_id(cell, seed) for seed in range(plan.seeds)]
            there = [folder for folder in folders if not (root / "failed" / folder.name).exists()]
            values = [runs.load(folder).metrics.get(asked.metric) for folder in there]
            defined = [value for value in values if value is not None]
            known[cell] = fmean(defined) if defined else NAN
            if trial is not None:
                answer(trial, known[cell])
        left -= len(batch)


def work(given: Mapping[str, Any], report: Tell) -> str:
    """The job of a page: go on with the sweep in `given["sweep"]` on the data in `given["dataset"]`; its name."""
    from core.data import read as opened

    root = Path(given["sweep"])
    report(0.0, "reading the data")
    for _ in sweep(root, opened(Path(given["dataset"])), progress=report):
        pass
    return root.name


# ---------------------------------------------------------------------------- what came out


@dataclass(frozen=True)
class Row:
    """One cell. values: seed -> the metric, NaN where undefined; runs: seed -> the run's folder name.

    failed      seed -> why its training came to nothing
    """

    cell: Cell
    values: Mapping[int, float] = field(default_factory=dict)
    runs: Mapping[int, str] = field(default_factory=dict)
    seconds: float = NAN
    weights: int = 0
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """How many trainings are done, whatever came of them."""
        return len(self.runs) + len(self.failed)

    @property
    def defined(self) -> list[float]:
        return [value for value in self.values.values() if not math.isnan(value)]

    @property
    def n(self) -> int:
        """How many seeds have a value."""
        return len(self.defined)

    @cached_property
    def mean(self) -> float:
        return fmean(self.defined) if self.n else NAN

    @cached_property
    def sd(self) -> float:
        """Over seeds; NaN with fewer than two."""
        return stdev(self.defined) if self.n > 1 else NAN


@dataclass(frozen=True)
class Results:
    """What is on disk of a sweep: a row for every cell of a grid, of a guided sweep for those that were asked for."""

    sweep: Sweep
    rows: tuple[Row, ...]

    @property
    def done(self) -> int:
        return sum(row.tried for row in self.rows)

    @property
    def total(self) -> int:
        return self.sweep.plan.trainings

    @property
    def complete(self) -> bool:
        return self.done >= self.total

    @cached_property
    def best(self) -> Row | None:
        """The cell with the highest mean among those with most seeds done; None when there is none."""
        most = max((row.n for row in self.rows), default=0)
        return max((row for row in self.rows if row.n == most), key=lambda row: row.mean) if most else None

    @cached_property
    def spread(self) -> float:
        """How far apart seeds lie: the best cell's standard deviation or the middle cell's, whichever is larger.

        A cell is the best partly because its few seeds happen to agree, so its own spread alone would flatter it.
        """
        known = [row.sd for row in self.rows if row.n > 1]
        return float(np.nanmax([self.best.sd, median(known)])) if self.best is not None and known else NAN

    @cached_property
    def close(self) -> tuple[Row, ...]:
        """Cells whose mean lies within the seeds' `spread` of the best, the best included; none with one seed."""
        if self.best is None or math.isnan(self.spread):
            return ()
        return tuple(row for row in self.rows if row.mean >= self.best.mean - self.spread)

    def row(self, cell: Cell) -> Row | None:
        return next((row for row in self.rows if row.cell == cell), None)

    def lattice(self) -> Float[np.ndarray, "..."]:
        """Every cell's mean, one axis of the array an axis of the plan; NaN where there is none yet."""
        places = [{value: at for at, value in enumerate(values)} for values in self.sweep.plan.axes.values()]
        found = np.full([len(place) for place in places], NAN)
        for row in self.rows:
            found[tuple(place[value] for place, value in zip(places, row.cell, strict=True))] = row.mean
        return found


def results(root: Path, load: Callable[[Path], Run | None] = runs.load) -> Results:
    """The table of a sweep as it stands; `load` reads one run's record."""
    asked = read(root)
    plan = asked.plan
    rows: dict[Cell, dict[int, Run]] = {cell: {} for cell in cells(plan)} if plan.how == "grid" else {}
    names: dict[tuple[Cell, int], str] = {}
    for folder in sorted((root / "runs").iterdir()) if (root / "runs").is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            run = load(folder)
        except ValueError:  # it is not among the finished ones, then
            continue
        if run is None:
            continue
        settings = {**run.training, **run.config}
        cell = tuple(settings.get(name) for name in plan.names)
        if all(value in values for value, values in zip(cell, plan.axes.values(), strict=True)):
            rows.setdefault(cell, {})[run.seed] = run
            names[cell, run.seed] = folder.name
    failed = _failures(asked, root)
    order = {cell: place for place, cell in enumerate(cells(plan))}
    there = sorted({*rows, *(cell for cell, _ in failed)}, key=order.__getitem__)
    return Results(asked, tuple(_row(c, rows.get(c, {}), names, failed, asked.metric) for c in there))


def _failures(asked: Sweep, root: Path) -> dict[tuple[Cell, int], str]:
    """(cell, seed) -> why there is no run."""
    if not (root / "failed").is_dir():
        return {}
    ids = {asked.run_id(cell, seed): (cell, seed) for cell in cells(asked.plan) for seed in range(asked.plan.seeds)}
    return {ids[p.name]: p.read_text(errors="replace") for p in sorted((root / "failed").iterdir()) if p.name in ids}


def _row(
    cell: Cell,
    by_seed: Mapping[int, Run],
    names: Mapping[tuple[Cell, int], str],
    failed: Mapping[tuple[Cell, int], str],
    metric: str,
) -> Row:
    found = {seed: by_seed[seed].metrics.get(metric) for seed in sorted(by_seed)}
    return Row(
        cell,
        {seed: NAN if value is None else float(value) for seed, value in found.items()},
        {seed: names[cell, seed] for seed in sorted(by_seed)},
        fmean(run.seconds for run in by_seed.values()) if by_seed else NAN,
        next(iter(by_seed.values())).weights if by_seed else 0,
        {seed: why for (there, seed), why in failed.items() if there == cell},
    )


@dataclass(frozen=True)
class Line:
    """A cell's value along one axis, the others averaged over: mean and standard deviation over seeds."""

    name: str
    values: tuple[Any, ...]
    mean: Float[np.ndarray, " values"]
    sd: Float[np.ndarray, " values"]
    cells: tuple[int, ...]


def lines(found: Results) -> list[Line]:
    """One line an axis. Every seed is averaged over the other axes first; the spread is that of these averages.

    Only seeds that every cell of a value has count, so that no average mixes easy and hard cells of another seed.
    """
    plan = found.sweep.plan
    made_lines = []
    for axis, (name, values) in enumerate(plan.axes.items()):
        means, spreads, counts = [], [], []
        for value in values:
            rows = [row for row in found.rows if row.cell[axis] == value and row.n]
            seeds = [s for s in range(plan.seeds) if rows and all(not math.isnan(r.values.get(s, NAN)) for r in rows)]
            averages = [fmean(row.values[seed] for row in rows) for seed in seeds]
            means.append(fmean(averages) if averages else NAN)
            spreads.append(stdev(averages) if len(averages) > 1 else NAN)
            counts.append(len(rows))
        made_lines.append(Line(name, values, np.array(means), np.array(spreads), tuple(counts)))
    return made_lines


# ---------------------------------------------------------------------------- importance


@dataclass(frozen=True)
class Effect:
    """One option, or several together, and the share of the cells' variance that is theirs.

    noise   the share that the seeds' spread alone would give them; NaN with one seed
    """

    names: tuple[str, ...]
    share: float
    noise: float


@dataclass(frozen=True)
class Importance:
    """Every effect, largest share first; they add up to 1. exact: of all cells, else of a forest fitted to `cells`."""

    effects: tuple[Effect, ...]
    exact: bool
    cells: int
    variance: float


def decomposed(f: Float[np.ndarray, "..."]) -> dict[tuple[int, ...], float]:
    """Variance of every effect of a function on a full grid; they add up to the variance of f.

    >>> {axes: round(v, 6) for axes, v in decomposed(np.array([[0.0, 1.0], [1.0, 2.0]])).items()}
    {(0,): 0.25, (1,): 0.25, (0, 1): 0.0}
    """
    effects: dict[tuple[int, ...], np.ndarray] = {(): f.mean(keepdims=True)}
    found = {}
    axes = range(f.ndim)
    for size in range(1, f.ndim + 1):
        for kept in itertools.combinations(axes, size):
            rest = tuple(axis for axis in axes if axis not in kept)
            effect = f.mean(axis=rest, keepdims=True) if rest else f.copy()
            for inner, part in effects.items():
                if set(inner) < set(kept):
                    effect = effect - part
            effects[kept] = effect
            found[kept] = float((effect**2).mean())
    return found


LEAST = 6  # cells that a forest is fitted to


def importance(found: Results) -> Importance | None:
    """How much each option, and each pair and so on, matters; None with too few cells or none that differ."""
    f = found.lattice()
    plan = found.sweep.plan
    known = np.isfinite(f)
    exact = bool(known.all())
    cells_there = int(known.sum())
    if f.size < 2 or (not exact and cells_there < LEAST):
        return None
    if not exact:
        f = _forest(f, known)
    parts = decomposed(f)
    total = sum(parts.values())
    if total <= 1e-18 * max(1.0, float((f**2).mean())):
        return None
    spreads = [row.sd**2 / row.n for row in found.rows if row.n > 1]
    noise = fmean(spreads) / total if spreads else NAN
    freedom = {kept: math.prod(f.shape[axis] - 1 for axis in kept) for kept in parts}
    whole = sum(freedom.values())
    effects = [
        Effect(tuple(plan.names[axis] for axis in kept), part / total, min(1.0, noise * freedom[kept] / whole))
        for kept, part in parts.items()
        if all(f.shape[axis] > 1 for axis in kept)
    ]
    return Importance(tuple(sorted(effects, key=lambda e: -e.share)), exact, cells_there, total)


def _forest(f: Float[np.ndarray, "..."], known: np.ndarray) -> Float[np.ndarray, "..."]:
    """A random forest on the places of the known cells, read off at every cell."""
    from sklearn.ensemble import RandomForestRegressor

    places = np.argwhere(np.ones(f.shape, bool))
    forest = RandomForestRegressor(64, random_state=0, min_samples_leaf=1, max_features=1.0, n_jobs=1)
    forest.fit(np.argwhere(known), f[known])
    return forest.predict(places).reshape(f.shape)


# ---------------------------------------------------------------------------- operators, time, opening a cell


def operators(root: Path, row: Row) -> Float[np.ndarray, "..."] | None:
    """The learned A of a cell after its gate, the mean over its seeds; None for a method without one."""
    found = [operator(root / "runs" / name) for name in row.runs.values()]
    kept = [A for A in found if A is not None]
    return np.mean(kept, axis=0) if kept else None


def operator(folder: Path) -> Float[np.ndarray, "..."] | None:
    """A of one run, after its gate."""
    model = runs.model(folder)
    return array(model.operator()) if isinstance(model, Lego) else None


@dataclass(frozen=True)
class Estimate:
    """Between how many seconds the trainings will probably take in one process, judged by `count` earlier ones."""

    low: float
    high: float
    count: int

    @property
    def words(self) -> str:
        low, high = _duration(self.low), _duration(self.high)
        return f"about {high}" if low == high else f"{low} to {high}"


def estimate(plan: Plan, widths: Mapping[str, int], trainings: int, records: Iterable[Run]) -> Estimate | None:
    """From earlier trainings of this method on features of these widths: their middle half, in step with epochs."""
    each = []
    for run in records:
        epochs = run.training.get("epochs")
        if run.fusion == plan.fusion and dict(run.source.widths) == dict(widths) and epochs and run.seconds > 0:
            solved = FUSIONS[run.fusion].solved
            each.append(run.seconds if solved else run.seconds / epochs * plan.training.epochs)
    if not each:
        return None
    low, high = np.quantile(each, [0.25, 0.75])
    return Estimate(float(low) * trainings, float(high) * trainings, len(each))


def promote(root: Path, row: Row, target: Path) -> list[str]:
    """Copy a cell's runs to where every page finds them; those that are there already stay. Their folder names."""
    for name in row.runs.values():
        if not (target / name / "run.json").is_file():
            with contextlib.suppress(ValueError), drafts.new_folder(target / name) as draft:
                shutil.copytree(root / "runs" / name, draft, dirs_exist_ok=True)
            if not (target / name / "run.json").is_file():
                raise ValueError(f"run {name!r} could not be copied to {target.name!r}")
    return list(row.runs.values())


def remove(root: Path) -> None:
    """Throw a sweep away; refused while a process is at work on it."""
    read(root)
    with locked(root):
        gone = root.with_name(f".draft-{os.getpid()}-{root.name}")
        os.rename(root, gone)
    shutil.rmtree(gone, ignore_errors=True)


def record(found: Results, seconds: float | None = None) -> dict[str, Any]:
    """Everything as plain JSON; undefined numbers are None."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    plan, weighed = found.sweep.plan, importance(found)
    best = found.best
    return {
        "sweep": found.sweep.id,
        "metric": found.sweep.metric,
        "judged": found.sweep.judged,
        "trainings": found.total,
        "done": found.done,
        "seconds": seconds,
        "axes": {name: list(values) for name, values in plan.axes.items()},
        "cells": [
            {**dict(zip(plan.names, row.cell, strict=True)), "mean": number(row.mean), "sd": number(row.sd), "n": row.n}
            for row in found.rows
        ],
        "spread": number(found.spread),
        "best": None if best is None else dict(zip(plan.names, best.cell, strict=True)) | {"mean": number(best.mean)},
        "within_spread_of_best": [dict(zip(plan.names, row.cell, strict=True)) for row in found.close],
        "importance": None
        if weighed is None
        else {
            "exact": weighed.exact,
            "cells": weighed.cells,
            "effects": [
                {"options": list(e.names), "share": e.share, "by_seeds_alone": number(e.noise)} for e in weighed.effects
            ],
        },
    }


def text(found: Results, seconds: float | None = None) -> str:
    """The best cell, what is as good, and what matters, in a few lines."""
    plan, best = found.sweep.plan, found.best
    said = [f"{found.sweep.title}: {found.done:,} of {found.total:,} trainings" + (
        "" if seconds is None else f", {seconds:.1f} s")]  # fmt: skip
    if best is None:
        return said[0]
    name, digits = WORDS[found.sweep.metric], 3 if found.sweep.metric == "correlation" else 1
    spread_said = "" if math.isnan(best.sd) else f" ± {best.sd:.{digits}f}"
    said.append(
        f"best {told(plan.names, best.cell)}: {name} {best.mean:.{digits}f}{spread_said} over {best.n} seeds, "
        f"{found.sweep.judged}"
    )
    if found.close:
        said.append(
            f"{len(found.close)} of {len(found.rows)} cells lie within the seeds' spread of it, {found.spread:.2g}"
        )
    if (weighed := importance(found)) is not None:
        shares = ", ".join(f"{' x '.join(e.names)} {100 * e.share:.0f} %" for e in weighed.effects)
        chance = sum(e.noise for e in weighed.effects)
        said.append(
            f"share of the variance between cells ({'exact' if weighed.exact else 'of a forest'}): {shares}"
            + ("" if math.isnan(chance) else f"; seeds alone would make {100 * min(chance, 1):.0f} %")
        )
    return "\n".join(said)

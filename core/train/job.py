"""A recipe as a job of a page: what would stand in its way is said before it starts, and how its seeds go is kept.

    line      how one seed stands: its run, the loss of its epochs, and what the test part said on the way

The live metric is read from the model between two epochs and changes nothing: the run is the one that the same recipe
gives on the command line, bit for bit, and has the same id. So a seed whose run lies on disk is not trained again.
"""

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from core import run as runs
from core.dataset import Dataset
from core.fusion.base import Fusion
from core.machine import drafts
from core.machine.device import device_named, sparing
from core.machine.names import shown
from core.recipe import Recipe, TrainConfig
from core.run import Run, build
from core.sample import METRIC_WORDS, Samples
from core.train import loop, memory
from core.train.loop import (
    Progress,
    Trained,
    batches,
    check_window,
    diverged,
    prepare,
    sample_loss,
    step_loss,
    train,
    widths_of,
)

Data = Dataset | Samples
MOST_SEEDS = 20  # of one job
POINTS = 400  # of a curve that is kept while it trains
SHARE = 0.05  # of a training's time that the live metric may take
LINES = "lines.json"


def planned(recipe: Recipe, data: Data) -> tuple[Run, ...]:
    """The runs that will come out, one a seed, as far as they are known before: without metrics and seconds.

    Errors: `ValueError` for modalities, splits or options that do not exist or do not go together.
    """
    model = memory.model_of(recipe.fusion, recipe.options, widths_of(data, recipe.modalities), data.task)
    return tuple(loop.planned(model, data, one) for one in recipe.each)


def afford(recipe: Recipe, data: Data, device: torch.device | str | None = None) -> None:
    """A `ValueError` when there is not the memory that the training will need; nothing is allocated to find out.

    device    in place of the recipe's own
    """
    memory.afford(recipe, memory.shape_of(data, recipe.protocol, recipe.modalities), device)


def refuse(recipe: Recipe, data: Data) -> None:
    """Look at the memory, then try one step on a few rows; a `ValueError` says what would fail, before it is a job."""
    if len(recipe.seeds) > MOST_SEEDS:
        raise ValueError(f"1 to {MOST_SEEDS} seeds are trained by one job, got {len(recipe.seeds)}")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torch warns of layers without width, which fail below
        (first, *_) = planned(recipe, data)
        afford(recipe, data)
        torch.manual_seed(0)
        model = build(recipe.fusion, first.source.widths, recipe.options, data.task)
        try:
            if isinstance(data, Samples):
                _try_samples(model, data, recipe.protocol)
            else:
                _try_clips(model, data, recipe.training, recipe.protocol)
        except (RuntimeError, IndexError) as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"these options do not go together with this data: {shown(why, 200)}") from None


def _try_samples(model: Fusion, data: Samples, protocol: str | None) -> None:
    part = data.part("train", protocol)
    if not len(part):
        raise ValueError(f"sample set {data.name!r}: the training part holds no samples")
    if not model.solved:
        few = part.take(torch.arange(min(4, len(part))))
        assert few.target is not None
        model.train()
        spread = torch.ones(len(few.task.names)) if few.target.is_floating_point() else None
        _finite_step(sample_loss(model({name: few.features[name] for name in model.widths}), few.target, spread))


def _try_clips(model: Fusion, data: Dataset, training: TrainConfig, protocol: str | None) -> None:
    clips = data.part("train", protocol)
    unlabelled = [clip.name for clip in clips if clip.anomalous is None]
    if unlabelled:
        raise ValueError(f"{len(unlabelled)} training clips have no label, first '{shown(unlabelled[0])}'")
    if training.supervision == "unit" and any(clip.labels is None for clip in clips):
        raise ValueError('supervision="unit" needs unit labels for every training clip')
    sides = [[clip for clip in clips if bool(clip.anomalous) is wanted] for wanted in (False, True)]
    few = prepare([clip for side in sides for clip in side[:1]], tuple(model.widths), training.units)
    if model.solved:
        return
    check_window(model, training)
    index = next(batches(few.anomalous, 2, torch.Generator().manual_seed(0)))
    model.train()
    labels = None if few.labels is None else few.labels[index]
    features = {name: rows[index, 0] for name, rows in few.features.items()}
    _finite_step(step_loss(model, features, few.anomalous[index], labels, training)[0])


def _finite_step(loss: torch.Tensor) -> None:
    if not bool(loss.isfinite()):
        raise diverged(1)


@dataclass(frozen=True)
class Line:
    """How one seed stands.

    run       id of its folder, known before it exists
    state     waiting, running, done, or there: it was trained before
    metric    of the finished run, in the unit of `name`; None until then, or where it is undefined
    epochs, loss    of a curve, thinned to `POINTS`
    seen, test      epochs after which the test part was measured, and what it said
    """

    seed: int
    run: str
    state: str = "waiting"
    metric: float | None = None
    name: str = "auc"
    seconds: float = 0.0
    epochs: tuple[int, ...] = ()
    loss: tuple[float | None, ...] = ()
    seen: tuple[int, ...] = ()
    test: tuple[float, ...] = ()


def lines(folder: Path) -> list[Line]:
    """How the seeds of a job stand, from its folder; empty before it has begun or when that cannot be read."""
    try:
        told = json.loads((folder / LINES).read_text(encoding="utf-8"))
        known = {each.name for each in fields(Line)}
        found = []
        for row in told:
            kept: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in row.items() if n in known}
            found.append(Line(**kept))
        return found
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def thinned(epochs: Sequence[int], values: Sequence[float], most: int = POINTS) -> tuple[list[int], list[float]]:
    """At most `most` points of a curve, first and last among them.

    >>> thinned(range(1, 8), [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 3)
    ([1, 4, 7], [7.0, 4.0, 1.0])
    """
    if len(epochs) <= most:
        return list(epochs), list(values)
    chosen = [round(i * (len(epochs) - 1) / (most - 1)) for i in range(most)]
    return [epochs[i] for i in chosen], [values[i] for i in chosen]


Tell = Callable[[float, str], None]


class Book:
    """The lines of a recipe while it is carried out, written into the job's folder at most every `every` seconds."""

    def __init__(self, folder: Path, planned: Sequence[Run], every: float) -> None:
        self.folder, self.every, self.last = folder, every, 0.0
        self.lines = [Line(run.seed, run.id, name=run.metric) for run in planned]

    def put(self, index: int, now: bool = False, **changes: Any) -> None:
        self.lines[index] = replace(self.lines[index], **changes)
        if now or time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            rows = [{n: _finite(v) for n, v in asdict(line).items()} for line in self.lines]
            drafts.write_file(self.folder / LINES, json.dumps(rows, allow_nan=False).encode())


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, (tuple, list)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def carry_out(
    recipe: Recipe, data: Data, root: Path, folder: Path, tell: Tell, others: Iterable[Path] = (), every: float = 0.25
) -> list[str]:
    """Train every seed whose run lies neither below `root` nor below `others`; the ids of all, in order.

    folder   where the lines are written, `every` so many seconds at most
    tell     gets the share that is done and where it stands; it may raise to stop everything, and nothing is left
    """
    plan = planned(recipe, data)
    book = Book(folder, plan, every)
    device = device_named(recipe.device)
    note, full = "", list[str]()
    for index, (one, each) in enumerate(zip(recipe.each, plan, strict=True)):
        before = f"seed {each.seed} ({index + 1} of {len(plan)})" if len(plan) > 1 else f"seed {each.seed}"
        tell(index / len(plan), f"{before}: begins")
        found = next((place for place in (root, *others) if (place / each.id / "run.json").is_file()), None)
        if found is not None:
            kept = runs.load(found / each.id)
            book.put(index, True, state="there", metric=kept.metrics.get(kept.metric), seconds=kept.seconds)
            continue
        book.put(index, True, state="running")
        afford(one, data, device)  # others may hold by now what was free when it was asked for
        work = partial(_trained, one, data, book, index, f"{before}{note}", tell)
        live, done = sparing(work, 1, device, full.append)
        if full and not note:
            device, note = "cpu", " (on the CPU: the accelerator's memory is full)"
        if done.run.id != each.id:
            raise ValueError(f"run {done.run.id} was to be {each.id}: its data changed meanwhile; start it again")
        runs.save(done.run, done.model.state_dict(), done.history, root)
        live.ended(done)
    tell(1.0, "done")
    return [each.id for each in plan]


def _trained(
    recipe: Recipe, data: Data, book: "Book", index: int, before: str, tell: Tell, size: int, device: torch.device
) -> tuple["Live", Trained]:
    live = Live(book, index, before, tell)
    return live, train(data, recipe, live, device)


class Live:
    """What the loop tells after every epoch, as a line: losses always, the test metric as often as `SHARE` allows."""

    def __init__(self, book: Book, index: int, before: str, tell: Tell) -> None:
        self.book, self.index, self.count, self.before, self.tell = book, index, len(book.lines), before, tell
        self.epochs: list[int] = []
        self.loss: list[float] = []
        self.seen: list[int] = []
        self.test: list[float] = []
        self.next = time.monotonic() + 0.3

    def __call__(self, now: Progress) -> None:
        self.epochs.append(now.epoch)
        self.loss.append(now.loss)
        if now.measure is not None and time.monotonic() >= self.next:
            began = time.monotonic()
            value = now.measure()
            cost = time.monotonic() - began
            self.next = time.monotonic() + max(0.3, cost / SHARE)
            if math.isfinite(value):
                self.seen.append(now.epoch)
                self.test.append(value)
        self.tell((self.index + now.epoch / max(now.epochs, now.epoch)) / self.count, self._words(now))
        self._put()

    def ended(self, done: Trained) -> None:
        value = done.run.metrics.get(done.run.metric)
        if value is not None and self.epochs:
            self.seen.append(self.epochs[-1])
            self.test.append(float(value))
        self._put(True, state="done", metric=value, seconds=done.run.seconds)

    def _put(self, now: bool = False, **changes: Any) -> None:
        (epochs, loss), (seen, test) = thinned(self.epochs, self.loss), thinned(self.seen, self.test)
        curves = {"epochs": tuple(epochs), "loss": tuple(loss), "seen": tuple(seen), "test": tuple(test)}
        self.book.put(self.index, now, **curves, **changes)

    def _words(self, now: Progress) -> str:
        words = f"{self.before}: epoch {now.epoch} of {now.epochs}, loss {now.loss:.4g}"
        if self.test:
            name = METRIC_WORDS[self.book.lines[self.index].name]
            words += f", {name} {self.test[-1]:.3g} after {self.seen[-1]}"
        return words

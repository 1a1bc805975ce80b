"""The work of a sweep: whatever its folder still lacks is trained, in this process, in several, or on a Ray cluster."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from humanize import naturaldelta

from core import run as runs
from core.dataset import Dataset
from core.machine import drafts
from core.machine.pool import spread
from core.recipe import Recipe
from core.run import History, Run
from core.sweep.folder import Data, Sweep, clip_auc, locked, read, staged, todo
from core.sweep.plan import BATCH, Cell, cells
from core.train.ensemble import CHUNK, ordered, together, train_many

Tell = Callable[[float, str], None]  # share done, and where it stands in words


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
    asked: Sequence[Recipe],
    sweep: Sweep,
    data: Data,
    device: str,
    tell: Callable[[int, int, float], None] | None = None,
) -> Iterator[Found]:
    """Train, stepped together where that can be; every run carries the numbers the sweep is judged by and a note."""
    undone: list[Found] = []

    def failed(index: int, why: str) -> None:
        undone.append(Found(index, None, {}, [], why))

    for index, trained in train_many(data, asked, tell, device, CHUNK, failed):
        metrics = dict(trained.run.metrics)
        if sweep.metric == "auc_clips":
            assert isinstance(data, Dataset)
            found = clip_auc(trained.model, data.part("test", sweep.source.protocol))
            metrics["auc_clips"] = None if math.isnan(found) else found
        note = f"a cell of sweep {sweep.id}, measured {sweep.judged}"
        run = replace(trained.run, metrics=metrics, note="; ".join(filter(None, [trained.run.note, note])))
        yield Found(index, run, trained.model.state_dict(), trained.history)
    yield from undone


def train_piece(asked: Sequence[Recipe], sweep: Sweep, data: Data, device: str) -> list[Found]:
    """Some trainings of a sweep, anywhere; nothing is left behind there."""
    torch.set_num_threads(1)
    return list(_trained(asked, sweep, data, device))


def _pieces(asked: Sequence[Recipe], workers: int, samples: bool) -> list[list[int]]:
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
    asked = [sweep.recipe(cell, seed) for cell, seed in wanted]

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
    pieces = _pieces(asked, workers if address is None else max(workers, 4), data.task.kind != "units")
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
        drafts.sweep(root / "runs")
        total, begun, started = asked.plan.trainings, 0, time.monotonic()
        batches = iter([cells(asked.plan)]) if asked.plan.how == "grid" else guided(asked, root)
        done = 0
        for batch in batches:
            wanted = todo(root, batch)
            done += len(batch) * asked.plan.seeds - len(wanted)

            def step(share: float, before: int = done, here: int = begun, count: int = len(wanted)) -> None:
                now, made_here = before + share * count, here + share * count
                left = (time.monotonic() - started) / max(made_here, 1e-9) * (total - now)
                tell(now / total, f"{100 * now / total:.0f} %, {naturaldelta(left)} to go")

            for cell, seed, run in _train(asked, used, root, wanted, address, workers, device, step):
                done += 1
                yield Done(cell, seed, run, done, total)
            begun += len(wanted)
        tell(1.0, f"{done:,} of {total:,} trainings")


# ---------------------------------------------------------------------------- guided


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
                answer(trial, known.get(cell, math.nan))
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
            known[cell] = fmean(defined) if defined else math.nan
            if trial is not None:
                answer(trial, known[cell])
        left -= len(batch)

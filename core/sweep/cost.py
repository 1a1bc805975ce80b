"""How long a sweep will take: a few of its steps are done now, as they will be done then, and the rest is counted.

    seconds = [ sum over pieces  epochs x steps x (seconds of one step)  +  trainings x (seconds of measuring one) ] / w

A piece is an ensemble, stepped together, or a training that can only be done alone (`train.ensemble.together`); w is
the number of workers. Of many pieces alike the first and the last are stepped, for they lie in order of their powers.
Loading the data, making an ensemble's graphs, and writing runs to disk are not counted, and what else the machine does
just now is: the answer is no better than "about".
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeVar

import torch
from humanize import naturaldelta

from core.clip import Clip
from core.dataset import Clips
from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.recipe import Recipe
from core.run import build
from core.sample import Part
from core.score.judge import recorded
from core.sweep.folder import Data, judged_data
from core.sweep.plan import BATCH, Cell, Plan, cells
from core.train.ensemble import CHUNK, at_once, drawn, ordered, together
from core.train.ensemble.fit import fit_many
from core.train.loop import fit, fit_samples, prepare, widths_of

MOST_CELLS = 400  # of larger grids as many, evenly spread, stand for all
PROBED = 2  # pieces of a kind that are stepped
STEPS = 2  # timed steps of each, after one that is not
FEW = 8  # test clips that are measured

Clock = Callable[[], float]
T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """About how many seconds; `together` of the trainings are stepped in ensembles, `alone` one by one."""

    seconds: float
    together: int
    alone: int

    @property
    def words(self) -> str:
        """How long, and how that comes."""
        how = {
            (True, False): "trained together",
            (False, True): "trained one by one",
            (True, True): f"{self.together:,} trained together, {self.alone:,} one by one",
        }[self.together > 0, self.alone > 0]
        return f"about {naturaldelta(self.seconds)}, {how}"


def estimate(plan: Plan, data: Data, workers: int = 1, clock: Clock = time.perf_counter) -> Estimate | None:
    """What the sweep will take on this machine, by steps of it that `clock` times; None for a method that is solved.

    Errors: `ValueError` when a cell's options do not go with the data.
    """
    if FUSIONS[plan.fusion].solved:
        return None
    used, protocol = judged_data(plan, data)
    probe = Probe(plan, used, protocol, clock)
    every = cells(plan)
    step = max(1, math.ceil(len(every) / MOST_CELLS))
    asked = [one for cell in _spread(every, step, plan) for one in plan.of(cell).each]
    times = plan.trainings / len(asked)
    seconds, counts = 0.0, [0, 0]
    alone: list[Recipe] = []
    for group in together(asked):
        line = [asked[index] for index in ordered(asked, group)]
        count = max(1, round(len(line) * times))
        size = probe.at_once(line, count)
        if plan.how == "guided":  # which waits for every batch before it asks for the next
            size = min(size, BATCH * plan.seeds)
        if size == 1:
            alone += line
            continue
        pieces = -(-count // size)
        parts = [line[len(line) * at // pieces : max(len(line) * (at + 1) // pieces, 1)] for at in range(pieces)]
        members = -(-count // pieces)
        chosen = [(part * members)[:members] for part in _some([part for part in parts if part])]
        seconds += pieces * fmean(probe.ensemble(part) for part in chosen)
        counts[0] += count
    if alone:
        counts[1] = max(1, round(len(alone) * times))
        seconds += counts[1] * fmean(probe.alone(one) for one in _some(alone))
    seconds += plan.trainings * probe.measuring(asked[len(asked) // 2])
    return Estimate(seconds / max(1, workers), *counts)


def _spread(every: Sequence[Cell], step: int, plan: Plan) -> list[Cell]:
    """Every `step`-th cell; of a guided sweep as many as it will ask for."""
    if plan.how == "guided":
        step = max(step, len(every) // plan.size)
    return list(every[::step])


def _some(found: Sequence[T]) -> list[T]:
    """The first and the last, or all when they are few."""
    if len(found) <= PROBED:
        return list(found)
    return [found[round(at * (len(found) - 1) / (PROBED - 1))] for at in range(PROBED)]


class Probe:
    """Steps of trainings on one batch of the data, timed."""

    def __init__(self, plan: Plan, data: Data, protocol: str, clock: Clock) -> None:
        self.clock, self.task, self.widths = clock, data.task, widths_of(data, plan.recipe.modalities)
        self.rows, self.test = data.part("train", protocol), data.part("test", protocol)
        clips = Clips() if isinstance(self.rows, Part) else self.rows
        self.sides = [[clip for clip in clips if bool(clip.anomalous) is wanted] for wanted in (False, True)]

    def at_once(self, line: Sequence[Recipe], count: int) -> int:
        """How many of these `core.train.ensemble.train_many` steps together, when there are so many of them."""
        most = at_once(line, len(self.rows) * self.rows.crops, len(self.widths), CHUNK)
        return min(count, most) if self.task.kind == "units" else 1

    def few(self, batch: int) -> tuple[Clip, ...]:
        """Clips of one batch."""
        return tuple(clip for side in self.sides for clip in side[: max(1, batch // 2)])

    def steps(self, asked: Recipe) -> int:
        """How many steps an epoch has."""
        if self.task.kind != "units":
            return -(-len(self.rows) // asked.training.batch)
        return -(-max(len(side) for side in self.sides) // max(1, asked.training.batch // 2))

    def timed(self, work: Callable[[Callable[..., None]], object], asked: Recipe) -> float:
        """Seconds of a whole training whose steps `work` does, telling after each."""
        marks: list[float] = []
        work(lambda *words: marks.append(self.clock()))
        each = (marks[-1] - marks[0]) / (len(marks) - 1)
        return each * self.steps(asked) * asked.training.epochs

    def ensemble(self, asked: Sequence[Recipe]) -> float:
        """Seconds of all of these, stepped together."""
        models = [drawn(self.widths, each) for each in asked]
        loops = [replace(each.training, epochs=1 + STEPS) for each in asked]
        rows = prepare(self.few(loops[0].batch), tuple(self.widths), loops[0].units)
        seeds = [each.seed for each in asked]
        return self.timed(lambda mark: fit_many(models, rows, loops, seeds, "cpu", mark), asked[0])

    def alone(self, asked: Recipe) -> float:
        """Seconds of one training by itself."""
        training = replace(asked.training, epochs=1 + STEPS, track=False)
        random = torch.Generator().manual_seed(0)
        model = self.model(asked)
        if isinstance(self.rows, Part):
            few = self.rows.take(torch.arange(min(training.batch, len(self.rows))))
            return self.timed(lambda mark: fit_samples(model, few, training, random, mark), asked)
        rows = prepare(self.few(training.batch), tuple(self.widths), training.units)
        return self.timed(lambda mark: fit(model, rows, training, random, mark), asked)

    def measuring(self, asked: Recipe) -> float:
        """Seconds that one trained model takes to be measured on the test part."""
        model, few = self.model(asked).eval(), self.test if isinstance(self.test, Part) else Clips(self.test[:FEW])
        began = self.clock()
        recorded(model, few)
        return (self.clock() - began) * len(self.test) / max(1, len(few))

    def model(self, asked: Recipe) -> Fusion:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(asked.seed)
            return build(asked.fusion, self.widths, asked.options, self.task)

"""What a sweep is asked for: the plan, its cells, axes as people type them, and what is refused before it begins."""

import contextlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from core.fusion import FUSIONS, title_of
from core.machine.names import nearest, shown
from core.recipe import MOST_SEEDS, Option, Recipe, changed, fusions, options_of, training_options
from core.sample import Task

BATCH = 8  # cells that a guided sweep asks for at once: they are trained together
MOST_VALUES, MOST_AXES, MOST_TRAININGS = 200, 4, 20_000

How = Literal["grid", "guided"]
Judge = Literal["held-out", "test"]
Cell = tuple[Any, ...]  # one value an axis, in the plan's order

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
    recipe      all else: each cell is trained from each of its seeds
    how         grid: every cell; guided: `trials` cells that Optuna's TPE asks for, from a seed of its own
    judge       held-out: `share` of every class of the training part, drawn once from a seed; test: the test part
    """

    dataset: str
    axes: Mapping[str, tuple[Any, ...]]
    recipe: Recipe = Recipe("lego", seeds=(0, 1, 2))
    how: How = "grid"
    trials: int = 40
    judge: Judge = "held-out"
    share: float = 0.25

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.axes)

    @property
    def fusion(self) -> str:
        return self.recipe.fusion

    @property
    def seeds(self) -> int:
        return len(self.recipe.seeds)

    @property
    def size(self) -> int:
        """How many cells there are to be trained."""
        every = math.prod(len(values) for values in self.axes.values())
        return every if self.how == "grid" else min(every, self.trials)

    @property
    def trainings(self) -> int:
        return self.size * self.seeds

    def of(self, cell: Cell, seed: int | None = None) -> Recipe:
        """The recipe of this cell, for one seed or all."""
        made = self.recipe.but(**dict(zip(self.names, cell, strict=True)))
        return made if seed is None else replace(made, seeds=(seed,))

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        one = self.recipe
        return {
            "dataset": self.dataset,
            "axes": self.axes,
            "fusion": one.fusion,
            "fixed": changed(one.options),
            "training": asdict(one.training),
            "protocol": one.protocol,
            "modalities": list(one.modalities) or None,
            **{name: getattr(self, name) for name in ("how", "trials", "seeds", "judge", "share")},
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Plan":
        """The plan of a record."""
        if type(told["seeds"]) is not int or not 1 <= told["seeds"] <= MOST_SEEDS:
            raise ValueError(f"seeds are a number from 1 to {MOST_SEEDS:,}, got {shown(told['seeds'], 40)}")
        one = {name: told[name] for name in ("fusion", "training", "protocol")}
        one |= {"options": told["fixed"], "seeds": list(range(told["seeds"])), "modalities": told["modalities"] or []}
        recipe = Recipe.read(one)
        axes = {name: tuple(values) for name, values in told["axes"].items()}
        return cls(told["dataset"], axes, recipe, told["how"], told["trials"], told["judge"], told["share"])


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


# ---------------------------------------------------------------------------- what is refused


def sweepable(fusion: str, task: Task) -> list[Option]:
    """Options that an axis may name: the method's, then the training loop's."""
    loop = training_options(FUSIONS[fusion], task)
    return [*options_of(FUSIONS[fusion].Config).values(), *(option for option in loop if option.name != "track")]


def checked_plan(plan: Plan, task: Task) -> Plan:
    """The plan with every value as configs hold it; a `ValueError` names what is unknown, wrong or too much."""
    if task.kind not in FUSIONS[plan.fusion].tasks:
        raise ValueError(f"{title_of(plan.fusion)} cannot be trained here; there are {', '.join(fusions(task))}")
    if not 1 <= len(plan.axes) <= MOST_AXES:
        raise ValueError(f"a sweep has 1 to {MOST_AXES} axes, got {len(plan.axes)}")
    known, given = [option.name for option in sweepable(plan.fusion, task)], changed(plan.recipe.options)
    axes = {}
    for name, values in plan.axes.items():
        if name not in known:
            raise ValueError(f"{title_of(plan.fusion)} has no option {shown(name, 40)!r}{nearest(name, known)}")
        axes[name] = tuple(plan.recipe.but(**{name: value}).settings[name] for value in values)
        if not axes[name] or len(set(axes[name])) < len(axes[name]):
            raise ValueError(f"axis {name!r} needs one or more values, each of them once")
        if name in given:
            raise ValueError(f"{name!r} is an axis and cannot be fixed as well")
    if plan.how not in get_args(How) or plan.judge not in get_args(Judge):
        raise ValueError(f"a sweep is grid or guided, judged on held-out or test, not {plan.how!r}, {plan.judge!r}")
    if plan.trials < 1 or not 0 < plan.share < 1:
        raise ValueError(
            f"trials are 1 or more, the held-out share is between 0 and 1; got {plan.trials}, {plan.share}"
        )
    if plan.trainings > MOST_TRAININGS:
        raise ValueError(f"{plan.size:,} cells x {plan.seeds} seeds are {plan.trainings:,} trainings; "
                         f"up to {MOST_TRAININGS:,} are taken")  # fmt: skip
    return replace(plan, axes=axes)

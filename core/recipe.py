"""A recipe: what to train. Command, page, sweep, job record, demo and stored run all come to this one record.

Options are declared once, in a fusion's `Config` and in `TrainConfig` (`core.fusion.base.options`). What a form shows
(`options_of`), what is refused (`checked`, by name and with the nearest right one), and what a run's record holds
follow from there; so a new fusion needs nothing but its config.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from core.fusion import FUSIONS, title_of
from core.fusion.base import Fusion, Size, Weight, about, options
from core.machine.names import nearest, shown
from core.sample import Task

Kind = Literal["int", "float", "bool", "word", "text"]
KINDS: dict[str, Kind] = {"integer": "int", "number": "float", "boolean": "bool", "string": "text"}
MOST_SEEDS = 1000
Config = TypeVar("Config")


@options
class TrainConfig:
    """Options of the training loop."""

    epochs: int = about(50, "passes over the training data; metrics are always the last epoch's", ge=1, le=100_000)
    batch: Size = about(32, "clips in a step, half normal, half anomalous; or samples")
    lr: Weight = about(1e-3, "Adam's step size")
    weight_decay: Weight = about(1e-3, "Adam's L2 pull on every weight")
    supervision: Literal["clip", "unit"] = about("clip", "clip: only clip labels are seen; unit: every unit's label is")
    top: Size = about(1, "clip supervision: the clip's score is the mean of its `top` highest unit scores")
    units: Size = about(32, "N: training resamples every clip to this many units")
    track: bool = about(False, "also measure the test part after every epoch (for the curve, never for choosing)")
    amp: bool = about(False, "mixed precision: layers multiply in bfloat16 while they train; scores are always in full")


# ---------------------------------------------------------------------------- options as data


@dataclass(frozen=True)
class Option:
    """One option as a form asks for it and a help text says it.

    kind       int, float, bool, a word out of `choices`, or free text
    choices    words that may be given; of a number those that stand for one ("inf")
    optional   whether None may be given
    low, high  bounds of a number; with `above` low itself is out
    """

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False
    low: int | float | None = None
    high: int | float | None = None
    above: bool = False

    @property
    def wanted(self) -> str:
        """What may be given, in words."""
        kinds = {"int": "a whole number", "float": "a number", "bool": "true or false", "text": "a text", "word": ""}
        low = "" if self.low is None else f" {'above' if self.above else 'from'} {self.low:,.12g}"
        high = "" if self.high is None else f"{' and up' * self.above} to {self.high:,.12g}"
        words = [*filter(None, [kinds[self.kind] + low + high]), *self.choices, *["none"] * self.optional]
        return " or ".join(words if len(words) < 3 else [", ".join(words[:-1]), words[-1]])

    def refusal(self, whose: str, value: object) -> str:
        """Why this value cannot be, and what might have been meant."""
        if self.kind == "word" and isinstance(value, str):
            return f"{whose} has no {self.name} {shown(value, 60)!r}{nearest(value, self.choices)}"
        said = repr(shown(value, 60)) if isinstance(value, str) else shown(value, 60)
        return f"{whose}: option {self.name!r} takes {self.wanted}, got {said}"


@functools.lru_cache(maxsize=256)
def options_of(config: Any) -> Mapping[str, Option]:
    """Every option of a config by its name, in order.

    >>> list(options_of(TrainConfig))[:4]
    ['epochs', 'batch', 'lr', 'weight_decay']
    >>> options_of(TrainConfig)["supervision"].choices, options_of(TrainConfig)["epochs"].wanted
    (('clip', 'unit'), 'a whole number from 1 to 100,000')
    """
    told, usual = TypeAdapter(config).json_schema()["properties"], config()
    return {each.name: _option(each.name, told[each.name], getattr(usual, each.name)) for each in fields(config)}


def _option(name: str, told: Mapping[str, Any], default: Any) -> Option:
    """One property of a JSON schema."""
    parts = told.get("anyOf", [told])
    words = [part.get("enum") or [part["const"]] for part in parts if "enum" in part or "const" in part]
    plain = [part for part in parts if part.get("type") in KINDS and "enum" not in part and "const" not in part]
    number = plain[0] if plain else {}
    return Option(
        name,
        KINDS[number["type"]] if plain else "word",
        default,
        told.get("description", ""),
        tuple(word for each in words for word in each),
        any(part.get("type") == "null" for part in parts),
        number.get("minimum", number.get("exclusiveMinimum")),
        number.get("maximum", number.get("exclusiveMaximum")),
        "exclusiveMinimum" in number,
    )


def checked(config: type[Config], given: Any, whose: str, others: Sequence[str] = ()) -> Config:
    """The config with these values, and defaults for the rest.

    whose    who has these options, for the sentence;  others    names that might have been meant as well

    Errors: `ValueError` for an option that does not exist, and for a value that it cannot have.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{whose}: options are names with their values, got {shown(given, 60)!r}")
    known: Mapping[str, Option] = options_of(config)  # type: ignore[arg-type]  # mypy does not know that classes hash
    for name in given:
        if name not in known:
            raise ValueError(f"{whose} has no option {shown(name, 60)!r}{nearest(name, [*known, *others])}")
    whole = {n: int(v) if isinstance(v, float) and _counts(known[n], v) else v for n, v in given.items()}
    try:
        return config(**whole)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ValueError(known[name].refusal(whose, given[name])) from None


def _counts(option: Option, value: float) -> bool:
    """Whether 3.0 stands for 3."""
    return option.kind == "int" and value.is_integer()


def changed(config: Any) -> dict[str, Any]:
    """Those options that are not the defaults: what a title or a table of differences shows."""
    usual = type(config)()
    return {name: value for name, value in asdict(config).items() if getattr(usual, name) != value}


def fusions(task: Task) -> list[str]:
    """The methods that can be trained for this task, as `FUSIONS` lists them."""
    return [name for name, kind in FUSIONS.items() if task.kind in kind.tasks]


def training_options(kind: type[Fusion], task: Task) -> list[Option]:
    """Those options of the training loop that change anything for this fusion on data of this task."""
    without = {"epochs", "batch", "lr", "weight_decay", "track", "amp"} if kind.solved else set()
    without |= {"supervision", "top", "units"} if task.kind != "units" else set()
    return [option for name, option in options_of(TrainConfig).items() if name not in without]


# ---------------------------------------------------------------------------- the record


@dataclass(frozen=True)
class Recipe:
    """What to train, fully checked: a `ValueError` names what cannot be.

    options      the fusion's own, a `Config`; a mapping becomes one
    seeds        a training each
    protocol     which of the data's splits; None: the first
    modalities   in this order; () for all
    device       cpu, cuda, or auto: the accelerator where there is one
    """

    fusion: str
    options: Any = field(default_factory=dict)
    training: TrainConfig = TrainConfig()
    seeds: tuple[int, ...] = (0,)
    protocol: str | None = None
    modalities: tuple[str, ...] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise ValueError(f"unknown fusion {shown(self.fusion, 40)!r}{nearest(self.fusion, list(FUSIONS))}")
        kind = FUSIONS[self.fusion].Config
        if type(self.options) is not kind:
            object.__setattr__(self, "options", checked(kind, self.options, title_of(self.fusion)))
        if not all(type(seed) is int and 0 <= seed < 2**31 for seed in self.seeds):
            raise ValueError("seeds are whole numbers from 0 on")
        if not 1 <= len(set(self.seeds)) == len(self.seeds) <= MOST_SEEDS:
            raise ValueError(f"1 to {MOST_SEEDS:,} different seeds are trained at once, got {len(self.seeds):,}")
        if re.fullmatch(r"cpu|cuda(:\d+)?|auto", self.device) is None:
            raise ValueError(f"a device is cpu, cuda or auto, not {shown(self.device, 40)!r}")

    @property
    def seed(self) -> int:
        """The one seed of a recipe for a single training."""
        (seed,) = self.seeds
        return seed

    @property
    def each(self) -> list["Recipe"]:
        """A recipe for every training."""
        return [replace(self, seeds=(seed,)) for seed in self.seeds]

    @property
    def level(self) -> str:
        """Whether it combines features or graphs of clips."""
        return str(getattr(self.options, "level", "graph" if self.fusion == "lego" else "feature"))

    @property
    def settings(self) -> dict[str, Any]:
        """Every option of fusion and training by its name."""
        return {**asdict(self.options), **asdict(self.training)}

    def but(self, **values: Any) -> "Recipe":
        """The same with other values of some options, of the fusion or of the training.

        >>> Recipe("lego").but(P=1, epochs=3).training.epochs
        3
        """
        own = {name: value for name, value in values.items() if name not in _LOOP}
        loop = {name: value for name, value in values.items() if name in _LOOP}
        options = checked(type(self.options), {**asdict(self.options), **own}, title_of(self.fusion), _LOOP)
        return replace(
            self, options=options, training=checked(TrainConfig, {**asdict(self.training), **loop}, TRAINING)
        )

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "seeds": list(self.seeds), "modalities": list(self.modalities)}

    @classmethod
    def read(cls, told: Any) -> "Recipe":
        """The recipe of a record, whoever wrote it."""
        known = [each.name for each in fields(cls)]
        if not isinstance(told, Mapping) or not isinstance(told.get("fusion"), str):
            raise ValueError(f"a recipe names a fusion; there are {', '.join(FUSIONS)}")
        for name in told:
            if name not in known:
                raise ValueError(f"a recipe has no {shown(name, 40)!r}{nearest(name, known)}")
        seeds, modalities = told.get("seeds", [0]), told.get("modalities", [])
        protocol, device = told.get("protocol"), told.get("device", "cpu")
        if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
            raise ValueError("seeds are whole numbers from 0 on")
        if not isinstance(modalities, list) or not all(isinstance(name, str) for name in modalities):
            raise ValueError("modalities are given as a list of names")
        if not isinstance(protocol, str | None):
            raise ValueError("a split is given by its name")
        training = checked(TrainConfig, told.get("training", {}), TRAINING)
        return cls(
            told["fusion"], told.get("options", {}), training, tuple(seeds), protocol, tuple(modalities), str(device)
        )


_LOOP = tuple(each.name for each in fields(TrainConfig))
TRAINING = "the training"  # whose options those are

"""Options of a fusion or of the training loop as data: what a form, a sweep or a link may set, from the config alone.

A config is a frozen dataclass: its annotations say what a value may be, its defaults what it usually is, and the list
in its docstring what it does:

        name          help text
        P, Q, rest    one text for several fields,
                      going on in deeper lines

An inherited field is looked up in the parent's docstring. So a new fusion needs nothing but its config.
"""

import inspect
import math
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.machine.names import shown
from core.recipe import TrainConfig
from core.sample import Task

Kind = Literal["int", "float", "bool", "word", "text"]
PLAIN: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
LARGEST = 10**12  # of a number
LONGEST = 200  # of a text
ENTRY = re.compile(r"(\s*)(\w+(?:, \w+)*)\s{2,}(\S.*)")
Config = TypeVar("Config")


@dataclass(frozen=True)
class Option:
    """One field of a config.

    kind      int, float, bool, a word out of `choices`, or free text
    choices   words that may be given; of a number those that stand for one ("inf")
    optional  whether None may be given
    """

    name: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False

    def checked(self, value: Any) -> Any:
        """The value as the config holds it; a `ValueError` names option and value. Numbers may come as text."""
        if value is None or (self.kind != "text" and value == "none" and "none" not in self.choices):
            if not self.optional:
                raise ValueError(f"option {self.name!r} needs a value")
            return None
        if isinstance(value, str) and value in self.choices:
            return value
        if self.kind == "bool":
            found = {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value
            if isinstance(found, bool):
                return found
        elif self.kind == "text":
            if isinstance(value, str) and len(value) <= LONGEST:
                return value
        elif self.kind in ("int", "float") and not isinstance(value, bool):
            number = _number(value)
            if abs(number) <= LARGEST and (self.kind == "float" or number == int(number)):
                return int(number) if self.kind == "int" else number
        raise ValueError(f"option {self.name!r} takes {self.wanted}, got {shown(value, 60)!r}")

    @property
    def wanted(self) -> str:
        """What may be given, in words."""
        kinds = {"int": "a whole number", "float": "a number", "bool": "true or false", "text": "a text", "word": ""}
        words = [*filter(None, [kinds[self.kind]]), *self.choices, *["none"] * self.optional]
        return " or ".join(words if len(words) < 3 else [", ".join(words[:-1]), words[-1]])


def _number(value: Any) -> float:
    """NaN when it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def options(config: type) -> list[Option]:
    """Every field of a config, in order.

    >>> [option.name for option in options(TrainConfig)][:4]
    ['epochs', 'batch', 'lr', 'weight_decay']
    >>> options(TrainConfig)[4].choices
    ('clip', 'unit')
    """
    hints, usual = get_type_hints(config), config()
    return [_option(f.name, hints[f.name], getattr(usual, f.name), _help(config, f.name)) for f in fields(config)]


def _option(name: str, hint: Any, default: Any, help: str) -> Option:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    words = tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))
    kinds = [PLAIN[part] for part in parts if part in PLAIN]
    if len(kinds) > 1 or not (kinds or words):
        raise ValueError(f"option {name!r} has a type no form can ask for: {hint}")
    return Option(name, kinds[0] if kinds else "word", default, help, words, type(None) in parts)


def _help(config: type, name: str) -> str:
    """What the docstring of the config, or else of a parent, says about a field."""
    for kind in config.__mro__[:-1]:
        if (found := _entries(inspect.cleandoc(kind.__doc__ or "")).get(name)) is not None:
            return found
    return ""


def _entries(text: str) -> dict[str, str]:
    """Field -> help, from the list in a docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    column = 0
    for line in text.splitlines()[1:]:
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            names = []
        elif names and depth > column:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif entry := ENTRY.fullmatch(line):
            names, column = entry[2].split(", "), len(entry[1])
            found |= dict.fromkeys(names, entry[3].strip())
    return found


def training_options(kind: type[Fusion], task: Task) -> list[Option]:
    """Those options of the training loop that change anything for this fusion on data of this task."""
    without = set()
    if kind.solved:
        without |= {"epochs", "batch", "lr", "weight_decay", "track", "amp"}
    if task.kind != "units":
        without |= {"supervision", "top", "units"}
    return [option for option in options(TrainConfig) if option.name not in without]


def checked(known: Iterable[Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as configs hold them, in the options' order; a `ValueError` names what is unknown or wrong."""
    by_name = {option.name: option for option in known}
    unknown = [name for name in values if name not in by_name]
    if unknown:
        raise ValueError(f"there is no option {shown(unknown[0], 60)!r}; there are {', '.join(sorted(by_name))}")
    return {name: option.checked(values[name]) for name, option in by_name.items() if name in values}


def made(config: type[Config], values: Mapping[str, Any]) -> Config:
    """The config with these values and defaults for the rest."""
    return config(**checked(options(config), values))


def changed(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are not the defaults: what a title or a table of differences shows."""
    usual = asdict(config())  # type: ignore[call-overload]
    return {name: value for name, value in values.items() if name in usual and usual[name] != value}


def fusions(task: Task) -> list[str]:
    """The methods that can be trained for this task, as `FUSIONS` lists them."""
    return [name for name, kind in FUSIONS.items() if task.kind in kind.tasks]

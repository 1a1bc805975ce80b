"""Options: every field of every config has a help text of its own, and every value finds its way back."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import pytest

from core.fusion import FUSIONS
from core.recipe import TrainConfig
from core.sample import UNITS, Task
from core.train.options import Option, changed, checked, fusions, made, options, training_options

CONFIGS = {kind.Config.__name__: kind.Config for kind in FUSIONS.values()} | {"TrainConfig": TrainConfig}
DIGITS = Task("class", ("0", "1"))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_field_is_explained_and_round_trips(config: Any) -> None:
    found = options(config)
    assert [option.name for option in found] == [entry.name for entry in fields(config)]
    for option in found:
        assert len(option.help) >= 4, f"{config.__name__}.{option.name} has no line in the docstring"
        assert not any(f"\n{other.name}" in option.help for other in found)
        for value in (option.default, *option.choices, *([None] if option.optional else [])):
            assert option.checked(value) == value
            assert type(option.checked(value)) is type(value)
            assert option.checked(str(value).lower() if value is None or option.kind == "bool" else str(value)) == value
        assert option.checked(option.default) == getattr(config(), option.name)
    assert made(config, {}) == config()
    assert made(config, asdict(config())) == config()
    assert changed(config, asdict(config())) == {}


@dataclass(frozen=True)
class Parent:
    """Options.

    width, depth  how large; a number,
                  or two
    kind          a or b
    """

    width: int = 3
    depth: int | None = None
    kind: Literal["a", "b", "none"] = "a"


@dataclass(frozen=True)
class Child(Parent):
    """Options of the child: kind is what it was.

    share  of what is kept: width does not matter here
    p      inf: all

    And a word after  the list
    """

    share: float = 0.5
    p: float | Literal["inf"] = "inf"
    on: bool = True
    note: str = ""


def test_the_docstring_is_read_as_written() -> None:
    assert options(Child) == [
        Option("width", "int", 3, "how large; a number, or two"),
        Option("depth", "int", None, "how large; a number, or two", optional=True),
        Option("kind", "word", "a", "a or b", ("a", "b", "none")),
        Option("share", "float", 0.5, "of what is kept: width does not matter here"),
        Option("p", "float", "inf", "inf: all", ("inf",)),
        Option("on", "bool", True, ""),
        Option("note", "text", "", ""),
    ]


def test_values_are_refused_by_name() -> None:
    known = {option.name: option for option in options(Child)}
    for name, bad in [
        ("width", "3.5"), ("width", 2.5), ("width", True), ("width", None), ("width", "nan"), ("width", 10**13),
        ("width", "x" * 500), ("width", [1]), ("kind", "c"), ("kind", None), ("share", "inf"), ("share", float("nan")),
        ("on", 1), ("on", "yes"), ("on", None), ("note", 3), ("note", "n" * 201), ("p", "-inf"), ("p", "all"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"option '{name}'"):
            known[name].checked(bad)
    assert known["width"].checked("4") == 4
    assert known["width"].checked(4.0) == 4
    assert known["depth"].checked("none") is None
    assert known["kind"].checked("none") == "none"
    assert known["p"].checked("1.5") == 1.5
    assert known["on"].checked("False") is False
    with pytest.raises(ValueError, match="there is no option '<script>'; there are depth, "):
        checked(options(Child), {"<script>": 1})
    with pytest.raises(ValueError, match="takes a number or inf, got 'all'"):
        known["p"].checked("all")
    with pytest.raises(ValueError, match="takes a, b or none, got 'c'"):
        known["kind"].checked("c")


def test_only_what_changes_anything_is_asked_for() -> None:
    assert [o.name for o in training_options(FUSIONS["lego"], UNITS)] == [f.name for f in fields(TrainConfig)]
    assert [o.name for o in training_options(FUSIONS["mkl"], UNITS)] == ["supervision", "top", "units"]
    assert [o.name for o in training_options(FUSIONS["mkl"], DIGITS)] == []
    assert "lr" in [o.name for o in training_options(FUSIONS["lmf"], DIGITS)]
    assert "units" not in [o.name for o in training_options(FUSIONS["lmf"], DIGITS)]
    assert fusions(UNITS) == list(FUSIONS)
    assert "lego" not in fusions(DIGITS)
    assert "lmf" in fusions(DIGITS)


def test_changed_says_what_is_not_usual() -> None:
    assert changed(Child, {"width": 4, "share": 0.5, "gone": 1}) == {"width": 4}

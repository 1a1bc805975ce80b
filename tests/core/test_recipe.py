"""Recipes: what cannot be is refused by name at every door, and what can be finds its way back, runs' ids included."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import run as runs
from core import sweep
from core.cli import shared
from core.fusion import FUSIONS
from core.fusion.base import Size, about, options
from core.recipe import Option, Recipe, TrainConfig, changed, checked, fusions, options_of, training_options
from core.sample import UNITS, Task

ASSETS = Path(__file__).parents[2] / "assets"
CONFIGS = {kind.Config.__name__: kind.Config for kind in FUSIONS.values()} | {"TrainConfig": TrainConfig}
DIGITS = Task("class", ("0", "1"))
WIDTHS = {"motion": 8, "text": 8}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_option_is_explained_bounded_and_round_trips(config: Any) -> None:
    found = options_of(config)
    assert list(found) == [entry.name for entry in fields(config)]
    for name, option in found.items():
        assert len(option.help) >= 4, f"{config.__name__}.{name} says nothing"
        assert option.default == getattr(config(), name)
        assert option.kind != "int" or None not in (option.low, option.high), f"{config.__name__}.{name} has no bounds"
        for value in (option.default, *option.choices, *([None] if option.optional else [])):
            again = getattr(checked(config, {name: value}, "it"), name)
            assert (again, type(again)) == (value, type(value))
    assert checked(config, asdict(config()), "it") == config() == checked(config, {}, "it")
    assert changed(config()) == {}
    with pytest.raises(FrozenInstanceError):
        setattr(config(), next(iter(found)), 1)


def test_no_fusion_has_an_option_called_like_one_of_the_training() -> None:
    """Commands and axes tell the two apart by the name alone."""
    assert not [
        name for kind in FUSIONS.values() for name in options_of(kind.Config) if name in options_of(TrainConfig)
    ]


def wrong(option: Option) -> list[Any]:
    """Values that an option cannot have: another type, a misspelt word, beyond a bound, no finite number."""
    others: dict[str, list[Any]] = {
        "int": [2.5, "3", True, math.inf, math.nan, [1], {}, 10**30, -1, "", "None"],
        "float": ["0.5", True, math.inf, -math.inf, math.nan, [1.0], 10**400],
        "bool": [0, 1, "true", None],
        "text": [3, None, "x" * 300],
        "word": [3, True, None, [*option.choices], "", "srted", str(option.default).upper()],
    }
    found = [value for value in others[option.kind] if value is not None or not option.optional]
    found += [option.low - 1] if option.low is not None else []
    found += [option.high * 2] if option.high is not None else []
    return found + ([option.low] if option.above else [])


def doors(fusion: str, name: str, value: Any) -> dict[str, Any]:
    """Every way by which an option comes in."""
    own, loop = ({name: value}, {}) if name in options_of(FUSIONS[fusion].Config) else ({}, {name: value})
    stored = runs.Run(fusion, own, loop, runs.Source("made", "0" * 64, "all", WIDTHS), 0)
    plan = sweep.Plan("", {name: (value,)}, Recipe(fusion))
    found = {
        "recipe": lambda: Recipe(fusion).but(**{name: value}),
        "job record": lambda: Recipe.read({"fusion": fusion, "options": own, "training": loop}),
        "stored run": lambda: stored.recipe,
        "build": lambda: runs.build(fusion, WIDTHS, own) if own else Recipe(fusion).but(**loop),
        "sweep": lambda: sweep.checked_plan(plan, UNITS),
    }
    return found if name in {**stored.config, **stored.training} else {**found, "stored run": found["recipe"]}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_value_that_cannot_be_is_refused_by_name_at_every_door(fusion: str) -> None:
    swept = [each.name for each in sweep.sweepable(fusion, UNITS)]
    for name, option in {**options_of(FUSIONS[fusion].Config), **options_of(TrainConfig)}.items():
        for value in wrong(option):
            for door, enter in doors(fusion, name, value).items():
                if door != "sweep" or name in swept:
                    with pytest.raises(ValueError, match=name) as refused:
                        enter()
                    assert "\n" not in str(refused.value), (door, name, value)
                    assert "pydantic" not in str(refused.value), (door, name, value)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_misspelt_option_or_word_is_answered_with_the_right_one(fusion: str) -> None:
    known = options_of(FUSIONS[fusion].Config)
    for name in [name for name in known if len(name) > 4]:
        with pytest.raises(ValueError, match=f"has no option '{name[:-1]}x'; did you mean '{name}'"):
            Recipe(fusion).but(**{f"{name[:-1]}x": 1})
    for option in known.values():
        for word in option.choices if option.kind == "word" else ():
            if len(word) > 4:
                with pytest.raises(ValueError, match=f"has no {option.name} '{word[1:]}'; did you mean '{word}'"):
                    Recipe(fusion).but(**{option.name: word[1:]})


def test_what_trained_another_model_silently_is_refused() -> None:
    said = "LEGO has no head 'srted'; did you mean 'sorted'? There are row, sorted, relative"
    for enter in (lambda: runs.build("lego", WIDTHS, {"head": "srted"}), lambda: shared.recipe("lego", ["head=srted"])):
        with pytest.raises(ValueError, match="head") as refused:
            enter()
        assert str(refused.value) == said
    for name, value in {"relation": "cosin", "rescale": "graphs", "expansion": "walk", "regulariser": "eq"}.items():
        with pytest.raises(ValueError, match=f"LEGO has no {name} '{value}'"):
            runs.build("lego", WIDTHS, {name: value})
    for pair in ("epochs=1000000000", "lr=inf", "lam=1e999", "lr=nan", "epocs=3"):
        with pytest.raises(ValueError, match=pair.partition("=")[0]):
            shared.recipe("lego", [pair])
    with pytest.raises(ValueError, match="unknown fusion 'legp'; did you mean 'lego'"):
        Recipe("legp")


@given(
    st.sampled_from(list(FUSIONS)),
    st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=4),
    st.one_of(st.none(), st.text(max_size=8)),
    st.lists(st.text(max_size=8), max_size=3),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_recipe_survives_its_json(fusion: str, seeds: set[int], protocol: Any, see: list[str], drawn: Any) -> None:
    given_: dict[str, Any] = {}
    for name, option in {**options_of(FUSIONS[fusion].Config), **options_of(TrainConfig)}.items():
        numbers = st.integers(int(option.low or 0), 50) if option.kind == "int" else st.floats(0.1, 0.9)
        right: dict[str, st.SearchStrategy[Any]] = {"int": numbers, "float": numbers, "bool": st.booleans()}
        right |= {"text": st.text(max_size=9), "word": st.sampled_from(option.choices or ("",))}
        if option.low in (None, 0, 1) and option.high != 1:
            given_[name] = drawn.draw(
                st.one_of(st.just(option.default), right[option.kind]) if name != "p" else st.just(2)
            )
    recipe = Recipe(fusion, seeds=tuple(seeds), protocol=protocol, modalities=tuple(see)).but(**given_)
    again = Recipe.read(json.loads(json.dumps(recipe.plain())))
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.plain() == recipe.plain()
    assert [one.seed for one in recipe.each] == list(recipe.seeds)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"fusion": "<b>"}, "unknown fusion '<b>'"),
        ({"fusion": ["lego"]}, "names a fusion"),
        ("lego", "names a fusion"),
        ({"fusion": "lego", "options": {"P": "x"}}, "option 'P' takes a whole number"),
        ({"fusion": "lego", "options": [1]}, "options are names with their values"),
        ({"fusion": "lego", "options": {"epochs": 3}}, "LEGO has no option 'epochs'"),
        ({"fusion": "lego", "training": {"lr": float("nan")}}, "option 'lr'"),
        ({"fusion": "lego", "training": None}, "the training: options are names"),
        ({"fusion": "lego", "seeds": []}, "1 to 1,000 different seeds"),
        ({"fusion": "lego", "seeds": [1, 1]}, "1 to 1,000 different seeds"),
        ({"fusion": "lego", "seeds": [-1]}, "whole numbers"),
        ({"fusion": "lego", "seeds": [True]}, "whole numbers"),
        ({"fusion": "lego", "seeds": 10**9}, "whole numbers"),
        ({"fusion": "lego", "device": "../x"}, "a device is"),
        ({"fusion": "lego", "protocol": 3}, "a split is given by its name"),
        ({"fusion": "lego", "modalities": "motion"}, "a list of names"),
        ({"fusion": "lego", "runs": "/etc"}, "a recipe has no 'runs'"),
        ({"fusion": "lego", "seds": [1]}, "a recipe has no 'seds'; did you mean 'seeds'"),
    ],
)
def test_a_hostile_record_is_refused(told: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recipe.read(told)


def test_numbers_are_held_as_their_options_want_them() -> None:
    """3.0 is 3 where a whole number is wanted, and 1 is 1.0 where it is not: one training has one id."""
    recipe = Recipe("lego", {"P": 2.0, "lam": 1}).but(epochs=4.0)
    assert (repr(recipe.options.P), repr(recipe.options.lam), repr(recipe.training.epochs)) == ("2", "1.0", "4")


def test_stored_runs_come_back_from_their_recipes_with_their_ids() -> None:
    found = runs.listing(ASSETS / "runs")
    assert len(found) > 300
    for name, run in found.items():
        again = replace(run, config=asdict(run.recipe.options), training=asdict(run.recipe.training))
        assert (again.id, again.seed) == (name, run.recipe.seed)


# ---------------------------------------------------------------------------- options as data


@options
class Parent:
    """Options."""

    width: Size = about(3, "how large")
    depth: Size | None = about(None, "or none")
    kind: Literal["a", "b", "none"] = about("a", "a or b")


@options
class Child(Parent):
    """Options of the child."""

    share: float = about(0.5, "of what is kept", gt=0, lt=1)
    p: float | Literal["inf"] = about("inf", "inf: all")
    on: bool = about(True, "whether")
    note: str = about("", "a word", max_length=5)


def test_what_is_declared_is_what_a_form_asks() -> None:
    assert list(options_of(Child).values()) == [
        Option("width", "int", 3, "how large", low=1, high=10**9),
        Option("depth", "int", None, "or none", optional=True, low=1, high=10**9),
        Option("kind", "word", "a", "a or b", ("a", "b", "none")),
        Option("share", "float", 0.5, "of what is kept", low=0, high=1, above=True),
        Option("p", "float", "inf", "inf: all", ("inf",)),
        Option("on", "bool", True, "whether"),
        Option("note", "text", "", "a word"),
    ]
    wanted = {name: option.wanted for name, option in options_of(Child).items()}
    assert wanted["depth"] == "a whole number from 1 to 1,000,000,000 or none"
    assert (wanted["share"], wanted["p"]) == ("a number above 0 and up to 1", "a number or inf")


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
    assert changed(Child(width=4, share=0.5)) == {"width": 4}

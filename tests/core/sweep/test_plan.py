"""What is asked for is read as it was meant, and what cannot be is refused in a sentence."""

import json

import pytest

from core import sweep
from core.sample import UNITS
from core.sweep import Plan, checked_plan, values_of
from tests.core.sweep.made import plan


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..10", tuple(range(1, 11))),
        ("0.1..0.9 step 0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("1e-4..100 times 10", (1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100)),
        (" 1 , 4..8 step 2 ,none", (1, 4, 6, 8, None)),
        ("sorted, row", ("sorted", "row")),
        ("-1..1", (-1, 0, 1)),
        ("true,false", (True, False)),
    ],
)
def test_a_typed_axis_names_exactly_these_values(text: str, values: tuple) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10..1", "runs backwards"),
        ("1..5 step 0", "above 0"),
        ("0..1 times 2", "above 0"),
        ("1..9 times 1", "above 1"),
        ("1,,2", "missing"),
        ("", "missing"),
        ("1, 2, 1", "twice"),
        ("1..1000", "more than 200"),
        ("0.1..0.9", "how far apart"),
        ("a..b", "no number"),
        ("1 2 3", "commas"),
        ("1..1e30", "no number"),
        ("nan..2", "no number"),
    ],
)
def test_a_mistake_in_an_axis_is_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        values_of(text, "P")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axes": {"R": (1,)}}, "no option 'R'"),
        ({"axes": {"P": (1, "many")}}, "whole number"),
        ({"axes": {"head": ("row", "column")}}, "row"),
        ({"axes": {}}, "axes"),
        ({"axes": {"P": (1, 1)}}, "once"),
        ({"axes": {"project": (None, 8)}, "fixed": {"project": 4}}, "fixed as well"),
        ({"axes": {"P": tuple(range(200)), "Q": tuple(range(200))}}, "trainings"),
        ({"axes": {"lam": (1.0, float("inf"))}}, "lam"),
        ({"axes": {"epochs": (1, 10**9)}}, "epochs"),
        ({"trials": 0, "how": "guided"}, "1 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_plan(plan(**change), UNITS)


def test_every_option_of_the_method_and_the_loop_may_be_an_axis() -> None:
    names = [option.name for option in sweep.sweepable("lego", UNITS)]
    assert {"P", "alpha", "lr", "epochs"} <= set(names)
    assert len(names) == len(set(names))
    found = plan({"P": (1, 2), "lr": (0.1, 0.2)})
    one = found.of((2, 0.1), 1)
    assert (one.options.P, one.options.project, one.training.lr, one.training.epochs, one.seeds) == (
        2,
        None,
        0.1,
        2,
        (1,),
    )


def test_a_plan_comes_back_from_its_record() -> None:
    asked = checked_plan(plan({"P": (1, 2), "head": ("row", "sorted")}, judge="test", share=0.5), UNITS)
    assert Plan.read(json.loads(json.dumps(asked.plain()))) == asked
    for name, value in {"seeds": 10**9, "modalities": "ab", "training": {"epochs": 0}, "fixed": {"had": 1}}.items():
        with pytest.raises(ValueError, match="seeds|modalities|epochs|had"):
            Plan.read({**asked.plain(), name: value})

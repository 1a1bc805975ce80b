"""What is chosen, and the door."""

import pytest
import torch

from app import store
from app.figures.style import LIGHT
from app.state import selection
from core.clip import Clip


def chosen(time: float | None) -> selection.Selection:
    return selection.Selection("demo", None, "c", time, 0.5, 10, 0.5, LIGHT, "png")


@pytest.mark.parametrize("seconds", [0.64, 16 / 30, 16 / 24, 1.0])
def test_the_start_of_every_unit_lies_in_that_unit(seconds: float) -> None:
    clip = Clip("c", {"a": torch.ones(500, 2)}, None, seconds)
    for unit in range(500):
        assert chosen(round(unit * seconds, 3)).unit(clip) == unit  # what the player sends
        assert chosen((unit + 0.5) * seconds).unit(clip) == unit


def test_no_moment_is_no_unit_and_past_the_end_is_the_last() -> None:
    clip = Clip("c", {"a": torch.ones(5, 2)}, None, 0.64)
    assert chosen(None).unit(clip) is None
    assert chosen(1e6).unit(clip) == 4


def test_a_mistyped_control_cannot_pass_silently() -> None:
    with pytest.raises(KeyError, match="treshold"):
        selection.put(treshold=0.5)


def test_seats_are_given_back_by_who_left() -> None:
    here = {"a", "b"}
    door = store.server.Door(2, here.__contains__)
    assert door.admit("a")
    assert door.admit("b")
    assert not door.admit("c")
    here.remove("a")
    here.add("c")
    assert door.admit("c")
    assert not door.admit("a")
    assert door.admit("b")

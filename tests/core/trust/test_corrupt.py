"""Corruptions: the same draws for everyone, strength 0 changes nothing, what is shifted comes back, areas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.sample import UNITS, Part
from core.trust import corrupt

STRIPS = ((0, 5), (5, 6), (6, 14))


def made(seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(14, width, generator=random) for name, width in (("a", 3), ("b", 4))}


def test_noise_is_sigma_times_the_spread_of_each_column_and_grows_along_one_direction() -> None:
    x = made()
    spread = {"a": torch.tensor([1.0, 0.0, 2.0]), "b": torch.ones(4)}
    drawn = corrupt.gaussians(x, 3)
    for level in (0.0, 0.5, 2.0):
        found = corrupt.noisy(x, level, spread, 3)
        for name in x:
            torch.testing.assert_close(found[name] - x[name], level * spread[name] * drawn[name])
    assert torch.equal(corrupt.noisy(x, 2.0, spread, 3)["a"][:, 1], x["a"][:, 1]), "a constant column stays"
    assert not torch.equal(corrupt.noisy(x, 1.0, spread, 4)["a"], corrupt.noisy(x, 1.0, spread, 3)["a"])


def test_the_spread_of_a_constant_column_is_nothing() -> None:
    rows = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    part = Part({"a": rows}, None, UNITS, ("x", "y"), (("c", 0), ("c", 1)))
    assert corrupt.spreads_of(part)["a"].tolist() == [1.0, 0.0]


def test_uniform_starts_fill_the_box() -> None:
    drawn = corrupt.uniforms({"a": torch.zeros(4000, 2)}, 1)["a"]
    assert drawn.min() >= -1
    assert drawn.max() < 1
    assert abs(float(drawn.mean())) < 0.03
    assert abs(float(drawn.var()) - 1 / 3) < 0.02


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_exactly_that_share_of_the_rows_is_lost_and_more_adds_to_less(one: float, two: float, seed: int) -> None:
    x = made()
    lost = {"b": corrupt.order(x, seed)["b"]}
    less, more = sorted((one, two))
    gone = []
    for share in (less, more):
        found = corrupt.dropped(x, share, {name: torch.full_like(rows, 99) for name, rows in x.items()}, lost)
        assert torch.equal(found["a"], x["a"])
        rows = (found["b"] == 99).all(1)
        assert int(rows.sum()) == int(14 * share + 1e-9)
        assert torch.equal(found["b"][~rows], x["b"][~rows])
        gone.append(rows)
    assert not (gone[0] & ~gone[1]).any()


def test_modalities_lose_rows_of_their_own() -> None:
    order = corrupt.order({"a": torch.zeros(50, 1), "b": torch.zeros(50, 1)}, 0)
    assert sorted(order["a"].tolist()) == sorted(order["b"].tolist())
    assert not torch.equal(order["a"], order["b"])


def test_own_means_are_those_of_each_clip() -> None:
    x = made()
    found = corrupt.own_means(x, STRIPS)
    for start, stop in STRIPS:
        for i in range(start, stop):
            torch.testing.assert_close(found["b"][i], x["b"][start:stop].mean(0))


@pytest.mark.parametrize("steps", [-9, -2, 1, 3])
def test_a_shift_is_row_by_row_and_never_leaves_its_clip(steps: int) -> None:
    x = made()
    found = corrupt.shifted(x, steps, STRIPS, ["a"])
    assert torch.equal(found["b"], x["b"])
    for start, stop in STRIPS:
        for i in range(start, stop):
            assert torch.equal(found["a"][i], x["a"][min(max(i - steps, start), stop - 1)])


@pytest.mark.parametrize("steps", [1, 2, -2])
def test_a_shift_and_back_restores_the_middle(steps: int) -> None:
    x = made()
    back = corrupt.shifted(corrupt.shifted(x, steps, STRIPS, ["a"]), -steps, STRIPS, ["a"])["a"]
    for start, stop in STRIPS:
        a, b = (start, stop - steps) if steps > 0 else (start - steps, stop)
        assert torch.equal(back[a:b], x["a"][a:b])
    assert torch.equal(corrupt.shifted(x, 0, STRIPS, ["a"])["a"], x["a"])


def test_area_is_the_mean_on_the_way_and_tau_the_difference_of_two() -> None:
    levels = np.array([0.0, 0.5, 1.0, 2.0])
    a, b = 90 - 10 * levels, 80 - 20 * levels
    assert corrupt.area(a, levels) == pytest.approx(80)
    assert corrupt.area(np.full(4, 7.0), levels) == pytest.approx(7)
    assert corrupt.robust_auc(a, b, levels) == pytest.approx(2 * (corrupt.area(a, levels) - corrupt.area(b, levels)))
    with pytest.raises(ValueError, match="two or more levels"):
        corrupt.area(a[:1], levels[:1])

"""Shapley values are those of the definition."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.explain.shapley import shapley


def by_definition(value, players: int) -> np.ndarray:
    """Mean gain over all orders of the players; `value` takes the set that is in."""
    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            total[player] += value({*order[: place + 1]}) - value({*order[:place]})
    return total / len(orders)


games = st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-9, 9), min_size=1 << n, max_size=1 << n))


@given(games)
@settings(max_examples=60, deadline=None)
def test_shapley_is_the_mean_gain_over_all_orders(values):
    players = len(values).bit_length() - 1
    wanted = by_definition(lambda inside: values[sum(1 << i for i in inside)], players)
    np.testing.assert_allclose(shapley(np.array(values)), wanted, atol=1e-9)


@given(games)
@settings(max_examples=60, deadline=None)
def test_shapley_shares_out_exactly_everything(values):
    assert shapley(np.array(values)).sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


def test_shapley_treats_equals_alike_ignores_idlers_and_is_linear():
    random = np.random.default_rng(0)
    bits = np.arange(16)[:, None] >> np.arange(4) & 1
    equals = bits[:, 0] + bits[:, 1] + 3 * bits[:, 0] * bits[:, 1] * bits[:, 2]  # players 0 and 1 alike, 3 idle
    found = shapley(equals.astype(float))
    assert found[0] == pytest.approx(found[1])
    assert found[3] == 0
    one, two = random.normal(size=(2, 16))
    np.testing.assert_allclose(shapley(2 * one + two), 2 * shapley(one) + shapley(two), atol=1e-12)
    with pytest.raises(ValueError, match="3 values"):
        shapley(np.zeros(3))

"""Shapley values: what each player of a game adds to what all reach together. Shapley, 1953."""

from math import comb

import numpy as np
from jaxtyping import Float


def shapley(values: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " players"]:
    """Exact Shapley values from v of every coalition; bit i of a coalition's index says whether player i is in it.

        phi_i = sum over S without i  |S|! (n - |S| - 1)! / n!  (v(S and i) - v(S))

    >>> shapley(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    players = len(values).bit_length() - 1
    if len(values) != 1 << players:
        raise ValueError(f"{len(values)} values are not one for every coalition of some players")
    if not players:
        return np.zeros(0)
    size = np.bitwise_count(np.arange(len(values) // 2, dtype=np.uint32))
    weight = np.array([1 / (players * comb(players - 1, s)) for s in range(players)])[size]
    cube = values.astype(np.float64).reshape((2,) * players)  # the first axis is the highest bit
    gains = [np.diff(cube, axis=players - 1 - i).reshape(-1) for i in range(players)]
    return np.array([weight @ gain for gain in gains])

"""Shares of variance are exact: planted options, the slow formula, an independent implementation, pure noise."""

import itertools

import numpy as np
import pytest

from core.sweep import Results, decomposed, importance
from tests.core.sweep.made import table


def shares(found: Results) -> dict[tuple[str, ...], float]:
    weighed = importance(found)
    assert weighed is not None
    return {effect.names: effect.share for effect in weighed.effects}


GRID = {"P": range(4), "Q": range(3), "k": (1, 5)}


def test_a_planted_option_explains_everything_and_an_idle_one_nothing() -> None:
    found = shares(table(GRID, lambda p, q, k, s: 70 + 3.0 * p**2))
    assert found.pop(("P",)) == pytest.approx(1)
    assert max(found.values()) == pytest.approx(0, abs=1e-12)


def test_what_only_a_pair_explains_is_the_pairs() -> None:
    found = shares(table({"P": (0, 1), "Q": (0, 1)}, lambda p, q, s: float(p ^ q)))
    assert found == pytest.approx({("P",): 0, ("Q",): 0, ("P", "Q"): 1})


def test_shares_add_up_to_one_and_equal_the_slow_formula() -> None:
    random = np.random.default_rng(0)
    f = random.normal(size=(4, 3, 2))
    parts = decomposed(f)
    assert sum(parts.values()) == pytest.approx(f.var())
    for axes in ((0,), (1,), (0, 2), (0, 1, 2)):
        # inclusion and exclusion over subsets, cell by cell
        total = 0.0
        for cell in np.ndindex(*f.shape):
            effect = 0.0
            for size in range(len(axes) + 1):
                for kept in itertools.combinations(axes, size):
                    place = tuple(cell[axis] if axis in kept else slice(None) for axis in range(3))
                    effect += (-1) ** (len(axes) - size) * float(np.mean(f[place]))
            total += effect**2
        assert parts[axes] == pytest.approx(total / f.size)


def test_with_gaps_a_forest_agrees_with_optunas_fanova() -> None:
    """An independent implementation on the same trials: main effects within 0.12 of each other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random = np.random.default_rng(1)
    whole = table({"P": range(8), "Q": range(8)}, lambda p, q, s: 2.0 * p + 0.8 * q)
    some = sorted(random.choice(64, 45, replace=False))
    found = importance(Results(whole.sweep, tuple(whole.rows[i] for i in some)))
    assert found is not None
    assert not found.exact
    ours = {effect.names: effect.share for effect in found.effects}
    study = optuna.create_study(direction="maximize")
    across = {name: optuna.distributions.IntDistribution(0, 7) for name in ("P", "Q")}
    for i in some:
        row = whole.rows[i]
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(zip("PQ", row.cell, strict=True)), distributions=across, value=row.mean
            )
        )
    theirs = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
    )
    exact = shares(whole)
    for name in ("P", "Q"):
        assert ours[(name,)] == pytest.approx(theirs[name], abs=0.12)
        assert ours[(name,)] == pytest.approx(exact[(name,)], abs=0.12)


def test_where_nothing_matters_the_seeds_make_all_of_it() -> None:
    """Pure noise: the share that seeds alone would make is 1 on average, and every effect is near its own."""
    random = np.random.default_rng(2)
    totals, gaps = [], []
    for _ in range(60):
        weighed = importance(table({"P": range(6), "Q": range(5)}, lambda p, q, s: float(random.normal()), seeds=4))
        assert weighed is not None
        totals.append(sum(effect.noise for effect in weighed.effects))
        gaps.append([effect.share - effect.noise for effect in sorted(weighed.effects, key=lambda e: e.names)])
    assert np.mean(totals) == pytest.approx(1, abs=0.1)
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.05


def test_a_constant_or_a_handful_says_nothing() -> None:
    assert importance(table({"P": (1, 2)}, lambda p, s: 70.0)) is None
    few = table({"P": range(4), "Q": range(4)}, lambda p, q, s: float(p))
    assert importance(Results(few.sweep, few.rows[:5])) is None

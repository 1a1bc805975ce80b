"""Scoring against normal training units alone."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from core.measure.metrics import measure
from core.score.novelty import novelty
from tests.core.made import clip


@pytest.fixture(scope="module")
def parts():
    train = [clip(f"t{n}", anomalous=False, seed=n) for n in range(4)]
    return train, [clip(f"c{n}", units=15, anomalous=n % 2 == 1, seed=50 + n) for n in range(6)]


@pytest.mark.parametrize("how", ["single", "sum", "product"])
def test_scores_are_the_formula(parts, how):
    train, test = parts
    graphs = []
    for name in ("motion", "text"):
        left, right = (np.concatenate([c.features[name].numpy() for c in part]) for part in (test, train))
        graphs.append(cosine_similarity(left, right).clip(0, 1))
    graph = {"single": graphs[0], "sum": (graphs[0] + graphs[1]) / 2, "product": graphs[0] * graphs[1]}[how]
    wanted = 1 - np.sort(graph, axis=1)[:, -10:].mean(1)
    found = novelty(train, test, ("motion", "text"), how)
    np.testing.assert_allclose(np.concatenate([found[c.name] for c in test]), wanted, atol=1e-6)


def test_planted_anomalies_stand_out(parts):
    assert measure(novelty(*parts, ("motion", "text")), parts[1]).auc > 95


def test_a_copy_of_a_training_unit_is_nothing_new(parts):
    train = parts[0]
    assert max(novelty(train, train, ("motion",), "single", k=1)["t0"]) < 1e-5

"""Retrieval against the slow formula, scikit-learn and known answers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.measure.retrieval import across, average_precisions, chance, mean_average_precision


def made(seed: int = 0, queries: int = 40, gallery: int = 60, classes: int = 5):
    random = np.random.default_rng(seed)
    return (
        random.normal(size=(queries, 8)),
        random.normal(size=(gallery, 8)),
        random.integers(0, classes, queries),
        random.integers(0, classes, gallery),
    )


def slow(query: np.ndarray, gallery: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """The definition, one answer after another."""
    likeness = [query @ row / (np.linalg.norm(query) * np.linalg.norm(row)) for row in gallery]
    hits, total = 0, 0.0
    for rank, at in enumerate(np.argsort(likeness)[::-1][:k], start=1):
        if relevant[at]:
            hits += 1
            total += hits / rank
    return total / min(int(relevant.sum()), k)


@pytest.mark.parametrize("at", [None, 1, 10, 1000])
def test_equals_the_slow_formula(at):
    asked, gallery, asked_class, answer_class = made()
    expected = [
        slow(q, gallery, answer_class == c, at or len(gallery)) for q, c in zip(asked, asked_class, strict=True)
    ]
    np.testing.assert_allclose(average_precisions(asked, gallery, asked_class, answer_class, at), expected)


def test_equals_scikit_learn_over_the_whole_ranking():
    asked, gallery, asked_class, answer_class = made(1)
    found = average_precisions(asked, gallery, asked_class, answer_class)
    for query, c, value in zip(asked, asked_class, found, strict=True):
        likeness = gallery @ query / np.linalg.norm(gallery, axis=1)
        assert value == pytest.approx(average_precision_score(answer_class == c, likeness))


def test_lengths_do_not_matter_and_opposites_come_last():
    asked, gallery, asked_class, answer_class = made(2)
    found = mean_average_precision(asked, gallery, asked_class, answer_class)
    stretched = mean_average_precision(asked * 7, gallery * np.arange(1, 61)[:, None], asked_class, answer_class)
    assert stretched == pytest.approx(found)
    assert mean_average_precision(np.eye(2), -np.eye(2), np.arange(2), np.arange(2)) == 0.5


def test_an_embedding_that_says_nothing_is_not_rewarded():
    """All alike, and sorted by class: a stable order would call that a fine retrieval."""
    rows, classes = np.ones((20, 3)), np.repeat([0, 1], 10)
    expected = np.mean([(i + 1) / (i + 11) for i in range(10)])
    assert mean_average_precision(rows, rows * 0, classes, classes) == pytest.approx(expected)
    assert mean_average_precision(rows * 1.1, rows * np.pi, classes, classes) == pytest.approx(expected)


def test_chance_is_the_mean_over_random_orders():
    random = np.random.default_rng(3)
    _, _, asked_class, answer_class = made(3, classes=4)
    drawn = [
        mean_average_precision(random.normal(size=(40, 6)), random.normal(size=(60, 6)), asked_class, answer_class)
        for _ in range(300)
    ]
    assert chance(asked_class, answer_class) == pytest.approx(np.mean(drawn), abs=0.004)


def test_a_query_without_answers_is_left_out():
    asked, gallery, asked_class, answer_class = made(4)
    lonely = np.append(asked_class, 99)
    more = np.concatenate([asked, asked[:1]])
    expected = mean_average_precision(asked, gallery, asked_class, answer_class)
    assert mean_average_precision(more, gallery, lonely, answer_class) == expected
    assert np.isnan(mean_average_precision(asked, gallery, asked_class + 100, answer_class))
    assert chance(lonely, answer_class) == pytest.approx(chance(asked_class, answer_class))


def test_many_rows_in_blocks_are_the_same(monkeypatch):
    asked, gallery, asked_class, answer_class = made(5)
    whole = average_precisions(asked, gallery, asked_class, answer_class)
    monkeypatch.setattr("core.measure.retrieval.BLOCK", 150)
    np.testing.assert_array_equal(average_precisions(asked, gallery, asked_class, answer_class), whole)


def test_across_asks_both_ways_where_widths_agree():
    random = np.random.default_rng(6)
    rows = {"a": random.normal(size=(30, 4)), "b": random.normal(size=(30, 4)), "c": random.normal(size=(30, 5))}
    classes = random.integers(0, 3, 30)
    found = {(one.asked, one.answers): one for one in across(rows, classes, (10,))}
    assert set(found) == {("a", "b"), ("b", "a")}
    assert found["a", "b"].map == mean_average_precision(rows["a"], rows["b"], classes, classes)
    assert found["b", "a"].map_at[10] == mean_average_precision(rows["b"], rows["a"], classes, classes, 10)


def test_looking_at_no_answer_is_refused():
    with pytest.raises(ValueError, match="at least one answer"):
        mean_average_precision(*made(), 0)

"""The door of the house: what a clip accepts, and the sentence it refuses the rest with."""

import pytest
import torch

from core.clip import Clip, frame_labels, intervals, unit_labels


def test_unequal_unit_counts_are_named():
    with pytest.raises(ValueError, match=r"'c': unit counts differ: {'video': 4, 'text': 3}"):
        Clip("c", {"video": torch.zeros(4, 2), "text": torch.zeros(3, 2)}, None, 0.5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_with_count_and_units(bad):
    rows = torch.zeros(9, 2)
    rows[3, 1] = rows[7] = bad
    with pytest.raises(ValueError, match=r"'m' has 3 NaN or infinite values, in units 3, 7"):
        Clip("c", {"m": rows}, None, 0.5)


def test_values_whose_squares_overflow_are_refused():
    with pytest.raises(ValueError, match=r"values up to 1.0e\+30"):
        Clip("c", {"m": torch.full((2, 2), 1e30)}, None, 0.5)


@pytest.mark.parametrize("name", ["", "a.b", "<b>", "../x", "a b"])
def test_a_modality_name_is_a_plain_word(name):
    with pytest.raises(ValueError, match="no modality name"):
        Clip("c", {name: torch.zeros(2, 2)}, None, 0.5)


@pytest.mark.parametrize("rows", [torch.zeros(0, 3), torch.zeros(3, 0)])
def test_nothing_is_refused(rows):
    with pytest.raises(ValueError, match="no units|width 0"):
        Clip("c", {"m": rows}, None, 0.5)


def test_one_anomalous_frame_makes_its_unit_anomalous():
    assert unit_labels(((31, 33),), 4).tolist() == [False, True, True, False]


def test_intervals_and_labels_are_each_others_inverse():
    labels = torch.tensor([1, 0, 0, 1, 1, 0, 1], dtype=torch.bool)
    torch.testing.assert_close(frame_labels(intervals(labels), 7), labels)


def test_duration_ends_with_the_last_frame():
    assert Clip("c", {"m": torch.zeros(3, 2)}, None, seconds=1.6, frames=40).duration == pytest.approx(4.0)

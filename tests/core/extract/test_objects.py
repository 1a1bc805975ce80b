"""Known speeds, known sizes, known places."""

import numpy as np
import pytest

from core.extract import objects
from core.extract.base import Seen
from core.extract.calibrate import fit_line, learn
from core.extract.evidence import along, follow, pooled, window_means
from core.extract.motion import motion
from core.extract.objects import Objects
from core.extract.text import captions_of, embed
from core.extract.view import View, group
from tests.core.extract.made import HEIGHT, WIDTH, Square, ground, pictures

STILL = ground().astype(np.uint8)


def found(squares: list[Square], frames: int = 40) -> Objects:
    return objects.find([objects.grey(p) for p in pictures(squares, frames)], STILL)


def seen(these: Objects, view: View) -> Seen:
    return Seen("c", these, view, these.looks, 10.0, 16, lambda: iter(()))


@pytest.mark.parametrize("speed", [1.0, -2.0, 3.0])
def test_a_square_has_the_speed_it_moves_at(speed):
    """A large one: flow is smoothed, which pulls small objects' speed towards the ground's (ratios cancel that)."""
    these = found([Square(10 if speed > 0 else 110, speed, height=50, width=40)], frames=30)
    moving = these.frame > 1
    assert np.unique(these.track).size == 1
    assert np.median(these.flow[moving, 0]) == pytest.approx(speed, rel=0.1)
    assert np.median(these.foot[moving]) == pytest.approx(90, abs=2)
    assert np.median(these.box[moving, 3]) == pytest.approx(50, abs=3)


def test_twice_as_near_and_twice_as_fast_is_the_usual_speed():
    """Speed and size grow with distance from the horizon: after calibration both walkers walk at ratio 1."""
    far, near = Square(10, 1.0, foot=50, height=20, width=10), Square(0, 2.0, foot=110, height=40, width=20)
    calibration = [
        found([Square(s.start + 7 * k, s.speed, s.foot, s.height, s.width)], 60) for s in (far, near) for k in range(3)
    ]
    view = learn(View(STILL), calibration)
    for square in (far, near):
        ratio = follow(found([square]), view).speed_ratio(view)
        assert np.median(ratio[5:][ratio[5:] > 0]) == pytest.approx(1.0, abs=0.2)
    twice = follow(found([Square(0, 4.0, near.foot, near.height, near.width)], 30), view).speed_ratio(view)
    assert np.median(twice[5:][twice[5:] > 0]) == pytest.approx(2.0, abs=0.35)


@pytest.fixture(scope="module")
def walked() -> View:
    walkers = [[Square(5 * k, 1.0), Square(150 - 9 * k, -1.0, foot=100)] for k in range(3)]
    return learn(View(STILL), [found(w, 60) for w in walkers])


def test_walkers_leave_only_the_constant_and_a_fast_one_fills_the_cells_it_crosses(walked):
    usual = motion(seen(found([Square(0, 1.0), Square(150, -1.0, foot=100)], 48), walked)).rows
    fast = motion(seen(found([Square(0, 1.0), Square(-10, 3.0, foot=104)], 48), walked)).rows
    assert (usual[:, 0] == 1).all()
    assert usual[:, 1:].max() == 0
    assert (fast[:, 1:].max(axis=1) > 1).all()
    lengths = np.linalg.norm(fast, axis=1)
    cosines = (fast @ fast.T) / np.outer(lengths, lengths)
    assert cosines[0, 2] < 0.5  # apart from one another, not only from the usual


def test_captions_name_what_is_fast_and_the_rest_is_alike(walked):
    usual = captions_of(seen(found([Square(0, 1.0), Square(150, -1.0, foot=100)], 64), walked))
    fast = captions_of(seen(found([Square(0, 1.0), Square(-20, 3.0, foot=104)], 64), walked))
    assert "fast" not in usual[0].text
    assert "fast to the right" in fast[0].text
    vectors = embed([usual[0].text, "Many people are walking.", fast[0].text])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


def test_captions_cover_every_frame_once(walked):
    made = captions_of(seen(found([Square(0, 1.0)], 130), walked))
    assert [(c.start, c.stop) for c in made] == [(0, 64), (64, 128), (128, 130)]


def test_window_means_equal_the_slow_sum():
    maps = np.random.default_rng(0).random((2, 5, 7, 3))
    tall, wide = np.array([1, 2, 3, 4, 2]), np.array([3, 1, 2, 5, 4])
    fast = window_means(maps, tall, wide)
    for r in range(5):
        for c in range(7):
            rows = [i for i in range(r - (tall[r] - 1) // 2, r + tall[r] // 2 + 1) if 0 <= i < 5]
            columns = [i for i in range(c - (wide[r] - 1) // 2, c + wide[r] // 2 + 1) if 0 <= i < 7]
            slow = maps[:, rows][:, :, columns].sum((1, 2)) / (tall[r] * wide[r])
            np.testing.assert_allclose(fast[:, r, c], slow)


def test_following_something_steady_changes_nothing():
    """One block of foreground that moves exactly one block a look is its own average along its path."""
    sums = np.zeros((9, 3, 30, 6), np.float32)
    for t in range(9):
        sums[t, 1, 5 + t] = (1, 8, 8, 0, 4, 2)  # 8 pixels a look
    path = along(sums)
    shown = np.array([path[t, 1, 5 + t] for t in range(1, 8)])
    assert np.ptp(shown, axis=0).max() < 1e-5
    assert shown[0, 2] / shown[0, 0] == pytest.approx(8)


def test_pooling_keeps_the_place():
    evidence = np.zeros((4, HEIGHT // 8, WIDTH // 8))
    evidence[2, 1, 1] = 1.0
    cells = pooled(evidence).reshape(8, 24)
    assert cells.max() > 0.2
    assert cells[4:].max() == 0
    assert cells[:, 12:].max() == 0


def test_few_cyclists_do_not_move_the_line():
    random = np.random.default_rng(0)
    y = random.uniform(20, 110, 1000)
    speed = 0.5 + 0.01 * y + random.normal(0, 0.05, 1000)
    speed[:100] *= 4
    np.testing.assert_allclose(fit_line(y, speed) * [1, 50], [0.5, 0.5], atol=0.06)


def test_views_are_told_apart_whatever_the_light():
    a, b = ground(0).astype(np.uint8), np.roll(ground(3) * 2 - 100, 9).clip(0, 255).astype(np.uint8)
    b[:60] = 230
    assert group([a, b, np.clip(a + 15.0, 0, 255).astype(np.uint8)]) == [0, 1, 0]


def test_nothing_moves_nothing_breaks():
    these = found([], 20)
    view = learn(View(STILL), [these])
    assert (len(these), view.rows) == (0, 0)
    assert motion(seen(these, view)).rows[:, 1:].max() == 0
    assert captions_of(seen(these, view))[0].text == "Nothing moves."

"""Many clips: what a move of the alarm threshold reckons anew, against clip by clip."""

from collections.abc import Iterator

import numpy as np

from core.experiments.bench.shared import Row, Tell, compared, interleaved
from core.measure.thresholds import Units, decide, graded

MANY, MANY_GOAL = 10_000, 10.0


def many_clips(tell: Tell) -> Iterator[Row]:
    """What a move of the alarm threshold reckons anew for 10,000 clips of 15 to 25 units, against clip by clip."""
    tell(f"{MANY:,} clips")
    random = np.random.default_rng(0)
    counts = 15 + np.arange(MANY) % 11
    clip = np.repeat(np.arange(MANY), counts)
    labels = random.random(len(clip)) < 0.1
    scores = (random.random(len(clip)) + 0.3 * labels).astype(np.float32)
    units = Units(scores, labels, clip, np.ones(MANY, bool))
    found = graded(scores, labels)
    edges = np.concatenate([[0], np.cumsum(counts)])
    each = [(scores[a:b], labels[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def at_once() -> tuple[np.ndarray, np.ndarray]:
        alarm = units.scores >= np.float32(0.6)
        return units.each(alarm & units.labels), units.each(alarm & ~units.labels)

    def one_by_one() -> tuple[np.ndarray, np.ndarray]:
        decisions = [decide(s, y, 0.6) for s, y in each]
        return np.array([d.true_alarms for d in decisions]), np.array([d.false_alarms for d in decisions])

    for mine, theirs in zip(at_once(), one_by_one(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if found.decide(0.6) != decide(scores, labels, 0.6):
        raise AssertionError("sorted once says another thing than the scores")
    took = interleaved({"at once": at_once, "one by one": one_by_one}, slow=("one by one",))
    name = f"{MANY:,} clips: alarms of each at a threshold"
    yield compared(name, took["at once"], "clip by clip", took["one by one"], MANY_GOAL)
    took = interleaved(
        {
            "sorted once": lambda: (found.decide(0.6), found.cheapest(5.0)),
            "anew": lambda: (decide(scores, labels, 0.6), graded(scores, labels).cheapest(5.0)),
        }
    )
    name = f"{MANY:,} clips: decision now and cheapest threshold"
    yield compared(name, took["sorted once"], "from the scores", took["anew"], MANY_GOAL)

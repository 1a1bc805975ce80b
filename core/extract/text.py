"""`text`: a short caption of what moved in every 64 frames, then an embedding of the caption.

Captions are made from measurements alone: how many walk, and for everything unusual its shape, pace, way and place.
The embedding hashes words and pairs of words into 255 signed columns beside a constant one; words that name what is
usual weigh nothing, so captions of an ordinary scene are all alike. It needs no weights and no network, and gives the
same numbers everywhere.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from sklearn.feature_extraction.text import HashingVectorizer

from core.extract.base import Caption, Described, Seen
from core.extract.evidence import FAST, odd_heading
from core.extract.objects import BLOCK

EVERY = 64  # frames a caption speaks of
WIDTH = 256
WEIGHT = 2.0  # length of one unusual sentence beside the constant 1
NUMBERS = ("Nobody", "One person", "Two people", "A few people", "A few people", "A few people")
WAYS = ("to the right", "towards the camera", "to the left", "away from the camera")
ACROSS = ("at the left edge", "on the left", "in the middle", "on the right", "at the right edge")
DEPTH = ("far away", "halfway", "close")
USUAL = re.compile(
    "a|an|and|the|is|are|in|on|at|of|to|two|few|several|many|one|person|people|nobody|walking|standing|nothing|moves"
)


@dataclass(frozen=True)
class Event:
    """Something unusual that lasted, in words; `looks` is how long."""

    shape: str
    pace: str
    way: str
    place: str
    looks: int

    @property
    def sentence(self) -> str:
        article = "An" if self.shape[0] in "aeiou" else "A"
        return f"{article} {self.shape} is {self.pace} {self.way} {self.place}."


def text(seen: Seen) -> Described:
    """float32 (units, 256), and the captions; a unit takes the caption that its middle frame lies in."""
    captions = captions_of(seen)
    vectors = embed([caption.text for caption in captions])
    return Described(rows_of_units(seen, vectors), captions)


def rows_of_units(seen: Seen, vectors: np.ndarray) -> np.ndarray:
    """(captions, width) -> (units, width)"""
    middle = np.minimum(np.arange(seen.units) * seen.per_unit + seen.per_unit // 2, seen.frames - 1)
    return vectors[np.minimum(middle // EVERY, len(vectors) - 1)]


def embed(captions: list[str]) -> np.ndarray:
    """float32 (captions, 256): a constant 1, then each sentence's hashed words, `WEIGHT` long, added up.

    >>> rows = embed(["Two people are walking.", "Many people are walking.", "Two people. A cart is moving fast."])
    >>> bool((rows[0] == rows[1]).all()), bool((rows[0] == rows[2]).all())
    (True, False)
    """
    hashing = HashingVectorizer(n_features=WIDTH - 1, ngram_range=(1, 2), norm="l2", analyzer=_terms)
    rows = np.zeros((len(captions), WIDTH), np.float32)
    rows[:, 0] = 1
    for row, caption in zip(rows, captions, strict=True):
        sentences = [part for part in caption.split(".") if part.strip()]
        if sentences:
            row[1:] = WEIGHT * np.asarray(hashing.transform(sentences).sum(axis=0)).ravel()
    return rows


def _terms(sentence: str) -> list[str]:
    words = [word for word in re.findall(r"[a-z]+", sentence.lower()) if not USUAL.fullmatch(word)]
    return words + [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]


def captions_of(seen: Seen) -> tuple[Caption, ...]:
    """One caption for every 64 frames; the last may speak of fewer."""
    found = seen.objects
    ratio = seen.moving.speed_ratio(seen.view)
    flow = np.stack([seen.moving.u, seen.moving.v], axis=-1)
    captions = []
    for start in range(0, seen.frames, EVERY):
        stop = min(start + EVERY, seen.frames)
        stride = int(found.stride)
        looks = slice(-(-start // stride), max(-(-stop // stride), -(-start // stride) + 1))
        events = fast_events(seen, ratio, flow, looks) + odd_ways(seen, looks)
        captions.append(Caption(start, stop, write(walkers(seen, looks), events)))
    return tuple(captions)


def write(people: int, events: list[Event]) -> str:
    """The caption: who walks, then at most four unusual things, the longest first.

    >>> write(3, [Event("wide object", "moving fast", "to the left", "in the middle", 20)])
    'A few people are walking. A wide object is moving fast to the left in the middle.'
    >>> write(0, [])
    'Nothing moves.'
    """
    if not people and not events:
        return "Nothing moves."
    count = NUMBERS[people] if people < len(NUMBERS) else "Several people" if people < 10 else "Many people"
    said = [f"{count} {'is' if people < 2 else 'are'} walking."] if people else []
    return " ".join(said + [event.sentence for event in sorted(events, key=lambda e: -e.looks)[:4]])


def fast_events(seen: Seen, ratio: np.ndarray, flow: np.ndarray, looks: slice) -> list[Event]:
    """Runs of looks in which something connected moves over FAST times the usual speed."""
    now = ratio[looks]
    labels, count = ndimage.label(now > FAST, structure=np.ones((3, 3, 3)))
    events = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        lasted = box[0].stop - box[0].start
        if lasted * int(seen.objects.stride) < 8 or inside.sum() < 2 * lasted:
            continue
        t, r, c = np.nonzero(inside)
        y, x = (r.mean() + box[1].start + 0.5) * BLOCK, (c.mean() + box[2].start + 0.5) * BLOCK
        tall = np.median([np.ptp(r[t == k]) + 1 for k in np.unique(t)]) * BLOCK
        wide = np.median([np.ptp(c[t == k]) + 1 for k in np.unique(t)]) * BLOCK
        usual = float(seen.view.usual(seen.view.height, np.array([y + tall / 2]))[0])
        mean = flow[looks][box][inside].mean(axis=0)
        top = float(np.percentile(now[box][inside], 90))
        events.append(
            Event(
                shape="large object" if tall * wide > 4 * usual**2 else "wide object" if wide > usual else "object",
                pace="moving very fast" if top > 1.5 * FAST else "moving fast",
                way=way(mean),
                place=place(x / seen.view.shape[1], y / seen.view.shape[0]),
                looks=lasted,
            )
        )
    return events


def odd_ways(seen: Seen, looks: slice) -> list[Event]:
    """Tracks that go for long where hardly anyone goes."""
    found, view = seen.objects, seen.view
    now = (found.frame >= looks.start) & (found.frame < looks.stop) & (found.frame > 0)
    events = []
    for track in np.unique(found.track[now]):
        rows = np.flatnonzero(now & (found.track == track))
        flow = found.flow[rows].mean(axis=0)
        usual = float(np.median(view.usual(view.speed, found.foot[rows])))
        lasting = len(rows) * int(found.stride) >= 24 and float(np.hypot(*flow)) > 0.5 * usual
        if not lasting or odd_heading(view, flow[:1], flow[1:])[0] <= 0:
            continue
        x, y = found.centre[rows].mean(axis=0)
        where = place(x / view.shape[1], y / view.shape[0])
        events.append(Event("person", "going", f"{way(flow)} against the usual direction", where, len(rows)))
    return events


def walkers(seen: Seen, looks: slice) -> int:
    """How many objects there are at a time, large groups counted by their width."""
    found, view = seen.objects, seen.view
    now = (found.frame >= looks.start) & (found.frame < looks.stop)
    if not now.any():
        return 0
    usual = np.maximum(view.usual(view.width, found.foot[now]), 2)
    people = np.maximum(1, np.round(found.box[now, 2] / usual / 1.5))
    return int(round(float(people.sum()) / (looks.stop - looks.start)))


def way(flow: np.ndarray) -> str:
    return WAYS[int(np.round(np.arctan2(flow[1], flow[0]) / np.pi * 2)) % 4]


def place(x: float, y: float) -> str:
    """Shares of the picture's width and height in words.

    >>> place(0.1, 0.2)
    'at the left edge far away'
    """
    return f"{ACROSS[min(4, int(x * 5))]} {DEPTH[min(2, int(y * 3))]}"

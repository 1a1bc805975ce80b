"""`text`: a short sentence on what moved in every 64 frames, then an embedding of the sentence.

The sentences are made from measured tracks alone: how many, of which shape, how fast against the usual, which way,
where. The embedding counts words and pairs of words into 256 signed columns (hashing), so it needs no weights, no
network, and gives the same numbers everywhere.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from core.extract.base import Caption, Described, Seen

EVERY = 64  # frames a caption speaks of
WIDTH = 256
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAYS = ("to the right", "towards the camera", "to the left", "away from the camera")


@dataclass(frozen=True)
class Mover:
    """One track inside a caption's frames, in words."""

    shape: str
    pace: str
    way: str
    place: str


def text(seen: Seen) -> Described:
    """float32 (units, 256), and the captions; a unit takes the caption its middle frame lies in."""
    captions = captions_of(seen)
    vectors = embed([caption.text for caption in captions])
    middle = np.minimum(np.arange(seen.units) * seen.per_unit + seen.per_unit // 2, seen.frames - 1)
    return Described(vectors[np.minimum(middle // EVERY, len(captions) - 1)], captions)


def embed(sentences: list[str]) -> np.ndarray:
    """float32 (sentences, 256): hashed words and pairs of words, rows of length 1."""
    hashing = HashingVectorizer(n_features=WIDTH, ngram_range=(1, 2), norm="l2", alternate_sign=True)
    return hashing.transform(sentences).toarray().astype(np.float32)


def captions_of(seen: Seen) -> tuple[Caption, ...]:
    """One caption for every 64 frames; the last may speak of fewer."""
    captions = []
    for start in range(0, seen.frames, EVERY):
        stop = min(start + EVERY, seen.frames)
        captions.append(Caption(start, stop, sentence(movers(seen, start, stop))))
    return tuple(captions)


def sentence(found: list[Mover]) -> str:
    """Usual walkers are counted, everything else is told one by one.

    >>> sentence([Mover("person", "walking", "to the left", "in the middle")] * 2)
    'Two people are walking.'
    >>> sentence([])
    'Nothing moves.'
    """
    walkers = sum(m.shape == "person" and m.pace == "walking" for m in found)
    others = [m for m in found if not (m.shape == "person" and m.pace == "walking")]
    if not found:
        return "Nothing moves."
    parts = []
    if walkers:
        count = NUMBERS[walkers] if walkers < len(NUMBERS) else "many"
        parts.append(f"{count} {'person is' if walkers == 1 else 'people are'} walking".capitalize() + ".")
    for m in others[:4]:
        article = "An" if m.shape[0] in "aeiou" else "A"
        parts.append(f"{article} {m.shape} is {m.pace} {m.way} {m.place}.")
    return " ".join(parts)


def movers(seen: Seen, start: int, stop: int) -> list[Mover]:
    """Every track that is looked at five times or more in these frames, from left to right."""
    found, view = seen.objects, seen.view
    frame = found.frame * int(found.stride)
    now = (frame >= start) & (frame < stop) & (found.frame > 0)
    made = []
    for track in np.unique(found.track[now]):
        rows = np.flatnonzero(now & (found.track == track))
        if len(rows) < 5:
            continue
        foot = found.foot[rows]
        speed = float(np.median(found.speed[rows, 0] / np.maximum(view.usual(view.speed, foot), 1e-2)))
        tall = float(np.median(found.box[rows, 3] / np.maximum(view.usual(view.height, foot), 4)))
        wide = float(np.median(found.box[rows, 2] / np.maximum(view.usual(view.width, foot), 2)))
        flow = np.median(found.flow[rows], axis=0)
        x = float(np.median(found.centre[rows, 0]) / found.size[0])
        made.append((x, Mover(_shape(tall, wide), _pace(speed), _way(flow), _place(x))))
    return [mover for _, mover in sorted(made, key=lambda pair: pair[0])]


def _shape(tall: float, wide: float) -> str:
    if wide > 2 and tall > 1.5:
        return "large group"
    if wide > 1.8:
        return "wide object"
    if tall < 0.6:
        return "small object"
    return "person"


def _pace(ratio: float) -> str:
    for limit, word in ((0.3, "standing"), (1.6, "walking"), (2.5, "moving fast")):
        if ratio < limit:
            return word
    return "moving very fast"


def _way(flow: np.ndarray) -> str:
    return WAYS[int(np.round(np.arctan2(flow[1], flow[0]) / np.pi * 2)) % 4]


def _place(x: float) -> str:
    return ("on the left", "in the middle", "on the right")[min(2, int(x * 3))]

"""Seeded mutations of good files through the guarded child: nothing may crash the parent, hang it or grow it.

    python -m tests.core.data.fuzz [--count 1000] [--seed 0] [KIND …]

A child that dies on a mutation is the guard at work and is counted; the next file must still be read.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from core.data import guard
from core.machine.names import RefusedError
from tests.core.data import hostile

CAPS = guard.Caps(bytes=16 << 20, memory=2 << 30, file=64 << 20, cpu=5, wall=10)
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """One to eight changes: flip a bit, set a byte or a whole number, cut out, repeat, insert, cut off."""
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 9))):
        if not data:
            break
        at = int(generator.integers(0, len(data)))
        span = int(generator.integers(1, 17))
        match int(generator.integers(0, 8)):
            case 0 | 1:
                data[at] ^= 1 << int(generator.integers(0, 8))
            case 2:
                data[at] = INTERESTING[int(generator.integers(0, len(INTERESTING)))]
            case 3:
                width = int(generator.choice([2, 4, 8]))
                value = int(generator.choice([0, 1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62])) % 256**width
                data[at : at + width] = value.to_bytes(width, "little")
            case 4:
                del data[at : at + span]
            case 5:
                data[at:at] = data[at : at + span]
            case 6:
                data[at:at] = generator.bytes(span)
            case 7 if generator.random() < 0.3:
                del data[at:]
    return bytes(data)


def run(kind: str, count: int, seed: int) -> dict[str, float]:
    """Counts of what happened, the slowest file in seconds, and by how many MB this process grew."""
    generator = np.random.default_rng([seed, sorted(hostile.GOOD).index(kind)])
    good = hostile.GOOD[kind]()
    outcomes: Counter[str] = Counter(read=0, refused=0, broke=0, late=0)
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder, guard.Reader(CAPS, pickles=True) as reader:
        place = Path(folder) / "mutated"
        for _ in range(count):
            place.write_bytes(mutated(good, generator))
            start = time.monotonic()
            try:
                reader.read(kind, place)
                outcomes["read"] += 1
            except RefusedError as refused:
                words = str(refused)
                assert folder not in words, words
                assert len(words) < 1000, words
                outcomes["broke" if "broke the process" in words else "late" if "given up" in words else "refused"] += 1
            slowest = max(slowest, time.monotonic() - start)
        place.write_bytes(good)
        reader.read(kind, place)  # after all that, a good file still passes
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {**outcomes, "slowest": slowest, "grown": grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=list(hostile.GOOD))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for kind in given.kinds:
        start = time.monotonic()
        found = run(kind, given.count, given.seed)
        words = ", ".join(
            f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items()
        )
        print(f"{kind:12} {words}, {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()

r"""AV-MNIST: written digits paired with spoken ones of the same class, each spoiled until neither suffices.

    image   mean + V V' (x - mean),  V: the fewest leading principal axes of the training images that keep `energy`
    audio   log(10^-3 + mel power) of the recording / its RMS + `noise` * white noise, in `FRAMES` equal spans of time

Vielzeuf et al., "CentralNet", ECCV workshops 2018: 75 % of the images' energy is removed by PCA, and noise is added to
the recordings. They speak TIDIGITS digits under ESC-50 noise; here it is the Free Spoken Digit Dataset under white
noise, so published numbers are not ours. Recordings 0 to 4 of each speaker and digit are the test set, as FSDD says.

The image is kept as a picture of 28 x 28 and not as its few component scores: both hold the same numbers up to a linear
map, but a picture can be looked at, corrupted and compared with the original.
"""

import functools
import os
import re
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from core.data import guard
from core.machine.names import RefusedError, inside, opened, shown
from core.sample import Samples, Task

RATE = 8000
WINDOW, HOP = 256, 64  # samples: 32 ms and 8 ms
BANDS, FRAMES = 32, 20
FLOOR = 1e-3
LARGEST_WAV = 4 << 20
MOST_WAVS = 100_000
RECORDING = re.compile(r"([0-9])_([A-Za-z0-9-]{1,40})_([0-9]{1,4})\.wav")
TEST_TAKES = range(0, 5)
HELD_OUT_TAKES = range(5, 10)
KEYS = (("X_train", "y_train", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test"))


@dataclass(frozen=True)
class Options:
    """How the pairs are made.

    pairs       training pairs; test pairs are `test_pairs`; every class has as many, up to one
    energy      share of the training images' variance that is kept at least
    noise       standard deviation of white noise, in units of each recording's RMS, drawn anew for every pair
    seed        of the pairing and of the noise
    held_out    options are tried here: test pairs from training images and takes 5 to 9, which then leave training
    """

    pairs: int = 10_000
    test_pairs: int = 1_500
    energy: float = 0.25
    noise: float = 2.2
    seed: int = 0
    held_out: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("pairs", 10, 1_000_000), ("test_pairs", 10, 1_000_000), ("seed", 0, 1 << 31)):
            if not low <= getattr(self, name) <= high:
                raise RefusedError(f"AV-MNIST: {name} is {getattr(self, name)}; {low} to {high} is needed")
        if not 0 < self.energy <= 1:
            raise RefusedError(f"AV-MNIST: energy is {self.energy}; a share above 0, to 1, is needed")
        if not 0 <= self.noise <= 1000:
            raise RefusedError(f"AV-MNIST: noise is {self.noise}; 0 to 1000 times the recording's RMS is needed")


@dataclass(frozen=True)
class Take:
    """One recording: what was said, by whom, which repetition, and the sound in -1..1."""

    digit: int
    speaker: str
    number: int
    sound: Float[np.ndarray, " samples"]


def build(mnist: Path, fsdd: Path, options: Options | None = None) -> Samples:
    """Pairs of one image and one recording of the same digit, train and test from disjoint images and recordings.

    mnist    an .npz of X_train, y_train, X_test, y_test (or x_...)
    fsdd     the folder of FSDD, or its folder of recordings
    Errors: `ValueError` naming file, field and numbers.
    """
    options = options or Options()
    images = read_mnist(mnist)
    takes = read_takes(fsdd)
    train_x, train_y, test_x, test_y = images
    tested = HELD_OUT_TAKES if options.held_out else TEST_TAKES
    if options.held_out:
        keep = len(train_x) * 5 // 6
        train_x, train_y, test_x, test_y = train_x[:keep], train_y[:keep], train_x[keep:], train_y[keep:]
    sounds = {
        "train": [take for take in takes if take.number not in TEST_TAKES and take.number not in tested],
        "test": [take for take in takes if take.number in tested],
    }
    axes, mean, kept = principal(train_x.reshape(len(train_x), -1), options.energy)
    random = np.random.default_rng(options.seed)
    parts = {}
    rows: dict[str, list[np.ndarray]] = {"image": [], "audio": [], "class": []}
    names: list[str] = []
    for part, x, y, count in (
        ("train", train_x, train_y, options.pairs),
        ("test", test_x, test_y, options.test_pairs),
    ):
        said = np.array([take.digit for take in sounds[part]], dtype=np.int64)
        drawn = pairs(y, said, count, random)
        flat = x.reshape(len(x), -1)[drawn[:, 0]]
        rows["image"].append(mean + (flat - mean) @ axes @ axes.T)
        rows["audio"].append(np.stack([heard(sounds[part][take].sound, options.noise, random) for _, take in drawn]))
        rows["class"].append(y[drawn[:, 0]])
        begin = len(names)
        for image, number in drawn.tolist():
            take = sounds[part][number]
            names.append(f"{part} image {image} · {take.digit}_{take.speaker}_{take.number}")
        parts[part] = torch.arange(begin, len(names))
    notes = [
        "Pairs are drawn by us from MNIST and the Free Spoken Digit Dataset: the same class, otherwise at random.",
        f"Images keep {kept:.1%} of the training images' variance: {axes.shape[1]} principal axes.",
        f"White noise of {options.noise:g} times each recording's RMS is added, drawn anew for every pair.",
        "Test pairs use other images and other recordings than training pairs, of the same speakers: "
        f"{len(sounds['train']):,} recordings train, {len(sounds['test']):,} test.",
    ]
    if options.held_out:
        notes.append("A trial for choosing options: its test part comes from the training images and recordings.")
    return Samples(
        name="av-mnist",
        features={
            "image": torch.from_numpy(np.concatenate(rows["image"]).astype(np.float32)),
            "audio": torch.from_numpy(np.concatenate(rows["audio"]).astype(np.float32)),
        },
        target=torch.from_numpy(np.concatenate(rows["class"])),
        task=Task("class", tuple(map(str, range(10)))),
        splits={"held-out" if options.held_out else "recordings": parts},
        names=tuple(names),
        pictures={"image": (28, 28), "audio": (BANDS, FRAMES)},
        extractors={
            "image": f"MNIST / 255, projected on {axes.shape[1]} principal axes and back ({kept:.1%} of the variance)",
            "audio": f"log-mel, {BANDS} bands x {FRAMES} spans, of the recording with noise of {options.noise:g} RMS",
        },
        licence="MNIST: CC BY-SA 3.0; Free Spoken Digit Dataset: CC BY-SA 4.0",
        notes=tuple(notes),
    )


def principal(
    rows: Float[np.ndarray, "n d"], energy: float
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " d"], float]:
    """The fewest leading principal axes that keep at least `energy` of the variance, the mean, and what they keep."""
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    values, axes = np.linalg.eigh(covariance)
    values, axes = values[::-1].clip(0), axes[:, ::-1]
    share = values.cumsum() / values.sum()
    count = min(int(np.searchsorted(share, energy - 1e-12)) + 1, len(share))
    return np.ascontiguousarray(axes[:, :count]), mean, float(share[count - 1])


def pairs(
    images: Int[np.ndarray, " n"], said: Int[np.ndarray, " m"], count: int, random: np.random.Generator
) -> Int[np.ndarray, "count 2"]:
    """`count` pairs (image, recording) of equal class, classes in turn, in random order.

    No image or recording comes again before all of its class were used.
    """
    found = []
    for digit in range(10):
        size = count // 10 + (digit < count % 10)
        sides = [np.flatnonzero(classes == digit) for classes in (images, said)]
        if not all(map(len, sides)):
            kind = "image" if not len(sides[0]) else "recording"
            raise RefusedError(f"AV-MNIST: there is no {kind} of the digit {digit} in one of the parts")
        columns = [
            np.concatenate([random.permutation(side) for _ in range(-(-size // len(side)))])[:size] for side in sides
        ]
        found.append(np.stack(columns, 1))
    return random.permutation(np.concatenate(found).astype(np.int64))


def heard(sound: Float[np.ndarray, " samples"], noise: float, random: np.random.Generator) -> Float[np.ndarray, " d"]:
    """Log-mel of the recording under noise, band by band from low to high: a picture of `BANDS` x `FRAMES`."""
    level = np.sqrt(np.square(sound).mean())
    loud = sound / level if level > 0 else sound
    return log_mel(loud + noise * random.standard_normal(len(sound))).ravel()


def log_mel(sound: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "bands frames"]:
    """Log of mel power in `FRAMES` equal spans of the sound, however long it is; at least one window is heard."""
    padded = np.pad(sound, (WINDOW // 2, WINDOW // 2 + max(0, WINDOW - len(sound))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2 / WINDOW
    bands = power @ mel_filters().T
    edges = np.linspace(0, len(bands), FRAMES + 1).astype(int)
    spans = [bands[a : max(b, a + 1)].mean(0) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.log(FLOOR + np.stack(spans, 1))


@functools.cache
def mel_filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles evenly spaced in mel, 2595 log10(1 + f / 700), from 0 to half the rate."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)), 0, None)


def read_mnist(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images `(n, 28, 28)` in 0..1 and classes int64, then the same of the test."""
    what = f"file '{shown(path.name)}'"
    found = guard.read("npz", path, what=what)
    keys = next((keys for keys in KEYS if all(key in found for key in keys)), None)
    if keys is None:
        raise RefusedError(f"{what} holds {shown(', '.join(found), 100)}; {', '.join(KEYS[0])} are needed")
    arrays = []
    for images, classes in (keys[:2], keys[2:]):
        x, y = found[images], found[classes]
        if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8:
            raise RefusedError(f"{what}: '{images}' is {x.dtype} {x.shape}; uint8 pictures of 28 x 28 are needed")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() <= 9):
            raise RefusedError(f"{what}: '{classes}' is {y.dtype} {y.shape}; one digit 0..9 an image is needed")
        arrays += [x.astype(np.float64) / 255, y.astype(np.int64)]
    return arrays[0], arrays[1], arrays[2], arrays[3]


def read_takes(folder: Path) -> list[Take]:
    """The recordings of FSDD, by file name. Errors: `RefusedError` naming the file."""
    inner = folder / "recordings"
    place = inner if inner.is_dir() else folder
    if not place.is_dir():
        raise RefusedError(f"'{shown(folder.name)}': there is no such folder")
    names = sorted(name for name in os.listdir(place) if name.lower().endswith(".wav"))
    known = {name: found for name in names if (found := RECORDING.fullmatch(name))}
    if not known:
        raise RefusedError(
            f"'{shown(folder.name)}' holds {len(names)} .wav files, none named like FSDD's: 7_jackson_32.wav"
        )
    if len(known) > MOST_WAVS:
        raise RefusedError(f"'{shown(folder.name)}' holds {len(known):,} recordings; at most {MOST_WAVS:,} are read")
    return [
        Take(int(found[1]), found[2], int(found[3]), read_wav(inside(place, name, "recording"), name))
        for name, found in known.items()
    ]


def read_wav(path: Path, name: str) -> Float[np.ndarray, " samples"]:
    """The sound in -1..1. Errors: `RefusedError` unless it is mono, 16 bits, 8 kHz and as long as it says."""
    what = f"recording '{shown(name)}'"
    stream, size = opened(path, LARGEST_WAV, what)
    with stream:
        try:
            with wave.open(stream) as file:
                form: Mapping[str, int] = {
                    "channels": file.getnchannels(),
                    "bytes a value": file.getsampwidth(),
                    "values a second": file.getframerate(),
                }
                promised = file.getnframes()
                content = file.readframes(min(promised, size))
        except (wave.Error, EOFError, ValueError, OverflowError):
            raise RefusedError(f"{what} is no WAV file of plain numbers, or cut off") from None
    wanted = {"channels": 1, "bytes a value": 2, "values a second": RATE}
    if form != wanted:
        told = ", ".join(f"{value:,} {key}" for key, value in form.items())
        raise RefusedError(f"{what} has {told}; 1 channel of 2 bytes at {RATE:,} a second is needed")
    if not promised or len(content) != 2 * promised:
        raise RefusedError(f"{what}: the header promises {promised:,} values, the file holds {len(content) // 2:,}")
    return np.frombuffer(content, dtype="<i2").astype(np.float64) / 32768

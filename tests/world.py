"""A tiny world for page and browser tests: a data set with videos and features, and a trained run or two.

Features of anomalous units are shifted, so that a few epochs suffice; nothing here is meant to be hard.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch

from core import run
from core.clip import Clip, unit_labels
from core.data import native
from core.dataset import Dataset
from core.recipe import Recipe, TrainConfig
from core.train.loop import train

SECONDS = 0.64  # 16 frames at 25 a second
NAMES = tuple(f"{part}-{i:02d}" for part in ("train", "test") for i in range(6))


def video(path: Path, frames: int, truth: tuple[tuple[int, int], ...] = ()) -> Path:
    """A white square that crosses a grey yard once; a second, larger one while something is wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(frames):
            picture = np.full((120, 160, 3), 90, np.uint8)
            left = int(140 * i / frames)
            picture[50:70, left : left + 10] = 230
            if any(start <= i < stop for start, stop in truth):
                picture[75:105, left : left + 20] = 160
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def clip(name: str, number: int, videos: Path | None, kind: str = "cyclist") -> Clip:
    """Ten units and a bit; units 4 to 6 of every odd clip are anomalous."""
    random = np.random.default_rng(number)
    units, frames = 10, 157
    truth = ((66, 107),) if number % 2 else ()
    labels = unit_labels(truth, units)
    features = {}
    for place, (modality, width) in enumerate((("motion", 12), ("appearance", 8))):
        rows = random.normal(scale=0.3, size=(units, width)).astype(np.float32)
        rows[:, 0] += 2
        rows[labels.numpy(), 1 + place] += 1.5
        features[modality] = torch.from_numpy(rows)
    made = None if videos is None else video(videos / f"{number}.mp4", frames, truth)
    return Clip(name, features, labels, SECONDS, frames, truth, bool(truth), (kind,) if truth else (), made)


def dataset(
    scratch: Path | None,
    names: tuple[str, ...] = NAMES,
    change: Callable[[Clip], Clip] = lambda clip: clip,
    kind: str = "cyclist",
    **words: object,
) -> Dataset:
    """The first half of the names is the training part; clips get videos when there is a scratch folder for them."""
    clips = {name: change(clip(name, i, scratch, kind)) for i, name in enumerate(names)}
    half = len(names) // 2
    splits = {"weak": {"train": names[:half], "test": names[half:]}}
    described: dict[str, object] = {"name": "Tiny yard", "simulated": True, "licence": "made for tests", **words}
    described.setdefault("extractors", {"motion": "numbers"})
    return Dataset(clips=clips, splits=splits, fps=25.0, **described)  # type: ignore[arg-type]


def build(root: Path, made: Dataset, train_it: bool = True) -> Path:
    """assets/demo and assets/runs below the root: LEGO from two seeds, and one rival at feature level."""
    native.write(made, root / "demo")
    read = native.read(root / "demo")
    for fusion, seed in (("lego", 0), ("lego", 1), ("sum", 0)) if train_it else ():
        config = {} if fusion == "lego" else {"level": "feature"}
        trained = train(read, Recipe(fusion, config, TrainConfig(epochs=6, batch=6), (seed,)))
        run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


def unlabelled(clip: Clip) -> Clip:
    """The same clip, about which nobody knows anything."""
    return replace(clip, labels=None, truth=None, anomalous=None, kinds=())


def normal(clip: Clip) -> Clip:
    """The same clip with every label normal."""
    return replace(clip, labels=torch.zeros(clip.units, dtype=torch.bool), truth=(), anomalous=False, kinds=())

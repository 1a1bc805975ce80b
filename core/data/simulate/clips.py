"""The demo's clips: which there are, and each as an H.264 file with its truth."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from core.data.simulate.actors import Scene
from core.data.simulate.drawing import render
from core.data.simulate.staging import plan
from core.data.simulate.world import FPS, HEIGHT, KINDS, VIEWS, WIDTH, Picture

LICENCE = "made by this project, like its source: rendered by its own simulator, no real person or place is shown"


def encode(pictures: Iterable[Picture], path: Path, quality: int = 32) -> int:
    """Write H.264 that browsers play (yuv420p, index first); the same pictures give the same bytes. Returns the frame
    count. quality: x264's constant rate factor, lower is better."""
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # one thread, or the bytes would depend on the machine's cores
        # and without macroblock trees, which came out differently from run to run (x264 core 165, seen)
        stream.options = {
            "crf": str(quality), "preset": "medium", "threads": "1", "g": "160", "profile": "main",
            "x264-params": "mbtree=0",
        }  # fmt: skip
        for picture in pictures:
            # converted here and not by the encoder's scaler, which may round differently on another processor
            planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    return count


@dataclass(frozen=True)
class Recipe:
    """What a clip is made from; the same recipe gives the same file."""

    name: str
    part: str  # "train" | "test"
    view: str
    frames: int
    kinds: tuple[str, ...]
    seed: int

    def scene(self) -> Scene:
        return plan(VIEWS[self.view], self.frames, self.kinds, self.seed)


def recipes(seed: int = 2026, train: int = 48, test: int = 30) -> list[Recipe]:
    """Clips of the three views in turn. Half of the training clips and two thirds of the test clips hold one or two
    anomalies; each takes, of the kinds its view stages, the ones that were rarest so far."""
    made = []
    for part, count, share in (("train", train, 0.5), ("test", test, 2 / 3)):
        random = np.random.default_rng((seed, 0 if part == "train" else 1))
        used = dict.fromkeys(KINDS, 0)
        each = count // len(VIEWS)
        holds = {name: random.permutation(each) < round(each * share) for name in VIEWS}
        for i in range(each):
            for name in VIEWS:
                kinds: list[str] = []
                if holds[name][i]:
                    staged = [kind for kind in random.permutation(list(KINDS)) if name in KINDS[kind].views]
                    many = random.choice((1, 2, 2))
                    kinds = [str(kind) for kind in sorted(staged, key=used.__getitem__)[:many]]
                for kind in kinds:
                    used[kind] += 1
                frames = int(random.integers(272, 433))  # whatever the clip holds, or its length would tell
                clip, own_seed = f"{name}-{part}-{i + 1:02d}", int(random.integers(2**31))
                made.append(Recipe(clip, part, name, frames, tuple(kinds), own_seed))
    return made


def simulate(
    out: Path,
    clips: Iterable[Recipe] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int = 1,
) -> Mapping[str, object]:
    """Render clips into `out` as `<clip>.mp4` with a `truth.json`; a file that is there already is kept.

    truth.json: {"name", "fps", "licence", "simulated", "clips": {name: {"truth": [[start, stop]], "kinds", "anomalous",
    "frames", "view"}}, "splits": {"weak": {"train", "test"}}}; intervals are half-open frames from 0, one kind each.
    """
    wanted = recipes() if clips is None else list(clips)
    out.mkdir(parents=True, exist_ok=True)
    truth: dict[str, object] = {}
    jobs = [(recipe, out) for recipe in wanted]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers > 1 else nullcontext() as pool:
        entries = map(_make, jobs) if pool is None else pool.map(_make, jobs)
        for done, (recipe, entry) in enumerate(zip(wanted, entries, strict=True)):
            truth[recipe.name] = entry
            if progress is not None:
                progress(recipe.name, done + 1, len(wanted))
    record = {
        "name": "Simulated walkways",
        "fps": FPS,
        "licence": LICENCE,
        "simulated": True,
        "clips": truth,
        "splits": {"weak": {p: [r.name for r in wanted if r.part == p] for p in ("train", "test")}},
    }
    (out / "truth.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _make(job: tuple[Recipe, Path]) -> dict[str, object]:
    """Render one clip unless its file is there; its entry in truth.json."""
    recipe, out = job
    scene = recipe.scene()
    path = out / f"{recipe.name}.mp4"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}.draft")  # a worker that outlived its killed parent may be at it too
        encode(render(scene), draft)
        draft.rename(path)
    return {
        "truth": [[a, b] for _, a, b in scene.truth],
        "kinds": [kind for kind, _, _ in scene.truth],
        "anomalous": bool(scene.truth),
        "frames": scene.frames,
        "view": recipe.view,
    }

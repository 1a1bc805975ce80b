"""A moved slider, answered for every clip: against scoring them again, and on the demo against a fixed time."""

from collections.abc import Iterator

import numpy as np
import torch

from core import run as runs
from core.clip import Clip
from core.data import native
from core.experiments.bench.shared import CLIPS, NODES, WIDTHS, Row, Tell, compared, interleaved, skipped
from core.experiments.demo import ASSETS
from core.fusion import graph as g
from core.fusion.lego import Lego
from core.measure.metrics import auc
from core.score.infer import score
from core.score.sliders import Gate, GraphSet

DEMO_GOAL = 50.0  # ms


def random_clips(count: int) -> list[Clip]:
    random = torch.Generator().manual_seed(0)
    labels = torch.zeros(NODES, dtype=torch.bool)
    labels[10:16] = True
    return [
        Clip(
            f"clip-{number}",
            {
                name: torch.randn(NODES, width, generator=random) + torch.randn(1, width, generator=random)
                for name, width in WIDTHS.items()
            },
            labels if number % 2 else torch.zeros(NODES, dtype=torch.bool),
            seconds=0.5,
        )
        for number in range(count)
    ]


def sliding(tell: Tell) -> Iterator[Row]:
    """A moved slider, answered for 500 clips, against scoring them from their features again."""
    tell("sliders")
    clips = random_clips(CLIPS)
    torch.manual_seed(0)
    model = Lego(WIDTHS).eval()
    ready = GraphSet(model, clips)
    A = ready.operator
    assert A is not None
    gate = Gate(ready.fused())

    def again() -> float:
        scores = score(model, clips)
        return auc(np.concatenate([scores[clip.name] for clip in clips]), ready.labels)

    def whole() -> float:
        return ready.auc(ready.scores(ready.fused(A)))

    if abs(whole() - again()) > 1e-3:
        raise ValueError(f"the slider's AUC is {whole():.4f}, from features it is {again():.4f}")
    torch.testing.assert_close(gate.degrees(0.37), g.degrees(ready.fused(), 0.37), atol=1e-4, rtol=1e-4)
    took = interleaved({"again": again, "whole": whole, "alpha": lambda: gate.degrees(0.37)})
    rival = f"scores and AUC from features, {CLIPS} clips"
    yield compared(f"whole A moved: scores and AUC of {CLIPS} clips", took["whole"], rival, took["again"], 20.0)
    yield compared(f"alpha moved: degrees of {CLIPS} clips", took["alpha"], rival, took["again"], 500.0)


def demo(tell: Tell) -> Iterator[Row]:
    """The demo's test clips fused anew, rescored and judged again, as when a slider of A is let go."""
    name, rival = "the demo's test clips fused anew, rescored, judged again", f"{DEMO_GOAL:.0f} ms"
    folders = [folder for folder in sorted((ASSETS / "runs").glob("lego-*")) if (folder / "run.json").is_file()]
    if not folders or not (ASSETS / "demo" / "dataset.json").is_file():
        yield skipped(name, rival, None, "assets/demo or its LEGO run is not there")
        return
    tell("demo")
    model, clips = runs.model(folders[0]), native.read(ASSETS / "demo").part("test")
    ready = GraphSet(model, clips)
    A = ready.operator

    def moved() -> object:
        fused = ready.fused(A)
        return ready.answer(fused, 0.5, 10, Gate(fused))

    ours = interleaved({"ours": moved})["ours"]
    yield compared(name, ours, rival, DEMO_GOAL, 1.0, f"{len(clips)} clips, {len(ready.labels)} units")

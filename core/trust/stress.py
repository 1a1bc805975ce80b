r"""One run under one corruption at every strength.

    Perf(f, s) = the task's metric (unit AUC, accuracy, correlation) of f on the test part corrupted with strength s

Noise and attacks are measured in standard deviations of each column over the training part, so a constant column stays
as it is. Every run meets the same draws on the same rows (`core.trust.rows`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from core.fusion.base import Features, Fusion
from core.score.infer import sealed
from core.trust import attack, corrupt
from core.trust.attack import Radius
from core.trust.rows import Reader, Stage, reader, undefined, value_of


@dataclass(frozen=True)
class Kind:
    """One way to corrupt.

    title, words      what it is called on a button and in a sentence
    strength          what its strength is measured in
    levels            strengths that are tried, from 0, equally spaced
    draws             how often it is drawn at random; of shifts late and early
    attacks           needs to know the truth
    clips             only for clips
    """

    title: str
    words: str
    strength: str
    levels: tuple[float, ...]
    draws: int = 1
    attacks: bool = False
    clips: bool = False


def evenly(top: float, count: int) -> tuple[float, ...]:
    """Strengths from 0 to the top in equal steps.

    >>> evenly(0.3, 3)
    (0.0, 0.1, 0.2, 0.3)
    """
    return tuple(round(top * step / count, 6) for step in range(count + 1))


KINDS: dict[str, Kind] = {
    "noise": Kind("Noise", "Gaussian noise", "σ, standard deviations of a column", evenly(2.0, 8), 3),
    "fgsm": Kind("FGSM", "the FGSM attack", "ε, standard deviations of a column", evenly(0.25, 5), attacks=True),
    "pgd": Kind("PGD", "the PGD attack", "ε, standard deviations of a column", evenly(0.25, 5), attacks=True),
    "drop": Kind("Lost rows", "the loss of rows", "share of the rows lost", evenly(1.0, 5), 3),
    "zero": Kind("Zeroed rows", "rows of zeros", "share of the rows zeroed", evenly(1.0, 5), 3),
    "shift": Kind("Time shift", "a time shift", "units out of step", evenly(6.0, 6), 2, clips=True),
}


# ---------------------------------------------------------------------------- a run under one corruption


@dataclass(frozen=True)
class Stress:
    """A run under one corruption at every strength.

    levels      strengths, from 0
    values      the metric, `(draws, levels)`; NaN where it is undefined, and `why` says so
    scores      of every unit (of classes the highest probability), `(levels, answers)`, of the first draw
    outputs     `(levels, answers, outputs)` of the first draw; None where the fusion only scores units
    loss        what attacks raise, mean over pieces, first draw; NaN without truth
    modalities  that were corrupted
    rows        modality -> float16 `(levels, rows, width)`, first draw, where they were asked for
    seconds     of this thread's processor
    """

    kind: str
    modalities: tuple[str, ...]
    metric: str
    levels: np.ndarray
    values: np.ndarray
    scores: np.ndarray
    outputs: np.ndarray | None
    loss: np.ndarray
    why: str = ""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.values.mean(0))

    @property
    def sd(self) -> np.ndarray:
        """Over draws; NaN for one draw."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.full(self.values.shape[1], np.nan)

    @property
    def area(self) -> float:
        """The mean metric from strength 0 to the strongest."""
        return corrupt.area(self.mean, self.levels)

    @property
    def moved(self) -> np.ndarray:
        """Mean absolute move of the scores from the clean ones at every strength, first draw; needs no truth."""
        return np.asarray(np.abs(self.scores - self.scores[0]).mean(1))

    @property
    def kept(self) -> float:
        """The area as a share of the clean metric, in percent; NaN where that is not above 0."""
        clean = float(self.mean[0])
        return 100 * self.area / clean if clean > 0 else np.nan


def stressed(
    model: Fusion,
    stage: Stage,
    kind: str,
    modalities: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    draws: int | None = None,
    steps: int = attack.STEPS,
    keep: Sequence[str] = (),
) -> Stress:
    """One corruption of some modalities (all that the model reads unless named), at every strength.

    keep    modalities whose corrupted rows are handed back

    Errors: `ValueError` for an unknown corruption or modality, an attack without truth or without a gradient, a time
    shift of samples.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no corruption {kind!r}; there are {', '.join(KINDS)}")
    about = KINDS[kind]
    reading = reader(model, stage)
    chosen = tuple(modalities or model.used)
    unknown = [name for name in chosen if name not in stage.features]
    if unknown:
        raise ValueError(f"there is no modality {unknown[0]!r}; there are {', '.join(stage.features)}")
    if about.clips and not stage.strips:
        raise ValueError("samples have no time: only clips can be shifted")
    if about.attacks and not stage.known.any():
        raise ValueError("an attack raises the loss against the truth, and no unit here has a label")
    strengths = np.array(about.levels if levels is None else levels, dtype=float)
    if len(strengths) < 2 or strengths[0] != 0 or (np.diff(strengths) <= 0).any():
        raise ValueError("strengths begin at 0 and grow, two at least")
    began = time.thread_time()
    scores, outputs, losses, values = [], [], [], []
    rows: dict[str, list[np.ndarray]] = {name: [] for name in keep if name in model.widths}
    for number, points in enumerate(spoiled(reading, kind, chosen, strengths, draws or about.draws, steps)):
        row = []
        for features in points:
            told, said = reading.answers(features)
            row.append(value_of(stage, told, said))
            if not number:
                scores.append(told)
                for name, kept in rows.items():
                    kept.append(features[name].numpy().astype(np.float16))
                outputs.append(said)
                with torch.no_grad():
                    losses.append(float(reading.judge(features).loss.mean()) if stage.known.any() else np.nan)
        values.append(row)
    return sealed(Stress(
        kind, chosen, stage.task.metric, strengths, np.array(values), np.stack(scores),
        None if any(each is None for each in outputs) else np.stack([each for each in outputs if each is not None]),
        np.array(losses), undefined(stage),
        {name: np.stack(kept) for name, kept in rows.items()}, time.thread_time() - began,
    ))  # fmt: skip


def spoiled(
    reading: Reader, kind: str, chosen: Sequence[str], levels: np.ndarray, draws: int, steps: int
) -> Iterator[Iterator[dict[str, Tensor]]]:
    """For every draw the features at every strength, float64, of the modalities the model reads."""
    stage = reading.stage
    clean = {name: rows.double() for name, rows in stage.features.items() if name in reading.model.widths}
    mine = [name for name in chosen if name in clean]
    radius = {name: stage.spread[name].double() for name in mine}

    def reads(every: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: every[name] for name in mine}

    if kind == "noise":
        for seed in range(draws):
            drawn = reads(corrupt.gaussians(stage.features, seed))
            yield (corrupt.mixed(clean, level, radius, drawn) for level in levels.tolist())
    elif kind in ("drop", "zero"):
        if kind == "zero":
            instead = {name: torch.zeros_like(rows) for name, rows in clean.items()}
        elif stage.strips:
            instead = corrupt.own_means(clean, stage.strips)
        else:
            instead = {name: stage.middle[name].double().expand_as(rows) for name, rows in clean.items()}
        for seed in range(draws):
            lost = reads(corrupt.order(stage.features, seed))
            yield (corrupt.dropped(clean, level, instead, lost) if level else clean for level in levels.tolist())
    elif kind == "shift":
        for sign in (1, -1)[:draws]:
            yield (corrupt.shifted(clean, sign * round(level), stage.strips, mine) for level in levels.tolist())
    elif not mine:
        yield (clean for _ in levels)
    else:
        for seed in range(draws):
            start = {
                name: drawn.double() for name, drawn in corrupt.uniforms(stage.features, seed).items() if name in mine
            }
            yield attacked(reading, kind, clean, radius, start, levels, steps)


def attacked(
    reading: Reader, kind: str, clean: Features, radius: Radius, start: Features, levels: np.ndarray, steps: int
) -> Iterator[dict[str, Tensor]]:
    """FGSM or PGD at every strength; PGD also considers what it found at the strength before."""
    slopes = attack.gradients(reading.judge, clean, list(radius))[1]
    before: list[Features] = []
    for level in levels.tolist():
        if not level:
            yield dict(clean)
            continue
        box = {name: level * each for name, each in radius.items()}
        corner = attack.stepped(clean, slopes, box)
        if kind == "fgsm":
            yield corner
            continue
        found, _ = attack.pgd(reading.judge, clean, box, reading.piece, steps, start, before, corner)
        before = [found]
        yield found

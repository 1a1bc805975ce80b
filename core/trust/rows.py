r"""The rows that are corrupted, doubted or attacked, and a model that reads them, differentiable.

Every run meets the same rows in the same order, so that what is drawn at random is the same for all of them. All is
reckoned in float64 and told in float32, as `core.score.infer` does: untouched rows give the clean score.

What attacks raise is the loss of what the model says: cross-entropy of classes, squared error of real targets in units
of their spread, of units binary cross-entropy of the score and the unit's label; units without a label are not
attacked. Methods that relate the units of a clip are judged clip by clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core.clip import Clip
from core.dataset import Data
from core.fusion.base import Features, Fusion
from core.measure.metrics import measure_targets
from core.sample import UNITS, Part, Task
from core.score.doors import read
from core.score.infer import array, precise, spans, windowed
from core.trust import corrupt
from core.trust.attack import Verdict

ENTRIES = 1 << 24  # feature values that are corrupted at once; a larger test part is drawn from
SATURATED = 1e-12  # scores nearer to 0 or 1 have no gradient


# ---------------------------------------------------------------------------- what is corrupted


@dataclass(frozen=True)
class Stage:
    """The rows that are corrupted and scored: samples, or units of clips one after another, each crop by itself.

    features  modality -> float32 `(rows, width)`
    spread    modality -> standard deviation of every column over the training part (over these rows without one)
    middle    modality -> mean of every column there: what a sample keeps of a lost modality
    strips    (start, stop) of the rows of every clip's every crop; () for samples
    answer    which unit or sample a row tells of
    target    class or 0 / 1 label int64, or real values; of unlabelled units 0
    known     which units or samples have a target
    clips     names of the clips and how many units each has, in order
    note      what was left out, in a sentence
    """

    features: Mapping[str, Float[Tensor, "rows _"]]
    spread: Mapping[str, Float[Tensor, " _"]]
    middle: Mapping[str, Float[Tensor, " _"]]
    strips: tuple[tuple[int, int], ...]
    answer: Int[Tensor, " rows"]
    target: Tensor
    known: Bool[Tensor, " answers"]
    task: Task
    clips: tuple[tuple[str, int], ...] = ()
    note: str = ""

    def __len__(self) -> int:
        return len(self.known)

    @cached_property
    def counts(self) -> Float[Tensor, " answers"]:
        """Rows that tell of each unit or sample."""
        return torch.bincount(self.answer, minlength=len(self)).double()

    @property
    def several(self) -> bool:
        """Some units have more than one crop."""
        return len(self.answer) > len(self)

    def units(self, clip: str) -> slice:
        """Where a clip's units lie among the answers."""
        start = 0
        for name, count in self.clips:
            if name == clip:
                return slice(start, start + count)
            start += count
        raise ValueError(f"clip {clip!r} is not among those that are corrupted: {self.note or 'there are others'}")


def staged(data: Data, protocol: str | None = None, entries: int = ENTRIES) -> Stage:
    """The rows that are looked at made ready; of more than `entries` feature values, clips or samples are drawn."""
    rows, training = data.shown(protocol), known_training(data, protocol)
    return of_samples(rows, training, entries) if isinstance(rows, Part) else of_clips(rows, training, entries)


def of_samples(part: Part, training: Part | None, entries: int = ENTRIES) -> Stage:
    """Samples as rows."""
    most, note = max(1, entries // sum(rows.shape[1] for rows in part.features.values())), ""
    if len(part) > most:
        kept = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:most].sort().values
        note = f"{most:,} of {len(part):,} samples, drawn at random"
        part = part.take(kept)
    assert part.target is not None
    of = training or part
    return Stage(
        part.features, corrupt.spreads_of(of), means_of(of), (), torch.arange(len(part)), part.target,
        torch.ones(len(part), dtype=torch.bool), part.task, note=note,
    )  # fmt: skip


def known_training(data: Data, protocol: str | None) -> Part | None:
    """The training part, None where the data name none."""
    parts = data.splits.get(protocol or next(iter(data.splits), ""), {})
    return data.part("train", protocol).flat() if len(parts.get("train", ())) else None


def means_of(part: Part) -> dict[str, Float[Tensor, " _"]]:
    return {name: rows.mean(0) for name, rows in part.features.items()}


def of_clips(clips: Sequence[Clip], training: Part | None, entries: int = ENTRIES) -> Stage:
    """Clips as rows, every crop a strip of its own; a modality without crops is the same in each."""
    full = [windowed(clip, None)[0] for clip in clips]
    sizes = [sum(rows.numel() for rows in features.values()) for features in full]
    note = ""
    if sum(sizes) > entries:
        order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0)).tolist()
        total, chosen = 0, list[int]()
        for at in order:
            if not chosen or total + sizes[at] <= entries:
                chosen.append(at)
                total += sizes[at]
        chosen.sort()
        note = f"{len(chosen):,} of {len(clips):,} clips, drawn at random"
        clips, full = [clips[at] for at in chosen], [full[at] for at in chosen]
    strips, answers, first = list[tuple[int, int]](), list[Tensor](), 0
    for clip, features in zip(clips, full, strict=True):
        for _ in range(next(iter(features.values())).shape[0]):
            start = strips[-1][1] if strips else 0
            strips.append((start, start + clip.units))
            answers.append(torch.arange(first, first + clip.units))
        first += clip.units
    features = {name: torch.cat([each[name].flatten(0, 1) for each in full]) for name in full[0]}
    labels = [torch.zeros(clip.units, dtype=torch.bool) if clip.labels is None else clip.labels for clip in clips]
    known = torch.cat([torch.full((clip.units,), clip.labels is not None) for clip in clips])
    spread = {name: rows.std(0, correction=0) for name, rows in features.items()}
    middle = {name: rows.mean(0) for name, rows in features.items()}
    if training is not None:
        spread, middle = corrupt.spreads_of(training), means_of(training)
    return Stage(
        features, spread, middle, tuple(strips), torch.cat(answers), torch.cat(labels).long(), known, UNITS,
        tuple((clip.name, clip.units) for clip in clips), note,
    )  # fmt: skip


# ---------------------------------------------------------------------------- how a model reads the rows


@dataclass(frozen=True)
class Reader:
    """A model and the order in which it reads a stage's rows.

    windows   tables of row numbers, `(windows, units)`; () for a method that reads every row by itself
    place     where each row's score stands among those of all windows
    piece     what is attacked at once: the row, or with windows the strip
    """

    model: Fusion
    stage: Stage
    windows: tuple[Int[Tensor, "_ _"], ...]
    place: Int[Tensor, " rows"]
    piece: Int[Tensor, " rows"]

    def rows(self, features: Features) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows outputs"] | None]:
        """(score, outputs) of every row, differentiable."""
        read = {name: features[name] for name in self.model.widths if name in features}
        if not self.windows:
            fused = self.model(read)
            return fused.scores, fused.outputs
        scores = [
            self.model({name: rows[index] for name, rows in read.items()}).scores.flatten() for index in self.windows
        ]
        return torch.cat(scores)[self.place], None

    @torch.no_grad()
    def answers(self, features: Features) -> tuple[np.ndarray, np.ndarray | None]:
        """(score, outputs) of every unit or sample, the mean over its crops, in float32."""
        scores, outputs = self.rows(features)
        if self.stage.several:
            scores = torch.zeros(len(self.stage), dtype=scores.dtype).index_add(0, self.stage.answer, scores)
            return array((scores / self.stage.counts).float()), None
        return array(scores.float()), None if outputs is None else array(outputs.float())

    def judge(self, features: Features) -> Verdict:
        """The loss of every piece that `core.trust.attack` raises."""
        scores, outputs = self.rows(features)
        target = self.stage.target
        if self.stage.task.kind == "class":
            assert outputs is not None
            return Verdict(
                nn.functional.cross_entropy(outputs, target, reduction="none"), outputs.detach().argmax(-1) != target
            )
        if self.stage.task.kind == "real":
            assert outputs is not None
            spread = target.std(0, correction=0)
            errors = (outputs - target) / torch.where(spread > 0, spread, torch.ones_like(spread))
            loss = errors.square().mean(-1)
            return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))
        wanted, known = target[self.stage.answer].to(scores.dtype), self.stage.known[self.stage.answer]
        if outputs is not None:
            loss = nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], wanted, reduction="none")
        else:
            kept = scores.clamp(SATURATED, 1 - SATURATED)
            loss = nn.functional.binary_cross_entropy(kept, wanted, reduction="none")
        loss = loss * known
        if self.windows:
            count = len(self.stage.strips)
            total = torch.zeros(count, dtype=loss.dtype).index_add(0, self.piece, loss)
            loss = total / torch.bincount(self.piece, minlength=count)
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))


def reader(model: Fusion, stage: Stage) -> Reader:
    """A copy of the model in float64, and where its windows lie.

    Errors: `ValueError` when the rows lack a modality, have another width, or the fusion another task.
    """
    read(model, {name: rows.shape[1] for name, rows in stage.features.items()}, stage.task)
    count = len(stage.answer)
    alone = torch.arange(count)
    if not stage.strips or (model.window is None and "class" in type(model).tasks):
        return Reader(precise(model), stage, (), alone, alone)
    tables: dict[int, list[Tensor]] = {}
    fresh: dict[int, list[tuple[int, int, int]]] = {}  # rows whose scores a window gives: (first, last + 1, offset)
    for start, stop in stage.strips:
        for a, b, new in spans(stop - start, model.window):
            size = b - a if model.window is None else model.window
            index = start + a + torch.arange(size) % (b - a)
            tables.setdefault(size, []).append(index)
            fresh.setdefault(size, []).append((start + new, start + b, new - a))
    place, before = torch.zeros(count, dtype=torch.long), 0
    for size, found in fresh.items():
        for number, (first, last, offset) in enumerate(found):
            place[first:last] = before + number * size + offset + torch.arange(last - first)
        before += size * len(found)
    piece = torch.cat([torch.full((stop - start,), at) for at, (start, stop) in enumerate(stage.strips)])
    return Reader(precise(model), stage, tuple(torch.stack(found) for found in tables.values()), place, piece)


def value_of(stage: Stage, scores: np.ndarray, outputs: np.ndarray | None) -> float:
    """The metric that methods are compared by; NaN where it is undefined, or the model diverged."""
    said, known = scores[:, None] if stage.task.kind == "units" else outputs, stage.known.numpy()
    assert said is not None
    return measure_targets(said[known], stage.target.numpy()[known], stage.task).main


def undefined(stage: Stage) -> str:
    """Why no metric can be told, else empty."""
    known = stage.known.numpy()
    if not known.any():
        return "no unit has a label"
    if stage.task.kind == "units":
        labels = stage.target.numpy()[known]
        if labels.all() or not labels.any():
            return f"all {len(labels):,} units are {'anomalous' if labels.all() else 'normal'}: AUC needs both kinds"
    return ""

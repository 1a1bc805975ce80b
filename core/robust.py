r"""What corruptions do to a trained model: its scores and its metric against their strength.

    Perf(f, s) = the task's metric (unit AUC, accuracy, correlation) of f on the test part corrupted with strength s

Noise and attacks are measured in standard deviations of each column over the training part, so a constant column stays
as it is. Every run meets the same draws on the same rows. Attacks raise the loss of what the model says: cross-entropy
of classes, squared error of real targets in units of their spread, of units binary cross-entropy of the score and the
unit's label; units without a label are not attacked. Methods that relate the units of a clip are attacked clip by clip.

All is reckoned in float64 and told in float32, as `core.infer` does: strength 0 is the clean score.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core import attack, corrupt
from core.attack import Verdict
from core.clip import Clip
from core.data.dataset import Dataset
from core.evaluate import auc, real_metrics
from core.fusion.base import Features, Fusion
from core.infer import array, precise, spans, windowed
from core.sample import UNITS, Part, Samples, Task, part_of

NAN = float("nan")
ENTRIES = 1 << 24  # feature values that are corrupted at once; a larger test part is drawn from
SATURATED = 1e-12  # scores nearer to 0 or 1 have no gradient


@dataclass(frozen=True)
class Kind:
    """One way to corrupt.

    title, strength   what it is called, and what its strength is measured in
    levels            strengths that are tried, from 0, equally spaced
    draws             how often it is drawn at random; of shifts late and early
    attacks           needs to know the truth
    clips             only for clips
    """

    title: str
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
    "noise": Kind("Gaussian noise", "σ, standard deviations of a column", evenly(2.0, 8), 3),
    "fgsm": Kind("FGSM attack", "ε, standard deviations of a column", evenly(0.3, 6), attacks=True),
    "pgd": Kind("PGD attack", "ε, standard deviations of a column", evenly(0.3, 6), attacks=True),
    "drop": Kind("Lost rows", "share of the rows lost", evenly(1.0, 5), 3),
    "zero": Kind("Rows of zeros", "share of the rows zeroed", evenly(1.0, 5), 3),
    "shift": Kind("Time shift", "units out of step", evenly(6.0, 6), 2, clips=True),
}


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


def staged(data: Dataset | Samples, which: str = "test", protocol: str | None = None, entries: int = ENTRIES) -> Stage:
    """A part of the data made ready; of a part with more than `entries` feature values, clips or samples are drawn."""
    training = known_training(data, protocol)
    if isinstance(data, Samples):
        part = data.part(which, protocol)
        if not len(part):
            raise ValueError(f"sample set {data.name!r}: the part {which!r} holds no samples")
        most = max(1, entries // sum(data.widths.values()))
        note = ""
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
    clips = tuple(data.clips.values()) if which == "all" else data.part(which, protocol)
    return of_clips(clips, training, entries)


def known_training(data: Dataset | Samples, protocol: str | None) -> Part | None:
    """The training part, None where the data name none."""
    parts = data.splits.get(protocol or next(iter(data.splits), ""), {})
    return part_of(data, "train", protocol) if len(parts.get("train", ())) else None


def means_of(part: Part) -> dict[str, Float[Tensor, " _"]]:
    return {name: rows.mean(0) for name, rows in part.features.items()}


def of_clips(clips: Sequence[Clip], training: Part | None, entries: int = ENTRIES) -> Stage:
    """Clips as rows, every crop a strip of its own; a modality without crops is the same in each."""
    if not clips:
        raise ValueError("the part holds no clips")
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
    windows: tuple[Int[Tensor, "windows units"], ...]
    place: Int[Tensor, " rows"]
    piece: Int[Tensor, " rows"]

    @property
    def used(self) -> tuple[str, ...]:
        """The modalities it reads."""
        return used(self.model)

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
        """The loss of every piece that `core.attack` raises."""
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


def used(model: Fusion) -> tuple[str, ...]:
    """The modalities a fusion reads."""
    return tuple(getattr(model, "used", tuple(model.widths)))


def reader(model: Fusion, stage: Stage) -> Reader:
    """A copy of the model in float64, and where its windows lie.

    Errors: `ValueError` when the rows lack a modality, have another width, or the fusion another task.
    """
    for name, width in model.widths.items():
        if name not in stage.features:
            raise ValueError(f"the model reads {name!r}, the data have {', '.join(stage.features)}")
        if stage.features[name].shape[1] != width:
            raise ValueError(
                f"modality {name!r} has width {stage.features[name].shape[1]}, the model was trained on {width}"
            )
    if model.task != stage.task:
        raise ValueError(f"the model was trained for {model.task.kind}, the data are for {stage.task.kind}")
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
    known, target = stage.known.numpy(), stage.target.numpy()
    if stage.task.kind == "units":
        return auc(scores[known], target[known] > 0) if np.isfinite(scores).all() else NAN
    assert outputs is not None
    if not np.isfinite(outputs).all():
        return NAN
    if stage.task.kind == "class":
        return float(100 * (outputs.argmax(1) == target).mean())
    return real_metrics(outputs, target, stage.task.names).correlation


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
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.full(self.values.shape[1], NAN)

    @property
    def area(self) -> float:
        """The mean metric from strength 0 to the strongest."""
        return corrupt.area(self.mean, self.levels)

    @property
    def kept(self) -> float:
        """The area as a share of the clean metric, in percent; NaN where that is not above 0."""
        clean = float(self.mean[0])
        return 100 * self.area / clean if clean > 0 else NAN


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
    chosen = tuple(modalities or reading.used)
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
                    losses.append(float(reading.judge(features).loss.mean()) if stage.known.any() else NAN)
        values.append(row)
    found = Stress(
        kind, chosen, stage.task.metric, strengths, np.array(values), np.stack(scores),
        None if any(each is None for each in outputs) else np.stack([each for each in outputs if each is not None]),
        np.array(losses), undefined(stage),
        {name: np.stack(kept) for name, kept in rows.items()}, time.thread_time() - began,
    )  # fmt: skip
    for each in (found.levels, found.values, found.scores, found.loss, found.outputs, *found.rows.values()):
        if each is not None:
            each.setflags(write=False)
    return found


def spoiled(
    reading: Reader, kind: str, chosen: Sequence[str], levels: np.ndarray, draws: int, steps: int
) -> Iterator[Iterator[dict[str, Tensor]]]:
    """For every draw the features at every strength, float64, of the modalities the model reads."""
    stage = reading.stage
    clean = {name: rows.double() for name, rows in stage.features.items() if name in reading.model.widths}
    mine = [name for name in chosen if name in clean]
    radius = {name: stage.spread[name].double() for name in mine}

    def reads(every: Features) -> dict[str, Tensor]:
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
    reading: Reader, kind: str, clean: Features, radius: Features, start: Features, levels: np.ndarray, steps: int
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

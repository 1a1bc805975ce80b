r"""What corruptions do to a trained model: its scores and its metric against their strength.

    Perf(f, s) = the task's metric (unit AUC, accuracy, correlation) of f on the test part corrupted with strength s

Noise and attacks are measured in standard deviations of each column over the training part, so a constant column stays
as it is. Every run meets the same draws on the same rows. Attacks raise the loss of what the model says: cross-entropy
of classes, squared error of real targets in units of their spread, of units binary cross-entropy of the score and the
unit's label; units without a label are not attacked. Methods that relate the units of a clip are attacked clip by clip.

All is reckoned in float64 and told in float32, as `core.infer` does: strength 0 is the clean score.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student
from torch import Tensor, nn

from core import attack, corrupt
from core import runs as run_folders
from core.attack import Radius, Verdict
from core.clip import Clip
from core.compare import holm
from core.data.dataset import Dataset
from core.evaluate import auc, real_metrics
from core.fusion.base import Features, Fusion
from core.infer import array, precise, spans, windowed
from core.runs import Run
from core.sample import METRIC_WORDS, UNITS, Part, Samples, Task, part_of
from core.train import TrainConfig, train

NAN = float("nan")
ENTRIES = 1 << 24  # feature values that are corrupted at once; a larger test part is drawn from
SATURATED = 1e-12  # scores nearer to 0 or 1 have no gradient


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
    windows: tuple[Int[Tensor, "_ _"], ...]
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
    def moved(self) -> np.ndarray:
        """Mean absolute move of the scores from the clean ones at every strength, first draw; needs no truth."""
        return np.asarray(np.abs(self.scores - self.scores[0]).mean(1))

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


# ---------------------------------------------------------------------------- every run in one table


@dataclass(frozen=True)
class Record:
    """One run under every corruption of all it reads.

    clean       the metric; area, kept: corruption -> as in `Stress`, NaN where undefined
    curves      corruption -> the metric at every strength
    ece         expected calibration error in percent, ten equal steps; NaN for real targets
    softer      strengths at which PGD's mean loss is below FGSM's: never, by how PGD searches
    worse       strengths at which its metric is above FGSM's by more than rounding, and by how much at most
    seconds     of one core
    """

    name: str
    run: Run
    clean: float
    area: Mapping[str, float]
    kept: Mapping[str, float]
    curves: Mapping[str, tuple[float, ...]]
    ece: float
    softer: int
    worse: int
    margin: float
    seconds: float
    why: str = ""


def asked_of(stage: Stage) -> list[str]:
    """Corruptions that these rows can be put under."""
    return [kind for kind, about in KINDS.items() if not (about.clips and not stage.strips)]


def recorded(name: str, run: Run, model: Fusion, stage: Stage, kinds: Sequence[str] | None = None) -> Record:
    """Every corruption of all modalities the model reads; of a time shift only its first, so that they part."""
    from core.calibration import calibrated

    began = time.thread_time()
    found: dict[str, Stress] = {}
    mine = used(model)
    for kind in kinds or asked_of(stage):
        if kind == "shift":
            if len(mine) > 1:
                found[kind] = stressed(model, stage, kind, mine[:1])
        else:
            found[kind] = stressed(model, stage, kind)
    softer, worse, margin = 0, 0, 0.0
    if "fgsm" in found and "pgd" in found:
        a, b = found["fgsm"], found["pgd"]
        softer = int((b.loss < a.loss - 1e-9 * np.maximum(1, np.abs(a.loss))).sum())
        gaps = np.nan_to_num(b.mean - a.mean)
        worse, margin = int((gaps > 1e-6).sum()), max(0.0, float(gaps.max()))
    real = stage.task.kind == "real" or not stage.known.any()
    return Record(
        name,
        run,
        next(iter(found.values())).mean[0].item(),
        {kind: each.area for kind, each in found.items()},
        {kind: each.kept for kind, each in found.items()},
        {kind: tuple(each.mean.tolist()) for kind, each in found.items()},
        NAN if real else calibrated(model, stage).ece,
        softer,
        worse,
        margin,
        time.thread_time() - began,
        next(iter(found.values())).why,
    )


def records(
    data: Dataset | Samples,
    folders: Sequence[Path],
    tell: Callable[[str], None] = lambda line: None,
    kinds: Sequence[str] | None = None,
) -> list[Record]:
    """Runs on the part they were tested on, one after another, all under the same draws."""
    stages: dict[str | None, Stage] = {}
    found = []
    for number, folder in enumerate(folders, start=1):
        run = run_folders.load(folder)
        protocol = run.source.protocol if run.source.protocol in data.splits else None
        if protocol not in stages:
            stages[protocol] = staged(data, "test" if data.splits else "all", protocol)
        stage = stages[protocol]
        if not stage.known.any():
            raise ValueError(f"{data.name!r}: {undefined(stage)}, so no robustness can be measured")
        record = recorded(folder.name, run, run_folders.model(folder), stage, kinds)
        found.append(record)
        tell(
            f"{number} of {len(folders)}: {run.title} seed {run.seed}, {record.clean:.3g} clean, "
            + ", ".join(f"{kind} {area:.3g}" for kind, area in record.area.items())
            + f" ({record.seconds:.1f} s)"
        )
    return found


def trained_on(data: Dataset | Samples, root: Path) -> list[Path]:
    """The folders of the runs below a root that were trained on these very data."""
    return [root / name for name, run in run_folders.listing(root).items() if run.source.digest == data.digest()]


def spread_over(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample sd over seeds; None where undefined."""
    table = np.array(values)
    mean = float(table.mean()) if len(table) and np.isfinite(table).all() else None
    return {"mean": mean, "sd": float(table.std(ddof=1)) if mean is not None and len(table) > 1 else None}


def grouped(found: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a configuration, mean and sd over its seeds, the best clean one first."""
    groups: dict[str, list[Record]] = {}
    for each in found:
        groups.setdefault(each.run.group, []).append(each)
    titles = [members[0].run.title for members in groups.values()]
    rows = []
    for group, members in groups.items():
        first = members[0]
        title = first.run.title
        rows.append(
            {
                "group": group,
                "title": title if titles.count(title) == 1 else f"{title} · {group[-6:]}",
                "metric": first.run.metric,
                "seeds": len(members),
                "clean": spread_over([each.clean for each in members]),
                "area": {kind: spread_over([each.area[kind] for each in members]) for kind in first.area},
                "kept": {kind: spread_over([each.kept[kind] for each in members]) for kind in first.kept},
                "ece": spread_over([each.ece for each in members]),
                "pgd_softer_than_fgsm": sum(each.softer for each in members),
                "pgd_metric_above_fgsm": sum(each.worse for each in members),
                "pgd_metric_above_fgsm_by": max(each.margin for each in members),
                "seconds": sum(each.seconds for each in members),
                **({"why": first.why} if first.why else {}),
            }
        )
    return sorted(rows, key=lambda row: -(row["clean"]["mean"] if row["clean"]["mean"] is not None else -1e9))


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for a terminal."""
    if not rows:
        return "no run was trained on these data"
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["area"]))
    n = 3 if rows[0]["metric"] == "correlation" else 1

    def cell(value: Mapping[str, float | None], digits: int = n) -> str:
        if value["mean"] is None:
            return "-"
        return f"{value['mean']:.{digits}f}" + ("" if value["sd"] is None else f" ± {value['sd']:.{digits}f}")

    head = ["method", "seeds", "clean", *(f"area {kind}" for kind in kinds), "ECE"]
    lines = [head]
    for row in rows:
        areas = [cell(row["area"][kind]) if kind in row["area"] else "-" for kind in kinds]
        lines.append([row["title"], str(row["seeds"]), cell(row["clean"]), *areas, cell(row["ece"], 1)])
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    told = [
        "  ".join(c.ljust(w) if not at else c.rjust(w) for at, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    softer = sum(row["pgd_softer_than_fgsm"] for row in rows)
    above = sum(row["pgd_metric_above_fgsm"] for row in rows)
    most = max(row["pgd_metric_above_fgsm_by"] for row in rows)
    told.append(
        f"Area: mean {METRIC_WORDS[rows[0]['metric']]} from strength 0 to the strongest. PGD's loss is below FGSM's in "
        f"{softer} cases of run and strength; its metric is above FGSM's in {above}"
        + (f", by {most:.2g} at most." if above else ".")
    )
    return "\n".join(told)


def table(
    data: Dataset | Samples, folders: Sequence[Path], tell: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Any], str]:
    """(rows and what the strengths are, the same as text) of these runs."""
    stage = staged(data, "test" if data.splits else "all")
    rows = grouped(records(data, folders, tell))
    result = {
        "dataset": data.name,
        "corruptions": {
            kind: {"title": KINDS[kind].title, "strength": KINDS[kind].strength, "levels": KINDS[kind].levels}
            for kind in asked_of(stage)
        },
        "runs": len(folders),
        "pgd_softer_than_fgsm": sum(row["pgd_softer_than_fgsm"] for row in rows),
        "rows": rows,
    }
    return result, table_text(rows)


# ---------------------------------------------------------------------------- "lower rank is more robust"

RANKS = (1, 2, 4, 8)
CLAIM = "lower rank is more robust"


@dataclass(frozen=True)
class Trend:
    """How the share of the clean metric that a run keeps under one corruption follows the rank.

    slope       percent points a doubling of the rank, least squares over all runs
    low, high   its 95 % interval, Student's t over runs
    p, adjusted two-sided, and after Holm over the corruptions
    lowest      mean kept at the lowest rank less that at the highest, with its 95 % interval after Welch
    verdict     supported (kept falls with the rank), contradicted (it grows), not decided
    """

    kind: str
    slope: float
    low: float
    high: float
    p: float
    adjusted: float
    lowest: float
    lowest_low: float
    lowest_high: float
    verdict: str


def trend(ranks: Float[np.ndarray, " runs"], kept: Float[np.ndarray, " runs"]) -> tuple[float, float, float, float]:
    """(slope a doubling, low, high, p) by least squares; NaN for fewer than three runs or one rank.

    >>> [round(each, 3) for each in trend(np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 3.0, 4.0, 6.0]))]
    [3.0, -3.085, 9.085, 0.168]
    """
    x = np.log2(ranks)
    if len(x) < 3 or len(np.unique(x)) < 2 or not np.isfinite(kept).all():
        return NAN, NAN, NAN, NAN
    d = x - x.mean()
    slope = float(d @ kept / (d @ d))
    rest = kept - kept.mean() - slope * d
    error = float(np.sqrt(rest @ rest / (len(x) - 2) / (d @ d)))
    reach = float(student.ppf(0.975, len(x) - 2)) * error
    p = float(2 * student.sf(abs(slope) / error, len(x) - 2)) if error > 0 else (1.0 if slope == 0 else 0.0)
    return slope, slope - reach, slope + reach, p


def welch(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " m"]) -> tuple[float, float, float]:
    """(mean a - mean b, low, high): 95 % interval with unequal spreads; NaN bounds for a single run."""
    gap = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return gap, NAN, NAN
    one, two = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if one + two == 0:
        return gap, gap, gap
    free = (one + two) ** 2 / (one**2 / (len(a) - 1) + two**2 / (len(b) - 1))
    reach = float(student.ppf(0.975, free) * np.sqrt(one + two))
    return gap, gap - reach, gap + reach


def trends(found: Sequence[Record]) -> list[Trend]:
    """Every corruption that all runs were put under; verdicts after Holm's correction at 5 %."""
    ranks = np.array([float(each.run.config["rank"]) for each in found])
    kinds = [kind for kind in KINDS if found and all(kind in each.kept for each in found)]
    raw = {kind: trend(ranks, np.array([each.kept[kind] for each in found])) for kind in kinds}
    adjusted = holm([p for *_, p in raw.values()])
    made = []
    for (kind, (slope, low, high, p)), sure in zip(raw.items(), adjusted, strict=True):
        kept = np.array([each.kept[kind] for each in found])
        gap = welch(kept[ranks == ranks.min()], kept[ranks == ranks.max()])
        said = "not decided" if not sure < 0.05 else "supported" if slope < 0 else "contradicted"
        made.append(Trend(kind, slope, low, high, p, sure, *gap, said))
    return made


def verdict(found: Sequence[Trend]) -> str:
    """The claim in one sentence."""
    counts = {said: [each for each in found if each.verdict == said] for said in ("supported", "contradicted")}
    yes, no = len(counts["supported"]), len(counts["contradicted"])
    told = "contradictory" if yes and no else "supported" if yes else "contradicted" if no else "not decided"

    def named(each: Sequence[Trend]) -> str:
        return f" ({', '.join(KINDS[one.kind].words for one in each)})" if each else ""

    return (
        f'"{CLAIM[0].upper()}{CLAIM[1:]}" is {told}: of {len(found)} corruptions {yes} support it'
        f"{named(counts['supported'])}, {no} contradict it{named(counts['contradicted'])}, "
        f"{len(found) - yes - no} decide nothing."
    )


def of_ranks(folders: Sequence[Path]) -> list[Path]:
    """Of these runs the LMF ones whose configurations differ in the rank alone: the largest such set."""
    sets: dict[str, list[Path]] = {}
    for folder in folders:
        run = run_folders.load(folder)
        if run.fusion == "lmf":
            rest = {key: value for key, value in run.config.items() if key != "rank"}
            alike = repr((sorted(rest.items(), key=str), sorted(run.training.items()), list(run.source.widths)))
            sets.setdefault(alike, []).append(folder)
    return max(sets.values(), key=len, default=[])


def trained_ranks(
    data: Dataset | Samples,
    options: Mapping[str, Any],
    training: TrainConfig,
    seeds: int,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Record]:
    """LMF of every rank from every seed, trained now and put under stress."""
    stage = staged(data, "test" if data.splits else "all")
    found = []
    for rank in RANKS:
        for seed in range(seeds):
            done = train(data, "lmf", {**options, "rank": rank}, training, seed)
            found.append(recorded(done.run.id, done.run, done.model, stage))
            tell(f"rank {rank}, seed {seed}: {found[-1].clean:.3g} clean ({found[-1].seconds:.1f} s under stress)")
    return found


def rank_report(name: str, found: Sequence[Record]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines."""
    if len({each.run.config["rank"] for each in found}) < 2:
        raise ValueError("the claim is about ranks: it takes LMF runs of two ranks or more that differ in nothing else")
    made = trends(found)
    lines = []
    for each in made:
        lines.append(
            f"{KINDS[each.kind].title:12s} {each.slope:+.2f} points a doubling of the rank "
            f"({each.low:+.2f} ... {each.high:+.2f}, p {each.adjusted:.3f} after Holm); rank "
            f"lowest - highest {each.lowest:+.2f} ({each.lowest_low:+.2f} ... {each.lowest_high:+.2f}): {each.verdict}"
        )
    ranks = sorted({int(each.run.config["rank"]) for each in found})
    runs = {rank: spread_over([each.clean for each in found if each.run.config["rank"] == rank]) for rank in ranks}
    kept = {
        str(rank): {
            kind: spread_over([each.kept[kind] for each in found if each.run.config["rank"] == rank])
            for kind in (trend.kind for trend in made)
        }
        for rank in ranks
    }
    lines.append(verdict(made))
    result = {
        "dataset": name,
        "claim": CLAIM,
        "runs": len(found),
        "clean": {str(rank): each for rank, each in runs.items()},
        "kept": kept,
        "trends": [{k: None if v != v else v for k, v in asdict(each).items()} for each in made],
        "verdict": verdict(made),
    }
    return result, "\n".join(lines)

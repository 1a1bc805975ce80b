r"""What the two sides of a split hold: GMF's invariant and specific parts, or MISA's shared and private ones.

    probe           balanced accuracy of a linear classifier on parts of the test rows, fitted on those of the training
                    rows: which modality does a part come from, which class does it belong to
    lost            Σ ‖x - x̂‖² / Σ ‖x - mean x‖² over the rows: 0 gives them back, 1 is no better than their mean
    mass            ‖invariant side‖² / ‖both sides‖² of a row, dissolved or put out
    neighbours      rows of another modality whose invariant part points most nearly the same way (cosine)

Balanced accuracy is the mean of the classes' recalls, so chance is 1 / classes however uneven they are. Its interval
comes from drawing whole groups again: all units of a clip, since these are alike, or all modalities of a sample.
What is asked of a model works for every fusion whose trace is a `SplitTrace`, on clips and on samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.dataset import Dataset
from core.explain.probes import Probe, class_probe, group_numbers, real_probe
from core.fusion import called, those
from core.fusion.base import Fusion
from core.fusion.gmf import Gmf, GmfTrace, SplitTrace
from core.fusion.misa import Misa
from core.measure.metrics import jsonable, measure
from core.measure.retrieval import Retrieval, across, directions
from core.run import Run
from core.sample import Part, Samples
from core.score.infer import array, outputs, sealed, to_device

Data = Dataset | Samples
INVARIANT, SPECIFIC = "invariant", "specific"
KINDS = (INVARIANT, SPECIFIC)
MOST_FITTED = 3_000  # training rows of a probe, of each modality
MOST_ASKED = 1_000  # rows that ask and answer in a retrieval
DEPTHS = (10, 20, 50, 100)  # of a ranking
MOST_POINTS = 6_000  # of a map


def splitting(model: Fusion) -> Gmf | Misa:
    """The model, when it tells shared from own parts; else a `ValueError`."""
    if not isinstance(model, Gmf | Misa):
        able = those(lambda kind: issubclass(kind, Gmf | Misa))
        raise ValueError(f"{called(model)} does not tell shared parts from a modality's own; choose a run of {able}")
    return model


# ---------------------------------------------------------------------------- the parts


@dataclass(frozen=True)
class Parts:
    """A model's parts of some rows, by modality; arrays are read-only.

    invariant, specific    `(rows, width)`; invariant parts have one width, specific ones may differ
    dissolved   share of a dissolved row's squared length on the invariant side, `(rows,)`; GMF's alone, else empty
    out         the same of what is put out: `[invariant of the next modality, specific]`, of MISA `[shared, private]`
    even        modality -> what `dissolved` and `out` would be if every column held as much
    lost        reconstruction error over the inputs' variance; NaN where the inputs do not vary
    """

    invariant: Mapping[str, np.ndarray]
    specific: Mapping[str, np.ndarray]
    dissolved: Mapping[str, np.ndarray]
    out: Mapping[str, np.ndarray]
    even: Mapping[str, tuple[float, float]]
    lost: Mapping[str, float]

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.invariant)

    def of(self, kind: str) -> Mapping[str, np.ndarray]:
        return self.invariant if kind == INVARIANT else self.specific


def share(inside: Float[Tensor, "n a"], outside: Float[Tensor, "n b"]) -> Float[Tensor, " n"]:
    """How much of a row's squared length is inside; one half of a row of zeros."""
    a, b = inside.square().sum(-1), outside.square().sum(-1)
    return torch.where(a + b > 0, a / (a + b).clamp(min=1e-30), 0.5)


def parts_of(model: Fusion, part: Part, entries: int = 1 << 22) -> Parts:
    """Run the model over rows, in batches, and keep its parts.

    Errors: `ValueError` for a model that does not split.
    """
    splitting(model).eval()
    found: dict[str, dict[str, list[Tensor]]] = {}
    even: dict[str, tuple[float, float]] = {}
    size = max(1, entries // sum(model.widths.values()))
    for at in range(0, len(part), size):
        features = {name: part.features[name][at : at + size] for name in model.widths if name in part.features}
        with torch.inference_mode():
            trace: SplitTrace = model(to_device(features, model)).trace
            for name in model.widths:
                inv, spec = trace.invariant[name], trace.specific[name]
                seen = {INVARIANT: inv, SPECIFIC: spec, "x": trace.inputs[name], "back": trace.reconstructed[name]}
                put = trace.outputs[name] if isinstance(trace, GmfTrace) else torch.cat([inv, spec], -1)
                width = inv.shape[-1]
                seen["out"] = share(put[:, :width], put[:, width:])
                cut = width / put.shape[-1]
                even[name] = (cut, cut)
                if isinstance(trace, GmfTrace) and isinstance(model, Gmf):
                    z, border = trace.dissolved[name], model.maps.cut[name]
                    seen["dissolved"] = share(z[:, :border], z[:, border:])
                    even[name] = (border / z.shape[-1], cut)
                for what, rows in seen.items():
                    found.setdefault(what, {}).setdefault(name, []).append(rows)

    def whole(what: str) -> dict[str, np.ndarray]:
        return {name: array(torch.cat(pieces)) for name, pieces in found.get(what, {}).items()}

    lost = {name: lost_of(x, back) for (name, x), back in zip(whole("x").items(), whole("back").values(), strict=True)}
    return Parts(whole(INVARIANT), whole(SPECIFIC), whole("dissolved"), whole("out"), even, lost)


def lost_of(x: Float[np.ndarray, "n d"], back: Float[np.ndarray, "n d"]) -> float:
    """Squared error of the reconstruction over the variance of what was to be reconstructed; NaN without variance.

    >>> x = np.array([[1.0], [3.0]])
    >>> lost_of(x, np.array([[2.0], [2.0]])), lost_of(x, x)
    (1.0, 0.0)
    """
    x, back = x.astype(np.float64), back.astype(np.float64)
    varies = np.square(x - x.mean(0)).sum()
    return float(np.square(x - back).sum() / varies) if varies > 1e-9 * np.square(x).sum() else np.nan


def parts(model: Fusion, data: Data) -> Parts:
    """The parts of the rows that are looked at."""
    return parts_of(model, data.shown().flat())


# ---------------------------------------------------------------------------- probes


def probes(model: Fusion, data: Data, seed: int = 0) -> tuple[Probe, ...]:
    """Modality from invariant and from specific parts, then the class (or target) from each modality's.

    Fitted on the training part, judged on the test part; without labels there is the modality alone.
    """
    fit, judge = data.part("train").flat(), data.part("test").flat()
    if len(fit) > MOST_FITTED:
        drawn = np.random.default_rng(seed).permutation(len(fit))[:MOST_FITTED]
        fit = fit.take(torch.from_numpy(np.sort(drawn)))
    return probes_of(parts_of(model, fit), fit, parts_of(model, judge), judge, seed)


def probes_of(fitted: Parts, fit: Part, judged: Parts, judge: Part, seed: int = 0) -> tuple[Probe, ...]:
    groups = group_numbers(judge)
    found = []
    if len(fitted.modalities) > 1:
        for kind in KINDS:
            x, which = stacked(fitted.of(kind))
            y, truth = stacked(judged.of(kind))
            repeated = np.tile(groups, len(judged.modalities))
            found.append(class_probe("modality", kind, "", (x, which), (y, truth), repeated, seed))
    if fit.target is None or judge.target is None:
        return tuple(found)
    a, b = fit.target.numpy(), judge.target.numpy()
    for kind in KINDS:
        for name in fitted.modalities:
            read = (fitted.of(kind)[name], a), (judged.of(kind)[name], b)
            if fit.task.kind == "real":
                found.append(real_probe(kind, name, *read, groups, seed))
            elif len(np.unique(a)) > 1 and len(np.unique(b)) > 1:
                found.append(class_probe("class", kind, name, *read, groups, seed))
    return tuple(found)


def stacked(rows: Mapping[str, Float[np.ndarray, "n _"]]) -> tuple[Float[np.ndarray, "m w"], Int[np.ndarray, " m"]]:
    """All modalities' parts one below the other, and whose each is; narrower ones are filled up with zeros."""
    width = max(each.shape[1] for each in rows.values())
    padded = [np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in rows.values()]
    return np.concatenate(padded), np.repeat(np.arange(len(rows)), [len(each) for each in padded])


# ---------------------------------------------------------------------------- with some modalities alone


@dataclass(frozen=True)
class Available:
    """How good the model is with these modalities alone: the task's metric, None where it is undefined."""

    modalities: tuple[str, ...]
    value: float | None


def availability(model: Fusion, data: Data) -> tuple[Available, ...]:
    """The metric with every choice of modalities (above four: each alone, each left out, all); all of them last."""
    part, names = data.shown().flat(), model.used
    sizes = range(1, len(names) + 1) if len(names) <= 4 else (1, len(names) - 1, len(names))
    every = [chosen for size in sizes for chosen in combinations(names, size)]
    return tuple(Available(chosen, metric_of(model, part, chosen)) for chosen in every)


def metric_of(model: Fusion, part: Part, modalities: Sequence[str]) -> float | None:
    """As a run's record has it: of units the scores are judged, whose largest may be equal where logits are not."""
    values = outputs(model, {name: part.features[name] for name in modalities})
    if part.task.kind == "units":
        values = torch.from_numpy(values.copy()).double().sigmoid().float().numpy()
    found: float | None = jsonable(measure(values, part))[model.task.metric]
    return found


# ---------------------------------------------------------------------------- across modalities


@dataclass(frozen=True)
class Retrieved:
    """MAP of invariant parts in every direction, relevant where the class is the same.

    directions  one for every ordered pair of modalities
    chance_at   k -> MAP@k of a random order; each direction knows that of the whole ranking
    """

    directions: tuple[Retrieval, ...]
    chance_at: Mapping[int, float]


def retrieval(model: Fusion, data: Data, seed: int = 0) -> Retrieved:
    """At most 1,000 rows ask and answer; of rows whose classes are known."""
    part = data.shown().flat()
    if len(part) > MOST_ASKED:
        drawn = np.random.default_rng(seed).permutation(len(part))[:MOST_ASKED]
        part = part.take(torch.from_numpy(np.sort(drawn)))
    assert part.target is not None
    classes = part.target.numpy()
    return Retrieved(
        across(parts_of(model, part).invariant, classes, DEPTHS), {k: chance_at(classes, k) for k in DEPTHS}
    )


def chance_at(classes: Int[np.ndarray, " n"], k: int) -> float:
    r"""MAP@k that answers in random order have on average, exactly; a row may find its own partner.

        E[AP@k] = 1 / min(R, k) * sum over i <= k of  (R / n) (1 + (i - 1)(R - 1) / (n - 1)) / i

    >>> round(chance_at(np.array([0, 1]), 1), 6)
    0.5
    """
    n, counts = len(classes), np.unique(classes, return_counts=True)[1]
    i = np.arange(1, min(k, n) + 1)
    found = [(r / n * (1 + (i - 1) * (r - 1) / max(1, n - 1)) / i).sum() / min(r, len(i)) for r in counts]
    return float(np.average(found, weights=counts))


@dataclass(frozen=True)
class Neighbours:
    """Rows of modality `answers` nearest to one row of modality `asked`, by the cosine of invariant parts.

    rows, similarity    nearest first
    own                 place of the row's own partner among all rows, 1 is the nearest
    """

    asked: str
    answers: str
    rows: Int[np.ndarray, " k"]
    similarity: Float[np.ndarray, " k"]
    own: int


def neighbours(found: Parts, row: int, asked: str, count: int = 5) -> tuple[Neighbours, ...]:
    """One for every other modality."""
    query = directions(found.invariant[asked][row : row + 1])[0]
    answers = []
    for name, rows in found.invariant.items():
        if name == asked:
            continue
        alike = directions(rows) @ query
        order = np.argsort(-alike, kind="stable")
        answers.append(
            Neighbours(asked, name, order[:count], alike[order[:count]], 1 + int((alike > alike[row]).sum()))
        )
    return tuple(answers)


# ---------------------------------------------------------------------------- a map of all parts


@dataclass(frozen=True)
class Cloud:
    """Points of a map: parts of rows, one below the other.

    rows        what is mapped, `(points, width)`; narrower parts are filled up with zeros
    row         which row of the data each point is; modality and kind: whose and which part, as numbers
    modalities, kinds    what these numbers mean
    of          how many rows the data has; fewer are drawn where there would be more than 6,000 points
    """

    rows: np.ndarray
    row: np.ndarray
    modality: np.ndarray
    kind: np.ndarray
    modalities: tuple[str, ...]
    kinds: tuple[str, ...]
    of: int


def cloud(found: Parts, kinds: Sequence[str] = KINDS, most: int = MOST_POINTS) -> Cloud:
    """Parts of every modality as points, each kind scaled to a mean squared length of 1.

    Invariant parts of all modalities share one scale, since they are to be compared; specific ones have their own.
    """
    count = len(next(iter(found.invariant.values())))
    fewer = min(count, max(1, most // (len(kinds) * len(found.modalities))))
    row = np.unique(np.linspace(0, count - 1, fewer).round().astype(np.int64))
    pieces = []
    for kind in kinds:
        chosen = {name: each[row] for name, each in found.of(kind).items()}
        together = np.sqrt(np.mean([np.square(each).sum(1).mean() for each in chosen.values()]))
        for each in chosen.values():
            own = together if kind == INVARIANT else np.sqrt(np.square(each).sum(1).mean())
            pieces.append(each / (own if own > 0 else 1.0))
    width = max(piece.shape[1] for piece in pieces)
    rows = np.concatenate([np.pad(piece, ((0, 0), (0, width - piece.shape[1]))) for piece in pieces]).astype(np.float32)
    size, blocks = len(row), len(found.modalities)
    return sealed(
        Cloud(
            rows,
            np.tile(row, len(kinds) * blocks),
            np.tile(np.repeat(np.arange(blocks), size), len(kinds)),
            np.repeat(np.arange(len(kinds)), size * blocks),
            found.modalities,
            tuple(kinds),
            count,
        )
    )


def cloud_of(model: Fusion, data: Data, shown: str = "both") -> Cloud:
    """`cloud` of one kind of part or of both."""
    return cloud(parts(model, data), KINDS if shown == "both" else (shown,))


# ---------------------------------------------------------------------------- boundary and magnification


@dataclass(frozen=True)
class Compared:
    """Runs of one fusion that share everything but the seed: their boundary, magnification and metric.

    alone       modality -> mean metric with it alone; {} where the runs do not say
    mine        the chosen run is one of these
    """

    magnification: int
    boundary: float
    value: float | None
    sd: float | None
    seeds: int
    alone: Mapping[str, float]
    mine: bool


def boundary_curve(run: Run, others: Sequence[Run]) -> tuple[Compared, ...]:
    """Runs that differ from `run` in boundary, magnification and seed alone, itself included; sorted by both."""
    if "boundary" not in run.config:
        return ()
    groups: dict[tuple[int, float], list[Run]] = {}
    for other in {each.id: each for each in (*others, run)}.values():
        if run.alike(other, but={"boundary", "magnification"}):
            groups.setdefault((other.config["magnification"], other.config["boundary"]), []).append(other)
    return tuple(compared(key, found, run) for key, found in sorted(groups.items()))


def compared(key: tuple[int, float], found: Sequence[Run], run: Run) -> Compared:
    values = [each.metrics.get(run.metric) for each in found]
    known = [value for value in values if value is not None]
    alone = [each.metrics.get("alone") or {} for each in found]
    return Compared(
        magnification=key[0],
        boundary=key[1],
        value=mean(known) if len(known) == len(values) else None,
        sd=stdev(known) if len(known) == len(values) > 1 else None,
        seeds=len(found),
        alone={
            name: mean(each[name] for each in alone)
            for name in run.source.widths
            if all(each.get(name) is not None for each in alone)
        },
        mine=key == (run.config["magnification"], run.config["boundary"]),
    )

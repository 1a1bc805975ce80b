r"""How much each modality and interaction counts, beside what the model loses without it.

    relevance   s_S of InTense's branches (core.fusion.intense), sum of s^p = 1
    share       of a modality: sum of s_S^p over the branches it takes part in, in [0, 1]
    cost        metric of the whole model - metric without something, on the same rows; above 0: it helps

A modality is removed as everywhere: its rows are the training mean. A branch is removed by taking its part off the
outputs, which for a branch of mean 0 is the same idea. A weight says what the training relied on, a cost what these
rows need; where they disagree is the finding. Intervals are paired: whole clips (samples: rows) are drawn again, the
same for the model with and without.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import expit
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression

from core.evaluate import jsonable, measure_part
from core.fusion.base import Fusion
from core.fusion.intense import Intense, IntenseConfig, IntenseTrace, Subset
from core.infer import array, outputs, to_device
from core.runs import Run
from core.sample import Part, Samples, Task
from core.splits import group_numbers
from core.train import TrainConfig, train

DRAWS = 1_000  # of clips or rows, for an interval
ENTRIES = 1 << 22  # of weights of rows held at once


def intense(model: Fusion) -> Intense:
    """The model, once it has a relevance for every branch; a `ValueError` says why not."""
    if not isinstance(model, Intense):
        raise ValueError(f"{type(model).__name__} has no branches: only InTense says how much each of them counts")
    return model


def words(subset: Subset) -> str:
    """What a branch is called.

    >>> words(("motion", "text"))
    'motion × text'
    """
    return " × ".join(subset)


# ---------------------------------------------------------------------------- relevance


def relevance(model: Fusion) -> Float[np.ndarray, " branches"]:
    """s of every branch of InTense, in the order of its `subsets`."""
    with torch.inference_mode():
        return array(intense(model).relevance)


def share(subsets: Sequence[Subset], s: Float[np.ndarray, "*runs branches"], p: float, name: str) -> np.ndarray:
    """A modality's share: the sum of s^p over the branches it takes part in.

    >>> share([("a",), ("b",), ("a", "b")], np.array([0.6, 0.0, 0.8]), 2.0, "a").round(6).item()
    1.0
    """
    return (s[..., [name in subset for subset in subsets]] ** p).sum(-1)


def seeds_of(run: Run, runs: Mapping[str, Run]) -> list[str]:
    """Names of the runs that differ from this one in the seed alone, itself among them, by seed."""
    return sorted((name for name, other in runs.items() if other.group == run.group), key=lambda name: runs[name].seed)


def norms_of(run: Run, runs: Mapping[str, Run]) -> dict[float, list[str]]:
    """p -> names of the runs that differ from this one in p and the seed alone; p goes up."""

    def asked(one: Run) -> tuple[Any, ...]:
        config = {key: value for key, value in one.config.items() if key != "p"}
        return one.fusion, config, dict(one.training), one.source.digest, one.source.protocol, dict(one.source.widths)

    found: dict[float, list[str]] = {}
    for name, other in sorted(runs.items(), key=lambda item: item[1].seed):
        if asked(other) == asked(run):
            found.setdefault(float(other.config["p"]), []).append(name)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------- what every branch says


@dataclass(frozen=True)
class Opened:
    """An InTense model on some rows; arrays are read-only.

    parts       `(rows, branches, outputs)`, in the outputs' own units
    base        `(outputs,)` what is said before any branch: b (real targets: their training mean with it)
    outputs     base + the sum of the parts, to float precision
    """

    subsets: tuple[Subset, ...]
    relevance: np.ndarray
    parts: np.ndarray
    base: np.ndarray
    outputs: np.ndarray


@torch.inference_mode()
def opened(model: Fusion, part: Part, entries: int = ENTRIES) -> Opened:
    """Every branch's part of every row."""
    fusion = intense(model).eval()
    size = max(1, entries // sum(fusion.sizes))
    pieces, answers = [], []
    for at in range(0, len(part), size):
        features = {name: part.features[name][at : at + size] for name in fusion.widths if name in part.features}
        fused = fusion(to_device(features, fusion))
        trace: IntenseTrace = fused.trace
        assert fused.outputs is not None
        pieces.append(trace.parts.cpu())
        answers.append(fused.outputs.cpu())
    parts, base = torch.cat(pieces), fusion.predict.bias.cpu()
    if fusion.task.kind == "real":
        parts, base = parts * fusion.standard.get_buffer("target_spread").cpu(), fusion.standard.real(base).cpu()
    return Opened(fusion.subsets, relevance(fusion), array(parts), array(base), array(torch.cat(answers)))


# ---------------------------------------------------------------------------- what a removal costs


@dataclass(frozen=True)
class Removals:
    """The metric without each of several things, one at a time; in percent (a correlation in itself).

    names       what is removed: a modality, or a branch's modalities
    whole       the metric of the whole model
    without     `(names,)`
    cost        whole - without; low, high: its paired 95 % interval
    draws       `(names, draws)` costs on rows drawn again
    groups      clips, or rows of samples, that were drawn
    """

    metric: str
    names: tuple[Subset, ...]
    whole: float
    without: np.ndarray
    cost: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray
    groups: int
    rows: int


def drawn(part: Part, draws: int = DRAWS, seed: int = 0) -> tuple[Int[np.ndarray, "draws groups"], np.ndarray]:
    """How often each clip (sample) is drawn, first once each, then at random; and the group of every row."""
    groups = group_numbers(part)
    count = int(groups.max()) + 1
    random = np.random.default_rng(seed)
    return np.concatenate([np.ones((1, count), int), random.multinomial(count, [1 / count] * count, draws)]), groups


def metric_draws(
    values: Float[np.ndarray, "rows outputs"],
    part: Part,
    counts: Int[np.ndarray, "draws groups"],
    groups: Int[np.ndarray, " rows"],
) -> Float[np.ndarray, " draws"]:
    """The task's metric with every row as often as its group was drawn; NaN where that is undefined."""
    assert part.target is not None
    target, size = part.target.numpy(), max(1, ENTRIES // len(groups))
    found = []
    if part.task.kind == "class":
        right = np.bincount(groups, values.argmax(1) == target, counts.shape[1])
        return 100 * (counts @ right) / (counts @ np.bincount(groups, minlength=counts.shape[1]))
    if part.task.kind == "units":
        scores = expit(values[:, 0])  # as a run's record has it: the largest may be equal where logits are not
        order = np.argsort(scores, kind="stable")
        ties = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
        anomalous = (target[order] > 0).astype(np.float64)
        for at in range(0, len(counts), size):
            weights = counts[at : at + size][:, groups[order]].astype(np.float64)
            yes = np.add.reduceat(weights * anomalous, ties, axis=1)
            no = np.add.reduceat(weights * (1 - anomalous), ties, axis=1)
            pairs = yes.sum(1) * no.sum(1)
            won = (yes * (no.cumsum(1) - no / 2)).sum(1)
            found.append(np.where(pairs > 0, 100 * won / np.maximum(pairs, 1), np.nan))
        return np.concatenate(found)
    a, b = (each.astype(np.float64) - each.mean(0, dtype=np.float64) for each in (values, target))
    for at in range(0, len(counts), size):
        weights = counts[at : at + size][:, groups].astype(np.float64)
        weights /= weights.sum(1, keepdims=True)
        x, y = weights @ a, weights @ b
        below = np.sqrt((weights @ (a * a) - x * x).clip(min=0) * (weights @ (b * b) - y * y).clip(min=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.nanmean(np.where(below > 1e-12, (weights @ (a * b) - x * y) / below, np.nan), axis=1))
    return np.concatenate(found)


def removals(
    whole: Float[np.ndarray, "rows outputs"],
    rest: Mapping[Subset, Float[np.ndarray, "rows outputs"]],
    part: Part,
    draws: int = DRAWS,
    seed: int = 0,
) -> Removals:
    """Outputs of the whole model against outputs without each thing, judged on the same draws.

    Errors: `ValueError` when the rows have no target, or one that leaves the metric undefined.
    """
    if part.target is None:
        raise ValueError("these rows have no labels, so there is nothing to judge a removal by")
    judged = measure_part(whole, part)
    if jsonable(judged)[part.task.metric] is None:
        raise ValueError(f"the metric is undefined on these rows: {judged.why}")
    counts, groups = drawn(part, draws, seed)
    base = metric_draws(whole, part, counts, groups)
    each = np.stack([metric_draws(values, part, counts, groups) for values in rest.values()])
    costs = base - each
    low, high = np.nanquantile(costs[:, 1:], [0.025, 0.975], axis=1)
    without, cost, again = each[:, 0], costs[:, 0], costs[:, 1:]
    for table in (without, cost, low, high, again):
        table.setflags(write=False)
    return Removals(
        metric=part.task.metric,
        names=tuple(rest),
        whole=float(base[0]),
        without=without,
        cost=cost,
        low=low,
        high=high,
        draws=again,
        groups=counts.shape[1],
        rows=len(part),
    )


def without_modalities(model: Fusion, part: Part, draws: int = DRAWS) -> Removals:
    """What each modality's absence costs, for any fusion that reads two or more."""
    used = [name for name in model.widths if name in part.features]
    if len(used) < 2:
        raise ValueError("the model reads one modality: without it nothing is left to judge")
    rest = {(gone,): {name: part.features[name] for name in used if name != gone} for gone in used}
    return removals(
        outputs(model, part.features), {gone: outputs(model, features) for gone, features in rest.items()}, part, draws
    )


def without_branches(found: Opened, part: Part, draws: int = DRAWS) -> Removals:
    """What InTense loses when a branch's part is taken off the outputs."""
    rest = {subset: found.outputs - found.parts[:, at] for at, subset in enumerate(found.subsets)}
    return removals(found.outputs, rest, part, draws)


@dataclass(frozen=True)
class Disagreement:
    """`heavier` has the larger weight, yet removing `costlier` costs more, by `by` points (interval low ... high)."""

    heavier: Subset
    costlier: Subset
    by: float
    low: float
    high: float


def disagreements(weights: Float[np.ndarray, " names"], found: Removals) -> tuple[Disagreement, ...]:
    """Pairs whose weights and costs are in opposite order, beyond chance; the largest difference first.

    The intervals are corrected for the number of pairs that were looked at (Bonferroni).
    """
    pairs = [(a, b) for a, b in permutations(range(len(weights)), 2) if weights[a] > weights[b]]
    listed = []
    for a, b in pairs:
        tail = 0.025 / len(pairs)
        low, high = np.nanquantile(found.draws[b] - found.draws[a], [tail, 1 - tail])
        if low > 0:
            by = float(found.cost[b] - found.cost[a])
            listed.append(Disagreement(found.names[a], found.names[b], by, float(low), float(high)))
    return tuple(sorted(listed, key=lambda each: -each.by))


def rank_agreement(weights: Float[np.ndarray, " names"], costs: Float[np.ndarray, " names"]) -> float:
    """Spearman's rank correlation of weights and costs; NaN below three names or where one side is constant."""
    if len(weights) < 3 or len(set(rankdata(weights))) < 2 or len(set(rankdata(costs))) < 2:
        return float("nan")
    return float(spearmanr(weights, costs).statistic)


# ---------------------------------------------------------------------------- the experiment

LEAST_SPEARMAN, LEAST_ACCURACY, LEAST_PAIR = 0.95, 95.0, 0.9  # what METHODS section 4 asks for
TRAINING = TrainConfig(epochs=20, batch=100, lr=1e-2, weight_decay=0.0)
TEN = IntenseConfig(p=2.0, order=1, project=4)
PAIRS = IntenseConfig(p=2.0, order=2, project=4)


def _halves(count: int) -> dict[str, dict[str, torch.Tensor]]:
    return {"drawn": {"train": torch.arange(count // 2), "test": torch.arange(count // 2, count)}}


def _turned(rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """The rows in another orthonormal basis, so that no column is the signal."""
    return rows @ torch.linalg.qr(torch.randn(rows.shape[1], rows.shape[1], generator=random))[0]


def planted(seed: int = 0, count: int = 2000, modalities: int = 10, width: int = 6) -> Samples:
    """y = sum of (m / modalities) * one direction of modality m, plus noise; each modality has units of its own."""
    random = torch.Generator().manual_seed(seed)
    y, features = torch.randn(count, 1, generator=random), {}
    for m in range(1, modalities + 1):
        x = torch.randn(count, width, generator=random)
        y = y + m / modalities * x[:, :1]
        features[f"m{m}"] = _turned(x, random) * 10 ** float(4 * torch.rand(1, generator=random) - 2)
    return Samples(f"planted strengths, seed {seed}", features, y, Task("real", ("y",)), _halves(count), simulated=True)


def exclusive(seed: int = 0, count: int = 2000, width: int = 4, asked: int = 2) -> Samples:
    """The class is the parity of the signs in the first `asked` modalities; the last modality is noise.

    Two modalities make XOR. No modality alone tells anything, nor do all of them to a linear model.
    """
    random = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, asked), generator=random)
    features = {}
    for at in range(asked + 1):
        x = torch.randn(count, width, generator=random)
        if at < asked:
            x[:, 0] = 2.0 * signs[:, at] - 1 + 0.3 * x[:, 0]
        features[str(at + 1)] = _turned(x, random)
    names = Task("class", ("even", "odd"))
    return Samples(f"parity of {asked}, seed {seed}", features, signs.sum(1) % 2, names, _halves(count), simulated=True)


def linear_accuracy(data: Samples) -> float:
    """Test accuracy of logistic regression on all modalities side by side, percent."""
    fit, judge = data.part("train"), data.part("test")
    assert fit.target is not None
    assert judge.target is not None
    x, y = (torch.cat(list(each.features.values()), dim=1).numpy() for each in (fit, judge))
    return 100 * float(LogisticRegression(max_iter=500).fit(x, fit.target.numpy()).score(y, judge.target.numpy()))


@dataclass(frozen=True)
class Trial:
    """One seed: rank correlation of relevance and planted strength; XOR with and without interactions."""

    seed: int
    spearman: float
    strengths: Mapping[str, float]
    accuracy: float
    pair: float
    without: float
    linear: float
    xor: Mapping[str, float]


def trial(seed: int) -> Trial:
    """Both data sets drawn and learned from one seed."""
    ten = train(planted(seed), "intense", asdict(TEN), TRAINING, seed).model
    s = relevance(ten)
    data = exclusive(seed)
    two = train(data, "intense", asdict(PAIRS), TRAINING, seed)
    one = train(data, "intense", asdict(TEN), TRAINING, seed)
    found = dict(zip(map(words, intense(two.model).subsets), relevance(two.model).tolist(), strict=True))
    return Trial(
        seed,
        float(spearmanr(s, np.arange(len(s))).statistic),
        dict(zip(ten.widths, s.tolist(), strict=True)),
        float(two.run.metrics["accuracy"]),
        found[words(("1", "2"))],
        float(one.run.metrics["accuracy"]),
        linear_accuracy(data),
        found,
    )


def experiment(seeds: int = 5, tell: Callable[[str], None] = lambda line: None) -> Iterator[Trial]:
    """METHODS section 4: planted strengths and XOR, from every seed."""
    for seed in range(seeds):
        found = trial(seed)
        tell(f"seed {seed}: Spearman {found.spearman:.3f}, XOR {found.accuracy:.1f} %, 1 × 2 {found.pair:.3f}")
        yield found


def report(found: Sequence[Trial]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines, with what it was asked to show."""

    def spread(values: Sequence[float]) -> dict[str, float | None]:
        return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}

    keys = ("spearman", "accuracy", "pair", "without", "linear")
    told: dict[str, Any] = {key: spread([getattr(each, key) for each in found]) for key in keys}
    told |= {
        key: {name: spread([getattr(each, key)[name] for each in found]) for name in getattr(found[0], key)}
        for key in ("strengths", "xor")
    }
    holds = {
        "spearman": min(each.spearman for each in found) >= LEAST_SPEARMAN,
        "accuracy": min(each.accuracy for each in found) >= LEAST_ACCURACY,
        "pair": min(each.pair for each in found) >= LEAST_PAIR,
    }

    def line(name: str, key: str, digits: int, asked: str = "") -> str:
        value, verdict = told[key], holds.get(key)
        sd = "" if value["sd"] is None else f" ± {value['sd']:.{digits}f}"
        end = "" if verdict is None else f"   asked: {asked}, {'holds' if verdict else 'FAILS'} in every seed"
        return f"{name:<58} {value['mean']:.{digits}f}{sd}{end.replace('FAILS in every seed', 'does not hold')}"

    def listed(key: str) -> list[str]:
        return [
            f"    {name:<12} {value['mean']:.3f}" + ("" if value["sd"] is None else f" ± {value['sd']:.3f}")
            for name, value in told[key].items()
        ]

    lines = [
        f"InTense, p = {PAIRS.p:g}, lam = {PAIRS.lam:g}, {len(found)} seeds; mean ± sd",
        line("planted strengths: Spearman of relevance and strength", "spearman", 3, f">= {LEAST_SPEARMAN}"),
        *listed("strengths"),
        line("XOR: accuracy (%)", "accuracy", 1, f">= {LEAST_ACCURACY:g}"),
        line("XOR: relevance of 1 × 2", "pair", 3, f">= {LEAST_PAIR}"),
        *listed("xor"),
        line("XOR without interactions, order = 1: accuracy (%)", "without", 1),
        line("XOR by logistic regression: accuracy (%), chance 50", "linear", 1),
    ]
    return {"seeds": len(found), **told, "holds": holds, "trials": [asdict(each) for each in found]}, "\n".join(lines)

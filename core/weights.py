r"""How much each modality, kernel and interaction counts in a model that says so: InTense and MKL.

    weight      InTense's relevance s_S of every branch, MKL's β_m of every kernel; sum of weight^p = 1
    share       of a modality: sum of weight^p over the branches (kernels) it takes part in, in [0, 1]
    part        what a branch (kernel) adds to the outputs of a row; base + the sum of the parts = outputs

A weight says what the training relied on. What these rows need of it is another question: `core.removal`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr

from core.fusion.base import Fusion
from core.fusion.intense import Intense, IntenseConfig, IntenseTrace, Subset
from core.fusion.mkl import Mkl, MklTrace
from core.recipe import TrainConfig
from core.run import Run
from core.sample import Part, Samples, Task
from core.score.infer import array, precise, to_device
from core.train.loop import train

FUSIONS = ("mkl", "intense")
ENTRIES = 1 << 22  # numbers of branches held at once


# ---------------------------------------------------------------------------- weights


@dataclass(frozen=True)
class Weights:
    """What a model puts weight on: InTense's branches, MKL's kernels.

    names       modality names joined by " × "; of MKL with several kinds of kernels "motion, rbf"
    subsets     the modalities each one reads
    values      `(names,)`, at least 0, sum of values^p = 1; the mean where every output has weights of its own
    p           of the norm; infinity: all alike
    what        "branch" or "kernel"
    sets        how many sets of weights there are: one, or one for each output (MKL's `weights=each`)
    """

    names: tuple[str, ...]
    subsets: tuple[Subset, ...]
    values: np.ndarray
    p: float
    what: str
    sets: int = 1

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for subset in self.subsets for name in subset))

    @property
    def shares(self) -> dict[str, float]:
        """Modality -> the sum of weight^p over what it takes part in; an interaction counts for all of its own."""
        return {name: share(self.subsets, self.values, self.p, name) for name in self.modalities}


def share(subsets: Sequence[Subset], values: Float[np.ndarray, " names"], p: float, modality: str) -> float:
    """The sum of value^p over the subsets with this modality, of the sum over all; p = infinity: of equal weights.

    >>> round(share([("a",), ("b",), ("a", "b")], np.array([0.6, 0.0, 0.8]), 2.0, "a"), 6)
    1.0
    """
    powers = np.ones(len(values)) if np.isinf(p) else np.asarray(values, np.float64) ** p
    mine = np.array([modality in subset for subset in subsets])
    return float(powers[mine].sum() / powers.sum()) if powers.sum() > 0 else float("nan")


@torch.inference_mode()
def weights(model: Fusion) -> Weights:
    """What the model puts weight on; a `ValueError` for fusions that have no such weights."""
    if isinstance(model, Intense):
        names = tuple(" × ".join(subset) for subset in model.subsets)
        return Weights(names, model.subsets, array(model.relevance), model.config.p, "branch")
    if isinstance(model, Mkl):
        several = len(model.kernels) > len(model.widths)
        names = tuple(f"{each.modality}, {each.kind}" if several else each.modality for each in model.kernels)
        subsets = tuple((each.modality,) for each in model.kernels)
        sets = model.beta.shape[1]
        return Weights(names, subsets, array(model.beta.mean(1)), float(model.config.p), "kernel", sets)
    raise ValueError(f"{type(model).__name__} does not weigh its modalities: MKL and InTense do")


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
    """A model on some rows, part by part; arrays are read-only.

    parts       `(rows, names, outputs)`, float64, in the outputs' own units
    base        `(outputs,)` what is said before any of them: the bias (real targets: their training mean with it)
    outputs     base + the sum of the parts, to the precision of float64
    """

    weights: Weights
    parts: np.ndarray
    base: np.ndarray
    outputs: np.ndarray


@torch.inference_mode()
def opened(model: Fusion, part: Part, entries: int = ENTRIES) -> Opened:
    """What every branch or kernel adds to every row."""
    found = weights(model)
    model = precise(model)
    size = max(1, entries // sum(model.sizes if isinstance(model, Intense) else model.widths.values()))
    pieces, answers, base = [], [], torch.zeros(model.task.outputs)
    for at in range(0, len(part), size):
        features = {name: part.features[name][at : at + size] for name in model.widths if name in part.features}
        fused = model(to_device(features, model))
        trace: IntenseTrace | MklTrace = fused.trace
        assert fused.outputs is not None
        base = trace.bias
        pieces.append(trace.parts if isinstance(trace, IntenseTrace) else trace.terms)
        answers.append(fused.outputs)
    parts = torch.cat(pieces)
    if model.task.kind == "real":
        standard = model.get_submodule("standard")
        spread, centre = standard.get_buffer("target_spread"), standard.get_buffer("target_mean")
        parts, base = parts * spread, centre + base * spread
    return Opened(found, array(parts), array(base), array(torch.cat(answers)))


# ---------------------------------------------------------------------------- the experiment

LEAST_SPEARMAN, LEAST_ACCURACY, LEAST_PAIR = 0.95, 95.0, 0.9  # what METHODS section 4 asks for
TRAINING = TrainConfig(epochs=10, batch=250, lr=0.03, weight_decay=0.0)
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
    from sklearn.linear_model import LogisticRegression  # slow to import, and pages have no use for it

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
    s = weights(ten).values
    data = exclusive(seed)
    two = train(data, "intense", asdict(PAIRS), TRAINING, seed)
    one = train(data, "intense", asdict(TEN), TRAINING, seed)
    there = weights(two.model)
    found = dict(zip(there.names, there.values.tolist(), strict=True))
    return Trial(
        seed,
        float(spearmanr(s, np.arange(len(s))).statistic),
        dict(zip(ten.widths, s.tolist(), strict=True)),
        float(two.run.metrics["accuracy"]),
        found["1 × 2"],
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

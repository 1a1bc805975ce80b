"""InTense's planted relevances: known weights of modalities and of one interaction, found again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from core.explain.weights import weights
from core.fusion.intense import IntenseConfig
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.train.loop import train

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
    ten = train(planted(seed), Recipe("intense", TEN, TRAINING, (seed,))).model
    s = weights(ten).values
    data = exclusive(seed)
    two = train(data, Recipe("intense", PAIRS, TRAINING, (seed,)))
    one = train(data, Recipe("intense", TEN, TRAINING, (seed,)))
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

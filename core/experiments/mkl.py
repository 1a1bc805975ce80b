"""The experiment on six views of handwritten digits: what p does, and what the weights are worth."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from core.data.samples.digits import stratified
from core.explain.removal import metric
from core.explain.weights import weights
from core.fusion.mkl import Mkl, MklConfig
from core.sample import Part, Samples
from core.score.infer import outputs


@dataclass(frozen=True)
class Views:
    """One draw of training rows.

    single      view -> accuracy of its kernel alone; average: of all with the same weight (p = ∞)
    accuracy    p -> accuracy; beta, gap, stationarity, rounds likewise
    noise       β / sum β of a kernel of pure noise, put beside the others, by p
    order       largest change of any weight when the kernels come in the other order, at the config's p
    recall      at the config's p: class -> accuracy of its own rows
    """

    seed: int
    single: dict[str, float]
    average: float
    accuracy: dict[float, float]
    beta: dict[float, dict[str, float]]
    gap: dict[float, float]
    stationarity: dict[float, float]
    rounds: dict[float, int]
    noise: dict[float, float]
    order: float
    recall: dict[str, float]


ASKED = (1.0, 4 / 3, 2.0, 64.0)


def solved(data: Samples, config: MklConfig) -> tuple[Mkl, list[dict[str, float]]]:
    """The model of the training part and its rounds."""
    part = data.part("train")
    model = Mkl(data.widths, config, data.task).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert part.target is not None
        model.learn(part.features, part.target)
        history = model.solve(part.features, part.target, torch.arange(len(part)), 1, lambda *_: None).history
    return model, history


def accuracy(model: Mkl, part: Part) -> float:
    return metric(outputs(model, part.features), part)


def draw(data: Samples, seed: int, train: int) -> Samples:
    """The same samples with another training part: so many, the classes as even as they are."""
    kept, held = stratified(data.target.numpy(), 1 - train / len(data), np.random.default_rng(seed))
    parts = {"train": torch.from_numpy(kept), "test": torch.from_numpy(held)}
    return Samples(data.name, data.features, data.target, data.task, {f"draw {seed}": parts})


def views(data: Samples, config: MklConfig, seed: int, train: int = 400, asked: Sequence[float] = ASKED) -> Views:
    """What METHODS asks of ℓp-norm MKL, on one draw, at every p that is asked and at the config's own.

    Errors: `ValueError` unless the samples have classes.
    """
    if data.task.kind != "class":
        raise ValueError(f"sample set {data.name!r} has no classes to tell apart")
    now = draw(data, seed, train)
    test = now.part("test")
    single = {}
    for name in now.modalities:
        alone = Samples(now.name, {name: now.features[name]}, now.target, now.task, now.splits)
        single[name] = accuracy(solved(alone, replace(config, kernel="rbf"))[0], test)
    random = torch.Generator().manual_seed(seed)
    noisy = {**now.features, "noise": torch.randn(len(now), 20, generator=random)}
    beside = Samples(now.name, noisy, now.target, now.task, now.splits)
    right, beta, gap, still, rounds, noise = {}, {}, {}, {}, {}, {}
    recall: dict[str, float] = {}
    for p in dict.fromkeys((*asked, config.norm)):
        options = replace(config, p="inf" if math.isinf(p) else p)
        model, told = solved(now, options)
        said = outputs(model, test.features)
        right[p] = metric(said, test)
        beta[p] = dict(zip(weights(model).names, weights(model).values.tolist(), strict=True))
        gap[p], still[p], rounds[p] = told[-1]["gap"], told[-1]["stationarity"], len(told)
        other = solved(beside, options)[0]
        mine = [name == "noise" for name, _ in other.kernels]
        noise[p] = float((other.beta[mine].sum() / other.beta.sum()).detach())
        if p == config.norm:
            assert test.target is not None
            hit = said.argmax(1) == test.target.numpy()
            recall = {name: 100 * float(hit[test.target.numpy() == k].mean()) for k, name in enumerate(data.task.names)}
    turned = Samples(now.name, dict(list(now.features.items())[::-1]), now.target, now.task, now.splits)
    back = weights(solved(turned, config)[0])
    again = dict(zip(back.names, back.values.tolist(), strict=True))
    order = max(abs(beta[config.norm][name] - again[name]) for name in again)
    average = accuracy(solved(now, replace(config, p="inf"))[0], test)
    return Views(seed, single, average, right, beta, gap, still, rounds, noise, order, recall)


def experiment(
    data: Samples, config: MklConfig, draws: int = 5, train: int = 400, tell: Callable[[str], None] = lambda line: None
) -> Iterator[Views]:
    """`draws` draws of `train` rows."""
    for seed in range(draws):
        found = views(data, config, seed, train)
        tell(f"draw {seed}: average kernel {found.average:.2f}, MKL {found.accuracy[config.norm]:.2f}")
        yield found


def report(name: str, config: MklConfig, found: Sequence[Views]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines."""

    def spread(values: Sequence[float], digits: int = 2) -> str:
        sd = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{sd}"

    average = [each.average for each in found]
    singles = {view: [each.single[view] for each in found] for view in found[0].single}
    best = max(singles, key=lambda view: float(np.mean(singles[view])))
    lines = [
        f"{name}: {len(found)} draws, kernel={config.kernel}, C={config.C:g}; accuracy in percent, mean ± sd",
        "single views: " + ", ".join(f"{view} {spread(values)}" for view, values in singles.items()),
        f"average kernel: {spread(average)}; best single view: {best} {spread(singles[best])}",
        f"{'p':>6} {'accuracy':>14} {'gap':>9} {'unequal':>9} {'rounds':>7} {'noise':>7}  β / sum β",
    ]
    rows = []
    for p in found[0].accuracy:
        right = [each.accuracy[p] for each in found]
        sums = [sum(each.beta[p].values()) for each in found]
        share = {
            kernel: float(np.mean([each.beta[p][kernel] / total for each, total in zip(found, sums, strict=True)]))
            for kernel in found[0].beta[p]
        }
        row = {
            "p": "inf" if math.isinf(p) else p,
            "accuracy_mean": float(np.mean(right)),
            "accuracy_sd": float(np.std(right, ddof=1)) if len(right) > 1 else None,
            "gap": max(each.gap[p] for each in found),
            "stationarity": max(each.stationarity[p] for each in found),
            "rounds": max(each.rounds[p] for each in found),
            "noise": max(each.noise[p] for each in found),
            "share": share,
        }
        rows.append(row)
        lines.append(
            f"{p:6.3g} {spread(right):>14} {row['gap']:9.1e} {row['stationarity']:9.1e} {row['rounds']:7d} "
            f"{row['noise']:7.3f}  " + ", ".join(f"{kernel} {value:.3f}" for kernel, value in share.items())
        )
    order = max(each.order for each in found)
    recall = {name: float(np.mean([each.recall[name] for each in found])) for name in found[0].recall}
    lines += [
        "gap, unequal (largest over smallest ‖w‖²/β^(p+1) of active kernels, less 1), rounds, noise: the worst draw",
        f"kernels in the other order, p = {config.norm:g}: a weight moves by {order:.1e} at most",
        f"by class at p = {config.norm:g}: " + ", ".join(f"{label} {value:.1f}" for label, value in recall.items()),
    ]
    result = {
        "dataset": name,
        "config": asdict(config),
        "draws": len(found),
        "average": float(np.mean(average)),
        "single": {view: float(np.mean(values)) for view, values in singles.items()},
        "rows": rows,
        "order": order,
        "recall": recall,
    }
    return result, "\n".join(lines)

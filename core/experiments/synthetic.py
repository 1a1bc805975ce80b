r"""ProFusion's synthetic experiment: does running again help when one modality is needed to read the other?

    Z ~ U[-2.5, 2.5]^d,   W_1, W_2, W_y ~ N(0, 1),   every eps ~ N(0, 1)
    X_1 = lrelu(W_1 Z) + 2 |eta| sin(W_2 Z) + eps_1          X_2 = sin(W_2 Z) + sigma_2 eps_2          Y = W_y Z + eps_y

Progressive Fusion for Multimodal Integration, appendix B.1, eq. 1-5; the signs of eq. 3 are damaged in the text, they
are taken as METHODS has them. X_1 can only be undone by one who knows sin(W_2 Z), which X_2 tells; a late fusion whose
predictor is linear reads each modality by itself.

The paper names no sizes. Those below were chosen on other draws (seeds from 5000) than the reported ones, and they
matter: with 1,000 samples and 32 hidden units, where both models overfit, ProFusion lost nearly every draw tried.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from core.fusion.base import Features, Fusion, count_weights, spreads
from core.fusion.profusion import ProFusionConfig, matched
from core.recipe import TrainConfig
from core.run import build
from core.sample import Part, Samples, Task
from core.score.infer import outputs
from core.train.loop import sample_loss
from core.trust.corrupt import LEVELS, robust_auc, spreads_of, under_noise

TARGET = Task("real", ("y",))
ETAS = (0.0, 1.0, 2.0)  # the grid of the experiment: how strongly X_1 is mixed with what X_2 knows ...
SIGMAS = (0.0, 0.5, 1.0)  # ... and how noisily X_2 knows it
LATENT, WIDTH, TRAIN, TEST = 8, 16, 4000, 2000
CONFIG = ProFusionConfig(steps=2, base="concat", join="concat", hidden=16)  # B.1: the fused vector "fed along with"
TRAINING = TrainConfig(epochs=50, batch=200, lr=3e-3, weight_decay=1e-3)


def generate(
    eta: float,
    sigma: float,
    seed: int = 0,
    train: int = TRAIN,
    test: int = TEST,
    latent: int = LATENT,
    width: int = WIDTH,
) -> Samples:
    """One draw of the matrices and `train + test` samples; the test part comes last."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    W_1, W_2, W_y = normal(width, latent), normal(width, latent), normal(1, latent)
    Z = 5 * torch.rand(train + test, latent, generator=random) - 2.5
    wave = (Z @ W_2.T).sin()
    return Samples(
        name=f"ProFusion B.1, eta {eta:g}, sigma {sigma:g}, seed {seed}",
        features={
            "first": torch.nn.functional.leaky_relu(Z @ W_1.T) + 2 * abs(eta) * wave + normal(*wave.shape),
            "second": wave + sigma * normal(*wave.shape),
        },
        target=Z @ W_y.T + normal(len(Z), 1),
        task=TARGET,
        splits={"drawn": {"train": torch.arange(train), "test": torch.arange(train, train + test)}},
        licence="drawn from a formula",
        simulated=True,
    )


def fit_together(
    models: Sequence[Fusion], parts: Sequence[Part], training: TrainConfig, seeds: Sequence[int]
) -> list[float]:
    """Train models of one shape, each on samples and from a seed of its own, all in the same steps.

    Adam works entry by entry and the losses are summed, so every model ends where `train.loop.fit_samples` would bring
    it alone, up to rounding; thirty small models cost little more than one. Returns every model's last mean loss.
    """
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"models trained together need equally many samples, got {sorted(lengths)}")
    count = lengths.pop()
    targets = [part.target for part in parts if part.target is not None]
    for model, part, target in zip(models, parts, targets, strict=True):
        model.train()
        model.learn({name: part.features[name] for name in model.widths}, target)
    weights, buffers = stack_module_state(list(models))  # type: ignore[arg-type]
    features = {name: torch.stack([part.features[name] for part in parts]) for name in models[0].widths}
    wanted = torch.stack(targets)
    spread = torch.stack([spreads(target) for target in targets]) if wanted.is_floating_point() else None
    randoms = [torch.Generator().manual_seed(seed) for seed in seeds]
    adam = torch.optim.Adam(weights.values(), lr=training.lr, weight_decay=training.weight_decay, fused=True)
    nobody = torch.zeros(0, dtype=torch.bool)
    shared = models[0]

    def loss(
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: dict[str, Tensor],
        target: Tensor,
        spread: Tensor | None,
    ) -> Tensor:
        fused = functional_call(shared, (weights, buffers), (batch,))
        return sample_loss(fused, target, spread) + shared.penalty(fused, nobody)

    every = vmap(loss, in_dims=(0, 0, 0, 0, None if spread is None else 0), randomness="error")
    which = torch.arange(len(models))[:, None]
    last = torch.zeros(len(models))
    for _ in range(training.epochs):
        order = torch.stack([torch.randperm(count, generator=random) for random in randoms])
        total = torch.zeros(len(models))
        steps = order.split(training.batch, dim=1)
        for index in steps:
            batch = {name: rows[which, index] for name, rows in features.items()}
            found = every(weights, buffers, batch, wanted[which, index], spread)
            adam.zero_grad()
            found.sum().backward()
            adam.step()
            total += found.detach()
        last = total / len(steps)
    for at, model in enumerate(models):
        model.load_state_dict({name: values[at].detach() for name, values in (weights | buffers).items()})
        model.eval()
    return [float(value) for value in last]


def build_all(config: ProFusionConfig, data: Sequence[Samples], seeds: Sequence[int]) -> list[Fusion]:
    """A fresh model for every sample set, with the weights `core.train.loop.train` would begin with."""
    found = []
    for each, seed in zip(data, seeds, strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(build("profusion", each.widths, config, each.task))
    return found


def squared_error(model: Fusion, part: Part) -> float:
    """Mean squared error on real targets."""
    assert part.target is not None
    return float(np.square(outputs(model, part.features) - part.target.numpy()).mean())


@dataclass(frozen=True)
class Cell:
    """One setting of the generator: test errors of the base and of ProFusion, a trial each.

    base, pro           mean squared errors `(trials,)`; a trial has its own matrices, samples and first weights
    base_weights, pro_weights   how many weights each model has
    """

    eta: float
    sigma: float
    base: Float[np.ndarray, " trials"]
    pro: Float[np.ndarray, " trials"]
    base_weights: int
    pro_weights: int

    @property
    def gains(self) -> Float[np.ndarray, " trials"]:
        """Percent by which ProFusion's error is below the base's; negative: above."""
        return 100 * (self.base - self.pro) / self.base

    @property
    def wins(self) -> int:
        """Trials in which ProFusion's error is lower."""
        return int((self.pro < self.base).sum())

    @property
    def holds(self) -> bool:
        """Better in two trials of three, and on average."""
        return self.wins * 3 >= 2 * len(self.pro) and float(self.gains.mean()) > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "eta": self.eta,
            "sigma": self.sigma,
            "trials": len(self.pro),
            "wins": self.wins,
            "gain_mean": float(self.gains.mean()),
            "gain_sd": float(self.gains.std(ddof=1)) if len(self.pro) > 1 else None,
            "mse_base": float(self.base.mean()),
            "mse_pro": float(self.pro.mean()),
            "weights_base": self.base_weights,
            "weights_pro": self.pro_weights,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Pair:
    """The models of one setting, a trial each, and what they were trained and judged on."""

    data: Sequence[Samples]
    base: Sequence[Fusion]
    pro: Sequence[Fusion]


def trained_pair(
    eta: float,
    sigma: float,
    trials: int = 30,
    config: ProFusionConfig = CONFIG,
    training: TrainConfig = TRAINING,
    first: int = 0,
    **sizes: int,
) -> Pair:
    """`trials` draws of one setting: the base of matched size and ProFusion, both on the same samples.

    first   seed of the first trial
    sizes   for `generate`
    """
    seeds = range(first, first + trials)
    data = [generate(eta, sigma, seed, **sizes) for seed in seeds]
    parts = [each.part("train") for each in data]
    base, pro = (build_all(asked, data, seeds) for asked in (matched(data[0].widths, config, TARGET), config))
    for models in (base, pro):
        fit_together(models, parts, training, seeds)
    return Pair(data, base, pro)


def compare(eta: float, sigma: float, pair: Pair) -> Cell:
    """Test errors of both models in every trial."""
    base, pro = (
        np.array([squared_error(m, each.part("test")) for m, each in zip(models, pair.data, strict=True)])
        for models in (pair.base, pair.pro)
    )
    return Cell(eta, sigma, base, pro, count_weights(pair.base[0]), count_weights(pair.pro[0]))


@dataclass(frozen=True)
class Robust:
    """RobustAUC of ProFusion against its base of matched size: the error under noise on the test features.

    base, pro   mean squared error `(levels,)`, the mean over trials
    tau         a trial each; above 0: ProFusion's error stays lower
    """

    eta: float
    sigma: float
    levels: Sequence[float]
    base: Float[np.ndarray, " levels"]
    pro: Float[np.ndarray, " levels"]
    tau: Float[np.ndarray, " trials"]

    def to_json(self) -> dict[str, Any]:
        return {
            "eta": self.eta,
            "sigma": self.sigma,
            "levels": list(self.levels),
            "mse_base": self.base.tolist(),
            "mse_pro": self.pro.tolist(),
            "tau_mean": float(self.tau.mean()),
            "tau_sd": float(self.tau.std(ddof=1)) if len(self.tau) > 1 else None,
            "above_zero": int((self.tau > 0).sum()),
            "trials": len(self.tau),
        }


def robust(eta: float, sigma: float, pair: Pair, levels: Sequence[float] = LEVELS) -> Robust:
    """C.1 on B.1's data: tau = integral of base's error minus ProFusion's, over the noise added to the test part."""
    errors: dict[str, list[np.ndarray]] = {"base": [], "pro": []}
    for data, base, pro in zip(pair.data, pair.base, pair.pro, strict=True):
        part, spread = data.part("test"), spreads_of(data.part("train"))
        for name, model in (("base", base), ("pro", pro)):

            def minus_error(features: Features, model: Fusion = model, part: Part = part) -> float:
                return -squared_error(model, replace(part, features=features))

            errors[name].append(under_noise(minus_error, part.features, spread, levels))
    tau = np.array([robust_auc(pro, base, levels) for base, pro in zip(errors["base"], errors["pro"], strict=True)])
    return Robust(eta, sigma, levels, -np.mean(errors["base"], axis=0), -np.mean(errors["pro"], axis=0), tau)


def experiment(
    trials: int = 30,
    etas: Sequence[float] = ETAS,
    sigmas: Sequence[float] = SIGMAS,
    tell: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Iterator[tuple[Cell, Robust]]:
    """Every setting of the grid; `options` go to `trained_pair`."""
    for eta in etas:
        for sigma in sigmas:
            pair = trained_pair(eta, sigma, trials, **options)
            cell, under = compare(eta, sigma, pair), robust(eta, sigma, pair)
            tell(
                f"eta {eta:g}, sigma {sigma:g}: ProFusion better in {cell.wins} of {trials}, "
                f"error {cell.gains.mean():+.1f} % lower; RobustAUC {under.tau.mean():+.2f}"
            )
            yield cell, under


def report(found: Sequence[tuple[Cell, Robust]]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines."""
    cells = [cell for cell, _ in found]
    trials = sum(len(cell.pro) for cell in cells)
    wins = sum(cell.wins for cell in cells)
    gain = float(np.mean(np.concatenate([cell.gains for cell in cells])))
    result: dict[str, Any] = {
        "cells": [cell.to_json() for cell in cells],
        "robust": [under.to_json() for _, under in found],
        "better_percent": 100 * wins / trials,
        "gain_percent": gain,
        "cells_that_hold": sum(cell.holds for cell in cells),
        "published": {"better_percent": 90, "gain_percent": 8},
    }
    lines = [" eta  sigma  better   gain %          MSE base  MSE pro  RobustAUC"]
    lines += [
        f"{cell.eta:4g}  {cell.sigma:5g}  {cell.wins:2d} / {len(cell.pro):<2d}  "
        f"{cell.gains.mean():+5.1f} ± {cell.gains.std():4.1f}  {cell.base.mean():10.2f}  {cell.pro.mean():7.2f}  "
        f"{under.tau.mean():+.2f}"
        for cell, under in found
    ]
    lines.append(
        f"better in {100 * wins / trials:.0f} % of {trials} trials, error {gain:.1f} % lower "
        f"({cells[0].pro_weights} weights against the base's {cells[0].base_weights}); published: close to 90 %, 8 %"
    )
    return result, "\n".join(lines)

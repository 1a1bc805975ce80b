"""Sweeps: many LEGO models trained together, against the same one by one, and against `torch.func`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.clip import Clip
from core.data import native
from core.dataset import Dataset
from core.experiments.bench.shared import NODES, Row, Tell, compared, interleaved, skipped
from core.experiments.demo import ASSETS, PAIR, RAW, TRAINING
from core.fusion import graph as g
from core.fusion.base import Fused
from core.fusion.lego import Lego, LegoConfig, LegoTrace
from core.recipe import Recipe, TrainConfig
from core.score.infer import score
from core.train.ensemble import train_many
from core.train.ensemble.fit import Fixed, fit_many
from core.train.loop import Prepared, Trained, batches, fixed_graphs, losses, prepare, train

ROUNDS = 3
SWEEP_GOAL = 3.0
TOP, SWEEP_SEEDS, SAMPLED = 10, 3, 10  # P and Q in 1 .. TOP; seeds of each cell; cells that are also trained alone
SWEEP_EPOCHS: int | None = None  # the demo's own
MEMBERS = 30  # models that are stepped together beside torch.func


class Whole(torch.nn.Module):
    """LEGO from its clips' terms R_a^p * R_b^q to the loss, for `torch.func.functional_call`."""

    def __init__(self, model: Lego, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, terms: Tensor, anomalous: Tensor) -> Tensor:
        A = self.model.operator()
        raw = (A.flatten() @ terms).view(len(terms), NODES, NODES)
        fused = g.rescaled(raw, self.model.config.rescale)
        answer = Fused(self.model.head(fused), LegoTrace({}, A, raw, fused))
        loss, penalty = losses(self.model, answer, anomalous, None, self.config)
        return loss + penalty


def by_torch_func(models: Sequence[Lego], data: Prepared, config: TrainConfig) -> dict[str, Tensor]:
    """Seed 0's batches for models of equal P and Q: `vmap` of the gradient over their stacked weights, then Adam."""
    stacked, _ = torch.func.stack_module_state([Whole(model, config) for model in models])
    whole = Whole(models[0], config).train()
    graphs = fixed_graphs(models[0], data)
    assert graphs is not None
    terms = Fixed(models[0], list(graphs.values()), models[0].A.shape).terms[:, 0]

    def loss(weights: dict[str, Tensor], given: Tensor, anomalous: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(whole, weights, (given, anomalous))
        return value

    slope = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    optimiser = torch.optim.Adam(stacked.values(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    random = torch.Generator().manual_seed(0)
    for _ in range(config.epochs):
        for index in batches(data.anomalous, config.batch, random):
            with torch.no_grad():
                weights = {name: weight.detach() for name, weight in stacked.items()}
            slopes = slope(weights, terms[index], data.anomalous[index])
            for name, weight in stacked.items():
                weight.grad = slopes[name].contiguous()  # fused Adam reads memory in order
            optimiser.step()
    return {name.removeprefix("model."): weight.detach() for name, weight in stacked.items()}


def sweep_steps(tell: Tell, data: Prepared, widths: Mapping[str, int]) -> Iterator[Row]:
    """Members of equal P and Q, stepped by our formulas and by `torch.func`."""
    tell("sweep: torch.func")
    config = TrainConfig(epochs=min(5, SWEEP_EPOCHS or 5))
    torch.manual_seed(0)
    models = [Lego(widths, LegoConfig(project=None)).train() for _ in range(MEMBERS)]

    def ours() -> dict[str, Tensor]:
        return fit_many(models, data, [config] * MEMBERS, [0] * MEMBERS)[0].weights

    wanted = by_torch_func(models, data, config)
    for name, weight in ours().items():
        torch.testing.assert_close(weight.reshape(wanted[name].shape), wanted[name], atol=1e-4, rtol=1e-3)
    took = interleaved({"ours": ours, "func": lambda: by_torch_func(models, data, config)}, rounds=ROUNDS)
    name = f"{config.epochs} epochs of {MEMBERS} LEGO models at P = Q = 3, stepped together"
    yield compared(name, took["ours"], "torch.func.vmap(grad)", took["func"], 1.0)


def sweeping(tell: Tell) -> Iterator[Row]:
    """The demo's sweep over P and Q, trained together, against the same runs one by one, and against `torch.func`."""
    if not (ASSETS / "demo" / "dataset.json").is_file():
        yield skipped(sweep_name(), "one by one", SWEEP_GOAL, "assets/demo is not there")
        return
    data = native.read(ASSETS / "demo")
    data.digest()
    widths = {modality: data.widths[modality] for modality in PAIR}
    yield from sweep_steps(tell, prepare(data.part("train"), PAIR, TRAINING.units), widths)
    yield one_by_one(tell, data, replace(TRAINING, epochs=SWEEP_EPOCHS or TRAINING.epochs))


def sweep_name() -> str:
    return f"sweep of {TOP**2} LEGO configurations (P, Q in 1..{TOP}) x {SWEEP_SEEDS} seeds, trained together"


def one_by_one(tell: Tell, data: Dataset, config: TrainConfig) -> Row:
    """All cells together, and some of them alone: these take turns, so that a slower machine slows both."""
    cells = [(p, q) for p in range(1, TOP + 1) for q in range(1, TOP + 1)]
    recipe = Recipe("lego", RAW, config, tuple(range(SWEEP_SEEDS)), modalities=PAIR)
    asked = [one for p, q in cells for one in recipe.but(P=p, Q=q).each]
    # cells spread over the grid: every row once, every column once, so the mean powers are the grid's
    chosen = [(p, 1 + (3 * p) % TOP if TOP % 3 else p) for p in range(1, TOP + 1)][:SAMPLED]
    sample = [cells.index(cell) * SWEEP_SEEDS + number % SWEEP_SEEDS for number, cell in enumerate(chosen)]
    train(data, recipe.but(epochs=1).each[0])  # to warm up
    together: dict[int, Trained] = {}
    alone: dict[int, Trained] = {}
    spent, theirs, wall = 0.0, 0.0, 0.0
    members = train_many(data, asked)
    while len(together) < len(asked):
        began, at = time.process_time(), time.perf_counter()
        index, done = next(members)
        spent, wall = spent + time.process_time() - began, wall + time.perf_counter() - at
        together[index] = done
        if len(alone) < len(sample) * len(together) / len(asked):
            index = sample[len(alone)]
            began = time.process_time()
            alone[index] = train(data, asked[index])
            theirs += time.process_time() - began
            tell(f"sweep: {len(together)} of {len(asked)} together, {len(alone)} of {len(sample)} alone")
    for index, trained in alone.items():
        same(trained, together[index], data.part("test"))
    rival = 1e3 * theirs * len(asked) / len(alone)
    why = f"{len(alone)} trained alone, scaled; {config.epochs} epochs; {wall:.0f} s on the clock together"
    return compared(sweep_name(), 1e3 * spent, "one by one", rival, SWEEP_GOAL, why)


def same(alone: Trained, member: Trained, clips: Sequence[Clip]) -> None:
    """Errors: `AssertionError` when a training alone and as a member of the stack differ in losses or scores."""
    curves = [[row["loss"] for row in done.history] for done in (alone, member)]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4, atol=1e-4)
    wanted, scores = score(alone.model, clips), score(member.model, clips)
    for clip in clips:
        np.testing.assert_allclose(scores[clip.name], wanted[clip.name], atol=1e-3)

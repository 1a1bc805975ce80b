"""The loop: from the weights to G and back, batch by batch, for all members at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.fusion.lego import Lego
from core.recipe import TrainConfig
from core.train.ensemble.slopes import Options, through_head
from core.train.ensemble.stack import Adam, Stack
from core.train.loop import Prepared, batches, fixed_graphs

BLOCK = 8  # members whose graphs go through the head together: they stay in the processor's cache


class Fixed:
    """Relations that nothing learned comes before: every clip's terms R_a^p * R_b^q are made once.

    terms   crop -> clip -> `(terms, n * n)`; power 0 is the identity
    """

    def __init__(self, model: Lego, graphs: Sequence[Float[Tensor, "clips crops n n"]], powers: Sequence[int]) -> None:
        clips, crops, n, _ = graphs[0].shape
        found = None
        for graph, count in zip(graphs, powers, strict=True):
            eye = torch.eye(n, device=graph.device).expand(clips, crops, n, n)
            steps = torch.stack([eye, *model.stack(graph, count - 1)], dim=2)  # (clips, crops, p, n, n)
            found = steps if found is None else (found[:, :, :, None] * steps[:, :, None]).flatten(2, 3)
        assert found is not None
        self.terms = found.flatten(3)

    def fuse(self, A: Float[Tensor, "members terms"], index: Sequence[int], crop: int, out: Tensor) -> None:
        """G of every member for these clips."""
        for place, clip in enumerate(index):
            torch.mm(A, self.terms[clip, crop], out=out[:, place].flatten(1))

    def pull(self, gradient: Tensor, index: Sequence[int], crop: int, out: Float[Tensor, "members terms"]) -> None:
        """The gradient of A, added up over the clips."""
        out.zero_()
        for place, clip in enumerate(index):
            out.addmm_(gradient[:, place].flatten(1), self.terms[clip, crop].mT)


def gated(A: Tensor, gate: str) -> Tensor:
    return {"none": lambda x: x, "sigmoid": torch.sigmoid, "relu": torch.relu}[gate](A)


@dataclass(frozen=True)
class Draws:
    """Members `part` share a seed, and with it every batch and crop."""

    part: slice
    random: torch.Generator


def draws(seeds: Sequence[int]) -> list[Draws]:
    found, start = [], 0
    for stop in range(1, len(seeds) + 1):
        if stop == len(seeds) or seeds[stop] != seeds[start]:
            found.append(Draws(slice(start, stop), torch.Generator().manual_seed(seeds[start])))
            start = stop
    return found


def fit_many(
    models: Sequence[Lego],
    data: Prepared,
    training: Sequence[TrainConfig],
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
    after: Callable[[int, Tensor, Stack], None] | None = None,
) -> tuple[Stack, Float[np.ndarray, "epochs members 2"]]:
    """`train.loop.fit` for many models of one structure; (their weights, classification loss and penalty an epoch).

    after   called with the epoch, the members' losses of it, and the stack
    """
    shared, config = training[0], models[0].config
    if shared.supervision == "unit" and data.labels is None:
        raise ValueError('supervision="unit" needs unit labels for every training clip')
    stack = Stack(models, device)
    options = Options(
        config,
        shared,
        torch.tensor([model.config.alpha for model in models], device=device),
        torch.tensor([model.config.lam for model in models], device=device),
        torch.tensor([model.config.k for model in models], device=device),
    )
    adam = Adam(
        stack.flat,
        torch.tensor([each.lr for each in training], device=device),
        torch.tensor([each.weight_decay for each in training], device=device),
    )
    first = models[0].to(device)
    graphs = fixed_graphs(first, data)
    assert graphs is not None
    source = Fixed(first, list(graphs.values()), stack.powers)
    truth = (data.anomalous if data.labels is None or shared.supervision == "clip" else data.labels).float().to(device)
    crops = next(iter(data.features.values())).shape[1]
    gradient = torch.zeros_like(stack.flat)
    gradients = stack.views(gradient)
    groups = draws(seeds)
    rows = np.full((shared.epochs, len(models), 2), np.nan)
    for epoch in range(shared.epochs):
        total, steps = torch.zeros(2, len(models), dtype=torch.float64, device=device), 0
        drawn = [batches(data.anomalous, shared.batch, group.random) for group in groups]
        for indices in zip(*drawn, strict=True):
            for group, index in zip(groups, indices, strict=True):
                crop = int(torch.randint(crops, (), generator=group.random)) if crops > 1 else 0
                normal = int((~data.anomalous[index]).sum())
                total[:, group.part] += _gradient(
                    stack, source, options, gradients, group.part, index, crop, truth[index.to(device)], normal
                )
            adam.step(gradient)
            steps += 1
        losses = total / steps
        rows[epoch] = losses.mT.cpu().numpy()
        if after is not None:
            after(epoch, losses.sum(0), stack)
    return stack, rows


def _gradient(
    stack: Stack,
    source: Fixed,
    options: Options,
    gradients: Mapping[str, Tensor],
    part: slice,
    index: Int[Tensor, " batch"],
    crop: int,
    wanted: Tensor,
    normal: int,
) -> Float[Tensor, "2 members"]:
    """Losses of the members that share this batch; their gradients are written into `gradients`."""
    losses = torch.empty(2, part.stop - part.start, dtype=torch.float64, device=wanted.device)
    weights = {name: weight[part] for name, weight in stack.weights.items()}
    slopes = {name: weight[part] for name, weight in gradients.items()}
    inside, options = stack.inside[part], options.of(part)
    n, clips = options.config.nodes, index.tolist()
    blocks = [slice(at, min(at + BLOCK, losses.shape[1])) for at in range(0, losses.shape[1], BLOCK)]
    A = (gated(weights["A"], options.config.gate) * inside).flatten(1)
    graph = torch.empty(len(A), len(clips), n, n, device=A.device)
    source.fuse(A, clips, crop, graph)
    for block in blocks:
        losses[0, block], losses[1, block], graph[block] = through_head(
            graph[block],
            {name: weight[block] for name, weight in weights.items()},
            {name: slope[block] for name, slope in slopes.items()},
            options.of(block),
            wanted,
            normal,
        )
    source.pull(graph, clips, crop, A)
    back = A.view(inside.shape) * inside
    if options.config.gate == "sigmoid":
        gate = weights["A"].sigmoid()
        back = back * gate * (1 - gate)
    elif options.config.gate == "relu":
        back = back * (weights["A"] > 0)
    slopes["A"].copy_(back)
    return losses

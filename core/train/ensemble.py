r"""Many small trainings at once: LEGO models whose options differ are one stack of weights, stepped together.

    G_m = sum over p, q  A_m[p, q] * R_a^p * R_b^q        one matrix product: (members, terms) @ (terms, entries)
    score_m = sigmoid(w_m . relu(W_m G_m + b_m))          one batched product over members
    A_m[p, q] = 0 for p > P_m or q > Q_m                  so that members of any P and Q share the terms

A member is the training `train.loop.train` gives alone: the same draws, the same batches, the same steps of Adam. Only
the rows that the loss reads (the `top` units of a clip) are differentiated through the head.

Sums are taken in another order than alone, so weights differ in their last bit (1.2e-7) from the first step on, and
edges within that of alpha count on one side and not on the other. How far that carries is the training's own doing:
moving the initial weights of a training *alone* by one last bit, either way, moves it as far. Measured on the demo's
pair, as (loss curve relative to losses above 1; unit scores), a member against alone, and alone moved against alone:

    gate sigmoid, the default: 40 members drawn from alpha 0 .. 0.3, lambda 0 .. 2, P and Q 1 .. 5, seeds 0 .. 3,
    150 epochs           at most 1.1e-6; 1.8e-7                    alone moved, 3 seeds: 6.2e-7; 6.0e-8
    gate none, alpha 0.05, lambda 1, 60 epochs, seeds 0 to 2
                         1.0e-5, 8.1e-7, 2.6e-6; 1.5e-3, 3.0e-7, 1.3e-7
                         alone moved: 1.6e-5, 4.7e-7, 2.7e-6; 1.8e-2, 5.1e-7, 3.9e-7
    rescale none, likewise (losses of 5e5 and more)
                         6.1e-7, 4.3e-7, 3.6e-7; 1.3e-3, 2.8e-3, 3.9e-3
                         alone moved: 3.8e-7, 4.3e-7, 3.7e-7; 1.5e-3, 4.9e-3, 2.3e-2

So members are their trainings alone to 1e-4 of the loss, and to 1e-3 in scores where the training itself is defined so
well: not always without the gate, where A's signs cancel in G and its maximum is small, nor without rescaling. No order
of float32 sums mends that, nor decisions taken in float64, for A itself differs; and float64 throughout would be other
runs than those that `train` gives. (Absolute loss curves agree to 1e-4 up to losses of about 100, where float32 ends.)

Models with a learned projection stay alone: most of their time goes into reading the features, and on few clips their
training is chaotic (weights moved by 1e-7 end in other scores), so that no other order of sums gives the same run.
Models that train in mixed precision stay alone, too: their layers round.

Ding et al., "Learnable Expansion of Graph Operators for Multi-Modal Feature Fusion", ICLR 2025: figures 4 and 5 are
sweeps over alpha, k, lambda and over P and Q.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.dataset import Dataset
from core.fusion import graph as g
from core.fusion.lego import Lego, LegoConfig
from core.machine.device import sparing
from core.recipe import Recipe, TrainConfig
from core.run import build
from core.sample import Samples
from core.score.judge import judge
from core.train.loop import (
    Prepared,
    Trained,
    batches,
    diverged,
    fixed_graphs,
    judged,
    prepare,
    record,
    train,
    widths_of,
)

VARIES = ("P", "Q", "rest", "alpha", "k", "lam")  # of LegoConfig; lr and weight_decay of TrainConfig vary too
RESCALES = ("graph", "standard", "none")  # not by the batch's maximum: then neighbours decide, as they do alone
CHUNK = 50  # members that are stepped together at most
SPACE = 1 << 30  # bytes that the terms members share may take, and as many their graphs
BLOCK = 8  # members whose graphs go through the head together: they stay in the processor's cache
BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's, as torch has them

Tell = Callable[[int, int, float], None]


def likeness(recipe: Recipe) -> Hashable | None:
    """Equal for trainings that can be stepped together; None for one that can only be trained alone."""
    config, training = recipe.options, recipe.training
    if (
        type(config) is not LegoConfig
        or config.project is not None
        or config.operator != "matrix"
        or config.pairing != "full"
        or config.rescale not in RESCALES
        or config.nodes != training.units
        or training.amp
    ):
        return None
    usual = LegoConfig()
    alike = replace(config, **{name: getattr(usual, name) for name in VARIES})
    return replace(recipe, options=alike, training=replace(training, lr=0.0, weight_decay=0.0), seeds=(0,))


def together(asked: Sequence[Recipe]) -> list[list[int]]:
    """Indices of trainings that can be one ensemble, in order; one that cannot be is alone in its list."""
    groups: dict[Hashable, list[int]] = {}
    for index, each in enumerate(asked):
        key = likeness(each)
        groups.setdefault(("alone", index) if key is None else key, []).append(index)
    return list(groups.values())


def train_many(
    dataset: Dataset | Samples,
    asked: Sequence[Recipe],
    progress: Tell | None = None,
    device: torch.device | str = "cpu",
    chunk: int = CHUNK,
    failed: Callable[[int, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, Trained]]:
    """(index into `asked`, its training) as they are done; `chunk` of those that fit together are stepped at once.

    asked       of one seed each
    progress    called after every epoch with (epochs done of all trainings, epochs of all trainings, mean loss)
    failed      called, once the others are done, with (index, why) of each training that came to nothing: options
                that do not go with the data, or a loss that is not finite. Without it they are a `ValueError` then
    say         told when memory was short: half as many at a time then, and at last the CPU
    """
    total, done = sum(each.training.epochs for each in asked), 0

    def tell(count: int, loss: float) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total, loss)

    undone: list[tuple[int, str]] = []
    for group in together(asked):
        left, first, most = ordered(asked, group), asked[group[0]], 1
        if len(group) > 1:
            part, count = dataset.part("train", first.protocol), len(first.modalities or dataset.modalities)
            most = at_once([asked[index] for index in group], len(part) * part.crops, count, chunk)
        while left:
            pieces = -(-len(left) // most)
            size, before = -(-len(left) // pieces), done

            def work(count: int, on: torch.device, left: list[int] = left, before: int = before) -> list[Trained | str]:
                nonlocal done
                done = before  # when an attempt ran out of memory, its epochs do not count
                chosen = [asked[index] for index in left[:count]]
                if len(chosen) == 1 or isinstance(dataset, Samples):
                    return [_alone(dataset, chosen[0], tell, on)]
                return _ensemble(dataset, chosen, tell, on)

            made = sparing(work, size, device, say)
            for index, each in zip(left, made, strict=False):
                if isinstance(each, str):
                    undone.append((index, each))
                else:
                    yield index, each
            left = left[len(made) :]
    for index, why in undone:
        if failed is None:
            one = f"the first ({asked[index].fusion}, seed {asked[index].seed}) because it {why}"
            raise ValueError(f"{len(undone)} of {len(asked)} trainings came to nothing, {one}")
        failed(index, why)


def ordered(asked: Sequence[Recipe], group: Sequence[int]) -> list[int]:
    """A group by seed, since one seed's batches are shared, and then by powers, since A is padded to the largest."""

    def order(index: int) -> tuple[int, ...]:
        config = asked[index].options
        return asked[index].seed, int(config.lam != 0), max(config.P, config.Q), config.P, config.Q

    return sorted(group, key=order) if len(group) > 1 else list(group)


def at_once(asked: Sequence[Recipe], clips: int, modalities: int, most: int) -> int:
    """How many of these, all alike, are stepped together: `most`, or fewer where their graphs would take much memory.

        terms   clips x (P + 1)(Q + 1)... x N x N x 4 bytes, shared       graphs   members x batch x N x N x 4 bytes

    clips   training clips, each crop counted
    """
    if likeness(asked[0]) is None:
        return 1
    configs = [each.options for each in asked]
    graph = 4 * configs[0].nodes ** 2
    tops = ["P", "Q", *["rest"] * (modalities - 2)]
    terms = math.prod(max(getattr(config, name) for config in configs) + 1 for name in tops)
    if clips * terms * graph > SPACE:
        return 1
    return max(1, min(most, SPACE // (min(asked[0].training.batch, clips) * graph)))


def _alone(
    dataset: Dataset | Samples, recipe: Recipe, tell: Callable[[int, float], None], device: torch.device | str
) -> Trained | str:
    """One training by itself, or why it came to nothing."""
    try:
        return train(dataset, recipe, lambda now: tell(1, now.loss), device)
    except ValueError as error:
        return str(error)


# ---------------------------------------------------------------------------- the stack of weights


class Stack:
    """Weights of like models side by side: `flat` is `(members, weights)`, the rest are views into it.

    Entries of A beyond a member's own powers are zero and stay so: `inside` takes them out after the gate.
    """

    def __init__(self, models: Sequence[Lego], device: torch.device | str) -> None:
        self.models = models
        self.powers = tuple(max(model.A.shape[axis] for model in models) for axis in range(models[0].A.ndim))
        shapes = {name: tuple(weight.shape) for name, weight in models[0].named_parameters()} | {"A": self.powers}
        self.flat = torch.zeros(len(models), sum(math.prod(shape) for shape in shapes.values()), device=device)
        self.shapes = shapes
        self.weights = self.views(self.flat)
        self.inside = torch.zeros(len(models), *self.powers, device=device)
        for member, model in enumerate(models):
            for name, weight in model.named_parameters():
                self.own(self.weights[name], member, name).copy_(weight.detach())
            self.own(self.inside, member, "A").fill_(1.0)

    def views(self, flat: Float[Tensor, "members weights"]) -> dict[str, Tensor]:
        """Name -> `(members, *shape)` of a flat tensor, sharing its memory."""
        found, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            found[name] = flat[:, at : at + size].unflatten(1, shape)
            at += size
        return found

    def own(self, stacked: Tensor, member: int, name: str) -> Tensor:
        """A member's own part of a stacked weight: A without what pads it."""
        part = stacked[member]
        return part[tuple(slice(0, size) for size in self.models[member].A.shape)] if name == "A" else part

    def unstack(self, member: int) -> Lego:
        """The member's model with the weights it has now, in evaluation mode."""
        model = self.models[member]
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(self.own(self.weights[name], member, name))
        return model.eval()


class Adam:
    """Adam with an L2 pull (torch.optim.Adam's formulas), every member with its own step size and pull."""

    def __init__(self, flat: Float[Tensor, "members weights"], lr: Tensor, decay: Tensor) -> None:
        self.flat, self.lr, self.decay = flat, lr[:, None], decay[:, None]
        self.first, self.second, self.steps = torch.zeros_like(flat), torch.zeros_like(flat), 0

    def step(self, gradient: Float[Tensor, "members weights"]) -> None:
        self.steps += 1
        gradient.addcmul_(self.flat, self.decay)
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = self.lr / (1 - BETAS[0] ** self.steps)
        below = self.second.sqrt().div_(math.sqrt(1 - BETAS[1] ** self.steps)).add_(EPS)
        self.flat.sub_(self.first.div(below).mul_(size))


# ---------------------------------------------------------------------------- from G to the losses, and back


@dataclass(frozen=True)
class Options:
    """What members share (config, training) and what each has of its own."""

    config: LegoConfig
    training: TrainConfig
    alpha: Float[Tensor, " members"]
    lam: Float[Tensor, " members"]
    k: Int[Tensor, " members"]

    def of(self, part: slice | Tensor) -> "Options":
        return replace(self, alpha=self.alpha[part], lam=self.lam[part], k=self.k[part])


@dataclass(frozen=True)
class Slope:
    """The losses' gradient in the fused graph before it is written out: what falls on rows, and on edges of nodes.

    seen, rows      units whose score was read, and the gradient of their rows of the graph
    nodes, edges    gradient of each node's degree, and the edges that its degree counts; None without a penalty
    along           sum over the graph's entries of entry times gradient
    """

    seen: Int[Tensor, "members batch few"]
    rows: Float[Tensor, "members batch few n"]
    along: Float[Tensor, "members batch"]
    nodes: Float[Tensor, "members batch n"] | None = None
    edges: Bool[Tensor, "members batch n n"] | None = None

    def whole(self, times: Float[Tensor, "members batch"] | None = None) -> Float[Tensor, "members batch n n"]:
        """The gradient as graphs, each multiplied by its number."""
        rows, nodes, n = self.rows, self.nodes, self.rows.shape[-1]
        if times is not None:
            rows = rows * times[..., None, None]
            nodes = None if nodes is None else nodes * times[..., None]
        if nodes is None or self.edges is None:
            graph = rows.new_zeros(*rows.shape[:2], n, n)
        else:
            graph = self.edges * nodes[..., None]
        return graph.scatter_add_(2, self.seen[..., None].expand(rows.shape), rows)


def scaled(
    graph: Float[Tensor, "members batch n n"], rescale: g.Rescale
) -> tuple[g.Graph, Callable[[Slope], Float[Tensor, "members batch n n"]]]:
    """`g.rescaled`, and its pull: from the slope in the result to the gradient in the graph."""
    if rescale == "none":
        return graph, Slope.whole
    if rescale == "standard":
        centred = graph - graph.mean((-2, -1), keepdim=True)
        square = centred.square().mean((-2, -1), keepdim=True)
        below = square.clamp_min(1e-12).sqrt()
        result = centred / below

        def pull_standard(slope: Slope) -> Tensor:
            gradient = slope.whole()
            along = slope.along[..., None, None] / gradient[0, 0].numel() * (square >= 1e-12)
            gradient.sub_(result * along).div_(below)
            return gradient.sub_(gradient.mean((-2, -1), keepdim=True))

        return result, pull_standard
    flat = graph.flatten(2)
    place = highest(flat)
    top = flat.gather(-1, place)
    sign = torch.full_like(top, -1.0)
    scale = top
    if not bool((top > 1e-6).all()):  # somewhere no entry is positive: the largest magnitude scales, if there is one
        lowest = highest(-flat)
        bottom = flat.gather(-1, lowest)
        positive = top > 1e-6
        place = torch.where(positive, place, lowest)
        sign = torch.where(positive, -1.0, torch.where(bottom <= -1e-6, 1.0, 0.0))
        scale = torch.where(positive, top, (-bottom).clamp_min(1e-6))

    def pull(slope: Slope) -> Tensor:
        # the scale is an entry's own value; of several as high, all alike to A, one takes the gradient
        gradient = slope.whole(1 / scale[..., 0])
        gradient.flatten(2).scatter_add_(-1, place, sign * slope.along[..., None] / scale)
        return gradient

    return graph / scale[..., None], pull


def highest(rows: Float[Tensor, "*batch n"]) -> Int[Tensor, "*batch 1"]:
    if rows.device.type != "cpu":
        return rows.argmax(-1, keepdim=True)
    return torch.from_numpy(rows.numpy().argmax(-1))[..., None]


def rising(rows: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Each row in order; values alone, overwritten, which numpy sorts twice as fast as their places."""
    if rows.device.type != "cpu":
        return rows.sort(dim=-1).values
    rows.numpy().sort(axis=-1)
    return rows


def falling_order(rows: Float[Tensor, "*batch n"]) -> Int[Tensor, "*batch n"]:
    if rows.device.type != "cpu":
        return rows.argsort(dim=-1, descending=True)
    return torch.from_numpy(rows.neg().numpy().argsort(axis=-1))


def relative_order(rows: Int[Tensor, "*batch"], n: int) -> Int[Tensor, "*batch n"]:
    """Where the entries of these rows lie when they are read from their own unit on, wrapping round."""
    return (rows[..., None] + torch.arange(n, device=rows.device)) % n


def classified(
    graph: Float[Tensor, "members batch n n"],
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    options: Options,
    wanted: Float[Tensor, "batch *units"],  # noqa: F821 (a shape, not a product)
) -> tuple[Float[Tensor, " members"], Slope]:
    """(classification loss of every member, its slope in the graph); the head's gradients are written down.

    wanted   1 for anomalous: of the batch's clips, or of their units (supervision="unit")
    """
    members, batch, n, _ = graph.shape
    order, training = options.config.head, options.training
    W, b, w, c = (weights[f"head.{name}"] for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))
    read, sign = graph, 1.0
    if order == "sorted":
        read, sign = rising(graph.neg()), -1.0  # the sign goes into the product
    elif order == "relative":
        read = graph.gather(-1, relative_order(torch.arange(n, device=graph.device), n).expand_as(graph))
    hidden = torch.baddbmm(b[:, None], read.view(members, batch * n, n), W.mT, alpha=sign).relu_()
    scores = torch.baddbmm(c[:, None], hidden, w.mT).view(members, batch, n).sigmoid_()

    if training.supervision == "unit":
        seen = torch.arange(n, device=graph.device).expand(members, batch, n)
        found, share = scores, 1.0
    else:
        seen = scores.topk(min(training.top, n), dim=-1).indices
        found, share = scores.gather(-1, seen).mean(-1), 1.0 / seen.shape[-1]
    inside = found.clamp(1e-7, 1 - 1e-7)
    loss = torch.where(wanted > 0, inside.log(), torch.log1p(-inside)).neg()
    slope = (inside - wanted) / ((1 - inside) * inside) * (inside == found) / found[0].numel()
    if training.supervision == "clip":
        slope = slope[..., None]

    # only the rows that were read for the loss: (members, rows, n)
    at = scores.gather(-1, seen)
    push = (slope * share * at * (1 - at)).view(members, -1, 1)
    rows = seen[..., None].expand(-1, -1, -1, n)
    there = hidden.view(graph.shape).gather(2, rows).reshape(members, -1, n)
    values = read.gather(2, rows).reshape(members, -1, n) * sign
    gradients["head.fc2.weight"].copy_(push.mT @ there)
    gradients["head.fc2.bias"].copy_(push.sum(1))
    before = push * w * (there > 0)
    gradients["head.fc1.bias"].copy_(before.sum(1))
    gradients["head.fc1.weight"].copy_(before.mT @ values)
    back = before @ W
    along = (back * values).view(members, batch, -1).sum(-1)
    back = back.view(rows.shape)
    if order == "sorted":
        back = torch.zeros_like(back).scatter_(-1, falling_order(graph.gather(2, rows)), back)
    elif order == "relative":
        back = torch.zeros_like(back).scatter_(-1, relative_order(seen, n), back)
    return loss.flatten(1).mean(1), Slope(seen, back, along)


def varied(
    values: Float[Tensor, "members batch n"], counted: Bool[Tensor, "members 1 n"] | None = None
) -> tuple[Float[Tensor, "members batch"], Float[Tensor, "members batch n"]]:
    """Variance (n - 1 below) of the values that count, and its gradient."""
    if counted is None:
        count: Tensor | int = values.shape[-1]
        off = values - values.mean(-1, keepdim=True)
    else:
        count = counted.sum(-1, keepdim=True)
        off = (values - (values * counted).sum(-1, keepdim=True) / count.clamp_min(1)) * counted
    below = torch.as_tensor(count - 1, device=values.device).clamp_min(1)
    return off.square().sum(-1) / below.view(-1, 1), off * (2.0 / below)


def penalised(
    graph: Float[Tensor, "members batch n n"], normal: int, options: Options, slope: Slope
) -> tuple[Float[Tensor, " members"], Slope]:
    """(lambda times eq. 7 of every member, the slope with it); the first `normal` clips of the batch are normal."""
    members, batch, n, _ = graph.shape
    pairs = min(normal, batch - normal)
    if pairs == 0 or n < 2 or not options.lam.any():
        return graph.new_zeros(members), slope
    k = options.k.clamp(max=n)
    edges = graph >= options.alpha[:, None, None, None]
    odd = slice(normal, normal + pairs)
    if options.config.regulariser == "released":
        place = falling_order(graph[:, odd] * edges[:, odd])
        strongest = (torch.arange(n, device=graph.device) < k[:, None, None, None]).expand(place.shape)
        edges[:, odd] &= torch.zeros_like(edges[:, odd]).scatter_(-1, place, strongest)
    degrees = (graph * edges).sum(-1)
    nodes = torch.zeros_like(degrees)
    calm, nodes[:, :pairs] = varied(degrees[:, :pairs])
    if options.config.regulariser == "released":
        wild, nodes[:, odd] = varied(degrees[:, odd])
        enough = torch.ones_like(options.lam, dtype=torch.bool)
    else:
        place = falling_order(degrees[:, odd])
        counted = torch.arange(n, device=graph.device) < k[:, None, None]
        wild, back = varied(degrees[:, odd].gather(-1, place), counted)
        nodes[:, odd] = torch.zeros_like(back).scatter_(-1, place, back)
        enough = k >= 2
    gap = calm - wild
    if options.config.regulariser == "equation":
        loss, push = gap.square().mean(1), 2 * gap
    else:
        loss, push = gap.abs().mean(1), gap.sign()
    held = enough & (options.lam != 0)
    push = torch.where(held[:, None], push * options.lam[:, None] / pairs, 0.0)[..., None]
    nodes[:, :pairs] *= push
    nodes[:, odd] *= -push
    more = replace(slope, along=slope.along + (nodes * degrees).sum(-1), nodes=nodes, edges=edges)
    return torch.where(held, options.lam * loss, 0.0), more


def through_head(
    graph: Float[Tensor, "members batch n n"],
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    options: Options,
    wanted: Float[Tensor, "batch *units"],  # noqa: F821 (a shape, not a product)
    normal: int,
) -> tuple[Float[Tensor, " members"], Float[Tensor, " members"], Float[Tensor, "members batch n n"]]:
    """(classification loss, penalty, gradient in G before it is rescaled) of every member."""
    fused, pull = scaled(graph, options.config.rescale)
    loss, slope = classified(fused, weights, gradients, options, wanted)
    penalty, slope = penalised(fused, normal, options, slope)
    return loss, penalty, pull(slope)


# ---------------------------------------------------------------------------- from the weights to G, and back


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


# ---------------------------------------------------------------------------- the loop


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


def drawn(widths: Mapping[str, int], recipe: Recipe) -> Lego:
    """A member's model with the weights that its seed draws."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(recipe.fusion, widths, recipe.options)
    assert isinstance(model, Lego)
    return model


def _ensemble(
    dataset: Dataset, asked: Sequence[Recipe], tell: Callable[[int, float], None], device: torch.device | str
) -> list[Trained | str]:
    """Trainings of one structure, together; of one that came to nothing, why."""
    widths = widths_of(dataset, asked[0].modalities)
    shared, protocol = asked[0].training, asked[0].protocol
    models = [drawn(widths, each) for each in asked]
    data = prepare(dataset.part("train", protocol), tuple(widths), shared.units)
    test = dataset.part("test", protocol)
    tracked: list[list[float]] = [[] for _ in asked]

    def after(epoch: int, losses: Tensor, stack: Stack) -> None:
        if shared.track:
            for member, found in enumerate(tracked):
                fine = bool(stack.flat[member].isfinite().all())
                found.append(judge(stack.unstack(member), test).main if fine else float("nan"))
        tell(len(asked), float(losses.nanmean()))

    began = time.perf_counter()
    stack, losses = fit_many(
        models, data, [each.training for each in asked], [each.seed for each in asked], device, after
    )
    seconds = (time.perf_counter() - began) / len(asked)
    done: list[Trained | str] = []
    for member, each in enumerate(asked):
        wild = np.flatnonzero(~np.isfinite(losses[:, member]).all(1))
        if len(wild) or not bool(stack.flat[member].isfinite().all()):
            done.append(str(diverged(int(wild[0]) + 1 if len(wild) else len(losses))))
            continue
        history = [
            {"epoch": epoch + 1.0, "loss": float(a + b), "classification": float(a), "penalty": float(b)}
            for epoch, (a, b) in enumerate(losses[:, member])
        ]
        for row, auc in zip(history, tracked[member], strict=False):
            row["auc_test"] = auc
        model = stack.unstack(member)
        metrics = judged(model, test, each.training, history)
        done.append(record(model, dataset, each, (history, metrics, seconds)))
    return done

"""From G to the losses of every member, and back: the gradients are written out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.fusion import graph as g
from core.fusion.lego import LegoConfig
from core.recipe import TrainConfig


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

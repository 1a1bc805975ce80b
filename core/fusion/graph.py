r"""Relationship graphs: how they are made, expanded into powers, and fused.

    R[i, j]  = relation(f_i, f_j)                                                       (eq. 1, 2)
    powers   : R^0 = I, then R_ij^p (elementwise) or the matrix power R^p (walks)       (eq. 3, 6)
    G[i, j]  = sum over p, q, ...  A[p, q, ...] * R_a^p[i, j] * R_b^q[i, j] * ...        (eq. 5)

Ding et al., "Learnable Expansion of Graph Operators for Multi-Modal Feature Fusion", ICLR 2025,
https://arxiv.org/abs/2410.01506. Leading axes are a batch: the same code serves one clip and many.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Rows = Float[Tensor, "*batch n d"]
Graph = Float[Tensor, "*batch n n"]
Powers = Float[Tensor, "p *batch n n"]
Stacks = Sequence[Float[Tensor, "_ *batch n n"]]  # per modality its powers 1, 2, ...
Relation = Literal["cosine", "rbf", "distance", "intersection", "soft-dtw"]
Expansion = Literal["elementwise", "walks"]
Normalise = Literal["spectral", "degree", "none"]
Rescale = Literal["graph", "batch", "standard", "none"]
Head = Literal["row", "sorted", "relative"]
Regulariser = Literal["equation", "released"]

TINY = 1e-30  # below this a squared length says nothing in float32


# ---------------------------------------------------------------------------- relations


def cosine(rows: Rows) -> Graph:
    """relu(cos(f_i, f_j)), in [0, 1]; a zero row is related to nothing, itself included.

    >>> cosine(torch.tensor([[3.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    gram = rows @ rows.mT
    squares = gram.diagonal(dim1=-2, dim2=-1)
    if not bool(((squares > TINY) & squares.isfinite()).all()):  # very long, very short or zero rows: scale first
        rows = rows / rows.detach().abs().amax(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        gram = rows @ rows.mT
        squares = gram.diagonal(dim1=-2, dim2=-1)
    some = squares > TINY
    inverse = torch.where(some, squares, 1.0).rsqrt() * some  # the order keeps a zero row's gradient finite
    return (gram * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)).relu().clamp_max(1.0)


def unit_rows(rows: Rows) -> Rows:
    """Rows of length 1; a zero row stays zero."""
    lengths = rows.square().sum(-1, keepdim=True)
    some = lengths > TINY
    return rows * torch.where(some, lengths, 1.0).rsqrt() * some


def squared_distances(rows: Rows) -> Graph:
    gram = rows @ rows.mT
    squares = gram.diagonal(dim1=-2, dim2=-1)
    return (squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2 * gram).clamp_min(0)


def rbf(rows: Rows, sigma: float | None = None) -> Graph:
    """exp(-|f_i - f_j|^2 / 2 sigma^2) on rows of length 1; sigma is the graph's median distance unless given."""
    squares = squared_distances(unit_rows(rows))
    if sigma is not None:
        return (-squares / (2 * sigma**2)).exp()
    n = rows.shape[-2]
    if n < 2:
        return torch.ones_like(squares)
    pairs = torch.triu_indices(n, n, 1, device=rows.device)
    median = squares.detach()[..., pairs[0], pairs[1]].median(-1).values.clamp_min(1e-12)
    return (-squares / (2 * median[..., None, None])).exp()


def distance(rows: Rows) -> Graph:
    """1 - |f_i - f_j| / 2 on rows of length 1, in [0, 1]."""
    squares = squared_distances(unit_rows(rows))
    return 1 - torch.where(squares > 1e-12, squares, 1e-12).sqrt().where(squares > 1e-12, 0.0) / 2


def intersection(rows: Rows) -> Graph:
    """Histogram intersection sum_k min(f_ik, f_jk) of rows that add up to 1; negative values count as 0."""
    parts = rows.relu()
    total = parts.sum(-1, keepdim=True)
    shares = torch.where(total > TINY, parts / total.clamp_min(TINY), 0.0)
    return torch.minimum(shares.unsqueeze(-2), shares.unsqueeze(-3)).sum(-1)


def soft_dtw(rows: Rows, steps: int, gamma: float = 0.1) -> Graph:
    r"""exp(-D) of the soft-DTW divergence D(x, y) = s(x, y) - (s(x, x) + s(y, y)) / 2 between units that are sequences.

    A unit's row holds `steps` frames of equal width, made length 1; s is soft-DTW with squared distances (Cuturi and
    Blondel, 2017, eq. 2; Blondel et al., 2021, eq. 13), divided by `steps`.
    """
    *batch, n, d = rows.shape
    if d % steps:
        raise ValueError(f"soft-dtw needs rows that split into {steps} equal frames, got width {d}")
    frames = unit_rows(rows.reshape(*batch, n, steps, d // steps))
    x = frames[..., :, None, :, :]
    y = frames[..., None, :, :, :]
    costs = 2 - 2 * (x.unsqueeze(-2) * y.unsqueeze(-3)).sum(-1)  # (*batch, n, n, steps, steps)
    far = torch.full(costs.shape[:-2], 1e6, dtype=rows.dtype, device=rows.device)
    before = [torch.zeros_like(far)] + [far] * steps
    for s in range(steps):
        now = [far]
        for t in range(steps):
            three = torch.stack([before[t], before[t + 1], now[t]])
            now.append(costs[..., s, t] - gamma * torch.logsumexp(-three / gamma, dim=0))
        before = now
    total = before[-1] / steps
    own = total.diagonal(dim1=-2, dim2=-1)
    return (-(total - (own.unsqueeze(-1) + own.unsqueeze(-2)) / 2).clamp_min(0)).exp()


def relate(rows: Rows, relation: Relation = "cosine", sigma: float | None = None, steps: int = 1) -> Graph:
    """The relationship graph of one modality: eq. 1 and 2."""
    match relation:
        case "cosine":
            return cosine(rows)
        case "rbf":
            return rbf(rows, sigma)
        case "distance":
            return distance(rows)
        case "intersection":
            return intersection(rows)
        case "soft-dtw":
            return soft_dtw(rows, steps)
        case unknown:
            assert_never(unknown)


# ---------------------------------------------------------------------------- powers


def normalised(graph: Graph, kind: Normalise) -> Graph:
    """The graph that walks are counted on.

    spectral  divided by its spectral radius, so no power grows (a 32-node cosine graph's radius reaches 32)
    degree    D^-1/2 R D^-1/2
    none      as it is
    """
    match kind:
        case "spectral":
            radius = torch.linalg.eigvalsh(graph)[..., -1].clamp_min(1e-6)
            return graph / radius[..., None, None]
        case "degree":
            inverse = graph.sum(-1).clamp_min(1e-6).rsqrt()
            return graph * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)
        case "none":
            return graph
        case unknown:
            assert_never(unknown)


def powers(graph: Graph, count: int, expansion: Expansion = "elementwise") -> Powers:
    """Powers 1 .. count of a graph, stacked first; power 0, the identity, lives in `fuse`.

    elementwise  graph[i, j]^p: how strong the direct relation is (eq. 6 and the released code)
    walks        (graph @ ... @ graph)[i, j]: weight of all p-step walks from i to j (eq. 3)
    """
    if count == 0:
        return graph.new_zeros(0, *graph.shape)
    times = {"elementwise": torch.mul, "walks": torch.matmul}[expansion]
    steps = [graph]
    for _ in range(count - 1):
        steps.append(times(steps[-1], graph))
    return torch.stack(steps)


# ---------------------------------------------------------------------------- fusion


def contract(stacks: Sequence[Float[Tensor, "_ *entries"]], A: Float[Tensor, "..."]) -> Float[Tensor, "*entries"]:  # noqa: F821
    """sum over p, q, ... of A[p, q, ...] * stacks[0][p] * stacks[1][q] * ..., entry by entry.

    The first modality is one matrix product with A, every further one a multiply-add per power.
    """
    first, *rest = stacks
    parts = (A.reshape(A.shape[0], -1).mT @ first.flatten(1)).reshape(*A.shape[1:], *first.shape[1:])
    for stack in rest:
        total = parts[0] * stack[0]
        for part, power in zip(parts[1:], stack[1:], strict=True):
            total.addcmul_(part, power)
        parts = total
    return parts


def diagonals(stacks: Stacks) -> list[Float[Tensor, "_ *batch n"]]:
    """Per modality the diagonals of powers 0, 1, ...; the identity's is ones."""
    own = [stack.diagonal(dim1=-2, dim2=-1) for stack in stacks]
    return [torch.cat([rows.new_ones(1, *rows.shape[1:]), rows]) for rows in own]


def fuse(stacks: Stacks, A: Float[Tensor, "..."]) -> Graph:
    """Combine every power of one graph with every power of the others, weighted by A (eq. 5); `stacks` from `powers`.

    R^0 = I touches the diagonal only, so the sum over powers >= 1 is dense and the rest is a vector a graph.

    >>> a, b = torch.rand(2, 4, 4)
    >>> A = torch.zeros(3, 3); A[1, 1] = 1.0
    >>> torch.equal(fuse([powers(a, 2), powers(b, 2)], A), a * b)
    True
    """
    inner = A[(slice(1, None),) * A.ndim]
    on_diagonal = contract(diagonals(stacks), A)
    if inner.numel() == 0:
        return torch.diag_embed(on_diagonal)
    dense = contract(stacks, inner)
    return dense + torch.diag_embed(on_diagonal - dense.diagonal(dim1=-2, dim2=-1))


@dataclass(frozen=True)
class Halves:
    """Powers of symmetric graphs kept ready to be fused again and again; no gradient.

    powers  per modality `(p, graphs, n (n + 1) / 2)`: powers 1, 2, ..., entries on and above the diagonal
    own     per modality `(p + 1, graphs, n)`: diagonals of powers 0, 1, ...
    batch   the graphs' leading axes
    places  where each entry of a graph lies in its half
    """

    powers: tuple[Float[Tensor, "_ graphs half"], ...]
    own: tuple[Float[Tensor, "_ graphs n"], ...]
    batch: torch.Size
    places: Int[Tensor, " entries"]

    @staticmethod
    def of(stacks: Sequence[Float[Tensor, "_ *batch n n"]]) -> "Halves":
        *batch, n = stacks[0].shape[1:-1]
        rows, columns = torch.triu_indices(n, n, device=stacks[0].device)
        places = torch.empty(n, n, dtype=torch.long, device=rows.device)
        places[rows, columns] = places[columns, rows] = torch.arange(len(rows), device=rows.device)
        graphs = torch.Size(batch).numel()
        return Halves(
            tuple(stack.reshape(len(stack), graphs, n, n)[:, :, rows, columns] for stack in stacks),
            tuple(own.reshape(len(own), graphs, n) for own in diagonals(stacks)),
            torch.Size(batch),
            places.flatten(),
        )

    def fuse(self, A: Float[Tensor, "..."], block: int = 1 << 15, scaled: bool = False) -> Graph:
        """`fuse` of the same graphs: half the work, `block` entries at a time, which stay in the processor's cache.

        scaled  also `rescaled(..., "graph")`, while a half is still in the cache
        """
        inner = A[(slice(1, None),) * A.ndim]
        own = contract(self.own, A)
        graphs, n = own.shape
        full = own.new_empty(graphs, n * n)
        step = max(1, 2 * block // (n * (n + 1)))
        for start in range(0, graphs, step):
            piece = slice(start, start + step)
            if inner.numel():
                half = contract([power[:, piece] for power in self.powers], inner)
            else:
                half = own.new_zeros(len(own[piece]), n * (n + 1) // 2)
            if scaled:
                half[:, self.places[:: n + 1]] = own[piece]
                top, bottom = half.amax(1, keepdim=True), half.amin(1, keepdim=True)
                scale = torch.where(top > 1e-6, top, (-bottom).clamp_min(1e-6))
                half, own[piece] = half.div_(scale), own[piece] / scale
            self.spread(half, own[piece], full[piece])
        return full.reshape(*self.batch, n, n)

    def term(self, entry: Sequence[int]) -> Graph:
        """One term of G without its weight: R_a^p * R_b^q * ... for entry (p, q, ...)."""
        own = torch.stack([every[power] for every, power in zip(self.own, entry, strict=True)]).prod(0)
        graphs, n = own.shape
        half = own.new_zeros(graphs, n * (n + 1) // 2)
        if all(entry):  # power 0 is the identity: nothing off the diagonal
            half = torch.stack([every[power - 1] for every, power in zip(self.powers, entry, strict=True)]).prod(0)
        full = own.new_empty(graphs, n * n)
        self.spread(half, own, full)
        return full.reshape(*self.batch, n, n)

    def spread(
        self, half: Float[Tensor, "graphs half"], own: Float[Tensor, "graphs n"], full: Float[Tensor, "graphs entries"]
    ) -> None:
        """Write halves and their diagonals out as whole graphs."""
        half[:, self.places[:: own.shape[1] + 1]] = own
        torch.gather(half, 1, self.places.expand(len(half), -1), out=full)


def scale_of(graph: Graph, rescale: Rescale) -> Float[Tensor, "*batch 1 1"]:
    """What G is divided by: its (or the batch's) maximum; without a positive entry, its largest magnitude."""
    if rescale == "none":
        return torch.ones_like(graph[..., :1, :1])
    axes = {"graph": (-2, -1), "batch": tuple(range(graph.ndim))}[rescale]
    top, bottom = graph.amax(axes, keepdim=True), graph.amin(axes, keepdim=True)
    return torch.where(top > 1e-6, top, (-bottom).clamp_min(1e-6)).expand_as(graph[..., :1, :1])


def rescaled(graph: Graph, rescale: Rescale) -> Graph:
    """G as the head sees it.

    graph     divided by its own maximum (default)
    batch     by the maximum of the whole batch: the released code; a clip's score then depends on its neighbours
    standard  zero mean and unit deviation over the graph; needed with normalised walks, whose rows become copies
    none      as it is
    """
    if rescale == "standard":
        centred = graph - graph.mean((-2, -1), keepdim=True)
        return centred / centred.square().mean((-2, -1), keepdim=True).clamp_min(1e-12).sqrt()
    return graph / scale_of(graph, rescale)


# ---------------------------------------------------------------------------- degrees


def degrees(graph: Graph, alpha: float) -> Float[Tensor, "*batch n"]:
    """Weighted degree: the sum of a node's relations that are at least alpha (inside eq. 7)."""
    return (graph * (graph >= alpha)).sum(-1)


def top_edges(graph: Graph, alpha: float, k: int) -> Float[Tensor, "*batch n"]:
    """The released code's abnormal degree: the sum of each row's k largest edges that are at least alpha."""
    return (graph * (graph >= alpha)).topk(min(k, graph.shape[-1]), dim=-1).values.sum(-1)


def variances(
    graph: Graph, anomalous: Bool[Tensor, "*batch"], alpha: float, k: int, regulariser: Regulariser
) -> Float[Tensor, "*batch"]:
    """One side of eq. 7 per graph: the variance of all degrees (normal) or of the k highest (anomalous)."""
    every = degrees(graph, alpha)
    match regulariser:
        case "equation":
            top = every.topk(min(k, every.shape[-1]), dim=-1).values
        case "released":
            top = top_edges(graph, alpha, k)
        case unknown:
            assert_never(unknown)
    if every.shape[-1] < 2 or top.shape[-1] < 2:
        return every.new_zeros(every.shape[:-1])
    return torch.where(anomalous, top.var(-1), every.var(-1))


def degree_variance(
    graph: Float[Tensor, "batch n n"],
    anomalous: Bool[Tensor, " batch"],
    alpha: float,
    k: int,
    regulariser: Regulariser = "equation",
) -> Float[Tensor, ""]:
    """Eq. 7 without lambda: normal and anomalous graphs of the batch, paired in order.

    equation  squared difference of variances; the anomalous side takes the k highest degrees
    released  absolute difference; an anomalous degree is the sum of a row's k largest edges
    """
    sides = variances(graph, anomalous, alpha, k, regulariser)
    normal, abnormal = sides[~anomalous], sides[anomalous]
    pairs = min(len(normal), len(abnormal))
    if pairs == 0:
        return graph.new_zeros(())
    gap = normal[:pairs] - abnormal[:pairs]
    return (gap.square() if regulariser == "equation" else gap.abs()).mean()


# ---------------------------------------------------------------------------- rows


def falling(rows: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Each row strongest first; on the CPU numpy sorts, five to ten times faster for rows this short."""
    if rows.device.type == "cpu":
        with contextlib.suppress(RuntimeError):  # under torch.func there is no array to sort
            negative = rows.detach().neg().numpy()
            if rows.requires_grad and torch.is_grad_enabled():
                return rows.gather(-1, torch.from_numpy(negative.argsort(axis=-1)))
            negative.sort(axis=-1)
            return torch.from_numpy(negative).neg_()
    return rows.sort(dim=-1, descending=True).values


def ordered(graph: Graph, head: Head) -> Graph:
    """Each row in the order its head reads it.

    row       by node: the paper; the head's weights are tied to the order of the nodes
    sorted    strongest first (ours): the order of the units does not matter
    relative  by time from the unit itself, wrapping round (ours)
    """
    match head:
        case "row":
            return graph
        case "sorted":
            return falling(graph)
        case "relative":
            n = graph.shape[-1]
            steps = torch.arange(n, device=graph.device)
            index = (steps[:, None] + steps) % n
            return graph.gather(-1, index.expand_as(graph))
        case unknown:
            assert_never(unknown)

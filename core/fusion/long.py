r"""Fused graphs of long windows, tile by tile: N x N is computed but never kept.

    G[i, j] = sum over p, q  A[p, q] * R_a[i, j]^p * R_b[i, j]^q,    R = relu(cos), elementwise powers, R^0 = I

The same G as `core.fusion.graph.fuse` on `cosine` graphs, before it is rescaled. One dense graph of 20,000 units takes
1.6 GB; a tile takes half a megabyte and stays in the processor's cache from the product of features to the sum.
G is symmetric: `long_graph` and `between` compute only its upper half. `Rows` gives whole rows of G, some at a time, to
those who must sort or score them: `reading`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.fusion import graph as g

ROWS, COLUMNS = 256, 512  # a tile: as fast as larger ones for the product, and everything after it stays in cache
BLOCK = 4096  # strongest edges are sought in blocks of this side: 64 MB
BAND = 128  # rows of G that are sorted or scored together: 10 MB at 20,000 units
GROUP = 16  # entries looked at together when the strongest are sought; BLOCK is a multiple


@dataclass(frozen=True)
class LongGraph:
    """What is kept of a fused graph; edges in units of G before rescaling.

    degrees   sum of every unit's edges that are at least alpha, its relation to itself included, as in `graph.degrees`
    largest   largest entry of G: the number that rescale="graph" divides by when it is positive
    values    `(N, k)` each unit's strongest edges to other units, strongest first; 0 where fewer reach alpha
    partners  `(N, k)` the units at their other ends; -1 where fewer reach alpha
    """

    degrees: Float[Tensor, " n"]
    largest: float
    values: Float[Tensor, "n k"]
    partners: Int[Tensor, "n k"]


class Tile:
    """Evaluates G on pieces of cosine matrices, in buffers that are used again for every tile."""

    def __init__(self, A: Float[Tensor, "..."]) -> None:
        inner = A[(slice(1, None),) * A.ndim].double()
        self.factors: list[list[float]] | None = None
        self.inner = inner
        if inner.numel() and inner.ndim == 2:
            U, S, V = torch.linalg.svd(inner)
            if (S[1:] <= 1e-7 * S[0]).all():  # rank 1: a polynomial of each modality, multiplied
                self.factors = [(U[:, 0] * S[0]).tolist(), V[0].tolist()]
        elif inner.numel() and inner.ndim == 1:
            self.factors = [inner.tolist()]

    def __call__(self, cosines: Sequence[Float[Tensor, "r c"]]) -> Float[Tensor, "r c"]:
        """The sum over powers >= 1; `cosines` are overwritten."""
        for cosine in cosines:
            cosine.clamp_(0, 1)
        if not self.inner.numel():
            return cosines[0].zero_()
        if self.factors is not None:
            parts = [horner(cosine, factor) for cosine, factor in zip(cosines, self.factors, strict=True)]
            return parts[0] if len(parts) == 1 else parts[0].mul_(parts[1])
        return nested(list(cosines), self.inner)


def horner(x: Float[Tensor, "r c"], weights: Sequence[float]) -> Float[Tensor, "r c"]:
    """weights[0] x + weights[1] x^2 + ..."""
    total = x * weights[-1]
    for weight in reversed(weights[:-1]):
        total.add_(weight).mul_(x)
    return total


def nested(cosines: list[Tensor], weights: Float[Tensor, "..."]) -> Float[Tensor, "r c"]:
    """sum over p, q, ... >= 1 of weights * products of powers: Horner in the last modality, and so on inwards."""
    if weights.ndim == 1:
        return horner(cosines[0], weights.tolist())
    *before, last = cosines
    total: Tensor | None = None
    if weights.ndim == 2:  # the powers of the first modality serve every power of the second
        steps = [before[0]]
        for _ in range(weights.shape[0] - 1):
            steps.append(steps[-1] * before[0])
    for q in reversed(range(weights.shape[-1])):
        if weights.ndim == 2:
            part = (
                steps[0] * float(weights[0, q]) if total is None else total.add_(steps[0], alpha=float(weights[0, q]))
            )
            for step, weight in zip(steps[1:], weights[1:, q].tolist(), strict=True):
                part.add_(step, alpha=weight)
        else:
            inner = nested(before, weights[..., q])
            part = inner if total is None else total.add_(inner)
        total = part.mul_(last)
    assert total is not None
    return total


def directions(rows: Float[Tensor, "n d"]) -> g.Rows:
    """Rows of length 1, as `graph.cosine` sees them: scaled by their largest entry first; a zero row stays zero."""
    return g.unit_rows(rows / rows.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny))


def own_relations(rows: Sequence[Float[Tensor, "n _"]], A: Float[Tensor, "..."]) -> Float[Tensor, " n"]:
    """G's diagonal: the only place that power 0 touches."""
    stacks = []
    for row, size in zip(rows, A.shape, strict=True):
        own = row.square().sum(-1).clamp(0, 1)
        stacks.append(torch.stack([own**p for p in range(size)]))
    return g.contract(stacks, A)


def spans(n: int, step: int, first: int = 0) -> list[tuple[int, int]]:
    """Pieces of at most `step` that cover n things from `first` on."""
    return list(pairwise([*range(first, first + n, step), first + n]))


@torch.inference_mode()
def long_graph(
    rows: Sequence[Float[Tensor, "n _"]], A: Float[Tensor, "..."], alpha: float | None = None, k: int = 0
) -> LongGraph:
    """Degrees, largest entry and (with k) strongest edges of the graph fused from one feature matrix per modality.

    alpha   edges of at least alpha count, in units of G before rescaling; None: all do
    k       strongest edges per unit to keep
    """
    units = [directions(row) for row in rows]
    n, device = len(units[0]), units[0].device
    if not n:
        return LongGraph(torch.zeros(0), -math.inf, torch.zeros(0, k), torch.zeros(0, k, dtype=torch.long))
    tile, own = Tile(A), own_relations(units, A)
    cut = -math.inf if alpha is None else float(torch.tensor(alpha).nextafter(torch.tensor(-math.inf)))
    degrees, largest = torch.zeros(n, device=device), torch.tensor(-math.inf, device=device)
    edges = Edges(n, min(k, n - 1), device)
    buffers = [torch.empty(ROWS * COLUMNS, device=device) for _ in units]
    for top, bottom in spans(n, BLOCK):
        for west, east in spans(n, BLOCK):
            if east <= top:
                continue  # the mirror image of a block that was seen
            for start, stop in spans(bottom - top, ROWS, top):
                for left, right in spans(east - west, COLUMNS, west):
                    left = max(left, start)
                    if right <= left:
                        continue
                    cosines = [b[: (stop - start) * (right - left)].view(stop - start, -1) for b in buffers]
                    for cosine, unit in zip(cosines, units, strict=True):
                        torch.mm(unit[start:stop], unit[left:right].mT, out=cosine)
                    G = tile(cosines)
                    low, high = max(left, start), min(right, stop)
                    if low < high:
                        inside = torch.arange(low, high, device=device)
                        G[inside - start, inside - left] = own[low:high]
                    largest = torch.maximum(largest, G.amax())
                    edges.see(G, start - top, left - west, mirrored=top == west)
                    if alpha is not None:
                        torch.threshold_(G, cut, 0.0)
                    degrees[start:stop] += G.sum(1)
                    if right > stop:
                        beyond = max(stop, left)
                        degrees[beyond:right] += G[:, beyond - left :].sum(0)
            edges.merge(top, bottom, west, east)
    some = edges.values >= (-math.inf if alpha is None else alpha)
    some &= edges.values > -math.inf
    values, partners = torch.zeros(n, k, device=device), torch.full((n, k), -1, device=device)
    values[:, : edges.k] = edges.values.where(some, 0.0)
    partners[:, : edges.k] = edges.partners.where(some, -1)
    return LongGraph(degrees, float(largest), values, partners)


class Edges:
    """The k strongest edges of every unit so far, and the block of G they are sought in; nothing when k is 0."""

    def __init__(self, n: int, k: int, device: torch.device) -> None:
        self.k = k
        self.values = torch.full((n, k), -math.inf, device=device)
        self.partners = torch.full((n, k), -1, device=device)
        side = min(BLOCK, -(-n // GROUP) * GROUP) if k else 0
        self.block = torch.full((side, side), -math.inf, device=device)

    def see(self, G: Float[Tensor, "r c"], row: int, column: int, mirrored: bool) -> None:
        """Put a tile into the block; on the diagonal its mirror image too."""
        if not self.k:
            return
        rows, columns = slice(row, row + G.shape[0]), slice(column, column + G.shape[1])
        self.block[rows, columns] = G
        if mirrored:
            self.block[columns, rows] = G.mT

    def merge(self, top: int, bottom: int, west: int, east: int) -> None:
        """Compare the block's strongest edges with those so far: for its rows, and for its columns by symmetry."""
        if not self.k:
            return
        block, side = self.block, len(self.block)
        block[bottom - top :] = -math.inf
        block[:, east - west :] = -math.inf
        if top == west:
            block.fill_diagonal_(-math.inf)  # an edge joins two units
        groups = side // GROUP
        self.keep(block, block.view(side, GROUP, groups).amax(1), top, bottom, west)
        if top != west:
            self.keep(block.mT, block.view(GROUP, groups, side).amax(0).mT.contiguous(), west, east, top)

    def keep(
        self, block: Float[Tensor, "r c"], maxima: Float[Tensor, "r groups"], start: int, stop: int, other: int
    ) -> None:
        """Merge units start .. stop's edges to units from `other` on: they lie in the k groups of largest maxima.

        Group i of a row holds its columns i, i + groups, i + 2 groups, ...
        """
        height, groups = stop - start, maxima.shape[1]
        best = maxima[:height].topk(min(self.k, groups), dim=1).indices
        columns = (best[:, None, :] + groups * torch.arange(GROUP, device=best.device)[:, None]).flatten(1)
        values = torch.cat([self.values[start:stop], block[:height].gather(1, columns)], dim=1)
        partners = torch.cat([self.partners[start:stop], columns + other], dim=1)
        found = values.topk(self.k, dim=1)
        self.values[start:stop] = found.values
        self.partners[start:stop] = partners.gather(1, found.indices)


# ---------------------------------------------------------------------------- whole rows, some at a time


class Rows:
    """Rows of G before it is rescaled, `BAND` at a time: `count` x N numbers are held, never N x N."""

    def __init__(self, rows: Sequence[Float[Tensor, "n _"]], A: Float[Tensor, "..."]) -> None:
        self.units = [directions(row) for row in rows]
        self.A, self.tile, self.own = A, Tile(A), own_relations(self.units, A)
        self.n = len(self.units[0])

    def part(self, members: Int[np.ndarray, " members"]) -> "Rows":
        """The rows, and columns, of some units only."""
        return Rows([unit[torch.from_numpy(members)] for unit in self.units], self.A)

    def __call__(self, start: int, stop: int) -> Float[Tensor, "r n"]:
        like = self.units[0]
        band = like.new_empty(stop - start, self.n)
        for left, right in spans(self.n, COLUMNS):
            band[:, left:right] = self.tile([unit[start:stop] @ unit[left:right].mT for unit in self.units])
        band[torch.arange(stop - start), torch.arange(start, stop)] = self.own[start:stop]
        return band

    def bands(self) -> Iterator[tuple[int, int, Float[Tensor, "r n"]]]:
        """(start, stop, rows start .. stop of G)."""
        for start, stop in spans(self.n, BAND):
            yield start, stop, self(start, stop)


@torch.inference_mode()
def scale_of(rows: Rows, rescale: g.Rescale) -> tuple[float, float, float]:
    """(shift, scale, largest entry): G as the head sees it is (G - shift) / scale, as `graph.rescaled` says.

    Without a negative entry in A no relation exceeds the largest of a unit to itself, so no pass over G is needed.
    """
    if not rows.n:
        return 0.0, 1.0, -math.inf
    if rescale != "standard" and bool((rows.A >= 0).all()):
        top = float(rows.own.amax())
        return 0.0, 1.0 if rescale == "none" else max(top, 1e-6), top
    top, bottom, total, squares = -math.inf, math.inf, 0.0, 0.0
    for _, _, band in rows.bands():
        top, bottom = max(top, float(band.amax())), min(bottom, float(band.amin()))
        total, squares = total + float(band.double().sum()), squares + float(band.double().square().sum())
    if rescale == "none":
        return 0.0, 1.0, top
    if rescale == "standard":
        mean = total / rows.n**2
        return mean, max(squares / rows.n**2 - mean**2, 1e-12) ** 0.5, top
    return 0.0, top if top > 1e-6 else max(-bottom, 1e-6), top


@dataclass(frozen=True)
class Reading:
    """What a pass over whole rows of G tells, all after rescaling; the relation of a unit to itself included.

    degrees   `(N, alphas)` sum of every unit's relations of at least each alpha
    reached   `(N, alphas)` how many they are
    means     every unit's mean relation
    scores    what the head says of every row; None without a head
    values, partners   `(N, k)` as in `LongGraph`, of any strength; fewer units than k: -inf and -1
    """

    degrees: Float[np.ndarray, "n alphas"]
    reached: Int[np.ndarray, "n alphas"]
    means: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"] | None
    values: Float[np.ndarray, "n k"]
    partners: Int[np.ndarray, "n k"]


@torch.inference_mode()
def reading(
    rows: Rows,
    alphas: Float[np.ndarray, " alphas"],
    k: int = 0,
    shift: float = 0.0,
    scale: float = 1.0,
    head: Callable[[Tensor, Tensor, int], Tensor] | None = None,
    report: Callable[[float], None] = lambda done: None,
) -> Reading:
    """One pass over G: every row is sorted, so degrees at all `alphas` (rising) come with it, exactly.

    head    (rows of G, the same rows strongest first, number of the first) -> their scores
    """
    n = rows.n
    degrees, reached = np.zeros((n, len(alphas)), np.float32), np.zeros((n, len(alphas)), np.int32)
    means, scores = np.zeros(n, np.float32), None if head is None else np.zeros(n, np.float32)
    values, partners = np.full((n, k), -np.inf, np.float32), np.full((n, k), -1, np.int64)
    kept = min(k, max(n - 1, 0))
    for start, stop, band in rows.bands():
        band = band.sub_(shift).div_(scale) if shift else band.div_(scale)
        rising = np.sort(band.numpy(), axis=1)
        at = torch.searchsorted(
            torch.from_numpy(rising),
            torch.from_numpy(alphas.astype(rising.dtype)).expand(stop - start, -1).contiguous(),
        ).numpy()
        reached[start:stop] = n - at
        degrees[start:stop] = tails(rising, at)
        means[start:stop] = rising.mean(axis=1, dtype=np.float64)
        if scores is not None and head is not None:
            falling = torch.from_numpy(rising[:, ::-1].copy())
            scores[start:stop] = head(band, falling, start).numpy()
        if kept:
            band[torch.arange(stop - start), torch.arange(start, stop)] = -math.inf  # an edge joins two units
            found = band.topk(kept, dim=1)
            values[start:stop, :kept], partners[start:stop, :kept] = found.values.numpy(), found.indices.numpy()
        report(stop / n)
    return Reading(degrees, reached, means, scores, values, partners)


def tails(rising: Float[np.ndarray, "r n"], at: Int[np.ndarray, "r cuts"]) -> Float[np.ndarray, "r cuts"]:
    """Per row the sums of its entries from each of some rising places on, in float64; 0 from behind the last.

    >>> tails(np.array([[1.0, 2.0, 4.0]]), np.array([[0, 1, 1, 3]])).tolist()
    [[7.0, 6.0, 6.0, 0.0]]
    """
    r, n = rising.shape
    cuts = at.shape[1]
    if not cuts or not n:
        return np.zeros((r, cuts))
    padded = np.concatenate([rising, np.zeros((r, 1), rising.dtype)], axis=1)  # a place n for "behind the last"
    places = (at + (n + 1) * np.arange(r)[:, None]).ravel()
    parts = np.add.reduceat(padded.ravel(), places, dtype=np.float64).reshape(r, cuts)
    following = np.concatenate([at[:, 1:], np.full((r, 1), n)], axis=1)
    parts[following <= at] = 0.0  # reduceat gives one entry for an empty part
    # the last part of a row runs on to the next row's first place: sum it by itself
    last = [row[start:].sum(dtype=np.float64) for row, start in zip(rising, at[:, -1], strict=True)]
    parts[:, -1] = last
    return parts[:, ::-1].cumsum(axis=1)[:, ::-1]


@torch.inference_mode()
def between(
    rows: Rows, groups: Int[np.ndarray, " n"], count: int, report: Callable[[float], None] = lambda done: None
) -> Float[np.ndarray, "groups groups"]:
    """C^T G C before rescaling, C the table of who is in which group: sums of relations, on the diagonal within.

    Units are put in the order of their groups, so that a tile adds up by runs; only the upper half of G is computed.
    """
    total = np.zeros((count, count))
    if not rows.n:
        return total
    order = torch.from_numpy(np.argsort(groups, kind="stable"))
    units = [unit[order] for unit in rows.units]
    own, where = rows.own[order], groups[order.numpy()]
    for start, stop in spans(rows.n, ROWS):
        mine, first = runs(where[start:stop])
        for left, right in spans(rows.n - start, COLUMNS, start):
            G = rows.tile([unit[start:stop] @ unit[left:right].mT for unit in units]).numpy()
            low, high = left, min(right, stop)
            inside = np.arange(low, max(low, high))
            G[inside - start, inside - left] = own[inside].numpy()
            theirs, second = runs(where[left:right])
            sums = np.add.reduceat(np.add.reduceat(G, second, axis=1, dtype=np.float64), first, axis=0)
            if right > stop:  # what lies beyond the square on the diagonal counts for its mirror image too
                beyond = G[:, max(stop, left) - left :]
                others, third = runs(where[max(stop, left) : right])
                mirror = np.add.reduceat(np.add.reduceat(beyond, third, axis=1, dtype=np.float64), first, axis=0)
                np.add.at(total, (others[:, None], mine[None]), mirror.T)
            np.add.at(total, (mine[:, None], theirs[None]), sums)
        report(1 - (1 - stop / rows.n) ** 2)
    return total


def runs(sorted_: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
    """(value, first place) of every run of equal values.

    >>> [part.tolist() for part in runs(np.array([2, 2, 5]))]
    [[2, 5], [0, 2]]
    """
    first = np.flatnonzero(np.concatenate([[True], sorted_[1:] != sorted_[:-1]]))
    return sorted_[first], first

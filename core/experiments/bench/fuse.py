"""Fused graphs of many clips from cached powers: ours against the literal loop and three libraries."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from core.experiments.bench.shared import CLIPS, NODES, Action, Row, Tell, compared, interleaved, skipped
from core.fusion import graph as g


def random_graphs(count: int, seed: int = 0) -> list[g.Graph]:
    random = torch.Generator().manual_seed(seed)
    return [
        g.cosine(torch.randn(count, NODES, 16, generator=random) + torch.randn(count, 1, 16, generator=random))
        for _ in range(2)
    ]


def literal(powers_a: Sequence[Tensor], powers_b: Sequence[Tensor], A: Tensor) -> Tensor:
    """Eq. 5 as it is written: a loop over p and q; powers from 0, the identity, on."""
    total = torch.zeros_like(powers_a[0])
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            total = total + A[p, q] * (powers_a[p] * powers_b[q])
    return total


def by_scipy(powers_a: Sequence[sparse.csr_array], powers_b: Sequence[sparse.csr_array], A: np.ndarray) -> np.ndarray:
    total = sparse.csr_array(powers_a[0].shape, dtype=np.float32)
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            total = total + powers_a[p].multiply(powers_b[q]) * A[p, q]
    return total.toarray()


def by_networkx(powers_a: Sequence[nx.Graph], powers_b: Sequence[nx.Graph], A: np.ndarray) -> nx.Graph:
    fused = nx.Graph()
    fused.add_nodes_from(powers_a[0])
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            for i, j, weight in powers_a[p].edges(data="weight"):
                if powers_b[q].has_edge(i, j):
                    part = A[p, q] * weight * powers_b[q][i][j]["weight"]
                    if fused.has_edge(i, j):
                        fused[i][j]["weight"] += part
                    else:
                        fused.add_edge(i, j, weight=part)
    return fused


def by_pyg(powers_a: Sequence[tuple], powers_b: Sequence[tuple], A: np.ndarray) -> Tensor:
    """Sparse adjacency in torch_geometric's own form: every term's edges laid side by side, then coalesced."""
    from torch_geometric.utils import coalesce, to_dense_adj

    index, weight = [], []
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            dense_a = to_dense_adj(powers_a[p][0], edge_attr=powers_a[p][1], max_num_nodes=NODES)[0]
            edges, values = powers_b[q]
            index.append(edges)
            weight.append(A[p, q] * dense_a[edges[0], edges[1]] * values)
    edges, values = coalesce(torch.cat(index, dim=1), torch.cat(weight), NODES)
    return to_dense_adj(edges, edge_attr=values, max_num_nodes=NODES)[0]


def sparse_edges(power: Tensor) -> tuple:
    """One power of one clip in torch_geometric's form: (edges, their weights)."""
    from torch_geometric.utils import dense_to_sparse

    return dense_to_sparse(power)


@dataclass(frozen=True)
class Rival:
    """A library that fuses one clip at a time: a few are timed, and scaled.

    held    a power of one clip as the library holds a graph
    fuse    fuses one clip: both modalities' powers as held, and A
    dense   the fused graph as a matrix again
    """

    name: str
    held: Callable[[Tensor], Any]
    fuse: Callable[..., Any]
    dense: Callable[[Any], Tensor]
    few: int
    goal: float
    package: str


RIVALS = (
    Rival("PyG", sparse_edges, by_pyg, lambda fused: fused, 20, 3.0, "torch_geometric"),
    Rival("scipy.sparse", lambda p: sparse.csr_array(p.numpy()), by_scipy, torch.from_numpy, 20, 100.0, "scipy"),
    Rival(
        name="NetworkX",
        held=lambda p: nx.from_numpy_array(p.double().numpy()),
        fuse=by_networkx,
        dense=lambda fused: torch.from_numpy(nx.to_numpy_array(fused)),
        few=2,
        goal=100.0,
        package="networkx",
    ),
)


def one_by_one(rival: Rival, clips: Sequence[Sequence[Sequence[object]]], A: np.ndarray) -> list[object]:
    """A rival on each of some clips: clips[i] is both modalities' powers of clip i."""
    return [rival.fuse(*powers, A) for powers in clips]


def fusing(tell: Tell) -> Iterator[Row]:
    """Fused graphs of 500 clips from cached powers, P = Q = 3 and 10."""
    for top, goal in ((3, 4.0), (10, 15.0)):
        tell(f"fused graphs, P = Q = {top}")
        yield from fusing_to(top, goal)


def fusing_to(top: int, goal: float) -> Iterator[Row]:
    """The rows of one highest power; every rival's answer is compared with the literal loop's first."""
    graphs = random_graphs(CLIPS)
    A = torch.randn(top + 1, top + 1, generator=torch.Generator().manual_seed(1))
    stacks = [g.powers(graph, top) for graph in graphs]
    eye = torch.eye(NODES).expand_as(graphs[0])
    cached = [[eye.contiguous(), *stack] for stack in stacks]
    halves = g.Halves.of(stacks)
    wanted = literal(cached[0], cached[1], A)
    atol = 1.3e-6 * top * max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(halves.fuse(A), wanted, atol=atol, rtol=1e-5)
    actions: dict[str, Action] = {"ours": partial(halves.fuse, A), "literal": partial(literal, cached[0], cached[1], A)}
    there = [rival for rival in RIVALS if find_spec(rival.package)]
    for rival in there:
        held = [[[rival.held(power[i]) for power in powers] for powers in cached] for i in range(rival.few)]
        first = rival.dense(rival.fuse(*held[0], A.numpy())).float()
        torch.testing.assert_close(first, wanted[0], atol=1e-4, rtol=1e-4)
        actions[rival.name] = partial(one_by_one, rival, held, A.numpy())
    with torch.inference_mode():
        took = interleaved(actions, slow=[rival.name for rival in there])
    name = f"fused graphs of {CLIPS} clips from cached powers, P = Q = {top}"
    yield compared(name, took["ours"], "literal torch loop", took["literal"], goal)
    for rival in RIVALS:
        if rival not in there:
            yield skipped(name, rival.name, rival.goal, f"{rival.package} is not installed")
            continue
        theirs = took[rival.name] * CLIPS / rival.few
        yield compared(name, took["ours"], rival.name, theirs, rival.goal, f"{rival.few} clips, scaled to {CLIPS}")

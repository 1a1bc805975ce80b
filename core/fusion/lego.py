r"""LEGO: fuse relationship graphs through a learned table of graph powers, score every row of the result.

    G = sum over p, q  A[p, q] * R_a^p * R_b^q        (eq. 5; eq. 4 with A = a outer b)
    score_i = sigmoid(Linear(N, 1)(relu(Linear(N, N)(G_i))))
    loss = BCE(highest unit score, clip label) + lambda * degree variance (eq. 7)

Ding et al., "Learnable Expansion of Graph Operators for Multi-Modal Feature Fusion", ICLR 2025,
https://arxiv.org/abs/2410.01506. Where paper and released code differ, both are options by name.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core.fusion import graph as g
from core.fusion.base import Count, Features, Fused, Fusion, Positive, Size, Weight, about, options

Gate = Literal["none", "sigmoid", "relu"]


@options
class LegoConfig:
    """Options of LEGO; the defaults' evidence is in docs/decisions."""

    P: Count = about(3, "highest power of the first modality")
    Q: Count = about(3, "highest power of the second modality")
    rest: Count = about(3, "highest power of every further modality")
    project: Size | None = about(32, "width of the learned projection before the graph; none: the features as they are")
    relation: g.Relation = about("cosine", "what an edge means")
    sigma: Positive | None = about(None, "width of the rbf relation; none: the median distance")
    steps: Size = about(1, "frames in a row, for the soft-dtw relation")
    expansion: g.Expansion = about("elementwise", "elementwise powers (released code) or walks (eq. 3)")
    normalise: g.Normalise = about("spectral", "what a graph is divided by before walks")
    operator: Literal["matrix", "outer"] = about("matrix", "matrix: free A (eq. 5); outer: A = a outer b (eq. 4)")
    gate: Gate = about(
        "sigmoid",
        "on A before use: none (paper), sigmoid (released code), relu; with none, half of all seeds begin with a "
        "mostly negative G, which divided by its maximum tells nothing",
    )
    rescale: g.Rescale = about(
        "graph", "G by its own maximum, the batch's (released code), to zero mean and unit deviation, or not"
    )
    head: g.Head = about("sorted", "order in which the head reads a row of G")
    nodes: Size = about(32, "N, units in a window")
    pairing: Literal["full", "random"] = about(
        "full", "more than two modalities: full multilinear A, or a random pair a step (the paper)"
    )
    regulariser: g.Regulariser = about("equation", "eq. 7 as printed or as released")
    alpha: float = about(0.5, "edges of the fused graph below it do not count in eq. 7")
    k: Count = about(10, "how many of an anomalous clip's highest degrees enter eq. 7")
    lam: Weight = about(1.0, "weight of eq. 7 in the loss")


@dataclass(frozen=True)
class LegoTrace:
    """graphs: per modality. operator: A after its gate. raw: G as summed; fused: G as the head reads it."""

    graphs: Mapping[str, g.Graph]
    operator: Float[Tensor, "..."]
    raw: g.Graph
    fused: g.Graph


class RowHead(nn.Module):
    """Linear(width, N), ReLU, Linear(N, 1), sigmoid on every row of a graph."""

    def __init__(self, nodes: int, order: g.Head, width: int | None = None) -> None:
        super().__init__()
        self.order: g.Head = order
        self.fc1, self.fc2 = nn.Linear(width or nodes, nodes), nn.Linear(nodes, 1)

    def forward(self, *graphs: g.Graph) -> Float[Tensor, "*batch n"]:
        ordered = [g.ordered(graph, self.order) for graph in graphs]
        rows = ordered[0] if len(ordered) == 1 else torch.cat(ordered, dim=-1)
        return self.fc2(self.fc1(rows).relu()).squeeze(-1).sigmoid()


class Projection(nn.ModuleDict):
    """One Linear(d_m, project) per modality; with `steps` > 1 a row is that many frames, each projected alike."""

    def __init__(self, widths: Mapping[str, int], project: int | None, steps: int = 1) -> None:
        bad = [name for name, width in widths.items() if width % steps]
        if bad:
            raise ValueError(
                f"modality {bad[0]!r} has width {widths[bad[0]]}, which does not split into {steps} frames"
            )
        layers = {} if project is None else {name: nn.Linear(width // steps, project) for name, width in widths.items()}
        super().__init__({f"of_{name}": layer for name, layer in layers.items()})
        self.steps = steps

    def forward(self, name: str, rows: Float[Tensor, "*batch n _"]) -> Float[Tensor, "*batch n _"]:
        if not len(self):
            return rows
        layer = self[f"of_{name}"]
        if self.steps == 1:
            return layer(rows)
        return layer(rows.unflatten(-1, (self.steps, -1))).flatten(-2)


class Lego(Fusion):
    """Unit scores from the fused relationship graph of two or more modalities."""

    Config = LegoConfig
    config: LegoConfig
    held: Tensor | None = None  # an operator put in by hand

    def __init__(self, widths: Mapping[str, int], config: LegoConfig | None = None) -> None:
        config = config or LegoConfig()
        super().__init__(widths, config)
        if len(widths) < 2:
            raise ValueError(f"LEGO fuses two or more modalities, got {list(widths)}; use 'single' for one")
        self.window = config.nodes
        self.project = Projection(widths, config.project, config.steps if config.relation == "soft-dtw" else 1)
        self.tops = dict(zip(widths, [config.P, config.Q] + [config.rest] * (len(widths) - 2), strict=True))
        sizes = [config.P, config.Q] if config.pairing == "random" else list(self.tops.values())
        shape = [size + 1 for size in sizes]
        if config.operator == "matrix":
            self.A = nn.Parameter(torch.randn(shape))
        else:
            self.selectors = nn.ParameterList([nn.Parameter(torch.randn(size)) for size in shape])
        self.head = RowHead(config.nodes, config.head)

    def operator(self) -> Float[Tensor, "..."]:
        """A as it is used: after the outer product (eq. 4) and the gate; or as `under` holds it."""
        if self.held is not None:
            return self.held
        if self.config.operator == "matrix":
            A = self.A
        else:
            A = self.selectors[0]
            for selector in list(self.selectors)[1:]:
                A = A[..., None] * selector
        return {"none": lambda x: x, "sigmoid": torch.sigmoid, "relu": torch.relu}[self.config.gate](A)

    def under(self, A: Float[Tensor, "..."]) -> "Lego":
        """The same fusion with another operator; every weight is shared."""
        other = copy.copy(self)
        other.held = A
        return other

    def graphs(self, features: Features) -> dict[str, g.Graph]:
        """One graph per modality; a missing one's is all ones, the neutral element of the product."""
        present = [name for name in self.widths if name in features]
        if not present:
            raise ValueError(f"none of the modalities {list(self.widths)} is there")
        found = {
            name: g.relate(
                self.project(name, features[name]), self.config.relation, self.config.sigma, self.config.steps
            )
            for name in present
        }
        like = found[present[0]]
        return {name: found.get(name, torch.ones_like(like)) for name in self.widths}

    def stack(self, graph: g.Graph, count: int, missing: bool = False) -> g.Powers:
        """Powers 1 .. count as configured; a missing modality's stay all ones."""
        if missing:
            return torch.ones(count, *graph.shape, dtype=graph.dtype, device=graph.device)
        if self.config.expansion == "walks":
            graph = g.normalised(graph, self.config.normalise)
        return g.powers(graph, count, self.config.expansion)

    def fold(self, graphs: Mapping[str, g.Graph], A: Float[Tensor, "..."], present: Sequence[str]) -> g.Graph:
        """G before it is rescaled: one multilinear sum, or pair after pair from the left (pairing="random")."""
        names = list(graphs)
        if self.config.pairing == "full" or len(names) == 2:
            return g.fuse([self.stack(graphs[n], self.tops[n], n not in present) for n in names], A)
        if self.training:
            pairs = list(permutations(names, 2))
            names = list(pairs[int(torch.randint(len(pairs), ()))])
        total = graphs[names[0]]
        for step, name in enumerate(names[1:]):
            left = self.stack(total, self.config.P, step == 0 and names[0] not in present)
            raw = g.fuse([left, self.stack(graphs[name], self.config.Q, name not in present)], A)
            total = g.rescaled(raw, "graph" if self.config.rescale == "none" else self.config.rescale)
        return raw

    def forward(self, features: Features) -> Fused[LegoTrace]:
        graphs = self.graphs(features)
        return self.from_graphs(graphs, [name for name in graphs if name in features])

    def from_graphs(self, graphs: Mapping[str, g.Graph], present: Sequence[str]) -> Fused[LegoTrace]:
        """All that follows the relations; a modality that is not `present` is missing."""
        A = self.operator().to(next(iter(graphs.values())).dtype)  # an operator put in by hand stays in float32
        raw = self.fold(graphs, A, present)
        fused = g.rescaled(raw, self.config.rescale)
        return Fused(self.head(fused), LegoTrace(graphs, A, raw, fused))

    def penalty(self, fused: Fused[LegoTrace], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        config = self.config
        if config.lam == 0:
            return fused.scores.new_zeros(())
        return config.lam * g.degree_variance(fused.trace.fused, anomalous, config.alpha, config.k, config.regulariser)

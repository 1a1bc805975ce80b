r"""MISA: every modality is read twice, by an encoder that all share and by one of its own.

    u_m = layernorm(relu(W_m x_m))                                width `dim`
    c_m = sigmoid(W_c u_m),   p_m = sigmoid(W_p,m u_m)             shared and private
    û_m = W_d,m (p_m + c_m)                                        reconstructed
    [c_1 ... c_M, p_1 ... p_M] -> one transformer layer -> side by side -> classifier

    loss += similarity * mean over pairs of CMD(c_a, c_b)
          + difference * sum over pairs of ‖P_aᵀ P_b‖²_F and over m of ‖C_mᵀ P_m‖²_F
          + reconstruction * mean over m of MSE(û_m, u_m)

    C_m, P_m: the batch's rows, columns centred, then rows scaled to length 1

    CMD(x, y) = ‖mean x - mean y‖ + Σ_{k=2..5} ‖C_k(x) - C_k(y)‖,  C_k the k-th central moments of columns

Hazarika et al., "MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment Analysis", ACM MM
2020, eqs. 3 to 9; CMD: Zellinger et al., ICLR 2017. As in the released code ‖·‖²_F is the mean square of the matrix's
entries. The recurrent readers in front of u_m are left out: a row is one vector.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core.fusion.base import Count, Features, Fused, Size, VectorFusion, Weight, about, options
from core.fusion.gmf import SplitTrace, classifier
from core.fusion.lego import Projection
from core.fusion.mbt import Block
from core.sample import UNITS, Task

Matrix = Float[Tensor, "n d"]


def length(vector: Float[Tensor, " d"]) -> Float[Tensor, ""]:
    """‖vector‖, with a gradient at 0 too."""
    return (vector.square().sum() + 1e-12).sqrt()


def moment_gap(x: Matrix, y: Float[Tensor, "m d"], order: int = 5) -> Float[Tensor, ""]:
    """CMD: how far two sets of rows are apart, from their means and their central moments up to `order`.

    >>> x = torch.rand(6, 3)
    >>> float(moment_gap(x, x.flip(0))) < 1e-5
    True
    """
    mean_x, mean_y = x.mean(0), y.mean(0)
    gaps = [length(mean_x - mean_y)]
    for k in range(2, order + 1):
        gaps.append(length((x - mean_x).pow(k).mean(0) - (y - mean_y).pow(k).mean(0)))
    return torch.stack(gaps).sum()


def overlap(x: Matrix, y: Float[Tensor, "n e"]) -> Float[Tensor, ""]:
    """Mean square of XᵀY's entries, columns centred and rows scaled to length 1: 0 when the columns are unrelated."""
    x, y = (nn.functional.normalize(rows - rows.mean(0), dim=1, eps=1e-6) for rows in (x, y))
    return (x.mT @ y).square().mean()


@options
class MisaConfig:
    """Options of MISA."""

    dim: Size = about(32, "width of every part")
    heads: Size = about(4, "attention heads of the transformer layer")
    similarity: Weight = about(1.0, "weight of CMD between the shared parts")
    difference: Weight = about(0.3, "weight of the overlap of parts that must differ")
    reconstruction: Weight = about(1.0, "weight of the reconstruction error")
    project: Size | None = about(None, "width of a learned projection before it all; none: none")
    hidden: Count = about(32, "hidden units of the classifier; 0 for a linear one")


class Misa(VectorFusion):
    """Shared and private parts of every modality, kept apart by the loss; `invariant` and `specific` in the trace."""

    Config = MisaConfig
    config: MisaConfig

    def __init__(self, widths: Mapping[str, int], config: MisaConfig | None = None, task: Task = UNITS) -> None:
        c = config or MisaConfig()
        super().__init__(widths, c, task)
        self.project = Projection(widths, c.project)
        self.read = nn.ModuleList(
            nn.Sequential(nn.Linear(c.project or width, c.dim), nn.ReLU(), nn.LayerNorm(c.dim))
            for width in widths.values()
        )
        self.shared = nn.Sequential(nn.Linear(c.dim, c.dim), nn.Sigmoid())
        self.private = nn.ModuleList(nn.Sequential(nn.Linear(c.dim, c.dim), nn.Sigmoid()) for _ in widths)
        self.decode = nn.ModuleList(nn.Linear(c.dim, c.dim) for _ in widths)
        self.mix = Block(c.dim, c.heads)
        self.head = classifier(2 * len(widths) * c.dim, c.hidden, task.outputs)

    def forward(self, features: Features) -> Fused[SplitTrace]:
        rows = {name: self.project(name, each) for name, each in self.rows(features).items()}
        inputs = {name: read(rows[name]) for name, read in zip(rows, self.read, strict=True)}
        shared = {name: self.shared(u) for name, u in inputs.items()}
        private = {name: own(inputs[name]) for name, own in zip(rows, self.private, strict=True)}
        back = {name: decode(private[name] + shared[name]) for name, decode in zip(rows, self.decode, strict=True)}
        mixed = self.mix(torch.stack([*shared.values(), *private.values()], -2))
        return self.answered(self.head(mixed.flatten(-2)), SplitTrace(inputs, shared, private, back))

    def penalty(self, fused: Fused[Any], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        trace, c = fused.trace, self.config
        shared, private = (
            [rows.flatten(0, -2) for rows in part.values()] for part in (trace.invariant, trace.specific)
        )
        pairs = list(combinations(range(len(shared)), 2))
        similar = [moment_gap(shared[a], shared[b]) for a, b in pairs]
        differ = [overlap(private[a], private[b]) for a, b in pairs]
        differ += [overlap(s, p) for s, p in zip(shared, private, strict=True)]
        lost = [(trace.reconstructed[name] - u).square().mean() for name, u in trace.inputs.items()]
        zero = lost[0].new_zeros(())
        return (
            c.similarity * (torch.stack(similar).mean() if similar else zero)
            + c.difference * torch.stack(differ).sum()
            + c.reconstruction * torch.stack(lost).mean()
        )

    def fusion_part(self) -> nn.Module:
        return nn.ModuleList([self.read, self.shared, self.private, self.decode, self.mix])

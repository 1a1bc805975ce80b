r"""LMF: the outer product of all modalities through a tensor of rank r, never built.

    z~_m = [1; z_m]
    h    = sum over i = 1..r of  w_i * (product over m of  z~_m W_m^i)  +  b          (product entry by entry, h wide)
    y    = P h + c                                                                    (linear predictor)

Liu et al., "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", ACL 2018, eq. 6-8,
https://arxiv.org/abs/1806.00064; METHODS section 3. Two decompositions of h - b are exact:

    by rank          term_i = w_i * product over m of (z~_m W_m^i)
    by interaction   z~_m W_m^i = z_m V_m^i + u_m^i  (u: the row of W that meets the 1), so term_i is the sum over the
                     subsets S of the modalities of  w_i * product over m in S of (z_m V_m^i) * product of other u_m^i

The empty subset is what the factors make of no modality at all. z_m is 0 for a missing modality, which therefore has a
part in nothing: the learned layers in front keep that zero (no bias, or the layers' answer to zeros taken off).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.fusion.base import Features, Fused, Share, Size, VectorFusion, about, options
from core.sample import UNITS, Task

Rows = Mapping[str, Float[Tensor, "*batch _"]]
Factors = Mapping[str, Float[Tensor, "rank _ out"]]
Terms = Float[Tensor, "*batch rank out"]


def interactions(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Every subset of the modalities, small ones first.

    >>> interactions(["audio", "text"])
    ((), ('audio',), ('text',), ('audio', 'text'))
    """
    return tuple(subset for size in range(len(names) + 1) for subset in combinations(names, size))


def linear(z: Float[Tensor, "*batch d"], W: Float[Tensor, "rank d+1 out"]) -> Terms:
    """z V: what the modality itself adds to its factor, for every rank."""
    return torch.einsum("...d,rdo->...ro", z, W[:, 1:])


def rank_terms(rows: Rows, factors: Factors, w: Float[Tensor, " rank"]) -> Terms:
    """The weighted rank-1 terms; their sum over the rank is h - b.

    >>> z, W = {"a": torch.rand(5, 3)}, {"a": torch.rand(2, 4, 6)}
    >>> h = rank_terms(z, W, torch.ones(2)).sum(-2)
    >>> torch.allclose(h, torch.cat([torch.ones(5, 1), z["a"]], dim=1) @ W["a"].sum(0))
    True
    """
    parts = [linear(rows[name], W) + W[:, 0] for name, W in factors.items()]
    return torch.stack(parts).prod(dim=0) * w[:, None]


def expanded_terms(
    rows: Rows, factors: Factors, w: Float[Tensor, " rank"]
) -> Float[Tensor, "*batch rank interactions out"]:
    """Each rank-1 term split by interaction, in the order of `interactions`; they sum to `rank_terms`."""
    own = {name: linear(rows[name], W) for name, W in factors.items()}
    found = []
    for subset in interactions(list(factors)):
        part = w[:, None].expand_as(next(iter(own.values())))
        for name, W in factors.items():
            part = part * (own[name] if name in subset else W[:, 0])
        found.append(part)
    return torch.stack(found, dim=-2)


class LowRank(nn.Module):
    """Factors of every modality, `(rank, width + 1, out)`, the weights of the ranks and b: r h sum(d + 1) + r + h.

    Drawn so that products of many factors neither vanish nor blow up and no interaction is favoured: the row of W that
    meets the 1 is ±1, the others have variance 1 / d. With rows of unit variance every subset of modalities then
    starts with the same mass, and w = 1 / sqrt(rank) keeps h's size for any rank.
    """

    def __init__(self, widths: Mapping[str, int], rank: int, out: int) -> None:
        super().__init__()
        self.names = tuple(widths)
        for name, width in widths.items():
            W = torch.randn(rank, width + 1, out) / width**0.5
            W[:, 0] = torch.randint(0, 2, (rank, out)) * 2.0 - 1.0
            self.register_parameter(f"factor_of_{name}", nn.Parameter(W))
        self.w = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.b = nn.Parameter(torch.zeros(out))

    @property
    def factors(self) -> dict[str, Float[Tensor, "rank _ out"]]:
        return {name: self.get_parameter(f"factor_of_{name}") for name in self.names}

    @property
    def rank(self) -> int:
        return len(self.w)

    def terms(self, rows: Rows) -> Terms:
        return rank_terms(rows, self.factors, self.w)

    def expanded(self, rows: Rows) -> Float[Tensor, "*batch rank interactions out"]:
        """Rank by interaction, in the precision of `rows`."""
        kind = next(iter(rows.values())).dtype
        return expanded_terms(rows, {name: W.to(kind) for name, W in self.factors.items()}, self.w.to(kind))

    def forward(self, rows: Rows) -> Float[Tensor, "*batch out"]:
        return self.terms(rows).sum(-2) + self.b


class Reading(NamedTuple):
    """How a model reads a low-rank product, so that its parts can be followed into the outputs:

        outputs = readout (sum of terms + b) + rest        (real targets: before they get their own units)

    module    the product
    inputs    features -> (rows z_m of the module, rest `(*batch, outputs)`: what else enters, the last bias at least)
    readout   `(outputs, out)`
    """

    module: LowRank
    inputs: Callable[[Features], tuple[dict[str, Tensor], Tensor]]
    readout: Float[Tensor, "outputs out"]


class Subnetwork(nn.Module):
    """A modality's own layers before the product: z = f(x) - f(0), so that zeros, a missing modality, stay zeros.

    f is Linear(d, hidden), ReLU, Linear(hidden, project); without `hidden` Linear(d, project); without both nothing.
    """

    def __init__(self, width: int, project: int | None, hidden: int | None) -> None:
        super().__init__()
        self.out = project or width
        self.first = None if hidden is None else nn.Linear(width, hidden)
        last = hidden or width
        self.last = None if hidden is None and project is None else nn.Linear(last, self.out, bias=False)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch out"]:
        if self.first is not None:
            x = self.first(x).relu() - self.first.bias.relu()
        return x if self.last is None else self.last(x)


@options
class LmfConfig:
    """Options of LMF."""

    rank: Size = about(4, "rank-1 terms r")
    out: Size = about(16, "width h of the fused vector")
    project: Size | None = about(
        None, "width of a learned projection of every modality before the product; none: raw width"
    )
    hidden: Size | None = about(None, "ReLU units of a layer before that (the paper's sub-networks); none: linear only")
    dropout: Share = about(0.0, "share of the rows' entries left out in training")


@dataclass(frozen=True)
class LmfTrace:
    """rows: z_m, what enters the product. terms: what each rank adds to h; they sum to h - b. fused: h."""

    rows: Rows
    terms: Terms
    fused: Float[Tensor, "*batch out"]


class Lmf(VectorFusion):
    """Low-rank multimodal fusion and its linear predictor."""

    Config = LmfConfig
    config: LmfConfig

    def __init__(self, widths: Mapping[str, int], config: LmfConfig | None = None, task: Task = UNITS) -> None:
        config = config or LmfConfig()
        super().__init__(widths, config, task)
        self.before = nn.ModuleList(Subnetwork(width, config.project, config.hidden) for width in widths.values())
        self.dropout = nn.Dropout(config.dropout)
        self.product = LowRank(
            {name: config.project or width for name, width in widths.items()}, config.rank, config.out
        )
        self.predict = nn.Linear(config.out, task.outputs)

    def latents(self, features: Features) -> dict[str, Float[Tensor, "*batch units _"]]:
        """z_m: every modality's rows as the product reads them."""
        return {
            name: self.dropout(layers(x))
            for layers, (name, x) in zip(self.before, self.rows(features).items(), strict=True)
        }

    def forward(self, features: Features) -> Fused[LmfTrace]:
        rows = self.latents(features)
        terms = self.product.terms(rows)
        fused = terms.sum(-2) + self.product.b
        return self.answered(self.predict(fused), LmfTrace(rows, terms, fused))

    def fusion_part(self) -> nn.Module:
        return self.product

    def low_rank(self) -> Reading:
        """For `core.explain.lowrank`."""

        def inputs(features: Features) -> tuple[dict[str, Tensor], Tensor]:
            rows = self.latents(features)
            count = next(iter(rows.values())).shape[:-1]
            return rows, self.predict.bias.expand(*count, -1)

        return Reading(self.product, inputs, self.predict.weight)

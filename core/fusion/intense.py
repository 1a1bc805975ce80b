r"""InTense: a branch for every modality and for every interaction, and how much each of them counts.

    z_m     = BatchNorm(V_m x_m)                          latents of modality m: mean 0, variance 1 over the rows
    z_S     = tensor product of z_m over m in S           an interaction of the modalities S
    :z_S:   = z_S - sum over T, a part of S but not S, of  E[z_(S without T)] ⊗ :z_T:      (axes aligned)
    u_S     = :z_S: / sqrt(E ‖:z_S:‖²)                    one scalar a branch, so E ‖u_S‖² = 1 whatever its width
    y       = sum over S of u_S W_S  +  b
    penalty = lam * (sum over S of ‖W_S‖^q)^(2/q)         q = 2p / (p + 1), Frobenius norms
    s_S     = ‖W_S‖^(2/(p+1)) / (sum ‖W‖^(2p/(p+1)))^(1/p)        relevance; sum of s^p is 1

Varshneya et al., "Interpretable Tensor Fusion", IJCAI 2024, https://arxiv.org/abs/2405.04671; METHODS section 4.

Freeing. Latents have mean 0, so the recursion reads z_12 - E[12] for two modalities and
z_123 - E[123] - E[12] ⊗ z_3 - E[13] ⊗ z_2 - E[23] ⊗ z_1 for three; for any number it is the Wick product of
probability theory. Its mean is 0 always. It is uncorrelated with everything of lower order when the latents are
jointly Gaussian or the modalities independent; skewed latents that depend on each other keep a rest.

Penalty. (sum ‖W_S‖^q)^(2/q) is the least of sum ‖W_S‖² / s_S over all s >= 0 with ‖s‖_p <= 1, and the relevances are
the s that reach it: l_p-norm multiple kernel learning in the form of weights. Adam's own weight decay adds
weight_decay / 2 * ‖W‖² to the loss, the same penalty at p = infinity, which evens the relevances out: train with
`--set weight_decay=0`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core.fusion.base import LARGEST, Features, Fused, Size, VectorFusion, Weight, about, options
from core.fusion.lmf import Subnetwork
from core.sample import UNITS, Target, Task

MOMENTUM = 0.1  # share of the newest batch in the running statistics
CALIBRATED = 16_384  # most rows the first statistics are taken from
WIDEST = 1 << 16  # entries of one interaction

Subset = tuple[str, ...]
Rows = Mapping[str, Float[Tensor, "n _"]]
Moments = Mapping[Subset, Float[Tensor, "..."]]


def branches(names: Iterable[str], order: int) -> tuple[Subset, ...]:
    """Every modality and every interaction of up to `order` of them, small ones first.

    >>> branches(["audio", "text"], 2)
    (('audio',), ('text',), ('audio', 'text'))
    """
    names = tuple(names)
    return tuple(subset for size in range(1, min(order, len(names)) + 1) for subset in combinations(names, size))


def normal(
    raw: Rows, mean: Float[Tensor, "modalities width"], variance: Float[Tensor, "modalities width"]
) -> dict[str, Float[Tensor, "n width"]]:
    """z_m: raw latents with the mean and the variance taken off."""
    return {name: (rows - mean[at]) * (variance[at] + 1e-5).rsqrt() for at, (name, rows) in enumerate(raw.items())}


def product(z: Rows, subset: Subset) -> Float[Tensor, "n ..."]:
    """z_S of every row, an axis a modality.

    >>> product({"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[3.0, 5.0]])}, ("a", "b")).tolist()
    [[[3.0, 5.0], [6.0, 10.0]]]
    """
    found = z[subset[0]]
    for name in subset[1:]:
        found = found[..., None] * z[name].reshape(len(found), *[1] * (found.ndim - 1), -1)
    return found


def moments(z: Rows, subsets: Iterable[Subset]) -> dict[Subset, Float[Tensor, "..."]]:
    """E[z_S] over the rows, for interactions."""
    return {subset: product(z, subset).mean(0) for subset in subsets if len(subset) > 1}


def freed(z: Rows, known: Moments, subsets: Iterable[Subset]) -> dict[Subset, Float[Tensor, "n ..."]]:
    """:z_S: of every row, an axis a modality. `subsets` go up in size and lack none below; z has mean 0.

    `known` are the moments to take off; with those of the rows themselves every :z_S: has mean 0.
    """
    found: dict[Subset, Tensor] = {}
    for whole in subsets:
        rest = product(z, whole)
        if len(whole) > 1:
            rest = rest - known[whole]
        letters = dict(zip(whole, ascii_lowercase, strict=False))
        for lower in branches(whole, len(whole) - 2):  # without one modality: its mean is 0
            gone = tuple(name for name in whole if name not in lower)
            axes = ["".join(letters[name] for name in names) for names in (gone, lower, whole)]
            rest = rest - torch.einsum(f"{axes[0]},z{axes[1]}->z{axes[2]}", known[gone], found[lower])
        found[whole] = rest
    return found


def powers(found: Mapping[Subset, Float[Tensor, "n ..."]]) -> Float[Tensor, " branches"]:
    """E ‖:z_S:‖² over the rows."""
    return torch.stack([rows.square().flatten(1).sum(1).mean() for rows in found.values()])


def power_norm(norms: Float[Tensor, " branches"], p: float) -> Float[Tensor, ""]:
    """(sum ‖W_S‖^q)^(2/q) with q = 2p / (p + 1); its gradient at 0 is 0 where no direction is better than another.

    >>> power_norm(torch.tensor([3.0, 4.0]), 1.0).item()
    49.0
    """
    q = 2 * p / (p + 1)
    return norms.pow(q).sum().pow(2 / q)


def relevances(norms: Float[Tensor, " branches"], p: float) -> Float[Tensor, " branches"]:
    """s_S: how much each branch counts, sum of s^p = 1; all 0 when every weight is 0.

    >>> relevances(torch.tensor([3.0, 1.0]), 1.0).tolist()
    [0.75, 0.25]
    """
    shares = norms / norms.amax().clamp(min=1e-30)  # large p would otherwise overflow
    return shares.pow(2 / (p + 1)) / shares.pow(2 * p / (p + 1)).sum().clamp(min=1e-30).pow(1 / p)


@options
class IntenseConfig:
    """Options of InTense."""

    p: float = about(2.0, "norm of the relevances: 1 leaves few branches, a large p evens them out", ge=1, le=LARGEST)
    order: Size = about(
        2, "most modalities in one interaction; 1: no interactions. More than there are means all of them"
    )
    project: Size = about(8, "width of every modality's latents; an interaction of k modalities is project^k wide")
    hidden: Size | None = about(None, "ReLU units of a layer before the latents; none: they are linear in the features")
    lam: Weight = about(0.01, "strength of the penalty")


@dataclass(frozen=True)
class IntenseTrace:
    """What every branch says.

    subsets     the modalities of each branch
    relevance   s_S, sum of s^p = 1
    parts       what each branch adds to the outputs; they sum to the outputs minus b (real targets: before those get
                their own units). A part is 0 on average over the training rows.
    bias        b
    """

    subsets: tuple[Subset, ...]
    relevance: Float[Tensor, " branches"]
    parts: Float[Tensor, "*batch branches outputs"]
    bias: Float[Tensor, " outputs"]


class Statistics(NamedTuple):
    """What evaluation normalises by: mean and variance of raw latents, moments of z, and E ‖:z_S:‖² of each branch."""

    mean: Float[Tensor, "modalities width"]
    variance: Float[Tensor, "modalities width"]
    moments: Moments
    powers: Float[Tensor, " branches"]


class Intense(VectorFusion):
    """Interpretable tensor fusion: one linear layer on normalised branches, under a block penalty."""

    Config = IntenseConfig
    config: IntenseConfig

    def __init__(self, widths: Mapping[str, int], config: IntenseConfig | None = None, task: Task = UNITS) -> None:
        config = config or IntenseConfig()
        super().__init__(widths, config, task)
        self.subsets = branches(widths, config.order)
        sizes = [config.project ** len(subset) for subset in self.subsets]
        if sizes[-1] > WIDEST:
            raise ValueError(
                f"an interaction of {len(self.subsets[-1])} modalities, {config.project} wide each, has {sizes[-1]:,} "
                f"entries; up to {WIDEST:,} can be held: lower order or project"
            )
        self.sizes = sizes
        self.encode = nn.ModuleList(Subnetwork(width, config.project, config.hidden) for width in widths.values())
        self.predict = nn.Linear(sum(sizes), task.outputs)
        with torch.no_grad():  # every branch begins with the same norm, however wide it is
            for W in self.predict.weight.split(sizes, dim=1):
                W.normal_(std=0.1 / W.numel() ** 0.5)
            self.predict.bias.zero_()
        self.register_buffer("mean", torch.zeros(len(widths), config.project))
        self.register_buffer("variance", torch.ones(len(widths), config.project))
        self.register_buffer("powers", torch.ones(len(self.subsets)))
        for at, subset in enumerate(self.subsets):
            if len(subset) > 1:
                self.register_buffer(f"moment_{at}", torch.zeros([config.project] * len(subset)))

    @property
    def blocks(self) -> tuple[Float[Tensor, "outputs _"], ...]:
        """W_S of each branch."""
        return self.predict.weight.split(self.sizes, dim=1)

    @property
    def norms(self) -> Float[Tensor, " branches"]:
        return torch.stack([torch.linalg.vector_norm(W) for W in self.blocks])

    @property
    def relevance(self) -> Float[Tensor, " branches"]:
        """s_S, in the order of `subsets`."""
        return relevances(self.norms, self.config.p)

    def penalty(self, fused: Fused[IntenseTrace], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        return self.config.lam * power_norm(self.norms, self.config.p)

    # ---------------------------------------------------------------- branches

    def latents(self, features: Features) -> dict[str, Float[Tensor, "*batch units width"]]:
        """V_m x_m, before BatchNorm."""
        return {name: layers(x) for layers, (name, x) in zip(self.encode, self.rows(features).items(), strict=True)}

    def standing(self) -> Statistics:
        """The statistics that evaluation uses."""
        held = {subset: self.get_buffer(f"moment_{at}") for at, subset in enumerate(self.subsets) if len(subset) > 1}
        return Statistics(self.get_buffer("mean"), self.get_buffer("variance"), held, self.get_buffer("powers"))

    def measured(self, raw: Rows) -> tuple[dict[Subset, Float[Tensor, "n ..."]], Float[Tensor, " branches"]]:
        """:z_S: of these rows by their own statistics, and E ‖:z_S:‖²."""
        mean = torch.stack([rows.mean(0) for rows in raw.values()])
        variance = torch.stack([rows.var(0, correction=0) for rows in raw.values()])
        z = normal(raw, mean, variance)
        found = freed(z, moments(z, self.subsets), self.subsets)
        return found, powers(found)

    @torch.no_grad()
    def keep(self, raw: Rows, share: float) -> None:
        """Move the running statistics towards these rows'.

        Moments and powers are those of latents that the running means and variances have normalised, as evaluation
        has them: a small batch that normalises itself has smaller interactions.
        """
        standing = self.standing()
        count = len(next(iter(raw.values())))
        standing.mean.lerp_(torch.stack([rows.mean(0) for rows in raw.values()]), share)
        spread = torch.stack([rows.var(0, correction=int(count > 1)) for rows in raw.values()])
        standing.variance.lerp_(spread, share)
        z = normal(raw, standing.mean, standing.variance)
        for subset, moment in moments(z, self.subsets).items():
            standing.moments[subset].lerp_(moment, share)
        standing.powers.lerp_(powers(freed(z, standing.moments, self.subsets)), share)

    def rows_of_branches(self, features: Features) -> dict[Subset, Float[Tensor, "*batch units _"]]:
        """u_S of every row, flat: by the batch's own statistics in training, by the running ones in evaluation.

        A single row has no statistics of its own, so it is read by the running ones in training, too.
        """
        raw = self.latents(features)
        shape = next(iter(raw.values())).shape[:-1]
        flat = {name: rows.reshape(-1, rows.shape[-1]) for name, rows in raw.items()}
        if self.training and shape.numel() > 1:
            found, squares = self.measured(flat)
            self.keep(flat, MOMENTUM)
        else:
            known = self.standing()
            found, squares = freed(normal(flat, known.mean, known.variance), known.moments, self.subsets), known.powers
        scale = torch.where(squares > 1e-8, squares, 1.0).rsqrt()  # a modality that never moves says nothing
        return {subset: (scale[at] * rows).reshape(*shape, -1) for at, (subset, rows) in enumerate(found.items())}

    @torch.no_grad()
    def calibrate(self, features: Features) -> None:
        """Set the statistics to those of these rows (at most 16,384, evenly spaced)."""
        device = self.predict.weight.device
        flat = {name: rows.flatten(0, -2) for name, rows in features.items() if name in self.widths}
        count = len(next(iter(flat.values())))
        chosen = torch.linspace(0, count - 1, min(count, CALIBRATED)).round().long()
        self.keep(self.latents({name: rows[chosen].to(device) for name, rows in flat.items()}), 1.0)

    def learn(self, features: Features, target: Target | None = None) -> None:
        super().learn(features, target)
        self.calibrate(features)

    def forward(self, features: Features) -> Fused[IntenseTrace]:
        rows = self.rows_of_branches(features)
        parts = torch.stack([u @ W.T for u, W in zip(rows.values(), self.blocks, strict=True)], dim=-2)
        trace = IntenseTrace(self.subsets, self.relevance, parts, self.predict.bias)
        return self.answered(parts.sum(-2) + self.predict.bias, trace)

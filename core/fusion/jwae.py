r"""jWAE: one Wasserstein autoencoder per modality, all with the same Gaussian prior, and pairs pulled together.

    z_m  = E_m(x_m),   x̂_m = D_m(z_m)
    loss = task + reconstruct * Σ_m mean |x̂_m - x_m|² + match * Σ_m d(z_m, N(0, I)) + align * Σ_{a<b} ranking(a, b)

    d, prior="mmd"          unbiased MMD² with inverse multiquadratic kernels k(x, y) = Σ_s C_s / (C_s + |x - y|²),
                            C_s = 2 latent s, s in 0.1, 0.2, 0.5, 1, 2, 5, 10
    d, prior="adversarial"  cross-entropy of a discriminator that tells draws of the prior from latents; through a
                            reversed gradient the encoders learn to fool it in the same step
    ranking(a, b)           mean over pairs i and over others j of [margin - cos(a_i, b_i) + cos(a_i, b_j)]_+, and the
                            same with a and b changed round; negatives="hardest" takes the worst j alone

Mahajan et al., "Joint Wasserstein Autoencoders for Aligning Multimodal Embeddings", 2019, arXiv:1909.06635; MMD and
scales: Tolstikhin et al., "Wasserstein Auto-Encoders", ICLR 2018, and its code; hardest negatives: Faghri et al.,
VSE++, 2018. Only the ranking term looks at directions. Latents are never scaled to length 1: against N(0, I) their
norms would give them away (METHODS section 3).

`jwae` reads the latents side by side with a linear classifier, `jwae-lmf` through LMF; both train everything at once.
labels=False hides the target from the encoders: the classifier then reads latents that it cannot change.
A missing modality's latent is the mean of the others', since pairs lie together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from core.fusion.base import Features, Fused, Size, VectorFusion, Weight, about, options
from core.fusion.lmf import LowRank, Reading
from core.sample import UNITS, Task

Rows = Mapping[str, Float[Tensor, "*batch _"]]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MOST = 256  # rows of a batch that the terms over pairs of rows look at
Negatives = Literal["all", "hardest"]


def multiquadratic(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Sum over scales of C / (C + |x - y|²), C = 2 d scale: what two draws from N(0, I) differ by, times the scale."""
    apart = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.mT).clamp_min(0)
    return torch.stack([(c := 2.0 * x.shape[1] * scale) / (c + apart) for scale in SCALES]).sum(0)


def mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Unbiased MMD² of two sets of rows: around 0, of either sign, when both come from one distribution.

        mean over i != j of k(x_i, x_j)  +  the same of y  -  2 mean over i, j of k(x_i, y_j)

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, eq. 3. Needs two rows of each; 0 with fewer.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return (x.sum() + y.sum()) * 0
    within_x = (multiquadratic(x, x).sum() - n * len(SCALES)) / (n * (n - 1))
    within_y = (multiquadratic(y, y).sum() - m * len(SCALES)) / (m * (m - 1))
    return within_x + within_y - 2 * multiquadratic(x, y).mean()


def ranking(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], margin: float, negatives: Negatives) -> Float[Tensor, ""]:
    """By how much other rows come closer than the margin behind a row's own pair, both ways.

    >>> rows = torch.eye(3)
    >>> float(ranking(rows, rows, 0.2, "all")), round(float(ranking(rows, rows, 1.5, "all")), 4)
    (0.0, 1.0)
    """
    alike = normalize(a, dim=1) @ normalize(b, dim=1).mT
    own = alike.diagonal()
    others = ~torch.eye(len(a), dtype=torch.bool, device=a.device)
    total = alike.new_zeros(())
    if len(a) < 2:
        return total
    for excess in (margin - own[:, None] + alike, margin - own[:, None] + alike.mT):
        missed = (excess.clamp_min(0) * others).sum(1) / (len(a) - 1)
        if negatives == "hardest":
            missed = (excess.clamp_min(0) * others).amax(1)
        total = total + missed.mean()
    return total


class Reversed(torch.autograd.Function):
    """Itself on the way in, minus the gradient on the way back: one step trains both sides of a game."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


@options
class JwaeConfig:
    """Options of jWAE."""

    latent: Size = about(16, "width of z, the same for every modality")
    hidden: Size | None = about(
        32, "ReLU units of encoders, decoders and discriminator; none: linear encoders and decoders"
    )
    project: Size | None = about(
        None, "width of a learned projection before the encoder, and of a layer before the decoder's last; none: raw"
    )
    prior: Literal["mmd", "adversarial"] = about("mmd", "how latents are pulled towards N(0, I)")
    margin: Weight = about(0.2, "of the ranking term, in cosines")
    negatives: Negatives = about("all", "all other pairs of the batch, or the hardest one")
    reconstruct: Weight = about(1.0, "weight of the reconstruction")
    match: Weight = about(0.1, "weight of the distance to the prior")
    align: Weight = about(1.0, "weight of the ranking term")
    labels: bool = about(True, "whether the target may shape the latents")


@dataclass(frozen=True)
class JwaeTrace:
    """Rows by modality: inputs (standardised), latents z_m, reconstructed inputs."""

    inputs: Rows
    latents: Rows
    reconstructed: Rows


@dataclass(frozen=True)
class JwaeLmfTrace(JwaeTrace):
    """terms: what each rank adds to h; they sum to h - b. fused: h."""

    terms: Float[Tensor, "*batch rank out"]
    fused: Float[Tensor, "*batch out"]


def layers(*widths: int, bend: int | None) -> nn.Sequential:
    """Linear maps between the widths, a ReLU after the one that leads to widths[bend]."""
    found: list[nn.Module] = []
    for at, (left, right) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
        found.append(nn.Linear(left, right))
        if at == bend:
            found.append(nn.ReLU())
    return nn.Sequential(*found)


class Jwae(VectorFusion):
    """Joint Wasserstein autoencoders with a linear classifier on the latents side by side."""

    Config: ClassVar[type] = JwaeConfig
    config: JwaeConfig

    def __init__(self, widths: Mapping[str, int], config: JwaeConfig | None = None, task: Task = UNITS) -> None:
        config = config or self.Config()
        super().__init__(widths, config, task)
        between = [width for width in (config.project, config.hidden) if width is not None]
        bend = None if config.hidden is None else len(between)
        back = None if config.hidden is None else 1
        self.encoders = nn.ModuleList(layers(w, *between, config.latent, bend=bend) for w in widths.values())
        self.decoders = nn.ModuleList(layers(config.latent, *between[::-1], w, bend=back) for w in widths.values())
        self.critic = None
        if config.prior == "adversarial":
            self.critic = layers(config.latent, config.hidden or 32, 1, bend=1)
        self.build(task.outputs)

    def build(self, outputs: int) -> None:
        """What reads the latents."""
        self.predict = nn.Linear(len(self.widths) * self.config.latent, outputs)

    def encode(self, features: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(standardised inputs, latents); the latent of a missing modality is the mean of the others'."""
        inputs = self.rows(features)
        found = {
            name: encoder(inputs[name])
            for name, encoder in zip(self.widths, self.encoders, strict=True)
            if name in features
        }
        middle = torch.stack(list(found.values())).mean(0)
        return inputs, {name: found.get(name, middle) for name in self.widths}

    def decode(self, latents: Rows) -> dict[str, Float[Tensor, "*batch _"]]:
        """Every modality's standardised rows from its latents."""
        return {name: decoder(latents[name]) for name, decoder in zip(self.widths, self.decoders, strict=True)}

    def restored(self, latents: Rows) -> dict[str, Float[Tensor, "*batch _"]]:
        """The same in the features' own units."""
        return {
            name: self.standard.get_buffer(f"mean_of_{name}") + self.standard.get_buffer(f"spread_of_{name}") * rows
            for name, rows in self.decode(latents).items()
        }

    def read(self, latents: Rows) -> dict[str, Tensor]:
        """The latents as the classifier may use them: without a way back when labels may not shape them."""
        return {name: z if self.config.labels else z.detach() for name, z in latents.items()}

    def answer(self, latents: Rows) -> Float[Tensor, "*batch outputs"]:
        """Outputs from latents, before real targets get their own units."""
        return self.predict(torch.cat(list(self.read(latents).values()), dim=-1))

    def forward(self, features: Features) -> Fused[Any]:
        inputs, latents = self.encode(features)
        return self.answered(self.answer(latents), JwaeTrace(inputs, latents, self.decode(latents)))

    def penalty(self, fused: Fused[Any], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Reconstruction, prior and ranking, weighted; the last two over at most `MOST` rows of the batch."""
        trace: JwaeTrace = fused.trace
        config, names = self.config, list(self.widths)
        errors = [(trace.reconstructed[name] - trace.inputs[name]).square().mean() for name in names]
        flat = {name: z.flatten(0, -2) for name, z in trace.latents.items()}
        count = len(next(iter(flat.values())))
        if count > MOST:
            kept = torch.randperm(count, device=anomalous.device)[:MOST]
            flat = {name: z[kept] for name, z in flat.items()}
        apart = [self.distance(z) for z in flat.values()]
        pairs = [ranking(flat[a], flat[b], config.margin, config.negatives) for a, b in combinations(names, 2)]
        total = config.reconstruct * torch.stack(errors).sum() + config.match * torch.stack(apart).sum()
        return total + config.align * torch.stack(pairs).sum() if pairs else total

    def distance(self, z: Float[Tensor, "n latent"]) -> Float[Tensor, ""]:
        """How far latents are from fresh draws of the prior, as `prior` measures it."""
        drawn = torch.randn_like(z)
        if self.critic is None:
            return mmd(z, drawn)
        # minimised by the discriminator, and, through the reversed gradient, maximised by the encoders
        said = torch.cat([self.critic(drawn), self.critic(Reversed.apply(z))])
        true = torch.cat([torch.ones(len(z), 1, device=z.device), torch.zeros(len(z), 1, device=z.device)])
        return binary_cross_entropy_with_logits(said, true)


@options
class JwaeLmfConfig(JwaeConfig):
    """Options of jWAE-LMF: jWAE's, and LMF's."""

    rank: Size = about(4, "rank-1 terms r of the low-rank product")
    out: Size = about(16, "width h of the fused vector")


class JwaeLmf(Jwae):
    """Joint Wasserstein autoencoders whose latents go through LMF; trained together."""

    Config = JwaeLmfConfig
    config: JwaeLmfConfig

    def build(self, outputs: int) -> None:
        config = self.config
        self.product = LowRank(dict.fromkeys(self.widths, config.latent), config.rank, config.out)
        self.predict = nn.Linear(config.out, outputs)

    def answer(self, latents: Rows) -> Float[Tensor, "*batch outputs"]:
        return self.predict(self.product(self.read(latents)))

    def forward(self, features: Features) -> Fused[Any]:
        inputs, latents = self.encode(features)
        terms = self.product.terms(self.read(latents))
        fused = terms.sum(-2) + self.product.b
        trace = JwaeLmfTrace(inputs, latents, self.decode(latents), terms, fused)
        return self.answered(self.predict(fused), trace)

    def low_rank(self) -> Reading:
        """For `core.explain.lowrank`: the product reads the latents."""

        def inputs(features: Features) -> tuple[dict[str, Tensor], Tensor]:
            latents = self.encode(features)[1]
            count = next(iter(latents.values())).shape[:-1]
            return latents, self.predict.bias.expand(*count, -1)

        return Reading(self.product, inputs, self.predict.weight)

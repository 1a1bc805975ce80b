r"""ProFusion: late fusion that runs R times and tells every modality what the last pass fused.

    c_0 = 0,    c_t = F(G_1(x_1 + W_1 c_{t-1}), ..., G_M(x_M + W_M c_{t-1})),    y = P(c_R)       (join="add")
                c_t = F(G_1([x_1, W_1 c_{t-1}]), ..., G_M([x_M, W_M c_{t-1}]))                    (join="concat")

Progressive Fusion for Multimodal Integration, appendix E, eq. 7-9; section 2.1 for the base model P(F(G_1, ..., G_M)).
Weights are shared by all steps and x is the same at every step, so a trained model can be run with any R. Eq. 7 adds;
the sentence above it and the experiment of B.1 put side by side: hence both. Eq. 8 leaves F's output transform E open;
here it is part of F.

With R = 1 there is nothing to bring back: W is not built, and the model is the base, bit for bit. W has no bias, so
c = 0 changes nothing. W is drawn after the base, as torch draws a Linear, so under join="add" the same seed gives the
base's weights, whatever R.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.fusion.base import Features, Fused, Size, VectorFusion, about, count_weights, options
from core.fusion.lego import Projection
from core.fusion.lmf import LowRank
from core.sample import UNITS, Task

Base = Literal["concat", "lmf", "recurrent"]
Join = Literal["add", "concat"]
WIDEST = 1 << 14  # hidden units that `matched` looks through


@options
class ProFusionConfig:
    """Options of ProFusion."""

    steps: Size = about(2, "R, how often the model runs; 1 is the base model")
    base: Base = about(
        "concat",
        "concat: G_j a perceptron of two layers, F side by side (the three-layer network of B.1, with P the third); "
        "lmf: the same G_j, F their low-rank product, `hidden` wide; recurrent: G_j a GRU that reads the vector as a "
        "sequence, F side by side",
    )
    join: Join = about(
        "add", "how the context meets the input: added to it, or side by side (then W_j c has `hidden` entries)"
    )
    hidden: Size = about(32, "width of every G_j's output")
    rank: Size = about(4, "lmf: rank of the product")
    pieces: Size = about(4, "recurrent: into how many equal pieces, zeros at the end, a vector is cut")
    project: Size | None = about(
        None, "learned Linear(d_m -> project) before G_j; none reads the raw width. x_j above is what it gives"
    )


@dataclass(frozen=True)
class ProFusionTrace:
    """What every step made; the first axis is t = 1 ... R.

    representations   modality -> what G_j gave
    contexts          c_t
    outputs           P(c_t): what the model would answer if step t were its last
    """

    representations: Mapping[str, Float[Tensor, "steps *batch hidden"]]
    contexts: Float[Tensor, "steps *batch context"]
    outputs: Float[Tensor, "steps *batch outputs"]


class Pieces(nn.Module):
    """A GRU that reads a vector as `pieces` equal pieces, zeros at the end, and gives its last state."""

    def __init__(self, width: int, hidden: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.length = pieces, -(-width // pieces)
        self.missing = pieces * self.length - width
        self.gru = nn.GRU(self.length, hidden, batch_first=True)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch hidden"]:
        padded = nn.functional.pad(x, (0, self.missing)).reshape(-1, self.pieces, self.length)
        return self.gru(padded)[1][0].reshape(*x.shape[:-1], -1)


class SideBySide(nn.Module):
    """F of the concat and the recurrent base: nothing is learned."""

    def forward(self, *parts: Float[Tensor, "*batch _"]) -> Float[Tensor, "*batch context"]:
        return torch.cat(parts, dim=-1)


class LowRankProduct(nn.Module):
    """F of the LMF base: h of Liu et al. 2018, eq. 6-8."""

    def __init__(self, parts: int, width: int, rank: int) -> None:
        super().__init__()
        self.product = LowRank({f"part_{j}": width for j in range(parts)}, rank, width)

    def forward(self, *parts: Float[Tensor, "*batch _"]) -> Float[Tensor, "*batch context"]:
        return self.product.terms(dict(zip(self.product.names, parts, strict=True))).sum(-2) + self.product.b


class LateFusion(nn.Module):
    """The base model's parts: P(F(G_1(x_1), ..., G_M(x_M)))."""

    def __init__(self, widths: Sequence[int], config: ProFusionConfig, outputs: int) -> None:
        super().__init__()
        h = config.hidden
        self.G = nn.ModuleList(
            Pieces(width, h, config.pieces)
            if config.base == "recurrent"
            else nn.Sequential(nn.Linear(width, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU())
            for width in widths
        )
        low_rank = config.base == "lmf"
        self.F = LowRankProduct(len(widths), h, config.rank) if low_rank else SideBySide()
        self.context = h if low_rank else h * len(widths)
        self.P = nn.Linear(self.context, outputs)


class ProFusion(VectorFusion):
    """A late fusion that hands its fused vector back to every modality and runs again."""

    Config = ProFusionConfig
    config: ProFusionConfig

    def __init__(self, widths: Mapping[str, int], config: ProFusionConfig | None = None, task: Task = UNITS) -> None:
        config = config or ProFusionConfig()
        super().__init__(widths, config, task)
        self.project = Projection(widths, config.project)
        read = [config.project or width for width in widths.values()]
        again = config.steps > 1
        self.beside = config.hidden if again and config.join == "concat" else 0
        self.base = LateFusion([width + self.beside for width in read], config, task.outputs)
        self.W = nn.ModuleList(
            nn.Linear(self.base.context, self.beside or width, bias=False) for width in read if again
        )

    def forward(self, features: Features) -> Fused[ProFusionTrace]:
        raw, trace = self.passes(features, self.config.steps)
        return self.answered(raw, trace)

    def unroll(self, features: Features, steps: int) -> ProFusionTrace:
        """Run for `steps` passes instead of the config's: the weights are shared, so any number will do."""
        return self.passes(features, steps)[1]

    def inputs(self, features: Features) -> dict[str, Float[Tensor, "*batch units _"]]:
        """x_j: standardised rows, projected where the config says so."""
        return {name: self.project(name, rows) for name, rows in self.rows(features).items()}

    def encode(
        self, x: Mapping[str, Float[Tensor, "*batch _"]], c: Float[Tensor, "*batch context"] | None
    ) -> dict[str, Float[Tensor, "*batch hidden"]]:
        """One step's representations: every G_j on its input and the context; None is c_0 = 0.

        Errors: `ValueError` for a context when the model was built with steps=1 and has no W.
        """
        if c is not None and not len(self.W):
            raise ValueError("this model was trained with steps=1: it has no back-projections to run again with")
        found = {}
        for j, (name, rows) in enumerate(x.items()):
            if self.beside:
                back = rows.new_zeros(*rows.shape[:-1], self.beside) if c is None else self.W[j](c)
                rows = torch.cat([rows, back], dim=-1)
            elif c is not None:
                rows = rows + self.W[j](c)
            found[name] = self.base.G[j](rows)
        return found

    def passes(self, features: Features, steps: int) -> tuple[Float[Tensor, "*batch units outputs"], ProFusionTrace]:
        """(the last step's output as P gives it, the trace of all steps)."""
        if steps < 1:
            raise ValueError(f"steps must be 1 or more, got {steps}")
        x = self.inputs(features)
        seen: list[dict[str, Tensor]] = []
        contexts: list[Tensor] = []
        for _ in range(steps):
            seen.append(self.encode(x, contexts[-1] if contexts else None))
            contexts.append(self.base.F(*seen[-1].values()))
        outputs = [self.base.P(c) for c in contexts]
        told = torch.stack(outputs)
        return outputs[-1], ProFusionTrace(
            {name: torch.stack([step[name] for step in seen]) for name in x},
            torch.stack(contexts),
            self.standard.real(told) if self.task.kind == "real" else told,
        )


def matched(widths: Mapping[str, int], config: ProFusionConfig, task: Task = UNITS) -> ProFusionConfig:
    """The base model (R = 1) whose number of weights is nearest to this one's: `hidden` makes up for W."""

    def size(asked: ProFusionConfig) -> int:
        with torch.device("meta"):  # shapes alone
            return count_weights(ProFusion(widths, asked, task))

    wanted, base = size(config), replace(config, steps=1)
    above = bisect.bisect_left(range(1, WIDEST), wanted, key=lambda hidden: size(replace(base, hidden=hidden))) + 1
    return min(
        (replace(base, hidden=hidden) for hidden in (max(1, above - 1), above)),
        key=lambda asked: abs(size(asked) - wanted),
    )

r"""Perceiver: a small array of latents asks all modalities' tokens at once, again and again.

    t = tokens of all modalities, stacked                         made from the rows by Linear(d_m, tokens * dim)
    s = Cross(s, t);  s = Block(s)                                 in every layer, s_0 learned
    output = mean over latents of norm(s)

Jaegle et al., "Perceiver: General Perception with Iterative Attention", ICML 2021. Cross and Block are the transformer
layer of `core.fusion.mbt`. The bias of the map that makes a token stands for its position and modality.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.fusion.base import Features, Fused, Size, VectorFusion, about, options
from core.fusion.lego import Projection
from core.fusion.mbt import Block, FusedTrace, Tokenise
from core.sample import UNITS, Task


class Latents(nn.Module):
    """Perceiver without its classifier: rows of every modality in, one vector of `width` out."""

    def __init__(self, widths: Mapping[str, int], dim: int, tokens: int, latents: int, layers: int, heads: int) -> None:
        super().__init__()
        self.names, self.width = tuple(widths), dim
        self.tokens = Tokenise(widths, dim, tokens)
        self.latents = nn.Parameter(0.02 * torch.randn(latents, dim))
        self.cross = nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.inside = nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, rows: Mapping[str, Float[Tensor, "*batch _"]]) -> Float[Tensor, "*batch dim"]:
        tokens = torch.cat([self.tokens(name, rows[name]) for name in self.names], -2)
        latents = self.latents.expand(*tokens.shape[:-2], -1, -1)
        for cross, inside in zip(self.cross, self.inside, strict=True):
            latents = inside(cross(latents, tokens))
        return self.norm(latents).mean(-2)


@options
class PerceiverConfig:
    """Options of the Perceiver."""

    dim: Size = about(32, "width of a token and of a latent")
    tokens: Size = about(4, "tokens a modality's row becomes")
    latents: Size = about(8, "how many latents ask")
    layers: Size = about(2, "how often they ask, each time followed by a layer among themselves")
    heads: Size = about(4, "attention heads")
    project: Size | None = about(None, "width of a learned projection before it all; none: none")


class Perceiver(VectorFusion):
    """The Perceiver and a linear classifier."""

    Config = PerceiverConfig
    config: PerceiverConfig

    def __init__(self, widths: Mapping[str, int], config: PerceiverConfig | None = None, task: Task = UNITS) -> None:
        c = config or PerceiverConfig()
        super().__init__(widths, c, task)
        self.project = Projection(widths, c.project)
        seen = {name: c.project or width for name, width in widths.items()}
        self.module = Latents(seen, c.dim, c.tokens, c.latents, c.layers, c.heads)
        self.head = nn.Linear(self.module.width, task.outputs)

    def forward(self, features: Features) -> Fused[FusedTrace]:
        fused = self.module({name: self.project(name, rows) for name, rows in self.rows(features).items()})
        return self.answered(self.head(fused), FusedTrace(fused))

    def fusion_part(self) -> nn.Module:
        return self.module

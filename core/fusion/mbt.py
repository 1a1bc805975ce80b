r"""MBT: one transformer stream per modality; streams exchange only through a few shared bottleneck tokens.

    z_m = tokens of modality m and its own class token           made from the row by Linear(d_m, tokens * dim)
    first layers:      z_m = Block(z_m)                           each stream alone
    later layers:      [z_m, f_m] = Block_m([z_m, f]),  f = mean over m of f_m          (eqs. 8 and 9)
    output             mean over m of the class tokens, normalised

    Block(z):  z = z + Attention(norm(z));  z = z + W_2 gelu(W_1 norm(z))
    Attention: softmax(Q Kᵀ / √(dim / heads)) V, heads side by side

Nagrani et al., "Attention Bottlenecks for Multimodal Fusion", NeurIPS 2021. The paper's streams are patches of video
and sound under pretrained transformers; here a row is one vector, so a stream is a few tokens made from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.fusion.base import Count, Features, Fused, Size, VectorFusion, about, options
from core.fusion.lego import Projection
from core.sample import UNITS, Task

Tokens = Float[Tensor, "*batch tokens dim"]


def attend(
    q: Float[Tensor, "*batch n dim"], k: Float[Tensor, "*batch m dim"], v: Float[Tensor, "*batch m dim"], heads: int
) -> Float[Tensor, "*batch n dim"]:
    """softmax(Q Kᵀ / √(dim / heads)) V in each head, heads side by side.

    Written out rather than left to the fused kernel: the matrices are tiny, and FLOPs are counted everywhere.
    """
    q, k, v = (each.unflatten(-1, (heads, -1)).transpose(-3, -2) for each in (q, k, v))
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(-3, -2).flatten(-2)


class Block(nn.Module):
    """A transformer layer with the norm in front; `context` is attended to, the tokens themselves unless given."""

    def __init__(self, dim: int, heads: int, widen: int = 2) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        self.heads = heads
        self.norm, self.norm_context, self.norm_inner = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)  # a bias of keys would cancel in the softmax
        self.value, self.out = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.inner = nn.Sequential(nn.Linear(dim, widen * dim), nn.GELU(), nn.Linear(widen * dim, dim))

    def forward(self, tokens: Tokens, context: Float[Tensor, "*batch others dim"] | None = None) -> Tokens:
        asked = self.norm(tokens)
        given = self.norm_context(tokens if context is None else context)
        tokens = tokens + self.out(attend(self.query(asked), self.key(given), self.value(given), self.heads))
        return tokens + self.inner(self.norm_inner(tokens))


class Tokenise(nn.ModuleDict):
    """A few tokens of each modality's row: Linear(d_m, tokens * dim). Its bias says which token it is."""

    def __init__(self, widths: Mapping[str, int], dim: int, tokens: int) -> None:
        super().__init__({f"of_{name}": nn.Linear(width, tokens * dim) for name, width in widths.items()})
        self.dim = dim

    def forward(self, name: str, rows: Float[Tensor, "*batch _"]) -> Tokens:
        return self[f"of_{name}"](rows).unflatten(-1, (-1, self.dim))


class Bottleneck(nn.Module):
    """MBT without its classifier: rows of every modality in, one vector of `width` out."""

    def __init__(
        self, widths: Mapping[str, int], dim: int, tokens: int, bottlenecks: int, layers: int, alone: int, heads: int
    ) -> None:
        super().__init__()
        if not 0 <= alone < layers:
            raise ValueError(f"of {layers} layers {alone} run before any exchange; at least one must exchange")
        self.names, self.width = tuple(widths), dim
        self.tokens = Tokenise(widths, dim, tokens)
        self.answer = nn.Parameter(0.02 * torch.randn(len(widths), 1, dim))
        self.bottleneck = nn.Parameter(0.02 * torch.randn(bottlenecks, dim))
        self.alone = alone
        self.layers = nn.ModuleList(nn.ModuleList(Block(dim, heads) for _ in widths) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, rows: Mapping[str, Float[Tensor, "*batch _"]]) -> Float[Tensor, "*batch dim"]:
        streams = []
        for name, answer in zip(self.names, self.answer, strict=True):
            made = self.tokens(name, rows[name])
            streams.append(torch.cat([answer.expand(*made.shape[:-2], 1, -1), made], -2))
        shared = self.bottleneck.expand(*streams[0].shape[:-2], -1, -1)
        for depth, blocks in enumerate(cast(Iterable[nn.ModuleList], self.layers)):
            if depth < self.alone:
                streams = [block(stream) for block, stream in zip(blocks, streams, strict=True)]
                continue
            both = [block(torch.cat([s, shared], -2)) for block, s in zip(blocks, streams, strict=True)]
            own = streams[0].shape[-2]
            streams = [each[..., :own, :] for each in both]
            shared = torch.stack([each[..., own:, :] for each in both]).mean(0)
        return self.norm(torch.stack([stream[..., 0, :] for stream in streams])).mean(0)


@options
class MbtConfig:
    """Options of MBT."""

    dim: Size = about(32, "width of a token")
    tokens: Size = about(4, "tokens a modality's row becomes")
    bottlenecks: Count = about(4, "shared tokens")
    layers: Size = about(2, "transformer layers")
    alone: Count = about(1, "how many of them run before the first exchange")
    heads: Size = about(4, "attention heads")
    project: Size | None = about(None, "width of a learned projection before it all; none: none")


@dataclass(frozen=True)
class FusedTrace:
    """fused: the vector that the classifier reads."""

    fused: Float[Tensor, "*batch width"]


class Mbt(VectorFusion):
    """The bottleneck transformer and a linear classifier."""

    Config = MbtConfig
    config: MbtConfig

    def __init__(self, widths: Mapping[str, int], config: MbtConfig | None = None, task: Task = UNITS) -> None:
        c = config or MbtConfig()
        super().__init__(widths, c, task)
        self.project = Projection(widths, c.project)
        seen = {name: c.project or width for name, width in widths.items()}
        self.module = Bottleneck(seen, c.dim, c.tokens, c.bottlenecks, c.layers, c.alone, c.heads)
        self.head = nn.Linear(self.module.width, task.outputs)

    def forward(self, features: Features) -> Fused[FusedTrace]:
        fused = self.module({name: self.project(name, rows) for name, rows in self.rows(features).items()})
        return self.answered(self.head(fused), FusedTrace(fused))

    def fusion_part(self) -> nn.Module:
        return self.module

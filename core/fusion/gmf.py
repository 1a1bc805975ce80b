r"""GMF: every modality is split into a part that all share and a part of its own, and the shared parts change places.

    x_j                                                            input of modality j, l_j wide;  l* = min_j l_j
    z_j = P_dis x_j                                                dissolved, n l_j wide                    (eq. 16)
    inv_j = P_cinv z_j[: b_j],  spec_j = P_cspec z_j[b_j :]        invariant, l* wide; specific, l_j wide   (eq. 17)
    Z_j = [inv_{j+1}, spec_j]                                      output of modality j; the last one takes inv_1
    x̂_j = P_recon Z_j                                             reconstructed                            (eq. 18)
    loss = Σ_j MSE(x̂_j, x_j)

with b_j = ⌊b n l_j⌋, magnification n = 4 and share b = 1/2. All four maps have a bias, none is followed by anything
non-linear. Since Z_j must give back x_j, what modality j + 1 calls invariant has to help modality j.

Xiong et al., "Generalized Multimodal Fusion via Poisson-Nernst-Planck Equation", 2024, appendix J. Two readings of b:
appendix J takes a share of n l_j, section 5.2 sets b_j to half of l_j; appendix J is what the published counts fit.

GMF alone is followed by side by side and a classifier. As a front end (figure 13) the specific parts go through
another fusion and the invariant parts straight to the classifier: G-MBT, G-Perceiver, G-LMF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core.fusion.base import Count, Features, Fused, Share, Size, VectorFusion, Weight, about, options
from core.fusion.lego import Projection
from core.fusion.lmf import LowRank, Reading
from core.fusion.mbt import Bottleneck
from core.fusion.perceiver import Latents
from core.sample import UNITS, Task

Rows = Mapping[str, Float[Tensor, "*batch _"]]


@dataclass(frozen=True)
class SplitTrace:
    """Rows by modality of a fusion that tells what is shared from what is not.

    inputs          what was split: standardised, and projected where the fusion does so
    invariant       all of one width
    specific        their widths may differ
    reconstructed   as wide as `inputs`
    """

    inputs: Rows
    invariant: Rows
    specific: Rows
    reconstructed: Rows


@dataclass(frozen=True)
class GmfTrace(SplitTrace):
    """dissolved: before the cut at the boundary. outputs: `[invariant of the next modality, specific]`."""

    dissolved: Rows
    outputs: Rows


class Maps(nn.Module):
    """GMF's four linear maps per modality, in the order of `widths`; no classifier.

    Errors: `ValueError` for fewer than two modalities, or a boundary with nothing on one side.
    """

    def __init__(self, widths: Mapping[str, int], magnification: int = 4, boundary: float = 0.5) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"GMF exchanges parts between modalities: it needs two or more, got {list(widths)}")
        self.names, self.shared = tuple(widths), min(widths.values())
        self.cut = {name: floor(boundary * magnification * width + 1e-9) for name, width in widths.items()}
        for name, width in widths.items():
            if not 0 < self.cut[name] < magnification * width:
                raise ValueError(
                    f"modality {name!r}: boundary {boundary:g} leaves {self.cut[name]} of {magnification * width} "
                    "dissolved columns on the invariant side; both sides need some"
                )
        made = [(width, magnification * width, self.cut[name]) for name, width in widths.items()]
        self.dissolve = nn.ModuleList(nn.Linear(width, wide) for width, wide, _ in made)
        self.concentrate_invariant = nn.ModuleList(nn.Linear(cut, self.shared) for _, _, cut in made)
        self.concentrate_specific = nn.ModuleList(nn.Linear(wide - cut, width) for width, wide, cut in made)
        self.reconstruct = nn.ModuleList(nn.Linear(width + self.shared, width) for width, _, _ in made)

    def forward(self, inputs: Rows) -> GmfTrace:
        dissolved = {name: layer(inputs[name]) for name, layer in zip(self.names, self.dissolve, strict=True)}
        invariant = {
            name: layer(dissolved[name][..., : self.cut[name]])
            for name, layer in zip(self.names, self.concentrate_invariant, strict=True)
        }
        specific = {
            name: layer(dissolved[name][..., self.cut[name] :])
            for name, layer in zip(self.names, self.concentrate_specific, strict=True)
        }
        following = dict(zip(self.names, self.names[1:] + self.names[:1], strict=True))
        outputs = {name: torch.cat([invariant[following[name]], specific[name]], -1) for name in self.names}
        reconstructed = {name: layer(outputs[name]) for name, layer in zip(self.names, self.reconstruct, strict=True)}
        return GmfTrace(inputs, invariant, specific, reconstructed, dissolved, outputs)


def misfit(trace: SplitTrace) -> Float[Tensor, ""]:
    """Eq. 18: the mean squared error of every modality's reconstruction, summed over modalities.

    The mean, as in algorithm 3, so that wide modalities and large batches do not weigh more.
    """
    errors = [(trace.reconstructed[name] - rows).square().mean() for name, rows in trace.inputs.items()]
    return torch.stack(errors).sum()


@options
class GmfConfig:
    """Options of GMF."""

    magnification: Size = about(4, "n: a row of width l dissolves into n l columns")
    boundary: Share = about(0.5, "share of these columns on the invariant side")
    lam: Weight = about(1.0, "weight of the reconstruction loss")
    project: Size | None = about(None, "width of a learned projection before GMF; none splits the features themselves")
    hidden: Count = about(32, "hidden units of the classifier; 0 for a linear one")


class Gmf(VectorFusion):
    """GMF with a classifier on all its outputs side by side."""

    Config: ClassVar[type] = GmfConfig
    config: GmfConfig

    def __init__(self, widths: Mapping[str, int], config: GmfConfig | None = None, task: Task = UNITS) -> None:
        config = config or self.Config()
        super().__init__(widths, config, task)
        self.project = Projection(widths, config.project)
        seen = {name: config.project or width for name, width in widths.items()}
        self.maps = Maps(seen, config.magnification, config.boundary)
        self.head = classifier(self.back(seen), config.hidden, task.outputs)

    def back(self, widths: Mapping[str, int]) -> int:
        """Build what follows the maps; the width of what the classifier reads."""
        return sum(widths.values()) + len(widths) * self.maps.shared

    def joined(self, trace: GmfTrace) -> Float[Tensor, "*batch _"]:
        """What the classifier reads."""
        return torch.cat(list(trace.outputs.values()), -1)

    def forward(self, features: Features) -> Fused[GmfTrace]:
        trace = self.maps({name: self.project(name, rows) for name, rows in self.rows(features).items()})
        return self.answered(self.head(self.joined(trace)), trace)

    def penalty(self, fused: Fused[Any], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        return self.config.lam * misfit(fused.trace)

    def fusion_part(self) -> nn.Module:
        return self.maps


def classifier(width: int, hidden: int, outputs: int) -> nn.Module:
    if not hidden:
        return nn.Linear(width, outputs)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class FrontEnd(Gmf):
    """Figure 13: a subclass sends the specific parts through another fusion, `self.module`."""

    module: nn.Module

    def joined(self, trace: GmfTrace) -> Float[Tensor, "*batch _"]:
        return torch.cat([*trace.invariant.values(), self.module(trace.specific)], -1)

    def fusion_part(self) -> nn.Module:
        return nn.ModuleList([self.maps, self.module])


@options
class GMbtConfig(GmfConfig):
    """Options of G-MBT: GMF's, and MBT's."""

    dim: Size = about(32, "width of a token")
    tokens: Size = about(4, "tokens a modality's row becomes")
    bottlenecks: Count = about(4, "shared tokens")
    layers: Size = about(2, "transformer layers")
    alone: Count = about(1, "how many of them run before the first exchange")
    heads: Size = about(4, "attention heads")


class GMbt(FrontEnd):
    """Specific parts through the bottleneck transformer, invariant parts straight to the classifier."""

    Config = GMbtConfig
    config: GMbtConfig

    def back(self, widths: Mapping[str, int]) -> int:
        c = self.config
        self.module = Bottleneck(widths, c.dim, c.tokens, c.bottlenecks, c.layers, c.alone, c.heads)
        return len(widths) * self.maps.shared + self.module.width


@options
class GPerceiverConfig(GmfConfig):
    """Options of G-Perceiver: GMF's, and Perceiver's."""

    dim: Size = about(32, "width of a token and of a latent")
    tokens: Size = about(4, "tokens a modality's row becomes")
    latents: Size = about(8, "how many latents ask")
    layers: Size = about(2, "how often they ask, each time followed by a layer among themselves")
    heads: Size = about(4, "attention heads")


class GPerceiver(FrontEnd):
    """Specific parts through the Perceiver, invariant parts straight to the classifier."""

    Config = GPerceiverConfig
    config: GPerceiverConfig

    def back(self, widths: Mapping[str, int]) -> int:
        c = self.config
        self.module = Latents(widths, c.dim, c.tokens, c.latents, c.layers, c.heads)
        return len(widths) * self.maps.shared + self.module.width


@options
class GLmfConfig(GmfConfig):
    """Options of G-LMF: GMF's, with a linear classifier unless asked otherwise, and LMF's."""

    hidden: Count = about(0, "hidden units of the classifier; 0 for a linear one")
    rank: Size = about(4, "rank-1 terms r of the low-rank product")
    out: Size = about(16, "width h of the fused vector")


class GLmf(FrontEnd):
    """Specific parts through the low-rank product, invariant parts straight to the classifier."""

    Config = GLmfConfig
    config: GLmfConfig
    module: LowRank

    def back(self, widths: Mapping[str, int]) -> int:
        self.module = LowRank(widths, self.config.rank, self.config.out)
        return len(widths) * self.maps.shared + self.config.out

    def low_rank(self) -> Reading:
        """For `core.explain.lowrank`: the invariant parts are what else enters the outputs."""
        head = self.head
        if not isinstance(head, nn.Linear):
            raise ValueError("parts of G-LMF's outputs add up only behind a linear classifier: hidden=0")
        first = head.in_features - self.config.out

        def inputs(features: Features) -> tuple[dict[str, Tensor], Tensor]:
            trace = self.maps({name: self.project(name, rows) for name, rows in self.rows(features).items()})
            straight = torch.cat(list(trace.invariant.values()), -1)
            return dict(trace.specific), straight @ head.weight[:, :first].mT + head.bias

        return Reading(self.module, inputs, head.weight[:, first:])

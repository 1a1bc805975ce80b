r"""MTN: multi-scale temporal network per modality, fused by addition (the strongest rival in LEGO's table 1).

    branch_1..3 = BatchNorm(relu(Conv1d(L, L/4, 3, dilation 1, 2, 4)))
    branch_4    = x + BatchNorm(W(softmax-free affinity(theta(x), phi(x)) / T @ g(x))),  x = relu(Conv1d(L, L/4, 1))
    out         = dropout(BatchNorm(relu(Conv1d(L, L, 3)(concat))) + input)
    fused       = sum over modalities of  Linear(L_m, L_last)(out_m);  head L-512-128-1

Chen et al., "TEVAD", CVPR workshops 2023, after Tian et al. (RTFM), ICCV 2021. 28,959,009 weights for 2048 + 768.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.fusion.base import Features, Fused, Fusion, Share, about, options


@options
class MtnConfig:
    """Options of MTN."""

    dropout: Share = about(0.7, "chance that a feature is dropped, in the temporal blocks and the head")


@dataclass(frozen=True)
class MtnTrace:
    """fused: the summed rows that the head reads."""

    fused: Float[Tensor, "*batch units width"]


class NonLocal(nn.Module):
    """Every unit sees every other: dot-product affinity divided by T, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.theta, self.phi, self.g = (nn.Conv1d(width, half, 1) for _ in range(3))
        self.W, self.norm = nn.Conv1d(half, width, 1), nn.BatchNorm1d(width)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        affinity = self.theta(x).mT @ self.phi(x) / x.shape[-1]
        return x + self.norm(self.W((affinity @ self.g(x).mT).mT))


class Temporal(nn.Module):
    """The multi-scale temporal block of one modality of width L."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        if width < 8 or width % 4:
            raise ValueError(f"MTN splits a modality's width by 4: {width} will not do, use a multiple of 4 from 8 on")
        quarter = width // 4
        self.scales = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, quarter, 3, padding=d, dilation=d), nn.ReLU(), nn.BatchNorm1d(quarter))
            for d in (1, 2, 4)
        )
        self.squeeze = nn.Sequential(nn.Conv1d(width, quarter, 1, bias=False), nn.ReLU())
        self.non_local = NonLocal(quarter)
        self.join = nn.Sequential(nn.Conv1d(width, width, 3, padding=1, bias=False), nn.ReLU(), nn.BatchNorm1d(width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        x = rows.mT
        parts = [scale(x) for scale in self.scales] + [self.non_local(self.squeeze(x))]
        return self.dropout((self.join(torch.cat(parts, dim=1)) + x).mT)


class Mtn(Fusion):
    """Unit scores from temporal blocks per modality, added in the width of the last one."""

    Config = MtnConfig
    config: MtnConfig

    def __init__(self, widths: Mapping[str, int], config: MtnConfig | None = None) -> None:
        config = config or MtnConfig()
        super().__init__(widths, config)
        padded = {name: max(8, -(-width // 4) * 4) for name, width in widths.items()}
        self.padded = padded
        self.blocks = nn.ModuleDict({f"of_{name}": Temporal(width, config.dropout) for name, width in padded.items()})
        *first, last = padded
        self.last = padded[last]
        self.align = nn.ModuleDict({f"of_{name}": nn.Linear(padded[name], self.last) for name in first})
        self.head = nn.Sequential(
            nn.Linear(self.last, 512),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(128, 1),
        )

    def forward(self, features: Features) -> Fused[MtnTrace]:
        present = [name for name in self.widths if name in features]
        if not present:
            raise ValueError(f"none of the modalities {list(self.widths)} is there")
        batch = features[present[0]].shape[:-2]
        total: Tensor | None = None
        for name in present:
            rows = features[name].reshape(-1, *features[name].shape[-2:])
            rows = nn.functional.pad(rows, (0, self.padded[name] - self.widths[name]))  # widths that 4 does not divide
            out = self.blocks[f"of_{name}"](rows)
            out = self.align[f"of_{name}"](out) if f"of_{name}" in self.align else out
            total = out if total is None else total + out
        assert total is not None
        fused = total.reshape(*batch, *total.shape[1:])
        return Fused(self.head(fused).squeeze(-1).sigmoid(), MtnTrace(fused))

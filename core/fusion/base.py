"""What every fusion is: features in, anomaly scores and a trace of the way out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Features = Mapping[str, Float[Tensor, "*batch units _"]]
Trace = TypeVar("Trace")


@dataclass(frozen=True)
class Fused(Generic[Trace]):
    """scores: in [0, 1], higher is more anomalous. trace: what the views draw, typed per fusion."""

    scores: Float[Tensor, "*batch units"]
    trace: Trace


class Fusion(nn.Module):
    """Base of all fusions: a subclass names its config, builds its weights and writes `forward`.

    Config      frozen dataclass of the options `--set` may change; every field has a default
    window      units that `forward` needs at once, or None when any number will do
    """

    Config: ClassVar[type]
    window: int | None = None

    def __init__(self, widths: Mapping[str, int], config: Any) -> None:
        super().__init__()
        self.widths, self.config = dict(widths), config

    def forward(self, features: Features) -> Fused[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not say how it fuses")

    def penalty(self, fused: Fused[Any], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        """What the fusion adds to the training loss, given which clips of the batch are anomalous."""
        return torch.zeros((), device=anomalous.device)


def count_weights(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

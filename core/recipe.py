"""What to train."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """Options of the training loop.

    epochs        passes over the training clips; metrics are always the last epoch's
    batch         clips in a step, half normal, half anomalous
    lr            Adam's step size
    weight_decay  Adam's L2 pull on every weight
    supervision   clip: only clip labels are seen; unit: every unit's label is
    top           clip supervision: the clip's score is the mean of its `top` highest unit scores
    units         N: training resamples every clip to this many units
    track         also measure the test clips after every epoch (for the curve, never for choosing)
    amp           mixed precision: layers multiply in bfloat16 while they train; scores are always in full
    """

    epochs: int = 50
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-3
    supervision: Literal["clip", "unit"] = "clip"
    top: int = 1
    units: int = 32
    track: bool = False
    amp: bool = False

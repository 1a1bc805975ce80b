r"""Without a single anomalous training clip: how weakly a unit is related to the normal units of the training clips.

    R_m[i, t] = relu(cos(f_i, f_t)),  i a test unit, t a training unit
    G = R_m (single) | mean over m of R_m (sum) | product over m of R_m (product, LEGO's term with all powers 1)
    score_i = 1 - mean of the k largest G[i, t]

The unsupervised protocol of video anomaly detection; LEGO's relation (Ding et al., ICLR 2025, eq. 1) across clips,
with nothing learned.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.clip import Clip
from core.fusion.graph import unit_rows

How = Literal["single", "sum", "product"]


def rows(clips: Sequence[Clip], modality: str) -> Float[Tensor, "units width"]:
    """Every unit of every clip as a row of length 1; crops are averaged first."""
    return unit_rows(torch.cat([f if (f := clip.features[modality]).ndim == 2 else f.mean(0) for clip in clips]))


def novelty(
    train: Sequence[Clip], test: Sequence[Clip], modalities: Sequence[str], how: How = "product", k: int = 10
) -> Mapping[str, np.ndarray]:
    """Test clip -> unit scores in [0, 1]; higher is less like any normal training unit."""
    if not train:
        raise ValueError("there are no normal training clips to compare with")
    graphs = [(rows(test, name) @ rows(train, name).mT).relu().clamp_max(1.0) for name in modalities]
    stacked = torch.stack(graphs[:1] if how == "single" else graphs)
    graph = stacked.prod(0) if how == "product" else stacked.mean(0)
    scores = 1 - graph.topk(min(k, graph.shape[1]), dim=1).values.mean(1)
    parts = scores.split([clip.units for clip in test])
    return {clip.name: part.numpy() for clip, part in zip(test, parts, strict=True)}

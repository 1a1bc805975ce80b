"""One training step: LEGO against MTN."""

from collections.abc import Iterator

import torch
from torch import Tensor

from core.experiments.bench.shared import NODES, WIDTHS, Row, Tell, compared, interleaved
from core.fusion.base import Fusion
from core.fusion.lego import Lego, LegoConfig
from core.fusion.mtn import Mtn
from core.recipe import TrainConfig
from core.train.loop import losses, step_loss


def adam(model: Fusion) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3, fused=True)


def training(tell: Tell) -> Iterator[Row]:
    """One step, forward, backward and Adam, on the same 32 clips: LEGO against MTN."""
    tell("training steps")
    random = torch.Generator().manual_seed(0)
    features = {name: torch.randn(32, NODES, width, generator=random).abs() for name, width in WIDTHS.items()}
    anomalous, config = torch.arange(32) % 2 == 0, TrainConfig()
    torch.manual_seed(0)
    lego, raw, mtn = Lego(WIDTHS).train(), Lego(WIDTHS, LegoConfig(project=None)).train(), Mtn(WIDTHS).train()
    with torch.no_grad():
        graphs = raw.graphs(features)
    steps = {id(model): adam(model) for model in (lego, raw, mtn)}

    def finish(model: Fusion, loss: tuple[Tensor, Tensor]) -> float:
        optimiser = steps[id(model)]
        optimiser.zero_grad()
        (loss[0] + loss[1]).backward()
        optimiser.step()
        return float(loss[0].detach())

    def from_graphs() -> float:
        return finish(raw, losses(raw, raw.from_graphs(graphs, list(graphs)), anomalous, None, config))

    took = interleaved(
        {
            "lego": lambda: finish(lego, step_loss(lego, features, anomalous, None, config)),
            "cached": from_graphs,
            "mtn": lambda: finish(mtn, step_loss(mtn, features, anomalous, None, config)),
        },
        slow=("mtn",),
    )
    yield compared("LEGO training step, projection included", took["lego"], "MTN training step", took["mtn"], 20.0)
    yield compared("LEGO training step from cached cosines", took["cached"], "MTN training step", took["mtn"], 500.0)

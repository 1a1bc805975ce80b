"""Floating-point operations of one scoring."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.fusion.base import Fusion


def flops(model: Fusion) -> int:
    """Floating-point operations of the forward pass, a unit or sample; a multiplication and its addition are two.

    Counted by `torch.utils.flop_counter`: matrix products, convolutions and attention; what works entry by entry
    (LEGO's powers, activations) is not in it. A fusion with a window is counted on a full one.
    """
    units = model.window or 1
    device = next(model.parameters()).device
    features = {name: torch.zeros(1, units, width, device=device) for name, width in model.widths.items()}
    was = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:  # not under no_grad: its hooks ask weights for their gradients
        model(features)
    model.train(was)
    return int(counter.get_total_flops()) // units

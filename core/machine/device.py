"""Where the work is done: what the device is called, mixed precision, and what happens when its memory is full.

sparing   out of memory: half as many at a time, down to one; then on the processor; and each time it is said
mixed     layers multiply in bfloat16; weights, graphs, sums, losses and Adam stay float32
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
MIXED = "trained in mixed precision"


def device_words(device: torch.device | str | None = None) -> str:
    """The device as people know it, for a badge; the accelerator where there is one, unless a device is named."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    here = torch.device(device)
    if here.type == "cuda":
        found = torch.cuda.get_device_properties(here)
        return f"{found.name}, {found.total_memory / 2**30:.0f} GB"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"CPU, {cores} core{'s' * (cores > 1)}"


def device_named(name: str) -> str:
    """`auto` is the accelerator where there is one; a device that is not here is a `ValueError`."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"there is no device {name!r}; there are cpu, cuda and auto")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} is not here: PyTorch finds no accelerator; use cpu or auto")
    return name


def sparing(
    work: Callable[[int, torch.device], T],
    size: int,
    device: torch.device | str,
    say: Callable[[str], None] | None = None,
    least: int = 1,
) -> T:
    """`work(size, device)`; when the memory is full with half the size, at `least` of it on the CPU.

    Errors: `ValueError` when the CPU's memory is full too; whatever else `work` raises.
    """
    here = torch.device(device)
    while True:
        try:
            return work(size, here)
        except torch.OutOfMemoryError:
            full = device_words(here)  # what the attempt held is let go only after this block
        if size > least:
            size = max(least, size // 2)
            words = f"{full}: out of memory, going on with {size:,} at a time"
        elif here.type != "cpu":
            here = torch.device("cpu")
            words = f"{full}: out of memory, going on with {device_words(here)}"
        else:
            raise ValueError(f"{full}: out of memory even with {size:,} at a time")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if say is not None:
            say(words)


class Rounded(nn.Linear):
    """A linear layer that multiplies in bfloat16 while it trains, and hands on what it was given."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, dtype=torch.bfloat16):
            return super().forward(input).to(input.dtype)


@contextlib.contextmanager
def mixed(model: nn.Module, on: bool = True) -> Iterator[None]:
    """While it lasts, the model's linear layers, when they train, multiply in bfloat16.

    Scores, and so a run's metrics, are always those that its stored weights give in full precision.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear] if on else []
    for layer in layers:
        layer.__class__ = Rounded
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear

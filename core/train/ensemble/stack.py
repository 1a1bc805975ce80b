"""The stack of weights: like models side by side, and Adam over all of them."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from core.fusion.lego import Lego

BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's, as torch has them


class Stack:
    """Weights of like models side by side: `flat` is `(members, weights)`, the rest are views into it.

    Entries of A beyond a member's own powers are zero and stay so: `inside` takes them out after the gate.
    """

    def __init__(self, models: Sequence[Lego], device: torch.device | str) -> None:
        self.models = models
        self.powers = tuple(max(model.A.shape[axis] for model in models) for axis in range(models[0].A.ndim))
        shapes = {name: tuple(weight.shape) for name, weight in models[0].named_parameters()} | {"A": self.powers}
        self.flat = torch.zeros(len(models), sum(math.prod(shape) for shape in shapes.values()), device=device)
        self.shapes = shapes
        self.weights = self.views(self.flat)
        self.inside = torch.zeros(len(models), *self.powers, device=device)
        for member, model in enumerate(models):
            for name, weight in model.named_parameters():
                self.own(self.weights[name], member, name).copy_(weight.detach())
            self.own(self.inside, member, "A").fill_(1.0)

    def views(self, flat: Float[Tensor, "members weights"]) -> dict[str, Tensor]:
        """Name -> `(members, *shape)` of a flat tensor, sharing its memory."""
        found, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            found[name] = flat[:, at : at + size].unflatten(1, shape)
            at += size
        return found

    def own(self, stacked: Tensor, member: int, name: str) -> Tensor:
        """A member's own part of a stacked weight: A without what pads it."""
        part = stacked[member]
        return part[tuple(slice(0, size) for size in self.models[member].A.shape)] if name == "A" else part

    def unstack(self, member: int) -> Lego:
        """The member's model with the weights it has now, in evaluation mode."""
        model = self.models[member]
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(self.own(self.weights[name], member, name))
        return model.eval()


class Adam:
    """Adam with an L2 pull (torch.optim.Adam's formulas), every member with its own step size and pull."""

    def __init__(self, flat: Float[Tensor, "members weights"], lr: Tensor, decay: Tensor) -> None:
        self.flat, self.lr, self.decay = flat, lr[:, None], decay[:, None]
        self.first, self.second, self.steps = torch.zeros_like(flat), torch.zeros_like(flat), 0

    def step(self, gradient: Float[Tensor, "members weights"]) -> None:
        self.steps += 1
        gradient.addcmul_(self.flat, self.decay)
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = self.lr / (1 - BETAS[0] ** self.steps)
        below = self.second.sqrt().div_(math.sqrt(1 - BETAS[1] ** self.steps)).add_(EPS)
        self.flat.sub_(self.first.div(below).mul_(size))

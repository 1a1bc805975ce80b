r"""Attacks on features: the worst move of every row inside a box, found by the gradient of the loss.

    box      |x'_c - x_c| <= radius_c           column by column; elsewhere radius = ε * standard deviation
    FGSM     x' = x + radius * sign(grad loss(x))
    PGD      x_0 drawn from the box,  x_(t+1) = clip to the box of  x_t + step * radius * sign(grad loss(x_t))

Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015; Madry et al., "Towards Deep Learning
Models Resistant to Adversarial Attacks", ICLR 2018. Both are untargeted: they raise the loss.

PGD searches on from FGSM: its candidates are the FGSM point, x itself, whatever point it is told, and all its steps.
A piece (a row, or for methods that relate the units of a clip the clip) keeps the candidate that is decided wrongly
before one that is not, and of those the one of the highest loss, but never one whose loss is below the FGSM point's.
So PGD's loss is at least FGSM's for every piece, and whatever FGSM fools PGD fools.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.fusion.base import Features

STEPS = 10
PACE = 2.5  # all steps together reach this many radii


@dataclass(frozen=True)
class Verdict:
    """What a model's answer is worth, piece by piece.

    loss    the higher, the worse
    fooled  the decision is wrong; all False where there are no decisions
    """

    loss: Float[Tensor, " pieces"]
    fooled: Bool[Tensor, " pieces"]


Judge = Callable[[Features], Verdict]
Radius = Mapping[str, Float[Tensor, " _"]]  # of the modalities that are attacked; the others stay as they are


def gradients(judge: Judge, features: Features, names: Sequence[str]) -> tuple[Verdict, dict[str, Tensor]]:
    """(the verdict, gradient of the loss, summed over pieces, by modality); zeros for a modality that is not read.

    Errors: `ValueError` when the loss does not depend on any feature in a way that can be differentiated.
    """
    leaves = {name: rows.detach().clone().requires_grad_(name in names) for name, rows in features.items()}
    with torch.enable_grad():
        verdict = judge(leaves)
        if not verdict.loss.requires_grad:
            raise ValueError("this model gives no gradient with respect to these features, so it cannot be attacked")
        asked = [leaves[name] for name in names]
        found = torch.autograd.grad(verdict.loss.sum(), asked, allow_unused=True)
    slopes = {
        name: torch.zeros_like(leaf) if slope is None else slope.nan_to_num()
        for name, leaf, slope in zip(names, asked, found, strict=True)
    }
    return Verdict(verdict.loss.detach(), verdict.fooled), slopes


def stepped(features: Features, slopes: Features, radius: Radius) -> dict[str, Float[Tensor, "rows _"]]:
    """One step of `radius` along the gradient's sign."""
    return {
        name: rows + radius[name] * slopes[name].sign() if name in slopes else rows for name, rows in features.items()
    }


def fgsm(judge: Judge, features: Features, radius: Radius) -> dict[str, Float[Tensor, "rows _"]]:
    """The corner of the box that the gradient at x points to."""
    return stepped(features, gradients(judge, features, list(radius))[1], radius)


def clipped(features: Features, around: Features, radius: Radius) -> dict[str, Float[Tensor, "rows _"]]:
    """Back into the box around the clean features."""
    return {
        name: torch.minimum(torch.maximum(rows, around[name] - radius[name]), around[name] + radius[name])
        if name in radius
        else rows
        for name, rows in features.items()
    }


def pgd(
    judge: Judge,
    features: Features,
    radius: Radius,
    piece: Int[Tensor, " rows"],
    steps: int = STEPS,
    start: Features | None = None,
    more: Sequence[Features] = (),
    corner: Features | None = None,
) -> tuple[dict[str, Float[Tensor, "rows _"]], Verdict]:
    """(the worst point found for every piece, its verdict).

    piece   which piece a row belongs to
    start   modality -> numbers in [-1, 1], where in the box the search begins; None: at x
    more    other points of the box to be considered
    corner  the FGSM point, where it is known already
    """
    names = list(radius)
    corner = fgsm(judge, features, radius) if corner is None else corner
    best = dict(corner)
    with torch.no_grad():
        floor = judge(corner)
    worst, fooled = floor.loss.clone(), floor.fooled.clone()

    def consider(point: Features, verdict: Verdict) -> None:
        nonlocal worst, fooled
        graver = (verdict.fooled & ~fooled) | ((verdict.fooled == fooled) & (verdict.loss > worst))
        taken = graver & (verdict.loss >= floor.loss)
        rows = taken[piece][:, None]
        for name in names:
            best[name] = torch.where(rows, point[name], best[name])
        worst = torch.where(taken, verdict.loss, worst)
        fooled = torch.where(taken, verdict.fooled, fooled)

    with torch.no_grad():
        for point in (features, *more):
            consider(point, judge(point))
    now: dict[str, Tensor] = dict(features)
    if start is not None:
        now |= {name: features[name] + radius[name] * start[name] for name in names}
    pace = {name: PACE / steps * radius[name] for name in names}
    for _ in range(steps):
        verdict, slopes = gradients(judge, now, names)
        consider(now, verdict)
        now = clipped(stepped(now, slopes, pace), features, radius)
    with torch.no_grad():
        consider(now, judge(now))
    return best, Verdict(worst, fooled)

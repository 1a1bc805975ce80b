r"""Many small trainings at once: LEGO models whose options differ are one stack of weights, stepped together.

    G_m = sum over p, q  A_m[p, q] * R_a^p * R_b^q        one matrix product: (members, terms) @ (terms, entries)
    score_m = sigmoid(w_m . relu(W_m G_m + b_m))          one batched product over members
    A_m[p, q] = 0 for p > P_m or q > Q_m                  so that members of any P and Q share the terms

A member is the training `train.loop.train` gives alone: the same draws, the same batches, the same steps of Adam. Only
the rows that the loss reads (the `top` units of a clip) are differentiated through the head.

Sums are taken in another order than alone, so weights differ in their last bit (1.2e-7) from the first step on, and
edges within that of alpha count on one side and not on the other. How far that carries is the training's own doing:
moving the initial weights of a training *alone* by one last bit, either way, moves it as far. Measured on the demo's
pair, as (loss curve relative to losses above 1; unit scores), a member against alone, and alone moved against alone:

    gate sigmoid, the default: 40 members drawn from alpha 0 .. 0.3, lambda 0 .. 2, P and Q 1 .. 5, seeds 0 .. 3,
    150 epochs           at most 1.1e-6; 1.8e-7                    alone moved, 3 seeds: 6.2e-7; 6.0e-8
    gate none, alpha 0.05, lambda 1, 60 epochs, seeds 0 to 2
                         1.0e-5, 8.1e-7, 2.6e-6; 1.5e-3, 3.0e-7, 1.3e-7
                         alone moved: 1.6e-5, 4.7e-7, 2.7e-6; 1.8e-2, 5.1e-7, 3.9e-7
    rescale none, likewise (losses of 5e5 and more)
                         6.1e-7, 4.3e-7, 3.6e-7; 1.3e-3, 2.8e-3, 3.9e-3
                         alone moved: 3.8e-7, 4.3e-7, 3.7e-7; 1.5e-3, 4.9e-3, 2.3e-2

So members are their trainings alone to 1e-4 of the loss, and to 1e-3 in scores where the training itself is defined so
well: not always without the gate, where A's signs cancel in G and its maximum is small, nor without rescaling. No order
of float32 sums mends that, nor decisions taken in float64, for A itself differs; and float64 throughout would be other
runs than those that `train` gives. (Absolute loss curves agree to 1e-4 up to losses of about 100, where float32 ends.)

Models with a learned projection stay alone: most of their time goes into reading the features, and on few clips their
training is chaotic (weights moved by 1e-7 end in other scores), so that no other order of sums gives the same run.
Models that train in mixed precision stay alone, too: their layers round.

Ding et al., "Learnable Expansion of Graph Operators for Multi-Modal Feature Fusion", ICLR 2025: figures 4 and 5 are
sweeps over alpha, k, lambda and over P and Q.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.dataset import Dataset
from core.fusion.lego import Lego, LegoConfig
from core.machine.device import sparing
from core.recipe import Recipe
from core.run import build
from core.sample import Samples
from core.score.judge import judge
from core.train.ensemble.fit import fit_many
from core.train.ensemble.stack import Stack
from core.train.loop import (
    Trained,
    diverged,
    judged,
    prepare,
    record,
    train,
    widths_of,
)

VARIES = ("P", "Q", "rest", "alpha", "k", "lam")  # of LegoConfig; lr and weight_decay of TrainConfig vary too
RESCALES = ("graph", "standard", "none")  # not by the batch's maximum: then neighbours decide, as they do alone
CHUNK = 50  # members that are stepped together at most
SPACE = 1 << 30  # bytes that the terms members share may take, and as many their graphs

Tell = Callable[[int, int, float], None]


def likeness(recipe: Recipe) -> Hashable | None:
    """Equal for trainings that can be stepped together; None for one that can only be trained alone."""
    config, training = recipe.options, recipe.training
    if (
        type(config) is not LegoConfig
        or config.project is not None
        or config.operator != "matrix"
        or config.pairing != "full"
        or config.rescale not in RESCALES
        or config.nodes != training.units
        or training.amp
    ):
        return None
    usual = LegoConfig()
    alike = replace(config, **{name: getattr(usual, name) for name in VARIES})
    return replace(recipe, options=alike, training=replace(training, lr=0.0, weight_decay=0.0), seeds=(0,))


def together(asked: Sequence[Recipe]) -> list[list[int]]:
    """Indices of trainings that can be one ensemble, in order; one that cannot be is alone in its list."""
    groups: dict[Hashable, list[int]] = {}
    for index, each in enumerate(asked):
        key = likeness(each)
        groups.setdefault(("alone", index) if key is None else key, []).append(index)
    return list(groups.values())


def train_many(
    dataset: Dataset | Samples,
    asked: Sequence[Recipe],
    progress: Tell | None = None,
    device: torch.device | str = "cpu",
    chunk: int = CHUNK,
    failed: Callable[[int, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, Trained]]:
    """(index into `asked`, its training) as they are done; `chunk` of those that fit together are stepped at once.

    asked       of one seed each
    progress    called after every epoch with (epochs done of all trainings, epochs of all trainings, mean loss)
    failed      called, once the others are done, with (index, why) of each training that came to nothing: options
                that do not go with the data, or a loss that is not finite. Without it they are a `ValueError` then
    say         told when memory was short: half as many at a time then, and at last the CPU
    """
    total, done = sum(each.training.epochs for each in asked), 0

    def tell(count: int, loss: float) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total, loss)

    undone: list[tuple[int, str]] = []
    for group in together(asked):
        left, first, most = ordered(asked, group), asked[group[0]], 1
        if len(group) > 1:
            part, count = dataset.part("train", first.protocol), len(first.modalities or dataset.modalities)
            most = at_once([asked[index] for index in group], len(part) * part.crops, count, chunk)
        while left:
            pieces = -(-len(left) // most)
            size, before = -(-len(left) // pieces), done

            def work(count: int, on: torch.device, left: list[int] = left, before: int = before) -> list[Trained | str]:
                nonlocal done
                done = before  # when an attempt ran out of memory, its epochs do not count
                chosen = [asked[index] for index in left[:count]]
                if len(chosen) == 1 or isinstance(dataset, Samples):
                    return [_alone(dataset, chosen[0], tell, on)]
                return _ensemble(dataset, chosen, tell, on)

            made = sparing(work, size, device, say)
            for index, each in zip(left, made, strict=False):
                if isinstance(each, str):
                    undone.append((index, each))
                else:
                    yield index, each
            left = left[len(made) :]
    for index, why in undone:
        if failed is None:
            one = f"the first ({asked[index].fusion}, seed {asked[index].seed}) because it {why}"
            raise ValueError(f"{len(undone)} of {len(asked)} trainings came to nothing, {one}")
        failed(index, why)


def ordered(asked: Sequence[Recipe], group: Sequence[int]) -> list[int]:
    """A group by seed, since one seed's batches are shared, and then by powers, since A is padded to the largest."""

    def order(index: int) -> tuple[int, ...]:
        config = asked[index].options
        return asked[index].seed, int(config.lam != 0), max(config.P, config.Q), config.P, config.Q

    return sorted(group, key=order) if len(group) > 1 else list(group)


def at_once(asked: Sequence[Recipe], clips: int, modalities: int, most: int) -> int:
    """How many of these, all alike, are stepped together: `most`, or fewer where their graphs would take much memory.

        terms   clips x (P + 1)(Q + 1)... x N x N x 4 bytes, shared       graphs   members x batch x N x N x 4 bytes

    clips   training clips, each crop counted
    """
    if likeness(asked[0]) is None:
        return 1
    configs = [each.options for each in asked]
    graph = 4 * configs[0].nodes ** 2
    tops = ["P", "Q", *["rest"] * (modalities - 2)]
    terms = math.prod(max(getattr(config, name) for config in configs) + 1 for name in tops)
    if clips * terms * graph > SPACE:
        return 1
    return max(1, min(most, SPACE // (min(asked[0].training.batch, clips) * graph)))


def _alone(
    dataset: Dataset | Samples, recipe: Recipe, tell: Callable[[int, float], None], device: torch.device | str
) -> Trained | str:
    """One training by itself, or why it came to nothing."""
    try:
        return train(dataset, recipe, lambda now: tell(1, now.loss), device)
    except ValueError as error:
        return str(error)


def drawn(widths: Mapping[str, int], recipe: Recipe) -> Lego:
    """A member's model with the weights that its seed draws."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(recipe.fusion, widths, recipe.options)
    assert isinstance(model, Lego)
    return model


def _ensemble(
    dataset: Dataset, asked: Sequence[Recipe], tell: Callable[[int, float], None], device: torch.device | str
) -> list[Trained | str]:
    """Trainings of one structure, together; of one that came to nothing, why."""
    widths = widths_of(dataset, asked[0].modalities)
    shared, protocol = asked[0].training, asked[0].protocol
    models = [drawn(widths, each) for each in asked]
    data = prepare(dataset.part("train", protocol), tuple(widths), shared.units)
    test = dataset.part("test", protocol)
    tracked: list[list[float]] = [[] for _ in asked]

    def after(epoch: int, losses: Tensor, stack: Stack) -> None:
        if shared.track:
            for member, found in enumerate(tracked):
                fine = bool(stack.flat[member].isfinite().all())
                found.append(judge(stack.unstack(member), test).main if fine else float("nan"))
        tell(len(asked), float(losses.nanmean()))

    began = time.perf_counter()
    stack, losses = fit_many(
        models, data, [each.training for each in asked], [each.seed for each in asked], device, after
    )
    seconds = (time.perf_counter() - began) / len(asked)
    done: list[Trained | str] = []
    for member, each in enumerate(asked):
        wild = np.flatnonzero(~np.isfinite(losses[:, member]).all(1))
        if len(wild) or not bool(stack.flat[member].isfinite().all()):
            done.append(str(diverged(int(wild[0]) + 1 if len(wild) else len(losses))))
            continue
        history = [
            {"epoch": epoch + 1.0, "loss": float(a + b), "classification": float(a), "penalty": float(b)}
            for epoch, (a, b) in enumerate(losses[:, member])
        ]
        for row, auc in zip(history, tracked[member], strict=False):
            row["auc_test"] = auc
        model = stack.unstack(member)
        metrics = judged(model, test, each.training, history)
        done.append(record(model, dataset, each, (history, metrics, seconds)))
    return done

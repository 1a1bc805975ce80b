"""What if: the model run again without a modality, a relation or a unit, and what becomes of every score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.clip import Clip
from core.explain.windows import Opened, every_window, known_only, rerun, window_of
from core.fusion.base import Fusion
from core.score.doors import graphs
from core.score.infer import cut, sealed, spans


@dataclass(frozen=True)
class WhatIf:
    """The model run again on changed input; one value a unit of the clip.

    what    the change, in words
    old     scores before, in [0, 1]
    new     scores after; NaN for a unit that was dropped
    delta   new - old: above 0, the change makes the unit look more anomalous
    """

    what: str
    old: np.ndarray
    new: np.ndarray
    delta: np.ndarray


Change = Callable[[Opened], Float[Tensor, "crops n"] | None]


@torch.inference_mode()
def what_if(model: Fusion, clip: Clip, what: str, change: Change) -> WhatIf:
    """Run every window again with a change; None from `change` means that the window does not feel it."""
    windows = every_window(model, clip)
    before = [inside.scores[:, : inside.units] for inside in windows]
    after = [change(inside) for inside in windows]
    old = whole(clip, windows, [scores.mean(0).cpu().numpy() for scores in before])
    found = [was if now is None else now for was, now in zip(before, after, strict=True)]
    new = whole(
        clip, windows, [scores.mean(0)[: i.units].cpu().numpy() for scores, i in zip(found, windows, strict=True)]
    )
    return sealed(WhatIf(what, old, new, new - old))


def whole(clip: Clip, windows: Sequence[Opened], values: Sequence[np.ndarray]) -> np.ndarray:
    """One value per unit of the clip from the values of its windows."""
    found = np.zeros(clip.units)
    for inside, value in zip(windows, values, strict=True):
        found[inside.fresh : inside.stop] = value[inside.fresh - inside.start :]
    return found


def changes(model: Fusion, clip: Clip, unit: int, other: int | None = None) -> tuple[WhatIf, ...]:
    """Without each modality and without the unit, where something is left; with `other`, without that connection."""
    if other is not None:
        return (cut_edge(model, clip, unit, other),)
    muted = [mute(model, clip, name) for name in model.widths if len(model.widths) > 1]
    return (*muted, *([drop_unit(model, clip, unit)] if clip.units > 1 else []))


def mute(model: Fusion, clip: Clip, modality: str) -> WhatIf:
    """One modality not known: its graph all ones; for methods on features, the clip's mean unit in its place."""
    if modality not in model.widths or modality not in clip.features:
        raise ValueError(
            f"there is no modality {modality!r}; there are {[n for n in model.widths if n in clip.features]}"
        )

    def change(inside: Opened) -> Tensor:
        return known_only(model, clip, inside, [name for name in inside.present if name != modality])

    return what_if(model, clip, f"{modality} muted", change)


def cut_edge(model: Fusion, clip: Clip, unit: int, other: int, modality: str | None = None) -> WhatIf:
    """No relation between two units, either way: in every modality's graph, or in one, before they are fused."""
    graphs(model)
    for one in (unit, other):
        window_of(model, clip, one)
    if unit == other:
        raise ValueError(f"an edge joins two units, got unit {unit} twice")
    if modality is not None and modality not in model.widths:
        raise ValueError(f"there is no modality {modality!r}; there are {list(model.widths)}")
    if not any(
        start <= min(unit, other) and max(unit, other) < stop for start, stop, _ in spans(clip.units, model.window)
    ):
        raise ValueError(f"clip {clip.name!r}: units {unit} and {other} never share a window of {model.window} units")

    def change(inside: Opened) -> Tensor | None:
        one, two = inside.nodes == unit - inside.start, inside.nodes == other - inside.start
        gone = one[:, None] & two | two[:, None] & one
        if not gone.any():
            return None
        left = {
            name: graph.masked_fill(gone, 0.0) if modality in (None, name) else graph
            for name, graph in inside.graphs.items()
        }
        return rerun(model, left, inside.present)

    where = "" if modality is None else f" in {modality}"
    return what_if(model, clip, f"edge {unit}-{other} cut{where}", change)


def drop_unit(model: Fusion, clip: Clip, unit: int) -> WhatIf:
    """One unit gone from its windows; the rest close up and are repeated until they fill the window again."""
    window_of(model, clip, unit)
    if clip.units == 1:
        raise ValueError(f"clip {clip.name!r} has one unit: nothing is left without it")

    def change(inside: Opened) -> Tensor | None:
        if not inside.start <= unit < inside.stop:
            return None
        left = torch.tensor([at for at in range(inside.units) if at != unit - inside.start])
        rest = {n: rows[:, left.to(rows.device)] for n, rows in inside.features.items()}
        scores = model({n: cut(rows, 0, len(left), model.window) for n, rows in rest.items()}).scores
        found = scores.new_full((scores.shape[0], inside.units), float("nan"))
        found[:, left.to(scores.device)] = scores[:, : len(left)]
        return found

    return what_if(model, clip, f"unit {unit} dropped", change)

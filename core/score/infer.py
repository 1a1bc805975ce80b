"""Run a fusion on clips, window by window. Torch ends here: the app only sees read-only numpy.

`score` and `outputs` reckon in float64 and answer in float32. Many units of a set can be alike to the last bit (nothing
unusual in them), and float32 tells them apart by where they stand in a batch and by the processor: that noise orders
hundreds of ties, and moved the demo's unit AUC by up to 2.3 points between two machines. In float64 what is equal comes
out equal, everywhere.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.clip import Clip
from core.fusion.base import Features, Fused, Fusion
from core.fusion.baseline import GraphTrace
from core.fusion.graph import cosine
from core.fusion.lego import LegoTrace

Found = TypeVar("Found")


def array(tensor: Tensor) -> np.ndarray:
    """A copy that cannot be written to, so a cached result cannot be changed by a view."""
    values = tensor.detach().cpu().numpy().copy()
    values.setflags(write=False)
    return values


def sealed(found: Found) -> Found:
    """The same, with every array in it read-only: in records, mappings and sequences, too."""
    if isinstance(found, np.ndarray):
        found.setflags(write=False)
    within: Iterable[Any] = found if isinstance(found, tuple | list) else ()
    if isinstance(found, Mapping):
        within = found.values()
    elif is_dataclass(found):
        within = vars(found).values()
    for each in within:
        sealed(each)
    return found


@dataclass(frozen=True)
class GraphArrays:
    """What a graph-level fusion did in one window, over its n real units.

    graphs    modality -> relations before fusion, in [0, 1]
    fused     relations after fusion, as the head reads them
    raw       the same before rescaling; equals `fused` where the fusion does not rescale
    operator  A after its gate, one axis per modality; None where the fusion has none
    """

    graphs: Mapping[str, np.ndarray]
    fused: np.ndarray
    raw: np.ndarray
    operator: np.ndarray | None


@dataclass(frozen=True)
class Window:
    """Units start .. stop of the clip, scored together; `fresh` is the first unit whose score this window gives."""

    start: int
    stop: int
    fresh: int
    trace: GraphArrays | None


@dataclass(frozen=True)
class Look:
    """Scores of every unit, in [0, 1], higher is more anomalous, and what each window's trace holds."""

    scores: np.ndarray
    windows: tuple[Window, ...]


def spans(units: int, window: int | None) -> list[tuple[int, int, int]]:
    """(start, stop, fresh) of each window; the last is shifted back to end with the clip and scores only what is new.

    >>> spans(70, 32)
    [(0, 32, 0), (32, 64, 32), (38, 70, 64)]
    >>> spans(5, 32)
    [(0, 5, 0)]
    """
    if window is None or units <= window:
        return [(0, units, 0)]
    starts = list(range(0, units - window + 1, window))
    found = [(start, start + window, start) for start in starts]
    if found[-1][1] < units:
        found.append((units - window, units, found[-1][1]))
    return found


def cut(rows: Tensor, start: int, stop: int, window: int | None) -> Tensor:
    """Rows start .. stop; a clip shorter than the window is repeated until it fills it."""
    part = rows[..., start:stop, :]
    if window is not None and stop - start < window:
        part = part[..., torch.arange(window, device=rows.device) % (stop - start), :]
    return part


def fits(model: Fusion, clip: Clip) -> None:
    """A `ValueError` when features are not those the fusion was built for; missing modalities are allowed."""
    shared = [name for name in model.widths if name in clip.features]
    if not shared:
        raise ValueError(
            f"clip {clip.name!r} has modalities {', '.join(clip.features)}, the model reads {', '.join(model.widths)}"
        )
    for name in shared:
        if clip.widths[name] != model.widths[name]:
            raise ValueError(
                f"clip {clip.name!r}: modality {name!r} has width {clip.widths[name]}, "
                f"the model was trained on {model.widths[name]}"
            )


def windowed(clip: Clip, window: int | None, modalities: Sequence[str] | None = None) -> list[Features]:
    """The clip's windows, all modalities with the same crops, each `(crops, units, width)`."""
    chosen = {name: clip.features[name] for name in clip.features if modalities is None or name in modalities}
    crops = max((rows.shape[0] for rows in chosen.values() if rows.ndim == 3), default=1)
    full = {}
    for name, rows in chosen.items():
        rows = rows if rows.ndim == 3 else rows[None]
        if rows.shape[0] not in (1, crops):
            raise ValueError(f"clip {clip.name!r}: modality {name!r} has {rows.shape[0]} crops, others have {crops}")
        full[name] = rows.expand(crops, -1, -1)
    return [{n: cut(r, start, stop, window) for n, r in full.items()} for start, stop, _ in spans(clip.units, window)]


def graph_arrays(trace: object, index: int, units: int) -> GraphArrays | None:
    """One graph's arrays out of a batch's trace, cut to its real units; None for methods without graphs."""
    if not isinstance(trace, (LegoTrace, GraphTrace)):
        return None
    raw = trace.raw if isinstance(trace, LegoTrace) else trace.fused
    return GraphArrays(
        graphs={name: array(graph[index, :units, :units]) for name, graph in trace.graphs.items()},
        fused=array(trace.fused[index, :units, :units]),
        raw=array(raw[index, :units, :units]),
        operator=array(trace.operator) if isinstance(trace, LegoTrace) else None,
    )


@torch.inference_mode()
def look(model: Fusion, clip: Clip) -> Look:
    """Scores of every unit and the graphs behind them; crops' scores are averaged, the graphs are crop 0's."""
    fits(model, clip)
    model.eval()
    scores, windows = np.zeros(clip.units, np.float32), []
    for features, (start, stop, fresh) in zip(
        windowed(clip, model.window, tuple(model.widths)), spans(clip.units, model.window), strict=True
    ):
        fused: Fused = model(to_device(features, model))
        mean = fused.scores.mean(0)
        scores[fresh:stop] = mean[fresh - start : stop - start].cpu().numpy()
        windows.append(Window(start, stop, fresh, graph_arrays(fused.trace, 0, stop - start)))
    scores.setflags(write=False)
    return Look(scores, tuple(windows))


def relations(clip: Clip, modalities: Iterable[str]) -> dict[str, Float[np.ndarray, "n n"]]:
    """Cosine relations of the units by each modality's own features, crop 0's; they need no model."""
    rows = {name: clip.features[name] for name in modalities}
    return {name: array(cosine(each if each.ndim == 2 else each[0])) for name, each in rows.items()}


def to_device(features: Features, model: Fusion) -> Features:
    """The features where the model's weights are, in their type."""
    like = next(model.parameters())
    return {name: rows.to(like.device, like.dtype) for name, rows in features.items()}


def precise(model: Fusion) -> Fusion:
    """A copy in float64, in evaluation mode; the model itself stays as it is."""
    return copy.deepcopy(model).double().eval()


GRAPHS = 16  # numbers a window's graphs take beside its features, times units²: powers, terms, what is fused
WAITING = 4  # batches' worth of features that may wait for clips of their length


@torch.inference_mode()
def score(
    model: Fusion,
    clips: Sequence[Clip],
    entries: int = 1 << 22,
    tell: Callable[[float], None] = lambda share: None,
) -> dict[str, np.ndarray]:
    """Clip name -> unit scores; windows of all clips go through the model in large batches.

    `entries` bounds one batch's values. A fusion without a window takes clips of equal length together. Clips are read
    one after another and let go once scored, so that memory stays flat however many there are. `tell` hears which
    share is done; what it raises ends the scoring.
    """
    model = precise(model)
    names = tuple(model.widths)
    width = sum(model.widths.values())
    found = {clip.name: np.zeros(clip.units, np.float32) for clip in clips}
    groups: dict[tuple[int, int], list[tuple[Clip, tuple[int, int, int], Features]]] = {}

    def values(crops: int, units: int) -> int:
        return max(1, crops * units * (width + (GRAPHS * units if model.window is not None else 0)))

    def scored(shape: tuple[int, int]) -> int:
        part = groups.pop(shape)
        batch = {n: torch.stack([features[n] for _, _, features in part]) for n in part[0][2]}
        told = model(to_device(batch, model)).scores.mean(1).float().cpu().numpy()
        for row, (clip, (start, stop, fresh), _) in zip(told, part, strict=True):
            found[clip.name][fresh:stop] = row[fresh - start : stop - start]
        return len(part) * values(*shape)

    waiting = 0
    for number, clip in enumerate(clips):
        fits(model, clip)
        for features, span in zip(windowed(clip, model.window, names), spans(clip.units, model.window), strict=True):
            first = next(iter(features.values()))
            shape = first.shape[0], first.shape[1]
            group = groups.setdefault(shape, [])
            group.append((clip, span, features))
            waiting += values(*shape)
            if len(group) * values(*shape) > entries - values(*shape):
                waiting -= scored(shape)
        while waiting > WAITING * entries:
            waiting -= scored(max(groups, key=lambda shape: len(groups[shape]) * values(*shape)))
        tell(number / len(clips))
    for shape in list(groups):
        scored(shape)
    tell(1.0)
    return found


@torch.inference_mode()
def outputs(model: Fusion, features: Features, entries: int = 1 << 22) -> np.ndarray:
    """Outputs of every row, `(rows, outputs)`, in batches; modalities the model does not read are passed over.

    Errors: `ValueError` when a modality has another width, or when the fusion gives no outputs.
    """
    kind = next(model.parameters()).dtype  # the answer comes in the type the model has
    model = precise(model)
    read = {name: features[name] for name in model.widths if name in features}
    for name, rows in read.items():
        if rows.shape[-1] != model.widths[name]:
            raise ValueError(
                f"modality {name!r} has width {rows.shape[-1]}, the model was trained on {model.widths[name]}"
            )
    if not read:
        raise ValueError(f"none of the modalities {list(model.widths)} is there")
    size = max(1, entries // sum(model.widths.values()))
    count = len(next(iter(read.values())))
    found = []
    for at in range(0, count, size):
        fused: Fused = model(to_device({name: rows[at : at + size] for name, rows in read.items()}, model))
        if fused.outputs is None:
            raise ValueError(f"{type(model).__name__} scores units of clips and gives no other outputs")
        found.append(fused.outputs.to(kind).cpu().numpy())
    values = np.concatenate(found)
    values.setflags(write=False)
    return values


def resample(rows: Float[Tensor, "*crops units d"], count: int) -> Float[Tensor, "*crops count d"]:
    """T units to `count` by the means of equal bins (`linspace` edges); an empty bin takes the unit at its edge.

    >>> resample(torch.arange(4.0)[:, None], 2).flatten().tolist()
    [0.5, 2.5]
    >>> resample(torch.arange(2.0)[:, None], 4).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    units = rows.shape[-2]
    edges = torch.linspace(0, units, count + 1).long().tolist()
    parts = [rows[..., a : max(b, a + 1), :].mean(-2) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return torch.stack(parts, dim=-2)

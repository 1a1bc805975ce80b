"""One window of a clip as a model reads it: opened once, run again with changed graphs or with fewer modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.clip import Clip
from core.fusion import graph as g
from core.fusion.base import Features, Fusion
from core.fusion.baseline import GraphTrace
from core.fusion.lego import Lego, LegoTrace
from core.score import doors
from core.score.infer import spans, to_device, windowed


@dataclass(frozen=True)
class Opened:
    """One window of a clip and what the model made of it; tensors, for this file alone.

    start, stop   units of the clip; fresh is the first whose score this window gives
    nodes         node -> unit of the window: 0 .. n-1, repeated where the clip is shorter than the window
    features      modality -> `(crops, N, d)`
    graphs        modality -> `(crops, N, N)`; empty for methods without graphs
    present       the modalities the clip has
    scores        `(crops, N)`
    """

    start: int
    stop: int
    fresh: int
    nodes: Int[Tensor, " nodes"]
    features: Features
    graphs: Mapping[str, g.Graph]
    present: tuple[str, ...]
    scores: Float[Tensor, "crops nodes"]

    @property
    def units(self) -> int:
        return self.stop - self.start


def opened(model: Fusion, features: Features, span: tuple[int, int, int]) -> Opened:
    """Run the model on one window and keep its insides."""
    model.eval()
    start, stop, fresh = span
    features = to_device(features, model)
    with torch.inference_mode():
        found = model(features)
    graphs = found.trace.graphs if isinstance(found.trace, (LegoTrace, GraphTrace)) else {}
    nodes = torch.arange(found.scores.shape[-1], device=found.scores.device) % (stop - start)
    return Opened(start, stop, fresh, nodes, features, graphs, tuple(features), found.scores)


def every_window(model: Fusion, clip: Clip) -> list[Opened]:
    pairs = zip(windowed(clip, model.window, tuple(model.widths)), spans(clip.units, model.window), strict=True)
    return [opened(model, features, span) for features, span in pairs]


def window_of(model: Fusion, clip: Clip, unit: int) -> int:
    """Which window gives this unit its score."""
    if not 0 <= unit < clip.units:
        raise ValueError(f"clip {clip.name!r} has units 0 to {clip.units - 1}, not {unit}")
    return next(i for i, (_, stop, fresh) in enumerate(spans(clip.units, model.window)) if fresh <= unit < stop)


def one_window(model: Fusion, clip: Clip, window: int) -> Opened:
    found = spans(clip.units, model.window)
    if not 0 <= window < len(found):
        raise ValueError(f"clip {clip.name!r} has windows 0 to {len(found) - 1}, not {window}")
    return opened(model, windowed(clip, model.window, tuple(model.widths))[window], found[window])


def rerun(model: Fusion, graphs: Mapping[str, g.Graph], present: Sequence[str]) -> Float[Tensor, "crops nodes"]:
    """Scores from given graphs: fuse, rescale, head. `present` are the modalities that are not missing."""
    related = doors.graphs(model)
    if isinstance(related, Lego):
        return related.from_graphs(graphs, present).scores
    if related.how == "concat":
        return related.head(*graphs.values())
    return related.head(related.combine(list(graphs.values()), dim=-1))


def known_only(model: Fusion, clip: Clip, inside: Opened, known: Sequence[str]) -> Float[Tensor, "crops nodes"]:
    """Scores of one window when only some modalities are known.

    On graphs an unknown modality is all ones, as the models define it. On features its rows are the clip's mean unit:
    it then says nothing about any single unit, and its cosine graph would be all ones, too.
    """
    if inside.graphs:
        graphs = {n: graph if n in known else torch.ones_like(graph) for n, graph in inside.graphs.items()}
        return rerun(model, graphs, [name for name in inside.present if name in known])
    features = {}
    for name, rows in inside.features.items():
        mean = clip.features[name].mean(-2, keepdim=True).to(rows)
        features[name] = rows if name in known else mean.expand_as(rows)
    return model(features).scores

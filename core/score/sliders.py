"""Answers for sliders: the graphs of a whole set kept ready, so that A, alpha and k move at the speed of a hand.

fuse again        G = sum over p, q of A_pq R_a^p * R_b^q from cached powers, in blocks that stay in cache
one entry of A    G += delta * R_a^p * R_b^q
alpha on degrees  sums kept for 256 alphas, and the edges between the last of them and the one asked for
AUC               a binary search of the anomalous scores among the sorted normal ones
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.clip import Clip
from core.fusion import graph as g
from core.fusion.base import Fusion
from core.fusion.baseline import Baseline, GraphTrace
from core.fusion.lego import Lego, LegoTrace
from core.measure.metrics import auc
from core.score.changes import Changes
from core.score.doors import graphs
from core.score.infer import GraphArrays, array, spans, windowed


@dataclass(frozen=True)
class Gate:
    """Every edge of some graphs in order of strength: the degrees at any alpha come from a few hundred of them.

    graph   `(*rows, n)`: one row of edges per node
    """

    graph: Float[Tensor, "*rows n"]

    STEPS: ClassVar[int] = 256

    @cached_property
    def ladder(self) -> tuple[Float[Tensor, " edges"], Int[Tensor, " edges"], Float[Tensor, "steps rows"], int]:
        """(edges, weakest first; the row each is in; every row's sum over the edges from each step on; step length)."""
        flat = self.graph.flatten()
        order = torch.from_numpy(np.argsort(flat.numpy()))
        edges, rows = flat[order], order // self.graph.shape[-1]
        step = max(1, -(-len(edges) // self.STEPS))
        sums = torch.zeros(-(-len(edges) // step) + 1, len(flat) // self.graph.shape[-1])
        for index in reversed(range(len(sums) - 1)):
            piece = slice(index * step, (index + 1) * step)
            sums[index] = sums[index + 1].index_add(0, rows[piece], edges[piece])
        return edges, rows, sums, step

    @torch.inference_mode()
    def degrees(self, alpha: float) -> Float[Tensor, "*rows"]:
        """Sum of every row's edges >= alpha: those from the next step on, and the few before it one by one."""
        edges, rows, sums, step = self.ladder
        first = int(torch.searchsorted(edges, torch.tensor(alpha, dtype=edges.dtype)))
        above = -(-first // step)
        piece = slice(first, above * step)
        return sums[above].index_add(0, rows[piece], edges[piece]).reshape(self.graph.shape[:-1])

    def counts(self, alpha: float) -> Tensor:
        """How many of every row's edges are >= alpha."""
        return (self.graph >= alpha).sum(-1)


@dataclass(frozen=True)
class Answer:
    """What one position of the sliders means for the whole set; AUC in percent, NaN where undefined.

    scores              of every unit, clip after clip, in [0, 1]
    auc                 of these scores, all edges kept
    auc_cut             of the scores when edges below alpha are cut before the head
    auc_degree          when a low alpha-gated degree alone is called anomalous
    degrees             alpha-gated weighted degree of every unit in the fused graph
    variance_normal, variance_anomalous   mean of eq. 7's two sides; NaN where a side has no window
    penalty             eq. 7 without lambda, over all pairs of a normal and an anomalous window's mean
    """

    scores: np.ndarray
    auc: float
    auc_cut: float
    auc_degree: float
    degrees: np.ndarray
    variance_normal: float
    variance_anomalous: float
    penalty: float


class GraphSet:
    """The relationship graphs of every window of some clips under one graph-level fusion."""

    def __init__(self, model: Fusion, clips: Sequence[Clip]) -> None:
        self.model, self.clips = graphs(model), tuple(clips)
        model.eval()
        names, window = tuple(model.widths), model.window
        pieces, where, at = [], [], 0
        for clip in self.clips:
            for features, (start, stop, fresh) in zip(
                windowed(clip, window, names), spans(clip.units, window), strict=True
            ):
                pieces.append(features)
                where.append((at, fresh - start, stop - start, clip))
                at += 1
        batch = {n: torch.stack([features[n] for features in pieces]) for n in pieces[0]}
        with torch.inference_mode():
            trace = model(batch).trace
        assert isinstance(trace, (LegoTrace, GraphTrace))
        self.graphs: Mapping[str, Tensor] = {n: graph.contiguous() for n, graph in trace.graphs.items()}
        self.trained = trace.fused
        self.row = torch.cat([torch.arange(a, b) for _, a, b, _ in where])
        self.place = torch.cat([torch.full((b - a,), i) for i, a, b, _ in where])
        self.real = torch.tensor([b for _, _, b, _ in where])  # units before repetition starts
        self.anomalous: Bool[Tensor, " windows"] = torch.tensor(
            [bool(c.labels.any()) if c.labels is not None else bool(c.anomalous) for _, _, _, c in where]
        )
        self.labels = np.concatenate(
            [c.labels.numpy() if c.labels is not None else np.zeros(c.units, bool) for c in self.clips]
        )
        self.known = np.concatenate([np.full(c.units, c.labels is not None) for c in self.clips])
        self.starts = dict(
            zip((c.name for c in self.clips), np.cumsum([0] + [c.units for c in self.clips]), strict=False)
        )
        self.halves: g.Halves | None = None
        if isinstance(model, Lego) and (model.config.pairing == "full" or len(names) == 2):
            with torch.inference_mode():
                self.halves = g.Halves.of([model.stack(self.graphs[n], model.tops[n]) for n in names])

    @property
    def operator(self) -> Tensor | None:
        """A after its gate, or None where the fusion has none."""
        return self.model.operator().detach() if isinstance(self.model, Lego) else None

    @torch.inference_mode()
    def raw(self, A: Tensor | None = None) -> Tensor:
        """G of every window before rescaling, `(windows, crops, N, N)`, under A (default: the trained one)."""
        if not isinstance(self.model, Lego):
            return self.trained
        A = self.model.operator() if A is None else A
        return self.halves.fuse(A) if self.halves else self.model.fold(self.graphs, A, list(self.graphs))

    @torch.inference_mode()
    def nudged(self, raw: Tensor, entry: tuple[int, ...], delta: float) -> Tensor:
        """G before rescaling after one entry of A moved by delta; needs cached powers (not random pairs)."""
        assert self.halves is not None
        return raw + delta * self.halves.term(entry)

    @torch.inference_mode()
    def fused(self, A: Tensor | None = None) -> Tensor:
        """G of every window as the head reads it."""
        if not isinstance(self.model, Lego):
            return self.trained
        if self.halves and self.model.config.rescale == "graph":
            return self.halves.fuse(self.model.operator() if A is None else A, scaled=True)
        return g.rescaled(self.raw(A), self.model.config.rescale)

    @torch.inference_mode()
    def scores(self, fused: Tensor, alpha: float | None = None) -> np.ndarray:
        """Unit scores of the head on these graphs; with alpha, edges below it are cut first."""
        read: list[Tensor] = [fused]
        if isinstance(self.model, Baseline) and self.model.how == "concat":
            read = list(self.graphs.values())
        if alpha is not None:
            read = [graph * (graph >= alpha) for graph in read]
        return self.flat(self.model.head(*read).mean(1))

    def flat(self, values: Float[Tensor, "windows n"]) -> np.ndarray:
        """Values per window and node as one array over all units, each unit once."""
        return values[self.place, self.row].numpy()

    def window(self, clip: str, index: int, fused: Tensor, A: Tensor | None = None) -> GraphArrays:
        """The graphs of one window of a clip, crop 0's, its real units; `fused` and A as `fused(A)` made them."""
        before = self.clips[: [each.name for each in self.clips].index(clip)]
        at = index + sum(len(spans(each.units, self.model.window)) for each in before)
        n = int(self.real[at])
        A = self.operator if A is None else A
        return GraphArrays(
            graphs={modality: array(graph[at, 0, :n, :n]) for modality, graph in self.graphs.items()},
            fused=array(fused[at, 0, :n, :n]),
            raw=array(self.raw(A)[at, 0, :n, :n]),
            operator=None if A is None else array(A),
        )

    def of(self, clip: str, values: np.ndarray) -> np.ndarray:
        """One clip's part of a flat array."""
        start = self.starts[clip]
        return values[start : start + next(c.units for c in self.clips if c.name == clip)]

    def auc(self, scores: np.ndarray) -> float:
        """In percent, over labelled units; NaN when one class is missing."""
        return auc(scores[self.known], self.labels[self.known])

    @torch.inference_mode()
    def sides(self, gate: Gate, fused: Tensor, alpha: float, k: int, kind: Literal["equation", "released"]) -> Tensor:
        """Eq. 7's variance of every window: all degrees (normal) or the k highest (anomalous), crops averaged."""
        every = gate.degrees(alpha)
        if kind == "equation":
            top = every.topk(min(k, every.shape[-1]), dim=-1).values
        else:
            top = g.top_edges(fused, alpha, k)
        if min(every.shape[-1], top.shape[-1]) < 2:
            return torch.zeros(every.shape[0])
        return torch.where(self.anomalous[:, None], top.var(-1), every.var(-1)).mean(1)

    @torch.inference_mode()
    def answer(
        self,
        fused: Tensor,
        alpha: float,
        k: int,
        gate: Gate | None = None,
        kind: Literal["equation", "released"] | None = None,
    ) -> Answer:
        """Everything that hangs on the sliders, for the whole set; eq. 7 of the `kind` trained with unless given."""
        gate = gate or Gate(fused)
        kind = kind or getattr(self.model.config, "regulariser", None) or "equation"
        scores = self.scores(fused)
        degrees = self.flat(gate.degrees(alpha).mean(1))
        sides = self.sides(gate, fused, alpha, k, kind)
        normal = float(sides[~self.anomalous].mean()) if (~self.anomalous).any() else float("nan")
        abnormal = float(sides[self.anomalous].mean()) if self.anomalous.any() else float("nan")
        gap = normal - abnormal
        return Answer(
            scores=scores,
            auc=self.auc(scores),
            auc_cut=self.auc(self.scores(fused, alpha)),
            auc_degree=self.auc(-degrees),
            degrees=degrees,
            variance_normal=normal,
            variance_anomalous=abnormal,
            penalty=gap**2 if kind == "equation" else abs(gap),
        )


def trained(model: Fusion) -> tuple[float, int]:
    """alpha and k that a fusion was trained with; the paper's 0.5 and 10 where it knows neither."""
    return float(getattr(model.config, "alpha", 0.5)), int(getattr(model.config, "k", 10))


def changed(model: Fusion, line: str) -> Tensor | None:
    """A with the changes of one line of text in it; None for a fusion without an operator."""
    if not isinstance(model, Lego):
        return None
    A = model.operator()
    return Changes.read(line, A.shape).applied(A)

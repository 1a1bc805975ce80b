r"""Why a unit got its score: parts that add up to the score, by edge, by term of the operator and by modality.

    edge           fused[i, j] = sum over p, q  share[p, q, i, j]                      (G is linear in A)
    score          score_i = base + sum over j  part[i, j],    base = head(empty graph)
                   part[i, j] = fused[i, j] * integral over t in [0, 1] of d score_i / d fused[i, j] at t * fused
    term           part[i, pq] = sum over j  share[p, q, i, j] * the same integral
    modalities     Shapley values of v(S) = score when only the modalities in S are there

Integrated gradients: Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017. Everything is a part of
the score itself, not of its logit, so a score of 0.93 has parts that add up to 0.93. A part above 0 made the unit look
more anomalous.

The head is Linear, ReLU, Linear, sigmoid: along t * fused its logit is straight between the ReLU's bends, so the
integral is a finite sum and exact; no steps, no gap. `captum_parts` is the same from captum, with its steps and gap.

There are two ways to treat the scale that `rescale` divides G by. The parts of a score describe the graph that the head
read, so the scale is held. Shapley values and every "what if" (`core.explain.whatif`) run the model again, so it is
found anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.clip import Clip
from core.explain.shapley import shapley
from core.explain.windows import Opened, known_only, one_window, window_of
from core.fusion import graph as g
from core.fusion.base import Fusion
from core.fusion.baseline import Baseline
from core.fusion.lego import Lego, RowHead
from core.score.doors import graphs, operator
from core.score.infer import array

# ---------------------------------------------------------------------------- terms of an edge


@dataclass(frozen=True)
class TermShares:
    """What each term A[p, q] R_a^p R_b^q adds to each edge of one window's fused graph (of its first crop).

    shares    one axis per modality's powers 0, 1, ..., then unit x unit; they sum to `fused` over the powers
    fused     the graph as the head reads it, as in `core.score.infer.GraphArrays`
    gap       largest |fused - sum of shares|: float rounding

    G before rescaling is linear in A. `rescale` divides by one number per graph, so shares are divided by it too; with
    rescale="standard" every term is first freed of its own mean over the graph, and these add up to G minus its mean.
    With random pairs of three or more modalities the shares are those of the last pair.
    """

    start: int
    stop: int
    shares: np.ndarray
    fused: np.ndarray
    gap: float

    @property
    def of_graph(self) -> np.ndarray:
        """Each term's mean share over all edges; they sum to the graph's mean edge."""
        return self.shares.mean((-2, -1))

    def of_edge(self, unit: int, other: int) -> np.ndarray:
        """Each term's share of the edge between two units, counted from the clip's start."""
        for one in (unit, other):
            if not self.start <= one < self.stop:
                raise ValueError(f"the window holds units {self.start} to {self.stop - 1}, not {one}")
        return self.shares[..., unit - self.start, other - self.start]


def last_stacks(model: Lego, graphs: Mapping[str, g.Graph], present: Sequence[str]) -> list[g.Powers]:
    """The powers that A combines; with random pairs of three or more modalities, those of the last pair."""
    names = list(graphs)
    if model.config.pairing == "full" or len(names) == 2:
        return [model.stack(graphs[n], model.tops[n], n not in present) for n in names]
    *before, last = names
    left = model.fold({n: graphs[n] for n in before}, model.operator(), present)
    left = g.rescaled(left, "graph" if model.config.rescale == "none" else model.config.rescale)
    return [
        model.stack(left, model.config.P),
        model.stack(graphs[last], model.config.Q, last not in present),
    ]


def weighted_terms(
    model: Lego, graphs: Mapping[str, g.Graph], present: Sequence[str]
) -> tuple[Float[Tensor, "terms crops n n"], tuple[int, ...]]:
    """A[entry] * (product of powers) of every entry in float64, which sum to G before rescaling; and A's shape."""
    stacks = [stack.double() for stack in last_stacks(model, graphs, present)]
    A = model.operator().double()
    eye = torch.eye(stacks[0].shape[-1], dtype=A.dtype, device=A.device).expand(1, *stacks[0].shape[1:])
    terms = torch.ones_like(eye)
    for stack in stacks:
        terms = (terms[:, None] * torch.cat([eye, stack])).flatten(0, 1)
    return A.flatten()[:, None, None, None] * terms, tuple(A.shape)


def rescaled_terms(terms: Float[Tensor, "terms crops n n"], rescale: g.Rescale) -> Float[Tensor, "terms crops n n"]:
    """The terms of the rescaled graph: everything that happens to G happens to each of its terms."""
    total = terms.sum(0)
    if rescale == "standard":
        centred = terms - terms.mean((-2, -1), keepdim=True)
        return centred / (centred.sum(0).square().mean((-2, -1), keepdim=True).clamp_min(1e-12).sqrt())
    return terms / g.scale_of(total, rescale)


@torch.inference_mode()
def term_shares(model: Fusion, clip: Clip, window: int = 0) -> TermShares:
    """Each term's share of each edge of one window; `ValueError` for a fusion without an operator."""
    model = operator(model)
    inside = one_window(model, clip, window)
    terms, shape = weighted_terms(model, inside.graphs, inside.present)
    shares = rescaled_terms(terms, model.config.rescale)[:, 0, : inside.units, : inside.units]
    fused = model.from_graphs(inside.graphs, inside.present).trace.fused[0, : inside.units, : inside.units]
    gap = float((shares.sum(0) - fused).abs().max())
    shares = shares.reshape(*shape, inside.units, inside.units).float()
    return TermShares(inside.start, inside.stop, array(shares), array(fused), gap)


def shape_of(model: Fusion) -> tuple[int, ...]:
    """Of the operator A; empty for a fusion without one."""
    return tuple(model.operator().shape) if isinstance(model, Lego) else ()


def axis_names(model: Fusion) -> list[str]:
    """What the axes of A stand for; with random pairs of many modalities, what is fused so far and the next one."""
    fits = len(shape_of(model)) in (0, len(model.widths))
    return list(model.widths) if fits else ["fused so far", "next modality"]


def learned(model: Fusion) -> np.ndarray:
    """A after its gate, one axis per modality; `ValueError` for a fusion without an operator."""
    return array(operator(model).operator())


# ---------------------------------------------------------------------------- edges and terms of a score


def integral(head: RowHead, rows: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """Integral over t in [0, 1] of d score / d row at t * row, exact; `rows` in the order the head reads them.

    Hidden unit k is t a_k + b_k and bends at t = -b_k / a_k. Between bends the logit z is straight, so the integral
    of sigmoid'(z) dt is (change of the score) * (change of t) / (change of z).
    """
    W, b = head.fc1.weight.to(rows.dtype), head.fc1.bias.to(rows.dtype)
    v, c = head.fc2.weight[0].to(rows.dtype), head.fc2.bias[0].to(rows.dtype)
    a = rows @ W.mT
    bends = torch.where(a != 0, -b / torch.where(a != 0, a, 1.0), 0.0).clamp(0, 1)
    ends = torch.zeros_like(a[..., :1])
    t = torch.cat([ends, bends.sort(dim=-1).values, ends + 1], dim=-1)
    z = c + ((t[..., None] * a[..., None, :] + b).relu() * v).sum(-1)
    length, rise = t.diff(dim=-1), z.diff(dim=-1)
    middle = torch.sigmoid((z[..., 1:] + z[..., :-1]) / 2)
    steep = rise.abs() > 1e-4
    slope = torch.where(steep, z.sigmoid().diff(dim=-1) / torch.where(steep, rise, 1.0), middle * (1 - middle))
    active = ((t[..., 1:] + t[..., :-1])[..., None] / 2 * a[..., None, :] + b) > 0
    passed = ((slope * length)[..., None] * active).sum(-2)
    return (passed * v) @ W


def empty_score(head: RowHead) -> float:
    """What the head says of a row of zeros."""
    hidden = head.fc1.bias.double().relu()
    return float((head.fc2.weight[0].double() @ hidden + head.fc2.bias[0].double()).sigmoid())


def read_graphs(model: Lego | Baseline, inside: Opened) -> list[g.Graph]:
    """The graphs whose rows the head reads, in float64: the fused one, or with concat each modality's."""
    if isinstance(model, Lego):
        return [model.from_graphs(inside.graphs, inside.present).trace.fused.double()]
    if model.how == "concat":
        return [graph.double() for graph in inside.graphs.values()]
    return [model.combine(list(inside.graphs.values()), dim=-1).double()]


def slopes(head: RowHead, graphs: Sequence[g.Graph]) -> list[g.Graph]:
    """`integral` for every row of every graph the head reads, in the order of the nodes."""
    ordered = torch.cat([g.ordered(graph, head.order) for graph in graphs], dim=-1)
    pieces = integral(head, ordered).split([graph.shape[-1] for graph in graphs], dim=-1)
    found = []
    with torch.inference_mode(False), torch.enable_grad():  # the way back through the head's own ordering
        for graph, piece in zip(graphs, pieces, strict=True):
            leaf = graph.clone().requires_grad_()
            found.append(torch.autograd.grad(g.ordered(leaf, head.order), leaf, piece.clone())[0])
    return found


def folded(values: Float[Tensor, "*rows nodes"], inside: Opened) -> Float[Tensor, "*rows n"]:
    """Values of nodes added up per unit: a unit that fills several nodes of the window counts as one."""
    total = values.new_zeros(*values.shape[:-1], inside.units)
    return total.index_add_(-1, inside.nodes, values)


@dataclass(frozen=True)
class ScoreParts:
    """Parts of every score in one window of n units; each family adds up: score = base + sum of parts + gap.

    scores   `(n,)` of units start .. stop in this window, crops averaged
    base     score of the empty graph: a unit related to nothing (rescale="standard": related to all alike)
    edges    `(n, n)`: row i, column j: part of unit i's score that its relation to unit j makes; j = i is its own
    terms    `(n, P+1, Q+1, ...)`: part of unit i's score that each term of A makes; None without an operator
    joint    `(n, P+1, Q+1, ..., n)`: both at once; sums to `terms` over the last axis and to `edges` over the powers
    gap      `(n,)`: score minus base minus the sum of parts; float rounding, since the integral is exact
    """

    start: int
    stop: int
    scores: np.ndarray
    base: float
    edges: np.ndarray
    terms: np.ndarray | None
    joint: np.ndarray | None
    gap: np.ndarray


@torch.inference_mode()
def parts_of(model: Fusion, inside: Opened) -> ScoreParts:
    """Parts by edge and by term of every score in one window; `ValueError` for a fusion without graphs."""
    model, n = graphs(model), inside.units
    head = model.head
    assert isinstance(head, RowHead)
    if isinstance(model, Lego):
        every, shape = weighted_terms(model, inside.graphs, inside.present)
        every = rescaled_terms(every, model.config.rescale)
        seen = [every.sum(0)]
    else:
        seen = read_graphs(model, inside)
    steep = slopes(head, seen)
    edges = sum(folded((graph * slope)[:, :n].mean(0), inside) for graph, slope in zip(seen, steep, strict=True))
    assert isinstance(edges, Tensor)
    base = empty_score(head)
    terms = joint = None
    if isinstance(model, Lego):
        each = folded((every[:, :, :n] * steep[0][:, :n]).mean(1), inside).transpose(0, 1)
        joint = each.reshape(n, *shape, n)
        terms = each.sum(-1).reshape(n, *shape)
    scores = inside.scores.mean(0)[:n].double()
    return ScoreParts(
        start=inside.start,
        stop=inside.stop,
        scores=array(scores),
        base=base,
        edges=array(edges),
        terms=None if terms is None else array(terms),
        joint=None if joint is None else array(joint),
        gap=array(scores - base - edges.sum(-1)),
    )


# ---------------------------------------------------------------------------- the same from captum


@dataclass(frozen=True)
class CaptumParts:
    """Captum's IntegratedGradients for one unit, to stand beside `ScoreParts`.

    edges   `(n,)` part by neighbour; terms: part by entry of A, None without an operator
    base    score of the empty graph
    gap     score minus base minus the sum of parts: what `steps` Gauss-Legendre steps leave open
    """

    unit: int
    edges: np.ndarray
    terms: np.ndarray | None
    base: float
    gap: float
    steps: int


def row_in_order(head: RowHead, rows: Float[Tensor, "*batch nodes"], node: int) -> Float[Tensor, "*batch nodes"]:
    """One node's row of a graph as the head reads it: `ordered(graph)[node]` without the other rows."""
    if head.order == "sorted":
        return rows.sort(dim=-1, descending=True).values
    n = rows.shape[-1]
    places = g.ordered(torch.arange(n, device=rows.device).float().expand(n, n), head.order)[node].long()
    return rows[..., places]


def row_scores(head: RowHead, rows: Sequence[Float[Tensor, "*batch nodes"]], node: int) -> Float[Tensor, "*batch"]:
    """Scores of one node from its rows of the graphs that the head reads side by side."""
    joined = torch.cat([row_in_order(head, row, node) for row in rows], dim=-1)
    return head.fc2(head.fc1(joined).relu()).squeeze(-1).sigmoid()


def captum_parts(model: Fusion, clip: Clip, unit: int, steps: int = 8) -> CaptumParts:
    """Integrated gradients of one unit's score from the empty graph by captum, in float32 as the model runs."""
    from captum.attr import IntegratedGradients  # a second of imports that only this needs

    model = graphs(model)
    inside = one_window(model, clip, window_of(model, clip, unit))
    head, node = model.head, unit - inside.start
    assert isinstance(head, RowHead)
    shape: tuple[int, ...] | None = None
    with torch.no_grad():
        if isinstance(model, Lego):
            every, shape = weighted_terms(model, inside.graphs, inside.present)
            given = rescaled_terms(every, model.config.rescale)[:, :, node][:, None]
        else:
            given = torch.stack([graph[:, node] for graph in read_graphs(model, inside)])[None]
        given = given.float()[None].clone()  # (1, terms, graphs, crops, N)

    def forward(rows: Tensor) -> Tensor:
        return row_scores(head, rows.sum(1).unbind(1), node).mean(-1)

    # captum's convergence delta is the sum of parts minus (score - base): our gap with its sign turned
    parts, delta = IntegratedGradients(forward).attribute(
        given, n_steps=steps, method="gausslegendre", return_convergence_delta=True
    )
    each = folded(parts[0].sum((1, 2)).detach(), inside)
    return CaptumParts(
        unit=unit,
        edges=array(each.sum(0)),
        terms=None if shape is None else array(each.sum(-1).reshape(shape)),
        base=float(forward(torch.zeros_like(given)).detach()),
        gap=-float(delta),
        steps=steps,
    )


# ---------------------------------------------------------------------------- one answer for one unit


@dataclass(frozen=True)
class Explanation:
    """Why one unit got its score. score = base + sum(edges) = base + sum(terms), and
    score = unknown + sum(modalities); parts above 0 made it look more anomalous.

    unit, start, stop   the unit and its window, counted in units from the clip's start
    score       in [0, 1], as `core.score.infer.look` gives it
    base        score of a unit related to nothing; NaN for methods without graphs
    edges       `(n,)` part by neighbour start .. stop (itself included); None for methods without graphs
    relations   `(n,)` the fused relations that made them (first crop); None for methods without graphs
    terms       part by entry of A; None without an operator
    joint       `(P+1, Q+1, ..., n)` part by term and neighbour; None without an operator
    gap         score - base - sum(edges): rounding
    modalities  modality -> its exact Shapley value
    unknown     score when no modality is known
    gap_modalities  score - unknown - sum(modalities): rounding
    """

    unit: int
    start: int
    stop: int
    score: float
    base: float
    edges: np.ndarray | None
    relations: np.ndarray | None
    terms: np.ndarray | None
    joint: np.ndarray | None
    gap: float
    modalities: Mapping[str, float]
    unknown: float
    gap_modalities: float

    def neighbours(self, count: int = 5) -> list[tuple[int, float]]:
        """(unit, part) of the relations that moved the score most, largest first."""
        if self.edges is None:
            return []
        order = np.argsort(-np.abs(self.edges), kind="stable")[:count]
        return [(self.start + int(i), float(self.edges[i])) for i in order]

    def leading_terms(self, count: int = 5) -> list[tuple[tuple[int, ...], float]]:
        """(powers, part) of the terms that moved the score most, largest first."""
        if self.terms is None:
            return []
        order = np.argsort(-np.abs(self.terms), axis=None, kind="stable")[:count]
        places = [tuple(int(i) for i in np.unravel_index(at, self.terms.shape)) for at in order]
        return [(place, float(self.terms[place])) for place in places]


@torch.inference_mode()
def modalities_of(model: Fusion, clip: Clip, inside: Opened) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(modality -> Shapley value of every unit in the window, scores when none is known)."""
    names, n = inside.present, inside.units
    coalitions = [[name for i, name in enumerate(names) if index >> i & 1] for index in range((1 << len(names)) - 1)]
    found = [known_only(model, clip, inside, known) for known in coalitions] + [inside.scores]
    values = torch.stack([scores.mean(0)[:n] for scores in found]).double().cpu().numpy()
    parts = np.stack([shapley(column) for column in values.T])
    return dict(zip(names, parts.T, strict=True)), values[0]


@torch.inference_mode()
def explain(model: Fusion, clip: Clip, unit: int) -> Explanation:
    """Parts of one unit's score by edge, by term and by modality."""
    inside = one_window(model, clip, window_of(model, clip, unit))
    at = unit - inside.start
    edges = relations = terms = joint = None
    base = gap = float("nan")
    if inside.graphs:
        parts = parts_of(model, inside)
        edges, base, gap = parts.edges[at], parts.base, float(parts.gap[at])
        terms = None if parts.terms is None else parts.terms[at]
        joint = None if parts.joint is None else parts.joint[at]
        shown = torch.stack(read_graphs(graphs(model), inside)).mean(0)[0]
        relations = array(shown[at, : inside.units].float())
    modalities, unknown = modalities_of(model, clip, inside)
    score = float(inside.scores[:, at].mean())
    of_modality = {name: float(values[at]) for name, values in modalities.items()}
    return Explanation(
        unit=unit,
        start=inside.start,
        stop=inside.stop,
        score=score,
        base=base,
        edges=edges,
        relations=relations,
        terms=terms,
        joint=joint,
        gap=gap,
        modalities=of_modality,
        unknown=float(unknown[at]),
        gap_modalities=score - float(unknown[at]) - sum(of_modality.values()),
    )

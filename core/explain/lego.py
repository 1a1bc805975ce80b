r"""Why a unit got its score: parts that add up to the score, and reruns of the model that answer "what if".

    edge           fused[i, j] = sum over p, q  share[p, q, i, j]                      (G is linear in A)
    score          score_i = base + sum over j  part[i, j],    base = head(empty graph)
                   part[i, j] = fused[i, j] * integral over t in [0, 1] of d score_i / d fused[i, j] at t * fused
    term           part[i, pq] = sum over j  share[p, q, i, j] * the same integral
    modalities     Shapley values of v(S) = score when only the modalities in S are there
    terms          Shapley values of v(S) = score when all other entries of A are 0

Integrated gradients: Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017. Shapley values:
Shapley, 1953; sampled: Castro et al., 2009. Everything is a part of the score itself, not of its logit, so a score of
0.93 has parts that add up to 0.93. A part above 0 made the unit look more anomalous.

The head is Linear, ReLU, Linear, sigmoid: along t * fused its logit is straight between the ReLU's bends, so the
integral is a finite sum and exact; no steps, no gap. `captum_parts` is the same from captum, with its steps and gap.

There are two ways to treat the scale that `rescale` divides G by. The parts of a score describe the graph that the head
read, so the scale is held. Shapley values over terms and every "what if" run the model again, so it is found anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.clip import Clip
from core.fusion import graph as g
from core.fusion.base import Features, Fusion
from core.fusion.baseline import Baseline, GraphTrace
from core.fusion.lego import Lego, LegoTrace, RowHead
from core.score.infer import array, cut, spans, to_device, windowed

EXACT_PLAYERS = 16  # 2^16 coalitions of a 32-node graph take a fraction of a second
COALITIONS = 2048  # evaluated together: 8 MB of graphs, which stays in the processor's cache


# ---------------------------------------------------------------------------- one window, opened


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


def rerun(
    model: Fusion, graphs: Mapping[str, g.Graph], present: Sequence[str], A: Tensor | None = None
) -> Float[Tensor, "crops nodes"]:
    """Scores from given graphs: fuse, rescale, head. `present` are the modalities that are not missing."""
    if isinstance(model, Lego):
        if A is None:
            return model.from_graphs(graphs, present).scores
        return model.head(g.rescaled(model.fold(graphs, A, present), model.config.rescale))
    assert isinstance(model, Baseline)
    if model.how == "concat":
        return model.head(*graphs.values())
    return model.head(model.combine(list(graphs.values()), dim=-1))


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
    if not isinstance(model, Lego):
        raise ValueError(f"{type(model).__name__} has no operator, so its edges have no terms")
    inside = one_window(model, clip, window)
    terms, shape = weighted_terms(model, inside.graphs, inside.present)
    shares = rescaled_terms(terms, model.config.rescale)[:, 0, : inside.units, : inside.units]
    fused = model.from_graphs(inside.graphs, inside.present).trace.fused[0, : inside.units, : inside.units]
    gap = float((shares.sum(0) - fused).abs().max())
    shares = shares.reshape(*shape, inside.units, inside.units).float()
    return TermShares(inside.start, inside.stop, array(shares), array(fused), gap)


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


def read_graphs(model: Fusion, inside: Opened) -> list[g.Graph]:
    """The graphs whose rows the head reads, in float64: the fused one, or with concat each modality's."""
    if isinstance(model, Baseline) and model.how == "concat":
        return [graph.double() for graph in inside.graphs.values()]
    if isinstance(model, Lego):
        return [model.from_graphs(inside.graphs, inside.present).trace.fused.double()]
    assert isinstance(model, Baseline)
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
    head = model.head
    if not inside.graphs or not isinstance(head, RowHead):
        raise ValueError(f"{type(model).__name__} scores features, not graphs: it has no edges to explain")
    n = inside.units
    if isinstance(model, Lego):
        every, shape = weighted_terms(model, inside.graphs, inside.present)
        every = rescaled_terms(every, model.config.rescale)
        graphs = [every.sum(0)]
    else:
        graphs = read_graphs(model, inside)
    steep = slopes(head, graphs)
    edges = sum(folded((graph * slope)[:, :n].mean(0), inside) for graph, slope in zip(graphs, steep, strict=True))
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


@torch.inference_mode()
def score_parts(model: Fusion, clip: Clip, window: int = 0) -> ScoreParts:
    """Parts by edge and by term of every score in one window, all units at once."""
    return parts_of(model, one_window(model, clip, window))


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

    inside = one_window(model, clip, window_of(model, clip, unit))
    head, node = model.head, unit - inside.start
    if not inside.graphs or not isinstance(head, RowHead):
        raise ValueError(f"{type(model).__name__} scores features, not graphs: it has no edges to explain")
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


# ---------------------------------------------------------------------------- Shapley values


def shapley(values: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " players"]:
    """Exact Shapley values from v of every coalition; bit i of a coalition's index says whether player i is in it.

        phi_i = sum over S without i  |S|! (n - |S| - 1)! / n!  (v(S and i) - v(S))

    >>> shapley(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    players = len(values).bit_length() - 1
    if len(values) != 1 << players:
        raise ValueError(f"{len(values)} values are not one for every coalition of some players")
    if not players:
        return np.zeros(0)
    size = np.bitwise_count(np.arange(len(values) // 2, dtype=np.uint32))
    weight = np.array([1 / (players * comb(players - 1, s)) for s in range(players)])[size]
    cube = values.astype(np.float64).reshape((2,) * players)  # the first axis is the highest bit
    gains = [np.diff(cube, axis=players - 1 - i).reshape(-1) for i in range(players)]
    return np.array([weight @ gain for gain in gains])


@dataclass(frozen=True)
class TermShapley:
    """Shapley values of A's entries (or of whole powers) for one unit's score: score = base + sum of parts + gap.

    parts    by entry of A, in A's shape; by power of one modality when `axis` was given
    error    standard error of each part; 0 where the values are exact
    base     score with every entry of A at 0
    gap      score minus base minus the sum of parts: rounding, for sampled values too
    exact    every coalition was evaluated; otherwise parts are means over random orders
    runs     coalitions evaluated
    """

    unit: int
    parts: np.ndarray
    error: np.ndarray
    base: float
    score: float
    gap: float
    exact: bool
    runs: int


Value = Callable[[Float[Tensor, "coalitions players"]], Float[np.ndarray, " coalitions"]]


def term_game(model: Lego, inside: Opened, node: int) -> tuple[Value, tuple[int, ...], Tensor]:
    """(scores of one node when only some entries of A are kept, A's shape, which entries are players at all)."""
    terms, shape = weighted_terms(model, inside.graphs, inside.present)
    active = terms.flatten(1).abs().amax(1) > 0
    if model.config.pairing == "random" and len(inside.graphs) > 2:  # A acts once per pair: no sum of fixed graphs
        A = model.operator()

        def folded_again(kept: Tensor) -> np.ndarray:
            found = [rerun(model, inside.graphs, inside.present, A * keep.reshape(shape)) for keep in kept]
            return torch.stack([scores[:, node].mean() for scores in found]).double().cpu().numpy()

        return folded_again, shape, A.flatten() != 0
    flat = terms.float().flatten(1)
    crops, n = terms.shape[1], terms.shape[-1]

    def summed(kept: Tensor) -> np.ndarray:
        found = []
        for part in kept.split(COALITIONS):
            raw = (part @ flat).reshape(len(part), crops, n, n)
            if model.config.rescale == "standard":
                rows = g.rescaled(raw, "standard")[..., node, :]
            else:  # one row is read, so one is divided; every coalition is a batch of its own
                scale = torch.vmap(lambda graph: g.scale_of(graph, model.config.rescale))(raw)
                rows = raw[..., node, :] / scale[..., 0]
            found.append(row_scores(model.head, [rows], node).mean(-1))
        return torch.cat(found).double().cpu().numpy()

    return summed, shape, active


def sampled(
    value: Callable[[Tensor], np.ndarray], players: int, budget: int, random: torch.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """(Shapley values, their standard errors, coalitions evaluated) over random orders, each also taken backwards.

    Along one order the gains add up to v(all) - v(none), so the mean over orders does too.
    """
    pairs = max(2, budget // (2 * (players + 1)))
    gains = np.zeros((pairs, players))
    for pair in range(pairs):
        order = torch.randperm(players, generator=random)
        for one in (order, order.flip(0)):
            rank = torch.empty(players, dtype=torch.long)
            rank[one] = torch.arange(players)
            kept = (rank < torch.arange(players + 1)[:, None]).float()
            gains[pair, one.numpy()] += np.diff(value(kept)) / 2
    return gains.mean(0), gains.std(0, ddof=1) / np.sqrt(pairs), 2 * pairs * (players + 1)


@torch.inference_mode()
def term_shapley(
    model: Fusion, clip: Clip, unit: int, axis: int | None = None, budget: int = 1 << 15, seed: int = 0
) -> TermShapley:
    """Shapley values over the entries of A for one unit's score: exact for up to 16 entries that do anything.

    axis    take one modality's powers as players instead of single entries: exact for up to 16 powers
    budget  with more players: coalitions to evaluate, in random orders; `error` says how far the means may be off
    """
    if not isinstance(model, Lego):
        raise ValueError(f"{type(model).__name__} has no operator, so there are no terms to compare")
    inside = one_window(model, clip, window_of(model, clip, unit))
    value, shape, active = term_game(model, inside, unit - inside.start)
    device = active.device
    if axis is not None:
        if not 0 <= axis < len(shape):
            raise ValueError(f"the operator has axes 0 to {len(shape) - 1}, not {axis}")
        place = torch.arange(shape[axis], device=device).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        groups = torch.nn.functional.one_hot(place.expand(shape).flatten(), shape[axis]).mT.float()
        groups = groups * active
        whole: tuple[int, ...] = (shape[axis],)
    else:
        groups = torch.diag(active.float())
        whole = shape
    alive = groups.sum(1) > 0  # the rest change nothing: their value is exactly 0
    groups = groups[alive]
    players = len(groups)

    def of(kept: Tensor) -> np.ndarray:
        return value(kept.to(device) @ groups)

    exact = players <= EXACT_PLAYERS and (1 << players) <= max(budget, 1 << EXACT_PLAYERS)
    if isinstance(model, Lego) and model.config.pairing == "random" and len(inside.graphs) > 2:
        exact = (1 << players) <= budget  # every coalition is a run of the model here
    if exact:
        bits = torch.arange(1 << players)[:, None] >> torch.arange(players) & 1
        values = of(bits.float())
        found, error, runs = shapley(values), np.zeros(players), len(values)
    else:
        found, error, runs = sampled(of, players, budget, torch.Generator().manual_seed(seed))
    ends = of(torch.stack([torch.zeros(players), torch.ones(players)]))
    parts, errors = torch.zeros(len(alive), dtype=torch.float64), torch.zeros(len(alive), dtype=torch.float64)
    parts[alive.cpu()], errors[alive.cpu()] = torch.from_numpy(found), torch.from_numpy(error)
    score = float(inside.scores[:, unit - inside.start].mean())
    return TermShapley(
        unit=unit,
        parts=array(parts.reshape(whole)),
        error=array(errors.reshape(whole)),
        base=float(ends[0]),
        score=score,
        gap=score - float(ends[0]) - float(parts.sum()),
        exact=exact,
        runs=runs,
    )


@dataclass(frozen=True)
class ModalityParts:
    """Exact Shapley values over modalities for every unit of a clip: scores = base + sum of parts + gap.

    parts   modality -> `(T,)`; above 0: knowing it made the unit look more anomalous
    base    `(T,)` scores when no modality is known
    """

    parts: Mapping[str, np.ndarray]
    base: np.ndarray
    scores: np.ndarray
    gap: np.ndarray


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


def modalities_of(model: Fusion, clip: Clip, inside: Opened) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(modality -> Shapley value of every unit in the window, scores when none is known)."""
    names, n = inside.present, inside.units
    coalitions = [[name for i, name in enumerate(names) if index >> i & 1] for index in range((1 << len(names)) - 1)]
    found = [known_only(model, clip, inside, known) for known in coalitions] + [inside.scores]
    values = torch.stack([scores.mean(0)[:n] for scores in found]).double().cpu().numpy()
    parts = np.stack([shapley(column) for column in values.T])
    return dict(zip(names, parts.T, strict=True)), values[0]


@torch.inference_mode()
def modality_parts(model: Fusion, clip: Clip) -> ModalityParts:
    """What each modality contributes to each unit's score, for any fusion; 2^M runs of the model."""
    windows = every_window(model, clip)
    each = [modalities_of(model, clip, inside) for inside in windows]
    parts = {name: whole(clip, windows, [part[name] for part, _ in each]) for name in windows[0].present}
    base = whole(clip, windows, [none for _, none in each])
    scores = whole(clip, windows, [inside.scores.mean(0)[: inside.units].double().cpu().numpy() for inside in windows])
    gap = scores - base - sum(parts.values())
    gap.setflags(write=False)
    return ModalityParts(parts, base, scores, gap)


def whole(clip: Clip, windows: Sequence[Opened], values: Sequence[np.ndarray]) -> np.ndarray:
    """One value per unit of the clip from the values of its windows."""
    found = np.zeros(clip.units)
    for inside, value in zip(windows, values, strict=True):
        found[inside.fresh : inside.stop] = value[inside.fresh - inside.start :]
    found.setflags(write=False)
    return found


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
        shown = torch.stack(read_graphs(model, inside)).mean(0)[0]
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


# ---------------------------------------------------------------------------- what if


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
    delta = new - old
    delta.setflags(write=False)
    return WhatIf(what, old, new, delta)


def switch_off(model: Fusion, clip: Clip, entry: Sequence[int]) -> WhatIf:
    """One entry of A set to 0."""
    if not isinstance(model, Lego):
        raise ValueError(f"{type(model).__name__} has no operator, so there is no term to switch off")
    A = model.operator().detach().clone()
    if len(entry) != A.ndim or not all(0 <= at < size for at, size in zip(entry, A.shape, strict=True)):
        raise ValueError(f"the operator is {' x '.join(map(str, A.shape))}: it has no entry {tuple(entry)}")
    A[tuple(entry)] = 0.0
    return what_if(
        model, clip, f"term {tuple(entry)} off", lambda inside: rerun(model, inside.graphs, inside.present, A)
    )


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
        if not inside.graphs:
            raise ValueError(f"{type(model).__name__} scores features, not graphs: it has no edge to cut")
        one, two = inside.nodes == unit - inside.start, inside.nodes == other - inside.start
        gone = one[:, None] & two | two[:, None] & one
        if not gone.any():
            return None
        graphs = {
            name: graph.masked_fill(gone, 0.0) if modality in (None, name) else graph
            for name, graph in inside.graphs.items()
        }
        return rerun(model, graphs, inside.present)

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

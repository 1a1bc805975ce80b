r"""A graph of very many units in few nodes: communities, what relates them, and what lies inside each.

    edges        each unit's k strongest relations (positive ones), from `core.fusion.long`
    communities  units that have each other as strongest relation are first taken together, then Louvain's modularity
    relation     of two communities: the mean over all pairs of their units, (C^T G C)[a, b] / (n_a n_b)

Blondel et al., "Fast unfolding of communities in large networks", 2008, as NetworkX has it, seeded. Taking first
neighbours together (Sarfraz et al., "FINCH", 2019) makes it several times faster on 20,000 units.
Communities hang on the strongest relations alone, not on α: no node moves when α does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from core.fusion.long import Rows, between

LEAF = 400  # up to this many units are drawn one by one
MOST = 24  # communities drawn; smaller ones are gathered into one group

Kind = Literal["related", "rest", "alone", "time"]
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Summary:
    """Some units of a clip in groups, the largest first.

    members    which units, rising
    groups     `(members,)` the group of each
    kinds      of each group: "related" to each other; the "rest", many small communities in one; "alone", units with no
               positive relation to another of these units; "time", a piece of the clip, where relations split nothing
    relations  `(groups, groups)` mean relation of every pair of units, as the head sees it; on the diagonal within a
               group, NaN for a group of one unit
    """

    members: Int[np.ndarray, " members"]
    groups: Int[np.ndarray, " members"]
    kinds: tuple[Kind, ...]
    relations: Float[np.ndarray, "groups groups"]

    def inside(self, group: int) -> Int[np.ndarray, " units"]:
        """The units of a group."""
        return self.members[self.groups == group]

    @property
    def sizes(self) -> Int[np.ndarray, " groups"]:
        return np.bincount(self.groups, minlength=len(self.kinds))


def edges_of(
    values: Float[np.ndarray, "n k"], partners: Int[np.ndarray, "n k"], members: Int[np.ndarray, " members"]
) -> sparse.csr_array:
    """Symmetric table of the positive relations among these units that are among the k strongest of either end."""
    n, m = len(values), len(members)
    place = np.full(n + 1, -1)
    place[members] = np.arange(m)
    ends = place[partners[members]]  # partner -1 reads the spare last place: no unit
    strong = values[members]
    keep = (ends >= 0) & (strong > 0)
    mine = np.broadcast_to(np.arange(m)[:, None], ends.shape)[keep]
    table = sparse.csr_array((strong[keep].astype(float), (mine, ends[keep])), shape=(m, m))
    return table.maximum(table.T).tocsr()


def communities(table: sparse.csr_array, seed: int = 0) -> Int[np.ndarray, " n"]:
    """The community of every unit, -1 for one without an edge; numbers are arbitrary, but the same for a table."""
    n = table.shape[0]
    found = np.full(n, -1)
    some = np.flatnonzero(np.diff(table.indptr) > 0)
    if not len(some):
        return found
    table = table[some][:, some].tocsr()
    strongest = np.asarray(sparse.csr_matrix(table).argmax(axis=1)).ravel()
    first = sparse.csr_array((np.ones(len(some)), (np.arange(len(some)), strongest)), shape=table.shape)
    count, together = connected_components(first, directed=False)
    of = sparse.csr_array((np.ones(len(some)), (np.arange(len(some)), together)), shape=(len(some), count))
    coarse = sparse.triu(of.T @ table @ of).tocoo()
    # both directions of an edge inside lie on the diagonal: half of it is the edge's weight
    weights = np.where(coarse.row == coarse.col, coarse.data / 2, coarse.data)
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from(zip(coarse.row.tolist(), coarse.col.tolist(), weights.tolist(), strict=True))
    label = np.empty(count, int)
    for number, nodes in enumerate(nx.community.louvain_communities(graph, seed=seed)):
        label[sorted(nodes)] = number
    found[some] = label[together]
    return found


def grouped(labels: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], tuple[Kind, ...]]:
    """Groups to draw: communities by size, then by first unit; small ones beyond `MOST` in one; the lonely in one.

    Where that is a single group, pieces of time of equal length instead, so that there is something to open.
    """
    n = len(labels)
    known = np.flatnonzero(labels >= 0)
    names, first, counts = np.unique(labels[known], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    kinds: list[Kind] = ["related"] * min(len(names), MOST)
    rank = np.empty(len(names), int)
    rank[order] = np.minimum(np.arange(len(names)), MOST)
    if len(names) > MOST:
        kinds.append("rest")
    groups = np.full(n, len(kinds))
    groups[known] = rank[np.searchsorted(names, labels[known])]
    if len(known) < n:
        kinds.append("alone")
    if len(kinds) == 1 and n > 1:
        pieces = min(MOST, max(2, -(-n // LEAF)))
        times: list[Kind] = ["time"] * pieces
        return np.arange(n) * pieces // n, tuple(times)
    return groups, tuple(kinds)


def summarise(
    rows: Rows,
    values: Float[np.ndarray, "n k"],
    partners: Int[np.ndarray, "n k"],
    members: Int[np.ndarray, " members"],
    shift: float = 0.0,
    scale: float = 1.0,
    report: Tell = lambda done: None,
) -> Summary:
    """These units of a long graph in groups; relations after rescaling. Reads every pair of these units once."""
    groups, kinds = grouped(communities(edges_of(values, partners, members)))
    some = rows.part(members)
    sums = between(some, groups, len(kinds), report)
    sizes = np.bincount(groups, minlength=len(kinds)).astype(float)
    own = np.bincount(groups, some.own.double().numpy(), minlength=len(kinds))
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    sums -= np.diag(own)
    relations = np.full_like(sums, np.nan)
    np.divide(sums, pairs, out=relations, where=pairs > 0)
    return Summary(members, groups, kinds, (relations - shift) / scale)


def opened(
    first: Summary, path: Sequence[int], split: Callable[[Int[np.ndarray, " members"]], Summary]
) -> tuple[Summary, Int[np.ndarray, " members"], tuple[int, ...]]:
    """Follow a path of group numbers from the whole downwards: (the last summary, its units, how far the path went).

    split   units -> their summary. A path ends early where a number names no group; groups of at most `LEAF` units are
            not split any more: the units are what is drawn.
    """
    now, members = first, first.members
    walked: list[int] = []
    for group in path:
        if len(members) <= LEAF or not 0 <= group < len(now.kinds):
            break
        walked.append(group)
        members = now.inside(group)
        if len(members) > LEAF:
            now = split(members)
    return now, members, tuple(walked)

"""The algebra of relationship graphs against slow formulas, identities and known answers."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel

from core.fusion import graph as g

DOUBLE = torch.float64


def rows(n=6, d=5, seed=0, batch=()):
    return torch.randn(*batch, n, d, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def slow_fuse(graphs, A, expansion):
    """The formula at the top of graph.py, written as plainly as possible."""
    n = graphs[0].shape[-1]
    total = torch.zeros_like(graphs[0])
    for entry in np.ndindex(*A.shape):
        product = torch.ones_like(graphs[0])
        for graph, p in zip(graphs, entry, strict=True):
            if p == 0:
                product = product * torch.eye(n, dtype=graph.dtype)
            else:
                product = product * (graph**p if expansion == "elementwise" else torch.linalg.matrix_power(graph, p))
        total = total + A[entry] * product
    return total


# ------------------------------------------------------------------ relations


def test_cosine_is_scikit_learns_without_negatives():
    x = rows()
    torch.testing.assert_close(g.cosine(x), torch.tensor(cosine_similarity(x)).relu())


def test_a_zero_row_is_related_to_nothing_and_its_gradient_is_finite():
    x = rows().clone()
    x[2] = 0
    x.requires_grad_()
    found = g.cosine(x)
    assert not found[2].any()
    assert not found[:, 2].any()
    found.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_cosine_ignores_length_even_where_squares_would_overflow(scale):
    x = rows().float()
    torch.testing.assert_close(g.cosine(x * scale), g.cosine(x))


def test_rbf_is_scikit_learns_on_unit_rows():
    x = g.unit_rows(rows())
    torch.testing.assert_close(g.rbf(x, 0.7), torch.tensor(rbf_kernel(x, gamma=1 / (2 * 0.7**2))))


def test_rbf_median_makes_the_middle_edge_exp_minus_half():
    found = g.rbf(rows(n=7))
    edges = found[tuple(torch.triu_indices(7, 7, 1))]
    assert edges.sort().values[len(edges) // 2].item() == pytest.approx(np.exp(-0.5))


def test_distance_of_opposite_rows_is_0_and_of_equal_rows_1():
    x = torch.tensor([[1.0, 0], [-1, 0], [1, 0]])
    torch.testing.assert_close(g.distance(x), torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]))


def test_intersection_by_hand():
    x = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 0]])
    torch.testing.assert_close(g.intersection(x), torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0], [0, 0, 0]]))


def slow_soft_dtw(x, y, gamma):
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    R = np.full((len(x) + 1, len(y) + 1), np.inf)
    R[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            three = np.array([R[i, j], R[i, j + 1], R[i + 1, j]])
            R[i + 1, j + 1] = cost[i, j] - gamma * np.logaddexp.reduce(-three / gamma)
    return R[-1, -1]


def test_soft_dtw_is_the_recurrence_written_slowly():
    x = rows(n=3, d=8)
    frames = g.unit_rows(x.reshape(3, 4, 2)).numpy()
    s = np.array([[slow_soft_dtw(a, b, 0.1) / 4 for b in frames] for a in frames])
    divergence = s - (np.diag(s)[:, None] + np.diag(s)[None]) / 2
    torch.testing.assert_close(g.soft_dtw(x, steps=4), torch.tensor(np.exp(-np.clip(divergence, 0, None))))


@pytest.mark.parametrize("relation", ["cosine", "rbf", "distance", "intersection", "soft-dtw"])
def test_every_relation_is_symmetric_within_0_and_1_and_follows_a_permutation(relation):
    x = rows(n=8, d=6, batch=(2,))
    found = g.relate(x, relation, steps=2)
    torch.testing.assert_close(found, found.mT)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    order = torch.randperm(8)
    torch.testing.assert_close(g.relate(x[:, order], relation, steps=2), found[:, order][:, :, order])


# ------------------------------------------------------------------ powers and fusion


def test_walks_are_counted_as_networkx_counts_them():
    graph = torch.tensor(nx.to_numpy_array(nx.petersen_graph()))
    third = g.powers(graph, 3, "walks")[2]
    assert third.trace() == 6 * sum(nx.triangles(nx.petersen_graph()).values()) / 3
    torch.testing.assert_close(third, graph @ graph @ graph)


@pytest.mark.parametrize("kind", ["spectral", "degree"])
def test_normalised_walks_never_grow(kind):
    graph = g.normalised(g.cosine(rows(n=32).abs()), kind)
    assert torch.linalg.eigvalsh(graph).max().item() == pytest.approx(1)
    assert g.powers(graph, 10, "walks").abs().max() <= 1 + 1e-9


@pytest.mark.parametrize("expansion", ["elementwise", "walks"])
@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (1, 4), (3, 2, 4), (2, 2, 2, 2)])
def test_fuse_is_the_formula(expansion, shape):
    graphs = [g.cosine(rows(seed=m, batch=(3,))) for m in range(len(shape))]
    A = torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))
    stacks = [g.powers(graph, size - 1, expansion) for graph, size in zip(graphs, shape, strict=True)]
    wanted = slow_fuse(graphs, A, expansion)
    torch.testing.assert_close(g.fuse(stacks, A), wanted)
    halves = g.Halves.of(stacks)
    torch.testing.assert_close(halves.fuse(A, block=30), wanted)
    every = sum(A[entry] * halves.term(entry) for entry in np.ndindex(*shape))
    torch.testing.assert_close(every, wanted)


def test_an_outer_operator_fuses_as_two_polynomials_multiplied():
    a, b = g.cosine(rows(seed=1)), g.cosine(rows(seed=2))
    u, v = torch.randn(4, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE)
    fused = g.fuse([g.powers(a, 3), g.powers(b, 2)], u[:, None] * v)
    one = slow_fuse([a], u, "elementwise")
    two = slow_fuse([b], v, "elementwise")
    torch.testing.assert_close(fused, one * two)


def test_gradient_reaches_the_operator_and_the_graphs():
    a, b = (g.cosine(rows(n=4, seed=s)).requires_grad_() for s in (1, 2))
    A = torch.randn(3, 3, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda A, a, b: g.fuse([g.powers(a, 2), g.powers(b, 2)], A), (A, a, b))


def test_rescaling_by_its_own_maximum_ends_at_1_and_ignores_the_neighbours():
    graph = torch.randn(3, 5, 5, dtype=DOUBLE) + 2
    found = g.rescaled(graph, "graph")
    torch.testing.assert_close(found.amax((-2, -1)), torch.ones(3, dtype=DOUBLE))
    torch.testing.assert_close(found[1], g.rescaled(graph[1], "graph"))
    assert g.rescaled(graph, "batch").amax() == 1
    standard = g.rescaled(graph, "standard")
    torch.testing.assert_close(standard.mean((-2, -1)), torch.zeros(3, dtype=DOUBLE))
    torch.testing.assert_close(standard.square().mean((-2, -1)), torch.ones(3, dtype=DOUBLE))


def test_rescaling_never_flips_a_graph_without_a_positive_entry():
    assert (g.rescaled(torch.full((2, 2), -3.0), "graph") == -1).all()
    assert (g.rescaled(torch.zeros(2, 2), "graph") == 0).all()


# ------------------------------------------------------------------ degrees


def test_degree_variance_by_hand():
    normal = torch.tensor([[1.0, 0.6, 0.2], [0.6, 1.0, 0.1], [0.2, 0.1, 1.0]])
    odd = torch.tensor([[1.0, 0.9, 0.8], [0.9, 1.0, 0.4], [0.8, 0.4, 1.0]])
    both, anomalous = torch.stack([odd, normal]), torch.tensor([True, False])
    # alpha 0.5: normal degrees 1.6, 1.6, 1.0 (variance 0.12); odd 2.7, 1.9, 1.8, of which 2.7 and 1.9 (variance 0.32)
    assert g.degree_variance(both, anomalous, 0.5, 2).item() == pytest.approx((0.12 - 0.32) ** 2)
    # released: the two largest edges a row: 1.9, 1.9, 1.8 (variance 1/300)
    assert g.degree_variance(both, anomalous, 0.5, 2, "released").item() == pytest.approx(abs(0.12 - 1 / 300), abs=1e-6)


def test_an_edge_of_exactly_alpha_counts():
    assert g.degrees(torch.full((2, 2), 0.5), 0.5).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("anomalous", [[True, True], [False, False]])
def test_no_pair_no_penalty(anomalous):
    assert g.degree_variance(torch.rand(2, 4, 4), torch.tensor(anomalous), 0.5, 3) == 0


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_alpha_never_raises_a_degree(seed, one, two):
    graph = torch.rand(6, 6, generator=torch.Generator().manual_seed(seed))
    low, high = sorted((one, two))
    assert (g.degrees(graph, high) <= g.degrees(graph, low)).all()


# ------------------------------------------------------------------ rows


def test_sorted_rows_do_not_know_the_order_of_the_nodes():
    graph = g.cosine(rows(n=8))
    order = torch.randperm(8)
    torch.testing.assert_close(g.ordered(graph[order][:, order], "sorted"), g.ordered(graph, "sorted")[order])


def test_relative_rows_begin_at_the_unit_itself():
    graph = torch.arange(16.0).reshape(4, 4)
    assert g.ordered(graph, "relative").tolist() == [[0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]]


def test_rows_fall_the_same_with_a_gradient_without_and_under_vmap():
    graph = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    graph[0, 0, :3] = 0.5  # equal edges
    wanted = graph.sort(dim=-1, descending=True).values
    torch.testing.assert_close(g.falling(graph), wanted, atol=0, rtol=0)
    torch.testing.assert_close(torch.vmap(g.falling)(graph), wanted, atol=0, rtol=0)
    with torch.inference_mode():
        torch.testing.assert_close(g.falling(graph), wanted, atol=0, rtol=0)
    ours, theirs = graph.clone().requires_grad_(), graph.clone().requires_grad_()
    weights = torch.arange(7.0)
    (g.falling(ours) * weights).sum().backward()
    (theirs.sort(dim=-1, descending=True).values * weights).sum().backward()
    torch.testing.assert_close(g.falling(ours).detach(), wanted, atol=0, rtol=0)
    torch.testing.assert_close(ours.grad[1:], theirs.grad[1:])
    torch.testing.assert_close(ours.grad[0, 0, :3].sum(), theirs.grad[0, 0, :3].sum())
    slope = torch.func.grad(lambda x: (g.falling(x) * weights).sum())(graph)
    torch.testing.assert_close(slope[1:], theirs.grad[1:])

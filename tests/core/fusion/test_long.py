"""Long windows: what is streamed equals what the whole matrix says."""

import numpy as np
import pytest
import torch

from core.fusion import graph as g
from core.fusion import long
from core.fusion.long import long_graph

SHAPES = [(4, 3), (2, 2), (1, 3), (1, 1), (4,), (3, 2, 2)]


def features(units: int, modalities: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(units)
    rows = [torch.randn(units, 6, generator=random) + 0.3 for _ in range(modalities)]
    if units > 3:
        rows[0][3] = 0  # a unit related to nothing, not even to itself
    return rows


def operators(shape: tuple[int, ...]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(sum(shape))
    full = torch.randn(shape, generator=random)
    return [full, torch.outer(full[:, 0], full[0])] if len(shape) == 2 else [full]


def dense(rows: list[torch.Tensor], A: torch.Tensor) -> torch.Tensor:
    return g.fuse([g.powers(g.cosine(row), size - 1) for row, size in zip(rows, A.shape, strict=True)], A)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [None, 0.3, -0.1])
@pytest.mark.parametrize("units", [2, 5, 97])
def test_streamed_equals_dense(shape, alpha, units, monkeypatch):
    monkeypatch.setattr(long, "ROWS", 16)  # many tiles and blocks, also cut ones
    monkeypatch.setattr(long, "COLUMNS", 24)
    monkeypatch.setattr(long, "BLOCK", 48)
    rows = features(units, len(shape))
    for A in operators(shape):
        G = dense(rows, A)
        degrees = G.sum(-1) if alpha is None else g.degrees(G, alpha)
        others = G.clone().fill_diagonal_(-torch.inf)
        wanted = others.topk(min(3, units - 1)).values
        wanted = wanted if alpha is None else wanted.where(wanted >= alpha, 0.0)
        for k in (0, 3):
            found = long_graph(rows, A, alpha, k)
            torch.testing.assert_close(found.degrees, degrees, atol=1e-4, rtol=1e-4)
            assert found.largest == pytest.approx(float(G.max()), abs=1e-5)
            assert found.values.shape == found.partners.shape == (units, k)
        torch.testing.assert_close(found.values[:, : units - 1], wanted, atol=1e-5, rtol=1e-5)
        assert (found.partners[:, units - 1 :] == -1).all()


def test_partners_are_the_units_at_the_other_end(monkeypatch):
    monkeypatch.setattr(long, "BLOCK", 32)
    rows, A = features(97, 2), operators((3, 3))[0]
    G = dense(rows, A)
    found = long_graph(rows, A, alpha=0.2, k=5)
    for unit in range(97):
        for value, partner in zip(found.values[unit].tolist(), found.partners[unit].tolist(), strict=True):
            if partner < 0:
                assert value == 0
            else:
                assert partner != unit
                assert value == pytest.approx(float(G[unit, partner]), abs=1e-5)
                assert value >= 0.2


def test_an_edge_of_exactly_alpha_is_kept():
    rows = [torch.eye(4)[[0, 0, 1, 2]]]  # relations are 0 and 1
    assert long_graph(rows, torch.tensor([0.0, 0.5]), alpha=0.5).degrees.tolist() == [1.0, 1.0, 0.5, 0.5]


def test_its_largest_entry_rescales_as_the_model_does():
    rows, A = features(60, 2), operators((3, 3))[0].abs()
    G = dense(rows, A)
    scale = long_graph(rows, A).largest
    found = long_graph(rows, A, alpha=0.5 * scale).degrees / scale
    torch.testing.assert_close(found, g.degrees(g.rescaled(G, "graph"), 0.5), atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------------- whole rows, some at a time


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles and bands, also cut ones."""
    monkeypatch.setattr(long, "ROWS", 16)
    monkeypatch.setattr(long, "COLUMNS", 24)
    monkeypatch.setattr(long, "BAND", 20)


@pytest.mark.parametrize(("shape", "units"), [((4, 3), 97), ((1, 3), 97), ((3, 2, 2), 97), ((4, 3), 2), ((4, 3), 1)])
@pytest.mark.usefixtures("tiles")
def test_one_pass_tells_degrees_at_every_alpha(shape, units):
    rows, A = features(units, len(shape)), operators(shape)[0]
    alphas = np.array([0.0, 0.2, 0.31, 0.9])
    for rescale in ("graph", "none", "standard"):
        G = g.rescaled(dense(rows, A), rescale)
        some = long.Rows(rows, A)
        shift, scale, largest = long.scale_of(some, rescale)
        assert largest == pytest.approx(float(dense(rows, A).max()), abs=1e-5)
        found = long.reading(some, alphas, 3, shift, scale, lambda band, falling, start: falling[:, 0])
        for at, alpha in enumerate(alphas):
            clear = ((G - alpha).abs() > 1e-5).all(1).numpy()  # a value on the very edge of α is a matter of rounding
            wanted = g.degrees(G, float(alpha)).numpy()
            np.testing.assert_allclose(found.degrees[clear, at], wanted[clear], atol=2e-4, rtol=1e-4)
            assert (found.reached[clear, at] == G.ge(alpha).sum(1).numpy()[clear]).all()
        np.testing.assert_allclose(found.means, G.mean(1), atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(found.scores, G.amax(1), atol=1e-5, rtol=1e-5)
        others = G.clone().fill_diagonal_(-torch.inf).topk(min(3, units - 1)).values
        np.testing.assert_allclose(found.values[:, : units - 1], others, atol=1e-5, rtol=1e-5)
        assert (found.partners[:, units - 1 :] == -1).all()


def test_without_a_negative_weight_a_units_own_relation_is_the_largest():
    """So the scale needs no pass over G: it must be the maximum of the whole graph all the same."""
    for shape in ((4, 3), (1, 2), (3, 2, 2)):
        rows, A = features(60, len(shape)), operators(shape)[0].abs()
        assert long.scale_of(long.Rows(rows, A), "graph")[1] == pytest.approx(float(dense(rows, A).max()), rel=1e-6)


@pytest.mark.parametrize("rescale", ["graph", "standard", "none"])
def test_the_scale_is_the_dense_graphs_whatever_the_signs(rescale):
    rows = features(40, 2)
    for A in (operators((3, 3))[0], -operators((3, 3))[0].abs(), torch.zeros(3, 3)):
        G = dense(rows, A)
        shift, scale, _ = long.scale_of(long.Rows(rows, A), rescale)
        torch.testing.assert_close((G - shift) / scale, g.rescaled(G, rescale), atol=1e-4, rtol=1e-4)


def test_a_relation_of_exactly_alpha_counts():
    rows = [torch.eye(4)[[0, 0, 1, 2]]]
    found = long.reading(long.Rows(rows, torch.tensor([0.0, 0.5])), np.array([0.0, 0.5, 0.51]))
    assert found.degrees.tolist() == [[1, 1, 0], [1, 1, 0], [0.5, 0.5, 0], [0.5, 0.5, 0]]
    assert found.reached.tolist() == [[4, 2, 0], [4, 2, 0], [4, 1, 0], [4, 1, 0]]


@pytest.mark.parametrize("units", [1, 2, 97])
@pytest.mark.usefixtures("tiles")
def test_sums_between_groups_are_the_matrix_product(units):
    rows, A = features(units, 2), operators((3, 3))[0]
    groups = np.random.default_rng(units).integers(0, 5, units)
    C = np.eye(6)[groups]  # group 5 is empty
    G = dense(rows, A).double().numpy()
    np.testing.assert_allclose(long.between(long.Rows(rows, A), groups, 6), C.T @ G @ C, atol=1e-3, rtol=1e-5)


def test_no_units_and_no_relations():
    none = [torch.zeros(0, 3)] * 2
    A = torch.rand(3, 3)
    found = long_graph(none, A, 0.5, 2)
    assert found.degrees.shape == (0,)
    assert found.values.shape == (0, 2)
    rows = long.Rows(none, A)
    assert long.reading(rows, np.array([0.5]), 2).degrees.shape == (0, 1)
    assert long.scale_of(rows, "graph")[:2] == (0.0, 1.0)
    dead = long.Rows([torch.zeros(5, 3)] * 2, A)
    shift, scale, _ = long.scale_of(dead, "graph")
    found = long.reading(dead, np.array([0.0, 0.5]), 9, shift, scale)
    only = float(A[0, 0]) / scale  # power 0 is the identity, whatever the features
    np.testing.assert_allclose(found.degrees, [[only, only]] * 5, rtol=1e-6)
    assert (found.values[:, :4] == 0).all()


@pytest.mark.parametrize("length", [1e-18, 1e15])
def test_very_long_and_very_short_rows_relate_as_in_one_window(length):
    rows = [row * length for row in features(30, 2)]
    A = operators((3, 3))[0]
    G = dense(rows, A)
    found = long.reading(long.Rows(rows, A), np.zeros(0))
    np.testing.assert_allclose(found.means, G.mean(1), atol=1e-5, rtol=1e-4)

"""Long windows: what is streamed equals what the whole matrix says."""

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

"""A long clip as one window: equal to the model in one window, and communities that are there."""

import tracemalloc
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from core.clip import Clip
from core.fusion import graph as g
from core.fusion.baseline import BaselineConfig, Product
from core.fusion.lego import Lego, LegoConfig
from core.fusion.long import reading
from core.score import communities, whole
from core.score.infer import look, resample

WIDTHS = {"motion": 12, "text": 8}


def planted(units: int, kinds: int, seed: int = 0) -> tuple[Clip, np.ndarray]:
    """A clip whose units are of some kinds, in runs of 10."""
    random = np.random.default_rng(seed)
    kind = np.repeat(random.permutation(np.arange(-(-units // 10)) % kinds), 10)[:units]
    features = {
        name: torch.from_numpy(
            (4 * np.eye(width)[kind % width] + random.normal(scale=0.4, size=(units, width))).astype(np.float32)
        )
        for name, width in WIDTHS.items()
    }
    return Clip("planted", features, torch.from_numpy(kind == 0), 0.64), kind


def lego(**options: object) -> Lego:
    torch.manual_seed(0)
    return Lego(WIDTHS, LegoConfig(**options)).eval()  # type: ignore[arg-type]


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


# ---------------------------------------------------------------------------- scores and degrees


@pytest.mark.parametrize("head", ["row", "sorted", "relative"])
@pytest.mark.parametrize("rescale", ["graph", "batch", "standard", "none"])
def test_with_as_many_units_as_nodes_it_is_the_model(head, rescale):
    """Scores, scale and graph of one window, whatever the head's order; gate "none" makes weights of both signs."""
    clip, _ = planted(32, 3)
    model = lego(head=head, rescale=rescale, gate="none", project=4)
    found, there = whole.whole(model, clip), look(model, clip)
    np.testing.assert_allclose(found.scores, there.scores, atol=1e-5)
    (window,) = there.windows
    assert window.trace is not None
    np.testing.assert_allclose(whole.small(model, clip, found, np.arange(32)), window.trace.fused, atol=2e-5)
    for alpha in (0.0, 0.13, 0.5):
        wanted = g.degrees(torch.from_numpy(window.trace.fused.copy()), alpha)
        np.testing.assert_allclose(found.degrees[:, whole.level(alpha)], wanted, atol=1e-4, rtol=1e-4)


def test_a_sorted_head_reads_equal_parts_of_the_whole_row():
    clip, _ = planted(150, 4)
    model = lego()
    with torch.inference_mode():
        graphs = model.graphs(clip.features)
        G = g.rescaled(model.fold(graphs, model.operator(), list(graphs)), "graph")
        rows = resample(G.sort(descending=True).values.unsqueeze(-1), 32).squeeze(-1)
        wanted = model.head.fc2(model.head.fc1(rows).relu()).squeeze(-1).sigmoid()
    found = whole.whole(model, clip)
    np.testing.assert_allclose(found.scores, wanted, atol=1e-5)
    np.testing.assert_allclose(found.means, G.mean(1), atol=1e-5)
    upper = G[tuple(torch.triu_indices(150, 150, 1))]
    assert [int(found.pairs[whole.level(a)]) for a in (0.0, 0.1, 0.4, 1.0)] == [
        int((upper >= a).sum()) for a in (0.0, 0.1, 0.4, 1.0)
    ]


@pytest.mark.parametrize(
    ("model", "units", "words"),
    [
        (lego(head="row"), 40, "each of its 32 nodes"),
        (lego(head="relative"), 40, "each of its 32 nodes"),
        (lego(), 20, "fit into one window"),
    ],
)
def test_a_head_that_cannot_read_the_rows_says_why(model, units, words):
    found = whole.whole(model, planted(units, 2)[0])
    assert found.scores is None
    assert words in found.why
    assert np.isfinite(found.degrees).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lego(relation="rbf"), "only cosine"),
        (lego(expansion="walks"), "walks through all units"),
        (Product(WIDTHS, BaselineConfig(level="graph")), "has no operator"),
        (Lego({**WIDTHS, "third": 3}, LegoConfig(pairing="random")), "between pairs"),
    ],
)
def test_what_cannot_be_streamed_is_refused(model, words):
    with pytest.raises(ValueError, match=words):
        whole.rows_of(model, planted(40, 2)[0])


def test_three_modalities_and_one_that_is_missing():
    clip, _ = planted(32, 3)
    torch.manual_seed(0)
    model = Lego({**WIDTHS, "audio": 5}, LegoConfig(gate="none")).eval()
    with torch.inference_mode():
        wanted = model({name: rows[None] for name, rows in clip.features.items()})
    found = whole.whole(model, clip)
    graph = whole.small(model, clip, found, np.arange(32))
    np.testing.assert_allclose(graph, wanted.trace.fused[0], atol=2e-5)


@pytest.mark.parametrize("units", [1, 2, 5])
def test_very_short_clips(units):
    clip, _ = planted(units, 2)
    found = whole.whole(lego(), clip)
    assert found.degrees.shape == (units, 101)
    assert found.values.shape == (units, whole.K)
    assert found.pairs[0] == units * (units - 1) // 2
    assert found.summary.sizes.sum() == units


# ---------------------------------------------------------------------------- communities


def test_planted_communities_are_found_and_related_as_the_dense_graph_says():
    clip, kind = planted(300, 5)
    model = lego(project=None)
    found = whole.whole(model, clip)
    assert partition(found.summary.groups) == partition(kind)
    graph = whole.small(model, clip, found, np.arange(300)).astype(float)
    np.fill_diagonal(graph, 0)
    sizes = found.summary.sizes
    C = np.eye(5)[found.summary.groups]
    wanted = C.T @ graph @ C / (np.outer(sizes, sizes) - np.diag(sizes))
    np.testing.assert_allclose(found.summary.relations, wanted, atol=1e-5)
    assert (np.diff(sizes) <= 0).all()  # the largest first


def test_taking_first_neighbours_together_loses_no_modularity():
    """Against NetworkX's Louvain on every edge."""
    clip, _ = planted(240, 6, seed=3)
    found = whole.whole(lego(), clip)
    table = communities.edges_of(found.values, found.partners, np.arange(240))
    assert abs(table - table.T).max() == 0
    graph = nx.from_scipy_sparse_array(table)
    ours = nx.community.modularity(graph, partition(communities.communities(table)))
    theirs = nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=0))
    assert ours >= theirs - 0.01


def test_groups_gather_what_is_small_and_what_is_alone():
    labels = np.concatenate([np.repeat(np.arange(30), np.arange(30, 0, -1)), [-1, -1]])
    groups, kinds = communities.grouped(labels)
    assert kinds == ("related",) * communities.MOST + ("rest", "alone")
    sizes = np.bincount(groups)
    assert sizes[: communities.MOST].tolist() == list(range(30, 30 - communities.MOST, -1))
    assert sizes[-2:].tolist() == [sum(range(1, 31 - communities.MOST)), 2]
    assert (
        communities.communities(communities.edges_of(np.zeros((4, 2)), np.zeros((4, 2), int), np.arange(4))).tolist()
        == [-1] * 4
    )


def test_relations_of_0_and_below_join_nothing():
    partners, members = np.array([[1], [0], [3], [2]]), np.arange(4)
    for weak in (0.0, -0.5):
        table = communities.edges_of(np.array([[0.2], [0.2], [weak], [weak]]), partners, members)
        labels = communities.communities(table)
        assert labels[0] == labels[1] >= 0
        assert labels[2:].tolist() == [-1, -1]
    assert (
        communities.edges_of(np.full((4, 1), 0.2), partners, np.array([0, 2])).nnz == 0
    )  # their partners are elsewhere


def test_units_that_relations_cannot_split_are_split_by_time():
    groups, kinds = communities.grouped(np.full(1000, -1))
    assert set(kinds) == {"time"}
    assert (np.diff(groups) >= 0).all()
    assert np.bincount(groups).max() <= communities.LEAF
    assert communities.grouped(np.zeros(1, int))[1] == ("related",)


def test_a_clip_of_zeros_and_a_path_through_it():
    clip = Clip("nothing", {name: torch.zeros(900, width) for name, width in WIDTHS.items()}, None, 0.64)
    model = lego(project=None)
    found = whole.whole(model, clip)
    assert found.pairs[1:].tolist() == [0] * 100
    now, members, walked = communities.opened(
        found.summary, (1, 0, 7), lambda units: whole.inside(model, clip, found, units)
    )
    assert walked == (1,)  # 300 units are not split any more
    assert members.tolist() == list(range(300, 600))
    assert now is found.summary


def test_a_community_opens_into_its_own(monkeypatch):
    monkeypatch.setattr(communities, "LEAF", 50)
    clip, kind = planted(300, 6)
    model = lego(project=None)
    some = whole.whole(model, clip)
    half = np.flatnonzero(kind < 3)
    found = whole.inside(model, clip, some, half)
    assert partition(found.groups) == partition(kind[half])
    assert found.members.tolist() == half.tolist()
    now, members, walked = communities.opened(
        some.summary, (0, 99), lambda units: whole.inside(model, clip, some, units)
    )
    assert walked == (0,)
    assert len(members) == some.summary.sizes[0]


# ---------------------------------------------------------------------------- on disk


def test_a_result_comes_back_as_it_was(tmp_path: Path):
    clip, _ = planted(60, 3)
    for model in (lego(), lego(head="row")):
        found = whole.whole(model, clip)
        whole.save(found, tmp_path / "whole" / "a.npz")
        again = whole.load(tmp_path / "whole" / "a.npz")
        for name, array in whole.arrays(found).items():
            np.testing.assert_array_equal(whole.arrays(again)[name], array)
        assert (again.why, again.scale, again.summary.kinds) == (found.why, found.scale, found.summary.kinds)
        with pytest.raises(ValueError, match="read-only"):
            again.degrees[0, 0] = 1


@pytest.mark.parametrize("cut", [0, 100, 2000])
def test_a_damaged_result_is_told_apart(tmp_path: Path, cut: int):
    whole.save(whole.whole(lego(), planted(40, 2)[0]), tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:cut])
    with pytest.raises(whole.UnreadableError, match="compute it again"):
        whole.load(tmp_path / "a.npz")


def test_old_results_make_room(tmp_path: Path):
    found = whole.whole(lego(), planted(34, 2)[0])
    for number in range(4):
        whole.save(found, tmp_path / f"{number}.npz", keep=2)
    assert sorted(file.name for file in tmp_path.glob("*.npz")) == ["2.npz", "3.npz"]


def test_names_tell_results_apart():
    A = torch.rand(2, 2)
    names = {
        whole.name_of(*given)
        for given in [("r", "d", "c", None), ("r", "d", "c", A), ("r", "d", "c", A + 1), ("r", "dc", "", None)]
    }
    assert len(names) == 4


def test_the_largest_clip_needs_memory_in_proportion_to_its_length():
    """What numpy holds at most is less than half of one N x N table, bands and all that is kept included."""
    clip, _ = planted(2500, 6)
    model = lego(project=None)
    rows = whole.rows_of(model, clip)
    tracemalloc.start()
    reading(rows, whole.ALPHAS, whole.K)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2500 * 2500 / 2

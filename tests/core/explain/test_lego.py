"""Explanations: parts add up to scores, Shapley values are those of the definition, what-ifs rerun the model."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clip import Clip
from core.explain import lego as at
from core.fusion import FUSIONS
from core.fusion import graph as g
from core.fusion.base import Fusion
from core.fusion.baseline import Baseline, BaselineConfig, Concat, Product, Single, Sum
from core.fusion.lego import Lego, LegoConfig
from core.fusion.mtn import Mtn
from core.score.infer import look

NODES = 8


def clip(units: int = NODES, crops: int | None = None, modalities: int = 2, seed: int = 0) -> Clip:
    random = torch.Generator().manual_seed(seed)
    shape = (units,) if crops is None else (crops, units)
    names = "abc"[:modalities]
    return Clip("here", {n: torch.randn(*shape, 8, generator=random) + 0.4 for n in names}, None, 0.5)


def lego(modalities: int = 2, seed: int = 1, **options: object) -> Lego:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chosen: dict = {"nodes": NODES, "project": 5, "gate": "none"} | options
        model = Lego({n: 8 for n in "abc"[:modalities]}, LegoConfig(**chosen))
        torch.nn.init.normal_(model.head.fc1.weight)
        torch.nn.init.normal_(model.head.fc2.weight)
    return model.eval()


LEGOS = {
    "default": {},
    "not rescaled, row": {"rescale": "none", "head": "row"},
    "batch, relative": {"rescale": "batch", "head": "relative"},
    "standard walks": {"rescale": "standard", "expansion": "walks"},
    "outer, sigmoid": {"operator": "outer", "gate": "sigmoid"},
    "high powers": {"P": 5, "Q": 4, "relation": "rbf"},
    "three": {"modalities": 3, "P": 2, "Q": 1, "rest": 1},
    "three in pairs": {"modalities": 3, "pairing": "random", "P": 2, "Q": 2},
}
CLIPS = {"one window": (NODES, None), "three windows": (2 * NODES + 3, None), "short": (3, None), "crops": (11, 3)}


def made(name: str) -> tuple[Lego, int]:
    options = dict(LEGOS[name])
    modalities = int(options.pop("modalities", 2))  # type: ignore[call-overload]
    return lego(modalities, **options), modalities


def every_fusion() -> dict[str, Fusion]:
    """One small model of every fusion, simple ones on both levels."""
    widths, found = {"a": 8, "b": 8}, {}
    torch.manual_seed(2)
    for name, kind in FUSIONS.items():
        if issubclass(kind, Baseline):
            for level in ("feature", "graph"):
                found[f"{name}@{level}"] = kind(widths, BaselineConfig(level=level, nodes=NODES, project=5))  # type: ignore[arg-type]
        elif kind is Lego:
            found[name] = lego()
            found[f"{name}, walks"] = lego(expansion="walks", rescale="standard")
        else:
            found[name] = kind(widths, kind.Config())
    return {name: model.eval() for name, model in found.items()}


# ---------------------------------------------------------------------------- terms of an edge


@pytest.mark.parametrize("name", LEGOS)
@pytest.mark.parametrize("length", CLIPS)
def test_term_shares_add_up_to_every_edge(name, length):
    model, modalities = made(name)
    here = clip(*CLIPS[length], modalities)
    for index, window in enumerate(look(model, here).windows):
        found = at.term_shares(model, here, index)
        size = max(1.0, float(np.abs(window.trace.fused).max()))
        axes = tuple(range(found.shares.ndim - 2))
        assert (found.start, found.stop) == (window.start, window.stop)
        np.testing.assert_allclose(found.shares.sum(axes), window.trace.fused, atol=1e-5 * size, rtol=0)
        np.testing.assert_allclose(found.of_graph.sum(), window.trace.fused.mean(), atol=1e-5 * size, rtol=0)
        assert found.gap <= 1e-5 * size


def test_a_share_is_its_term_of_the_formula():
    model, here = lego(P=2, Q=2), clip()
    trace, found = look(model, here).windows[0].trace, at.term_shares(model, here)
    top = trace.raw.max()
    for p in range(3):
        for q in range(3):
            a = trace.graphs["a"] ** p if p else np.eye(NODES)
            b = trace.graphs["b"] ** q if q else np.eye(NODES)
            np.testing.assert_allclose(found.shares[p, q], trace.operator[p, q] * a * b / top, atol=1e-5)
    np.testing.assert_array_equal(found.of_edge(2, 5), found.shares[:, :, 2, 5])


def test_the_shares_of_a_switched_off_entry_are_zero():
    model = lego()
    with torch.no_grad():
        model.A[1, 2] = 0
    assert not at.term_shares(model, clip()).shares[1, 2].any()


# ---------------------------------------------------------------------------- parts of a score


@pytest.mark.parametrize("name", LEGOS)
@pytest.mark.parametrize("length", CLIPS)
def test_parts_by_edge_and_by_term_add_up_to_the_score(name, length):
    model, modalities = made(name)
    here = clip(*CLIPS[length], modalities)
    seen = look(model, here)
    for index, window in enumerate(seen.windows):
        found = at.score_parts(model, here, index)
        n = window.stop - window.start
        new = slice(window.fresh - window.start, None)
        np.testing.assert_allclose(found.scores[new], seen.scores[window.fresh : window.stop], atol=1e-7)
        assert found.edges.shape == (n, n)
        np.testing.assert_allclose(found.base + found.edges.sum(-1), found.scores, atol=2e-6)
        np.testing.assert_allclose(found.terms.reshape(n, -1).sum(-1), found.edges.sum(-1), atol=1e-9)
        np.testing.assert_allclose(found.joint.sum(-1), found.terms, atol=1e-12)
        np.testing.assert_allclose(found.joint.sum(tuple(range(1, found.joint.ndim - 1))), found.edges, atol=1e-9)
        np.testing.assert_allclose(found.gap, found.scores - found.base - found.edges.sum(-1), atol=1e-9)


@pytest.mark.parametrize("kind", [Concat, Sum, Product, Single])
@pytest.mark.parametrize("head", ["row", "sorted", "relative"])
def test_graph_baselines_have_edge_parts_that_add_up(kind, head):
    torch.manual_seed(3)
    model = kind({"a": 8, "b": 8}, BaselineConfig(level="graph", nodes=NODES, head=head, project=5)).eval()
    here = clip(11, 2)
    for index in range(2):
        found = at.score_parts(model, here, index)
        np.testing.assert_allclose(found.base + found.edges.sum(-1), found.scores, atol=1e-6)
        assert found.terms is None


def test_the_integral_is_the_limit_of_ever_finer_steps():
    head = lego(head="row").head.double()
    rows = torch.rand(5, NODES, dtype=torch.float64) * 2 - 0.5
    steps = 40_000
    total = torch.zeros_like(rows)
    for middle in ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).split(4_000):
        path = (middle[:, None, None] * rows).requires_grad_()
        score = head.fc2(head.fc1(path).relu()).sigmoid().sum()
        total += torch.autograd.grad(score, path)[0].sum(0) / steps
    torch.testing.assert_close(at.integral(head, rows), total, atol=2e-5, rtol=1e-4)


def test_a_row_that_passes_no_bend_and_one_without_slope_stay_finite():
    head = lego(head="row").head.double()
    with torch.no_grad():
        head.fc1.weight[:4] = 0  # hidden units that no row moves
        head.fc1.bias[:2] = 0
    rows = torch.stack([torch.zeros(NODES), torch.full((NODES,), 1e-9)]).double()
    found = at.integral(head, rows)
    assert found.isfinite().all()
    z = head.fc2(head.fc1(rows[1]).relu()).sigmoid() - head.fc2(head.fc1(rows[0]).relu()).sigmoid()
    torch.testing.assert_close((found[1] @ rows[1])[None], z.detach(), atol=1e-12, rtol=1e-3)


@pytest.mark.parametrize("name", ["default", "batch, relative", "standard walks", "three"])
def test_captum_comes_to_the_same_parts_and_says_its_gap(name):
    model, modalities = made(name)
    for here in (clip(11, 2, modalities), clip(3, None, modalities)):
        ours, theirs = at.explain(model, here, 2), at.captum_parts(model, here, 2, steps=400)
        np.testing.assert_allclose(theirs.edges, ours.edges, atol=2e-3)
        np.testing.assert_allclose(theirs.terms, ours.terms, atol=2e-3)
        assert theirs.base == pytest.approx(ours.base, abs=1e-6)
        assert theirs.gap == pytest.approx(ours.score - theirs.base - theirs.edges.sum(), abs=1e-5)
        assert abs(ours.gap) < 1e-6


def test_captum_agrees_on_concatenated_graphs():
    torch.manual_seed(3)
    model = Concat({"a": 8, "b": 8}, BaselineConfig(level="graph", nodes=NODES, project=5)).eval()
    ours, theirs = at.explain(model, clip(11), 9), at.captum_parts(model, clip(11), 9, steps=400)
    np.testing.assert_allclose(theirs.edges, ours.edges, atol=1e-4)
    assert theirs.terms is None


def test_the_base_is_the_score_of_a_unit_related_to_nothing():
    model = lego()
    empty = float(model.head(torch.zeros(NODES, NODES))[0].detach())
    assert at.score_parts(model, clip()).base == pytest.approx(empty, abs=1e-6)


def test_the_order_of_units_does_not_matter_to_the_sorted_head():
    model, here = lego(), clip()
    order = torch.randperm(NODES, generator=torch.Generator().manual_seed(5))
    moved = replace(here, features={n: rows[order] for n, rows in here.features.items()})
    expected = at.score_parts(model, here).edges[order][:, order]
    np.testing.assert_allclose(at.score_parts(model, moved).edges, expected, atol=1e-5)


# ---------------------------------------------------------------------------- Shapley values


def by_definition(value, players: int) -> np.ndarray:
    """Mean gain over all orders of the players; `value` takes the set that is in."""
    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            total[player] += value({*order[: place + 1]}) - value({*order[:place]})
    return total / len(orders)


games = st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-9, 9), min_size=1 << n, max_size=1 << n))


@given(games)
@settings(max_examples=60, deadline=None)
def test_shapley_is_the_mean_gain_over_all_orders(values):
    players = len(values).bit_length() - 1
    wanted = by_definition(lambda inside: values[sum(1 << i for i in inside)], players)
    np.testing.assert_allclose(at.shapley(np.array(values)), wanted, atol=1e-9)


@given(games)
@settings(max_examples=60, deadline=None)
def test_shapley_shares_out_exactly_everything(values):
    assert at.shapley(np.array(values)).sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


def test_shapley_treats_equals_alike_ignores_idlers_and_is_linear():
    random = np.random.default_rng(0)
    bits = np.arange(16)[:, None] >> np.arange(4) & 1
    equals = bits[:, 0] + bits[:, 1] + 3 * bits[:, 0] * bits[:, 1] * bits[:, 2]  # players 0 and 1 alike, 3 idle
    found = at.shapley(equals.astype(float))
    assert found[0] == pytest.approx(found[1])
    assert found[3] == 0
    one, two = random.normal(size=(2, 16))
    np.testing.assert_allclose(at.shapley(2 * one + two), 2 * at.shapley(one) + at.shapley(two), atol=1e-12)
    with pytest.raises(ValueError, match="3 values"):
        at.shapley(np.zeros(3))


SMALL = {
    "graph": {},
    "standard": {"rescale": "standard"},
    "none": {"rescale": "none", "head": "row"},
    "batch": {"rescale": "batch", "head": "relative"},
}


@pytest.mark.parametrize("name", SMALL)
def test_term_shapley_is_the_definition_on_reruns_of_the_model(name):
    model, here, unit = lego(P=1, Q=1, **SMALL[name]), clip(11, 2), 9
    trained = model.A.detach().clone()

    def value(inside):
        keep = torch.zeros(4)
        keep[list(inside)] = 1.0
        with torch.no_grad():
            model.A.copy_(trained * keep.reshape(2, 2))
        return look(model, here).scores[unit]

    wanted = by_definition(value, 4).reshape(2, 2)
    with torch.no_grad():
        model.A.copy_(trained)
    found = at.term_shapley(model, here, unit)
    np.testing.assert_allclose(found.parts, wanted, atol=2e-6)
    assert found.exact
    assert not found.error.any()
    assert found.runs == 16
    assert found.base + found.parts.sum() == pytest.approx(found.score, abs=1e-6)


def test_term_shapley_over_sixteen_terms_adds_up_and_idle_terms_get_nothing():
    model, here = lego(), clip()
    with torch.no_grad():
        model.A[2, 3] = 0
    found = at.term_shapley(model, here, 4)
    assert found.exact
    assert found.runs == 1 << 15
    assert found.parts[2, 3] == 0
    assert abs(found.gap) < 1e-6
    assert found.score == pytest.approx(look(model, here).scores[4], abs=1e-7)


@pytest.mark.parametrize("axis", [0, 1])
def test_powers_as_players_are_the_definition_too(axis):
    model, here = lego(P=2, Q=3), clip()
    trained = model.A.detach().clone()

    def value(inside):
        keep = torch.zeros(trained.shape[axis])
        keep[list(inside)] = 1.0
        with torch.no_grad():
            model.A.copy_(trained * (keep[:, None] if axis == 0 else keep))
        return look(model, here).scores[4]

    wanted = by_definition(value, trained.shape[axis])
    with torch.no_grad():
        model.A.copy_(trained)
    np.testing.assert_allclose(at.term_shapley(model, here, 4, axis=axis).parts, wanted, atol=2e-6)


def test_sampled_term_shapley_adds_up_and_lies_within_its_error(monkeypatch):
    model, here = lego(P=2, Q=2), clip()
    exact = at.term_shapley(model, here, 4)
    monkeypatch.setattr(at, "EXACT_PLAYERS", 4)
    found = at.term_shapley(model, here, 4, budget=6000)
    assert not found.exact
    assert abs(found.gap) < 1e-6
    assert (found.error > 0).any()
    assert (np.abs(found.parts - exact.parts) <= 5 * found.error + 1e-6).all()
    more = at.term_shapley(model, here, 4, budget=60_000)
    assert more.error.mean() < found.error.mean() / 2


def test_term_shapley_of_random_pairs_adds_up():
    model, modalities = made("three in pairs")
    found = at.term_shapley(model, clip(modalities=modalities), 3, budget=600)
    assert abs(found.gap) < 1e-6
    assert found.parts.shape == (3, 3)


@pytest.mark.parametrize("name", every_fusion())
@pytest.mark.parametrize("length", CLIPS)
def test_modality_parts_add_up_for_every_fusion(name, length):
    model, here = every_fusion()[name], clip(*CLIPS[length])
    found = at.modality_parts(model, here)
    np.testing.assert_allclose(found.scores, look(model, here).scores, atol=1e-6)
    np.testing.assert_allclose(found.base + sum(found.parts.values()), found.scores, atol=1e-6)


@pytest.mark.parametrize("level", ["feature", "graph"])
def test_modality_parts_are_the_definition(level):
    model, here = every_fusion()[f"concat@{level}"], clip(NODES)
    names = list(here.features)

    def value(inside):
        known = [names[i] for i in inside]
        if level == "graph" and known:
            return look(model, replace(here, features={n: here.features[n] for n in known})).scores[2]
        mean = {n: r if n in known else r.mean(0, keepdim=True).expand_as(r) for n, r in here.features.items()}
        return look(model, replace(here, features=mean)).scores[2]  # equal rows: cosine makes a graph of ones

    wanted = by_definition(value, 2)
    found = at.modality_parts(model, here).parts
    np.testing.assert_allclose([found[n][2] for n in names], wanted, atol=2e-6)


@pytest.mark.parametrize("level", ["feature", "graph"])
def test_a_modality_that_the_model_does_not_read_gets_nothing(level):
    found = at.modality_parts(every_fusion()[f"single@{level}"], clip())
    assert not found.parts["b"].any()
    assert np.abs(found.parts["a"]).max() > 1e-4


def test_two_equal_modalities_get_equal_parts():
    model, here = every_fusion()["product@graph"], clip()
    model.project.of_b.load_state_dict(model.project.of_a.state_dict())
    twins = replace(here, features={"a": here.features["a"], "b": here.features["a"]})
    found = at.modality_parts(model, twins).parts
    np.testing.assert_allclose(found["a"], found["b"], atol=1e-6)


# ---------------------------------------------------------------------------- one unit, explained


@pytest.mark.parametrize("name", every_fusion())
def test_an_explanation_adds_up_whatever_the_unit_and_fusion(name):
    model, here = every_fusion()[name], clip(19, 2)
    scores = look(model, here).scores
    for unit in (0, 7, 8, 18):
        found = at.explain(model, here, unit)
        assert found.start <= unit < found.stop
        assert found.score == pytest.approx(scores[unit], abs=1e-7)
        assert found.unknown + sum(found.modalities.values()) == pytest.approx(found.score, abs=1e-6)
        if found.edges is None:
            assert np.isnan(found.base)
            assert found.neighbours() == []
        else:
            assert found.base + found.edges.sum() == pytest.approx(found.score, abs=1e-6)
            assert found.relations.shape == found.edges.shape
        if found.terms is not None:
            assert found.base + found.terms.sum() == pytest.approx(found.score, abs=1e-6)


def test_neighbours_and_terms_come_largest_first_with_their_own_numbers():
    found = at.explain(lego(), clip(19), 18)
    sizes = [abs(part) for _, part in found.neighbours(8)]
    assert sizes == sorted(sizes, reverse=True)
    assert all(part == found.edges[unit - found.start] for unit, part in found.neighbours(8))
    assert all(part == found.terms[place] for place, part in found.leading_terms())
    assert found.start == 11


def test_results_cannot_be_written_to():
    model, here = lego(), clip()
    found, shares, gone = at.explain(model, here, 1), at.term_shares(model, here), at.mute(model, here, "a")
    by_modality, fair = at.modality_parts(model, here), at.term_shapley(model, here, 1, axis=0)
    for values in (found.edges, found.terms, found.joint, found.relations, shares.shares, gone.new, gone.delta):
        assert not values.flags.writeable
    for values in (by_modality.base, by_modality.gap, by_modality.parts["a"], fair.parts, fair.error):
        assert not values.flags.writeable


# ---------------------------------------------------------------------------- what if


@pytest.mark.parametrize("name", LEGOS)
def test_switching_a_term_off_is_the_model_with_that_entry_zero(name):
    options = {"operator": "matrix", "gate": "none"}
    model, modalities = made(name) if name != "outer, sigmoid" else (lego(**options), 2)
    here, entry = clip(19, 2, modalities), (1,) * model.operator().ndim
    found = at.switch_off(model, here, entry)
    old = look(model, here).scores
    with torch.no_grad():
        model.A[entry] = 0
    np.testing.assert_allclose(found.old, old, atol=1e-7)
    np.testing.assert_allclose(found.new, look(model, here).scores, atol=1e-6)
    np.testing.assert_allclose(found.delta, found.new - found.old)
    assert np.abs(found.delta).max() > 1e-5


def test_switching_a_gated_term_off_removes_it_after_the_gate():
    model, here = lego(gate="sigmoid"), clip()
    trace = look(model, here).windows[0].trace
    kept = torch.tensor(trace.raw) - float(trace.operator[2, 1]) * torch.tensor(
        trace.graphs["a"] ** 2 * trace.graphs["b"]
    )
    wanted = model.head(g.rescaled(kept, "graph")).detach()
    np.testing.assert_allclose(at.switch_off(model, here, (2, 1)).new, wanted, atol=1e-5)


@pytest.mark.parametrize("name", every_fusion())
@pytest.mark.parametrize("length", CLIPS)
def test_muting_is_the_model_without_the_modality_or_with_its_mean_unit(name, length):
    model, here = every_fusion()[name], clip(*CLIPS[length])
    found = at.mute(model, here, "b")
    rest = dict(here.features)
    if model.window is not None and name != "single@graph":
        del rest["b"]
    else:
        rest["b"] = rest["b"].mean(-2, keepdim=True).expand_as(rest["b"])
    np.testing.assert_allclose(found.new, look(model, replace(here, features=rest)).scores, atol=1e-6)
    np.testing.assert_allclose(found.old, look(model, here).scores, atol=1e-7)


@pytest.mark.parametrize("modality", [None, "a"])
def test_cutting_an_edge_is_the_formula_on_graphs_without_it(modality):
    model, here = lego(P=2, Q=2), clip()
    graphs = {n: torch.tensor(found) for n, found in look(model, here).windows[0].trace.graphs.items()}
    for name in graphs:
        if modality in (None, name):
            graphs[name][2, 5] = graphs[name][5, 2] = 0
    G = torch.zeros(NODES, NODES)
    for p in range(3):
        for q in range(3):
            a = graphs["a"] ** p if p else torch.eye(NODES)
            b = graphs["b"] ** q if q else torch.eye(NODES)
            G += model.A[p, q].detach() * a * b
    found = at.cut_edge(model, here, 2, 5, modality)
    np.testing.assert_allclose(found.new, model.head(G / G.max()).detach(), atol=1e-5)
    np.testing.assert_array_equal(found.new, at.cut_edge(model, here, 5, 2, modality).new)


def test_without_rescaling_a_cut_edge_touches_its_two_units_only():
    found = at.cut_edge(lego(rescale="none"), clip(), 2, 5)
    assert set(np.flatnonzero(found.delta)) == {2, 5}


def test_in_a_repeated_clip_every_copy_of_the_edge_is_cut():
    model, here = every_fusion()["sum@graph"], clip(3)
    nodes = torch.arange(NODES) % 3
    graphs = model({n: rows[nodes] for n, rows in here.features.items()}).trace.graphs
    total = sum(graph.detach().clone() for graph in graphs.values())
    for i in range(NODES):
        for j in range(NODES):
            if {int(nodes[i]), int(nodes[j])} == {0, 2}:
                total[i, j] = 0
    np.testing.assert_allclose(at.cut_edge(model, here, 0, 2).new, model.head(total)[:3].detach(), atol=1e-6)


def test_an_edge_is_cut_in_every_window_that_holds_it():
    model, here = (
        lego(rescale="none", relation="rbf"),
        clip(11),
    )  # windows 0-8 and 3-11: units 4 and 9 share the second alone
    found = at.cut_edge(model, here, 4, 9)
    assert set(np.flatnonzero(found.delta)) == {9}  # unit 4's score is the first window's
    with pytest.raises(ValueError, match="units 0 and 9 never share a window of 8 units"):
        at.cut_edge(model, here, 0, 9)


@pytest.mark.parametrize("name", every_fusion())
@pytest.mark.parametrize("units", [3, NODES])
def test_dropping_a_unit_is_the_clip_without_it(name, units):
    model, here = every_fusion()[name], clip(units, 2)
    found = at.drop_unit(model, here, 1)
    left = [i for i in range(units) if i != 1]
    short = replace(here, features={n: rows[:, left] for n, rows in here.features.items()})
    np.testing.assert_allclose(found.new[left], look(model, short).scores, atol=1e-6)
    assert np.isnan(found.new[1])
    assert np.isnan(found.delta[1])


def test_dropping_a_unit_leaves_other_windows_alone():
    found = at.drop_unit(lego(), clip(2 * NODES), 12)
    assert not found.delta[:NODES].any()
    assert np.isnan(found.delta[12])
    assert np.abs(np.delete(found.delta[NODES:], 4)).max() > 0


def test_impossible_questions_are_refused_with_their_numbers():
    model, here = lego(), clip()
    features = every_fusion()["concat@feature"]
    for ask, words in [
        (lambda: at.explain(model, here, 8), "has units 0 to 7, not 8"),
        (lambda: at.explain(model, here, -1), "has units 0 to 7, not -1"),
        (lambda: at.term_shares(model, here, 1), "has windows 0 to 0, not 1"),
        (lambda: at.term_shares(model, here).of_edge(2, 8), "holds units 0 to 7, not 8"),
        (lambda: at.term_shares(features, here), "Concat has no operator"),
        (lambda: at.term_shapley(features, here, 0), "Concat has no operator"),
        (lambda: at.term_shapley(model, here, 0, axis=2), "axes 0 to 1, not 2"),
        (lambda: at.score_parts(features, here), "scores features, not graphs"),
        (lambda: at.captum_parts(features, here, 0), "scores features, not graphs"),
        (lambda: at.switch_off(model, here, (4, 0)), r"the operator is 4 x 4: it has no entry \(4, 0\)"),
        (lambda: at.switch_off(model, here, (1,)), "it has no entry"),
        (lambda: at.switch_off(features, here, (0, 0)), "no operator"),
        (lambda: at.mute(model, here, "x"), "there is no modality 'x'"),
        (lambda: at.cut_edge(model, here, 1, 1), "got unit 1 twice"),
        (lambda: at.cut_edge(model, here, 1, 2, "x"), "there is no modality 'x'"),
        (lambda: at.cut_edge(features, here, 1, 2), "no edge to cut"),
        (lambda: at.drop_unit(model, clip(1), 0), "one unit"),
    ]:
        with pytest.raises(ValueError, match=words):
            ask()


def test_mtn_can_be_muted_to_nothing():
    """Even with one modality, unknown is a score, not an error."""
    torch.manual_seed(0)
    found = at.modality_parts(Mtn({"a": 8}).eval(), clip(5, None, 1))
    assert np.isfinite(found.base).all()

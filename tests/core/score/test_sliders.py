"""Slider answers: the fast path against the model run again, clip by clip."""

import numpy as np
import pytest
import torch

from core.fusion import FUSIONS
from core.fusion import graph as g
from core.measure.metrics import measure
from core.score.changes import Changes
from core.score.infer import look, score
from core.score.sliders import Gate, GraphSet, changed
from tests.core.made import WIDTHS, clip

CASES = [
    ("lego", {}),
    ("lego", {"expansion": "walks", "rescale": "standard"}),
    ("lego", {"operator": "outer", "rescale": "none", "head": "row"}),
    ("concat", {"level": "graph"}),
    ("sum", {"level": "graph"}),
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def model(request):
    torch.manual_seed(0)
    name, options = request.param
    return FUSIONS[name](WIDTHS, FUSIONS[name].Config(**options)).eval()


@pytest.fixture(scope="module")
def clips():
    return [clip(f"c{n}", units=n, anomalous=n % 2 == 0, seed=n) for n in (5, 32, 33, 40, 70)]


def test_scores_are_the_models_own(model, clips):
    ready = GraphSet(model, clips)
    wanted = score(model, clips)
    found = ready.scores(ready.fused())
    for each in clips:
        np.testing.assert_allclose(ready.of(each.name, found), wanted[each.name], atol=1.3e-6)
    assert ready.auc(found) == pytest.approx(measure(wanted, clips).auc, abs=1e-3)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_degrees_by_search_are_degrees_by_sum(clips, alpha):
    torch.manual_seed(0)
    ready = GraphSet(FUSIONS["lego"](WIDTHS), clips)
    fused = ready.fused()
    gate = Gate(fused)
    torch.testing.assert_close(gate.degrees(alpha), g.degrees(fused, alpha), atol=1e-5, rtol=1e-5)
    assert torch.equal(gate.counts(alpha), (fused >= alpha).sum(-1))


def test_an_edge_of_exactly_alpha_is_kept_by_search_too():
    graph = torch.full((2, 2), 0.5)
    assert Gate(graph).degrees(0.5).tolist() == [1.0, 1.0]


def test_an_edited_operator_scores_as_a_model_with_that_operator(clips):
    torch.manual_seed(0)
    model = FUSIONS["lego"](WIDTHS, FUSIONS["lego"].Config(gate="none")).eval()
    ready = GraphSet(model, clips)
    A = Changes({(1, 2): 0.75, (0, 0): 0.0}, {1: 2}).applied(ready.operator)
    assert (A[:, 3] == 0).all()
    found = ready.scores(ready.fused(A))
    with torch.no_grad():
        model.A.copy_(A)
    wanted = score(model, clips)
    np.testing.assert_allclose(found, np.concatenate([wanted[c.name] for c in clips]), atol=2e-6)


def test_a_window_of_a_set_is_what_the_model_makes_of_its_clip(model, clips):
    ready = GraphSet(model, clips)
    for each in clips:
        for index, own in enumerate(look(model, each).windows):
            found = ready.window(each.name, index, ready.fused())
            assert list(found.graphs) == list(own.trace.graphs)
            for name in found.graphs:
                np.testing.assert_allclose(found.graphs[name], own.trace.graphs[name], atol=1e-5)
            np.testing.assert_allclose(found.fused, own.trace.fused, atol=1e-5)
            np.testing.assert_allclose(found.raw, own.trace.raw, atol=1e-5)
            assert (found.operator is None) == (own.trace.operator is None)


def test_a_model_under_another_operator_shares_its_weights_and_leaves_it_alone(clips):
    torch.manual_seed(0)
    model = FUSIONS["lego"](WIDTHS).eval()
    ready = GraphSet(model, clips)
    A = changed(model, "1,2=0.5 0<2")
    assert A[1, 2] == 0.5
    assert (A[3] == 0).all()
    wanted = score(model.under(A), clips)
    np.testing.assert_allclose(ready.scores(ready.fused(A)), np.concatenate([wanted[c.name] for c in clips]), atol=2e-6)
    assert model.under(A).head is model.head
    assert torch.equal(model.operator(), ready.operator)
    assert changed(FUSIONS["mtn"](WIDTHS), "1,2=0.5") is None


def test_one_entry_moved_is_the_whole_sum_again(clips):
    torch.manual_seed(0)
    ready = GraphSet(FUSIONS["lego"](WIDTHS), clips)
    A = ready.operator
    moved = Changes({(2, 1): float(A[2, 1]) + 0.3}).applied(A)
    torch.testing.assert_close(ready.nudged(ready.raw(A), (2, 1), 0.3), ready.raw(moved), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["equation", "released"])
def test_both_variances_are_eq_7s(clips, kind):
    torch.manual_seed(0)
    ready = GraphSet(FUSIONS["lego"](WIDTHS), clips)
    fused = ready.fused()
    answer = ready.answer(fused, 0.4, 6, kind=kind)
    sides = g.variances(fused[:, 0], ready.anomalous, 0.4, 6, kind)
    assert answer.variance_normal == pytest.approx(float(sides[~ready.anomalous].mean()), rel=1e-4)
    assert answer.variance_anomalous == pytest.approx(float(sides[ready.anomalous].mean()), rel=1e-4)


def test_cutting_every_edge_leaves_scores_without_a_difference(clips):
    torch.manual_seed(0)
    ready = GraphSet(FUSIONS["lego"](WIDTHS), clips)
    assert len(np.unique(ready.scores(ready.fused(), alpha=2.0).round(6))) == 1


def test_methods_without_graphs_are_told_apart(clips):
    with pytest.raises(ValueError, match="no relationship graphs"):
        GraphSet(FUSIONS["mtn"](WIDTHS), clips)


@pytest.mark.parametrize("gate", ["none", "sigmoid"])
def test_halves_scale_as_whole_graphs_do_even_without_a_positive_entry(clips, gate):
    for seed in range(4):  # ungated, some of these operators make graphs that are negative everywhere
        torch.manual_seed(seed)
        ready = GraphSet(FUSIONS["lego"](WIDTHS, FUSIONS["lego"].Config(gate=gate)), clips)
        A = -ready.operator if seed == 3 else ready.operator
        torch.testing.assert_close(ready.fused(A), g.rescaled(ready.raw(A), "graph"), atol=2e-6, rtol=1e-5)

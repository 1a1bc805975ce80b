"""What if: the model run again on changed input is the model on that input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.explain import whatif as at
from core.score.infer import look
from tests.core.explain.test_lego import CLIPS, NODES, clip, every_fusion, lego


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
    model, here, features = lego(), clip(), every_fusion()["concat@feature"]
    for ask, words in [
        (lambda: at.mute(model, here, "x"), "there is no modality 'x'"),
        (lambda: at.cut_edge(model, here, 1, 1), "got unit 1 twice"),
        (lambda: at.cut_edge(model, here, 1, 2, "x"), "there is no modality 'x'"),
        (lambda: at.cut_edge(features, here, 1, 2), "Concat scores features"),
        (lambda: at.drop_unit(model, clip(1), 0), "one unit"),
    ]:
        with pytest.raises(ValueError, match=words):
            ask()


def test_results_cannot_be_written_to():
    gone = at.mute(lego(), clip(), "a")
    for values in (gone.old, gone.new, gone.delta):
        assert not values.flags.writeable

"""Explanations: parts by edge, by term and by modality add up to scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.clip import Clip
from core.explain import lego as at
from core.explain.windows import every_window, one_window
from core.fusion import FUSIONS
from core.fusion.base import Fusion
from core.fusion.baseline import Baseline, BaselineConfig, Concat, Product, Single, Sum
from core.fusion.lego import Lego, LegoConfig
from core.fusion.mtn import Mtn
from core.score.infer import look
from tests.core.explain.test_shapley import by_definition

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
        found = at.parts_of(model, one_window(model, here, index))
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
        found = at.parts_of(model, one_window(model, here, index))
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
    assert at.parts_of(model, one_window(model, clip(), 0)).base == pytest.approx(empty, abs=1e-6)


def test_the_order_of_units_does_not_matter_to_the_sorted_head():
    model, here = lego(), clip()
    order = torch.randperm(NODES, generator=torch.Generator().manual_seed(5))
    moved = replace(here, features={n: rows[order] for n, rows in here.features.items()})
    expected = at.parts_of(model, one_window(model, here, 0)).edges[order][:, order]
    np.testing.assert_allclose(at.parts_of(model, one_window(model, moved, 0)).edges, expected, atol=1e-5)


# ---------------------------------------------------------------------------- parts by modality


def of_modalities(model: Fusion, here: Clip) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(modality -> part of every unit, scores when none is known) of a clip of one window."""
    (inside,) = every_window(model, here)
    return at.modalities_of(model, here, inside)


@pytest.mark.parametrize("name", every_fusion())
@pytest.mark.parametrize("length", CLIPS)
def test_parts_by_modality_add_up_for_every_fusion(name, length):
    model, here = every_fusion()[name], clip(*CLIPS[length])
    for inside in every_window(model, here):
        parts, unknown = at.modalities_of(model, here, inside)
        scores = inside.scores.mean(0)[: inside.units].numpy()
        np.testing.assert_allclose(unknown + sum(parts.values()), scores, atol=1e-6)


@pytest.mark.parametrize("level", ["feature", "graph"])
def test_parts_by_modality_are_the_definition(level):
    model, here = every_fusion()[f"concat@{level}"], clip(NODES)
    names = list(here.features)

    def value(inside):
        known = [names[i] for i in inside]
        if level == "graph" and known:
            return look(model, replace(here, features={n: here.features[n] for n in known})).scores[2]
        mean = {n: r if n in known else r.mean(0, keepdim=True).expand_as(r) for n, r in here.features.items()}
        return look(model, replace(here, features=mean)).scores[2]  # equal rows: cosine makes a graph of ones

    wanted = by_definition(value, 2)
    found, _ = of_modalities(model, here)
    np.testing.assert_allclose([found[n][2] for n in names], wanted, atol=2e-6)


@pytest.mark.parametrize("level", ["feature", "graph"])
def test_a_modality_that_the_model_does_not_read_gets_nothing(level):
    found, _ = of_modalities(every_fusion()[f"single@{level}"], clip())
    assert not found["b"].any()
    assert np.abs(found["a"]).max() > 1e-4


def test_two_equal_modalities_get_equal_parts():
    model, here = every_fusion()["product@graph"], clip()
    model.project.of_b.load_state_dict(model.project.of_a.state_dict())
    twins = replace(here, features={"a": here.features["a"], "b": here.features["a"]})
    found, _ = of_modalities(model, twins)
    np.testing.assert_allclose(found["a"], found["b"], atol=1e-6)


def test_mtn_can_be_muted_to_nothing():
    """Even with one modality, unknown is a score, not an error."""
    torch.manual_seed(0)
    _, unknown = of_modalities(Mtn({"a": 8}).eval(), clip(5, None, 1))
    assert np.isfinite(unknown).all()


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
    found, shares = at.explain(model, here, 1), at.term_shares(model, here)
    for values in (found.edges, found.terms, found.joint, found.relations, shares.shares):
        assert not values.flags.writeable


def test_impossible_questions_are_refused_with_their_numbers():
    model, here = lego(), clip()
    features = every_fusion()["concat@feature"]
    for ask, words in [
        (lambda: at.explain(model, here, 8), "has units 0 to 7, not 8"),
        (lambda: at.explain(model, here, -1), "has units 0 to 7, not -1"),
        (lambda: at.term_shares(model, here, 1), "has windows 0 to 0, not 1"),
        (lambda: at.term_shares(model, here).of_edge(2, 8), "holds units 0 to 7, not 8"),
        (lambda: at.term_shares(features, here), "Concat has no operator"),
        (lambda: at.captum_parts(features, here, 0), "Concat scores features"),
    ]:
        with pytest.raises(ValueError, match=words):
            ask()

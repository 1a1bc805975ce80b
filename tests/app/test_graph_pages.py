"""The pages of graphs and of the operator, opened as a visitor does: every choice opens, and numbers follow A."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.world import SECONDS

PAGES = ("graphs", "operator")


def card(app: AppTest, label: str) -> str:
    return str(next(metric.value for metric in app.metric if metric.label == label))


def drawn(app: AppTest) -> dict:
    """What the browser was sent to draw."""
    import json

    sent = next(
        element.proto for element in app.get("bidi_component") if element.proto.component_name == "relation_graphs"
    )
    return json.loads(sent.json)


@pytest.fixture
def graphs(visit: Opener):  # noqa: ANN201
    def open_graphs(**link: str) -> dict:
        app = visit("graphs", **link)
        assert not complaints(app)
        return drawn(app)

    return open_graphs


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "link",
    [
        {"layout": "time", "per_node": "31", "shared": "false", "strengths": "rank", "mark": "alarms"},
        {"layout": "distance", "strengths": "value", "below": "As matrices"},
        {"time": "3.2", "about": "Parts of its score"},
        {"time": "3.2", "about": "What if"},
        {"time": "3.2", "other": "2", "below_operator": "Scores of this clip"},
        {"A": "1,1=0 0<2", "below_operator": "A before and after training"},
        {"A": "9,9=1 <script> 1,1=nan 1,1=1e999", "layout": "nowhere", "per_node": "1e9", "other": "-1", "window": "7"},
        {"time": "99999", "other": "99999"},
    ],
    ids=lambda link: "-".join(link),
)
def test_every_choice_opens(visit: Opener, page: str, link: dict[str, str]) -> None:
    assert not complaints(visit(page, clip="test-01", **link))


def test_no_unit_moves_whatever_is_changed(graphs) -> None:  # noqa: ANN001
    places = [
        [(node["x"], node["y"]) for node in graphs(clip="test-01", **link)["nodes"]]
        for link in ({}, {"A": "1,1=0"}, {"A": "0<0"}, {"alpha": "0.9"}, {"strengths": "rank"}, {"mark": "alarms"})
    ]
    assert all(found == places[0] for found in places)
    assert places[0] != [(node["x"], node["y"]) for node in graphs(clip="test-03")["nodes"]]


def test_only_the_fused_graph_and_the_difference_feel_a(graphs) -> None:  # noqa: ANN001
    before = {panel["id"]: panel["digest"] for panel in graphs(clip="test-01", shared="false")["panels"]}
    after = {
        panel["id"]: panel["digest"] for panel in graphs(clip="test-01", shared="false", A="1,1=0 2,2=3")["panels"]
    }
    same = {name for name in before if before[name] == after[name]}
    assert same == {"motion", "appearance"}
    assert len(before) == 4


def test_a_rerun_sends_little(visit: Opener) -> None:
    app = visit("graphs", clip="test-01")
    sent = next(e.proto for e in app.get("bidi_component"))
    assert sent.ByteSize() < 100_000
    assert len(sent.js_content) < 2_000  # the script itself is fetched once, from static serving


def test_truth_or_alarms_decide_the_diamonds(graphs) -> None:  # noqa: ANN001
    truth = graphs(clip="test-01")
    assert [node["shape"] == "diamond" for node in truth["nodes"]] == truth["anomalous"]
    assert truth["anomalous"] == [4 <= unit <= 6 for unit in range(10)]
    assert all(graphs(clip="test-01", mark="alarms", threshold="0")["anomalous"])
    assert not any(graphs(clip="test-01", mark="alarms", threshold="1")["anomalous"])


def test_the_changed_operator_is_the_model_with_that_operator(visit: Opener, tiny: Path) -> None:
    """A line of changes gives the scores and the AUC of a model whose A was overwritten by hand."""
    import torch

    from core import run
    from core.data import native
    from core.fusion.lego import Lego
    from core.measure.metrics import measure
    from core.score.infer import score

    app = visit("graphs", clip="test-01", A="1,1=-2.5 2,0=4 1<2")
    folder = tiny / "runs" / str(app.session_state["run"])
    model = run.model(folder)
    assert isinstance(model, Lego)
    A = model.operator().detach().clone()
    A[1, 1], A[2, 0] = -2.5, 4.0
    A[:, 3:] = 0
    test = native.read(tiny / "demo").part("test")
    with torch.inference_mode():
        expected = score(model.under(A), test)
    assert card(app, "AUC") == f"{measure(expected, test).auc:.1f}"
    sent = drawn(app)
    told = [float(name.split("score ")[1].split(" ")[0]) for name in sent["names"]]
    np.testing.assert_allclose(told, expected["test-01"], atol=6e-4)


def test_alpha_and_k_move_what_depends_on_them_and_nothing_else(visit: Opener) -> None:
    low, high = visit("graphs", alpha="0.05"), visit("graphs", alpha="0.98")
    assert card(low, "AUC") == card(high, "AUC")
    assert card(low, "Var. normal") != card(high, "Var. normal")
    few, many = visit("graphs", k="2", alpha="0.3"), visit("graphs", k="9", alpha="0.3")
    assert card(few, "Var. normal") == card(many, "Var. normal")
    assert card(few, "Var. anomalous") != card(many, "Var. anomalous")


@pytest.mark.parametrize("page", PAGES)
def test_as_trained_no_number_has_moved(visit: Opener, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each card is compared with the same number as trained: cut with cut, not cut with whole."""
    monkeypatch.setattr("app.store.graphs.trained_sliders", lambda name: (0.9, 10))
    trained = visit(page, alpha="0.9", k="10")
    assert [metric.delta for metric in trained.metric] == [""] * len(trained.metric)
    assert card(trained, "AUC, edges cut") != card(trained, "AUC")  # or this would say nothing


def test_a_unit_and_a_connection_say_what_lies_behind_them(visit: Opener) -> None:
    unit = visit("graphs", clip="test-01", time=str(5 * SECONDS))
    assert "Unit 5" in words(unit)
    assert "labelled anomalous" in words(unit)
    assert drawn(unit)["pick"] == "n5"
    pair = visit("graphs", clip="test-01", time=str(5 * SECONDS), other="2")
    assert drawn(pair)["pick"] == "e2-5"
    assert "Unit 2" in words(pair)
    assert "add up exactly" in words(pair)


def test_a_fusion_of_features_shows_its_inputs_relations_and_says_so(visit: Opener) -> None:
    app = visit("graphs", time="1.3")
    title = next(option for option in app.sidebar.selectbox(key="run").options if option.startswith("sum"))
    app.sidebar.selectbox(key="run").set_value(title).run()
    assert not complaints(app)
    assert "combines features, not graphs" in words(app)
    assert [panel["id"] for panel in drawn(app)["panels"]][:2] == ["motion", "appearance"]
    assert "no operator" in words(visit("operator", run=title))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips longer than the window of 32 units."""
    from dataclasses import replace

    import torch

    from core.clip import Clip

    def longer(clip: Clip) -> Clip:
        rows = {name: torch.cat([values] * 4) for name, values in clip.features.items()}
        labels = None if clip.labels is None else torch.cat([clip.labels] * 4)
        return replace(clip, features=rows, labels=labels, frames=None, truth=None, kinds=())

    root = tmp_path_factory.mktemp("long")
    return world.build(root, world.dataset(None, change=longer))


def test_a_chosen_moment_brings_its_window(visit: Opener, long: Path) -> None:
    first = drawn(visit("graphs", assets=long, clip="test-01", time=str(3 * SECONDS)))
    last = drawn(visit("graphs", assets=long, clip="test-01", time=str(39 * SECONDS)))
    assert [node["label"] for node in first["nodes"]] == [str(unit) for unit in range(32)]
    assert [node["label"] for node in last["nodes"]] == [str(unit) for unit in range(8, 40)]
    assert (first["pick"], last["pick"]) == ("n3", "n31")

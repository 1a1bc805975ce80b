"""A long clip as one window, opened as a visitor does: numbers, communities, ways in and back, and the job before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import store
from app.views.graphs.whole import parts as summary
from core import jobs, run
from core.clip import Clip
from core.data import native
from core.dataset import Dataset
from core.fusion.perceiver import Perceiver
from core.score import whole
from tests import world
from tests.app.conftest import Opener, complaints, words

WHOLE = {"as_one": "whole clip"}


def longer(clip: Clip) -> Clip:
    """test-01: 900 units of three kinds; test-03: 450 that nobody labelled; test-05: 420 zeros; the rest stay short."""
    units = {"test-01": 900, "test-03": 450, "test-05": 420}.get(clip.name)
    if units is None:
        return replace(clip, frames=None, truth=None, kinds=())
    random = np.random.default_rng(units)
    kind = np.arange(units) // 20 % 3
    rows = {
        name: torch.from_numpy(
            (3 * np.eye(old.shape[1])[kind] + random.normal(scale=0.4, size=(units, old.shape[1]))).astype(np.float32)
        )
        for name, old in clip.features.items()
    }
    if clip.name == "test-05":
        rows = {name: torch.zeros_like(old) for name, old in rows.items()}
    labels = None if clip.name == "test-03" else torch.from_numpy(kind == 2)
    return replace(
        clip,
        features=rows,
        labels=labels,
        frames=None,
        truth=None,
        kinds=(),
        anomalous=None if labels is None else True,
    )


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    return world.build(root, world.dataset(None, change=longer))


def card(app: AppTest, label: str) -> str:
    return str(next(metric.value for metric in app.metric if metric.label.startswith(label)))


def computed(long: Path, app: AppTest, name: str) -> tuple[whole.Whole, Dataset]:
    found = native.read(long / "demo")
    model = run.model(long / "runs" / str(app.session_state["run"]))
    return whole.whole(model, found.clips[name]), found


def part(app: AppTest) -> list[str]:
    """The way to the open community: all options, the open one last."""
    control = app.get("button_group")
    found = next(one for one in control if one.key == "part")
    assert found.value == found.options[-1]
    return list(found.options)


def test_a_clip_that_fits_into_the_window_is_not_asked_about(visit: Opener, long: Path) -> None:
    short = visit("graphs", assets=long, clip="test-02", **WHOLE)
    assert not complaints(short)
    assert "as_one" not in [one.key for one in short.get("button_group")]
    features = Perceiver({"motion": 4})  # a fusion of features has no graph of any window
    assert not summary.choose_window(native.read(long / "demo").clips["test-01"], features)


def test_the_numbers_are_those_of_the_whole_graph_at_every_alpha(visit: Opener, long: Path) -> None:
    for alpha in ("0.1", "0.37"):
        app = visit("graphs", assets=long, clip="test-01", alpha=alpha, **WHOLE)
        assert not complaints(app)
        found, _ = computed(long, app, "test-01")
        at = whole.level(float(alpha))
        assert card(app, "Units") == "900"
        assert card(app, "Pairs of units") == f"{900 * 899 // 2:,}"
        assert card(app, "Pairs ≥") == f"{found.pairs[at]:,}"
        assert card(app, "Mean degree") == f"{found.degrees[:, at].mean():,.1f}"
    sent = sum(chart.proto.ByteSize() for chart in app.get("plotly_chart"))
    tables = sum(table.proto.ByteSize() for table in app.get("arrow_data_frame"))
    assert sent + tables < 100_000


def test_planted_kinds_are_communities_and_open_from_the_link(visit: Opener, long: Path) -> None:
    app = visit("graphs", assets=long, clip="test-01", **WHOLE)
    found, data = computed(long, app, "test-01")
    assert part(app) == ["whole clip"]
    assert found.summary.sizes.tolist() == [300, 300, 300]
    table = app.dataframe[0].value
    assert table["units"].tolist() == [300, 300, 300]
    assert sorted(table["anomalous"]) == [0, 0, 300]
    inside = visit("graphs", assets=long, clip="test-01", part="2", alpha="0.2", **WHOLE)
    assert not complaints(inside)
    assert part(inside) == ["whole clip", "2"]
    assert inside.dataframe[0].value["unit"].tolist() == found.summary.inside(1).tolist()
    assert "300 units one by one" in words(inside)
    back = inside.segmented_control(key="part").set_value("whole clip").run()
    assert part(back) == ["whole clip"]
    assert "900 units in 3 groups" in words(back)


@pytest.mark.parametrize("link", ["9", "1.9", "<script>", "²"])
def test_a_bad_link_leads_to_what_there_is(visit: Opener, long: Path, link: str) -> None:
    app = visit("graphs", assets=long, clip="test-01", part=link, **WHOLE)
    assert not complaints(app)
    assert part(app) in (["whole clip"], ["whole clip", "1"])


def test_a_community_belongs_to_its_clip(visit: Opener, long: Path) -> None:
    app = visit("graphs", assets=long, clip="test-01", part="2", **WHOLE)
    app.sidebar.selectbox(key="clip").set_value("test-03").run()
    assert not complaints(app)
    assert part(app) == ["whole clip"]


def test_nobody_knows_and_nothing_there(visit: Opener, long: Path) -> None:
    unlabelled = visit("graphs", assets=long, clip="test-03", **WHOLE)
    assert not complaints(unlabelled)
    assert "labels are not of two kinds" in words(unlabelled)
    assert "alarmed" in unlabelled.dataframe[0].value.columns
    zeros = visit("graphs", assets=long, clip="test-05", **WHOLE)
    assert not complaints(zeros)
    assert card(zeros, "Pairs ≥") == card(zeros, "Pairs of units")  # the projection's bias relates all alike
    assert not complaints(visit("graphs", assets=long, clip="test-05", part="1", **WHOLE))


def test_a_changed_operator_changes_the_whole_graph(visit: Opener, long: Path) -> None:
    cards = [
        card(visit("graphs", assets=long, clip="test-01", alpha="0.1", A=A, **WHOLE), "Largest entry")
        for A in ("", "1,1=5")
    ]
    assert cards[0] != cards[1]


def test_a_long_one_is_a_job_whose_cost_is_told(visit: Opener, long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.graphs, "WHOLE_AT_ONCE", 100)
    monkeypatch.setattr(jobs.queue, "ensure", lambda root: None)  # the worker is this test
    app = visit("graphs", assets=long, clip="test-01", alpha="0.1", **WHOLE)
    assert "404,550 pairs" in words(app)
    assert not app.metric
    button = app.button(key="compute-whole")
    assert button.label.startswith("Compute (about ")
    app = button.click().run()
    assert not complaints(app)
    (job,) = jobs.listing(store.keys.workspace().jobs)
    assert (job.kind, job.arguments["clip"]) == ("whole", "test-01")
    told: list[float] = []
    assert jobs.kinds.HANDLERS["whole"](job.arguments, lambda done, words: told.append(done)) == "test-01"
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    app = visit("graphs", assets=long, clip="test-01", alpha="0.1", **WHOLE)
    assert card(app, "Pairs ≥") == f"{computed(long, app, 'test-01')[0].pairs[10]:,}"
    stored = Path(str(job.arguments["out"]))
    stored.write_bytes(stored.read_bytes()[:999])
    app = visit("graphs", assets=long, clip="test-01", alpha="0.1", **WHOLE)
    assert not complaints(app)
    assert not app.metric  # what was damaged is computed again, not shown

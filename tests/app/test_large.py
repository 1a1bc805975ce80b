"""700 clips: what a page sends stays small, any link reopens its clip, lists are paged, tables say what loops said.

They count as many here, so their features stay on disk: pages open without reading them, and show progress once.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from app import store
from app.store.keys import DataKey, RunKey
from app.views.thresholds import figures
from app.widgets import paging, sidebar
from core import run
from core.clip import Clip
from core.data import fields, index, native
from core.dataset import Dataset
from core.measure.metrics import kind_of_units
from core.measure.thresholds import decide, graded, kinds_of, roc, units_of
from core.recipe import Recipe, TrainConfig
from core.score import infer
from core.train.loop import train
from tests.app.conftest import Opener, complaints, words

CLIPS, TRAIN = 700, 40
BYTES = 100_000


def small_clip(number: int) -> Clip:
    random = np.random.default_rng(number)
    labels = torch.zeros(6, dtype=torch.bool)
    labels[2:4] = number % 3 == 0
    rows = {name: torch.from_numpy(random.normal(size=(6, 2)).astype(np.float32)) for name in ("a", "b")}
    rows["a"][:, 0] += 2 + labels.float()
    truth = ((32, 64),) if labels.any() else ()
    kinds = (("cyclist", "van")[number % 2],) * len(truth)
    return Clip(f"camera-{number % 7}-{number:04d}", rows, labels, 0.64, 96, truth, bool(truth), kinds)


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """700 clips are many, and a page waits for the background."""
    monkeypatch.setattr(index, "LARGE", 500)
    monkeypatch.setattr(store.work, "PATIENCE", 60.0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    clips = {each.name: each for each in map(small_clip, range(CLIPS))}
    names = tuple(clips)
    made = Dataset("Many", clips, {"weak": {"train": names[:TRAIN], "test": names[TRAIN:]}}, 25.0)
    native.write(made, root / "demo")
    done = train(made, Recipe("sum", {"level": "feature"}, TrainConfig(epochs=1, batch=40), (0,)))
    run.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root


def sent(app: AppTest) -> int:
    """Bytes of everything a rerun draws, page and sidebar."""

    def below(block) -> int:  # noqa: ANN001
        return sum(
            below(each) if hasattr(each, "children") else each.proto.ByteSize() for each in block.children.values()
        )

    return below(app.main) + below(app.sidebar)


@pytest.mark.parametrize("page", ["overview", "clips", "thresholds", "library"])
def test_a_page_sends_little_however_many_clips_there_are(visit: Opener, many: Path, page: str) -> None:
    app = visit(page, assets=many)
    assert not complaints(app)
    assert sent(app) < BYTES
    assert 1 < len(app.sidebar.selectbox(key="clip").options) <= sidebar.WINDOW + 1


@pytest.mark.parametrize("number", [TRAIN, 419, CLIPS - 1])
def test_a_link_to_any_clip_reopens_it(visit: Opener, many: Path, number: int) -> None:
    name = f"camera-{number % 7}-{number:04d}"
    app = visit("clips", assets=many, clip=name)
    chooser = app.sidebar.selectbox(key="clip")
    assert chooser.value == name
    assert name in chooser.options
    assert not complaints(app)
    app.switch_page("views/thresholds/page.py").run()
    assert app.sidebar.selectbox(key="clip").value == name


def test_words_narrow_the_list_and_keep_the_chosen_clip(visit: Opener, many: Path) -> None:
    app = visit("clips", assets=many, clip="camera-6-0048", find="CAMERA-3 1")
    options = app.sidebar.selectbox(key="clip").options
    found = [f"camera-{n % 7}-{n:04d}" for n in range(TRAIN, CLIPS) if n % 7 == 3 and "1" in f"camera-3-{n:04d}"]
    assert [name for name in options if name != "camera-6-0048"] == found[: sidebar.WINDOW]
    assert app.sidebar.selectbox(key="clip").value == "camera-6-0048"
    assert app.dataframe[-1].value["clip"].tolist() == found[: paging.SIZE]
    app.sidebar.text_input(key="find").set_value("nothing is called so").run()
    assert app.sidebar.selectbox(key="clip").options == ["camera-6-0048"]
    assert "holds these words" in words(app)


def test_the_next_page_of_a_list_goes_on_where_the_last_one_ended(visit: Opener, many: Path) -> None:
    app = visit("clips", assets=many)
    first = app.dataframe[-1].value["clip"].tolist()
    assert first == [f"camera-{n % 7}-{n:04d}" for n in range(TRAIN, TRAIN + paging.SIZE)]
    app.number_input(key="clips-page").set_value(2).run()
    assert app.dataframe[-1].value["clip"].tolist()[0] == f"camera-{(TRAIN + 50) % 7}-{TRAIN + 50:04d}"
    app.number_input(key="clips-page").set_value(99_999).run()
    assert app.dataframe[-1].value["clip"].tolist()[-1] == f"camera-{(CLIPS - 1) % 7}-{CLIPS - 1:04d}"
    app.selectbox(key="clips-order").select("highest score first").run()
    app.number_input(key="clips-page").set_value(1).run()
    high = app.dataframe[-1].value["highest"].tolist()
    assert high == sorted(high, reverse=True)
    app.switch_page("views/thresholds/page.py").run()
    missed = app.dataframe[-1].value["missed"].tolist()
    assert missed == sorted(missed, reverse=True)
    assert len(missed) == paging.SIZE


# ---------------------------------------------------------------------------- on disk, and in the background


half = threading.Event()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Scoring stops half way until the event is set; nothing is known from earlier tests."""
    st.cache_resource.clear()
    st.cache_data.clear()
    go, score = threading.Event(), infer.score

    def slowly(*given: object, tell: Callable[[float], None], **named: object) -> object:
        tell(0.5)
        half.set()
        assert go.wait(60)
        return score(*given, tell=tell, **named)

    half.clear()

    monkeypatch.setattr(infer, "score", slowly)
    monkeypatch.setattr(store.work, "PATIENCE", 0.0)
    yield go
    go.set()
    st.cache_resource.clear()


def finished() -> None:
    for thread in threading.enumerate():
        if thread.name == "background":
            thread.join(60)


def bars(app: AppTest) -> list[int]:
    return [each.proto.value for each in app.get("progress")]


def test_pages_are_usable_while_a_set_is_scored_and_whole_afterwards(
    visit: Opener, many: Path, held: threading.Event
) -> None:
    app = visit("clips", assets=many)
    finished()  # it is open; nothing is scored yet
    app.run()
    assert not complaints(app)
    assert half.wait(60)
    app.run()
    assert bars(app) == [50]
    assert app.dataframe[-1].value["clip"].tolist()[0] == f"camera-{TRAIN % 7}-{TRAIN:04d}"
    assert "highest" not in app.dataframe[-1].value
    app.number_input(key="clips-page").set_value(2).run()
    assert app.dataframe[-1].value["clip"].tolist()[0] == f"camera-{(TRAIN + 50) % 7}-{TRAIN + 50:04d}"
    app.sidebar.text_input(key="find").set_value("nothing is called so").run()
    assert "holds these words" in words(app)
    app.sidebar.text_input(key="find").set_value("").run()
    app.switch_page("views/overview/page.py").run()
    assert bars(app) == [50]
    assert "How good is each model?" in words(app)
    app.switch_page("views/thresholds/page.py").run()
    assert bars(app) == [50]
    assert not app.get("plotly_chart")
    held.set()
    finished()
    app.run()
    assert not complaints(app)
    assert bars(app) == []
    assert len(app.get("plotly_chart")) >= 4
    app.switch_page("views/clips/page.py").run()
    assert app.dataframe[-1].value["highest"].notna().all()


def test_a_set_that_is_read_for_the_first_time_leaves_the_dataset_to_choose(
    visit: Opener, many: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = index.look

    def slowly(*given: object) -> object:
        assert held.wait(60)
        return look(*given)

    monkeypatch.setattr(index, "look", slowly)
    app = visit("clips", assets=many)
    assert not complaints(app)
    assert [each.key for each in app.sidebar.selectbox] == ["dataset"]
    assert len(app.sidebar.selectbox(key="dataset").options) == 1
    assert len(bars(app)) == 1
    assert app.title[0].value == "Clips & scores"
    app.switch_page("views/library/page.py").run()
    assert "Bring your own" in words(app)
    held.set()
    finished()
    app.switch_page("views/clips/page.py").run()
    finished()
    app.run()
    assert not complaints(app)
    assert app.sidebar.selectbox(key="clip").value == f"camera-{TRAIN % 7}-{TRAIN:04d}"


def test_a_scoring_that_fails_says_why_and_is_tried_again(
    visit: Opener, many: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ValueError("clip x is not what it was")

    held.set()
    monkeypatch.setattr(store.work, "PATIENCE", 60.0)
    with monkeypatch.context() as broken:
        broken.setattr(infer, "score", failing)
        app = visit("thresholds", assets=many)
        assert "clip x is not what it was" in "".join(complaints(app))
    app.run()
    assert not complaints(app)
    assert len(app.get("plotly_chart")) >= 4


def test_no_feature_file_is_read_by_a_process_that_finds_the_set_indexed_and_scored(
    visit: Opener, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_resource.clear()
    visit("thresholds", assets=many)
    finished()
    st.cache_resource.clear()
    st.cache_data.clear()

    def forbidden(*_: object) -> None:
        raise AssertionError("a feature file was read")

    monkeypatch.setattr(fields, "array", forbidden)
    for page in ("overview", "clips", "thresholds"):
        app = visit(page, assets=many)
        assert not complaints(app), page
        assert bars(app) == []
    assert store.models.scores(RunKey(app.session_state["run"]), DataKey("demo"))["camera-5-0040"].shape == (6,)
    with pytest.raises(AssertionError, match="was read"):
        store.data.clip(DataKey("demo"), "camera-5-0040").features["a"]
    st.cache_resource.clear()


# ---------------------------------------------------------------------------- the tables behind


def test_tables_at_a_threshold_are_what_loops_over_clips_say() -> None:
    clips = [small_clip(number) for number in range(7)]
    random = np.random.default_rng(0)
    scores = {each.name: np.round(random.random(6), 1).astype(np.float32) for each in clips}
    units = units_of(scores, clips)
    listed = figures.told_clips(figures.decision_table(clips, units, 0.5))
    for row, each in zip(listed.itertuples(), clips, strict=True):
        now = decide(scores[each.name], each.labels.numpy(), 0.5)
        assert [row.clip, row.found, row.missed, row.quiet] == [each.name, now.true_alarms, now.misses, now.true_rests]
        assert row.kinds == ", ".join(each.kinds)
        np.testing.assert_equal(row.recall, now.recall)
    by_kind = figures.kind_table(kinds_of(clips), units, 0.5)
    pairs = [(k, s) for each in clips for k, s in zip(kind_of_units(each), scores[each.name], strict=True) if k]
    for row in by_kind.itertuples():
        mine = [score for kind, score in pairs if kind == row.kind]
        assert (row.units, row.found) == (len(mine), sum(score >= 0.5 for score in mine))
    assert by_kind["units"].sum() == len(pairs)


def test_a_long_curve_is_thinned_without_losing_its_shape() -> None:
    random = np.random.default_rng(1)
    labels = random.random(20_000) < 0.2
    curve = roc(random.normal(size=20_000) + labels, labels)
    thin = figures.thinned(curve)
    assert len(thin.x) <= figures.POINTS < len(curve.x)
    assert [thin.x[0], thin.x[-1], thin.y[0], thin.y[-1]] == [0, 1, 0, 1]
    assert np.abs(np.interp(curve.x, thin.x, thin.y) - curve.y).max() < 0.01
    assert figures.thinned(thin) is thin


def test_bins_hold_every_score_once() -> None:
    from app.figures.style import LIGHT

    random = np.random.default_rng(1)
    scores, labels = random.random(500).astype(np.float32), random.random(500) < 0.3
    scores[:2] = 0, 1
    _, table = figures.histogram(graded(scores, labels), 0.5, (0.0, 1.0), LIGHT)
    assert (table["normal"].sum(), table["anomalous"].sum()) == ((~labels).sum(), labels.sum())
    np.testing.assert_array_equal(table["normal"], np.histogram(scores[~labels], np.linspace(0, 1, 41))[0])

"""The compare page: what it says is what core says; the link holds the choice; a click opens the clip at its moment."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import store
from app.figures.style import LIGHT
from app.store.keys import DataKey
from app.views.compare import figures
from app.views.compare.rows import Rows
from core import compare
from core import run as runs
from core.data import read
from core.data.samples import native as sample_files
from core.measure.metrics import measure
from core.recipe import Recipe, TrainConfig
from core.score.infer import score
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.app.test_steps import sample_set

TABS = ["Where two disagree", "Missing modalities", "Kinds of anomaly", "Cost", "Take along"]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with LEGO from two seeds and a sum; samples with LMF and a concatenation."""
    root = tmp_path_factory.mktemp("sides")
    world.build(root, world.dataset(None))
    sample_files.write(sample_set(), root / "digits")
    for fusion, options in (("lmf", {}), ("concat", {"level": "feature"})):
        done = train(read(root / "digits"), Recipe(fusion, options, TrainConfig(epochs=3, batch=60, lr=0.01), (0,)))
        runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root


@pytest.fixture
def page(visit: Opener, sides: Path):  # noqa: ANN201
    def open_page(**link: str) -> AppTest:
        app = visit("compare", assets=sides, **link)
        assert not complaints(app)
        return app

    return open_page


@pytest.mark.parametrize(
    ("dataset", "tab"),
    [*(("demo", tab) for tab in TABS), ("digits", TABS[0]), ("digits", TABS[4]), ("digits", "By class or target")],
)
def test_every_tab_opens_for_clips_and_samples(page, dataset: str, tab: str) -> None:  # noqa: ANN001
    app = page(dataset=dataset, below_compare=tab)
    assert "Better than the baseline?" in words(app)


def test_the_page_says_what_core_says(page, sides: Path) -> None:  # noqa: ANN001
    app = page()
    data = read(sides / "demo")
    test = data.part("test")
    found = {name: run for name, run in runs.listing(sides / "runs").items() if run.fusion == "lego"}
    values = [measure(score(runs.model(sides / "runs" / name), test), test).auc for name in found]
    table = next(frame.value for frame in app.dataframe if "seeds low" in frame.value.columns)
    row = table[(table["metric"] == "unit AUC") & table["method"].str.startswith("LEGO")].iloc[0]
    assert row["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert row["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    verdicts = next(frame.value for frame in app.dataframe if "verdict" in frame.value.columns)
    base = app.selectbox(key="against-group").value
    _, lines = compare.compare(data, sides / "runs", None, base)
    told = {line.group.title: line.difference for line in lines if line.difference is not None}
    for each in verdicts.itertuples():
        assert each.verdict == told[each.method].verdict
        assert each.p == pytest.approx(told[each.method].p)


def test_the_choice_is_in_the_link_and_one_run_alone_is_told(page) -> None:  # noqa: ANN001
    app = page()
    both = app.multiselect(key="groups").value
    assert len(both) == 2
    app.multiselect(key="groups").set_value(both[:1]).run()
    assert not complaints(app)
    assert "nothing to be compared with" in words(app)
    assert "two are needed" in words(app)
    app.multiselect(key="groups").set_value([]).run()
    assert "Choose at least one" in words(app)
    title = store.compare.groups(DataKey("demo"))[0][both[1]].title
    again = page(groups=title)
    assert again.multiselect(key="groups").value == [both[1]]


def test_the_strongest_disagreement_opens_its_clip_at_its_moment(page) -> None:  # noqa: ANN001
    app = page()
    every = store.compare.groups(DataKey("demo"))[0]
    ids = [app.selectbox(key=key).value for key in ("first-group", "second-group")]
    found = store.compare.disagreement(DataKey("demo"), every[ids[0]], every[ids[1]])
    clip, unit = Rows(store.data.clips(DataKey("demo"))).unit(int(found.order[0]))
    next(button for button in app.main.button if button.key == f"disagree-{found.order[0]}").click().run()
    assert not complaints(app)
    assert app.title[0].value == "Clips & scores"
    assert app.sidebar.selectbox(key="clip").value == clip.name
    assert app.sidebar.number_input(key="time").value == pytest.approx(unit * clip.seconds, abs=0.01)
    assert app.session_state["run"] == next(iter(every[ids[0]].runs.values()))


def test_time_and_memory_are_measured_when_asked_for(page, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(compare, "peaks", lambda data, part, folders: [12.5] * len(folders))  # core's test measures
    app = page(below_compare="Cost")
    assert not any("peak (MB)" in frame.value.columns for frame in app.dataframe)
    app.toggle(key="measure-cost").set_value(True).run()
    assert not complaints(app)
    table = next(frame.value for frame in app.dataframe if "peak (MB)" in frame.value.columns)
    assert (table["scoring (ms)"] > 0).all()
    assert table["peak (MB)"].tolist() == [12.5, 12.5]


@pytest.mark.parametrize(("form", "sign"), [("Markdown", "| --- |"), ("LaTeX", r"\toprule"), ("CSV", "auc_clips_low")])
def test_the_table_can_be_taken_along(page, form: str, sign: str) -> None:  # noqa: ANN001
    app = page(below_compare="Take along", form=form)
    assert sign in app.code[0].value


@pytest.mark.parametrize("kind", ["unlabelled", "normal"])
def test_without_truth_or_with_one_class_the_page_says_so(
    visit: Opener, sides: Path, tmp_path: Path, kind: str
) -> None:
    world.build(tmp_path, world.dataset(None, change=getattr(world, kind)), train_it=False)
    (tmp_path / "runs").symlink_to(sides / "runs")
    app = visit("compare", assets=tmp_path)
    assert not complaints(app)
    assert "Some numbers are undefined" in words(app)
    assert "Trained on other data" in words(app)
    tables = [frame.value for frame in app.dataframe if "what" in frame.value.columns]
    assert tables  # where two disagree needs no truth
    assert ("nearer to the truth" in tables[0].columns) == (kind == "normal")


def test_many_rows_are_drawn_as_those_that_differ_most_and_a_fair_share_of_the_rest() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(5_000), random.random(5_000)
    found = compare.Disagreement("x", a, b, np.argsort(-np.abs(a - b), kind="stable"), None)
    rows = figures.drawn_rows(found)
    assert len(rows) == len(set(rows.tolist())) == figures.MOST_POINTS
    assert set(found.order[: figures.MOST_POINTS // 2].tolist()) <= set(rows.tolist())
    drawn = figures.disagreement_scatter(found, a > 0.9, ("x", "y"), 3, LIGHT)
    assert sum(len(trace.x) for trace in drawn.data[:2]) == figures.MOST_POINTS
    assert drawn.data[1].marker.symbol == "diamond"


def test_a_row_is_a_unit_of_its_clip() -> None:
    clips = [world.clip("one", 0, None), world.clip("two", 1, None)]
    rows = Rows(clips)
    places = [(clip.name, unit) for clip, unit in map(rows.unit, (0, 9, 10, 19))]
    assert places == [("one", 0), ("one", 9), ("two", 0), ("two", 9)]
    assert [rows.row(*place) for place in places] == [0, 9, 10, 19]
    assert rows.row("three", 0) is None

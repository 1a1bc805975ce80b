"""The splits page, opened as a visitor does, and its figures: what is drawn is what the parts hold."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.figures.style import DARK, LIGHT
from app.views.splits import figures
from core import run as runs
from core.data import read
from core.data.samples import native as sample_folder
from core.explain import plane, split
from core.explain.probes import Probe
from core.explain.split import Available, Compared, Parts
from core.measure.retrieval import Retrieval
from core.recipe import Recipe, TrainConfig
from core.run import Run, Source
from core.sample import Part, Samples, Task
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.world import SECONDS

TABS = ("What the parts know", "Loss and mass", "Missing modalities", "Across modalities", "Boundary")


@pytest.fixture(autouse=True)
def quick_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """UMAP's stand-in: PCA upside down, at once; the real one has tests of its own."""
    from app.views.splits import parts as component

    component.maps.cache_clear()
    monkeypatch.setattr(plane, "elsewhere", lambda rows, cache, timeout: -plane.pca(rows))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny yard, a LEGO run, two GMF runs that differ in the boundary, and MISA."""
    root = world.build(tmp_path_factory.mktemp("split"), world.dataset(None))
    data = read(root / "demo")
    for fusion, config in (("gmf", {}), ("gmf", {"boundary": 0.25}), ("misa", {"dim": 8}), ("g-mbt", {"dim": 8})):
        trained = train(data, Recipe(fusion, config, TrainConfig(epochs=3, batch=6)))
        runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of two classes, and a view that is no picture."""
    root = tmp_path_factory.mktemp("split-samples")
    random = torch.Generator().manual_seed(0)
    target = torch.arange(40) % 2
    features = {
        "top": torch.randn(40, 12, generator=random) + 2 * target[:, None],
        "side": torch.randn(40, 6, generator=random) - 2 * target[:, None],
    }
    cut = {"s": {"train": torch.arange(24), "test": torch.arange(24, 40)}}
    task = Task("class", ("cat <b>", "dog"))
    made = Samples("pets", features, target, task, cut, pictures={"top": (3, 4)}, licence="made for tests")
    sample_folder.write(made, root / "demo")
    trained = train(read(root / "demo"), Recipe("gmf", {}, TrainConfig(epochs=3)))
    runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


def chart(app: AppTest, key: str) -> dict:
    import json

    found = next(each.proto for each in app.get("plotly_chart") if key in each.proto.id)
    return json.loads(found.spec)


def settled(open_page: Opener, assets: Path, **link: str) -> AppTest:
    """The page once its map is there."""
    from app.views.splits import parts as component

    app = open_page("splits", assets=assets, **link)
    for _ in range(100):
        if "UMAP is being made" not in words(app):
            return app
        time.sleep(0.05)
        app.run()
    assert component.maps()
    pytest.fail("the map never came")


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("run", ["GMF · seed 0", "MISA · seed 0", "G-MBT · seed 0"])
def test_every_tab_opens_on_clips(visit: Opener, clips: Path, run: str, tab: str) -> None:
    titles = [option for option in visit("overview", assets=clips).sidebar.selectbox(key="run").options]
    named = next((t for t in titles if t.lower().startswith(run.split(" ·")[0].lower())), None)
    assert named is not None, titles
    app = visit("splits", assets=clips, run=named, below_splits=tab, clip="test-01", time="3.2")
    assert not complaints(app)
    assert "test-01 · unit 5" in words(app).replace("\\", "")


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_opens_on_samples(visit: Opener, samples: Path, tab: str, theme: str) -> None:
    app = visit("splits", assets=samples, theme=theme, below_splits=tab, sample="3")
    assert not complaints(app)
    assert "sample 27" in words(app)
    assert len(app.get("image")) == 1  # the modality that is a picture


@pytest.mark.parametrize(
    "link",
    [
        {"parts": "invariant", "colour": "score", "map": "PCA"},
        {"parts": "specific", "colour": "class", "asked": "side"},
        {"parts": "nothing", "colour": "<script>", "map": "t-SNE", "asked": "smell", "sample": "1e9"},
    ],
)
def test_every_choice_opens_and_bad_ones_fall_back(visit: Opener, samples: Path, link: dict[str, str]) -> None:
    assert not complaints(visit("splits", assets=samples, **link))


def test_another_fusion_is_told_and_the_best_fitting_run_is_one_click_away(visit: Opener, clips: Path) -> None:
    app = visit("splits", assets=clips)
    assert "does not tell shared parts" in words(app)
    app.main.button[0].click().run()
    assert not complaints(app)
    assert str(app.session_state["run"]).startswith("gmf-")
    assert app.get("plotly_chart")


def test_pca_is_shown_until_umap_is_there(visit: Opener, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go = threading.Event()

    def slow(rows: np.ndarray, cache: Path, timeout: float) -> np.ndarray:
        go.wait(20)
        return -plane.pca(rows)

    monkeypatch.setattr(plane, "elsewhere", slow)
    app = visit("splits", assets=samples)
    assert "UMAP is being made" in words(app)
    before = chart(app, "split-map")
    assert before["layout"]["xaxis"]["title"]["text"] == "PCA 1"
    go.set()
    for _ in range(100):
        time.sleep(0.05)
        app.run()
        if "UMAP is being made" not in words(app):
            break
    assert chart(app, "split-map")["layout"]["xaxis"]["title"]["text"] == "UMAP 1"


def test_a_click_on_a_point_chooses_its_row_everywhere(visit: Opener, clips: Path) -> None:
    titles = visit("overview", assets=clips).sidebar.selectbox(key="run").options
    app = settled(visit, clips, run=next(t for t in titles if t.startswith("GMF")), map="PCA")
    from app import store
    from app.store.keys import DataKey, RunKey
    from app.widgets import rows

    demo = DataKey("demo")
    part, found = (
        store.data.part(demo),
        store.methods.computed("split cloud", RunKey(app.session_state["run"]), demo, "both"),
    )
    row = int(found.row[2 * len(found.row) // 4 + 17])
    clip, unit = part.places[row]
    put: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows.selection, "put", lambda **values: put.update(values))
        for point in ({"customdata": row}, {"customdata": [row]}):
            rows.pointed(demo)(point)
            assert put == {"clip": clip, "time": pytest.approx(unit * SECONDS, abs=0.006)}
            put.clear()
        rows.pointed(demo)({})  # a point that stands for no row
    assert not put


def test_the_runs_that_differ_in_the_boundary_are_compared(visit: Opener, clips: Path) -> None:
    titles = visit("overview", assets=clips).sidebar.selectbox(key="run").options
    app = visit("splits", assets=clips, run=next(t for t in titles if t.startswith("GMF")), below_splits="Boundary")
    assert "no other such run" not in words(app)
    lines = {trace["name"] for trace in chart(app, "boundary")["data"]}
    assert lines == {"magnification 4", "chosen run"}


def test_a_hostile_class_stays_text(visit: Opener, samples: Path) -> None:
    app = visit("splits", assets=samples, colour="class")
    assert "&lt;b&gt;" in str(chart(app, "split-map"))
    assert "cat <b>" not in str(chart(app, "split-map"))


# ---------------------------------------------------------------------------- figures


@pytest.fixture
def parts() -> Parts:
    random = np.random.default_rng(0)

    def rows(width: int) -> np.ndarray:
        return random.normal(size=(30, width)).astype(np.float32)

    share = {name: random.random(30).astype(np.float32) for name in ("a", "b")}
    return Parts(
        {"a": rows(4), "b": rows(4)},
        {"a": rows(4), "b": rows(6)},
        share,
        {name: values**2 for name, values in share.items()},
        {"a": (0.5, 0.5), "b": (0.5, 0.4)},
        {"a": 0.25, "b": float("nan")},
    )


@pytest.fixture
def part() -> Part:
    places = tuple(("", i) for i in range(30))
    return Part({}, torch.arange(30) % 3, Task("class", ("x", "y", "z")), tuple(map(str, range(30))), places)


@pytest.mark.parametrize("colour", ["modality", "class", "score"])
def test_every_point_stands_at_its_place_and_knows_its_row(parts: Parts, part: Part, colour: str) -> None:
    cloud = split.cloud(parts)
    places = plane.pca(cloud.rows)
    scores = figures.row_scores(np.random.default_rng(0).normal(size=(30, 3)), part)
    drawn = figures.parts_map(places, cloud, part, colour, scores, 4, "PCA", LIGHT)
    for curve in range(4):
        trace = drawn.data[curve]
        for point in (0, 13, 29):
            row = int(trace.customdata[point])
            at = np.flatnonzero((cloud.row == row) & (2 * cloud.kind + cloud.modality == curve))
            np.testing.assert_allclose([trace.x[point], trace.y[point]], places[at[0]])
            assert part.classes[int(part.target[row])] in trace.text[point]  # type: ignore[index]
    ring = drawn.data[-1]
    assert ring.name == "chosen row"
    np.testing.assert_allclose(np.sort(ring.x), np.sort(places[cloud.row == 4, 0]))
    assert ring.customdata is None  # a click on it chooses nothing
    symbols = {trace.marker.symbol for trace in drawn.data[:4]}
    assert symbols == {"circle", "square", "circle-open", "square-open"}  # never colour alone


def test_a_class_has_one_colour_and_anomalies_are_purple(parts: Parts, part: Part) -> None:
    from dataclasses import replace

    from core.sample import UNITS

    cloud = split.cloud(parts, ("invariant",))
    units = replace(part, target=part.target % 2, task=UNITS)  # type: ignore[operator]
    scores = figures.row_scores(np.zeros((30, 1), np.float32), units)
    assert scores[1] == "score"
    assert (scores[0] == 0.5).all()
    for colours in (LIGHT, DARK):
        drawn = figures.parts_map(plane.pca(cloud.rows), cloud, units, "class", scores, 0, "PCA", colours)
        for trace in drawn.data[:2]:
            truth = units.target[torch.tensor(trace.customdata)]  # type: ignore[index]
            assert trace.marker.color.tolist() == truth.tolist()
            assert [colour for _, colour in trace.marker.colorscale] == [colours.normal] * 2 + [colours.anomaly] * 2
            assert (trace.marker.cmin, trace.marker.cmax) == (0, 1)


def test_a_large_map_draws_some_rows_and_always_the_chosen_one(
    parts: Parts, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_DRAWN", 40)
    cloud = split.cloud(parts)
    places = plane.pca(cloud.rows)
    scores = figures.row_scores(np.zeros((30, 3), np.float32), part)
    drawn = figures.parts_map(places, cloud, part, "modality", scores, 2, "PCA", LIGHT)
    rows = drawn.data[3].customdata.tolist()
    assert len(rows) == 10
    assert (rows[0], rows[-1]) == (0, 29)
    assert 2 not in rows
    np.testing.assert_allclose(drawn.data[-1].x, places[cloud.row == 2, 0])


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_scale_of_steps_names_each_number_its_colour(count: int) -> None:
    """As Plotly reads a scale: between two entries of one colour there is only that colour."""
    names = [f"colour {c}" for c in range(count)]
    scale = figures.steps(names)
    for c in range(count):
        at = c / (count - 1)
        around = {name for edge, name in scale if edge <= at + 1e-9 and edge > at - 0.6 / (count - 1)}
        after = {name for edge, name in scale if edge >= at - 1e-9 and edge < at + 0.6 / (count - 1)}
        assert around & after == {names[c]}
    assert scale[0][0] == 0.0
    assert scale[-1][0] == 1.0


def test_probes_are_drawn_with_their_chance_and_told_in_words() -> None:
    found = (
        Probe("modality", "invariant", "", 0.52, 0.47, 0.57, 0.5, 100, 50),
        Probe("class", "specific", "a <i>", 0.8, 0.65, 0.9, 1 / 3, 100, 50),
    )
    drawn = figures.probe_figure(found, LIGHT)
    by_name = {trace.name: trace for trace in drawn.data}
    assert list(by_name["chance"].x) == [0.5, 1 / 3]
    assert by_name["specific parts"].error_x.arrayminus[0] == pytest.approx(0.15)
    assert "<i>" not in str(drawn.data)
    table = figures.probe_table(found)
    assert table["above chance"].tolist() == ["no", "yes"]
    assert "modality from all, invariant 0.52, 0.47 to 0.57, chance 0.50" in figures.probe_sentence(found)


def test_loss_and_mass_hold_the_numbers(parts: Parts) -> None:
    lost = figures.lost_figure(parts, LIGHT)
    assert list(lost.data[0].text) == ["0.25", "undefined"]
    mass = figures.mass_figure(parts, 7, DARK)
    boxes = [trace for trace in mass.data if trace.type == "box"]
    assert [box.median[0] for box in boxes[:2]] == [pytest.approx(np.median(parts.dissolved[n])) for n in ("a", "b")]
    chosen = next(trace for trace in mass.data if trace.name == "chosen row")
    assert list(chosen.x) == [pytest.approx(float(v[7])) for s in (parts.dissolved, parts.out) for v in s.values()]
    table = figures.mass_table(parts, 7)
    assert table["every column alike"].tolist() == [0.5, 0.5, 0.5, 0.4]
    assert table["mean share"][0] == pytest.approx(parts.dissolved["a"].mean())


def run(fusion: str, seed: int, value: float, a: float, b: float) -> Run:
    source = Source("made", "d" * 64, "s", {"a": 4, "b": 6})
    task = {"kind": "class", "names": ["x", "y"]}
    return Run(fusion, {}, {}, source, seed, {"accuracy": value, "alone": {"a": a, "b": b}}, task=task)


def test_the_table_of_missing_modalities_averages_seeds_and_sorts_by_loss() -> None:
    found = {"1": run("gmf", 0, 80, 60, 70), "2": run("gmf", 1, 90, 70, 80), "3": run("mbt", 0, 90, 80, 88)}
    other = Run("mbt", {}, {}, Source("made", "d" * 64, "s", {"a": 4}), 0, {"accuracy": 1.0, "alone": {"a": 1.0}})
    table = figures.availability_table({**found, "4": other}, "2", ("a", "b"))
    assert table["method"].tolist() == ["MBT", "GMF (chosen)"]
    assert table["mean loss"].tolist() == [6.0, 15.0]
    assert table["all"].tolist() == [90.0, 85.0]
    assert table["seeds"].tolist() == [1, 2]
    assert figures.availability_table({}, None, ("a", "b")).empty


def test_what_is_undefined_is_left_out_of_bars_and_lines() -> None:
    bars = figures.availability_figure([Available(("a",), None), Available(("a", "b"), 71.0)], "accuracy", LIGHT)
    assert list(bars.data[0].y) == ["a + b"]
    lines = figures.boundary_figure(
        [Compared(4, 0.5, 80.0, 1.0, 2, {}, True), Compared(2, 0.5, None, None, 1, {}, False)], "accuracy", LIGHT
    )
    assert [trace.name for trace in lines.data] == ["magnification 4", "chosen run"]
    table = figures.boundary_table([Compared(4, 0.5, 80.0, 1.0, 2, {"a": 60.0}, True)], "accuracy")
    assert table["a alone"].tolist() == [60.0]


def test_retrieval_is_drawn_beside_a_random_order() -> None:
    found = [Retrieval("a", "b", 0.4, {10: 0.3, 20: 0.2}, 0.11, 50)]
    drawn = figures.retrieval_figure(found, {10: 0.05, 20: 0.04}, LIGHT)
    assert [list(trace.y) for trace in drawn.data] == [[0.3, 0.2, 0.4], [0.05, 0.04, 0.11]]
    table = figures.retrieval_table(found, {10: 0.05, 20: 0.04})
    assert table["MAP"].tolist() == [0.4, 0.11]

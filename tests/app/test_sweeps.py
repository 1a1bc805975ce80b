"""The sweep half of the train page: what is asked, how it stands, its cells, and the way from a cell to every page."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.figures.operator import term_name
from app.figures.style import LIGHT
from app.views.train import sweep_figures as figures
from app.views.train.sweeps import MOST_POINTED
from core import jobs, run, sweep
from core.data import read
from core.data.samples import native
from core.recipe import Recipe, TrainConfig
from tests.app.conftest import Opener, complaints, words
from tests.app.test_steps import decoded, sample_set
from tests.core.sweep.made import table

TABS = ["One line an option", "Learned A of every cell", "What matters", "Table"]


@pytest.fixture(scope="module")
def swept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sweeps: P x Q from two seeds, whole; one over three options that was stopped after three cells."""
    root = tmp_path_factory.mktemp("swept")
    data = read(tiny / "demo")
    lego = Recipe("lego", {"project": None, "nodes": 10}, TrainConfig(epochs=2, batch=6, units=10), (0, 1))
    axes = {"P": (1, 2), "Q": (1, 2, 3)}
    whole = sweep.begin(sweep.Plan(str(tiny / "demo"), axes, lego), data, root)
    list(sweep.sweep(whole, data))
    more = {"P": (1, 2), "head": ("row", "sorted"), "lam": (0.0, 1.0)}
    half = sweep.begin(sweep.Plan(str(tiny / "demo"), more, lego.each[0]), data, root)
    going = sweep.sweep(half, data)
    for _ in range(3):
        next(going)
    going.close()
    return root


@pytest.fixture
def page(visit: Opener, swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """The tab with these sweeps; jobs are queued and never begun."""
    monkeypatch.setattr(jobs.queue, "ensure", lambda root: None)
    shutil.copytree(swept, tmp_path / "workspace" / "sweeps")

    def open_sweeps(title: str = "P x Q", **link: str) -> AppTest:
        one = next(one for one in sweep.listing(swept).values() if title in one.title)
        app = visit("train", train_tab="Sweeps", sweep=f"{one.title} · {one.id[-4:]}", **link)
        assert not complaints(app)
        return app

    return open_sweeps


def the(app: AppTest, kind: str, key: str):  # noqa: ANN202
    return next(element for element in app.get(kind) if element.key == key)


def whole(root: Path) -> tuple[Path, sweep.Results]:
    name = next(n for n, one in sweep.listing(root).items() if "P x Q" in one.title)
    return root / name, sweep.results(root / name)


@pytest.mark.parametrize(
    ("title", "tab"), [*(("P x Q", tab) for tab in TABS), ("P x head", TABS[1]), ("P x head", "<b>")]
)
def test_every_tab_opens(page: Callable[..., AppTest], title: str, tab: str) -> None:
    app = page(title, below_sweep=tab)
    assert "on held-out training clips" in words(app)
    assert "Best is" in words(app)


def test_the_figure_holds_the_cells_means(page: Callable[..., AppTest], swept: Path) -> None:
    _, found = whole(swept)
    drawn = json.loads(page().get("plotly_chart")[0].proto.spec)
    z = np.array(decoded(drawn["data"][0]["z"]), dtype=float).reshape(2, 3)
    np.testing.assert_allclose(z, found.lattice(), atol=1e-4)
    assert drawn["data"][1]["customdata"] == list(range(6))
    assert len(json.dumps(drawn)) < 30_000


def test_a_cell_that_is_pointed_at_tells_what_is_strongest_in_its_operator(
    page: Callable[..., AppTest], swept: Path
) -> None:
    root, found = whole(swept)
    app = page(below_sweep="Table")
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)
    names = list(found.sweep.source.widths)
    for at, row in enumerate(found.rows):
        A = sweep.operators(root, row)
        assert A is not None
        place = tuple(map(int, np.unravel_index(np.abs(A).argmax(), A.shape)))
        first = f"{term_name(names, place)} {A[place]:+.2f}".replace("-", "−")
        said = drawn["data"][1]["text"][at].split("<br>")
        assert said[2:4] == ["strongest in its A:", first]
        assert len(said) == 6
    shown = next(frame.value for frame in app.dataframe if "strongest in A" in frame.value.columns)
    assert set(shown["strongest in A"]) == {figures.strongest(sweep.operators(root, row), names) for row in found.rows}


def test_what_is_pointed_at_stays_small_and_harmless() -> None:
    found = table({"P": range(1, 21), "Q": range(1, 11)}, lambda p, q, seed: float(p + q), 1)
    A = np.random.default_rng(0).normal(size=(21, 21))
    learned = {at: figures.strongest(A, ["<b>appearance", "a & ![x](http:)"]) for at in range(MOST_POINTED)}
    drawn = figures.surface(found, ("P", "Q"), {}, (1, 1), LIGHT, learned)
    assert len(drawn.to_json()) < 100_000
    assert "&lt;b&gt;appearance" in drawn.data[1].text[0]
    assert "<b>" not in drawn.data[1].text[0]
    none = np.full((2, 2), 0.25)
    assert figures.strongest(none, ["a", "b"]) == "I ⊙ I +0.25, I ⊙ b +0.25, a ⊙ I +0.25"


def test_a_cell_is_chosen_by_link_and_by_a_click(page: Callable[..., AppTest], swept: Path) -> None:
    _, found = whole(swept)
    row = found.row((2, 3))
    assert row is not None
    app = page(cell="P = 2, Q = 3")
    said = {metric.label: metric.value for metric in app.metric}
    assert said["unit AUC, on held-out training clips"] == f"{row.mean:.1f}"
    assert said["sd over seeds"] == f"{row.sd:.1f}"
    the(app, "selectbox", "cell").set_value("P = 1, Q = 1").run()
    assert not complaints(app)
    first = found.row((1, 1))
    assert first is not None
    assert f"seed 0: {first.values[0]:.1f}" in words(app)
    best = page(cell="P = 9, Q = 9")  # no such cell: the best one
    assert found.best is not None
    assert f"P \\= {found.best.cell[0]}, Q \\= {found.best.cell[1]}" in words(best)


def test_an_opened_cell_is_a_run_of_every_page_and_the_others_stay_away(
    page: Callable[..., AppTest], swept: Path, tmp_path: Path
) -> None:
    _, found = whole(swept)
    row = found.row((1, 2))
    assert row is not None
    app = page(cell="P = 1, Q = 2")
    before = set(app.sidebar.selectbox(key="run").options)
    the(app, "button", "sweep-open").click().run()
    assert not complaints(app)
    assert app.session_state["run"] == row.runs[0]
    assert set(run.listing(tmp_path / "workspace" / "runs")) == set(row.runs.values())
    assert len(app.sidebar.selectbox(key="run").options) == len(before) + 2
    app.switch_page("views/graphs/page.py").run()
    assert not complaints(app)


def test_the_form_tells_what_it_will_cost_and_what_is_wrong(page: Callable[..., AppTest], tmp_path: Path) -> None:
    app = page()
    assert "100 cells × 3 seeds = 300 trainings" in words(app)
    assert "trained together, estimated from a few training steps just now" in words(app)
    app.text_input(key="sweep-values-0").set_value("5..1").run()
    assert "runs backwards" in words(app)
    assert not [button for button in app.button if button.key == "sweep-start"]
    app.text_input(key="sweep-values-0").set_value("1..5 step 2").run()
    assert "30 cells × 3 seeds = 90 trainings" in words(app)
    app.text_input(key="sweep-fixed").set_value("nonsense=1").run()
    assert "no option" in words(app)
    app.text_input(key="sweep-fixed").set_value("project=none").run()
    app.segmented_control(key="sweep-judge").set_value("test part").run()
    assert "labelled *on test*" in words(app)
    assert not complaints(app)


def test_a_figure_of_the_paper_fills_the_form(page: Callable[..., AppTest]) -> None:
    app = page()
    app.pills(key="sweep-preset").set_value("Figure 4: λ").run()
    assert not complaints(app)
    assert app.selectbox(key="sweep-axis-0").value == "lam"
    assert app.selectbox(key="sweep-axis-1").value is None
    assert "7 cells × 3 seeds = 21 trainings" in words(app)


def test_start_stop_and_go_on(page: Callable[..., AppTest], tmp_path: Path) -> None:
    app = page()
    app.text_input(key="sweep-values-0").set_value("1, 2").run()
    app.text_input(key="sweep-values-1").set_value("1").run()
    the(app, "button", "sweep-start").click().run()
    assert not complaints(app)
    (job,) = jobs.listing(tmp_path / "workspace" / "jobs")
    assert (job.kind, job.state) == ("sweep", "queued")
    root = Path(job.arguments["sweep"])
    assert app.session_state["sweep"] == root.name
    assert sweep.read(root).plan.axes == {"P": (1, 2), "Q": (1,)}
    assert "0 of 6 trainings" in words(app)
    assert "waits" in words(app)
    the(app, "button", "sweep-stop").click().run()
    app.run()
    assert not complaints(app)
    assert jobs.listing(tmp_path / "workspace" / "jobs")[0].state == "cancelled"
    the(app, "button", "sweep-resume").click().run()
    assert not complaints(app)
    assert [job.state for job in jobs.listing(tmp_path / "workspace" / "jobs")] == ["cancelled", "queued"]


def test_a_sweep_can_be_removed_and_put_back(page: Callable[..., AppTest], tmp_path: Path) -> None:
    app = page()
    root, _ = whole(tmp_path / "workspace" / "sweeps")
    before = {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    the(app, "button", "sweep-remove").click().run()
    assert not complaints(app)
    assert len(list((tmp_path / "workspace" / "sweeps").iterdir())) == 1
    assert "P x head x lam" in " ".join(app.selectbox(key="sweep").options)
    assert "was removed" in words(app)
    next(button for button in app.button if str(button.key).startswith("back-")).click().run()
    assert not complaints(app)
    root, _ = whole(tmp_path / "workspace" / "sweeps")
    assert app.session_state["sweep"] == root.name
    assert "was removed" not in words(app)
    assert {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_samples_have_other_methods_and_no_figure_of_the_paper(visit: Opener, tmp_path: Path) -> None:
    native.write(sample_set(), tmp_path / "assets" / "digits")
    app = visit("train", assets=tmp_path / "assets", train_tab="Sweeps")
    assert not complaints(app)
    assert "No sweep of this dataset yet" in words(app)
    assert "lego" not in str(app.selectbox(key="sweep-fusion").options).lower()
    app.selectbox(key="sweep-axis-0").set_value(app.selectbox(key="sweep-axis-0").options[0]).run()
    assert "a value is missing" in words(app)
    assert not complaints(app)


def test_small_matrices_lie_where_their_cells_lie() -> None:
    found = {(p, q): np.full((p + 1, q + 2), 10.0 * p + q) for p in range(2) for q in range(3)}
    figure = figures.operator_map(found, ("P", "Q"), ((0, 1), (5, 6, 7)), (1, 2), LIGHT)
    z = np.asarray(figure.data[0].z)
    assert z.shape == (1 + 1 + 2, 2 + 1 + 3 + 1 + 4)
    assert (z[0, :2] == 0).all()
    assert (z[0, 3:6] == 1).all()
    assert (z[2:4, 7:] == 12).all()
    assert np.isnan(z[1]).all()
    assert np.isnan(z[:, 2]).all()
    frame = figure.layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (6.5, 10.5, 1.5, 3.5)

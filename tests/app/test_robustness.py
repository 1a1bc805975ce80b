"""The robustness page: numbers follow strength and baseline, every corruption and tab opens, empty states say why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import store
from app.store.keys import DataKey
from core import run as runs
from core.data import native, read
from core.data.samples import native as native_samples
from core.recipe import Recipe, TrainConfig
from core.train.loop import train
from core.trust import corrupt
from core.trust.calibration import calibrated
from core.trust.rows import staged
from core.trust.stress import KINDS, stressed
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.core.trust.test_attack import blobs

Page = Callable[..., AppTest]
TABS = ("Calibration", "What it does not know", "Missing modalities", "Is a lower rank more robust?")


@pytest.fixture(scope="module")
def stressful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with LMF and sum; samples with LMF of two ranks, two seeds, one with dropout, concat."""
    root = tmp_path_factory.mktemp("stressful")
    world.build(root, world.dataset(None), train_it=False)
    native_samples.write(blobs(), root / "digits")
    jobs: list[tuple[str, str, dict[str, object], int]] = [("demo", "lmf", {"rank": 1, "out": 4}, 0)]
    jobs += [("demo", "sum", {"level": "graph"}, 0)]
    jobs += [("digits", "lmf", {"rank": rank, "out": 4}, seed) for rank in (1, 2) for seed in (0, 1)]
    jobs += [("digits", "concat", {}, 0), ("digits", "lmf", {"rank": 3, "out": 4, "dropout": 0.3}, 0)]
    for key, fusion, options, seed in jobs:
        done = train(read(root / key), Recipe(fusion, options, TrainConfig(epochs=4, batch=50, lr=0.01), (seed,)))
        runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root


def folder(root: Path, dataset: str, fusion: str, seed: int = 0, **options: object) -> Path:
    for name, run in runs.listing(root / "runs").items():
        about = "demo" if run.asked.kind == "units" else "digits"
        fits = all(run.config.get(key) == value for key, value in options.items())
        if (about, run.fusion, run.seed) == (dataset, fusion, seed) and fits:
            return root / "runs" / name
    raise AssertionError(f"no run of {fusion}")


@pytest.fixture
def page(visit: Opener, stressful: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    def open_page(dataset: str = "digits", run: Path | None = None, rival: Path | None = None, **link: str) -> AppTest:
        monkeypatch.setenv("FUSESCOPE_ASSETS", str(stressful))
        titles = store.runs.run_titles(DataKey(dataset))
        mine = run or folder(stressful, dataset, "lmf", rank=1)
        link = {"dataset": dataset, "run": titles[mine.name], **link}
        if rival is not None:
            link["rival"] = titles[rival.name]
        app = visit("robustness", assets=stressful, **link)
        assert not complaints(app)
        return app

    return open_page


def card(app: AppTest, label: str) -> str:
    return str(next(metric.value for metric in app.metric if metric.label == label))


@pytest.mark.parametrize("dataset", ["demo", "digits"])
def test_every_corruption_opens_and_its_numbers_are_the_cores(page: Page, stressful: Path, dataset: str) -> None:
    """Cards against the curve made by hand, at the strongest, and tau against the baseline's."""
    rival = folder(stressful, dataset, "sum" if dataset == "demo" else "concat")
    app = page(dataset, rival=rival, corruption="Lost rows", **{"strength-drop": "1"})
    offered = app.segmented_control(key="corruption").options
    assert ("Time shift" in offered) == (dataset == "demo")
    stage = staged(read(stressful / dataset))
    models = [runs.model(one) for one in (folder(stressful, dataset, "lmf", rank=1), rival)]
    name = "unit AUC" if dataset == "demo" else "accuracy"
    for kind in ("drop", "fgsm", "shift" if dataset == "demo" else "zero"):
        if kind != "drop":
            app.segmented_control(key="corruption").set_value(kind).run()
            app.select_slider(key=f"strength-{kind}").set_value(KINDS[kind].levels[-1]).run()
        assert not complaints(app)
        mine, other = (stressed(model, stage, kind) for model in models)
        assert card(app, f"{name}, strength {mine.levels[-1]:g}") == f"{mine.mean[-1]:.1f}"
        assert card(app, f"{name}, clean") == f"{mine.mean[0]:.1f}"
        assert card(app, "Area") == f"{mine.area:.1f}"
        tau = corrupt.robust_auc(mine.mean, other.mean, mine.levels)
        assert card(app, "RobustAUC τ") == f"{tau:+.3g}"


def test_modalities_are_a_choice_of_the_link(page: Page, stressful: Path) -> None:
    app = page(corrupted="left", corruption="Noise", **{"strength-noise": "2"})
    assert app.segmented_control(key="corrupted").value == ["left"]
    found = stressed(
        runs.model(folder(stressful, "digits", "lmf", rank=1)), staged(read(stressful / "digits")), "noise", ("left",)
    )
    assert card(app, "accuracy, strength 2") == f"{found.mean[-1]:.1f}"
    app.segmented_control(key="corrupted").set_value([]).run()
    assert "at least one modality" in words(app)


def test_what_the_run_does_not_read_is_not_preselected_and_an_untouched_choice_follows_the_run(
    page: Page, stressful: Path
) -> None:
    short = TrainConfig(epochs=1, batch=50)
    one = train(read(stressful / "digits"), Recipe("single", {"modality": "left"}, short, (7,)))
    runs.save(one.run, one.model.state_dict(), one.history, stressful / "runs")
    name = next(name for name, run in runs.listing(stressful / "runs").items() if run.seed == 7)
    app = page(run=stressful / "runs" / name)
    assert app.segmented_control(key="corrupted").value == ["left"]
    app.sidebar.selectbox(key="run").set_value(folder(stressful, "digits", "lmf", rank=1).name).run()
    assert not complaints(app)
    assert not app.main.warning  # Streamlit's, of a default beside a value
    assert app.segmented_control(key="corrupted").value == ["left", "right"]
    app.segmented_control(key="corrupted").set_value(["right"]).run()
    app.sidebar.selectbox(key="run").set_value(folder(stressful, "digits", "concat").name).run()
    assert app.segmented_control(key="corrupted").value == ["right"]  # what was chosen stays


def test_missing_modalities_of_both_runs(page: Page, stressful: Path) -> None:
    app = page(rival=folder(stressful, "digits", "concat"), below_robustness="Missing modalities")
    table = app.dataframe[-1].value
    assert table.columns.tolist() == ["run", "all", "only left", "only right"]
    assert len(table) == 2
    app = page("demo", corruption="Time shift", below_robustness=TABS[3])
    assert "differ in the rank alone, and needs labels" in words(app)


def test_calibration_of_both_runs(page: Page, stressful: Path) -> None:
    rival = folder(stressful, "digits", "concat")
    app = page(rival=rival, below_robustness="Calibration", bins="equal mass", **{"bin-count": "5"})
    stage = staged(read(stressful / "digits"))
    shown = [metric.value for metric in app.metric if metric.label == "ECE"]
    for value, path in zip(shown, (folder(stressful, "digits", "lmf", rank=1), rival), strict=True):
        assert value == f"{calibrated(runs.model(path), stage, 5, 'mass').ece:.1f} %"


def test_the_ensemble_stands_beside_its_members_and_dropout_where_there_is_some(page: Page, stressful: Path) -> None:
    app = page(below_robustness="What it does not know")
    said = words(app)
    assert "Ensemble of 2 seeds" in said
    assert "without dropout" in said
    each = [float(m.value) for m in app.metric if m.label == "accuracy, each"]
    two = [folder(stressful, "digits", "lmf", seed, rank=1) for seed in (0, 1)]
    stage = staged(read(stressful / "digits"))
    clean = [stressed(runs.model(one), stage, "noise", levels=(0.0, 1.0), draws=1).mean[0] for one in two]
    assert each == [pytest.approx(np.mean(clean), abs=0.051)]
    app = page(run=folder(stressful, "digits", "lmf", rank=3), below_robustness="What it does not know")
    assert "one seed" in words(app)
    assert "without dropout" not in words(app)
    assert len([m for m in app.metric if m.label == "Disagreement finds errors"]) == 1


def test_the_claim_about_ranks_is_asked_on_demand(page: Page) -> None:
    app = page(below_robustness=TABS[3])
    assert "Lower rank is more robust" not in words(app)
    app.toggle(key="asked-ranks").set_value(True).run(timeout=120)
    assert not complaints(app)
    assert "Lower rank is more robust" in words(app)
    table = next(frame.value for frame in app.dataframe if "rank" in frame.value.columns)
    assert table["rank"].tolist() == [1, 2]
    assert table["runs"].tolist() == [2, 2]


@pytest.mark.parametrize("what", ["unlabelled", "normal"])
def test_without_truth_scores_still_move(
    visit: Opener, stressful: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    change = world.unlabelled if what == "unlabelled" else world.normal
    native.write(world.dataset(None, change=change), tmp_path / "demo")
    (tmp_path / "runs").symlink_to(stressful / "runs")
    monkeypatch.setenv("FUSESCOPE_ASSETS", str(tmp_path))
    run = store.runs.run_titles(DataKey("demo"))[folder(stressful, "demo", "lmf", rank=1).name]
    app = visit("robustness", assets=tmp_path, dataset="demo", run=run, below_robustness=TABS[0])
    assert not complaints(app)
    assert "How far scores move" in words(app)
    assert card(app, "unit AUC, clean") == "–"
    for tab in TABS[1:]:
        app.session_state["below_robustness"] = tab
        assert not complaints(app.run())
    app.segmented_control(key="corruption").set_value("pgd").run()
    assert not complaints(app)
    assert ("no unit has a label" in words(app)) == (what == "unlabelled")


def test_without_a_run_it_says_how_to_train_one(visit: Opener, tmp_path: Path) -> None:
    native.write(world.dataset(None), tmp_path / "demo")
    assert "Train one" in words(visit("robustness", assets=tmp_path))

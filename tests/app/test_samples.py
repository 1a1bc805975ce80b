"""Pages on sample sets: each opens, answers are listed and judged, links reopen a sample."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.figures.style import LIGHT
from app.views.clips import figures
from core import run as runs
from core.data import read
from core.data.samples import native
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.train.loop import train
from tests import world
from tests.app.conftest import PAGES, Opener, complaints, words


def made(task: Task, seed: int = 0) -> Samples:
    """Three classes, or two real targets, that both modalities show; "look" is a picture of 2 x 3."""
    random = torch.Generator().manual_seed(seed)
    kind = torch.arange(60) % 3
    features = {"look": torch.randn(60, 6, generator=random), "sound": torch.randn(60, 4, generator=random)}
    for rows in features.values():
        rows[:, 0] += 3.0 * kind
    target = kind if task.kind == "class" else torch.stack([kind * 2.0 + 1, 5.0 - kind], 1)
    return Samples(
        "Pets",
        features,
        target,
        task,
        {"fixed": {"train": torch.arange(36), "test": torch.arange(36, 60)}},
        pictures={"look": (2, 3)},
        licence="made for tests",
    )


TASKS = {"class": Task("class", ("cat", "dog", "<b>cow</b>")), "real": Task("real", ("weight", "age"))}


@pytest.fixture(scope="module", params=TASKS)
def assets(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    native.write(made(TASKS[request.param]), root / "digits")
    data = read(root / "digits")
    for fusion in ("concat", "lmf", "gmf", "profusion"):
        done = train(data, Recipe(fusion, {}, TrainConfig(epochs=8, batch=12)))
        runs.save(done.run, done.model.state_dict(), done.history, root / "runs")
    return root


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_samples(visit: Opener, page: str, assets: Path) -> None:
    app = visit(page, assets=assets)
    assert not complaints(app)
    assert len(app.title) == 1


def of(fusion: str, assets: Path) -> str:
    return next(name for name in runs.listing(assets / "runs") if name.startswith(f"{fusion}-"))


def title(fusion: str, assets: Path) -> str:
    """What a link calls the run."""
    run = runs.listing(assets / "runs")[of(fusion, assets)]
    return f"{run.title} · seed {run.seed}"


@pytest.mark.parametrize("fusion", ["concat", "lmf"])
def test_every_answer_is_listed_and_judged(visit: Opener, fusion: str, assets: Path) -> None:
    app = visit("clips", assets=assets, run=title(fusion, assets), sample="5")
    assert not complaints(app)
    assert "number 5 of 24" in words(app)
    table = app.dataframe[0].value
    assert len(table) == 24
    run = runs.listing(assets / "runs")[of(fusion, assets)]
    if run.asked.kind == "class":
        right = float(100 * table["right"].mean())
        assert f"Accuracy {right:.1f} %" in words(app)
        assert right == pytest.approx(run.metrics["accuracy"])
        app.toggle(key="wrong").set_value(True).run()
        assert len(app.dataframe[0].value) == round(24 * (1 - right / 100))
    else:
        assert f"Correlation {run.metrics['correlation']:.3f}" in words(app)


def test_a_link_past_the_last_sample_shows_the_last(visit: Opener, assets: Path) -> None:
    app = visit("clips", assets=assets, sample="9999")
    assert not complaints(app)
    assert "number 23 of 24" in words(app)


def test_the_alarm_is_for_one_class_against_the_rest(visit: Opener, assets: Path) -> None:
    app = visit("thresholds", assets=assets)
    assert not complaints(app)
    if "real" in str(assets):
        assert "real values" in words(app)
        return
    assert "recall" in words(app)
    app.selectbox(key="class").set_value(2).run()
    assert not complaints(app)


def test_what_needs_units_says_so_and_where_to_go(visit: Opener, assets: Path) -> None:
    for page in ("graphs", "operator"):
        assert "one vector a modality" in words(visit(page, assets=assets))


def test_clips_and_samples_take_turns(visit: Opener, tmp_path: Path, assets: Path, tiny: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for name, source in (("demo", tiny), ("digits", assets)):
        (both / name).symlink_to(source / name)
    (both / "runs").mkdir()
    for source in (tiny, assets):
        for run in (source / "runs").iterdir():
            (both / "runs" / run.name).symlink_to(run)
    app = visit("overview", assets=both)
    for key in ("digits", "demo", "digits"):
        app.selectbox(key="dataset").set_value(key).run()
        assert not complaints(app)
        labels = [each.label for each in app.sidebar.selectbox]
        assert ("Clip" in labels) == (key == "demo")


def test_confusions_count_every_sample_once() -> None:
    target, found = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    drawn = figures.confusion_matrix(target, found, ("a", "b", "c"), LIGHT)
    np.testing.assert_array_equal(drawn.data[0].customdata, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(np.asarray(drawn.data[0].z)[0], [0.5, 0.5, 0.0])


def test_hostile_class_names_stay_text() -> None:
    drawn = figures.class_bars(np.array([0.5, 0.5]), ("<b>x</b>", "y"), 0, LIGHT)
    assert "<b>" not in "".join(drawn.data[0].y)


def test_only_runs_of_the_same_task_are_offered(visit: Opener, tmp_path: Path) -> None:
    for kind, task in TASKS.items():
        native.write(made(task), tmp_path / kind)
        done = train(read(tmp_path / kind), Recipe("concat", {}, TrainConfig(epochs=1)))
        runs.save(done.run, done.model.state_dict(), done.history, tmp_path / "runs")
    (tmp_path / "digits").symlink_to(tmp_path / "class")
    app = visit("overview", assets=tmp_path)
    assert len(runs.listing(tmp_path / "runs")) == 2
    assert len(app.sidebar.selectbox(key="run").options) == 1


def test_a_world_without_samples_is_as_before(visit: Opener) -> None:
    app = visit("overview")
    assert "Clip" in [each.label for each in app.sidebar.selectbox]
    assert world.NAMES

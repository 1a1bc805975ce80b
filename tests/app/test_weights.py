"""The weights page: numbers equal the model's own, every choice opens, what cannot be told is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import store
from app.figures.style import LIGHT
from app.views.weights import figures
from core import run as runs
from core.data import read
from core.data.samples import native
from core.explain import removal, weights
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.score.infer import outputs
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.app.test_steps import card, decoded, run_of, titled


def sample_set(kind: str = "class", hostile: bool = False) -> Samples:
    """`left` and `right` together know the answer, `blind` nothing."""
    random = torch.Generator().manual_seed(3)
    features = {name: torch.randn(240, 4, generator=random) for name in ("left", "right", "blind")}
    place = features["left"][:, 0], features["right"][:, 0]
    parts = {"half": {"train": torch.arange(120), "test": torch.arange(120, 240)}}
    if kind == "class":
        names = ("<b>a</b>", "![x](http://y)", "c", "d") if hostile else ("a", "b", "c", "d")
        target, task = (place[0] > 0).long() + 2 * (place[1] > 0).long(), Task("class", names)
    else:
        target, task = (place[0] + place[1])[:, None] * 3 + 10, Task("real", ("sum",))
    return Samples(kind, features, target, task, parts, simulated=True)


def keep(root: Path, key: str, fusion: str, seed: int = 0, **options: object) -> None:
    trained = train(read(root / key), Recipe(fusion, options, TrainConfig(epochs=8, batch=40, lr=0.02), (seed,)))
    runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")


@pytest.fixture(scope="module")
def weighed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips and samples with InTense from two seeds and at another p, MKL, and a fusion that weighs nothing."""
    root = tmp_path_factory.mktemp("weighed")
    world.build(root, world.dataset(None), train_it=False)
    native.write(sample_set(hostile=True), root / "digits")
    for key in ("demo", "digits"):
        for seed in (0, 1):
            keep(root, key, "intense", seed, project=2)
    keep(root, "digits", "intense", p=1.0, project=2)
    keep(root, "digits", "mkl")
    keep(root, "digits", "concat")
    return root


@pytest.fixture
def page(visit: Opener, weighed: Path):  # noqa: ANN201
    def open_weights(dataset: str = "digits", fusion: str = "intense", **link: str) -> AppTest:
        options = {"p": 2.0} if fusion == "intense" else {}
        run = titled(visit, weighed, dataset, run_of(weighed, fusion, dataset == "digits", **options))
        app = visit("weights", assets=weighed, dataset=dataset, run=run, **link)
        assert not complaints(app)
        return app

    return open_weights


def chart(app: AppTest, number: int) -> dict:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


@pytest.mark.parametrize(
    ("dataset", "fusion", "link"),
    [
        ("demo", "intense", {"weighed": "modalities", "clip": "test-01", "time": "3.2"}),
        ("digits", "intense", {"weighed": "<script>", "below_weights": "By output", "sample": "999999"}),
        ("digits", "intense", {"weighed": "modalities", "weighed_output": "nothing"}),
        ("digits", "mkl", {"weighed": "modalities", "below_weights": "By output"}),
    ],
)
def test_every_choice_opens(page, dataset: str, fusion: str, link: dict[str, str]) -> None:  # noqa: ANN001
    app = page(dataset, fusion, **link)
    assert "How much each counts" in words(app)
    assert ("What each kernel sees" in words(app)) == (fusion == "mkl")


def test_bars_are_the_seeds_relevances_and_the_ring_is_the_chosen_run(page, weighed: Path) -> None:  # noqa: ANN001
    app = page()
    bars, seeds, ring, lost = chart(app, 0)["data"]
    found = [
        weights.weights(runs.model(weighed / "runs" / name)).values
        for name, run in runs.listing(weighed / "runs").items()
        if run.fusion == "intense" and run.asked.kind == "class" and run.config["p"] == 2.0
    ]
    chosen = app.session_state["run"]
    assert len(found) == 2
    np.testing.assert_allclose(decoded(bars["x"]), np.mean(found, axis=0), rtol=1e-5)
    np.testing.assert_allclose(sorted(decoded(seeds["x"])), np.sort(np.ravel(found)), rtol=1e-5)
    model = runs.model(weighed / "runs" / chosen)
    np.testing.assert_allclose(decoded(ring["x"]), weights.weights(model).values, rtol=1e-5)
    part = read(weighed / "digits").part("test")
    costs = removal.without_parts(weights.opened(model, part), part)
    np.testing.assert_allclose(decoded(lost["x"]), costs.cost, rtol=1e-5)
    assert bars["y"] == ["left", "right", "blind", "left × right", "left × blind", "right × blind"]
    assert card(app, "accuracy") == f"{costs.whole:.1f}"
    table = app.dataframe[0].value
    np.testing.assert_allclose(table["lost"], costs.cost.round(4))


def test_modalities_have_their_share_and_their_absence(page, weighed: Path) -> None:  # noqa: ANN001
    app = page(weighed="modalities")
    bars, _, ring, lost = chart(app, 0)["data"]
    model = runs.model(weighed / "runs" / app.session_state["run"])
    assert bars["y"] == ["left", "right", "blind"]
    np.testing.assert_allclose(decoded(ring["x"]), list(weights.weights(model).shares.values()), rtol=1e-5)
    costs = removal.without_modalities(model, read(weighed / "digits").part("test"))
    np.testing.assert_allclose(decoded(lost["x"]), costs.cost, rtol=1e-5)
    app.session_state["weighed"] = "each by itself"
    app.run()
    assert len(chart(app, 0)["data"][0]["y"]) == 6


@pytest.mark.parametrize(("dataset", "row"), [("digits", 17), ("demo", None)])
def test_the_chosen_rows_parts_add_up_to_what_the_model_says(  # noqa: ANN001
    page, weighed: Path, dataset: str, row: int | None
) -> None:
    link = {"sample": "17"} if row is not None else {"clip": "test-03", "time": "3.2"}
    app = page(dataset, **link)
    bars = next(chart(app, at)["data"][0] for at in range(4) if chart(app, at)["data"][0]["y"][0] == "base")
    part = read(weighed / dataset).part("test").flat()
    at = row if row is not None else part.places.index(("test-03", 5))
    said = outputs(runs.model(weighed / "runs" / app.session_state["run"]), part.features)[at]
    values = decoded(bars["x"])
    assert values[-1] == pytest.approx(said.max() if dataset == "digits" else said[0], rel=1e-4)
    assert sum(values[:-1]) == pytest.approx(values[-1], rel=1e-6)
    assert f"the model says {values[-1]:+.3f}" in words(app)
    if dataset == "digits":
        other = page(dataset, **link, weighed_output="c")
        bars = next(chart(other, at)["data"][0] for at in range(4) if chart(other, at)["data"][0]["y"][0] == "base")
        assert decoded(bars["x"])[-1] == pytest.approx(said[2], rel=1e-4)


def test_other_norms_are_drawn_where_there_are_runs_of_them(page, weighed: Path) -> None:  # noqa: ANN001
    app = page()
    lines = next(chart(app, at)["data"] for at in range(6) if chart(app, at)["data"][0].get("x") == ["1", "2"])
    few = weights.weights(runs.model(weighed / "runs" / run_of(weighed, "intense", True, p=1.0)))
    first = {line["name"]: decoded(line["y"])[0] for line in lines}
    np.testing.assert_allclose(list(first.values()), few.values, rtol=1e-5)
    assert "There is no other run yet" in words(page("demo"))


def test_a_run_without_weights_is_told_what_the_page_is_for(visit: Opener, weighed: Path) -> None:
    run = titled(visit, weighed, "digits", run_of(weighed, "concat", True))
    app = visit("weights", assets=weighed, dataset="digits", run=run)
    assert not complaints(app)
    assert "does not weigh its modalities" in words(app)
    next(button for button in app.main.button if button.label.startswith("Open")).click().run()
    assert not complaints(app)
    assert "How much each counts" in words(app)
    assert store.runs.run(app.session_state["run"]).fusion in ("mkl", "intense")


def test_without_a_fitting_run_it_says_how_to_train_one(visit: Opener) -> None:
    assert "choose a run of MKL or InTense" in words(visit("weights"))


@pytest.mark.parametrize("kind", ["unlabelled", "normal"])
def test_without_truth_there_are_weights_and_no_losses(visit: Opener, weighed: Path, tmp_path: Path, kind: str) -> None:
    world.build(tmp_path, world.dataset(None, change=getattr(world, kind)), train_it=False)
    (tmp_path / "runs").symlink_to(weighed / "runs")
    run = titled(visit, tmp_path, "demo", run_of(weighed, "intense", False))
    app = visit("weights", assets=tmp_path, run=run)
    assert not complaints(app)
    assert "What a removal costs cannot be told" in words(app)
    assert card(app, "unit AUC") == "none"
    assert len(chart(app, 0)["data"]) == 3  # bars, seeds, ring


def test_real_targets_open_in_their_own_units(visit: Opener, tmp_path: Path) -> None:
    native.write(sample_set("real"), tmp_path / "digits")
    keep(tmp_path, "digits", "intense", project=2)
    app = visit("weights", assets=tmp_path)
    assert not complaints(app)
    (name,) = runs.listing(tmp_path / "runs")
    said = outputs(runs.model(tmp_path / "runs" / name), read(tmp_path / "digits").part("test").features)[0, 0]
    assert f"the model says {said:+.3f}" in words(app)
    assert "correlation" in words(app)


# ---------------------------------------------------------------------------- figures


def many(count: int) -> removal.Removals:
    values = np.linspace(1, 0.1, count)
    names = tuple(f"<i>m{at}</i> × n" for at in range(count))
    return removal.Removals("auc", names, values, 80.0, 80 - values, values, values - 1, values + 1, values[:, None], 9)


def test_of_many_names_the_heaviest_are_drawn_and_none_is_markup() -> None:
    found = many(40)
    drawn = figures.beside(found.names, found.weights[None], 0, "relevance s", found, LIGHT)
    assert len(drawn.data[0].y) == figures.MOST
    assert all("<i>" not in name for name in drawn.data[0].y)
    np.testing.assert_allclose(drawn.data[-1].x, found.cost[: figures.MOST])
    assert len(figures.weight_cost(found, "relevance s", LIGHT).data) == figures.MOST
    assert len(figures.beside_table(found.names, found.weights[None], 0, "s", found)) == 40
    parts = figures.part_bars(found.names, found.weights, -1.0, float(found.weights.sum() - 1), "logit", LIGHT).data[0]
    assert parts.x[-1] == pytest.approx(sum(parts.x[:-1]))  # the others are one bar
    assert "others" in parts.y[-2]


def test_a_loss_that_may_be_nothing_is_open() -> None:
    found = many(3)  # 1, 0.55, 0.1, each give or take 1
    sure = removal.Removals(**{**found.__dict__, "low": np.array([0.5, -0.4, -0.9])})
    marks = figures.beside(sure.names, sure.weights[None], 0, "s", sure, LIGHT).data[-1]
    assert list(marks.marker.symbol) == ["diamond", "diamond-open", "diamond-open"]
    np.testing.assert_allclose(np.asarray(marks.x) - marks.error_x.arrayminus, sure.low)
    np.testing.assert_allclose(np.asarray(marks.x) + marks.error_x.array, sure.high)

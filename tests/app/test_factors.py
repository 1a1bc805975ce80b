"""The factors page: every choice opens, numbers follow the switches, links hold them, other fusions say what to do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import store
from app.figures.style import LIGHT
from app.store.keys import DataKey
from app.views.factors import figures
from app.views.factors.parts import Off
from core import run
from core.data import native, read
from core.data.samples.native import write
from core.explain.lowrank import opened, switched
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words


def samples(kind: str) -> Samples:
    """Forty rows of two modalities, one of them pictures of 2 x 3, whose product decides."""
    random = torch.Generator().manual_seed(3)
    features = {"image": torch.randn(40, 6, generator=random), "text": torch.randn(40, 4, generator=random)}
    drive = features["image"][:, :1] * features["text"][:, :1]
    splits = {"half": {"train": torch.arange(24), "test": torch.arange(24, 40)}}
    names = tuple(f"row <b>{i}</b>" for i in range(40))
    if kind == "class":
        target, task = (drive[:, 0] > 0).long() + (drive[:, 0] > 1).long(), Task("class", ("low", "middle", "high"))
        return Samples("three kinds", features, target, task, splits, names, {"image": (2, 3)})
    return Samples("two targets", features, torch.cat([drive, -drive], 1), Task("real", ("joy", "fear")), splits, names)


@pytest.fixture(scope="session")
def factored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips and two sample sets, each with runs that have ranks and runs that have none."""
    root = tmp_path_factory.mktemp("factored")
    native.write(world.dataset(root / "videos"), root / "demo")
    write(samples("class"), root / "workspace" / "data" / "kinds")
    write(samples("real"), root / "workspace" / "data" / "targets")
    short = TrainConfig(epochs=4, batch=8)
    for folder, fusions in (
        (root / "demo", ({"lmf": {"rank": 3}}, {"jwae-lmf": {"latent": 4}}, {"jwae": {"latent": 4}}, {"sum": {}})),
        (
            root / "workspace" / "data" / "kinds",
            ({"lmf": {}}, {"lmf": {"rank": 2}}, {"jwae-lmf": {"latent": 4}}, {"g-lmf": {}}, {"jwae": {"latent": 4}}),
        ),
        (root / "workspace" / "data" / "targets", ({"lmf": {}}, {"lmf": {"rank": 1}})),
    ):
        data = read(folder)
        for each in fusions:
            for fusion, config in each.items():
                trained = train(data, Recipe(fusion, config, short))
                run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


def run_of(root: Path, source: str, fusion: str, **config: object) -> Path:
    """The folder of the first such run."""
    for folder in sorted((root / "runs").iterdir()):
        found = run.load(folder)
        same = all(found.config.get(name) == value for name, value in config.items())
        if found.source.name == source and found.fusion == fusion and same:
            return folder
    raise AssertionError((source, fusion, config))


SOURCES = {"demo": "Tiny yard", "kinds": "three kinds", "targets": "two targets"}


@pytest.fixture
def factors(visit: Opener, factored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: ANN201
    (tmp_path / "workspace").symlink_to(factored / "workspace")
    monkeypatch.setenv("FUSESCOPE_ASSETS", str(factored))
    monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "workspace"))

    def open_factors(dataset: str = "demo", fusion: str = "lmf", config: dict | None = None, **link: str) -> AppTest:
        folder = run_of(factored, SOURCES[dataset], fusion, **(config or {}))
        title = store.runs.run_titles(DataKey(dataset))[folder.name]  # a link holds what people read
        app = visit("factors", assets=factored, dataset=dataset, run=title, **link)
        assert not complaints(app)
        return app

    return open_factors


def card(app: AppTest, label: str) -> tuple[str, str]:
    return next((str(metric.value), str(metric.delta)) for metric in app.metric if metric.label == label)


TABS = ("Do ranks mean something?", "Beside other methods", "Rank and quality", "Latents")


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("dataset", ["demo", "kinds"])
def test_every_tab_opens(factors, dataset: str, tab: str) -> None:
    app = factors(dataset, "jwae-lmf", below_factors=tab)
    said = words(app)
    assert {
        TABS[0]: "draws" in said,
        TABS[1]: "Shapley values go over every set" in said,
        TABS[2]: "one rank only" in said,
        TABS[3]: "A walk between two rows" in said,
    }[tab]


@pytest.mark.parametrize(
    "link",
    [
        {"off": "r0 i1 2.3"},
        {"off": "r0 r1 r2", "average": "size"},
        {"off": "r99 <script> i-1 1e9"},
        {"rows_of": "anomalous", "average": "size"},
        {"time": "3.2", "clip": "test-01", "output": "nobody", "walk_to": "999999"},
    ],
    ids=str,
)
def test_every_link_opens(factors, link: dict[str, str]) -> None:
    factors("demo", **link)


@pytest.mark.parametrize("config", [{"rank": 4}, {"rank": 1}])
def test_real_targets_open(factors, config: dict) -> None:
    app = factors("targets", config=config, output="fear")
    assert card(app, "Correlation")[0]
    assert "fear of this row" in [metric.label for metric in app.metric]
    assert "%" not in card(app, "Correlation")[0]


def test_g_lmf_opens_and_its_base_holds_what_went_past_the_product(factors) -> None:
    assert "parts" in words(factors("kinds", "g-lmf"))


def test_numbers_follow_the_switches_as_the_function_says(factors, factored: Path) -> None:
    folder = run_of(factored, "Tiny yard", "lmf")
    data = read(factored / "demo")
    part = data.part("test").flat()
    found = opened(run.model(folder), part)
    left = switched(found, ranks_off=[1], interactions_off=[3], cells_off=[(0, 0)])
    app = factors("demo", off="r1 i3 0.0", clip="test-02", time="3.3")
    row = part.places.index(("test-02", 5))
    assert card(app, "Unit AUC")[0] == f"{left.now:.1f} %"
    value, by = card(app, "Logit")
    assert value == f"{left.outputs[row, 0]:+.3f}"
    assert float(by) == pytest.approx(left.outputs[row, 0] - found.given[row, 0], rel=0.01)
    assert card(app, "Score of this row")[0] == f"{1 / (1 + np.exp(-left.outputs[row, 0])):.3f}"
    plain = factors("demo", clip="test-02", time="3.3")
    assert card(plain, "Logit") == (f"{found.given[row, 0]:+.3f}", "")


def test_a_switch_moves_the_numbers_and_undo_brings_them_back(factors) -> None:
    app = factors("demo")
    before = card(app, "Logit")
    ranks = next(one for one in app.get("button_group") if one.label == "Ranks that are on")
    assert ranks.value == [0, 1, 2]
    ranks.set_value([0, 2]).run()
    assert app.session_state["off"] == "r1"
    assert app.query_params["off"] == "r1"
    assert card(app, "Logit") != before
    after = card(app, "Logit")
    next(one for one in app.button if one.label == "Undo").click().run()
    assert card(app, "Logit") == before
    next(one for one in app.button if one.label == "Redo").click().run()
    assert card(app, "Logit") == after
    next(one for one in app.button if one.label == "As trained").click().run()
    assert card(app, "Logit") == before
    assert not complaints(app)


def test_a_link_shows_its_switches(factors) -> None:
    app = factors("demo", off="r1 i0")
    pills = {one.label: one.value for one in app.get("button_group")}
    assert pills["Ranks that are on"] == [0, 2]
    assert pills["Interactions that are on"] == [1, 2, 3]


def test_the_answer_is_what_is_added_up_unless_chosen(factors) -> None:
    labels = [metric.label for metric in factors("kinds", config={"rank": 4}, output="middle").metric]
    assert "Logit of middle" in labels


def test_the_curve_joins_runs_of_other_ranks(factors) -> None:
    said = words(factors("kinds", config={"rank": 4}, below_factors="Rank and quality"))
    assert "differ in rank and seed alone" in said


def test_a_fusion_without_ranks_says_what_to_do_and_opens_one(factors) -> None:
    app = factors("demo", "sum")
    assert "no ranks to look at" in words(app)
    button = next(one for one in app.button if one.label.startswith("Open LMF"))
    button.click().run()
    assert not complaints(app)
    assert card(app, "Largest gap")


def test_jwae_shows_its_latents_alone(factors) -> None:
    app = factors("kinds", "jwae")
    assert "no ranks to look at" in words(app)
    assert "A walk between two rows" in words(app)
    assert not app.metric


def test_hostile_names_stay_text(factors) -> None:
    said = words(factors("kinds", "jwae-lmf", below_factors="Latents"))
    assert "<b>" not in said.replace("\\<b\\>", "")


# ---------------------------------------------------------------------------- many ranks on a small screen


def test_the_names_of_many_ranks_are_numbers_that_have_room() -> None:
    """At 1024 pixels a rank of eight has 17 in half a page and 60 in a whole one; "rank 1" takes 38."""
    kinds = ((), ("a",), ("b",), ("a", "b"))
    one = figures.part_map(np.ones((8, 4, 1)), kinds, ["x"], np.ones((8, 4), bool), LIGHT, "logit")
    assert list(one.layout.xaxis.ticktext) == list("12345678")
    assert one.layout.xaxis.title.text == "rank"
    several = figures.part_map(np.ones((12, 4, 3)), kinds, ["x", "y", "z"], np.ones((12, 4), bool), LIGHT, "logit")
    assert [note.text for note in several.layout.annotations] == [str(rank) for rank in range(1, 13)]


def test_maps_of_many_ranks_stand_below_each_other(factors, factored: Path) -> None:
    wide = train(read(factored / "demo"), Recipe("lmf", {"rank": 8}, TrainConfig(epochs=1, batch=8)))
    run.save(wide.run, wide.model.state_dict(), wide.history, factored / "runs")
    assert [len(factors("demo", config={"rank": rank}).main.columns) for rank in (3, 8)] == [4, 2]


# ---------------------------------------------------------------------------- the line of what is off


def test_a_line_is_read_as_it_was_written() -> None:
    off = Off((0, 2), (1,), ((1, 0), (3, 3)))
    assert Off.read(str(off), 4, 4) == off
    assert str(Off.read("3.3 r2 i1 1.0 r0", 4, 4)) == str(off)
    assert Off.read("r4 i4 4.0 0.4 r-1 1,2=0 r1e1", 4, 4) == Off()
    assert Off.read(None, 4, 4) == Off()


def test_a_click_switches_one_part_and_a_second_one_takes_it_back() -> None:
    assert Off().toggled((1, 2)).cells == ((1, 2),)
    assert Off().toggled((1, 2)).toggled((1, 2)) == Off()
    assert Off(ranks=(1,)).toggled((1, 2)) == Off()
    assert Off(interactions=(2,), cells=((0, 0),)).toggled((1, 2)) == Off(cells=((0, 0),))


# ---------------------------------------------------------------------------- data that is not as usual


@pytest.mark.parametrize("change", [world.unlabelled, world.normal], ids=["unlabelled", "normal"])
@pytest.mark.parametrize("tab", TABS)
def test_without_both_classes_the_parts_are_still_there(
    visit: Opener, factored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, tab: str
) -> None:
    root = world.build(tmp_path / "other", world.dataset(None, change=change), train_it=False)
    (root / "runs").symlink_to(factored / "runs")
    monkeypatch.setenv("FUSESCOPE_ASSETS", str(root))
    folder = run_of(factored, "Tiny yard", "jwae-lmf")
    monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "workspace"))
    title = store.runs.run_titles(DataKey("demo"))[folder.name]
    app = visit("factors", assets=root, run=title, below_factors=tab, off="r0")
    assert not complaints(app)
    assert card(app, "Unit AUC") == ("–", "")
    assert card(app, "Truth")[0] == ("normal" if change is world.normal else "–")
    assert card(app, "Logit")[1] != ""

"""Every page opens, whatever the data is like; links reopen what they name; bad ones fall back."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import run
from core.data import native
from core.recipe import Recipe, TrainConfig
from core.train.loop import train
from tests import world
from tests.app.conftest import PAGES, Opener, complaints, words

DEMO = Path(__file__).parents[2] / "assets"


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_opens(visit: Opener, page: str, theme: str) -> None:
    app = visit(page, theme=theme)
    assert not complaints(app)
    assert len(app.title) == 1


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_on_the_demo(visit: Opener, page: str) -> None:
    if not (DEMO / "demo" / "dataset.json").is_file():
        pytest.skip("needs the demo: make assets")
    assert not complaints(visit(page, assets=DEMO))


@pytest.mark.parametrize("page", PAGES)
def test_without_data_a_page_says_what_to_do(visit: Opener, page: str, tmp_path: Path) -> None:
    app = visit(page, assets=tmp_path / "nothing")
    assert not complaints(app)
    if page != "library":
        assert "There is no dataset yet" in words(app)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("untrained")
    return world.build(root, world.dataset(None), train_it=False)


def test_without_an_alarm_there_is_no_precision(visit: Opener) -> None:
    told = metrics(visit("thresholds", threshold="1.0"))
    assert (told["recall"], told["precision"]) == ("0.000", "none")


@pytest.mark.parametrize("page", PAGES)
def test_without_runs_a_page_says_what_to_do(visit: Opener, page: str, untrained: Path) -> None:
    app = visit(page, assets=untrained)
    assert not complaints(app)
    if page != "library":
        assert "rain" in words(app)  # "Train one", "No run was trained"


def test_a_run_of_another_split_is_told_to_have_learned_from_what_is_shown(visit: Opener, tmp_path: Path) -> None:
    made = world.dataset(None)
    train_part, test_part = made.splits["weak"]["train"], made.splits["weak"]["test"]
    turned = {"train": (*test_part[:2], *train_part), "test": test_part[2:]}
    root = world.build(tmp_path / "assets", replace(made, splits={**made.splits, "turned *x*": turned}), train_it=False)
    data = native.read(root / "demo")
    for protocol in data.splits:
        trained = train(data, Recipe("lego", {}, TrainConfig(epochs=1, batch=6), protocol=protocol))
        run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    app = visit("clips", assets=root)
    told = {}
    for name in app.sidebar.selectbox(key="run").options:
        app.sidebar.selectbox(key="run").select(name).run()
        assert not complaints(app)
        told[name] = [one.value for one in app.warning]
    (said,) = [one for one in told.values() if one]
    assert len(told) == 2
    assert f"learned from 2 of the {len(test_part)} clips shown here (split *turned \\*x\\**)" in said[0]


@pytest.fixture(scope="module", params=["unlabelled", "normal"])
def half_known(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other data with the same widths, scored by the runs of the tiny world: no labels, or one class only."""
    root = tmp_path_factory.mktemp(request.param)
    world.build(root, world.dataset(None, change=getattr(world, request.param)), train_it=False)
    (root / "runs").symlink_to(tiny / "runs")
    return root


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_without_both_classes(visit: Opener, page: str, half_known: Path) -> None:
    assert not complaints(visit(page, assets=half_known))


def test_one_class_has_no_auc_and_a_reason(visit: Opener, half_known: Path) -> None:
    said = words(visit("thresholds", assets=half_known))
    assert "need both kinds" in said or "Nobody labelled" in said
    assert "AUC 0" not in said
    assert "AUC 50" not in said


def test_a_damaged_dataset_is_told_by_its_clip_and_never_by_its_path(visit: Opener, tmp_path: Path) -> None:
    root = world.build(tmp_path / "damaged", world.dataset(None), train_it=False)
    file = root / "demo" / "features" / "motion" / "test-00.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    told = "\n".join(complaints(visit("overview", assets=root)))
    assert "test" in told
    assert str(tmp_path) not in told


# ---------------------------------------------------------------------------- links


def test_a_link_reopens_what_it_names(visit: Opener) -> None:
    app = visit("clips", clip="test-03", time="3.2", threshold="0.25", alpha="0.3", k="4")
    assert app.sidebar.selectbox(key="clip").value == "test-03"
    assert app.sidebar.number_input(key="time").value == 3.2
    assert app.sidebar.slider(key="threshold").value == 0.25
    assert app.sidebar.slider(key="alpha").value == 0.3
    assert app.sidebar.slider(key="k").value == 4


@pytest.mark.parametrize(
    "link",
    [
        {"clip": "no such clip"},
        {"dataset": "../../etc"},
        {"run": "lego-000000000000"},
        {"time": "soon"},
        {"time": "-5"},
        {"threshold": "7"},
        {"threshold": "nan"},
        {"alpha": "<script>"},
        {"k": "1e99"},
        {"picture": "exe"},
        {"level": "pixels", "price": "-1"},
        {"against": "nobody", "baseline": "none"},
    ],
    ids=lambda link: "-".join(link),
)
@pytest.mark.parametrize("page", ["overview", "clips", "thresholds"])
def test_a_bad_link_falls_back(visit: Opener, page: str, link: dict[str, str]) -> None:
    app = visit(page, **link)
    assert not complaints(app)
    assert app.sidebar.selectbox(key="clip").value == "test-00"
    assert app.sidebar.slider(key="threshold").value == 0.5


def test_a_moment_past_the_end_is_the_last_unit(visit: Opener) -> None:
    assert not complaints(visit("clips", time="999999"))


# ---------------------------------------------------------------------------- choosing


def test_another_clip_forgets_the_moment(visit: Opener) -> None:
    app = visit("clips", clip="test-03", time="3.2")
    app.sidebar.selectbox(key="clip").select("test-01").run()
    assert app.sidebar.number_input(key="time").value is None


def test_the_choice_survives_a_page_change(visit: Opener) -> None:
    app = visit("clips", clip="test-03", threshold="0.25")
    app.switch_page("views/thresholds/page.py").run()
    assert app.sidebar.selectbox(key="clip").value == "test-03"
    assert app.sidebar.slider(key="threshold").value == 0.25


def test_a_higher_threshold_never_raises_more_alarms(visit: Opener) -> None:
    app, seen = visit("thresholds"), []
    for threshold in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        app.sidebar.slider(key="threshold").set_value(threshold).run()
        found = metrics(app)
        seen.append((float(found["recall"]), int(found["false alarms (units)"])))
    assert seen == sorted(seen, reverse=True)
    assert seen[0][0] == 1.0  # every unit raises an alarm at 0


@pytest.mark.parametrize("level", ["units", "frames"])
@pytest.mark.parametrize("price", [1, 7, 100])
def test_the_cheapest_threshold_is_one_click_away(visit: Opener, price: int, level: str) -> None:
    app = visit("thresholds", price=str(price), level=level)
    promised = metrics(app)["cheapest cost"]
    app.main.button[0].click().run()
    assert metrics(app)["cost now"] == promised
    for threshold in (0.0, 0.45, 0.48, 0.49, 0.495, 1.0):  # nothing else is cheaper
        app.sidebar.slider(key="threshold").set_value(threshold).run()
        assert int(metrics(app)["cost now"].replace(",", "")) >= int(promised.replace(",", ""))


def test_missing_a_dear_anomaly_lowers_the_threshold(visit: Opener) -> None:
    app = visit("thresholds", price="1")
    app.main.button[0].click().run()
    cheap = app.sidebar.slider(key="threshold").value
    app.slider(key="price").set_value(100).run()
    app.main.button[0].click().run()
    assert app.sidebar.slider(key="threshold").value <= cheap


def test_simulated_data_is_called_so(visit: Opener, untrained: Path) -> None:
    assert "simulated" in words(visit("overview", assets=untrained))


# ---------------------------------------------------------------------------- the crowd


def test_who_finds_no_seat_is_told(visit: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import store

    monkeypatch.setattr(store.server, "door", lambda active: store.server.Door(0, lambda session: True))
    app = visit("overview")
    assert app.title[0].value == "FuseScope is full"
    assert not app.sidebar.selectbox

"""The steps page: numbers follow R, a table row is a choice, and other fusions are told where to go."""

from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app import store
from app.store.keys import DataKey, RunKey
from core import run as runs
from core.data import read
from core.data.samples import native
from core.explain.progressive import answers, turns
from core.recipe import Recipe, TrainConfig
from core.sample import Samples, Task
from core.score.infer import outputs
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words


def sample_set(kind: str = "class") -> Samples:
    """Two views of a point in the plane: each tells one half of its class, or one half of a sum."""
    random = torch.Generator().manual_seed(3)
    place = torch.randn(240, 2, generator=random)
    features = {
        name: torch.cat([place[:, at : at + 1], 0.5 * torch.randn(240, 3, generator=random)], dim=1)
        for at, name in enumerate(("left", "right"))
    }
    parts = {"half": {"train": torch.arange(120), "test": torch.arange(120, 240)}}
    if kind == "class":
        target, task = (place[:, 0] > 0).long() + 2 * (place[:, 1] > 0).long(), Task("class", ("a", "b", "c", "d"))
    else:
        target, task = place.sum(1, keepdim=True) * 3 + 10, Task("real", ("sum",))
    return Samples(kind, features, target, task, parts, simulated=True)


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with LEGO and ProFusion runs; samples with classes and with real targets."""
    root = tmp_path_factory.mktemp("stepped")
    world.build(root, world.dataset(None))
    for key, made in (("digits", sample_set()),):
        native.write(made, root / key)
    jobs = [
        ("demo", "profusion", {"steps": 3, "hidden": 8}),
        ("digits", "profusion", {"steps": 3, "hidden": 8}),
        ("digits", "profusion", {"steps": 1, "hidden": 8}),
        ("digits", "concat", {}),
    ]
    for key, fusion, options in jobs:
        trained = train(read(root / key), Recipe(fusion, options, TrainConfig(epochs=8, batch=20, lr=0.01), (0,)))
        runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


def run_of(root: Path, fusion: str, samples: bool, **options: object) -> str:
    """The folder's name of the run with this fusion and these options."""
    for name, run in runs.listing(root / "runs").items():
        about = run.asked.kind != "units"
        if run.fusion == fusion and about == samples and all(run.config[key] == v for key, v in options.items()):
            return name
    raise AssertionError(f"no run of {fusion}")


def titled(visit: Opener, assets: Path, dataset: str, run: str) -> str:
    """What the link calls a run; two of one config are told apart by their ids."""
    visit("library", assets=assets)  # whose assets the cache looks at
    return store.runs.run_titles(DataKey(dataset))[RunKey(run)]


def card(app: AppTest, label: str) -> str:
    return str(next(metric.value for metric in app.metric if metric.label == label))


@pytest.fixture
def page(visit: Opener, stepped: Path):  # noqa: ANN201
    def open_steps(dataset: str = "digits", **link: str) -> AppTest:
        run = titled(visit, stepped, dataset, run_of(stepped, "profusion", dataset == "digits", steps=3))
        app = visit("steps", assets=stepped, dataset=dataset, run=run, **link)
        assert not complaints(app)
        return app

    return open_steps


@pytest.mark.parametrize("dataset", ["demo", "digits"])
@pytest.mark.parametrize(
    "link",
    [
        {},
        {"steps": "1"},
        {"steps": "8", "probes": "relative to step 1"},
        {"steps": "99", "probes": "<script>", "below_steps": "nothing"},
        {"below_steps": "Step by step"},
        {"below_steps": "What R costs"},
        {"sample": "17", "clip": "test-01", "time": "3.2"},
        {"sample": "999999"},
    ],
    ids=lambda link: "-".join(link) or "plain",
)
def test_every_choice_opens(page, dataset: str, link: dict[str, str]) -> None:  # noqa: ANN001
    app = page(dataset, **link)
    assert "What each modality knows" in words(app)


def test_the_page_begins_at_the_trained_r_and_the_numbers_follow_the_slider(page, stepped: Path) -> None:  # noqa: ANN001
    """The cards equal the model run by hand for R steps."""
    app = page()
    assert app.slider(key="steps").value == 3
    model = runs.model(stepped / "runs" / run_of(stepped, "profusion", True, steps=3))
    part = read(stepped / "digits").part("test")
    found = answers(model, part)
    assert (
        card(app, "accuracy, R = 3")
        == f"{100 * (outputs(model, part.features).argmax(1) == part.target.numpy()).mean():.1f}"
    )
    for now in (1, 2, 8):
        app.slider(key="steps").set_value(now).run()
        assert not complaints(app)
        with torch.inference_mode():
            said = model.unroll(part.features, now).outputs[-1].argmax(-1)
        assert card(app, f"accuracy, R = {now}") == f"{100 * float((said == part.target).float().mean()):.1f}"
        turn = turns(found, 1, now)
        assert card(app, f"Decisions changed, step 1 to {now}") == f"{len(turn.rows)} of {len(part)}"
        assert int(card(app, "for the better")) == int(turn.helped.sum())
        assert int(card(app, "for the worse")) == int(turn.hurt.sum())


def test_the_probes_scale_is_a_choice_of_the_link(page) -> None:  # noqa: ANN001
    import json

    def first(app: AppTest) -> list:
        drawn = json.loads(app.get("plotly_chart")[0].proto.spec)
        return [trace for trace in drawn["data"] if "control" not in trace["name"]]

    absolute, relative = page(), page(probes="relative to step 1")
    assert [trace["name"] for trace in first(absolute)] == ["left", "right"]
    for a, b in zip(first(absolute), first(relative), strict=True):
        y, ratio = (np.asarray(decoded(trace["y"])) for trace in (a, b))
        np.testing.assert_allclose(ratio, y / y[0])
        assert "error_y" in a
        assert "error_y" not in b
    dashed = json.loads(absolute.get("plotly_chart")[0].proto.spec)["data"]
    assert [trace["line"].get("dash") for trace in dashed] == [None, "dash"] * 2


def test_every_point_of_the_contexts_gives_its_row_and_the_way_of_the_chosen_one_its_own(page) -> None:  # noqa: ANN001
    import json

    app = page(sample="7")
    specs = [json.loads(each.proto.spec) for each in app.get("plotly_chart")]
    drawn = next(spec for spec in specs if any(trace.get("name") == "chosen row" for trace in spec["data"]))["data"]
    assert decoded(drawn[-1]["customdata"]) == [7, 7, 7]
    rows = [row for trace in drawn[:-1] if "customdata" in trace for row in decoded(trace["customdata"])]
    assert sorted(rows) == list(range(len(rows)))


def decoded(values: object) -> list[float]:
    """Plotly sends arrays as base64."""
    import base64

    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).tolist()
    return list(values)  # type: ignore[call-overload]


def test_a_row_of_the_table_becomes_the_chosen_one(page, stepped: Path) -> None:  # noqa: ANN001
    app = page(steps="8")
    model = runs.model(stepped / "runs" / run_of(stepped, "profusion", True, steps=3))
    part = read(stepped / "digits").part("test")
    turn = turns(answers(model, part), 1, 8)
    assert len(turn.rows) > 1
    table = app.dataframe[-1].value
    assert table["name"].tolist() == [part.names[row] for row in turn.rows]
    assert set(table["the steps"]) <= {"helped", "hurt", "neither"}
    at = int(turn.rows[1])
    again = page(steps="8", sample=str(at))
    assert part.names[at].replace(" ", "") in words(again).replace("\\", "").replace(" ", "")
    steps_of_row = next(frame.value for frame in again.dataframe if list(frame.value.columns)[:2] == ["step", "says"])
    assert steps_of_row["says"].iloc[0] == table["step 1"].iloc[1]
    assert steps_of_row["says"].iloc[7] == table["step 8"].iloc[1]


def test_units_follow_the_alarm_threshold(page) -> None:  # noqa: ANN001
    low, high = page("demo", threshold="0"), page("demo", threshold="1")
    for app in (low, high):
        assert card(app, "Decisions changed, step 1 to 3").startswith("0 of")
        assert "decided alike" in words(app)
    assert card(low, "unit AUC, R = 3") == card(high, "unit AUC, R = 3")


@pytest.mark.parametrize(("fusion", "options"), [("concat", {}), ("profusion", {"steps": 1})])
def test_other_runs_are_told_what_the_page_is_for(
    visit: Opener, stepped: Path, fusion: str, options: dict[str, object]
) -> None:
    run = titled(visit, stepped, "digits", run_of(stepped, fusion, True, **options))
    app = visit("steps", assets=stepped, dataset="digits", run=run)
    assert not complaints(app)
    assert ("base model" if options else "reads its modalities once") in words(app)
    button = next(button for button in app.main.button if button.label.startswith("Open"))
    button.click().run()
    assert not complaints(app)
    assert app.session_state["run"] == run_of(stepped, "profusion", True, steps=3)
    assert "What each modality knows" in words(app)


def test_without_a_fitting_run_it_says_how_to_train_one(visit: Opener) -> None:
    assert "choose a run of ProFusion" in words(visit("steps"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    native.write(sample_set("real"), root / "digits")
    trained = train(
        read(root / "digits"), Recipe("profusion", {"steps": 2, "hidden": 8}, TrainConfig(epochs=8, batch=20), (0,))
    )
    runs.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    return root


@pytest.mark.parametrize("tab", ["Rows whose decision changed", "Step by step", "What R costs"])
def test_real_targets_open_too(visit: Opener, real: Path, tab: str) -> None:
    app = visit("steps", assets=real, below_steps=tab, steps="5")
    assert not complaints(app)
    assert "correlation, R = 5" in words(app)
    assert "Answers moved, step 1 to 5" in words(app)


@pytest.fixture(scope="module", params=["unlabelled", "normal"])
def half_known(request: pytest.FixtureRequest, stepped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of the same widths without labels, or with one class only."""
    root = tmp_path_factory.mktemp(request.param)
    world.build(root, world.dataset(None, change=getattr(world, request.param)), train_it=False)
    (root / "runs").symlink_to(stepped / "runs")
    return root


@pytest.mark.parametrize("tab", ["Rows whose decision changed", "Step by step", "What R costs"])
def test_without_truth_the_page_says_what_it_cannot_know(
    visit: Opener, stepped: Path, half_known: Path, tab: str
) -> None:
    run = titled(visit, half_known, "demo", run_of(stepped, "profusion", False, steps=3))
    app = visit("steps", assets=half_known, run=run, below_steps=tab, steps="2")
    assert not complaints(app)
    assert "No probe here" in words(app)
    assert card(app, "unit AUC, R = 2") == "none"

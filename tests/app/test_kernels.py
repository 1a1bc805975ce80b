"""MKL's half of the weights page: numbers follow p, empty states say why, and figures draw what they are given."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import store
from app.figures.style import LIGHT
from app.store.keys import DataKey, RunKey
from app.views.weights import figures as weight_figures
from app.views.weights import kernel_figures as figures
from core import run
from core.data import read
from core.data.samples import native
from core.explain import mkl
from core.explain.removal import Removals
from core.fusion.mkl import Mkl
from core.recipe import Recipe, TrainConfig
from core.score.infer import outputs
from core.train.loop import train
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.app.test_steps import decoded, sample_set

RUNS = {
    "all": ("digits", {"p": 1.5, "kernel": "all", "most": 60}, None),
    "each": ("digits", {"weights": "each"}, None),
    "one": ("digits", {"kernel": "linear", "p": "inf"}, ["left"]),
    "clips": ("demo", {}, None),
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Clips and samples with a run of MKL each, and the runs' names by what is special about them."""
    root = tmp_path_factory.mktemp("solved")
    world.build(root, world.dataset(None), train_it=False)
    native.write(sample_set(), root / "digits")
    made = {}
    for what, (key, options, modalities) in RUNS.items():
        done = train(
            read(root / key), Recipe("mkl", options, TrainConfig(units=10), modalities=tuple(modalities or ()))
        )
        made[what] = run.save(done.run, done.model.state_dict(), done.history, root / "runs").name
    return root, made


def opened(visit: Opener, solved: tuple[Path, dict[str, str]], what: str, **link: str) -> AppTest:
    root, made = solved
    visit("library", assets=root)  # whose assets the cache looks at
    key = DataKey(RUNS[what][0])
    app = visit("weights", assets=root, dataset=key, run=store.runs.run_titles(key)[RunKey(made[what])], **link)
    assert not complaints(app)
    return app


def card(app: AppTest, label: str) -> str:
    return str(next(metric.value for metric in app.metric if metric.label == label))


def chart(app: AppTest, key: str) -> dict:
    return next(json.loads(one.proto.spec) for one in app.get("plotly_chart") if key in one.proto.id)


def test_the_numbers_are_those_of_the_run_solved_again_at_the_p_of_the_slider(
    visit: Opener, solved: tuple[Path, dict[str, str]]
) -> None:
    app = opened(visit, solved, "all")
    root, made = solved
    model, data = run.model(root / "runs" / made["all"]), read(root / "digits")
    part = data.part("test").flat()
    slider = app.select_slider(key="kernel_p")
    assert slider.value == "1.5"
    assert slider.options == ["1", "1.1", "4/3", "1.5", "2", "4", "16", "64", "∞"]
    assert "of 120 training rows, drawn evenly" in words(app)
    for word, p in (("1.5", 1.5), ("∞", math.inf), ("1", 1.0)):
        app.select_slider(key="kernel_p").set_value(word).run()
        assert not complaints(app)
        again = mkl.at_norm(model, data, part, p)
        assert card(app, "accuracy, solved again") == f"{again.value:.1f}"
        share = again.share[again.share > 0]
        assert card(app, "kernels that count") == f"{np.exp(-(share * np.log(share)).sum()):.1f} of 6"
    assert (
        card(app, "accuracy") == f"{100 * (outputs(model, part.features).argmax(1) == part.target.numpy()).mean():.1f}"
    )


@pytest.mark.parametrize("what", ["each", "clips"])
@pytest.mark.parametrize("link", [{"kernel_p": "<script>", "sample": "99999"}, {"kernel_p": "64"}])
def test_every_run_opens_whatever_the_link_says(
    visit: Opener, solved: tuple[Path, dict[str, str]], what: str, link: dict[str, str]
) -> None:
    app = opened(visit, solved, what, **link)
    said = words(app)
    assert all(
        head in said for head in ("How p spreads the weights", "What each kernel sees", "How the solution was reached")
    )
    assert ("weights of its own" in said) == (what == "each")


def test_the_maps_show_kernel_pca_of_the_test_rows_and_the_chosen_one(
    visit: Opener, solved: tuple[Path, dict[str, str]]
) -> None:
    app = opened(visit, solved, "each", sample="17")
    drawn = chart(app, "kernel-panels")
    root, made = solved
    found = mkl.panels(run.model(root / "runs" / made["each"]), read(root / "digits").part("test").flat())
    orange = [trace for trace in drawn["data"] if trace["name"] == "chosen row"]
    assert len(orange) == 3  # left, right, all together
    for panel, trace in zip(found.panels, orange, strict=True):
        np.testing.assert_allclose([decoded(trace["x"])[0], decoded(trace["y"])[0]], panel.places[17], rtol=1e-5)
    points = [trace for trace in drawn["data"] if trace["name"] != "chosen row"]
    assert sum(len(decoded(trace["x"])) for trace in points) == 3 * 120
    assert f"{found.panels[-1].separation:.3f}" in json.dumps(drawn["layout"])
    gap = chart(app, "kernel-gap")
    history = run.history(root / "runs" / made["each"])
    np.testing.assert_allclose(decoded(gap["data"][0]["y"]), [row["gap"] for row in history])
    assert gap["layout"]["yaxis"]["type"] == "log"


def test_one_kernel_has_nothing_to_weigh(visit: Opener, solved: tuple[Path, dict[str, str]]) -> None:
    app = opened(visit, solved, "one")
    assert "one kernel" in words(app)
    assert not [slider for slider in app.select_slider if slider.key == "kernel_p"]
    assert len([trace for trace in chart(app, "kernel-panels")["data"] if trace["name"] == "chosen row"]) == 1


def test_real_targets_are_aligned_with_and_separate_nothing(visit: Opener, tmp_path: Path) -> None:
    native.write(sample_set("real"), tmp_path / "digits")
    done = train(read(tmp_path / "digits"), Recipe("mkl", {"kernel": "all"}))
    run.save(done.run, done.model.state_dict(), done.history, tmp_path / "runs")
    app = visit("weights", assets=tmp_path)
    assert not complaints(app)
    assert "no two classes to separate" in words(app)
    names = [trace["name"] for trace in chart(app, "kernel-usefulness")["data"]]
    assert names == ["alignment with the target"]


def test_without_labels_the_page_says_what_it_cannot_know(
    visit: Opener, solved: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    world.build(tmp_path, world.dataset(None, change=world.unlabelled), train_it=False)
    (tmp_path / "runs").symlink_to(solved[0] / "runs")
    app = visit("weights", assets=tmp_path)
    assert not complaints(app)
    said = words(app)
    assert "cannot be found again" in said
    assert "nothing for a kernel to be aligned with" in said
    assert "What each kernel sees" in said


# ---------------------------------------------------------------------------- figures


def test_many_kernels_are_drawn_heaviest_first_and_names_are_harmless() -> None:
    names = [f"<b>{n}</b>" for n in range(12)]
    beta = np.arange(1.0, 13)[:, None]
    found = [mkl.AtNorm(p, beta / p, 90.0, 1e-5, 3, 50, 60) for p in (1.0, 2.0)]
    figure = figures.norm_path(found, names, 1.0, 2.0, LIGHT)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == figures.MOST_LINES
    assert lines[0].name == "&lt;b&gt;11&lt;/b&gt;"
    np.testing.assert_allclose(lines[0].y, 12 / 78)
    table = figures.norm_table(found, names, "accuracy")
    assert table.loc[1, "β <b>0</b>"] == 0.5
    assert len(figures.weight_table(found[0], found[1], names)) == 12


def test_a_kernel_has_one_colour_and_one_mark_in_every_figure_of_the_page() -> None:
    names = [f"kernel {n}" for n in range(8)]
    beta = np.array([3.0, 1, 4, 1.5, 9, 2, 6, 5])
    lost = np.linspace(1, 8, 8)
    removed = Removals("auc", tuple(names), beta, 80.0, 80 - lost, lost, lost - 1, lost + 1, lost[:, None], 9)
    above = weight_figures.weight_cost(removed, "β", LIGHT)
    across = weight_figures.norm_lines({1.0: beta[None], 2.0: beta[None]}, names, 1.0, "β", LIGHT)
    below = figures.norm_path([mkl.AtNorm(1.0, beta[:, None], 90.0, 1e-5, 3, 50, 60)], names, 1.0, 1.0, LIGHT)
    looks: dict[str, set[tuple[str, str]]] = {}
    for trace in [*above.data, *across.data, *below.data]:
        looks.setdefault(trace.name, set()).add((trace.line.color or trace.marker.color, trace.marker.symbol))
    assert list(looks) == names
    assert all(len(found) == 1 for found in looks.values()), looks
    assert len(set.union(*looks.values())) == len(names)  # and no two kernels look alike


def test_panels_are_those_of_the_heaviest_kernels_in_their_order() -> None:
    empty = mkl.Panel("k", np.zeros((3, 2), np.float32), np.zeros(2), 0.5, 0.5)
    found = mkl.Panels(np.arange(3), (empty,) * 12, np.ones(11), 0.1)
    beta = np.array([0.1, 9, 8, 7, 6, 5, 4, 3, 2, 0.2, 0.3])
    assert figures.drawn_panels(found, beta) == [1, 2, 3, 4, 5, 6, 7, 8, 11]
    assert figures.drawn_panels(found, np.ones(1)) == [0]
    weights = figures.panel_table(found, beta)["β"]
    assert weights.iloc[:-1].tolist() == beta.tolist()
    assert weights.isna().iloc[-1]


def test_the_model_of_the_page_is_mkl(solved: tuple[Path, dict[str, str]]) -> None:
    root, made = solved
    assert isinstance(run.model(root / "runs" / made["clips"]), Mkl)
    with pytest.raises(ValueError, match="choose a run of MKL"):
        mkl.panels(run.build("concat", {"a": 2}, {}), read(root / "digits").part("test").flat())

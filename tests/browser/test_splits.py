"""The splits page in a real browser: a click on a point goes everywhere, colours change, UMAP arrives by itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page

from core import run
from core.data import native
from core.recipe import Recipe, TrainConfig
from core.train.loop import train
from tests import world
from tests.browser.access import accessible
from tests.browser.conftest import Opener, serving, settle, until
from tests.world import SECONDS

HOSTILE = '<img src=x onerror="window.owned=1">![x](http:evil.test)'


@pytest.fixture(scope="module")
def split_server(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[str]:
    """The tiny yard with hostile names, scored by GMF alone, so that it is the run that is chosen."""
    root = tmp_path_factory.mktemp("splits")
    names = tuple(f"{name} {HOSTILE}" for name in world.NAMES)
    world.build(root, world.dataset(root / "videos", names), train_it=False)
    data = native.read(root / "demo")
    for config in ({}, {"boundary": 0.25}):
        trained = train(data, Recipe("gmf", config, TrainConfig(epochs=4, batch=6)))
        run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    with serving(root, root / "workspace", root / "server.log", NUMBA_CACHE_DIR=str(compiled)) as address:
        yield address


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def drawn(page: Page) -> list[dict]:
    """The traces of the map: name, how many points, where the first one lies, and colours."""
    found: list[dict] = page.evaluate(
        """() => document.querySelector('.js-plotly-plot')._fullData.map(t => (
            {name: t.name, count: t.x.length, x: t.x[0], colour: [t.marker.color].flat()[0]}))"""
    )
    return found


def axis(page: Page) -> str:
    return str(page.evaluate("() => document.querySelector('.js-plotly-plot').layout.xaxis.title.text"))


def click_point(page: Page, curve: int, point: int) -> None:
    mark = page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace").nth(curve).locator(".point").nth(point)
    mark.wait_for(state="attached")
    box = mark.bounding_box()
    assert box is not None
    for share in (0.4, 0.5):  # Plotly must have seen the pointer come before it takes a click
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
        page.wait_for_timeout(150)
    page.mouse.down()
    page.mouse.up()


def test_a_click_on_a_point_chooses_its_moment_on_every_page(visit: Opener, split_server: str) -> None:
    page = visit("splits?map=PCA", address=split_server)
    page.wait_for_selector(".js-plotly-plot .point")
    outermost = page.evaluate(
        """() => { const t = document.querySelector('.js-plotly-plot')._fullData[0];
                   let best = 0; t.x.forEach((x, i) => { if (x > t.x[best]) best = i }); return best }"""
    )
    click_point(page, 0, outermost)
    until(page, lambda: "time" in link(page), "the link holds the moment")
    settle(page)
    unit = round(float(link(page)["time"]) / SECONDS)
    assert 0 <= unit < 10
    assert page.get_by_text(re.compile(f"unit {unit}, class|unit {unit}$")).count() >= 1
    ring = drawn(page)[-1]
    assert (ring["name"], ring["count"]) == ("chosen row", 4)  # two modalities, two parts
    name = link(page)["clip"]
    page.get_by_role("link", name="Look at this moment").click()
    settle(page)
    assert link(page)["clip"] == name
    assert abs(float(link(page)["time"]) - unit * SECONDS) < 0.01
    assert page.evaluate("window.owned") is None


def test_colours_change_and_points_stay(visit: Opener, split_server: str) -> None:
    page = visit("splits?map=PCA", address=split_server)
    page.wait_for_selector(".js-plotly-plot .point")
    before = drawn(page)
    page.get_by_role("radio", name="class", exact=True).click()
    until(page, lambda: link(page).get("colour") == "class", "the link holds the colour")
    settle(page)
    after = drawn(page)
    for was, now in zip(before[:4], after[:4], strict=True):
        assert (was["name"], was["count"], was["x"]) == (now["name"], now["count"], now["x"])
        assert was["colour"] != now["colour"]
    assert "anomalous" in [trace["name"] for trace in after]
    assert page.evaluate("window.owned") is None


@pytest.mark.timeout(600)
def test_umap_takes_the_place_of_pca_by_itself(visit: Opener, split_server: str) -> None:
    page = visit("splits", address=split_server)
    page.wait_for_selector(".js-plotly-plot .point")
    until(page, lambda: axis(page) == "UMAP 1", "UMAP is there, and nobody touched the page", seconds=240)
    assert page.get_by_text("UMAP is being made").count() == 0
    page.get_by_role("radio", name="PCA", exact=True).click()
    until(page, lambda: axis(page) == "PCA 1", "back to PCA")


@pytest.mark.parametrize("tab", ["What the parts know", "Loss and mass", "Missing modalities", "Boundary"])
def test_every_tab_draws(visit: Opener, split_server: str, tab: str) -> None:
    page = visit("splits?map=PCA", address=split_server)
    page.get_by_role("tab", name=tab).click()
    settle(page)
    until(page, lambda: page.locator(".js-plotly-plot").count() >= 2, "its figure")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 1024, "height": 1000})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_finds_nothing(visit: Opener, split_server: str) -> None:
    page = visit("splits?map=PCA", address=split_server)
    page.wait_for_selector(".js-plotly-plot .point")
    accessible(page, "[data-testid=stMain]")

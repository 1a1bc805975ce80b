"""The factors page in a real browser: a click on a cell switches a part, pills switch ranks, numbers move at once."""

from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on clips with one LMF run."""
    root = tmp_path_factory.mktemp("factors")
    native.write(world.dataset(root / "videos"), root / "demo")
    trained = train(native.read(root / "demo"), Recipe("lmf", {"rank": 3}, TrainConfig(epochs=6, batch=6)))
    run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    with serving(root, root / "workspace", root / "server.log") as found:
        yield found


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def card(page: Page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True)).inner_text()


def test_a_rank_is_switched_by_its_pill_and_brought_back_by_undo(visit: Opener, address: str) -> None:
    page = visit("factors?clip=test-01&time=3.2", address=address)
    was = card(page, "Logit"), card(page, "Unit AUC")
    page.get_by_role("button", name="2", exact=True).click()
    until(page, lambda: link(page).get("off") == "r1", "rank 2 is off")
    settle(page)
    assert card(page, "Logit") != was[0]
    assert page.locator(".js-plotly-plot").first.locator(".annotation-text", has_text="off").count() == 4
    page.get_by_role("button", name="Undo").click()
    until(page, lambda: "off" not in link(page), "as trained")
    settle(page)
    assert (card(page, "Logit"), card(page, "Unit AUC")) == was


def test_a_click_on_a_cell_switches_that_part(visit: Opener, address: str) -> None:
    page = visit("factors?clip=test-01&time=3.2", address=address)
    was = card(page, "Logit")
    cells = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point")
    cells.first.wait_for(state="attached")
    assert cells.count() == 12
    box = cells.nth(4).bounding_box()  # second interaction, second rank
    assert box is not None
    for step in (0.4, 0.5):  # Plotly must have seen the pointer come before it takes a click
        page.mouse.move(box["x"] + box["width"] * step, box["y"] + box["height"] * step)
        page.wait_for_timeout(150)
    page.mouse.down()
    page.mouse.up()
    until(page, lambda: link(page).get("off") == "1.1", "part (1, 1) is off")
    settle(page)
    assert card(page, "Logit") != was
    page.get_by_role("button", name="As trained").click()
    until(page, lambda: "off" not in link(page), "as trained")
    settle(page)
    assert card(page, "Logit") == was


def test_a_link_reopens_what_is_off(visit: Opener, address: str) -> None:
    page = visit("factors?off=r0+i1", address=address)
    assert page.locator(".js-plotly-plot").first.locator(".annotation-text", has_text="off").count() == 6
    assert link(page).get("off") == "r0 i1"


def test_axe_finds_nothing(visit: Opener, address: str) -> None:
    page = visit("factors?off=r0", address=address)
    accessible(page)

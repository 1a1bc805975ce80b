"""The steps page in a real browser: R moves the numbers and the link, a table row is a choice, axe finds nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page

from tests.app.test_steps import sample_set
from tests.browser.access import accessible
from tests.browser.conftest import Opener, serving, settle, slide, until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Samples with a ProFusion run of three steps, and one that runs once."""
    from core import run
    from core.data import read
    from core.data.samples import native
    from core.recipe import Recipe, TrainConfig
    from core.train.loop import train

    root: Path = tmp_path_factory.mktemp("steps")
    native.write(sample_set(), root / "digits")
    for fusion, options in (("profusion", {"steps": 3, "hidden": 8}), ("concat", {})):
        trained = train(read(root / "digits"), Recipe(fusion, options, TrainConfig(epochs=8, batch=20, lr=0.01), (0,)))
        run.save(trained.run, trained.model.state_dict(), trained.history, root / "runs")
    with serving(root, root / "workspace", root / "server.log") as found:
        yield found


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def card(page: Page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has=page.get_by_text(re.compile(f"^{label}"))).first.inner_text()


@pytest.fixture
def page(visit: Opener, address: str) -> Page:
    """The page as the button of its empty state opens it."""
    opened = visit("steps", address=address)
    if opened.get_by_text("reads its modalities once").count():
        opened.get_by_test_id("stBaseButton-primary").click()
        opened.get_by_text("What each modality knows").wait_for()
    return settle(opened)


def test_r_moves_the_numbers_and_the_link_and_back(page: Page) -> None:
    assert "R = 3" in card(page, "accuracy, R")
    before = card(page, "Decisions changed")
    slider = page.get_by_test_id("stMain").get_by_role("slider")
    slide(page, slider, 8)
    until(page, lambda: link(page).get("steps") == "8", "the link holds R")
    until(page, lambda: "R = 8" in card(page, "accuracy, R"), "the card follows")
    settle(page)
    assert "to the trained R" in card(page, "accuracy, R")
    assert card(page, "Decisions changed") != before
    slide(page, slider, 3)
    until(page, lambda: "R = 3" in card(page, "accuracy, R"), "back at the trained R")
    assert card(page, "Decisions changed") == before


def test_a_row_of_the_table_is_chosen_on_every_page(page: Page) -> None:
    slider = page.get_by_test_id("stMain").get_by_role("slider")
    slide(page, slider, 8)
    until(page, lambda: link(page).get("steps") == "8", "R = 8")
    settle(page)
    tables = page.get_by_test_id("stDataFrame")
    table = tables.last
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 54)  # the box before its second row
    until(page, lambda: "sample" in link(page), "the link holds the sample")
    settle(page)
    number = link(page)["sample"]
    field = page.get_by_test_id("stSidebar").get_by_role("spinbutton")
    assert field.input_value() == number
    page.get_by_role("link", name="Clips & scores").click()
    settle(page)
    assert link(page).get("sample") == number


def test_the_scale_of_the_probes_is_in_the_link(page: Page, visit: Opener, address: str) -> None:
    page.get_by_role("button", name="relative to step 1").or_(
        page.get_by_role("radio", name="relative to step 1")
    ).first.click()
    until(page, lambda: link(page).get("probes") == "relative to step 1", "the link")
    settle(page)
    again = visit(f"steps?{urlparse(page.url).query}", address=address)
    again.get_by_text("over t = 1").first.wait_for()


def test_axe_finds_nothing(visit: Opener, address: str) -> None:
    page = visit("steps", address=address)
    if page.get_by_text("reads its modalities once").count():
        page.get_by_test_id("stBaseButton-primary").click()
        page.get_by_text("What each modality knows").wait_for()
        settle(page)
    accessible(page, "[data-testid=stMain]")

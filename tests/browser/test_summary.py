"""A long clip as one window, in a real browser: a community opens, the link keeps it, and the way back works."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests import world
from tests.app.test_summary import longer
from tests.browser.access import violations
from tests.browser.conftest import Opener, serving, settle, until

LINK = "graphs?clip=test-01&as_one=whole+clip&alpha=0.2"


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on a world with a clip of 900 units."""
    root = tmp_path_factory.mktemp("long")
    world.build(root, world.dataset(None, change=longer))
    with serving(root, root / "workspace", root / "server.log") as address:
        yield address


def says(page: Page, text: str) -> None:
    until(page, lambda: text in page.inner_text("[data-testid=stMain]"), f"the page says {text!r}", 30)


def test_a_community_opens_and_the_way_back(visit: Opener, long: str) -> None:
    visit("overview", address=long)  # a fresh server loads everything for its first visitor
    page = visit(LINK, address=long)
    says(page, "900 units in 3 groups")
    nodes = page.locator(".js-plotly-plot").first.locator("path.point")
    until(page, lambda: nodes.count() >= 3, "three communities are drawn")
    nodes.first.click(force=True)
    says(page, "300 units one by one")
    until(page, lambda: "part=" in page.url, "the link holds the community")
    link = page.url
    until(page, lambda: nodes.count() >= 300, "every unit is drawn")
    nodes.nth(7).click(force=True)
    until(page, lambda: "time=" in page.url, "a click on a unit chooses its moment")
    page.locator(".st-key-part").get_by_text("whole clip").click()
    says(page, "900 units in 3 groups")
    page.goto(link)
    settle(page)
    says(page, "300 units one by one")


@pytest.mark.parametrize(("theme", "part"), [("light", ""), ("dark", "&part=1")])
def test_axe_finds_nothing(visit: Opener, long: str, theme: str, part: str) -> None:
    page = visit(LINK + part, theme=theme, address=long)
    says(page, "Scores in one window")
    page.wait_for_timeout(500)
    told = violations(page)
    assert not told, "\n".join(told)

"""The compare page in a real browser: the link holds the choice, a disagreement opens its clip at its moment."""

import re
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Page

from tests.browser.conftest import Opener, settle, until


def link(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def test_a_disagreement_opens_its_clip_with_both_runs_and_the_way_back_keeps_the_choice(visit: Opener) -> None:
    page = visit("compare")
    page.get_by_text("Better than the baseline?").wait_for()
    assert page.get_by_test_id("stMain").get_by_text(re.compile("better|worse|not told apart")).count()
    button = page.get_by_test_id("stMain").get_by_role("button", name=re.compile(r"^test-\d+, ")).first
    name = re.match(r"(test-\d+), ([\d.]+) s", button.inner_text())
    assert name is not None
    button.click()
    page.get_by_role("heading", name="Clips & scores").wait_for()
    settle(page)
    until(page, lambda: link(page).get("clip") == [name[1]], "the link names the clip")
    assert float(link(page)["time"][0]) == float(name[2])
    assert link(page)["run"][0].startswith("LEGO")
    assert link(page)["against"][0].startswith("sum")


def test_the_number_is_in_the_link(visit: Opener) -> None:
    page = visit("compare")
    page.get_by_test_id("stMain").get_by_role("radio", name="AP", exact=True).or_(
        page.get_by_test_id("stMain").get_by_role("button", name="AP", exact=True)
    ).first.click()
    until(page, lambda: link(page).get("number") == ["AP"], "the link holds the number")
    settle(page)
    page.get_by_text("AP (%)").first.wait_for()
    again = visit(f"compare?{urlparse(page.url).query}")
    again.get_by_text("AP (%)").first.wait_for()

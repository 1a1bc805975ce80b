"""Sweeps in a real browser, with a real job: started, watched, its cells clicked, one opened; axe finds nothing."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page

from tests import world
from tests.browser.access import violations
from tests.browser.conftest import Opener, serving, settle, until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root: Path = tmp_path_factory.mktemp("sweeps")
    world.build(root, world.dataset(None))
    with serving(root, root / "workspace", root / "server.log") as found:
        yield found


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def fill(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True).first
    field.fill(value)
    field.press("Enter")
    settle(page)


def test_a_sweep_from_the_form_to_a_run_of_every_page(visit: Opener, address: str) -> None:
    page = visit("train?train_tab=Sweeps", address=address)
    fill(page, "Values of option 1", "1, 2")
    fill(page, "Values of option 2", "1..3")
    fill(page, "Epochs", "3")
    page.get_by_text("6 cells × 3 seeds = 18 trainings").wait_for()
    page.get_by_role("button", name="Start the sweep").click()
    # nothing is pressed and nothing reloaded: the page looks by itself
    page.get_by_text("18 of 18 trainings").wait_for(timeout=60_000)
    page.get_by_text("measured on held-out training clips").first.wait_for()
    settle(page)
    chart = page.get_by_test_id("stPlotlyChart").first
    chart.scroll_into_view_if_needed()
    mark = chart.locator(".scatterlayer .trace").first.locator("path.point").nth(4)
    box = mark.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] - 15, box["y"] + box["height"] / 2)  # in its cell, beside its mark
    chart.locator(".hoverlayer").get_by_text("strongest in its A").wait_for()
    page.mouse.click(box["x"] - 15, box["y"] + box["height"] / 2)
    until(page, lambda: link(page).get("cell") == "P = 2, Q = 2", "the link holds the clicked cell")
    settle(page)
    page.get_by_text("Its learned A, the mean over 3 seeds").wait_for()
    told = violations(page, "[data-testid=stMain]")
    assert not told, "\n".join(told)
    page.get_by_role("button", name="Remove", exact=False).filter(has_text="Remove").first.click()
    page.get_by_role("button", name="Remove this sweep").click()
    page.get_by_role("button", name="Put it back").click()
    page.get_by_text("18 of 18 trainings").wait_for()
    settle(page)
    page.get_by_role("button", name="Open its run in every page").click()
    page.get_by_role("button", name="Choose its run in every page").wait_for()
    settle(page)
    chosen = link(page).get("run", "")
    page.get_by_role("link", name="Relationship graphs").click()
    settle(page)
    assert link(page).get("run", "") == chosen
    assert not page.get_by_test_id("stException").count()

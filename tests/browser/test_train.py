"""Training in a real browser: a job outlives a reload and a closed tab, can be stopped, and what comes out opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from core import run
from tests import world
from tests.browser.conftest import Opener, serving, settle, until

ENDED = 90_000  # milliseconds; a job starts two processes and imports torch on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train")
    return world.build(root, world.dataset(None))


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with serving(place, place / "workspace", place / "server.log") as one:
        yield one


def main(page: Page):
    return page.get_by_test_id("stMain")  # Streamlit's own header has a button called Stop


def test_a_training_outlives_its_page_and_is_stopped_from_another(visit: Opener, address: str, place: Path) -> None:
    page = visit("train?method=LEGO", address=address)
    epochs = main(page).get_by_label("epochs", exact=True)
    epochs.fill("1000000")
    epochs.press("Enter")
    settle(page)
    main(page).get_by_role("button", name="Start training").click()
    main(page).get_by_role("button", name="Stop").wait_for()
    settle(page)
    page.close()  # the tab
    page = visit("train", address=address)
    main(page).get_by_text("epoch").first.wait_for(timeout=ENDED)
    main(page).get_by_role("button", name="Stop").click()
    main(page).get_by_text("was stopped").wait_for()
    assert not list((place / "workspace" / "runs").glob("*"))


def test_retraining_from_the_operator_page_stands_against_the_old_run(visit: Opener, address: str, place: Path) -> None:
    page = visit("operator?alpha=0.3&k=4", address=address)
    page.get_by_role("button", name="Retrain with these settings").click()
    page.get_by_role("button", name="Retrain", exact=True).click()
    new = main(page).get_by_role("button", name="Look at the new run")
    new.wait_for(timeout=ENDED)
    (made,) = run.listing(place / "workspace" / "runs").values()
    assert (made.config["alpha"], made.config["k"]) == (0.3, 4)
    settle(page)
    page.keyboard.press("Escape")
    new.click()
    main(page).get_by_role("button", name="Back to the old run").wait_for()
    until(page, lambda: "alpha%3D0.3" in page.url or "alpha=0.3" in page.url, "the new run is in the link")
    assert page.locator("[data-testid='stAlertContentError']").count() == 0

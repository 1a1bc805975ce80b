"""The weights page in a real browser: the empty state opens a run, choices are in the link, axe finds nothing."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page

from tests.app.test_weights import keep, sample_set
from tests.browser.access import accessible
from tests.browser.conftest import Opener, serving, settle, until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Samples with InTense at two norms, and a fusion that weighs nothing, which the page begins with."""
    from core.data.samples import native

    root: Path = tmp_path_factory.mktemp("weights")
    native.write(sample_set(hostile=True), root / "digits")
    keep(root, "digits", "concat")
    for p in (1.0, 2.0):
        keep(root, "digits", "intense", p=p, project=2)
    with serving(root, root / "workspace", root / "server.log") as found:
        yield found


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def opened(visit: Opener, address: str, **options: str) -> Page:
    """The page as the button of its empty state opens it."""
    page = visit("weights", address=address, **options)
    page.get_by_test_id("stBaseButton-primary").click()
    page.get_by_text("How much each counts").wait_for()
    return settle(page)


def test_what_is_looked_at_and_which_output_are_in_the_link(visit: Opener, address: str) -> None:
    page = opened(visit, address)
    assert "InTense" in link(page)["run"]
    main = page.get_by_test_id("stMain")
    assert main.get_by_text("left × right").count() >= 2  # on the bars and in the row's parts
    main.get_by_text("modalities", exact=True).first.click()
    until(page, lambda: link(page).get("weighed") == "modalities", "the link holds what is looked at")
    settle(page)
    main.get_by_text("Left: a modality's share").wait_for()
    main.get_by_role("combobox").last.click()
    page.get_by_role("option", name="d", exact=True).click()
    until(page, lambda: link(page).get("weighed_output") == "d", "the link holds the output")
    main.get_by_text("logit of d").first.wait_for()
    again = settle(visit(f"weights?{urlparse(page.url).query}", address=address))
    again.get_by_text("logit of d").first.wait_for()
    again.get_by_text("Left: a modality's share").wait_for()
    assert not again.locator("[data-testid=stMain] img[src*='//y']").count()  # a class called ![x](http://y)
    the_rows_sentence_follows_the_sample(again)


def the_rows_sentence_follows_the_sample(page: Page) -> None:
    told = page.get_by_text("the model says").first
    before = told.inner_text()
    field = page.get_by_test_id("stSidebar").get_by_role("spinbutton")
    field.fill("11")
    field.press("Enter")
    until(page, lambda: link(page).get("sample") == "11", "the link holds the sample")
    until(page, lambda: page.get_by_text("the model says").first.inner_text() != before, "the sentence follows")
    page.get_by_role("tab", name="By output").click()
    until(page, lambda: link(page).get("below_weights") == "By output", "the link holds the tab")
    page.get_by_text("How far every branch moves").wait_for()


def test_axe_finds_nothing(visit: Opener, address: str) -> None:
    page = opened(visit, address)
    accessible(page, "[data-testid=stMain]")

"""The robustness page in a real browser: a corruption and a strength are in the link, axe finds nothing on any tab."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page

from tests.browser.access import darken, violations
from tests.browser.conftest import Opener, serving, settle, until
from tests.core.trust.test_attack import blobs

TABS = ("Calibration", "What it does not know", "Missing modalities", "Is a lower rank more robust?")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Samples with LMF of two ranks and seeds."""
    from core import run
    from core.data import read
    from core.data.samples import native
    from core.recipe import Recipe, TrainConfig
    from core.train.loop import train

    root: Path = tmp_path_factory.mktemp("robustness")
    native.write(blobs(), root / "digits")
    for rank, seed in ((1, 0), (1, 1), (2, 0), (2, 1)):
        options = {"rank": rank, "out": 4}
        done = train(read(root / "digits"), Recipe("lmf", options, TrainConfig(epochs=4, batch=50, lr=0.01), (seed,)))
        run.save(done.run, done.model.state_dict(), done.history, root / "runs")
    with serving(root, root / "workspace", root / "server.log") as found:
        yield found


def link(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def card(page: Page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has=page.get_by_text(re.compile(label))).first.inner_text()


def test_corruption_modality_and_strength_are_in_the_link(visit: Opener, address: str) -> None:
    page = visit("robustness", address=address)
    page.get_by_role("radio", name="FGSM").or_(page.get_by_role("button", name="FGSM")).first.click()
    until(page, lambda: link(page).get("corruption") == ["FGSM"], "the link holds the corruption")
    settle(page)
    before = card(page, "accuracy, strength")
    slider = page.get_by_test_id("stMain").get_by_role("slider").first
    slider.focus()
    page.keyboard.press("End")
    until(page, lambda: "strength 0.25" in card(page, "accuracy, strength"), "the card follows the strength")
    settle(page)
    strongest = card(page, "accuracy, strength")
    assert strongest != before
    assert link(page)["strength-fgsm"] == ["0.25"]
    page.get_by_test_id("stMain").get_by_role("button", name="left").first.click()
    until(page, lambda: link(page).get("corrupted") == ["right"], "the link holds the modality")
    settle(page)
    until(page, lambda: card(page, "accuracy, strength") != strongest, "one modality alone loses less")
    again = visit(f"robustness?{urlparse(page.url).query}", address=address)
    assert card(again, "accuracy, strength") == card(page, "accuracy, strength")


def test_axe_finds_nothing_on_any_tab(visit: Opener, address: str) -> None:
    page = visit("robustness?asked-ranks=true", address=address)
    for tab in [*TABS, "dark", *TABS]:
        if tab == "dark":
            darken(page)
            continue
        page.get_by_role("tab", name=tab).click()
        settle(page)
        assert page.get_by_role("tab", name=tab).get_attribute("aria-selected") == "true"
        told = violations(page, "[data-testid=stMain]")
        assert not told, f"{tab}\n" + "\n".join(told)

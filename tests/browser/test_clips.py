"""The player: what is clicked, typed or dragged is what is shown, and a link holds it."""

from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import Opener, settle, until
from tests.world import SECONDS

FRAME = SECONDS / 16
LENGTH = 157 * FRAME
LEFT, RIGHT = 40, 14  # the plot inside the canvas, as video.js has it


@pytest.fixture
def page(visit: Opener) -> Page:
    return ready(visit("clips?clip=test-01"))


def ready(page: Page) -> Page:
    """The player listens once it has said where it stands."""
    until(page, lambda: bool(page.locator(".readout").inner_text()), "the player")
    return page


def timeline(page: Page) -> Locator:
    return page.get_by_role("slider", name="timeline of clip test-01")


def shown(page: Page) -> float:
    """Where the video stands, in seconds."""
    return float(page.locator("video").evaluate("video => video.currentTime"))


def link(page: Page) -> dict[str, float]:
    return {k: float(v[0]) for k, v in parse_qs(urlparse(page.url).query).items() if k in ("time", "threshold")}


def click_at(page: Page, seconds: float) -> None:
    box = timeline(page).bounding_box()
    assert box is not None
    x = LEFT + seconds / LENGTH * (box["width"] - LEFT - RIGHT)
    timeline(page).click(position={"x": x, "y": box["height"] / 2})


def test_a_click_seeks_to_that_moment(page: Page) -> None:
    for seconds in (4.0, 1.3):
        click_at(page, seconds)
        until(page, lambda seconds=seconds: abs(shown(page) - seconds) < FRAME, f"video at {seconds} s")
        until(page, lambda seconds=seconds: abs(link(page).get("time", -1) - seconds) < FRAME, "the link holds it")
        said = timeline(page).get_attribute("aria-valuetext") or ""
        assert f"unit {int(seconds / SECONDS)} " in said


def test_keys_move_by_frame_and_by_unit(page: Page) -> None:
    click_at(page, 3.0)
    begin = shown(page)
    for key, to in (
        ("ArrowRight", begin + FRAME),
        ("ArrowLeft", begin),
        ("PageUp", 5 * SECONDS),
        ("PageUp", 6 * SECONDS),
        ("PageDown", 5 * SECONDS),
        ("Home", 0.0),
        ("End", LENGTH),
    ):
        page.keyboard.press(key)
        until(page, lambda to=to: abs(shown(page) - to) < FRAME / 2, f"{key} to {to:.2f} s")  # type: ignore[misc]


def test_space_plays_and_a_rerun_does_not_interrupt(page: Page) -> None:
    timeline(page).focus()
    page.keyboard.press("Space")
    until(page, lambda: shown(page) > 0.1, "playing")
    page.get_by_role("slider", name="k").focus()
    page.keyboard.press("ArrowRight")  # a shared control: the whole page runs again
    until(page, lambda: "k=11" in page.url, "the rerun")
    assert not page.locator("video").evaluate("video => video.paused")
    before = shown(page)
    until(page, lambda: shown(page) > before, "still playing")


def test_the_threshold_follows_the_hand_and_is_told_on_release(page: Page) -> None:
    handle = page.get_by_role("slider", name="alarm threshold", exact=True)
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 25, steps=5)
    until(page, lambda: float(handle.get_attribute("aria-valuenow") or 1) < 0.5, "the line moves at once")
    moved = float(handle.get_attribute("aria-valuenow") or 1)
    assert "threshold" not in link(page)
    page.mouse.up()
    until(page, lambda: abs(link(page).get("threshold", 1) - moved) < 1e-9, "the link holds the threshold")
    settle(page)
    assert f"{moved:.3f}" in page.locator("[data-testid=stSidebar]").inner_text()


def test_keys_move_the_threshold(page: Page) -> None:
    page.get_by_role("slider", name="alarm threshold", exact=True).focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowUp")
    until(page, lambda: link(page).get("threshold") == 0.451, "0.5 - 0.05 + 0.001")


def test_a_link_reopens_the_view(visit: Opener) -> None:
    page = ready(visit("clips?clip=test-01&time=3.25&threshold=0.4"))
    until(page, lambda: abs(shown(page) - 3.25) < 1e-3, "video at 3.25 s")
    handle = page.get_by_role("slider", name="alarm threshold", exact=True)
    assert handle.get_attribute("aria-valuenow") == "0.400"


def test_highest_goes_to_the_highest_unit(page: Page) -> None:
    page.get_by_role("button", name="Highest", exact=True).click()
    until(page, lambda: "time" in link(page), "the link holds the moment")
    settle(page)
    highest = page.locator("[data-testid=stMetric]", has_text="Highest score").inner_text().split()[-1]
    assert f"score {highest} " in (timeline(page).get_attribute("aria-valuetext") or "")


def test_another_clip_begins_at_its_beginning(page: Page) -> None:
    click_at(page, 4.0)
    until(page, lambda: "time" in link(page), "the link holds the moment")
    page.get_by_role("combobox", name="Clip").click()
    page.get_by_role("option", name="test-02").click()
    until(page, lambda: "clip=test-02" in page.url and "time" not in link(page), "the link names the new clip")
    settle(page)
    until(page, lambda: shown(page) == 0.0, "at the start")


def test_the_link_never_names_a_clip_that_is_not_shown(visit: Opener) -> None:
    page = visit("?clip=test-01&time=4")
    page.get_by_role("link", name="Clips & scores").click()
    settle(page)
    assert "clip=test-01" in page.url
    assert abs(link(page)["time"] - 4) < 1e-9


def test_a_thumbnail_opens_its_moment(visit: Opener) -> None:
    page = visit("")
    card = page.locator("[class*=st-key-top-] button").first
    clip = card.inner_text().split(",")[0]
    card.click()
    until(page, lambda: "/clips?" in page.url, "the page of the clips")
    settle(page)
    assert page.get_by_role("slider", name=f"timeline of clip {clip}").count() == 1
    until(page, lambda: abs(shown(page) - link(page)["time"]) < 0.01, "video at the link's moment")

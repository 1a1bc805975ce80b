"""axe-core finds nothing on any page, light or dark; and a page that is open follows the system into the dark."""

import pytest

from tests.app.conftest import PAGES
from tests.browser.access import accessible, darken
from tests.browser.conftest import Opener, until

INK = "() => document.querySelector('.js-plotly-plot .legendtext')?.style.fill"


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(visit: Opener, page: str) -> None:
    opened = visit("" if page == "overview" else page)
    opened.wait_for_timeout(500)
    accessible(opened)


def test_figures_follow_the_system_into_the_dark_and_back(visit: Opener) -> None:
    page = visit("thresholds")
    until(page, lambda: bool(page.evaluate(INK)), "a legend is drawn")
    light = page.evaluate(INK)
    darken(page)
    until(page, lambda: page.evaluate(INK) not in (None, light), "the legend is light on dark")
    page.emulate_media(color_scheme="light")
    until(page, lambda: page.evaluate(INK) == light, "and dark on light again")

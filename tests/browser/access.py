"""axe-core, as it comes with axe-playwright-python, finds nothing on a page, light and dark."""

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

from tests.browser.conftest import settle, until

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
# Streamlit's own furniture, which no app can change: rule and element. It does no harm: the drop zone is skipped by the
# keyboard and its button is read.
KNOWN = {"presentation-role-conflict": 'data-testid="stFileUploaderDropzone"'}
DARK = "(() => [...document.querySelectorAll('style')].some(s => s.textContent.includes('on the dark theme')))()"


def violations(page: Page, within: str | None = None) -> list[str]:
    """What axe finds, on the whole page or within a selector."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "within => axe.run(within ? {include: [[within]]} : document, {resultTypes: ['violations']})", within
    )
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if KNOWN.get(rule["id"], "nothing") not in node["html"]
    ]


def darken(page: Page) -> None:
    """The system turns dark while the page is open; Python draws anew, in the dark theme's colours."""
    page.emulate_media(color_scheme="dark")
    until(page, lambda: page.evaluate(DARK), "Python knows that the page is dark")
    settle(page)


def accessible(page: Page, within: str | None = None) -> None:
    """Nothing is found as the page stands, nor in the dark."""
    told = violations(page, within)
    assert not told, "light\n" + "\n".join(told)
    darken(page)
    page.wait_for_timeout(300)
    told = violations(page, within)
    assert not told, "dark\n" + "\n".join(told)

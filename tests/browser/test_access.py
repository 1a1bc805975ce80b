"""axe-core, as it comes with axe-playwright-python, finds nothing on any page, light or dark."""

import json
from pathlib import Path

import axe_playwright_python
import pytest

from tests.app.conftest import PAGES
from tests.browser.conftest import Opener

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
# Streamlit's own furniture, which no app can change: each line says which and why it does no harm.
KNOWN: dict[str, str] = {}


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(visit: Opener, page: str, theme: str) -> None:
    opened = visit("" if page == "overview" else page, theme=theme)
    opened.wait_for_timeout(500)
    opened.evaluate(AXE.read_text())
    found = opened.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {json.dumps([n['html'][:160] for n in rule['nodes'][:3]])}"
        for rule in found["violations"]
        if rule["id"] not in KNOWN
    ]
    assert not told, "\n".join(told)

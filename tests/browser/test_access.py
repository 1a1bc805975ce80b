"""axe-core, as it comes with axe-playwright-python, finds nothing on any page, light or dark."""

from pathlib import Path

import axe_playwright_python
import pytest

from tests.app.conftest import PAGES
from tests.browser.conftest import Opener

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
# Streamlit's own furniture, which no app can change: rule and element. It does no harm: the drop zone is skipped by the
# keyboard and its button is read.
KNOWN = {"presentation-role-conflict": 'data-testid="stFileUploaderDropzone"'}


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(visit: Opener, page: str, theme: str) -> None:
    opened = visit("" if page == "overview" else page, theme=theme)
    opened.wait_for_timeout(500)
    opened.evaluate(AXE.read_text())
    found = opened.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if KNOWN.get(rule["id"], "nothing") not in node["html"]
    ]
    assert not told, "\n".join(told)

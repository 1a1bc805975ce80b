"""Pages are opened through main.py, as a visitor does, on a tiny world built once."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests import world

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")
PAGES = sorted(script.parent.name for script in (Path(MAIN).parent / "views").glob("*/page.py"))
Opener = Callable[..., AppTest]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets with videos, labels, two LEGO runs and one rival."""
    root = tmp_path_factory.mktemp("tiny")
    return world.build(root, world.dataset(root / "videos"))


@pytest.fixture
def visit(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """visit(page, assets=..., theme=..., **link): the page as it stands after its first run."""

    def open_page(page: str = "overview", assets: Path = tiny, theme: str = "light", **link: str) -> AppTest:
        monkeypatch.setenv("FUSESCOPE_ASSETS", str(assets))
        monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "workspace"))
        app = AppTest.from_file(MAIN, default_timeout=60)
        app.context["theme"] = theme
        for name, value in link.items():
            app.query_params[name] = value
        app._page_hash = calc_hash(page)  # `switch_page` knows addresses of pages only after a first run
        return app.run()

    yield open_page
    gc.unfreeze()  # the warm-up froze this test's heap; the next test's garbage must be seen


def complaints(app: AppTest) -> list[str]:
    """What went wrong on the page."""
    return [error.value for error in app.error] + [error.message for error in app.exception]


def words(app: AppTest) -> str:
    """Everything the page says."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "text", "info", "warning", "error", "success")
    said = [str(element.value) for kind in kinds for element in app.get(kind)]
    return "\n".join(said + [f"{metric.label} {metric.value}" for metric in app.metric])

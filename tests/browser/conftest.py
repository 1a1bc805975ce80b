"""A real server and a real Chromium. Any request beyond this machine fails the test that made it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, sync_playwright

from tests import world

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing beyond this machine is found
]
Opener = Callable[..., Page]
PATIENCE = 60  # seconds, for whatever has to appear: a machine may be ten times slower than an idle one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@contextlib.contextmanager
def serving(assets: Path, workspace: Path, log: Path, **environment: str) -> Iterator[str]:
    """The app on a free port of this machine; its address. Ended by its own process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app/server.py", "--server.port", str(port)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ
            | {"FUSESCOPE_ASSETS": str(assets), "FUSESCOPE_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"}
            | environment,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(10 * PATIENCE):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                break
            if server.poll() is not None:
                raise RuntimeError(f"the server ended at once: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on the tiny world."""
    root = tmp_path_factory.mktemp("browser")
    world.build(root, world.dataset(root / "videos"))
    with serving(root, root / "workspace", root / "server.log") as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(f"no browser: looked for {', '.join(NAMES)} on the PATH; `apt-get install chromium` brings one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@dataclass
class Watch:
    """What the pages of the test that runs now have done wrong, and the pages themselves."""

    outside: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Iterator[tuple[dict[tuple[str, int], BrowserContext], Watch]]:
    """A browser profile for each theme and width, kept: a new one would fetch and compile Streamlit's scripts anew."""
    made: dict[tuple[str, int], BrowserContext] = {}
    yield made, Watch()
    for context in made.values():
        context.close()


@pytest.fixture
def visit(
    browser: Browser, contexts: tuple[dict[tuple[str, int], BrowserContext], Watch], server: str
) -> Iterator[Opener]:
    """visit("clips?clip=test-01", theme="dark", width=1024): a settled page; its errors fail the test at the end."""
    made, watch = contexts

    # listened to, not routed: a routed context has no cache and loads Streamlit's scripts anew with every page
    def seen(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            watch.outside.append(request.url)

    def open_page(path: str = "", theme: str = "light", width: int = 1440, address: str = server) -> Page:
        if (theme, width) not in made:
            context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 1000})  # type: ignore[arg-type]
            context.on("request", seen)
            context.set_default_timeout(PATIENCE * 1000)
            made[theme, width] = context
        page = made[theme, width].new_page()
        page.on("pageerror", lambda error: watch.broken.append(str(error)))
        watch.pages.append(page)
        page.goto(f"{address}/{path}")
        return settle(page)

    yield open_page
    for page in watch.pages:
        page.close()
    outside, broken = watch.outside, watch.broken
    watch.outside, watch.broken, watch.pages = [], [], []
    assert not outside, f"asked beyond this machine: {outside}"
    assert not broken, f"errors in the browser: {broken}"


def settle(page: Page) -> Page:
    """Wait until the script has run and the page shows what it said."""
    page.wait_for_selector("[data-testid='stApp'][data-test-connection-state='CONNECTED']", timeout=PATIENCE * 1000)
    page.wait_for_timeout(250)
    page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']", timeout=PATIENCE * 1000)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')", timeout=PATIENCE * 1000)
    page.wait_for_timeout(150)
    return page


def until(page: Page, true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Look again every 50 ms; fail with `what` when it never comes true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail(f"waited {seconds} s in vain: {what}")


def slide(page: Page, slider: Locator, value: float) -> None:
    """By the arrow keys, as often as it takes: a rerun that comes between two of them puts the handle back."""

    def there() -> bool:
        now = float(slider.input_value())
        if now == value:
            return True
        slider.press("ArrowRight" if now < value else "ArrowLeft")
        return False

    for _ in range(2):  # what stands there after the rerun counts
        until(page, there, f"the slider stands at {value}")
        settle(page)

"""Names are hostile text. On no page does one run, load a picture, make a link, or call out."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests import world
from tests.app.conftest import PAGES
from tests.browser.conftest import Opener, Watch, serving

RUNS = "<img src=x onerror=window.hacked=1>"
CALLS = "![x](http://evil.test/a.png) <img src=http://evil.test/b.png> [y](http://evil.test)"
LINKS = "http://evil.test/x https://evil.test www.evil.test a@evil.test"  # GitHub's Markdown makes links of these
CLIPS = (
    RUNS,  # the training part
    "<script>window.hacked=2<",
    "train",
    "<svg onload=window.hacked=3>",  # the test part, shown
    "![x](http:evil.test) www.evil.test a@evil.test :red[x] $x$",
    '"><img src=x onerror="window.hacked=4" href="javascript:window.hacked=5">',
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("hostile")
    made = world.dataset(
        root / "videos",
        names=CLIPS,
        kind=RUNS + CALLS,
        name="www.evil.test a@evil.test " + RUNS,
        licence=CALLS + LINKS,
        notes=(RUNS + CALLS, LINKS),
        extractors={"motion": RUNS + CALLS, "appearance": CALLS},
    )
    world.build(root, made)
    (root / "workspace" / "data").mkdir(parents=True)
    (root / "workspace" / "data" / RUNS).symlink_to(root / "demo")  # a dataset's folder has a name too
    with serving(root, root / "workspace", root / "server.log") as address:
        yield address


@pytest.mark.parametrize("page", PAGES)
def test_nothing_runs_and_nothing_calls_out(visit: Opener, hostile: str, page: str) -> None:
    name = "" if page == "overview" else page
    for clip in CLIPS[-1:]:
        opened = visit(f"{name}?clip={quote(clip)}&time=3", address=hostile)
        for fold in opened.locator("summary").all():
            fold.click()
        opened.wait_for_timeout(300)
        assert opened.evaluate("window.hacked") is None
        assert opened.locator("[src*='evil.test'], [href*='evil.test'], [src='x'], [href^='javascript:']").count() == 0


def test_a_hostile_link_is_only_text(visit: Opener, hostile: str) -> None:
    link = f"clips?clip={quote(CALLS)}&dataset={quote(RUNS)}&run={quote(CALLS)}&time={quote(RUNS)}"
    assert visit(link, address=hostile).evaluate("window.hacked") is None


def test_a_request_beyond_this_machine_is_noticed_and_finds_nothing(
    visit: Opener, contexts: tuple[object, Watch]
) -> None:
    """What every browser test relies on."""
    page, watch = visit("train"), contexts[1]
    page.goto("about:blank")  # the app's own pages may not even ask (`app/server.py`)
    far = ["http://evil.test/a", "http://198.51.100.7/b"]
    for address in far:
        asked = f"fetch({address!r}, {{mode: 'no-cors'}}).then(() => 'answered', () => 'nothing')"
        assert page.evaluate(asked) == "nothing"
    assert watch.outside == far
    watch.outside.clear()

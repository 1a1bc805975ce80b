"""Who may speak to the server: its own pages, under the names it is known by, and no other origin."""

import urllib.error
import urllib.request
from http.client import HTTPConnection

import pytest
from playwright.sync_api import Browser

from app.server import CLOSED, HEADERS


def test_every_answer_keeps_other_origins_out(server: str) -> None:
    for place in ("/", "/_stcore/health", "/clips"):
        with urllib.request.urlopen(server + place, timeout=20) as answer:
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("place", CLOSED)
def test_what_tells_strangers_about_visitors_is_closed(server: str, place: str) -> None:
    for spelt in (place, place + "/"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server + spelt, timeout=20)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 101),
        ("localhost", 101),
        ("evil.example", 403),
        ("evil.example:8501", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_a_name_that_someone_pointed_at_this_machine_is_refused(server: str, host: str, status: int) -> None:
    """DNS rebinding: the page of another site speaks to this machine under its own name."""
    asked = HTTPConnection(server.removeprefix("http://"), timeout=20)
    asked.putrequest("GET", "/_stcore/stream", skip_host=True)
    for name, value in {
        "Host": host,
        "Origin": f"http://{host}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }.items():
        asked.putheader(name, value)
    asked.endheaders()
    assert asked.getresponse().status == status
    asked.close()


def test_the_page_cannot_be_framed(server: str, browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(f"<iframe src='{server}'></iframe>")
    page.wait_for_timeout(1500)
    assert not any(frame.url.startswith(server) for frame in page.frames)
    page.close()

"""Undo, pages, and Streamlit's private parts: of the pinned version, each is there and does what is meant."""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.scriptrunner import RerunData, RerunException
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.runtime.state.query_params import QueryParams
from streamlit.testing.v1 import AppTest

from app.state import history, navigation
from tests.app.conftest import Opener, complaints

ROOT = Path(__file__).parents[2]


# ---------------------------------------------------------------------------- history


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    held: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", held)
    return held


def test_every_change_is_undone_and_done_again(state: dict[str, Any]) -> None:
    for line in ("0<2", "0<2 1,1=0"):
        history.change("A", line)
    history.undo("A")
    assert state["A"] == "0<2"
    history.undo("A")
    history.undo("A")  # nothing is left to undo
    assert state["A"] == ""
    for _ in range(3):
        history.redo("A")
    assert state["A"] == "0<2 1,1=0"


def test_a_change_after_an_undo_forgets_what_was_undone(state: dict[str, Any]) -> None:
    for line in ("one", "two"):
        history.change("A", line)
    history.undo("A")
    history.change("A", "three")
    history.redo("A")
    assert state["A"] == "three"
    history.undo("A")
    assert state["A"] == "one"


def test_two_parameters_have_two_histories(state: dict[str, Any]) -> None:
    history.change("A", "one")
    history.change("off", "r1")
    history.undo("A")
    assert (state["A"], state["off"]) == ("", "r1")


# ---------------------------------------------------------------------------- Streamlit's private parts


def test_the_version_is_the_pinned_one() -> None:
    (pinned,) = re.findall(r"^streamlit==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert st.__version__ == pinned


def test_what_is_used_is_there() -> None:
    said = {"session_id", "query_string", "cached_message_hashes", "context_info", "pages_manager", "session_state"}
    assert said <= {one.name for one in fields(ScriptRunContext)}
    wanted = {"query_string", "page_script_hash", "cached_message_hashes", "context_info"}
    assert wanted <= {one.name for one in fields(RerunData)}
    assert [*inspect.signature(QueryParams.set_with_no_forward_msg).parameters] == ["self", "key", "val"]
    assert [*inspect.signature(QueryParams._send_query_param_msg).parameters] == ["self"]
    assert [*inspect.signature(runtime.Runtime.is_active_session).parameters] == ["self", "session_id"]


def test_a_file_that_is_served_has_the_digest_of_its_content_in_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert navigation.served(b"film", "video/mp4", "player") is None  # nobody is served
    manager = MediaFileManager(MemoryMediaFileStorage("/media"))

    class Server:
        media_file_mgr = manager

    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", Server)
    one, again, other = (navigation.served(content, "video/mp4", "player") for content in (b"a", b"a", b"b"))
    assert one == again != other
    assert str(one).startswith("/media/")
    assert navigation.served(None, "video/mp4", "player") is None


def test_another_page_is_asked_for_with_the_whole_link(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    class Pages:
        def get_pages(self) -> dict[str, dict[str, str]]:
            return {name: {"script_path": str(ROOT / "app/views" / name / "page.py")} for name in ("clips", "graphs")}

    class Context:
        pages_manager, query_string = Pages(), "clip=a&parts=x&parts=y&time=3"
        cached_message_hashes, context_info = set[str](), None

    monkeypatch.setattr(navigation, "get_script_run_ctx", Context)
    monkeypatch.setattr(st, "session_state", asked)
    with pytest.raises(RerunException) as raised:
        navigation.open_page("graphs", clip="b", time=None)
    assert raised.value.rerun_data.page_script_hash == "graphs"
    assert raised.value.rerun_data.query_string == "clip=b&parts=x&parts=y"
    assert asked["resend"] == {"clip": ["b"], "parts": ["x", "y"]}


def test_the_page_that_was_asked_for_opens_and_has_the_link(visit: Opener) -> None:
    app = visit("overview")
    button = next(one for one in app.main.button if one.key and one.key.startswith("top-"))
    button.click().run()
    assert not complaints(app)
    assert app.title[0].value == "Clips & scores"
    assert app.session_state["clip"] in button.key
    assert app.query_params["clip"] == app.session_state["clip"]


def test_a_crowd_sees_its_own_alpha(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSESCOPE_ASSETS", str(tiny))
    monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "workspace"))
    app, marks = AppTest.from_file(str(Path(__file__).with_name("load.py")), default_timeout=60).run(), []
    for alpha in (0.2, 0.8, 0.2):
        app.sidebar.slider(key="alpha").set_value(alpha).run()
        marks.append(next(line.value for line in app.text if line.value.startswith("MARK")))
    assert not complaints(app)
    assert "alpha=0.80" in marks[1]
    assert marks[0] == marks[2] != marks[1]

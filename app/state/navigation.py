"""Where to go, who is here, and what the server hands out: all that touches Streamlit's private parts.

`tests/app/test_navigation.py` says of the pinned version that each of them is still there and does what is meant.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

VIEWS = Path(__file__).resolve().parents[1] / "views"


def session() -> str | None:
    """Whose page this is; None where no one looks."""
    context = get_script_run_ctx()
    return None if context is None else context.session_id


def here(session: str) -> bool:
    """True as long as a session's browser is connected."""
    return runtime.get_instance().is_active_session(session)


def served(content: bytes | None, kind: str, owner: str) -> str | None:
    """Address of a file's content on this server, None where there is none or nobody is served.

    Streamlit serves only `app/static`, and users' files have no place there: whoever knows an address could fetch them
    for ever, and a read-only disk takes no copies. So it goes where `st.video` puts it: into the media store, under
    the digest of the content, with byte ranges for seeking, for as long as a session shows it as this owner's.
    """
    if content is None or not runtime.exists():
        return None
    return runtime.get_instance().media_file_mgr.add(content, kind, owner)


def open_page(view: str, **values: Any) -> None:
    """Go to another page and keep what is chosen; ends this run. `values`: what a callback has just `put`.

    `st.switch_page` first empties the link, which Streamlit 1.67 refuses while shared controls are bound to it: so this
    asks for the same rerun without emptying anything. The browser drops the link with the old page, and would write
    what was put only after this run: so the new page sends the whole link again (`resend`).
    """
    context = _context()
    wanted = str(VIEWS / view / "page.py")
    pages = context.pages_manager.get_pages()
    found = next(key for key, page in pages.items() if str(Path(page["script_path"]).resolve()) == wanted)
    link = parse_qs(context.query_string)  # a control that holds several choices is there several times
    link |= {name: [] if value is None else [str(value)] for name, value in values.items()}
    link = {name: each for name, each in link.items() if each}
    st.session_state["resend"] = link
    raise RerunException(
        RerunData(
            query_string=urlencode(link, doseq=True),
            page_script_hash=found,
            cached_message_hashes=context.cached_message_hashes,
            context_info=context.context_info,
        )
    )


def resend() -> None:
    """Tell the browser the link anew, once after `open_page` and after the shared controls are drawn."""
    link: dict[str, list[str]] | None = st.session_state.pop("resend", None)
    if link:
        with _context().session_state.query_params() as held:
            for name, values in link.items():
                held.set_with_no_forward_msg(name, values if len(values) > 1 else values[0])
            held._send_query_param_msg()


def _context() -> ScriptRunContext:
    context = get_script_run_ctx()
    assert context is not None
    return context

"""The app with one line more below every page, for load tests: who asked for which α, and a digest of the answer.

    python -m streamlit run tests/app/load.py

A crowd of visitors, each under a name of its own, moves α: each must be told its own, and the same α the same answer.
"""

import hashlib
import runpy
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import store
from app.state import selection

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")

context = get_script_run_ctx()
assert context is not None
context.main_script_path = context.pages_manager._main_script_path = MAIN  # pages lie beside it, not beside this file
runpy.run_path(MAIN)
owner, chosen = st.sidebar.text_input("owner", "nobody"), selection.current()
if chosen.run is not None:
    answer = store.graphs.answer(chosen.run, chosen.dataset, "", chosen.alpha, chosen.k)
    digest = hashlib.sha256(answer.scores.tobytes() + answer.degrees.tobytes() + repr(answer.penalty).encode())
    st.text(f"MARK owner={owner} alpha={chosen.alpha:.2f} sha={digest.hexdigest()[:16]}")

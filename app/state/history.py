"""The one undo and redo: a parameter of the link holds a line of text, and every change to it can be taken back."""

import streamlit as st


def change(name: str, line: object) -> None:
    """From a callback: the parameter holds this line now; what it held can be undone, what was undone is forgotten."""
    st.session_state.setdefault(f"{name}_past", []).append(st.session_state.get(name) or "")
    st.session_state[f"{name}_future"] = []
    st.session_state[name] = str(line)


def undo(name: str) -> None:
    """From a callback: the line before the last change."""
    _step(name, "past", "future")


def redo(name: str) -> None:
    """From a callback: take the last undo back."""
    _step(name, "future", "past")


def _step(name: str, source: str, target: str) -> None:
    if lines := st.session_state.get(f"{name}_{source}"):
        st.session_state.setdefault(f"{name}_{target}", []).append(st.session_state.get(name) or "")
        st.session_state[name] = lines.pop()


def buttons(name: str) -> None:
    """Undo and Redo, each greyed where there is nothing to go to."""
    for label, act, lines in (("Undo", undo, "past"), ("Redo", redo, "future")):
        known = st.session_state.get(f"{name}_{lines}")
        st.button(label, on_click=act, args=(name,), disabled=not known, icon=f":material/{label.lower()}:")

"""Light turns to dark while a page is open: the figures, drawn by Python in the theme's colours, are drawn anew.

Streamlit changes its own colours at once and tells Python at the next rerun; until then black letters would stand on
a black page. So an element without size takes the theme's text colour by a transition, and its beginning asks for a
rerun.
"""

import streamlit as st

HTML = '<i aria-hidden="true"></i>'
CSS = "i { display: block; color: var(--st-text-color); transition: color 10ms; }"
JS = """
export default function ({ parentElement, setTriggerValue }) {
  const mark = parentElement.querySelector("i");
  const told = () => setTriggerValue("changed", true);
  mark.addEventListener("transitionrun", told);
  return () => mark.removeEventListener("transitionrun", told);
}
"""

_watch = st.components.v2.component("fusescope_theme", html=HTML, css=CSS, js=JS)


def follow() -> None:
    """See that the page runs again when the theme changes."""
    _watch(key="theme", on_changed_change=lambda: None, height=0)

"""The shared controls, drawn once a rerun in the frame: what they are set to is the selection, and lies in the link.

Bounds of the sliders never change, because a slider whose bounds change loses its value.
"""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import store
from app.state import navigation
from app.state.selection import ALPHA, THRESHOLD, K, current, put
from app.store.keys import DataKey
from app.widgets import waiting
from core.machine.names import shown

FEW, WINDOW = 500, 100  # clips that are listed whole; of more, how many at once


def choose() -> bool | None:
    """Draw the shared controls; False when there is no dataset to look at, None while a large one is being opened."""
    side = st.sidebar
    names = list(store.keys.datasets())
    if not names:
        return False
    side.selectbox(
        "Dataset", names, key="dataset", bind="query-params", format_func=_name, on_change=_forget, args=(True,)
    )
    dataset = current().dataset
    if not waiting.ready(dataset, None, "data"):
        return None
    titles = store.runs.run_titles(dataset)
    if titles:
        side.selectbox(
            "Trained run",
            list(titles),
            key="run",
            bind="query-params",
            format_func=lambda name: titles.get(name, name),
            help="The trained model that scores the clips. Only runs whose features this dataset has are listed.",
        )
    if store.data.samples(dataset) is not None:
        _choose_sample(len(store.data.part(dataset)))
    else:
        _choose_clip(dataset)
    side.segmented_control(
        "Save pictures as", ["png", "svg"], default="png", required=True, key="picture", bind="query-params"
    )
    navigation.resend()
    return True


def _choose_sample(count: int) -> None:
    """The controls of a sample set: which sample. Bounds stay the same for every set, or the value would be lost."""
    st.sidebar.number_input(
        f"Sample (0 to {count - 1:,})",
        min_value=0,
        max_value=10_000_000,
        value=0,
        step=1,
        key="sample",
        bind="query-params",
        help="Its number in the test part. A click on a point or a table row moves it.",
    )
    _choose_threshold("A class is called when its probability is at least this (page *Alarm threshold*).")


def _choose_clip(dataset: DataKey) -> None:
    """The controls of a dataset of clips: clip, moment, and the three numbers that answer for all clips."""
    side = st.sidebar
    clips, told = _listed_clips(dataset)
    side.selectbox(
        "Clip", clips, key="clip", bind="query-params", format_func=_name, on_change=_forget, help=told or None
    )
    side.number_input(
        "Moment (s)",
        min_value=0.0,
        max_value=1e6,
        value=None,
        step=0.1,
        format="%.2f",
        key="time",
        bind="query-params",
        placeholder="none chosen",
        help="Seconds into the clip. A click on a timeline, node or table row moves it.",
    )
    side.slider(
        "alpha",
        0.0,
        1.0,
        ALPHA,
        step=0.01,
        key="alpha",
        bind="query-params",
        help="α: an edge of a graph counts when its strength is at least this. Degrees and both variances follow.",
    )
    side.slider(
        "k",
        1,
        32,
        K,
        key="k",
        bind="query-params",
        help="How many of the largest degrees enter the regulariser, eq. 7.",
    )
    _choose_threshold("A unit raises an alarm when its score is at least this.")


def _listed_clips(dataset: DataKey) -> tuple[list[str], str]:
    """(clips to choose from, a sentence where these are not all): of many those around the chosen one that are found.

    A list of 10,000 names would be sent with every rerun. The chosen clip is always among them, so a link to any clip
    reopens it.
    """
    places, small = store.data.clip_names(dataset)
    names = list(places)
    if len(names) <= FEW:
        st.session_state.pop("find", None)  # words for the clips of a larger set
        return names, ""
    wanted = st.sidebar.text_input(
        "Find clips",
        key="find",
        bind="query-params",
        max_chars=100,
        placeholder=f"any part of {len(names):,} names",
        help=f"The list below holds {WINDOW} clips around the chosen one; words here narrow it.",
    )
    found = matching(small, wanted or "")
    chosen = st.session_state.get("clip", st.query_params.get("clip"))
    if chosen not in places:  # a link holds names as they are shown
        chosen = next((name for name in names if _name(name) == chosen), names[0])
    at = int(np.searchsorted(found, places[chosen]))
    start = max(0, min(at - WINDOW // 2, len(found) - WINDOW))
    kept = sorted({places[chosen], *found[start : start + WINDOW].tolist()})
    return [names[place] for place in kept], f"{len(kept):,} of {len(found):,} clips that are found."


def matching(small: Sequence[str], wanted: str) -> np.ndarray:
    """Places of the names that hold every wanted word; `small` are names in small letters.

    >>> matching(["gate-01", "gate-02", "plaza-01"], "01 GATE").tolist()
    [0]
    """
    words = wanted.lower().split()
    return np.array([at for at, name in enumerate(small) if all(word in name for word in words)], dtype=np.int64)


def _choose_threshold(words: str) -> None:
    st.sidebar.slider(
        "Alarm threshold",
        0.0,
        1.0,
        THRESHOLD,
        step=0.001,
        format="%.3f",
        key="threshold",
        bind="query-params",
        help=words,
    )


def _forget(dataset: bool = False) -> None:
    """A moment belongs to its clip, a clip to its dataset: choosing another one starts it afresh."""
    put(time=None)
    key = DataKey(st.session_state["dataset"])
    if dataset and store.server.unfinished("data", None, key) is not None:
        put(sample=0, find="")
        st.session_state.pop("clip", None)  # the first one, once the set is open
    elif dataset:
        clips = store.data.clips(key)
        put(sample=0, find="", **({"clip": clips[0].name} if clips else {}))


def _name(name: str) -> str:
    """Names as options: two clips that share their first 80 letters must stay two options."""
    return shown(name, 200)

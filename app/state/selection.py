"""What the user is looking at. The URL holds it, so a link reopens the same view.

`choose` draws the shared controls once, in the frame; `current` is the only reader of session state; `put` is its only
writer, for clicks inside components: call it from an `on_..._change` callback, never in the middle of a page.
Bounds of the sliders never change, because a slider whose bounds change loses its value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx

from app import store
from app.figures.style import Colours, colours
from app.store.keys import DataKey, RunKey
from app.widgets import waiting
from core.clip import Clip
from core.machine.names import shown

SHARED = ("dataset", "run", "clip", "time", "sample", "alpha", "k", "threshold", "picture", "find")
ALPHA, K, THRESHOLD = 0.5, 10, 0.5  # α and k as LEGO trains by default
FEW, WINDOW = 500, 100  # clips that are listed whole; of more, how many at once


@dataclass(frozen=True)
class Selection:
    """What every page may want to know.

    dataset     key of a dataset (`store.keys.datasets`), empty when there is none
    run         folder name of a trained run (`store.runs.runs`), None when none fits the dataset
    clip        name of a clip of the dataset's test part; empty where it holds samples
    sample      number of a sample in the test part of a sample set, from 0
    time        seconds into the clip, None when no moment is chosen
    alpha, k    edges weaker than alpha are cut; the k largest degrees enter eq. 7
    threshold   a unit raises an alarm when its score >= threshold
    colours     the set for the page's theme
    picture     format the figures' camera button saves: png or svg
    find        words that the names of listed clips hold, where there are many; else empty
    """

    dataset: DataKey
    run: RunKey | None
    clip: str
    time: float | None
    alpha: float
    k: int
    threshold: float
    colours: Colours
    picture: str
    sample: int = 0
    find: str = ""

    @property
    def trained(self) -> RunKey:
        """The run, where a page has made sure that there is one."""
        return self.run or RunKey()

    def unit(self, clip: Clip) -> int | None:
        """Index of the unit that `time` falls into; None when no moment is chosen. Past the end: the last unit."""
        # half a millisecond of grace: unit 7 starts at 7 * 0.64 s, which the URL may hold as 4.4799999
        return None if self.time is None else min(int((self.time + 5e-4) / clip.seconds), clip.units - 1)


def choose() -> bool | None:
    """Draw the shared controls; False when there is no dataset to look at, None while a large one is being opened.

    main.py calls this once per rerun.
    """
    side = st.sidebar
    names = list(store.keys.datasets())
    if not names:
        return False
    dataset = side.selectbox(
        "Dataset", names, key="dataset", bind="query-params", format_func=_name, on_change=_forget, args=(True,)
    )
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
    if link := st.session_state.pop("resend", None):
        _resend(link)
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
        10,
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


def current() -> Selection:
    """The only place that reads session state."""
    state = st.session_state
    return Selection(
        dataset=DataKey(state.get("dataset") or ""),
        run=RunKey(state["run"]) if state.get("run") else None,
        clip=state.get("clip", ""),
        time=state.get("time"),
        alpha=state.get("alpha", ALPHA),
        k=state.get("k", K),
        threshold=state.get("threshold", THRESHOLD),
        colours=colours(st.context.theme.type),
        picture=state.get("picture", "png"),
        sample=int(state.get("sample") or 0),
        find=str(state.get("find") or "") if len(store.data.clips(DataKey(state.get("dataset") or ""))) > FEW else "",
    )


def put(**values: Any) -> None:
    """Move shared controls from a callback: `put(clip="test-03", time=4.48)`. The URL follows.

    Errors: `KeyError` for a name that is no shared control, so that a typing mistake cannot pass silently.
    """
    for name, value in values.items():
        if name not in SHARED:
            raise KeyError(f"{name!r} is no shared control; they are {', '.join(SHARED)}")
        st.session_state[name] = value


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


def open_page(view: str, **values: Any) -> None:
    """Go to another page and keep what is chosen; ends this run. `values`: what a callback has just `put`.

    `st.switch_page` first empties the link, which Streamlit 1.67 refuses while shared controls are bound to it: so this
    asks for the same rerun without emptying anything. The browser drops the link with the old page, and would write
    what was put only after this run: so the new page sends the whole link again (`_resend`).
    """
    context = get_script_run_ctx()
    assert context is not None
    wanted = str(Path(__file__).resolve().parents[1] / "views" / view / "page.py")
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


def _resend(link: dict[str, list[str]]) -> None:
    """Tell the browser the link anew."""
    context = get_script_run_ctx()
    assert context is not None
    with context.session_state.query_params() as held:
        for name, values in link.items():
            held.set_with_no_forward_msg(name, values if len(values) > 1 else values[0])
        held._send_query_param_msg()


def picked(key: str) -> int | None:
    """The row chosen in the table of this key, for its `on_select` callback; None when the choice was taken back."""
    rows = st.session_state[key]["selection"]["rows"]
    return int(rows[0]) if rows else None

"""What the user is looking at. The URL holds it, so a link reopens the same view.

`choose` draws the shared controls once, in the frame; `current` is the only reader of session state; `put` is its only
writer, for clicks inside components: call it from an `on_..._change` callback, never in the middle of a page.
Bounds of the sliders never change, because a slider whose bounds change loses its value.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx

from app import cache
from app.figures.style import Colours, colours
from core.clip import Clip
from core.data.names import shown

SHARED = ("dataset", "run", "clip", "time", "sample", "alpha", "k", "threshold", "picture")
ALPHA, K, THRESHOLD = 0.5, 10, 0.5  # α and k as LEGO trains by default


@dataclass(frozen=True)
class Selection:
    """What every page may want to know.

    dataset     key of a dataset (`cache.datasets`), empty when there is none
    run         folder name of a trained run (`cache.runs`), None when none fits the dataset
    clip        name of a clip of the dataset's test part; empty where it holds samples
    sample      number of a sample in the test part of a sample set, from 0
    time        seconds into the clip, None when no moment is chosen
    alpha, k    edges weaker than alpha are cut; the k largest degrees enter eq. 7
    threshold   a unit raises an alarm when its score >= threshold
    colours     the set for the page's theme
    picture     format the figures' camera button saves: png or svg
    """

    dataset: str
    run: str | None
    clip: str
    time: float | None
    alpha: float
    k: int
    threshold: float
    colours: Colours
    picture: str
    sample: int = 0

    def unit(self, clip: Clip) -> int | None:
        """Index of the unit that `time` falls into; None when no moment is chosen. Past the end: the last unit."""
        # half a millisecond of grace: unit 7 starts at 7 * 0.64 s, which the URL may hold as 4.4799999
        return None if self.time is None else min(int((self.time + 5e-4) / clip.seconds), clip.units - 1)


def choose() -> bool:
    """Draw the shared controls; False when there is no dataset to look at. main.py calls this once per rerun."""
    side = st.sidebar
    names = list(cache.datasets())
    if not names:
        return False
    dataset = side.selectbox(
        "Dataset", names, key="dataset", bind="query-params", format_func=_name, on_change=_forget, args=(True,)
    )
    titles = cache.run_titles(dataset)
    if titles:
        side.selectbox(
            "Trained run",
            list(titles),
            key="run",
            bind="query-params",
            format_func=lambda name: titles.get(name, name),
            help="The trained model that scores the clips. Only runs whose features this dataset has are listed.",
        )
    if cache.samples(dataset) is not None:
        _choose_sample(len(cache.part(dataset)))
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


def _choose_clip(dataset: str) -> None:
    """The controls of a dataset of clips: clip, moment, and the three numbers that answer for all clips."""
    side = st.sidebar
    clips = [clip.name for clip in cache.clips(dataset)]
    side.selectbox("Clip", clips, key="clip", bind="query-params", format_func=_name, on_change=_forget)
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
        dataset=state.get("dataset", ""),
        run=state.get("run"),
        clip=state.get("clip", ""),
        time=state.get("time"),
        alpha=state.get("alpha", ALPHA),
        k=state.get("k", K),
        threshold=state.get("threshold", THRESHOLD),
        colours=colours(st.context.theme.type),
        picture=state.get("picture", "png"),
        sample=int(state.get("sample") or 0),
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
    if dataset:
        clips = cache.clips(st.session_state["dataset"])
        put(sample=0, **({"clip": clips[0].name} if clips else {}))


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
    wanted = str(Path(__file__).resolve().parent / "views" / f"{view}.py")
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

"""What the user is looking at. The URL holds it, so a link reopens the same view.

`current` is the only reader of session state; `put` is its only writer, for clicks inside components: call it from an
`on_..._change` callback, never in the middle of a page. `app.widgets.sidebar` draws the shared controls.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.figures.style import Colours, colours
from app.store.keys import DataKey, RunKey
from core.clip import Clip

SHARED = ("dataset", "run", "clip", "time", "sample", "alpha", "k", "threshold", "picture", "find")
ALPHA, K, THRESHOLD = 0.5, 10, 0.5  # α and k as LEGO trains by default


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
        find=str(state.get("find") or ""),
    )


def put(**values: Any) -> None:
    """Move shared controls from a callback: `put(clip="test-03", time=4.48)`. The URL follows.

    Errors: `KeyError` for a name that is no shared control, so that a typing mistake cannot pass silently.
    """
    for name, value in values.items():
        if name not in SHARED:
            raise KeyError(f"{name!r} is no shared control; they are {', '.join(SHARED)}")
        st.session_state[name] = value


def picked(key: str) -> int | None:
    """The row chosen in the table of this key, for its `on_select` callback; None when the choice was taken back."""
    rows = st.session_state[key]["selection"]["rows"]
    return int(rows[0]) if rows else None

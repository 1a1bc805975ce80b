"""The clip player: a video and its score timeline, in step.

The browser does what must not wait for Python: the play head follows the video, a click seeks exactly, the threshold
line follows the hand, keys work (space, arrows by frame, PageUp and PageDown by unit, Home, End). Python hears the time
when the play head rests, and the threshold when it is released.

The JavaScript comes from static serving (`static.publish`), so a rerun sends only the numbers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from jaxtyping import Bool, Float

from app.figures.style import Colours
from app.state import navigation
from app.widgets.static import publish
from core.clip import Clip
from core.machine.names import shown

HTML = """
<div class="player">
  <video class="video" muted playsinline preload="auto" tabindex="-1"></video>
  <p class="missing">This clip comes without a video that can be played here; the timeline works all the same.</p>
  <div class="bar">
    <button type="button" class="toggle">Play</button>
    <button type="button" class="back" aria-label="previous unit" title="Previous unit (PageDown)">‹ unit</button>
    <button type="button" class="next" aria-label="next unit" title="Next unit (PageUp)">unit ›</button>
    <button type="button" class="peak" title="Go to the unit with the highest score">Highest</button>
    <select class="rate speed" aria-label="speed" title="Speed">
      <option value="0.25">¼×</option><option value="0.5">½×</option><option value="1" selected>1×</option>
      <option value="2">2×</option><option value="4">4×</option>
    </select>
    <span class="readout"></span>
  </div>
  <div class="track">
    <div class="seek" role="slider" tabindex="0" aria-label="timeline" aria-valuemin="0" aria-valuemax="1"
         aria-valuenow="0"><canvas class="canvas" aria-hidden="true"></canvas></div>
    <div class="level" role="slider" tabindex="0" aria-label="alarm threshold" aria-orientation="vertical"
         aria-valuemin="0" aria-valuemax="1" aria-valuenow="0"></div>
  </div>
</div>
"""
# the module that Streamlit makes of this text has no address of its own, hence document.baseURI
LOADER = """
let code;
export default function (component) {
  code ??= import(new URL(component.data.code, document.baseURI).href);
  let left = false, leave;
  code.then((module) => { if (!left) leave = module.default(component); });
  return () => { left = true; leave?.(); };
}
"""
HERE = Path(__file__).parent

_player = st.components.v2.component(
    "fusescope_player",
    html=HTML,
    css=(HERE / "video.css").read_text(),
    js=LOADER,
)


def player(
    clip: Clip,
    scores: Float[np.ndarray, " units"],
    source: bytes | None,
    threshold: float,
    time: float | None,
    colours: Colours,
    key: str,
    on_change: Callable[[float | None, float | None], Any],
    other: Float[np.ndarray, " units"] | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Show the clip. `on_change(time, threshold)` is called with what the user moved, None for what stayed.

    source      the video (`store.pictures.video`), None for the timeline alone
    time        seconds into the clip to show; the player moves there only when this changes
    other       a second run's scores, drawn dashed
    span        scores at the bottom and the top of the timeline; give clips that are compared the same
    """
    labels: Bool[np.ndarray, " units"] | None = None if clip.labels is None else clip.labels.numpy()
    address = navigation.served(source, "video/mp4", key)
    per_frame = clip.seconds / clip.frames_per_unit

    def heard(what: str) -> None:
        value = st.session_state[key].get(what)
        if value is not None:
            on_change(float(value) if what == "time" else None, float(value) if what == "threshold" else None)

    _player(
        key=key,
        data={
            "code": publish(HERE / "video.js"),
            "clip": f"{clip.name}|{address}",
            "label": f"clip {shown(clip.name, 40)}",
            "source": address,
            "duration": clip.duration,
            "seconds": clip.seconds,
            "frames_per_unit": clip.frames_per_unit,
            "scores": [round(float(score), 4) for score in scores],
            "other": None if other is None else [round(float(score), 4) for score in other],
            "labels": None if labels is None else labels.tolist(),
            "truth": [[start * per_frame, stop * per_frame] for start, stop in clip.truth or ()],
            "peak": int(np.argmax(scores)),
            "threshold": threshold,
            "time": time,
            "span": list(span),
            "colours": {
                name: getattr(colours, name) for name in ("anomaly", "selected", "normal", "quiet", "grid", "ink")
            },
        },
        on_time_change=lambda: heard("time"),
        on_threshold_change=lambda: heard("threshold"),
        default={"time": None, "threshold": None},
    )

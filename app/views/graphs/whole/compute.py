"""What stands on the page of a whole clip before there is a result: what it costs, and how far the job is."""

from pathlib import Path
from typing import Any

import streamlit as st
from humanize import naturaldelta, naturalsize

from app import store
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.widgets.jobs import job_root, told
from core import jobs
from core.clip import Clip


def offer(chosen: Selection, clip: Clip, changes: str) -> None:
    """What it costs, the button that starts the job, and how far the job is."""
    run, n = chosen.trained, clip.units
    file = store.graphs.whole_file(run, chosen.dataset, clip.name, changes)
    mine = [job for job in jobs.listing(job_root()) if job.kind == "whole" and job.arguments.get("out") == str(file)]
    if mine and mine[-1].active:
        st.fragment(run_every=1.0)(_progress)(mine[-1].id)
        return
    if mine and mine[-1].state == "failed":
        st.error(f"It could not be computed: {markdown_text(mine[-1].message, 600)}", icon=":material/block:")
    seconds = store.graphs.whole_seconds(run, chosen.dataset, clip.name)
    st.info(
        f"{n:,} units in one window are {n * (n - 1) // 2:,} pairs. As a table they would take "
        f"{naturalsize(4 * n * n)}; "
        "they are computed piece by piece instead, in a process of its own, and only what is shown is kept. "
        "You can leave this page meanwhile; the result is stored."
    )
    st.button(
        f"Compute (about {naturaldelta(seconds)})",
        type="primary",
        on_click=lambda: told(lambda: _start(chosen, clip, changes, file)),
        key="compute-whole",
    )


def _start(chosen: Selection, clip: Clip, changes: str, file: Path) -> None:
    run = chosen.trained
    A = store.graphs.put_in(run, changes)
    given: dict[str, Any] = {
        "dataset": str(store.keys.datasets()[chosen.dataset].resolve()),
        "run": str(store.keys.all_runs()[run].resolve()),
        "clip": clip.name,
        "A": None if A is None else A.tolist(),
        "out": str(file),
    }
    jobs.submit(job_root(), "whole", f"One window of {clip.name}", given)


def _progress(id: str) -> None:
    job = jobs.find(job_root(), id)
    if job is None or not job.active:
        st.rerun()
        return
    before = jobs.waiting(job_root(), job)
    words = f"waits for {before} other {'job' if before == 1 else 'jobs'}" if job.state == "queued" else job.message
    st.progress(job.progress, f"The clip as one window: {markdown_text(words, 120)}")
    st.button("Stop", key="stop-whole", on_click=jobs.cancel, args=(job_root(), job.id))
    if job.state == "queued":
        jobs.ensure(job_root())

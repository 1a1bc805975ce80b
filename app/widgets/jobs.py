"""Jobs as pages show them: where one stands, its buttons, and the clock that draws them anew while one is at work."""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import navigation, selection
from app.store.keys import DataKey, RunKey
from core import jobs

log = logging.getLogger("fusescope")
IMPORTS = ("clip", "footage", "features", "files", "checkpoint")


def job_root() -> Path:
    return store.keys.workspace().jobs


def told(act: Callable[[], Any]) -> Any:
    """Run it; a `ValueError` of core becomes a sentence on the page, anything else a numbered line in the log."""
    try:
        return act()
    except ValueError as refused:
        st.error(markdown_text(refused, 900), icon=":material/block:")
    except OSError as error:
        number = secrets.token_hex(3)
        log.exception("error %s while writing", number)
        words = f"It could not be written to disk: {markdown_text(error.strerror)} (error {number})"
        st.error(words, icon=":material/hard_drive:")
    return None


def listed(kinds: Collection[str]) -> list[jobs.Job]:
    """Every job of these kinds, newest first."""
    return [job for job in reversed(jobs.listing(job_root())) if job.kind in kinds]


def watched(kinds: Collection[str], draw: Callable[[], None], every: float = 1.0) -> None:
    """Draw a part of the page, and anew every so many seconds while a job of these kinds is at work.

    When the last one has ended the whole page is drawn once more: what came out belongs in its lists.
    """
    active = any(job.active for job in listed(kinds))

    def look() -> None:
        now = any(job.active for job in listed(kinds))
        if active and not now:
            st.rerun()
        with contextlib.suppress(OSError):  # on a read-only disk nothing waits
            jobs.revive(job_root())
        draw()

    st.fragment(run_every=every if active else None)(look)()


def state(job: jobs.Job, ready: str, failed: str = "failed") -> None:
    """Where it stands, in a line or a bar. `ready` and `failed` follow its title; `ready` is Markdown."""
    title = markdown_text(job.title, 160)
    if job.state == "queued":
        before = jobs.waiting(job_root(), job)
        st.markdown(
            f":material/schedule: **{title}** waits; {before} {'job is' if before == 1 else 'jobs are'} before it"
        )
    elif job.state == "running":
        st.progress(job.progress, f"**{title}** · {markdown_text(job.message, 160)}")
    elif job.state == "done":
        st.markdown(f":material/check_circle: **{title}** {ready}")
    elif job.state == "cancelled":
        st.markdown(f":material/cancel: **{title}** was stopped")
    else:
        st.markdown(f":material/error: **{title}** {failed}: {markdown_text(job.message, 900)}")


def stop_or_hide(job: jobs.Job) -> None:
    """The button that ends a job at work, or takes one that has ended off the list."""
    if job.active:
        st.button("Stop", key=f"stop-{job.id}", on_click=jobs.cancel, args=(job_root(), job.id))
    else:
        st.button("Hide", key=f"hide-{job.id}", type="tertiary", on_click=jobs.forget, args=(job_root(), job.id))


def clock(job: jobs.Job) -> str:
    """How long it has taken, and about how long it will.

    >>> clock(jobs.Job("1", "train", "t", state="done", started=10.0, finished=75.0))
    '1:05 min'
    """
    if not job.started:
        return ""
    taken = (job.finished or time.time()) - job.started
    words = _time(taken)
    if job.state == "running" and job.progress > 0.05:
        words += f", about {_time(taken * (1 - job.progress) / job.progress)} left"
    return words


def _time(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"


def holds_samples(key: DataKey) -> bool:
    return "samples" in (store.data.index(key) or {})


def chosen_data(key: DataKey) -> dict[str, Any]:
    """The shared controls once this dataset is looked at."""
    if holds_samples(key):
        return {"dataset": key, "sample": 0, "time": None}
    return {"dataset": key, "clip": store.data.clips(key)[0].name, "time": None}


def open_run(key: DataKey, name: RunKey, page: str, label: str, mark: str, **options: Any) -> None:
    """A button that makes a run the chosen one, of its dataset, and goes to a page."""
    values = {"run": name} | ({} if selection.current().dataset == key else chosen_data(key))
    if st.button(label, key=f"open-{mark}-{page}", on_click=selection.put, kwargs=values, **options):
        navigation.open_page(page, **values | {"run": store.runs.run_titles(key)[name]})  # links hold what people read

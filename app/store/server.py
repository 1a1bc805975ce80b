"""The server itself: what is still being worked on, warming up, and how many visitors fit."""

import contextlib
import functools
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence

import streamlit as st
import torch

from app.store import work as waits
from app.store.data import checking, large, long_to_check, opening
from app.store.graphs import building, tuned
from app.store.keys import DataKey, RunKey, datasets, workspace
from app.store.models import model, scores, scoring
from app.store.runs import runs
from app.store.work import Work
from core.data import index as native_index
from core.data import stills
from core.machine.device import device_named


def unfinished(what: str, run: RunKey | None, key: DataKey) -> Work | None:
    """Work on a large set that has not ended yet, begun by this call; None where all is there or quickly had.

    what    "scores" or "graphs" of a run, "data" or "report" of a dataset
    """
    begun = _begun(what, run, key)
    return None if begun is None or begun.within(waits.PATIENCE) else begun


def _begun(what: str, run: RunKey | None, key: DataKey) -> Work | None:
    if what == "data":
        return opening(key) if native_index.maybe_large(key.folder) else None
    if what == "report":
        return checking(key) if long_to_check(key) else None
    if run is None or not large(key):
        return None
    if what == "scores":
        return scoring(run, key)
    return building(run, key) if model(run).window is not None else None


@st.cache_data(show_spinner=False)
def device() -> str:
    """What models run on, in words."""
    return torch.cuda.get_device_name() if device_named("auto") == "cuda" else "CPU"


@st.cache_resource(show_spinner="Loading the models")
def warm() -> float:
    """Once per process: load the demo and its models, then freeze the heap. Returns the seconds it took.

    Streamlit collects garbage after every script run, 150-200 ms with torch and plotly imported, holding the
    interpreter. Frozen objects are not walked again: 50 users' p95 fell from 14.7 s to 0.12 s. More than one thread
    makes small models up to 100 times slower under load.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)
    with contextlib.suppress(OSError):  # on a read-only disk there is nothing to sweep
        workspace().sweep()
    with contextlib.suppress(ValueError):  # a broken demo is told on the page that shows it
        for key in list(datasets())[:1]:
            for name in [] if native_index.maybe_large(datasets()[key]) else list(runs(key))[:1]:
                scores(name, key)
                if model(name).window is not None:
                    tuned(name, key)
    gc.collect()
    gc.freeze()
    threading.Thread(target=stills.begin, name="stills", daemon=True).start()
    threading.Thread(target=settle, name="settle", daemon=True).start()
    return time.perf_counter() - started


def settle(pauses: Sequence[float] = (10, 30, 120)) -> None:
    """Freeze the heap again after the first visitors: what pages import and cache for good comes after `warm`.

    Measured with 50 users: without it the collector held the interpreter for 39 % of the server's time. What sessions
    hold at these moments is kept with it, under 1 MB a session, three times in a process's life.
    """
    for pause in pauses:
        time.sleep(pause)
        gc.collect()
        gc.freeze()


class Door:
    """Who is inside: at most `seats` sessions, because a process with too many collapses instead of slowing down.

    >>> door = Door(1, lambda session: session == "a")
    >>> door.admit("a"), door.admit("b"), door.admit("a")
    (True, False, True)
    """

    def __init__(self, seats: int, active: Callable[[str], bool]) -> None:
        self.seats, self.active = seats, active
        self.inside: set[str] = set()
        self.lock = threading.Lock()

    def admit(self, session: str) -> bool:
        """True when the session has a seat or gets one; who left has given theirs back."""
        with self.lock:
            if session not in self.inside and len(self.inside) >= self.seats:
                self.inside = {other for other in self.inside if self.active(other)}
            if session in self.inside or len(self.inside) < self.seats:
                self.inside.add(session)
                return True
            return False


@functools.cache
def door(active: Callable[[str], bool]) -> Door:
    """One door for the process; `$FUSESCOPE_SESSIONS` seats, 100 unless set."""
    return Door(int(os.environ.get("FUSESCOPE_SESSIONS", "100")), active)

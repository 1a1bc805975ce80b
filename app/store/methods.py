"""What the analyses of one model find."""

from collections.abc import Hashable
from typing import Any

from app.store import keys
from app.store.data import data
from app.store.keys import DataKey, RunKey, resource
from app.store.models import model
from app.store.runs import run as record_of
from app.store.runs import runs
from core.analysis import ANALYSES
from core.trust import record
from core.trust.rows import Stage, staged


@resource(8)
def stage(key: DataKey) -> Stage:
    """The rows of `clips(key)` or `part(key)`, ready to be corrupted."""
    return staged(data(key))


@resource(256)
def stressed(run: RunKey, key: DataKey) -> record.Record:
    """A run under every corruption of all it reads; a second or two."""
    return record.recorded(model(run), stage(key), record_of(run))


@resource(512, "Computing")
def computed(what: str, run: RunKey, key: DataKey, *arguments: Hashable) -> Any:
    """What one of `core.analysis.ANALYSES` finds in a run and a dataset."""
    return ANALYSES[what].run(model(run), data(key), *arguments)


@keys.data(4096)
def fits(what: str, run: RunKey, key: DataKey) -> str:
    """Empty, or one sentence: why an analysis does not fit a run and a dataset."""
    return ANALYSES[what].fits(model(run), data(key))


def unfit(whats: tuple[str, ...], run: RunKey, key: DataKey) -> str:
    """Empty where one of some analyses fits; else why the first of them does not."""
    whys = [fits(what, run, key) for what in whats]
    return whys[0] if all(whys) else ""


@keys.data(128, stamps=keys.WITH_ALL_RUNS)
def fitting(whats: tuple[str, ...], key: DataKey) -> list[RunKey]:
    """One run of every configuration that one of these analyses fits, in the order of `runs`."""
    first: dict[str, RunKey] = {}
    for run, found in runs(key).items():
        first.setdefault(found.group, run)
    return [run for run in first.values() if not unfit(whats, run, key)]

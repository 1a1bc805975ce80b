"""Models and what they say of a dataset: scores, outputs, metrics, grades."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from app.store import keys
from app.store.data import clips, data, large, part, samples
from app.store.keys import DataKey, RunKey, resource, workspace
from app.store.work import Work, answer_of
from core import run as runs
from core.clip import Clip
from core.fusion.base import Fusion
from core.measure.metrics import ClassMetrics, Metrics, RealMetrics, measure, pooled, pooled_frames
from core.measure.thresholds import Graded, Moment, Units, graded, one_against_rest, top_moments, units_of
from core.sample import Part
from core.score import infer, stored


@resource(64, "Loading the model")
def model(run: RunKey) -> Fusion:
    """The trained fusion of a run."""
    return runs.model(run.folder)


@resource(256, "Scoring the clips")
def scores(run: RunKey, key: DataKey) -> Mapping[str, np.ndarray]:
    """Clip name -> unit scores of every clip of `clips(key)`."""
    if large(key):
        known: dict[str, np.ndarray] = answer_of(scoring, run, key)
        return known
    return _locked(infer.score(model(run), clips(key)))


@resource(64)
def scoring(run: RunKey, key: DataKey) -> Work:
    """The scores of a large dataset on their way; they are kept on disk."""
    asked, which = model(run), clips(key)
    place = stored.place_of(workspace().scores, run.folder, data(key).digest(), data(key).looked_at())

    def work(tell: Callable[[float], None]) -> dict[str, np.ndarray]:
        scored = stored.load(place, which)
        if scored is None:
            scored = _locked(infer.score(asked, which, tell=tell))
            with contextlib.suppress(OSError):  # on a read-only disk it is scored again next time
                stored.save(scored, which, place)
        return scored

    return Work(work)


def _locked(scored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for values in scored.values():
        values.setflags(write=False)
    return scored


@resource(64)
def units(run: RunKey, key: DataKey) -> tuple[Units, np.ndarray, np.ndarray]:
    """Every unit of `clips(key)` in one row; the highest score of each clip, and the AUC among its own units."""
    found = units_of(scores(run, key), clips(key))
    return found, found.highest(), found.inside()


@resource(16, "Sorting the scores")
def grades(run: RunKey, key: DataKey, level: str, about: int) -> Graded:
    """Scores by class, sorted: of units, of frames, or of samples, class `about` against all others."""
    if samples(key) is not None:
        target = part(key).target
        return one_against_rest(outputs(run, key), None if target is None else target.numpy(), about)
    return graded(*(pooled_frames if level == "frames" else pooled)(scores(run, key), clips(key)))


@resource(64)
def moments(run: RunKey, key: DataKey) -> tuple[Moment, ...]:
    """Ten units with high scores, clips taking turns, highest first."""
    return tuple(top_moments(clips(key), scores(run, key)))


@resource(64, "Running the model")
def outputs(run: RunKey, key: DataKey) -> np.ndarray:
    """The model's outputs for every row of `part(key)`, `(rows, outputs)`; `ValueError` where it only scores units."""
    return infer.outputs(model(run), part(key).features)


def answered(run: RunKey, key: DataKey) -> tuple[Any, Sequence[Clip] | Part]:
    """What a run says of the clips or samples that are looked at, and these: scores of units, or outputs."""
    return (scores if clips(key) else outputs)(run, key), clips(key) or part(key)


@keys.data(256)
def metrics(run: RunKey, key: DataKey) -> Metrics | ClassMetrics | RealMetrics:
    """What the run is worth on `clips(key)` or `part(key)`, measured now, not read from its record."""
    return measure(*answered(run, key))

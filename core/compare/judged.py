"""One run on one test part: every metric with its value on every draw of clips, in parts, and without modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from core.clip import Clip, frame_labels
from core.dataset import Rows
from core.fusion.base import Fusion
from core.measure.metrics import ClassMetrics, by_kind, measure
from core.measure.redraw import accuracy_draws, ap_draws, auc_draws, f1_draws, linear, real_draws
from core.sample import METRIC_WORDS, Part
from core.score.judge import judge as worth

# the metric methods are compared by -> every metric that is told -> its name
METRICS: dict[str, dict[str, str]] = {
    "auc": {
        "auc": METRIC_WORDS["auc"],
        "auc_anomalous": "AUC in anomalous clips",
        "ap": "AP",
        "auc_frames": "frame AUC",
    },
    "accuracy": {"accuracy": METRIC_WORDS["accuracy"], "macro_f1": "macro F1"},
    "correlation": {"correlation": METRIC_WORDS["correlation"], "mae": "mean absolute error"},
}
LOWER = ("mae",)  # where less is better
PLAIN = ("correlation", "mae")  # no percent


def digits(metric: str) -> int:
    return 3 if metric in PLAIN else 1


@dataclass(frozen=True)
class Judged:
    """One run on one test part.

    metric      the one methods are compared by
    value       metric -> its value, as `core.measure.metrics` measures it
    draws       metric -> its value on every draw of clips
    right       of classes: which samples were named right
    clips       how many clips (or samples) are drawn from; linear: the draws are linear, not exact
    why         the reason where a value is undefined
    """

    metric: str
    value: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    right: np.ndarray | None
    clips: int
    linear: bool
    why: str = ""


def judge(said: Any, rows: Sequence[Clip] | Part) -> Judged:
    """What a model says (`core.score.judge.answers`) against the truth; every metric of `METRICS` with its draws."""
    return _of_samples(said, rows) if isinstance(rows, Part) else _of_clips(said, rows)


def _of_clips(scores: Mapping[str, np.ndarray], clips: Sequence[Clip]) -> Judged:
    wild = sum(int((~np.isfinite(scores[clip.name])).sum()) for clip in clips)
    names = METRICS["auc"]
    kept = [clip for clip in clips if clip.labels is not None]
    now = measure(scores, clips)
    if wild or not kept:
        why = f"{wild} unit scores are not finite: the model diverged" if wild else now.why
        return Judged(
            "auc", dict.fromkeys(names, np.nan), dict.fromkeys(names, np.full(1, np.nan)), None, 0, False, why
        )
    values = np.concatenate([scores[clip.name] for clip in kept]).astype(np.float64)
    of = np.repeat(np.arange(len(kept)), [clip.units for clip in kept])
    labels = np.concatenate([clip.labels.numpy() for clip in kept if clip.labels is not None])
    odd, rest = labels.astype(np.float64), (~labels).astype(np.float64)
    inside = np.bincount(of, odd, len(kept))[of] > 0
    frames = np.concatenate([frames_of_units(clip) for clip in kept], axis=1)
    found = {
        "auc": auc_draws(values, odd, rest, of, len(kept)),
        "auc_anomalous": auc_draws(values, odd * inside, rest * inside, of, len(kept)),
        "ap": ap_draws(values, odd, of, len(kept)),
        "auc_frames": auc_draws(values, frames[0], frames[1], of, len(kept)),
    }
    value = {name: float(getattr(now, name)) for name in names}
    found = {name: draws if not np.isnan(value[name]) else np.full(len(draws), np.nan) for name, draws in found.items()}
    return Judged("auc", value, found, None, len(kept), linear(len(kept)), now.why)


def frames_of_units(clip: Clip) -> Float[np.ndarray, "2 units"]:
    """How many anomalous and how many normal frames each unit has, cut to the clip's frames; 0 without frame truth."""
    found = np.zeros((2, clip.units))
    if clip.truth is not None:
        frames = clip.frames if clip.frames is not None else clip.units * clip.frames_per_unit
        truth = frame_labels(clip.truth, frames).numpy()[: clip.units * clip.frames_per_unit]
        unit = np.arange(len(truth)) // clip.frames_per_unit
        found[0] = np.bincount(unit, truth, clip.units)
        found[1] = np.bincount(unit, ~truth, clip.units)
    return found


def _of_samples(said: Float[np.ndarray, "samples outputs"], part: Part) -> Judged:
    """Every sample is a clip of one row."""
    judged = measure(said, part)
    names = METRICS[part.task.metric]
    value = {name: float(getattr(judged, name)) for name in names}
    if part.target is None or not np.isfinite(said).all() or not len(part):
        draws = dict.fromkeys(names, np.full(1, np.nan))
        return Judged(part.task.metric, value, draws, None, len(part), False, judged.why)
    target, right = part.target.numpy(), None
    if part.task.kind == "class":
        named = said.argmax(1)
        right = named == target
        draws = {"accuracy": accuracy_draws(right), "macro_f1": f1_draws(named, target, part.task.outputs)}
        right.setflags(write=False)
    else:
        draws = real_draws(said.astype(np.float64), target.astype(np.float64))
    return Judged(part.task.metric, value, draws, right, len(part), False, judged.why)


# ---------------------------------------------------------------------------- in parts, and without modalities


def missing(model: Fusion, test: Rows) -> dict[str, float]:
    """ "only NAME" and "without NAME" -> the compared metric when modalities are missing; {} for a single one.

    Of two modalities, one is missing when the other is alone, so "without" is told from three on.
    """
    if len(model.used) < 2:
        return {}
    asked: dict[str, tuple[str, ...]] = {f"only {name}": (name,) for name in model.used}
    if len(model.used) > 2:
        asked |= {f"without {name}": tuple(other for other in model.used if other != name) for name in model.used}
    return {words: worth(model, test.keep(kept)).main for words, kept in asked.items()}


def parts_of(said: Any, rows: Sequence[Clip] | Part) -> dict[str, float]:
    """AUC of each kind of anomaly (none without labels), recall of each class, or correlation of each target."""
    if not isinstance(rows, Part):
        return {kind: value for kind, (value, _) in by_kind(said, rows).items()}
    judged = measure(said, rows)
    return dict(judged.recall if isinstance(judged, ClassMetrics) else getattr(judged, "correlation_of", {}))

r"""Whether a model's probabilities mean what they say, and whether it knows when it does not know.

    bins        rows by confidence: equal steps of it, or equally many rows
    ECE         sum over bins b of  n_b / n * |share that is right - mean confidence|
    H(p)        - sum over classes p log p                       in nats; of units p is (1 - score, score)
    ensemble    p = mean of the members' p;   information = H(p) - mean of the members' H  >= 0

Of units the confidence is the score, and right is what is anomalous; of classes it is the highest probability, and
right is what was named rightly (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). ECE is never 0 for
few rows: `by_chance` is what a perfectly calibrated model with these very confidences would show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import softmax
from torch import nn

from core.fusion import called
from core.fusion.base import Fusion
from core.measure.metrics import auc
from core.score.infer import sealed
from core.trust.rows import Reader, Stage, reader, value_of

How = Literal["width", "mass"]
Answer = tuple[np.ndarray, np.ndarray | None]  # scores and outputs of every unit or sample
BINS = 10
CHANCE_DRAWS = 500


@dataclass(frozen=True)
class Reliability:
    """Confidence against truth, bin by bin.

    edges       `(bins + 1,)` confidences between the bins
    count       rows in each bin
    confidence  mean confidence of each bin, in [0, 1]; NaN where it is empty
    right       share of its rows that is right (anomalous, or named rightly)
    low, high   95 % interval of that share, Wilson's
    ece         in percent
    worst       the largest gap of any bin that is not empty, in percent
    by_chance, chance_high   mean and 95 % point of the ECE of perfectly calibrated rows with these confidences, percent
    brier       mean squared distance of confidence and truth
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ece: float
    worst: float
    by_chance: float
    chance_high: float
    brier: float

    @property
    def rows(self) -> int:
        return int(self.count.sum())

    @property
    def over(self) -> float:
        """Mean confidence less the share that is right, in percent points: above 0 it is too sure."""
        filled = self.count > 0
        weight = self.count[filled] / self.rows
        return float(100 * (weight * (self.confidence[filled] - self.right[filled])).sum())


def edges_of(confidence: Float[np.ndarray, " n"], bins: int, how: How) -> Float[np.ndarray, " edges"]:
    """Bounds of the bins; with equal mass equal confidences stay together, so there may be fewer bins.

    >>> edges_of(np.array([0.1, 0.2, 0.3, 0.4]), 2, "mass").tolist()
    [0.0, 0.3, 1.0]
    """
    if how == "width":
        return np.linspace(0, 1, bins + 1)
    ordered = np.sort(confidence)
    inner = ordered[(np.arange(1, bins) * len(ordered)) // bins]
    return np.unique(np.concatenate([[0.0], inner[inner > ordered[0]], [1.0]]))


def places(confidence: Float[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]) -> Int[np.ndarray, " n"]:
    """The bin of every row; a confidence on an edge belongs to the bin above it, 1 to the last."""
    return np.clip(np.searchsorted(edges, confidence, "right") - 1, 0, len(edges) - 2)


def gap(
    confidence: Float[np.ndarray, " n"], right: Float[np.ndarray, "*draws n"], bins: Int[np.ndarray, " n"], count: int
) -> Float[np.ndarray, "*draws"]:
    """The ECE in percent: |sum of confidence - sum of right| of each bin, over all rows."""
    member = np.zeros((len(bins), count))
    member[np.arange(len(bins)), bins] = 1
    return np.asarray(100 * np.abs((right - confidence) @ member).sum(-1) / len(bins))


def reliability(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS, how: How = "width"
) -> Reliability:
    """The reliability diagram and what it comes to.

    Errors: `ValueError` without rows, for confidences outside [0, 1] or fewer than two bins.
    """
    if not len(confidence):
        raise ValueError("there are no rows to judge the confidence of")
    if bins < 2:
        raise ValueError(f"a reliability diagram has two bins or more, got {bins}")
    sure = confidence.astype(np.float64)
    if not np.isfinite(sure).all() or sure.min() < 0 or sure.max() > 1:
        raise ValueError("confidences are probabilities from 0 to 1")
    from core.measure.intervals import wilson

    edges = edges_of(sure, bins, how)
    bin_ = places(sure, edges)
    many = len(edges) - 1
    count = np.bincount(bin_, minlength=many)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(bin_, sure, many) / count
        share = np.bincount(bin_, right.astype(np.float64), many) / count
    reach = (
        np.array(
            [wilson(round(s * n), n) if n else (np.nan, np.nan) for s, n in zip(share, count.tolist(), strict=True)]
        ).reshape(-1, 2)
        / 100
    )
    random = np.random.default_rng(0)
    drawn = gap(sure, (random.random((CHANCE_DRAWS, len(sure))) < sure).astype(np.float64), bin_, many)
    filled = count > 0
    return sealed(Reliability(
        edges, count, mean, share, reach[:, 0], reach[:, 1],
        float(gap(sure, right.astype(np.float64), bin_, many)),
        float(100 * np.abs(mean - share)[filled].max()),
        float(drawn.mean()), float(np.quantile(drawn, 0.95)),
        float(np.square(sure - right).mean()),
    ))  # fmt: skip


def probabilities(scores: Float[np.ndarray, " n"], outputs: np.ndarray | None, kind: str) -> Float[np.ndarray, "n k"]:
    """What the model gives every class; of units (normal, anomalous). Errors: `ValueError` for real targets."""
    if kind == "real":
        raise ValueError("real targets have no probabilities, so there is nothing to calibrate")
    if kind == "units":
        odd = scores.astype(np.float64)
        return np.stack([1 - odd, odd], axis=1)
    assert outputs is not None
    return np.asarray(softmax(outputs.astype(np.float64), axis=1))


def sure_and_right(stage: Stage, p: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray]:
    """(confidence, right) of every row with a target."""
    known, target = stage.known.numpy(), stage.target.numpy()
    if stage.task.kind == "units":
        return p[known, 1], target[known] > 0
    return p.max(1), p.argmax(1) == target


def probable(model: Fusion) -> Fusion:
    """The model, when it answers with probabilities; else a `ValueError`."""
    if model.task.kind == "real":
        raise ValueError(f"{called(model)} answers with real values here, which have no probabilities to calibrate")
    return model


def calibrated(model: Fusion, stage: Stage, bins: int = BINS, how: How = "width") -> Reliability:
    """The reliability of a run on the clean rows; `ValueError` for real targets, unlabelled rows, a diverged model."""
    scores, outputs = clean(reader(model, stage))
    return reliability(*sure_and_right(stage, probabilities(scores, outputs, stage.task.kind)), bins, how)


def clean(reading: Reader) -> Answer:
    """(scores, outputs) of the rows as they are."""
    read = {name: reading.stage.features[name].double() for name in reading.model.widths}
    return reading.answers(read)


# ---------------------------------------------------------------------------- what it does not know


def entropy(p: Float[np.ndarray, "*batch k"]) -> Float[np.ndarray, "*batch"]:
    """In nats, from 0 to log k.

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(4).tolist()
    [0.6931, 0.0]
    """
    return np.asarray(np.maximum(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1), 0.0))


@dataclass(frozen=True)
class Doubt:
    """What several answers to the same rows tell, members of an ensemble or passes with dropout.

    mean          mean probabilities, `(answers, classes)`; of real targets the mean outputs
    entropy       H of the mean, nats; empty for real targets, as the next three
    information   H of the mean less the mean of the members' H: what they disagree on
    members       the metric of each member, in their order
    together      the metric of the mean
    ranks         AUC in percent of the entropy against being wrong: 50 tells nothing; NaN without errors
    informs       the same of the information
    wrong         how many rows with a target are decided wrongly by the mean
    names         of the members
    """

    mean: np.ndarray
    entropy: np.ndarray
    information: np.ndarray
    members: tuple[float, ...]
    together: float
    ranks: float
    informs: float
    wrong: int
    names: tuple[str, ...] = ()


def doubt(
    stage: Stage,
    answers: Sequence[Answer],
    names: Sequence[str] = (),
    threshold: float = 0.5,
) -> Doubt:
    """From (scores, outputs) of every member; a unit is called anomalous when its mean score >= threshold."""
    if not answers:
        raise ValueError("an ensemble has one member at least")
    members = tuple(value_of(stage, scores, outputs) for scores, outputs in answers)
    nothing = np.zeros(0)
    if stage.task.kind == "real":
        told = [outputs for _, outputs in answers if outputs is not None]
        mean = np.mean(np.stack(told).astype(np.float64), axis=0)
        return Doubt(mean, nothing, nothing, members, value_of(stage, nothing, mean), np.nan, np.nan, 0, tuple(names))
    each = np.stack([probabilities(scores, outputs, stage.task.kind) for scores, outputs in answers])
    mean = each.mean(0)
    total = entropy(mean)
    rest = np.maximum(total - entropy(each).mean(0), 0.0)
    known, target = stage.known.numpy(), stage.target.numpy()
    if stage.task.kind == "units":
        together = value_of(stage, mean[:, 1].astype(np.float32), None)
        wrong = ((mean[:, 1] >= threshold) != (target > 0))[known]
    else:
        together = value_of(stage, nothing, np.log(np.maximum(mean, 1e-300)))
        wrong = mean.argmax(1) != target
    return sealed(Doubt(
        mean, total, rest, members, together, auc(total[known], wrong), auc(rest[known], wrong), int(wrong.sum()),
        tuple(names),
    ))  # fmt: skip


def dropouts(model: Fusion) -> list[nn.Module]:
    """The layers that leave something out in training."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return [layer for layer in model.modules() if isinstance(layer, kinds) and layer.p > 0]


def forgetful(model: Fusion) -> Fusion:
    """The model, when it was trained with dropout; else a `ValueError`."""
    if not dropouts(model):
        raise ValueError(f"{called(model)} was trained without dropout here, so it leaves nothing out at random")
    return model


def dropped_out(model: Fusion, stage: Stage, passes: int = 20, seed: int = 0) -> list[Answer]:
    """MC dropout: the layers leave out at random while all else stays as it is (Gal and Ghahramani, ICML 2016).

    Errors: `ValueError` for a model without dropout.
    """
    reading = reader(forgetful(model), stage)  # a copy of its own
    for layer in dropouts(reading.model):
        layer.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [clean(reading) for _ in range(passes)]

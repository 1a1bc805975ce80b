r"""What the steps of a ProFusion model do: what each modality knows after each, what they change, what they cost.

Progressive Fusion for Multimodal Integration, appendix G: for step t and modality j a linear classifier is fitted on
the training activations of G_j and scored on test data, also relative to t = 1. From t = 2 on such an activation has
seen the other modalities through the context, so beside it stands the same probe on a control: the true contexts up to
the last one, and that one taken from another sample. What stands above the control is what the context knows of this
sample; a control below t = 1 says that a foreign context drowns the modality's own input.

Appendix B.2: what R steps cost. Rows are samples, or units of clips (`Dataset.part`, `flat`).
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from core.fusion import called
from core.fusion.base import Fusion
from core.fusion.profusion import ProFusion
from core.measure.intervals import auc_interval, fisher, wilson
from core.measure.metrics import auc, measure, real_metrics
from core.sample import Part, Task
from core.score.infer import array, sealed

MOST = 8  # steps a trained model is run for
ROWS = 8192  # rows unrolled at once


def progressive(model: Fusion) -> ProFusion:
    """The model, once it is one whose steps can be looked at; a `ValueError` says why not."""
    if not isinstance(model, ProFusion):
        raise ValueError(f"{called(model)} reads its modalities once, in one step; choose a run of ProFusion")
    if model.config.steps < 2:
        raise ValueError("ProFusion was trained with steps=1 here: it is the base model and brings nothing back")
    return model


@dataclass(frozen=True)
class Unrolled:
    """Every row at every step; the first axis is t = 1 ... `most`.

    representations   modality -> `(steps, rows, hidden)`
    control           the same, had the last context been another row's; at t = 1 there is no context
    contexts          `(steps, rows, context)`
    outputs           P(c_t), `(steps, rows, outputs)`
    """

    representations: Mapping[str, np.ndarray]
    control: Mapping[str, np.ndarray]
    contexts: np.ndarray
    outputs: np.ndarray


def others(rows: int, seed: int = 0) -> Int[Tensor, " rows"]:
    """For every row another one, each taken once: neighbours in a random circle. A single row only has itself."""
    circle = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    found = torch.empty_like(circle)
    found[circle] = circle.roll(1)
    return found


@torch.inference_mode()
def unroll(model: ProFusion, part: Part, most: int = MOST, seed: int = 0) -> Unrolled:
    """Run the model for `most` steps on every row; contexts of the control are shuffled over all of them."""
    model.eval()
    features = {name: part.features[name] for name in model.widths if name in part.features}
    pieces = [
        model.unroll({name: rows[at : at + ROWS] for name, rows in features.items()}, most)
        for at in range(0, len(part), ROWS)
    ]
    contexts = torch.cat([piece.contexts for piece in pieces], dim=1)
    taken = others(len(part), seed)
    control: dict[str, list[Tensor]] = {name: [] for name in model.widths}
    for t in range(most):
        found: dict[str, list[Tensor]] = {name: [] for name in model.widths}
        for at in range(0, len(part), ROWS):
            x = model.inputs({name: rows[at : at + ROWS] for name, rows in features.items()})
            c = contexts[t - 1, taken[at : at + ROWS]] if t else None
            for name, values in model.encode(x, c).items():
                found[name].append(values)
        for name, parts in found.items():
            control[name].append(torch.cat(parts))
    return Unrolled(
        {name: array(torch.cat([piece.representations[name] for piece in pieces], dim=1)) for name in model.widths},
        {name: array(torch.stack(values)) for name, values in control.items()},
        array(contexts),
        array(torch.cat([piece.outputs for piece in pieces], dim=1)),
    )


# ---------------------------------------------------------------------------- what a representation knows


@dataclass(frozen=True)
class Reading:
    """What linear probes read, `(steps, modalities)` each.

    value       percent of accuracy (classes) or AUC (units), or a correlation (real targets)
    low, high   its 95 % interval: Wilson's, Hanley and McNeil's, Fisher's
    accuracy    percent of rows named right; NaN for real targets
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    accuracy: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """value at t over value at t = 1, as the paper draws it; NaN where that is not above 0."""
        first = np.where(self.value[:1] > 0, self.value[:1], np.nan)
        return self.value / first


@dataclass(frozen=True)
class Probes:
    """Per-step representation accuracy and its control.

    chance      what `value` is when nothing is known: the most frequent class, AUC 50, correlation 0
    majority    percent of test rows in the most frequent class; NaN for real targets
    """

    metric: Literal["accuracy", "auc", "correlation"]
    modalities: tuple[str, ...]
    real: Reading
    control: Reading
    chance: float
    majority: float
    train: int
    test: int


def interval(value: float, target: np.ndarray | None, kind: str) -> tuple[float, float]:
    """95 % interval of the task's metric on these rows: Wilson's, Hanley and McNeil's or Fisher's; NaN without one."""
    if target is None or np.isnan(value):
        return np.nan, np.nan
    if kind == "units":
        return auc_interval(value, int((target > 0).sum()), int((target == 0).sum()))
    return wilson(round(value * len(target) / 100), len(target)) if kind == "class" else fisher(value, len(target))


def read_off(
    train_rows: Float[np.ndarray, "train hidden"],
    train_target: np.ndarray,
    test_rows: Float[np.ndarray, "test hidden"],
    test_target: np.ndarray,
    task: Task,
) -> tuple[float, float, float, float]:
    """(value, low, high, accuracy) of one linear probe: logistic regression, for real targets ridge regression.

    Activations are standardised by their training part; both penalties are 1, fixed, the same for every probe. NaN
    where activations are not finite: a model asked for more steps than it was trained for may diverge.
    """
    if not (np.isfinite(train_rows).all() and np.isfinite(test_rows).all()):
        return np.nan, np.nan, np.nan, np.nan
    a, b = train_rows.astype(np.float64), test_rows.astype(np.float64)
    mean, spread = a.mean(0), a.std(0)
    spread = np.where(spread > 1e-6 * max(1e-12, float(spread.max())), spread, 1.0)
    a, b = (a - mean) / spread, (b - mean) / spread
    if task.kind == "real":
        centre = train_target.mean(0)
        found = Ridge(alpha=1.0).fit(a, train_target - centre).predict(b).reshape(len(b), -1) + centre
        value = real_metrics(found, test_target, task.names).correlation
        return value, *interval(value, test_target, task.kind), np.nan
    if len(np.unique(train_target)) < 2:
        raise ValueError("the training part holds one class only: there is nothing for a probe to tell apart")
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(a, train_target)
    right = int((probe.predict(b) == test_target).sum())
    accuracy = 100 * right / len(b)
    value = auc(probe.decision_function(b), test_target > 0) if task.kind == "units" else accuracy
    return value, *interval(value, test_target, task.kind), accuracy


def probes(model: Fusion, known: Part, asked: Part, most: int = MOST) -> Probes:
    """Appendix G with its control: every modality's activations at t = 1 ... `most`, fitted on `known`, scored on
    `asked`.

    Errors: `ValueError` when rows of either part have no target, or the training part one class only.
    """
    opened = progressive(model)
    parts = known, asked
    fitted, judged = known.target, asked.target
    if fitted is None or judged is None:
        which = "training" if fitted is None else "test"
        raise ValueError(f"the {which} rows have no labels of their own, so no probe can be fitted and scored")
    before, after = (unroll(opened, part, most, seed) for seed, part in enumerate(parts))
    a, b, names = fitted.numpy(), judged.numpy(), tuple(opened.widths)
    tables = []
    for one, two in ((before.representations, after.representations), (before.control, after.control)):
        cells = [[read_off(one[name][t], a, two[name][t], b, opened.task) for name in names] for t in range(most)]
        tables.append(Reading(*np.array(cells).transpose(2, 0, 1)))
    majority = np.nan if opened.task.kind == "real" else float(100 * np.bincount(b).max() / len(b))
    chance = {"accuracy": majority, "auc": 50.0, "correlation": 0.0}[opened.task.metric]
    metric: Any = opened.task.metric
    return sealed(Probes(metric, names, tables[0], tables[1], chance, majority, len(a), len(b)))


# ---------------------------------------------------------------------------- what a step changes


@dataclass(frozen=True)
class Answers:
    """What the model says of every row after each step.

    outputs     P(c_t), `(steps, rows, outputs)`
    scores      `(steps, rows)`: of units the chance of being anomalous, of classes the highest one's; real: the value
    value       `(steps,)` the task's metric; NaN where it is undefined
    low, high   its 95 % interval, as in `Reading`
    trained     R of the training
    target      as in `Part`, None when nobody knows
    """

    outputs: np.ndarray
    scores: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    metric: str
    trained: int
    task: Task
    target: np.ndarray | None

    def said(self, threshold: float = 0.5) -> Int[np.ndarray, "steps rows"]:
        """The decision at every step: the class, or of units 1 for an alarm (score >= threshold)."""
        if self.task.kind == "units":
            return (self.scores >= threshold).astype(np.int64)
        return self.outputs.argmax(-1)

    def right(self, threshold: float = 0.5) -> Bool[np.ndarray, "steps rows"] | None:
        """Whether each decision is right; None without targets or decisions (real targets)."""
        if self.target is None or self.task.kind == "real":
            return None
        return self.said(threshold) == self.target

    def error(self) -> Float[np.ndarray, "steps rows"] | None:
        """Real targets: the absolute error, the mean over targets, in units of each target's spread over the rows."""
        if self.task.kind != "real" or self.target is None:
            return None
        spread = self.target.std(0)
        return np.abs((self.outputs - self.target) / np.where(spread > 0, spread, 1)).mean(-1)


def answers(model: Fusion, part: Part, most: int = MOST) -> Answers:
    """The model's own answer at every step: run with any R, since the weights are shared."""
    opened = progressive(model)
    outputs = unroll(opened, part, most).outputs
    values = []
    for step in outputs:
        values.append(np.nan if part.target is None else measure(step, part).main)
    kind = opened.task.kind
    if kind == "units":
        scores = expit(outputs[..., 0].astype(np.float64))
    elif kind == "class":
        exps = np.exp(outputs - outputs.max(-1, keepdims=True))
        scores = (exps / exps.sum(-1, keepdims=True)).max(-1)
    else:
        scores = outputs[..., 0].astype(np.float64)
    value = np.array(values)
    target = None if part.target is None else part.target.numpy()
    low, high = np.array([interval(each, target, kind) for each in values]).T
    how = opened.task.metric, opened.config.steps, opened.task
    return sealed(Answers(outputs, scores, value, low, high, *how, target))


@dataclass(frozen=True)
class Turns:
    """What became of the decisions from one step to a later one.

    rows    numbers of the rows whose decision changed, the largest change of score first
    before, after    their decisions
    helped  of these rows: wrong before, right after; None without targets
    hurt    right before, wrong after
    """

    rows: np.ndarray
    before: np.ndarray
    after: np.ndarray
    helped: np.ndarray | None
    hurt: np.ndarray | None


def turns(found: Answers, first: int, last: int, threshold: float = 0.5) -> Turns:
    """Rows that step `last` decides otherwise than step `first` (counted from 1).

    Real targets have no decisions: there a row is listed when its error moved by more than a tenth of the target's
    spread, and "helped" means a smaller error.
    """
    a, b = first - 1, last - 1
    moved = np.abs(found.scores[b] - found.scores[a])
    errors = found.error()
    if found.task.kind == "real":
        before, after = found.scores[a], found.scores[b]
        if errors is None:
            listed = np.flatnonzero(moved > 0.1 * max(1e-12, float(found.scores[a].std())))
        else:
            moved = np.abs(errors[b] - errors[a])
            listed = np.flatnonzero(moved > 0.1)
    else:
        said = found.said(threshold)
        before, after = said[a], said[b]
        listed = np.flatnonzero(before != after)
    listed = listed[np.argsort(-moved[listed], kind="stable")]
    right = found.right(threshold)
    if right is not None:
        helped, hurt = ~right[a, listed] & right[b, listed], right[a, listed] & ~right[b, listed]
    elif errors is not None:
        helped, hurt = errors[b, listed] < errors[a, listed], errors[b, listed] > errors[a, listed]
    else:
        return Turns(listed, before[listed], after[listed], None, None)
    return Turns(listed, before[listed], after[listed], helped, hurt)


# ---------------------------------------------------------------------------- where the context goes


@dataclass(frozen=True)
class Paths:
    """The contexts of all rows on the two directions in which they differ most.

    places  `(steps, rows, 2)`
    shares  share of the variance on each axis, in [0, 1]
    fitted  steps whose contexts the axes were fitted on: those of the training
    length  `(steps,)` mean distance from c_{t-1} to c_t, in all dimensions; NaN at t = 1
    """

    places: np.ndarray
    shares: np.ndarray
    fitted: int
    length: np.ndarray


def paths(model: Fusion, part: Part, most: int = MOST) -> Paths:
    """PCA on the contexts of all rows at the steps of the training; later steps are drawn on the same axes."""
    opened = progressive(model)
    contexts = unroll(opened, part, most).contexts.astype(np.float64)
    steps = min(opened.config.steps, most)
    flat = contexts[:steps].reshape(-1, contexts.shape[-1])
    axes = min(2, *flat.shape)
    seen = PCA(axes, svd_solver="full").fit(flat)
    places = np.zeros((*contexts.shape[:2], 2))
    places[..., :axes] = (contexts - seen.mean_) @ seen.components_.T
    shares = np.zeros(2)
    shares[:axes] = np.nan_to_num(seen.explained_variance_ratio_)
    length = np.full(most, np.nan)
    length[1:] = np.linalg.norm(np.diff(contexts, axis=0), axis=-1).mean(1)
    return sealed(Paths(places, shares, steps, length))


# ---------------------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class Cost:
    """What R = 1, 2, ... steps cost, measured on this machine.

    seconds     this thread's processor time for scoring the rows once, the median of the turns; so other work on the
                machine does not count, and it is the time waited only where torch computes on one thread
    training    the same for a pass forward and back
    flops       floating-point operations a row (matrix products; 2 for a multiplication and its addition)
    """

    steps: np.ndarray
    seconds: np.ndarray
    training: np.ndarray
    flops: np.ndarray
    rows: int


def cost(model: Fusion, part: Part, most: int = 5, rounds: int = 7, rows: int = 1024) -> Cost:
    """B.2 on the first rows: variants take turns, so that a machine that slows down slows all of them."""
    opened = progressive(model)
    features = {name: values[:rows] for name, values in part.features.items() if name in opened.widths}
    count = len(next(iter(features.values())))
    counted = range(1, most + 1)
    operations = []
    for steps in counted:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            opened.unroll({name: values[:1] for name, values in features.items()}, steps)
        operations.append(int(counter.get_total_flops()))
    scoring: dict[int, list[float]] = {steps: [] for steps in counted}
    training: dict[int, list[float]] = {steps: [] for steps in counted}
    weights = [weight for weight in opened.parameters() if weight.requires_grad]
    for number in range(rounds + 1):  # the first round only warms up
        for steps in counted:
            begin = time.thread_time()
            with torch.inference_mode():
                opened.unroll(features, steps)
            middle = time.thread_time()
            total = opened.unroll(features, steps).outputs[-1].square().mean()
            torch.autograd.grad(total, weights, allow_unused=True)  # the gradients are thrown away: nothing is trained
            if number:
                scoring[steps].append(middle - begin)
                training[steps].append(time.thread_time() - middle)
    return sealed(
        Cost(
            np.array(list(counted)),
            np.array([statistics.median(scoring[steps]) for steps in counted]),
            np.array([statistics.median(training[steps]) for steps in counted]),
            np.array(operations),
            count,
        )
    )


# ---------------------------------------------------------------------------- the experiment

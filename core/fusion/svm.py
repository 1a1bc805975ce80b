r"""ℓp-norm multiple kernel learning: kernels, the alternation that weighs them, its duality gap, and kernel PCA.

    K_β = sum over m of  β_m K_m,   β >= 0,   ‖β‖_p = 1          (p >= 1, or ∞)
    min over β, w, b of   1/2 sum ‖w_m‖² / β_m  +  C sum loss(y, f(x)),     f(x) = sum <w_m, φ_m(x)> + b
    max over a of         sum (y a - ε |a|)  -  1/2 ‖q‖_p*,      q_m = aᵀ K_m a,   p* = p / (p - 1)

Kloft et al., "ℓp-Norm Multiple Kernel Learning", JMLR 2011; METHODS section 4. a are signed dual coefficients: y α for
the hinge loss (ε = 0), α - α' for the ε-insensitive one; ‖w_m‖² = β_m² q_m. For fixed w the best weights are

    β_m ∝ ‖w_m‖^(2 / (p + 1)),   renormalised to ‖β‖_p = 1

and for fixed β the rest is an SVM with the kernel K_β. Any a that an SVM may return bounds the minimum from below, the
primal value at any β from above; their difference over the primal value is the relative duality gap. At the minimum
‖w_m‖² / β_m^(p+1) is the same for all active kernels. Several outputs may share one β: their values and their q add.

    separation  share of the rows' variance in the kernel's space that lies between the classes' means
    alignment   <K, T> / (‖K‖ ‖T‖), both centred, T the inner products of the targets (Cortes et al., JMLR 2012)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Kind = Literal["linear", "rbf", "poly"]
KINDS: tuple[Kind, ...] = ("linear", "rbf", "poly")
FLOOR = 1e-4  # of the training rows' mean K(x, x): what a shorter row is divided by instead
LEAST = 1e-12  # of the largest weight: what a kernel keeps during the alternation, so that it may come back
ACTIVE = 1e-2  # of the largest weight: kernels that the stationarity is judged on
LONGEST = 16.0  # times the closed form's step in log β
Grams = Float[np.ndarray, "kernels n n"]


# ---------------------------------------------------------------------------- kernels


class Kernel(NamedTuple):
    """A kernel of one modality."""

    modality: str
    kind: Kind


def gram(
    kind: Kind, x: Float[Tensor, "n d"], y: Float[Tensor, "k d"], sigma: float, length: float, degree: int
) -> Float[Tensor, "n k"]:
    """K(x, y): x·y, exp(-‖x - y‖² / 2σ²), or (x·y / length + 1)^degree; `length` is a mean squared length.

    >>> x = torch.eye(2)
    >>> gram("poly", x, x, 1.0, 1.0, 2).tolist()
    [[4.0, 1.0], [1.0, 4.0]]
    """
    products = x @ y.T
    if kind == "linear":
        return products
    if kind == "poly":
        return (products / length + 1) ** degree
    apart = x.square().sum(-1)[:, None] + y.square().sum(-1) - 2 * products
    return (-apart.clamp(min=0) / (2 * sigma**2)).exp()


def own(kind: Kind, x: Float[Tensor, "n d"], length: float, degree: int) -> Float[Tensor, " n"]:
    """K(x, x) of every row."""
    if kind == "rbf":
        return torch.ones_like(x[:, 0])
    squares = x.square().sum(-1)
    return squares if kind == "linear" else (squares / length + 1) ** degree


def median_distance(x: Float[Tensor, "n d"], most: int = 1000) -> float:
    """Median distance between two of the first `most` rows; 1 where all are equal.

    >>> median_distance(torch.tensor([[0.0], [3.0]]))
    3.0
    """
    apart = torch.nn.functional.pdist(x[:most])
    found = float(apart.median()) if len(apart) else 0.0
    return found if found > 0 else 1.0


# ---------------------------------------------------------------------------- one SVM


class Duals(NamedTuple):
    """a of every row and output, signed, and the biases."""

    a: Float[np.ndarray, "n outputs"]
    b: Float[np.ndarray, " outputs"]


def machines(
    K: Float[np.ndarray, "n n"], target: Float[np.ndarray, "n outputs"], C: float, epsilon: float | None, exact: float
) -> Duals:
    """An SVM for every column of targets: -1 / 1 (epsilon None), or real values.

    A class that no row has gets no support and the bias -1.
    """
    from sklearn.svm import SVC, SVR  # here and below: slow to import, and few trainings have a use for it

    a, b = np.zeros_like(target), np.zeros(target.shape[1])
    for o, wanted in enumerate(target.T):
        if epsilon is None:
            if len(np.unique(wanted)) < 2:
                b[o] = wanted[0]
                continue
            fitted: Any = SVC(C=C, kernel="precomputed", tol=exact, cache_size=500).fit(K, wanted)
        else:
            fitted = SVR(C=C, kernel="precomputed", epsilon=epsilon, tol=exact, cache_size=500).fit(K, wanted)
        a[fitted.support_, o] = fitted.dual_coef_[0]
        b[o] = fitted.intercept_[0]
    return Duals(a, b)


def missed(target: Float[np.ndarray, "n outputs"], f: Float[np.ndarray, "n outputs"], epsilon: float | None) -> float:
    """Sum of the hinge loss, or of what lies farther than epsilon."""
    if epsilon is None:
        return float(np.maximum(0, 1 - target * f).sum())
    return float(np.maximum(0, np.abs(target - f) - epsilon).sum())


# ---------------------------------------------------------------------------- the alternation


@dataclass(frozen=True)
class Round:
    """One SVM and what it says of β. gap and stationarity are relative, effective a number of kernels.

    objective       the primal value
    gap             (primal - best lower bound so far) / primal
    stationarity    largest over smallest ‖w_m‖² / β_m^(p+1) of the active kernels, less 1
    effective       exp of the entropy of β / sum β: 1 when one kernel has all the weight
    """

    objective: float
    gap: float
    stationarity: float
    effective: float


@dataclass(frozen=True)
class Solution:
    """beta: `(kernels,)` with ‖β‖_p = 1. duals: of the SVM at this β. squares: ‖w_m‖² of every kernel and output."""

    beta: Float[np.ndarray, " kernels"]
    duals: Duals
    squares: Float[np.ndarray, "kernels outputs"]
    rounds: tuple[Round, ...]


def norm(values: Float[np.ndarray, " m"], p: float) -> float:
    """‖values‖_p of non-negative values, p up to ∞.

    >>> norm(np.array([3.0, 4.0]), 2.0), norm(np.array([3.0, 4.0]), math.inf)
    (5.0, 4.0)
    """
    top = float(values.max(initial=0.0))
    if top == 0 or math.isinf(p):
        return top
    return top * float(((values / top) ** p).sum()) ** (1 / p)


def dual_of(p: float) -> float:
    """p* with 1/p + 1/p* = 1."""
    return math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)


def closed_form(squares: Float[np.ndarray, " m"], p: float) -> Float[np.ndarray, " m"]:
    """β_m ∝ ‖w_m‖^(2 / (p + 1)) from the squared norms, with ‖β‖_p = 1; uniform where all are 0, and at p = ∞.

    >>> closed_form(np.array([4.0, 1.0]), 1.0).round(4).tolist()
    [0.6667, 0.3333]
    """
    if math.isinf(p) or squares.max() == 0:
        return uniform(len(squares), p)
    found = (squares / squares.max()) ** (1 / (p + 1))
    return found / norm(found, p)


def uniform(count: int, p: float) -> Float[np.ndarray, " m"]:
    return np.full(count, 1.0 if math.isinf(p) else count ** (-1 / p))


def stationarity(beta: Float[np.ndarray, " m"], q: Float[np.ndarray, " m"], p: float) -> float:
    """How unequal ‖w_m‖² / β_m^(p+1) = q_m β_m^(1-p) is over active kernels; at p = ∞, where β is given, 0."""
    active = beta >= ACTIVE * beta.max()
    if math.isinf(p) or active.sum() < 2 or q[active].min() <= 0:
        return 0.0
    logs = np.log(q[active]) + (1 - p) * np.log(beta[active])
    return float(np.expm1(logs.max() - logs.min()))


def effective(beta: Float[np.ndarray, " m"]) -> float:
    """exp of the entropy of β / sum β.

    >>> round(effective(np.array([0.5, 0.5, 0.0])), 6)
    2.0
    """
    share = beta[beta > 0] / beta.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def combined(K: Grams, beta: Float[np.ndarray, " kernels"]) -> Float[np.ndarray, "n n"]:
    return np.asarray(beta @ K.reshape(len(K), -1)).reshape(K.shape[1:])  # three times as fast as tensordot


def squares_of(K: Grams, a: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "kernels outputs"]:
    """q = aᵀ K_m a of every kernel and output."""
    return np.einsum("no,mno->mo", a, K @ a).clip(min=0)


def alternate(
    K: Grams,
    target: Float[np.ndarray, "n outputs"],
    p: float,
    C: float = 1.0,
    epsilon: float | None = None,
    tolerance: float = 1e-4,
    rounds: int = 300,
    tell: Callable[[int, Round], None] = lambda number, now: None,
) -> Solution:
    """SVM and closed form in turns until the relative gap is at most `tolerance` and the stationarity within 1 %.

    The closed form never raises the objective but at p = 1 creeps; so its step in log β is taken up to 16 times as long
    while the objective falls, and once it rises the closed form itself is taken from the best weights so far.
    """
    beta = uniform(len(K), p)
    best: tuple[float, np.ndarray, np.ndarray] | None = None  # objective, β, q
    bound, step, exact = -math.inf, 1.0, 1e-4
    told: list[Round] = []
    while True:
        mixed = combined(K, beta)
        duals = machines(mixed, target, C, epsilon, exact)
        each = squares_of(K, duals.a)
        q = each.sum(1)
        lost = missed(target, mixed @ duals.a + duals.b, epsilon)
        linear = float((target * duals.a).sum() - (epsilon or 0.0) * np.abs(duals.a).sum())
        primal, dual = 0.5 * float(beta @ q) + C * lost, linear - 0.5 * norm(q, dual_of(p))
        bound = max(bound, dual)
        within = (primal - linear + 0.5 * float(beta @ q)) / max(primal, 1e-300)  # the SVM's own share of the gap
        now = Round(primal, max(0.0, primal - bound) / max(primal, 1e-300), stationarity(beta, q, p), effective(beta))
        told.append(now)
        tell(len(told), now)
        done = now.gap <= tolerance and now.stationarity <= 0.01
        if done or len(told) >= rounds or primal <= 0:
            return Solution(beta, duals, beta[:, None] ** 2 * each, tuple(told))
        if within > tolerance / 5 and exact > 1e-9:
            exact /= 10
        if best is not None and step > 1 and primal * (1 - within) > best[0]:  # beyond what an inexact SVM explains
            _, beta, q = best
            step = 1.0
        else:
            best = primal, beta, q
            step = min(LONGEST, 1.5 * step) if len(told) > 1 else 1.0
        wanted = closed_form(beta**2 * q, p)
        floor = LEAST * wanted.max()
        logs = np.log(beta.clip(min=floor)) + step * (np.log(wanted.clip(min=floor)) - np.log(beta.clip(min=floor)))
        moved = np.exp(logs - logs.max()).clip(min=LEAST)
        beta = moved / norm(moved, p)


# ---------------------------------------------------------------------------- from decision values to chances


def platt(f: Float[np.ndarray, " n"], positive: Sequence[bool] | np.ndarray) -> tuple[float, float]:
    """(slope, offset) of the logistic that fits decision values best (Platt, 1999, with his smoothed targets).

    The slope is at least 1e-3: which row is the likelier one stays the SVM's own answer.
    """
    from scipy.optimize import minimize

    yes = np.asarray(positive, bool)
    wanted = np.where(yes, (yes.sum() + 1) / (yes.sum() + 2), 1 / ((~yes).sum() + 2))

    def lost(asked: np.ndarray) -> tuple[float, np.ndarray]:
        z = asked[0] * f + asked[1]
        wrong = 1 / (1 + np.exp(-z.clip(-700, 700))) - wanted
        return float((np.logaddexp(0, z) - wanted * z).sum()), np.array([(wrong * f).sum(), wrong.sum()])

    found = minimize(lost, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(1e-3, 1e3), (None, None)])
    return float(found.x[0]), float(found.x[1])


def sharpness(f: Float[np.ndarray, "n classes"], target: Int[np.ndarray, " n"]) -> float:
    """The one factor that makes decision values the best logits of the classes, between 1/100 and 100."""
    from scipy.optimize import minimize_scalar

    def lost(log: float) -> float:
        z = np.exp(log) * f
        top = z.max(1)
        return float((np.log(np.exp(z - top[:, None]).sum(1)) + top - z[np.arange(len(z)), target]).mean())

    return float(np.exp(minimize_scalar(lost, bounds=(-4.6, 4.6), method="bounded").x))


def held_out(
    K: Float[np.ndarray, "n n"],
    target: Float[np.ndarray, "n outputs"],
    groups: Int[np.ndarray, " n"],
    C: float,
    folds: int = 3,
) -> Float[np.ndarray, "n outputs"]:
    """Decision values of every row by SVMs that have not seen its group: whole groups are left out in turn.

    The groups are dealt in their order, those with any positive row and the others apart, so that folds are alike.
    """
    names, place = np.unique(groups, return_inverse=True)
    first = target.argmax(1) if target.shape[1] > 1 else (target[:, 0] > 0).astype(np.int64)
    kinds = np.zeros(len(names), np.int64)
    np.maximum.at(kinds, place, first)
    fold = np.empty(len(names), np.int64)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        fold[mine] = np.arange(len(mine)) % folds
    found = np.zeros_like(target)
    for out in range(folds):
        left = fold[place] == out
        if left.any() and not left.all():
            duals = machines(K[np.ix_(~left, ~left)], target[~left], C, None, 1e-3)
            found[left] = K[np.ix_(left, ~left)] @ duals.a + duals.b
    return found


# ---------------------------------------------------------------------------- what a kernel sees


@dataclass(frozen=True)
class Seen:
    """The rows on the two directions of largest variance in the kernel's space, and the variance on each.

    places  `(rows, 2)`; shares in [0, 1]
    """

    places: Float[np.ndarray, "n 2"]
    shares: Float[np.ndarray, " 2"]


def centred(K: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The kernel of rows less their mean."""
    means = K.mean(0)
    return K - means - means[:, None] + means.mean()


def kernel_pca(K: Float[np.ndarray, "n n"]) -> Seen:
    """Schölkopf et al., 1998: eigenvectors of the centred kernel, times the square roots of their eigenvalues.

    >>> kernel_pca(np.outer([0.0, 1.0, 5.0], [0.0, 1.0, 5.0])).places[:, 0].round(6).tolist()
    [-2.0, -1.0, 3.0]
    """
    from scipy.linalg import eigh

    middle, count = centred(K), len(K)
    top = min(2, count)
    values, vectors = eigh(middle, subset_by_index=[count - top, count - 1])
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    sign = np.sign(vectors[-1 - np.abs(vectors[::-1]).argmax(0), np.arange(top)])  # of equals the last one
    places, shares = np.zeros((count, 2)), np.zeros(2)
    places[:, :top] = vectors * sign * np.sqrt(values)
    total = float(np.trace(middle))
    shares[:top] = values / total if total > 0 else 0.0
    return Seen(places, shares)


def separation(K: Float[np.ndarray, "n n"], target: Int[np.ndarray, " n"]) -> float:
    """Share of the variance in the kernel's space that lies between the classes' means; NaN without two classes.

    All of the space counts, not the two directions that are drawn. Rows alike within classes and not between: 1.
    Classes that mean nothing: (classes - 1) / (rows - 1) on average.

    >>> round(separation(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0, 0, 1])), 6)
    1.0
    """
    classes = np.unique(target)
    total = float(np.trace(K)) / len(K) - float(K.mean())
    if len(classes) < 2 or total <= 1e-12 * max(1.0, float(np.abs(K).max())):
        return math.nan
    between = -float(K.mean())
    for label in classes:
        rows = target == label
        between += float(rows.mean()) * float(K[np.ix_(rows, rows)].mean())
    return between / total


def alignment(K: Float[np.ndarray, "n n"], target: Float[np.ndarray, "n outputs"]) -> float:
    """Cosine between the centred kernel and the inner products of the centred targets; NaN where either is constant.

    >>> y = np.array([[1.0], [1.0], [-1.0]])
    >>> round(alignment(y @ y.T, y), 6)
    1.0
    """
    middle, wanted = centred(K), target - target.mean(0)
    length = float(np.linalg.norm(middle)) * float(np.linalg.norm(wanted.T @ wanted))
    return float((wanted * (middle @ wanted)).sum()) / length if length > 1e-300 else math.nan

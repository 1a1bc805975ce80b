r"""MKL: one kernel machine on a weighted sum of every modality's kernels; the weights say how much each one counts.

    K_β(x, x') = sum over m of  β_m K_m(x, x'),     β >= 0,  ‖β‖_p = 1
    f_o(x)     = sum over m of  β_m sum over i of a_io K_m(x_i, x)  +  b_o

Kloft et al., "ℓp-Norm Multiple Kernel Learning", JMLR 2011; METHODS section 4; the maths is in `kernels`. Every
modality has one kernel of every kind asked for, on its standardised rows, or on their directions of largest variance
(`project`). p = 1 leaves few kernels, p = ∞ weighs all alike. It is solved, not trained by gradient: libsvm and the
closed form for β take turns until the relative duality gap is at most `tolerance`. The options of the training loop
(epochs, batch, lr …) play no part.

    units   one machine, anomalous against normal. From clip labels every unit carries the label of its clip; with
            `witness` rounds the anomalous clips' units are then relabelled by the machine's own sign, the highest unit
            of each staying anomalous (mi-SVM, Andrews et al. 2003). Output: slope f + offset, a logistic (Platt 1999)
            fitted on decision values of units whose clip the machine had not seen
    class   one machine a class, that class against all others. Output: f times one factor for all classes, which makes
            them the best logits for rows that the machine had not seen; the highest output is the highest f
    real    ε-insensitive regression of every target in its spread; output in the target's own units

Crops are rows of their own. A kernel sees the training mean where a modality is missing: a linear one adds nothing
there, an RBF or polynomial one what it gives the mean. With `normalise="cosine"` a row shorter than a hundredth of the
usual one is divided by that, so that the mean itself has no direction.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from core.fusion import svm
from core.fusion.base import (
    LARGEST,
    MOST,
    Features,
    Fused,
    Positive,
    Size,
    Solved,
    Teller,
    VectorFusion,
    Weight,
    about,
    options,
)
from core.fusion.svm import KINDS, Grams, Kernel, Solution
from core.sample import UNITS, Target, Task

ENTRIES = 1 << 22  # kernel values held at once when scoring
Norm = Annotated[float, Field(ge=1, le=LARGEST)]


@options
class MklConfig:
    """Options of MKL."""

    p: Norm | Literal["inf"] = about(
        2.0, "norm of the kernel weights, a number or inf: 1 leaves few, inf weighs all alike"
    )
    kernel: Literal["rbf", "linear", "poly", "all"] = about(
        "rbf", "kind of every modality's kernel; all: one of each kind"
    )
    normalise: Literal["cosine", "trace"] = about(
        "cosine", "cosine: every row has length 1 in the kernel's space; trace: 1 on average over the training rows"
    )
    C: Positive = about(1.0, "price of the loss: larger fits the training rows closer")
    weights: Literal["shared", "each"] = about(
        "shared", "shared: one set of kernel weights for all classes or targets; each: a set for each of them"
    )
    project: Size | None = about(
        None, "directions of largest variance (of the training rows) a kernel sees of its modality; none: all columns"
    )
    sigma: Positive = about(1.0, "width of the RBF kernel, in medians of the distance between two training rows")
    degree: int = about(2, "of the polynomial kernel", ge=1, le=100)
    epsilon: Weight = about(0.1, "real targets: errors up to this share of the target's spread cost nothing")
    witness: int = about(0, "clip labels: how often at most the anomalous clips' units are relabelled", ge=0, le=1000)
    most: int = about(1000, "training rows at most; more are drawn from, evenly over the classes", ge=4, le=MOST)
    tolerance: Positive = about(1e-4, "relative duality gap to stop at")
    rounds: int = about(500, "SVMs at most", ge=1, le=100_000)

    @property
    def norm(self) -> float:
        """p as a number."""
        return float(self.p)


@dataclass(frozen=True)
class MklTrace:
    """terms[..., m, o]: what kernel m adds to output o; they and `bias` sum to the output (real targets: before it
    gets its own units).

    beta    `(kernels, outputs)`, or `(kernels, 1)` where all outputs share one set
    """

    terms: Float[Tensor, "*batch kernels outputs"]
    bias: Float[Tensor, " outputs"]
    beta: Float[Tensor, "kernels _"]


class Mkl(VectorFusion):
    """A weighted sum of kernels and its machines. Before it is solved every output is 0."""

    Config = MklConfig
    config: MklConfig
    solved = True

    def __init__(self, widths: Mapping[str, int], config: MklConfig | None = None, task: Task = UNITS) -> None:
        config = config or MklConfig()
        super().__init__(widths, config, task)
        kinds = KINDS if config.kernel == "all" else (config.kernel,)
        self.kernels = tuple(Kernel(name, kind) for name in widths for kind in kinds)
        count, outputs = len(self.kernels), task.outputs
        for name, width in widths.items():
            seen = width if config.project is None else min(config.project, width)
            if config.project is not None:
                self.register_buffer(f"directions_of_{name}", torch.zeros(seen, width))
            self.register_buffer(f"support_of_{name}", torch.zeros(0, seen))
        self.register_buffer("sigma", torch.ones(len(widths)))  # σ of the RBF kernels
        self.register_buffer("length", torch.ones(len(widths)))  # mean squared length of the training rows
        self.register_buffer("usual", torch.ones(count))  # mean K(x, x) of the training rows
        self.beta = nn.Parameter(torch.zeros(count, outputs if config.weights == "each" else 1))
        self.a = nn.Parameter(torch.zeros(0, outputs))
        self.b = nn.Parameter(torch.zeros(outputs))
        self.slope = nn.Parameter(torch.ones(outputs))
        self.offset = nn.Parameter(torch.zeros(outputs))

    # ------------------------------------------------------------------ kernels

    def seen(self, features: Features) -> dict[str, Float[Tensor, "*batch units _"]]:
        """What the kernels see of every modality; zeros, the training mean, where it is missing."""
        rows = self.rows(features)
        if self.config.project is None:
            return rows
        return {name: values @ self.get_buffer(f"directions_of_{name}").T for name, values in rows.items()}

    def supports(self) -> dict[str, Float[Tensor, "n _"]]:
        return {name: self.get_buffer(f"support_of_{name}") for name in self.widths}

    def gram(
        self, at: int, x: Mapping[str, Float[Tensor, "n _"]], y: Mapping[str, Float[Tensor, "k _"]]
    ) -> Float[Tensor, "n k"]:
        """K_m between rows of x and of y, normalised, for the kernel at this place."""
        name, kind = self.kernels[at]
        place = list(self.widths).index(name)
        degree = self.config.degree
        length, usual = float(self.get_buffer("length")[place]), float(self.get_buffer("usual")[at])
        values = svm.gram(kind, x[name], y[name], float(self.get_buffer("sigma")[place]), length, degree)
        if self.config.normalise == "trace":
            return values / usual
        lengths = [svm.own(kind, z[name], length, degree).clamp(min=svm.FLOOR * usual).sqrt() for z in (x, y)]
        return values / lengths[0][:, None] / lengths[1]

    def grams(self, x: Mapping[str, Float[Tensor, "n _"]]) -> Grams:
        """Every kernel between the rows themselves, in double precision."""
        wide = {name: rows.double() for name, rows in x.items()}
        return np.stack([self.gram(at, wide, wide).numpy() for at in range(len(self.kernels))])

    def kernels_of(self, features: Features) -> Grams:
        """Every kernel between these rows, `(kernels, n, n)`; for pictures, of few rows."""
        with torch.inference_mode():
            return self.grams({name: rows.cpu() for name, rows in self.seen(features).items()})

    # ------------------------------------------------------------------ answers

    def forward(self, features: Features) -> Fused[MklTrace]:
        seen = self.seen(features)
        shape = next(iter(seen.values())).shape[:-1]
        flat = {name: rows.reshape(-1, rows.shape[-1]) for name, rows in seen.items()}
        size = max(1, ENTRIES // max(1, len(self.a)))
        count = int(math.prod(shape))
        parts = [
            self.terms({name: rows[start : start + size] for name, rows in flat.items()})
            for start in range(0, max(count, 1), size)
        ]
        terms = torch.cat(parts).reshape(*shape, len(self.kernels), self.task.outputs)
        bias = self.slope * self.b + self.offset
        return self.answered(terms.sum(-2) + bias, MklTrace(terms, bias, self.beta))

    def terms(self, seen: Mapping[str, Float[Tensor, "n _"]]) -> Float[Tensor, "n kernels outputs"]:
        support = self.supports()
        weights = self.beta * self.slope  # (kernels, outputs), whether β is shared or not
        return torch.stack(
            [self.gram(at, seen, support) @ self.a * weights[at] for at in range(len(self.kernels))], dim=-2
        )

    def make_room(self, found: Mapping[str, Tensor]) -> None:
        """As many support rows as the stored run has."""
        if "a" in found and found["a"].ndim == 2:
            self.hold(len(found["a"]))

    def hold(self, count: int) -> None:
        self.a = nn.Parameter(self.a.new_zeros(count, self.task.outputs))
        for name, rows in self.supports().items():
            self.register_buffer(f"support_of_{name}", rows.new_zeros(count, rows.shape[1]))

    # ------------------------------------------------------------------ the solution

    def solve(self, features: Features, target: Target, groups: Int[Tensor, " rows"], top: int, tell: Teller) -> Solved:
        """β, the machines and their logistic from the training rows; `learn` comes before.

        groups  which clip a row belongs to; of samples a number each
        top     with `witness`: how many units of an anomalous clip stay anomalous at least
        """
        count = len(target)
        chosen = self.drawn(target)
        with torch.no_grad():
            self.measure({name: rows[chosen] for name, rows in features.items()})
            rows = self.seen({name: rows[chosen] for name, rows in features.items()})
            rows = {name: values.cpu() for name, values in rows.items()}
            K = self.grams(rows)
            bags = groups[chosen].cpu().numpy()
            wanted = self.wanted(target[chosen].cpu())
            found, relabelled = self.relabelling(K, wanted, bags, top, tell)
            a = np.concatenate([one.duals.a for one in found], axis=1)
            b = np.concatenate([one.duals.b for one in found])
            beta = np.stack([one.beta for one in found], axis=1)
            support = np.flatnonzero(np.abs(a).max(1) > 0)
            self.hold(len(support))
            self.beta.copy_(torch.from_numpy(beta))
            self.a.copy_(torch.from_numpy(a[support]))
            self.b.copy_(torch.from_numpy(b))
            for name, values in rows.items():
                self.get_buffer(f"support_of_{name}").copy_(values[torch.from_numpy(support)])
            slope, offset = self.logits(K, wanted, bags, beta, target[chosen].cpu())
            self.slope.fill_(slope)
            self.offset.fill_(offset)
        notes = []
        if len(chosen) < count:
            notes.append(f"solved on {len(chosen):,} of {count:,} training rows, drawn evenly over the classes")
        worst = max(one.rounds[-1].gap for one in found)
        if worst > self.config.tolerance:
            notes.append(f"the relative duality gap is {worst:.1e} after {self.config.rounds} rounds")
        if relabelled:
            notes.append(f"relabelled the anomalous clips' units {relabelled} times")
        return Solved(history(found), "; ".join(notes))

    def drawn(self, target: Target) -> Int[Tensor, " k"]:
        """The rows to solve on: all, or `most` of them, evenly over the classes, from torch's own random numbers."""
        most, count = self.config.most, len(target)
        if count <= most:
            return torch.arange(count)
        if target.is_floating_point():
            return torch.randperm(count)[:most].sort().values
        kept = []
        for label in target.unique():
            mine = (target == label).nonzero().flatten().cpu()
            kept.append(mine[torch.randperm(len(mine))[: max(1, most * len(mine) // count)]])
        return torch.cat(kept).sort().values

    def measure(self, features: Features) -> None:
        """Directions, σ and usual lengths of the training rows."""
        for place, (name, rows) in enumerate(self.rows(features).items()):
            if self.config.project is not None:
                self.get_buffer(f"directions_of_{name}").copy_(
                    directions(rows, len(self.get_buffer(f"directions_of_{name}")))
                )
                rows = rows @ self.get_buffer(f"directions_of_{name}").T
            self.get_buffer("sigma")[place] = self.config.sigma * svm.median_distance(rows)
            self.get_buffer("length")[place] = max(float(rows.square().sum(-1).mean()), 1e-12)
            for at, (modality, kind) in enumerate(self.kernels):
                if modality == name:
                    length = float(self.get_buffer("length")[place])
                    usual = svm.own(kind, rows, length, self.config.degree).mean()
                    self.get_buffer("usual")[at] = usual.clamp(min=1e-12)

    def wanted(self, target: Target) -> Float[np.ndarray, "n outputs"]:
        """-1 and 1 for every output, or the targets in their spread."""
        if self.task.kind == "real":
            mean, spread = self.standard.get_buffer("target_mean"), self.standard.get_buffer("target_spread")
            return ((target - mean.cpu()) / spread.cpu()).double().numpy()
        if self.task.kind == "units":
            return np.where(target.numpy()[:, None] > 0, 1.0, -1.0)
        return np.where(target.numpy()[:, None] == np.arange(self.task.outputs), 1.0, -1.0)

    def weigh(self, K: Grams, wanted: Float[np.ndarray, "n outputs"], tell: Teller) -> list[Solution]:
        """One solution for all outputs, or one for each."""
        config = self.config
        epsilon = config.epsilon if self.task.kind == "real" else None
        columns = [wanted] if config.weights == "shared" else np.split(wanted, wanted.shape[1], axis=1)
        return [
            svm.alternate(
                K, one, config.norm, config.C, epsilon, config.tolerance, config.rounds,
                lambda number, now: tell(number, config.rounds, now.objective / len(wanted)),
            )
            for one in columns
        ]  # fmt: skip

    def relabelling(
        self, K: Grams, wanted: Float[np.ndarray, "n outputs"], bags: Int[np.ndarray, " n"], top: int, tell: Teller
    ) -> tuple[list[Solution], int]:
        """The solution, and how often the anomalous clips' units were relabelled; `wanted` ends as it was last."""
        found, anomalous = self.weigh(K, wanted, tell), wanted[:, 0] > 0
        if self.task.kind != "units" or not self.config.witness or (np.unique(bags).size == len(bags)):
            return found, 0
        for turn in range(self.config.witness):
            duals = found[0].duals
            f = (svm.combined(K, found[0].beta) @ duals.a + duals.b)[:, 0]
            new = witnesses(f, anomalous, bags, top)
            if (new == wanted[:, 0]).all():
                return found, turn
            wanted[:, 0] = new
            found = self.weigh(K, wanted, tell)
        return found, self.config.witness

    def logits(
        self,
        K: Grams,
        wanted: Float[np.ndarray, "n outputs"],
        bags: Int[np.ndarray, " n"],
        beta: Float[np.ndarray, "kernels _"],
        target: Target,
    ) -> tuple[float, float]:
        """(slope, offset) that turn decision values into logits, from rows that the machines had not seen."""
        if self.task.kind == "real":
            return 1.0, 0.0
        mixed = [svm.combined(K, column) for column in beta.T]
        if len(mixed) == 1:
            f = svm.held_out(mixed[0], wanted, bags, self.config.C)
        else:
            columns = np.split(wanted, wanted.shape[1], axis=1)
            f = np.concatenate(
                [svm.held_out(k, one, bags, self.config.C) for k, one in zip(mixed, columns, strict=True)], axis=1
            )
        if self.task.kind == "units":
            return svm.platt(f[:, 0], wanted[:, 0] > 0)
        return svm.sharpness(f, target.numpy()), 0.0


def directions(rows: Float[Tensor, "n d"], count: int) -> Float[Tensor, "count d"]:
    """The first directions of largest variance around 0, zeros where the rows have fewer; largest entry positive."""
    wide = rows.reshape(-1, rows.shape[-1]).double()
    _, _, axes = torch.linalg.svd(wide, full_matrices=False)
    axes = axes[:count]
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    found = torch.zeros(count, rows.shape[-1], dtype=torch.float64)
    found[: len(axes)] = axes * signs
    return found.to(rows.dtype)


def witnesses(
    f: Float[np.ndarray, " n"], anomalous: Float[np.ndarray, " n"] | np.ndarray, bags: Int[np.ndarray, " n"], top: int
) -> Float[np.ndarray, " n"]:
    """1 for rows of anomalous clips that the machine calls so, and for each such clip's `top` highest; else -1.

    >>> witnesses(np.array([0.2, -0.5, -2.0, -1.0]), np.array([True, True, True, True]), np.array([0, 0, 1, 1]), 1)
    array([ 1., -1., -1.,  1.])
    """
    found = np.where(anomalous & (f > 0), 1.0, -1.0)
    for bag in np.unique(bags[anomalous]):
        mine = np.flatnonzero((bags == bag) & anomalous)
        found[mine[np.argsort(-f[mine], kind="stable")[:top]]] = 1.0
    return found


def history(found: list[Solution]) -> list[dict[str, float]]:
    """A row a round: sums of objectives, the worst gap and stationarity, the mean effective number of kernels."""
    rows = []
    for number in range(max(len(one.rounds) for one in found)):
        now = [one.rounds[min(number, len(one.rounds) - 1)] for one in found]
        rows.append(
            {
                "epoch": number + 1.0,
                "loss": sum(each.objective for each in now) / len(found[0].duals.a),
                "gap": max(each.gap for each in now),
                "stationarity": max(each.stationarity for each in now),
                "effective": float(np.mean([each.effective for each in now])),
            }
        )
    return rows

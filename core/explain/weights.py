r"""How much each modality, kernel and interaction counts in a model that says so: InTense and MKL.

    weight      InTense's relevance s_S of every branch, MKL's β_m of every kernel; sum of weight^p = 1
    share       of a modality: sum of weight^p over the branches (kernels) it takes part in, in [0, 1]
    part        what a branch (kernel) adds to the outputs of a row; base + the sum of the parts = outputs

A weight says what the training relied on. What these rows need of it is another question: `core.explain.removal`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from core.fusion import called
from core.fusion.base import Fusion
from core.fusion.intense import Intense, IntenseTrace, Subset
from core.fusion.mkl import Mkl, MklTrace
from core.machine.names import Name
from core.run import Run
from core.sample import Part
from core.score.infer import array, precise, to_device

ENTRIES = 1 << 22  # numbers of branches held at once


# ---------------------------------------------------------------------------- weights


@dataclass(frozen=True)
class Weights:
    """What a model puts weight on: InTense's branches, MKL's kernels.

    names       modality names joined by " × "; of MKL with several kinds of kernels "motion, rbf"
    subsets     the modalities each one reads
    values      `(names,)`, at least 0, sum of values^p = 1; the mean where every output has weights of its own
    p           of the norm; infinity: all alike
    what        "branch" or "kernel"
    sets        how many sets of weights there are: one, or one for each output (MKL's `weights=each`)
    """

    names: tuple[str, ...]
    subsets: tuple[Subset, ...]
    values: np.ndarray
    p: float
    what: str
    sets: int = 1

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for subset in self.subsets for name in subset))

    @property
    def shares(self) -> dict[str, float]:
        """Modality -> the sum of weight^p over what it takes part in; an interaction counts for all of its own."""
        return {name: share(self.subsets, self.values, self.p, name) for name in self.modalities}


def share(subsets: Sequence[Subset], values: Float[np.ndarray, " names"], p: float, modality: str) -> float:
    """The sum of value^p over the subsets with this modality, of the sum over all; p = infinity: of equal weights.

    >>> round(share([("a",), ("b",), ("a", "b")], np.array([0.6, 0.0, 0.8]), 2.0, "a"), 6)
    1.0
    """
    powers = np.ones(len(values)) if np.isinf(p) else np.asarray(values, np.float64) ** p
    mine = np.array([modality in subset for subset in subsets])
    return float(powers[mine].sum() / powers.sum()) if powers.sum() > 0 else float("nan")


@torch.inference_mode()
def weights(model: Fusion) -> Weights:
    """What the model puts weight on; a `ValueError` for fusions that have no such weights."""
    if isinstance(model, Intense):
        names = tuple(" × ".join(subset) for subset in model.subsets)
        return Weights(names, model.subsets, array(model.relevance), model.config.p, "branch")
    if isinstance(model, Mkl):
        several = len(model.kernels) > len(model.widths)
        names = tuple(f"{each.modality}, {each.kind}" if several else each.modality for each in model.kernels)
        subsets = tuple((each.modality,) for each in model.kernels)
        sets = model.beta.shape[1]
        return Weights(names, subsets, array(model.beta.mean(1)), float(model.config.p), "kernel", sets)
    raise ValueError(f"{called(model)} does not weigh its modalities; choose a run of MKL or InTense")


def seeds_of(run: Run, runs: Mapping[Name, Run]) -> list[Name]:
    """Names of the runs that differ from this one in the seed alone, itself among them, by seed."""
    return sorted((name for name, other in runs.items() if other.group == run.group), key=lambda name: runs[name].seed)


def norms_of(run: Run, runs: Mapping[Name, Run]) -> dict[float, list[Name]]:
    """p -> names of the runs that differ from this one in p and the seed alone; p goes up."""
    found: dict[float, list[Name]] = {}
    for name, other in sorted(runs.items(), key=lambda item: item[1].seed):
        if run.alike(other, but={"p"}):
            found.setdefault(float(other.config["p"]), []).append(name)
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------- what every branch says


@dataclass(frozen=True)
class Opened:
    """A model on some rows, part by part; arrays are read-only.

    parts       `(rows, names, outputs)`, float64, in the outputs' own units
    base        `(outputs,)` what is said before any of them: the bias (real targets: their training mean with it)
    outputs     base + the sum of the parts, to the precision of float64
    """

    weights: Weights
    parts: np.ndarray
    base: np.ndarray
    outputs: np.ndarray


@torch.inference_mode()
def opened(model: Fusion, part: Part, entries: int = ENTRIES) -> Opened:
    """What every branch or kernel adds to every row."""
    found = weights(model)
    model = precise(model)
    size = max(1, entries // sum(model.sizes if isinstance(model, Intense) else model.widths.values()))
    pieces, answers, base = [], [], torch.zeros(model.task.outputs)
    for at in range(0, len(part), size):
        features = {name: part.features[name][at : at + size] for name in model.widths if name in part.features}
        fused = model(to_device(features, model))
        trace: IntenseTrace | MklTrace = fused.trace
        assert fused.outputs is not None
        base = trace.bias
        pieces.append(trace.parts if isinstance(trace, IntenseTrace) else trace.terms)
        answers.append(fused.outputs)
    parts = torch.cat(pieces)
    if model.task.kind == "real":
        standard = model.get_submodule("standard")
        spread, centre = standard.get_buffer("target_spread"), standard.get_buffer("target_mean")
        parts, base = parts * spread, centre + base * spread
    return Opened(found, array(parts), array(base), array(torch.cat(answers)))


# ---------------------------------------------------------------------------- the experiment

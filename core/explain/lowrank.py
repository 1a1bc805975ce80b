r"""What each rank and each interaction of modalities adds to a model's outputs: exact, switchable, and put to a test.

    output = base + sum over ranks i and subsets S of the modalities of  part[i, S]
    part[i, S] = P (w_i * product over m in S of (z_m V_m^i) * product over the other m of u_m^i)      (core.fusion.lmf)
    base       = P b + c, and whatever goes to the outputs beside the product

Outputs are logits of classes or units, or real values in the targets' own units. Parts are worked out in float64 from
the rows z_m that the model's own layers give; `gap` says how far they are from what the model itself answers.

Test of "rank factors correspond to specific semantic interactions" (robust_geometry_jwae_lmf, abstract). The sum
over ranks is taken in every column of h by itself, so renumbering the ranks in one column and not in another changes
nothing that the model computes, for any input. If ranks mean nothing, such a model is as likely as the trained one:

    mass[i, S]  = variance over the rows of part[i, S], summed over outputs; the empty S is constant and has none
    index_i     = 1 - H(mass[i, .] / its sum) / log(number of S): 0 spread evenly, 1 all on one subset
    null        = the same after renumbering the ranks at random in every column of h: same function, same parts
                  of every interaction, same columns; only what counts as one rank is drawn again
    p_i         = share of draws whose largest index reaches index_i: corrected for looking at every rank
                  (Westfall & Young, "Resampling-Based Multiple Testing", 1993, max-T)
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import mean, stdev

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.explain.shapley import shapley
from core.fusion import called, those
from core.fusion.base import Features, Fusion, Standard, VectorFusion
from core.fusion.lmf import Reading, interactions
from core.machine.names import Name
from core.measure.metrics import measure
from core.run import Run
from core.sample import Part
from core.score.infer import array, outputs, sealed

VALUES = 1 << 21  # of parts that are held, 16 MB; sets with more rows are looked at evenly spaced
CHUNK = 1 << 20  # of values worked on at once
MODALITIES = 8  # 2^8 interactions


def reading(model: Fusion) -> Reading:
    """The model's low-rank product; a `ValueError` for models without one."""
    found = getattr(model, "low_rank", None)
    if found is None:
        able = those(lambda kind: hasattr(kind, "low_rank"))
        raise ValueError(f"{called(model)} has no low-rank product, so no ranks to look at; choose a run of {able}")
    result: Reading = found()
    if len(result.module.names) > MODALITIES:
        raise ValueError(
            f"{called(model)} has {2 ** len(result.module.names)} interactions of {len(result.module.names)} "
            f"modalities here; at most {MODALITIES} modalities are taken apart"
        )
    return result


def standard_of(model: Fusion) -> Standard:
    """The training means and spreads that every fusion of vectors holds."""
    assert isinstance(model, VectorFusion)
    return model.standard


# ---------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Factored:
    """Parts of every row's outputs.

    interactions  the subsets of modalities, in the order of the axis
    names         of the outputs
    rows          which rows of the part were looked at: all, or evenly spaced ones of a very large set
    parts         `(rows, rank, interactions, outputs)`
    base          `(rows, outputs)`
    given         what the model itself answers, `(rows, outputs)`
    gap           largest |given - base - sum of parts|
    together      `(interactions, rank * out, rank * out)`: covariance over the rows of what any two (rank, column of
                  h) add to the outputs, times how far the read-out treats the columns alike
    part          the rows themselves, with their target
    """

    interactions: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    rows: Int[np.ndarray, " n"]
    parts: Float[np.ndarray, "n rank interactions outputs"]
    base: Float[np.ndarray, "n outputs"]
    given: Float[np.ndarray, "n outputs"]
    gap: float
    together: Float[np.ndarray, "interactions columns columns"]
    part: Part = field(repr=False)

    @property
    def rank(self) -> int:
        return self.parts.shape[1]

    @property
    def gaps(self) -> Float[np.ndarray, " n"]:
        """Largest gap of every row."""
        return np.abs(self.given - self.base - self.parts.sum((1, 2))).max(1)


@torch.inference_mode()
def opened(model: Fusion, part: Part, values: int = VALUES) -> Factored:
    """Take the outputs of every row apart; 2,000 rows of two modalities take a few milliseconds."""
    low = reading(model)
    model.eval()
    found = interactions(low.module.names)
    kinds = len(found)
    outs, wide = low.readout.shape
    each = low.module.rank * kinds
    most = max(1, values // (each * outs))
    rows = np.arange(len(part))
    if len(part) > most:
        rows = np.linspace(0, len(part) - 1, most).round().astype(np.int64)
        part = part.take(torch.from_numpy(rows))
    readout = low.readout.double()
    features = {name: part.features[name] for name in model.widths if name in part.features}
    standard = standard_of(model)
    centre, spread = (standard.get_buffer(f"target_{what}").double() for what in ("mean", "spread"))
    parts, bases = [], []
    total = torch.zeros(kinds, low.module.rank * wide, dtype=torch.float64)
    squares = torch.zeros(kinds, low.module.rank * wide, low.module.rank * wide, dtype=torch.float64)
    step = max(1, CHUNK // (each * wide))
    for at in range(0, len(part), step):
        z, rest = low.inputs({name: every[at : at + step] for name, every in features.items()})
        terms = low.module.expanded({name: every.double() for name, every in z.items()})
        parts.append(array((terms @ readout.mT) * spread))
        bases.append(array(centre + spread * (readout @ low.module.b.double() + rest.double())))
        flat = terms.movedim(-2, 0).flatten(-2)  # (interactions, rows, rank * out)
        total += flat.sum(1)
        squares += flat.mT @ flat
    count = len(part)
    covariance = squares / count - total[:, :, None] * total[:, None, :] / count**2
    alike = (readout.mT @ readout).repeat(low.module.rank, low.module.rank)
    given = outputs(model, features)
    made = np.concatenate(parts), np.concatenate(bases)
    gap = np.abs(given - made[1] - made[0].sum((1, 2))).max()
    together = array(covariance * alike)
    return sealed(Factored(found, model.task.names, rows, made[0], made[1], given, float(gap), together, part))


@dataclass(frozen=True)
class RowParts:
    """One row: parts `(rank, interactions, outputs)`, base, output as the model gives it, largest gap."""

    index: int
    interactions: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    parts: Float[np.ndarray, "rank interactions outputs"]
    base: Float[np.ndarray, " outputs"]
    output: Float[np.ndarray, " outputs"]
    gap: float


def of_row(model: Fusion, part: Part, index: int) -> RowParts:
    """Rank by interaction by output of one row."""
    if not 0 <= index < len(part):
        raise ValueError(f"there are rows 0 to {len(part) - 1}, not {index}")
    found = opened(model, part.take(torch.tensor([index])))
    return RowParts(index, found.interactions, found.names, found.parts[0], found.base[0], found.given[0], found.gap)


@dataclass(frozen=True)
class SetParts:
    """Over many rows: mean and mean size of every part, `(rank, interactions, outputs)`, and the mean base."""

    mean: Float[np.ndarray, "rank interactions outputs"]
    size: Float[np.ndarray, "rank interactions outputs"]
    base: Float[np.ndarray, " outputs"]
    rows: int


def of_set(found: Factored, kind: int | None = None) -> SetParts:
    """Averages over all rows, or over those of one class (of units: 1 is anomalous)."""
    chosen = np.ones(len(found.rows), dtype=bool)
    if kind is not None:
        if found.part.target is None or not found.part.classes:
            raise ValueError("these rows have no classes")
        chosen = found.part.target.numpy() == kind
    if not chosen.any():
        shape = found.parts.shape[1:]
        return SetParts(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape[-1], np.nan), 0)
    parts = found.parts[chosen]
    return SetParts(parts.mean(0), np.abs(parts).mean(0), found.base[chosen].mean(0), int(chosen.sum()))


# ---------------------------------------------------------------------------- switches


@dataclass(frozen=True)
class Switched:
    """The model without some of its parts.

    outputs    of every row, `(rows, outputs)`
    now, then  the metric that methods are compared by, with the rest and as trained; NaN without targets
    """

    outputs: Float[np.ndarray, "n outputs"]
    now: float
    then: float


def kept(
    found: Factored,
    ranks_off: Collection[int] = (),
    interactions_off: Collection[int] = (),
    cells_off: Collection[tuple[int, int]] = (),
) -> Bool[np.ndarray, "rank interactions"]:
    """Which parts are left on. Errors: `ValueError` for what is not there."""
    mask: np.ndarray = np.ones(found.parts.shape[1:3], dtype=bool)
    for what, chosen, size in (("rank", ranks_off, mask.shape[0]), ("interaction", interactions_off, mask.shape[1])):
        for one in chosen:
            if not 0 <= one < size:
                raise ValueError(f"there is no {what} {one}; they are 0 to {size - 1}")
    mask[list(ranks_off)] = False
    mask[:, list(interactions_off)] = False
    for rank, interaction in cells_off:
        if not (0 <= rank < mask.shape[0] and 0 <= interaction < mask.shape[1]):
            raise ValueError(f"there is no part {(rank, interaction)} among {mask.shape[0]} x {mask.shape[1]}")
        mask[rank, interaction] = False
    return mask


def switched(
    found: Factored,
    ranks_off: Collection[int] = (),
    interactions_off: Collection[int] = (),
    cells_off: Collection[tuple[int, int]] = (),
) -> Switched:
    """Outputs and metric without some ranks, interactions or single parts; what is left off adds nothing."""
    mask = kept(found, ranks_off, interactions_off, cells_off)
    n, outs = found.base.shape
    if mask.all():
        left = found.given.astype(np.float64)
    else:
        weights = mask.astype(np.float64).reshape(1, -1)
        left = found.base + (weights @ found.parts.reshape(n, mask.size, outs))[:, 0]
    return Switched(left, quality(left, found.part), quality(found.given, found.part))


def quality(values: Float[np.ndarray, "n outputs"], part: Part) -> float:
    """The number methods are compared by: unit AUC and accuracy in percent, or correlation; NaN without targets."""
    return np.nan if part.target is None else measure(values, part).main


# ---------------------------------------------------------------------------- do ranks mean something?


@dataclass(frozen=True)
class Specialisation:
    """How much each rank keeps to one interaction, against ranks that mean nothing (the file's first lines say how).

    interactions  without the empty one, which does not vary
    shares        `(rank, interactions)`: of the rank's mass; rows sum to 1, NaN for a rank that does not vary
    mass          `(rank,)`: of the mass of all ranks together
    index         `(rank,)`, from 0 to 1
    null_mean     mean index of ranks drawn at random
    null_high     95 % of the draws have no rank above this
    p             `(rank,)`: corrected for the number of ranks; NaN where nothing can be said
    information   mutual information between rank and interaction in the mass, bits; information_null its mean over
                  the draws, information_p its share of draws that reach it
    draws         how many; 0 when nothing can be drawn, and `why` says so
    """

    interactions: tuple[tuple[str, ...], ...]
    shares: Float[np.ndarray, "rank interactions"]
    mass: Float[np.ndarray, " rank"]
    index: Float[np.ndarray, " rank"]
    null_mean: float
    null_high: float
    p: Float[np.ndarray, " rank"]
    information: float
    information_null: float
    information_p: float
    draws: int
    why: str = ""


def concentration(mass: Float[np.ndarray, "*draws interactions"]) -> Float[np.ndarray, "*draws"]:
    """1 minus the entropy of the shares over its largest value; NaN where there is no mass.

    >>> concentration(np.array([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [0.0, 1.0]
    """
    total = mass.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = mass / total
        entropy = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(-1)
    return np.where(total[..., 0] > 0, 1 - entropy / np.log(mass.shape[-1]), np.nan)


def information(mass: Float[np.ndarray, "*draws rank interactions"]) -> Float[np.ndarray, "*draws"]:
    """Mutual information in bits between the two axes of a table of masses."""
    joint = mass / mass.sum((-2, -1), keepdims=True)
    apart = joint.sum(-1, keepdims=True) * joint.sum(-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(joint > 0, joint * np.log2(joint / apart), 0.0).sum((-2, -1)))


def masses(
    together: Float[np.ndarray, "interactions columns columns"], members: Int[np.ndarray, "draws rank out"]
) -> Float[np.ndarray, "draws rank interactions"]:
    """Variance of what each rank adds when it is made of these (rank, column) pairs, one for every column of h."""
    found = [each[members[..., :, None], members[..., None, :]].sum((-2, -1)) for each in together]
    return np.maximum(np.stack(found, axis=-1), 0.0)


def specialisation(found: Factored, draws: int = 999, seed: int = 0) -> Specialisation:
    """Test whether ranks keep to interactions more than ranks that mean nothing."""
    rank = found.rank
    out = found.together.shape[-1] // rank
    together = found.together[1:]
    own = np.arange(rank)[:, None] * out + np.arange(out)  # (rank, column) as `together` counts
    trained = masses(together, own[None])[0]
    index = concentration(trained) if len(together) > 1 else np.full(rank, np.nan)
    whole = trained.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = trained / trained.sum(1, keepdims=True)
        mass = trained.sum(1) / whole
    why = ""
    if len(together) < 2:
        why = "one modality has one interaction: every rank keeps to it"
    elif rank < 2:
        why = "with one rank there is nothing to tell apart"
    elif out < 2:
        why = "with one column of h, renumbering the ranks gives the same ranks again"
    elif not whole > 0:
        why = "no part varies over these rows"
    if why:
        none = np.nan, np.nan, np.full(rank, np.nan), np.nan, np.nan, np.nan, 0, why
        return sealed(Specialisation(found.interactions[1:], shares, mass, index, *none))
    random = np.random.default_rng(seed)
    drawn = np.empty((draws, rank, len(together)))
    step = max(1, CHUNK // (rank * out * out))
    for at in range(0, draws, step):
        many = min(step, draws - at)
        order = random.permuted(np.broadcast_to(np.arange(rank)[:, None], (many, rank, out)), axis=1)
        drawn[at : at + many] = masses(together, order * out + np.arange(out))
    indices = concentration(drawn)
    highest = np.nanmax(indices, axis=1)
    bits, bits_drawn = float(information(trained)), information(drawn)
    p = (1 + (highest[:, None] >= index - 1e-12).sum(0)) / (draws + 1)
    return sealed(
        Specialisation(
            interactions=found.interactions[1:],
            shares=shares,
            mass=mass,
            index=index,
            null_mean=float(np.nanmean(indices)),
            null_high=float(np.quantile(highest, 0.95)),
            p=np.where(np.isnan(index), np.nan, p),
            information=bits,
            information_null=float(bits_drawn.mean()),
            information_p=float((1 + (bits_drawn >= bits - 1e-12).sum()) / (draws + 1)),
            draws=draws,
        )
    )


# ---------------------------------------------------------------------------- other explanations beside it


@dataclass(frozen=True)
class Attribution:
    """What one method gives each modality of one output of one row.

    parts    modality -> its part
    base     the output that the parts start from
    gap      output - base - sum of parts: 0 when the method explains all of it
    """

    method: str
    parts: Mapping[str, float]
    base: float
    gap: float


def attributions(model: Fusion, part: Part, index: int, output: int = 0, steps: int = 50) -> tuple[Attribution, ...]:
    """The parts by interaction shared evenly among their modalities, and three methods that know nothing of ranks.

    Integrated gradients (captum, `steps` Gauss-Legendre points) and feature ablation (captum, a modality at once)
    start from the training mean; Shapley values are exact over all coalitions, modalities that are out being missing.
    """
    from captum.attr import FeatureAblation, IntegratedGradients

    model.eval()
    names = [name for name in model.widths if name in part.features]
    rows = tuple(part.features[name][index : index + 1] for name in names)
    centre = tuple(standard_of(model).get_buffer(f"mean_of_{name}")[None].to(rows[0].dtype) for name in names)

    def forward(*given: Tensor) -> Tensor:
        return model(dict(zip(names, given, strict=True))).outputs[:, output]

    with torch.inference_mode():
        value, base = float(forward(*rows)), float(forward(*centre))
        coalitions = [base]
        for bits in range(1, 1 << len(names)):
            there: Features = {name: rows[i] for i, name in enumerate(names) if bits >> i & 1}
            coalitions.append(float(model(there).outputs[0, output]))
    own = of_row(model, part, index)
    summed = own.parts[..., output].sum(0)
    shared = {
        name: float(sum(value / len(S) for S, value in zip(own.interactions, summed, strict=True) if name in S))
        for name in names
    }
    constant = float(own.base[output] + summed[0])
    found = [("Low-rank parts, shared evenly", shared, constant)]
    slopes = IntegratedGradients(forward, multiply_by_inputs=True).attribute(rows, centre, n_steps=steps)
    found.append(("Integrated gradients", dict(zip(names, (float(s.sum()) for s in slopes), strict=True)), base))
    masks = tuple(torch.full_like(row, at, dtype=torch.long) for at, row in enumerate(rows))
    with torch.inference_mode():
        alone = FeatureAblation(forward).attribute(rows, centre, feature_mask=masks)
    found.append(("Feature ablation", dict(zip(names, (float(a[0, 0]) for a in alone), strict=True)), base))
    values = shapley(np.array(coalitions))
    found.append(("Shapley values", dict(zip(names, values.tolist(), strict=True)), base))
    return tuple(
        Attribution(method, parts, start, value - start - sum(parts.values())) for method, parts, start in found
    )


# ---------------------------------------------------------------------------- rank against quality


@dataclass(frozen=True)
class RankCurve:
    """The metric methods are compared by against the rank, over runs that differ in rank and seed alone.

    sd is NaN for one seed. `values` holds every run's, in the order of `ranks`.
    """

    metric: str
    ranks: tuple[int, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    seeds: tuple[int, ...]
    weights: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]


def rank_curve(runs: Mapping[Name, Run], run: Run) -> RankCurve:
    """Runs like `run` of other ranks: `python -m core train DATASET --fusion lmf --set rank=R --seeds K` makes them."""
    by_rank: dict[int, list[tuple[float, int]]] = {}
    for one in runs.values():
        value = one.metrics.get(run.metric)
        if "rank" in one.config and value is not None and run.alike(one, but={"rank"}):
            by_rank.setdefault(int(one.config["rank"]), []).append((float(value), one.weights))
    ranks = tuple(sorted(by_rank))
    values = tuple(tuple(value for value, _ in by_rank[rank]) for rank in ranks)
    return RankCurve(
        metric=run.metric,
        ranks=ranks,
        mean=tuple(mean(each) for each in values),
        sd=tuple(stdev(each) if len(each) > 1 else np.nan for each in values),
        seeds=tuple(map(len, values)),
        weights=tuple(by_rank[rank][0][1] for rank in ranks),
        values=values,
    )

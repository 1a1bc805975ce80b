"""Train a fusion on a dataset: weak or unit supervision, balanced batches, or samples with a target; one run per seed.

    loss = BCE(mean of the `top` highest unit scores, clip label) + fusion.penalty      (supervision="clip")
    loss = BCE(unit score, unit label) averaged over units + fusion.penalty             (supervision="unit")
    loss = cross-entropy(outputs, class) + fusion.penalty                               (samples with classes)
    loss = mean squared error in units of each target's spread + fusion.penalty         (samples with real targets)

Ding et al., ICLR 2025, section 3.3; METHODS of the field: multiple-instance learning on clip labels.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core.clip import Clip
from core.dataset import Clips, Data, Dataset, Rows
from core.fusion.base import Features, Fused, Fusion, Solved, count_weights, spreads
from core.fusion.lego import Lego
from core.machine.device import MIXED, device_named, mixed
from core.machine.names import nearest, shown
from core.recipe import Recipe, TrainConfig
from core.run import History, Run, Source, build
from core.sample import Part, Samples, plain
from core.score.infer import resample
from core.score.judge import judge, recorded


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for a bar. measure: when called, the test part's metric with the weights as they are."""

    epoch: int
    epochs: int
    loss: float
    measure: Callable[[], float] | None = None


@dataclass(frozen=True)
class Trained:
    """A run and what its folder will hold."""

    run: Run
    model: Fusion
    history: History


def resample_labels(labels: Bool[Tensor, " units"], count: int) -> Bool[Tensor, " count"]:
    """A bin is anomalous when any of its units is."""
    return resample(labels.float()[:, None], count).flatten() > 0


@dataclass(frozen=True)
class Prepared:
    """Training clips as tensors: modality -> `(clips, crops, N, d)`, clip labels, and unit labels where known."""

    features: Mapping[str, Float[Tensor, "clips crops n _"]]
    anomalous: Bool[Tensor, " clips"]
    labels: Bool[Tensor, "clips n"] | None


def prepare(clips: Sequence[Clip], modalities: Sequence[str], units: int) -> Prepared:
    unlabelled = [clip.name for clip in clips if clip.anomalous is None]
    if unlabelled:
        raise ValueError(f"{len(unlabelled)} training clips have no label, first {unlabelled[0]!r}")
    anomalous = torch.tensor([bool(clip.anomalous) for clip in clips])
    if not len(clips) or anomalous.all() or not anomalous.any():
        raise ValueError(
            "training needs normal and anomalous clips, "
            f"got {int((~anomalous).sum())} normal and {int(anomalous.sum())} anomalous"
        )
    crops = Clips(clips).crops
    features = {}
    for name in modalities:
        rows = [resample(clip.features[name], units) for clip in clips]
        features[name] = torch.stack([r if r.ndim == 3 else r.expand(crops, -1, -1) for r in rows])
    known = [clip.labels for clip in clips]
    labels = None
    if all(found is not None for found in known):
        labels = torch.stack([resample_labels(found, units) for found in known if found is not None])
    return Prepared(features, anomalous, labels)


def batches(anomalous: Bool[Tensor, " clips"], size: int, random: torch.Generator) -> Iterator[Tensor]:
    """One epoch of clip indices: half of each batch normal, half anomalous, the smaller class drawn again as needed."""
    half = max(1, size // 2)
    sides = [(~anomalous).nonzero().flatten(), anomalous.nonzero().flatten()]
    steps = -(-max(len(side) for side in sides) // half)
    drawn = []
    for side in sides:
        rounds = -(-steps * min(half, len(side)) // len(side))
        drawn.append(torch.cat([side[torch.randperm(len(side), generator=random)] for _ in range(rounds)]))
    for step in range(steps):
        yield torch.cat(
            [d[step * (n := min(half, len(s))) : (step + 1) * n] for d, s in zip(drawn, sides, strict=True)]
        )


def clip_score(scores: Float[Tensor, "batch n"], top: int) -> Float[Tensor, " batch"]:
    """The mean of a clip's `top` highest unit scores."""
    return scores.topk(min(top, scores.shape[-1]), dim=-1).values.mean(-1)


def step_loss(
    model: Fusion,
    features: Features,
    anomalous: Bool[Tensor, " batch"],
    labels: Bool[Tensor, "batch n"] | None,
    training: TrainConfig,
) -> tuple[Tensor, Tensor]:
    """(classification loss, penalty) of one batch."""
    return losses(model, model(features), anomalous, labels, training)


def losses(
    model: Fusion,
    fused: Fused[Any],
    anomalous: Bool[Tensor, " batch"],
    labels: Bool[Tensor, "batch n"] | None,
    training: TrainConfig,
) -> tuple[Tensor, Tensor]:
    """(classification loss, penalty) of what the model made of a batch."""
    if training.supervision == "unit":
        if labels is None:
            raise ValueError('supervision="unit" needs unit labels for every training clip')
        wanted, found = labels.float(), fused.scores
    else:
        wanted, found = anomalous.float(), clip_score(fused.scores, training.top)
    # torch refuses NaN here, on an accelerator for good: the loss gets it back behind the cross-entropy
    inside = found.clamp(1e-7, 1 - 1e-7).nan_to_num(0.5)
    loss = nn.functional.binary_cross_entropy(inside, wanted) + 0 * found.detach().sum()
    return loss, model.penalty(fused, anomalous)


def diverged(epoch: int) -> ValueError:
    """What ends a training whose numbers are finite no longer."""
    return ValueError(
        f"diverged at epoch {epoch}: the loss or the weights are no finite numbers any more; take a smaller step size "
        "(lr) or smaller weights of penalties, and see whether the features hold numbers of an unusual size"
    )


def stay_finite(model: nn.Module, loss: float, epoch: int) -> None:
    """Errors: `ValueError` where the loss or what the model holds is not finite after this epoch."""
    if not math.isfinite(loss) or not all(bool(held.isfinite().all()) for held in model.state_dict().values()):
        raise diverged(epoch)


def widths_of(dataset: Data, modalities: Sequence[str] | None) -> dict[str, int]:
    """Modality -> width of those asked for, in that order; all unless some are named."""
    chosen = tuple(modalities or dataset.modalities)
    unknown = [name for name in chosen if name not in dataset.widths]
    if unknown:
        meant = nearest(unknown[0], dataset.modalities)
        raise ValueError(f"dataset {dataset.name!r} has no modality {shown(unknown[0], 40)!r}{meant}")
    return {name: dataset.widths[name] for name in chosen}


def train(
    dataset: Data,
    recipe: Recipe,
    progress: Callable[[Progress], None] | None = None,
    device: torch.device | str | None = None,
) -> Trained:
    """One training from one seed; the same seed gives the same weights on the same machine.

    On clips the unit scores are trained (`supervision`), on samples the class or the real targets.

    device    in place of the recipe's own
    """
    training, protocol = recipe.training, recipe.protocol
    random = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(recipe.fusion, widths_of(dataset, recipe.modalities), recipe.options, dataset.task)
        model.to(device_named(recipe.device) if device is None else device)
        with mixed(model, training.amp):
            if isinstance(dataset, Samples):
                outcome, note = _on_samples(model, dataset, training, protocol, random, progress)
            else:
                outcome, note = _on_clips(model, dataset, training, protocol, random, progress)
    return record(model, dataset, recipe, outcome, "; ".join(filter(None, [note, MIXED * training.amp])))


Outcome = tuple[list[dict[str, float]], dict[str, Any], float]  # history, metrics, seconds


def record(model: Fusion, dataset: Data, recipe: Recipe, outcome: Outcome, note: str = "") -> Trained:
    """The run of a training that is done."""
    history, metrics, seconds = outcome
    run = planned(model, dataset, recipe)
    run = replace(run, metrics=metrics, seconds=round(seconds, 3), weights=count_weights(model), note=note)
    return Trained(run, model.cpu().eval(), history)


def planned(model: Fusion, dataset: Dataset | Samples, recipe: Recipe) -> Run:
    """The run that this model's training gives, as far as it is known before: without metrics and seconds."""
    return Run(
        recipe.fusion,
        asdict(recipe.options),
        asdict(recipe.training),
        Source(dataset.name, dataset.digest(), dataset.split(recipe.protocol), model.widths, dataset.simulated),
        recipe.seed,
        weights=0 if model.solved else count_weights(model),  # of a solver they follow from the data
        task=plain(model.task),
    )


def _on_clips(
    model: Fusion,
    dataset: Dataset,
    training: TrainConfig,
    protocol: str | None,
    random: torch.Generator,
    progress: Callable[[Progress], None] | None,
) -> tuple[Outcome, str]:
    check_window(model, training)
    data = prepare(dataset.part("train", protocol), tuple(model.widths), training.units)
    test = dataset.part("test", protocol)
    model.learn({name: rows.flatten(0, 1) for name, rows in data.features.items()})
    began = time.perf_counter()
    if model.solved:
        done = solve_clips(model, data, training, progress)
    else:
        done = Solved(fit(model, data, training, random, progress, lambda: judge(model, test).main))
    seconds = time.perf_counter() - began
    return (done.history, judged(model, test, training, done.history), seconds), done.note


def check_window(model: Fusion, training: TrainConfig) -> None:
    if model.window not in (None, training.units):
        raise ValueError(
            f"the model reads {model.window} units at once and training resamples every clip to {training.units}: "
            "set nodes and units alike"
        )


def judged(model: Fusion, test: Rows, training: TrainConfig, history: History) -> dict[str, Any]:
    """A trained model's numbers on the test part."""
    metrics = recorded(model, test)
    if training.track and not model.solved:
        best = max(row[f"{model.task.metric}_test"] for row in history)
        metrics[f"{model.task.metric}_best_epoch_on_test"] = best
    return metrics


def _on_samples(
    model: Fusion,
    dataset: Samples,
    training: TrainConfig,
    protocol: str | None,
    random: torch.Generator,
    progress: Callable[[Progress], None] | None,
) -> tuple[Outcome, str]:
    data, test = dataset.part("train", protocol), dataset.part("test", protocol)
    if not len(data):
        raise ValueError(f"sample set {dataset.name!r}: the training part holds no samples")
    model.learn({name: data.features[name] for name in model.widths}, data.target)
    began = time.perf_counter()
    if model.solved:
        assert data.target is not None
        features = {name: data.features[name] for name in model.widths}
        done = model.solve(features, data.target, torch.arange(len(data)), 1, teller(progress))
    else:
        done = Solved(fit_samples(model, data, training, random, progress, test))
    seconds = time.perf_counter() - began
    return (done.history, judged(model, test, training, done.history), seconds), done.note


def teller(progress: Callable[[Progress], None] | None) -> Callable[[int, int, float], None]:
    """A solver's rounds as epochs of a bar."""
    return lambda number, most, loss: None if progress is None else progress(Progress(number, most, loss))


def unit_rows(
    data: Prepared, supervision: Literal["clip", "unit"]
) -> tuple[dict[str, Float[Tensor, "rows _"]], Int[Tensor, " rows"], Int[Tensor, " rows"]]:
    """(features, target, clip) of every unit of every crop; from clip labels a unit carries that of its clip."""
    clips, crops, units = next(iter(data.features.values())).shape[:3]
    labels = data.anomalous[:, None].expand(-1, units)
    if supervision == "unit":
        if data.labels is None:
            raise ValueError('supervision="unit" needs unit labels for every training clip')
        labels = data.labels
    target = labels[:, None, :].expand(-1, crops, -1).flatten().long()
    place = torch.arange(clips)[:, None, None].expand(-1, crops, units).flatten()
    return {name: rows.flatten(0, 2) for name, rows in data.features.items()}, target, place


def solve_clips(
    model: Fusion, data: Prepared, training: TrainConfig, progress: Callable[[Progress], None] | None = None
) -> Solved:
    """A fusion that is solved, from the units of clips."""
    features, target, place = unit_rows(data, training.supervision)
    return model.solve(features, target, place, training.top, teller(progress))


def sample_loss(fused: Fused[Any], target: Tensor, spread: Tensor | None) -> Tensor:
    """Cross-entropy for classes; for real targets the squared error in units of each target's training spread."""
    assert fused.outputs is not None
    if spread is None:
        return nn.functional.cross_entropy(fused.outputs, target)
    return nn.functional.mse_loss(fused.outputs / spread, target / spread)


def fit_samples(
    model: Fusion,
    data: Part,
    training: TrainConfig,
    random: torch.Generator,
    progress: Callable[[Progress], None] | None = None,
    test: Part | None = None,
) -> list[dict[str, float]]:
    """The loop over shuffled batches of samples; returns one row an epoch."""
    assert data.target is not None
    device = next(model.parameters()).device
    adam = torch.optim.Adam(model.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True)
    features = {name: data.features[name].to(device) for name in model.widths}
    target = data.target.to(device)
    spread = spreads(target) if target.is_floating_point() else None
    nobody = torch.zeros(0, dtype=torch.bool, device=device)
    rows = []

    def now() -> float:
        assert test is not None
        return judge(model, test).main

    for epoch in range(training.epochs):
        model.train()
        total, steps = torch.zeros(2, device=device), 0
        order = torch.randperm(len(target), generator=random).to(device)
        for index in order.split(training.batch):
            fused = model({name: every[index] for name, every in features.items()})
            loss, penalty = sample_loss(fused, target[index], spread), model.penalty(fused, nobody)
            adam.zero_grad()
            (loss + penalty).backward()
            adam.step()
            steps += 1
            total += torch.stack([loss.detach(), penalty.detach()])
        task, extra = (total / steps).tolist()
        row = {"epoch": epoch + 1.0, "loss": task + extra, "classification": task, "penalty": extra}
        stay_finite(model, row["loss"], epoch + 1)
        if training.track and test is not None:
            row[f"{model.task.metric}_test"] = now()
        rows.append(row)
        if progress is not None:
            progress(Progress(epoch + 1, training.epochs, row["loss"], None if test is None else now))
    return rows


def fixed_graphs(model: Fusion, data: Prepared) -> dict[str, Float[Tensor, "clips crops n n"]] | None:
    """The clips' relations where nothing before them is learned, so that they are made once; None otherwise."""
    if not isinstance(model, Lego) or len(model.project):
        return None
    device = next(model.parameters()).device
    with torch.no_grad():
        return model.graphs({name: every.to(device) for name, every in data.features.items()})


def fit(
    model: Fusion,
    data: Prepared,
    training: TrainConfig,
    random: torch.Generator,
    progress: Callable[[Progress], None] | None = None,
    test_auc: Callable[[], float] | None = None,
) -> list[dict[str, float]]:
    """The loop; returns one row an epoch."""
    device = next(model.parameters()).device
    adam = torch.optim.Adam(model.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True)
    crops = next(iter(data.features.values())).shape[1]
    graphs = fixed_graphs(model, data)
    rows = []
    for epoch in range(training.epochs):
        model.train()
        total = {"loss": 0.0, "classification": 0.0, "penalty": 0.0}
        steps = 0
        for index in batches(data.anomalous, training.batch, random):
            crop = int(torch.randint(crops, (), generator=random)) if crops > 1 else 0
            labels = None if data.labels is None else data.labels[index].to(device)
            anomalous = data.anomalous[index].to(device)
            if graphs is None:
                features = {name: every[index, crop].to(device) for name, every in data.features.items()}
                loss, penalty = step_loss(model, features, anomalous, labels, training)
            else:
                assert isinstance(model, Lego)
                fused = model.from_graphs({n: every[index, crop] for n, every in graphs.items()}, list(graphs))
                loss, penalty = losses(model, fused, anomalous, labels, training)
            adam.zero_grad()
            (loss + penalty).backward()
            adam.step()
            steps += 1
            total["classification"] += float(loss.detach())
            total["penalty"] += float(penalty.detach())
        row = {"epoch": epoch + 1.0} | {name: value / steps for name, value in total.items()}
        row["loss"] = row["classification"] + row["penalty"]
        stay_finite(model, row["loss"], epoch + 1)
        if training.track and test_auc is not None:
            row["auc_test"] = test_auc()
        rows.append(row)
        if progress is not None:
            progress(Progress(epoch + 1, training.epochs, row["loss"], test_auc))
    return rows

"""Methods x metrics on one dataset, mean and sd over seeds: the rows of the paper's table 1 and whatever joins them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from core import run as runs
from core.dataset import Data, Dataset
from core.fusion import FUSIONS
from core.machine.names import nearest
from core.measure.metrics import jsonable, measure, show, summary
from core.recipe import Recipe, changed
from core.sample import METRIC_WORDS
from core.score.flops import flops
from core.score.judge import recorded
from core.score.novelty import How, novelty
from core.train.loop import train


@dataclass(frozen=True)
class Row:
    """One line of the table, at the last epoch; None where undefined (`why` says so).

    auc, ap, …      percent, of clips
    metric          what methods are compared by on this data: auc, accuracy (percent) or correlation, and auc_frames
                    where nothing is learned; mean and sd over seeds, and in `more` the means of the other numbers
                    (macro_f1, mae, …)
    alone           modality -> the same metric when only that modality is there
    options         what was asked for beside the defaults
    flops           of one unit or sample, see `flops`
    seconds         of one training
    """

    fusion: str
    level: str
    modality: str | None
    metric: str = "auc"
    mean: float | None = None
    sd: float | None = None
    more: Mapping[str, float | None] = field(default_factory=dict)
    alone: Mapping[str, float | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    flops: int = 0
    auc_mean: float | None = None
    auc_sd: float | None = None
    ap_mean: float | None = None
    ap_sd: float | None = None
    auc_frames_mean: float | None = None
    auc_anomalous_mean: float | None = None
    seeds: int = 0
    weights: int = 0
    seconds: float = 0.0
    why: str | None = None


def methods(names: Sequence[str], modalities: Sequence[str], options: Mapping[str, Any], **rest: Any) -> list[Recipe]:
    """`concat` stands for both levels, `concat@graph` for one; `single` for every modality, `single:text` for one.

    An option is handed to the fusions that have it; one that no fusion has is an error. `rest`: as `Recipe` takes it.
    """
    found = []
    used = set()
    for name in names:
        fusion, _, level = name.partition("@")
        fusion, _, modality = fusion.partition(":")
        known = asdict(Recipe(fusion).options)
        mine = {key: value for key, value in options.items() if key in known}
        used |= set(mine)
        levels = [level] if level else ["feature", "graph"] if "level" in known else [""]
        if level and "level" not in known:
            raise ValueError(f"{fusion} has no level, got {name!r}")
        singles = [modality] if modality else list(modalities) if fusion == "single" else [""]
        for each in levels:
            for one in singles:
                extra = ({"level": each} if each else {}) | ({"modality": one} if one else {})
                found.append(Recipe(fusion, mine | extra, modalities=tuple(modalities), **rest))
    unknown = sorted(set(options) - used)
    if unknown:
        there = [name for recipe in found for name in recipe.settings]
        raise ValueError(
            f"none of {', '.join(names)} has an option {unknown[0]!r}{nearest(unknown[0], list(dict.fromkeys(there)))}"
        )
    return found


def table(
    dataset: Data,
    chosen: Sequence[Recipe],
    out: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Train every method from every seed, one after another, and give a row as soon as it is complete."""
    if isinstance(dataset, Dataset):
        train_part = dataset.part("train", chosen[0].protocol) if dataset.splits and chosen else ()
        if train_part and all(clip.anomalous is False for clip in train_part):
            yield from (unsupervised(dataset, recipe) for recipe in chosen if recipe.level == "graph")
            return
    else:  # samples have no graphs
        chosen = [recipe for recipe in chosen if dataset.task.kind in FUSIONS[recipe.fusion].tasks]
        chosen = [recipe for recipe in chosen if recipe.level == "feature"]
        if not chosen:
            raise ValueError("none of these methods reads samples; ask for others with --fusions")
    for recipe in chosen:
        made = []
        for each in recipe.each:
            trained = train(dataset, each)
            if out is not None:
                runs.save(trained.run, trained.model.state_dict(), trained.history, out)
            made.append(trained.run)
            if progress is not None:
                value = show(trained.run.metrics[trained.run.metric], trained.run.metric)
                where = f"seed {each.seed + 1} of {len(recipe.seeds)}"
                progress(f"{trained.run.title}: {where}, {METRIC_WORDS[trained.run.metric]} {value}")
        yield row(made, changed(recipe.options), flops(trained.model))


def stored(dataset: Data, root: Path, progress: Callable[[str], None] | None = None) -> list[Row]:
    """Rows from the runs below `root` that were trained on these very data: scored again now, nothing is trained.

    Best first. A row's runs differ in the seed alone; `seconds` is what their trainings took.
    """
    groups: dict[str, list[tuple[Path, runs.Run]]] = {}
    for name, run in runs.listing(root).items():
        if run.source.digest == dataset.digest():
            groups.setdefault(run.group, []).append((root / name, run))
    rows = []
    for found in groups.values():
        first = found[0][1]
        test = dataset.shown(first.source.protocol)
        judged = []
        for folder, run in found:
            model = runs.model(folder)
            judged.append(replace(run, metrics=recorded(model, test)))
        usual = asdict(FUSIONS[first.fusion].Config())
        asked = {k: v for k, v in first.config.items() if k in ("level", "modality") or usual.get(k) != v}
        asked = {k: v for k, v in asked.items() if k != "modality" or first.fusion == "single"}
        if set(first.source.widths) != set(dataset.modalities) and first.fusion != "single":
            asked["reads"] = "+".join(first.source.widths)
        rows.append(row(judged, asked, flops(model)))
        if progress is not None:
            progress(
                f"{first.title}: {len(judged)} runs, {METRIC_WORDS[first.metric]} {show(rows[-1].mean, first.metric)}"
            )
    return sorted(rows, key=lambda each: -(each.mean if each.mean is not None else -1e9))


def unsupervised(dataset: Dataset, recipe: Recipe) -> Row:
    """A row when every training clip is normal: nothing is learned, so there is one value and no sd.

    Compared by the frame AUC, as this protocol is everywhere; by the unit AUC where no frame has truth.
    """
    blank = Row(recipe.fusion, recipe.level, recipe.settings.get("modality") or None)
    kinds: dict[str, How] = {"single": "single", "sum": "sum", "product": "product"}
    if recipe.fusion not in kinds:
        return replace(
            blank, why=f"{recipe.fusion} learns from normal and anomalous clips; all training clips are normal"
        )
    modalities = (blank.modality,) if blank.modality else recipe.modalities or dataset.modalities
    how = kinds[recipe.fusion]
    test = dataset.shown(recipe.protocol)
    began = time.perf_counter()
    found = jsonable(measure(novelty(dataset.part("train", recipe.protocol), test, modalities, how), test))
    metric = "auc" if found["auc_frames"] is None else "auc_frames"
    return replace(
        blank,
        metric=metric,
        mean=found[metric],
        auc_mean=found["auc"],
        ap_mean=found["ap"],
        auc_frames_mean=found["auc_frames"],
        auc_anomalous_mean=found["auc_anomalous"],
        seeds=1,
        seconds=round(time.perf_counter() - began, 3),
        why=found.get("why"),
    )


def row(made: Sequence[runs.Run], asked: Mapping[str, Any], operations: int = 0) -> Row:
    """One line from the runs of all seeds, and what was asked for beside the defaults."""

    def over(metric: str) -> tuple[float | None, float | None]:
        return summary([run.metrics.get(metric) for run in made])

    first, metric = made[0], made[0].metric
    others = [k for k, v in first.metrics.items() if k != metric and (v is None or isinstance(v, float))]
    return Row(
        fusion=first.fusion,
        level=first.level,
        modality=str(asked["modality"]) if asked.get("modality") else None,
        metric=metric,
        mean=over(metric)[0],
        sd=over(metric)[1],
        more={name: over(name)[0] for name in others},
        alone={
            name: summary([run.metrics["alone"].get(name) for run in made])[0]
            for name in first.metrics.get("alone", {})
        },
        options={k: v for k, v in asked.items() if k not in ("level", "modality")},
        flops=operations,
        auc_mean=over("auc")[0],
        auc_sd=over("auc")[1],
        ap_mean=over("ap")[0],
        ap_sd=over("ap")[1],
        auc_frames_mean=over("auc_frames")[0],
        auc_anomalous_mean=over("auc_anomalous")[0],
        seeds=len(made),
        weights=first.weights,
        seconds=round(mean(run.seconds for run in made), 3),
        why=first.metrics.get("why"),
    )


def label(row: Row) -> str:
    """What a row is called: the fusion, its modality, and options that were asked for."""
    asked = " ".join(f"{key}={value}" for key, value in row.options.items())
    return " ".join(part for part in (row.fusion, row.modality or "", asked) if part)


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal: quality, then what is left when a single modality is there, then the cost."""
    if not rows:
        return "no method fits this data"
    units = rows[0].metric.startswith("auc")
    modalities = list(dict.fromkeys(name for r in rows for name in r.alone))
    wide = max(22, *(len(label(r)) for r in rows))
    more = list(dict.fromkeys(name for r in rows for name in r.more)) if not units else []
    heads = ["unit AUC", "AP"] if units else [METRIC_WORDS[rows[0].metric]]
    head = f"{'method':<{wide}} " + (f"{'level':<8} " if units else "") + " ".join(f"{h:>13}" for h in heads)
    head += f" {'frame AUC':>10} {'in anomalous':>13}" if units else "".join(f" {name:>10}" for name in more)
    head += "".join(f" {'only ' + name:>16}" for name in modalities) + f" {'weights':>11} {'FLOPs':>12} {'s':>7}"
    lines = [head]
    for r in rows:
        both = [(r.auc_mean, r.auc_sd), (r.ap_mean, r.ap_sd)] if units else [(r.mean, r.sd)]
        cells = [show(m, r.metric) + (f" ± {show(s, r.metric)}" if s is not None else "") for m, s in both]
        line = f"{label(r):<{wide}} " + (f"{r.level:<8} " if units else "") + " ".join(f"{cell:>13}" for cell in cells)
        if units:
            line += f" {show(r.auc_frames_mean):>10} {show(r.auc_anomalous_mean):>13}"
        line += "".join(f" {show(r.more.get(name), name):>10}" for name in more)
        line += "".join(f" {show(r.alone.get(name), r.metric):>16}" for name in modalities)
        lines.append(f"{line} {r.weights:>11,} {r.flops:>12,} {r.seconds:>7.1f}" + (f"  {r.why}" if r.why else ""))
    lines.append("FLOPs: of one unit or sample, 2 for a multiplication and its addition; matrix products alone.")
    return "\n".join(lines)

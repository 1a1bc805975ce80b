"""Methods x metrics on one dataset, mean and sd over seeds: the rows of the paper's table 1 and whatever joins them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from core import runs
from core.data.dataset import Dataset
from core.evaluate import jsonable, measure
from core.fusion import FUSIONS
from core.novelty import How, novelty
from core.train import TrainConfig, train


@dataclass(frozen=True)
class Method:
    """One row to be: a fusion with its options, and the modalities it sees (None: all)."""

    fusion: str
    options: Mapping[str, Any]
    modalities: tuple[str, ...] | None = None

    @property
    def level(self) -> str:
        return str(self.options.get("level", "graph" if self.fusion == "lego" else "feature"))


@dataclass(frozen=True)
class Row:
    """One line of the table; AUC and AP in percent at the last epoch, None where undefined (`why` says so)."""

    fusion: str
    level: str
    modality: str | None
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


def methods(names: Sequence[str], modalities: Sequence[str], options: Mapping[str, Any]) -> list[Method]:
    """`concat` stands for both levels, `concat@graph` for one; `single` for every modality, `single:text` for one.

    An option is handed to the fusions that have it; one that no fusion has is an error.
    """
    found = []
    used = set()
    for name in names:
        fusion, _, level = name.partition("@")
        fusion, _, modality = fusion.partition(":")
        if fusion not in FUSIONS:
            raise ValueError(f"unknown fusion {fusion!r}; there are {', '.join(FUSIONS)}")
        known = {f.name for f in fields(FUSIONS[fusion].Config)}
        mine = {key: value for key, value in options.items() if key in known}
        used |= set(mine)
        levels = [level] if level else ["feature", "graph"] if "level" in known else [""]
        if level and "level" not in known:
            raise ValueError(f"{fusion} has no level, got {name!r}")
        singles = [modality] if modality else list(modalities) if fusion == "single" else [""]
        for each in levels:
            for one in singles:
                extra = ({"level": each} if each else {}) | ({"modality": one} if one else {})
                found.append(Method(fusion, mine | extra, tuple(modalities)))
    unknown = sorted(set(options) - used)
    if unknown:
        raise ValueError(f"none of {', '.join(names)} has an option {unknown[0]!r}")
    return found


def summary(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample sd; undefined when a value is, sd None for one seed."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return mean(known), stdev(known) if len(known) > 1 else None


def table(
    dataset: Dataset,
    chosen: Sequence[Method],
    seeds: int,
    training: TrainConfig,
    protocol: str | None = None,
    out: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Train every method from every seed, one after another, and give a row as soon as it is complete."""
    train_part = dataset.part("train", protocol) if dataset.splits else ()
    if train_part and all(clip.anomalous is False for clip in train_part):
        yield from (unsupervised(dataset, method, protocol) for method in chosen if method.level == "graph")
        return
    for method in chosen:
        made = []
        for seed in range(seeds):
            trained = train(dataset, method.fusion, method.options, training, seed, protocol, method.modalities)
            if out is not None:
                runs.save(trained.run, trained.model.state_dict(), trained.history, out)
            made.append(trained.run)
            if progress is not None:
                progress(f"{trained.run.title}: seed {seed + 1} of {seeds}, AUC {show(trained.run.metrics['auc'])}")
        yield row(method, made)


def unsupervised(dataset: Dataset, method: Method, protocol: str | None) -> Row:
    """A row when every training clip is normal: nothing is learned, so there is one value and no sd."""
    blank = Row(method.fusion, method.level, method.options.get("modality"))
    kinds: dict[str, How] = {"single": "single", "sum": "sum", "product": "product"}
    if method.fusion not in kinds:
        return replace(
            blank, why=f"{method.fusion} learns from normal and anomalous clips; all training clips are normal"
        )
    modalities = (blank.modality,) if blank.modality else method.modalities or dataset.modalities
    how = kinds[method.fusion]
    test = dataset.part("test", protocol)
    began = time.perf_counter()
    found = jsonable(measure(novelty(dataset.part("train", protocol), test, modalities, how), test))
    return replace(
        blank,
        auc_mean=found["auc"],
        ap_mean=found["ap"],
        auc_frames_mean=found["auc_frames"],
        auc_anomalous_mean=found["auc_anomalous"],
        seeds=1,
        seconds=round(time.perf_counter() - began, 3),
        why=found.get("why"),
    )


def row(method: Method, made: Sequence[runs.Run]) -> Row:
    def over(metric: str) -> tuple[float | None, float | None]:
        return summary([run.metrics.get(metric) for run in made])

    return Row(
        fusion=method.fusion,
        level=method.level,
        modality=str(method.options["modality"]) if method.options.get("modality") else None,
        auc_mean=over("auc")[0],
        auc_sd=over("auc")[1],
        ap_mean=over("ap")[0],
        ap_sd=over("ap")[1],
        auc_frames_mean=over("auc_frames")[0],
        auc_anomalous_mean=over("auc_anomalous")[0],
        seeds=len(made),
        weights=made[0].weights,
        seconds=round(mean(run.seconds for run in made), 3),
        why=made[0].metrics.get("why"),
    )


def show(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    head = f"{'method':<22} {'level':<8} {'unit AUC':>13} {'AP':>13} {'frame AUC':>10} {'AUC in anomalous':>17}"
    lines = [head + f" {'weights':>11} {'s':>7}"]
    for r in rows:
        name = f"{r.fusion} {r.modality or ''}".strip()
        both = [f"{show(m)} ± {show(s)}" for m, s in ((r.auc_mean, r.auc_sd), (r.ap_mean, r.ap_sd))]
        line = f"{name:<22} {r.level:<8} {both[0]:>13} {both[1]:>13} {show(r.auc_frames_mean):>10}"
        lines.append(
            f"{line} {show(r.auc_anomalous_mean):>17} {r.weights:>11,} {r.seconds:>7.1f}"
            + (f"  {r.why}" if r.why else "")
        )
    return "\n".join(lines)

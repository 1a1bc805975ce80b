"""Groups of runs beside each other: one configuration with every seed of it is a group, and a group is a line."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import run as runs
from core.compare.cost import peaks, scoring_time
from core.compare.judged import METRICS, Judged, judge, missing, parts_of
from core.compare.paired import Difference, Estimate, against, estimate
from core.dataset import Data
from core.machine.names import Name, shown, told_apart
from core.run import Run
from core.score.flops import flops
from core.score.judge import answers

# ---------------------------------------------------------------------------- groups: one configuration, every seed


@dataclass(frozen=True)
class Group:
    """One configuration: its runs' folder names by seed, and what they were trained on.

    own     trained on the very data that is looked at
    """

    id: str
    title: str
    runs: Mapping[int, str]
    first: Run
    weights: int
    seconds: float
    own: bool = True

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.runs)


def groups(found: Mapping[Name, Run], digest: str) -> dict[str, Group]:
    """Group id -> group, in the order of the runs; two that would be called alike get the end of their ids."""
    sorted_: dict[str, dict[int, Name]] = {}
    first: dict[str, Run] = {}
    for name, run in found.items():
        sorted_.setdefault(run.group, {}).setdefault(run.seed, name)
        first.setdefault(run.group, run)
    titles = told_apart({id_: run.title for id_, run in first.items()})
    return {
        id_: Group(
            id_,
            titles[id_],
            dict(sorted(seeds.items())),
            first[id_],
            first[id_].weights,
            statistics.fmean(found[name].seconds for name in seeds.values()),
            first[id_].source.digest == digest,
        )
        for id_, seeds in sorted_.items()
    }


def suggested(all_of_them: Mapping[str, Group], values: Mapping[str, float], chosen: str | None) -> list[str]:
    """Which groups to begin with: the chosen run's, the best other fusion's, and the best that concatenates features.

    values    group id -> what it is compared by, from the runs' records
    """
    order = sorted(all_of_them, key=lambda id_: -values.get(id_, -np.inf))
    mine = chosen if chosen in all_of_them else next(iter(order), None)
    if mine is None:
        return []
    firsts = {id_: all_of_them[id_].first for id_ in order}
    fusion = firsts[mine].fusion
    best = [id_ for id_, run in firsts.items() if run.fusion != fusion]
    plain = [id_ for id_, run in firsts.items() if run.fusion == "concat" and run.level == "feature"]
    return list(dict.fromkeys([mine, *(best or order)[:1], *plain[:1]]))


def wanted(all_of_them: Mapping[str, Group], names: Sequence[str], values: Mapping[str, float]) -> list[str]:
    """Group ids by what a user calls them: the id or its beginning, a title, or a fusion (its groups, best first).

    Errors: `ValueError` for a name that fits nothing, with what there is.
    """
    order = sorted(all_of_them, key=lambda id_: -values.get(id_, -np.inf))
    found: list[str] = []
    for name in names:
        fits = [
            id_ for id_ in order if name in (all_of_them[id_].first.fusion, all_of_them[id_].title) or id_ == name
        ] or [id_ for id_ in order if len(name) > 3 and id_.startswith(name)]
        if not fits:
            known = ", ".join(dict.fromkeys(group.first.fusion for group in all_of_them.values()))
            raise ValueError(f"no run here is called {shown(name)!r}; there are {known}")
        found += fits
    return list(dict.fromkeys(found))


def recorded(found: Mapping[Name, Run]) -> dict[str, float]:
    """Group id -> the compared metric from its runs' records, the mean over seeds; undefined ones are left out."""
    values: dict[str, list[float | None]] = {}
    for run in found.values():
        values.setdefault(run.group, []).append(run.metrics.get(run.metric))
    return {
        id_: statistics.fmean(known)
        for id_, each in values.items()
        if (known := [value for value in each if value is not None])
    }


# ---------------------------------------------------------------------------- everything of one data set


@dataclass(frozen=True)
class Line:
    """One group in the comparison.

    metrics     metric -> estimate
    difference  to the baseline, by the compared metric; None for the baseline itself
    deltas      metric -> difference to the baseline, each tested by itself; {} for the baseline
    missing     "only …" / "without …" -> mean over seeds
    parts       kind of anomaly (AUC), or class (recall), or target (correlation) -> mean over seeds
    flops       of one unit or sample; seconds: of one training, as recorded, maybe on another machine
    ms          of scoring the test part here; megabytes: peak of one scoring; None where not measured
    """

    group: Group
    metrics: Mapping[str, Estimate]
    difference: Difference | None
    deltas: Mapping[str, Difference]
    missing: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    flops: int | None = None
    ms: float | None = None
    megabytes: float | None = None
    why: str = ""


def lines(chosen: Sequence[Group], judged: Mapping[str, Mapping[int, Judged]], baseline: str | None) -> list[Line]:
    """The comparison without its slow parts; groups in the order given."""
    first = next(iter(next(iter(judged.values())).values()))
    tests = {} if baseline is None else {m: against(judged, baseline, m) for m in METRICS[first.metric]}
    found = []
    for group in chosen:
        mine = list(judged[group.id].values())
        deltas = {m: each[group.id] for m, each in tests.items() if group.id in each}
        found.append(
            Line(
                group,
                {m: estimate(mine, m) for m in METRICS[first.metric]},
                deltas.get(first.metric),
                deltas,
                why=next((one.why for one in mine if one.why), ""),
            )
        )
    return found


def over_seeds(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over seeds, key by key."""
    return {name: float(np.mean([one[name] for one in each])) for name in (each[0] if each else {})}


def compare(
    data: Data,
    root: Path,
    names: Sequence[str] | None = None,
    baseline: str | None = None,
    memory_of: Path | None = None,
) -> tuple[str, list[Line]]:
    """Everything the page shows, of the runs below `root` that were trained on these very data: (baseline's id, lines).

    names       which groups (`wanted`), of those that were trained on the baseline's split; all unless given
    baseline    a group; the best unless given
    memory_of   the data's folder, to measure peak memory, too
    """
    found = {n: run for n, run in runs.listing(root).items() if run.source.digest == data.digest()}
    if not found:
        raise ValueError(f"no run below {str(root)!r} was trained on {data.name!r}")
    every, values = groups(found, data.digest()), recorded(found)
    order = sorted(every, key=lambda id_: -values.get(id_, -np.inf))
    ids = wanted(every, names, values) if names else order
    base = wanted(every, [baseline], values)[0] if baseline else next(id_ for id_ in order if id_ in ids)
    ids = ids if base in ids else [base, *ids]
    protocol = every[base].first.source.protocol
    beside = {id_ for id_, group in every.items() if group.first.source.protocol == protocol}
    for name in names or ():
        fits = wanted(every, [name], values)
        if not beside & set(fits):
            other = shown(every[fits[0]].first.source.protocol)
            raise ValueError(
                f"{shown(name)!r} was trained on split {other!r}, the baseline on {shown(protocol)!r}: "
                "they have no test part in common"
            )
    ids = [id_ for id_ in ids if id_ in beside]
    test = data.shown(protocol)
    judged: dict[str, dict[int, Judged]] = {}
    slow: dict[str, dict[str, Any]] = {}
    for id_ in ids:
        models = {seed: runs.model(root / name) for seed, name in every[id_].runs.items()}
        first = next(iter(models.values()))
        parts: list[dict[str, float]] = []
        judged[id_] = {}
        for seed, model in models.items():
            said = answers(model, test)
            judged[id_][seed] = judge(said, test)
            parts.append(parts_of(said, test))
        slow[id_] = {
            "missing": over_seeds([missing(model, test) for model in models.values()]),
            "parts": over_seeds(parts),
            "flops": flops(first),
            "ms": scoring_time(first, test),
        }
    if memory_of is not None:
        folders = [root / next(iter(every[id_].runs.values())) for id_ in ids]
        for id_, megabytes in zip(ids, peaks(memory_of, data.looked_at(protocol), folders), strict=True):
            slow[id_]["megabytes"] = megabytes
    made = [replace(line, **slow[line.group.id]) for line in lines([every[id_] for id_ in ids], judged, base)]
    return base, made

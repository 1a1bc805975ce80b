"""The claim that a lower rank of LMF is more robust, put to the test: a slope for every corruption, and a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import run as runs
from core.compare import holm
from core.dataset import Data
from core.measure.tests import trend, welch
from core.recipe import Recipe
from core.train.loop import train
from core.trust.record import Record, recorded, spread_over
from core.trust.rows import staged
from core.trust.stress import KINDS

RANKS = (1, 2, 4, 8)
CLAIM = "lower rank is more robust"


@dataclass(frozen=True)
class Trend:
    """How the share of the clean metric that a run keeps under one corruption follows the rank.

    slope       percent points a doubling of the rank, least squares over all runs
    low, high   its 95 % interval, Student's t over runs
    p, adjusted two-sided, and after Holm over the corruptions
    lowest      mean kept at the lowest rank less that at the highest, with its 95 % interval after Welch
    verdict     supported (kept falls with the rank), contradicted (it grows), not decided
    """

    kind: str
    slope: float
    low: float
    high: float
    p: float
    adjusted: float
    lowest: float
    lowest_low: float
    lowest_high: float
    verdict: str


def trends(found: Sequence[Record]) -> list[Trend]:
    """Every corruption that all runs were put under; verdicts after Holm's correction at 5 %."""
    ranks = np.array([float(each.run.config["rank"]) for each in found])
    kinds = [kind for kind in KINDS if found and all(kind in each.kept for each in found)]
    raw = {kind: trend(ranks, np.array([each.kept[kind] for each in found])) for kind in kinds}
    adjusted = holm([p for *_, p in raw.values()])
    made = []
    for (kind, (slope, low, high, p)), sure in zip(raw.items(), adjusted, strict=True):
        kept = np.array([each.kept[kind] for each in found])
        gap = welch(kept[ranks == ranks.min()], kept[ranks == ranks.max()])
        said = "not decided" if not sure < 0.05 else "supported" if slope < 0 else "contradicted"
        made.append(Trend(kind, slope, low, high, p, sure, *gap, said))
    return made


def verdict(found: Sequence[Trend]) -> str:
    """The claim in one sentence."""
    counts = {said: [each for each in found if each.verdict == said] for said in ("supported", "contradicted")}
    yes, no = len(counts["supported"]), len(counts["contradicted"])
    told = "contradictory" if yes and no else "supported" if yes else "contradicted" if no else "not decided"

    def named(each: Sequence[Trend]) -> str:
        return f" ({', '.join(KINDS[one.kind].words for one in each)})" if each else ""

    return (
        f'"{CLAIM[0].upper()}{CLAIM[1:]}" is {told}: of {len(found)} corruptions {yes} support it'
        f"{named(counts['supported'])}, {no} contradict it{named(counts['contradicted'])}, "
        f"{len(found) - yes - no} decide nothing."
    )


def of_ranks(folders: Sequence[Path]) -> list[Path]:
    """Of these runs the LMF ones whose configurations differ in the rank alone: the largest such set."""
    sets: list[tuple[runs.Run, list[Path]]] = []
    for folder in folders:
        run = runs.load(folder)
        if run.fusion == "lmf":
            mine = next((found for first, found in sets if run.alike(first, but={"rank"})), None)
            if mine is None:
                sets.append((run, mine := []))
            mine.append(folder)
    return max((found for _, found in sets), key=len, default=[])


def trained_ranks(data: Data, recipe: Recipe, tell: Callable[[str], None] = lambda line: None) -> list[Record]:
    """LMF of every rank from every seed, trained now and put under stress."""
    stage = staged(data)
    found = []
    for rank in RANKS:
        for one in recipe.but(rank=rank).each:
            done = train(data, one)
            found.append(recorded(done.model, stage, done.run))
            tell(f"rank {rank}, seed {one.seed}: {found[-1].clean:.3g} clean ({found[-1].seconds:.1f} s under stress)")
    return found


def rank_report(name: str, found: Sequence[Record]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines."""
    if len({each.run.config["rank"] for each in found}) < 2:
        raise ValueError("the claim is about ranks: it takes LMF runs of two ranks or more that differ in nothing else")
    made = trends(found)
    lines = []
    for each in made:
        lines.append(
            f"{KINDS[each.kind].title:12s} {each.slope:+.2f} points a doubling of the rank "
            f"({each.low:+.2f} ... {each.high:+.2f}, p {each.adjusted:.3f} after Holm); rank "
            f"lowest - highest {each.lowest:+.2f} ({each.lowest_low:+.2f} ... {each.lowest_high:+.2f}): {each.verdict}"
        )
    ranks = sorted({int(each.run.config["rank"]) for each in found})
    clean = {rank: spread_over([each.clean for each in found if each.run.config["rank"] == rank]) for rank in ranks}
    kept = {
        str(rank): {
            kind: spread_over([each.kept[kind] for each in found if each.run.config["rank"] == rank])
            for kind in (trend.kind for trend in made)
        }
        for rank in ranks
    }
    lines.append(verdict(made))
    result = {
        "dataset": name,
        "claim": CLAIM,
        "runs": len(found),
        "clean": {str(rank): each for rank, each in clean.items()},
        "kept": kept,
        "trends": [{k: None if v != v else v for k, v in asdict(each).items()} for each in made],
        "verdict": verdict(made),
    }
    return result, "\n".join(lines)

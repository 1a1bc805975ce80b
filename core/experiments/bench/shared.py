"""What every benchmark needs: one comparison as a row, variants timed in turn, and the rows as a table."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Tell = Callable[[str], None]
Action = Callable[[], object]

CLIPS, NODES = 500, 32
WIDTHS = {"video": 2048, "text": 768}
ROUNDS, LEAST = 7, 0.1  # turns of each variant; seconds of each turn, since steps and slider moves come in rows


@dataclass(frozen=True)
class Row:
    """One comparison. Times in ms (peak memory in MB where `unit` says so); goal is the least ratio rival / ours.

    met   None where there is no goal, or nothing to compare with
    why   the reason when a number is missing, or what was scaled
    """

    name: str
    ours_ms: float | None
    rival: str
    rival_ms: float | None
    ratio: float | None
    goal: float | None
    met: bool | None
    unit: str = "ms"
    why: str = ""


def compared(name: str, ours: float, rival: str, theirs: float, goal: float, why: str = "") -> Row:
    ratio = theirs / ours
    return Row(name, round(ours, 4), rival, round(theirs, 4), round(ratio, 2), round(goal, 4), ratio >= goal, why=why)


def measured(name: str, ours: float, rival: str, theirs: float, why: str = "") -> Row:
    """A comparison without a goal."""
    return Row(name, round(ours, 4), rival, round(theirs, 4), round(theirs / ours, 2), None, None, why=why)


def skipped(name: str, rival: str, goal: float | None, why: str) -> Row:
    return Row(name, None, rival, None, None, goal, None, why=why)


def interleaved(actions: Mapping[str, Action], rounds: int | None = None, slow: Sequence[str] = ()) -> dict[str, float]:
    """Name -> median milliseconds; every action once to warm up, then all in turn. `slow` ones get three rounds."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for turn in range(rounds or ROUNDS):
        for name, action in actions.items():
            if name in slow and turn >= 3:
                continue
            began, calls = time.process_time(), 0
            while not calls or time.process_time() - began < LEAST:  # a short action is repeated
                action()
                calls += 1
            taken[name].append((time.process_time() - began) / calls * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


def table(rows: Sequence[Row]) -> str:
    """The rows as text: ours, the rival, how many times faster, and the least that is asked for."""
    lines = [("what", "ours", "rival", "its", "ratio", "at least", "", "")]
    for row in rows:
        ours, theirs = f"{_number(row.ours_ms)} {row.unit}", f"{_number(row.rival_ms)} {row.unit}"
        verdict = {True: "met", False: "MISSED", None: "-"}[row.met]
        lines.append((row.name, ours, row.rival, theirs, _number(row.ratio), _number(row.goal), verdict, row.why))
    columns = []
    for place, cells in enumerate(zip(*lines, strict=True)):
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if place in (1, 3, 4, 5) else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"

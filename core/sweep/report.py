"""A sweep's outcome as plain JSON and in a few lines of text."""

import math
from typing import Any

from core.sweep.effects import importance
from core.sweep.folder import WORDS
from core.sweep.outcome import Results
from core.sweep.plan import told


def record(found: Results, seconds: float | None = None) -> dict[str, Any]:
    """Everything as plain JSON; undefined numbers are None."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    plan, weighed = found.sweep.plan, importance(found)
    best = found.best
    return {
        "sweep": found.sweep.id,
        "metric": found.sweep.metric,
        "judged": found.sweep.judged,
        "trainings": found.total,
        "done": found.done,
        "seconds": seconds,
        "axes": {name: list(values) for name, values in plan.axes.items()},
        "cells": [
            {**dict(zip(plan.names, row.cell, strict=True)), "mean": number(row.mean), "sd": number(row.sd), "n": row.n}
            for row in found.rows
        ],
        "spread": number(found.spread),
        "best": None if best is None else dict(zip(plan.names, best.cell, strict=True)) | {"mean": number(best.mean)},
        "within_spread_of_best": [dict(zip(plan.names, row.cell, strict=True)) for row in found.close],
        "importance": None
        if weighed is None
        else {
            "exact": weighed.exact,
            "cells": weighed.cells,
            "effects": [
                {"options": list(e.names), "share": e.share, "by_seeds_alone": number(e.noise)} for e in weighed.effects
            ],
        },
    }


def text(found: Results, seconds: float | None = None) -> str:
    """The best cell, what is as good, and what matters, in a few lines."""
    plan, best = found.sweep.plan, found.best
    said = [f"{found.sweep.title}: {found.done:,} of {found.total:,} trainings" + (
        "" if seconds is None else f", {seconds:.1f} s")]  # fmt: skip
    if best is None:
        return said[0]
    name, digits = WORDS[found.sweep.metric], 3 if found.sweep.metric == "correlation" else 1
    spread_said = "" if math.isnan(best.sd) else f" ± {best.sd:.{digits}f}"
    said.append(
        f"best {told(plan.names, best.cell)}: {name} {best.mean:.{digits}f}{spread_said} over {best.n} seeds, "
        f"{found.sweep.judged}"
    )
    if found.close:
        said.append(
            f"{len(found.close)} of {len(found.rows)} cells lie within the seeds' spread of it, {found.spread:.2g}"
        )
    if (weighed := importance(found)) is not None:
        shares = ", ".join(f"{' x '.join(e.names)} {100 * e.share:.0f} %" for e in weighed.effects)
        chance = sum(e.noise for e in weighed.effects)
        said.append(
            f"share of the variance between cells ({'exact' if weighed.exact else 'of a forest'}): {shares}"
            + ("" if math.isnan(chance) else f"; seeds alone would make {100 * min(chance, 1):.0f} %")
        )
    return "\n".join(said)

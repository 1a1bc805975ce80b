"""A metric over several seeds, in words."""

from collections.abc import Sequence

import numpy as np

from core.measure.metrics import show, summary


def numbers(values: Sequence[float | None]) -> list[float]:
    """None, which JSON has for what is no number, is a gap."""
    return [np.nan if value is None else float(value) for value in values]


def spread(values: Sequence[float | None], metric: str) -> str:
    """mean ± sd over seeds, with how many; one seed has no spread.

    >>> spread([80.0, 82.0], "auc")
    '81.0 ± 1.4 (2 seeds)'
    >>> spread([None], "auc")
    'undefined'
    """
    known = [value for value in values if value is not None]
    if not known:
        return "undefined"
    mean, sd = summary(known)
    if len(known) == 1:
        return f"{show(mean, metric)} (1 seed)"
    return f"{show(mean, metric)} ± {show(sd, metric)} ({len(known)} seeds)"


def delta(new: Sequence[float | None], old: Sequence[float | None], metric: str) -> str:
    """How far the new mean lies from the old, signed; "" where one is undefined.

    >>> delta([82.0], [80.0, 81.0], "auc")
    '+1.5'
    """
    means = [
        summary([v for v in values if v is not None])[0] for values in (new, old) if any(v is not None for v in values)
    ]
    if len(means) < 2 or means[0] is None or means[1] is None:
        return ""
    words = f"{means[0] - means[1]:+.{3 if metric in ('correlation', 'mae') else 1}f}"
    return words if words.strip("+-0.") else f"±{words[1:]}"

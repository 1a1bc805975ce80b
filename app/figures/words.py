"""How a metric's numbers read, everywhere alike: percent with one digit, correlations and errors with three."""

import numpy as np

from core.compare import PLAIN, digits


def told(value: float, metric: str, undefined: str = "–") -> str:
    """
    >>> told(73.456, "auc"), told(0.5, "correlation"), told(float("nan"), "auc", "none")
    ('73.5', '0.500', 'none')
    """
    return undefined if np.isnan(value) else f"{value:.{digits(metric)}f}"


def moved(by: float, metric: str) -> str:
    """A difference, signed.

    >>> moved(-1.25, "auc")
    '-1.2'
    """
    return f"{by:+.{digits(metric)}f}"


def axis(name: str, metric: str) -> str:
    """The metric's name with its unit, for an axis.

    >>> axis("unit AUC", "auc"), axis("correlation", "correlation")
    ('unit AUC (%)', 'correlation')
    """
    return name if metric in PLAIN else f"{name} (%)"


def begun(words: str) -> str:
    """With a capital letter; the others stay.

    >>> begun("unit AUC")
    'Unit AUC'
    """
    return words[:1].upper() + words[1:]

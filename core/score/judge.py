"""What a model is worth on rows: clips, or samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.clip import Clip
from core.dataset import Rows
from core.fusion.base import Fusion
from core.measure.metrics import Judgement, jsonable, measure
from core.sample import Part
from core.score.infer import outputs, score

ENTRIES = 1 << 22


def answers(model: Fusion, rows: Sequence[Clip] | Part, entries: int = ENTRIES) -> Any:
    """What the model says: clip name -> unit scores; of a `Part` its outputs, `(rows, outputs)`."""
    return outputs(model, rows.features, entries) if isinstance(rows, Part) else score(model, rows, entries)


def judge(model: Fusion, rows: Sequence[Clip] | Part) -> Judgement:
    return measure(answers(model, rows), rows)


def alone(model: Fusion, rows: Rows) -> dict[str, float]:
    """Modality -> the compared metric when it is there and the others are missing: A / V / AV of GMF's table 2.

    Empty for a model that reads one.
    """
    return {name: judge(model, rows.keep((name,))).main for name in model.used if len(model.used) > 1}


def recorded(model: Fusion, rows: Rows) -> dict[str, Any]:
    """A trained model's numbers as its run's record holds them."""
    found = {name: None if np.isnan(value) else value for name, value in alone(model, rows).items()}
    return jsonable(judge(model, rows)) | ({"alone": found} if found else {})

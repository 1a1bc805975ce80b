"""Doors: what an analysis needs of a model and of data, one question a function, cheap, without any scoring.

A door lets both through, or says in one `ValueError` for the user what is missing, and which methods have it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.dataset import Data, Dataset
from core.fusion import called, those
from core.fusion.base import Fusion, VectorFusion
from core.fusion.baseline import Baseline
from core.fusion.lego import Lego
from core.sample import Task

HOLD = {"units": "units of clips", "class": "classes", "real": "real targets"}


def read(model: Fusion, widths: Mapping[str, int], task: Task) -> None:
    """Rows of these widths have what the model reads, and hold what it was trained for."""
    for name, width in model.widths.items():
        if name not in widths:
            raise ValueError(f"{called(model)} reads {name!r} in this run, these data have {', '.join(widths)}")
        if widths[name] != width:
            raise ValueError(f"{called(model)} reads {name!r} {width} wide in this run, here it is {widths[name]}")
    if model.task != task:
        here = HOLD[task.kind] if model.task.kind != task.kind else "others"
        raise ValueError(f"{called(model)} was trained for {HOLD[model.task.kind]} in this run, these data hold {here}")


def units(model: Fusion) -> None:
    """The model reads clips, whose units follow each other in time."""
    if model.task.kind != "units":
        raise ValueError(f"{called(model)} reads samples here, one vector a modality: only clips have units in time")


def operator(model: Fusion) -> Lego:
    """The model has an operator on graphs."""
    units(model)
    if not isinstance(model, Lego):
        raise ValueError(f"{called(model)} has no operator, so there are no terms to look at; choose a run of LEGO")
    return model


def graphs(model: Fusion) -> Lego | Baseline:
    """The model relates units: it scores graphs, not features."""
    units(model)
    if model.window is None or not isinstance(model, Lego | Baseline):
        others = those(lambda kind: issubclass(kind, Baseline))
        raise ValueError(
            f"{called(model)} scores features and makes no relationship graphs here; choose a run of LEGO, "
            f"or of {others} with level=graph"
        )
    return model


def rows(model: Fusion, data: Data) -> None:
    """The model answers for every row by itself."""
    if getattr(model, "standard", None) is None:
        able = those(lambda kind: issubclass(kind, VectorFusion))
        raise ValueError(f"{called(model)} gives scores of units and no other outputs; choose a run of {able}")


def several(model: Fusion, data: Data) -> None:
    """The model reads two modalities or more."""
    if len(model.used) < 2:
        raise ValueError(f"{called(model)} reads one modality in this run: without it nothing is left to judge")


def target(data: Data, part: str) -> Tensor | None:
    """Classes, real values or unit labels of a part; None as soon as one is unknown."""
    if not isinstance(data, Dataset):
        return data.target[torch.tensor(data.members(part))]
    labels = [data.clips[name].labels for name in data.members(part)]
    known = [found for found in labels if found is not None]
    return torch.cat(known).long() if known and len(known) == len(labels) else None


def labels(model: Fusion, data: Data) -> None:
    """Every row that is looked at has a target, and units are of both kinds."""
    found = target(data, data.looked_at())
    if found is None:
        raise ValueError(f"{called(model)} cannot be judged on these data: not every unit has a label")
    if data.task.kind == "units" and len(found.unique()) < 2:
        only = "anomalous" if found.any() else "normal"
        raise ValueError(f"{called(model)} cannot be judged on these data: all {len(found):,} units are {only}")


def some_labels(model: Fusion, data: Data) -> None:
    """Something that is looked at has a target."""
    shown = data.members(data.looked_at())
    if isinstance(data, Dataset) and all(data.clips[name].labels is None for name in shown):
        raise ValueError(f"{called(model)} cannot be held against the truth here: no unit has a label")


def classes(model: Fusion, data: Data) -> None:
    """Every row that is looked at is of a known class; units are normal or anomalous."""
    if data.task.kind == "real" or target(data, data.looked_at()) is None:
        raise ValueError(f"{called(model)} is asked here about classes, and these data have none for every row")


def halves(model: Fusion, data: Data) -> None:
    """A training part to fit on and a test part to judge by."""
    parts = next(iter(data.splits.values()), {})
    if not all(len(parts.get(part, ())) for part in ("train", "test")):
        raise ValueError(
            f"{called(model)} is read by probes, which need a training and a test part; these data lack one"
        )


def taught(model: Fusion, data: Data) -> None:
    """Both parts have targets, and the training part more than one."""
    halves(model, data)
    for part in ("train", "test"):
        found = target(data, part)
        if found is None:
            raise ValueError(
                f"{called(model)} is read by probes, which need labels; the {part} part has none for every row"
            )
        if part == "train" and data.task.kind != "real" and len(found.unique()) < 2:
            raise ValueError(f"{called(model)} is read by probes, which need two classes; the training part has one")

"""What feature files cannot say themselves: given by the caller, or kept in `fusescope.json` beside the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data import sidecar
from core.data.problems import Problems

SUFFIXES = ("i3d", "emb", "c3d", "swin", "pose", "videomae", "clip")


@dataclass(frozen=True)
class Options:
    """What the files cannot say themselves; a field left at its default is found out or assumed, and said.

    train, test, truth  list files and ground truth, as paths below the dataset's folder
    anomalous           part -> how many clips at the head of its list are anomalous
    modalities          modality -> ending of its files before `.npy` ("_i3d")
    by_name             drop folders in list lines: for lists that hold paths of another machine
    crops               "all" keeps every crop, "mean" averages them (a tenth of the memory)
    shift               frames the ground truth lies too late (1) or too early (-1); moved back by as many
    """

    train: str | None = None
    test: str | None = None
    truth: str | None = None
    anomalous: Mapping[str, int] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)
    by_name: bool = False
    crops: str = "all"
    fps: float | None = None
    frames_per_unit: int = 16
    shift: int = 0


def options(given: Mapping[str, Any]) -> Options:
    """Options from words and literals. Errors: `RefusedError` naming the unknown or unusable one."""
    sidecar.check(given, Options, _unusable)
    numbers = {"fps": float(given["fps"])} if given.get("fps") is not None else {}
    return Options(**{**given, **numbers})


def beside(root: Path, problems: Problems) -> Options:
    """Options kept beside the data in fusescope.json; defaults where there is none."""
    return sidecar.read(root, options, problems)


def _unusable(name: str, value: Any) -> str:
    """What an option should have been; "" when it is that."""
    whole = type(value) is int
    if name in ("train", "test", "truth"):
        return "" if value is None or isinstance(value, str) else "a path below the folder"
    if name == "anomalous":
        good = isinstance(value, dict) and all(
            part in ("train", "test") and type(count) is int and count >= 0 for part, count in value.items()
        )
        return "" if good else "a count for train or test"
    if name == "modalities":
        good = isinstance(value, dict) and all(isinstance(v, str) and v for pair in value.items() for v in pair)
        return "" if good else "a name with an ending of its files"
    if name == "by_name":
        return "" if isinstance(value, bool) else "true or false"
    if name == "crops":
        return "" if value in ("all", "mean") else "'all' or 'mean'"
    if name == "fps":
        good = value is None or (type(value) in (int, float) and 0 < value <= 10_000)
        return "" if good else "a number above 0, to 10000,"
    if name == "frames_per_unit":
        return "" if whole and 1 <= value <= 10_000 else "a whole number 1..10000"
    return "" if whole and abs(value) <= 1000 else "a whole number of frames"

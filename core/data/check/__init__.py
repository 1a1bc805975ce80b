"""What lies at a path, and everything that is wrong with it: the report a researcher acts on.

`check` never stops at the first problem and never raises for what it finds; it opens no file that the readers would
not open. One file a kind; `report` is what they fill in.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.data.check import arrays, clips, features, footage, run, samples
from core.data.check.kinds import instead, kind, stated_format
from core.data.check.report import WORDS, Modality, Report
from core.data.problems import Problem
from core.machine.names import RefusedError

__all__ = ["WORDS", "Modality", "Report", "check", "instead", "kind", "stated_format"]


def check(path: Path, **options: Any) -> Report:
    """Look at everything at this path.

    options     as in `core.data.rtfm.Options` or `core.data.samples.foreign.Options`, plus `pickles=True`
    """
    path = Path(path)
    pickles = bool(options.pop("pickles", False))
    name = path.name or path.resolve().name
    what = "unknown"
    reports: dict[str, Callable[[], Report]] = {
        "native": lambda: clips.report(path),
        "samples": lambda: samples.report(path, name),
        "tables": lambda: samples.tables(path, name, {**options, "pickle": True} if pickles else options),
        "features": lambda: features.report(path, name, options),
        "footage": lambda: footage.report(path, name, options),
        "run": lambda: run.report(path, name),
        "video": lambda: footage.video(path, name),
        "arrays": lambda: arrays.report(path, name, pickles),
    }
    try:
        what = kind(path)
        if options and path.suffix.lower() in (".pkl", ".pickle"):
            what = "tables"
        return reports[what]() if what in reports else Report(name, what, (Problem("error", instead(path, what)),))
    except RefusedError as refused:
        return Report(name, what, (Problem("error", str(refused)),))

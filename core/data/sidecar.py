"""`fusescope.json`: what files cannot say themselves, kept beside the data."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from core.data.fields import parsed
from core.data.problems import Problems
from core.machine.names import RefusedError, opened, shown

SIDECAR = "fusescope.json"
Options = TypeVar("Options")


def read(root: Path, options: Callable[[Mapping[str, Any]], Options], problems: Problems) -> Options:
    """The options in `root`/fusescope.json; defaults where there is none, or none that can be used."""
    if not os.path.lexists(root / SIDECAR):
        return options({})
    try:
        stream, size = opened(root / SIDECAR, 1 << 20, SIDECAR)
        with stream:
            given = parsed(stream.read(size), SIDECAR)
        return options(given if isinstance(given, dict) else {SIDECAR: given})
    except RefusedError as refused:
        problems.error(str(refused), SIDECAR)
    return options({})


def check(given: Mapping[str, Any], kind: type, unusable: Callable[[str, Any], str]) -> None:
    """Errors: `RefusedError` for an option that `kind` does not have, or whose value `unusable` says what it lacks."""
    known = [entry.name for entry in fields(kind)]
    for name, value in given.items():
        if name not in known:
            raise RefusedError(f"there is no option '{shown(name, 40)}'; there are {', '.join(known)}")
        if needed := unusable(name, value):
            raise RefusedError(f"option {name} is {shown(repr(value), 60)}; {needed} is needed")

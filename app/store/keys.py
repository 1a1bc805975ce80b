"""What a key of a cache is: a name that stands for what lies under it on disk now.

A cached function takes keys, numbers and texts, never arrays or tensors, and is declared with `resource` (the very
object, shared by all users: read, never change) or `data` (a copy for each). At every call Streamlit asks for the
key's stamp: the place, inode, size and time of the file that is written last. Datasets and runs are written as drafts
and renamed, so what is new has a new stamp, is computed anew, and the old entry ages out.
"""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Literal, ParamSpec, TypeVar

import streamlit as st

from core.dataset import Dataset
from core.sample import Samples
from core.workspace import Workspace

if TYPE_CHECKING:
    from streamlit.runtime.caching.cache_utils import CachedFunc

Data = Dataset | Samples
P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
ROOT = Path(__file__).parents[2]
DEMOS = ("demo", "digits")  # datasets that come along, the demo first

log = logging.getLogger("fusescope")


def workspace() -> Workspace:
    """Where users' datasets, runs and jobs are kept; `$FUSESCOPE_WORKSPACE`, else `workspace` beside the app."""
    return Workspace(Path(os.environ.get("FUSESCOPE_WORKSPACE") or ROOT / "workspace"))


def assets() -> Path:
    """Where the demo lies; `$FUSESCOPE_ASSETS` shows another one (tests do)."""
    return Path(os.environ.get("FUSESCOPE_ASSETS") or ROOT / "assets")


def stamp(place: str | Path) -> str:
    """Changes with the file or folder that lies there; empty where there is none."""
    try:
        found = os.stat(place)
    except (OSError, ValueError):  # a name out of a link may hold what no file's name can
        return ""
    return f"{place} {found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


class Key(str):
    """The name of a folder, as a text and as the key of a cache. The first place that holds it counts."""

    __slots__ = ()
    what: ClassVar[str]  # in words
    file: ClassVar[str]  # the file that is written last

    def places(self) -> tuple[Path, ...]:
        raise NotImplementedError

    def _files(self) -> list[str]:
        """Where the index may lie; names that lead elsewhere, and drafts, are nobody's key."""
        bad = not self or self[0] == "." or "/" in self
        return [] if bad else [f"{place}/{self}/{self.file}" for place in self.places()]

    def stamp(self) -> str:
        return next((found for file in self._files() if (found := stamp(file))), "")

    @property
    def folder(self) -> Path:
        """Where it lies. Errors: `ValueError` once it is gone."""
        for file in self._files():
            if stamp(file):
                return Path(file).parent
        raise ValueError(f"there is no {self.what} {str(self)!r} any more; choose another one")


class DataKey(Key):
    """A dataset's folder name."""

    __slots__ = ()
    what, file = "dataset", "dataset.json"

    def places(self) -> tuple[Path, ...]:
        return (assets(), workspace().data) if self in DEMOS else (workspace().data,)


class RunKey(Key):
    """A run's folder name."""

    __slots__ = ()
    what, file = "run", "run.json"

    def places(self) -> tuple[Path, ...]:
        return run_roots()


class SweepKey(Key):
    """A sweep's folder name; it changes with every training that is done."""

    __slots__ = ()
    what, file = "sweep", "sweep.json"

    def places(self) -> tuple[Path, ...]:
        return (workspace().sweeps,)

    def stamp(self) -> str:
        return " ".join(stamp(f"{self.places()[0]}/{self}/{part}") for part in (self.file, "runs", "failed"))


class FileKey(str):
    """The path of one file."""

    __slots__ = ()

    def stamp(self) -> str:
        return stamp(self)


def run_roots() -> tuple[Path, ...]:
    """Where runs lie, the demo's first."""
    return assets() / "runs", workspace().runs


def _with_all_runs(key: DataKey) -> str:
    return " ".join([key.stamp(), *map(stamp, run_roots())])


STAMPS: dict[str | type, Callable[[Any], Any]] = {kind: kind.stamp for kind in (DataKey, RunKey, SweepKey, FileKey)}
WITH_ALL_RUNS = STAMPS | {DataKey: _with_all_runs}  # the dataset, and which runs there are; a run itself never changes


def resource(
    most: int, says: str | Literal[False] = False, stamps: dict[str | type, Callable[[Any], Any]] = STAMPS
) -> "Callable[[Callable[P, R]], CachedFunc[P, R]]":
    """Keep the last `most` answers of a function of keys, as they are; `says` is shown while one is computed."""
    return st.cache_resource(max_entries=most, show_spinner=says, hash_funcs=stamps)


def data(
    most: int, says: str | Literal[False] = False, stamps: dict[str | type, Callable[[Any], Any]] = STAMPS
) -> "Callable[[Callable[P, R]], CachedFunc[P, R]]":
    """The same for small answers: each who asks gets a copy."""
    return st.cache_data(max_entries=most, show_spinner=says, hash_funcs=stamps)


def kept(most: int) -> Callable[[Callable[Concatenate[Path, Q], R]], Callable[Concatenate[Path, Q], R]]:
    """The same without Streamlit, for thousands of small files: `read(place, …)` again once the place has changed."""

    def declared(read: Callable[..., R]) -> Callable[..., R]:
        known = functools.lru_cache(maxsize=most)(lambda place, stamp, *rest: read(place, *rest))
        return functools.wraps(read)(lambda place, *rest: known(place, stamp(place), *rest))

    return declared


@kept(16)
def folders(root: Path, index: str) -> tuple[Path, ...]:
    """The folders below a root that hold an index file, by name; drafts begin with a dot."""
    if not root.is_dir():
        return ()
    return tuple(p for p in sorted(root.iterdir()) if not p.name.startswith(".") and (p / index).is_file())


def datasets() -> dict[DataKey, Path]:
    """Key -> folder of every dataset; the demo first. An upload appears at once: renaming it in stamps its parent."""
    found = {DataKey(key): assets() / key for key in DEMOS if (assets() / key / DataKey.file).is_file()}
    for path in folders(workspace().data, DataKey.file):
        found.setdefault(DataKey(path.name), path)
    return found


def all_runs() -> dict[RunKey, Path]:
    """Id -> folder of every run on disk, the demo's first."""
    found: dict[RunKey, Path] = {}
    for root in run_roots():
        for path in folders(root, RunKey.file):
            found.setdefault(RunKey(path.name), path)
    return found

"""Where things lie, and the stamp that tells a cache whether they are still the same."""

import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.dataset import Dataset
from core.sample import Samples

if TYPE_CHECKING:
    pass

Data = Dataset | Samples


ROOT = Path(__file__).parents[2]


log = logging.getLogger("fusescope")


def workspace() -> Path:
    """Where users' datasets, runs and jobs are kept; `$FUSESCOPE_WORKSPACE`, else `workspace` beside the app."""
    return Path(os.environ.get("FUSESCOPE_WORKSPACE") or ROOT / "workspace")


def assets() -> Path:
    """Where the demo lies; `$FUSESCOPE_ASSETS` shows another one (tests do)."""
    return Path(os.environ.get("FUSESCOPE_ASSETS") or ROOT / "assets")


def datasets() -> dict[str, Path]:
    """Key -> folder of every dataset; the demo first. An upload appears at once: renaming it in stamps its parent."""
    found = {key: assets() / key for key in ("demo", "digits") if (assets() / key / "dataset.json").is_file()}
    for path in _folders(workspace() / "data", "dataset.json"):
        found.setdefault(path.name, path)
    return found


def _folders(root: Path, index: str) -> tuple[Path, ...]:
    """The folders below a root that hold an index file, by name; drafts begin with a dot."""
    return _listed(str(root), _stamp(root), index) if root.is_dir() else ()


@functools.lru_cache(maxsize=16)
def _listed(root: str, stamp: str, index: str) -> tuple[Path, ...]:
    return tuple(p for p in sorted(Path(root).iterdir()) if not p.name.startswith(".") and (p / index).is_file())


def all_runs() -> dict[str, Path]:
    """Id -> folder of every run on disk, the demo's first."""
    found: dict[str, Path] = {}
    for root in (assets() / "runs", workspace() / "runs"):
        for path in _folders(root, "run.json"):
            found.setdefault(path.name, path)
    return found


def _all_runs_stamp() -> str:
    """Changes with every run that comes or goes; a run itself never changes."""
    return " ".join(_stamp(root) for root in (assets() / "runs", workspace() / "runs") if root.is_dir())


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _stamps(name: str, key: str) -> tuple[str, str]:
    """What a run and a dataset look like on disk now: part of every key."""
    return _stamp(all_runs()[name] / "run.json"), _stamp(datasets()[key] / "dataset.json")

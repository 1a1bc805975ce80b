"""Files out: a draft beside the target, fsync, rename. Nobody ever sees half a file, a full disk keeps the old one."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.machine import lease

PREFIX = ".draft-"
OLD = "old-"  # marks the previous version while it is being replaced
MARK = r"[0-9a-f]{8}-\d+-\d+|\d+"  # of `lease`; a number alone was written by earlier versions
DRAFT = re.compile(rf"{re.escape(PREFIX)}({MARK})-(.+)", re.DOTALL)
SCRATCH = "fusescope-"
LEFT = re.compile(rf"{SCRATCH}(?:guard|upload)-(?:({MARK})-)?\w+")


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{PREFIX}{lease.mark()}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(target: Path, *, size: int = 0, overwrite: bool = False) -> Iterator[Path]:
    """A draft folder to fill; it becomes `target` when the block ends well, and vanishes when it does not.

    size    bytes that will be written, where known: a disk too full for them is refused before it starts
    Errors: `ValueError` when the target exists (unless `overwrite`) or the disk has less than `size` free,
    `OSError` when another writer was faster.
    """
    if os.path.lexists(target) and not overwrite:
        raise ValueError(f"{target.name!r} exists already; remove it or choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if size > free:
        raise ValueError(f"{target.name!r} needs {size:,} bytes, the disk has {free:,} free")
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{PREFIX}{lease.mark()}-"))
    try:
        os.chmod(draft, 0o755)
        yield draft
        for folder, _, files in os.walk(draft):
            for name in files:
                _sync(os.path.join(folder, name))
            sync_folder(Path(folder))
        if overwrite and os.path.lexists(target):
            old = draft.with_name(f"{PREFIX}{lease.mark()}-{OLD}{target.name}")
            os.rename(target, old)
            os.rename(draft, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(draft, target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def sweep(root: Path) -> list[str]:
    """Remove drafts below `root` whose writer is no longer alive; the names of what was removed.

    A version that was being replaced when its writer died goes back to its place.
    """
    removed = []
    for draft in sorted(root.glob(f"{PREFIX}*")) if root.is_dir() else []:
        told = DRAFT.fullmatch(draft.name)
        with contextlib.suppress(FileNotFoundError):  # another one sweeps, too
            if told is None or not lease.gone(told[1], draft):
                continue
            if told[2].startswith(OLD) and not os.path.lexists(root / told[2].removeprefix(OLD)):
                os.rename(draft, root / told[2].removeprefix(OLD))
                continue
            _remove(draft)
            removed.append(draft.name)
    return removed


@contextlib.contextmanager
def scratch(what: str) -> Iterator[Path]:
    """A folder for what is thrown away, outside the workspace; gone after the block."""
    place = scratch_folder(what)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def scratch_folder(what: str) -> Path:
    """A folder as `scratch` makes it, for who removes it himself."""
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{what}-{lease.mark()}-"))


def sweep_scratch() -> list[str]:
    """Remove folders of `scratch` whose processes were killed; the names of what was removed."""
    removed = []
    for place in sorted(Path(tempfile.gettempdir()).glob(f"{SCRATCH}*")):
        told = LEFT.fullmatch(place.name)
        with contextlib.suppress(OSError):  # others have folders there, too
            if told and place.lstat().st_uid == os.getuid() and lease.gone(told[1] or "", place):
                _remove(place)
                removed.append(place.name)
    return removed


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    _sync(folder)


def _sync(path: Path | str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Files out: a draft beside the target, fsync, rename. Nobody ever sees half a file, a full disk keeps the old one."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".draft-"
OLD = "old-"  # marks the previous version while it is being replaced


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{PREFIX}{os.getpid()}-")
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
    Errors: `ValueError` when the target exists (unless `overwrite`) or the disk has less than `size` free.
    """
    if os.path.lexists(target) and not overwrite:
        raise ValueError(f"{target.name!r} exists already; remove it or choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if size > free:
        raise ValueError(f"{target.name!r} needs {size:,} bytes, the disk has {free:,} free")
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        os.chmod(draft, 0o755)
        yield draft
        for folder, _, files in os.walk(draft):
            for name in files:
                _sync(os.path.join(folder, name))
            sync_folder(Path(folder))
        if os.path.lexists(target):
            old = draft.with_name(f"{PREFIX}{os.getpid()}-{OLD}{target.name}")
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
        writer, _, rest = draft.name.removeprefix(PREFIX).partition("-")
        if writer.isdigit() and not alive(int(writer)):
            if rest.startswith(OLD) and not os.path.lexists(root / rest.removeprefix(OLD)):
                os.rename(draft, root / rest.removeprefix(OLD))
                continue
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)
            removed.append(draft.name)
    return removed


def alive(process: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"


def sync_folder(folder: Path) -> None:
    _sync(folder)


def _sync(path: Path | str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Names and paths that came from a file: how they are shown, and which are refused.

Runs inside the guarded child too, so it needs nothing but the standard library.
"""

import difflib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import TypeVar

Name = TypeVar("Name", bound=str)  # of a run, dataset …: whoever keeps names of a kind of their own gets these back

# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Zl/Zp line separators
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class RefusedError(ValueError):
    """A file, name or number that is not let in; the text is for the user and holds no path of this machine."""


def shown(text: object, limit: int = 80) -> str:
    r"""A hostile name as one short line: unseen characters escaped, the rest cut.

    >>> shown("a\nb\u202ec")
    'a\\nb\\u202ec'
    >>> shown("x" * 100, limit=5)
    'xxxxx…'
    """
    cut = str(text)[: limit + 1]
    if cut.isprintable():  # then none of its characters is unseen
        return cut if len(cut) <= limit else cut[:limit] + "…"
    line = "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c for c in cut[:limit])
    return line + ("…" if len(cut) > limit else "")


def nearest(word: object, known: Sequence[str]) -> str:
    """What might have been meant, and what there is, as the end of a sentence that refuses a word.

    >>> nearest("srted", ["row", "sorted"])
    "; did you mean 'sorted'? There are row, sorted"
    >>> nearest("x", ["row", "sorted"])
    '; there are row, sorted'
    """
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word)[:80].lower(), lower, 1)
    meant = f"; did you mean {lower[close[0]]!r}? There are " if close else "; there are "
    return meant + ", ".join(known)


def told_apart(titles: Mapping[Name, str]) -> dict[Name, str]:
    """Id -> title, in which those that would be called alike get the end of their id.

    >>> told_apart({"lmf-0a1b2c": "LMF", "lmf-3d4e5f": "LMF", "sum-0a1b2c": "Sum"})
    {'lmf-0a1b2c': 'LMF · 0a1b2c', 'lmf-3d4e5f': 'LMF · 3d4e5f', 'sum-0a1b2c': 'Sum'}
    """
    count = Counter(titles.values())
    return {id_: f"{title} · {id_[-6:]}" if count[title] > 1 else title for id_, title in titles.items()}


def check_name(name: object, what: str) -> str:
    """A clip, modality or split name that may also name a file; returned unchanged.

    Errors: `RefusedError` for an empty or overlong name, path separators, and characters that cannot be seen.
    """
    if not isinstance(name, str) or not name.strip():
        raise RefusedError(f"a {what} has no name")
    if len(name.encode("utf-8", "surrogatepass")) > 200:
        raise RefusedError(
            f"the {what} name '{shown(name, 40)}' has {len(name)} characters; at most 200 bytes are taken"
        )
    hidden = [c for c in name if unicodedata.category(c) in UNSEEN]
    if hidden:
        raise RefusedError(f"the {what} name '{shown(name, 40)}' holds control or invisible characters; rename it")
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise RefusedError(f"the {what} name '{shown(name, 40)}' is a path; a name without / and \\ is needed")
    return name


def clip_name(relative: str) -> str:
    """The name of a clip that lies at this place below the root.

    >>> clip_name("test/01")
    'test-01'
    """
    return check_name("-".join(part for part in PurePosixPath(relative).parts if part not in {".", "/"}), "clip")


class Root:
    """A folder that many files are looked up below, one after another: each folder's real place is found once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.real = os.path.realpath(path)
        self.folders: dict[str, str] = {}

    def place(self, relative: str) -> str:
        """Where `relative` really is, links followed."""
        folder, _, name = relative.rpartition("/")
        if folder not in self.folders:
            self.folders[folder] = os.path.realpath(os.path.join(self.real, folder))
        found = os.path.join(self.folders[folder], name)
        return os.path.realpath(found) if name in ("", ".") or os.path.islink(found) else found


def inside(root: Path | Root, relative: str, what: str = "path") -> Path:
    """The file at `relative` below `root`, which it never leaves: not by .., not absolute, not by a link.

    Errors: `RefusedError` that shows the path as it was written, never the root.
    """
    line = shown(relative, 120)
    if not relative or len(relative) > 4096:
        raise RefusedError(f"{what} '{line}' has {len(relative)} characters; 1 to 4096 are taken")
    if not relative.isprintable() and any(unicodedata.category(c) in UNSEEN for c in relative):
        raise RefusedError(f"{what} '{line}' holds control or invisible characters")
    if "://" in relative or relative.startswith("file:"):
        raise RefusedError(f"{what} '{line}' is an address; only files below the dataset's folder are read")
    if relative.startswith(("/", "\\", "~")) or relative[1:2] == ":":
        raise RefusedError(f"{what} '{line}' is absolute; write it relative to the dataset's folder")
    if ".." in relative.replace("\\", "/").split("/"):
        raise RefusedError(f"{what} '{line}' leaves the dataset's folder by '..'")
    top = root if isinstance(root, Root) else Root(root)
    real = top.place(relative)
    if real != top.real and not real.startswith(top.real.rstrip("/") + "/"):
        raise RefusedError(f"{what} '{line}' is a link that leaves the dataset's folder")
    return Path(real)


def opened(path: str | os.PathLike[str], cap: int, what: str) -> tuple[BufferedReader, int]:
    """A regular file opened for reading, and its size in bytes; never a link, a pipe or a device.

    Errors: `RefusedError` when there is no such file, it is empty, larger than `cap`, or not a plain file.
    """
    try:
        # without O_NONBLOCK a named pipe holds the reader for ever
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RefusedError(f"{what}: there is no such file") from None
    except OSError as error:
        reason = "is a link, which is not followed" if error.errno == 40 else f"cannot be opened ({error.strerror})"
        raise RefusedError(f"{what} {reason}") from None
    found = os.fstat(handle)
    problem = None
    if not stat.S_ISREG(found.st_mode):
        problem = f"{what} is not a regular file"
    elif found.st_size == 0:
        problem = f"{what} is empty (0 bytes)"
    elif found.st_size > cap:
        problem = f"{what} has {found.st_size:,} bytes; at most {cap:,} are read"
    if problem:
        os.close(handle)
        raise RefusedError(problem)
    return os.fdopen(handle, "rb"), found.st_size

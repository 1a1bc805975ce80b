"""Foreign files are read by a disposable child with hard limits; this process only opens what that child wrote.

    >>> guard.read("npz", path)              # doctest: +SKIP
    {'vision': array(...), 'text': array(...)}

A hostile file can crash, stall or bloat the child; here it becomes a `RefusedError` whose text says what is wrong with
the file, in numbers, without a path of this machine.
"""

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from core.data import tensors
from core.data.guarded import ONLY as ONLY
from core.machine import drafts, process
from core.machine.names import RefusedError, opened, shown

log = logging.getLogger(__name__)

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")  # video endings of every reader, page and upload
KINDS = {
    **{".npy": "npy", ".npz": "npz", ".pt": "pt", ".pth": "pt", ".ckpt": "pt", ".safetensors": "safetensors"},
    **{".h5": "h5", ".hdf5": "h5", ".pkl": "pickle", ".pickle": "pickle"},
    **dict.fromkeys(VIDEOS, "video"),
}
CHILD = Path(__file__).parent / "guarded" / "child.py"
PACKAGE = Path(__file__).parents[2]  # where the child finds it
ANSWER = 16 << 20


@dataclass(frozen=True)
class Caps:
    """What one file may cost. Bytes, except `cpu` and `wall` in seconds.

    bytes     size of the file, and of what it unpacks to
    memory    private memory of the child
    address   address space of the child; the torch libraries alone map several GB
    file      size of what the child writes
    """

    bytes: int = 2 << 30
    memory: int = 6 << 30
    address: int = 24 << 30
    file: int = 3 << 30
    cpu: int = 60
    wall: int = 120


CAPS = Caps()


@dataclass(frozen=True)
class Contents:
    """What was in one file: its arrays by name, and facts about them and about the file."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


def kind_of(path: Path) -> str:
    """Which reader a file needs; a checkpoint named .pkl but saved by torch.save (a zip) counts as one.

    Errors: `RefusedError` for a suffix nobody reads.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(KINDS)
        raise RefusedError(f"file '{shown(path.name)}' has none of the endings that are read: {known}")
    if kind == "pickle":
        stream, _ = opened(path, CAPS.bytes, f"file '{shown(path.name)}'")
        with stream:
            kind = "pt" if stream.read(4) == b"PK\x03\x04" else "pickle"
    return kind


def read(kind: str, path: Path, *, what: str | None = None, pickles: bool = False, caps: Caps = CAPS) -> dict[str, Any]:
    """The arrays of one foreign file by name, from a child of its own.

    kind      "npy" (its one array is called "array"), "npz", "pt", "h5", "safetensors" or "pickle"
    what      how messages call the file; its name when not given
    pickles   read a restricted pickle: arrays and builtin containers, nothing else; off unless the user asked
    Errors: `RefusedError`, always.
    """
    with Reader(caps, pickles=pickles) as reader:
        return dict(reader.read(kind, path, what).arrays)


def video(path: Path, *, what: str | None = None, caps: Caps = CAPS) -> Mapping[str, Any]:
    """Facts about a video, found by decoding it: frames, seconds, fps, sizes, variable, damaged, codec, format."""
    with Reader(caps) as reader:
        return reader.read("video", path, what).facts


def listed(path: Path, what: str) -> list[tuple[int, str, str]]:
    """The lines of a list that is saved as a table, without empty ones: number, first cell, second cell or ""."""
    with Reader() as reader:
        rows = reader.read("list", path, what, keep=False).facts["rows"]
    return [(number, str(row[0]), str(row[1])) for number, row in enumerate(rows, 1) if row]


class Reader:
    """A child process that reads one file after another, replaced whenever it breaks."""

    def __init__(self, caps: Caps = CAPS, *, pickles: bool = False) -> None:
        self.caps = caps
        self.pickles = pickles
        self.started = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._home = drafts.scratch_folder("guard")

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its folder."""
        self._stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def read(
        self, kind: str, path: Path, what: str | None = None, *, keep: bool = True, **how: float | int
    ) -> Contents:
        """Arrays and facts of one file; of the arrays only facts, unless they are to be kept.

        kind    as in `read`, or "table", "list", "truth", "mat", "video" or "still" (core/data/guarded)
        how     what the reader of this kind is to be told beside the file
        Errors: `RefusedError`.
        """
        what = what or f"file '{shown(path.name)}'"
        if kind == "pickle" and not self.pickles:
            raise RefusedError(
                f"{what} is a pickle, which can run code when opened and is not read unless asked for; "
                "save it as .npz or .safetensors"
            )
        out = self._home / "out.safetensors"
        job = {"kind": kind, "path": os.path.abspath(path), "what": what, "out": str(out) if keep else "", "how": how}
        facts = self._ask(job)
        arrays: dict[str, np.ndarray] = {}
        if keep:
            stream, size = opened(out, self.caps.file, "what the reader wrote")
            with stream:
                arrays = tensors.read(stream, size, "what the reader wrote", self.caps.file)
            out.unlink()
        return Contents(arrays, facts)

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            line = self._line(child)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self._stop()
            raise RefusedError(f"{job['what']} took more than {self.caps.wall:g} s to read and was given up") from None
        try:
            found = json.loads(line)
            if "facts" in found:
                return dict(found["facts"])
            if "detail" in found:
                log.info("refused %s: %s", job["what"], shown(found["detail"]))
            why = str(found["why"])
        except (ValueError, KeyError, TypeError):
            why = self._why_dead(job["what"])
        raise RefusedError(why)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._stop()
            self.started += 1
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(CHILD), str(PACKAGE), json.dumps(asdict(self.caps))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._home,
                env=_bare_environment(self._home),
                start_new_session=True,
            )
        return self._child

    def _line(self, child: subprocess.Popen[bytes]) -> bytes:
        """The child's next line; empty when it died, `TimeoutError` when it takes too long or talks too much."""
        assert child.stdout is not None
        handle = child.stdout.fileno()
        end = time.monotonic() + self.caps.wall
        line = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(handle, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = end - time.monotonic()
                if left <= 0 or len(line) > ANSWER or not waiting.select(left):
                    raise TimeoutError
                part = os.read(handle, 1 << 16)
                if not part:
                    return b""
                line += part
        return line

    def _why_dead(self, what: str) -> str:
        child = self._child
        self._stop()
        code = child.returncode if child is not None else None
        if code == -signal.SIGXCPU:
            return f"{what} took more than {self.caps.cpu} s of processor time to read and was given up"
        if code == -signal.SIGXFSZ:
            return f"{what} unpacks to more than {self.caps.file:,} bytes"
        name = signal.Signals(-code).name if code is not None and code < 0 else f"exit {code}"
        return f"{what} is damaged: it broke the process that read it ({name})"

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            child.wait(0.2)  # its input has ended; an idle child leaves by itself
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _bare_environment(home: Path) -> dict[str, str]:
    """What the child may know: no tokens, no proxies, no home, one thread, no plugins that a file could name."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HDF5_PLUGIN_PATH": "::",
        "HDF5_USE_FILE_LOCKING": "FALSE",
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(process.PIXELS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

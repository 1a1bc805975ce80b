"""The workspace: the one place that knows the names of its folders, and what is done with what lies in them.

What was thrown away can be put back, byte for byte, for a week (`KEPT`), as long as no more than `MOST_KEPT` things and
no more than `BYTES_KEPT` bytes were thrown away after it; what is past that goes for good at the next start or throw.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.data import guard
from core.machine import drafts
from core.machine.names import RefusedError, inside, shown

KEPT = 7 * 24 * 3600  # seconds
MOST_KEPT = 50
BYTES_KEPT = 4 << 30
DOWNLOAD = 512 << 20
KINDS = ("data", "runs", "sweeps")
TICKET = re.compile(rf"[0-9a-f]+-({'|'.join(KINDS)})-([^/]+)", re.DOTALL)
FEATURES = (".npy", ".zip", ".list", ".txt", ".csv", ".json")
SAMPLES = (".csv", ".tsv", ".mat", ".h5", ".hdf5", ".pkl", ".pickle", ".list", ".zip", ".json")


def file_name(name: str, suffix: str = "") -> str:
    """A name of ours made from a stranger's: letters, digits, dots and dashes, at most 60.

    >>> file_name("../../My clip (1).mp4")
    'My-clip-1-.mp4'
    """
    last = re.sub(r"[^\w.]+", "-", name.replace("\\", "/").rsplit("/", 1)[-1]).strip("-._")
    return (last[-60:].lstrip("-._") or "upload") + suffix


def file_suffix(name: str) -> str:
    """The ending of a stranger's file name, in small letters.

    >>> file_suffix("Walk.MP4")
    '.mp4'
    """
    return Path(file_name(name)).suffix.lower()


def free_name(root: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3` … when something called that lies below root already.

    Errors: `ValueError` when nothing is left of the name.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-._")[:60]
    if not plain:
        raise ValueError(f"'{shown(name, 40)}' cannot be the name of a folder; use letters and digits")
    number, found = 1, plain
    while os.path.lexists(root / found):
        number += 1
        found = f"{plain}-{number}"
    return found


@contextlib.contextmanager
def unpacked(files: Sequence[Path]) -> Iterator[Path]:
    """A folder with these files, archives opened by the guarded child; gone again after the block.

    Videos in an archive are left out: those come in through extraction alone.
    Errors: `RefusedError` for an archive with a name that leads out of it, a bomb, a damaged one.
    """
    with drafts.scratch("upload") as place:
        folder = place / "upload"
        folder.mkdir()
        for file in files:
            if file.suffix.lower() != ".zip":
                shutil.copyfile(file, folder / file.name)
                continue
            for relative, content in guard.read("zip", file).items():
                member = inside(folder, relative, "member")
                member.parent.mkdir(parents=True, exist_ok=True)
                if member.exists():
                    raise RefusedError(f"'{shown(relative)}' is there twice")
                member.write_bytes(content.tobytes())
        inner = list(folder.iterdir())
        only = len(inner) == 1 and inner[0].is_dir()
        yield inner[0] if only else folder


class _Folder:
    """A folder below the root, as an attribute of its workspace."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __get__(self, workspace: "Workspace", kind: type["Workspace"]) -> Path:
        return workspace.root.joinpath(*self.names)


@dataclass(frozen=True)
class Workspace:
    """Where users' datasets, runs, sweeps and jobs are kept.

    >>> Workspace(Path("workspace")).runs.as_posix()
    'workspace/runs'
    """

    root: Path
    data = _Folder("data")  # <name>: datasets
    runs = _Folder("runs")  # <id>: runs
    sweeps = _Folder("sweeps")  # <id>: sweeps, their runs inside
    jobs = _Folder("jobs")  # <id>: jobs, those that wait and those that have ended
    uploads = _Folder("uploads")  # <id>: files as they came, until their job has read them
    trash = _Folder(".trash")  # <stamp>-<data|runs|sweeps>-<name>: thrown away
    index = _Folder("index")  # what one whole reading of a large dataset found out
    scores = _Folder("scores")  # of large datasets
    whole = _Folder("whole")  # long clips as one window
    compiled = _Folder("cache", "numba")  # code

    @staticmethod
    def here() -> "Workspace":
        """`$FUSESCOPE_WORKSPACE`, else `workspace` in the folder one works in."""
        return Workspace(Path(os.environ.get("FUSESCOPE_WORKSPACE") or "workspace"))

    def allowed(self, path: str, roots: Sequence[Path]) -> Path:
        """A folder on this machine, once it lies below one of the roots that may be read, and apart from here.

        Here lies what others uploaded.

        Errors: `ValueError` otherwise; the message says nothing about what lies outside.
        """
        if not path.strip() or "\0" in path:
            raise ValueError("give the path of a folder on the machine that runs FuseScope")
        real, own = Path(os.path.realpath(path)), Path(os.path.realpath(self.root))
        for root in roots:
            top = Path(os.path.realpath(root))
            if real == top or top in real.parents:
                if own in (real, *real.parents) or real in own.parents:
                    raise ValueError(
                        f"'{shown(path, 120)}' is the workspace or holds it; what lies there is here already"
                    )
                if not os.path.exists(real):
                    raise ValueError(f"'{shown(path, 120)}': there is no such file or folder")
                return real
        raise ValueError(
            f"'{shown(path, 120)}' lies outside the folders that may be read; "
            "whoever started the server opens more by setting FUSESCOPE_DATA"
        )

    def keep_upload(self, files: Sequence[tuple[str, bytes]]) -> list[Path]:
        """Uploaded files on disk, in a folder of their own, named by us. Errors: `ValueError` when it is full."""
        size = sum(len(content) for _, content in files)
        folder = self.uploads / secrets.token_hex(8)
        folder.mkdir(parents=True)
        free = shutil.disk_usage(folder).free
        if 2 * size > free:
            raise ValueError(f"the upload has {size:,} bytes and needs twice that; the disk has {free:,} free")
        places = []
        for name, content in files:
            place = folder / file_name(name)
            if place.exists():
                raise ValueError(f"two files are called '{shown(place.name)}'")
            place.write_bytes(content)
            places.append(place)
        return places

    def holds(self, kind: str, name: str) -> bool:
        """Whether a dataset ("data"), run ("runs") or sweep ("sweeps") of this name lies here; assets do not."""
        return kind in KINDS and "/" not in name and name not in ("", ".", "..") and (self.root / kind / name).is_dir()

    def throw_away(self, kind: str, name: str) -> str:
        """Move what it `holds` to the trash; the ticket that puts it back.

        Errors: `ValueError` when there is none of that name.
        """
        if not self.holds(kind, name):
            raise ValueError(f"'{shown(name)}' is not in the workspace; only what was added there can be removed")
        ticket = f"{time.time_ns():x}-{kind}-{name}"
        self.trash.mkdir(exist_ok=True)
        os.rename(self.root / kind / name, self.trash / ticket)
        self.empty()
        return ticket

    def empty(self) -> None:
        """Let go for good of what has lain in the trash too long or below too much; what was thrown last stays."""
        size = 0
        for number, (ticket, _, _) in enumerate(self.thrown()):
            place = self.trash / ticket
            size += size_of(place)
            old = time.time() - place.stat().st_ctime > KEPT
            if old or number and (number >= MOST_KEPT or size > BYTES_KEPT):
                shutil.rmtree(place, ignore_errors=True)

    def put_back(self, ticket: str) -> str:
        """Undo `throw_away`; the name it has again. Errors: `ValueError` when that is gone or its place taken."""
        match = TICKET.fullmatch(ticket)
        place = self.trash / ticket
        if match is None or not place.is_dir():
            raise ValueError("it is no longer in the trash")
        kind, name = match[1], match[2]
        target = self.root / kind / name
        if os.path.lexists(target):
            raise ValueError(f"something else is called '{shown(name)}' by now")
        os.rename(place, target)
        return name

    def thrown(self) -> list[tuple[str, str, str]]:
        """(ticket, "data", "runs" or "sweeps", name) of what can be put back, newest first."""
        found = [(place.name, TICKET.fullmatch(place.name)) for place in sorted(_inside(self.trash), reverse=True)]
        return [(ticket, match[1], match[2]) for ticket, match in found if match is not None]

    def sweep(self) -> None:
        """At start: what dead writers and readers left, and what lay about for a week: trash, uploads, extractions.

        Nobody removes anything at that moment, so the trash is emptied by all of its rules.
        """
        self.empty()
        drafts.sweep_scratch()
        for folder in (self.data, self.runs, self.jobs, *_inside(self.jobs)):
            drafts.sweep(folder)
        old = [*_inside(self.trash), *_inside(self.uploads)]
        old += [place for place in _inside(self.data) if place.name.startswith(".draft-extract-")]
        for place in old:
            with contextlib.suppress(OSError):
                if time.time() - place.stat().st_ctime > KEPT:
                    shutil.rmtree(place, ignore_errors=True)


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed."""
    total = 0
    for below, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(below, name)).st_size
    return total


def packed(folder: Path) -> bytes:
    """The folder as a zip archive. Errors: `ValueError` above 512 MB: who needs that copies the folder."""
    size = size_of(folder)
    if size > DOWNLOAD:
        raise ValueError(f"'{shown(folder.name)}' has {size:,} bytes; up to {DOWNLOAD:,} are packed for download")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for below, inner, files in os.walk(folder):
            inner.sort()
            for name in sorted(files):
                place = Path(below) / name
                if not place.is_symlink():
                    archive.write(place, Path(folder.name) / place.relative_to(folder))
    return stream.getvalue()


def adopt_released(file: Path, modalities: tuple[str, str], root: Path) -> str:
    """A state dict of the released LEGO code as a run below `root`; the run's id.

    Errors: `ValueError` with the table of missing, unexpected and mismatched tensors.
    """
    import torch

    from core import run as runs
    from core.fusion import released

    arrays = guard.read(guard.kind_of(file), file)
    state = {key.removeprefix("state_dict."): torch.from_numpy(array.copy()) for key, array in arrays.items()}
    model = released.lego(state, modalities)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    widths = {name: int(width) for name, width in model.widths.items()}
    run = runs.Run(
        fusion="lego",
        config=asdict(model.config),
        training={"imported": file.name},
        source=runs.Source(name=f"imported from {file.name}", digest=digest, protocol="unknown", widths=widths),
        seed=0,
        weights=sum(p.numel() for p in model.parameters()),
        note=f"weights of the released LEGO code, imported from {file.name}; what it was trained on is not known",
    )
    return runs.save(run, model.state_dict(), [], root).name

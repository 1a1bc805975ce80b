"""Score any number of clips: streamed from a folder or a URL, part by part, into parquet; memory stays flat.

    OUT/plan.json            what is scored, with what
    OUT/part-00000.parquet   clip, unit, seconds, score, truth: one row a unit, `PART` clips a file

A part appears whole or not at all, so who runs the same command again goes on where the last one stopped, and whoever
reads the folder (pandas, DuckDB, Spark) sees only finished parts. The clips come from a dataset folder of ours (see
`core.data.native`), here or behind any address that fsspec opens (s3://, gs://, https://, zip://): a few files of it at
a time, each through the same checks as a folder on this disk.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core import run as runs
from core.clip import Clip
from core.data import check, fields, native
from core.fusion.base import Fusion
from core.machine import drafts, pool
from core.machine.names import RefusedError, shown
from core.score.infer import fits, score

PART = 64  # clips of a file: 64 of 100 units and 3,000 numbers each are 77 MB while they are scored
SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("unit", pa.int32()),
        ("seconds", pa.float64()),  # where the unit begins
        ("score", pa.float32()),
        ("truth", pa.bool_()),  # null where nobody knows
    ]
)


@dataclass(frozen=True)
class Done:
    """Where bulk scoring stands; `units` counts the parts made by this call."""

    parts: int
    of: int
    clips: int
    units: int


def source_of(address: str) -> tuple[Any, str]:
    """(file system, folder) behind an address; a `ValueError` where fsspec knows no such kind of address."""
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError, OSError) as error:
        raise ValueError(f"{shown(address, 200)!r} cannot be opened: {shown(error, 200)}") from None
    return system, str(path).rstrip("/")


@contextmanager
def fetched(address: str, relatives: Sequence[str]) -> Iterator[Path]:
    """A folder on this disk with these files of the dataset at `address`; a copy only where they lie elsewhere."""
    system, path = source_of(address)
    if "file" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="fusescope-bulk-") as place:
        for relative in relatives:
            target = Path(place, relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            most = fields.LARGEST_INDEX if relative == "dataset.json" else fields.LARGEST_FEATURE
            try:
                size = system.info(f"{path}/{relative}")["size"]
                if size is None or size > most:
                    raise RefusedError(f"file '{shown(relative)}' holds {size} bytes; up to {most:,} are read")
                system.get_file(f"{path}/{relative}", str(target))
            except (OSError, KeyError) as error:
                told = f"file '{shown(relative)}' of {shown(address, 120)!r} cannot be read: {shown(error, 120)}"
                raise ValueError(told) from None
        yield Path(place)


def index_of(address: str) -> dict[str, Any]:
    """dataset.json at the address, checked; a `ValueError` for anything but a dataset of clips of ours."""
    with fetched(address, ["dataset.json"]) as folder:
        if not (folder / "dataset.json").is_file() or check.stated_format(folder) != native.FORMAT:
            raise ValueError(
                f"{shown(address, 80)!r} is no dataset of clips of ours: `python -m core extract` makes one of "
                "videos, the page Data & models one of feature files"
            )
        return native.load_index(folder)


def clips_of(address: str, index: Mapping[str, Any], names: Sequence[str]) -> Iterator[Clip]:
    """The named clips, one after another; their videos are left where they are."""
    for name in names:
        entry = {**index["clips"][name], "video": None}
        with fetched(address, [f"features/{modality}/{name}.npy" for modality in index["modalities"]]) as folder:
            yield native.read_clip(folder, index, name, entry)[0]


def score_part(names: Sequence[str], address: str, index: Mapping[str, Any], model: Fusion) -> pa.Table:
    """One part's table; runs wherever `core.machine.pool` puts it."""
    clips = list(clips_of(address, index, names))
    found = score(model, clips)
    known = [clip.labels is not None for clip in clips]
    truth = [[None] * c.units if c.labels is None else c.labels.tolist() for c in clips] if any(known) else None
    units = [clip.units for clip in clips]
    total = sum(units)
    columns = {
        "clip": pa.array([clip.name for clip in clips for _ in range(clip.units)], pa.string()),
        "unit": np.concatenate([np.arange(n, dtype=np.int32) for n in units]),
        "seconds": np.concatenate([np.arange(clip.units) * clip.seconds for clip in clips]),
        "score": np.concatenate([found[clip.name] for clip in clips]),
        "truth": pa.nulls(total, pa.bool_()) if truth is None else pa.array(sum(truth, []), pa.bool_()),
    }
    return pa.table(columns, schema=SCHEMA)


def bulk(
    run: Path,
    address: str,
    out: Path,
    clips: Sequence[str] | None = None,
    part: int = PART,
    cluster: str | None = None,
    workers: int = 1,
    device: Any = "cpu",
    progress: Callable[[Done], None] | None = None,
) -> Done:
    """Score every clip (or those named) of the dataset at `address` with a run, into parquet files below `out`.

    part      clips of one file
    cluster   address of a Ray cluster, see `core.machine.pool`; `workers`: processes of this machine instead
    device    of this process; workers elsewhere use the CPU

    Errors: `ValueError` naming file, clip, field and numbers; parts that were done before stay.
    """
    model, index = runs.model(run), index_of(address)
    names = list(index["clips"]) if clips is None else list(clips)
    unknown = [name for name in names if name not in index["clips"]]
    if unknown:
        raise ValueError(f"{shown(address, 120)!r} has no clip {shown(unknown[0])!r}")
    if not names:
        raise ValueError("no clip is asked for")
    fits(model, next(clips_of(address, index, names[:1])))  # what cannot be scored is told before the work
    chunks = [names[at : at + part] for at in range(0, len(names), part)]
    out.mkdir(parents=True, exist_ok=True)
    drafts.sweep(out)
    _agree(out, _plan(run, index, names, part))
    waiting = [number for number in range(len(chunks)) if not _place(out, number).is_file()]
    done = Done(len(chunks) - len(waiting), len(chunks), len(names) - sum(len(chunks[n]) for n in waiting), 0)
    if cluster is None and workers == 1:
        model = model.to(device)
    shared = (address, _slim(index, names), model)
    for number, table in pool.spread(score_part, [chunks[n] for n in waiting], cluster, workers, shared):
        which = waiting[number]
        stream = pa.BufferOutputStream()
        pq.write_table(table, stream, compression="zstd")
        drafts.write_file(_place(out, which), stream.getvalue().to_pybytes())
        done = Done(done.parts + 1, done.of, done.clips + len(chunks[which]), done.units + len(table))
        if progress is not None:
            progress(done)
    return done


def _place(out: Path, number: int) -> Path:
    return out / f"part-{number:05d}.parquet"


def _slim(index: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What workers need of the index: nothing of clips that are not asked for."""
    return {**index, "clips": {name: index["clips"][name] for name in names}, "splits": {}, "notes": []}


def _plan(run: Path, index: Mapping[str, Any], names: Sequence[str], part: int) -> dict[str, Any]:
    """What the parts depend on. The data by their names, truths and checksums."""
    told = json.dumps([index["name"], index["files"], [[n, index["clips"][n]] for n in names]], sort_keys=True)
    return {
        "run": runs.load(run).id,
        "weights": hashlib.sha256(runs.checked(run, "model.safetensors")).hexdigest(),
        "data": hashlib.sha256(told.encode()).hexdigest(),
        "part": part,
    }


def _agree(out: Path, plan: Mapping[str, Any]) -> None:
    """The folder's plan is this one, or there is none yet; a `ValueError` says what differs."""
    place = out / "plan.json"
    if place.is_file():
        try:
            before = json.loads(place.read_text())
        except ValueError:
            before = {}
        if before != dict(plan):
            other = [field for field in plan if not isinstance(before, dict) or before.get(field) != plan[field]]
            raise ValueError(
                f"{str(out)!r} holds scores of another {' and '.join(other)}; choose another folder, or remove this one"
            )
        return
    if any(out.glob("part-*.parquet")):
        raise ValueError(f"{str(out)!r} holds parquet parts without a plan.json; choose another folder")
    drafts.write_file(place, json.dumps(dict(plan), indent=1).encode())

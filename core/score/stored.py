"""Unit scores of a large set under a run, kept on disk: scored once, whoever looks and however often the app starts.

    FOLDER/<digest>.npz     scores of all clips one after another, and how many units each has

The name is a digest of all that the scores come from: the dataset's digest, the part, the run's record and weights as
they lie on disk, the code of the fusions and of `core.score.infer`, and torch. So what was changed is scored again.
"""

import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from core.clip import Clip
from core.data.index import stamp_of
from core.machine import drafts

VERSION = 1
KEPT = 64  # newest files that stay


@functools.cache
def code() -> str:
    """A digest of the code that scores."""
    here = Path(__file__).parent
    total = hashlib.sha256(f"{VERSION} {torch.__version__}".encode())
    for file in (here / "infer.py", *sorted((here.parent / "fusion").glob("*.py"))):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def place_of(folder: Path, run: Path, data: str, part: str) -> Path:
    """Where the scores of a run's folder on a part of the dataset with this digest are kept."""
    stamps = [stamp_of(run / file) for file in ("run.json", "model.safetensors")]
    told = json.dumps([code(), run.name, stamps, data, part])
    return folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npz"


def names_of(clips: Sequence[Clip]) -> str:
    return hashlib.sha256(json.dumps([clip.name for clip in clips]).encode()).hexdigest()


def save(found: Mapping[str, np.ndarray], clips: Sequence[Clip], place: Path) -> None:
    """Whole or not at all; only the newest `KEPT` files of the folder stay."""
    place.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    np.savez(
        out,
        scores=np.concatenate([found[clip.name] for clip in clips]),
        units=np.array([clip.units for clip in clips], np.int64),
        names=np.array(names_of(clips)),
    )
    drafts.sweep(place.parent)  # what a killed process left
    drafts.write_file(place, out.getvalue())
    for old in sorted(place.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)


def load(place: Path, clips: Sequence[Clip]) -> dict[str, np.ndarray] | None:
    """Clip name -> unit scores, read-only; None where none are kept, or they are not those of these clips."""
    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as file:
            scores, units, names = file["scores"], file["units"], str(file["names"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = names == names_of(clips) and units.tolist() == [clip.units for clip in clips]
    if not fits or scores.shape != (units.sum(),) or scores.dtype != np.float32:
        return None
    scores.setflags(write=False)
    return dict(zip((clip.name for clip in clips), np.split(scores, np.cumsum(units)[:-1]), strict=True))

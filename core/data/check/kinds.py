"""Which of the known things a path is, told from names alone."""

import os
from pathlib import Path

from core.data import fields, guard, rtfm
from core.data.check.report import WORDS
from core.data.samples import foreign
from core.machine.names import RefusedError, opened, shown

SAMPLE_FORMATS = ("fusescope-samples", "fusescope-recipe")
SHORT = 4 << 20
PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
FEATURES = (".list", *(f"_{suffix}.npy" for suffix in rtfm.SUFFIXES), "__0.npy")  # endings that tell a feature folder


def kind(path: Path) -> str:
    """Which of the known things a path is; one of the keys of `WORDS`."""
    if not os.path.exists(path):
        return "missing"
    if path.is_file():
        suffix = path.suffix.lower()
        if foreign.looks_like(path):
            return "tables"
        return "video" if suffix in guard.VIDEOS else "arrays" if suffix in guard.KINDS else "unknown"
    if not path.is_dir():
        return "unknown"
    if os.path.lexists(path / "dataset.json"):
        return "samples" if stated_format(path) in SAMPLE_FORMATS else "native"
    if os.path.lexists(path / "run.json"):
        return "run"
    return _below(path) or ("tables" if foreign.looks_like(path) else "unknown")


def _below(path: Path) -> str:
    """ "footage" or "features" by the names below a folder, hidden ones left out; "" for neither."""
    names: list[str] = []
    folders: list[str] = []
    for _, inner, files in os.walk(path):
        inner[:] = [folder for folder in inner if not folder.startswith(".")]
        folders += inner
        names += [name for name in files if not name.startswith(".")]
    pictures = any(name.lower().endswith((*PICTURES, *guard.VIDEOS)) for name in names)
    arrays = any(name.endswith(".npy") and not rtfm.is_truth(name) for name in names)
    if pictures and arrays:  # frame folders may keep their truth as .npy, feature folders their videos
        masks = any("mask" in folder.lower() or folder.lower().endswith("_gt") for folder in folders)
        return "footage" if masks or not any(name.endswith(FEATURES) for name in names) else "features"
    return "footage" if pictures else "features" if arrays else ""


def stated_format(path: Path) -> str:
    """The format that a folder's dataset.json gives itself, "" where it cannot be told."""
    content = b""
    try:
        stream, size = opened(path / "dataset.json", fields.LARGEST_INDEX, "dataset.json")
        with stream:
            # an index of samples is short, and one of many clips need not be read twice to be told from it
            content = stream.read(min(size, SHORT))
        told = fields.parsed(content, "dataset.json")
        return str(told.get("format", "")) if isinstance(told, dict) else ""
    except RefusedError:
        return next((form for form in SAMPLE_FORMATS if f'"{form}"'.encode() in content[:200]), "")


def instead(path: Path, what: str) -> str:
    """Why a path is no dataset to train or score, and what to do."""
    name = shown(path.name or str(path))
    if what == "missing":
        return f"'{name}': there is no such file or folder"
    if what in ("footage", "video"):
        return (
            f"'{name}' holds {WORDS['footage'] if what == 'footage' else 'a video'}; "
            f"extract it first: python -m core extract {name} OUT"
        )
    if what == "run":
        return f"'{name}' is a run, not a dataset; give it as the run and a dataset beside it"
    if what == "arrays":
        return f"'{name}' is a single file of arrays; a folder of feature files is needed, one file a clip and modality"
    return f"'{name}' holds no dataset.json, no feature files (.npy), no tables of samples, no videos and no frames"

"""What is loaded: datasets, their clips, samples and parts, and what is wrong with them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app.figures.facts import dataset_facts, sample_facts
from app.store.keys import Data, _stamp, datasets, log, workspace
from app.store.work import Work, _answer_of
from core.clip import Clip
from core.data import index as native_index
from core.data.check import Report, check
from core.data.reading import about
from core.dataset import Dataset
from core.extract import captions as sentences
from core.measure.thresholds import Kinds, kinds_of
from core.measure.thresholds import hours as hours_of
from core.sample import Part, Samples
from core.workspace import size_of

if TYPE_CHECKING:
    from app.state.selection import Selection


def data(key: str) -> Data:
    """The data of this key, clips or samples; a `ValueError` says what is wrong with its folder."""
    folder = datasets().get(key)
    if folder is None:
        raise ValueError(f"there is no dataset {key!r} any more; choose another one")
    return _dataset(str(folder), _stamp(folder / "dataset.json"))


@st.cache_resource(max_entries=16, show_spinner="Reading the dataset")
def _dataset(folder: str, stamp: str) -> Data:
    if native_index.maybe_large(Path(folder)):
        found: Data = _answer_of(_opening, folder, stamp)
        return found
    return native_index.read(Path(folder), workspace() / "index")


@st.cache_resource(max_entries=16, show_spinner=False)
def _opening(folder: str, stamp: str) -> Work:
    place = workspace() / "index"
    return Work(lambda tell: native_index.read(Path(folder), place, tell=tell))


def dataset(key: str) -> Dataset:
    """The dataset of clips of this key; a `ValueError` for samples."""
    found = data(key)
    if isinstance(found, Samples):
        raise ValueError(f"{found.name!r} holds samples, not clips; choose another dataset in the sidebar")
    return found


def samples(key: str) -> Samples | None:
    """The sample set of this key; None where it holds clips."""
    found = data(key)
    return found if isinstance(found, Samples) else None


def clips(key: str) -> tuple[Clip, ...]:
    """The clips that are looked at: the test part of the first split, or all when no split names one."""
    folder = datasets().get(key)
    return () if folder is None else _clips(str(folder), _stamp(folder / "dataset.json"), key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _clips(folder: str, stamp: str, key: str) -> tuple[Clip, ...]:
    found = data(key)
    if isinstance(found, Samples):
        return ()
    return found.shown()


def clip_names(key: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name of each of `clips(key)` -> its place; and the names in small letters, to be searched."""
    folder = datasets()[key]
    return _clip_names(str(folder), _stamp(folder / "dataset.json"), key)


@st.cache_resource(max_entries=32, show_spinner=False)
def _clip_names(folder: str, stamp: str, key: str) -> tuple[dict[str, int], tuple[str, ...]]:
    names = [found.name for found in clips(key)]
    return {name: place for place, name in enumerate(names)}, tuple(name.lower() for name in names)


def part(key: str, which: str = "test") -> Part:
    """Rows of a dataset: its samples, or every unit of its clips. `test` is what the pages look at."""
    return _part(str(datasets()[key]), _stamp(datasets()[key] / "dataset.json"), key, which)


@st.cache_resource(max_entries=32, show_spinner=False)
def _part(folder: str, stamp: str, key: str, which: str) -> Part:
    found = data(key)
    return (found.shown() if which == "test" else found.part(which)).flat()


@st.cache_resource(max_entries=16, show_spinner=False)
def _places_of_rows(folder: str, stamp: str, key: str) -> dict[tuple[str, int], int]:
    return {place: row for row, place in enumerate(part(key).places)}


def row(chosen: "Selection") -> int:
    """Index in `part(chosen.dataset)` of what is chosen: the sample, or the unit at the moment (else the first)."""
    if samples(chosen.dataset) is not None:
        return min(chosen.sample, len(part(chosen.dataset)) - 1)
    unit = chosen.unit(clip(chosen.dataset, chosen.clip)) or 0
    folder = datasets()[chosen.dataset]
    return _places_of_rows(str(folder), _stamp(folder / "dataset.json"), chosen.dataset)[chosen.clip, unit]


def link(key: str, row: int) -> dict[str, Any]:
    """What to `selection.put` so that a row of `part(key)` is the chosen one."""
    clip_name, place = part(key).places[row]
    if samples(key) is not None:
        return {"sample": row}
    return {"clip": clip_name, "time": round(place * clip(key, clip_name).seconds, 2)}


def large(key: str) -> bool:
    """True for clips whose features stay on disk: what reads them all is done in the background."""
    return data(key).on_disk


def clip(key: str, name: str) -> Clip:
    """One clip by name, of any part."""
    return dataset(key).clips[name]


@st.cache_data(max_entries=32, show_spinner=False)
def _digest(folder: str, stamp: str) -> str:
    found: Data = _dataset(folder, stamp)
    return found.digest()


def digest(key: str) -> str:
    """The dataset's fingerprint, which its runs carry."""
    folder = datasets()[key]
    return _digest(str(folder), _stamp(folder / "dataset.json"))


@st.cache_resource(max_entries=256, show_spinner=False)
def _index(folder: str, stamp: str) -> dict[str, Any] | None:
    try:
        return about(Path(folder))
    except ValueError as error:
        log.warning("dataset passed over: %s", error)
        return None


def index(key: str) -> dict[str, Any] | None:
    """What a dataset says about itself, without its features; None where that cannot be read."""
    folder = datasets()[key]
    return _index(str(folder), _stamp(folder / "dataset.json"))


def shelf() -> dict[str, dict[str, Any]]:
    """Key -> what the library's table shows of each dataset."""
    found = {}
    for key, folder in datasets().items():
        about = folder / "dataset.json"
        found[key] = {
            "index": index(key),
            "bytes": _size(str(folder), _stamp(about)),
            "when": about.stat().st_mtime,
            "own": folder.parent == workspace() / "data",
        }
    return found


@st.cache_data(max_entries=1024, show_spinner=False)
def _size(folder: str, stamp: str) -> int:
    return size_of(Path(folder))


@st.cache_resource(max_entries=64, show_spinner="Checking the dataset")
def _report(folder: str, stamp: str) -> Report:
    return check(Path(folder))


def report(key: str) -> Report:
    """Everything that is wrong with a dataset; of a large one it takes a while (`unfinished`)."""
    folder = datasets()[key]
    stamp = _stamp(folder / "dataset.json")
    if len((index(key) or {}).get("clips", ())) >= native_index.LARGE:
        found: Report = _answer_of(_checking, str(folder), stamp)
        return found
    return _report(str(folder), stamp)


@st.cache_resource(max_entries=16, show_spinner=False)
def _checking(folder: str, stamp: str) -> Work:
    return Work(lambda tell: check(Path(folder)))


@st.cache_data(max_entries=16, ttl=30, show_spinner="Looking at it")
def folder_report(folder: str, pickles: bool = False) -> Report:
    """The report of any folder that may be read, as it stood less than half a minute ago."""
    return check(Path(folder), pickles=pickles)


def roots() -> list[Path]:
    """Folders on this machine that a visitor may bring data in from: the workspace and `$FUSESCOPE_DATA`."""
    return [workspace(), *(Path(part) for part in os.environ.get("FUSESCOPE_DATA", "").split(os.pathsep) if part)]


@st.cache_resource(max_entries=32, show_spinner=False)
def _kinds(data_stamp: str, key: str) -> tuple[Kinds, float]:
    return kinds_of(clips(key)), hours_of(clips(key))


def kinds(key: str) -> Kinds:
    """The kind of anomaly of every unit of `clips(key)`."""
    return _kinds(_stamp(datasets()[key] / "dataset.json"), key)[0]


def hours(key: str) -> float:
    """Length of the labelled clips of `clips(key)`."""
    return _kinds(_stamp(datasets()[key] / "dataset.json"), key)[1]


@st.cache_resource(max_entries=64, show_spinner=False)
def _facts(data_stamp: str, key: str) -> dict[str, str]:
    found = samples(key)
    return dataset_facts(dataset(key), clips(key)) if found is None else sample_facts(found, part(key))


def facts(key: str) -> dict[str, str]:
    """The dataset in a handful of numbers. Shared by all users: read, never change."""
    return _facts(_stamp(datasets()[key] / "dataset.json"), key)


def captions(key: str, clip_name: str, unit: int) -> dict[str, str]:
    """Modality -> the sentence that describes this unit; empty where the dataset holds none."""
    found = clip(key, clip_name)
    frame = int((unit + 0.5) * found.frames_per_unit)
    return {
        modality: caption.text
        for modality, all_of_it in sentences(datasets()[key], clip_name).items()
        for caption in all_of_it
        if caption.start <= frame < caption.stop
    }


@st.cache_resource(max_entries=32, show_spinner=False)
def _unit_labels(data_stamp: str, key: str) -> np.ndarray | None:
    labels = [found.labels for found in clips(key)]
    if any(each is None for each in labels):
        return None
    made = np.concatenate([each.numpy() for each in labels if each is not None])
    made.setflags(write=False)
    return made


def unit_labels(key: str) -> np.ndarray | None:
    """Labels of every unit of `clips(key)`, one after another; None as soon as a clip has none."""
    return _unit_labels(_stamp(datasets()[key] / "dataset.json"), key)

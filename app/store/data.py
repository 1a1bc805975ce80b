"""What is loaded: datasets, their clips, samples and parts, and what is wrong with them."""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import streamlit as st

from app.figures.facts import dataset_facts, sample_facts
from app.store import keys
from app.store.keys import Data, DataKey, datasets, log, resource, workspace
from app.store.work import Work, answer_of
from core.clip import Clip
from core.data import index as native_index
from core.data.check import Report, check
from core.data.reading import about
from core.dataset import Dataset
from core.extract import said
from core.measure.thresholds import Kinds, kinds_of
from core.measure.thresholds import hours as hours_of
from core.sample import Part, Samples
from core.workspace import size_of


@resource(16, "Reading the dataset")
def data(key: DataKey) -> Data:
    """The data of this key, clips or samples; a `ValueError` says what is wrong with its folder."""
    if native_index.maybe_large(key.folder):
        found: Data = answer_of(opening, key)
        return found
    return native_index.read(key.folder, workspace().index)


@resource(16)
def opening(key: DataKey) -> Work:
    """A large dataset on its way."""
    folder, place = key.folder, workspace().index
    return Work(lambda tell: native_index.read(folder, place, tell=tell))


def dataset(key: DataKey) -> Dataset:
    """The dataset of clips of this key; a `ValueError` for samples."""
    found = data(key)
    if isinstance(found, Samples):
        raise ValueError(f"{found.name!r} holds samples, not clips; choose another dataset in the sidebar")
    return found


def samples(key: DataKey) -> Samples | None:
    """The sample set of this key; None where it holds clips."""
    found = data(key)
    return found if isinstance(found, Samples) else None


@resource(32)
def clips(key: DataKey) -> tuple[Clip, ...]:
    """The clips that are looked at: the test part of the first split, or all when no split names one."""
    return dataset(key).shown() if samples(key) is None else ()


@resource(32)
def clip_names(key: DataKey) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name of each of `clips(key)` -> its place; and the names in small letters, to be searched."""
    names = [found.name for found in clips(key)]
    return {name: place for place, name in enumerate(names)}, tuple(name.lower() for name in names)


@resource(32)
def part(key: DataKey) -> Part:
    """The rows that are looked at: samples, or every unit of `clips(key)`."""
    return data(key).shown().flat()


@resource(16)
def rows(key: DataKey) -> dict[tuple[str, int], int]:
    """(clip, unit) -> its row in `part(key)`."""
    return {place: row for row, place in enumerate(part(key).places)}


class Chosen(Protocol):
    """What `row` reads of a selection."""

    @property
    def dataset(self) -> DataKey: ...
    @property
    def clip(self) -> str: ...
    @property
    def sample(self) -> int: ...
    def unit(self, clip: Clip) -> int | None: ...


def row(chosen: Chosen) -> int:
    """Index in `part(chosen.dataset)` of what is chosen: the sample, or the unit at the moment (else the first)."""
    if samples(chosen.dataset) is not None:
        return min(chosen.sample, len(part(chosen.dataset)) - 1)
    unit = chosen.unit(clip(chosen.dataset, chosen.clip)) or 0
    return rows(chosen.dataset)[chosen.clip, unit]


def link(key: DataKey, row: int) -> dict[str, Any]:
    """What to `selection.put` so that a row of `part(key)` is the chosen one."""
    clip_name, place = part(key).places[row]
    if samples(key) is not None:
        return {"sample": row}
    return {"clip": clip_name, "time": round(place * clip(key, clip_name).seconds, 2)}


def large(key: DataKey) -> bool:
    """True for clips whose features stay on disk: what reads them all is done in the background."""
    return data(key).on_disk


def clip(key: DataKey, name: str) -> Clip:
    """One clip by name, of any part."""
    return dataset(key).clips[name]


@keys.data(32)
def digest(key: DataKey) -> str:
    """The dataset's fingerprint, which its runs carry."""
    return data(key).digest()


@resource(256)
def index(key: DataKey) -> dict[str, Any] | None:
    """What a dataset says about itself, without its features; None where that cannot be read."""
    try:
        return about(key.folder)
    except ValueError as error:
        log.warning("dataset passed over: %s", error)
        return None


def shelf() -> dict[DataKey, dict[str, Any]]:
    """Key -> what the library's table shows of each dataset."""
    return {
        key: {
            "index": index(key),
            "bytes": size(key),
            "when": (folder / DataKey.file).stat().st_mtime,
            "own": folder.parent == workspace().data,
        }
        for key, folder in datasets().items()
    }


@keys.data(1024)
def size(key: DataKey) -> int:
    """Bytes of all its files."""
    return size_of(key.folder)


@resource(64, "Checking the dataset")
def report(key: DataKey) -> Report:
    """Everything that is wrong with a dataset; of a large one it takes a while (`unfinished`)."""
    if not long_to_check(key):
        return check(key.folder)
    found: Report = answer_of(checking, key)
    return found


def long_to_check(key: DataKey) -> bool:
    """True where `report` is made in the background."""
    return len((index(key) or {}).get("clips", ())) >= native_index.LARGE


@resource(16)
def checking(key: DataKey) -> Work:
    """The report of a large dataset on its way."""
    folder = key.folder
    return Work(lambda tell: check(folder))


@st.cache_data(max_entries=16, ttl=30, show_spinner="Looking at it")
def folder_report(folder: str, pickles: bool = False) -> Report:
    """The report of any folder that may be read, as it stood less than half a minute ago."""
    return check(Path(folder), pickles=pickles)


def roots() -> list[Path]:
    """Folders on this machine that a visitor may bring data in from: what `$FUSESCOPE_DATA` names."""
    return [Path(part) for part in os.environ.get("FUSESCOPE_DATA", "").split(os.pathsep) if part]


@resource(32)
def kinds(key: DataKey) -> Kinds:
    """The kind of anomaly of every unit of `clips(key)`."""
    return kinds_of(clips(key))


@resource(32)
def hours(key: DataKey) -> float:
    """Length of the labelled clips of `clips(key)`."""
    return hours_of(clips(key))


@resource(64)
def facts(key: DataKey) -> dict[str, str]:
    """The dataset in a handful of numbers. Shared by all users: read, never change."""
    found = samples(key)
    return dataset_facts(dataset(key), clips(key)) if found is None else sample_facts(found, part(key))


def captions(key: DataKey, clip_name: str, unit: int) -> dict[str, str]:
    """Modality -> the sentence that describes this unit; empty where the dataset holds none."""
    return said(key.folder, clip(key, clip_name), unit)


@resource(32)
def unit_labels(key: DataKey) -> np.ndarray | None:
    """Labels of every unit of `clips(key)`, one after another; None as soon as a clip has none."""
    labels = [found.labels for found in clips(key)]
    if any(each is None for each in labels):
        return None
    made = np.concatenate([each.numpy() for each in labels if each is not None])
    made.setflags(write=False)
    return made

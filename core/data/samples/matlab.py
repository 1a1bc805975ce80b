"""MATLAB files of views: a cell array `X` of views and `y`, matrices beside `y`, or the Wikipedia image-text layout.

X{1} (d_1 x n or n x d_1), X{2} …, y (n)      which side counts samples is told by the length of y, and said
I_tr, T_tr, I_te, T_te                        Rasiwasia et al. 2010: 128 bag-of-SIFT, 10 LDA topics; classes in
                                              trainset_txt_img_cat.list, testset_txt_img_cat.list, categories.list
"""

import os
from pathlib import Path

import numpy as np

from core.data import guard, lists
from core.data.samples.raw import Options, Raw, classes_of, modality_names
from core.machine.names import RefusedError, inside, shown

TARGETS = ("y", "gt", "gnd", "labels", "label", "truth", "truelabel", "target", "targets", "class", "classes")
WIKIPEDIA = {"I_tr", "T_tr", "I_te", "T_te"}
LISTS = {"train": "trainset_txt_img_cat.list", "test": "testset_txt_img_cat.list"}


def read(root: Path, files: list[str], name: str, options: Options) -> Raw:
    """The views in the one .mat file here. Errors: `RefusedError`."""
    if len(files) != 1:
        raise RefusedError(
            f"{len(files)} .mat files lie here, first '{shown(files[0], 60)}'; put one in a folder of its own"
        )
    what = f"file '{shown(files[0], 60)}'"
    arrays = guard.read("mat", inside(root, files[0], "file"), what=what)
    if set(arrays) >= WIKIPEDIA:
        return _wikipedia(root, arrays, name, what)
    raw = Raw(name)
    found = [key for key in arrays if key.split(".")[0].lower() in TARGETS]
    if len(found) != 1:
        told = shown(", ".join(found or arrays), 100)
        raise RefusedError(
            f"{what} holds {told}; " + ("one of them too many" if found else "none is called y, gt or labels")
        )
    _target(np.squeeze(arrays.pop(found[0])), raw, f"'{found[0]}'", options)
    if raw.target is None:
        return raw
    count = len(raw.target)
    cell = [key for key in arrays if key.rpartition(".")[0].lower() in ("x", "data", "fea", "views") or "." in key]
    chosen = cell or [key for key, values in arrays.items() if count in values.shape[:2] and values.size > 1]
    left = [key for key in arrays if key not in chosen]
    if left:
        raw.note(f"variables that are no view of {count:,} samples: {shown(', '.join(left), 100)}", what)
    if not chosen:
        raise RefusedError(
            f"{what} holds no matrix with {count:,} rows or columns, as many as '{found[0]}' has entries"
        )
    stems = [f"view{int(key.rpartition('.')[2]) + 1}" if key.rpartition(".")[2].isdigit() else key for key in chosen]
    if len(set(stems)) < len(stems):
        stems = [key.replace(".", "-") for key in chosen]
    sides: dict[str, list[str]] = {"rows": [], "columns": []}
    names = stems if all(stem.startswith("view") for stem in stems) else modality_names(stems)
    for key, modality in zip(chosen, names, strict=True):
        values = arrays[key]
        if values.ndim != 2:
            raw.error(f"has shape {values.shape}; a matrix is needed", f"{what}: '{shown(key, 40)}'")
            continue
        fits = [side for side, length in zip(("rows", "columns"), values.shape, strict=True) if length == count]
        if not fits:
            raw.error(
                f"is {values.shape[0]} x {values.shape[1]}, but there are {count:,} classes",
                f"{what}: '{shown(key, 40)}'",
            )
            continue
        side = options.orientation if options.orientation in fits else fits[0]
        assert side is not None
        if len(fits) == 2 and options.orientation is None:
            raw.note(
                f"is {count} x {count}: its rows are taken as samples",
                f"'{shown(key, 40)}'",
                "give orientation=columns",
            )
        sides[side].append(modality)
        raw.views[modality] = np.asarray(values if side == "rows" else values.T, dtype=np.float64)
        raw.origins[modality] = f"'{shown(key, 40)}' of {shown(files[0], 60)}, samples in its {side}"
    for side, views in sides.items():
        if views:
            raw.note(f"samples lie in the {side} of {', '.join(views)}")
    return raw


def _target(values: np.ndarray, raw: Raw, where: str, options: Options) -> None:
    if values.ndim == 2 and options.target != "real":
        ones = ((values == 0) | (values == 1)).all()
        for axis in (1, 0):
            if ones and (values.sum(axis) == 1).all():
                raw.note(f"is one-hot, {values.shape[0]} x {values.shape[1]}: taken as classes", where)
                values = values.argmax(axis)
                break
    if values.ndim == 2:
        raw.target, raw.kind = values.astype(np.float64), "real"
        raw.names = tuple(f"target {number}" for number in range(values.shape[1]))
    elif values.ndim == 1 and len(values):
        classes_of(values.astype(np.float64), raw, where, options)
    else:
        raw.error(f"has shape {values.shape}; one class a sample is needed", where)


def _wikipedia(root: Path, arrays: dict[str, np.ndarray], name: str, what: str) -> Raw:
    raw = Raw(name)
    edges = [0]
    classes: list[int] = []
    rows: list[str] = []
    for part, ending in (("train", "tr"), ("test", "te")):
        file = LISTS[part]
        if not os.path.lexists(root / file):
            raise RefusedError(f"{what} is the Wikipedia set, but '{file}' with its classes is not beside it")
        for line in lists.read(inside(root, file, "file"), f"file '{file}'"):
            cells = line.path.split("\t")
            if len(cells) != 3 or not cells[2].strip().isdecimal() or not 0 < len(cells[2].strip()) < 5:
                raise RefusedError(f"file '{file}', line {line.number}: text, image and a class number are needed")
            classes.append(int(cells[2]))
            rows.append(f"{cells[0]} · {cells[1]}")
        count = len(classes) - edges[-1]
        for letter in "IT":
            if len(arrays[f"{letter}_{ending}"]) != count:
                raise RefusedError(
                    f"{what}: {letter}_{ending} has {len(arrays[f'{letter}_{ending}']):,} rows, '{file}' has {count:,}"
                )
        edges.append(len(classes))
    for modality, letter, made in (("image", "I", "128 visual words of SIFT"), ("text", "T", "10 topics of LDA")):
        halves = [arrays[f"{letter}_tr"], arrays[f"{letter}_te"]]
        if any(half.ndim != 2 for half in halves) or halves[0].shape[1] != halves[1].shape[1]:
            raise RefusedError(f"{what}: {letter}_tr and {letter}_te are {halves[0].shape} and {halves[1].shape}")
        raw.views[modality] = np.concatenate(halves).astype(np.float64)
        raw.origins[modality] = f"{letter}_tr and {letter}_te of raw_features.mat: {made} as published"
    named: tuple[str, ...] = ()
    if os.path.lexists(root / "categories.list"):
        named = tuple(
            line.path for line in lists.read(inside(root, "categories.list", "file"), "file 'categories.list'")
        )
    target = np.array(classes, dtype=np.int64) - 1
    raw.names = named or tuple(str(number + 1) for number in range(int(target.max()) + 1))
    if target.min() < 0 or target.max() >= len(raw.names):
        raw.error(f"classes run from {target.min() + 1} to {target.max() + 1}, {len(raw.names)} are named")
    else:
        raw.target = target
    raw.rows = tuple(rows)
    raw.splits = {"published": {"train": np.arange(edges[1]), "test": np.arange(edges[1], edges[2])}}
    return raw

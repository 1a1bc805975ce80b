r"""Sequences of vectors with targets, as MFN, MultiBench and their heirs store them; each becomes one vector a sample.

.h5       audio_train.h5, video_train.h5, y_train.h5 …, each one dataset `d1` of (n, T, d) or (n, d)
pickle    {"train": {"vision": (n, T, d), "audio": …, "text": …, "labels": (n, …)}, "valid": …, "test": …}

vector = mean over the steps t whose row is not all zeros (padding); a sample of padding alone stays zeros
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from core.data import guard
from core.data.problems import Problem
from core.data.samples.raw import PARTS, Options, Raw, classes_of, modality_names, part_of_file
from core.machine.names import RefusedError, inside, shown

TARGETS = ("y", "labels", "label", "target", "targets")
ORDER = ("train", "valid", "test")
Tables = dict[tuple[str, str], np.ndarray]  # (part, what) -> array


def read_h5(root: Path, files: list[str], name: str, options: Options) -> Raw:
    """The sequences in these files. Errors: `RefusedError` naming the file."""
    tables: Tables = {}
    with guard.Reader() as reader:
        for file in files:
            stem, part = part_of_file(file.rsplit(".", 1)[0])
            what = f"file '{shown(file, 60)}'"
            if not part:
                raise RefusedError(f"{what} is not named after its part, like audio_train.h5")
            arrays = reader.read("h5", inside(root, file, "file"), what).arrays
            if len(arrays) != 1 and "d1" not in arrays:
                raise RefusedError(
                    f"{what} holds {len(arrays)} datasets, {shown(', '.join(arrays), 80)}; one, d1, is needed"
                )
            tables[part, stem] = arrays["d1"] if "d1" in arrays else next(iter(arrays.values()))
    return _assembled(tables, name, options)


def read_pickle(root: Path, files: list[str], name: str, options: Options) -> Raw:
    """The sequences in one pickled dictionary. Errors: `RefusedError`, always while `options.pickle` is off."""
    if len(files) != 1:
        raise RefusedError(
            f"{len(files)} pickled files lie here, first '{shown(files[0], 60)}'; put one in a folder of its own"
        )
    with guard.Reader(pickles=options.pickle) as reader:
        what = f"file '{shown(files[0], 60)}'"
        found = reader.read("pickle", inside(root, files[0], "file"), what)
    tables: Tables = {}
    left = [str(word) for word in found.facts.get("skipped", ())]
    for path, array in found.arrays.items():
        words = path.split(".")
        part = next((PARTS[word.lower()] for word in words if word.lower() in PARTS), "")
        rest = ".".join(word for word in words if word.lower() not in PARTS)
        if part and rest and array.ndim:
            tables[part, rest] = array
        else:
            left.append(shown(path, 40))
    if not tables:
        raise RefusedError(
            f"{what} holds {shown(', '.join(found.arrays), 80)}; train, valid and test of them are needed"
        )
    raw = _assembled(tables, name, options)
    if left:
        raw.note(f"entries that are no arrays of a part: {shown(', '.join(left), 100)}", what)
    return raw


def _assembled(tables: Tables, name: str, options: Options) -> Raw:
    raw = Raw(name)
    parts = [part for part in ORDER if any(p == part for p, _ in tables)]
    called = list(dict.fromkeys(what for _, what in tables))
    targets = [what for what in called if what.lower() in TARGETS]
    views = [what for what in called if what not in targets]
    if len(targets) != 1:
        raise RefusedError(f"there is {shown(', '.join(called), 80)}; one of them, y or labels, must hold the targets")
    gaps = [(part, what) for part in parts for what in called if (part, what) not in tables]
    missing = {what for _, what in gaps}
    dropped = [what for what in views if what in missing]
    if dropped and len(dropped) < len(views):
        raw.note(f"left out because not every part has it: {shown(', '.join(dropped), 80)}")
        views = [what for what in views if what not in missing]
    elif gaps:
        raise RefusedError(f"'{shown(gaps[0][1], 40)}' is missing in the part {gaps[0][0]}")
    counts = {part: len(tables[part, targets[0]]) for part in parts}
    for part in parts:
        lengths = {what: len(tables[part, what]) for what in [*views, targets[0]]}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"'{shown(what, 40)}' {count:,}" for what, count in lengths.items())
            raw.error(f"row counts differ: {told}", f"part {part}")
    for what, modality in zip(views, modality_names(views) if len(views) > 1 else views, strict=True):
        where = f"'{shown(what, 40)}'"
        shapes = {part: tables[part, what].shape for part in parts}
        if any(len(shape) not in (2, 3) for shape in shapes.values()) or len({s[-1] for s in shapes.values()}) > 1:
            told = ", ".join(f"{part} {shape}" for part, shape in shapes.items())
            raw.error(f"has shapes {told}; (samples, steps, width) or (samples, width) of one width is needed", where)
            continue
        reduced = [pooled(tables[part, what].astype(np.float64)) for part in parts]
        raw.views[modality] = np.concatenate([rows for rows, _ in reduced])
        used = np.concatenate([steps for _, steps in reduced])
        if len(shapes[parts[0]]) == 3:
            steps = " to ".join(
                map(str, sorted({min(s[1] for s in shapes.values()), max(s[1] for s in shapes.values())}))
            )
            raw.origins[modality] = f"mean over the steps of {where} that are not padding, of {steps}"
            raw.note(
                f"sequences of {steps} steps became vectors: the mean over time, all-zero steps left out "
                f"({used.mean():.1f} steps are left on average)",
                where,
            )
            if empty := int((used == 0).sum()):
                text = f"{empty:,} of {len(used):,} samples are padding alone and stay zeros"
                raw.problems.append(Problem("warning" if 10 * empty > len(used) else "note", text, where))
        else:
            raw.origins[modality] = f"{where} as it is"
    _targets([tables[part, targets[0]] for part in parts], raw, f"'{targets[0]}'", options)
    edges = np.cumsum([0, *counts.values()])
    if "train" in parts and "test" in parts:
        raw.splits = {"files": {part: np.arange(a, b) for part, a, b in zip(parts, edges[:-1], edges[1:], strict=True)}}
        if "valid" in parts:
            raw.note(f"the split has a part valid of {counts['valid']:,} samples, used neither to train nor to test")
    else:
        raw.note(f"the files hold {', '.join(parts)}, so their parts give no split")
    return raw


def pooled(
    sequences: Float[np.ndarray, "n *steps d"],
) -> tuple[Float[np.ndarray, "n d"], Integer[np.ndarray, " n"]]:
    """Mean over the steps that are not all zeros, and how many those are; NaN stays NaN.

    >>> pooled(np.array([[[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]]]))
    (array([[2., 1.]]), array([2]))
    """
    if sequences.ndim == 2:
        return sequences, np.ones(len(sequences), dtype=np.int64)
    used = (sequences != 0).any(-1).sum(1)
    return sequences.sum(1) / np.maximum(used, 1)[:, None], used.astype(np.int64)


def _targets(found: list[np.ndarray], raw: Raw, where: str, options: Options) -> None:
    flat = [values.reshape(len(values), -1) for values in found]
    if len({values.shape[1] for values in flat}) > 1:
        raw.error(f"has shapes {', '.join(str(values.shape) for values in found)}", where)
        return
    values = np.concatenate(flat)
    whole = values.dtype.kind in "biu"
    if values.shape[1] == 1 and (whole or options.target == "class"):
        classes_of(values[:, 0].astype(np.float64), raw, where, options)
    elif options.target == "class":
        raw.error(f"has {values.shape[1]} values a sample; one class a sample is needed", where)
    elif values.shape[1] == 0:
        raw.error("has no values", where)
    else:
        raw.target, raw.kind = values.astype(np.float64), "real"
        raw.names = tuple(f"target {number}" for number in range(values.shape[1]))

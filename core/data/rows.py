"""From an array as it lay on disk to the rows a `Clip` holds: axes, finite numbers, equal lengths."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from core.machine.names import RefusedError, shown

# A float32 dot product of two rows of 4096 such values still fits: 1e15^2 * 4096 = 4e33 < 3.4e38.
LARGEST = 1e15
CROPS = (5, 10)


def crop_axis(shape: tuple[int, ...], what: str) -> int | None:
    """Which of the first two axes counts crops: None for (units, width), else 0 or 1, told by a size of 5 or 10.

    >>> crop_axis((37, 10, 2048), "a.npy"), crop_axis((5, 37, 1024), "a.npy"), crop_axis((37, 768), "a.npy")
    (1, 0, None)

    When both or neither could be, units come first: that is how the field's extractors write.
    Errors: `RefusedError` unless the array has 2 or 3 axes.
    """
    if len(shape) not in (2, 3):
        raise RefusedError(f"{what} has {len(shape)} axes {shape}; (units, width) or (units, crops, width) is needed")
    if len(shape) == 2:
        return None
    return 0 if shape[0] in CROPS and shape[1] not in CROPS else 1


def to_rows(array: np.ndarray, axis: int | None, clip: str, modality: str) -> Tensor:
    """float32 `(units, width)` or `(crops, units, width)`; `axis` is the crop axis of the array.

    Errors: `RefusedError` for no units, no columns, NaN or infinite values (count and units), and values
    beyond 1e15, whose products overflow float32.
    """
    if axis == 1:
        array = np.moveaxis(array, 1, 0)
    where = f"clip '{shown(clip)}': modality '{shown(modality)}'"
    if 0 in array.shape:
        raise RefusedError(f"{where} has shape {array.shape}: there is nothing in it")
    if array.dtype.kind == "f":
        top = float(np.abs(array).max())
        if not np.isfinite(top):
            bad = ~np.isfinite(array)
            units = np.unique(np.nonzero(bad)[-2])
            first = ", ".join(map(str, units[:5])) + (", …" if len(units) > 5 else "")
            raise RefusedError(f"{where} has {int(bad.sum())} NaN or infinite values, in units {first}")
        if top > LARGEST:
            raise RefusedError(f"{where} has values up to {top:.3g}; beyond {LARGEST:g} products overflow: rescale it")
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def cut(features: Mapping[str, Tensor], clip: str) -> tuple[dict[str, Tensor], str | None]:
    """The same features with equal unit counts: one unit too many is cut, and said in the note.

    Errors: `RefusedError` when lengths differ by more, naming clip, modalities and lengths.
    """
    lengths = {name: int(rows.shape[-2]) for name, rows in features.items()}
    low, high = min(lengths.values()), max(lengths.values())
    if low == high:
        return dict(features), None
    listed = ", ".join(f"{shown(name, 40)} {units}" for name, units in lengths.items())
    if high - low > 1:
        raise RefusedError(f"clip '{shown(clip)}': unit counts differ by {high - low}: {listed}; at most 1 is cut")
    note = f"clip '{shown(clip)}': unit counts differ by one ({listed}); cut to {low}"
    return {name: rows[..., :low, :].contiguous() for name, rows in features.items()}, note

"""Ground truths: 0 and 1 for the clips of the test list in its order, one entry a frame or one a unit."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.clip import Intervals, intervals
from core.data import guard
from core.data.fields import parsed
from core.data.problems import Problems
from core.data.rtfm.names import Survey
from core.data.rtfm.settings import Options
from core.machine.names import RefusedError, inside, opened, shown

Units = Mapping[str, int]  # clip -> units


def ground_truth(
    root: Path,
    given: Options,
    survey: Survey,
    names: Sequence[str] | None,
    kept: Units,
    lengths: Mapping[str, Units],
    problems: Problems,
) -> tuple[dict[str, Intervals], dict[str, Any]]:
    """clip -> anomalous frame intervals from the ground truth file, and what a report says about it.

    names       clips of the test list in its order, None when it is not known
    kept        units of every clip that is used, after the cut; `lengths` those of each modality before it
    """
    relative = _file(given, survey, problems)
    if relative is None:
        return {}, {}
    what = f"ground truth '{shown(relative, 120)}'"
    facts: dict[str, Any] = {"file": relative}
    if names is None:
        problems.error("follows the order of the test list, which is not known", what, "name it by test")
        return {}, facts
    try:
        with guard.Reader() as reader:
            labels = _binary(reader.read("npy", inside(root, relative, what), what).arrays[guard.ONLY], what)
    except RefusedError as refused:
        problems.error(str(refused))
        return {}, facts
    facts |= {"entries": len(labels), "anomalous": int(labels.sum())}
    units = _fitting(labels, [kept, *lengths.values()], names, given.frames_per_unit, what, problems)
    if units is None:
        return {}, facts
    step = given.frames_per_unit if len(labels) == sum(units) * given.frames_per_unit else 1
    facts |= {"fits": "frames" if step > 1 else "units", "units": sum(units)}
    suspect = _against(root, labels, names, units, step) or shifted(labels, units, step)
    if suspect and not given.shift:
        facts["shift"] = suspect[0]
        way = "late" if suspect[0] > 0 else "early"
        text = f"looks shifted, one frame too {way}: {suspect[1]}"
        problems.warning(text, what, f"shift={suspect[0]} moves it")
    if given.shift:
        labels = moved(labels, step, given.shift)
        problems.note(f"moved by {-given.shift} frames, as asked", what)
    return _by_clip(labels, names, units, step, kept, given.frames_per_unit), facts


def _file(given: Options, survey: Survey, problems: Problems) -> str | None:
    """The ground truth that is named, or the only one there is."""
    if given.truth is None and len(survey.truths) > 1:
        listed = ", ".join(shown(name, 60) for name in survey.truths[:6])
        problems.error(f"{len(survey.truths)} ground truths: {listed}", fix="name one by truth")
        return None
    return given.truth or next(iter(survey.truths), None)


def _binary(array: np.ndarray, what: str) -> np.ndarray:
    """0 and 1 in one row, as bool. Errors: `RefusedError` naming other values and their number."""
    if array.size != max(array.shape, default=1):
        raise RefusedError(f"{what} has shape {array.shape}; one row of 0 and 1 is needed")
    flat = array.reshape(-1)
    other = flat[~((flat == 0) | (flat == 1))]
    if other.size:
        listed = ", ".join(f"{value:g}" for value in np.unique(other.astype(float))[:4])
        raise RefusedError(f"{what} holds {other.size} entries that are neither 0 nor 1 (such as {listed})")
    return flat.astype(bool)


def _fitting(
    labels: np.ndarray, known: Sequence[Units], names: Sequence[str], per_unit: int, what: str, problems: Problems
) -> list[int] | None:
    """Units of each named clip that the labels fit: those after the cut, or those of a modality before it."""
    counts = [[of[name] for name in names] for of in known if all(name in of for name in names)]
    if not counts:
        problems.error("cannot be fitted: not every clip of the test list could be read", what)
        return None
    for units in counts:
        if len(labels) in (sum(units) * per_unit, sum(units)):
            return units
    totals = sorted({sum(units) for units in counts})
    frames = " or ".join(f"{total * per_unit:,}" for total in totals)
    plain = " or ".join(f"{total:,}" for total in totals)
    text = (
        f"has {len(labels):,} entries; the {len(names)} clips of the test list have {plain} units, "
        f"so {frames} (one a frame, {per_unit} a unit) or {plain} (one a unit) are needed"
    )
    problems.error(text, what, "check that list and ground truth belong together")
    return None


def _by_clip(
    labels: np.ndarray, names: Sequence[str], units: Sequence[int], step: int, kept: Units, per_unit: int
) -> dict[str, Intervals]:
    """clip -> anomalous frames, cut where its features end."""
    truth: dict[str, Intervals] = {}
    start = 0
    for name, count in zip(names, units, strict=True):
        own = torch.from_numpy(labels[start : start + count * step].astype(bool))
        own = own if step > 1 else own.repeat_interleave(per_unit)
        start += count * step
        if name in kept:
            last = kept[name] * per_unit
            truth[name] = tuple((a, min(b, last)) for a, b in intervals(own) if a < last)
    return truth


def _against(
    root: Path, labels: np.ndarray, names: Sequence[str], units: Sequence[int], step: int
) -> tuple[int, str] | None:
    """The same question, answered by anomalous frames told in an intervals.json beside the data."""
    place = root / "intervals.json"
    if step == 1 or not place.is_file():
        return None
    try:
        stream, size = opened(place, 1 << 20, "intervals.json")
        with stream:
            told = parsed(stream.read(size), "intervals.json")["anomalous_frames"]
        spans = {_simple(name): [(int(a), int(b)) for a, b in pairs] for name, pairs in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    wrong = dict.fromkeys((0, 1, -1), 0)
    starts = np.cumsum([0, *units]) * step
    known = [
        (start, units[i] * step, spans[_simple(n)])
        for i, (n, start) in enumerate(zip(names, starts, strict=False))
        if _simple(n) in spans
    ]
    for shift in wrong:
        for start, count, pairs in known:
            marked = np.zeros(count, dtype=bool)
            for a, b in pairs:
                marked[max(a + shift, 0) : max(b + shift, 0)] = True
            wrong[shift] += int((marked != labels[start : start + count]).sum())
    best = min(wrong, key=lambda shift: (wrong[shift], abs(shift)))
    if best and wrong[best] < 0.5 * wrong[0]:
        text = f"{wrong[0]} frames of {len(known)} clips disagree with intervals.json, moved by one {wrong[best]}"
        return best, text
    return None


def _simple(name: str) -> tuple[str, ...]:
    """A name up to case, punctuation and leading zeros: Test001 is test-01."""
    return tuple(part.lstrip("0") or "0" for part in re.findall(r"[a-z]+|\d+", name.lower()))


def shifted(labels: np.ndarray, units: Sequence[int], step: int) -> tuple[int, str] | None:
    """(1, why) when the labels lie one frame late, (-1, why) when early, None when nothing says so.

    Two signs, for ground truths with one entry a frame. Moving the row of all clips by one frame makes an anomaly
    that ran to the end of its clip spill one frame into the next: a run of a single frame beside an anomalous
    neighbour. And edges that all lie one frame beside the borders of units were on them before.
    """
    if step == 1:
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels.astype(np.int8), [0]])))
    borders = np.cumsum([0, *units]) * step
    inner = borders[1:-1]
    late = [int(b) for b in inner if b + 1 < len(labels) and labels[b - 1] and labels[b] and not labels[b + 1]]
    early = [int(b) for b in inner if b >= 2 and labels[b] and labels[b - 1] and not labels[b - 2]]
    if bool(late) != bool(early):
        count, way = (len(late), 1) if late else (len(early), -1)
        place = "begin" if way > 0 else "end"
        return way, f"{count} clips {place} with one anomalous frame that belongs to their neighbour"
    within = edges[(edges > 0) & (edges < len(labels))]
    for way in (1, -1):
        beside = int(((within - way) % step == 0).sum())
        if len(within) >= 4 and beside >= 0.9 * len(within):
            side = "after" if way > 0 else "before"
            return way, f"{beside} of {len(within)} edges lie one frame {side} the border of a unit"
    return None


def moved(labels: np.ndarray, step: int, shift: int) -> np.ndarray:
    """Labels that lay `shift` frames too late, moved back; the freed end repeats its last value."""
    if step == 1 or shift == 0:
        return labels
    pad = np.full(abs(shift), labels[-1] if shift > 0 else labels[0])
    return np.concatenate([labels[shift:], pad] if shift > 0 else [pad, labels[:shift]])

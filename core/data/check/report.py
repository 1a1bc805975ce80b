"""The report: what was found at a path, as plain data and as lines for a terminal."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, field
from typing import Any

from core.clip import Clip, Intervals
from core.data.problems import Problem
from core.machine.names import shown

WORDS = {
    "native": "a FuseScope dataset",
    "samples": "a FuseScope sample set",
    "tables": "files of samples: views as .csv, a .mat, .h5 or a pickle",
    "features": "a folder of feature files",
    "footage": "videos or frame folders, before extraction",
    "run": "a FuseScope run",
    "video": "a video",
    "arrays": "a file of arrays",
    "missing": "nothing",
    "unknown": "nothing that is read here",
}


@dataclass(frozen=True)
class Modality:
    """One modality over all clips: widths and crops seen, and the shortest and longest clip in units."""

    name: str
    widths: tuple[int, ...]
    crops: tuple[int, ...]  # () when there is no crop axis
    clips: int
    units: tuple[int, int]
    extractor: str = ""

    def text(self, of_samples: bool) -> str:
        """One line; of samples, which have neither crops nor units, the width alone."""
        maker = f"  ({shown(self.extractor, 100)})" if self.extractor else ""
        crops = f", {_span(self.crops)} crops" if self.crops else ""
        size = "" if of_samples else f"{crops}, {_span(self.units)} units, {self.clips} clips"
        return f"{shown(self.name, 30):14} {_span(self.widths)} wide{size}{maker}"


@dataclass(frozen=True)
class Report:
    """What was found at a path. `ok` means: it can be trained, scored or extracted as it is.

    clips       number of clips; frames and units over all of them where known
    labels      how many clips are anomalous, normal and unknown, and how many have their frames labelled
    samples     number of samples; of these `classes` by name, or the lowest and highest value of every target
    truth       ground truth file, its entries, and what it fits; {} when there is none
    """

    name: str
    kind: str
    problems: tuple[Problem, ...]
    clips: int = 0
    units: int = 0
    frames: int | None = None
    fps: float | None = None
    frames_per_unit: int | None = None
    modalities: tuple[Modality, ...] = ()
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    contents: Sequence[str] = ()
    licence: str = ""
    simulated: bool = False

    @property
    def ok(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """The whole report as plain data, for `--json`."""
        return {"ok": self.ok, "found": WORDS[self.kind], **asdict(self)}

    def text(self) -> str:
        """The report as lines for a terminal."""
        lines = [f"  {line}" for line in self._lines()]
        for severity, word in (("error", "ERROR"), ("warning", "warning"), ("note", "note")):
            lines += [f"  {word}: {problem}" for problem in self.problems if problem.severity == severity]
        errors, warnings = (sum(p.severity == s for p in self.problems) for s in ("error", "warning"))
        lines.append(f"  {errors} errors, {warnings} warnings" if errors or warnings else "  nothing stands in the way")
        title = f"{shown(self.name)}: {WORDS[self.kind]}" + (" (simulated)" if self.simulated else "")
        return "\n".join([title, *lines])

    def _lines(self) -> Iterator[str]:
        if self.clips:
            size = [f"{self.clips} clips"]
            size += [f"{self.units:,} units of {self.frames_per_unit} frames"] if self.units else []
            size += [f"{self.frames:,} frames"] if self.frames else []
            size += [f"{self.fps:g} frames a second"] if self.fps else []
            yield ", ".join(size)
        if self.samples:
            yield f"{self.samples:,} samples"
        for modality in self.modalities:
            yield modality.text(bool(self.samples))
        for protocol, parts in self.splits.items():
            counts = ", ".join(f"{shown(part, 30)} {count}" for part, count in parts.items())
            yield f"split {shown(protocol, 30)}: {counts}"
        yield from _target_lines(self.classes, self.targets)
        if self.labels:
            yield "labels: " + ", ".join(f"{count} {word}" for word, count in self.labels.items())
        if self.truth:
            fits = f"one entry a {self.truth['fits'][:-1]}" if "fits" in self.truth else "fits nothing"
            counts = f"{self.truth.get('entries', 0):,} entries, {self.truth.get('anomalous', 0):,} anomalous"
            yield f"ground truth {shown(self.truth['file'], 60)}: {counts}, {fits}"
        yield from self.contents


def _target_lines(classes: Mapping[str, int], targets: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    if classes:
        told = ", ".join(f"{shown(name, 30)} {count:,}" for name, count in list(classes.items())[:20])
        yield f"{len(classes)} classes: {told}" + (" …" if len(classes) > 20 else "")
    if targets:
        yield f"{len(targets)} real targets:"
        for name, (low, high) in list(targets.items())[:20]:
            yield f"  {shown(name, 30):14} {low:.4g} to {high:.4g}"


def _span(values: Sequence[int]) -> str:
    if not values:
        return "no"
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"


# --- what several kinds report --------------------------------------------------------------------------------


def described(clips: Mapping[str, Clip], extractors: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a report on clips: their modalities, counts and labels."""
    modalities = []
    for modality in next(iter(clips.values())).features if clips else ():
        rows = [clip.features[modality] for clip in clips.values() if modality in clip.features]
        lengths = [r.shape[-2] for r in rows]
        modalities.append(
            Modality(
                name=modality,
                widths=tuple(sorted({r.shape[-1] for r in rows})),
                crops=tuple(sorted({r.shape[0] for r in rows if r.ndim == 3})),
                clips=len(rows),
                units=(min(lengths), max(lengths)),
                extractor=extractors.get(modality, ""),
            )
        )
    counts = [clip.frames for clip in clips.values()]
    return {
        "clips": len(clips),
        "units": sum(clip.units for clip in clips.values()),
        "frames": sum(n for n in counts if n is not None) if counts and None not in counts else None,
        "modalities": tuple(modalities),
        "labels": label_counts([(clip.anomalous, clip.truth) for clip in clips.values()]),
    }


def label_counts(known: Sequence[tuple[bool | None, Intervals | None]]) -> dict[str, int]:
    """How many clips are what, from (anomalous, anomalous frames) of each."""
    anomalous = [one for one, _ in known]
    return {
        "anomalous": anomalous.count(True),
        "normal": anomalous.count(False),
        "unknown": anomalous.count(None),
        "with labelled frames": sum(truth is not None for _, truth in known),
    }


def counted(splits: Mapping[str, Mapping[str, Sized]]) -> dict[str, dict[str, int]]:
    return {protocol: {part: len(names) for part, names in parts.items()} for protocol, parts in splits.items()}

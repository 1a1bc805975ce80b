"""What a dataset holds, in a handful of numbers."""

from collections.abc import Sequence

import numpy as np

from core.clip import Clip
from core.dataset import Dataset
from core.sample import Part, Samples


def dataset_facts(data: Dataset, shown_clips: Sequence[Clip]) -> dict[str, str]:
    """The dataset in a handful of numbers, for cards."""
    labelled = [clip for clip in shown_clips if clip.labels is not None]
    units = sum(clip.units for clip in labelled)
    anomalous = sum(int(clip.labels.sum()) for clip in labelled if clip.labels is not None)
    minutes = sum(clip.duration for clip in shown_clips) / 60
    first = shown_clips[0]
    return {
        "clips here / in all": f"{len(shown_clips)} / {len(data.clips)}",
        "units here": f"{sum(clip.units for clip in shown_clips):,}",
        "anomalous units": f"{anomalous:,} ({anomalous / units:.0%})" if units else "not labelled",
        "video": f"{minutes:.1f} min",
        "a unit": f"{first.frames_per_unit} frames, {first.seconds:.2f} s",
    }


def sample_facts(data: Samples, part: Part) -> dict[str, str]:
    """The sample set in a handful of numbers, for cards."""
    facts = {"samples here / in all": f"{len(part):,} / {len(data):,}", "modalities": str(len(data.widths))}
    if data.task.kind == "class":
        return facts | {"classes": str(data.task.outputs), "largest class here": f"{largest_class(part):.1%}"}
    return facts | {"targets": str(data.task.outputs)}


def largest_class(part: Part) -> float:
    """Share of the most frequent class: what naming it always would reach."""
    if part.target is None or not len(part):
        return float("nan")
    return float(np.bincount(part.target.numpy()).max() / len(part))

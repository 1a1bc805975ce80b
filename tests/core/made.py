"""Small clips with planted answers, made from a seed, for tests alone."""

import torch

from core.clip import Clip, unit_labels
from core.dataset import Dataset

WIDTHS = {"motion": 12, "text": 8}


def clip(name: str = "clip", units: int = 20, anomalous: bool = True, seed: int = 0, crops: int = 0) -> Clip:
    """Normal units share a direction in every modality; anomalous ones scatter."""
    random = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(99)
    truth = ((16 * 4, 16 * 7),) if anomalous else ()
    labels = unit_labels(truth, units)
    features = {}
    for modality, width in WIDTHS.items():
        normal = torch.randn(width, generator=fixed)
        shape = (crops, units, width) if crops else (units, width)
        spread = 0.2 + 2.0 * labels[:, None].float()
        features[modality] = normal + spread * torch.randn(shape, generator=random)
    return Clip(name, features, labels, seconds=1.0, frames=16 * units - 5, truth=truth, kinds=("odd",) * len(truth))


def dataset(train: int = 12, test: int = 8, seed: int = 0) -> Dataset:
    clips = {}
    for number in range(train + test):
        name = f"clip-{number:02d}"
        clips[name] = clip(name, units=9 + 5 * (number % 7), anomalous=number % 2 == 1, seed=seed * 1000 + number)
    names = tuple(clips)
    return Dataset("made", clips, {"weak": {"train": names[:train], "test": names[train:]}}, fps=16.0)

"""Folders of feature files as the field's repositories have them, small and with planted truth."""

from pathlib import Path

import numpy as np

LENGTHS = {"Abuse001_x264": 6, "Fight002_x264": 9, "Normal_Videos_003_x264": 7}
TEST = {"Arson010_x264": 11, "Normal_Videos_011_x264": 8, "Robbery012_x264": 5}
SPANS = {"Arson010_x264": [(20, 70)], "Normal_Videos_011_x264": [], "Robbery012_x264": [(3, 33), (40, 64)]}


def feature_folder(root: Path, *, layout: str = "tcd", crops: int = 10, width: int = 16, text: int = 8) -> Path:
    """RTFM's names and lists: (units, crops, width) for `tcd`, (crops, units, width) for `ctd`, (units, width) for
    `td`, one file a crop for `files`."""
    generator = np.random.default_rng(7)
    (root / "i3d").mkdir(parents=True)
    (root / "emb").mkdir()
    for name, units in {**LENGTHS, **TEST}.items():
        values = generator.standard_normal((crops, units, width)).astype(np.float32)
        if layout == "tcd":
            np.save(root / f"i3d/{name}_i3d.npy", np.moveaxis(values, 0, 1))
        elif layout == "ctd":
            np.save(root / f"i3d/{name}_i3d.npy", values)
        elif layout == "td":
            np.save(root / f"i3d/{name}_i3d.npy", values[0])
        else:
            for crop in range(crops):
                np.save(root / f"i3d/{name}_i3d__{crop}.npy", values[crop])
        np.save(root / f"emb/{name}_emb.npy", generator.standard_normal((units, text)).astype(np.float32))
    for part, names in (("train", LENGTHS), ("test", TEST)):
        ends = [f"_i3d__{crop}.npy" for crop in range(crops)] if layout == "files" else ["_i3d.npy"]
        lines = [f"i3d/{name}{end}" for name in names for end in ends]
        (root / f"made-i3d-{part}.list").write_text("\n".join(lines) + "\n")
    np.save(root / "gt-made.npy", frame_truth())
    return root


def frame_truth() -> np.ndarray:
    """0 and 1 for each frame of the test clips in list order, 16 frames a unit."""
    parts = []
    for name, units in TEST.items():
        labels = np.zeros(units * 16)
        for start, stop in SPANS[name]:
            labels[start:stop] = 1
        parts.append(labels)
    return np.concatenate(parts)

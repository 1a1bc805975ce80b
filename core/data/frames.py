"""Footage on disk: folders of numbered pictures, folders of video files, or one file, with truth where it lies beside.

Layouts: UCSD (`Train/Train001/001.tif`, `Test/Test001_gt/*.bmp`), Avenue and ShanghaiTech (`training/frames/01/0.jpg`,
`test_frame_mask/01_0014.npy`, `*.mat` with `gt` or `volLabel`), ours (`train/01/001.jpg`, `intervals.json`), and any
folder of videos with an optional `truth.json`.
"""

from dataclasses import replace
from pathlib import Path

from core.data import guard, video
from core.data import truth as truths
from core.data.footage import IMAGES, Collection, Footage, found_below
from core.machine.names import clip_name

DEFAULT_FPS = 25.0


def collection(root: Path, *, fps: float | None = None, truth: Path | None = None) -> Collection:
    """Everything below `root` that can be extracted, with truth and splits.

    fps     frames a second of numbered pictures; taken from intervals.json or truth.json when not given, else 25 and
            said. Video files keep time themselves.
    truth   a truth file that lies elsewhere (intervals JSON, truth JSON, `.mat`, packed `.npz`)

    Errors: `ValueError` naming the file or clip, when there is nothing to extract or truth does not fit.
    """
    if root.is_file():
        video.container(root)
        return Collection(root.stem, (Footage(clip_name(root.stem), file=root, place=root.stem),), {}, fps)
    if not root.is_dir():
        raise ValueError(f"{root.name!r}: there is no such file or folder")
    footage = found_below(root)
    if not footage:
        raise ValueError(
            f"{root.name!r} holds neither videos ({', '.join(guard.VIDEOS)}) nor folders of pictures "
            f"({', '.join(IMAGES)})"
        )
    notes: list[str] = []
    made = Collection(root.name, footage, {}, fps)
    told = root / "truth.json" if truth is None or truth.name != "truth.json" else truth
    if told.is_file():
        made = truths.described(made, told)
    made = truths.fitted(made, root, truth, notes)
    splits = {**made.splits, **truths.split_files(root, made.footage, notes)}
    parts = {part: tuple(f.name for f in made.footage if f.part == part) for part in ("train", "test")}
    if all(parts.values()) and "unsupervised" not in splits:
        splits["unsupervised"] = parts
    if made.fps is None and any(f.images for f in made.footage):
        notes.append(f"no frame rate given for numbered pictures: taken as {DEFAULT_FPS:g} frames a second")
        made = replace(made, fps=DEFAULT_FPS)
    return replace(made, splits=splits, notes=(*made.notes, *notes))

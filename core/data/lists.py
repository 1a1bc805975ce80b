"""List files: one clip a line, in the order that ground truths follow; and who in them is anomalous.

The field's lists name feature files, `UCF/Abuse028_x264_i3d.npy`; XD-Violence and VadCLIP add labels to names or
a column (`path,label`). A line never leaves the dataset's folder.
"""

from dataclasses import dataclass
from pathlib import Path

from core.data import fields, guard
from core.machine.names import RefusedError, inside, opened

LARGEST = 1 << 20
COLUMN = {"path", "file", "video", "name"}


@dataclass(frozen=True)
class Line:
    """One line of a list: `number` counts from 1, `path` is as written, `label` is the second column or ""."""

    number: int
    path: str
    label: str = ""

    @property
    def name(self) -> str:
        """The file name alone, whatever kind of slash the writer used."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]


def read(path: Path, what: str) -> tuple[Line, ...]:
    """The lines that are not empty and not comments (#).

    Errors: `RefusedError` unless the file is UTF-8 text of at most 1 MB with at least one line.
    """
    stream, size = opened(path, LARGEST, what)
    with stream:
        text = fields.decoded(stream.read(size), what)
    if path.suffix.lower() == ".csv":
        rows = [(n, name.strip(), label.strip()) for n, name, label in guard.listed(path, what)]
    else:
        rows = [(n, row.strip(), "") for n, row in enumerate(text.split("\n"), 1)]
    lines = [Line(n, name, label) for n, name, label in rows if name and not name.startswith("#")]
    if lines and lines[0].number == 1 and lines[0].path.lower() in COLUMN:
        lines = lines[1:]
    if not lines:
        raise RefusedError(f"{what} names no clips")
    return tuple(lines)


def checked(line: Line, root: Path, what: str, by_name: bool) -> Line:
    """The same line once its path is known to stay inside `root`; with `by_name` the folders in it are dropped.

    Errors: `RefusedError` naming the line number.
    """
    where = f"{what}, line {line.number}: path"
    if by_name:
        inside(root, line.name, where)
        return Line(line.number, line.name, line.label)
    try:
        inside(root, line.path, where)
    except RefusedError as refused:
        raise RefusedError(
            f"{refused}, or take file names alone (by_name)" if _absolute(line.path) else str(refused)
        ) from None
    return line


def _absolute(path: str) -> bool:
    return path.startswith(("/", "\\", "~")) or path[1:2] == ":"


def labels(lines: tuple[Line, ...], anomalous: int | None) -> tuple[tuple[bool, ...] | None, str]:
    """Which lines are anomalous, and how that is known: the first `anomalous` ones, a label column, or the names.

    >>> labels((Line(1, "Abuse028_x264_i3d.npy"), Line(2, "Normal_Videos_006_i3d.npy")), None)
    ((True, False), "names holding 'Normal'")

    None when nothing tells.
    Errors: `RefusedError` when more are said to be anomalous than there are.
    """
    if anomalous is not None:
        if not 0 <= anomalous <= len(lines):
            raise RefusedError(f"{anomalous} clips are said to be anomalous, the list names {len(lines)}")
        return tuple(place < anomalous for place in range(len(lines))), f"the first {anomalous} of the list"
    if all(line.label for line in lines):
        normal = [line.label.lower() in {"normal", "a", "0"} for line in lines]
        return tuple(not n for n in normal), "the list's second column"
    if any("label_" in line.name for line in lines):
        return tuple("label_A" not in line.name for line in lines), "names holding 'label_A'"
    if any("normal" in line.path.lower() for line in lines):
        return tuple("normal" not in line.path.lower() for line in lines), "names holding 'Normal'"
    return None, ""


def role(name: str) -> str:
    """What a list file is for, by its name: "test", "train" or "".

    >>> role("ucf-i3d-test.list"), role("ucf-i3d.list"), role("shanghai-i3d-train-10crop.list")
    ('test', '', 'train')
    """
    low = name.lower()
    return "test" if "test" in low else "train" if "train" in low else ""

"""What is wrong with data, one record a problem, so that a reader can go on and list them all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """error: the clip or dataset cannot be used; warning: it can, but look at it; note: what the reader did.

    text    what is wrong, with its numbers
    where   clip, file or line; "" when it concerns the whole
    fix     what to do about it; "" when there is nothing to do
    """

    severity: Severity
    text: str
    where: str = ""
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.where}: {self.text}" if self.where else self.text
        return f"{line}. {self.fix[0].upper()}{self.fix[1:]}" if self.fix else line

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Problems(list[Problem]):
    """Problems in the order they turn up."""

    def error(self, text: str, where: str = "", fix: str = "") -> None:
        self.append(Problem("error", text, where, fix))

    def warning(self, text: str, where: str = "", fix: str = "") -> None:
        self.append(Problem("warning", text, where, fix))

    def note(self, text: str, where: str = "", fix: str = "") -> None:
        self.append(Problem("note", text, where, fix))

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self)


def sentence(problems: Sequence[Problem], limit: int = 5) -> str:
    """The errors among these as one message, the first few in words."""
    errors = [problem for problem in problems if problem.severity == "error"]
    lines = [str(problem) for problem in errors[:limit]]
    if len(errors) > limit:
        lines.append(f"and {len(errors) - limit} more; `python -m core check` lists them all")
    return "\n".join(lines)

"""A run folder: its files are there and whole; nothing of the model is built."""

from pathlib import Path

from core.data import fields, guard
from core.data.check.report import Report
from core.data.problems import Problem
from core.machine.names import RefusedError, opened, shown


def report(path: Path, name: str) -> Report:
    problems: list[Problem] = []
    contents = []
    try:
        stream, size = opened(path / "run.json", 16 << 20, "run.json")
        with stream:
            told = fields.of(fields.parsed(stream.read(size), "run.json"), dict, "what it holds", "run.json")
        config = fields.of(told.get("config", {}), dict, "config", "run.json")
        contents += [f"{shown(key, 40)}: {shown(value, 80)}" for key, value in sorted(config.items())][:40]
    except RefusedError as refused:
        problems.append(Problem("error", str(refused)))
    try:
        arrays = guard.read("safetensors", path / "model.safetensors", what="model.safetensors")
        contents += [f"{shown(key, 60)}: {' x '.join(map(str, a.shape)) or 'a number'}" for key, a in arrays.items()]
        contents.append(f"{sum(a.size for a in arrays.values()):,} weights")
    except RefusedError as refused:
        problems.append(Problem("error", str(refused)))
    return Report(name, "run", tuple(problems), contents=tuple(contents))

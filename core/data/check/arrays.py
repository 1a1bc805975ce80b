"""A single file of arrays: what it holds, entry by entry."""

from pathlib import Path

from core.data import guard
from core.data.check.report import Report
from core.data.problems import Problem
from core.machine.names import shown


def report(path: Path, name: str, pickles: bool) -> Report:
    what = f"file '{shown(name)}'"
    problems: list[Problem] = []
    contents = []
    with guard.Reader(pickles=pickles) as reader:
        facts = reader.read(guard.kind_of(path), path, what, keep=False).facts
    for key, one in facts["arrays"].items():
        shape = " x ".join(map(str, one["shape"])) or "a number"
        extra = [f"values {', '.join(f'{v:g} ({n} times)' for v, n in one['values'])}"] if "values" in one else []
        extra += [f"largest {one['top']:.3g}"] if "top" in one else []
        contents.append(f"{shown(key, 60)}: {one['dtype']} {shape}" + (", " + ", ".join(extra) if extra else ""))
        if one.get("bad"):
            text = f"has {one['bad']} NaN or infinite values, in rows {', '.join(map(str, one['bad_rows']))}"
            problems.append(Problem("error", text, shown(key, 60)))
        if one.get("zero_rows"):
            problems.append(Problem("warning", f"has {one['zero_rows']} rows of zeros", shown(key, 60)))
    if facts.get("skipped"):
        problems.append(Problem("note", f"entries that are no numbers: {', '.join(facts['skipped'])}"))
    return Report(name, "arrays", tuple(problems), contents=tuple(contents))

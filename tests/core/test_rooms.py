"""Every room says what it answers; what it says is there, and is allowed."""

import contextlib
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
CORE = HOME / "core"
ROOMS = sorted(place.name for place in CORE.iterdir() if (place / "__init__.py").is_file())
CONTRACTS = tomllib.loads((CORE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
FLOORS = next(one["layers"] for one in CONTRACTS if one.get("containers") == ["core"])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_tells_what_is_there(room: str) -> None:
    told = (CORE / room / "README.md").read_text()
    assert len(told.splitlines()) <= 16
    names = re.findall(r"`(\w+)\.(\w+)`", told)
    assert names
    for module, name in names:
        if name not in ("py", "md"):
            assert hasattr(importlib.import_module(f"core.{room}.{module}"), name), f"{room}: {module}.{name}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_tells_the_floors_it_stands_on(room: str) -> None:
    last = (CORE / room / "README.md").read_text().strip().splitlines()[-1]
    assert last.startswith("May import: ")
    assert re.findall(r"`(\w+)`", last) == FLOORS[FLOORS.index(room) + 1 :]


def mentioned(pattern: str) -> list[tuple[str, str]]:
    """(file, what it names) wherever prose of ours, code or not, names a file or a thing of ours."""
    told = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.js", "Makefile"], capture_output=True, text=True, cwd=HOME
    )
    files = [name for name in told.stdout.split() if name != "tests/core/test_rooms.py"]
    return [(name, found) for name in files for found in re.findall(pattern, (HOME / name).read_text())]


def test_files_that_are_named_are_there() -> None:
    named = mentioned(r"(?<![\w./])((?:core|app|tests|docs)/[\w/]+\.(?:py|md|js))\b")
    assert len(named) > 20
    assert [each for each in named if not (HOME / each[1]).is_file() and "/new" not in each[1]] == []


def test_things_that_are_named_are_there() -> None:
    named = mentioned(r"`((?:core|app)(?:\.\w+)+)[`(]")
    assert len(named) > 20
    assert [each for each in named if not there(each[1])] == []


def there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            value: object = importlib.import_module(".".join(parts[:count]))
            return all((value := getattr(value, part, None)) is not None for part in parts[count:])
    return False

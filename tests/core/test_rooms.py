"""Every room says what it answers; what it says is there, and is allowed."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core"
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

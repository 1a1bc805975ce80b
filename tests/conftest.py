"""For every test: the process keeps its own main module."""

import sys
from collections.abc import Iterator

import pytest

MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """AppTest leaves `app/main.py` as `__main__`, and a worker process spawned later would import that."""
    sys.modules["__main__"] = MAIN
    yield
    sys.modules["__main__"] = MAIN

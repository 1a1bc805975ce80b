"""For every test: the process keeps its own main module; UMAP is compiled once for all of them."""

import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.explain import plane

MAIN = sys.modules["__main__"]
SLOW = frozenset((Path(__file__).with_name("slow.txt")).read_text().split())  # what `make quick` leaves out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.split("[")[0] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """AppTest leaves `app/main.py` as `__main__`, and a worker process spawned later would import that."""
    sys.modules["__main__"] = MAIN
    yield
    sys.modules["__main__"] = MAIN


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with UMAP's compiled code: one test process compiles, half a minute long, and the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "numba"
    folder.mkdir(exist_ok=True)
    with (folder.parent / "numba.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(folder.rglob("*.nbc")):
            plane.elsewhere(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), folder)
    return folder

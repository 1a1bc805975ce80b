"""One small data set and one sweep of it that ran through."""

from pathlib import Path

import pytest

from core import sweep
from core.dataset import Dataset
from tests.core import made
from tests.core.sweep.made import plan


@pytest.fixture(scope="session")
def clips() -> Dataset:
    return made.dataset(train=16, test=6)


@pytest.fixture(scope="session")
def finished(clips: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that ran through."""
    root = sweep.begin(plan(), clips, tmp_path_factory.mktemp("sweeps"))
    told: list[tuple[float, str]] = []
    done = list(sweep.sweep(root, clips, progress=lambda share, words: told.append((share, words))))
    assert [one.done for one in done] == list(range(1, 9))
    assert told[-1][0] == 1
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    return root

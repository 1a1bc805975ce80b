"""1,000 seeded mutations of every format (as `python -m tests.core.data.fuzz`): no crash, no hang, no growth."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from core.data import lists, native, read
from core.data.problems import Problems
from core.data.rtfm import settings
from core.data.samples import native as stored
from core.machine.names import RefusedError
from tests.core.data import fuzz, hostile
from tests.core.data.made import feature_folder
from tests.core.data.test_native import made
from tests.core.data.test_samples import made as samples

COUNT = 1000


@pytest.mark.parametrize("kind", list(hostile.GOOD))
def test_mutations_neither_crash_nor_hang_the_parent(kind: str) -> None:
    found = fuzz.run(kind, COUNT, seed=0)
    assert found["read"] + found["refused"] + found["broke"] + found["late"] == COUNT
    assert found["read"] < COUNT, "the mutations should reach what is checked"
    assert found["slowest"] < fuzz.CAPS.wall + 5
    assert found["grown"] < 200


def test_mutated_lists_give_lines_inside_the_folder_or_a_refusal(tmp_path: Path) -> None:
    good = "\n".join(f"UCF/Abuse{i:03d}_x264_i3d.npy" for i in range(30)).encode() + b"\n../up.npy\n/etc/passwd\n"
    generator = np.random.default_rng(0)
    place = tmp_path / "a.list"
    for _ in range(COUNT):
        place.write_bytes(fuzz.mutated(good, generator))
        try:
            lines = lists.read(place, "list")
        except RefusedError:
            continue
        for line in lines:
            for by_name in (False, True):
                try:
                    kept = lists.checked(line, tmp_path, "list", by_name)
                except RefusedError:
                    continue
                assert os.path.realpath(tmp_path / kept.path).startswith(os.path.realpath(tmp_path))


def test_a_mutated_index_is_read_or_refused(tmp_path: Path) -> None:
    folder = native.write(made(units=3), tmp_path / "made")
    place = folder / "dataset.json"
    index = json.loads(place.read_text())
    index.pop("sum")
    good = json.dumps(index).encode()
    generator = np.random.default_rng(0)
    for _ in range(COUNT):
        place.write_bytes(fuzz.mutated(good, generator))
        with contextlib.suppress(ValueError):
            native.read(folder)


def test_a_mutated_ground_truth_or_sidecar_is_reported(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    side = b'{"fps": 30, "anomalous": {"train": 2}, "by_name": false, "crops": "mean"}'
    generator = np.random.default_rng(0)
    for _ in range(200):
        (folder / "fusescope.json").write_bytes(fuzz.mutated(side, generator))
        settings.beside(folder, Problems())


@pytest.mark.parametrize("recipe", [False, True])
def test_a_mutated_index_of_samples_or_recipe_is_read_or_refused(tmp_path: Path, recipe: bool) -> None:
    folder = stored.write(samples(), tmp_path / "made")
    place = folder / "dataset.json"
    if recipe:
        place.write_text((Path(__file__).parents[3] / "assets/digits/dataset.json").read_text())
    else:
        index = json.loads(place.read_text())
        index.pop("sum")
        place.write_text(json.dumps(index))
    good = place.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(COUNT // 5 if recipe else COUNT):
        place.write_bytes(fuzz.mutated(good, generator))
        words = ""
        try:
            read(folder)
        except ValueError as refused:
            words = str(refused)
        assert str(tmp_path) not in words

"""Maps on a plane: PCA and exact neighbours against slow ones; UMAP keeps neighbours and nobody waits for it."""

import time
from pathlib import Path

import numpy as np
import pytest

from core.explain import plane


def blobs(count: int = 120, width: int = 6, groups: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    which = random.integers(0, groups, count)
    centres = 10 * random.normal(size=(groups, width))
    return (centres[which] + random.normal(size=(count, width))).astype(np.float32), which


@pytest.mark.parametrize("columns", [2, 4])
def test_pca_is_along_the_covariances_eigenvectors_whose_largest_entry_is_positive(columns: int) -> None:
    rows, _ = blobs()
    centred = rows - rows.mean(0, dtype=np.float64)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :columns]
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(columns)])
    np.testing.assert_allclose(plane.pca(rows, columns), centred @ directions, atol=1e-4)


def test_pca_does_not_flip_with_the_order_of_rows() -> None:
    rows, _ = blobs()
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_allclose(plane.pca(rows[order]), plane.pca(rows)[order], atol=1e-4)


def test_rows_of_one_column_lie_on_a_line() -> None:
    found = plane.pca(np.arange(5.0)[:, None])
    assert found.shape == (5, 2)
    assert not found[:, 1].any()


@pytest.mark.parametrize("rows", [np.zeros((1, 3)), np.ones((5, 4)), np.arange(3.0)[None], np.ones((6, 1))])
def test_equal_rows_and_a_single_one_lie_at_the_origin(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(plane.pca(rows), np.zeros((len(rows), 2)))


def test_neighbours_are_the_nearest_rows() -> None:
    rows, _ = blobs(300)
    index, distance = plane.nearest(rows, 15)
    apart = np.linalg.norm(rows[:, None].astype(np.float64) - rows[None], axis=-1)
    order = apart.argsort(1)[:, :15]
    np.testing.assert_array_equal(index, order)
    np.testing.assert_allclose(distance, np.take_along_axis(apart, order, 1), atol=5e-3)


def test_a_row_with_twins_is_its_own_nearest() -> None:
    rows = np.repeat(blobs(10)[0], 3, axis=0)
    index, distance = plane.nearest(rows, 4)
    np.testing.assert_array_equal(index[:, 0], np.arange(30))
    assert (distance[:, 0] == 0).all()


@pytest.fixture(scope="module")
def background(compiled: Path) -> plane.Background:
    return plane.Background(compiled)


def waited(background: plane.Background, rows: np.ndarray, seconds: float = 240) -> np.ndarray | None:
    for _ in range(int(seconds / 0.1)):
        found, coming = background.look(rows)
        if not coming:
            return found
        time.sleep(0.1)
    pytest.fail(f"no map after {seconds} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_umap_comes_later_keeps_groups_together_and_is_kept(background: plane.Background) -> None:
    rows, which = blobs()
    assert background.look(rows) == (None, True)  # nobody waits
    places = waited(background, rows)
    assert places is not None
    assert places.shape == (120, 2)
    assert not places.flags.writeable
    near = np.linalg.norm(places[:, None] - places[None], axis=-1).argsort(1)[:, 1:6]
    assert (which[near] == which[:, None]).mean() > 0.95
    assert background.look(rows.copy())[0] is places
    again = plane.elsewhere(rows, background.folder(), 240.0)
    np.testing.assert_array_equal(again, places)  # the same seed, the same map
    assert any(background.folder().rglob("*.nbc"))  # compiled code was kept


def test_too_few_rows_have_no_map_and_wait_for_none(tmp_path: Path) -> None:
    assert plane.Background(tmp_path).look(blobs(19)[0]) == (None, False)
    with pytest.raises(ValueError, match="needs 20 rows or more, got 19"):
        plane.umap(blobs(19)[0])


def test_a_process_that_fails_leaves_pca_and_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane.sys, "executable", "/bin/false")
    assert waited(plane.Background(tmp_path), blobs()[0], 20) is None


def test_a_folder_that_cannot_be_written_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = plane.Background(tmp_path / "file" / "below").folder()
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0


def test_only_the_last_maps_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "elsewhere", lambda rows, cache, timeout: plane.pca(rows))
    background = plane.Background(tmp_path, most=2)
    sets = [blobs(30 + n)[0] for n in range(3)]
    for rows in sets:
        assert waited(background, rows, 20) is not None
    assert background.look(sets[2])[0] is not None
    assert background.look(sets[0]) == (None, True)

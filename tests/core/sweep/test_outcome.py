"""What came out, by hand: rows, lines, the best cell and those as good, its runs opened, the record."""

import json
from pathlib import Path

import numpy as np
import pytest

from core import run, sweep
from core.dataset import Dataset
from core.recipe import Recipe, TrainConfig
from core.train.loop import train
from core.workspace import Workspace
from tests.core.sweep.made import plan, table, times


def test_rows_lines_best_and_close_by_hand() -> None:
    random = np.random.default_rng(3)
    values = random.normal(70, 2, size=(4, 3, 3))
    values[1, 2, 1] = np.nan  # a training that diverged
    found = table({"P": range(4), "Q": range(3)}, lambda p, q, s: float(values[p, q, s]), seeds=3)
    row = found.row((0, 1))
    assert row is not None
    assert (row.mean, row.sd, row.n) == (
        pytest.approx(values[0, 1].mean()), pytest.approx(values[0, 1].std(ddof=1)), 3
    )  # fmt: skip
    gap = found.row((1, 2))
    assert gap is not None
    assert (gap.mean, gap.n) == (pytest.approx(np.nanmean(values[1, 2])), 2)
    means = {row.cell: row.mean for row in found.rows if row.n == 3}
    best = max(means, key=means.__getitem__)
    assert found.best is not None
    assert found.best.cell == best
    each = [np.nanstd(values[p, q], ddof=1) for p in range(4) for q in range(3)]
    sd = max(values[best].std(ddof=1), np.median(each))
    assert found.spread == pytest.approx(sd)
    expected = {(p, q) for p in range(4) for q in range(3) if np.nanmean(values[p, q]) >= means[best] - sd}
    assert {row.cell for row in found.close} == expected
    np.testing.assert_allclose(found.lattice(), np.nanmean(values, axis=2))
    first, second = sweep.lines(found)
    np.testing.assert_allclose(first.mean[[0, 2, 3]], values[[0, 2, 3]].mean(axis=(1, 2)))
    np.testing.assert_allclose(first.mean[1], values[1][:, [0, 2]].mean())  # without the seed that a cell lacks
    np.testing.assert_allclose(first.sd[0], values[0].mean(axis=0).std(ddof=1))
    np.testing.assert_allclose(second.mean[0], values[:, 0].mean())
    one = table({"P": (1, 2)}, lambda p, s: float(p))
    assert not one.close
    assert one.best is not None
    assert one.best.cell == (2,)


def test_the_record_is_plain_and_holds_no_nan(finished: Path) -> None:
    found = sweep.results(finished)
    record = json.loads(json.dumps(sweep.record(found, 1.5), allow_nan=False))
    assert (record["done"], record["trainings"], len(record["cells"])) == (8, 8, 4)
    assert sum(effect["share"] for effect in record["importance"]["effects"]) == pytest.approx(1)
    assert "on held-out training clips" in sweep.text(found)


def everything(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder with its bytes and its time."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("own", [{"gate": "none"}, {"gate": "sigmoid"}, {"operator": "outer", "gate": "relu"}])
def test_an_operator_is_read_without_its_model(clips: Dataset, tmp_path: Path, own: dict) -> None:
    done = train(clips, Recipe("lego", {"project": None, "P": 1, **own}, TrainConfig(epochs=1)))
    folder = run.save(done.run, done.model.state_dict(), done.history, tmp_path)
    np.testing.assert_array_equal(sweep.operator(folder), done.model.operator().detach().numpy())
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="is not what was written"):
        sweep.operator(folder)


def test_a_cell_is_opened_once_and_a_sweep_removed_whole(clips: Dataset, tmp_path: Path) -> None:
    root = sweep.begin(plan({"P": (1, 2)}), clips, tmp_path / "sweeps")
    list(sweep.sweep(root, clips))
    row = sweep.results(root).rows[1]
    for _ in range(2):
        assert sweep.promote(root, row, tmp_path / "runs") == list(row.runs.values())
    assert set(run.listing(tmp_path / "runs")) == set(row.runs.values())
    A = sweep.operators(root, row)
    assert A is not None
    each = [run.model(tmp_path / "runs" / name).operator().detach().numpy() for name in row.runs.values()]
    np.testing.assert_allclose(A, np.mean(each, axis=0), rtol=1e-6)
    assert A.shape == (3, 4)
    stamps, before = times(tmp_path), everything(root)
    ticket = sweep.remove(root)
    assert not list((tmp_path / "sweeps").iterdir())
    assert times(tmp_path) == stamps
    assert sweep.listing(tmp_path / "sweeps") == {}
    assert Workspace(tmp_path).put_back(ticket) == root.name
    assert everything(root) == before
    assert sweep.results(root).complete
    assert not list(sweep.sweep(root, clips)), "nothing is to be trained again"
    with sweep.locked(root), pytest.raises(ValueError, match="is at work on this sweep"):
        sweep.remove(root)
    ticket = sweep.remove(root)
    assert sweep.begin(plan({"P": (1, 2)}), clips, tmp_path / "sweeps") == root
    with pytest.raises(ValueError, match=f"something else is called '{root.name}' by now"):
        Workspace(tmp_path).put_back(ticket)
    sweep.remove(root)
    with pytest.raises(ValueError, match="no sweep"):
        sweep.remove(root)

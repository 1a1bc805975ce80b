"""Samples from other people's files: what each format says is read, what is wrong is told with its numbers."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data import check, read
from core.data.problems import Problem
from core.data.samples import foreign, raw, sequences
from core.sample import Samples
from tests.core.data import fuzz, hostile

SHARED = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(not (SHARED / "mfeat").is_dir(), reason="needs ../shared/data")


def table(values: np.ndarray, last: list, header: str = "") -> str:
    lines = [",".join([*map(repr, row), str(end)]) for row, end in zip(values.tolist(), last, strict=True)]
    return "\n".join([header, *lines] if header else lines) + "\n"


def views(root: Path, words: bool = True, count: int = 12) -> dict[str, np.ndarray]:
    """Two .csv views of as many samples, classes in turn."""
    generator = np.random.default_rng(5)
    made = {"fou": generator.standard_normal((count, 3)), "pix": generator.standard_normal((count, 5))}
    last = [("cat", "dog", "eel")[i % 3] if words else 10 * (i % 3) for i in range(count)]
    root.mkdir(parents=True, exist_ok=True)
    for name, values in made.items():
        (root / f"set-{name}.csv").write_text(table(values, last))
    return made


def told(root: Path, **options: object) -> str:
    """The words of the refusal, which the report holds too; never a path of this machine."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(root, **options)
    words = str(caught.value)
    assert str(root) not in words
    report = check.check(root, **options)
    assert not report.ok
    assert report.kind == "tables"
    for line in words.splitlines():
        assert line in report.text() or "python -m core check" in line
    return words


# --- tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [True, False])
def test_views_of_one_folder_become_modalities(tmp_path: Path, words: bool) -> None:
    made = views(tmp_path / "zoo", words)
    found = read(tmp_path / "zoo")
    assert isinstance(found, Samples)
    assert found.task.names == (("cat", "dog", "eel") if words else ("0", "10", "20"))
    assert found.target.tolist() == [i % 3 for i in range(12)]
    for name, values in made.items():
        np.testing.assert_allclose(found.features[name], values, rtol=1e-6)
    (split,) = found.splits
    assert split == "stratified-0"
    assert any("the files give no split: 'stratified-0' is ours, 9 train and 3 test" in note for note in found.notes)


def test_a_single_table_is_one_view(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    found = read(tmp_path / "zoo/set-fou.csv")
    assert found.widths == {"set-fou": 3}


def test_files_named_after_parts_give_the_split(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    for part, count in (("train", 5), ("test", 3)):
        for view in ("a", "b"):
            (root / f"{view}_{part}.csv").write_text(
                table(np.full((count, 2), len(part)), ["x", "y", "y", "x", "z"][:count])
            )
    found = read(root)
    assert {part: rows.tolist() for part, rows in found.splits["files"].items()} == {
        "train": [0, 1, 2, 3, 4],
        "test": [5, 6, 7],
    }
    assert found.features["a"][:, 0].tolist() == [5.0] * 5 + [4.0] * 3
    assert [found.task.names[c] for c in found.target] == ["x", "y", "y", "x", "z", "x", "y", "y"]
    (root / "b_test.csv").unlink()
    assert "view 'b' has no file for the part test" in told(root)


def test_another_seed_or_share_is_another_split_of_that_name(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    found = read(tmp_path / "zoo", seed=3, test=0.5)
    assert {name: len(parts["test"]) for name, parts in found.splits.items()} == {"stratified-3": 6}
    (tmp_path / "zoo/fusescope.json").write_text('{"seed": 3, "test": 0.5}')
    assert read(tmp_path / "zoo").digest() == found.digest()
    assert list(read(tmp_path / "zoo", seed=4).splits) == ["stratified-4"]
    assert len(read(tmp_path / "zoo", seed=4).splits["stratified-4"]["test"]) == 6


def test_numbers_that_are_not_whole_are_a_target(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    values = np.random.default_rng(0).standard_normal((10, 2))
    (root / "a.csv").write_text(table(values, [i / 7 for i in range(10)]))
    found = read(root, names=["price"])
    assert (found.task.kind, found.task.names) == ("real", ("price",))
    assert list(found.splits) == ["random-0"]
    np.testing.assert_allclose(found.target[:, 0], np.arange(10) / 7, rtol=1e-6)
    assert "not whole; classes are asked for" in told(root, target="class")
    (root / "a.csv").write_text(table(values, list(range(10))))
    assert read(root, target="real").task.kind == "real"


def test_a_header_that_counts_is_no_sample(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    place = tmp_path / "zoo/set-pix.csv"
    place.write_text("0,1,2,3,4,0\n" + place.read_text())
    found = read(tmp_path / "zoo")
    assert len(found) == 12
    assert any("counts their columns" in note for note in found.notes)


def test_every_problem_of_the_tables_is_told_with_its_numbers(tmp_path: Path) -> None:
    made = views(tmp_path / "zoo")
    place = tmp_path / "zoo/set-pix.csv"
    last = [("cat", "dog", "eel")[i % 3] for i in range(12)]
    place.write_text(table(made["pix"], [*last[:11], "dog"]))
    assert "'fou' and 'pix' give 1 of 12 rows another class, first row 11: 'eel' and 'dog'" in told(tmp_path / "zoo")
    place.write_text(table(made["pix"][:11], last[:11]))
    assert "row counts differ: 'fou' 12, 'pix' 11" in told(tmp_path / "zoo")
    broken = made["pix"].copy()
    broken[3, 1], broken[7, 0] = np.nan, np.inf
    place.write_text(table(broken, last))
    assert "view 'pix': 2 of 60 values are NaN, infinite or missing, in rows 3, 7" in told(tmp_path / "zoo")
    place.write_text(table(made["pix"] * 1e20, last))
    assert "view 'pix': has values up to" in told(tmp_path / "zoo")
    place.write_text(place.read_text().replace(",cat", ",cat,more", 1))
    assert "file 'set-pix.csv': line 2 has 6 cells, the first line has 7" in told(tmp_path / "zoo")


def test_classes_that_teach_nothing_are_told(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    values = np.random.default_rng(0).standard_normal((40, 2))
    (root / "a.csv").write_text(table(values, ["one"] * 40))
    assert "there is one class only, 'one'" in told(root)
    (root / "a.csv").write_text(table(values, list(range(40))))
    assert "40 classes for 40 samples. Give target=real" in told(root)
    (root / "a.csv").write_text(table(values, ["a", "b"] * 20))
    assert "3 names are given for 2 classes" in told(root, names=["x", "y", "z"])
    (root / "a.csv").write_text(table(values, [*(["a", "b"] * 19), "a", "rare"]))
    assert "1 classes have a single sample, first 'rare'" in check.check(root).text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"format": "xls"}, "csv or mat or h5 or pickle is needed"),
        ({"pickle": 1}, "option pickle is 1"),
        ({"test": 1.5}, "a share between 0 and 1"),
        ({"seed": True}, "a whole number"),
        ({"names": ["a", "a"]}, "a list of different texts"),
        ({"anomalous": {}}, "there is no option 'anomalous'; there are format, target"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, given: dict, words: str) -> None:
    views(tmp_path / "zoo")
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "zoo", **given)


def test_formats_are_not_mixed_unless_one_is_named(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    (tmp_path / "zoo/a.mat").write_bytes(hostile.good_mat())
    assert "csv: 2 files; mat: 1 files" in told(tmp_path / "zoo").replace(
        "mat: 1 files; csv: 2 files", "csv: 2 files; mat: 1 files"
    )
    assert set(read(tmp_path / "zoo", format="csv").widths) == {"fou", "pix"}
    assert set(read(tmp_path / "zoo", format="mat").widths) == {"view1", "view2"}


@pytest.mark.parametrize("name", ["![x](http:) <b>.csv", "x" * 150 + ".csv", "--.csv"])
def test_hostile_file_names_become_plain_modalities(tmp_path: Path, name: str) -> None:
    views(tmp_path / "zoo")
    (tmp_path / "zoo" / name).write_bytes((tmp_path / "zoo/set-fou.csv").read_bytes())
    found = read(tmp_path / "zoo")
    assert len(found.widths) == 3
    text = check.check(tmp_path / "zoo").text()
    assert "\u202e" not in text
    assert all(len(line) < 300 for line in text.splitlines())


def test_file_names_that_cannot_be_seen_are_refused_escaped(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    (tmp_path / "zoo/set-fou.csv").rename(tmp_path / "zoo/\u202eevil.csv")
    words = told(tmp_path / "zoo")
    assert r"file '\u202eevil.csv' holds control or invisible characters" in words
    assert "\u202e" not in words


@given(st.lists(st.text("ab2-_!? ") | st.text(max_size=60), min_size=1, max_size=8, unique=True))
def test_any_file_names_give_different_modality_names(stems: list[str]) -> None:
    from core.clip import MODALITY

    names = raw.modality_names(stems)
    assert len(set(names)) == len(stems)
    assert all(MODALITY.fullmatch(name) for name in names)


# --- MATLAB ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_cells_of_views_in_rows_or_columns_are_the_same_samples(tmp_path: Path, side: str) -> None:
    generator = np.random.default_rng(0)
    made = [generator.standard_normal((8, 3)), generator.standard_normal((8, 5))]
    cells = np.empty((1, 2), dtype=object)
    for place, values in enumerate(made):
        cells[0, place] = values if side == "rows" else values.T
    scipy.io.savemat(tmp_path / "set.mat", {"X": cells, "y": np.array([[1, 2] * 4]).T, "note": "words"})
    found = read(tmp_path / "set.mat")
    for place, values in enumerate(made, 1):
        np.testing.assert_allclose(found.features[f"view{place}"], values, rtol=1e-6)
    assert found.task.names == ("1", "2")
    assert any(f"samples lie in the {side} of view1, view2" in note for note in found.notes)


def test_a_square_view_is_said_and_can_be_turned(tmp_path: Path) -> None:
    square = np.arange(36.0).reshape(6, 6)
    scipy.io.savemat(tmp_path / "set.mat", {"a": square, "gnd": np.arange(6) % 2})
    found = read(tmp_path / "set.mat")
    np.testing.assert_array_equal(found.features["a"], square)
    assert any("is 6 x 6: its rows are taken as samples" in note for note in found.notes)
    turned = read(tmp_path / "set.mat", orientation="columns")
    np.testing.assert_array_equal(turned.features["a"], square.T)


def test_one_hot_labels_are_classes_and_other_matrices_targets(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((6, 2))
    scipy.io.savemat(tmp_path / "set.mat", {"a": values, "y": np.eye(3)[[0, 1, 2, 2, 1, 0]].T})
    assert read(tmp_path / "set.mat").target.tolist() == [0, 1, 2, 2, 1, 0]
    scipy.io.savemat(tmp_path / "set.mat", {"a": values, "y": values * 2})
    found = read(tmp_path / "set.mat")
    assert found.task.kind == "real"
    np.testing.assert_allclose(found.target, values * 2, rtol=1e-6)


def test_mat_files_without_views_or_classes_say_so(tmp_path: Path) -> None:
    place = tmp_path / "set.mat"
    values = np.random.default_rng(0).standard_normal((6, 2))
    scipy.io.savemat(place, {"a": values})
    assert "none is called y, gt or labels" in told(place)
    scipy.io.savemat(place, {"a": values, "y": np.arange(6) % 2, "gt": np.arange(6) % 2})
    assert "one of them too many" in told(place)
    scipy.io.savemat(place, {"a": values, "y": np.arange(7) % 2})
    assert "no matrix with 7 rows or columns" in told(place)
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = values, np.ones((5, 4))
    scipy.io.savemat(place, {"X": cells, "y": np.arange(6) % 2})
    assert "'X.1': is 5 x 4, but there are 6 classes" in told(place)


def wikipedia(root: Path, train: int = 6, test: int = 4) -> Path:
    generator = np.random.default_rng(0)
    root.mkdir(exist_ok=True)
    made = {
        f"{a}_{b}": generator.random((n, d)) for b, n in (("tr", train), ("te", test)) for a, d in (("I", 5), ("T", 3))
    }
    scipy.io.savemat(root / "raw_features.mat", made)
    for part, count in (("train", train), ("test", test)):
        lines = [f"text{part}{i}\timage{i}\t{i % 2 + 1}" for i in range(count)]
        (root / f"{part}set_txt_img_cat.list").write_text("\n".join(lines) + "\n")
    (root / "categories.list").write_text("art\nbiology\n")
    return root


def test_the_wikipedia_layout_keeps_its_split_names_and_categories(tmp_path: Path) -> None:
    root = wikipedia(tmp_path / "wiki")
    found = read(root)
    assert found.widths == {"image": 5, "text": 3}
    assert found.task.names == ("art", "biology")
    assert {part: rows.tolist() for part, rows in found.splits["published"].items()} == {
        "train": [0, 1, 2, 3, 4, 5],
        "test": [6, 7, 8, 9],
    }
    assert found.target.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert found.names[6] == "texttest0 · image0"
    (root / "categories.list").write_text("art\n")
    assert "classes run from 1 to 2, 1 are named" in told(root)
    (root / "testset_txt_img_cat.list").write_text("a\tb\t1\n")
    assert "I_te has 4 rows, 'testset_txt_img_cat.list' has 1" in told(root)
    (root / "testset_txt_img_cat.list").write_text("a\tb\n")
    assert "line 1: text, image and a class number are needed" in told(root)
    (root / "testset_txt_img_cat.list").unlink()
    assert "is not beside it" in told(root)


# --- sequences ------------------------------------------------------------------------------------------------


def mfn(root: Path, target: np.ndarray | None = None) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    root.mkdir(exist_ok=True)
    whole = {}
    for part, count in (("train", 6), ("valid", 2), ("test", 3)):
        for name, width in (("audio", 4), ("video", 3)):
            values = generator.standard_normal((count, 5, width))
            values[:, :2] = 0  # padding
            whole[f"{name}_{part}"] = values
        whole[f"y_{part}"] = generator.standard_normal((count, 2)) if target is None else target[:count]
        for name in ("audio", "video", "y"):
            with h5py.File(root / f"{name}_{part}.h5", "w") as file:
                file["d1"] = whole[f"{name}_{part}"]
    return whole


def test_sequences_become_means_over_what_is_not_padding(tmp_path: Path) -> None:
    whole = mfn(tmp_path / "pom")
    found = read(tmp_path / "pom")
    for name in ("audio", "video"):
        slow = np.concatenate([whole[f"{name}_{part}"][:, 2:].mean(1) for part in ("train", "valid", "test")])
        np.testing.assert_allclose(found.features[name], slow, rtol=1e-5)
    assert (found.task.kind, found.task.names) == ("real", ("target 0", "target 1"))
    assert {part: rows.tolist() for part, rows in found.splits["files"].items()} == {
        "train": [0, 1, 2, 3, 4, 5],
        "valid": [6, 7],
        "test": [8, 9, 10],
    }
    assert any("all-zero steps left out (3.0 steps are left on average)" in note for note in found.notes)
    assert read(tmp_path / "pom", names=["warm", "bold"]).task.names == ("warm", "bold")


@given(
    hnp.arrays(np.float64, (3, 4, 2), elements=st.floats(-100, 100)),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_padding_never_changes_the_mean(values: np.ndarray, padding: list[int]) -> None:
    longer = np.concatenate([values, np.zeros((3, max(padding) + 1, 2))], axis=1)
    short, _ = sequences.pooled(values)
    long, _ = sequences.pooled(longer)
    np.testing.assert_allclose(short, long, atol=1e-9)
    slow = [np.mean([row for row in sample if row.any()], axis=0) if sample.any() else np.zeros(2) for sample in values]
    np.testing.assert_allclose(short, slow, atol=1e-9)


def test_whole_targets_of_one_column_are_classes(tmp_path: Path) -> None:
    mfn(tmp_path / "set", np.array([3, 5, 3, 5, 3, 5])[:, None])
    found = read(tmp_path / "set")
    assert (found.task.kind, found.task.names) == ("class", ("3", "5"))
    assert read(tmp_path / "set", target="real").task.kind == "real"


def test_h5_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    root = tmp_path / "set"
    mfn(root)
    with h5py.File(root / "audio_test.h5", "w") as file:
        file["d1"] = np.ones((2, 5, 4))
    assert "part test: row counts differ: 'audio' 2, 'video' 3, 'y' 3" in told(root)
    with h5py.File(root / "audio_test.h5", "w") as file:
        file["d1"] = np.ones((3, 5, 9))
    assert "'audio': has shapes train (6, 5, 4), valid (2, 5, 4), test (3, 5, 9)" in told(root)
    (root / "audio_test.h5").write_bytes(hostile.good_h5()[:-40])
    assert "file 'audio_test.h5'" in told(root)
    (root / "audio_test.h5").unlink()
    assert "left out because not every part has it: audio" in check.check(root).text()
    (root / "video_test.h5").rename(root / "video.h5")
    assert "not named after its part" in told(root)


def pickled(root: Path, swap: bool = False) -> Path:
    generator = np.random.default_rng(2)
    parts = {
        part: {
            "vision": generator.standard_normal((n, 4, 3)).astype(np.float32),
            "text": generator.standard_normal((n, 4, 2)),
            "labels": generator.standard_normal((n, 1, 1)),
            "id": [f"clip{i}" for i in range(n)],
        }
        for part, n in (("train", 5), ("valid", 2), ("test", 3))
    }
    if swap:
        parts = {what: {part: entry[what] for part, entry in parts.items()} for what in ("vision", "text", "labels")}
    root.mkdir(parents=True, exist_ok=True)
    (root / "mosi.pkl").write_bytes(pickle.dumps(parts))
    return root


@pytest.mark.parametrize("swap", [False, True])
def test_pickled_dictionaries_are_read_when_asked_for(tmp_path: Path, swap: bool) -> None:
    root = pickled(tmp_path / "mosi", swap)
    found = read(root, pickle=True)
    assert found.widths == {"vision": 3, "text": 2}
    assert (found.task.kind, found.task.outputs) == ("real", 1)
    assert {part: len(rows) for part, rows in found.splits["files"].items()} == {"train": 5, "valid": 2, "test": 3}
    assert read(root / "mosi.pkl", pickle=True).digest() == found.digest()
    assert check.check(root, pickle=True).samples == 10


def test_pickles_are_off_and_a_folder_cannot_ask_for_them(tmp_path: Path) -> None:
    root = pickled(tmp_path / "mosi")
    assert "is a pickle, which can run code" in told(root)
    (root / "fusescope.json").write_text('{"pickle": true}')
    assert "asked for by whoever reads the folder" in told(root)


def test_a_pickle_that_runs_code_does_not_run_it(tmp_path: Path) -> None:
    root = pickled(tmp_path / "mosi")
    (root / "mosi.pkl").write_bytes(pickle.dumps({"train": {"vision": hostile.Evil(tmp_path / "mark")}}))
    assert "neither numpy nor a container" in told(root, pickle=True)
    assert not (tmp_path / "mark").exists()


# --- everything -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "mat", "h5", "pickle"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    """12 mutations each through the whole reader: a sample set, or a sentence."""
    root = tmp_path / "set"
    if kind == "csv":
        views(root)
        place = root / "set-pix.csv"
    elif kind == "mat":
        place = wikipedia(root) / "raw_features.mat"
    elif kind == "h5":
        mfn(root)
        place = root / "audio_train.h5"
    else:
        place = pickled(root) / "mosi.pkl"
    good = place.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(12):
        place.write_bytes(fuzz.mutated(good, generator))
        examined = foreign.examine(root, {"pickle": True})
        assert examined.samples is not None or any(p.severity == "error" for p in examined.problems)
        assert all(isinstance(p, Problem) and str(root) not in str(p) for p in examined.problems)


def test_a_broken_sidecar_is_told(tmp_path: Path) -> None:
    views(tmp_path / "zoo")
    (tmp_path / "zoo/fusescope.json").write_text("{")
    assert "cannot be read as JSON" in told(tmp_path / "zoo")
    (tmp_path / "zoo/fusescope.json").write_text(json.dumps({"test": "half"}))
    assert "a share between 0 and 1 is needed" in told(tmp_path / "zoo")


@real_data
def test_the_real_sets_have_their_published_sizes() -> None:
    mfeat = read(SHARED / "mfeat")
    assert mfeat.widths == {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
    assert mfeat.target.bincount().tolist() == [200] * 10
    wiki = read(SHARED / "wikipedia")
    assert (wiki.widths, len(wiki)) == ({"image": 128, "text": 10}, 2866)
    assert [len(rows) for rows in wiki.splits["published"].values()] == [2173, 693]
    assert wiki.task.names[0] == "art"
    pom = read(SHARED / "pom")
    assert (pom.widths, pom.task.outputs) == ({"audio": 43, "video": 41}, 17)
    assert [len(rows) for rows in pom.splits["files"].values()] == [600, 100, 203]


def test_very_many_files_of_one_name_are_told_apart_in_one_pass() -> None:
    """What an archive may hold: 4,096 of them; trying each number anew would take hours."""
    names = raw.modality_names(["a" + "!" * count for count in range(1, 4097)])
    assert names[:3] == ["a", "a-2", "a-3"]
    assert len(set(names)) == 4096

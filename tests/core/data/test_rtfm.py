"""The field's feature folders: whatever the layout, the same clips come out; whatever is wrong is said in numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clip import frame_labels, unit_labels
from core.data import check, lists, native, read, rows, rtfm
from core.data.rtfm import arrays
from core.data.rtfm.truth import shifted
from core.machine.names import RefusedError
from tests.core.data.made import LENGTHS, SPANS, TEST, feature_folder, frame_truth


def problems(folder: Path, severity: str = "error", **options) -> str:
    found = rtfm.examine(folder, rtfm.options(options) if options else None).problems
    return "\n".join(str(problem) for problem in found if problem.severity == severity)


# --- layouts --------------------------------------------------------------------------------------------------


def test_every_layout_holds_the_same_clips(tmp_path: Path) -> None:
    read_ = {layout: read(feature_folder(tmp_path / layout, layout=layout)) for layout in ("tcd", "ctd", "files")}
    first = read_["tcd"]
    assert list(first.clips) == [*LENGTHS, *TEST]
    assert first.clips["Arson010_x264"].features["i3d"].shape == (10, 11, 16)
    for dataset in read_.values():
        for name, clip in first.clips.items():
            for modality, values in clip.features.items():
                torch.testing.assert_close(dataset.clips[name].features[modality], values, rtol=0, atol=0)
    single = read(feature_folder(tmp_path / "td", layout="td"))
    assert single.clips["Arson010_x264"].features["i3d"].shape == (11, 16)
    torch.testing.assert_close(
        single.clips["Arson010_x264"].features["i3d"], first.clips["Arson010_x264"].features["i3d"][0]
    )


def test_five_crops_are_found_too(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "xd", layout="ctd", crops=5)
    assert read(folder).clips["Robbery012_x264"].features["i3d"].shape == (5, 5, 16)


def test_a_clip_of_ten_units_does_not_confuse_the_crop_axis(tmp_path: Path) -> None:
    """(10, 10, 16) alone could be read both ways; its neighbours decide."""
    folder = feature_folder(tmp_path / "made", layout="ctd")
    values = np.arange(1600, dtype=np.float32).reshape(10, 10, 16)
    np.save(folder / "i3d/Abuse001_x264_i3d.npy", values)
    np.save(folder / "emb/Abuse001_x264_emb.npy", np.ones((10, 8), np.float32))
    torch.testing.assert_close(read(folder).clips["Abuse001_x264"].features["i3d"], torch.from_numpy(values))


def test_mean_of_crops_is_the_mean_of_crops(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    whole = read(folder).clips["Fight002_x264"].features["i3d"]
    torch.testing.assert_close(read(folder, crops="mean").clips["Fight002_x264"].features["i3d"], whole.mean(0))


def test_what_was_read_can_be_kept_as_a_native_folder(tmp_path: Path) -> None:
    before = read(feature_folder(tmp_path / "made"))
    after = read(native.write(before, tmp_path / "kept"))
    assert after.digest() == before.digest()


def test_folders_tell_modalities_apart_only_where_they_hold_the_same_videos(tmp_path: Path) -> None:
    for modality, width in (("rgb", 4), ("flow", 3)):
        for part, name in (("train", "01"), ("test", "01"), ("test", "02")):
            (tmp_path / "a" / modality / part).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "a" / modality / part / f"{name}.npy", np.ones((6, width), np.float32))
    dataset = read(tmp_path / "a")
    assert dataset.widths == {"flow": 3, "rgb": 4}
    assert dataset.splits == {"folders": {"train": ("train-01",), "test": ("test-01", "02")}} or set(dataset.clips) == {
        "train-01",
        "test-01",
        "02",
    }
    for kind, name in (("Abuse", "Abuse001"), ("Normal", "Normal002")):
        (tmp_path / "b" / kind).mkdir(parents=True)
        for crop in range(10):
            np.save(tmp_path / "b" / kind / f"{name}__{crop}.npy", np.ones((6, 4), np.float32))
    assert read(tmp_path / "b").widths == {"features": 4}


def test_endings_can_be_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}-video.npy", np.ones((6, 4), np.float32))
        np.save(tmp_path / f"{name}-words.npy", np.ones((6, 3), np.float32))
    dataset = read(tmp_path, modalities={"motion": "-video", "text": "-words"})
    assert dataset.widths == {"motion": 4, "text": 3}
    assert list(dataset.clips) == ["a", "b"]


# --- lists and labels -----------------------------------------------------------------------------------------


def test_labels_come_from_names_or_from_the_count_told(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    flags = {name: clip.anomalous for name, clip in read(folder).clips.items() if name in LENGTHS}
    assert flags == {"Abuse001_x264": True, "Fight002_x264": True, "Normal_Videos_003_x264": False}
    told = {
        name: clip.anomalous for name, clip in read(folder, anomalous={"train": 1}).clips.items() if name in LENGTHS
    }
    assert list(told.values()) == [True, False, False]


@given(st.integers(0, 20), st.integers(0, 20))
def test_exactly_the_first_are_anomalous(count: int, told: int) -> None:
    lines = tuple(lists.Line(i + 1, f"v{i}.npy") for i in range(count))
    if told > count:
        with pytest.raises(RefusedError, match=f"{told} clips are said to be anomalous, the list names {count}"):
            lists.labels(lines, told)
    else:
        flags, _ = lists.labels(lines, told)
        assert flags == (True,) * told + (False,) * (count - told)


def test_xd_violence_names_and_vadclip_columns_tell() -> None:
    xd = (lists.Line(1, "a__#1_label_B1-0-0_i3d.npy"), lists.Line(2, "b__#0_label_A_i3d.npy"))
    assert lists.labels(xd, None)[0] == (True, False)
    columns = (lists.Line(2, "a.npy", "Abuse"), lists.Line(3, "b.npy", "Normal"))
    assert lists.labels(columns, None)[0] == (True, False)


def test_a_table_with_labels_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\nx/a__0.npy,Abuse\nx/b__0.npy,Normal\n")
    assert [(line.number, line.name, line.label) for line in lists.read(tmp_path / "t.csv", "t")] == [
        (2, "a__0.npy", "Abuse"),
        (3, "b__0.npy", "Normal"),
    ]


def test_nothing_that_tells_labels_is_said_with_the_known_counts(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    for place in folder.rglob("Normal*"):
        place.rename(place.with_name(place.name.replace("Normal", "Plain")))
    for place in folder.glob("*.list"):
        place.write_text(place.read_text().replace("Normal", "Plain"))
    said = problems(folder, "warning")
    assert "nothing tells which of its clips are anomalous" in said
    assert "ShanghaiTech 63" in said
    assert read(folder).clips["Abuse001_x264"].anomalous is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/etc/passwd", r"line 4: path '/etc/passwd' is absolute; .* file names alone \(by_name\)"),
        ("../../secret_i3d.npy", "line 4: path '../../secret_i3d.npy' leaves the dataset's folder by '..'"),
        ("i3d/../../x_i3d.npy", "line 4: .* leaves the dataset's folder by '..'"),
        ("http://evil.example/x_i3d.npy", "line 4: .* is an address"),
        ("file:/etc/passwd", "line 4: .* is an address"),
        ("C:\\data\\x_i3d.npy", "line 4: .* is absolute"),
        ("~/x_i3d.npy", "line 4: .* is absolute"),
        ("out/x_i3d.npy", "line 4: .* is a link that leaves the dataset's folder"),
        ("i3d/gone_i3d.npy", "line 4: no feature file belongs to 'i3d/gone_i3d.npy'"),
        ("i3d/Fight002_x264_i3d.npy", "line 4: clip 'Fight002_x264' is listed a second time"),
        ("i3d/a\u202eb_i3d.npy", r"line 4: .*a\\u202eb_i3d.npy' holds control or invisible"),
        ("x" * 5000, "line 4: .*has 5000 characters"),
    ],
)
def test_a_line_that_leads_elsewhere_is_refused_by_its_number(tmp_path: Path, line: str, words: str) -> None:
    import re

    folder = feature_folder(tmp_path / "made")
    (tmp_path / "x_i3d.npy").write_bytes(b"secret")
    (folder / "out").symlink_to(tmp_path)
    place = folder / "made-i3d-train.list"
    place.write_text(place.read_text() + line + "\n", encoding="utf-8")
    said = problems(folder)
    assert re.search(words, said), said
    assert str(tmp_path) not in said


def test_lists_of_another_machine_are_read_by_name_when_asked(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    expected = read(folder).digest()
    for place in folder.glob("*.list"):
        place.write_text(place.read_text().replace("i3d/", "/home/someone/UCF/"))
    assert "is absolute" in problems(folder)
    assert read(folder, by_name=True).digest() == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\xff\xfe.npy\n", "is not UTF-8 text: byte 1 is 0xff"),
        (b"a.npy\nb\0.npy\n", "line 2 holds a zero byte"),
        (b"\n\n# only words\n", "names no clips"),
        (b"", "is empty"),
        (b"a.npy\n" * 200_000, "has 1,200,000 bytes; at most 1,048,576"),
    ],
)
def test_lists_that_are_no_lists(tmp_path: Path, content: bytes, words: str) -> None:
    folder = feature_folder(tmp_path / "made")
    (folder / "made-i3d-train.list").write_bytes(content)
    assert words in problems(folder)


def test_a_pipe_for_a_list_does_not_hang(tmp_path: Path) -> None:
    import os

    folder = feature_folder(tmp_path / "made")
    (folder / "made-i3d-train.list").unlink()
    os.mkfifo(folder / "made-i3d-train.list")
    assert "is not a regular file" in problems(folder)


def test_two_lists_that_could_be_it_are_asked_about(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    (folder / "other-test.list").write_text("i3d/Abuse001_x264_i3d.npy\n")
    assert "2 lists could be the test list: made-i3d-test.list, other-test.list. Name one by test" in problems(folder)
    assert read(folder, train="made-i3d-train.list", test="made-i3d-test.list").splits["lists"]["test"] == tuple(TEST)


def test_of_two_lists_the_one_without_a_word_is_for_training(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    (folder / "made-i3d-train.list").rename(folder / "made-i3d.list")
    assert read(folder).splits["lists"]["train"] == tuple(LENGTHS)


def test_options_can_lie_beside_the_data(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    (folder / "fusescope.json").write_text(json.dumps({"fps": 30, "anomalous": {"train": 1}}))
    dataset = read(folder)
    assert dataset.fps == 30
    assert [dataset.clips[name].anomalous for name in LENGTHS] == [True, False, False]
    (folder / "fusescope.json").write_text('{"fsp": 30}')
    assert "there is no option 'fsp'; there are train, test" in problems(folder)


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0}, {"fps": "30"}, {"crops": 3}, {"anomalous": 7}, {"anomalous": {"train": -1}}, {"shift": 1.5}, {"x": 1}],
)
def test_options_that_make_no_sense_are_refused_by_name(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"option.*{next(iter(wrong))}"):
        read(feature_folder(tmp_path / "made"), **wrong)


# --- ground truth ---------------------------------------------------------------------------------------------


def test_a_ground_truth_by_frames_is_each_clip_in_list_order(tmp_path: Path) -> None:
    dataset = read(feature_folder(tmp_path / "made"))
    for name, spans in SPANS.items():
        assert dataset.clips[name].truth == tuple(spans)
        assert dataset.clips[name].labels.tolist() == unit_labels(tuple(spans), TEST[name]).tolist()
    assert all(dataset.clips[name].truth is None for name in LENGTHS)


def test_a_ground_truth_by_units_gives_the_same_unit_labels(tmp_path: Path) -> None:
    by_frames = read(feature_folder(tmp_path / "frames"))
    folder = feature_folder(tmp_path / "units")
    labels = torch.cat([by_frames.clips[name].labels for name in TEST]).numpy().astype(np.int64)
    np.save(folder / "gt-made.npy", labels)
    by_units = read(folder)
    for name in TEST:
        assert by_units.clips[name].labels.tolist() == by_frames.clips[name].labels.tolist()


def test_a_ground_truth_that_fits_neither_names_both_lengths(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "gt-made.npy", np.zeros(300))
    said = problems(folder)
    assert "has 300 entries; the 3 clips of the test list have 24 units, so 384 (one a frame, 16 a unit) or 24" in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full(384, 2.0), "holds 384 entries that are neither 0 nor 1 (such as 2)"),
        (np.where(frame_truth() > 0, 1, -1), "holds 280 entries that are neither 0 nor 1 (such as -1)"),
        (np.full(384, np.nan), "neither 0 nor 1"),
        (np.zeros((24, 16)), "has shape (24, 16); one row of 0 and 1 is needed"),
        (np.array([{}], dtype=object), "Python objects"),
    ],
)
def test_a_ground_truth_that_is_not_0_and_1_is_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "gt-made.npy", values, allow_pickle=True)
    assert words in problems(folder)


def spilling(shift: int) -> np.ndarray:
    """A ground truth where two anomalies run to the end of their clips and one begins with its clip, then moved."""
    parts = [np.zeros(n * 16) for n in TEST.values()]
    parts[0][60:] = 1
    parts[1][:50] = shift < 0
    parts[1][100:] = 1
    parts[2][30:40] = 1
    return np.roll(np.concatenate(parts), shift)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_ground_truth_shifted_by_one_frame_is_noticed_and_can_be_moved_back(tmp_path: Path, shift: int) -> None:
    folder = feature_folder(tmp_path / "made")
    truth = spilling(shift)
    if shift < 0:  # the mirror image: anomalies that begin with their clips spill into the clip before
        truth = np.roll(np.concatenate([np.zeros(176), np.ones(40), np.zeros(88), np.ones(20), np.zeros(60)]), -1)
    np.save(folder / "gt-made.npy", truth)
    said = problems(folder, "warning")
    assert f"looks shifted, one frame too {'late' if shift > 0 else 'early'}" in said
    assert f"Shift={shift} moves it" in said
    fixed = read(folder, shift=shift)
    clean = np.roll(truth, -shift)
    for name, start in zip(TEST, np.cumsum([0, *TEST.values()]) * 16, strict=False):
        expected = torch.from_numpy(clean[start : start + TEST[name] * 16].astype(bool))
        assert frame_labels(fixed.clips[name].truth, TEST[name] * 16).tolist() == expected.tolist()


def test_edges_beside_the_borders_of_units_are_noticed(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    labels = np.zeros(384)
    for start, stop in ((16, 48), (64, 96), (208, 256)):
        labels[start:stop] = 1
    np.save(folder / "gt-made.npy", labels)
    assert "shifted" not in problems(folder, "warning")
    np.save(folder / "gt-made.npy", np.roll(labels, 1))
    assert "6 of 6 edges lie one frame after the border of a unit" in problems(folder, "warning")


def test_intervals_beside_the_data_show_a_shift(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    (folder / "intervals.json").write_text(json.dumps({"anomalous_frames": {name: s for name, s in SPANS.items()}}))
    assert "shifted" not in problems(folder, "warning")
    np.save(folder / "gt-made.npy", np.roll(frame_truth(), 1))
    assert "6 frames of 3 clips disagree with intervals.json, moved by one 0" in problems(folder, "warning")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 20), st.floats(0.1, 0.9), st.floats(0.1, 0.5)), min_size=2, max_size=8))
def test_a_truth_inside_its_clips_is_never_called_shifted_for_spilling(clips: list) -> None:
    units = [count for count, _, _ in clips]
    parts = []
    for count, start, length in clips:
        labels = np.zeros(count * 16, dtype=bool)
        first = int(start * count * 16)
        labels[first : first + max(2, int(length * count * 16))] = True
        parts.append(labels)
    found = shifted(np.concatenate(parts), units, 16)
    assert found is None or "clips" not in found[1]


# --- numbers --------------------------------------------------------------------------------------------------


def test_lengths_that_differ_by_one_are_cut_and_said(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Arson010_x264_emb.npy", np.ones((10, 8), np.float32))
    dataset = read(folder)
    assert dataset.clips["Arson010_x264"].units == 10
    assert any(
        "clip 'Arson010_x264': unit counts differ by one (i3d 11, emb 10); cut to 10" in n for n in dataset.notes
    )
    assert dataset.clips["Robbery012_x264"].truth == ((3, 33), (40, 64)), "the ground truth still counts 11 units"


def test_lengths_that_differ_by_more_are_refused_with_clip_modalities_and_lengths(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Arson010_x264_emb.npy", np.ones((14, 8), np.float32))
    np.save(folder / "emb/Abuse001_x264_emb.npy", np.ones((2, 8), np.float32))
    said = problems(folder)
    assert "clip 'Arson010_x264': unit counts differ by 3: i3d 11, emb 14" in said
    assert "clip 'Abuse001_x264': unit counts differ by 4: i3d 6, emb 2" in said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "clip 'Fight002_x264': modality 'emb' has 2 NaN or infinite values, in units 3, 7"),
        (np.inf, "clip 'Fight002_x264': modality 'emb' has 2 NaN or infinite values, in units 3, 7"),
        (1e30, "clip 'Fight002_x264': modality 'emb' has values up to 1e+30; beyond 1e+15 products overflow"),
    ],
)
def test_numbers_that_poison_results_are_refused_with_their_units(tmp_path: Path, value: float, words: str) -> None:
    folder = feature_folder(tmp_path / "made")
    values = np.ones((9, 8), np.float32)
    values[3, 2] = values[7, 0] = value
    np.save(folder / "emb/Fight002_x264_emb.npy", values)
    assert words in problems(folder)


def test_wide_floats_that_overflow_float32_are_refused(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Fight002_x264_emb.npy", np.full((9, 8), 1e300))
    assert "values up to 1e+300" in problems(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((0, 8), np.float32), "shape (0, 8): there is nothing in it"),
        (np.zeros(8, np.float32), "has 1 axes"),
        (np.zeros((9, 5), np.float32), "'emb' is 5 wide in 1 clips, 8 in the other 5"),
        (np.array([{}] * 9, dtype=object), "Python objects"),
    ],
)
def test_arrays_of_the_wrong_kind_are_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Fight002_x264_emb.npy", values, allow_pickle=True)
    assert words in problems(folder)


def test_rows_of_zeros_pass_and_are_said(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Fight002_x264_emb.npy", np.zeros((9, 8), np.float32))
    assert "1 clips have all-zero rows in 'emb', first 'Fight002_x264'" in problems(folder, "warning")
    assert read(folder).clips["Fight002_x264"].units == 9


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 6), min_size=2))
def test_cut_keeps_the_first_units_of_all_or_refuses(lengths: dict[str, int]) -> None:
    features = {name: torch.arange(float(n)).reshape(n, 1) for name, n in lengths.items()}
    low, high = min(lengths.values()), max(lengths.values())
    if high - low > 1:
        with pytest.raises(RefusedError, match=f"differ by {high - low}"):
            rows.cut(features, "c")
        return
    kept, note = rows.cut(features, "c")
    assert (note is None) == (low == high)
    for values in kept.values():
        assert values.flatten().tolist() == list(range(low))


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    np.save(folder / "emb/Fight002_x264_emb.npy", np.full((9, 8), np.nan, np.float32))
    (folder / "i3d/Abuse001_x264_i3d.npy").write_bytes(b"not an array")
    (folder / "emb/Robbery012_x264_emb.npy").unlink()
    report = check.check(folder)
    text = report.text()
    for words in ("'Fight002_x264'", "Abuse001_x264_i3d.npy", "1 clips have no 'emb' file: 'Robbery012_x264'"):
        assert words in text
    assert not report.ok
    with pytest.raises(ValueError, match=r"Abuse001_x264_i3d.npy"):
        read(folder)


def test_more_than_memory_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch) -> None:
    folder = feature_folder(tmp_path / "made")
    monkeypatch.setattr(arrays, "free", lambda: 1000)
    assert "of memory are free. Average the crops (crops=mean)" in problems(folder)

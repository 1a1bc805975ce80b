"""Every row of the table of dangerous files: what each does elsewhere was seen, here it is refused in words."""

import http.server
import io
import math
import os
import pickle
import re
import struct
import threading
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data import guard, npy
from core.machine.names import RefusedError
from tests.core.data import hostile

TIGHT = guard.Caps(bytes=64 << 20, memory=2 << 30, file=96 << 20, cpu=10, wall=20)


@pytest.fixture(scope="module")
def reader():
    with guard.Reader(TIGHT) as one:
        yield one


@pytest.fixture(scope="module")
def pickle_reader():
    with guard.Reader(TIGHT, pickles=True) as one:
        yield one


def refused(reader: guard.Reader, kind: str, path: Path, content: bytes | None = None) -> str:
    """The words of the refusal; never a path of this machine, a traceback or advice to lower the guard."""
    if content is not None:
        path.write_bytes(content)
    before = reader.started
    with pytest.raises(RefusedError) as caught:
        reader.read(kind, path)
    words = str(caught.value)
    assert str(path.parent) not in words
    for unsafe in ("Traceback", "weights_only", "allow_pickle", 'File "', "Error(", "/home", "site-packages"):
        assert unsafe not in words
    assert "broke the process" not in words, "the child should refuse, not crash"
    assert reader.started == max(before, 1)
    return words


# --- what is good passes unchanged ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in hostile.GOOD if kind != "video"])
def test_a_good_file_passes(pickle_reader: guard.Reader, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "good"
    place.write_bytes(hostile.GOOD[kind]())
    arrays = pickle_reader.read(kind, place).arrays
    expected = {
        "npy": {"array": (6, 4)},
        "npz": {"vision": (5, 3), "text": (5,)},
        "zip": {"set/a_i3d.npy": (224,), "set/a-test.list": (10,)},
        "pt": {"fc1.weight": (3, 2), "fc1.bias": (3,)},
        "safetensors": {"w": (3, 2), "b": (3,)},
        "h5": {"d1": (6, 4), "g/e": (6,)},
        "pickle": {"train.vision": (3, 2), "train.labels": (3,)},
        "mat": {"X.0": (6, 4), "X.1": (2, 6), "y": (1, 6)},
        "table": {"values": (3, 2), "last": (3,)},
        "list": {},
        "truth": {"gt.0": (2, 2), "gt.1": (2, 1)},
    }
    assert {name: array.shape for name, array in arrays.items()} == expected[kind]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u8", "|b1", ">f4", ">i8"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_every_plain_array_passes_bit_for_bit(
    reader: guard.Reader, tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, fortran: bool
) -> None:
    place = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(place, np.asfortranarray(array) if fortran and array.ndim else array)
    back = reader.read("npy", place).arrays["array"]
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_number_that_is_not_finite_is_told_and_still_read(
    reader: guard.Reader, tmp_path: Path, value: float, shape: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", np.full(shape, value, np.float32))
    answer = reader.read("npy", tmp_path / "a.npy")
    facts = reader.read("npy", tmp_path / "a.npy", keep=False).facts["arrays"]["array"]
    assert (facts["bad"], facts["bad_rows"]) == (math.prod(shape), list(range(math.prod(shape[:-1]) if shape else 1)))
    np.testing.assert_array_equal(answer.arrays["array"], np.full(shape, value, np.float32))


def test_half_and_brain_floats_of_a_checkpoint_become_float32(reader: guard.Reader, tmp_path: Path) -> None:
    values = torch.tensor([1.5, -2.0, 0.125])
    place = tmp_path / "a.pt"
    place.write_bytes(hostile.saved({"state_dict": {"h": values.half(), "b": values.bfloat16()}, "epoch": 3}))
    arrays = reader.read("pt", place).arrays
    assert {name: (a.dtype, a.tolist()) for name, a in arrays.items()} == {
        f"state_dict.{name}": (np.float32, values.tolist()) for name in "hb"
    }


# --- npy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (hostile.header(shape="(2500000000000,)") + bytes(24), r"promises 10,000,000,000,000 bytes.*the file holds 24"),
        (hostile.header(shape="(3, 2)") + bytes(20), "promises 24 bytes.*holds 20"),
        (hostile.header(shape="(3, 2)") + bytes(28), "promises 24 bytes.*holds 28"),
        (hostile.header(pad=5000) + bytes(24), "header of 5,0.. bytes; at most 4,096"),
        (hostile.header(descr="|O") + bytes(48), "Python objects"),
        (hostile.header(descr="<c16") + bytes(96), "type '<c16'"),
        (hostile.header(descr="<U9") + bytes(216), "type '<U9'"),
        (hostile.header(descr="<f16") + bytes(96), "type '<f16'"),
        (hostile.header(shape="(-1, 2)"), "shape"),
        (hostile.header(shape="(1, 1, 1, 1, 1)") + bytes(4), "up to 4 axes"),
        (hostile.header(shape="(True, 6)") + bytes(24), "shape"),
        (hostile.header(shape="[" * 500), "header that cannot be read"),
        (hostile.header(extra="'x': 1") + bytes(24), "other fields"),
        (hostile.good_npy()[:40], "cut off inside its header"),
        (hostile.good_npy()[:7], "does not start like one"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "does not start like one"),
        (b"", "empty"),
    ],
)
def test_npy_headers_that_lie(reader: guard.Reader, tmp_path: Path, content: bytes, words: str) -> None:
    assert re.search(words, refused(reader, "npy", tmp_path / "a.npy", content))


def test_a_file_is_never_changed_by_reading_it(reader: guard.Reader, tmp_path: Path) -> None:
    place = tmp_path / "a.npy"
    refused(reader, "npy", place, hostile.header(shape="(1250000000,)"))
    assert place.stat().st_size < 256


# --- npz ------------------------------------------------------------------------------------------------------


def test_zip_bomb_is_refused_by_its_directory(reader: guard.Reader, tmp_path: Path) -> None:
    assert "zip bomb" in refused(reader, "npz", tmp_path / "a.npz", hostile.zip_bomb())


def test_many_members_that_unpack_to_too_much(reader: guard.Reader, tmp_path: Path) -> None:
    words = refused(reader, "npz", tmp_path / "a.npz", hostile.many_bombs())
    assert "unpacks to 16,800,000,000 bytes" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (hostile.doubled_zip("a.npy", hostile.good_npy(), hostile.good_npy()), "is there twice"),
        (hostile.zip_of(("../a.npy", hostile.good_npy())), "name that is not let in"),
        (hostile.zip_of(("/etc/a.npy", hostile.good_npy())), "name that is not let in"),
        (hostile.zip_of(("a\u202eb.npy", hostile.good_npy())), r"a\\u202eb"),
        (hostile.zip_of(("a.txt", b"x")), "is no array"),
        (hostile.zip_of(("a.npy", hostile.good_npy()), method=zipfile.ZIP_LZMA), "packed by method 14"),
        (hostile.zip_of(("a.npy", hostile.good_npy()[:-4])), "promises 96 bytes.*holds 92"),
        (hostile.zip_of(*((f"{i}.npy", b"") for i in range(5000))), "5,000 members"),
        (hostile.good_npz()[:-30], "no zip archive, or cut off"),
        (b"not a zip at all", "no zip archive"),
    ],
)
def test_npz_members_that_lie(reader: guard.Reader, tmp_path: Path, content: bytes, words: str) -> None:
    assert re.search(words, refused(reader, "npz", tmp_path / "a.npz", content))


def test_npz_with_a_damaged_member(reader: guard.Reader, tmp_path: Path) -> None:
    content = bytearray(hostile.zip_of(("a.npy", hostile.good_npy())))
    at = content.find(np.float32(5).tobytes())
    content[at] ^= 0xFF
    assert "damaged" in refused(reader, "npz", tmp_path / "a.npz", bytes(content))


# --- pt, pth --------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_runs_code_does_not_run_it(reader: guard.Reader, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    words = refused(reader, "pt", tmp_path / "a.pt", hostile.saved({"w": torch.ones(2), "x": hostile.Evil(mark)}))
    assert not mark.exists()
    assert "Python objects beside weights" in words
    assert "posix.system" in words


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (hostile.forged_sparse, "sparse"),
        (hostile.expanded, "not contiguous"),
        (hostile.shared_storage, "its tensors claim 32,768,000"),
        (lambda: hostile.saved({"w": torch.zeros(2, dtype=torch.complex64)}), "complex"),
        (lambda: hostile.saved({"w": torch.zeros(2, 3, device="meta")}), "has no data|holds .* bytes but"),
        (lambda: hostile.saved({"epoch": 3}), "holds no tensors"),
        (lambda: hostile.saved({"a": [[[[[[[[[torch.ones(1)]]]]]]]]]}), "more than 8 deep"),
        (lambda: hostile.saved(torch.nn.Linear(2, 2)), "Python objects beside weights .torch.nn"),
        (lambda: hostile.good_pt()[:-40], "no zip archive, or cut off"),
        (lambda: b"\x80\x02}q\x00.", "no zip archive"),
        (lambda: hostile.zip_of(("a/data.pkl", b"x" * 5000), method=zipfile.ZIP_DEFLATED), "is compressed"),
        (lambda: hostile.doubled_zip("a/data.pkl", b"1", b"2"), "is there twice"),
    ],
)
def test_checkpoints_that_are_more_than_weights(reader: guard.Reader, tmp_path: Path, make, words: str) -> None:
    assert re.search(words, refused(reader, "pt", tmp_path / "a.pt", make()))


# --- h5 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("external storage", "stores its numbers in another file"),
        ("soft link", "'d' is a soft link, not followed"),
        ("external link", "'d' is a link to another file, not followed"),
        ("virtual", "virtual|another file"),
        ("strings", "holds no plain numbers"),
        ("lzf", "packed by filter 32000; gzip, shuffle, fletcher32 are read"),
        ("bomb", r"claims 68,719,476,736 bytes"),
    ],
)
def test_h5_that_reaches_outside_itself(reader: guard.Reader, tmp_path: Path, what: str, words: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0")
    place = hostile.h5_file(tmp_path / "a.h5", what, secret)
    assert re.search(words, refused(reader, "h5", place))


def test_h5_groups_in_a_loop_end(reader: guard.Reader, tmp_path: Path) -> None:
    place = hostile.h5_file(tmp_path / "a.h5", "loop", tmp_path)
    assert set(reader.read("h5", place).arrays) == {"a/d"}


def test_h5_damaged_or_something_else(reader: guard.Reader, tmp_path: Path) -> None:
    assert "no HDF5 file" in refused(reader, "h5", tmp_path / "a.h5", b"plain text")
    assert "damaged" in refused(reader, "h5", tmp_path / "a.h5", hostile.good_h5()[:900])


def test_h5_attributes_are_left_alone(reader: guard.Reader, tmp_path: Path) -> None:
    place = tmp_path / "a.h5"
    with h5py.File(place, "w") as file:
        file["d"] = np.ones(3)
        for index in range(50):
            file["d"].attrs[f"a{index}"] = "x" * 1000
    assert set(reader.read("h5", place).arrays) == {"d"}


# --- safetensors ----------------------------------------------------------------------------------------------


def entry(shape: list[int], start: int, stop: int, kind: str = "F32") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack("<Q", 1 << 40) + b"{}", "header promises 1,099,511,627,776"),
        (struct.pack("<Q", 2 << 20) + bytes(3 << 20), "header of 2,097,152 bytes; at most"),
        (b"\x01", "cut off"),
        (hostile.safetensors_of({"a": entry([1 << 20], 0, 4 << 20)}, bytes(8)), "not where it should"),
        (hostile.safetensors_of({"a": entry([2], 0, 4)}, bytes(4)), "needs 8 bytes and has 4"),
        (hostile.safetensors_of({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)), "not where it should"),
        (hostile.safetensors_of({"a": entry([1], 0, 4)}, bytes(12)), "take 4 bytes, the file holds 12"),
        (hostile.safetensors_of({"a": entry([1], 0, 4, "F8_E4M3")}, bytes(4)), "type 'F8_E4M3'"),
        (hostile.safetensors_of({"a": entry([-1], 0, 4)}, bytes(4)), "make no sense"),
        (hostile.safetensors_of({"a": 3}, b""), "other fields"),
        (struct.pack("<Q", 8) + b"[1, 2,3]", "not a table"),
        (struct.pack("<Q", 8) + b"not json", "not JSON"),
        (hostile.good_safetensors()[:-5], "not where it should|file holds"),
    ],
)
def test_safetensors_that_lie(reader: guard.Reader, tmp_path: Path, content: bytes, words: str) -> None:
    assert re.search(words, refused(reader, "safetensors", tmp_path / "a.safetensors", content))


# --- pickles --------------------------------------------------------------------------------------------------


def test_pickles_are_off_unless_asked_for(reader: guard.Reader, tmp_path: Path) -> None:
    assert "can run code" in refused(reader, "pickle", tmp_path / "a.pkl", hostile.good_pickle())


def test_a_pickle_that_runs_code_does_not_run_it(pickle_reader: guard.Reader, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps({"a": np.ones(2), "b": hostile.Evil(mark)})
    assert "posix.system, which is neither" in refused(pickle_reader, "pickle", tmp_path / "a.pkl", content)
    assert not mark.exists()


def test_a_pickle_of_objects_holds_no_arrays(pickle_reader: guard.Reader, tmp_path: Path) -> None:
    content = pickle.dumps({"a": np.array([{}, []], dtype=object), "b": "text"})
    assert "holds no arrays of numbers" in refused(pickle_reader, "pickle", tmp_path / "a.pkl", content)


# --- video ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("matroska", "libx264")])
def test_frames_are_counted_by_decoding(reader: guard.Reader, tmp_path: Path, container: str, codec: str) -> None:
    place = tmp_path / "a.mp4"  # the name proves nothing
    place.write_bytes(hostile.good_video(7, container, codec))
    facts = reader.read("video", place).facts
    assert (facts["frames"], facts["format"], facts["sizes"]) == (7, container, [[32, 32]])
    assert facts["fps"] == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("text", [hostile.PLAYLIST, hostile.CONCAT])
def test_a_playlist_named_mp4_opens_neither_neighbour_nor_network(
    reader: guard.Reader, tmp_path: Path, text: str
) -> None:
    visits = []

    class Witness(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server asks for
            visits.append(self.path)
            self.send_error(404)

        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Witness) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "neighbour.mp4").write_bytes(hostile.good_video())
        for target in (f"http://127.0.0.1:{server.server_port}/x.ts", "neighbour.mp4"):
            words = refused(reader, "video", tmp_path / "a.mp4", text.format(target).encode())
            assert "no MP4, MOV, AVI, MKV or WebM by its content" in words
        server.shutdown()
    assert visits == []


def test_a_frame_count_in_the_header_is_not_believed(reader: guard.Reader, tmp_path: Path) -> None:
    content = bytearray(hostile.good_video(4, "avi", "mpeg4"))
    at = content.find(b"avih") + 8 + 16
    content[at : at + 4] = struct.pack("<I", 2_000_000_000)
    place = tmp_path / "a.avi"
    place.write_bytes(bytes(content))
    assert reader.read("video", place).facts["frames"] == 4


def test_a_cut_off_video_is_refused_or_said(reader: guard.Reader, tmp_path: Path) -> None:
    assert "no frame that can be decoded" in refused(reader, "video", tmp_path / "a.mp4", hostile.good_video()[:200])


# --- MATLAB and tables ----------------------------------------------------------------------------------------


def mat_of(**values: object) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, values)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "MATLAB 7.3 file; save it with -v7"),
        (b"MATLAB 5.0 MAT-file" + bytes(400), "damaged or cut off"),
        (hostile.good_mat()[:-20], "damaged or cut off"),
        (mat_of(name="words alone"), "no arrays of numbers"),
        (mat_of(z=np.array([1 + 2j])), "no arrays of numbers"),
    ],
)
def test_mat_files_that_hold_something_else(reader: guard.Reader, tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(reader, "mat", tmp_path / "a", content)


def test_a_compressed_mat_that_claims_too_much_is_refused_before_it_is_unpacked(
    reader: guard.Reader, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"X": np.zeros(1 << 22)}, do_compression=True)
    assert "claims 33,554,608 bytes" in refused(reader, "mat", tmp_path / "a", stream.getvalue())


def test_mat_cells_structures_and_sparse_matrices_are_walked(reader: guard.Reader, tmp_path: Path) -> None:
    dense = np.arange(12.0).reshape(3, 4) * (np.arange(4) % 2)
    content = mat_of(
        s={"inner": {"x": np.ones((2, 3))}}, sparse=scipy.sparse.csc_matrix(dense), big=np.arange(3, dtype=">i4")
    )
    (tmp_path / "a").write_bytes(content)
    arrays = reader.read("mat", tmp_path / "a").arrays
    assert arrays["s.inner.x"].shape == (2, 3)
    np.testing.assert_array_equal(arrays["sparse"], dense)
    assert arrays["big"].ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,a\n1,2\n", "line 2 has 2 cells, the first line has 3"),
        ("1,2,a\n1,x\u202e,a\n", "line 2, column 2: 'x\\u202e' is no number"),
        ("1,1_000,a\n2,1_000,b\n3,1,a\n", "line 2, column 2: '1_000' is no number"),
        ("1\n2\n", "has one column"),
        ("x,y,class\n", "no rows of numbers"),
        ("1,2,a\0\n", "line 1 holds a zero byte"),
        ("\n".join(f"1,word{i}" for i in range(6000)), "6,000 different words"),
    ],
)
def test_tables_that_are_none(reader: guard.Reader, tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(reader, "table", tmp_path / "a", text.encode())


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5), elements=st.floats(width=64)
    ),
    comma=st.sampled_from([",", ";", "\t", " "]),
    words=st.booleans(),
    header=st.booleans(),
)
def test_every_table_of_numbers_comes_back(
    reader: guard.Reader,
    tmp_path_factory: pytest.TempPathFactory,
    values: np.ndarray,
    comma: str,
    words: bool,
    header: bool,
) -> None:
    counted = [[float(k + start) for k in range(len(values[0]))] for start in (0, 1)]
    assume(header or values[0].tolist() not in counted)  # such a first line is taken as a header
    place = tmp_path_factory.mktemp("table") / "a.csv"
    last = [("dog" if i % 2 else "cat") if words else str(i % 3) for i in range(len(values))]
    lines = [comma.join([*map(repr, row), end]) for row, end in zip(values.tolist(), last, strict=True)]
    first = [comma.join([*(f"c{i}" for i in range(values.shape[1])), "class"])] if header else []
    place.write_text("\n".join([*first, *lines]))
    found = reader.read("table", place)
    np.testing.assert_array_equal(found.arrays["values"], values)
    assert ("words" in found.facts) == words


# --- every format ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(hostile.GOOD))
def test_pipes_links_and_folders_are_not_files(pickle_reader: guard.Reader, tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(pickle_reader, kind, tmp_path / "pipe")
    (tmp_path / "real").write_bytes(hostile.GOOD[kind]())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "is a link, which is not followed" in refused(pickle_reader, kind, tmp_path / "link")
    (tmp_path / "folder").mkdir()
    assert "not a regular file" in refused(pickle_reader, kind, tmp_path / "folder")
    assert "no such file" in refused(pickle_reader, kind, tmp_path / "gone")
    assert "not a regular file" in refused(pickle_reader, kind, Path("/dev/zero"))


@pytest.mark.parametrize("kind", list(hostile.GOOD))
def test_empty_and_foreign_content_is_refused(pickle_reader: guard.Reader, tmp_path: Path, kind: str) -> None:
    refused(pickle_reader, kind, tmp_path / "a", b"")
    refused(pickle_reader, kind, tmp_path / "a", b"\0" * 300)
    refused(pickle_reader, kind, tmp_path / "a", bytes(range(256)))
    other = {"npy": "npz", "truth": "pt"}.get(kind, "npy")
    refused(pickle_reader, kind, tmp_path / "a", hostile.GOOD[other]())


def test_names_from_files_are_escaped_and_cut_in_messages(reader: guard.Reader, tmp_path: Path) -> None:
    name = "\u202e<script>" + "x" * 5000
    content = hostile.safetensors_of({name: entry([2], 0, 4)}, bytes(4))
    words = refused(reader, "safetensors", tmp_path / "a", content)
    assert "\u202e" not in words
    assert len(words) < 300
    place = tmp_path / "a\nb\u202ec.npy"
    assert "\n" not in refused(reader, "npy", place, b"x")


def test_a_file_that_breaks_the_child_gets_the_blame_and_the_rest_is_read(tmp_path: Path, monkeypatch) -> None:
    """A stand-in child that dies on one file: the parent must name that file and go on."""
    child = tmp_path / "child.py"
    child.write_text(STAND_IN.format(real=str(guard.CHILD), package=str(guard.PACKAGE)))
    monkeypatch.setattr(guard, "CHILD", child)
    names = ["a", "crash", "b", "spin", "c", "eat", "d", "fill", "e"]
    for name in [*names, "hang"]:
        (tmp_path / f"{name}.npy").write_bytes(hostile.good_npy())
    caps = guard.Caps(bytes=1 << 20, memory=2 << 30, file=50 << 20, cpu=1, wall=60)
    said, read = {}, []
    with guard.Reader(caps) as reader:
        for name in names:
            try:
                read.append(reader.read("npy", tmp_path / f"{name}.npy", name).arrays["array"].shape)
            except RefusedError as refused:
                said[name] = str(refused)
        assert reader.started == 3
    assert read == [(6, 4)] * 5
    assert said == {
        "crash": "crash is damaged: it broke the process that read it (SIGSEGV)",
        "spin": "spin took more than 1 s of processor time to read and was given up",
        "eat": "eat needs more memory to read than the 2,048 MB allowed",
        "fill": "fill cannot be read (File too large)",
    }
    with pytest.raises(RefusedError, match="hang took more than 2 s to read and was given up"):
        guard.read("npy", tmp_path / "hang.npy", what="hang", caps=guard.Caps(wall=2))


STAND_IN = """
import os, sys, time
sys.path[:0] = [{package!r}]
from core.data.guarded import arrays, child
real = arrays.read_npy

def read_npy(path, what, cap):
    if "crash" in path: os.kill(os.getpid(), 11)
    if "hang" in path: time.sleep(60)
    if "spin" in path:
        while True: pass
    if "fill" in path: open(os.path.join(os.path.dirname(path), "big"), "wb").write(bytes(100 << 20))
    if "eat" in path: bytearray(8 << 30)
    return real(path, what, cap)

arrays.read_npy = read_npy
child.main()
"""


def test_the_child_knows_nothing_of_this_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    with guard.Reader(TIGHT) as reader:
        reader.read("npy", _file(tmp_path))
        assert reader._child is not None
        told = Path(f"/proc/{reader._child.pid}/environ").read_bytes()
        limits = Path(f"/proc/{reader._child.pid}/limits").read_text()
    assert b"SECRET" not in told
    assert f"{TIGHT.file}" in limits


def test_no_child_and_no_folder_is_left_behind(tmp_path: Path) -> None:
    with guard.Reader(TIGHT) as reader:
        reader.read("npy", _file(tmp_path))
        child, home = reader._child, reader._home
    assert child is not None
    assert child.poll() is not None
    assert not home.exists()


def test_600_files_pass_through_one_child(tmp_path: Path) -> None:
    place = _file(tmp_path)
    with guard.Reader(TIGHT) as reader:
        for _ in range(600):
            reader.read("npy", place)
        assert reader.started == 1


def _file(folder: Path) -> Path:
    place = folder / "a.npy"
    place.write_bytes(npy.packed(np.ones((3, 2))))
    return place

"""What strangers say of footage: hostile truth, masks and splits are refused in words, and this process never grows."""

import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data import guard
from core.data.frames import collection
from core.data.samples import foreign
from tests.core.extract.made import pictures, write_frames

FEW = pictures([], 4)


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Two test clips of four frames: test/01 and test/02."""
    for name in ("01", "02"):
        write_frames(tmp_path / "test" / name, FEW)
    return tmp_path


def refusal(root: Path) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        collection(root)
    assert str(root) not in str(caught.value)
    return str(caught.value)


# --- MATLAB files, by hand -------------------------------------------------------------------------------------------


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, dims: tuple[int, ...], content: bytes, name: str = "") -> bytes:
    """A matrix of this class around what it holds."""
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, head + element(1, name.encode()) + content)


def mat(*variables: bytes, packed: bool = True) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    parts = [zlib.compress(variable) for variable in variables] if packed else []
    return head + b"".join([struct.pack("<II", 15, len(part)) + part for part in parts] or variables)


def nested(depth: int, name: str) -> bytes:
    """`depth` cells, each in the one before."""
    inner = matrix(6, (0, 0), element(9, b""))
    for level in range(depth):
        inner = matrix(1, (1, 1), inner, name if level == depth - 1 else "")
    return inner


def zeros(megabytes: int) -> bytes:
    return matrix(6, (megabytes << 17, 1), element(9, bytes(megabytes << 20)))


def test_cells_in_cells_in_cells_break_nothing(footage: Path) -> None:
    """20,000 deep, 4 kB packed: `scipy.io.loadmat` ends its process."""
    (footage / "gt.mat").write_bytes(mat(nested(20_000, "gt")))
    assert "nests its entries more than 8 deep" in refusal(footage)


def test_a_cell_that_holds_far_more_than_its_file_is_not_unpacked(footage: Path) -> None:
    """64 MB in 64 kB: the size of what is inside a cell is known before it is filled."""
    content = mat(matrix(1, (1, 1), zeros(64), "gt"))
    (footage / "gt.mat").write_bytes(content)
    assert "no cell with the truth of one clip" in refusal(footage)
    (footage / "X.mat").write_bytes(mat(matrix(1, (1, 1), zeros(64), "X")))
    with pytest.raises(ValueError, match="claims 67,1.. bytes|claims 67,109,... bytes in a file of 65,"):
        guard.read("mat", footage / "X.mat")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (mat(matrix(1, (1 << 30, 1), b"", "gt")), "damaged or cut off"),
        (mat(matrix(1, (-1, 1), b"", "gt")), "damaged or cut off"),
        (mat(matrix(1, (5000, 1), matrix(6, (0, 0), element(9, b"")) * 5000, "gt")), "more than 4,096 arrays"),
        (mat(matrix(1, (2, 1), matrix(6, (2, 1), element(9, bytes(16))), "gt")), "damaged or cut off"),
        (mat(matrix(1, (1, 1), matrix(6, (9, 9), element(9, bytes(16))), "gt")), "damaged or cut off"),
        (mat(matrix(6, (2, 2), element(9, bytes(32)), "gt")), "'gt' is no cell"),
        (mat(matrix(1, (1, 1), matrix(1, (1, 1), matrix(6, (0, 0), element(9, b""))), "gt")), "'gt.0.0' is no cell"),
        (mat(matrix(1, (2, 1), matrix(6, (1, 1), element(9, bytes(8))) * 2, "gt")), "is not [start; end]"),
        (mat(matrix(1, (2, 1), matrix(6, (2, 1), element(9, b"\xff" * 16)) * 2, "gt")), "numbers that are no frames"),
        (mat(matrix(1, (3, 1), matrix(6, (0, 0), element(9, b"")) * 3, "gt")), "3 cells for 2 test clips"),
        (mat(matrix(1, (1, 1), zeros(1), "gt"))[:-9], "damaged or cut off"),
        (mat(matrix(6, (1, 1), element(9, bytes(8)), "gt"))[:128] + struct.pack("<II", 14, 1 << 31), "damaged|claims"),
    ],
)
def test_mat_files_that_lie(footage: Path, content: bytes, words: str) -> None:
    (footage / "gt.mat").write_bytes(content)
    assert any(word in refusal(footage) for word in words.split("|"))


def test_numbers_count_as_what_they_become(tmp_path: Path) -> None:
    """Two million numbers of one byte each are 16 MB once they are worked with."""
    place = tmp_path / "a.mat"
    scipy.io.savemat(place, {"X": np.random.default_rng(0).integers(0, 255, (2000, 1000), np.uint8)})
    assert len(guard.read("mat", place, caps=guard.Caps(bytes=16 << 20))["X"]) == 2000
    with pytest.raises(ValueError, match="holds 2,000,000 numbers in one place; at most 1,048,576 are read"):
        guard.read("mat", place, caps=guard.Caps(bytes=8 << 20))


def test_samples_are_copied_once_on_their_way(tmp_path: Path) -> None:
    """As they were read, and as the float32 that they become."""
    views = np.empty((1, 1), dtype=object)
    views[0, 0] = np.random.default_rng(0).standard_normal((2000, 500))
    scipy.io.savemat(tmp_path / "a.mat", {"X": views, "y": np.arange(2000) % 2})
    foreign.examine(tmp_path)
    tracemalloc.start()
    found = foreign.examine(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.samples is not None
    assert peak < 2.5 * views[0, 0].nbytes


numbers = hnp.arrays(
    st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3),
)
values = st.recursive(
    numbers | st.just("words") | st.just(np.array([1 + 2j])),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["X", "y", "gt"]), values, min_size=1), st.booleans())
def test_every_matlab_file_reads_as_scipy_reads_it(
    tmp_path_factory: pytest.TempPathFactory, held: dict[str, object], packed: bool
) -> None:
    place = tmp_path_factory.mktemp("mat") / "a.mat"
    scipy.io.savemat(place, {name: _celled(value) for name, value in held.items()}, do_compression=packed)
    loaded = scipy.io.loadmat(place)
    expected = dict(_leaves({name: value for name, value in loaded.items() if not name.startswith("__")}, ""))
    if not expected:
        with pytest.raises(ValueError, match="holds no arrays of numbers"):
            guard.read("mat", place)
        return
    found = guard.read("mat", place)
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)


def _celled(value: object) -> object:
    """Lists as cells: numpy would make one array of them where it can."""
    if isinstance(value, dict):
        return {name: _celled(inner) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    cell = np.empty((1, len(value)), dtype=object)
    for place, inner in enumerate(value):
        cell[0, place] = _celled(inner)
    return cell


def _leaves(value: object, name: str):
    inner = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        inner = [(field, value.ravel()[0][field]) for field in value.dtype.names]
    elif isinstance(value, np.ndarray) and value.dtype == object:
        inner = list(enumerate(value.ravel(order="F")))
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield name, value
    for key, part in inner:
        yield from _leaves(part, f"{name}.{key}" if name else str(key))


# --- masks -----------------------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """The start of a picture of one bit a pixel, with the numbers of its first lines."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")


def test_a_mask_of_a_billion_pixels_is_refused_by_its_head(footage: Path) -> None:
    (footage / "test" / "01_gt").mkdir()
    for number in range(2):
        (footage / "test" / "01_gt" / f"{number}.png").write_bytes(png(30_000, 30_000))
    assert "mask '0.png' has more pixels than are let in" in refusal(footage)


def packed_masks(frames: int) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, Test001=np.zeros((frames, 1024, 128), np.uint8))
    return stream.getvalue()


def volumes(frames: int) -> bytes:
    masks = matrix(9, (1024, 1024), element(2, bytes(1 << 20)))
    return mat(matrix(1, (1, frames), masks * frames, "volLabel"))


@pytest.mark.parametrize(("name", "make"), [("a_mask.npz", packed_masks), ("test/02_label.mat", volumes)])
def test_masks_that_are_nearly_all_zeros_are_read_and_this_process_never_holds_them(
    footage: Path, name: str, make: Callable[[int], bytes]
) -> None:
    """As those of Avenue are: a thousand times as large as their files."""
    (footage / name).write_bytes(make(4 if name.endswith("mat") else 128))
    if name.endswith("npz"):  # of 128 frames, of which the clip has 4: all are normal
        write_frames(footage / "test" / "03", FEW)
    tracemalloc.start()
    made = collection(footage)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert () in [clip.truth for clip in made.footage]


# --- JSON ------------------------------------------------------------------------------------------------------------


def clip(**entry: object) -> dict[str, object]:
    return {"clips": {"test-01": entry}}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"clips": ' + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        ('{"fps": ' + "9" * 5000 + "}", "a number has too many digits"),
        ('{"fps": NaN}', "holds NaN, which is no number"),
        ('{"clips": {}, "clips": {}}', "names 'clips' twice"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        ("[]", "must hold one JSON object"),
        ({"fps": 10**4000}, "fps is"),
        ({"clips": []}, "clips is []; an object is needed"),
        ({"clips": {"test-01": 3}}, "clip 'test-01' is 3; an object is needed"),
        ({"clips": {"no": {}}}, "names clip 'no', which is not there"),
        (clip(kinds=5), "kinds is 5; a list is needed"),
        (clip(kinds=[5]), "kinds is 5; a text is needed"),
        (clip(anomalous="yes"), "anomalous is 'yes'; true or false is needed"),
        (clip(truth=[[0, 10**300]]), "truth must be a list of [start, stop) frames"),
        (clip(truth="all"), "truth must be a list of [start, stop) frames"),
        ({"splits": []}, "splits is []; an object is needed"),
        ({"splits": {"x": 5}}, "split 'x' is 5; an object is needed"),
        ({"splits": {"x": {"train": 5}}}, "split 'x'/train is 5; a list is needed"),
        ({"splits": {"x": {"train": [["test-01"]]}}}, "a text is needed"),
        ({"splits": {"x" * 300: {}}}, "at most 200 bytes are taken"),
        ({"name": "n" * 300}, "at most 200 bytes are taken"),
        ({"name": 5}, "a dataset has no name"),
        ({"licence": "\ud800"}, "half a letter"),
        ({"simulated": "no"}, "simulated is 'no'; true or false is needed"),
    ],
)
def test_odd_truth_is_refused_by_field(footage: Path, told: object, words: str) -> None:
    content = told if isinstance(told, bytes) else (told if isinstance(told, str) else json.dumps(told)).encode()
    (footage / "truth.json").write_bytes(content)
    assert words in refusal(footage)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"train": 5, "test": []}, "part 'train' is 5; a list of clip names is needed"),
        ({"train": [["test/01"]], "test": []}, "a list of clip names is needed"),
        ({"train": {"normal": 5}, "test": []}, "a list of clip names is needed"),
        ({"train": {"normal": {"a": 1}}, "test": []}, "a list of clip names is needed"),
        ({"train": [None], "test": []}, "a list of clip names is needed"),
        ({"train": ["0" * 100_000 + "x"], "test": []}, "which is not in the folder"),
        ({"train": ["01"]}, "has no part 'test'"),
    ],
)
def test_odd_splits_are_refused_by_part(footage: Path, told: object, words: str) -> None:
    (footage / "split_x.json").write_text(json.dumps(told))
    assert words in refusal(footage)


def test_names_are_found_in_one_step_however_many_there_are(footage: Path) -> None:
    (footage / "split_x.json").write_text(json.dumps({"train": ["Test001"] * 60_000, "test": ["test/02"]}))
    assert len(collection(footage).splits["x"]["train"]) == 60_000

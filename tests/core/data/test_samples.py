"""Sample sets of our own: written and read bit for bit, no flipped byte unseen; recipes and AV-MNIST as they say."""

import hashlib
import io
import json
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data import check, read
from core.data.samples import avmnist, digits, native, recipe
from core.machine.names import RefusedError
from core.sample import Samples, Task
from tests.core.data.test_native import edited

SHARED = Path(__file__).parents[4] / "shared" / "data"


def made(task: str = "class", count: int = 12, **words: object) -> Samples:
    torch.manual_seed(0)
    target = torch.arange(count) % 3 if task == "class" else torch.randn(count, 2)
    names = ("cat", "dog", "<b>") if task == "class" else ("warm", "bold")
    given: dict = {
        "name": "made",
        "features": {"picture": torch.randn(count, 6), "sound": torch.randn(count, 4)},
        "target": target,
        "task": Task(task, names),  # type: ignore[arg-type]
        "splits": {
            "first": {"train": torch.arange(count - 3), "test": torch.arange(count - 3, count)},
            "other": {"train": torch.arange(2, count), "test": torch.arange(2), "valid": torch.arange(0)},
        },
        "names": tuple(f"![x](http:) {i}\n\u202e" for i in range(count)),
        "pictures": {"picture": (2, 3)},
        "extractors": {"picture": "camera"},
        "licence": "made for tests",
        "simulated": True,
        "notes": ("a note",),
    }
    return Samples(**{**given, **words})


def same(a: Samples, b: Samples) -> None:
    assert a.digest() == b.digest()
    for field in ("name", "task", "names", "pictures", "licence", "simulated", "notes", "modalities", "widths"):
        assert getattr(a, field) == getattr(b, field), field
    for modality, rows in a.features.items():
        torch.testing.assert_close(b.features[modality], rows, rtol=0, atol=0)
    assert [list(parts) for parts in a.splits.values()] == [list(parts) for parts in b.splits.values()]


# --- the native folder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["class", "real"])
def test_what_is_written_is_read_back(tmp_path: Path, task: str) -> None:
    before = made(task)
    native.write(before, tmp_path / "made")
    after = read(tmp_path / "made")
    assert isinstance(after, Samples)
    same(before, after)
    assert after.root == tmp_path / "made"
    assert check.kind(tmp_path / "made") == "samples"


@settings(max_examples=30, deadline=None)
@given(
    rows=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    names=st.booleans(),
    split=st.text(
        st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["C", "Z"]), min_size=1, max_size=20
    ),
)
def test_any_numbers_and_split_names_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray, names: bool, split: str
) -> None:
    if split in (".", ".."):
        return
    count = len(rows)
    before = Samples(
        "made",
        {"a": torch.from_numpy(rows)},
        torch.zeros(count, dtype=torch.int64),
        Task("class", ("x", "y")),
        {split: {"train": torch.arange(count), "test": torch.arange(0)}},
        names=tuple(map(str, range(count))) if names else (),
    )
    folder = tmp_path_factory.mktemp("set") / "made"
    same(before, native.read(native.write(before, folder)))


def test_half_precision_keeps_three_digits_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    before = made()
    after = native.read(native.write(before, tmp_path / "half", half=True))
    for modality, rows in before.features.items():
        torch.testing.assert_close(after.features[modality], rows, rtol=1e-3, atol=1e-3)
        assert np.load(tmp_path / f"half/features/{modality}.npy").dtype == np.float16
    with pytest.raises(ValueError, match="'picture' does not fit float16"):
        native.write(made(features={"picture": torch.full((12, 6), 1e5)}), tmp_path / "more", half=True)
    assert not (tmp_path / "more").exists()


def test_an_existing_folder_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    native.write(made(), tmp_path / "made")
    with pytest.raises(ValueError, match="exists already"):
        native.write(made("real"), tmp_path / "made")
    assert native.read(tmp_path / "made").task.kind == "class"
    native.write(made("real"), tmp_path / "made", overwrite=True)
    assert native.read(tmp_path / "made").task.kind == "real"
    assert not list(tmp_path.glob(".draft-*"))


def test_no_flipped_byte_of_any_file_goes_unseen(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    generator = np.random.default_rng(0)
    places = sorted(place for place in folder.rglob("*") if place.is_file())
    assert len(places) == 10
    for place in places:
        good = place.read_bytes()
        for _ in range(15):
            at = int(generator.integers(0, len(good)))
            place.write_bytes(good[:at] + bytes([good[at] ^ (1 << int(generator.integers(0, 8)))]) + good[at + 1 :])
            with pytest.raises(ValueError, match=r"."):
                native.read(folder)
        place.write_bytes(good)
    same(made(), native.read(folder))


def resummed(folder: Path, relative: str, content: bytes) -> Path:
    """The folder with another file in it, by someone who also changed its checksum."""
    (folder / relative).write_bytes(content)
    return edited(folder, lambda index: index["files"].update({relative: hashlib.sha256(content).hexdigest()}))


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("relative", "array", "words"),
    [
        ("features/picture.npy", np.ones((12, 5), np.float32), r"picture.npy' has shape \(12, 5\), .* \(12, 6\)"),
        ("features/picture.npy", np.ones((11, 6), np.float32), r"has shape \(11, 6\)"),
        ("features/picture.npy", np.ones((12, 6)), "holds float64; float32 or float16"),
        ("features/picture.npy", np.full((12, 6), np.nan, np.float32), "72 NaN or infinite values, in samples 0, 1"),
        ("features/picture.npy", np.full((12, 6), 1e20, np.float32), r"values up to 1.0e\+20"),
        ("features/picture.npy", np.array([None]), "Python objects"),
        ("target.npy", np.zeros(11, np.int64), r"target.npy' has shape \(11,\), .* \(12,\)"),
        ("target.npy", np.full(12, 7), "classes run from 7 to 7, but 3 classes"),
        ("target.npy", np.full(12, -1), "classes run from -1"),
        ("target.npy", np.zeros(12, np.float32), "holds float32; int64"),
        ("splits/first/train.npy", np.full(9, 12), "names samples 12 to 12, there are 12"),
        ("splits/first/train.npy", np.zeros(8, np.int64), r"has shape \(8,\)"),
        ("names.json", b'["a"]', "holds 1 names"),
        ("names.json", b'{"a": 1}', "no list of texts"),
        ("names.json", b"[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, relative: str, array: np.ndarray | bytes, words: str
) -> None:
    folder = native.write(made(), tmp_path / "made")
    resummed(folder, relative, array if isinstance(array, bytes) else npy(array))
    with pytest.raises(ValueError, match=words):
        native.read(folder)
    report = check.check(folder)
    assert not report.ok
    assert report.kind == "samples"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: i["modalities"].update({"../x": i["modalities"]["picture"]}), "'../x' is no modality name"),
        (lambda i: i["splits"].update({"../x": {"train": 1}}), "is a path"),
        (lambda i: i["splits"]["first"].update({"train": -1}), "train is -1"),
        (lambda i: i["task"].update({"kind": "units"}), "task is 'units'"),
        (lambda i: i["task"].update({"kind": "other"}), "task is 'other'"),
        (lambda i: i["task"].update({"names": ["a", "a"]}), "same name"),
        (lambda i: i.update({"samples": 0}), "samples is 0"),
        (lambda i: i.update({"samples": 10**18}), "samples is 1000000000000000000"),
        (lambda i: i["modalities"]["picture"].update({"picture": [2, 4]}), "no picture of 2 x 4"),
        (lambda i: i["modalities"]["picture"].update({"picture": "big"}), "height, width"),
        (lambda i: i.update({"version": 2}), "version 1 is read"),
        (lambda i: i["files"].pop("target.npy"), "target.npy' is not listed"),
        (lambda i: i["modalities"].clear(), "no modalities"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused_with_its_field(tmp_path: Path, change, words: str) -> None:
    folder = edited(native.write(made(), tmp_path / "made"), change)
    with pytest.raises(ValueError, match=words):
        native.read(folder)
    assert not check.check(folder).ok


def test_features_never_come_from_outside_the_folder(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    secret = tmp_path / "secret.npy"
    os.rename(folder / "features/picture.npy", secret)
    (folder / "features/picture.npy").symlink_to(secret)
    with pytest.raises(RefusedError, match="leaves the dataset's folder|is a link"):
        native.read(folder)


# --- the report -----------------------------------------------------------------------------------------------


def test_the_report_counts_samples_classes_and_splits(tmp_path: Path) -> None:
    report = check.check(native.write(made(), tmp_path / "made"))
    assert report.ok
    assert (report.samples, report.clips, dict(report.classes)) == (12, 0, {"cat": 4, "dog": 4, "<b>": 4})
    assert report.splits == {"first": {"train": 9, "test": 3}, "other": {"train": 10, "test": 2, "valid": 0}}
    assert [(m.name, m.widths, m.extractor) for m in report.modalities] == [
        ("picture", (6,), "camera"),
        ("sound", (4,), ""),
    ]
    assert "3 classes: cat 4, dog 4, <b> 4" in report.text()
    assert json.loads(json.dumps(report.to_json()))["samples"] == 12
    real = check.check(native.write(made("real"), tmp_path / "real"))
    assert set(real.targets) == {"warm", "bold"}
    low, high = real.targets["warm"]
    assert low < high


def test_the_report_tells_what_would_mislead(tmp_path: Path) -> None:
    before = made()
    picture = before.features["picture"].clone()
    sound = before.features["sound"].clone()
    sound[:, 2] = 1.0
    picture[11], sound[11] = picture[0], sound[0]  # a test sample that was trained on
    splits = {
        "bad": {"train": torch.tensor([0, 1, 2, 2, 9]), "test": torch.tensor([9, 10, 11])},
        "odd": {"all": torch.arange(3)},
    }
    folder = native.write(made(features={"picture": picture, "sound": sound}, splits=splits), tmp_path / "made")
    text = check.check(folder).text()
    assert "modality 'sound': 1 of 4 columns are constant, first 2" in text
    assert "1 test samples have the same values as a training sample, first sample 11" in text
    assert "part train names 1 samples twice" in text
    assert "1 samples are in train and in test, first 9" in text
    assert "has no parts named train and test; it has all" in text


def test_one_class_alone_is_an_error(tmp_path: Path) -> None:
    report = check.check(native.write(made(target=torch.zeros(12, dtype=torch.int64)), tmp_path / "made"))
    assert not report.ok
    assert "every sample is of one class" in report.text()
    assert "2 classes have no sample, first 'dog'" in report.text()


def test_every_damaged_file_is_named_once(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    for relative in ("features/sound.npy", "target.npy"):
        place = folder / relative
        place.write_bytes(place.read_bytes()[:-1] + b"x")
    errors = [str(problem) for problem in check.check(folder).problems if problem.severity == "error"]
    assert len(errors) == 2
    assert "features/sound.npy" in errors[0]
    assert "target.npy" in errors[1]


# --- recipes --------------------------------------------------------------------------------------------------


def test_the_committed_recipe_makes_the_same_digits_everywhere() -> None:
    """Runs that are committed carry this digest: should it change, they no longer fit their data."""
    found = read(Path(__file__).parents[3] / "assets/digits")
    assert isinstance(found, Samples)
    assert found.digest() == "8cea41f40fb61ca9cdb097b24e82f625365577ce310436d09ab1bf2e29d4f691"
    assert found.widths == {"top": 32, "bottom": 32, "fourier": 40}
    assert (len(found), len(found.splits["default"]["test"])) == (1797, 539)


def test_without_noise_the_views_are_the_digits() -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images / 16
    found = digits.make(options=digits.Options(noise=0))
    halves = np.concatenate([found.features[view].reshape(-1, 4, 8) for view in ("top", "bottom")], axis=1)
    np.testing.assert_allclose(halves, images, atol=1e-6)
    u, v, y, x = np.meshgrid(range(8), range(5), range(8), range(8), indexing="ij")
    slow = np.abs((images[3] * np.exp(-2j * np.pi * (u * y + v * x) / 8)).sum((2, 3))).ravel()
    np.testing.assert_allclose(found.features["fourier"][3], slow, atol=1e-3)


def test_the_noise_has_the_deviation_it_claims() -> None:
    images = np.zeros((200, 8, 8), dtype=np.int64)
    noise = digits.noisy(images, 3, np.random.default_rng(0))
    assert abs(noise.std() / digits.noise_deviation(3) - 1) < 0.02
    assert abs(noise.mean()) < 0.1


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_stratified_split_is_a_partition_that_keeps_the_classes(classes: list[int], share: float, seed: int) -> None:
    train, test = digits.stratified(classes, share, np.random.default_rng(seed))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(classes)))
    for label in set(classes):
        count, held = classes.count(label), sum(classes[row] == label for row in test)
        assert held == (0 if count == 1 else min(max(1, round(share * count)), count - 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "../x"}, "there is no recipe '../x'; there is digits"),
        ({"options": {"vews": []}}, "there is no 'vews'"),
        ({"options": {"views": ["left"]}}, "views are some of top, bottom, fourier"),
        ({"options": {"views": "top"}}, "a list is needed"),
        ({"options": {"noise": 1.5}}, "noise is 1.5"),
        ({"options": {"noise": True}}, "noise is True"),
        ({"options": {"test": 2.0}}, "test is 2.0"),
        ({"options": {"seed": -1}}, "seed is -1"),
    ],
)
def test_recipes_that_cannot_be_made_say_why(tmp_path: Path, change: dict, words: str) -> None:
    index = {"format": recipe.FORMAT, "version": 1, "name": "digits", "recipe": "digits", "options": {}, **change}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=words):
        read(tmp_path)
    assert not check.check(tmp_path).ok


# --- AV-MNIST -------------------------------------------------------------------------------------------------


def wav(path: Path, sound: np.ndarray, rate: int = 8000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype(f"<i{width}").tobytes())
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ten digits of noise, nine images to train on and twelve recordings each."""
    root = tmp_path_factory.mktemp("av")
    generator = np.random.default_rng(0)
    y = np.arange(120) % 10
    x = generator.integers(0, 256, (120, 28, 28), dtype=np.uint8)
    np.savez(root / "mnist.npz", X_train=x[:90], y_train=y[:90], X_test=x[90:], y_test=y[90:])
    (root / "recordings").mkdir()
    for digit in range(10):
        for take in range(12):
            sound = 0.1 * generator.standard_normal(900 + 10 * take)
            wav(root / f"recordings/{digit}_ada_{take}.wav", sound.clip(-1, 1))
    return root / "mnist.npz", root


def test_pairs_share_their_class_and_their_recordings_keep_apart(sources: tuple[Path, Path]) -> None:
    found = avmnist.build(*sources, avmnist.Options(pairs=100, test_pairs=40))
    assert found.widths == {"image": 784, "audio": 640}
    assert {part: len(rows) for part, rows in found.splits["recordings"].items()} == {"train": 100, "test": 40}
    for part, takes in (("train", range(5, 12)), ("test", range(5))):
        rows = found.splits["recordings"][part].tolist()
        for row in rows:
            _, told = found.names[row].split(" · ")
            digit, _, take = told.split("_")
            assert int(digit) == int(found.target[row])
            assert int(take) in takes
        assert found.target[rows].bincount().tolist() == [len(rows) // 10] * 10


def test_options_are_tried_without_the_test_recordings_and_images(sources: tuple[Path, Path]) -> None:
    tried = avmnist.build(*sources, avmnist.Options(pairs=100, test_pairs=40, held_out=True))
    takes = {
        part: {int(tried.names[row].rsplit("_", 1)[1]) for row in rows}
        for part, rows in tried.splits["held-out"].items()
    }
    assert takes == {"train": {10, 11}, "test": {5, 6, 7, 8, 9}}


def test_the_same_seed_gives_the_same_pairs_and_another_one_others(sources: tuple[Path, Path]) -> None:
    small = {"pairs": 30, "test_pairs": 10}
    digest = avmnist.build(*sources, avmnist.Options(**small)).digest()
    assert avmnist.build(*sources, avmnist.Options(**small)).digest() == digest
    assert avmnist.build(*sources, avmnist.Options(**small, seed=1)).digest() != digest


def test_the_picture_keeps_the_energy_it_says_and_no_more_axes_than_needed() -> None:
    rows = np.random.default_rng(0).standard_normal((300, 6)) * np.array([5, 4, 3, 2, 1, 0.5])
    axes, mean, kept = avmnist.principal(rows, 0.7)
    rest = (rows - mean) - (rows - mean) @ axes @ axes.T
    assert abs(1 - np.square(rest).sum() / np.square(rows - mean).sum() - kept) < 1e-9
    assert kept >= 0.7
    fewer = axes[:, :-1]
    assert np.square((rows - mean) @ fewer).sum() / np.square(rows - mean).sum() < 0.7
    everything, _, share = avmnist.principal(rows, 1.0)
    assert everything.shape[1] == 6
    assert abs(share - 1) < 1e-9


def test_a_tone_is_heard_in_its_band_and_noise_drowns_it() -> None:
    hertz = 1000
    sound = np.sin(2 * np.pi * hertz * np.arange(4000) / avmnist.RATE)
    heard = avmnist.log_mel(sound)
    assert heard.shape == (avmnist.BANDS, avmnist.FRAMES)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), avmnist.BANDS + 2) / 2595) - 1)
    band = int(heard.mean(1).argmax())
    assert edges[band] < hertz < edges[band + 2]
    random = np.random.default_rng(0)
    spread = [np.ptp(avmnist.heard(sound, noise, random).reshape(32, 20).mean(1)) for noise in (0.0, 10.0)]
    assert spread[1] < spread[0] / 2


@pytest.mark.parametrize("length", [1, 100, 1500, 20_000])
def test_any_length_gives_the_same_frames(length: int) -> None:
    heard = avmnist.heard(np.zeros(length), 0.0, np.random.default_rng(0))
    assert heard.shape == (640,)
    assert np.allclose(heard, np.log(avmnist.FLOOR))


def test_recordings_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    sound = np.zeros(100)
    for words, name, content in (
        ("16,000 values a second", "0_a_0.wav", {"rate": 16000}),
        ("2 channels", "0_a_0.wav", {"channels": 2}),
        ("4 bytes", "0_a_0.wav", {"width": 4}),
    ):
        wav(tmp_path / name, sound, **content)
        with pytest.raises(RefusedError, match=words):
            avmnist.read_takes(tmp_path)
    good = wav(tmp_path / "0_a_0.wav", sound).read_bytes()
    for cut in (b"RIFFxxxx", good[:30], good[:-20], b"x" * 50):
        (tmp_path / "0_a_0.wav").write_bytes(cut)
        with pytest.raises(RefusedError, match=r"recording '0_a_0.wav'"):
            avmnist.read_takes(tmp_path)
    (tmp_path / "other").mkdir()
    wav(tmp_path / "other/x.wav", sound)
    with pytest.raises(RefusedError, match="named like FSDD's"):
        avmnist.read_takes(tmp_path / "other")


def test_an_mnist_of_other_shapes_is_refused(tmp_path: Path) -> None:
    y = np.zeros(3, np.int64)
    for arrays, words in (
        ({"a": y}, "X_train, y_train"),
        ({"X_train": np.zeros((3, 28, 28)), "y_train": y, "X_test": np.zeros((3, 28, 28)), "y_test": y}, "uint8"),
        ({"x_train": np.zeros((3, 28, 28), np.uint8), "y_train": y + 10, "x_test": y, "y_test": y}, "one digit 0..9"),
    ):
        np.savez(tmp_path / "mnist.npz", **arrays)
        with pytest.raises(RefusedError, match=words):
            avmnist.read_mnist(tmp_path / "mnist.npz")


@pytest.mark.skipif(not (SHARED / "fsdd").is_dir(), reason="needs ../shared/data/mnist and fsdd")
def test_the_real_recordings_and_images_are_read() -> None:
    takes = avmnist.read_takes(SHARED / "fsdd")
    assert len(takes) == 3000
    assert sum(take.number in avmnist.TEST_TAKES for take in takes) == 300
    train_x, train_y, test_x, _ = avmnist.read_mnist(SHARED / "mnist/mnist.npz")
    assert (train_x.shape, test_x.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(train_y).tolist()[:2] == [5923, 6742]  # the published class counts

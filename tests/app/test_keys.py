"""What a key of a cache stands for: what lies under its name now, and nothing else."""

import shutil
import threading
from pathlib import Path

import pytest

from app import store
from app.store import keys
from app.store.keys import WITH_ALL_RUNS, DataKey, FileKey, Key, RunKey, resource
from tests import world

CALLS: list[str] = []


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace and empty assets, which `laid` fills."""
    CALLS.clear()
    monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("FUSESCOPE_ASSETS", str(tmp_path / "assets"))
    return tmp_path


def laid(file: Path, text: str) -> None:
    """Written as a draft and renamed, as all that has a key is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(".draft")
    draft.write_text(text)
    draft.replace(file)


@resource(8)
def of_data(key: DataKey) -> str:
    CALLS.append(key)
    return (key.folder / key.file).read_text()


@resource(8)
def of_both(run: RunKey, key: DataKey, number: int) -> str:
    CALLS.append(f"{run} {key} {number}")
    return f"{(run.folder / run.file).read_text()} on {of_data(key)}"


@resource(8, stamps=WITH_ALL_RUNS)
def of_all_runs(key: DataKey) -> list[str]:
    CALLS.append(key)
    return list(keys.all_runs())


@keys.data(8)
def of_file(file: FileKey) -> str:
    CALLS.append(file)
    return Path(file).read_text()


def test_a_changed_dataset_is_read_again_and_an_unchanged_one_is_not(shelves: Path) -> None:
    for name in ("a", "b"):
        laid(shelves / "workspace" / "data" / name / "dataset.json", name)
    assert [of_data(DataKey(name)) for name in "abab"] == ["a", "b", "a", "b"]
    assert CALLS == ["a", "b"]
    laid(shelves / "workspace" / "data" / "a" / "dataset.json", "A")
    assert [of_data(DataKey(name)) for name in "ab"] == ["A", "b"]
    assert CALLS == ["a", "b", "a"]


def test_a_changed_run_is_read_again_and_so_is_all_that_it_was_asked_about(shelves: Path) -> None:
    laid(shelves / "workspace" / "data" / "d" / "dataset.json", "data")
    laid(shelves / "assets" / "runs" / "r" / "run.json", "run")
    laid(shelves / "assets" / "runs" / "s" / "run.json", "other")
    for _ in range(2):
        assert of_both(RunKey("r"), DataKey("d"), 1) == "run on data"
        assert of_both(RunKey("s"), DataKey("d"), 1) == "other on data"
    assert len(CALLS) == 3  # two runs, one dataset
    laid(shelves / "assets" / "runs" / "r" / "run.json", "new")
    assert of_both(RunKey("r"), DataKey("d"), 1) == "new on data"
    assert of_both(RunKey("s"), DataKey("d"), 1) == "other on data"
    assert len(CALLS) == 4
    laid(shelves / "workspace" / "data" / "d" / "dataset.json", "more")
    assert of_both(RunKey("s"), DataKey("d"), 1) == "other on more"


def test_a_run_that_comes_or_goes_changes_what_depends_on_all_of_them(shelves: Path) -> None:
    laid(shelves / "assets" / "demo" / "dataset.json", "data")
    laid(shelves / "assets" / "runs" / "r" / "run.json", "run")
    assert of_all_runs(DataKey("demo")) == of_all_runs(DataKey("demo")) == ["r"]
    assert of_data(DataKey("demo")) == "data"
    laid(shelves / "workspace" / "runs" / "s" / "run.json", "run")
    assert of_all_runs(DataKey("demo")) == ["r", "s"]
    shutil.rmtree(shelves / "workspace" / "runs" / "s")
    assert of_all_runs(DataKey("demo")) == ["r"]
    assert of_data(DataKey("demo")) == "data"
    assert CALLS.count("demo") == 4  # three times all runs, once the data


def test_what_two_users_look_at_does_not_mix(shelves: Path) -> None:
    for name in ("mine", "yours"):
        laid(shelves / "workspace" / "data" / name / "dataset.json", name)
        laid(shelves / "workspace" / "runs" / f"r-{name}" / "run.json", f"run of {name}")
    wrong: list[str] = []

    def look(name: str) -> None:
        for number in range(40):
            said = of_both(RunKey(f"r-{name}"), DataKey(name), number % 3)
            if said != f"run of {name} on {name}":
                wrong.append(said)

    users = [threading.Thread(target=look, args=(name,)) for name in ("mine", "yours") * 3]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong


def test_one_name_in_two_workspaces_is_two_things(shelves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("one", "two"):
        laid(shelves / place / "data" / "d" / "dataset.json", place)
    found = []
    for place in ("one", "two", "one"):
        monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(shelves / place))
        found.append(of_data(DataKey("d")))
    assert found == ["one", "two", "one"]
    assert len(CALLS) == 2


def test_a_file_is_read_again_once_it_is_another(shelves: Path) -> None:
    file = FileKey(shelves / "clip.mp4")
    laid(shelves / "clip.mp4", "first")
    assert of_file(file) == of_file(file) == "first"
    laid(shelves / "clip.mp4", "then")
    assert of_file(file) == "then"
    assert len(CALLS) == 2


@pytest.mark.parametrize("name", ["", ".draft-1", "../data/d", "a\0b", "x" * 300, "nobody"])
@pytest.mark.parametrize("kind", [DataKey, RunKey])
def test_what_is_not_there_says_so_in_words(shelves: Path, kind: type[Key], name: str) -> None:
    laid(shelves / "workspace" / "data" / "d" / "dataset.json", "data")
    laid(shelves / "workspace" / "data" / ".draft-1" / "dataset.json", "half of it")
    with pytest.raises(ValueError, match=f"there is no {kind.what} .* any more; choose another one"):
        _ = kind(name).folder
    assert kind(name).stamp() == ""
    with pytest.raises(ValueError, match="any more"):
        of_data(DataKey(name))


def test_a_plain_text_is_no_key(shelves: Path) -> None:
    laid(shelves / "workspace" / "data" / "d" / "dataset.json", "data")
    with pytest.raises(AttributeError):
        of_data("d")  # type: ignore[arg-type]


def test_a_run_trained_again_gives_its_new_scores(shelves: Path) -> None:
    world.build(shelves / "assets", world.dataset(None))
    key, (run, other) = DataKey("demo"), [name for name in keys.all_runs() if name.startswith("lego-")]
    first, theirs = store.models.scores(run, key), store.models.scores(other, key)
    assert store.models.scores(run, key) is first
    for file in ("model.safetensors", "run.json"):
        shutil.copyfile(shelves / "assets" / "runs" / other / file, shelves / "assets" / "runs" / run / file)
    again = store.models.scores(run, key)
    assert {name: each.tolist() for name, each in again.items()} == {n: each.tolist() for n, each in theirs.items()}
    assert store.models.scores(other, key) is theirs

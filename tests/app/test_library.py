"""The library: what lies on disk, filtered and paged; hostile names are text; what is wrong is said."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.views.library import figures as tables
from core import jobs, workspace
from core import run as run_folders
from core.data import native, read
from core.data.check import Report
from core.data.problems import Problem
from core.data.samples import native as stored
from core.workspace import Workspace
from tests import world
from tests.app.conftest import Opener, complaints, words
from tests.core.data.test_samples import made
from tests.core.data.test_samples_foreign import pickled

HOSTILE = "![x](http:) <img src=x onerror=alert(1)> :red[y]"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.build(tmp_path_factory.mktemp("small"), world.dataset(None), train_it=False)


def listed(app) -> list[list[str]]:
    """The datasets' and the runs' tables as lists of keys."""
    return [list(frame.value.index) for frame in app.dataframe if "kind" in frame.value.columns]


def test_datasets_are_filtered_by_any_word(visit: Opener, small: Path, tmp_path: Path) -> None:
    for name in ("yard-a", "street-b"):
        native.write(world.dataset(None), tmp_path / "workspace/data" / name)
    assert listed(visit("library", assets=small))[0] == ["demo", "street-b", "yard-a"]
    link = {"data-filter": "street"}
    assert listed(visit("library", assets=small, **link))[0] == ["street-b"]
    assert "No dataset matches" in words(visit("library", assets=small, **{"data-filter": "nothing like it"}))


def test_more_than_twenty_are_paged(visit: Opener, small: Path, tmp_path: Path) -> None:
    first = native.write(world.dataset(None), tmp_path / "workspace/data/set-00")
    for number in range(1, 24):
        place = first.with_name(f"set-{number:02d}")
        place.mkdir()
        (place / "dataset.json").write_bytes((first / "dataset.json").read_bytes())
    app = visit("library", assets=small)
    assert len(listed(app)[0]) == 20
    app.number_input(key="data-page").set_value(2).run()
    assert listed(app)[0] == [f"set-{number:02d}" for number in range(19, 24)]
    app.number_input(key="data-page").set_value(900).run()
    assert not complaints(app)


def test_a_damaged_dataset_is_listed_with_its_problems(visit: Opener, small: Path, tmp_path: Path) -> None:
    folder = native.write(world.dataset(None), tmp_path / "workspace/data/broken")
    (folder / "features/motion/test-00.npy").write_bytes(b"x")
    (native.write(world.dataset(None), tmp_path / "workspace/data/garbage") / "dataset.json").write_text("{")
    app = visit("library", assets=small, **{"data-filter": "broken"})
    assert not complaints(app)
    assert "1 error in the way" in words(app)
    problems = next(frame.value for frame in app.dataframe if "what to do" in frame.value.columns)
    assert "does not start like one" in problems["what"].iloc[0]
    assert "garbage" in listed(visit("library", assets=small))[0]


def test_hostile_names_are_shown_as_text(visit: Opener, small: Path, tmp_path: Path) -> None:
    data = world.dataset(None, kind=HOSTILE)
    clips = {
        f"{HOSTILE.replace('/', '')} {i}": replace(c, name=f"{HOSTILE} {i}") for i, c in enumerate(data.clips.values())
    }
    native.write(
        replace(data, name=HOSTILE, clips=clips, splits={HOSTILE: {"train": (), "test": tuple(clips)}}),
        tmp_path / "workspace/data" / HOSTILE,
    )
    root = tmp_path / "workspace/jobs"
    (root / "0-a").mkdir(parents=True)
    job = jobs.Job("0-a", "files", HOSTILE, state="failed", message=HOSTILE, result=HOSTILE)
    (root / "0-a/job.json").write_text(json.dumps(job.__dict__))
    app = visit("library", assets=small, **{"data-filter": "onerror"})
    assert not complaints(app)
    said = "\n".join(element.value for element in app.markdown)
    assert "img src" in said
    assert not re.search(r"(?<!\\)(<img|!\[x|:red\[)", said)


def test_removed_and_put_back(visit: Opener, small: Path, tmp_path: Path) -> None:
    native.write(world.dataset(None), tmp_path / "workspace/data/mine")
    app = visit("library", assets=small, **{"data-filter": "mine"})
    app.button(key="remove-data").click().run()
    assert not complaints(app)
    assert "Dataset mine was removed." in words(app)
    assert not (tmp_path / "workspace/data/mine").exists()
    (ticket,) = [ticket for ticket, *_ in Workspace(tmp_path / "workspace").thrown()]
    app.button(key=f"back-{ticket}").click().run()
    assert not complaints(app)
    assert (tmp_path / "workspace/data/mine/dataset.json").exists()


def test_the_demo_cannot_be_removed(visit: Opener, small: Path) -> None:
    assert not [button for button in visit("library", assets=small).button if button.key == "remove-data"]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that whoever started the server has opened."""
    monkeypatch.setenv("FUSESCOPE_DATA", str(tmp_path / "open"))
    return tmp_path / "open"


def look(app, path: str) -> None:
    app.text_input(key="folder").set_value(path)
    next(button for button in app.button if button.label == "Look at it").click().run()


def test_folders_outside_the_roots_are_refused_without_a_word_about_them(visit: Opener, small: Path) -> None:
    app = visit("library", assets=small)
    look(app, "/etc")
    (told,) = complaints(app)
    assert "outside the folders that may be read" in told


def test_what_others_uploaded_is_not_to_be_looked_at(visit: Opener, small: Path, tmp_path: Path) -> None:
    native.write(world.dataset(None), tmp_path / "workspace/uploads/0123456789abcdef")
    app = visit("library", assets=small)
    look(app, str(tmp_path / "workspace/uploads/0123456789abcdef"))
    (told,) = complaints(app)
    assert "outside the folders that may be read" in told


def test_a_folder_is_reported_before_it_is_taken(visit: Opener, small: Path, opened: Path) -> None:
    native.write(world.dataset(None), opened / "elsewhere")
    app = visit("library", assets=small)
    look(app, str(opened / "elsewhere"))
    assert not complaints(app)
    assert any("nothing stands in the way" in block.value for block in app.code)
    assert "Bring it in" in [button.label for button in app.button]


def test_problems_are_listed_worst_first() -> None:
    found = (Problem("note", "c"), Problem("error", "a"), Problem("warning", "b"))
    assert list(tables.problem_table(Report("x", "native", found))["what"]) == ["a", "b", "c"]


# --- samples --------------------------------------------------------------------------------------------------


def sample_file(root: Path, count: int = 12) -> Path:
    """A folder of two .csv views, classes in turn."""
    root.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, width in (("shape", 3), ("colour", 2)):
        lines = [
            ",".join([*(f"{v:.4f}" for v in generator.standard_normal(width)), ("cat", "dog", "eel")[i % 3]])
            for i in range(count)
        ]
        (root / f"{name}.csv").write_text("\n".join(lines))
    return root


def finished(root: Path) -> jobs.Job:
    """The one job there is, once it has ended."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        (job,) = jobs.listing(root)
        if not job.active:
            return job
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.parametrize("task", ["class", "real"])
def test_a_sample_set_is_listed_with_its_report_and_can_be_removed(
    visit: Opener, small: Path, tmp_path: Path, task: str
) -> None:
    stored.write(made(task), tmp_path / "workspace/data/zoo")
    app = visit("library", assets=small, **{"data-filter": "zoo"})
    assert not complaints(app)
    (row,) = next(frame.value for frame in app.dataframe if "holds" in frame.value.columns).to_dict("records")
    assert row["holds"] == ("12 samples, 3 classes" if task == "class" else "12 samples, 2 real targets")
    assert row["modalities"] == "picture 6, sound 4"
    assert "Samples 12" in words(app)
    assert "In train 9" in words(app)
    if task == "class":
        found = next(frame.value for frame in app.dataframe if "class" in frame.value.columns)
        assert found.to_dict("list") == {"class": ["cat", "dog", "<b>"], "samples": [4, 4, 4], "share": ["33.3%"] * 3}
    else:
        found = next(frame.value for frame in app.dataframe if "target" in frame.value.columns)
        assert list(found["target"]) == ["warm", "bold"]
        assert (found["lowest"] < found["highest"]).all()
    app.button(key="remove-data").click().run()
    (ticket,) = [ticket for ticket, *_ in Workspace(tmp_path / "workspace").thrown()]
    app.button(key=f"back-{ticket}").click().run()
    assert not complaints(app)
    assert read(tmp_path / "workspace/data/zoo").digest() == made(task).digest()


def test_the_recipe_is_listed_with_what_it_makes(visit: Opener, small: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "assets/digits", small / "digits", dirs_exist_ok=True)
    app = visit("library", assets=small, **{"data-filter": "digits"})
    (row,) = next(frame.value for frame in app.dataframe if "holds" in frame.value.columns).to_dict("records")
    assert row["holds"] == "1,797 samples, 10 classes"
    assert "nothing stands in the way" in words(app)
    shutil.rmtree(small / "digits")


def test_a_damaged_sample_set_is_listed_with_its_problem(visit: Opener, small: Path, tmp_path: Path) -> None:
    folder = stored.write(made(), tmp_path / "workspace/data/zoo")
    (folder / "features/sound.npy").write_bytes(b"x")
    app = visit("library", assets=small, **{"data-filter": "zoo"})
    assert "1 error in the way" in words(app)
    problems = next(frame.value for frame in app.dataframe if "what to do" in frame.value.columns)
    assert "features/sound.npy" in " ".join(problems.iloc[0])


def test_a_folder_of_views_is_reported_then_taken(visit: Opener, small: Path, opened: Path, tmp_path: Path) -> None:
    sample_file(opened / "elsewhere")
    app = visit("library", assets=small)
    look(app, str(opened / "elsewhere"))
    assert not complaints(app)
    assert any("3 classes: cat 4, dog 4, eel 4" in block.value for block in app.code)
    next(button for button in app.button if button.label == "Bring it in").click().run()
    job = finished(tmp_path / "workspace/jobs")
    assert (job.state, job.result) == ("done", "elsewhere"), job.message
    found = read(tmp_path / "workspace/data/elsewhere")
    assert found.widths == {"colour": 2, "shape": 3}
    assert found.name == "elsewhere"
    assert any("'stratified-0' is ours" in note for note in found.notes)


def test_a_pickle_is_read_only_when_its_box_is_ticked(visit: Opener, small: Path, opened: Path, tmp_path: Path) -> None:
    pickled(opened / "mosi")
    app = visit("library", assets=small)
    look(app, str(opened / "mosi"))
    assert any("is a pickle, which can run code" in block.value for block in app.code)
    assert "Bring it in" not in [button.label for button in app.button]
    app.checkbox(key="folder-pickles").check()
    look(app, str(opened / "mosi"))
    next(button for button in app.button if button.label == "Bring it in").click().run()
    job = finished(tmp_path / "workspace/jobs")
    assert job.state == "done", job.message
    assert read(tmp_path / "workspace/data/mosi").widths == {"vision": 3, "text": 2}


def test_a_downloaded_sample_set_comes_back_the_same(tmp_path: Path) -> None:
    folder = stored.write(made(), tmp_path / "zoo")
    (tmp_path / "zoo.zip").write_bytes(workspace.packed(folder))
    with workspace.unpacked([tmp_path / "zoo.zip"]) as place:
        assert read(place).digest() == made().digest()


def test_runs_on_samples_show_their_accuracy() -> None:
    source = run_folders.Source("zoo", "0", "first", {"a": 2})
    on_clips = run_folders.Run("lego", {}, {}, source, 0, {"auc": 70.0, "ap": 50.0})
    on_samples = run_folders.Run(
        "sum", {}, {}, source, 0, {"accuracy": 91.0}, task={"kind": "class", "names": ["a", "b"]}
    )
    table = tables.run_table({"one": on_samples, "two": on_clips}, ())
    assert list(table.index) == ["two", "one"]
    assert table.loc["one", "accuracy"] == 91.0
    assert "correlation" not in table.columns

"""The library: what lies on disk, filtered and paged; hostile names are text; what is wrong is said."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.figures import library as tables
from core import jobs, shelf
from core.data import native
from core.data.check import Report
from core.data.problems import Problem
from tests import world
from tests.app.conftest import Opener, complaints, words

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
    (ticket,) = [ticket for ticket, *_ in shelf.trash(tmp_path / "workspace")]
    app.button(key=f"back-{ticket}").click().run()
    assert not complaints(app)
    assert (tmp_path / "workspace/data/mine/dataset.json").exists()


def test_the_demo_cannot_be_removed(visit: Opener, small: Path) -> None:
    assert not [button for button in visit("library", assets=small).button if button.key == "remove-data"]


def look(app, path: str) -> None:
    app.text_input(key="folder").set_value(path)
    next(button for button in app.button if button.label == "Look at it").click().run()


def test_folders_outside_the_roots_are_refused_without_a_word_about_them(visit: Opener, small: Path) -> None:
    app = visit("library", assets=small)
    look(app, "/etc")
    (told,) = complaints(app)
    assert "outside the folders that may be read" in told


def test_a_folder_is_reported_before_it_is_taken(visit: Opener, small: Path, tmp_path: Path) -> None:
    native.write(world.dataset(None), tmp_path / "workspace/elsewhere")
    app = visit("library", assets=small)
    look(app, str(tmp_path / "workspace/elsewhere"))
    assert not complaints(app)
    assert any("nothing stands in the way" in block.value for block in app.code)
    assert "Bring it in" in [button.label for button in app.button]


def test_problems_are_listed_worst_first() -> None:
    found = (Problem("note", "c"), Problem("error", "a"), Problem("warning", "b"))
    assert list(tables.problem_table(Report("x", "native", found))["what"]) == ["a", "b", "c"]

"""Bring your own: dropped files become graphs, or a reason why not; nothing is lost by a reload."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from core.data import read
from core.sample import Samples
from tests import world
from tests.app.test_library import sample_file
from tests.browser.conftest import Opener, serving, settle, until
from tests.core.data import hostile

ARRIVED = 90_000  # milliseconds; a job starts two processes and imports torch on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library")
    return world.build(root, world.dataset(root / "videos"))


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with serving(place, place / "workspace", place / "server.log") as one:
        yield one


def drop(page: Page, tab: str, button: str, *files: Path) -> None:
    page.get_by_role("tab", name=tab).click()
    shown = page.locator("[role=tabpanel]:visible")
    shown.locator("input[type=file]").set_input_files([str(file) for file in files])
    chips = shown.locator("[data-testid='stFileChip']")
    until(page, lambda: chips.count() == len(files), "the files are uploaded")
    page.wait_for_timeout(500)  # a chip appears before the last bytes have arrived
    shown.get_by_role("button", name=button).click()


def test_dropped_features_become_graphs(visit: Opener, address: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    files = []
    for modality, width in (("motion", 12), ("appearance", 8)):
        files.append(tmp_path / f"my-walk_{modality}.npy")
        np.save(files[-1], generator.standard_normal((10, width)).astype(np.float32))
    page = visit("library", address=address)
    drop(page, "Feature files", "Read them", *files)
    page.get_by_text("is ready as").wait_for(timeout=ARRIVED)
    page.reload()
    settle(page)
    page.get_by_text("is ready as").wait_for()
    page.get_by_role("button", name="Open its graphs").click()
    page.wait_for_url("**/graphs**")
    settle(page)
    assert "dataset=my-walk" in page.url
    assert page.locator("[data-testid='stAlertContentError']").count() == 0
    assert page.get_by_role("heading", name="Relationship graphs").is_visible()


def test_dropped_views_become_a_sample_set(visit: Opener, address: str, place: Path, tmp_path: Path) -> None:
    views = sample_file(tmp_path / "zoo", 30)
    page = visit("library", address=address)
    drop(page, "Samples", "Read the samples", *sorted(views.iterdir()))
    page.get_by_text("is ready as colour").wait_for(timeout=ARRIVED)
    found = read(place / "workspace/data/colour")
    assert isinstance(found, Samples)
    assert (found.widths, len(found), found.task.names) == ({"colour": 2, "shape": 3}, 30, ("cat", "dog", "eel"))
    assert not list((place / "workspace" / "uploads").iterdir())
    page.goto(f"{address}/library?data-filter=colour")
    settle(page)
    page.get_by_text("nothing stands in the way").first.wait_for()
    assert page.get_by_text("In train").is_visible()
    with page.expect_download() as got:
        page.get_by_role("button", name="Download (").first.click()
    got.value.save_as(tmp_path / "again.zip")
    page.get_by_role("button", name="Remove").first.click()
    page.get_by_text("Dataset colour was removed.").wait_for()
    settle(page)
    drop(page, "Samples", "Read the samples", tmp_path / "again.zip")
    page.get_by_text("is ready as again").wait_for(timeout=ARRIVED)
    assert read(place / "workspace/data/again").digest() == found.digest()
    page.get_by_role("button", name="Look at it").last.click()
    settle(page)
    until(page, lambda: "dataset=again" in page.url, "the set is chosen")
    assert page.locator("[data-testid='stAlertContentError']").count() == 0


def test_what_cannot_be_read_says_why(visit: Opener, address: str, tmp_path: Path) -> None:
    bad = {
        "bomb.zip": ("Feature files", "Read them", hostile.zip_bomb(), "a zip bomb"),
        "out.zip": ("Feature files", "Read them", hostile.zip_of(("../x.npy", b"x")), "name that is not let in"),
        "cut_motion.npy": ("Feature files", "Read them", hostile.good_npy()[:-8], "the file holds 88"),
        "list.mp4": ("A video", "Extract its features", hostile.PLAYLIST.format("http://x").encode(), "by its content"),
        "words.csv": ("Samples", "Read the samples", b"1,2,a\n1,x,b\n", "line 2, column 2"),
        "shop.pkl": ("Samples", "Read the samples", hostile.good_pickle(), "is a pickle, which can run code"),
        "code.pth": ("LEGO checkpoint", "Import it", hostile.saved({"w": torch.nn.Linear(1, 1)}), "Python objects"),
    }
    page = visit("library", address=address)
    for name, (tab, button, content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
        drop(page, tab, button, tmp_path / name)
        page.get_by_text(name).last.wait_for()
        settle(page)
    for name, (*_, words) in bad.items():
        told = page.locator("[data-testid='stMarkdown']", has_text="could not be read").filter(has_text=name)
        told.filter(has_text=words).first.wait_for(timeout=ARRIVED)
    said = page.inner_text("[data-testid='stMain']")
    for secret in ("Traceback", str(tmp_path), "/tmp/", "weights_only", "site-packages"):
        assert secret not in said


def test_a_video_is_extracted_with_progress_and_can_be_stopped(
    visit: Opener, address: str, place: Path, tmp_path: Path
) -> None:
    file = world.video(tmp_path / "<b>my yard.mp4", 64)
    page = visit("library", address=address)
    drop(page, "A video", "Extract its features", file)
    stop = page.get_by_test_id("stMain").get_by_role("button", name="Stop")  # Streamlit's own stands in the header
    stop.wait_for()
    stop.click()
    page.get_by_text("was stopped").wait_for()
    assert not list((place / "workspace" / "data").glob("*yard*"))
    settle(page)
    # another name: an input that is handed the very same file again tells the page nothing
    file = file.rename(file.with_name("<b>our yard.mp4"))
    drop(page, "A video", "Extract its features", file)
    page.locator("[role=progressbar]").first.wait_for()
    page.get_by_text("is ready as b-our-yard").wait_for(timeout=ARRIVED)
    assert (place / "workspace" / "data" / "b-our-yard" / "dataset.json").is_file()
    assert not list((place / "workspace" / "uploads").iterdir()), "what was uploaded is gone once it has been read"


def test_the_page_fits(visit: Opener, address: str) -> None:
    page = visit("library", address=address)
    for width in (1440, 1024):
        page.set_viewport_size({"width": width, "height": 1000})
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.get_by_text("nothing stands in the way").first.is_visible()

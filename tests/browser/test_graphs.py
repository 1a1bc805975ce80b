"""The graphs in a real browser: α moves with the hand, a click reaches Python, nothing of a name is ever run."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page

from tests import world
from tests.browser.access import accessible
from tests.browser.conftest import Opener, serving, settle, until
from tests.world import SECONDS

EXTENT, ROOM = 1000, 1.16  # of the drawing, as graph.js has it
LINK = "graphs?clip=test-01&layout=time&per_node=31&strengths=rank"


def graph(page: Page, title: str = "motion") -> Locator:
    return page.get_by_role("application", name=re.compile(f"^{re.escape(title)}:"))


def drawn(page: Page) -> int:
    """Connections drawn in all graphs together."""
    return int(page.locator(".graphs .total").inner_text().split()[0])


def link(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def point(page: Page, unit: int, units: int = 10) -> tuple[float, float]:
    """Where a unit of the time circle is drawn inside the graph, in pixels."""
    box = graph(page).bounding_box()
    assert box is not None
    scale = min(box["width"], box["height"]) / (2 * EXTENT * ROOM)
    turn = 2 * np.pi * unit / units
    return box["width"] / 2 + scale * EXTENT * np.sin(turn), box["height"] / 2 - scale * EXTENT * np.cos(turn)


def click_unit(page: Page, unit: int) -> None:
    x, y = point(page, unit)
    graph(page).click(position={"x": x, "y": y})


@pytest.fixture
def page(visit: Opener) -> Page:
    opened = visit(LINK)
    opened.wait_for_selector(".graphs .stage canvas")
    until(opened, lambda: drawn(opened) > 0, "connections are drawn")
    return opened


def card(page: Page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True)).inner_text()


def test_alpha_filters_while_it_moves_and_python_follows_on_release(page: Page) -> None:
    slider = page.get_by_role("slider", name="alpha: keep connections of at least this strength")
    box = slider.bounding_box()
    assert box is not None
    y, runs = box["y"] + box["height"] / 2, []
    before = drawn(page), card(page, "Var. normal"), page.locator(".graphs .count").all_inner_texts()
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    for share in (0.6, 0.75, 0.9, 0.97):
        page.mouse.move(box["x"] + box["width"] * share, y, steps=3)
        page.wait_for_timeout(80)
        runs.append(drawn(page))
    assert runs == sorted(runs, reverse=True)
    assert runs[-1] < before[0]
    assert "alpha" not in link(page)  # the hand has not let go
    assert card(page, "Var. normal") == before[1]
    counts = page.locator(".graphs .count").all_inner_texts()
    assert counts != before[2]
    page.mouse.up()
    until(page, lambda: float(link(page).get("alpha", 0)) > 0.9, "the link holds α")
    settle(page)
    assert card(page, "Var. normal") != before[1]
    assert page.locator(".graphs .count").all_inner_texts() == counts  # Python agrees with the browser
    assert float(slider.input_value()) == float(link(page)["alpha"])


def test_a_click_on_a_unit_shows_its_frames_and_a_second_one_lets_go(page: Page) -> None:
    click_unit(page, 5)
    until(page, lambda: abs(float(link(page).get("time", -1)) - 5 * SECONDS) < 1e-6, "the link holds the moment")
    settle(page)
    assert page.get_by_text(re.compile("Unit 5 · 3.20 to 3.84 s")).count() == 1
    assert page.get_by_role("img", name="frames 80 to 95 of the clip, in reading order").count() == 1
    assert "Unit 5 ·" in page.locator(".graphs .readout").inner_text()
    click_unit(page, 5)
    until(page, lambda: "time" not in link(page), "nothing is picked")


def test_a_click_on_a_connection_shows_both_ends(page: Page) -> None:
    (x0, y0), (x1, y1) = point(page, 0), point(page, 1)
    graph(page).click(position={"x": (x0 + x1) / 2, "y": (y0 + y1) / 2})
    until(page, lambda: link(page).get("other") == "1", "the link holds the connection")
    settle(page)
    assert float(link(page).get("time", -1)) == 0
    for unit in (0, 1):
        assert page.get_by_text(re.compile(f"Unit {unit} · ")).count() >= 1
    assert page.get_by_text("Without this connection in any modality").count() == 1


def stage_pixels(page: Page, path: Path) -> np.ndarray:
    page.mouse.move(2, 2)
    page.wait_for_timeout(200)
    graph(page, "text" if graph(page, "text").count() else "appearance").screenshot(path=path)
    return np.asarray(Image.open(path).convert("L"), dtype=float)


def test_selection_and_zoom_survive_a_rerun_and_are_the_same_in_every_graph(page: Page, tmp_path: Path) -> None:
    plain = stage_pixels(page, tmp_path / "0.png")
    click_unit(page, 3)
    until(page, lambda: "time" in link(page), "picked")
    page.keyboard.press("+")
    page.keyboard.press("+")
    settle(page)
    before = stage_pixels(page, tmp_path / "1.png")  # of another graph than the one that was clicked
    assert np.abs(before - plain).mean() > 3
    page.locator("[data-testid=stSidebar] input[type=range]").nth(1).focus()
    page.keyboard.press("ArrowRight")
    until(page, lambda: link(page).get("k") == "11", "the rerun")
    settle(page)
    assert np.abs(stage_pixels(page, tmp_path / "2.png") - before).mean() < 0.5
    assert "Unit 3 ·" in page.locator(".graphs .readout").inner_text()
    page.get_by_role("button", name="Show the whole graph").click()
    page.wait_for_timeout(200)
    assert np.abs(stage_pixels(page, tmp_path / "3.png") - before).mean() > 3


def test_keys_walk_units_and_connections(page: Page) -> None:
    graph(page).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    until(page, lambda: abs(float(link(page).get("time", -1)) - SECONDS) < 1e-6, "unit 1")
    settle(page)
    graph(page).focus()
    page.keyboard.press("ArrowDown")
    until(page, lambda: "other" in link(page), "its strongest connection")
    ends = {round(float(link(page)["time"]) / SECONDS), int(link(page)["other"])}
    assert 1 in ends
    settle(page)
    graph(page).focus()
    page.keyboard.press("Enter")
    (far,) = ends - {1}
    until(page, lambda: abs(float(link(page).get("time", 0)) - far * SECONDS) < 1e-6, "the other end")
    settle(page)
    graph(page).focus()
    page.keyboard.press("Escape")
    until(page, lambda: "time" not in link(page) and "other" not in link(page), "nothing is picked")


def test_a_link_reopens_alpha_unit_and_connection(visit: Opener) -> None:
    page = visit(f"{LINK}&alpha=0.35&time={2 * SECONDS}&other=7")
    until(page, lambda: "Connection 2 – 7" in page.locator(".graphs .readout").inner_text(), "the connection")
    slider = page.get_by_role("slider", name="alpha: keep connections of at least this strength")
    assert slider.input_value() == "0.35"


def test_the_sidebars_alpha_moves_the_graphs(page: Page) -> None:
    before = drawn(page)
    page.locator("[data-testid=stSidebar] input[type=range]").first.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    until(page, lambda: drawn(page) < before, "fewer connections")


def test_pictures_and_files_are_saved(page: Page, tmp_path: Path) -> None:
    for name, ending in (("PNG", "png"), ("SVG", "svg")):
        with page.expect_download() as waiting:
            page.get_by_role(
                "button", name=f"Save the graphs as a{'n' if name == 'SVG' else ''} {name} picture"
            ).click()
        waiting.value.save_as(tmp_path / f"saved.{ending}")
        assert waiting.value.suggested_filename.endswith(ending)
    picture = Image.open(tmp_path / "saved.png")
    assert picture.width > 2000
    assert len(picture.getcolors(1 << 24) or []) > 50
    svg = (tmp_path / "saved.svg").read_text()
    assert svg.count("<line") == drawn(page)
    assert ">motion</text>" in svg
    with page.expect_download() as waiting:
        page.get_by_role("button", name="HTML").click()
    waiting.value.save_as(tmp_path / "saved.html")
    asked: list[str] = []
    alone = page.context.browser.new_context(offline=True)  # type: ignore[union-attr]
    shown = alone.new_page()
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto((tmp_path / "saved.html").as_uri())
    for at in range(4):
        shown.frame_locator("iframe").nth(at).locator("canvas").wait_for()
    assert not [url for url in asked if not url.startswith(("file:", "about:", "data:", "blob:"))]
    alone.close()


def test_a_click_on_a_term_switches_it_and_undo_brings_it_back(visit: Opener) -> None:
    page = visit("operator?clip=test-01")
    cells = page.locator(".js-plotly-plot").first.locator(".scatterlayer .point")
    cells.first.wait_for(state="attached")
    assert cells.count() == 16
    was = card(page, "AUC")
    box = cells.nth(5).bounding_box()
    assert box is not None
    for step in (0.4, 0.5):  # Plotly must have seen the pointer come before it takes a click
        page.mouse.move(box["x"] + box["width"] * step, box["y"] + box["height"] * step)
        page.wait_for_timeout(150)
    page.mouse.down()
    page.mouse.up()
    until(page, lambda: link(page).get("A") == "1,1=0", "term (1, 1) is off")
    settle(page)
    page.get_by_role("link", name="Relationship graphs").click()
    settle(page)
    assert link(page).get("A") == "1,1=0"  # the graphs' page shows the changed operator too
    page.get_by_role("button", name="Operator A · 1 change").click()
    page.get_by_role("button", name="Undo").click()
    until(page, lambda: "A" not in link(page), "as trained")
    settle(page)
    assert card(page, "AUC") == was


HOSTILE = '<img src=x onerror="window.owned=1">![x](http:evil.test)'


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("hostile")
    names = tuple(f"{name} {HOSTILE}" for name in world.NAMES)
    world.build(root, world.dataset(root / "videos", names, kind=HOSTILE))
    with serving(root, root / "workspace", root / "server.log") as address:
        yield address


@pytest.mark.parametrize("path", ["graphs?time=3.2", "graphs?time=3.2&other=2&about=1", "operator?time=3.2&other=2"])
def test_a_hostile_name_neither_runs_nor_calls_out(visit: Opener, hostile_server: str, path: str) -> None:
    page = visit(path, address=hostile_server)
    page.wait_for_timeout(500)
    assert page.evaluate("window.owned") is None
    assert page.locator("img[src=x]").count() == 0
    if path.startswith("graphs"):
        graph(page).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(400)
        settle(page)
    assert page.evaluate("window.owned") is None


def test_axe_finds_nothing_in_the_graphs(visit: Opener) -> None:
    page = visit(f"{LINK}&time=3.2")
    until(page, lambda: drawn(page) > 0, "connections are drawn")
    accessible(page, "[data-testid=stMain] [data-testid=stBidiComponentIsolated]")

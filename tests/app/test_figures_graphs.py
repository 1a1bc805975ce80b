"""What the graphs are drawn from: places, candidates, counts, files, tables, and the line of changes to A."""

import base64
import csv
import io
import json
import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.figures import graphs as matrices
from app.figures import network, operator
from app.figures.network import GRID, Panel
from app.figures.style import DARK, LIGHT
from app.views.graphs import figures, tables
from app.views.operator import figures as of_operator
from core.score.changes import Changes

HOSTILE = "</script><img src=x onerror=alert(1)>![x](http://evil.test) href"


def relations(n: int, seed: int = 0) -> np.ndarray:
    """A symmetric float32 graph with values in [-0.2, 1] and a unit diagonal."""
    random = np.random.default_rng(seed)
    half = np.triu(random.uniform(-0.2, 1, (n, n)), 1)
    return (half + half.T + np.eye(n)).astype(np.float32)


def three(n: int, title: str = "motion") -> list[Panel]:
    found = {title: relations(n, 1), "text": relations(n, 2), "fused": relations(n, 3)}
    return [Panel(name, graph) for name, graph in found.items()] + [
        network.difference("change", "fused", [title, "text"], found)
    ]


# ---------------------------------------------------------------------------- places


@pytest.mark.parametrize("layout", ["spring", "distance", "time"])
@pytest.mark.parametrize("n", [1, 2, 3, 12, 32])
def test_places_are_the_same_each_time_and_inside_the_square(layout: network.Layout, n: int) -> None:
    graphs = [relations(n, 1), relations(n, 2)]
    places = network.positions(graphs, layout)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max() <= network.EXTENT + 1
    np.testing.assert_array_equal(places, network.positions(graphs, layout))


@pytest.mark.parametrize("layout", ["spring", "distance", "time"])
def test_no_node_hides_another(layout: network.Layout) -> None:
    clones = np.ones((20, 20), np.float32)  # twenty copies of one unit: every layout wants them on one spot
    for graph in (clones, relations(32)):
        places = network.positions([graph], layout)
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        np.fill_diagonal(apart, np.inf)
        assert apart.min() > 1.2 * network.radius(len(graph))


def test_related_units_lie_nearer_than_unrelated_ones() -> None:
    block = np.kron(np.eye(2), np.ones((8, 8))).astype(np.float32) * 0.9 + 0.05
    for layout in ("spring", "distance"):
        places = network.positions([block], layout)  # type: ignore[arg-type]
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        same = block > 0.5
        assert apart[same & ~np.eye(16, dtype=bool)].mean() < apart[~same].mean()


# ---------------------------------------------------------------------------- α


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=40))
def test_the_browser_cuts_exactly_where_numpy_does(values: list[float]) -> None:
    for kind in (np.float32, np.float64):
        strengths = np.array([*values, *GRID], kind)
        found = network.levels(strengths)
        for step, alpha in enumerate(GRID):
            np.testing.assert_array_equal(found > step, strengths >= np.asarray(alpha, kind))


def decoded(entry: dict, n: int) -> np.ndarray:
    whole = np.zeros((n, n), int)
    whole[np.triu_indices(n, 1)] = np.frombuffer(base64.b64decode(entry["levels"]), np.uint8)
    return whole + whole.T


def test_counts_and_degrees_at_every_alpha_are_those_of_the_graph() -> None:
    panels, n = three(21), 21
    for panel, entry in zip(panels, network.payload(panels, 5, 0.5), strict=True):
        if panel.difference:
            continue
        sent = decoded(entry, n)
        for step, alpha in enumerate(GRID):
            degrees = tables.degrees(panel.graph, float(alpha))
            np.testing.assert_array_equal((sent > step).sum(1), degrees)
            assert entry["counts"][step] == degrees.sum() // 2


def test_candidates_hold_each_units_strongest_and_come_weakest_first() -> None:
    graph = relations(24)
    i, j = network.candidates(graph, 4)
    assert (i < j).all()
    strength = np.abs(graph[i, j])
    assert (np.diff(strength) >= 0).all()
    pairs = set(zip(i.tolist(), j.tolist(), strict=True))
    for unit in range(24):
        row = np.abs(graph[unit]).copy()
        row[unit] = -1
        for other in np.argsort(-row)[:4]:
            assert (min(unit, other), max(unit, other)) in pairs


def test_never_more_than_five_thousand_edges_and_no_degrees_by_hand_for_long_windows() -> None:
    panels = three(400)
    sent = network.payload(panels, 31, 0.5)
    assert 4000 < sum(len(entry["edges"]) for entry in sent) <= network.MOST_EDGES
    for panel, entry in zip(panels, sent, strict=True):
        assert entry["levels"] is None
        if not panel.difference:
            assert entry["degrees"] == tables.degrees(panel.graph, 0.5).tolist()


def test_a_difference_is_drawn_where_either_side_reaches_alpha() -> None:
    panels = three(16)
    graphs = {panel.title: panel.graph for panel in panels}
    (entry,) = [e for e in network.payload(panels, 15, 0.5) if e["kind"] == "difference"]
    mean = (graphs["motion"] + graphs["text"]) / 2
    for i, j, level, strength in entry["edges"]:
        assert strength == pytest.approx(float(graphs["fused"][i, j] - mean[i, j]), abs=6e-4)
        for step in (0, 30, 60, 90):
            alpha = np.float32(GRID[step])
            assert (level > step) == bool(max(graphs["fused"][i, j], mean[i, j]) >= alpha)


def test_the_digest_moves_only_with_what_is_drawn() -> None:
    first = [entry["digest"] for entry in network.payload(three(16), 5, 0.2)]
    assert first == [entry["digest"] for entry in network.payload(three(16), 5, 0.9)]
    changed = three(16)
    changed[2] = Panel("fused", relations(16, 9))
    assert [a == b["digest"] for a, b in zip(first, network.payload(changed, 5, 0.2), strict=True)][2] is False


# ---------------------------------------------------------------------------- files


def test_a_saved_page_asks_for_nothing_and_runs_nothing_of_a_name() -> None:
    panels, n = three(9, HOSTILE), 9
    odd = np.arange(n) == 3
    drawn = {
        p.title: network.network(network.positions([panels[0].graph], "time"), odd, np.zeros(n), p) for p in panels
    }
    page = network.page(HOSTILE, drawn)
    head, parcel = page.split("const parcel = ")
    assert "<img" not in page
    assert HOSTILE not in page
    assert "default-src 'none'" in head
    assert 'sandbox="allow-scripts"' in head
    assert "allow-same-origin" not in page
    content = json.loads(parcel[: parcel.index(";\ndocument")])
    assert "</script" not in parcel[: parcel.index(";\ndocument")].lower()
    assert len(content["bodies"]) == len(panels)
    for body in content["bodies"]:
        assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", body)
        assert (
            "title"
            not in re.sub(r"<style.*?</style>", "", body, flags=re.S).split("nodes = new vis.DataSet(")[1].split(")")[0]
        )


def test_a_network_draws_anomalies_as_purple_diamonds_and_keeps_places() -> None:
    n = 6
    odd = np.arange(n) >= 4
    places = network.positions([relations(n)], "time")
    drawn = network.network(places, odd, np.linspace(0, 1, n), Panel("a", relations(n)), 0.5, n, first=10)
    for at, node in enumerate(drawn.nodes):
        assert (node["shape"], node["color"]) == (("diamond", LIGHT.anomaly) if odd[at] else ("dot", LIGHT.normal))
        assert node["label"] == str(10 + at)
        assert (node["x"], node["y"]) == pytest.approx(tuple(places[at]), abs=0.06)
        assert "title" not in node
    graph = relations(n)
    wanted = {(i, j) for i in range(n) for j in range(i + 1, n) if graph[i, j] >= np.float32(0.5)}
    assert {(edge["from"], edge["to"]) for edge in drawn.edges} == wanted


def test_graphml_gives_every_strength_back() -> None:
    panels = three(7, HOSTILE)[:3]
    read = nx.parse_graphml(network.graphml(panels, np.arange(7) == 2, np.arange(7) / 7, 0.64, first=5).decode(), int)
    assert sorted(read.nodes) == list(range(5, 12))
    assert read.nodes[7]["anomalous"] is True
    assert read.nodes[6]["start"] == pytest.approx(6 * 0.64)
    for i, j, held in read.edges(data=True):
        for panel in panels:
            (value,) = [held[name] for name in held if name[:8] == panel.title[:8]]
            assert value == pytest.approx(float(panel.graph[i - 5, j - 5]))
    assert read.number_of_edges() == 21


def test_csv_holds_every_pair_and_starts_no_formula() -> None:
    panels = [Panel("=cmd|' /C calc'!A0", relations(5)), Panel('a,"b', relations(5, 4))]
    rows = list(csv.reader(io.StringIO(network.edge_table(panels, first=3))))
    assert rows[0][:2] == ["unit", "other"]
    assert rows[0][3] == 'a,"b'
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in rows[0])
    assert len(rows) == 1 + 10
    for unit, other, first, second in rows[1:]:
        i, j = int(unit) - 3, int(other) - 3
        assert float(first) == pytest.approx(float(panels[0].graph[i, j]), rel=1e-5)
        assert float(second) == pytest.approx(float(panels[1].graph[i, j]), rel=1e-5)


# ---------------------------------------------------------------------------- tables


def test_neighbours_come_strongest_first_and_leave_the_unit_out() -> None:
    graphs = {"motion": relations(12, 1), "fused": relations(12, 2)}
    table = tables.neighbours(graphs, 4, 20, 0.5, np.zeros(12), None)
    assert 24 not in set(table["unit"])
    assert len(table) == 11
    assert (np.diff(table["fused"]) <= 0).all()
    for row in table.itertuples():
        assert row.motion == graphs["motion"][4, row.unit - 20]


def test_weighted_degrees_are_those_of_the_regulariser() -> None:
    import torch

    from core.fusion.graph import degrees

    graph = relations(14)
    for alpha in (0.0, 0.3, 0.5, 0.97):
        np.testing.assert_allclose(tables.weighted(graph, alpha), degrees(torch.tensor(graph), alpha), rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_ranks_keep_the_order_and_forget_scale_shift_and_narrowness(seed: int, scale: float, shift: float) -> None:
    graph = relations(8, seed).astype(float)
    off = ~np.eye(8, dtype=bool)
    found = network.ranked(graph)
    np.testing.assert_array_equal(found, found.T)
    assert (found[off].min(), found[off].max()) == (0, 1)
    np.testing.assert_array_equal(np.argsort(found[off], kind="stable"), np.argsort(graph[off], kind="stable"))
    np.testing.assert_allclose(found, network.ranked(np.exp(graph * scale / 50) + shift), atol=1e-9)
    for alpha in (0.25, 0.5, 0.8):
        assert (found[off] >= alpha).mean() == pytest.approx(1 - alpha, abs=1 / 28)


def test_a_graph_is_flat_when_alpha_keeps_all_or_none() -> None:
    graph = relations(12)
    assert tables.flat(graph, 1.01)
    assert tables.flat(graph, -0.3)
    assert not tables.flat(graph, 0.5)
    assert not tables.flat(network.ranked(graph), 0.5)


def test_a_contact_sheet_holds_every_frame_in_reading_order() -> None:
    frames = np.arange(5 * 3 * 4 * 3, dtype=np.uint8).reshape(5, 3, 4, 3)
    sheet = tables.contact_sheet(frames, columns=3, gap=2)
    assert sheet.shape == (2 * 5 - 2, 3 * 6 - 2, 3)
    for at in range(5):
        y, x = (at // 3) * 5, (at % 3) * 6
        np.testing.assert_array_equal(sheet[y : y + 3, x : x + 4], frames[at])


# ---------------------------------------------------------------------------- changes to A


entries = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 2)), st.floats(-9999, 9999).map(lambda x: round(x, 4))
)


@settings(deadline=None)
@given(entries, st.dictionaries(st.integers(0, 1), st.integers(0, 1)))
def test_a_line_of_changes_says_all_of_them(entries: dict, tops: dict) -> None:
    changes = Changes(entries, tops)
    assert Changes.read(str(changes), (4, 3)) == changes


@given(st.text(max_size=200))
def test_a_bad_link_is_no_error_and_says_nothing_foreign(text: str) -> None:
    read = Changes.read(text, (4, 4))
    assert Changes.read(str(read), (4, 4)) == read
    assert all(0 <= at < 4 for entry in read.entries for at in entry)


# ---------------------------------------------------------------------------- figures


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_matrices_share_one_scale_and_differences_are_centred(colours: network.Any) -> None:
    found = {"motion": relations(9, 1), "fused": relations(9, 2)}
    odd = np.arange(9) > 6
    figure = matrices.relation_matrices(found, 3, odd, colours, found["fused"] - found["motion"], 0.1, 0.8)
    heat = [trace for trace in figure.data if trace.type == "heatmap"]
    assert [(trace.zmin, trace.zmax) for trace in heat[:2]] == [(0.1, 0.8)] * 2
    assert heat[2].zmin == -heat[2].zmax
    assert heat[2].zmid == 0
    for trace in heat:
        assert np.isnan(np.diag(trace.z)).all()
        assert list(trace.x) == list(range(3, 12))
    assert all(
        t.marker.symbol == "diamond" and t.marker.color == colours.anomaly for t in figure.data if t.type == "scatter"
    )


def test_a_change_below_float_noise_is_none() -> None:
    """Two ways to compute the same graph differ by 4e-8; drawn on a scale of its own that would be a dark pattern."""
    graph = relations(9)
    again = graph + np.float32(4e-8) * np.sign(relations(9, 1) - 0.4)
    drawn = matrices.relation_matrices({"trained": graph, "changed": again}, 0, np.zeros(9, bool), LIGHT, again - graph)
    assert not np.nan_to_num(drawn.data[2].z).any()
    panel = network.difference("change", "again", ["graph"], {"again": again, "graph": graph})
    assert not panel.graph.any()
    assert panel.high > 0
    assert not of_operator.training(graph, again)["learned − drawn"].any()
    real = again.copy()
    real[2, 5] += 1e-4
    assert np.count_nonzero(network.difference("c", "real", ["graph"], {"real": real, "graph": graph}).graph) == 1


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_what_is_nothing_has_the_colour_of_the_page(colours: network.Any) -> None:
    from plotly.colors import get_colorscale

    for scale in (colours.signed, colours.change):
        steps = dict(get_colorscale(scale) if isinstance(scale, str) else scale)
        middle = np.array(read(steps[0.5]))
        assert np.abs(middle - read(colours.page)).max() < 12
        assert all(np.abs(middle - read(steps[end])).max() > 100 for end in (0, 1))


def read(colour: str) -> list[int]:
    """Red, green and blue of "rgb(1,2,3)" or "#010203"."""
    if colour.startswith("#"):
        return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return [int(part) for part in re.findall(r"\d+", colour)]


def test_degree_bars_hold_every_unit_once() -> None:
    after, odd = np.arange(8.0), np.arange(8) % 3 == 0
    figure = figures.degree_change({"motion": after * 2}, after, 4, odd, LIGHT)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    drawn = {int(x): float(y) for trace in bars for x, y in zip(trace.x, trace.y, strict=True)}
    assert drawn == {4 + at: float(at) for at in range(8)}
    anomalous = next(trace for trace in bars if "anomalous" in trace.name)
    assert anomalous.marker.pattern.shape
    assert list(anomalous.x) == list(4 + np.flatnonzero(odd))


def test_no_figure_reads_a_name_as_markup() -> None:
    name = "<a href='http://evil.test'>x</a>"
    graph = relations(4)
    drawn = [
        matrices.relation_matrices({name: graph}, 0, np.zeros(4, bool), LIGHT),
        figures.degree_change({name: np.ones(4)}, None, 0, np.zeros(4, bool), LIGHT),
        figures.shares([name], np.ones(1), LIGHT, "share", 1.0),
        operator.operator_matrix(np.ones((2, 2)), (name, name), LIGHT),
        of_operator.term_matrices({name: np.ones((2, 2))}, (name, name), LIGHT),
    ]
    for figure in drawn:
        assert "<a" not in figure.to_json().replace("\\u003c", "<")


def test_the_operator_is_white_at_zero_and_marks_what_changed() -> None:
    A = np.array([[0.5, -2.0], [0.0, 1.0]])
    figure = operator.operator_matrix(A, ("a", "b"), LIGHT, changed=[(1, 0)])
    heat, squares = figure.data
    assert (heat.zmin, heat.zmid, heat.zmax) == (-2, 0, 2)
    assert list(zip(squares.y, squares.x, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    (frame,) = figure.layout.shapes
    assert frame.line.color == LIGHT.selected
    assert frame.x0 < 0 < frame.x1
    assert frame.y0 < 1 < frame.y1
    assert operator.operator_matrix(np.ones((13, 13)), ("a", "b"), LIGHT).data[0].texttemplate is None


def test_singular_values_rebuild_the_size_of_a() -> None:
    A = np.random.default_rng(0).normal(size=(4, 3, 2))
    found = of_operator.singular_values(A)
    assert np.square(found).sum() == pytest.approx(np.square(A).sum())
    one = np.multiply.outer(np.arange(1.0, 4), np.arange(1.0, 3))
    values = of_operator.singular_values(one)
    bars, strokes = of_operator.rank_bars(values, found[:2], LIGHT).data
    assert list(bars.y) == list(values)
    assert list(strokes.y) == list(found[:2])
    assert values[1] < 1e-9 < values[0]


def test_the_largest_weights_are_said_in_words() -> None:
    A = np.zeros((3, 3))
    A[2, 1] = -4
    assert "largest weights: motion² ⊙ text -4.000" in operator.operator_sentence(A, ["motion", "text"])

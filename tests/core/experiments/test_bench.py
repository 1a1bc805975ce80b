"""The bench measures what it says; no test here depends on how fast the machine is."""

import json
import subprocess
import sys
from dataclasses import replace

import networkx as nx
import pytest
import torch
from scipy import sparse

from core.experiments import bench
from core.experiments.bench import fuse, large, long, shared, sliders, sweep, train, umap
from core.fusion import graph as g


@pytest.fixture
def small(monkeypatch):
    sizes = {
        fuse: {"CLIPS": 24, "RIVALS": tuple(replace(each, few=1) for each in fuse.RIVALS)},
        shared: {"ROUNDS": 1, "LEAST": 0.0},
        sliders: {"CLIPS": 24, "WIDTHS": {"video": 16, "text": 8}},
        train: {"WIDTHS": {"video": 16, "text": 8}},
        long: {"ROUNDS": 1, "LONG": 700, "LONG_WIDTH": 8},
        large: {"MANY": 40},
        sweep: {"ROUNDS": 1, "TOP": 2, "SWEEP_SEEDS": 1, "MEMBERS": 3, "SWEEP_EPOCHS": 2},
        # UMAP compiles for a minute
        umap: {"POINTS": 30, "AS_USUAL": "import numpy", "OURS": "import sys"},
    }
    for module, values in sizes.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("name", list(bench.BENCHMARKS))
def test_every_benchmark_gives_complete_rows_and_a_table(small, name):
    result, text = bench.run(name, lambda line: None)
    assert result["rows"]
    json.dumps(result, allow_nan=False)
    for row in result["rows"]:
        assert row["name"] in text
        if row["ours_ms"] is None:
            assert row["why"]
            assert row["met"] is None
        elif row["unit"] == "ms":
            assert row["ratio"] == pytest.approx(row["rival_ms"] / row["ours_ms"], rel=0.05, abs=0.02)
    if name == "demo":
        assert len(result["rows"]) == 1


def test_an_unknown_benchmark_is_refused_by_name():
    with pytest.raises(ValueError, match="no benchmark 'speed'; there are fuse, train"):
        bench.run("speed", print)


def test_all_rivals_compute_the_same_graph():
    graphs = fuse.random_graphs(2)
    A = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    stacks = [g.powers(graph, size - 1) for graph, size in zip(graphs, A.shape, strict=True)]
    eye = torch.eye(fuse.NODES).expand_as(graphs[0])
    cached = [[eye, *stack] for stack in stacks]
    wanted = g.fuse(stacks, A)
    torch.testing.assert_close(fuse.literal(*cached, A), wanted)
    by_scipy = fuse.by_scipy(*[[sparse.csr_array(p[1].numpy()) for p in powers] for powers in cached], A.numpy())
    torch.testing.assert_close(torch.from_numpy(by_scipy).float(), wanted[1], atol=1e-5, rtol=1e-5)
    networks = [[nx.from_numpy_array(p[1].double().numpy()) for p in powers] for powers in cached]
    by_networkx = nx.to_numpy_array(fuse.by_networkx(*networks, A.numpy()))
    torch.testing.assert_close(torch.from_numpy(by_networkx).float(), wanted[1], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_long_window_in_a_process_of_its_own_finds_the_same():
    there, here = (each("degrees", 1000, "streaming") for each in (long.alone, long.timed))
    torch.testing.assert_close(there.answer, here.answer)


def test_ratios_and_verdicts():
    row = shared.compared("x", 2.0, "y", 9.0, 4.0)
    assert (row.ratio, row.met) == (4.5, True)
    assert not shared.compared("x", 2.0, "y", 7.0, 4.0).met
    assert "MISSED" in shared.table([shared.compared("x", 2.0, "y", 7.0, 4.0)])
    assert shared.skipped("x", "y", 3.0, "not installed").met is None


def test_peak_memory_sees_what_is_held():
    """In a process of its own: one that has freed much before holds new things without growing."""
    code = "import torch; from core.machine.peak import peak; print(peak(lambda: torch.ones(64 << 18)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120).stdout.strip()
    assert found == "None" or 60 < float(found) < 100

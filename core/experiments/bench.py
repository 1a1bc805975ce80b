"""Ratios of fast paths against their named rivals, in one run: what counts is the ratio, since machines differ.

Variants take turns of at least a tenth of a second, so that a machine that slows down slows all of them; each gets the
median of its turns. Time is this process's processor time on one thread: other programs on the machine do not count.
Every fast path is compared with its rival's answer before it is timed.
"""

import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from core.clip import Clip
from core.data import read
from core.experiments.table import stored
from core.experiments.table import text as methods_text
from core.fusion import graph as g
from core.fusion.base import Fused, Fusion
from core.fusion.lego import Lego, LegoConfig, LegoTrace
from core.fusion.long import ROWS, Rows, long_graph, reading, scale_of
from core.fusion.mtn import Mtn
from core.machine.peak import peak
from core.measure.metrics import auc
from core.measure.thresholds import Units, cheapest, decide, graded
from core.recipe import TrainConfig
from core.score import whole
from core.score.infer import resample, score
from core.score.sliders import Gate, GraphSet
from core.train.loop import Prepared, batches, fixed_graphs, losses, prepare, step_loss

Tell = Callable[[str], None]
Action = Callable[[], object]

CLIPS, NODES = 500, 32
WIDTHS = {"video": 2048, "text": 768}
LONG, LONG_WIDTH = 20_000, 256
POINTS = 5_000
FEW = {"PyG": 20, "scipy.sparse": 20, "NetworkX": 2}  # clips that slow rivals are timed on
ROUNDS, LEAST = 7, 0.1  # turns of each variant; seconds of each turn, since steps and slider moves come in rows
MEMORY_GOAL = 300.0  # MB
DEMO_GOAL = 50.0  # ms
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One comparison. Times in ms (peak memory in MB where `unit` says so); goal is the least ratio rival / ours.

    met   None where there is no goal, or nothing to compare with
    why   the reason when a number is missing, or what was scaled
    """

    name: str
    ours_ms: float | None
    rival: str
    rival_ms: float | None
    ratio: float | None
    goal: float | None
    met: bool | None
    unit: str = "ms"
    why: str = ""


def compared(name: str, ours: float, rival: str, theirs: float, goal: float, why: str = "") -> Row:
    ratio = theirs / ours
    return Row(name, round(ours, 4), rival, round(theirs, 4), round(ratio, 2), round(goal, 4), ratio >= goal, why=why)


def measured(name: str, ours: float, rival: str, theirs: float, why: str = "") -> Row:
    """A comparison without a goal."""
    return Row(name, round(ours, 4), rival, round(theirs, 4), round(theirs / ours, 2), None, None, why=why)


def skipped(name: str, rival: str, goal: float | None, why: str) -> Row:
    return Row(name, None, rival, None, None, goal, None, why=why)


def interleaved(actions: Mapping[str, Action], rounds: int | None = None, slow: Sequence[str] = ()) -> dict[str, float]:
    """Name -> median milliseconds; every action once to warm up, then all in turn. `slow` ones get three rounds."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for turn in range(rounds or ROUNDS):
        for name, action in actions.items():
            if name in slow and turn >= 3:
                continue
            began, calls = time.process_time(), 0
            while not calls or time.process_time() - began < LEAST:  # a short action is repeated
                action()
                calls += 1
            taken[name].append((time.process_time() - began) / calls * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


# ---------------------------------------------------------------------------- fused graphs


def random_graphs(count: int, seed: int = 0) -> list[g.Graph]:
    random = torch.Generator().manual_seed(seed)
    return [
        g.cosine(torch.randn(count, NODES, 16, generator=random) + torch.randn(count, 1, 16, generator=random))
        for _ in range(2)
    ]


def literal(powers_a: Sequence[Tensor], powers_b: Sequence[Tensor], A: Tensor) -> Tensor:
    """Eq. 5 as it is written: a loop over p and q; powers from 0, the identity, on."""
    total = torch.zeros_like(powers_a[0])
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            total = total + A[p, q] * (powers_a[p] * powers_b[q])
    return total


def by_scipy(powers_a: Sequence[sparse.csr_array], powers_b: Sequence[sparse.csr_array], A: np.ndarray) -> np.ndarray:
    total = sparse.csr_array(powers_a[0].shape, dtype=np.float32)
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            total = total + powers_a[p].multiply(powers_b[q]) * A[p, q]
    return total.toarray()


def by_networkx(powers_a: Sequence[nx.Graph], powers_b: Sequence[nx.Graph], A: np.ndarray) -> nx.Graph:
    fused = nx.Graph()
    fused.add_nodes_from(powers_a[0])
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            for i, j, weight in powers_a[p].edges(data="weight"):
                if powers_b[q].has_edge(i, j):
                    part = A[p, q] * weight * powers_b[q][i][j]["weight"]
                    if fused.has_edge(i, j):
                        fused[i][j]["weight"] += part
                    else:
                        fused.add_edge(i, j, weight=part)
    return fused


def by_pyg(powers_a: Sequence[tuple], powers_b: Sequence[tuple], A: np.ndarray) -> Tensor:
    """Sparse adjacency in torch_geometric's own form: every term's edges laid side by side, then coalesced."""
    from torch_geometric.utils import coalesce, to_dense_adj

    index, weight = [], []
    for p in range(A.shape[0]):
        for q in range(A.shape[1]):
            dense_a = to_dense_adj(powers_a[p][0], edge_attr=powers_a[p][1], max_num_nodes=NODES)[0]
            edges, values = powers_b[q]
            index.append(edges)
            weight.append(A[p, q] * dense_a[edges[0], edges[1]] * values)
    edges, values = coalesce(torch.cat(index, dim=1), torch.cat(weight), NODES)
    return to_dense_adj(edges, edge_attr=values, max_num_nodes=NODES)[0]


def one_by_one(rival: Callable[..., object], powers: Sequence[Sequence[object]], A: np.ndarray) -> list[object]:
    """A rival that takes one clip's powers at a time, on each of some clips."""
    return [rival(a, b, A) for a, b in zip(*powers, strict=True)]


def fusing(tell: Tell) -> Iterator[Row]:
    """Fused graphs of 500 clips from cached powers, P = Q = 3 and 10."""
    graphs = random_graphs(CLIPS)
    for top, goal in ((3, 4.0), (10, 15.0)):
        tell(f"fused graphs, P = Q = {top}")
        name = f"fused graphs of {CLIPS} clips from cached powers, P = Q = {top}"
        A = torch.randn(top + 1, top + 1, generator=torch.Generator().manual_seed(1))
        stacks = [g.powers(graph, top) for graph in graphs]
        eye = torch.eye(NODES).expand_as(graphs[0])
        cached = [[eye.contiguous(), *stack] for stack in stacks]
        halves = g.Halves.of(stacks)
        weights = A.numpy()
        adjacency = [
            [[sparse.csr_array(p[i].numpy()) for p in powers] for i in range(FEW["scipy.sparse"])] for powers in cached
        ]
        networks = [
            [[nx.from_numpy_array(p[i].double().numpy()) for p in powers] for i in range(FEW["NetworkX"])]
            for powers in cached
        ]
        actions: dict[str, Action] = {
            "ours": partial(halves.fuse, A),
            "literal loop": partial(literal, cached[0], cached[1], A),
            "scipy.sparse": partial(one_by_one, by_scipy, adjacency, weights),
            "NetworkX": partial(one_by_one, by_networkx, networks, weights),
        }
        wanted = literal(cached[0], cached[1], A)
        size = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(halves.fuse(A), wanted, atol=1.3e-6 * size * top, rtol=1e-5)
        torch.testing.assert_close(
            torch.from_numpy(by_scipy(adjacency[0][0], adjacency[1][0], weights)).float(),
            wanted[0],
            atol=1e-4,
            rtol=1e-4,
        )
        drawn = nx.to_numpy_array(by_networkx(networks[0][0], networks[1][0], weights))
        torch.testing.assert_close(torch.from_numpy(drawn).float(), wanted[0], atol=1e-4, rtol=1e-4)
        pyg = importlib.util.find_spec("torch_geometric") is not None
        if pyg:
            from torch_geometric.utils import dense_to_sparse

            edges = [[[dense_to_sparse(p[i]) for p in powers] for i in range(FEW["PyG"])] for powers in cached]
            actions["PyG"] = partial(one_by_one, by_pyg, edges, weights)
        with torch.inference_mode():
            found = interleaved(actions, slow=("scipy.sparse", "NetworkX", "PyG"))
        yield compared(name, found["ours"], "literal torch loop", found["literal loop"], goal)
        if pyg:
            theirs = found["PyG"] * CLIPS / FEW["PyG"]
            yield compared(name, found["ours"], "PyG", theirs, 3.0, f"{FEW['PyG']} clips, scaled to {CLIPS}")
        else:
            yield skipped(name, "PyG", 3.0, "torch_geometric is not installed")
        theirs = found["scipy.sparse"] * CLIPS / FEW["scipy.sparse"]
        yield compared(
            name, found["ours"], "scipy.sparse", theirs, 100.0, f"{FEW['scipy.sparse']} clips, scaled to {CLIPS}"
        )
        theirs = found["NetworkX"] * CLIPS / FEW["NetworkX"]
        yield compared(name, found["ours"], "NetworkX", theirs, 100.0, f"{FEW['NetworkX']} clips, scaled to {CLIPS}")


# ---------------------------------------------------------------------------- a training step


def adam(model: Fusion) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3, fused=True)


def training(tell: Tell) -> Iterator[Row]:
    """One step, forward, backward and Adam, on the same 32 clips: LEGO against MTN."""
    tell("training steps")
    random = torch.Generator().manual_seed(0)
    features = {name: torch.randn(32, NODES, width, generator=random).abs() for name, width in WIDTHS.items()}
    anomalous, config = torch.arange(32) % 2 == 0, TrainConfig()
    torch.manual_seed(0)
    lego, raw, mtn = Lego(WIDTHS).train(), Lego(WIDTHS, LegoConfig(project=None)).train(), Mtn(WIDTHS).train()
    with torch.no_grad():
        graphs = raw.graphs(features)
    steps = {id(model): adam(model) for model in (lego, raw, mtn)}

    def finish(model: Fusion, loss: tuple[Tensor, Tensor]) -> float:
        optimiser = steps[id(model)]
        optimiser.zero_grad()
        (loss[0] + loss[1]).backward()
        optimiser.step()
        return float(loss[0].detach())

    def from_graphs() -> float:
        return finish(raw, losses(raw, raw.from_graphs(graphs, list(graphs)), anomalous, None, config))

    found = interleaved(
        {
            "lego": lambda: finish(lego, step_loss(lego, features, anomalous, None, config)),
            "cached": from_graphs,
            "mtn": lambda: finish(mtn, step_loss(mtn, features, anomalous, None, config)),
        },
        slow=("mtn",),
    )
    yield compared("LEGO training step, projection included", found["lego"], "MTN training step", found["mtn"], 20.0)
    yield compared("LEGO training step from cached cosines", found["cached"], "MTN training step", found["mtn"], 500.0)


# ---------------------------------------------------------------------------- sliders


def random_clips(count: int) -> list[Clip]:
    random = torch.Generator().manual_seed(0)
    labels = torch.zeros(NODES, dtype=torch.bool)
    labels[10:16] = True
    return [
        Clip(
            f"clip-{number}",
            {
                name: torch.randn(NODES, width, generator=random) + torch.randn(1, width, generator=random)
                for name, width in WIDTHS.items()
            },
            labels if number % 2 else torch.zeros(NODES, dtype=torch.bool),
            seconds=0.5,
        )
        for number in range(count)
    ]


def sliders(tell: Tell) -> Iterator[Row]:
    """A moved slider, answered for 500 clips, against scoring them from their features again."""
    tell("sliders")
    clips = random_clips(CLIPS)
    torch.manual_seed(0)
    model = Lego(WIDTHS).eval()
    ready = GraphSet(model, clips)
    A = ready.operator
    assert A is not None
    gate = Gate(ready.fused())

    def again() -> float:
        scores = score(model, clips)
        return auc(np.concatenate([scores[clip.name] for clip in clips]), ready.labels)

    def whole() -> float:
        return ready.auc(ready.scores(ready.fused(A)))

    if abs(whole() - again()) > 1e-3:
        raise ValueError(f"the slider's AUC is {whole():.4f}, from features it is {again():.4f}")
    torch.testing.assert_close(gate.degrees(0.37), g.degrees(ready.fused(), 0.37), atol=1e-4, rtol=1e-4)
    found = interleaved({"again": again, "whole": whole, "alpha": lambda: gate.degrees(0.37)})
    rival = f"scores and AUC from features, {CLIPS} clips"
    yield compared(f"whole A moved: scores and AUC of {CLIPS} clips", found["whole"], rival, found["again"], 20.0)
    yield compared(f"alpha moved: degrees of {CLIPS} clips", found["alpha"], rival, found["again"], 500.0)


def demo(tell: Tell) -> Iterator[Row]:
    """The demo's test clips fused anew, rescored and judged again, as when a slider of A is let go."""
    from core import run
    from core.data import native

    name = "the demo's test clips fused anew, rescored, judged again"
    found = [folder for folder in sorted((ROOT / "assets" / "runs").glob("lego-*")) if (folder / "run.json").is_file()]
    if not found or not (ROOT / "assets" / "demo" / "dataset.json").is_file():
        yield skipped(name, f"{DEMO_GOAL:.0f} ms", None, "assets/demo or its LEGO run is not there")
        return
    tell("demo")
    model, clips = run.model(found[0]), native.read(ROOT / "assets" / "demo").part("test")
    ready = GraphSet(model, clips)
    A = ready.operator

    def moved() -> object:
        fused = ready.fused(A)
        return ready.answer(fused, 0.5, 10, Gate(fused))

    ours = interleaved({"ours": moved})["ours"]
    row = compared(name, ours, f"{DEMO_GOAL:.0f} ms", DEMO_GOAL, 1.0, f"{len(clips)} clips, {len(ready.labels)} units")
    yield row


# ---------------------------------------------------------------------------- long windows


PARTS = {
    "degrees": "degrees",
    "gated": "α-gated degrees and top 10 edges",
    "scores": "scores, degrees at 101 values of α and top 10 edges",
}


def long_clip(n: int) -> Clip:
    random = torch.Generator().manual_seed(0)
    centre = torch.randn(1, LONG_WIDTH, generator=random)
    rows = {name: torch.randn(n, LONG_WIDTH, generator=random) + 0.5 * centre for name in ("video", "text")}
    return Clip("long", rows, None, 0.64)


def long_model() -> Lego:
    """Untrained, without a projection: all 256 columns are multiplied."""
    torch.manual_seed(0)
    return Lego({"video": LONG_WIDTH, "text": LONG_WIDTH}, LegoConfig(project=None)).eval()


@torch.inference_mode()
def long_answer(what: str, n: int, how: str) -> list[Tensor]:
    """Degrees, α-gated degrees or scores of one clip in one window, from pieces ("streaming") or whole ("dense")."""
    clip, model = long_clip(n), long_model()
    A, rows = model.operator(), list(clip.features.values())
    nodes = model.config.nodes
    if how == "streaming":
        if what == "scores":
            some = Rows(rows, A)
            shift, scale, _ = scale_of(some, model.config.rescale)
            found = reading(some, whole.ALPHAS, whole.K, shift, scale, whole.head_of(model, n)[0])
            assert found.scores is not None
            return [torch.from_numpy(found.scores), torch.from_numpy(found.degrees[:, 10])]
        graph = long_graph(rows, A, *((0.1 * float(A.sum()), 10) if what == "gated" else ()))
        return [graph.degrees] if what == "degrees" else [graph.degrees, graph.values.sum(1)]
    G = g.fuse([g.powers(g.cosine(row), 3) for row in rows], A)
    if what == "degrees":
        return [G.sum(1)]
    if what == "gated":
        alpha = 0.1 * float(A.sum())
        strongest = G.clone().fill_diagonal_(-torch.inf).topk(10, dim=1).values
        return [g.degrees(G, alpha), strongest.where(strongest >= alpha, 0.0).sum(1)]
    fused = g.rescaled(G, "graph")
    parts = resample(g.falling(fused).unsqueeze(-1), nodes).squeeze(-1)
    fused_degrees = torch.stack([g.degrees(fused, float(alpha)) for alpha in whole.ALPHAS])
    fused.fill_diagonal_(-torch.inf).topk(10, dim=1)
    scores = model.head.fc2(model.head.fc1(parts).relu()).squeeze(-1).sigmoid()
    return [scores, fused_degrees[10]]


ALONE = """
import sys, time, torch
torch.set_num_threads(1)
from core import bench
what, n, how, out = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
bench.long_answer(what, 64, how)  # imports, and what torch allocates once
began = time.process_time()
found = []
held = bench.peak(lambda: found.extend(bench.long_answer(what, n, how)))
torch.save({"seconds": time.process_time() - began, "megabytes": held, "found": found}, out)
"""


def alone(what: str, n: int, how: str) -> dict[str, Any]:
    """`long_answer` in a process of its own: processor seconds, most megabytes (features included), what it found."""
    if n < 1000:  # so little that no process is needed to tell it
        began, found = time.process_time(), list[Tensor]()
        held = peak(lambda: found.extend(long_answer(what, n, how)))
        return {"seconds": time.process_time() - began, "megabytes": held, "found": found}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.pt"
        words = [sys.executable, "-W", "ignore", "-c", ALONE, what, str(n), how, str(out)]
        subprocess.run(words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
        return dict(torch.load(out, weights_only=True))


def long_windows(tell: Tell) -> Iterator[Row]:
    """N = 1,000, 4,000 and 20,000 units in one window: time and peak memory, streaming against dense matrices.

    At 20,000 nothing dense fits; there the time's rival is one tiled pass of X @ X.T that keeps nothing. Every entry of
    the first rows is a process of its own, its features drawn there; P = Q = 3 and a full A.
    """
    tell("one tiled pass of X @ X.T")
    rows = list(long_clip(LONG).features.values())
    random = torch.Generator().manual_seed(0)
    A = torch.rand(4, 4, generator=random)
    rank_1 = torch.outer(A[0], A[1])
    out = torch.empty(ROWS, LONG)

    def one_pass() -> None:
        for start in range(0, LONG, ROWS):
            piece = rows[0][start : start + ROWS]
            torch.mm(piece, rows[0].mT, out=out[: len(piece)])

    tiled = interleaved({"pass": one_pass}, rounds=min(ROUNDS, 3))["pass"]
    dense_most = LONG // 5  # 4,000: nine matrices take half a gigabyte
    for n in (LONG // 20, dense_most, LONG):
        for what, words in PARTS.items():
            tell(f"N = {n:,}: {words}")
            name = f"N = {n:,}, d = {LONG_WIDTH}: {words}"
            ours = alone(what, n, "streaming")
            theirs = alone(what, n, "dense") if n <= dense_most else None
            if theirs:
                for a, b in zip(ours["found"], theirs["found"], strict=True):
                    torch.testing.assert_close(a, b, atol=2e-2 if what == "gated" else 2e-3, rtol=1e-3)
                yield measured(name, 1e3 * ours["seconds"], "dense matrices", 1e3 * theirs["seconds"])
            else:
                why = f"dense is skipped: one N x N matrix takes {4 * n**2 / 1e9:.1f} GB, P = Q = 3 needs nine"
                yield measured(name, 1e3 * ours["seconds"], "one tiled pass of X @ X.T", tiled, why)
            if ours["megabytes"] is None or (theirs and theirs["megabytes"] is None):
                why = "this system does not tell peak memory"
                yield skipped(f"{name}: peak memory", "dense matrices", None, why)
                continue
            held = theirs["megabytes"] if theirs else 4 * n**2 / 1e6
            yield Row(
                name=f"{name}: peak memory",
                ours_ms=round(ours["megabytes"], 1),
                rival="dense matrices" if theirs else "one dense N x N matrix",
                rival_ms=round(held, 1),
                ratio=round(held / max(ours["megabytes"], 1e-9), 2),
                goal=None if theirs else round(held / MEMORY_GOAL, 2),
                met=None if theirs else ours["megabytes"] <= MEMORY_GOAL,
                unit="MB",
                why="" if theirs else f"the goal is at most {MEMORY_GOAL:.0f} MB, the clip's features included",
            )
    found = interleaved(
        {
            "pass": one_pass,
            "degrees": lambda: long_graph(rows, A),
            "edges": lambda: long_graph(rows, rank_1, alpha=0.5, k=10),
        },
        rounds=min(ROUNDS, 3),
    )
    rival, why = "one tiled pass of X @ X.T", "the goal is at most 3 times one pass"
    for key, words in (("degrees", "degrees, full A"), ("edges", "α-gated degrees and top 10 edges, rank-1 A")):
        yield compared(f"N = {LONG:,}, d = {LONG_WIDTH}: {words}", found[key], rival, found["pass"], 1 / 3, why)


# ---------------------------------------------------------------------------- all

# ---------------------------------------------------------------------------- first map

UMAP_GOAL = 5.0
AS_USUAL = "import sys, numpy as np; from umap import UMAP; UMAP().fit(np.load(sys.argv[1]))"
OURS = "import sys, numpy as np; from core.explain.plane import umap; umap(np.load(sys.argv[1]))"


def processor_seconds(program: str, rows: Path, cache: Path) -> float:
    """Processor time of a fresh Python that runs this program, one thread; compiled code may be kept in `cache`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(rows)],
        cwd=ROOT,
        env=os.environ | threads | {"NUMBA_CACHE_DIR": str(cache)},
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_map(tell: Tell) -> Iterator[Row]:
    """The first UMAP of a process: what a visitor waits for after a restart. Both had one process before to compile."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 64))[random.integers(0, 20, POINTS)] * 2 + random.normal(size=(POINTS, 64))
    seconds = {}
    for name, program in (("ours", OURS), ("as usual", AS_USUAL)):
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "rows.npy", rows.astype(np.float32))
            for turn in ("compiling", "timed"):
                tell(f"UMAP of {POINTS:,} points in a fresh process, {name}, {turn}")
                seconds[name] = processor_seconds(program, Path(folder) / "rows.npy", Path(folder) / "cache")
    yield compared(
        f"first UMAP of {POINTS:,} points in a process",
        1e3 * seconds["ours"],
        "UMAP().fit",
        1e3 * seconds["as usual"],
        UMAP_GOAL,
        "both after a process that compiled; imports included",
    )


# ---------------------------------------------------------------------------- sweeps

SWEEP_GOAL = 3.0
TOP, SWEEP_SEEDS, SAMPLED = 10, 3, 10  # P and Q in 1 .. TOP; seeds of each cell; cells that are also trained alone
SWEEP_EPOCHS: int | None = None  # the demo's own
MEMBERS = 30  # models that are stepped together beside torch.func


class Whole(torch.nn.Module):
    """LEGO from its clips' terms R_a^p * R_b^q to the loss, for `torch.func.functional_call`."""

    def __init__(self, model: Lego, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, terms: Tensor, anomalous: Tensor) -> Tensor:
        A = self.model.operator()
        raw = (A.flatten() @ terms).view(len(terms), NODES, NODES)
        fused = g.rescaled(raw, self.model.config.rescale)
        found = Fused(self.model.head(fused), LegoTrace({}, A, raw, fused))
        loss, penalty = losses(self.model, found, anomalous, None, self.config)
        return loss + penalty


def by_torch_func(models: Sequence[Lego], data: Prepared, config: TrainConfig) -> dict[str, Tensor]:
    """Seed 0's batches for models of equal P and Q: `vmap` of the gradient over their stacked weights, then Adam."""
    from core.train.ensemble import Fixed

    stacked, _ = torch.func.stack_module_state([Whole(model, config) for model in models])
    whole = Whole(models[0], config).train()
    graphs = fixed_graphs(models[0], data)
    assert graphs is not None
    terms = Fixed(models[0], list(graphs.values()), models[0].A.shape).terms[:, 0]

    def loss(weights: dict[str, Tensor], given: Tensor, anomalous: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(whole, weights, (given, anomalous))
        return found

    slope = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    optimiser = torch.optim.Adam(stacked.values(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    random = torch.Generator().manual_seed(0)
    for _ in range(config.epochs):
        for index in batches(data.anomalous, config.batch, random):
            with torch.no_grad():
                weights = {name: weight.detach() for name, weight in stacked.items()}
            found = slope(weights, terms[index], data.anomalous[index])
            for name, weight in stacked.items():
                weight.grad = found[name].contiguous()  # fused Adam reads memory in order
            optimiser.step()
    return {name.removeprefix("model."): weight.detach() for name, weight in stacked.items()}


def sweep_steps(tell: Tell, data: Prepared, widths: Mapping[str, int]) -> Iterator[Row]:
    """Members of equal P and Q, stepped by our formulas and by `torch.func`."""
    from core.train.ensemble import fit_many

    tell("sweep: torch.func")
    config = TrainConfig(epochs=min(5, SWEEP_EPOCHS or 5))
    torch.manual_seed(0)
    models = [Lego(widths, LegoConfig(project=None)).train() for _ in range(MEMBERS)]

    def ours() -> dict[str, Tensor]:
        return fit_many(models, data, [config] * MEMBERS, [0] * MEMBERS)[0].weights

    wanted = by_torch_func(models, data, config)
    for name, weight in ours().items():
        torch.testing.assert_close(weight.reshape(wanted[name].shape), wanted[name], atol=1e-4, rtol=1e-3)
    found = interleaved({"ours": ours, "func": lambda: by_torch_func(models, data, config)}, rounds=min(ROUNDS, 3))
    name = f"{config.epochs} epochs of {MEMBERS} LEGO models at P = Q = 3, stepped together"
    yield compared(name, found["ours"], "torch.func.vmap(grad)", found["func"], 1.0)


def sweeping(tell: Tell) -> Iterator[Row]:
    """The demo's sweep over P and Q, trained together, against the same runs one by one, and against `torch.func`."""
    from core.data import native
    from core.experiments.demo import PAIR, RAW, TRAINING
    from core.train.ensemble import Asked, train_many
    from core.train.loop import Trained, train

    cells = [(p, q) for p in range(1, TOP + 1) for q in range(1, TOP + 1)]
    name = f"sweep of {len(cells)} LEGO configurations (P, Q in 1..{TOP}) x {SWEEP_SEEDS} seeds, trained together"
    if not (ROOT / "assets" / "demo" / "dataset.json").is_file():
        yield skipped(name, "one by one", SWEEP_GOAL, "assets/demo is not there")
        return
    data = native.read(ROOT / "assets" / "demo")
    data.digest()
    widths = {modality: data.widths[modality] for modality in PAIR}
    yield from sweep_steps(tell, prepare(data.part("train"), PAIR, TRAINING.units), widths)
    config = replace(TRAINING, epochs=SWEEP_EPOCHS or TRAINING.epochs)
    asked = [Asked("lego", {**RAW, "P": p, "Q": q}, config, seed) for p, q in cells for seed in range(SWEEP_SEEDS)]
    # cells spread over the grid: every row once, every column once, so the mean powers are the grid's
    chosen = [(p, 1 + (3 * p) % TOP if TOP % 3 else p) for p in range(1, TOP + 1)][:SAMPLED]
    sample = [cells.index(cell) * SWEEP_SEEDS + number % SWEEP_SEEDS for number, cell in enumerate(chosen)]

    def one(index: int) -> Trained:
        each = asked[index]
        return train(data, each.fusion, each.config, each.training, each.seed, modalities=PAIR)

    train(data, "lego", RAW, replace(config, epochs=1), modalities=PAIR)  # to warm up
    together: dict[int, Trained] = {}
    alone: dict[int, Trained] = {}
    spent, theirs, wall = 0.0, 0.0, 0.0
    found = train_many(data, asked, modalities=PAIR)
    while len(together) < len(asked):
        # what is trained alone takes turns with what is trained together, so that a slower machine slows both
        began, at = time.process_time(), time.perf_counter()
        index, done = next(found)
        spent, wall = spent + time.process_time() - began, wall + time.perf_counter() - at
        together[index] = done
        if len(alone) < len(sample) * len(together) / len(asked):
            began = time.process_time()
            alone[sample[len(alone)]] = one(sample[len(alone)])
            theirs += time.process_time() - began
            tell(f"sweep: {len(together)} of {len(asked)} together, {len(alone)} of {len(sample)} alone")
    test = data.part("test")
    for index, each in alone.items():
        curves = [[row["loss"] for row in done.history] for done in (each, together[index])]
        np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4, atol=1e-4)
        wanted, scores = score(each.model, test), score(together[index].model, test)
        for clip in test:
            np.testing.assert_allclose(scores[clip.name], wanted[clip.name], atol=1e-3)
    rival = 1e3 * theirs * len(asked) / len(alone)
    why = f"{len(alone)} trained alone, scaled; {config.epochs} epochs; {wall:.0f} s on the clock together"
    yield compared(name, 1e3 * spent, "one by one", rival, SWEEP_GOAL, why)


# ---------------------------------------------------------------------------- many clips

MANY, MANY_GOAL = 10_000, 10.0


def many_clips(tell: Tell) -> Iterator[Row]:
    """What a move of the alarm threshold reckons anew for 10,000 clips of 15 to 25 units, against clip by clip."""
    tell(f"{MANY:,} clips")
    random = np.random.default_rng(0)
    counts = 15 + np.arange(MANY) % 11
    clip = np.repeat(np.arange(MANY), counts)
    labels = random.random(len(clip)) < 0.1
    scores = (random.random(len(clip)) + 0.3 * labels).astype(np.float32)
    units = Units(scores, labels, clip, np.ones(MANY, bool))
    found = graded(scores, labels)
    edges = np.concatenate([[0], np.cumsum(counts)])
    each = [(scores[a:b], labels[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def at_once() -> tuple[np.ndarray, np.ndarray]:
        alarm = units.scores >= np.float32(0.6)
        return units.each(alarm & units.labels), units.each(alarm & ~units.labels)

    def one_by_one() -> tuple[np.ndarray, np.ndarray]:
        decisions = [decide(s, y, 0.6) for s, y in each]
        return np.array([d.true_alarms for d in decisions]), np.array([d.false_alarms for d in decisions])

    for mine, theirs in zip(at_once(), one_by_one(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if found.decide(0.6) != decide(scores, labels, 0.6) or found.cheapest(5.0) != cheapest(scores, labels, 5.0):
        raise AssertionError("sorted once says another thing than the scores")
    took = interleaved({"at once": at_once, "one by one": one_by_one}, slow=("one by one",))
    name = f"{MANY:,} clips: alarms of each at a threshold"
    yield compared(name, took["at once"], "clip by clip", took["one by one"], MANY_GOAL)
    took = interleaved(
        {
            "sorted once": lambda: (found.decide(0.6), found.cheapest(5.0)),
            "anew": lambda: (decide(scores, labels, 0.6), cheapest(scores, labels, 5.0)),
        }
    )
    name = f"{MANY:,} clips: decision now and cheapest threshold"
    yield compared(name, took["sorted once"], "from the scores", took["anew"], MANY_GOAL)


BENCHMARKS: dict[str, Callable[[Tell], Iterator[Row]]] = {
    "fuse": fusing,
    "train": training,
    "sliders": sliders,
    "demo": demo,
    "long": long_windows,
    "umap": first_map,
    "large sets": many_clips,
    "sweep": sweeping,
}


def table(rows: Sequence[Row]) -> str:
    """The rows as text: ours, the rival, how many times faster, and the least that is asked for."""

    def number(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"

    lines = []
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: "-"}[row.met]
        lines.append(
            (
                row.name,
                f"{number(row.ours_ms)} {row.unit}",
                row.rival,
                f"{number(row.rival_ms)} {row.unit}",
                number(row.ratio),
                number(row.goal),
                verdict,
                row.why,
            )
        )
    head = ("what", "ours", "rival", "its", "ratio", "at least", "", "")
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    right = (1, 3, 4, 5)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *lines]
    )


def methods(tell: Tell) -> tuple[dict[str, object], str]:
    """Every method on both demos, its committed runs scored again: quality, what a single modality leaves, cost."""
    found: dict[str, object] = {}
    texts = []
    for key in ("demo", "digits"):
        if not (ROOT / "assets" / key / "dataset.json").is_file():
            raise ValueError("the demo is not here: make assets builds it")
        rows = stored(read(ROOT / "assets" / key), ROOT / "assets" / "runs", tell)
        found[key] = [asdict(each) for each in rows]
        texts.append(f"{key}\n{methods_text(rows)}")
    return found, "\n\n".join(texts)


def robustness(tell: Tell) -> tuple[dict[str, object], str]:
    """Every committed run of both demos under every corruption. About ten minutes of one core."""
    from core.trust import record

    found: dict[str, object] = {}
    texts = []
    for key in ("demo", "digits"):
        if not (ROOT / "assets" / key / "dataset.json").is_file():
            raise ValueError("the demo is not here: make assets builds it")
        data = read(ROOT / "assets" / key)
        found[key], told = record.table(data, record.trained_on(data, ROOT / "assets" / "runs"), tell)
        texts.append(f"{key}\n{told}")
    return found, "\n\n".join(texts)


def run(name: str | None, tell: Tell) -> tuple[dict[str, object], str]:
    """(rows as plain values, the same as a table) of one benchmark, or of all."""
    if name == "methods":
        return methods(tell)
    if name == "robustness":
        return robustness(tell)
    if name is not None and name not in BENCHMARKS:
        raise ValueError(
            f"there is no benchmark {name!r}; there are {', '.join([*BENCHMARKS, 'methods', 'robustness'])}"
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for key, bench in BENCHMARKS.items() if name in (None, key) for row in bench(tell)]
    finally:
        torch.set_num_threads(threads)
    result: dict[str, object] = {"cores": os.cpu_count(), "threads": 1, "rows": [asdict(row) for row in rows]}
    note = "Medians of processor time on one thread, variants in turn; ratio = rival / ours."
    return result, f"{table(rows)}\n{note}"

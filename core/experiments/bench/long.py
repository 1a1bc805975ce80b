"""Long clips in one window: streaming against dense matrices, in time and in peak memory."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import Tensor

from core.clip import Clip
from core.experiments.bench.shared import Row, Tell, compared, interleaved, measured, skipped
from core.fusion import graph as g
from core.fusion.lego import Lego, LegoConfig
from core.fusion.long import ROWS, Rows, long_graph, reading, scale_of
from core.machine.peak import peak
from core.score import whole
from core.score.infer import resample

LONG, LONG_WIDTH = 20_000, 256
MEMORY_GOAL = 300.0  # MB
ROUNDS = 3
PARTS = {
    "degrees": "degrees",
    "gated": "α-gated degrees and top 10 edges",
    "scores": "scores, degrees at 101 values of α and top 10 edges",
}
ONE_PASS = "one tiled pass of X @ X.T"


@dataclass(frozen=True)
class Alone:
    """What one answer took in a process of its own; megabytes, features included, is None where it cannot be told."""

    seconds: float
    megabytes: float | None
    answer: list[Tensor]


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
            answer = reading(some, whole.ALPHAS, whole.K, shift, scale, whole.head_of(model, n)[0])
            assert answer.scores is not None
            return [torch.from_numpy(answer.scores), torch.from_numpy(answer.degrees[:, 10])]
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


def timed(what: str, n: int, how: str) -> Alone:
    """`long_answer` in this process: processor seconds and the most megabytes it held."""
    torch.set_num_threads(1)
    long_answer(what, 64, how)  # imports, and what torch allocates once
    began, answer = time.process_time(), list[Tensor]()
    held = peak(lambda: answer.extend(long_answer(what, n, how)))
    return Alone(time.process_time() - began, held, answer)


def alone(what: str, n: int, how: str) -> Alone:
    """`timed` in a process of its own, since one that has freed much before holds new things without growing."""
    if n < 1000:  # so little that no process is needed to tell it
        return timed(what, n, how)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(timed, what, n, how).result()


def long_windows(tell: Tell) -> Iterator[Row]:
    """N = 1,000, 4,000 and 20,000 units in one window: time and peak memory, streaming against dense matrices.

    At 20,000 nothing dense fits; there the time's rival is one tiled pass of X @ X.T that keeps nothing. Every entry of
    the first rows is a process of its own, its features drawn there; P = Q = 3 and a full A.
    """
    tell(ONE_PASS)
    rows = list(long_clip(LONG).features.values())
    A = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    rank_1 = torch.outer(A[0], A[1])
    out = torch.empty(ROWS, LONG)

    def one_pass() -> None:
        for start in range(0, LONG, ROWS):
            piece = rows[0][start : start + ROWS]
            torch.mm(piece, rows[0].mT, out=out[: len(piece)])

    tiled = interleaved({"pass": one_pass}, rounds=ROUNDS)["pass"]
    for n in (LONG // 20, LONG // 5, LONG):
        for what in PARTS:
            tell(f"N = {n:,}: {PARTS[what]}")
            yield from long_window(n, what, dense=n < LONG, tiled=tiled)  # at 4,000 nine matrices take half a gigabyte
    took = interleaved(
        {
            "pass": one_pass,
            "degrees": lambda: long_graph(rows, A),
            "edges": lambda: long_graph(rows, rank_1, alpha=0.5, k=10),
        },
        rounds=ROUNDS,
    )
    why = "the goal is at most 3 times one pass"
    for key, words in (("degrees", "degrees, full A"), ("edges", "α-gated degrees and top 10 edges, rank-1 A")):
        yield compared(f"N = {LONG:,}, d = {LONG_WIDTH}: {words}", took[key], ONE_PASS, took["pass"], 1 / 3, why)


def long_window(n: int, what: str, dense: bool, tiled: float) -> Iterator[Row]:
    """Time and peak memory of one part at one length; `tiled` is one pass in ms, the rival where nothing dense fits."""
    name = f"N = {n:,}, d = {LONG_WIDTH}: {PARTS[what]}"
    ours = alone(what, n, "streaming")
    theirs = alone(what, n, "dense") if dense else None
    if theirs:
        for a, b in zip(ours.answer, theirs.answer, strict=True):
            torch.testing.assert_close(a, b, atol=2e-2 if what == "gated" else 2e-3, rtol=1e-3)
        yield measured(name, 1e3 * ours.seconds, "dense matrices", 1e3 * theirs.seconds)
    else:
        why = f"dense is skipped: one N x N matrix takes {4 * n**2 / 1e9:.1f} GB, P = Q = 3 needs nine"
        yield measured(name, 1e3 * ours.seconds, ONE_PASS, tiled, why)
    held = theirs.megabytes if theirs else 4 * n**2 / 1e6
    if ours.megabytes is None or held is None:
        yield skipped(f"{name}: peak memory", "dense matrices", None, "this system does not tell peak memory")
        return
    yield Row(
        name=f"{name}: peak memory",
        ours_ms=round(ours.megabytes, 1),
        rival="dense matrices" if theirs else "one dense N x N matrix",
        rival_ms=round(held, 1),
        ratio=round(held / max(ours.megabytes, 1e-9), 2),
        goal=None if theirs else round(held / MEMORY_GOAL, 2),
        met=None if theirs else ours.megabytes <= MEMORY_GOAL,
        unit="MB",
        why="" if theirs else f"the goal is at most {MEMORY_GOAL:.0f} MB, the clip's features included",
    )

r"""A long clip as one window: N x N relations are computed, never kept.

    G[i, j] = sum over p, q  A[p, q] R_a[i, j]^p R_b[i, j]^q  over all N units of the clip       (eq. 5)
    fused   = (G - shift) / scale, as the fusion rescales one window

A model trained with N = 32 units in a window was never asked about 20,000 at once, so three scores stand apart:

    as trained   windows of N units, one after another: `core.score.infer.score`
    mean         the mean relation of a unit to the whole clip, low = stranger; and the α-gated degree. No learned head
    whole        (ours) the trained head on rows of the whole clip. head="sorted": a row, strongest first, becomes N
                 numbers by the means of equal bins, the rule by which training makes N of T units; with N units in the
                 clip it is the model itself. "row" and "relative" have a weight a node, so they need exactly N units
"""

import copy
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.clip import Clip
from core.fusion import called
from core.fusion.base import Fusion
from core.fusion.lego import Lego
from core.fusion.long import Rows, reading, scale_of
from core.machine import drafts
from core.score.communities import Summary, summarise
from core.score.doors import operator
from core.score.infer import fits, resample

ALPHAS: Float[np.ndarray, " alphas"] = (
    np.arange(101) / 100
)  # what the slider can say; degrees at all of them in one pass
K = 10  # strongest relations kept of every unit
PROBE = 64  # rows that are computed to tell how long all will take
KEPT = 32  # results on disk
Report = Callable[[float, str], None]


class UnreadableError(ValueError):
    """A stored result is not what `save` wrote."""


@dataclass(frozen=True)
class Whole:
    """What is known of a clip as one window, relations as the head sees them (rescaled), a unit's to itself included.

    degrees   `(N, 101)` sum of every unit's relations of at least each of `ALPHAS`
    pairs     `(101,)` how many of the N (N - 1) / 2 pairs of units reach each of them
    means     every unit's mean relation to the whole clip
    scores    of the trained head on whole rows, in [0, 1]; None where it cannot be had: `why`
    values, partners   `(N, K)` each unit's strongest relations to others, strongest first; -inf and -1 where N <= K
    summary   the communities
    shift, scale, largest   fused = (G - shift) / scale; largest entry of G
    seconds   what it took
    """

    degrees: Float[np.ndarray, "n alphas"]
    pairs: Int[np.ndarray, " alphas"]
    means: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"] | None
    why: str
    values: Float[np.ndarray, "n k"]
    partners: Int[np.ndarray, "n k"]
    summary: Summary
    shift: float
    scale: float
    largest: float
    seconds: float

    @property
    def units(self) -> int:
        return len(self.means)


def level(alpha: float) -> int:
    """Place in `ALPHAS` of the value next to this one."""
    return int(np.abs(ALPHAS - alpha).argmin())


def streamed(model: Fusion) -> Lego:
    """The model, when its fused graph can be computed piece by piece; else a `ValueError`."""
    model = operator(model)
    why = ""
    if model.config.relation != "cosine":
        why = f"relates by {model.config.relation!r} here: only cosine relations are computed piece by piece"
    elif model.config.expansion != "elementwise":
        why = "walks through all units at once here, so its graph cannot be computed piece by piece"
    elif model.config.pairing == "random" and len(model.widths) > 2:
        why = "rescales between pairs of modalities here, so its graph cannot be computed piece by piece"
    if why:
        raise ValueError(f"{called(model)} {why}")
    return model


@torch.inference_mode()
def rows_of(model: Fusion, clip: Clip, A: Tensor | None = None) -> Rows:
    """Rows of the clip's fused graph under A (default: the trained one), crop 0; a missing modality relates all alike.

    Errors: `ValueError` of `streamed`, or when the clip's features do not fit.
    """
    model = streamed(model)
    fits(model, clip)
    device = next(model.parameters()).device
    found = []
    for name in model.widths:
        if name in clip.features:
            rows = clip.features[name]
            rows = rows if rows.ndim == 2 else rows[0]
            found.append(model.project(name, rows.float().to(device)).cpu())
        else:
            found.append(torch.ones(clip.units, 1))
    return Rows(found, (model.operator() if A is None else A).detach().cpu().float())


def head_of(model: Lego, units: int) -> tuple[Callable[[Tensor, Tensor, int], Tensor] | None, str]:
    """(what `reading` calls with whole rows, "") or (None, why this head cannot read them)."""
    order, nodes = model.config.head, model.config.nodes
    if units < nodes:
        return None, f"the clip's {units} units fit into one window of {nodes}: its scores as trained are those"
    if order != "sorted" and units != nodes:
        return None, f"head={order!r} has a weight for each of its {nodes} nodes, and this clip has {units:,}"
    head = copy.deepcopy(model.head).cpu()

    def read(band: Tensor, falling: Tensor, start: int) -> Tensor:
        if order == "sorted":
            rows = resample(falling.unsqueeze(-1), nodes).squeeze(-1)
        elif order == "relative":
            rows = band.gather(1, (torch.arange(start, start + len(band))[:, None] + torch.arange(units)) % units)
        else:
            rows = band
        return head.fc2(head.fc1(rows).relu()).squeeze(-1).sigmoid()

    return read, ""


def whole(model: Fusion, clip: Clip, A: Tensor | None = None, report: Report = lambda done, words: None) -> Whole:
    """Everything about a clip as one window. Two passes over N x N, memory in proportion to N."""
    began, model = time.perf_counter(), streamed(model)
    rows = rows_of(model, clip, A)
    report(0.0, "scale of the graph")
    shift, scale, largest = scale_of(rows, model.config.rescale)
    head, why = head_of(model, rows.n)
    told = f"of {rows.n:,} units"
    found = reading(rows, ALPHAS, K, shift, scale, head, lambda done: report(0.75 * done, f"rows {done:.0%} {told}"))
    report(0.75, f"communities {told}")
    summary = summarise(
        rows,
        found.values,
        found.partners,
        np.arange(rows.n),
        shift,
        scale,
        lambda done: report(0.8 + 0.2 * done, f"relations of communities {done:.0%}"),
    )
    own = (rows.own.numpy()[:, None] - shift) / np.float32(scale) >= ALPHAS.astype(np.float32)
    # a pair on the very edge of α may reach it in one direction and miss it by the last bit in the other
    pairs = (found.reached.sum(0, dtype=np.int64) - own.sum(0) + 1) // 2
    result = Whole(
        found.degrees, pairs, found.means, found.scores, why, found.values, found.partners, summary,
        shift, scale, largest, time.perf_counter() - began,
    )  # fmt: skip
    for array in arrays(result).values():
        array.setflags(write=False)
    return result


def inside(model: Fusion, clip: Clip, found: Whole, members: Int[np.ndarray, " m"], A: Tensor | None = None) -> Summary:
    """Some units in groups of their own: a community opened."""
    return summarise(rows_of(model, clip, A), found.values, found.partners, members, found.shift, found.scale)


@torch.inference_mode()
def small(
    model: Fusion, clip: Clip, found: Whole, members: Int[np.ndarray, " m"], A: Tensor | None = None
) -> Float[np.ndarray, "m m"]:
    """The fused graph of a few units (`summary.LEAF` at most), as part of the whole clip's: the same scale."""
    some = rows_of(model, clip, A).part(members)
    graph = (some(0, some.n).numpy() - found.shift) / np.float32(found.scale)
    graph = np.maximum(graph, graph.T)  # equal but for the last bit
    graph.setflags(write=False)
    return graph


def expected_seconds(model: Fusion, clip: Clip) -> float:
    """How long `whole` will take here and now, from its first rows."""
    rows = rows_of(model, clip)
    count = min(PROBE, rows.n)
    if not count:
        return 0.0
    rows(0, count)  # the first call allocates
    began = time.perf_counter()
    np.sort(rows(0, count).numpy(), axis=1)
    return 1.9 * (time.perf_counter() - began) * rows.n / count


# ---------------------------------------------------------------------------- on disk


def arrays(found: Whole) -> dict[str, np.ndarray]:
    kept = {
        "degrees": found.degrees,
        "pairs": found.pairs,
        "means": found.means,
        "values": found.values,
        "partners": found.partners,
        "members": found.summary.members,
        "groups": found.summary.groups,
        "relations": found.summary.relations,
    }
    return kept if found.scores is None else kept | {"scores": found.scores}


def name_of(run: str, data: str, clip: str, A: Tensor | None) -> str:
    """File name of a result: a digest of what it is the result of."""
    told = json.dumps([1, run, data, clip, None if A is None else A.tolist()])
    return f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npz"


def save(found: Whole, path: Path, keep: int | None = KEPT) -> None:
    """Whole or not at all; only the `keep` newest results in the folder stay, None: all files do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {name: getattr(found, name) for name in ("why", "shift", "scale", "largest", "seconds")}
    words = json.dumps(about | {"kinds": found.summary.kinds})
    out = io.BytesIO()
    held: dict[str, Any] = {"about": np.frombuffer(words.encode(), np.uint8), **arrays(found)}
    np.savez(out, **held)
    drafts.sweep(path.parent)  # what a killed process left
    drafts.write_file(path, out.getvalue())
    if keep is not None:
        others = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        for old in others[:-keep]:
            old.unlink(missing_ok=True)


def load(path: Path) -> Whole:
    """Errors: `UnreadableError`."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        about: dict[str, Any] = json.loads(held.pop("about").tobytes())
        for array in held.values():
            array.setflags(write=False)
        summary = Summary(held.pop("members"), held.pop("groups"), tuple(about.pop("kinds")), held.pop("relations"))
        return Whole(scores=held.pop("scores", None), summary=summary, **held, **about)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"the stored result {path.name!r} cannot be read; compute it again") from error


def work(given: Mapping[str, Any], report: Report) -> str:
    """A job: dataset and run are folders, clip a name, A nested lists or None, out the file that is written."""
    from core import run as runs
    from core.data import native

    report(0.0, "reading the clip")
    clips = native.read(Path(given["dataset"])).clips
    if given["clip"] not in clips:
        raise ValueError(f"there is no clip {given['clip']!r} in this dataset any more")
    A = None if given["A"] is None else torch.tensor(given["A"])
    found = whole(runs.model(Path(given["run"])), clips[given["clip"]], A, report)
    save(found, Path(given["out"]))
    return str(given["clip"])

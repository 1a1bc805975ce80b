"""Commands that score with trained runs."""

from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.shared import (
    ENTRIES,
    FEW,
    Address,
    Device,
    Json,
    PartOf,
    Protocol,
    device_of,
    left_out,
    opened,
    put,
    tell,
)  # fmt: skip

if TYPE_CHECKING:
    from core.measure.metrics import Judgement


def bulk(
    run: Path,
    source: Annotated[str, typer.Argument(help="A dataset folder of ours, here or at an address (s3://, https:// …).")],
    out: Annotated[Path, typer.Argument(help="Folder of parquet parts; the same command again goes on.")],
    workers: Annotated[int, typer.Option(help="Processes of this machine.", min=1)] = 1,
    address: Address = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Score any number of clips, streamed, into parquet: one row a unit. Memory stays flat however many there are."""
    from core.score.bulk import bulk as stream

    done = stream(
        run, source, out, cluster=address, workers=workers, device=device_of(device),
        progress=lambda now: tell(f"  part {now.parts} of {now.of}: {now.clips:,} clips"),
    )  # fmt: skip
    put(
        {"out": str(out), "parts": done.of, "clips": done.clips, "units_scored_now": done.units},
        f"{out}: {done.clips:,} clips in {done.of} parts, {done.units:,} units scored by this call",
        json_,
    )


def score(
    run: Path,
    dataset: Path,
    part: PartOf = None,
    protocol: Protocol = None,
    per_clip: Annotated[bool, typer.Option(help="Add every clip's unit scores, or every sample's outputs.")] = False,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Score clips or samples with a trained run and measure the result where there is truth."""
    from core import run as runs
    from core.machine.device import sparing
    from core.machine.names import shown
    from core.measure.metrics import few, jsonable, measure
    from core.score.judge import answers

    model, data = runs.model(run), opened(dataset)
    absent = [name for name in model.widths if name not in data.modalities]
    if absent:
        tell(f"note: {data.name} has no {', '.join(absent)}; the model is scored without")
    rows = data.part(part or data.looked_at(protocol), protocol)
    said = sparing(lambda entries, on: answers(model.to(on), rows, entries), ENTRIES, device_of(device), tell, FEW)
    judged = measure(said, rows)
    kind = "clips" if data.task.kind == "units" else "samples"
    result = {"run": runs.load(run).id, kind: len(rows), **jsonable(judged)}
    lines = [f"{len(rows)} {kind}{_worth(judged)}"]
    if per_clip or not getattr(judged, "units", True):  # of units that nobody labelled the scores are all there is
        pairs = said.items() if kind == "clips" else zip(rows.names, said, strict=True)
        each = [(name, [round(float(value), 6) for value in values]) for name, values in pairs]
        result |= {"scores": dict(each)} if kind == "clips" else {"outputs": [values for _, values in each]}
        lines += [f"{shown(name)}: {' '.join(f'{value:.3f}' for value in values)}" for name, values in each]
    put(result, "\n".join(lines), json_, few(rows))


def _worth(judged: "Judgement") -> str:
    """The numbers of a judgement in a line, for a person."""
    from core.measure.metrics import Metrics, jsonable, show

    if not isinstance(judged, Metrics):
        numbers = {name: value for name, value in jsonable(judged).items() if isinstance(value, float)}
        return ": " + ", ".join(f"{name.replace('_', ' ')} {show(value, name)}" for name, value in numbers.items())
    if not judged.units:
        return ", and nobody labelled their units: scores alone"
    named = {"AUC": judged.auc, "AP": judged.ap, "frame AUC": judged.auc_frames, "in anomalous": judged.auc_anomalous}
    words = ", ".join(f"{name} {show(None if value != value else value)}" for name, value in named.items())
    return f", {judged.units} units: {words}{f' ({judged.why})' if judged.why else ''}"


def retrieve(
    run: Annotated[Path, typer.Argument(help="A run of jwae, jwae-lmf, a gmf or misa, or a folder of runs.")],
    dataset: Path,
    part: PartOf = None,
    protocol: Protocol = None,
    json_: Json = False,
) -> None:
    """Ask in one modality, answer in another: MAP by cosine of latents or invariant parts, mean ± sd over runs."""
    from core import run as runs
    from core.explain.latents import retrieved

    single = (run / "run.json").is_file()
    folders, unread = ([run], {}) if single else ([run / name for name in runs.listing(run)], left_out(run))
    if not folders:
        raise ValueError(f"{str(run)!r} is neither a run nor a folder of runs")
    data = opened(dataset)
    rows = data.part(part or data.looked_at(protocol), protocol).flat()
    found = {folder.name: retrieved(runs.model(folder), rows) for folder in folders}
    lines, result = [], []
    for every in zip(*found.values(), strict=True):
        values = [one.map for one in every]
        mean = sum(values) / len(values)
        sd = stdev(values) if len(values) > 1 else None
        lines.append(
            f"{every[0].asked} to {every[0].answers}: MAP {mean:.3f}"
            + (f" ± {sd:.3f} over {len(values)} runs" if sd is not None else "")
            + f", at random {every[0].chance:.3f}"
        )
        at = {str(k): sum(one.map_at[k] for one in every) / len(every) for k in every[0].map_at}
        result.append({"asked": every[0].asked, "answered": every[0].answers, "map": mean, "map_sd": sd, "map_at": at}
                      | {"chance": every[0].chance, "maps": values})  # fmt: skip
    put({"runs": list(found), "rows": len(rows), "directions": result} | unread, "\n".join(lines), json_)


def whole(
    run: Path,
    dataset: Path,
    clip: Annotated[str, typer.Option(help="Which clip; the longest one unless given.")] = "",
    alpha: Annotated[float, typer.Option(help="Relations of at least this count in the degrees.")] = 0.5,
    out: Annotated[Path | None, typer.Option(help="A new .npz file with every unit's numbers.")] = None,
    json_: Json = False,
) -> None:
    """A clip as one window, however long: degrees, pairs, communities and scores without an N x N table."""
    import numpy as np
    import torch

    from core import run as runs
    from core.measure.metrics import auc
    from core.score import whole as one

    torch.set_num_threads(1)
    data = opened(dataset)
    if data.task.kind != "units":
        raise ValueError(f"{data.name!r} holds samples; only clips have units that relate to each other")
    clip = clip or max(data.clips, key=lambda name: data.clips[name].units)
    if clip not in data.clips:
        raise ValueError(f"there is no clip {clip!r} in {data.name!r}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a strength between 0 and 1, got {alpha}")
    if out is not None and (out.exists() or out.suffix != ".npz"):
        raise ValueError(f"--out is a new .npz file, got {out.name!r}")
    found = one.whole(runs.model(run), data.clips[clip], report=lambda done, words: tell(f"{done:4.0%} {words}"))
    if out is not None:
        one.save(found, out, keep=None)
    at = one.level(alpha)
    given = data.clips[clip].labels
    labels = None if given is None else given.numpy()

    def judged(scores: np.ndarray | None) -> float | None:
        value = float("nan") if scores is None or labels is None else auc(scores.astype(float), labels)
        return None if value != value else value

    result = {
        "clip": clip,
        "units": found.units,
        "alpha": float(one.ALPHAS[at]),
        "pairs": found.units * (found.units - 1) // 2,
        "pairs_reaching_alpha": int(found.pairs[at]),
        "mean_degree": float(found.degrees[:, at].mean()),
        "largest": found.largest,
        "communities": found.summary.sizes.tolist(),
        "auc_whole": judged(found.scores),
        "auc_mean_relation": judged(-found.means),
        "auc_degree": judged(-found.degrees[:, at]),
        "why": found.why,
        "seconds": found.seconds,
    }
    words = (
        f"{clip}: {found.units:,} units, {found.pairs[at]:,} of {result['pairs']:,} pairs reach {one.ALPHAS[at]:.2f}, "
        f"mean degree {result['mean_degree']:.2f}, {len(found.summary.kinds)} communities, {found.seconds:.1f} s"
    )
    put(result, words, json_)

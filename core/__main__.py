"""`python -m core …`: whatever a page computes, a script can. `--json` prints one JSON object and nothing else."""

import ast
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from statistics import stdev
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads are slower than one for models this small

import typer  # noqa: E402

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="An option as key=value; value: none, true, a number, a word.")
]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="What a feature folder does not say: anomalous={'test': 810}, truth=gt.npy, test=test.list …"
    ),
]
Protocol = Annotated[str | None, typer.Option(help="Which of the dataset's splits; the first one unless given.")]
Modalities = Annotated[
    str | None, typer.Option(help="Comma-separated modalities to use, in this order; all unless given.")
]
Address = Annotated[
    str | None, typer.Option(help="A Ray cluster (host:6379, ray://host:10001, or local) that does the work.")
]
ENTRIES, FEW = 1 << 22, 1 << 12  # feature values that go through a model at once, and the fewest when memory is short
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: the accelerator where there is one.")]


def literal(text: str) -> Any:
    """`none`, `true`, `false`, numbers and words; what Python would read, and else the word itself."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def settings(pairs: Sequence[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or ():
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ValueError(f"--set wants key=value, got {pair!r}")
        found[key.strip()] = literal(value.strip())
    return found


def split_settings(pairs: Sequence[str] | None) -> tuple[dict[str, Any], Any]:
    """(options of the fusion, the training config): training options are told apart by their names."""
    from core.recipe import TrainConfig
    from core.train.options import made

    found = settings(pairs)
    known = {f.name for f in fields(TrainConfig)}
    training = made(TrainConfig, {key: value for key, value in found.items() if key in known})
    return {key: value for key, value in found.items() if key not in known}, training


def names(text: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def tell(message: str) -> None:
    """Progress goes to standard error, so that standard output stays clean."""
    print(message, file=sys.stderr, flush=True)


def put(result: dict[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(result, allow_nan=False) if as_json else text)


def device_of(name: str) -> str:
    from core.machine.device import device_named

    return device_named(name)


def opened(path: Path, extracted: Path | None = None, workers: int = 2) -> Any:
    """A dataset from any folder: features are read; videos and frame folders are extracted beside the work first."""
    from core.data import read

    if not path.exists():
        raise ValueError(f"{str(path)!r} does not exist")
    if is_footage(path):
        from core.extract import extract

        target = extracted or Path(os.environ.get("FUSESCOPE_WORKSPACE", "workspace")) / "data" / path.resolve().name
        if (target / "dataset.json").is_file():
            tell(f"using the features in {target}; remove it to extract {path.name} anew")
            return read(target)
        tell(f"extracting features of {path.name} into {target} (resumes where it stopped)")
        return extract(path, target, workers=workers, progress=lambda p: tell(f"  {p}"))
    return read(path)


def is_footage(path: Path) -> bool:
    """Whether PATH holds videos or frame folders rather than features."""
    from core.data.check import kind

    return kind(path) in ("footage", "video")


@app.command()
def check(path: Path, set_: Reading = None, json_: Json = False) -> None:
    """Say what lies at PATH and every problem in it, with clip, field and numbers."""
    from core.data.check import check as inspect

    report = inspect(path, **settings(set_))
    put(report.to_json(), report.text(), json_)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def extract(
    source: Path,
    out: Path,
    modalities: Modalities = None,
    workers: Annotated[int, typer.Option(help="Clips worked on at once.")] = 2,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a frame folder that does not say.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch pretrained models that are not here.")] = False,
    address: Address = None,
    json_: Json = False,
) -> None:
    """Turn videos or frame folders into a dataset of features; run it again to go on where it stopped.

    --modalities takes motion, appearance, text, and with pretrained models NAME=video:MODEL, NAME=image:MODEL and
    NAME=caption:MODEL+MODEL, each MODEL a folder or a name on the Hugging Face hub.
    """
    from core.extract import extract as run

    given: dict[str, Any] = {} if modalities is None else {"modalities": names(modalities)}
    given |= {"workers": workers, "fps": fps, "download": download, "address": address}
    dataset = run(source, out, progress=lambda p: tell(f"  {p}"), **given)
    units = sum(clip.units for clip in dataset.clips.values())
    result = {"out": str(out), "clips": len(dataset.clips), "units": units, "widths": dataset.widths}
    put(result, f"{out}: {len(dataset.clips)} clips, {units} units, widths {dataset.widths}", json_)


@app.command()
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


@app.command()
def build(
    what: Annotated[str, typer.Argument(help="av-mnist, or samples: files of samples as a folder of ours.")],
    out: Path,
    source: Annotated[
        Path | None, typer.Option("--from", help="Files of samples: .csv views, .mat, .h5, pickle.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="What those files do not say: target=real, pickle=true, test=0.2 …"),
    ] = None,
    mnist: Annotated[Path | None, typer.Option(help="MNIST as an .npz of X_train, y_train, X_test, y_test.")] = None,
    fsdd: Annotated[Path | None, typer.Option(help="Folder of the Free Spoken Digit Dataset's recordings.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Training pairs.")] = None,
    test_pairs: Annotated[int | None, typer.Option(help="Test pairs.")] = None,
    noise: Annotated[float | None, typer.Option(help="White noise, times each recording's RMS.")] = None,
    energy: Annotated[float | None, typer.Option(help="Share of the images' variance that is kept at least.")] = None,
    seed: int = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="For choosing options: test on a part of the training data.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make a sample set of ours from files that were downloaded."""
    from core.data import read
    from core.data.samples import avmnist, native
    from core.sample import Samples

    if what == "av-mnist":
        if mnist is None or fsdd is None:
            raise ValueError("av-mnist is built from --mnist FILE and --fsdd FOLDER")
        given: dict[str, Any] = {"pairs": pairs, "test_pairs": test_pairs, "noise": noise, "energy": energy}
        given = {key: value for key, value in given.items() if value is not None}
        samples = avmnist.build(mnist, fsdd, avmnist.Options(seed=seed, held_out=held_out, **given))
    elif what == "samples":
        found = None if source is None else read(source, **settings(set_))
        if not isinstance(found, Samples):
            raise ValueError("samples are built from --from FOLDER that holds files of samples")
        samples = found
    else:
        raise ValueError(f"there is no {what!r} to build; there are av-mnist and samples")
    native.write(samples, out, half=what == "av-mnist")
    result = {"out": str(out), "samples": len(samples), "widths": samples.widths, "notes": list(samples.notes)}
    put(result, "\n".join([f"{out}: {len(samples):,} samples, widths {samples.widths}", *samples.notes]), json_)


@app.command()
def train(
    dataset: Path,
    fusion: Annotated[str, typer.Option(help="Name of the fusion.")] = "lego",
    set_: Set = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0 on.", min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("workspace/runs"),
    protocol: Protocol = None,
    modalities: Modalities = None,
    device: Device = "cpu",
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision: layers multiply in bfloat16.")] = False,
    json_: Json = False,
) -> None:
    """Train one fusion from K seeds; each becomes a run folder."""
    import torch

    from core import run as runs
    from core.machine.device import sparing
    from core.measure.metrics import show, summary
    from core.sample import METRIC_WORDS
    from core.train import memory
    from core.train.loop import Trained
    from core.train.loop import train as fit

    options, training = split_settings([*(set_ or ()), *["amp=true"] * amp])
    data = opened(dataset)
    memory.afford(fusion, options, training, memory.shape_of(data, protocol, names(modalities)), device_of(device))
    made = []
    for seed in range(seeds):

        def one(_: int, on: torch.device, seed: int = seed) -> Trained:
            return fit(data, fusion, options, training, seed, protocol, names(modalities), device=on)

        done = sparing(one, 1, device_of(device), tell)
        folder = runs.save(done.run, done.model.state_dict(), done.history, out)
        made.append(done.run)
        metric = done.run.metric
        tell(f"{folder}: {METRIC_WORDS[metric]} {show(done.run.metrics[metric], metric)}, {done.run.seconds:.1f} s")
    mean, sd = summary([run.metrics[metric] for run in made])
    result: dict[str, Any] = {"runs": [run.id for run in made], "group": made[0].group, "metric": metric}
    result |= {f"{metric}_mean": mean, f"{metric}_sd": sd}
    result |= {"metrics": [dict(run.metrics) for run in made], "weights": made[0].weights}
    spread = f"{METRIC_WORDS[metric]} {show(mean, metric)} ± {show(sd, metric)}"
    put(result, f"{made[0].title}: {spread} over {seeds} seeds, last epoch", json_)


@app.command()
def score(
    run: Path,
    dataset: Path,
    part: Annotated[str, typer.Option(help="train, test or all.")] = "test",
    protocol: Protocol = None,
    per_clip: Annotated[bool, typer.Option(help="Add every clip's unit scores, or every sample's outputs.")] = False,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Score clips or samples with a trained run and measure the result where there is truth."""
    from core import run as runs
    from core.machine.device import sparing
    from core.measure.metrics import jsonable, measure, measure_part, show
    from core.sample import Samples
    from core.score.infer import outputs
    from core.score.infer import score as run_on

    model = runs.model(run)
    data = opened(dataset)
    absent = [name for name in model.widths if name not in data.modalities]
    if absent:
        tell(f"note: {data.name} has no {', '.join(absent)}; the model is scored without")
    if isinstance(data, Samples):
        rows = data.part(part, protocol)
        values = sparing(
            lambda entries, on: outputs(model.to(on), rows.features, entries), ENTRIES, device_of(device), tell, FEW
        )
        result = {"run": runs.load(run).id, "samples": len(rows), **jsonable(measure_part(values, rows))}
        numbers = {name: v for name, v in result.items() if name != "samples" and isinstance(v, float)}
        if per_clip:
            result["outputs"] = [[round(float(v), 6) for v in row] for row in values]
        words = ", ".join(f"{name.replace('_', ' ')} {show(v, name)}" for name, v in numbers.items())
        put(result, f"{len(rows)} samples: {words}", json_)
        return
    clips = tuple(data.clips.values()) if part == "all" else data.part(part, protocol)
    found = sparing(lambda entries, on: run_on(model.to(on), clips, entries), ENTRIES, device_of(device), tell, FEW)
    judged = measure(found, clips)
    result = {"run": runs.load(run).id, "clips": len(clips), **jsonable(judged)}
    if per_clip:
        result["scores"] = {name: [round(float(v), 6) for v in values] for name, values in found.items()}
    shown = {"AUC": judged.auc, "AP": judged.ap, "frame AUC": judged.auc_frames, "in anomalous": judged.auc_anomalous}
    words = ", ".join(f"{name} {show(None if value != value else value)}" for name, value in shown.items())
    put(result, f"{len(clips)} clips, {judged.units} units: {words}{f' ({judged.why})' if judged.why else ''}", json_)


@app.command()
def table(
    dataset: Path,
    fusions: Annotated[str, typer.Option(help="Comma-separated; concat@graph for one level, single:text for one.")] = (
        "single,concat,sum,product,mtn,lego"
    ),
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    set_: Set = None,
    protocol: Protocol = None,
    modalities: Modalities = None,
    out: Annotated[Path | None, typer.Option(help="Also keep every run in this folder.")] = None,
    stored: Annotated[
        Path | None, typer.Option("--runs", help="Train nothing: score the runs in this folder again.")
    ] = None,
    json_: Json = False,
) -> None:
    """Methods x metrics, mean ± sd over seeds at the last epoch; videos are extracted first."""
    from core.experiments.table import methods, text
    from core.experiments.table import stored as rows_on_disk
    from core.experiments.table import table as rows_of

    options, training = split_settings(set_)
    data = opened(dataset)
    if stored is not None:
        kept = rows_on_disk(data, stored, tell)
        put({"dataset": data.name, "rows": [asdict(row) for row in kept]}, text(kept), json_)
        return
    used = names(modalities) or data.modalities
    chosen = methods(names(fusions) or (), used, options)
    rows = list(rows_of(data, chosen, seeds, training, protocol, out, tell))
    put({"dataset": data.name, "seeds": seeds, "rows": [asdict(row) for row in rows]}, text(rows), json_)


@app.command()
def count(
    fusion: str,
    widths: Annotated[str, typer.Option(help="Comma-separated widths of the modalities.")],
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Number of trainable weights, as one integer; of GMF and LMF the fusion alone, without its classifier.

    --json adds all weights, classifier included, and the FLOPs of one unit (2 for a multiplication and its addition).
    """
    import torch

    from core.fusion.base import count_weights
    from core.run import build
    from core.score.flops import flops

    sizes = {f"m{i}": int(width) for i, width in enumerate(names(widths) or ())}
    with torch.device("meta"):  # shapes alone: a billion weights cost nothing
        model = build(fusion, sizes, settings(set_))
        result: dict[str, Any] = {"fusion": fusion, "weights": count_weights(model.fusion_part())}
        result["all_weights"] = count_weights(model)
        with contextlib.suppress(RuntimeError):  # graphs look at their numbers, and shapes have none
            result["flops"] = flops(model)
    if "flops" not in result:
        result["flops"] = flops(build(fusion, sizes, settings(set_)))
    put(result, str(result["weights"]), json_)


@app.command()
def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark; all unless given.")] = None, json_: Json = False
) -> None:
    """Ratios of fast paths against their named rivals, in one run; `methods`: quality and cost of every method."""
    from core.experiments.bench import run as measure_all

    result, text = measure_all(name, tell)
    put(result, text, json_)


@app.command()
def retrieve(
    run: Annotated[Path, typer.Argument(help="A run of jwae, jwae-lmf, a gmf or misa, or a folder of runs.")],
    dataset: Path,
    part: Annotated[str, typer.Option(help="train, test or all.")] = "test",
    protocol: Protocol = None,
    json_: Json = False,
) -> None:
    """Ask in one modality, answer in another: MAP by cosine of latents or invariant parts, mean ± sd over runs."""
    from core import run as runs
    from core.explain.latents import retrieved
    from core.sample import part_of

    folders = [run] if (run / "run.json").is_file() else [run / name for name in runs.listing(run)]
    if not folders:
        raise ValueError(f"{str(run)!r} is neither a run nor a folder of runs")
    rows = part_of(opened(dataset), part, protocol)
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
    put({"runs": list(found), "rows": len(rows), "directions": result}, "\n".join(lines), json_)


@app.command()
def experiment(
    name: Annotated[
        str, typer.Argument(help="profusion-synthetic, intense; with a dataset profusion-steps, mkl, rank-robustness.")
    ],
    dataset: Annotated[Path | None, typer.Argument(help="For the last three: what to train on.")] = None,
    trials: Annotated[int, typer.Option(help="profusion-synthetic: draws of every setting.", min=2)] = 30,
    seeds: Annotated[int, typer.Option(help="Seeds of every model; mkl: draws.", min=1)] = 5,
    stored: Annotated[
        Path | None, typer.Option("--runs", help="rank-robustness: take the LMF runs of this folder, train none.")
    ] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """A paper's experiment, run anew.

    profusion-synthetic is B.1 of ProFusion: against a base of matched size on drawn data, and RobustAUC. About four
    minutes of one core. profusion-steps is G: every base and join against the base of matched size, and what linear
    probes read off every modality at every step, with its control. intense is what its relevances must show: planted
    strengths in their order, and XOR that no linear model can learn. About ten seconds. mkl is ℓp-norm MKL on samples
    with classes: draws of 400 training rows, p from 1 to 64 against the average kernel, single views and a noise
    kernel, with every solution's duality gap. Half a minute on six views of 2,000 digits. rank-robustness asks of LMF
    whether a lower rank is more robust: ranks 1, 2, 4, 8 under every corruption. Two seconds a run, and its training.
    """
    from core.experiments import progressive, synthetic
    from core.fusion.profusion import ProFusionConfig

    if name == "profusion-synthetic":
        put(*synthetic.report(list(synthetic.experiment(trials, tell=tell))), json_)
    elif name == "profusion-steps" and dataset is not None:
        options, training = split_settings(set_)
        data = opened(dataset)
        rows = list(progressive.experiment(data, ProFusionConfig(**options), training, seeds, tell))
        put(*progressive.report(data.name, rows), json_)
    elif name == "intense":
        from core.experiments import intense

        put(*intense.report(list(intense.experiment(seeds, tell))), json_)
    elif name == "mkl" and dataset is not None:
        from core.experiments import mkl
        from core.fusion.mkl import MklConfig

        config, views = MklConfig(**settings(set_)), opened(dataset)
        put(*mkl.report(views.name, config, list(mkl.experiment(views, config, seeds, tell=tell))), json_)
    elif name == "rank-robustness" and dataset is not None:
        from core.experiments import ranks
        from core.trust import record

        data = opened(dataset)
        if stored is not None:
            found = record.records(data, ranks.of_ranks(record.trained_on(data, stored)), tell)
        else:
            found = ranks.trained_ranks(data, *split_settings(set_), seeds, tell)
        put(*ranks.rank_report(data.name, found), json_)
    else:
        raise ValueError(
            f"there is profusion-synthetic, intense; profusion-steps, mkl, rank-robustness with DATASET; got {name!r}"
        )


@app.command()
def compare(
    dataset: Path,
    stored: Annotated[Path, typer.Option("--runs", help="Folder of runs; those trained on these very data count.")],
    fusions: Annotated[
        str | None, typer.Option(help="Comma-separated: a fusion (all its configurations), a title or a group's id.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="What the others are tested against; the best unless given.")] = (
        None
    ),
    form: Annotated[str, typer.Option("--format", help="text, md, latex or csv.")] = "text",
    memory: Annotated[
        bool, typer.Option("--memory", help="Also the peak memory of a scoring, in processes of their own.")
    ] = False,
    json_: Json = False,
) -> None:
    """Stored runs side by side: intervals, a paired test against a baseline on the same clips, parts, cost."""
    from core import compare as side

    data = opened(dataset)
    base, lines = side.compare(data, stored, names(fusions), baseline, dataset if memory else None)
    result = {"dataset": data.name, "baseline": base, "rows": side.records(lines, base)}
    put(result, side.report(data, base, lines, form).rstrip("\n"), json_)


@app.command()
def sweep(
    dataset: Path,
    fusion: Annotated[str, typer.Option(help="Name of the fusion.")] = "lego",
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis", help="An option and its values: P=1..10, alpha=0.1..0.9 step 0.1, lam=1e-4..100 times 10."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Axes of a figure of the paper: figure-5, figure-4-alpha, figure-4-k or figure-4-lambda."),
    ] = None,
    set_: Set = None,
    seeds: Annotated[int, typer.Option(help="Seeds of every cell, from 0 on.", min=1)] = 3,
    guided: Annotated[bool, typer.Option("--guided", help="Let Optuna's TPE choose which cells to train.")] = False,
    trials: Annotated[int, typer.Option(help="--guided: how many cells.", min=1)] = 40,
    judge: Annotated[str, typer.Option(help="held-out: a part of the training data; test: as the papers do.")] = (
        "held-out"
    ),
    out: Annotated[Path, typer.Option(help="Folder of sweeps; the sweep is a folder in it.")] = Path(
        "workspace/sweeps"
    ),
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster, host:port; local starts one on this machine.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of this machine.", min=1)] = 1,
    protocol: Protocol = None,
    modalities: Modalities = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Train one fusion at many options and seeds; the same command goes on where a stopped sweep was.

    Every cell is the mean over seeds; printed are the best one, those within its spread, and what each option matters.
    """
    import time

    from core import sweep as sweeps

    options, training = split_settings(set_)
    axes: dict[str, Any] = {}
    if preset is not None:
        if preset not in sweeps.PRESETS:
            raise ValueError(f"there is no preset {preset!r}; there are {', '.join(sweeps.PRESETS)}")
        lines, usual = sweeps.PRESETS[preset]
        axes, options = {key: sweeps.values_of(value, key) for key, value in lines.items()}, {**usual, **options}
    for each in axis or ():
        key, sign, values = each.partition("=")
        if not sign:
            raise ValueError(f"--axis wants option=values, got {each!r}")
        axes[key.strip()] = sweeps.values_of(values, key.strip())
    data = opened(dataset)
    plan = sweeps.Plan(
        str(dataset.resolve()), axes, fusion, options, training, protocol, names(modalities),
        "guided" if guided else "grid", trials, seeds, judge, # type: ignore[arg-type]
    )  # fmt: skip
    root = sweeps.begin(plan, data, out)
    tell(f"{root}: {sweeps.read(root).title}")
    began, last = time.perf_counter(), 0.0

    def step(share: float, words: str) -> None:
        nonlocal last
        if share == 1 or time.perf_counter() - last > 1:
            last = time.perf_counter()
            tell(f"  {words}")

    for _ in sweeps.sweep(root, data, address, workers, step, device_of(device)):
        pass
    seconds, found = time.perf_counter() - began, sweeps.results(root)
    put({"folder": str(root), **sweeps.record(found, seconds)}, sweeps.text(found, seconds), json_)


@app.command()
def robustness(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs, and last the dataset.")],
    json_: Json = False,
) -> None:
    """Every run under noise, attacks, losses and time shifts: area under each curve, and calibration.

    A folder of runs stands for those that were trained on these very data. A second or two a run, up to ten with
    attention.
    """
    from core.trust import record

    *folders, last = paths
    if not folders:
        raise ValueError("robustness wants one run or a folder of runs, and then the dataset")
    data = opened(last)
    chosen = [
        run
        for folder in folders
        for run in ([folder] if (folder / "run.json").is_file() else record.trained_on(data, folder))
    ]
    if not chosen:
        raise ValueError(f"no run there was trained on {data.name!r}")
    put(*record.table(data, chosen, tell), json_)


@app.command()
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
    from core.sample import Samples
    from core.score import whole as one

    torch.set_num_threads(1)
    data = opened(dataset)
    if isinstance(data, Samples):
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


def main() -> int:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        left = app(standalone_mode=False)  # the code of a typer.Exit comes back as a value
    except (ValueError, OSError) as error:
        tell(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        tell("stopped; run the same command again to go on")
        return 130
    except typer.Exit as leave:
        return leave.exit_code
    except Exception as error:  # click's own usage errors carry their message
        if hasattr(error, "format_message"):
            tell(f"error: {error.format_message()}")
            return 2
        raise
    return left if isinstance(left, int) else 0


if __name__ == "__main__":
    sys.exit(main())

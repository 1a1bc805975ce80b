"""The demo inside: simulated clips, their features, and trained runs, rebuilt by one command.

    python -m core demo build [--only videos|features|runs]     (`make assets`)
    python -m core demo judge                                   score every stored run again, write what it is worth
    python -m core demo kinds                                   unit AUC per kind of anomaly, as in assets/README.md

simulate -> extract -> assets/demo (a native dataset) -> train -> assets/runs -> assets/README.md. The work lies in
`workspace/demo` and goes on after a kill. A part that comes out as it was changes no file. The features come from the
video files alone, through the same `extract` as anyone's.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads are slower than one for models this small

import av
import cv2

from core import run as runs
from core.data import native, read, simulate
from core.dataset import Data, Dataset
from core.extract import Progress, extract
from core.measure.metrics import by_kind, show
from core.recipe import Recipe, TrainConfig
from core.sample import METRIC_WORDS
from core.score.infer import score
from core.score.judge import recorded
from core.train.job import planned
from core.train.loop import train

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
WORK = ROOT / "workspace" / "demo"
PAIR = ("motion", "appearance")
SEEDS, FEW = 5, 3
PARTS = ("videos", "features", "runs")

Say = Callable[[str], None]


# Longer than the default and, for graphs, also without the learned projection: both from cross-validation over the
# training clips alone (docs/decisions/lego-defaults.md).
TRAINING = TrainConfig(epochs=150)
RAW: Mapping[str, Any] = {"project": None}
ALL = (*PAIR, "text")
ON_DIGITS = TrainConfig(epochs=50)


# Methods on vectors, one unit a sample: (fusion, options beside the defaults). Variants that a page compares (ranks,
# boundaries, bases, joins) have fewer seeds, and transformers are narrow, because assets stay small.
THIN: Mapping[str, Any] = {"dim": 16}
MAIN: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *((fusion, {}) for fusion in ("lmf", "jwae", "jwae-lmf", "gmf", "g-lmf")),
    *(("profusion", {"base": base, "steps": steps}) for base in ("concat", "lmf") for steps in (1, 3)),
)
RIVALS = tuple((fusion, THIN) for fusion in ("mbt", "perceiver", "misa", "g-mbt", "g-perceiver"))
VARIANTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *(("lmf", {"rank": rank}) for rank in (1, 2, 8)),
    *(("gmf", {"boundary": boundary}) for boundary in (0.25, 0.75)),
    ("gmf", {"magnification": 2}),
    *(("profusion", {"base": "recurrent", "steps": steps}) for steps in (1, 3)),
    ("profusion", {"join": "concat", "steps": 3}),
)
# Clips' features are up to 577 wide; read through a small learned projection their runs stay small. Width and epochs
# from 3-fold cross-validation over the training clips, one seed: 8 and 50 were as good as 16, 32 and 150 on average.
NARROW: Mapping[str, Any] = {"project": 8}
SHORT = TrainConfig(epochs=50)

# Options by 3-fold cross-validation over training data alone; Adam's own decay would compete with InTense's penalty.
# MKL is solved, not trained: its seeds differ in the 1,000 rows that are drawn of the demo's 1,536.
INTENSE = TrainConfig(epochs=50, weight_decay=0.0)
ON_KERNELS: Mapping[str, Any] = {"project": 8, "kernel": "all", "C": 0.1}


def on_clips(
    fusion: str, own: Mapping[str, Any], see: tuple[str, ...] = PAIR, loop: TrainConfig = TRAINING, seeds: int = SEEDS
) -> Recipe:
    """see    modalities, in the order of A's axes"""
    return Recipe(fusion, own, loop, tuple(range(seeds)), modalities=see)


def on_digits(fusion: str, own: Mapping[str, Any], seeds: int = FEW, loop: TrainConfig = ON_DIGITS) -> Recipe:
    return Recipe(fusion, own, loop, tuple(range(seeds)))


LEVELS: tuple[Mapping[str, Any], ...] = ({"level": "feature"}, {"level": "graph"}, {"level": "graph", **RAW})
# which demo, the folder of assets that holds it -> what is trained on it
RECIPES: Mapping[str, tuple[Recipe, ...]] = {
    "demo": (
        *(on_clips("lego", own, modalities) for own in (RAW, {}) for modalities in (PAIR, ALL)),
        *(on_clips("single", {"modality": name, **own}, (name,)) for own in LEVELS for name in ALL),
        *(on_clips(fusion, own) for fusion in ("concat", "sum", "product") for own in LEVELS),
        *(on_clips(fusion, {**NARROW, **own}, loop=SHORT) for fusion, own in (*MAIN, *RIVALS)),
        *(on_clips(fusion, {**NARROW, **own}, loop=SHORT, seeds=FEW) for fusion, own in VARIANTS),
        on_clips("intense", {"lam": 0.03}, loop=INTENSE),
        *(on_clips("mkl", {**ON_KERNELS, "p": p}, seeds=seeds) for p, seeds in ((2.0, 2), (1.0, 1))),
    ),
    "digits": (
        *(on_digits("single", {"modality": view}) for view in ("top", "bottom", "fourier")),
        *(on_digits(fusion, {}) for fusion in ("concat", "sum", "product")),
        *(on_digits(fusion, {**NARROW, **own}, SEEDS) for fusion, own in MAIN),
        *(on_digits(fusion, {**NARROW, **own}) for fusion, own in (*RIVALS, *VARIANTS)),
        on_digits("intense", {"lam": 0.001}, SEEDS, INTENSE),
        on_digits("mkl", {"project": 8, "C": 10.0}, 1, TRAINING),
    ),
}  # not MTN: one run of it is larger than all of these together


# --- videos -----------------------------------------------------------------------------------------------------------


def fingerprint() -> str:
    """What decides the videos' bytes: the simulator's source and the libraries that draw and encode."""
    source = b"".join(file.read_bytes() for file in sorted(Path(simulate.__file__).parent.glob("*.py")))
    return hashlib.sha256(source + f"{av.__version__} {cv2.__version__}".encode()).hexdigest()


def videos(work: Path, say: Say, workers: int = 2) -> Path:
    """Render the clips into `work/videos`; clips of an older simulator are rendered anew."""
    out, stamp = work / "videos", work / "videos.sha256"
    out.mkdir(parents=True, exist_ok=True)
    if not stamp.exists() or stamp.read_text() != fingerprint():
        for old in out.iterdir():
            old.unlink()
        stamp.write_text(fingerprint())
    simulate.simulate(out, None, lambda name, done, total: say(f"video {done} of {total}: {name}"), workers)
    return out


# --- features ---------------------------------------------------------------------------------------------------------


def features(work: Path, assets: Path, say: Say) -> bool:
    """Extract features of the videos and bring them, as float16, and the videos to `assets/demo`; True if it changed.

    Without videos in `work`, the clips that are in assets already are used again.
    """
    source = work / "videos"
    if not (source / "truth.json").is_file():
        source.mkdir(parents=True, exist_ok=True)
        for clip in (assets / "demo" / "clips").glob("*.mp4"):
            shutil.copyfile(clip, source / clip.name)
        simulate.simulate(source)
    extracted, finished = work / "extracted", work / "dataset"

    told = -1

    def report(progress: Progress) -> None:
        nonlocal told
        share = 20 * progress.done // max(progress.total, 1)
        if share > told:
            told = share
            say(f"features: {5 * share} %, {progress.stage} {progress.clip}")

    extract(source, extracted, workers=2, progress=report, videos=False, overwrite=True)
    bundle(extracted, source, finished)
    return mirror(finished, assets / "demo")


def bundle(extracted: Path, source: Path, out: Path) -> None:
    """The extracted dataset with float16 features and the simulator's own files in place of a second compression."""
    made = native.read(extracted)
    clips = {name: replace(clip, video=source / f"{name}.mp4") for name, clip in made.clips.items()}
    settings = {name: entry["settings"] for name, entry in native.load_index(extracted)["modalities"].items()}
    native.write(replace(made, clips=clips), out, settings=settings, overwrite=True, half=True)
    for extra in sorted(extracted.iterdir()):  # captions and calibration, which an upload is measured by
        if not (out / extra.name).exists():
            shutil.copytree(extra, out / extra.name) if extra.is_dir() else shutil.copyfile(extra, out / extra.name)


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mirror(source: Path, target: Path) -> bool:
    """Make `target` equal to `source`, touching only files that differ; True if any did."""
    wanted, there = tree(source), tree(target)
    changed = [name for name in wanted if there.get(name) != wanted[name]]
    gone = [name for name in there if name not in wanted]
    for name in changed:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    for name in gone:
        (target / name).unlink()
    for folder in sorted((path for path in target.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return bool(changed or gone)


# --- runs -------------------------------------------------------------------------------------------------------------


def train_all(
    datasets: Mapping[str, Data],
    root: Path,
    say: Say,
    recipes: Mapping[str, Sequence[Recipe]] = RECIPES,
) -> None:
    """Train every recipe from its seeds into `root`; runs that are there are kept, runs that none asks for removed.

    datasets    name in `recipes` -> its data; recipes for modalities that are not there are left out
    """
    known, wanted = set(runs.listing(root)), set()
    for name, dataset in datasets.items():
        fit = [recipe for recipe in recipes.get(name, ()) if set(recipe.modalities) <= set(dataset.widths)]
        for recipe in (each for one in fit for each in one.each):
            (run,) = planned(recipe, dataset)
            wanted.add(run.id)
            if run.id not in known:
                trained = train(dataset, recipe)
                runs.save(trained.run, trained.model.state_dict(), trained.history, root)
                value = show(trained.run.metrics[run.metric], run.metric)
                say(f"run {run.id}: {run.title}, seed {run.seed}, {METRIC_WORDS[run.metric]} {value}")
    for name in known - wanted:
        shutil.rmtree(root / name)


def groups(root: Path, digest: str) -> dict[str, list[tuple[Path, runs.Run]]]:
    """Title -> runs of these data that differ in the seed alone, in the order of RECIPES where they are of one."""
    order = [(each.fusion, each.modalities, asdict(each.options)) for every in RECIPES.values() for each in every]

    def rank(run: runs.Run) -> int:
        asked = [(run.fusion, modalities, dict(run.config)) for modalities in ((), tuple(run.source.widths))]
        return min((order.index(one) for one in asked if one in order), default=len(order))

    listed = {name: run for name, run in runs.listing(root).items() if run.source.digest == digest}
    first = {run.group: rank(run) for run in listed.values()}
    found: dict[str, list[tuple[Path, runs.Run]]] = {}
    for name, run in sorted(listed.items(), key=lambda item: (first[item[1].group], item[1].seed)):
        found.setdefault(run.title, []).append((root / name, run))
    return found


# --- what came out ----------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def results(dataset: Dataset, root: Path) -> Iterator[str]:
    """A table in Markdown: a row per method, mean ± sd over seeds; kinds need a modality as the simulator says."""
    clips = dataset.part("test")
    rows = {}
    for title, found in groups(root, dataset.digest()).items():
        kinds = [by_kind(score(runs.model(folder), clips), clips) for folder, _ in found]
        rows[title] = ([run.metrics["auc"] for _, run in found], kinds)
    names = [kind for kind in simulate.KINDS if all(kind in one for _, kinds in rows.values() for one in kinds)]
    units = next(iter(rows.values()))[1][0]
    yield "| method | all | " + " | ".join(names) + " |"
    yield "|" + " --- |" * (len(names) + 2)
    yield "| *evidence needed* | | " + " | ".join(f"*{simulate.KINDS[kind].evidence}*" for kind in names) + " |"
    yield "| *anomalous test units* | | " + " | ".join(f"*{units[kind][1]}*" for kind in names) + " |"
    for title, (whole, kinds) in rows.items():
        cells = [spread([one[kind][0] for one in kinds]) for kind in names]
        yield f"| {title} | **{spread(whole)}** | " + " | ".join(cells) + " |"


def sample_results(data: Data, root: Path) -> Iterator[str]:
    """A table in Markdown: a row per method, mean ± sd over seeds, and what is left when one view alone is there."""
    yield "| method | seeds | accuracy | " + " | ".join(f"only {name}" for name in data.modalities) + " | weights |"
    yield "|" + " --- |" * (len(data.modalities) + 4)
    for title, found in groups(root, data.digest()).items():
        each = [run for _, run in found]
        alone = [
            spread([run.metrics["alone"][name] for run in each]) if name in each[0].metrics.get("alone", {}) else ""
            for name in data.modalities
        ]
        whole = spread([run.metrics["accuracy"] for run in each])
        yield f"| {title} | {len(each)} | **{whole}** | " + " | ".join(alone) + f" | {each[0].weights:,} |"


def readme(dataset: Dataset, digits: Data, assets: Path) -> str:
    """assets/README.md: what lies here, where it comes from, and what the runs reach."""
    normal = sum(not clip.anomalous for clip in dataset.part("train"))
    parts = {part: len(dataset.part(part)) for part in ("train", "test")}
    kinds = "\n".join(
        f"| {name} | {kind.evidence} | {', '.join(kind.views)} | {kind.what} |" for name, kind in simulate.KINDS.items()
    )
    table = "\n".join(results(dataset, assets / "runs"))
    samples = "\n".join(sample_results(digits, assets / "runs"))
    return f"""# Assets

Everything here is made by this project, by `make assets` (`python -m core demo build`), from nothing but its source.
It falls under the project's own licence. The videos are **simulated**: they show no real person and no real place.

| path | what | made by |
| --- | --- | --- |
| `demo/clips/*.mp4` | {len(dataset.clips)} simulated clips, {simulate.WIDTH} x {simulate.HEIGHT}, \
{simulate.FPS} frames a second, H.264 | `core/data/simulate` |
| `demo/dataset.json` | names, split ({parts["train"]} training clips, {normal} of them normal; {parts["test"]} test \
clips), frame truth, checksums | the simulator's `truth.json` |
| `demo/features`, `demo/captions`, `demo/calibration.npz` | what `extract` found in those files | `core/extract` |
| `digits/dataset.json` | a recipe for handwritten digits in three views | `core/data/samples/digits.py` |
| `runs/*` | trained runs, {SEEDS} seeds a method ({FEW} for variants), last epoch; of clips from clip labels only \
| `core/train/loop.py` |

## Kinds of anomaly and the evidence they need

By construction of the ordinary traffic, not by measurement; `core/data/simulate` says how.

| kind | evidence | views | what |
| --- | --- | --- | --- |
{kinds}

## What the runs reach

Unit AUC in percent on the test clips, mean ± sd over seeds; a kind's column is its units against all normal units.

MTN is not among them: one of its runs is larger than all of these together.
`python -m core table assets/demo --fusions mtn --modalities motion,appearance` trains it.

{table}

## The digits

`digits/dataset.json` is a recipe, no data: scikit-learn's bundled digits (1,797 pictures of 8 x 8) seen three ways,
with noise, so that no view suffices (`core/data/samples/digits.py`). Accuracy in percent on the test samples, mean ± sd
over seeds; "only": the same when the other views are missing.

{samples}
"""


def build(only: str | None = None, assets: Path = ASSETS, work: Path = WORK, say: Say = print) -> None:
    """Rebuild the demo; parts that come out as they were change no file."""
    if only is not None and only not in PARTS:
        raise ValueError(f"{only!r} is no part; there are {', '.join(PARTS)}")
    if only in (None, "videos"):
        videos(work, say)
    if only in (None, "features"):
        say("demo changed" if features(work, assets, say) else "demo as it was")
    if only in (None, "runs"):
        dataset, digits = native.read(assets / "demo"), read(assets / "digits")
        train_all({"demo": dataset, "digits": digits}, assets / "runs", say)
        text, path = readme(dataset, digits, assets), assets / "README.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def judge(assets: Path = ASSETS, say: Say = print) -> None:
    """Measure every run again by today's way of measuring; weights stay, numbers in run.json and README may change."""
    dataset, digits = native.read(assets / "demo"), read(assets / "digits")
    moved = []
    for name, run in runs.listing(assets / "runs").items():
        fusion, now = runs.model(assets / "runs" / name), dict(run.metrics)
        now |= recorded(fusion, (digits if run.source.digest == digits.digest() else dataset).part("test"))
        if now != run.metrics:
            moved.append(abs(now[run.metric] - run.metrics[run.metric]))
            record = json.loads((assets / "runs" / name / "run.json").read_text()) | {"metrics": now}
            (assets / "runs" / name / "run.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    (assets / "README.md").write_text(readme(dataset, digits, assets))
    say(f"{len(moved)} runs are worth something else, by up to {max(moved, default=0):.3f}")


def kinds(assets: Path = ASSETS, say: Say = print) -> None:
    """Print the table of assets/README.md, computed anew from the weights."""
    for line in results(native.read(assets / "demo"), assets / "runs"):
        say(line)

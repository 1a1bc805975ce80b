"""A run: one folder that holds everything one training produced.

    runs/<id>/run.json            fusion, config, training, data fingerprint, seed, metrics, versions, manifest
    runs/<id>/model.safetensors   weights
    runs/<id>/history.csv         one line an epoch

<id> is the fusion's name and a hash of what was asked for; runs that differ in the seed alone share a group.
"""

import csv
import hashlib
import io
import json
import math
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from core.fusion import FUSIONS, WORDS
from core.fusion.base import Fusion
from core.machine import drafts
from core.machine.names import Name, shown
from core.recipe import Recipe, TrainConfig, options_of
from core.sample import UNITS, Task, plain

FORMAT: dict[str, Any] = {"format": "fusescope-run", "version": 1}
MAX_WEIGHTS_BYTES = 2 << 30
LATER: dict[str, Any] = {"amp": False}  # options of the training loop that came after runs had names, as they were
WITH_PROJECTION = ("lego", "single", "concat", "sum", "product")  # projected unless they say otherwise


@dataclass(frozen=True)
class Source:
    """What a run was trained on: enough to find the data again and to notice when it changed."""

    name: str
    digest: str
    protocol: str
    widths: Mapping[str, int]
    simulated: bool = False


@dataclass(frozen=True)
class Run:
    """One training: what was asked for, and what came out. metrics are percent, of the last epoch.

    training    holds what came later (`LATER`) only where it is not as it was: runs that are the same have one name
    """

    fusion: str
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    source: Source
    seed: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    weights: int = 0
    note: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=lambda: plain(UNITS))  # follows from the data, so not in the id

    def __post_init__(self) -> None:
        object.__setattr__(self, "training", recorded(self.training))

    @property
    def metric(self) -> str:
        """The key of `metrics` that methods are compared by; higher is better."""
        return self.asked.metric

    @property
    def asked(self) -> Task:
        """The task it was trained for."""
        return Task(self.task["kind"], tuple(self.task["names"]))

    @property
    def recipe(self) -> Recipe:
        """What would be trained to get it again: options younger than the run are the defaults, lost ones are left out.

        Errors: `ValueError` for a value that its option cannot have.
        """
        own, loop = options_of(FUSIONS[self.fusion].Config), options_of(TrainConfig)
        return Recipe.read(
            {
                "fusion": self.fusion,
                "options": {name: value for name, value in self.config.items() if name in own},
                "training": {name: value for name, value in self.training.items() if name in loop},
                "seeds": [self.seed],
                "protocol": self.source.protocol,
                "modalities": list(self.source.widths),
            }
        )

    def alike(self, other: "Run", but: Collection[str] = ()) -> bool:
        """Whether the two differ in nothing but the seed and these options of the fusion.

        >>> one = Run("lmf", {"rank": 1, "out": 2}, {}, Source("", "", "all", {}), 0)
        >>> two = replace(one, config={"rank": 4, "out": 2}, seed=1)
        >>> one.alike(two), one.alike(two, but={"rank"})
        (False, True)
        """
        return self._name(False, but) == other._name(False, but)

    @property
    def group(self) -> str:
        """The same for every seed of one config on one data set."""
        return self._name(with_seed=False)

    @property
    def id(self) -> str:
        """The same config, data and seed always get the same folder, on every machine."""
        return self._name(with_seed=True)

    def _name(self, with_seed: bool, without: Collection[str] = ()) -> str:
        asked: dict[str, Any] = {
            "fusion": self.fusion,
            "config": {name: value for name, value in self.config.items() if name not in without},
            "training": dict(self.training),
            # the order of the modalities is the order of A's axes
            "data": [self.source.digest, self.source.protocol, list(self.source.widths.items())],
        }
        if with_seed:
            asked["seed"] = self.seed
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.fusion}-{digest}"

    @property
    def level(self) -> str:
        return str(self.config.get("level", "graph" if self.fusion == "lego" else "feature"))

    @property
    def title(self) -> str:
        """A short name for people: the fusion, its level and modality where it has them, options that are not usual."""
        words = [WORDS.get(self.fusion, self.fusion)]
        if self.fusion == "single":
            words.append(str(self.config.get("modality") or next(iter(self.source.widths))))
        elif self.fusion == "lego":
            words.append("+".join(self.source.widths))
        if "level" in self.config and self.asked.kind == "units":
            words.append(f"({self.level})")
        if self.fusion in WITH_PROJECTION and self.asked.kind == "units":
            words += ["unprojected"] * (self.config.get("project", ...) is None)
        if self.fusion in FUSIONS and not self.training.get("imported"):
            usual = asdict(FUSIONS[self.fusion].Config())
            said = ("project", "level", "modality")
            words += [f"{k}={v}" for k, v in self.config.items() if k not in said and k in usual and usual[k] != v]
        words += ["in mixed precision"] * bool(self.training.get("amp"))
        return " ".join(words)


RECORD = TypeAdapter(Run)


def recorded(training: Mapping[str, Any]) -> dict[str, Any]:
    """The training options as records and names hold them: without what came later and is as it was.

    >>> recorded({"epochs": 5, "amp": False}), recorded({"epochs": 5, "amp": True})
    ({'epochs': 5}, {'epochs': 5, 'amp': True})
    """
    return {name: value for name, value in training.items() if name not in LATER or LATER[name] != value}


History = Sequence[Mapping[str, float]]


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__.split("+")[0], "numpy": np.__version__}


def save(run: Run, weights: Mapping[str, Tensor], history: History, root: Path) -> Path:
    """Write a draft folder, then rename it: no one ever sees half a run, a second finisher keeps the first."""
    target = root / run.id
    if (target / "run.json").exists():
        return target
    contents = {
        "model.safetensors": save_tensors({name: tensor.contiguous() for name, tensor in weights.items()}),
        "history.csv": table(history).encode(),
    }
    record = FORMAT | asdict(replace(run, versions=run.versions or versions()))
    record |= {"id": run.id, "group": run.group}
    record["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    # keys stay as they are: sorted, the modalities would come back in another order than A's axes have
    contents["run.json"] = (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()
    try:
        with drafts.new_folder(target, size=sum(map(len, contents.values()))) as draft:
            for name, content in contents.items():
                (draft / name).write_bytes(content)
    except OSError:  # another one that finished meanwhile is as good
        if not (target / "run.json").exists():
            raise
    return target


def table(history: History) -> str:
    """The history as CSV text."""
    if not history:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in history)
    return out.getvalue()


def load(folder: Path) -> Run:
    """The record of a run; a `ValueError` says which file or field is wrong."""
    try:
        record = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{folder.name!r} is no run: it has no run.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"run {folder.name!r}: run.json cannot be read ({error})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT["format"]:
        raise ValueError(f"run {folder.name!r}: run.json is not a FuseScope run")
    if record.get("version") != FORMAT["version"]:
        raise ValueError(f"run {folder.name!r}: written in version {record.get('version')!r}, this program reads 1")
    if record.get("fusion") not in FUSIONS:
        raise ValueError(
            f"run {folder.name!r}: unknown fusion {record.get('fusion')!r}; there are {', '.join(FUSIONS)}"
        )
    try:
        run = RECORD.validate_json(json.dumps(record), strict=True)
        check_numbers(run.metrics)
        if run.asked.kind not in FUSIONS[run.fusion].tasks:
            raise ValueError(f"{run.fusion} cannot be trained for {run.asked.kind}")
        return run
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ValueError(f"run {folder.name!r}: run.json has other fields than expected ({shown(why, 200)})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"run {folder.name!r}: run.json has other fields than expected ({error})") from None


def check_numbers(metrics: Mapping[str, Any]) -> None:
    """Errors: `ValueError` for a metric that is neither a finite number nor undefined, at any depth; why is a text."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            check_numbers(value)
            continue
        number = type(value) in (int, float) and math.isfinite(value)
        if not (number or value is None or (name == "why" and isinstance(value, str))):
            raise ValueError(f"metrics: {shown(name, 40)!r} is no number but {shown(value, 40)!r}")


def checked(folder: Path, name: str) -> bytes:
    """A file's bytes, once its sum in the manifest holds."""
    record = json.loads((folder / "run.json").read_text())
    path = folder / name
    if not path.is_file() or path.is_symlink():
        raise ValueError(f"run {folder.name!r}: {name} is missing")
    if path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise ValueError(f"run {folder.name!r}: {name} is larger than {MAX_WEIGHTS_BYTES >> 20} MB")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.get("files", {}).get(name):
        raise ValueError(
            f"run {folder.name!r}: {name} is not what was written (its SHA-256 sum differs); train it again"
        )
    return content


def model(folder: Path) -> Fusion:
    """The trained fusion of a run folder, on the CPU, in evaluation mode."""
    run = load(folder)
    fusion = build(run.fusion, run.source.widths, run.config, run.asked)
    found = load_tensors(checked(folder, "model.safetensors"))
    fusion.make_room(found)
    wanted = fusion.state_dict()
    wrong = [n for n in wanted if n not in found] + [n for n in found if n not in wanted]
    wrong += [n for n in wanted if n in found and wanted[n].shape != found[n].shape]
    if wrong:
        raise ValueError(f"run {folder.name!r}: {len(wrong)} weights do not fit its config, first {wrong[0]!r}")
    fusion.load_state_dict(found)
    return fusion.eval()


def build(fusion: str, widths: Mapping[str, int], config: Any, task: Task = UNITS) -> Fusion:
    """A fusion by name with its config, or a plain mapping as one: what cannot be is refused as `Recipe` says."""
    asked, kind = Recipe(fusion, config), FUSIONS[fusion]
    if task.kind not in kind.tasks:
        raise ValueError(f"{fusion} relates the units of a clip; it cannot be trained on samples")
    return kind(widths, asked.options) if kind.tasks == ("units",) else kind(widths, asked.options, task)


def untrained(run: Run) -> Fusion:
    """A run's fusion as it was before training: drawn again from its seed, with the same numbers on every machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        return build(run.fusion, run.source.widths, run.config, run.asked)


def history(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run, in order."""
    rows = csv.DictReader(io.StringIO(checked(folder, "history.csv").decode()))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def fitting(found: Mapping[Name, Run], widths: Mapping[str, int], task: Task, digest: str) -> dict[Name, Run]:
    """Runs that can score data of these widths: all they read is there, for the same task.

    Those trained on this very data come first, then as `FUSIONS` lists them, the better method first, then by seed.
    """
    reads = {
        name: run
        for name, run in found.items()
        if run.asked == task and all(widths.get(modality) == width for modality, width in run.source.widths.items())
    }
    values: dict[str, list[float]] = {}
    for run in reads.values():
        values.setdefault(run.group, []).append(run.metrics.get(run.metric) or 0.0)
    best = {group: -sum(each) / len(each) for group, each in values.items()}
    order = {name: place for place, name in enumerate(FUSIONS)}

    def place(item: tuple[Name, Run]) -> tuple[bool, int, float, str, int]:
        run = item[1]
        return run.source.digest != digest, order[run.fusion], best[run.group], run.title, run.seed

    return dict(sorted(reads.items(), key=place))


def listing(root: Path, left_out: Callable[[str], object] = lambda why: None) -> dict[str, Run]:
    """Run id -> run, for every readable run below a folder; drafts and foreign folders are passed over.

    left_out    is told of every run that cannot be read, and why
    """
    found = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not (folder / "run.json").is_file():
            continue
        try:
            found[folder.name] = load(folder)
        except ValueError as error:
            left_out(str(error))
    return found

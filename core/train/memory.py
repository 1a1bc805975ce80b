"""How much memory a training will take, said before anything is begun: from shapes alone, without allocating any.

    need = clips + graphs + 3 weights + max(step, scoring)                                             bytes

    clips     training clips at N units: clips x crops x N x sum of widths x 4; samples: nothing, they are there
    graphs    relations that are made once, for models without a learned projection: clips x crops x N x N x 4 each
    weights   float32, and twice that for Adam's two moments
    step      the most that lives at one moment of one batch's way forward and back, gradients included
    scoring   the same of the test part's windows, which go forward in float64, with the copy of the weights

Step and scoring are not guessed: the model's own code runs on PyTorch's `meta` device, where tensors have shapes and no
numbers, while `Peak` adds up what is alive. Highest powers above `WALKED` are drawn out in a straight line, which they
lie on. A solver keeps its kernels: `GRAMS` matrices of rows x rows in float64 for each, rows at most its `most`.

What is not in it: Python, PyTorch and the data themselves (a few hundred MB), what libraries borrow inside a call, and
what the C library keeps of memory that was given back. Processes that trained grew by 0.8 to 1.5 times the estimate on
graphs (LEGO at N = 256 and 512, G-LMF, MKL) and by 1.0 to 1.9 times with attention (MBT at N = 256).
"""

import functools
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from humanize import naturalsize
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.dataset import Dataset
from core.fusion.base import Fusion, spreads
from core.fusion.lego import Lego
from core.fusion.mkl import Mkl
from core.machine.device import device_named
from core.machine.memory import free
from core.machine.names import shown
from core.recipe import Recipe, TrainConfig, changed
from core.run import build
from core.sample import Samples, Task
from core.score.infer import spans
from core.train.loop import Prepared, fixed_graphs, losses, sample_loss, step_loss, widths_of

log = logging.getLogger("fusescope")
Bytes = TypeVar("Bytes")

FLOAT, DOUBLE = 4, 8  # bytes
WALKED = 16  # highest power that a step is walked with
GRAMS = 3  # matrices of all rows by all rows that a solver holds at once, for each of its kernels
ENTRIES = 1 << 22  # as `core.score.infer.score` has it
PAIR = ("nodes", "units")  # options that are set together


@dataclass(frozen=True)
class Need:
    """Bytes, part by part, as the module says; weights with their moments.

    uncounted   parts that could not be counted, and why; "" where the total is everything
    """

    weights: int
    clips: int = 0
    graphs: int = 0
    step: int = 0
    scoring: int = 0
    uncounted: str = ""

    @property
    def total(self) -> int:
        return self.weights + self.clips + self.graphs + max(self.step, self.scoring)

    @property
    def largest(self) -> str:
        """What takes most of it, in words."""
        parts = {
            "its weights": self.weights,
            "the training clips": self.clips,
            "their graphs": self.graphs,
            "one training step": self.step,
            "scoring the test part": self.scoring,
        }
        name = max(parts, key=parts.__getitem__)
        return f"{name} {naturalsize(parts[name])}"

    @property
    def words(self) -> str:
        """How much, and what takes most of it."""
        return f"{'at least' if self.uncounted else 'about'} {naturalsize(self.total)} of memory ({self.largest})"


# ---------------------------------------------------------------------------- walking shapes


class Peak(TorchDispatchMode):
    """Adds up the memory of the tensors that are alive while it is entered; `most` is the highest that it was.

    On the meta device two questions have no answer, and get the usual one: whether something holds (it does), and how
    many rows a mask of clips keeps (half).
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self.alive: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "overloadpacket", None)
        if packet is torch.ops.aten._local_scalar_dense and args[0].is_meta:
            return True if args[0].dtype == torch.bool else 1
        if packet is torch.ops.aten.index and args[0].is_meta:
            args = (args[0], [self._rows(one) for one in args[1]], *args[2:])
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, torch.Tensor):
                self.alive.setdefault(one.untyped_storage(), 0)  # from outside: weights, features
        found = func(*args, **kwargs)
        for one in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(one, torch.Tensor):
                self.count(one)
        return found

    @staticmethod
    def _rows(index: Any) -> Any:
        if index is None or index.dtype != torch.bool:
            return index
        return torch.empty(index.numel() // 2, dtype=torch.long, device=index.device)

    def count(self, tensor: torch.Tensor) -> None:
        held = tensor.untyped_storage()
        if held not in self.alive:
            self.alive[held] = size = held.nbytes()
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(held, self.gone, size)

    def gone(self, size: int) -> None:
        self.now -= size


@dataclass(frozen=True)
class Shape:
    """All that memory depends on in the data: widths, how many, and how long.

    clips   (normal, anomalous) training clips; samples: (rows, 0)
    test    (units, how many) of the test clips; samples: ((1, rows),)
    """

    widths: tuple[tuple[str, int], ...]
    clips: tuple[int, int]
    crops: int
    test: tuple[tuple[int, int], ...]
    task: Task


def shape_of(data: Dataset | Samples, protocol: str | None = None, modalities: Sequence[str] | None = None) -> Shape:
    """The shape of a dataset's parts."""
    widths = tuple(widths_of(data, modalities).items())
    if isinstance(data, Samples):
        train, test = len(data.part("train", protocol)), len(data.part("test", protocol))
        return Shape(widths, (train, 0), 1, ((1, test),), data.task)
    clips, test_clips = data.part("train", protocol), data.part("test", protocol)
    anomalous = sum(bool(clip.anomalous) for clip in clips)
    lengths = Counter(clip.units for clip in test_clips)
    return Shape(widths, (len(clips) - anomalous, anomalous), clips.crops, tuple(sorted(lengths.items())), data.task)


def needed(recipe: Recipe, shape: Shape) -> Need:
    """What a training will take. Errors: `ValueError` for options that make no model."""
    own = asdict(recipe.options)
    high = [name for name in ("P", "Q", "rest") if own.get(name, 0) > WALKED]
    low = recipe.but(**dict.fromkeys(high, WALKED // 2)).options
    first = _needed(recipe.fusion, low, recipe.training, shape)
    weights = first.weights
    step, scoring, graphs = float(first.step), float(first.scoring), first.graphs
    for name in high:
        more = _needed(recipe.fusion, replace(low, **{name: WALKED}), recipe.training, shape)
        times = (own[name] - WALKED // 2) / (WALKED - WALKED // 2)
        step, scoring = step + (more.step - first.step) * times, scoring + (more.scoring - first.scoring) * times
    if high:
        weights = 3 * FLOAT * _weights(model_of(recipe.fusion, recipe.options, dict(shape.widths), shape.task))
    return Need(weights, first.clips, graphs, round(step), round(scoring), first.uncounted)


def model_of(fusion: str, own: Any, widths: Mapping[str, int], task: Task) -> Fusion:
    """The model without its numbers: a billion weights cost nothing. Errors: `ValueError` where there is none."""
    try:
        with torch.device("meta"):
            return build(fusion, widths, own, task)
    except (RuntimeError, OverflowError) as error:  # a size that is none, or more entries than can be counted
        why = str(error).splitlines()[0]
        if "overflow" in why:
            raise ValueError("these options ask for more weights than can be counted; choose smaller ones") from None
        raise ValueError(f"these options do not go together with this data: {shown(why, 200)}") from None


def _weights(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@functools.lru_cache(maxsize=256)
def _needed(fusion: str, own: Any, training: TrainConfig, shape: Shape) -> Need:
    model = model_of(fusion, own, dict(shape.widths), shape.task)
    clips = sum(shape.clips)
    units = training.units if shape.task.kind == "units" else 1
    rows = clips * shape.crops * units
    kept = 0 if shape.task.kind != "units" else rows * sum(width for _, width in shape.widths) * FLOAT
    weights = 3 * FLOAT * _weights(model)
    if isinstance(model, Mkl):
        rows = min(rows, model.config.most)
        return Need(weights, kept, 0, GRAMS * len(model.kernels) * rows**2 * DOUBLE)
    if model.solved:
        return Need(weights, kept, uncounted="what its solver holds")
    if model.window not in (None, units):
        return Need(weights, kept)  # refused elsewhere, by name
    uncounted: list[str] = []
    graphs, step = _counted("one training step", lambda: _step(model, training, shape), uncounted) or (0, 0)
    scoring = _counted("scoring the test part", lambda: _scoring(fusion, own, shape), uncounted) or 0
    return Need(weights, kept, graphs, step, scoring, " and ".join(uncounted))


def _counted(what: str, walk: Callable[[], Bytes], uncounted: list[str]) -> Bytes | None:
    """What a walk over shapes gives; None, and said, where they do not go together or numbers are asked for."""
    try:
        return walk()
    except (RuntimeError, IndexError, NotImplementedError, TypeError) as error:
        uncounted.append(f"{what} ({shown((str(error).splitlines() or [type(error).__name__])[0], 200)})")
        return None


def _step(model: Fusion, training: TrainConfig, shape: Shape) -> tuple[int, int]:
    """(bytes of graphs that are kept, the most that lives in one step)."""
    meta = torch.device("meta")
    model.train()
    if shape.task.kind != "units":
        return 0, _sample_step(model, training, shape)
    half, units = max(1, training.batch // 2), training.units
    batch = sum(min(half, side) for side in shape.clips)
    anomalous = torch.empty(batch, dtype=torch.bool, device=meta)
    labels = torch.empty(batch, units, dtype=torch.bool, device=meta) if training.supervision == "unit" else None
    clips = sum(shape.clips)
    every = {name: torch.empty(clips, shape.crops, units, width, device=meta) for name, width in shape.widths}
    making = Peak()
    with making:
        graphs = fixed_graphs(model, Prepared(every, torch.empty(clips, dtype=torch.bool, device=meta), None))
        kept = making.now if graphs is not None else 0
    walk = Peak()
    with walk:
        if graphs is None:
            features = {name: torch.empty(batch, units, width, device=meta) for name, width in shape.widths}
            loss, penalty = step_loss(model, features, anomalous, labels, training)
        else:
            assert isinstance(model, Lego)
            drawn = {name: graph[:batch, 0].clone() for name, graph in graphs.items()}
            loss, penalty = losses(model, model.from_graphs(drawn, list(drawn)), anomalous, labels, training)
        (loss + penalty).backward()
    return kept, max(walk.most, making.most - kept)


def _sample_step(model: Fusion, training: TrainConfig, shape: Shape) -> int:
    meta = torch.device("meta")
    batch = min(training.batch, shape.clips[0])
    features = {name: torch.empty(batch, width, device=meta) for name, width in shape.widths}
    real = shape.task.kind == "real"
    target = torch.empty((batch, shape.task.outputs) if real else (batch,), device=meta)
    target = target if real else target.long()
    walk = Peak()
    with walk:
        fused = model(features)
        loss = sample_loss(fused, target, spreads(target) if real else None)
        (loss + model.penalty(fused, torch.empty(0, dtype=torch.bool, device=meta))).backward()
    return walk.most


def _scoring(fusion: str, own: Any, shape: Shape) -> int:
    """The most that lives while the test part is scored, the float64 copy of the weights included."""
    model = model_of(fusion, own, dict(shape.widths), shape.task).double().eval()
    window = model.window
    groups: Counter[int] = Counter()
    for units, count in shape.test:
        for start, stop, _ in spans(units, window):
            groups[window or stop - start] += count
    width = sum(width for _, width in shape.widths)

    def batch(units: int) -> int:
        return shape.crops * min(groups[units], max(1, ENTRIES // max(1, shape.crops * units * width)))

    if not groups:
        return 0
    units = max(groups, key=lambda one: batch(one) * one**2)
    walk = Peak()
    with walk, torch.no_grad():
        model({name: torch.empty(batch(units), units, width, device="meta", dtype=torch.double)
               for name, width in shape.widths})  # fmt: skip
    return walk.most + DOUBLE * _weights(model)


# ---------------------------------------------------------------------------- the door


def afford(recipe: Recipe, shape: Shape, device: torch.device | str | None = None) -> Need:
    """What the training needs; a `ValueError` names the option that asks for more memory than there is.

    device    in place of the recipe's own
    """
    need, there = needed(recipe, shape), free(device_named(recipe.device) if device is None else device)
    if need.uncounted:
        log.warning("memory of %s could not be counted; the training needs %s", need.uncounted, need.words)
    if need.total <= there:
        return need
    said = f"would need {need.words}, and {naturalsize(there)} are free"
    blamed = _blamed(recipe, shape, need.total)
    if not blamed:
        raise ValueError(f"this training {said}; take fewer clips or modalities, or a smaller batch")
    named = " and ".join(f"{name}={value:,}" if isinstance(value, int) else f"{name}={value}" for name, value in blamed)
    raise ValueError(f"with {named} this training {said}; choose a smaller value")


def _blamed(recipe: Recipe, shape: Shape, total: int) -> list[tuple[str, Any]]:
    """(option, value) whose default would save most; `nodes` and `units` stand together."""
    usual = {**asdict(TrainConfig()), **asdict(type(recipe.options)())}
    moved = {n: v for n, v in (changed(recipe.training) | changed(recipe.options)).items() if not isinstance(v, bool)}
    best: tuple[int, tuple[str, ...]] = (total, ())
    pair = tuple(name for name in PAIR if name in moved)
    for names in [*((name,) for name in moved if name not in pair), *([pair] if pair else [])]:
        try:
            less = needed(recipe.but(**{name: usual[name] for name in names}), shape).total
        except ValueError:
            continue
        best = min(best, (less, names))
    return [(name, moved[name]) for name in best[1]]

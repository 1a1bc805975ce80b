"""What every fusion is: features in, scores or outputs and a trace of the way out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform

import pydantic.dataclasses
import torch
from jaxtyping import Bool, Float, Int
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from core.sample import UNITS, Target, Task

Features = Mapping[str, Float[Tensor, "*batch units _"]]
Trace = TypeVar("Trace")
Teller = Callable[[int, int, float], None]  # round, rounds at most, objective a row

# what options may be: sizes have their real bound in memory (`core.train.memory`), numbers in what float32 holds
MOST, LARGEST = 10**9, 1e38
Size = Annotated[int, Field(ge=1, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
Config = TypeVar("Config")


def about(default: Any, what: str, **bounds: Any) -> Any:
    """An option of a record of `options`: what it is unless given, and what it does, in words for its users."""
    return Field(default, description=what, **bounds)


@dataclass_transform(frozen_default=True)
def options(kind: type[Config]) -> type[Config]:
    """A frozen record of options; form, help, check and record follow from it (`core.recipe`).

    >>> @options
    ... class Bent:
    ...     power: Size = about(2, "how often it bends")
    >>> Bent(power=3)
    Bent(power=3)

    Errors: pydantic's `ValidationError`, a `ValueError`, for a value of another type, beyond its bounds, or not finite.
    """
    checks = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return pydantic.dataclasses.dataclass(frozen=True, config=checks)(kind)  # type: ignore[return-value]


@dataclass(frozen=True)
class Fused(Generic[Trace]):
    """scores: of clips in [0, 1], higher is more anomalous. trace: what the views draw, typed per fusion.

    outputs     class logits, real values in the targets' own units, or (of clips) the logit of the score; None for
                fusions that only score units. With classes `scores` is the highest class probability, with real
                targets NaN: there `outputs` is the answer.
    """

    scores: Float[Tensor, "*batch units"]
    trace: Trace
    outputs: Float[Tensor, "*batch units outputs"] | None = None


@dataclass(frozen=True)
class Solved:
    """What a solver did: a row of numbers a round (`epoch` counts them), and what a reader of the run should know."""

    history: list[dict[str, float]]
    note: str = ""


class Fusion(nn.Module):
    """Base of all fusions: a subclass names its config, builds its weights and writes `forward`.

    Config      record of `options` that `--set` may change; every field has a default
    tasks       what it can be asked for; who takes more than units takes a third argument, the task
    window      units that `forward` needs at once, or None when any number will do
    used        modalities that it reads; one that reads fewer than there are says which
    solved      True for a fusion that is not trained by gradient: then `solve` takes the place of the training loop
    """

    Config: ClassVar[type]
    tasks: ClassVar[tuple[str, ...]] = ("units",)
    window: int | None = None
    solved: ClassVar[bool] = False

    def __init__(self, widths: Mapping[str, int], config: Any, task: Task = UNITS) -> None:
        super().__init__()
        self.widths, self.config, self.task = dict(widths), config, task
        self.used = tuple(widths)

    def forward(self, features: Features) -> Fused[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not say how it fuses")

    def penalty(self, fused: Fused[Any], anomalous: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
        """What the fusion adds to the training loss, given which clips of the batch are anomalous (samples: empty)."""
        return torch.zeros((), device=anomalous.device)

    def learn(self, features: Features, target: Target | None = None) -> None:
        """Take from the training data what is no weight (means, spreads), once, before the first step."""

    def solve(self, features: Features, target: Target, groups: Int[Tensor, " rows"], top: int, tell: Teller) -> Solved:
        """Find all weights from the training rows at once, after `learn`; only for fusions with `solved`.

        target  class or real values as in `Part`; of clips' units 0 / 1, from clip labels the same for a whole clip
        groups  which clip a row is of; rows of one group are told apart from no other by chance
        top     from clip labels: how many units of an anomalous clip are anomalous at least
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is solved")

    def make_room(self, found: Mapping[str, Tensor]) -> None:
        """Before stored weights are loaded: take their sizes where these follow from the training data."""

    def fusion_part(self) -> nn.Module:
        """The module whose weights `count` counts: all of it, or without the classifier where the paper does so."""
        return self


class Standard(nn.Module):
    """Means and spreads of the training data: every modality's columns, and real targets.

        x = (features - mean) / spread        outputs = target_mean + target_spread * y

    A column that hardly moves (spread below 1e-6 of the largest) is only centred. Before `learn` nothing changes.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        for name, width in widths.items():
            self.register_buffer(f"mean_of_{name}", torch.zeros(width))
            self.register_buffer(f"spread_of_{name}", torch.ones(width))
        self.register_buffer("target_mean", torch.zeros(outputs))
        self.register_buffer("target_spread", torch.ones(outputs))

    def learn(self, features: Features, target: Target | None = None) -> None:
        for name, rows in features.items():
            flat = rows.flatten(0, -2)
            mean, spread = self.get_buffer(f"mean_of_{name}"), self.get_buffer(f"spread_of_{name}")
            mean.copy_(flat.mean(0))
            spread.copy_(spreads(flat))
        if target is not None and target.is_floating_point():
            self.get_buffer("target_mean").copy_(target.mean(0))
            self.get_buffer("target_spread").copy_(spreads(target))

    def forward(self, name: str, rows: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        return (rows - self.get_buffer(f"mean_of_{name}")) / self.get_buffer(f"spread_of_{name}")

    def real(self, outputs: Float[Tensor, "*batch outputs"]) -> Float[Tensor, "*batch outputs"]:
        """Standardised answers in the targets' own units."""
        return self.get_buffer("target_mean") + self.get_buffer("target_spread") * outputs


def spreads(rows: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Standard deviation of each column; 1 where it is next to nothing beside the largest."""
    found = rows.std(0, correction=0)
    return torch.where(found > 1e-6 * found.amax().clamp(min=1e-12), found, torch.ones_like(found))


class VectorFusion(Fusion):
    """A fusion that reads every row by itself: a unit of a clip, or a sample.

    A subclass builds its weights for `self.task.outputs` outputs and writes

        def forward(self, features):
            rows = self.rows(features)          # standardised, every modality in order, zeros where it is missing
            ...
            return self.answered(outputs, trace)    # outputs: (*batch, units, self.task.outputs)

    Zeros after standardising are the training mean: a missing modality says nothing.
    """

    tasks = ("units", "class", "real")

    def __init__(self, widths: Mapping[str, int], config: Any, task: Task = UNITS) -> None:
        super().__init__(widths, config, task)
        if not widths:
            raise ValueError("a fusion needs at least one modality")
        self.standard = Standard(widths, task.outputs)

    def learn(self, features: Features, target: Target | None = None) -> None:
        self.standard.learn(features, target)

    def rows(self, features: Features) -> dict[str, Float[Tensor, "*batch units _"]]:
        """Every modality's standardised rows, in the order of `widths`; zeros for one that is missing."""
        present = next((features[name] for name in self.widths if name in features), None)
        if present is None:
            raise ValueError(f"none of the modalities {list(self.widths)} is there")
        return {
            name: self.standard(name, features[name])
            if name in features
            else present.new_zeros(*present.shape[:-1], width)
            for name, width in self.widths.items()
        }

    def answered(self, outputs: Float[Tensor, "*batch outputs"], trace: Trace) -> Fused[Trace]:
        """Scores and outputs from what the last layer gives."""
        return answered(self.standard, self.task, outputs, trace)


def answered(standard: Standard, task: Task, outputs: Float[Tensor, "*batch outputs"], trace: Trace) -> Fused[Trace]:
    """The last layer's values as the task reads them."""
    if task.kind == "units":
        return Fused(outputs[..., 0].sigmoid(), trace, outputs)
    if task.kind == "class":
        return Fused(outputs.softmax(-1).amax(-1), trace, outputs)
    return Fused(torch.full_like(outputs[..., 0], float("nan")), trace, standard.real(outputs))


def count_weights(model: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

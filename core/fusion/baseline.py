r"""The rivals of table 1: one modality alone, and concat, sum, product, on features or on graphs.

    feature level   z_m = Linear(d_m, project)(f_m);   score = sigmoid(Linear(h, 1)(relu(Linear(., h)(combined z))))
    graph level     R_m = relation of the projected rows; combined R, row by row, through LEGO's own head

Ding et al., ICLR 2025, table 1. Projection, head and protocol are LEGO's, so only the fusion differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from core.fusion import graph as g
from core.fusion.base import Features, Fused, Fusion, Size, Standard, about, answered, options
from core.fusion.lego import Projection, RowHead
from core.sample import UNITS, Target, Task

Level = Literal["feature", "graph"]


@options
class BaselineConfig:
    """Options of the simple fusions."""

    level: Level = about("feature", "combine features or relationship graphs")
    modality: str = about("", "which one alone (`single` only); empty means the first", max_length=200)
    project: Size | None = about(
        32, "width of the learned projection; sum and product on features need it (or equal widths)"
    )
    relation: g.Relation = about("cosine", "graph level: what an edge means")
    head: g.Head = about("sorted", "graph level: order in which LEGO's head reads a row of the graph")
    nodes: Size = about(32, "graph level: N, units in a window")
    hidden: Size = about(32, "feature level: hidden units of the head")


@dataclass(frozen=True)
class GraphTrace:
    """graphs: per modality. fused: what the head reads; with concat the mean of the graphs, shown but not read."""

    graphs: Mapping[str, g.Graph]
    fused: g.Graph


@dataclass(frozen=True)
class FeatureTrace:
    """fused: the combined rows that the head reads."""

    fused: g.Rows


class Baseline(Fusion):
    """Shared wiring of the simple fusions; a subclass says how things are combined."""

    Config = BaselineConfig
    config: BaselineConfig
    how: ClassVar[str]
    tasks = ("units", "class", "real")

    def __init__(self, widths: Mapping[str, int], config: BaselineConfig | None = None, task: Task = UNITS) -> None:
        config = config or BaselineConfig()
        super().__init__(widths, config, task)
        if task.kind != "units" and config.level == "graph":
            raise ValueError("graphs relate the units of a clip; samples have none: use level=feature")
        used = {name: width for name, width in widths.items() if self.how != "single" or name == self.chosen(widths)}
        self.project = Projection(used, config.project)
        self.used = tuple(used)
        seen = {name: config.project or width for name, width in used.items()}
        copies = len(used) if self.how == "concat" else 1
        if config.level == "graph":
            self.window = config.nodes
            self.head: nn.Module = RowHead(config.nodes, config.head, copies * config.nodes)
        else:
            if self.how in ("sum", "product") and len(set(seen.values())) > 1:
                raise ValueError(f"{self.how} of features needs equal widths, got {seen}; set project")
            width = sum(seen.values()) if self.how == "concat" else next(iter(seen.values()))
            self.head = nn.Sequential(
                nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, task.outputs)
            )
        # clips' features go in as they are, as in the paper's table; samples are standardised
        self.standard = Standard(used, task.outputs) if task.kind != "units" else None

    def learn(self, features: Features, target: Target | None = None) -> None:
        if self.standard is not None:
            self.standard.learn({name: features[name] for name in self.used}, target)

    def chosen(self, widths: Mapping[str, int]) -> str:
        name = self.config.modality or next(iter(widths))
        if name not in widths:
            raise ValueError(f"there is no modality {name!r}; there are {list(widths)}")
        return name

    def forward(self, features: Features) -> Fused[GraphTrace] | Fused[FeatureTrace]:
        present = next((features[name] for name in self.used if name in features), None)
        if present is None:
            raise ValueError(f"none of the modalities {list(self.used)} is there")
        if self.standard is not None:
            features = {name: self.standard(name, features[name]) for name in self.used if name in features}
        # A missing modality is zeros before the projection on features, and all ones as a graph.
        rows = {
            name: self.project(
                name, features[name] if name in features else present.new_zeros(*present.shape[:-1], self.widths[name])
            )
            for name in self.used
        }
        if self.config.level == "feature":
            combined = self.combine(list(rows.values()), dim=-1)
            outputs = self.head(combined)
            if self.standard is None:
                return Fused(outputs.squeeze(-1).sigmoid(), FeatureTrace(combined), outputs)
            return answered(self.standard, self.task, outputs, FeatureTrace(combined))
        graphs = {
            name: g.relate(row, self.config.relation)
            if name in features
            else row.new_ones(*row.shape[:-1], row.shape[-2])
            for name, row in rows.items()
        }
        if self.how == "concat":
            return Fused(self.head(*graphs.values()), GraphTrace(graphs, torch.stack(list(graphs.values())).mean(0)))
        fused = self.combine(list(graphs.values()), dim=-1)
        return Fused(self.head(fused), GraphTrace(graphs, fused))

    def combine(self, parts: list[torch.Tensor], dim: int) -> torch.Tensor:
        if self.how == "concat":
            return torch.cat(parts, dim=dim)
        stacked = torch.stack(parts)
        return stacked.prod(0) if self.how == "product" else stacked.sum(0)


class Single(Baseline):
    """One modality alone."""

    how = "single"


class Concat(Baseline):
    """Side by side: features before the head, or each unit's rows of all graphs."""

    how = "concat"


class Sum(Baseline):
    """Added entry by entry."""

    how = "sum"


class Product(Baseline):
    """Multiplied entry by entry."""

    how = "product"

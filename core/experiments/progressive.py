"""ProFusion against its base at matched weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.dataset import Dataset
from core.explain.progressive import Probes, Reading, probes
from core.fusion.base import count_weights
from core.fusion.profusion import matched
from core.recipe import Recipe
from core.sample import Samples
from core.train.loop import train


@dataclass(frozen=True)
class Versus:
    """ProFusion against its base of matched size on one data set, a seed each; the task's metric, higher is better."""

    base: str
    join: str
    plain: tuple[float, ...]
    again: tuple[float, ...]
    plain_weights: int
    again_weights: int
    probes: tuple[Probes, ...]

    def to_json(self) -> dict[str, Any]:
        def spread(values: Sequence[float]) -> dict[str, float | None]:
            return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}

        def of(kind: Callable[[Probes], Reading]) -> dict[str, Any]:
            table = np.stack([kind(each).value for each in self.probes])
            return {
                name: [spread(table[:, t, j].tolist()) for t in range(table.shape[1])]
                for j, name in enumerate(self.probes[0].modalities)
            }

        return {
            "base": self.base,
            "join": self.join,
            "plain": {**spread(self.plain), "weights": self.plain_weights, "values": list(self.plain)},
            "again": {**spread(self.again), "weights": self.again_weights, "values": list(self.again)},
            "better": sum(b > a for a, b in zip(self.plain, self.again, strict=True)),
            "seeds": len(self.plain),
            "representations": of(lambda each: each.real),
            "control": of(lambda each: each.control),
        }


def versus(
    data: Dataset | Samples, recipe: Recipe, most: int = 4, tell: Callable[[str], None] = lambda line: None
) -> Versus:
    """Train ProFusion and its base of matched size from every seed; probe ProFusion's steps."""
    config = recipe.options
    rival = replace(recipe, options=matched(data.widths, config, data.task))
    metric = data.task.metric
    plain, again, seen, weights = [], [], [], (0, 0)
    for pair in zip(rival.each, recipe.each, strict=True):
        one, two = (train(data, asked) for asked in pair)
        plain.append(float(one.run.metrics[metric]))
        again.append(float(two.run.metrics[metric]))
        seen.append(probes(two.model, data.part("train").flat(), data.part("test").flat(), most))
        weights = (count_weights(one.model), count_weights(two.model))
        tell(f"{config.base}, {config.join}, seed {two.run.seed}: base {plain[-1]:.2f}, ProFusion {again[-1]:.2f}")
    return Versus(config.base, config.join, tuple(plain), tuple(again), *weights, tuple(seen))


def experiment(
    data: Dataset | Samples, recipe: Recipe, tell: Callable[[str], None] = lambda line: None
) -> Iterator[Versus]:
    """Every base and join against the base of matched size, with per-step representation accuracy (appendix G)."""
    for base in ("concat", "lmf", "recurrent"):
        for join in ("add", "concat"):
            yield versus(data, recipe.but(base=base, join=join), tell=tell)


def report(name: str, found: Sequence[Versus]) -> tuple[dict[str, Any], str]:
    """The experiment as JSON and as lines."""
    lines = []
    for each in found:
        told = each.to_json()
        a, b = told["plain"], told["again"]
        lines.append(
            f"{each.base:9s} {each.join:6s}  base {a['mean']:.2f} ± {a['sd'] or 0:.2f} ({a['weights']} weights), "
            f"ProFusion {b['mean']:.2f} ± {b['sd'] or 0:.2f} ({b['weights']}), better in {told['better']} of "
            f"{told['seeds']} seeds"
        )
        for modality, steps in told["representations"].items():
            real = ", ".join(f"{step['mean']:.1f}" for step in steps)
            other = ", ".join(f"{step['mean']:.1f}" for step in told["control"][modality])
            lines.append(f"    {modality}: linear probe at t = 1 ... {len(steps)}: {real}; control: {other}")
    return {"dataset": name, "rows": [each.to_json() for each in found]}, "\n".join(lines)

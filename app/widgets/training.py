"""A training as several pages start it and tell how it ended."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import store
from app.figures import spreads
from app.figures.style import markdown_text
from app.store.keys import DataKey
from app.widgets.jobs import job_root
from core import jobs
from core.machine.names import shown
from core.recipe import Option, Recipe
from core.run import Run
from core.sample import METRIC_WORDS
from core.train import job as work

KINDS = ("train",)


def number(option: Option, value: int | float, **given: Any) -> Any:
    """A number's input, within the option's bounds."""
    kind: type = int if option.kind == "int" else float
    low, high = (None if bound is None else kind(bound) for bound in (option.low, option.high))
    step = 1 if kind is int else 10.0 ** math.floor(math.log10(abs(value))) if value else 0.1
    given |= {"min_value": low, "max_value": high, "value": kind(value), "step": step}
    return kind(st.number_input(**given, format=None if kind is int else "%g"))


def start(key: DataKey, asked: Mapping[str, Any], beside: str | None = None, title: str = "") -> jobs.Job | None:
    """Submit it, for a button's callback; what stands in the way is kept for the next drawing of the page."""
    try:
        data = store.data.data(key)
        recipe = Recipe.read(asked)
        work.refuse(recipe, data)
        plan = work.planned(recipe, data)
        given = {
            "order": recipe.plain(),
            "dataset": str(store.keys.datasets()[key].resolve()),
            "runs": str(store.keys.workspace().runs.resolve()),
            "known": [str(store.keys.assets().resolve() / "runs")],
            "key": key,
            "beside": beside,
        }
        words = title or plan[0].title
        job = jobs.submit(job_root(), "train", f"{words} on {shown(data.name, 60)}", given)
    except (ValueError, OSError) as refused:
        told = refused if isinstance(refused, ValueError) else f"the job could not be written: {refused.strerror}"
        st.session_state["train-refused"] = str(told)
        return None
    return job


def values_of(names: Sequence[str], metric: str) -> list[float | None]:
    """The metric of runs that still lie on disk."""
    return [store.runs.run(name).metrics.get(metric) for name in names if name in store.keys.all_runs()]


def beside_of(job: jobs.Job) -> Run | None:
    """The run that the job's options came from."""
    name = job.arguments.get("beside")
    return store.runs.run(name) if isinstance(name, str) and name in store.keys.all_runs() else None


def siblings(run: Run) -> list[str]:
    """Every seed of a run's method that lies on disk."""
    every = (name for name in store.runs.readable_runs() if name.startswith(f"{run.fusion}-"))
    return [name for name in every if store.runs.run(name).group == run.group]


def same_seeds(new: Sequence[str], old: Run) -> tuple[list[str], list[str]]:
    """The new runs and the old ones of every seed that both have: another seed is another draw, no comparison."""
    theirs = {store.runs.run(name).seed: name for name in siblings(old)}
    seeds = {name: store.runs.run(name).seed for name in new if name in store.keys.all_runs()}
    shared = [name for name, seed in seeds.items() if seed in theirs]
    return shared, [theirs[seeds[name]] for name in shared]


def outcome(job: jobs.Job) -> str:
    """What came out, in words: mean ± sd over the seeds, and how far that is from where it began."""
    names = job.result.split()
    if job.state != "done" or not names or names[0] not in store.keys.all_runs():
        return "is done; its runs were removed"
    metric = store.runs.run(names[0]).metric
    new = values_of(names, metric)
    words = f"is done: {METRIC_WORDS[metric]} {spreads.spread(new, metric)}"
    there = sum(line.state == "there" for line in work.lines(job_root() / job.id))
    if there:
        words += ", trained before" if there == len(names) else f", {there} of them trained before"
    old = beside_of(job)
    if old is not None and old.group != store.runs.run(names[0]).group:
        shared, theirs = same_seeds(names, old)
        before = values_of(theirs, metric)
        if difference := spreads.delta(values_of(shared, metric), before, metric):
            which = (
                "of the seeds that both have" if len(shared) < len(names) else f"the same seed{'s'[: len(shared) - 1]}"
            )
            words += (
                f" · **{difference}** against {spreads.spread(before, metric)} of {markdown_text(old.title)}, {which}"
            )
    return words

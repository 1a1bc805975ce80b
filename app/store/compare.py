"""Runs side by side."""

from app.store import keys
from app.store.data import clips, data, digest, part
from app.store.keys import WITH_ALL_RUNS, DataKey, RunKey, resource
from app.store.methods import computed
from app.store.models import answered
from app.store.runs import runs
from core import compare


@resource(32, stamps=WITH_ALL_RUNS)
def groups(key: DataKey) -> tuple[dict[str, compare.Group], dict[str, float]]:
    """Group id -> every seed of one configuration that can score this data; and what their records say they reach."""
    return compare.groups(runs(key), digest(key)), compare.recorded(runs(key))


@resource(512)
def judged(run: RunKey, key: DataKey) -> compare.Judged:
    """A run on the test part, with every metric on the draws of clips that all runs share."""
    return compare.judge(*answered(run, key))


@resource(64, "Comparing the runs", WITH_ALL_RUNS)
def comparison(key: DataKey, ids: tuple[str, ...], baseline: str | None) -> list[compare.Line]:
    """Groups side by side, in this order, each against the baseline."""
    chosen = [groups(key)[0][id_] for id_ in ids]
    found = {group.id: {seed: judged(RunKey(name), key) for seed, name in group.runs.items()} for group in chosen}
    return compare.lines(chosen, found, baseline)


@keys.data(512)
def _parts(run: RunKey, key: DataKey) -> dict[str, float]:
    return compare.parts_of(*answered(run, key))


def in_parts(group: compare.Group, key: DataKey) -> dict[str, float]:
    """AUC of each kind of anomaly, recall of each class or correlation of each target: means over the group's seeds."""
    return compare.over_seeds([_parts(RunKey(name), key) for name in group.runs.values()])


def missing(group: compare.Group, key: DataKey) -> dict[str, float]:
    """The compared metric without some modalities, means over the group's seeds."""
    return compare.over_seeds([computed("missing", RunKey(name), key) for name in group.runs.values()])


def disagreement(key: DataKey, a: compare.Group, b: compare.Group) -> compare.Disagreement:
    """Where two groups say most different things of the rows that are looked at."""
    return _disagreement(key, *(tuple(map(RunKey, group.runs.values())) for group in (a, b)))


@resource(32, "Comparing every row")
def _disagreement(key: DataKey, a: tuple[RunKey, ...], b: tuple[RunKey, ...]) -> compare.Disagreement:
    said = [[answered(run, key)[0] for run in side] for side in (a, b)]
    return compare.disagreement_of(said[0], said[1], clips(key) or part(key))


@keys.data(256, "Scoring in processes of their own")
def peak_memory(key: DataKey, runs: tuple[RunKey, ...]) -> list[float | None]:
    """Megabytes that scoring the test part adds at most to a process, one a run; takes seconds."""
    return compare.peaks(key.folder, data(key).looked_at(), [run.folder for run in runs])

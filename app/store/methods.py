"""What the analyses of one model find."""

from collections.abc import Callable, Hashable
from typing import Any

from app.store.data import data
from app.store.keys import Data, DataKey, RunKey, resource
from app.store.models import model
from app.store.runs import run as record_of
from core import compare
from core.explain import latents, lowrank, mkl, plane, progressive, removal, split, weights
from core.score.flops import flops
from core.trust import calibration, record, stress
from core.trust.rows import Stage, reader, staged

# what -> a function of (model, data, names and numbers…) that returns read-only arrays; each page has its own lines
COMPUTED: dict[str, Callable[..., Any]] = {
    "factors": lambda model, data: lowrank.opened(model, data.shown().flat()),
    "row parts": lambda model, data, row: lowrank.of_row(model, data.shown().flat(), row),
    "specialisation": lambda model, data: lowrank.specialisation(lowrank.opened(model, data.shown().flat())),
    "attributions": lambda model, data, *place: lowrank.attributions(model, data.shown().flat(), *place),
    "prior distance": lambda model, data: latents.prior_distance(model, data.shown().flat()),
    "retrieval": lambda model, data: latents.retrieved(model, data.shown().flat()),
    "walk": lambda model, data, *ends: latents.walk(model, data.shown().flat(), *ends),
    "split parts": split.parts,
    "split cloud": split.cloud_of,
    "split pca": lambda model, data, shown: plane.pca(split.cloud_of(model, data, shown).rows),
    "split probes": split.probes,
    "availability": split.availability,
    "split retrieval": split.retrieval,
    "step answers": lambda model, data: progressive.answers(model, data.shown().flat()),
    "step probes": lambda model, data: progressive.probes(model, data.part("train").flat(), data.shown().flat()),
    "step paths": lambda model, data: progressive.paths(model, data.shown().flat()),
    "step cost": lambda model, data: progressive.cost(model, data.shown().flat()),
    "weights": lambda model, data: weights.weights(model),
    "weight parts": lambda model, data: weights.opened(model, data.shown().flat()),
    "weight losses": lambda model, data: removal.without_parts(
        weights.opened(model, data.shown().flat()), data.shown().flat()
    ),
    "modality losses": lambda model, data: removal.without_modalities(model, data.shown().flat()),
    "missing": lambda model, data: compare.missing(model, data.shown()),
    "flops": lambda model, data: flops(model),
    "scoring time": lambda model, data: compare.scoring_time(model, data.shown()),
    "stress": lambda model, data, kind, *modalities: stress.stressed(
        model, _stage_of(data), kind, modalities, keep=tuple(getattr(data, "pictures", ()))
    ),
    "reliability": lambda model, data, bins, how: calibration.calibrated(model, _stage_of(data), bins, how),
    "clean answers": lambda model, data: calibration.clean(reader(model, _stage_of(data))),
    "dropout": lambda model, data: calibration.dropped_out(model, _stage_of(data)),
    "kernel path": lambda model, data, p, *how: mkl.at_norm(model, data, data.shown().flat(), p, *how),
    "kernel panels": lambda model, data: mkl.panels(model, data.shown().flat()),
}


def _stage_of(found: Data) -> Stage:
    """What the robustness page corrupts: the rows that the pages look at."""
    return staged(found)


@resource(8)
def stage(key: DataKey) -> Stage:
    """The rows of `clips(key)` or `part(key)`, ready to be corrupted."""
    return _stage_of(data(key))


@resource(256)
def stressed(run: RunKey, key: DataKey) -> record.Record:
    """A run under every corruption of all it reads; a second or two."""
    return record.recorded(run, record_of(run), model(run), stage(key))


@resource(512, "Computing")
def computed(what: str, run: RunKey, key: DataKey, *arguments: Hashable) -> Any:
    """`COMPUTED[what](model, data, *arguments)` of a run and a dataset."""
    return COMPUTED[what](model(run), data(key), *arguments)

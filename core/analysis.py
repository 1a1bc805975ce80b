"""Analysis: one thing to ask of a trained model on some data, which says itself whether it fits.

Pages, commands and caches ask `fits` and `run` of one of `ANALYSES`, and name no fusion. What is found is told by the
function behind the name; rows are those that are looked at, `data.shown()`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import compare
from core.dataset import Data, Dataset
from core.explain import latents, lego, lowrank, mkl, plane, progressive, removal, split, weights, whatif
from core.fusion.base import Fusion
from core.score import doors, sliders, whole
from core.score.flops import flops
from core.score.infer import sealed
from core.trust import calibration, record, stress
from core.trust.rows import reader, staged

Ask = Callable[..., Any]  # (model, data, names and numbers ...) -> records of arrays that cannot be written to


def any_model(model: Fusion) -> None:
    """A door that is always open."""


@dataclass(frozen=True)
class Analysis:
    """What is asked, behind its doors.

    model   lets a model through, or says in a `ValueError` why not, and which fusions would do
    data    the same for a model and data together; that the data have what the model reads goes without saying
    """

    ask: Ask
    model: Callable[[Fusion], Any] = any_model
    data: tuple[Callable[[Fusion, Data], Any], ...] = ()

    def fits(self, model: Fusion, data: Data) -> str:
        """Empty, or one sentence for the user: why not. Cheap: nothing is scored."""
        try:
            self.model(model)
            doors.read(model, data.widths, data.task)
            for door in self.data:
                door(model, data)
        except ValueError as refused:
            return str(refused)
        return ""

    def run(self, model: Fusion, data: Data, *asked: Any) -> Any:
        """What it finds. Errors: `ValueError` with the sentence of `fits`, or for what is asked and is not there."""
        if why := self.fits(model, data):
            raise ValueError(why)
        return self.ask(model, data, *asked)


# ---------------------------------------------------------------------------- what of the data is asked


def clip(ask: Ask) -> Ask:
    """One clip; its name is the first of what is asked."""

    def of_clip(model: Fusion, data: Dataset, name: str, *asked: Any) -> Any:
        return ask(model, data.clips[name], *asked)

    return of_clip


def rows(ask: Ask) -> Ask:
    """The rows that are looked at."""
    return lambda model, data, *asked: ask(model, data.shown().flat(), *asked)


def stage(ask: Ask) -> Ask:
    """The same, ready to be corrupted."""
    return lambda model, data, *asked: ask(model, staged(data), *asked)


def losses(model: Fusion, data: Data) -> removal.Removals:
    part = data.shown().flat()
    return removal.without_parts(weights.opened(model, part), part)


def under(kind: str) -> Analysis:
    """One corruption at every strength; the names of modalities may be asked, else all are corrupted."""
    about = stress.KINDS[kind]

    def ask(model: Fusion, data: Data, *modalities: str) -> stress.Stress:
        return stress.stressed(model, staged(data), kind, modalities, keep=tuple(getattr(data, "pictures", ())))

    return Analysis(ask, doors.units if about.clips else any_model, (doors.some_labels,) * about.attacks)


ANALYSES: dict[str, Analysis] = {
    # units of a clip and their graphs
    "explanation": Analysis(clip(lego.explain), doors.units),
    "captum": Analysis(clip(lego.captum_parts), doors.graphs),
    "what if": Analysis(clip(whatif.changes), doors.units),
    "operator": Analysis(lambda model, data: lego.learned(model), doors.operator),
    "term shares": Analysis(clip(lego.term_shares), doors.operator),
    "graphs": Analysis(lambda model, data: sliders.GraphSet(model, data.shown()), doors.graphs),
    "whole clip": Analysis(clip(whole.whole), whole.streamed),
    # ranks and interactions
    "factors": Analysis(rows(lowrank.opened), lowrank.reading),
    "row parts": Analysis(rows(lowrank.of_row), lowrank.reading),
    "specialisation": Analysis(
        rows(lambda model, part: lowrank.specialisation(lowrank.opened(model, part))), lowrank.reading
    ),
    "attributions": Analysis(rows(lowrank.attributions), lowrank.reading),
    # latents
    "prior distance": Analysis(rows(latents.prior_distance), latents.joint),
    "walk": Analysis(rows(latents.walk), latents.joint),
    "retrieval": Analysis(rows(latents.retrieved), latents.common, (doors.classes,)),
    # shared and own parts
    "split parts": Analysis(split.parts, split.splitting),
    "split cloud": Analysis(split.cloud_of, split.splitting),
    "split pca": Analysis(
        lambda model, data, shown: sealed(plane.pca(split.cloud_of(model, data, shown).rows)), split.splitting
    ),
    "split probes": Analysis(split.probes, split.splitting, (doors.halves,)),
    "split retrieval": Analysis(split.retrieval, split.splitting, (doors.several, doors.classes)),
    "availability": Analysis(split.availability, data=(doors.rows, doors.labels)),
    # steps
    "step answers": Analysis(rows(progressive.answers), progressive.progressive),
    "step probes": Analysis(
        lambda model, data: progressive.probes(model, data.part("train").flat(), data.shown().flat()),
        progressive.progressive,
        (doors.taught,),
    ),
    "step paths": Analysis(rows(progressive.paths), progressive.progressive),
    "step cost": Analysis(rows(progressive.cost), progressive.progressive),
    # weights of modalities and kernels
    "weights": Analysis(lambda model, data: weights.weights(model), weights.weights),
    "weight parts": Analysis(rows(weights.opened), weights.weights),
    "weight losses": Analysis(losses, weights.weights, (doors.labels,)),
    "modality losses": Analysis(rows(removal.without_modalities), data=(doors.several, doors.rows, doors.labels)),
    "kernel path": Analysis(
        lambda model, data, p, *how: mkl.at_norm(model, data, data.shown().flat(), p, *how), mkl.mkl, (doors.taught,)
    ),
    "kernel panels": Analysis(rows(mkl.panels), mkl.mkl),
    # what stress does, and whether probabilities hold
    **{f"stress {kind}": under(kind) for kind in stress.KINDS},
    "record": Analysis(stage(record.recorded), data=(doors.some_labels,)),
    "clean answers": Analysis(stage(lambda model, stage: calibration.clean(reader(model, stage)))),
    "reliability": Analysis(stage(calibration.calibrated), calibration.probable, (doors.some_labels,)),
    "dropout": Analysis(stage(calibration.dropped_out), calibration.forgetful),
    # beside others
    "missing": Analysis(
        lambda model, data: compare.missing(model, data.shown()), data=(doors.several, doors.some_labels)
    ),
    "flops": Analysis(lambda model, data: flops(model)),
    "scoring time": Analysis(lambda model, data: compare.scoring_time(model, data.shown())),
}

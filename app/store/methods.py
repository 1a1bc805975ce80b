"""What the analyses of one model find."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st

from app.figures.style import colours
from app.store.data import data, looked_at, part
from app.store.keys import Data, _stamp, _stamps, datasets
from app.store.models import model
from app.store.runs import run
from app.views.weights import kernel_figures
from core import compare
from core.clip import Clip
from core.explain import latents, lowrank, mkl, plane, probes, progressive, removal, split, weights
from core.sample import Part, Samples, part_of
from core.score.flops import flops
from core.trust import calibration, record, stress
from core.trust.rows import Stage, reader, staged

if TYPE_CHECKING:
    pass

# what -> a function of (model, data, names and numbers…) that returns read-only arrays; each page has its own lines
COMPUTED: dict[str, Callable[..., Any]] = {
    "factors": lambda model, data: lowrank.opened(model, _looked_at_part(data)),
    "row parts": lambda model, data, row: lowrank.of_row(model, _looked_at_part(data), row),
    "specialisation": lambda model, data: lowrank.specialisation(lowrank.opened(model, _looked_at_part(data))),
    "attributions": lambda model, data, *place: lowrank.attributions(model, _looked_at_part(data), *place),
    "prior distance": lambda model, data: latents.prior_distance(model, _looked_at_part(data)),
    "retrieval": lambda model, data: latents.retrieved(model, _looked_at_part(data)),
    "walk": lambda model, data, *ends: latents.walk(model, _looked_at_part(data), *ends),
    "split parts": split.parts,
    "split cloud": split.cloud_of,
    "split pca": lambda model, data, shown: plane.pca(split.cloud_of(model, data, shown).rows),
    "split probes": probes.probes,
    "availability": split.availability,
    "split retrieval": split.retrieval,
    "step answers": lambda model, data: progressive.answers(model, _looked_at_part(data)),
    "step probes": lambda model, data: progressive.probes(model, part_of(data, "train"), _looked_at_part(data)),
    "step paths": lambda model, data: progressive.paths(model, _looked_at_part(data)),
    "step cost": lambda model, data: progressive.cost(model, _looked_at_part(data)),
    "weights": lambda model, data: weights.weights(model),
    "weight parts": lambda model, data: weights.opened(model, _looked_at_part(data)),
    "weight losses": lambda model, data: removal.without_parts(
        weights.opened(model, _looked_at_part(data)), _looked_at_part(data)
    ),
    "modality losses": lambda model, data: removal.without_modalities(model, _looked_at_part(data)),
    "missing": lambda model, data: compare.missing(model, _looked_at_test(data)),
    "flops": lambda model, data: flops(model),
    "scoring time": lambda model, data: compare.scoring_time(model, _looked_at_test(data)),
    "stress": lambda model, data, kind, *modalities: stress.stressed(
        model, _stage_of(data), kind, modalities, keep=tuple(getattr(data, "pictures", ()))
    ),
    "reliability": lambda model, data, bins, how: calibration.calibrated(model, _stage_of(data), bins, how),
    "clean answers": lambda model, data: calibration.clean(reader(model, _stage_of(data))),
    "dropout": lambda model, data: calibration.dropped_out(model, _stage_of(data)),
    "kernel path": lambda model, data, p, *how: mkl.at_norm(model, data, _looked_at_part(data), p, *how),
    "kernel panels": lambda model, data: mkl.panels(model, _looked_at_part(data)),
}


def _looked_at_test(found: Data) -> tuple[Clip, ...] | Part:
    """`clips` of the data itself, of samples `part`."""
    if isinstance(found, Samples):
        return _looked_at_part(found)
    return found.part("test") if looked_at(found) == "test" else tuple(found.clips.values())


def _looked_at_part(found: Data) -> Part:
    """`part` of the data itself."""
    return part_of(found, looked_at(found))


def _stage_of(found: Data) -> Stage:
    """What the robustness page corrupts: the rows that the pages look at."""
    return staged(found, looked_at(found))


@st.cache_resource(max_entries=8, show_spinner=False)
def _stage(folder: str, stamp: str, key: str) -> Stage:
    return _stage_of(data(key))


def stage(key: str) -> Stage:
    """The rows of `clips(key)` or `part(key)`, ready to be corrupted. Shared by all users: read, never change."""
    return _stage(str(datasets()[key]), _stamp(datasets()[key] / "dataset.json"), key)


@st.cache_resource(max_entries=256, show_spinner=False)
def _stressed(run_stamp: str, data_stamp: str, name: str, key: str) -> record.Record:
    return record.recorded(name, run(name), model(name), stage(key))


def stressed(name: str, key: str) -> record.Record:
    """A run under every corruption of all it reads; a second or two. Shared by all users: read, never change."""
    return _stressed(*_stamps(name, key), name, key)


def computed(what: str, name: str, key: str, *arguments: Hashable) -> Any:
    """`COMPUTED[what](model, data, *arguments)` of a run and a dataset. Shared by all users: read, never change."""
    return _computed(*_stamps(name, key), what, name, key, *arguments)


@st.cache_resource(max_entries=512, show_spinner="Computing")
def _computed(run_stamp: str, data_stamp: str, what: str, name: str, key: str, *arguments: Hashable) -> Any:
    return COMPUTED[what](model(name), data(key), *arguments)


@st.cache_resource(max_entries=64, show_spinner=False)
def _kernel_maps(run_stamp: str, data_stamp: str, name: str, key: str, row: int, theme: str) -> go.Figure:
    seen: mkl.Panels = computed("kernel panels", name, key)
    beta = mkl.mkl(model(name)).beta.detach().mean(1).double().numpy()
    chosen = kernel_figures.drawn_panels(seen, beta)
    return kernel_figures.panel_maps(seen, chosen, part(key), row, colours(theme))


def kernel_maps(name: str, key: str, row: int, theme: str) -> go.Figure:
    """What every kernel of an MKL run sees, drawn: a hundred traces take longer than the rest of their page."""
    return _kernel_maps(*_stamps(name, key), name, key, row, theme)

"""What the analyses of one model find."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st

from app.figures.style import colours
from app.store.data import data, part
from app.store.keys import Data, _stamp, _stamps, datasets
from app.store.models import model
from app.store.runs import run
from app.views.weights import kernel_figures
from core import compare
from core.explain import latents, lowrank, mkl, plane, progressive, removal, split, weights
from core.score.flops import flops
from core.trust import calibration, record, stress
from core.trust.rows import Stage, reader, staged

if TYPE_CHECKING:
    pass

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

"""What A learned, what each of its terms does, and what becomes of everything when a term is switched off."""

import numpy as np
import streamlit as st

from app import store
from app.figures import operator as figures
from app.figures.graphs import relation_matrices
from app.figures.style import above_noise, markdown_text, plotly_config
from app.state import selection
from app.widgets import controls, details, retrain, samples
from core.fusion.lego import Lego
from core.score.changes import Changes

chosen = selection.current()
if store.data.samples(chosen.dataset) is not None:
    samples.no_graphs(chosen, "The operator A and its graphs")
    st.stop()
clip = store.data.clip(chosen.dataset, chosen.clip)
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or not isinstance(model, Lego):
    st.info("The chosen run has no operator: only LEGO learns one. Choose a LEGO run in the sidebar, or train one.")
    st.stop()

names = details.axis_names(model)
shape = controls.shape_of(model)
with st.container(horizontal=True, vertical_alignment="bottom"):
    index, (first, stop, _) = controls.pick_window(chosen, clip, model.window)
    changes = controls.operator_controls(model)
    rest = controls.pick_slice(names, shape)
now = Changes.read(changes, shape)
trained, initial = store.graphs.operator(chosen.run), store.graphs.initial_operator(chosen.run)
A = store.graphs.operator(chosen.run, changes)
axes = (names[0], names[1]) if len(names) > 1 else (names[0], names[0])


def clicked() -> None:
    points = st.session_state["matrix"]["selection"]["points"]
    if points:
        controls.change(controls.toggled(now, (int(points[0]["y"]), int(points[0]["x"]), *rest)))


controls.metrics(chosen, changes)
retrain.offer(chosen, changes)
left, right = st.columns(2, gap="medium")
with left:
    top = float(max(np.abs(trained).max(), np.abs(A).max()))
    differs = [(int(p), int(q)) for p, q in np.argwhere(figures.plane(trained != A, rest))]
    st.plotly_chart(
        figures.operator_matrix(
            figures.plane(A, rest), axes, chosen.colours, differs, top, "A: click a term to switch it"
        ),
        key="matrix",
        on_select=clicked,
        selection_mode="points",
        theme=None,
        config=plotly_config(f"operator A of {chosen.run}", chosen.picture),
        alt=figures.operator_sentence(A, names),
    )
    st.caption(
        "The weight of every product of powers; red adds relation, blue takes it away, white is 0. A click switches a "
        "term off and, clicked again, back as it was trained; orange frames mark what differs from the trained A."
    )
with right:
    controls.edit(now, figures.plane(A, rest), axes, rest)
    st.plotly_chart(
        figures.singular_values(figures.unfolded(A), figures.unfolded(initial), chosen.colours),
        key="singular",
        theme=None,
        config=plotly_config(f"singular values of {chosen.run}", chosen.picture),
        alt="singular values: " + ", ".join(f"{v:.3f}" for v in np.linalg.svd(figures.unfolded(A), compute_uv=False)),
    )
    st.caption(
        "Singular values of A"
        + (f" unfolded along {markdown_text(names[0])}" if A.ndim > 2 else "")
        + ": if one is much larger than the rest, an outer product of two vectors (eq. 4) would do."
    )

st.header("What each term adds")
unit = chosen.unit(clip)
unit = (
    unit
    if unit is not None and first <= unit < stop
    else first + int(np.argmax(store.graphs.unit_scores(chosen.run, chosen.dataset, clip.name, changes)[first:stop]))
)
other = details.pick_other(first, stop, unit)
shares = store.graphs.term_shares(chosen.run, chosen.dataset, clip.name, index, changes)
found = store.graphs.explanation(chosen.run, chosen.dataset, clip.name, unit, changes)
parts = {f"this graph: mean relation {shares.of_graph.sum():.3g}": above_noise(shares.of_graph, shares.fused)}
if other is not None:
    of_edge = above_noise(shares.of_edge(unit, other), shares.fused)
    parts[f"connection {unit} – {other}: {shares.fused[unit - first, other - first]:.3f}"] = of_edge
if found.terms is not None:
    parts[f"score of unit {unit}: {found.score:.3f} = {found.base:.3f} + parts"] = above_noise(
        found.terms, np.array(found.score)
    )
st.plotly_chart(
    figures.term_matrices({name: figures.plane(part, rest) for name, part in parts.items()}, axes, chosen.colours),
    key="shares",
    theme=None,
    config=plotly_config(f"terms of {clip.name}", chosen.picture),
    alt="; ".join(f"{name}, largest term {part.flat[np.abs(part).argmax()]:+.4f}" for name, part in parts.items()),
)
st.caption(
    f"Every term's share, exact: shares of a relation add up to it (gap {shares.gap:.0e}), parts of a score to "
    f"the score (gap {abs(found.gap):.0e}). Unit {unit} is the chosen moment, or the highest score when none is chosen."
)

before, training, after = st.tabs(
    ["Graph as trained and as changed", "A before and after training", "Scores of this clip"],
    key="below_operator", on_change="rerun", bind="query-params",
)  # fmt: skip
with before:
    if before.open:
        was = store.graphs.window(chosen.run, chosen.dataset, clip.name, index, "").fused
        labels = np.zeros(stop - first, bool) if clip.labels is None else clip.labels.numpy()[first:stop]
        off = ~np.eye(stop - first, dtype=bool)
        low, high = (float(np.quantile(np.stack([was[off], shares.fused[off]]), q)) for q in (0.02, 1.0))
        st.plotly_chart(
            relation_matrices(
                {"as trained": was, "as changed": shares.fused},
                first,
                labels,
                chosen.colours,
                shares.fused - was,
                low,
                high,
            ),
            key="changed",
            theme=None,
            config=plotly_config(f"changed graph of {clip.name}", chosen.picture),
            alt=f"fused relations; the mean change is {(shares.fused - was)[off].mean() if off.any() else 0:+.4f}",
        )
with training:
    if training.open:
        st.plotly_chart(
            figures.term_matrices(
                {name: figures.plane(part, rest) for name, part in figures.training(initial, trained).items()},
                axes, chosen.colours, apart=False,
            ),
            key="training",
            theme=None,
            config=plotly_config(f"training of {chosen.run}", chosen.picture),
            alt=f"largest change of a weight in training: {np.abs(trained - initial).max():.3f}",
        )  # fmt: skip
        st.caption("Before training A was drawn from N(0, 1); it is drawn again here from the run's seed.")
with after:
    if after.open:
        st.plotly_chart(
            figures.score_change(
                store.graphs.unit_scores(chosen.run, chosen.dataset, clip.name),
                store.graphs.unit_scores(chosen.run, chosen.dataset, clip.name, changes),
                None if clip.labels is None else clip.labels.numpy(),
                chosen.threshold,
                chosen.colours,
            ),
            key="scores_changed",
            theme=None,
            config=plotly_config(f"scores of {clip.name}", chosen.picture),
            alt="scores of every unit with A as trained and as changed",
        )

"""What fusion did to the relations: each modality, fused, and the difference, on one fixed layout."""

import streamlit as st

from app import store
from app.figures import tables
from app.figures.graphs import degree_change, relation_matrices
from app.figures.network import Panel, difference
from app.figures.style import plotly_config
from app.state import selection
from app.views.graphs import whole
from app.widgets import controls, details, retrain, samples
from app.widgets.graph import relation_graphs
from core.machine.names import shown

chosen = selection.current()
if store.data.samples(chosen.dataset) is not None:
    samples.no_graphs(chosen, "Relationship graphs")
    st.stop()
clip = store.data.clip(chosen.dataset, chosen.clip)
if chosen.run is None:
    st.info("No trained run fits this dataset, so there is nothing fused to show. Train one: `python -m core train`.")
    st.stop()

model = store.models.model(chosen.run)
labels = None if clip.labels is None else clip.labels.numpy()
head = st.container(horizontal=True, vertical_alignment="bottom")
with head:
    as_one = whole.choose_window(clip, model)
    index, (first, stop, _) = (0, (0, 0, 0)) if as_one else controls.pick_window(chosen, clip, model.window)
    changes = controls.operator_controls(model)
if as_one:
    whole.page(chosen, clip, model, changes)
    st.stop()

# before, after and difference
scores = store.graphs.unit_scores(chosen.run, chosen.dataset, clip.name, changes)
graphs = store.graphs.relations(chosen.run, chosen.dataset, clip.name, index, changes)
modalities = [name for name in graphs if name != store.graphs.FUSED]
fused = store.graphs.FUSED if store.graphs.FUSED in graphs else None
with head:
    how = controls.display(modalities, fused, labels is not None)
trained_alpha, _ = store.graphs.trained_sliders(chosen.run)
flat = any(tables.flat(graph, trained_alpha) for graph in graphs.values())
by_rank = how.strengths == "rank" or (how.strengths == "auto" and flat)
seen = {name: tables.ranked(graph) if by_rank else graph for name, graph in graphs.items()}
ranges = controls.scaled(seen, how.shared)
panels = [Panel(name, graph, *ranges[name]) for name, graph in seen.items()]
if how.after is not None:
    rest = how.before[0] if len(how.before) == 1 else "mean of modalities"
    panels.append(difference(f"{how.after} − {rest}", how.after, how.before, seen))
marked = scores[first:stop] >= chosen.threshold if how.mark == "alarms" or labels is None else labels[first:stop]
places = store.graphs.places(chosen.run, chosen.dataset, clip.name, index, how.layout)


def slid() -> None:
    selection.put(alpha=float(st.session_state["relations"]["alpha"]))


def clicked() -> None:
    pick = st.session_state["relations"]["pick"] or ""
    ends = [first + int(end) for end in pick[1:].split("-")] if pick else []
    selection.put(time=ends[0] * clip.seconds if ends else None)
    st.session_state["other"] = ends[1] if len(ends) == 2 else None


unit = chosen.unit(clip)
with head:
    other = details.pick_other(first, stop, unit)
pair = (unit, other) if unit is not None and other is not None else None
picked = "" if unit is None else f"n{unit - first}"
if pair:
    picked = f"e{min(pair) - first}-{max(pair) - first}"
relation_graphs(
    panels,
    key="relations",
    clip=f"{chosen.dataset}/{clip.name}/{index}/{how.layout}",
    places=places,
    anomalous=marked,
    scores=scores[first:stop],
    names=tables.unit_names(first, clip.seconds, scores[first:stop], None if labels is None else labels[first:stop]),
    alpha=chosen.alpha,
    pick=picked,
    per_node=how.per_node,
    first=first,
    word="by rank: " if by_rank else "",
    on_alpha=slid,
    on_pick=clicked,
)
if by_rank:
    st.caption(
        f"Drawn **by rank**: α = {chosen.alpha:.2f} keeps the strongest {1 - chosen.alpha:.0%} of every graph "
        "and what equals them. "
        + (
            f"By value the trained α = {trained_alpha:.2f} would keep nearly all or nearly none of some graph. "
            if flat
            else ""
        )
        + "The numbers below take strengths as computed; **Display › Strengths drawn › value** draws these."
    )
if model.window is None:
    st.info(
        "This fusion combines features, not graphs, so there is no fused graph and no operator. Shown instead: the "
        "cosine relations of each modality's own features, before any fusion."
    )
else:
    controls.metrics(chosen, changes)
retrain.offer(chosen, changes)

left, right = st.columns(2, gap="medium")
with right:
    details.unit_table(chosen, clip, seen, first, stop, scores)
with left:
    if pair:
        details.connection(chosen, clip, graphs, pair, first, index, changes)
    elif unit is not None:
        details.unit(chosen, clip, graphs, unit, first, scores, changes)
    else:
        st.caption(
            "Click a unit in a graph, a bar below it, or a row of the table: its frames and neighbours come here."
        )
with left if unit is None else st.container():
    before = {name: tables.weighted(graphs[name], chosen.alpha) for name in modalities}
    after = tables.weighted(graphs[fused], chosen.alpha) if fused else None
    st.plotly_chart(
        degree_change(before, after, first, marked, chosen.colours),
        key="degrees",
        theme=None,
        config=plotly_config(f"degrees of {clip.name}", chosen.picture),
        alt=tables.degree_sentence(before, after, marked),
    )
    st.caption(
        f"Weighted degree of every unit, as in eq. 7: the sum of its relations of at least α = {chosen.alpha:.2f}, "
        "itself included. Bars after fusion, lines before; hatched purple bars and diamonds are anomalous units."
    )

files, matrices = st.tabs(["Save", "As matrices"], key="below", on_change="rerun", bind="query-params")
with matrices:
    if matrices.open:
        change = panels[-1].graph if panels[-1].difference else None
        low, high = min(a for a, _ in ranges.values()), max(b for _, b in ranges.values())
        st.plotly_chart(
            relation_matrices(seen, first, marked, chosen.colours, change, low, high),
            key="matrices",
            theme=None,
            config=plotly_config(f"matrices of {clip.name}", chosen.picture),
            alt=f"strengths between units {first} to {stop - 1} in {', '.join(map(shown, graphs))}, one matrix each",
        )
        st.caption("Every pair of units as a cell; diamonds at the edge mark anomalous units. Zooming one zooms all.")
with files:
    if files.open:
        controls.save(chosen, clip, panels, places, marked, scores[first:stop], first, how.per_node)

"""What a fusion calls shared and what it calls a modality's own: a map of both, and what each part knows."""

import streamlit as st

from app import store
from app.state import selection
from app.views.splits import figures as figures
from app.views.splits import parts
from app.widgets import show
from core.explain.split import splits as has_parts

chosen = selection.current()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or model is None or not has_parts(model):
    parts.wrong_fusion(chosen)
    st.stop()
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("split parts", chosen.run, chosen.dataset)

with st.container(horizontal=True, vertical_alignment="bottom"):
    kinds, colour, how = parts.pick_view(part)
cloud = store.methods.computed("split cloud", chosen.run, chosen.dataset, kinds)
left, right = st.columns([3, 2], gap="medium")
with left:
    places, made_by = parts.places_of(chosen, cloud, kinds, how)
    scores = figures.row_scores(store.models.outputs(chosen.run, chosen.dataset), part)
    show.figure(
        figures.parts_map(places, cloud, part, colour, scores, row, made_by, chosen.colours),
        f"Every {'part' if kinds == 'both' else f'{kinds} part'} of every modality; the symbol says whose it is, open "
        "ones are specific. Click a point to choose its row; all its parts wear orange. "
        f"{len(figures.drawn_points(cloud)):,} of {cloud.of:,} rows are drawn.",
        f"{made_by} of {len(cloud.row)} parts of {len(cloud.modalities)} modalities, coloured by {colour}; "
        f"the chosen row is number {row}",
        "split-map",
        chosen.colours,
        chosen.picture,
        name=f"{made_by} of {chosen.run}",
        on_select=lambda: parts.clicked(chosen, cloud),
        selection_mode="points",
    )
with right:
    parts.chosen_row(chosen, part, row)
    parts.near(chosen, part, found, row)

tabs = {
    "What the parts know": lambda: parts.probes(chosen),
    "Loss and mass": lambda: parts.masses(chosen, found, row),
    "Missing modalities": lambda: parts.missing(chosen, model),
    "Across modalities": lambda: parts.across(chosen),
    "Boundary": lambda: parts.boundaries(chosen),
}
opened = st.tabs(list(tabs), key="below_splits", on_change="rerun", bind="query-params")
for tab, draw in zip(opened, tabs.values(), strict=True):
    with tab:
        if tab.open:
            draw()

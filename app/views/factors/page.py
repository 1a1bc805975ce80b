"""What each rank and each interaction of modalities adds to an answer, and what becomes of it without them."""

from functools import partial

import numpy as np
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.views.factors import figures, parts
from app.widgets import show
from core.explain.lowrank import has_factors, kept, of_set, switched
from core.fusion.jwae import Jwae

chosen = selection.current()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or model is None or not (has_factors(model) or isinstance(model, Jwae)):
    parts.wrong_fusion(chosen, model)
    st.stop()
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
if not has_factors(model) and isinstance(model, Jwae):
    st.info("*jwae* reads its latents side by side, so it has no ranks; *jwae-lmf* has. Its latents can be seen:")
    parts.latents(chosen, model, part, row)
    st.stop()

found = store.methods.computed("factors", chosen.run, chosen.dataset)
own = store.methods.computed("row parts", chosen.run, chosen.dataset, row)
off = parts.switches(found)
on = kept(found, off.ranks, off.interactions, off.cells)
everything = switched(found, off.ranks, off.interactions, off.cells)
after = own.base + own.parts[on].sum(0)
answer = int(np.argmax(own.output)) if part.task.kind == "class" else 0
with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
    output = parts.pick_output(part, answer)
    parts.numbers(found, row, output, everything, own, after, part)

unit = "logit" if part.task.kind != "real" else "own units"
draw = partial(show.figure, colours=None, picture=chosen.picture, selection_mode="points")  # they wear them
wide = len(found.names) > 1
left, between = st.container(), st.container(horizontal=True, vertical_alignment="bottom")
right = st.container()
if not wide:
    left, right = st.columns(2, gap="medium")
with between:
    size, kind = parts.pick_average(part)
with left:
    st.header("This row", anchor=False)
    draw(
        figures.part_map(own.parts, own.interactions, own.names, on, chosen.colours, unit),
        f"{markdown_text(part.names[row])}: what each rank (counted from 1) makes of each interaction. Red raises the "
        "output, blue lowers it. Click a cell to switch that part off or on.",
        figures.map_sentence(own.parts, own.interactions, own.names),
        key="row-map",
        table=figures.part_table(own.parts, own.interactions, own.names),
        on_select=lambda: parts.clicked("row-map", off),
    )
with right:
    st.header("All rows", anchor=False)
    average = of_set(found, kind)
    values = average.size if size else average.mean
    draw(
        figures.part_map(values, own.interactions, own.names, on, chosen.colours, unit, signed=not size),
        f"{'Mean size' if size else 'Mean'} of the same parts over {average.rows:,} rows.",
        figures.map_sentence(values, own.interactions, own.names),
        key="set-map",
        table=figures.part_table(values, own.interactions, own.names),
        on_select=lambda: parts.clicked("set-map", off),
    )

st.header("The parts add up", anchor=False)
told, seen = st.columns([4, 1], gap="medium")
with told:
    show.figure(
        figures.sums(
            np.where(on, own.parts[..., output], 0.0), own.interactions, float(own.base[output]), float(after[output]),
            chosen.colours, unit,
        ),
        f"*{markdown_text(part.task.names[output], 30)}* of this row, twice: base (what does not depend on the ranks) "
        f"and the sums over ranks, base and the sums over interactions. As trained the gap is {own.gap:.0e}.",
        f"base {own.base[output]:+.4f} and parts {own.parts[on][:, output].sum():+.4f} make {after[output]:+.4f}",
        "sums",
        None,
        chosen.picture,
        figures.sum_table(own.parts[..., output], own.interactions, on, float(own.base[output])),
    )  # fmt: skip
with seen:
    parts.what_row(chosen, part, row)

tabs = ["Do ranks mean something?", "Beside other methods", "Rank and quality"]
tabs += ["Latents"] * isinstance(model, Jwae)
opened = dict(zip(tabs, st.tabs(tabs, key="below_factors", on_change="rerun", bind="query-params"), strict=True))
for name, tab in opened.items():
    with tab:
        if tab.open:
            if name == "Latents" and isinstance(model, Jwae):
                parts.latents(chosen, model, part, row)
            elif name == "Rank and quality":
                parts.curve(chosen)
            elif name == "Beside other methods":
                parts.beside(chosen, part, row, output)
            else:
                parts.test_of_ranks(chosen)

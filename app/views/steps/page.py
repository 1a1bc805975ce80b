"""What a ProFusion model knows after each of its steps, what the steps change, and what they cost."""

import numpy as np
import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state import selection
from app.views.steps import figures as figures
from app.views.steps import parts
from app.widgets import show
from core.explain.progressive import turns
from core.fusion.profusion import ProFusion

chosen = selection.current()
model = store.models.model(chosen.run) if chosen.run else None
if chosen.run is None or not isinstance(model, ProFusion) or model.config.steps < 2:
    parts.wrong_fusion(chosen)
    st.stop()
part, row = store.data.part(chosen.dataset), store.data.row(chosen)
found = store.methods.computed("step answers", chosen.run, chosen.dataset)

with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
    now, relative = parts.pick(model.config.steps)
parts.cards(found, turns(found, 1, now, chosen.threshold), now)

left, right = st.columns([3, 2], gap="medium")
with left:
    st.header("What each modality knows")
    parts.probes(chosen, relative, found.trained, now)
with right:
    st.header("What the model answers")
    show.figure(
        figures.answer_line(found, now, chosen.colours),
        "The model stopped after each step, with the 95 % interval. It was trained to answer at the dotted line; "
        "elsewhere it was never asked."
        + (
            " Where the line ends, the model diverges." if np.isnan(found.value[-1]) and part.target is not None else ""
        ),
        "; ".join(f"R = {step}: {value:.3g}" for step, value in enumerate(found.value, start=1)),
        "step-answers",
        chosen.colours,
        chosen.picture,
        {
            "R": list(range(1, len(found.value) + 1)),
            found.metric: found.value.round(4),
            "low": found.low.round(4),
            "high": found.high.round(4),
        },
        name=f"answers of {chosen.run}",
    )

left, right = st.columns([3, 2], gap="medium")
with left:
    st.header("Where the context goes")
    paths = store.methods.computed("step paths", chosen.run, chosen.dataset)
    show.figure(
        figures.path_map(paths, part, row, now, chosen.colours),
        f"The context of every row after step {now}, and the chosen row's way there, on the two directions in which "
        f"the contexts of the first {paths.fitted} steps differ most. Click a point to choose its row; "
        "the frame holds nine rows of ten, a double click shows all.",
        f"contexts of {len(part):,} rows after step {now}; the chosen row is number {row}"
        + "".join(f"; step {t + 1} moves a context by {paths.length[t]:.3g} on average" for t in range(1, now)),
        "step-paths",
        chosen.colours,
        chosen.picture,
        name=f"contexts of {chosen.run}",
        on_select=parts.clicked,
        selection_mode="points",
    )
with right:
    st.header("The chosen row")
    truth = "" if part.target is None or not part.classes else f" · {part.classes[int(part.target[row])]}"
    st.markdown(f"**{markdown_text(part.names[row] + truth, 120)}**")
    st.dataframe(
        figures.row_table(found, part, row, chosen.threshold),
        hide_index=True,
        alt=f"what the model says of the chosen row after each of {len(found.value)} steps",
    )

tabs = {
    "Rows whose decision changed": lambda: parts.changed_rows(chosen, found, part, now),
    "Step by step": lambda: parts.flow(chosen, found),
    "What R costs": lambda: parts.cost(chosen),
}
for tab, draw in zip(
    st.tabs(list(tabs), key="below_steps", on_change="rerun", bind="query-params"), tabs.values(), strict=True
):
    with tab:
        if tab.open:
            draw()

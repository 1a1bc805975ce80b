"""What is loaded, how good each model is, and where to start."""

import streamlit as st

from app import store
from app.figures import scores as figures
from app.figures.style import markdown_text
from app.state import selection
from app.widgets import show, waiting
from app.widgets.samples import method_links
from core.machine.names import shown

chosen = selection.current()
data, samples, own = (
    store.data.data(chosen.dataset),
    store.data.samples(chosen.dataset),
    store.runs.own_runs_of(chosen.dataset),
)

with st.container(horizontal=True, vertical_alignment="center"):
    st.header(markdown_text(data.name), width="content", anchor=False)
    if data.simulated:
        st.badge("simulated", icon=":material/animation:", color="violet")
    st.badge(store.server.device(), icon=":material/memory:", color="gray")
with st.container(horizontal=True):
    for label, value in store.data.facts(chosen.dataset).items():
        st.metric(label, value, width="content")

left, right = st.columns([5, 3], gap="medium")
with left:
    st.header("How good is each model?", anchor=False)
    if own:
        groups = {run.group: shown(run.title, 60) for run in own.values()}
        baseline = st.selectbox(
            "Baseline", list(groups), key="baseline", bind="query-params", format_func=lambda group: groups[group]
        )
        mine = own[chosen.run].group if chosen.run in own else None
        table, drawn = store.runs.methods(chosen.dataset, baseline, mine, chosen.colours.name)
        name = str(table.columns[3])
        show.figure(
            drawn,
            says=(
                f"Of {len(table)} methods the best, the chosen one and the last are drawn. "
                if len(table) > figures.BARS
                else ""
            )
            + f"The {name} on the test part: mean over seeds, whiskers one standard deviation, last epoch; "
            "green is the chosen run's method" + (", 50 is guessing." if name == "unit AUC" else "."),
            alt=f"{name}: " + ", ".join(f"{m} {a:.3g}" for m, a in zip(table["method"], table[name], strict=True)),
            key="methods",
            colours=None,
            picture=chosen.picture,
            table=table.drop(columns="group"),
        )
    else:
        st.info(
            "No run was trained on this dataset yet: `python -m core table` trains every method over several seeds."
        )
with right:
    st.header("Where to start", anchor=False)
    if samples is None:
        for view, words in (
            ("clips", "The highest alarms in their videos"),
            ("graphs", "What fusion did to the relations"),
            ("thresholds", "Where to put the alarm"),
            ("operator", "What the operator A learned"),
        ):
            st.page_link(f"views/{view}/page.py", label=words, icon=":material/arrow_forward:")
    else:
        st.page_link("views/clips/page.py", label="Every sample and its answer", icon=":material/arrow_forward:")
    method_links(None)
    st.page_link("views/library/page.py", label="Bring your own data", icon=":material/arrow_forward:")
    st.dataframe(figures.dataset_table(data), hide_index=True, alt="modalities, their widths and what made them")
    with st.expander("Licence and notes", icon=":material/info:"):
        st.text(shown(data.licence or "no licence named", 400))
        for note in data.notes:
            st.text(shown(note, 400))

if chosen.run is not None and samples is None:
    st.header("The highest scores", anchor=False)
    if not waiting.ready(chosen.dataset, chosen.run):
        st.stop()
    top = store.models.moments(chosen.run, chosen.dataset)
    for row in (top[:5], top[5:]):
        for column, moment in zip(st.columns(5), row, strict=False):
            picture = store.pictures.thumbnail(chosen.dataset, moment.clip, moment.unit)
            seconds = moment.unit * store.data.clip(chosen.dataset, moment.clip).seconds
            said = f"{shown(moment.clip, 40)}, {seconds:.1f} s, score {moment.score:.3f}"
            if picture is not None:
                column.image(picture, width="stretch", alt=said)
            link = {"clip": moment.clip, "time": round(seconds, 2)}
            if column.button(
                markdown_text(said),
                key=f"top-{moment.clip}-{moment.unit}",
                on_click=selection.put,
                kwargs=link,
                type="tertiary",
            ):
                selection.open_page("clips", **link)

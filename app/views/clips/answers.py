"""What stands on the page of clips when the dataset holds samples: every answer, the chosen sample, and how well."""

import numpy as np
import streamlit as st
from scipy.special import softmax

from app import store
from app.figures.facts import largest_class
from app.figures.style import markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.clips import figures
from app.widgets import show
from app.widgets.samples import pictures
from core.machine.names import shown
from core.measure.metrics import ClassMetrics, RealMetrics
from core.sample import Samples


def page(chosen: Selection, data: Samples) -> None:
    """Every sample of the test part with the model's answer; then a confusion matrix, or a scatter of a target."""
    if chosen.run is None:
        st.info("No trained run fits this sample set. Train one: `python -m core train DATASET --fusion lmf`.")
        return
    part, outputs = store.data.part(chosen.dataset), store.models.outputs(chosen.run, chosen.dataset)
    row = store.data.row(chosen)
    judged = store.models.metrics(chosen.run, chosen.dataset)
    table = figures.answer_table(part, outputs)
    judgeable = part.task.kind == "class" and part.target is not None
    if judgeable and st.toggle("Only samples that are named wrongly", key="wrong", bind="query-params"):
        table = table[~table["right"]]
    left, right = st.columns([5, 4], gap="medium")
    with right:
        _chosen_sample(chosen, data, row)
    with left:
        bar = st.column_config.ProgressColumn(format="%.3f", min_value=0, max_value=1, width=110)
        show.table(
            table,
            f"the model's answer for {len(table)} samples",
            {"probability": bar, "of its class": "%.3f"},
            lambda at: selection.put(sample=int(table["sample"].iloc[at])),
            "sample-table",
            height=420,
        )
        st.caption("Every sample of the test part; click a column to sort, select a row to look at the sample.")
    if isinstance(judged, ClassMetrics):
        _classes(chosen, judged, outputs)
    elif isinstance(judged, RealMetrics):
        _targets(chosen, judged, outputs, row)


def _chosen_sample(chosen: Selection, data: Samples, row: int) -> None:
    part, outputs = store.data.part(chosen.dataset), store.models.outputs(chosen.trained, chosen.dataset)
    st.markdown(f"**{markdown_text(part.names[row])}** (number {row} of {len(part):,})")
    pictures(data, chosen, row)
    if part.task.kind == "class":
        true = None if part.target is None else int(part.target[row])
        chance = softmax(outputs[row : row + 1], axis=1)[0]
        drawn = figures.class_bars(chance, part.task.names, true, chosen.colours)
        best = shown(part.task.names[int(chance.argmax())], 30)
        show.figure(
            drawn,
            "Probability of each class for this sample; the diamond marks its true class.",
            f"the model names {best} with probability {chance.max():.3f}",
            "class-bars",
            table={"class": [shown(name, 40) for name in part.task.names], "probability": chance},
        )


def _classes(chosen: Selection, judged: ClassMetrics, outputs: np.ndarray) -> None:
    part = store.data.part(chosen.dataset)
    assert part.target is not None
    st.header("How well?", anchor=False)
    with st.container(horizontal=True):
        numbers = {
            "Accuracy": judged.accuracy,
            "Largest class alone": 100 * largest_class(part),
            "Macro F1": judged.macro_f1,
        }
        show.numbers({name: f"{value:.1f} %" for name, value in numbers.items()})
    left, right = st.columns([5, 4], gap="medium")
    with left:
        show.figure(
            figures.confusion_matrix(part.target.numpy(), outputs.argmax(1), part.task.names, chosen.colours),
            "Samples of each class (rows) by the class the model names (columns); darker is a larger share of the row.",
            f"accuracy {judged.accuracy:.1f} percent over {judged.samples} samples",
            "confusion-matrix",
        )
    with right:
        recall = figures.target_table({"recall (%)": dict(judged.recall)})
        show.table(recall, "recall of each class", {"recall (%)": "%.1f"})


def _targets(chosen: Selection, judged: RealMetrics, outputs: np.ndarray, row: int) -> None:
    part = store.data.part(chosen.dataset)
    assert part.target is not None
    st.header("How well?", anchor=False)
    left, right = st.columns([5, 4], gap="medium")
    with right:
        with st.container(horizontal=True):
            st.metric("Mean absolute error", f"{judged.mae:.3g}", width="content")
            st.metric("Correlation", f"{judged.correlation:.3f}", width="content", help=judged.why or None)
        per = {"mean absolute error": dict(judged.mae_of), "correlation": dict(judged.correlation_of)}
        show.table(figures.target_table(per), "error and correlation of each target")
    with left:
        names = list(part.task.names)
        about = st.selectbox(
            "Target", range(len(names)), format_func=lambda place: shown(names[place], 60), key="target",
            bind="query-params",
        )  # fmt: skip
        about = about or 0
        show.figure(
            figures.target_scatter(part.target.numpy()[:, about], outputs[:, about], names[about], row, chosen.colours),
            "The model's value against the target, a point a sample; the chosen sample is ringed, the dotted line is "
            "where both are equal.",
            f"correlation {list(judged.correlation_of.values())[about]:.3f} over {judged.samples} samples",
            "target-scatter",
            table={"target": part.target.numpy()[:, about], "model": outputs[:, about]},
        )

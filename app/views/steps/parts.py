"""The controls of the steps page and what its lower half shows."""

import numpy as np
import streamlit as st

from app import store
from app.figures.marks import class_of
from app.figures.style import markdown_text
from app.figures.words import moved, told
from app.state.selection import Selection
from app.views.steps import figures
from app.widgets import rows, show
from core.explain.progressive import MOST, Answers, Turns, turns
from core.sample import METRIC_WORDS, Part


def pick(trained: int) -> tuple[int, bool]:
    """(R at inference, whether the probes are drawn relative to step 1); the link holds both."""
    steps = st.slider(
        "R, steps at inference",
        1,
        MOST,
        trained,
        key="steps",
        bind="query-params",
        help="The weights are shared by all steps, so the trained model can run for any number of them.",
    )
    how = st.segmented_control(
        "Probes", ["absolute", "relative to step 1"], default="absolute", required=True, key="probes",
        bind="query-params",
    )  # fmt: skip
    return int(steps), how != "absolute"


def cards(found: Answers, turn: Turns, now: int) -> None:
    """The metric at R, at the trained R and at one step, and what the steps after the first changed."""
    metric, name = found.metric, METRIC_WORDS[found.metric]
    value, trained, first = (float(found.value[at - 1]) for at in (now, found.trained, 1))
    with st.container(horizontal=True):
        by = None if now == found.trained or np.isnan(value) else f"{moved(value - trained, metric)} to the trained R"
        st.metric(f"{name}, R = {now}", told(value, metric, "none"), by, border=True)
        st.metric(f"{name}, one step", told(first, metric, "none"), border=True)
        noun = "Answers moved" if found.task.kind == "real" else "Decisions changed"
        st.metric(f"{noun}, step 1 to {now}", f"{len(turn.rows):,} of {found.scores.shape[1]:,}", border=True)
        if turn.helped is not None and turn.hurt is not None:
            st.metric("for the better", f"{int(turn.helped.sum()):,}", border=True)
            st.metric("for the worse", f"{int(turn.hurt.sum()):,}", border=True)


def probes(chosen: Selection, relative: bool, trained: int, now: int) -> None:
    """The figure of appendix G with its control; a sentence where no probe can be fitted."""
    try:
        found = store.methods.computed("step probes", chosen.trained, chosen.dataset)
    except ValueError as error:
        st.info(f"No probe here: {markdown_text(error, 300)}.")
        return
    unbalanced = (
        f" Naming always the commoner class would be right for {found.majority:.1f} % of the rows."
        if found.metric == "auc"
        else ""
    )
    show.figure(
        figures.probe_lines(found, relative, trained, now, chosen.colours),
        f"A linear probe on what each modality's encoder gives, fitted on {found.train:,} training rows, read on "
        f"{found.test:,}. Dashed, the control: the same probe with the context of another row. What stands above the "
        "control is what the context knows of this row; a control below step 1 says that a foreign context drowns the "
        f"modality's own input.{unbalanced}",
        figures.probe_sentence(found, now),
        "step-probes",
        table=figures.probe_table(found),
        name=f"probes of {chosen.run}",
    )


def answers(chosen: Selection, found: Answers, part: Part, now: int) -> None:
    """The model's own metric, stopped after each step."""
    diverged = np.isnan(found.value[-1]) and part.target is not None
    show.figure(
        figures.answer_line(found, now, chosen.colours),
        "The model stopped after each step, with the 95 % interval. It was trained to answer at the dotted line; "
        f"elsewhere it was never asked.{' Where the line ends, the model diverges.' if diverged else ''}",
        "; ".join(f"R = {step}: {value:.3g}" for step, value in enumerate(found.value, start=1)),
        "step-answers",
        table=figures.answer_table(found),
        name=f"answers of {chosen.run}",
    )


def contexts(chosen: Selection, part: Part, row: int, now: int) -> None:
    """Where the context of every row goes; a click on a point chooses its row."""
    paths = store.methods.computed("step paths", chosen.trained, chosen.dataset)
    show.figure(
        figures.path_map(paths, part, row, now, chosen.colours),
        f"The context of every row after step {now}, and the chosen row's way there, on the two directions in which "
        f"the contexts of the first {paths.fitted} steps differ most. Click a point to choose its row; "
        "the frame holds nine rows of ten, a double click shows all.",
        f"contexts of {len(part):,} rows after step {now}; the chosen row is number {row}"
        + "".join(f"; step {t + 1} moves a context by {paths.length[t]:.3g} on average" for t in range(1, now)),
        "step-paths",
        name=f"contexts of {chosen.run}",
        pointed=rows.pointed(chosen.dataset),
    )


def this_row(chosen: Selection, found: Answers, part: Part, row: int) -> None:
    """What the model says of the chosen row after each step."""
    known = class_of(part, row)
    st.markdown(f"**{markdown_text(part.names[row] + (f' · {known}' if known else ''), 120)}**")
    said = f"what the model says of the chosen row after each of {len(found.value)} steps"
    show.table(figures.row_table(found, part, row, chosen.threshold), said)


def changed_rows(chosen: Selection, found: Answers, part: Part, now: int) -> None:
    """Rows that the steps after the first decide otherwise; a click on one makes it the chosen row."""
    if now == 1:
        st.info("One step changes nothing. Move R to 2 or more.")
        return
    turn = turns(found, 1, now, chosen.threshold)
    if not len(turn.rows):
        st.info(f"All {len(part):,} rows are decided alike after step 1 and after step {now}.")
        return

    show.table(
        figures.turn_table(found, turn, part, 1, now),
        f"{len(turn.rows)} rows that step {now} decides otherwise than step 1, the largest change of score first",
        picked=rows.picked(chosen.dataset, turn.rows),
        key="changed-rows",
        height=min(400, 36 * (len(turn.rows) + 1) + 3),
    )
    st.caption("The largest change of score first. A row that is chosen here is the chosen one on every page.")


def flow(chosen: Selection, found: Answers) -> None:
    """From every step to the next: how many rows it put right and how many it spoiled."""
    turned = [(step, turns(found, step - 1, step, chosen.threshold)) for step in range(2, MOST + 1)]
    known = [
        (step, int(turn.helped.sum()), int(turn.hurt.sum()))
        for step, turn in turned
        if turn.helped is not None and turn.hurt is not None
    ]
    if not known:
        st.info("These rows have no truth to judge by.")
        return
    show.figure(
        figures.flow_bars(known, chosen.colours),
        "Rows that a step decides otherwise than the step before it: put right above 0, spoiled below."
        if found.task.kind != "real"
        else "Rows whose error a step moved by over a tenth of the target's spread: smaller above 0, larger below.",
        "; ".join(f"step {step}: {helped} better, {hurt} worse" for step, helped, hurt in known),
        "step-flow",
        table=figures.flow_table(known),
        name=f"changes of {chosen.run}",
    )


def cost(chosen: Selection) -> None:
    """B.2: what R steps cost on this machine."""
    found = store.methods.computed("step cost", chosen.trained, chosen.dataset)
    times = figures.over_first(found.flops)
    show.figure(
        figures.cost_lines(found, chosen.colours),
        f"Processor time over {found.rows:,} rows on this machine, the median of seven turns, and matrix products "
        "counted. A step after the first adds the back-projections; a projection in front is paid once.",
        "; ".join(f"R = {step}: {times[i]:.2f} times the FLOPs of one step" for i, step in enumerate(found.steps)),
        "step-cost",
        table=figures.cost_table(found),
        name=f"cost of {chosen.run}",
    )

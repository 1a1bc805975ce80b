"""The controls of the compare page, its two figures, and what its tabs show but for the rows that two disagree on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.style import file_name, markdown_text
from app.figures.words import moved, told
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.compare import figures
from app.widgets import show
from core import compare
from core.compare import Group, Line
from core.machine.names import shown, told_apart
from core.measure import redraw

MOST = 12  # groups at once


def pick(chosen: Selection) -> tuple[tuple[str, ...], str | None]:
    """(ids of the groups, the baseline's id); the link holds both. No baseline where there is one group."""
    every, values = store.compare.groups(chosen.dataset)
    titles = unique(every)
    mine = store.runs.run(chosen.run).group if chosen.run else None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        ids = st.multiselect(
            "Runs, every seed of each", list(every), default=compare.suggested(every, values, mine),
            format_func=lambda id_: titles.get(id_, id_), max_selections=MOST, wrap=True, key="groups",
            bind="query-params", help=f"At most {MOST}. All seeds of one configuration are compared together.",
        )  # fmt: skip
        baseline = None
        if ids:
            baseline = st.selectbox(
                "Baseline", ids, index=min(1, len(ids) - 1), format_func=lambda id_: titles.get(id_, id_),
                key="against-group", bind="query-params", width=280,
                help="What the others are tested against, on the same clips or samples.",
            )  # fmt: skip
    return tuple(ids), baseline if len(ids) > 1 else None


def unique(every: dict[str, Group]) -> dict[str, str]:
    """Group id -> what people read, no two alike however long or odd their names are."""
    return told_apart({id_: shown(group.title, 100) for id_, group in every.items()})


def said(line: Line, limit: int = 60) -> str:
    """A group's title inside an alternative text."""
    return shown(line.group.title, limit)


def remarks(lines: Sequence[Line]) -> None:
    """Which groups were trained on other data, and why some numbers are undefined."""
    if foreign := [line.group.title for line in lines if not line.group.own]:
        st.caption(f"Trained on other data: {markdown_text(', '.join(foreign), 300)}.")
    if why := next((line.why for line in lines if line.why), ""):
        st.info(f"Some numbers are undefined: {markdown_text(why, 300)}.")


def quality(lines: Sequence[Line], baseline: str | None, what: str, chosen: Selection) -> None:
    """Every group's number with its intervals, one metric at a time."""
    names = figures.metric_names(lines)
    if not names:
        st.info(f"No number is defined here: {markdown_text(lines[0].why or 'nobody labelled these rows', 300)}.")
        return
    picked = st.segmented_control(
        "Number", list(names.values()), default=next(iter(names.values())), required=True, key="number",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    metric = next((m for m, words in names.items() if words == picked), next(iter(names)))

    def numbers(line: Line) -> str:
        each = line.metrics[metric]
        mean, low, high = (told(v, metric, "nan") for v in (each.mean, each.clips_low, each.clips_high))
        return f"{said(line)} {mean}, over {what} {low} to {high}"

    show.figure(
        figures.interval_rows(lines, metric, baseline, what, chosen.colours),
        f"Mean over seeds. Thick: 95 % interval over seeds (another training on these {what}). Thin: over {what} "
        f"(these models on other {what}). Square and dotted line: the baseline.",
        f"{names[metric]}: " + "; ".join(map(numbers, lines)),
        "compare-quality",
        table=figures.interval_table(lines),
        name="runs side by side",
    )


def deltas(lines: Sequence[Line], baseline: str | None, what: str, chosen: Selection) -> None:
    """Differences to the baseline, printed and coloured, and the test."""
    if baseline is None:
        st.info("One configuration alone has nothing to be compared with. Choose a second one above.")
        return
    if not figures.metric_names(lines):
        st.info("Without truth no difference can be judged; where two runs disagree can be seen below.")
        return
    base = next(line for line in lines if line.group.id == baseline)
    tested = [(line, line.difference) for line in lines if line.difference is not None]
    show.figure(
        figures.delta_map(lines, chosen.colours),
        f"Difference to {markdown_text(base.group.title, 60)} with its 95 % interval, over the same {what} and "
        "the same seeds. Red is better than the baseline, blue is worse.",
        "; ".join(f"{said(line)} {moved(d.delta, d.metric)}, {d.verdict}" for line, d in tested),
        "compare-deltas",
        table=figures.delta_table(lines),
        name="differences to the baseline",
    )


def verdicts(chosen: Selection, lines: Sequence[Line], what: str) -> None:
    """The test behind the differences, in numbers and as wide as the page; nothing where none was made."""
    tested = [(line, line.difference) for line in lines if line.difference is not None]
    if not tested or not figures.metric_names(lines):
        return
    holm = f"Corrected for {len(tested)} comparisons; the verdict is by this one."
    holm = f"Corrected for {len(tested)} comparisons; the verdict is by this one."
    show.table(
        figures.verdict_table(lines, what),
        "; ".join(f"{said(line)}: {d.verdict}" for line, d in tested),
        {"p": "%.4f", "p (Holm)": st.column_config.NumberColumn(format="%.4f", help=holm)},
    )
    many = what == "clips" and redraw.linear(len(store.data.clips(chosen.dataset)))
    st.caption(
        f"A paired test of the {figures.first_name(lines)}: the {what} are drawn again together for both sides"
        f"{' (linear in the draws)' if many else ''}, and the seeds' own spread enters by Student's t."
    )


# ---------------------------------------------------------------------------- tabs


def parts(chosen: Selection, lines: Sequence[Line]) -> None:
    """AUC of each kind of anomaly, recall of each class, correlation of each target."""
    found = [store.compare.in_parts(line.group, chosen.dataset) for line in lines]
    columns = list(dict.fromkeys(name for each in found for name in each))
    if not columns:
        st.info("Nobody named anomalies here, so there are no kinds to tell apart.")
        return
    words = {
        "auc": "AUC in percent of each kind's units against every normal unit",
        "accuracy": "Recall of each class in percent",
        "correlation": "Correlation of each target",
    }[figures.first_of(lines)]
    _map(chosen, lines, columns, found, f"{words}, mean over seeds; darker is higher.", "compare-parts")


def missing(chosen: Selection, lines: Sequence[Line]) -> None:
    """What is left when modalities are missing."""
    found = [store.compare.missing(line.group, chosen.dataset) for line in lines]
    columns = list(dict.fromkeys(name for each in found for name in each))
    if not columns:
        st.info("These runs read a single modality, so none can be left out.")
        return
    first = figures.first_of(lines)
    every = [{"all there": line.metrics[first].mean, **each} for line, each in zip(lines, found, strict=True)]
    says = (
        f"The {figures.first_name(lines)} when modalities are missing, mean over seeds; a dash where a run does not "
        "read it. Of two modalities, one is missing when the other is alone."
    )
    _map(chosen, lines, ["all there", *columns], every, says, "compare-missing")


def _map(
    chosen: Selection, lines: Sequence[Line], columns: list[str], found: list[dict[str, float]], says: str, key: str
) -> None:
    values = np.array([[each.get(column, np.nan) for column in columns] for each in found], dtype=float)
    places = compare.digits(figures.first_of(lines))
    table = pd.DataFrame(values.round(4), columns=[shown(column, 60) for column in columns])
    table.insert(0, "method", [said(line, 80) for line in lines])

    def numbers(line: Line, row: np.ndarray) -> str:
        known = [(column, v) for column, v in zip(columns, row, strict=True) if not np.isnan(v)]
        return f"{said(line, 40)}: " + ", ".join(f"{shown(column, 24)} {v:.{places}f}" for column, v in known)

    show.figure(
        figures.number_map([line.group.title for line in lines], columns, values, places, chosen.colours),
        says,
        "; ".join(map(numbers, lines, values))[:1500],
        key,
        table=table,
    )


def cost(chosen: Selection, lines: Sequence[Line], baseline: str | None) -> None:
    """Weights, FLOPs, recorded training time; time and memory of a scoring here, on demand."""
    measure = st.toggle(
        "Measure time and memory on this machine",
        key="measure-cost",
        help="Scores the test part six times a run, then once in a process of its own; some seconds.",
    )
    full = with_cost(chosen, lines, measure)
    flops = "Of one unit or sample, 2 for a multiplication and its addition"
    show.table(
        figures.cost_table(full, measure),
        "; ".join(f"{said(line)} {line.group.weights:,} weights" for line in full),
        {"weights": "localized", "FLOPs": st.column_config.NumberColumn(format="localized", help=flops)}
        | {"scoring (ms)": "%.1f", "peak (MB)": "%.1f"},
    )
    rows = len(store.data.part(chosen.dataset)) if store.data.samples(chosen.dataset) is not None else 0
    unit = f"{rows:,} samples" if rows else f"{len(store.data.clips(chosen.dataset)):,} clips"
    scored = (
        f"Scoring: processor time of one thread for the {unit} of the test part, median of 5 turns, first seed. "
        "Peak: what scoring them adds at most to a process of its own (the kernel's account). "
    )
    trained = "Training: mean over seeds as the runs recorded it, maybe on another machine."
    st.caption(f"{scored if measure else ''}{trained}")
    first = figures.first_of(lines)
    if np.isnan([line.metrics[first].mean for line in lines]).all():
        return
    axis = "scoring the test part (ms)" if measure else "FLOPs of one unit or sample"
    prices = [line.ms if measure else line.flops for line in full]
    told = [(line, price) for line, price in zip(full, prices, strict=True) if price]
    show.figure(
        figures.cost_points(full, prices, axis, first, baseline, chosen.colours),
        f"Quality against {axis}; whiskers: 95 % over the test part. Further left is cheaper.",
        "; ".join(f"{said(line)} {line.metrics[first].mean:.3g} at {price:,.4g}" for line, price in told),
        "compare-cost",
        name="quality against cost",
    )


def with_cost(chosen: Selection, lines: Sequence[Line], measure: bool) -> list[Line]:
    """The lines with FLOPs, and with time and memory where they are asked for."""
    firsts = tuple(RunKey(next(iter(line.group.runs.values()))) for line in lines)
    peaks = store.compare.peak_memory(chosen.dataset, firsts) if measure else [None] * len(firsts)
    return [
        replace(
            line,
            flops=store.methods.computed("flops", name, chosen.dataset),
            ms=store.methods.computed("scoring time", name, chosen.dataset) if measure else None,
            megabytes=peak,
        )
        for line, name, peak in zip(lines, firsts, peaks, strict=True)
    ]


def take_along(chosen: Selection, lines: Sequence[Line], baseline: str | None) -> None:
    """The whole comparison as CSV, Markdown and LaTeX."""
    full = [
        replace(
            line,
            missing=store.compare.missing(line.group, chosen.dataset),
            parts=store.compare.in_parts(line.group, chosen.dataset),
        )
        for line in with_cost(chosen, lines, bool(st.session_state.get("measure-cost")))
    ]
    made = compare.table(full, baseline)
    forms = {
        "Markdown": (compare.markdown(made), "md", "text/markdown", "markdown"),
        "LaTeX": (compare.latex(made), "tex", "text/x-tex", "latex"),
        "CSV": (compare.as_csv(compare.records(full, baseline)), "csv", "text/csv", None),
    }
    form = st.segmented_control(
        "Form", list(forms), default="Markdown", required=True, key="form", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    content, ending, kind, language = forms[str(form)]
    name = f"{file_name(f'comparison on {store.data.data(chosen.dataset).name}')}.{ending}"
    st.download_button(f"Save as .{ending}", content, name, kind, on_click="ignore", icon=":material/download:")
    st.code(content, language=language, height=320)
    st.caption(
        "The button in the corner copies it. Means and sd over seeds; LaTeX wants the package booktabs; CSV has every "
        "interval, kind and missing modality. The same: `python -m core compare DATASET --runs RUNS --format latex`."
    )

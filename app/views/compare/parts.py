"""The controls of the compare page and what its lower half shows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import store
from app.figures.marks import clicked_row
from app.figures.style import file_name, markdown_text
from app.state import selection
from app.state.selection import Selection
from app.views.compare import figures
from app.widgets import paging, show
from core import compare
from core.compare import Group, Line
from core.machine.names import shown, told_apart
from core.measure import redraw

MOST = 12  # groups at once
PAGE = 20  # rows of the table of disagreements at once


def pick(chosen: Selection) -> tuple[tuple[str, ...], str | None]:
    """(ids of the groups, the baseline's id); the link holds both. No baseline where there is one group."""
    every, values = store.compare.groups(chosen.dataset)
    titles = unique(every)
    mine = store.runs.run(chosen.run).group if chosen.run else None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        ids = st.multiselect(
            "Runs, every seed of each",
            list(every),
            default=compare.suggested(every, values, mine),
            format_func=lambda id_: titles.get(id_, id_),
            max_selections=MOST,
            wrap=True,
            key="groups",
            bind="query-params",
            help=f"At most {MOST}. All seeds of one configuration are compared together.",
        )
        baseline = None
        if ids:
            baseline = st.selectbox(
                "Baseline",
                ids,
                index=min(1, len(ids) - 1),
                format_func=lambda id_: titles.get(id_, id_),
                key="against-group",
                bind="query-params",
                width=280,
                help="What the others are tested against, on the same clips or samples.",
            )
    return tuple(ids), baseline if len(ids) > 1 else None


def unique(every: dict[str, Group]) -> dict[str, str]:
    """Group id -> what people read, no two alike however long or odd their names are."""
    return told_apart({id_: shown(group.title, 100) for id_, group in every.items()})


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
    n = compare.digits(metric)
    show.figure(
        figures.interval_rows(lines, metric, baseline, what, chosen.colours),
        f"Mean over seeds. Thick: 95 % interval over seeds (another training on these {what}). Thin: over {what} "
        f"(these models on other {what}). Square and dotted line: the baseline.",
        f"{names[metric]}: "
        + "; ".join(
            f"{shown(line.group.title, 60)} {line.metrics[metric].mean:.{n}f}, over {what} "
            f"{line.metrics[metric].clips_low:.{n}f} to {line.metrics[metric].clips_high:.{n}f}"
            for line in lines
        ),
        "compare-quality",
        chosen.colours,
        chosen.picture,
        figures.interval_table(lines),
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
    tested = [line for line in lines if line.difference is not None]
    show.figure(
        figures.delta_map(lines, chosen.colours),
        f"Difference to {markdown_text(base.group.title, 60)} with its 95 % interval, over the same {what} and "
        "the same seeds. Red is better than the baseline, blue is worse.",
        "; ".join(
            f"{shown(line.group.title, 60)} {line.difference.delta:+.{compare.digits(line.difference.metric)}f}, "
            f"{line.difference.verdict}"
            for line in tested
            if line.difference is not None
        ),
        "compare-deltas",
        chosen.colours,
        chosen.picture,
        figures.delta_table(lines),
        name="differences to the baseline",
    )
    st.dataframe(
        figures.verdict_table(lines, what),
        hide_index=True,
        column_config={
            "p": st.column_config.NumberColumn(format="%.4f"),
            "p (Holm)": st.column_config.NumberColumn(
                format="%.4f", help=f"Corrected for {len(tested)} comparisons; the verdict is by this one."
            ),
        },
        alt="; ".join(
            f"{shown(line.group.title, 60)}: {line.difference.verdict}" for line in tested if line.difference
        ),
    )
    name = compare.metrics_of(next(iter(base.metrics)))[next(iter(base.metrics))]
    linear = (
        " (linear in the draws)" if what == "clips" and redraw.linear(len(store.data.clips(chosen.dataset))) else ""
    )
    st.caption(
        f"A paired test of the {name}: the {what} are "
        f"drawn again together for both sides{linear}, and the seeds' own spread enters by Student's t."
    )


# ---------------------------------------------------------------------------- below


def disagreements(chosen: Selection, lines: Sequence[Line]) -> None:
    """Where two groups disagree most: pictures, a scatter, a table; a click opens the clip or sample there."""
    if len(lines) < 2:
        st.info("Choose a second configuration above: two are needed to disagree.")
        return
    titles = {line.group.id: line.group.title for line in lines}
    by_id = {line.group.id: line.group for line in lines}
    names = unique(by_id)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox(
            "This run", list(titles), format_func=lambda id_: names.get(id_, id_), key="first-group",
            bind="query-params", width=320,
        )  # fmt: skip
        second = st.selectbox(
            "and that one", list(titles), index=1, format_func=lambda id_: names.get(id_, id_), key="second-group",
            bind="query-params", width=320,
        )  # fmt: skip
    if first == second:
        st.info("A run does not disagree with itself: choose two.")
        return
    a, b = by_id[str(first)], by_id[str(second)]
    found = store.compare.disagreement(chosen.dataset, a, b)
    part = store.data.part(chosen.dataset) if store.data.samples(chosen.dataset) is not None else None
    clips = store.data.clips(chosen.dataset)
    go_to(chosen, found, a, b, clips, part)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        labels = None if part is not None else store.data.unit_labels(chosen.dataset)
        rows = figures.drawn_rows(found)

        def clicked() -> None:
            points = st.session_state["compare-scatter"]["selection"]["points"]
            row = next((clicked_row(point.get("customdata")) for point in points), None)
            if row is not None:
                selection.put(run=next(iter(a.runs.values())), **place(chosen.dataset, row, clips, part))

        show.figure(
            figures.disagreement_scatter(
                found, labels, (a.title, b.title), chosen_row(chosen, clips, part), chosen.colours
            ),
            "A point a row, means over seeds; on the dotted line both say the same. A click chooses the row here and "
            "on every page."
            + (f" {len(rows):,} of {len(found.order):,} rows are drawn." if len(rows) < len(found.order) else ""),
            f"{len(found.order):,} rows; the largest difference is "
            f"{abs(found.a - found.b)[found.order[0]]:.1f} ({found.what})",
            "compare-scatter",
            chosen.colours,
            chosen.picture,
            name=f"{a.title} against {b.title}",
            on_select=clicked,
            selection_mode="points",
        )
    with right:
        table = figures.disagreement_table(found, clips, part, (a.title, b.title))
        page = paging.turn(len(table), PAGE, "disagreement-page")
        shown_rows = table.iloc[page]
        number = st.column_config.NumberColumn(format="%.1f" if part is None or part.task.kind == "class" else "%.3f")
        event = st.dataframe(
            shown_rows.drop(columns="row"),
            key=f"disagreement-table-{page.start}",
            on_select="rerun",
            selection_mode="single-row",
            hide_index=True,
            height=paging.height(max(1, len(shown_rows))),
            column_config={name: number for name in table.columns[3:6]},
            alt=f"the {len(table)} rows on which the two differ most",
        )
        st.caption(
            f"{found.what.capitalize()}, the largest difference first. Select a row to open it with the first run."
        )
        picked = event["selection"]["rows"]
        if picked:
            open_row(chosen, int(shown_rows["row"].iloc[picked[0]]), a, b, clips, part)


def chosen_row(chosen: Selection, clips: Sequence[Any], part: Any) -> int | None:
    """The chosen sample, or the unit at the chosen moment; None where no moment is chosen."""
    if part is not None:
        return min(chosen.sample, len(part) - 1)
    before = 0
    for clip in clips:
        if clip.name == chosen.clip:
            unit = chosen.unit(clip)
            return None if unit is None else before + unit
        before += clip.units
    return None


def place(dataset: str, row: int, clips: Sequence[Any], part: Any) -> dict[str, Any]:
    """What to put so that this row is the chosen one."""
    if part is not None:
        return {"sample": row}
    clip, unit = figures.place_of_row(row, clips, figures.ends_of(clips))
    return {"clip": clip.name, "time": round(unit * clip.seconds, 2)}


def open_row(chosen: Selection, row: int, a: Group, b: Group, clips: Sequence[Any], part: Any) -> None:
    """Go to the clip or sample with the first group's first run, the second group's beside it where clips are shown."""
    titles = store.runs.run_titles(chosen.dataset)
    mine, other = next(iter(a.runs.values())), next(iter(b.runs.values()))
    against = {} if part is not None else {"against": titles[other]}
    selection.open_page("clips", run=titles[mine], **place(chosen.dataset, row, clips, part), **against)


def go_to(chosen: Selection, found: compare.Disagreement, a: Group, b: Group, clips: Sequence[Any], part: Any) -> None:
    """The five rows that differ most, at most one a clip, with a picture where there is one."""
    rows: list[int] = []
    seen = set()
    ends = figures.ends_of(clips)
    for row in found.order[:2000].tolist():
        name = row if part is not None else figures.place_of_row(row, clips, ends)[0].name
        if name not in seen:
            seen.add(name)
            rows.append(row)
        if len(rows) == 5:
            break
    for column, row in zip(st.columns(5), rows, strict=False):
        words, truth = figures.row_words(row, clips, part, ends)
        if part is None:
            clip, unit = figures.place_of_row(row, clips, ends)
            picture = store.pictures.thumbnail(chosen.dataset, clip.name, unit)
            if picture is not None:
                column.image(picture, width="stretch", alt=shown(words, 60))
        n = 2 if part is not None and part.task.kind == "real" else 0
        if column.button(markdown_text(words, 60), key=f"disagree-{row}", type="tertiary"):
            open_row(chosen, row, a, b, clips, part)
        said = f"{found.a[row]:.{n}f} against {found.b[row]:.{n}f}"
        column.caption(f"{markdown_text(truth, 20)}: {said}" if truth else said)


def parts(chosen: Selection, lines: Sequence[Line]) -> None:
    """AUC of each kind of anomaly, recall of each class, correlation of each target."""
    found = [store.compare.in_parts(line.group, chosen.dataset) for line in lines]
    columns = list(dict.fromkeys(name for each in found for name in each))
    first = next(iter(lines[0].metrics))
    if not columns:
        st.info("Nobody named anomalies here, so there are no kinds to tell apart.")
        return
    words = {
        "auc": "AUC in percent of each kind's units against every normal unit",
        "accuracy": "Recall of each class in percent",
        "correlation": "Correlation of each target",
    }[first]
    _map(chosen, lines, columns, found, f"{words}, mean over seeds; darker is higher.", "compare-parts")


def missing(chosen: Selection, lines: Sequence[Line]) -> None:
    """What is left when modalities are missing."""
    found = [store.compare.missing(line.group, chosen.dataset) for line in lines]
    columns = list(dict.fromkeys(name for each in found for name in each))
    first = next(iter(lines[0].metrics))
    name = compare.metrics_of(first)[first]
    if not columns:
        st.info("These runs read a single modality, so none can be left out.")
        return
    every = [{"all there": line.metrics[first].mean, **each} for line, each in zip(lines, found, strict=True)]
    _map(
        chosen,
        lines,
        ["all there", *columns],
        every,
        f"The {name} when modalities are missing, mean over seeds; a dash where a run does not read it. Of two "
        "modalities, one is missing when the other is alone.",
        "compare-missing",
    )


def _map(
    chosen: Selection, lines: Sequence[Line], columns: list[str], found: list[dict[str, float]], says: str, key: str
) -> None:
    values = np.array([[each.get(column, np.nan) for column in columns] for each in found], dtype=float)
    places = compare.digits(next(iter(lines[0].metrics)))
    table = pd.DataFrame(values.round(4), columns=[shown(column, 60) for column in columns])
    table.insert(0, "method", [shown(line.group.title, 80) for line in lines])
    show.figure(
        figures.number_map([line.group.title for line in lines], columns, values, places, chosen.colours),
        says,
        "; ".join(
            f"{shown(line.group.title, 40)}: "
            + ", ".join(f"{shown(c, 24)} {v:.{places}f}" for c, v in zip(columns, row, strict=True) if not np.isnan(v))
            for line, row in zip(lines, values, strict=True)
        )[:1500],
        key,
        chosen.colours,
        chosen.picture,
        table,
        name=key,
    )


def cost(chosen: Selection, lines: Sequence[Line], baseline: str | None) -> list[Line]:
    """Weights, FLOPs, recorded training time; time and memory of a scoring here, on demand."""
    measure = st.toggle(
        "Measure time and memory on this machine",
        key="measure-cost",
        help="Scores the test part six times a run, then once in a process of its own; some seconds.",
    )
    full = with_cost(chosen, lines, measure)
    first = next(iter(lines[0].metrics))
    st.dataframe(
        pd.DataFrame(
            {
                "method": [shown(line.group.title, 80) for line in full],
                "weights": [line.group.weights for line in full],
                "FLOPs": [line.flops for line in full],
                **(
                    {"scoring (ms)": [line.ms for line in full], "peak (MB)": [line.megabytes for line in full]}
                    if measure
                    else {}
                ),
                "training (s)": [round(line.group.seconds, 2) for line in full],
            }
        ),
        hide_index=True,
        column_config={
            "weights": st.column_config.NumberColumn(format="localized"),
            "FLOPs": st.column_config.NumberColumn(
                format="localized", help="Of one unit or sample, 2 for a multiplication and its addition"
            ),
            "scoring (ms)": st.column_config.NumberColumn(format="%.1f"),
            "peak (MB)": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="; ".join(f"{shown(line.group.title, 60)} {line.group.weights:,} weights" for line in full),
    )
    rows = len(store.data.part(chosen.dataset)) if store.data.samples(chosen.dataset) is not None else 0
    unit = f"{rows:,} samples" if rows else f"{len(store.data.clips(chosen.dataset)):,} clips"
    st.caption(
        (
            f"Scoring: processor time of one thread for the {unit} of the test part, median of 5 turns, first seed. "
            "Peak: what scoring them adds at most to a process of its own (the kernel's account). "
            if measure
            else ""
        )
        + "Training: mean over seeds as the runs recorded it, maybe on another machine."
    )
    if np.isnan([line.metrics[first].mean for line in lines]).all():
        return full
    axis = "scoring the test part (ms)" if measure else "FLOPs of one unit or sample"
    prices = [line.ms if measure else line.flops for line in full]
    show.figure(
        figures.cost_points(full, prices, axis, first, baseline, chosen.colours),
        f"Quality against {axis}; whiskers: 95 % over the test part. Further left is cheaper.",
        "; ".join(
            f"{shown(line.group.title, 60)} {line.metrics[first].mean:.3g} at {price:,.4g}"
            for line, price in zip(full, prices, strict=True)
            if price
        ),
        "compare-cost",
        chosen.colours,
        chosen.picture,
        name="quality against cost",
    )
    return full


def with_cost(chosen: Selection, lines: Sequence[Line], measure: bool) -> list[Line]:
    """The lines with FLOPs, and with time and memory where they are asked for."""
    firsts = tuple(next(iter(line.group.runs.values())) for line in lines)
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
    stem = file_name(f"comparison on {store.data.data(chosen.dataset).name}")
    st.download_button(
        f"Save as .{ending}", content, f"{stem}.{ending}", kind, on_click="ignore", icon=":material/download:"
    )
    st.code(content, language=language, height=320)
    st.caption(
        "The button in the corner copies it. Means and sd over seeds; LaTeX wants the package booktabs; CSV has every "
        "interval, kind and missing modality. The same: `python -m core compare DATASET --runs RUNS --format latex`."
    )

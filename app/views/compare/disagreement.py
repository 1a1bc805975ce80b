"""Where two groups disagree most: pictures, a scatter, a table; a click opens the clip or sample there."""

from collections.abc import Sequence

import streamlit as st

from app import store
from app.figures.marks import clicked_row
from app.figures.style import markdown_text
from app.state import navigation, selection
from app.state.selection import Selection
from app.store.keys import RunKey
from app.views.compare import figures
from app.views.compare.parts import unique
from app.views.compare.rows import Rows
from app.widgets import paging, show
from core.compare import Disagreement, Group, Line
from core.machine.names import shown

PAGE = 20  # rows of the table at once
MOST = 5  # pictures


def draw(chosen: Selection, lines: Sequence[Line]) -> None:
    """The whole tab."""
    if len(lines) < 2:
        st.info("Choose a second configuration above: two are needed to disagree.")
        return
    a, b = _pick({line.group.id: line.group for line in lines})
    if a.id == b.id:
        st.info("A run does not disagree with itself: choose two.")
        return
    found = store.compare.disagreement(chosen.dataset, a, b)
    part = store.data.part(chosen.dataset) if store.data.samples(chosen.dataset) is not None else None
    rows = Rows(store.data.clips(chosen.dataset), part)
    _pictures(chosen, found, a, b, rows)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        _scatter(chosen, found, a, b, rows)
    with right:
        _table(chosen, found, a, b, rows)


def _pick(groups: dict[str, Group]) -> tuple[Group, Group]:
    """The two sides; the link holds both."""
    names, ids = unique(groups), list(groups)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = [
            st.selectbox(label, ids, index=at, format_func=lambda id_: names.get(id_, id_), key=key,
                         bind="query-params", width=320)
            for at, (label, key) in enumerate((("This run", "first-group"), ("and that one", "second-group")))
        ]  # fmt: skip
    return groups[picked[0]], groups[picked[1]]


def _pictures(chosen: Selection, found: Disagreement, a: Group, b: Group, rows: Rows) -> None:
    """The five rows that differ most, at most one a clip, with a picture where there is one."""
    most: dict[object, int] = {}
    for row in found.order[:2000].tolist():
        if len(most) < MOST:
            most.setdefault(row if rows.part is not None else rows.unit(row)[0].name, row)
    digits = 2 if rows.part is not None and rows.part.task.kind == "real" else 0
    for column, row in zip(st.columns(MOST), most.values(), strict=False):
        words, truth = rows.words(row)
        if rows.part is None:
            clip, unit = rows.unit(row)
            picture = store.pictures.thumbnail(chosen.dataset, clip.name, unit)
            if picture is not None:
                column.image(picture, width="stretch", alt=shown(words, 60))
        if column.button(markdown_text(words, 60), key=f"disagree-{row}", type="tertiary"):
            _open(chosen, row, a, b, rows)
        said = f"{found.a[row]:.{digits}f} against {found.b[row]:.{digits}f}"
        column.caption(f"{markdown_text(truth, 20)}: {said}" if truth else said)


def _scatter(chosen: Selection, found: Disagreement, a: Group, b: Group, rows: Rows) -> None:
    def pointed(point: dict[str, object]) -> None:
        row = clicked_row(point.get("customdata"))
        if row is not None:
            selection.put(run=next(iter(a.runs.values())), **rows.link(row))

    if rows.part is not None:
        labels, row = None, store.data.row(chosen)
    else:
        labels, row = store.data.unit_labels(chosen.dataset), None
        unit = chosen.unit(store.data.clip(chosen.dataset, chosen.clip))
        if unit is not None:
            row = rows.row(chosen.clip, unit)
    drawn = len(figures.drawn_rows(found))
    show.figure(
        figures.disagreement_scatter(found, labels, (a.title, b.title), row, chosen.colours),
        "A point a row, means over seeds; on the dotted line both say the same. A click chooses the row here and on "
        "every page." + (f" {drawn:,} of {len(found.order):,} rows are drawn." if drawn < len(found.order) else ""),
        f"{len(found.order):,} rows; the largest difference is "
        f"{abs(found.a - found.b)[found.order[0]]:.1f} ({found.what})",
        "compare-scatter",
        name=f"{a.title} against {b.title}",
        pointed=pointed,
    )


def _table(chosen: Selection, found: Disagreement, a: Group, b: Group, rows: Rows) -> None:
    table = figures.disagreement_table(found, rows, (a.title, b.title))
    page = paging.turn(len(table), PAGE, "disagreement-page")
    sent = table.iloc[page]
    form = "%.1f" if rows.part is None or rows.part.task.kind == "class" else "%.3f"
    event = show.table(
        sent.drop(columns="row"),
        f"the {len(table)} rows on which the two differ most",
        dict.fromkeys(table.columns[3:6], form),
        key=f"disagreement-table-{page.start}",
        on_select="rerun",
        selection_mode="single-row",
        height=paging.height(max(1, len(sent))),
    )
    st.caption(f"{found.what.capitalize()}, the largest difference first. Select a row to open it with the first run.")
    if picked := event["selection"]["rows"]:
        _open(chosen, int(sent["row"].iloc[picked[0]]), a, b, rows)


def _open(chosen: Selection, row: int, a: Group, b: Group, rows: Rows) -> None:
    """Go to the clip or sample with the first group's first run, the second group's beside it where clips are shown."""
    titles = store.runs.run_titles(chosen.dataset)
    mine, other = (titles[RunKey(next(iter(group.runs.values())))] for group in (a, b))
    against = {} if rows.part is not None else {"against": other}
    navigation.open_page("clips", run=mine, **rows.link(row), **against)

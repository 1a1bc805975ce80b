"""Where to put the alarm: the operating point on ROC and PR, the price of misses, false alarms an hour."""

from functools import partial

import streamlit as st

from app import store
from app.figures import scores as figures
from app.state import selection
from app.widgets import paging, retrain, show
from app.widgets.samples import pick_class

chosen = selection.current()
if chosen.run is None:
    st.info("No trained run fits this dataset, so there are no scores to judge. Train one: `python -m core train`.")
    st.stop()
samples = store.data.samples(chosen.dataset)
if samples is not None and samples.task.kind != "class":
    st.info("A threshold parts two kinds; the targets of this sample set are real values, so there is none to choose.")
    st.stop()
clips, about = store.data.clips(chosen.dataset), 0
with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
    if samples is None:
        level = st.segmented_control(
            "Judge", ["units", "frames"], default="units", required=True, key="level", bind="query-params"
        )
    else:
        level = "samples"
        about = pick_class(samples)
    price = float(
        st.slider("A miss costs as much as … false alarms", 1, 100, 5, key="price", bind="query-params", width=360)
    )
found = store.models.grades(chosen.run, chosen.dataset, str(level), about)
if not len(found):
    st.info(f"Nobody labelled the {level} of these clips, so there is nothing to set the threshold against.")
    st.stop()

if samples is not None:
    st.caption("A sample is *anomalous* here when it is of this class, and *normal* when it is of any other.")
now, best = found.decide(chosen.threshold), found.cheapest(price)
with st.container(horizontal=True, vertical_alignment="bottom"):
    facts = figures.decision_facts(now, best, price, store.data.hours(chosen.dataset), level)
    for label, value in facts.items():
        st.metric(label, value, width="content")
    limit = min(best.threshold, 1.0)
    st.button(f"Use the cheapest: {limit:.3f}", on_click=selection.put, kwargs={"threshold": limit})
retrain.offer(chosen)

draw = partial(show.figure, colours=chosen.colours, picture=chosen.picture)
left, right = st.columns(2, gap="medium")
if not found.both:
    kind = "anomalous" if len(found.anomalous) else "normal"
    st.info(f"All {len(found):,} {level} are {kind}: ROC, precision-recall and AUC need both kinds, so none is shown.")
else:
    with left:
        drawn, table = figures.roc_figure(found, now, best, chosen.colours)
        area = f"{found.auc:.1f} %"
        draw(
            drawn,
            f"ROC: the share of anomalous {level} found against the share of false alarms, AUC {area}.",
            f"ROC curve, AUC {area}; now recall {now.recall:.3f} at false-alarm rate {now.false_alarm_rate:.3f}",
            "roc",
            table=table,
        )
    with right:
        drawn, table = figures.pr_figure(found, now, best, chosen.colours)
        area = f"{found.average_precision:.1f} %"
        draw(
            drawn,
            f"Precision against recall, average precision {area}; the dotted line is an alarm at random.",
            f"precision-recall curve, average precision {area}; now recall {now.recall:.3f}, "
            f"precision {facts['precision']}",
            "pr",
            table=table,
        )
span = figures.score_span({"all": found.span}, chosen.threshold)
with left:
    drawn, table = figures.histogram(found, chosen.threshold, span, chosen.colours)
    draw(
        drawn,
        f"How the scores of normal and of anomalous {level} lie on either side of the threshold.",
        f"{now.true_alarms} anomalous and {now.false_alarms} normal {level} lie above {chosen.threshold:.3f}",
        "histogram",
        table=table,
    )
with right:
    drawn, table = figures.cost_figure(found, price, now, best, chosen.colours)
    draw(
        drawn,
        f"What every threshold costs when a miss costs {price:.0f} false alarms; the star is the cheapest.",
        f"cost {now.cost(price):.0f} now, {best.cost(price):.0f} at the cheapest threshold {limit:.3f}",
        "cost",
        table=table,
    )

left, middle, right = st.columns([2, 2, 3], gap="medium")
with left:
    draw(
        figures.confusion(now, chosen.colours),
        f"The {level} by truth and alarm at threshold {chosen.threshold:.3f}; darker is a larger share of its row.",
        f"{now.true_alarms} found, {now.misses} missed, {now.false_alarms} false alarms, {now.true_rests} quiet",
        "confusion",
    )
if samples is not None:
    st.stop()
recall = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
units, *_ = store.models.units(chosen.run, chosen.dataset)
with middle:
    st.dataframe(
        figures.kind_table(store.data.kinds(chosen.dataset), units, chosen.threshold),
        hide_index=True,
        alt="units found of each kind of anomaly",
        column_config={"recall": recall},
    )
    st.caption("Units found, by kind of anomaly.")
with right:
    order, shown_rows = "as listed", slice(None)
    if len(clips) > paging.MOST:
        order = st.selectbox(
            "Order of the clips", ["missed", "false alarms", "found", "as listed"], key="clip-order",
            bind="query-params", width=200,
        )  # fmt: skip
    listed = figures.decision_table(clips, units, chosen.threshold, order)
    if len(clips) > paging.MOST:
        shown_rows = paging.turn(len(listed), paging.SIZE, "decision-page")
    st.dataframe(
        figures.told_clips(listed.iloc[shown_rows]),
        hide_index=True,
        height=320,
        alt="units found, missed and falsely alarmed in each clip",
        column_config={"recall": recall},
    )
    st.caption("Units found, missed and falsely alarmed, by clip.")

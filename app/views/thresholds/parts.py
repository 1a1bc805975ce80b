"""Pieces of the page on the alarm threshold: what is judged, its curves, and its tables of kinds and clips."""

import math
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from app import store
from app.figures.scores import score_span
from app.state import selection
from app.state.selection import Selection
from app.views.thresholds import figures
from app.widgets import paging, show
from app.widgets.samples import pick_class
from core.measure.thresholds import Decision, Graded
from core.sample import Samples

RECALL = {"recall": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)}


@dataclass(frozen=True)
class Judged:
    """All scores of a run against the truth, and what a miss costs.

    level    what is judged: "units", "frames" or "samples"
    price    false alarms that a miss costs as much as
    """

    chosen: Selection
    scores: Graded
    level: str
    price: float

    @cached_property
    def now(self) -> Decision:
        return self.scores.decide(self.chosen.threshold)

    @cached_property
    def best(self) -> Decision:
        return self.scores.cheapest(self.price)

    @property
    def limit(self) -> float:
        """The cheapest threshold, as far as the slider goes."""
        return min(self.best.threshold, 1.0)

    @property
    def precision(self) -> str:
        return "none" if math.isnan(self.now.precision) else f"{self.now.precision:.3f}"  # no alarm, no share of them


def judge(chosen: Selection, samples: Samples | None) -> Judged:
    """The controls: what is judged, and what a miss costs."""
    about, level = 0, "samples"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        if samples is None:
            level = show.one_of("Judge", ["units", "frames"], "level")
        else:
            about = pick_class(samples)
        price = st.slider(
            "A miss costs as much as … false alarms", 1, 100, 5, key="price", bind="query-params", width=360
        )
    found = store.models.grades(chosen.trained, chosen.dataset, level, about)
    return Judged(chosen, found, level, float(price))


def cards(judged: Judged) -> None:
    """The decision in a handful of numbers, and the way to the cheapest; nothing an hour where there is no video."""
    now, hours = judged.now, store.data.hours(judged.chosen.dataset)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show.numbers(
            {
                "recall": f"{now.recall:.3f}",
                "precision": judged.precision,
                f"false alarms ({judged.level})": f"{now.false_alarms:,}",
                **({"false alarms an hour": f"{now.per_hour(hours):,.0f}"} if hours > 0 else {}),
                "misses": f"{now.misses:,}",
                "cost now": f"{now.cost(judged.price):,.0f}",
                "cheapest cost": f"{judged.best.cost(judged.price):,.0f}",
            }
        )
        words = f"Use the cheapest: {judged.limit:.3f}"
        st.button(words, on_click=selection.put, kwargs={"threshold": judged.limit})


def roc(judged: Judged) -> None:
    """The share of anomalies found against the share of false alarms."""
    area, now = f"{judged.scores.auc:.1f} %", judged.now
    drawn, table = figures.roc(judged.scores, now, judged.best, judged.chosen.colours)
    show.figure(
        drawn,
        f"ROC: the share of anomalous {judged.level} found against the share of false alarms, AUC {area}.",
        f"ROC curve, AUC {area}; now recall {now.recall:.3f} at false-alarm rate {now.false_alarm_rate:.3f}",
        "roc",
        table=table,
    )


def precision_recall(judged: Judged) -> None:
    """The share of alarms that are right against the share of anomalies found."""
    area = f"{judged.scores.average_precision:.1f} %"
    drawn, table = figures.precision_recall(judged.scores, judged.now, judged.best, judged.chosen.colours)
    show.figure(
        drawn,
        f"Precision against recall, average precision {area}; the dotted line is an alarm at random.",
        f"precision-recall curve, average precision {area}; now recall {judged.now.recall:.3f}, "
        f"precision {judged.precision}",
        "pr",
        table=table,
    )


def one_kind(judged: Judged) -> None:
    """In place of the curves where there is nothing to tell apart."""
    kind = "anomalous" if len(judged.scores.anomalous) else "normal"
    st.info(
        f"All {len(judged.scores):,} {judged.level} are {kind}: ROC, precision-recall and AUC need both kinds, "
        "so none is shown."
    )


def histogram(judged: Judged) -> None:
    """Both kinds' scores on either side of the threshold."""
    threshold, now = judged.chosen.threshold, judged.now
    span = score_span({"all": judged.scores.span}, threshold)
    drawn, table = figures.histogram(judged.scores, threshold, span, judged.chosen.colours)
    show.figure(
        drawn,
        f"How the scores of normal and of anomalous {judged.level} lie on either side of the threshold.",
        f"{now.true_alarms} anomalous and {now.false_alarms} normal {judged.level} lie above {threshold:.3f}",
        "histogram",
        table=table,
    )


def cost(judged: Judged) -> None:
    """What every threshold costs."""
    now, best, price = judged.now, judged.best, judged.price
    drawn, table = figures.cost(judged.scores, price, now, best, judged.chosen.colours)
    show.figure(
        drawn,
        f"What every threshold costs when a miss costs {price:.0f} false alarms; the star is the cheapest.",
        f"cost {now.cost(price):.0f} now, {best.cost(price):.0f} at the cheapest threshold {judged.limit:.3f}",
        "cost",
        table=table,
    )


def confusion(judged: Judged) -> None:
    """The four counts."""
    now = judged.now
    show.figure(
        figures.confusion(now, judged.chosen.colours),
        f"The {judged.level} by truth and alarm at threshold {now.threshold:.3f}; darker is a larger share of its row.",
        f"{now.true_alarms} found, {now.misses} missed, {now.false_alarms} false alarms, {now.true_rests} quiet",
        "confusion",
    )


def kinds(chosen: Selection) -> None:
    """Units found, by kind of anomaly."""
    units, *_ = store.models.units(chosen.trained, chosen.dataset)
    table = figures.kind_table(store.data.kinds(chosen.dataset), units, chosen.threshold)
    show.table(table, "units found of each kind of anomaly", RECALL)
    st.caption("Units found, by kind of anomaly.")


def clips(chosen: Selection) -> None:
    """Units found, missed and falsely alarmed, by clip; long lists can be ordered and are paged."""
    every = store.data.clips(chosen.dataset)
    units, *_ = store.models.units(chosen.trained, chosen.dataset)
    order, rows = "as listed", slice(None)
    if len(every) > paging.MOST:
        order = st.selectbox("Order of the clips", figures.ORDERS, key="clip-order", bind="query-params", width=200)
    listed = figures.decision_table(every, units, chosen.threshold, order)
    if len(every) > paging.MOST:
        rows = paging.turn(len(listed), paging.SIZE, "decision-page")
    page, alt = figures.told_clips(listed.iloc[rows]), "units found, missed and falsely alarmed in each clip"
    show.table(page, alt, RECALL, height=320)
    st.caption("Units found, missed and falsely alarmed, by clip.")

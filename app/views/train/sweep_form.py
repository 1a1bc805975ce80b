"""The form that asks for a sweep: what is swept, how it is judged, how many trainings that makes."""

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from app import store
from app.figures.style import markdown_text
from app.state.selection import Selection
from app.store.keys import DataKey
from core import sweep as core
from core.fusion import title_of
from core.machine.names import shown
from core.recipe import Recipe, fusions
from core.sample import Task
from core.sweep import Plan, plain

AXES = 3  # lines of the form
PRESETS = {
    "Figure 5: P x Q": "figure-5",
    "Figure 4: α": "figure-4-alpha",
    "Figure 4: k": "figure-4-k",
    "Figure 4: λ": "figure-4-lambda",
}


def _preset() -> None:
    """Put a figure's axes into the form."""
    preset = PRESETS.get(st.session_state.get("sweep-preset") or "")
    if preset is None:
        return
    axes, fixed = core.PRESETS[preset]
    st.session_state["sweep-fusion"] = "lego"
    for at, (name, values) in enumerate([*axes.items(), *[(None, "")] * AXES][:AXES]):
        st.session_state[f"sweep-axis-{at}"], st.session_state[f"sweep-values-{at}"] = name, values
    st.session_state["sweep-fixed"] = " ".join(f"{name}={plain(value)}" for name, value in fixed.items())


def ask(chosen: Selection, start: Callable[[DataKey, Plan], None]) -> None:
    """The form; every change shows at once how many trainings it makes and how long they will take."""
    data = store.data.data(chosen.dataset)
    methods = fusions(data.task)
    if "lego" in methods:
        if "sweep-preset" not in st.session_state:
            st.session_state["sweep-preset"] = next(iter(PRESETS))
            _preset()
        st.pills("Like the paper's", list(PRESETS), key="sweep-preset", on_change=_preset)
    left, right = st.columns([3, 2], gap="large")
    with left:
        fusion = st.selectbox("Method to sweep", methods, key="sweep-fusion", format_func=title_of)
        axes = _axes(fusion, data.task)
    with right:
        settings = _settings(chosen, fusion)
    if not axes:
        st.info("Choose one to three options and their values; then this says what the sweep will take.")
        return
    try:
        plan = core.checked_plan(_plan(chosen, fusion, axes, settings), data.task)
        core.afford(plan, data)
    except ValueError as refused:
        st.warning(markdown_text(refused, 600), icon=":material/edit:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Start the sweep", type="primary", icon=":material/play_arrow:", key="sweep-start",
                  on_click=start, args=(chosen.dataset, plan))  # fmt: skip
        st.markdown(_cost(chosen.dataset, plan))
    if plan.judge == "test":
        st.caption(
            "Measured on the test part, every number is labelled *on test*: the best cell is then the best of many "
            "looks at the test part, and its number flatters."
        )


def _axes(fusion: str, task: Task) -> dict[str, str]:
    """Option -> its values as they were typed."""
    known = {option.name: option for option in core.sweepable(fusion, task)}
    axes: dict[str, str] = {}
    for at in range(AXES):
        if st.session_state.get(f"sweep-axis-{at}") not in (None, *known):
            st.session_state[f"sweep-axis-{at}"] = None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.selectbox(
                f"Option {at + 1}", list(known), index=None, key=f"sweep-axis-{at}", placeholder="no option", width=190
            )
            values = st.text_input(
                f"Values of option {at + 1}", key=f"sweep-values-{at}", max_chars=300, disabled=name is None,
                placeholder="1..10  or  0.1..0.9 step 0.1  or  1e-4..10 times 10  or  a, b, c",
            )  # fmt: skip
        if name is not None:
            st.caption(f"**{name}**: {markdown_text(known[name].help or 'see the method', 200)}")
            if name in axes:
                st.warning(f"{name} is chosen twice; the last line counts.", icon=":material/warning:")
            axes[name] = values
    return axes


def _settings(chosen: Selection, fusion: str) -> dict[str, Any]:
    """What holds for every cell, by the name of its control."""
    data, found = store.data.data(chosen.dataset), dict[str, Any]()
    usual, two = 150 if data.task.kind == "units" else 30, fusion == "lego"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        found["how"] = st.segmented_control(
            "Cells", ["every one", "guided"], default="every one", required=True, key="sweep-how",
            help="Guided: Optuna's TPE asks for the cells that look best.",
        )  # fmt: skip
        free = found["how"] != "guided"
        found["trials"] = st.number_input("Guided: cells", 1, 2000, 40, key="sweep-trials", disabled=free, width=130)
        found["seeds"] = st.number_input("Seeds", 1, 20, 3, key="sweep-seeds", width=110)
        found["epochs"] = st.number_input("Epochs", 1, 2000, usual, key="sweep-epochs", width=120)
    found["judge"] = st.segmented_control(
        "Measured on", ["held out", "test part"], default="held out", required=True, key="sweep-judge",
        help="Held out: a quarter of the training part, drawn once; the test part stays unseen. "
        "The test part: as the papers' figures do.",
    )  # fmt: skip
    found["modalities"] = st.multiselect(
        "Modalities, in order", list(data.modalities), max_selections=20,
        default=list(data.modalities)[: 2 if two else None], key=f"sweep-modalities-{chosen.dataset}-{two}",
    )  # fmt: skip
    found["fixed"] = st.text_input(
        "Other options", key="sweep-fixed", max_chars=500, placeholder="project=none head=row",
        help="name=value, separated by spaces; what is not named keeps its default.",
    )  # fmt: skip
    return found


def _plan(chosen: Selection, fusion: str, axes: dict[str, str], settings: dict[str, Any]) -> Plan:
    """Errors: `ValueError` for what cannot be read or trained."""
    recipe = Recipe(fusion, seeds=tuple(range(int(settings["seeds"]))), modalities=tuple(settings["modalities"]))
    return Plan(
        str(store.keys.datasets()[chosen.dataset].resolve()),
        {name: core.values_of(values, name) for name, values in axes.items()},
        recipe.but(**{"epochs": int(settings["epochs"]), **_fixed(settings["fixed"])}),
        "guided" if settings["how"] == "guided" else "grid",
        int(settings["trials"]),
        "test" if settings["judge"] == "test part" else "held-out",
    )


def _fixed(text: str) -> dict[str, Any]:
    found = {}
    for pair in text.split():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise ValueError(f"other options are written name=value, got {shown(pair, 60)!r}")
        (found[name],) = core.values_of(value, name)
    return found


def _cost(key: DataKey, plan: Plan) -> str:
    """How many trainings, and about how long."""
    seeds = f"{plan.seeds} {'seed' if plan.seeds == 1 else 'seeds'}"
    said = f"**{plan.size:,} cells × {seeds} = {plan.trainings:,} trainings**"
    found = store.sweeps.sweep_time(key, json.dumps(plan.plain()))
    if found is None:
        return f"{said}; how long they take shows once the first are done"
    return f"{said}, {found.words}, estimated from a few training steps just now"

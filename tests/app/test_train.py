"""The train page: a form from the options, refusals in words, jobs found again, results beside where they began."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.figures import spreads
from app.figures.style import LIGHT
from app.views.train import figures
from app.views.train.parts import REGULARISER
from core import jobs
from core.fusion import FUSIONS
from core.recipe import options_of
from core.run import listing
from core.train.job import Line
from tests.app.conftest import Opener, complaints, words


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs wait until a test does them: no process is started."""
    monkeypatch.setattr(jobs.queue, "ensure", lambda root: None)


def root(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "jobs"


def carry_out(place: Path) -> jobs.Job:
    """Do the newest job here, as its process would."""
    job = jobs.listing(place)[-1]
    result = jobs.kinds.HANDLERS[job.kind]({**job.arguments, "job": str(place / job.id)}, lambda share, said: None)
    now = time.time()
    done = replace(job, state="done", progress=1.0, started=now - 2, finished=now, result=result)
    jobs.record.write(place, done)
    return done


def test_the_form_asks_for_every_option_of_a_method_and_starts_what_it_says(visit: Opener, tmp_path: Path) -> None:
    app = visit("train", method="LEGO")
    assert not complaints(app)
    inputs = [*app.number_input, *app.selectbox, *app.toggle, *app.text_input]
    asked = {str(each.key).split("-", 1)[-1].removesuffix("-kind") for each in inputs}
    assert set(options_of(FUSIONS["lego"].Config)) <= asked
    assert {"epochs", "lr", "units", "track"} <= asked
    assert set(REGULARISER) <= asked
    number = {str(one.key).split("-", 1)[-1]: one for one in app.number_input}
    number["P"].set_value(1)
    number["epochs"].set_value(2)
    app.number_input(key="seeds").set_value(2)
    app.run()
    assert "weights" in words(app)
    app.button(key="start").click().run()
    assert not complaints(app)
    (job,) = jobs.listing(root(tmp_path))
    order = job.arguments["order"]
    assert (order["fusion"], order["seeds"], order["options"]["P"], order["training"]["epochs"]) == (
        "lego",
        [0, 1],
        1,
        2,
    )
    assert "waits; 0 jobs are before it" in words(app)
    done = carry_out(root(tmp_path))
    app.run()
    assert not complaints(app)
    assert "is done: unit AUC" in words(app)
    assert "(2 seeds)" in words(app)
    assert set(done.result.split()) == set(listing(tmp_path / "workspace/runs"))
    named = [option for option in app.sidebar.selectbox(key="run").options if "P=1" in option]
    assert len(named) == 2, "the new runs are listed in the sidebar without a reload"
    assert "was trained already" in words(app) or "were trained already" in words(app)


def test_what_cannot_be_trained_is_said_before(visit: Opener, tmp_path: Path) -> None:
    app = visit("train", method="LEGO")
    number = {str(one.key).split("-", 1)[-1]: one for one in app.number_input}
    assert (number["P"].min, number["epochs"].max) == (0, 100_000), "the options' own bounds"
    number["units"].set_value(20_000)
    number["nodes"].set_value(20_000).run()
    assert "with nodes=20,000 and units=20,000 this training would need about" in words(app).replace("\\", "")
    assert app.button(key="start").disabled
    number["units"].set_value(32)
    number["nodes"].set_value(16).run()
    app.button(key="start").click().run()
    assert any("set nodes and units alike" in error.value for error in app.error)
    assert jobs.listing(root(tmp_path)) == []


def test_a_training_like_the_chosen_run_stands_beside_it(visit: Opener, tmp_path: Path) -> None:
    app = visit("train")
    next(one for one in app.number_input if str(one.key).endswith("-lam")).set_value(0.25)
    app.number_input(key="seeds").set_value(1)
    app.run()
    app.button(key="start").click().run()
    job = jobs.listing(root(tmp_path))[-1]
    assert job.arguments["beside"] in listing(tmp_path / "workspace/runs") | listing(Path(job.arguments["known"][0]))
    carry_out(root(tmp_path))
    app.run()
    done = jobs.listing(root(tmp_path))[-1]
    every = listing(tmp_path / "workspace/runs") | listing(Path(job.arguments["known"][0]))
    old, new = every[job.arguments["beside"]], every[done.result]
    assert old.seed == new.seed
    assert sum(run.group == old.group for run in every.values()) > 1, "another seed, which is no part of it"
    then, now = old.metrics["auc"], new.metrics["auc"]
    by = f"{now - then:+.1f}" if abs(now - then) >= 0.05 else "±0.0"
    plain = words(app).replace("\\", "")
    assert f"**{by}** against {then:.1f} (1 seed) of {old.title}, the same seed" in plain
    assert "lam=0.25" in plain


def test_a_job_is_found_again_and_one_that_failed_says_why(visit: Opener, tmp_path: Path) -> None:
    place = root(tmp_path)
    hostile = "![x](http:) <img src=x onerror=alert(1)> :red[y]"
    for number, state in enumerate(("failed", "cancelled", "running", "queued")):
        job = jobs.Job(
            f"{number}-a", "train", f"{hostile} {number}", {}, state, message=hostile, created=1.0, started=1.0
        )
        (place / job.id).mkdir(parents=True)
        jobs.record.write(place, job)
    app = visit("train")
    assert not complaints(app)
    said = words(app)
    assert "was stopped" in said
    plain = said.replace("\\", "")
    assert "its process ended before it was done; start it again" in plain, "it says running, without a process"
    assert "waits; 0 jobs are before it" in said
    assert "<img" not in said.replace("\\<img", "")
    assert "![x]" not in said


@pytest.mark.parametrize("page", ["graphs", "operator", "thresholds"])
def test_a_run_is_trained_again_with_the_sliders_and_stands_against_the_old_one(
    visit: Opener, tmp_path: Path, page: str
) -> None:
    link = {"alpha": "0.3", "k": "4"} | ({"operator": "0<1"} if page != "thresholds" else {})
    app = visit(page, **link)
    assert not complaints(app)
    if page == "graphs":
        assert app.button(key="retrain").disabled is False
    app.button(key="retrain").click().run()
    assert not complaints(app)
    job = jobs.listing(root(tmp_path))[-1]
    order = job.arguments["order"]
    assert (order["options"]["alpha"], order["options"]["k"], len(order["seeds"])) == (0.3, 4, 1)
    carry_out(root(tmp_path))
    app.run()
    assert not complaints(app)
    table = next(frame.value for frame in app.dataframe if "degree variance, normal" in frame.value.columns)
    assert list(table["run"]) == ["old", "new"]
    assert list(table["α"])[1] == "0.3"
    new = next(button for button in app.button if button.label == "Look at the new run")
    new.click().run()
    assert app.session_state["run"] == jobs.listing(root(tmp_path))[-1].result
    assert any(button.label == "Back to the old run" for button in app.button)


def test_figures_show_gaps_levels_and_signs() -> None:
    line = Line(1, "lego-x", "running", epochs=(1, 2, 3), loss=(3.0, None, 1.0), seen=(2,), test=(70.0,))
    drawn = figures.curves([line, replace(line, seed=2)], LIGHT, 65.0)
    assert [trace.y[1] != trace.y[1] for trace in drawn.data[::2]] == [True, True]
    assert len({(trace.line.color, trace.line.dash) for trace in drawn.data[::2]}) == 2
    assert any(note.text == "before: 65.0" for note in drawn.layout.annotations)
    assert figures.curve_sentence([line]) == "seed 1: loss 3 to 1 in 3 epochs, unit AUC 70.0"
    assert len(figures.curve_table([line])) == 4
    assert spreads.delta([80.0], [80.01], "auc") == "±0.0"
    assert spreads.delta([80.0], [82.0, 81.0], "auc") == "-1.5"
    assert spreads.delta([None], [82.0], "auc") == ""
    assert spreads.spread([81.0, 83.0, None], "auc") == "82.0 ± 1.4 (2 seeds)"

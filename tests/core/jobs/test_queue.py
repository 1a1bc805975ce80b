"""Jobs: whatever dies, the record tells the truth, the queue goes on, and one job runs at a time."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import jobs
from core.data import native
from core.machine import lease, memory
from core.machine.lease import alive
from tests.core.data.made import feature_folder

HOME = Path(__file__).parents[3]

PROGRAM = """
import os, sys, time
sys.path.insert(0, {home!r})
from pathlib import Path
from core import jobs

def slow(given, report):
    mark = Path(given["marks"]) / given["name"]
    mark.with_suffix(".began").touch()
    for step in range(600):
        report(step / 600, f"step {{step}}")
        if mark.with_suffix(".go").exists():
            break
        time.sleep(0.02)
    mark.with_suffix(".ended").touch()
    return given["name"]

def refuse(given, report):
    raise ValueError("clip 'a': 12 NaN values")

def burst(given, report):
    raise RuntimeError("secret /path/of/server")

def die(given, report):
    os._exit(3)

def stubborn(given, report):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    slow(given, lambda *words: None)

def hang(given, report):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(given["mark"]).touch()
    while True:
        time.sleep(1)

def look(given, report):
    import resource
    limits = resource.getrlimit(resource.RLIMIT_DATA)[0], resource.getrlimit(resource.RLIMIT_CORE)[0]
    return f"{{limits}} {{'SECRET_TOKEN' in os.environ}} {{'FUSESCOPE_DATA' in os.environ}}"

def eat(given, report):
    bytearray(1 << 45)

def patient(given, report):
    mark = Path(given["marks"]) / given["name"]
    mark.with_suffix(f".began{{len(list(mark.parent.glob(mark.name + '.began*')))}}").touch()
    for step in range(600):
        report(step / 600, f"step {{step}}")
        if jobs.passing(Path(given["job"])):
            raise jobs.Passed
        if mark.with_suffix(".go").exists():
            return given["name"]
        time.sleep(0.02)

jobs.record.LONG = ("patient",)
jobs.kinds.HANDLERS |= {{"slow": slow, "refuse": refuse, "burst": burst, "die": die, "stubborn": stubborn}}
jobs.kinds.HANDLERS |= {{"patient": patient, "hang": hang, "look": look, "eat": eat}}
jobs.kinds.HOURS["hang"] = 1 / 3600
jobs.queue.COMMAND = (sys.executable, __file__)
jobs.record.EVERY = 0.0
if __name__ == "__main__":
    jobs.queue.main(sys.argv[1:])
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(home=str(HOME)))
    monkeypatch.setattr(jobs.queue, "COMMAND", (sys.executable, str(program)))
    made = ("slow", "refuse", "burst", "die", "stubborn", "patient", "hang", "look", "eat")
    monkeypatch.setattr(jobs.kinds, "HANDLERS", {**jobs.kinds.HANDLERS, **dict.fromkeys(made)})
    monkeypatch.setattr(jobs.record, "LONG", ("patient",))
    place = tmp_path / "jobs"
    place.mkdir()
    yield place
    for job in jobs.listing(place):
        jobs.cancel(place, job.id)


def until(true: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def state(root: Path, job: jobs.Job) -> str:
    return jobs.find(root, job.id).state


def slow(root: Path, name: str, kind: str = "slow") -> jobs.Job:
    return jobs.submit(root, kind, name, {"marks": str(root.parent), "name": name})


def go(root: Path, name: str) -> None:
    (root.parent / f"{name}.go").touch()


def test_one_at_a_time_in_order_and_each_knows_its_place(root: Path) -> None:
    made = [slow(root, name) for name in "abc"]
    until(lambda: (root.parent / "a.began").exists())
    assert [state(root, job) for job in made] == ["running", "queued", "queued"]
    assert [jobs.waiting(root, jobs.find(root, job.id)) for job in made] == [0, 1, 2]
    assert not (root.parent / "b.began").exists()
    until(lambda: jobs.find(root, made[0].id).progress > 0)
    for name, job in zip("abc", made, strict=True):
        go(root, name)
        until(lambda job=job: state(root, job) == "done")
    assert [jobs.find(root, job.id).result for job in made] == ["a", "b", "c"]
    assert all(jobs.find(root, job.id).progress == 1 for job in made)


def test_a_long_job_lets_short_ones_pass_and_goes_on_afterwards(root: Path) -> None:
    long, later = slow(root, "a", "patient"), slow(root, "z", "patient")
    until(lambda: (root.parent / "a.began0").exists())
    short = [slow(root, name) for name in "bc"]
    until(lambda: (root.parent / "b.began").exists())
    assert [state(root, job) for job in (long, later, *short)] == ["queued", "queued", "running", "queued"]
    assert [jobs.waiting(root, jobs.find(root, job.id)) for job in (long, later, *short)] == [2, 3, 0, 1]
    assert jobs.find(root, long.id).message == "lets a shorter job pass"
    for name in "bc":
        go(root, name)
    until(lambda: (root.parent / "a.began1").exists())
    assert [state(root, job) for job in short] == ["done", "done"]
    assert not (root.parent / "z.began0").exists()
    go(root, "a")
    until(lambda: state(root, long) == "done")
    until(lambda: (root.parent / "z.began0").exists())
    short.append(slow(root, "d"))
    until(lambda: (root.parent / "d.began").exists())
    jobs.cancel(root, later.id)  # while it waits for its second turn
    go(root, "d")
    until(lambda: state(root, short[-1]) == "done")
    assert (state(root, later), jobs.find(root, long.id).result) == ("cancelled", "a")
    assert not (root.parent / "a.began2").exists()


def test_a_refusal_is_told_and_a_mistake_of_ours_is_numbered(root: Path) -> None:
    refused, ours, died = (jobs.submit(root, kind, kind, {}) for kind in ("refuse", "burst", "die"))
    until(lambda: not any(job.active for job in jobs.listing(root)))
    assert jobs.find(root, refused.id).message == "clip 'a': 12 NaN values"
    words = jobs.find(root, ours.id).message
    assert "something went wrong on our side (error" in words
    assert "/path" not in words
    assert words.split("error ")[1][:6] in (root / ours.id / "log.txt").read_text()
    assert "its process ended before it was done" in jobs.find(root, died.id).message
    assert {job.state for job in jobs.listing(root)} == {"failed"}


@pytest.mark.parametrize("kind", ["slow", "stubborn"])
def test_a_running_job_is_cancelled_and_the_next_one_starts(root: Path, kind: str) -> None:
    first, second = slow(root, "a", kind), slow(root, "b")
    until(lambda: (root.parent / "a.began").exists())
    process = jobs.find(root, first.id).pid
    jobs.cancel(root, first.id)
    assert state(root, first) == "cancelled"
    until(lambda: not alive(process))
    until(lambda: (root.parent / "b.began").exists())
    assert not (root.parent / "a.ended").exists()
    go(root, "b")
    until(lambda: state(root, second) == "done")


def test_a_waiting_job_is_cancelled_and_never_starts(root: Path) -> None:
    first, second = slow(root, "a"), slow(root, "b")
    until(lambda: (root.parent / "a.began").exists())
    jobs.cancel(root, second.id)
    assert state(root, second) == "cancelled"
    go(root, "a")
    until(lambda: state(root, first) == "done")
    third = slow(root, "c")
    go(root, "c")
    until(lambda: state(root, third) == "done")
    assert not (root.parent / "b.began").exists()


def test_a_killed_job_is_called_failed_and_the_queue_goes_on(root: Path) -> None:
    first, second = slow(root, "a"), slow(root, "b")
    until(lambda: (root.parent / "a.began").exists())
    os.kill(jobs.find(root, first.id).pid, signal.SIGKILL)
    until(lambda: (root.parent / "b.began").exists())
    assert state(root, first) == "failed"
    go(root, "b")
    until(lambda: state(root, second) == "done")


def test_when_the_worker_is_killed_its_job_ends_well_and_the_next_worker_waits_for_it(root: Path) -> None:
    first = slow(root, "a")
    until(lambda: (root.parent / "a.began").exists())
    for process in _processes("work", str(root)):
        os.kill(process, signal.SIGKILL)
    second = slow(root, "b")
    time.sleep(0.5)
    assert not (root.parent / "b.began").exists(), "two jobs at once"
    go(root, "a")
    until(lambda: state(root, first) == "done")
    until(lambda: (root.parent / "b.began").exists())
    go(root, "b")
    until(lambda: state(root, second) == "done")


def test_a_record_whose_process_number_went_to_another_process_is_failed(root: Path) -> None:
    job = jobs.Job("0-abc", "slow", "old", state="running", pid=os.getpid())
    (root / job.id).mkdir()
    jobs.record.write(root, job)
    assert state(root, job) == "failed"
    jobs.cancel(root, job.id)  # must not end the process that has the number now
    assert json.loads((root / job.id / "job.json").read_text())["state"] == "failed"


def test_records_survive_kills_at_any_moment(root: Path) -> None:
    """Kill -9 in the middle of writing, thirty times: the record is always whole."""
    import subprocess

    job = jobs.Job("0-abc", "slow", "x" * 20_000)
    (root / job.id).mkdir()
    jobs.record.write(root, job)
    writer = (
        f"import sys; sys.path.insert(0, {str(HOME)!r})\nfrom pathlib import Path\nfrom core import jobs\n"
        f"job = jobs.record.read(Path({str(root)!r}) / '0-abc' / 'job.json')\nprint('on', flush=True)\n"
        f"while True: jobs.record.write(Path({str(root)!r}), job)\n"
    )
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.01 * attempt)
        process.kill()
        process.wait()
        process.stdout.close()
        assert jobs.record.read(root / job.id / "job.json") == job


def test_garbage_among_the_records_is_passed_over(root: Path) -> None:
    (root / "1-bad").mkdir()
    (root / "1-bad/job.json").write_text("{]")
    (root / "2-empty").mkdir()
    (root / "worker.lock").touch()
    assert jobs.listing(root) == []
    assert jobs.find(root, "../jobs") is None
    assert jobs.find(root, "") is None
    with pytest.raises(ValueError, match="there is no work called 'nothing'"):
        jobs.submit(root, "nothing", "t", {})


@pytest.mark.parametrize(
    "odd",
    [
        {"pid": "abc"},
        {"pid": -1},
        {"pid": 10**30},
        {"pid": True},
        {"id": "2-other"},
        {"state": "odd"},
        {"state": []},
        {"title": 5},
        {"message": None},
        {"arguments": []},
        {"progress": 2},
        {"progress": float("nan")},
        {"started": "now"},
        {"finished": 1e300},
        {"result": {}},
        {"host": 7},
    ],
)
def test_a_record_with_an_odd_field_harms_nothing(root: Path, odd: dict[str, object]) -> None:
    good = jobs.Job("1-a", "slow", "good", state="done")
    bad = {**good.__dict__, "id": "2-b", "state": "running", **odd}
    for job in (good.__dict__, bad):
        folder = root / ("1-a" if job is good.__dict__ else "2-b")
        folder.mkdir()
        (folder / "job.json").write_text(json.dumps(job))
    assert jobs.listing(root) == [good]
    jobs.cancel(root, "2-b")
    jobs.forget(root, "2-b")


def test_only_an_upload_of_this_workspace_is_removed_with_its_job(root: Path) -> None:
    kept = [root.parent / "elsewhere/uploads/x", root.parent / "uploads", root.parent / "data/x"]
    for place, folder in enumerate([*kept, root.parent / "uploads/a"]):
        folder.mkdir(parents=True, exist_ok=True)
        job = jobs.Job(f"{place}-a", "slow", "t", {"uploaded": str(folder)}, state="running", pid=999_999_999)
        (root / job.id).mkdir()
        jobs.record.write(root, job)
    jobs.record.write(root, jobs.Job("0-a", "slow", "t", {"uploaded": [5]}, state="running", pid=999_999_999))
    assert {job.state for job in jobs.listing(root)} == {"failed"}
    assert all(folder.exists() for folder in kept)
    assert not (root.parent / "uploads/a").exists()


def test_a_job_that_takes_too_long_is_ended_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It heeds no signal; the next one gets its turn."""
    hung = jobs.submit(root, "hang", "h", {"mark": str(root.parent / "began")})
    second = slow(root, "b")
    until(lambda: (root.parent / "b.began").exists())
    found = jobs.find(root, hung.id)
    assert (found.state, found.message[:20]) == ("failed", "it took more than 0.")
    assert (root.parent / "began").exists()
    go(root, "b")
    until(lambda: state(root, second) == "done")


def test_a_job_knows_no_secrets_and_may_not_fill_the_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("FUSESCOPE_DATA", "/d")
    looked, ate = jobs.submit(root, "look", "l", {}), jobs.submit(root, "eat", "e", {})
    until(lambda: not any(job.active for job in jobs.listing(root)))
    most = int(jobs.queue.MEMORY * memory.total())
    assert jobs.find(root, looked.id).result == f"({most}, 0) False True"
    assert f"needs more memory than the {most / 1e9:.1f} GB" in jobs.find(root, ate.id).message


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server in another container sees: the disk, and none of the processes."""
    monkeypatch.setattr(lease, "here", lambda: "0ther000")
    monkeypatch.setattr(lease, "alive", lambda process, began=0: False)


def test_a_job_of_another_container_is_left_alone_while_it_shows_life(root: Path, monkeypatch) -> None:
    job = slow(root, "a")
    until(lambda: (root.parent / "a.began").exists())
    draft = root / job.id / f".draft-{lease.mark()}-x"
    draft.touch()
    with monkeypatch.context() as other:
        elsewhere(other)
        jobs.tidy(root)
        jobs.revive(root)
        assert state(root, job) == "running"
        assert draft.exists()
        other.setattr(lease, "LOST", -1.0)
        other.setattr(lease, "ABANDONED", -1.0)
        assert jobs.record.lives(root, jobs.find(root, job.id)) is False
        jobs.tidy(root)
        assert not draft.exists()
    assert state(root, job) == "failed", "a server that has seen no sign of life says so"
    go(root, "a")


def test_a_job_is_stopped_from_another_container(root: Path, monkeypatch) -> None:
    job = slow(root, "a", "stubborn")
    until(lambda: (root.parent / "a.began").exists())
    process = jobs.find(root, job.id).pid
    with monkeypatch.context() as other:
        elsewhere(other)
        jobs.cancel(root, job.id)
    until(lambda: not alive(process))
    assert state(root, job) == "cancelled"


def test_features_are_imported_by_a_real_job(root: Path) -> None:
    folder = feature_folder(root.parent / "made")
    out = root.parent / "data" / "mine"
    given = {"folder": str(folder), "options": {"fps": 30}, "out": str(out), "name": "mine"}
    job = jobs.submit(root, "features", "features of made", given)
    until(lambda: not jobs.find(root, job.id).active)
    assert (state(root, job), jobs.find(root, job.id).result) == ("done", "mine")
    assert native.read(out).fps == 30
    (folder / "emb/Fight002_x264_emb.npy").write_bytes(b"x")
    job = jobs.submit(root, "features", "features of made", {**given, "out": str(out.with_name("other"))})
    until(lambda: not jobs.find(root, job.id).active)
    assert "emb/Fight002_x264_emb.npy' is no .npy file" in jobs.find(root, job.id).message
    assert not out.with_name("other").exists()
    jobs.forget(root, job.id)
    assert jobs.find(root, job.id) is None


def test_a_queue_whose_worker_was_killed_goes_on_when_someone_looks_and_with_one_worker(root: Path) -> None:
    first, second = slow(root, "a"), slow(root, "b")
    until(lambda: (root.parent / "a.began").exists())
    for process in [*_processes("work", str(root)), *_processes("run", str(root))]:
        os.kill(process, signal.SIGKILL)
    until(lambda: not _processes("work", str(root)) and not _processes("run", str(root)))
    assert [state(root, job) for job in (first, second)] == ["failed", "queued"]
    for _ in range(20):  # many look at once, before the new worker has begun
        jobs.revive(root)
    assert len(_processes("work", str(root))) == 1
    until(lambda: (root.parent / "b.began").exists())
    go(root, "b")
    until(lambda: state(root, second) == "done")
    jobs.revive(root)
    until(lambda: not _processes("work", str(root)))


def test_a_job_that_ends_sees_that_the_queue_goes_on(root: Path) -> None:
    first, second = slow(root, "a"), slow(root, "b")
    until(lambda: (root.parent / "a.began").exists())
    for process in _processes("work", str(root)):
        os.kill(process, signal.SIGKILL)
    go(root, "a")
    until(lambda: (root.parent / "b.began").exists())
    assert state(root, first) == "done"
    go(root, "b")
    until(lambda: state(root, second) == "done")


def test_what_a_killed_writer_left_is_tidied_and_the_queue_is_bounded(root: Path, monkeypatch) -> None:
    (root / "0-half").mkdir()
    (root / f"0-half/.draft-{lease.here()}-999999999-1-x").touch()
    (root / "1-new").mkdir()
    os.utime(root / "0-half", (0, 0))
    jobs.tidy(root)
    os.utime(root / "0-half", (0, 0))  # the sweep of its draft touched it
    jobs.tidy(root)
    assert [path.name for path in root.iterdir()] == ["1-new"]
    monkeypatch.setattr(jobs.queue, "ensure", lambda root: None)
    monkeypatch.setattr(jobs.queue, "MOST_WAITING", 2)
    for name in "ab":
        slow(root, name)
    with pytest.raises(ValueError, match="2 jobs wait already"):
        slow(root, "c")


def test_kills_of_app_worker_and_job_break_and_lose_nothing(root: Path) -> None:
    """A handful with jobs that are quick; `python -m tests.core.crash --rounds 60` does it with trainings."""
    from core import run
    from core.recipe import Recipe, TrainConfig
    from core.train.loop import train
    from tests.core import crash
    from tests.core.made import dataset

    done = train(dataset(4, 4), Recipe("lego", {"P": 1}, TrainConfig(epochs=1, batch=8)))
    pattern = run.save(done.run, done.model.state_dict(), done.history, root.parent / "pattern")
    out = crash.crash(6, root.parent / "crash", "quick", pattern, most=0.4)
    assert out.well, out
    assert out.jobs >= 4
    assert out.done + out.failed == out.jobs


def _processes(*words: str) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                told = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if all(word.encode() in told for word in words):
                found.append(int(place.name))
    return found

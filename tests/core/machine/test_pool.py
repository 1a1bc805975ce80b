"""Tasks handed to others: every result once, whoever dies on the way."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.machine import pool
from core.machine.pool import TRIES, spread


def double(task: int) -> int:
    return 2 * task


def added(task: int, to: int) -> int:
    return task + to


def refuse(task: int) -> int:
    if task == 2:
        raise ValueError("two is too many")
    return task


def once_killed(task: int, folder: str) -> int:
    """Says when it begins and when it is done; the first to begin task 3 dies in the middle of it."""
    begun = Path(folder) / f"begun-{task}"
    first = not begun.exists()
    begun.touch()
    if task == 3 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    with (Path(folder) / "done").open("a") as done:
        done.write(f"{task}\n")
    return 10 * task


def always_killed(task: int, folder: str) -> int:
    with (Path(folder) / f"begun-{task}").open("a") as begun:
        begun.write("x")
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def process(task: int) -> int:
    time.sleep(0.05)
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_gives_its_result_once(workers):
    assert sorted(spread(double, range(7), workers=workers)) == [(i, 2 * i) for i in range(7)]


def test_nothing_to_do_is_no_error():
    assert list(spread(double, [], workers=2)) == []


def test_what_is_shared_reaches_every_worker():
    assert sorted(spread(added, range(4), workers=2, shared=(100,))) == [(i, 100 + i) for i in range(4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_says_which_task_it_was(workers):
    with pytest.raises(ValueError, match="two is too many") as caught:
        list(spread(refuse, range(4), workers=workers))
    assert "in task 3 of 4" in caught.value.__notes__


def test_results_before_an_error_are_handed_out():
    given = []
    with pytest.raises(ValueError, match="too many"):
        given.extend(index for index, _ in spread(refuse, range(4)))
    assert given == [0, 1]


def test_a_killed_process_loses_nothing(tmp_path):
    found = list(spread(once_killed, range(8), workers=2, shared=(str(tmp_path),)))
    assert sorted(found) == [(i, 10 * i) for i in range(8)]


def test_a_task_that_kills_every_worker_is_named_after_three_tries_and_the_rest_is_kept(tmp_path):
    given = []
    with pytest.raises(ValueError, match="task 2 of 3: 3 workers died"):
        given.extend(index for index, _ in spread(always_killed, range(3), workers=2, shared=(str(tmp_path),)))
    assert 1 not in given
    assert (tmp_path / "begun-1").read_text() == TRIES * "x"


def test_an_address_where_nobody_answers_is_a_sentence():
    pytest.importorskip("ray", reason="the cluster tests need requirements-ray.txt")
    with pytest.raises(ValueError, match="no Ray cluster answers at '127.0.0.1:1'"):
        list(spread(double, [1], "127.0.0.1:1"))
    with pytest.raises(ValueError, match="'nowhere' is no address"):
        list(spread(double, [1], "nowhere"))


def test_a_cluster_that_has_lost_all_its_workers_is_told_and_not_waited_for(monkeypatch):
    """Ray itself waits for ever, in the hope of a new machine."""
    cancelled = []
    workers = [{"Alive": True, "Resources": {}}, {"Alive": False, "Resources": {"CPU": 2.0}}]
    answers = [["t0"], [], []]
    ray = SimpleNamespace(
        remote=lambda **_: lambda work: SimpleNamespace(remote=lambda task: f"t{task}"),
        cluster_resources=lambda: {"CPU": 1.0},
        wait=lambda flying, num_returns, timeout: (answers.pop(0), flying),
        get=lambda one: 2 * int(one[1:]),
        nodes=lambda: workers,
        cancel=lambda one, force: cancelled.append(one),
    )
    monkeypatch.setattr(pool, "connect", lambda address: ray)
    monkeypatch.setattr(pool, "LOST", -1.0)
    given = []
    with pytest.raises(ValueError, match="no worker for -1 s, with 2 of 3 tasks still to do; what was done is kept"):
        given.extend(spread(double, range(3), "host:1"))
    assert (given, sorted(cancelled), len(answers)) == ([(0, 0)], ["t1", "t2"], 1)
    workers[1]["Alive"] = True  # one that is only slow is waited for
    answers[:] = [[], [], ["t0"], [], ["t2"], ["t1"]]
    assert list(spread(double, range(3), "host:1")) == [(0, 0), (2, 4), (1, 2)]

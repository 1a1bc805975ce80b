"""Kill -9 of the app, of the worker and of a job at random moments, again and again: what is broken or lost?

    python -m tests.core.crash --rounds 60

    broken   a run folder that cannot be loaded, or a draft that the next start leaves behind
    lost     a job whose record is missing or unreadable, that never ends, or that is called done without its run
    twice    two jobs that were at work at the same time

Jobs are real trainings on made clips, each its own seed; `quick` ones write the same folders without torch, for the
suite. Exits with 1 when anything is broken, lost or done twice.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import jobs
from core.machine import drafts

HOME = Path(__file__).parents[2]
VICTIMS = ("app", "worker", "job")
RUN = ("run.json", "model.safetensors", "history.csv")


@dataclass
class Outcome:
    rounds: int = 0
    jobs: int = 0
    done: int = 0
    failed: int = 0
    broken: int = 0
    lost: int = 0
    twice: int = 0
    killed: str = ""

    @property
    def well(self) -> bool:
        return not (self.broken or self.lost or self.twice)


def quick(given: dict, report: Callable[[float, str], None]) -> str:
    """Writes a run as `runs.save` does, file by file, in a quarter of a second."""
    target = Path(given["runs"]) / f"lego-{given['seed']:012x}"
    with drafts.new_folder(target) as draft:
        for step, name in enumerate(RUN):
            report(step / 3, f"writing {name}")
            shutil.copyfile(Path(given["pattern"]) / name, draft / name)
            time.sleep(0.08)
    return target.name


def sweep(workspace: Path) -> None:
    """`shelf.sweep` of what jobs leave; that module imports torch, which would slow every small process down."""
    for folder in (workspace / "runs", workspace / "jobs", *(workspace / "jobs").glob("*")):
        drafts.sweep(folder)


def app(workspace: Path, seed: int, kind: str, pattern: str) -> None:
    """What the app does: sweep at start, submit, and look at the queue every little while, until it is killed."""
    sweep(workspace)
    root = workspace / "jobs"
    given: dict = {"seed": seed, "runs": str(workspace / "runs"), "pattern": pattern}
    if kind == "train":
        told = {"fusion": "lego", "options": {"P": 1, "Q": 1}, "training": {"epochs": 40, "batch": 8}, "seeds": [seed]}
        given = {"order": told, "dataset": pattern, "runs": str(workspace / "runs")}
    job = jobs.submit(root, kind, f"job {seed}", given)
    print(job.id, flush=True)
    while True:
        jobs.revive(root)
        time.sleep(0.1)


def processes(*words: str) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                told = (place / "cmdline").read_bytes().split(b"\0")
                if all(word.encode() in told for word in words):
                    found.append(int(place.name))
    return found


def kill(victim: str, own: subprocess.Popen, root: Path) -> bool:
    """Kill -9; False when there is nothing of the kind just now."""
    if victim == "app":
        own.kill()
        return True
    found = processes("work" if victim == "worker" else "run", str(root.resolve()))
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return bool(found)


def crash(rounds: int, workspace: Path, kind: str, pattern: Path, seed: int = 0, most: float = 4.0) -> Outcome:
    """So many rounds of: an app that submits a job, and after up to `most` seconds a kill."""
    jobs.queue.COMMAND = COMMAND
    chance, told, killed = random.Random(seed), [], dict.fromkeys(VICTIMS, 0)
    root = workspace / "jobs"
    root.mkdir(parents=True)
    for number in range(rounds):
        own = subprocess.Popen(
            [sys.executable, "-m", "tests.core.crash", "app", str(workspace), str(number), kind, str(pattern)],
            cwd=HOME,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert own.stdout is not None
        victim = VICTIMS[number % 3]
        if victim == "app" and number % 2:  # also before or in the middle of its submitting
            time.sleep(chance.uniform(0.1, 0.6))
        elif line := own.stdout.readline().strip():
            told.append(line)
            time.sleep(chance.uniform(0, most))
        killed[victim] += kill(victim, own, root)
        own.kill()
        rest = own.stdout.read().split()
        told += [line for line in rest if line not in told]
        own.wait()
        own.stdout.close()
    sweep(workspace)  # the next start
    end = time.monotonic() + 60 + 60 * len(told)  # patience for a busy machine
    while any(job.active for job in jobs.listing(root)) and time.monotonic() < end:
        jobs.revive(root)
        time.sleep(0.1)
    while (processes("work", str(root.resolve())) or processes("run", str(root.resolve()))) and time.monotonic() < end:
        time.sleep(0.05)
    sweep(workspace)
    return judged(workspace, told, rounds, ", ".join(f"{name} {count}" for name, count in killed.items()))


def judged(workspace: Path, told: list[str], rounds: int, killed: str) -> Outcome:
    """What is left, looked at as the app would."""
    from core import run

    root, out = workspace / "jobs", Outcome(rounds, len(told), killed=killed)
    kept = workspace / "runs"
    whole = set()
    for folder in sorted(kept.iterdir()) if kept.is_dir() else ():
        if folder.name.startswith("."):
            out.broken += 1
            continue
        try:
            run.model(folder)
            run.history(folder)
            whole.add(folder.name)
        except ValueError as error:
            print(error, file=sys.stderr)
            out.broken += 1
    out.broken += len(list(root.glob("**/.draft-*")))
    spans = []
    for name in told:
        job = jobs.find(root, name)
        if job is None or job.active or (job.state == "failed" and not job.message):
            print(f"lost: {name} {job}", file=sys.stderr)
            out.lost += 1
        elif job.state == "done":
            out.done += 1
            out.lost += not set(job.result.split()) <= whole or not job.result
            spans.append((job.started, job.finished))
        else:
            out.failed += 1
    spans.sort()
    out.twice = sum(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))
    return out


def main(words: list[str]) -> int:
    jobs.kinds.HANDLERS["quick"] = quick
    jobs.queue.COMMAND = COMMAND
    if words[:1] == ["app"]:
        app(Path(words[1]), int(words[2]), words[3], words[4])
    if words[:1] in (["work"], ["run"]):
        jobs.queue.main(words)
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(words)
    from core.data import native
    from tests.core.made import dataset

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        pattern = native.write(dataset(), Path(scratch) / "data")
        began = time.monotonic()
        out = crash(asked.rounds, Path(scratch) / "ws", "train", pattern, asked.seed)
        print(
            f"{out.rounds} rounds in {time.monotonic() - began:.0f} s, killed: {out.killed}; {out.jobs} jobs: "
            f"{out.done} done, {out.failed} failed as told; broken {out.broken}, lost {out.lost}, twice {out.twice}"
        )
        return 0 if out.well else 1


COMMAND = (sys.executable, "-m", "tests.core.crash")
if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

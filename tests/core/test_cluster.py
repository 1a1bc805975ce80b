"""The cases of `ray_cases.py`, each told here, run in one process that may die without taking the others along."""

import ast
import contextlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

CASES = Path(__file__).with_name("ray_cases.py")
NAMES = [
    node.name
    for node in ast.parse(CASES.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
LONGEST = 240  # seconds; 50 on two idle cores


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong in each case, "" where nothing did."""
    pytest.importorskip("ray", reason="the cluster tests need requirements-ray.txt")
    said = ""
    # Ray ends its driver when its own daemons are late, which says something of the machine and nothing of the cases:
    # a process that died without a report is begun once more; a case that failed is not
    for attempt in range(2):
        root = tmp_path_factory.mktemp(f"ray-{attempt}")
        report = root / "report.xml"
        with (root / "out").open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
                + [f"--junitxml={report}", f"--basetemp={root / 'tmp'}", str(CASES)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
                start_new_session=True,
            )
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(LONGEST)
            finally:
                if child.poll() is None:
                    for process in [*psutil.Process(child.pid).children(recursive=True), child]:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                child.wait()
        said = (root / "out").read_text(errors="replace")[-4000:]
        if report.exists():
            return {
                case.get("name", ""): "\n".join(f"{part.get('message')}\n{part.text}" for part in case)
                for case in ET.parse(report).iter("testcase")
            }
    pytest.fail(f"Ray's process gave no report, twice:\n{said}")


@pytest.mark.timeout(2 * LONGEST + 60)
@pytest.mark.parametrize("case", NAMES)
def test_on_a_cluster(case: str, told: dict[str, str]) -> None:
    assert told[case] == ""

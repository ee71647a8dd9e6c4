"""Runs `space_crew_cases.py` in a process of its own: what is forked must not have computed before.

Threads that OpenCV and torch started in other tests are not there in a fork, which would wait for them for ever. The
page of a Space never computes itself.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CASES = Path(__file__).with_name("space_crew_cases.py")


@pytest.mark.slow
def test_all_cases_hold_in_a_process_that_has_not_computed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", CASES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout + done.stderr

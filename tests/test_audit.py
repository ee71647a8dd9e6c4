"""The audit of dependencies fails at a known vulnerability, and never passes off as an audit what was none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / ".ci" / "audit.py"
CLEAN = '{"name": "a", "version": "1", "vulns": []}'
SKIPPED = '{"name": "b", "skip_reason": "Dependency not found and could not be audited"}'
KNOWN = '{"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}'


def audit(folder: Path, script: str, *flags: str) -> tuple[int, str]:
    """Exit status and words of the audit, with `script` in place of pip-audit."""
    (folder / "pip_audit.py").write_text(script)
    env = {**os.environ, "PYTHONPATH": str(folder)}
    ran = subprocess.run(
        [sys.executable, str(AUDIT), *flags], env=env, capture_output=True, text=True, timeout=300
    )
    return ran.returncode, ran.stdout


def says(*packages: str) -> str:
    listed = ", ".join(packages)
    return f"""print('{{"dependencies": [{listed}]}}')"""


@pytest.mark.parametrize(
    ("script", "status", "strict", "audited", "missed"),
    [
        (says(CLEAN, CLEAN), 0, 0, "Audited: 2", False),
        (says(CLEAN, SKIPPED), 0, 3, "Audited: 1", True),
        (says(SKIPPED, SKIPPED), 0, 3, "", True),
        (says(KNOWN, SKIPPED), 1, 1, "VULNERABLE: c 2: PYSEC-1", True),
        (
            "import sys; print('no route to host', file=sys.stderr); sys.exit(1)",
            0,
            3,
            "no route to host",
            True,
        ),
        ("print('')", 0, 3, "", True),
    ],
)
def test_the_audit_says_what_it_knows(
    tmp_path: Path, script: str, status: int, strict: int, audited: str, missed: bool
) -> None:
    code, words = audit(tmp_path, script)
    assert code == status and audited in words and ("NOT AUDITED" in words) is missed
    assert ("Audited:" in words) is (audited != "" and "no route" not in audited)
    assert audit(tmp_path, script, "--require")[0] == strict

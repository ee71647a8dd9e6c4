#!/usr/bin/env python3
"""Compare the installed packages with the database of known vulnerabilities; exit 1 where one is known.

Where the database cannot be reached, or does not know some packages, the last line says which were not audited, and the
exit status is 0: whether a network is there is no property of the code. With `--require` it is 3 then.
"""

import json
import subprocess
import sys
from typing import Any

SECONDS = 120
_PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off")


def ask() -> list[dict[str, Any]] | str:
    """Return what pip-audit says of each package, or why it said nothing."""
    command = [*_PIP_AUDIT, "--timeout", "10"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    try:
        packages: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return (ran.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:300]
    return packages


def report(packages: list[dict[str, Any]]) -> tuple[list[str], bool, bool]:
    """Return the lines to print, whether a vulnerability is known, and whether all was audited."""
    missed = [package["name"] for package in packages if "skip_reason" in package]
    lines = [
        f"VULNERABLE: {package['name']} {package['version']}: {hole['id']}, "
        f"mended in {', '.join(hole['fix_versions']) or 'no release'}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    known = len(lines)
    if len(missed) < len(packages):
        lines.append(f"Audited: {len(packages) - len(missed)} packages; known vulnerabilities: {known}.")
    if missed:
        some = ", ".join(missed[:4])
        lines.append(
            f"NOT AUDITED: the database does not know {len(missed)} of {len(packages)} packages ({some} ...)."
        )
    return lines, known > 0, not missed


def main(arguments: list[str]) -> int:
    """Print what is known, then what was not audited; returns the exit status."""
    packages = ask()
    lines, known, complete = (
        report(packages)
        if isinstance(packages, list)
        else (
            [f"NOT AUDITED: the database of vulnerabilities could not be asked ({packages})."],
            False,
            False,
        )
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if known else 3 if not complete and "--require" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command line: the same jobs as the page's, without a browser.

Exit codes: 0 done, 1 internal error, 2 bad input, 3 not enough memory or disk, 4 weights missing, 5 some files
of a folder failed, 130 cancelled. With `--json` stdout is nothing but events, one JSON object a line.
"""

import os
import signal
import sys
from typing import Any

if __name__ == "__main__" and sys.argv[1:2] == ["work"]:
    # Before the imports, which take a second or more: a worker that is asked to leave meanwhile has nothing to give
    # back. The command sets handlers of its own.
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, lambda *_: os._exit(0))

import cyclopts
from pydantic import ValidationError

from pipelines.cli.commands import make_app
from pipelines.cli.console import Console
from pipelines.errors import BadInput, Cancelled, LongtakeError, name_os_error
from pipelines.storage.names import quoted
from pipelines.weights.locate import anchor


def _one_line(error: cyclopts.CycloptsError) -> str:
    cause: Any = error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error).splitlines()[0]
    first = cause.errors()[0]
    where = "".join(f"--{str(part).replace('_', '-')} " for part in first["loc"] if isinstance(part, str))
    got = f" (not {quoted(first['input'])})" if first["loc"] else ""
    return f"{where}{first['msg'].removeprefix('Value error, ')}{got}."


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are one line on stderr, what and what to do."""
    console = Console(json="--json" in arguments)
    anchor()
    try:
        make_app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        console.error(BadInput(_one_line(error), "See `--help` for commands and flags."))
        return BadInput.exit_code
    except LongtakeError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Cancelled.exit_code
    except BrokenPipeError:
        # Whoever read our output is gone; nothing more can be said there.
        _drop_stdout()
        return 1
    except OSError as error:
        if (known := name_os_error(error)) is None:
            raise
        console.error(known)
        _drop_stdout()  # it may be stdout that is full
        return known.exit_code
    return 0


def _drop_stdout() -> None:
    """Send what is still to be written to stdout nowhere, so that the interpreter does not fail at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

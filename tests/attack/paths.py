"""Files of the server that are none of the visitor's business."""

import sys
from pathlib import Path

from tests.attack.blackbox import Raw, main, served


def attack_foreign_paths_as_files(out: Path) -> None:
    """No path of the server is taken for an upload: each call ends in an error, and no job is made."""
    server = served(out)
    visitor = Raw(server)
    secret = server.jobs / "secret"
    for path in (
        "/etc/passwd",
        str(secret),
        f"file://{secret}",
        "../secret",
        "/proc/self/environ",
        "/dev/zero",
    ):
        kind, data = visitor.answer(
            "submit", file={"path": path, "meta": {"_type": "gradio.FileData"}}, task="score"
        )
        assert kind in ("error", "http"), (path, data)
    assert visitor.answer("jobs") == ("complete", [[]])


if __name__ == "__main__":
    sys.exit(main(globals()))

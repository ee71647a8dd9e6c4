"""The page: `python app.py`. Flags and launch; no torch here."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import App, Parameter

from pipelines.errors import BadInput

_IDLE_SECONDS = 300.0
"""How long a worker is kept warm for the next job."""

app = App(name="python app.py", help="Longtake in a browser.")


@app.default
def serve(
    *,
    server_name: str = "127.0.0.1",
    server_port: int = 7860,
    share: Annotated[bool, Parameter(negative="")] = False,
    jobs_dir: Path = Path("jobs"),
    ram_limit_gb: float | None = None,
    max_upload_gb: float = 64.0,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; a job that runs then stops at the next frame and can be resumed.

    Args:
        server_name: Address to listen on; 0.0.0.0 lets others in.
        server_port: Port to listen on.
        share: Also open a public link, for anyone who knows it.
        jobs_dir: Where jobs and uploads are kept.
        ram_limit_gb: No job may hold more host memory than this, GiB.
        max_upload_gb: Largest file that is taken, GiB.
    """
    jobs_dir = jobs_dir.absolute()
    jobs_dir.mkdir(parents=True, exist_ok=True)
    # Gradio reads these on import.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(jobs_dir / "cache")
    from pipelines.queue import JobQueue
    from ui import look
    from ui.page import I18N, build

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    queue = JobQueue(jobs_dir, idle_seconds=_IDLE_SECONDS)
    page = build(queue, ram_limit_gb=ram_limit_gb)
    try:
        _, url, shared = page.launch(
            server_name=server_name,
            server_port=server_port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            show_error=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api", "settings"],
            max_file_size=int(max_upload_gb * 2**30),
            theme=look.theme(),
            css_paths=look.CSS_PATH,
            head=look.HEAD,
            i18n=I18N,
        )
        say = sys.stderr.write
        say(f"Longtake is at {url}\n")
        if share:
            say(
                f"Shared at {shared}: anyone with the link can use it.\n"
                if shared
                else "No share link: no tunnel.\n"
            )
        stop.wait()
    finally:
        queue.close()
        page.close(verbose=False)


def main(arguments: list[str]) -> int:
    """Run with these flags; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        sys.stderr.write(f"{str(error).splitlines()[0]} `--help` lists what there is.\n")
        return BadInput.exit_code
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return BadInput.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

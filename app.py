"""The web page: `python app.py`. Flags and launch; torch is not loaded here."""

import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import App, Parameter, validators

from memory.slices import KINDS, SPACE, has_slices
from memory.units import GIB
from pipelines.cli.options import (
    CrewName,
    JobsAtOnce,
    RayAddress,
    RayInsecure,
    WaitWorkers,
    Workers,
    team_of,
)
from pipelines.errors import BadInput, Cancelled, LongtakeError
from pipelines.weights.locate import anchor
from pipelines.workers.runner import Team
from ui.server import passwords
from ui.server.passwords import Passwords
from ui.server.policy import Policy, gib, is_loopback, sentence

if TYPE_CHECKING:
    import gradio as gr

    from pipelines.scheduler.places import AtOnce
    from pipelines.workers.space_worker import SpaceWorker
    from ui.gate import Names

_IDLE_SECONDS = 300.0
"""Idle time after which a worker exits: a next job within five minutes starts without loading its engine."""
_UPLOADS_SHARE = 0.2
"""The part of --jobs-max-gb that jobs of more than an hour ago leave to uploads: by default two of the largest."""

app = App(name="python app.py", help="Run Longtake in the browser.")


def _rule(name: str) -> Parameter:
    return Parameter(help=sentence(name), show_default=False)


@app.default
def serve(  # noqa: D417  the policy's flags have their help in ui/server/policy.py
    *,
    server_name: Annotated[str | None, Parameter(env_var="GRADIO_SERVER_NAME")] = None,
    server_port: Annotated[int, Parameter(env_var="GRADIO_SERVER_PORT")] = 7860,
    root_path: Annotated[str | None, Parameter(env_var="GRADIO_ROOT_PATH")] = None,
    share: Annotated[bool, Parameter(negative="")] = False,
    auth: Annotated[list[str] | None, Parameter(negative="")] = None,
    auth_file: Path | None = None,
    jobs_dir: Path = Path("jobs"),
    allowed_host: Annotated[list[str] | None, Parameter(env_var="LONGTAKE_ALLOWED_HOST", negative="")] = None,
    allowed_origin: Annotated[
        list[str] | None, Parameter(env_var="LONGTAKE_ALLOWED_ORIGIN", negative="")
    ] = None,
    max_file_size: Annotated[str | None, _rule("max_file_gb")] = None,
    on_disconnect: Annotated[Literal["continue", "pause"] | None, _rule("on_disconnect")] = None,
    jobs_max_gb: Annotated[float | None, _rule("jobs_max_gb")] = None,
    visitor_max_gb: Annotated[float | None, _rule("visitor_max_gb")] = None,
    ram_limit_gb: Annotated[float | None, _rule("ram_limit_gb")] = None,
    max_waiting: Annotated[int | None, _rule("max_waiting")] = None,
    max_jobs_per_visitor: Annotated[int | None, _rule("max_jobs_per_visitor")] = None,
    max_megapixels: Annotated[float | None, _rule("max_megapixels")] = None,
    max_minutes: Annotated[float | None, _rule("max_minutes")] = None,
    stuck_after: Annotated[float | None, Parameter(validator=validators.Number(gt=0))] = None,
    workers: Workers | None = None,
    crew: CrewName = "local",
    store: Annotated[str, Parameter(show_default=False)] = "",
    mixed_devices: Annotated[bool, Parameter(negative="")] = False,
    wait_workers: WaitWorkers = None,
    ray_address: RayAddress = "",
    ray_insecure: RayInsecure = False,
    jobs_at_once: JobsAtOnce = 1,
    inspect_at_once: Annotated[int | None, _rule("inspect_at_once")] = None,
    inspect_max_gb: Annotated[float | None, _rule("inspect_max_gb")] = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; jobs that are running or waiting then can be resumed.

    The defaults of the limits depend on who can reach the page: only this machine, others (another address, --share,
    --auth or --root-path), or everybody on a Hugging Face Space. Each limit has a flag that overrides its default.

    Args:
        server_name: Address to listen on; 0.0.0.0 accepts other machines. Default: 127.0.0.1; 0.0.0.0 on a Space.
        server_port: Port to listen on.
        root_path: Path under which a reverse proxy serves the page, such as /longtake. Default: none.
        share: Also open a public link through Gradio's servers, for anyone who has it.
        auth: USER:PASS of a user who may log in; may be repeated. Other users of this machine can see it in the list
            of processes, so prefer --auth-file. Default: no login.
        auth_file: File of users who may log in, with `user:hash` lines as printed by `python app.py password USER` or
            `htpasswd -B`. It is reread when it changes. Default: none.
        jobs_dir: Folder in which jobs and uploads are kept.
        stuck_after: Seconds without progress after which the worker is replaced. Default: 120, or ten usual gaps where
            those are longer.
        workers: How many workers compute a job together: a number, or auto for one on each GPU. The result is the
            same; the limit on memory holds for all together. Default: one, or with --crew pulled or ray all there are.
        crew: Who they are: processes of this machine, those that `python -m pipelines work` let join the folder of
            jobs, or those of a Ray cluster.
        store: With --crew pulled: the object store, such as s3://bucket/prefix, that they join. Default: the folder of
            jobs.
        mixed_devices: Let workers of other builds or on other kinds of devices join, too: the result may differ from
            that of one.
        jobs_at_once: How many jobs run side by side where the plan says that they fit: a number, or auto for one on
            each GPU. Visitors take turns. Results are the same; the limit on memory holds for all together.
        allowed_host: Another name under which the server is reached, such as longtake.example; may be repeated.
            Requests for other names are refused; localhost and addresses need no flag. Default: --server-name, and
            the name in a --root-path that is a URL; on a Space, the Space's.
        allowed_origin: Site whose pages may use the server, such as https://site.example; may be repeated. Default:
            the server's own pages only.
    """
    on_space = "SPACE_ID" in os.environ
    name = server_name or ("0.0.0.0" if on_space else "127.0.0.1")
    users = Passwords(auth or (), auth_file) if auth or auth_file else None
    local = is_loopback(name) and not (share or users or root_path)
    policy = (Policy.space() if on_space else Policy() if local else Policy.public()).changed(
        max_file_gb=gib(max_file_size) if max_file_size else None,
        behind_proxy=True if root_path else None,
        allowed_hosts=tuple(allowed_host) if allowed_host else None,
        allowed_origins=tuple(allowed_origin) if allowed_origin else None,
        on_disconnect=on_disconnect,
        jobs_max_gb=jobs_max_gb,
        visitor_max_gb=visitor_max_gb,
        ram_limit_gb=ram_limit_gb,
        max_waiting=max_waiting,
        max_jobs_per_visitor=max_jobs_per_visitor,
        max_megapixels=max_megapixels,
        max_minutes=max_minutes,
        inspect_at_once=inspect_at_once,
        inspect_max_gb=inspect_max_gb,
    )
    if os.environ.get(SPACE, KINDS[0]) not in KINDS:
        raise BadInput(
            f"{SPACE} is {os.environ[SPACE]!r}.", f"Use one of {', '.join(KINDS)}, or leave it unset."
        )
    team = Team(crew="lent")
    if not has_slices():
        team = team_of(
            workers,
            crew,
            mixed_devices=mixed_devices,
            store=store,
            wait_seconds=wait_workers,
            ray_address=ray_address,
            ray_insecure=ray_insecure,
        )
    jobs_dir = jobs_dir.absolute()
    jobs_dir.mkdir(parents=True, exist_ok=True)
    anchor()
    _set_environment(jobs_dir)
    address = {"server_name": name, "server_port": server_port, "root_path": root_path}
    _serve(
        jobs_dir,
        policy,
        users,
        address,
        share=share and not on_space,
        stuck_seconds=stuck_after,
        team=team,
        jobs_at_once=jobs_at_once,
    )


@app.command
def password(user: str, /) -> None:
    """Print a line for --auth-file; prompts for the password twice, or reads it from the first line of stdin.

    Args:
        user: Name to log in with.
    """
    sys.stdout.write(passwords.make_line(user, passwords.ask()) + "\n")


def _set_environment(jobs_dir: Path) -> None:
    """Set what Gradio and httpx read on import and at launch."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(jobs_dir / "cache")
    # At launch Gradio sends a request to its own address, which must not go through a proxy.
    for key in ("no_proxy", "NO_PROXY"):
        os.environ[key] = ",".join(filter(None, [os.environ.get(key), "localhost,127.0.0.1,::1"]))


def _serve(
    jobs_dir: Path,
    policy: Policy,
    users: Passwords | None,
    address: dict[str, Any],
    *,
    share: bool,
    stuck_seconds: float | None,
    team: Team,
    jobs_at_once: "AtOnce",
) -> None:
    # Imported here: Gradio reads the environment on import, and `password` does not need it.
    gpu = _lent_gpu(jobs_dir) if team.crew == "lent" else None
    from pipelines.scheduler.janitor import Janitor
    from pipelines.scheduler.places import Places
    from pipelines.scheduler.queue import JobQueue
    from pipelines.workers.process import WorkerProcess
    from ui import launch
    from ui.gate import Names
    from ui.jobs.clicks import noting_clicks
    from ui.jobs.service import JobService
    from ui.page import build
    from ui.server import metrics
    from ui.server.monitor import Monitor

    names = Names.of(address, policy.allowed_hosts, os.environ)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    queue = JobQueue(
        jobs_dir,
        idle_seconds=_IDLE_SECONDS,
        max_waiting=policy.max_waiting,
        places=Places.of(jobs_at_once, partial(WorkerProcess, stuck_seconds, team)),
    )
    monitor = Monitor(queue, ram_limit_gb=policy.ram_limit_gb)
    service = JobService(queue, policy, asked=noting_clicks(gpu.asked) if gpu else None)
    most_bytes = int(policy.jobs_max_gb * GIB) if policy.jobs_max_gb else None
    reserve_bytes = int((most_bytes or 0) * _UPLOADS_SHARE)
    janitor = Janitor(queue, most_bytes, reserve_bytes=reserve_bytes, spare=service.room.spare)
    monitor.start()
    if gpu:
        gpu.start()
    page = build(service, monitor, lambda: janitor.notices, has_logins=users is not None)
    counts = metrics.JobCounts(jobs_dir)
    try:
        url = launch.launch(
            page,
            policy,
            users,
            address,
            names,
            is_stopping=stopping.is_set,
            metrics=lambda: metrics.render(monitor, counts(), queue.spans),
            room=service.room,
        )
        janitor.start()
        _say(f"Longtake is at {url}")
        if share:
            threading.Thread(target=_share, args=(page, users, names), daemon=True).start()
        stopping.wait()
    finally:
        stopping.set()
        leave = [gpu.close] if gpu else []
        launch.stop(queue, page, service.presence.close, monitor.close, janitor.close, *leave)


def _lent_gpu(jobs_dir: Path) -> "SpaceWorker":
    """Return the page as a worker, on a Space that lends its GPU call by call. To be called before Gradio is loaded."""
    from pipelines.workers.space_call import lent_gpu
    from pipelines.workers.space_worker import SpaceWorker

    return SpaceWorker(jobs_dir, lent_gpu())


def _share(page: "gr.Blocks", users: Passwords | None, names: "Names") -> None:
    from ui import launch

    try:
        link = launch.open_tunnel(page)
        names.add(link)
    except launch.NoTunnel as error:
        _say(str(error))
    else:
        who = (
            "those who can log in"
            if users
            else "anyone with the link can use it (add a login with --auth-file)"
        )
        _say(f"Shared at {link}: {who}")


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run with these command-line arguments; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        _say(f"{str(error).splitlines()[0]} `--help` lists the options.")
        return BadInput.exit_code
    except LongtakeError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        _say(str(error))
        return BadInput.exit_code
    except KeyboardInterrupt:
        return Cancelled.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

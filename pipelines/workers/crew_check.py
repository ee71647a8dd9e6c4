"""Which workers there are for a job, which of them can be used, and why others cannot."""

import contextlib
import os
import platform
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.doctor import Finding
from pipelines.errors import BadInput, NoWorker
from pipelines.settings.base import Machine
from pipelines.workers.builds import builds, device_of, difference
from pipelines.workers.exchange import RUN, Card, Exchange, Leave, Post
from pipelines.workers.meeting import exchange_to_look
from pipelines.workers.ray_access import LOCAL, lets_strangers_in, token_source
from pipelines.workers.ray_cluster import Node, Probe, RayCluster
from pipelines.workers.ray_crew import ANSWER_SECONDS
from pipelines.workers.runner import Team

_PROBE_SECONDS = 10.0
"""How long a worker may take to answer through the folder."""
_POLL_SECONDS = 0.05

Report = Callable[[list[Finding]], None]


def check_crew(team: Team, jobs_dir: Path, report: Report) -> None:
    """Report who there is for `team`, with what differs and what a probe of the folder says. Takes some seconds.

    Raises NoWorker where none can be used, with what to do.
    """
    here = Card(host=socket.gethostname(), device=device_of(Machine()), builds=builds())
    if team.crew == "pulled":
        where = team.store or str(jobs_dir)
        flag = "--store" if team.store else "--jobs-dir"
        exchange = exchange_to_look(team.store, jobs_dir)
        found = list(_pulled(here, exchange, where, mixed=team.mixed_devices))
        advice = f"Start one with `python -m pipelines work {flag} {where}`, on any machine that reaches it."
    else:
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints
            found = list(_in_ray(here, team, jobs_dir))
        advice = (
            f"Let a machine join with `ray start --address={team.ray_address}`: with this version of Longtake, the "
            "same token, and the jobs folder at the same path."
        )
    report(found)
    if not any(each.ok for each in found if each.what == "worker"):
        raise NoWorker("No worker can be used.", advice)


def _pulled(here: Card, exchange: Exchange, where: str, *, mixed: bool) -> Iterator[Finding]:
    """Look at those that have joined; those that are free are asked to join again, which proves that they hear."""
    name = f"{RUN}{secrets.token_hex(8)}"
    with exchange.pulse(name) as pulse:
        try:
            for post in exchange.posts():
                card = post.card() if pulse.age(post.name) < exchange.gone_seconds else None
                if card is None:
                    continue
                if post.taken_by():
                    yield _finding(here, card, "at work", mixed=mixed)
                elif (seconds := _answered(post, name)) is None:
                    yield _finding(here, card, trouble=f"does not answer through {where}", mixed=mixed)
                else:
                    yield _finding(here, card, f"answers in {seconds:.1f} s", mixed=mixed)
        finally:
            pulse.close(remove=True)


def _answered(post: Post, run: str) -> float | None:
    """Send a free worker away, which joins again; return after how many seconds it went, None where it did not."""
    began = time.monotonic()
    if post.take(run):
        post.orders.put(Leave())
    while post.exists():
        if time.monotonic() - began > _PROBE_SECONDS:
            return None
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _in_ray(here: Card, team: Team, jobs_dir: Path) -> Iterator[Finding]:
    try:
        cluster = RayCluster(team, here.device)
    except BadInput as error:
        yield Finding(what="cluster", found=error.message, ok=False, advice=error.hint)
        return
    probe = Probe(jobs_dir)
    try:
        versions = f"Ray {cluster.ray.__version__}, Python {platform.python_version()}"
        yield Finding(what="cluster", found=f"{team.ray_address}: {versions}", ok=True)
        yield _token(team)
        nodes = cluster.nodes()
        cluster.ask(nodes, probe)
        cluster.answers(probe, ANSWER_SECONDS)
        for node in nodes:
            yield _machine(here, node, mixed=team.mixed_devices)
    finally:
        probe.remove()
        cluster.close()


def _machine(here: Card, node: Node, *, mixed: bool) -> Finding:
    places = "1 place" if node.places == 1 else f"{node.places} places"
    if node.card is None:
        why = node.trouble or f"does not answer in {ANSWER_SECONDS:.0f} s"
        return Finding(what="worker", found=f"{node.host}, {places}: {why}", ok=False)
    state = f"{places}, shares the jobs folder"
    return _finding(here, node.card, places if node.trouble else state, trouble=node.trouble, mixed=mixed)


def _finding(here: Card, card: Card, state: str = "", *, trouble: str = "", mixed: bool) -> Finding:
    differs = difference(here, card)
    same = "same builds" if differs is None else str(differs)
    found = ", ".join(filter(None, [card.host, card.device, state, trouble or same]))
    return Finding(what="worker", found=found, ok=not trouble and (mixed or differs is None))


def _token(team: Team) -> Finding:
    """Whether strangers are refused; without `--ray-insecure` there is no connection to a cluster that lets them in."""
    if team.ray_address == LOCAL:
        return Finding(what="token", found="a new one for each run", ok=True)
    if team.ray_insecure and lets_strangers_in(team.ray_address, os.environ):
        advice = (
            "Start the cluster again with RAY_AUTH_MODE=token: whoever reaches it can run programs there."
        )
        return Finding(what="token", found="the cluster asks for none", ok=False, advice=advice)
    return Finding(what="token", found=f"needed, and read from {token_source(os.environ)}", ok=True)

"""Processes that somebody starts before there is a job."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.attack.blackbox import Raw, Server, clip, main, served, start, until


class _Watch:
    """Counts the server's processes that look at files, and what they hold."""

    def __init__(self, server: Server) -> None:
        self.most = 0
        self._server = psutil.Process(server.process.pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, sum(map(_looks, self._server.children())))


def _looks(process: psutil.Process) -> bool:
    try:
        return "workers.inspect" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def attack_a_flood_of_looks(out: Path) -> None:
    """Of one visitor's 24 looks at a time at most two run, sixteen wait, and the others are refused with a sentence;
    ten other visitors get theirs before the flood is through, with never more than four processes."""
    server = start(out, "--root-path=/lt")
    data = clip(out / "film.mp4", seconds=0.4).read_bytes()
    others = [_visitor(server, f"198.51.100.{n}") for n in range(2, 12)]
    flood = [_visitor(server, "198.51.100.1") for _ in range(24)]
    film = flood[0].uploaded("film.mp4", data)
    with ThreadPoolExecutor(40) as crowd:
        with _Watch(server) as alone:
            asked = [crowd.submit(each.answer, "inspect", file=film) for each in flood]
            until(lambda: sum(call.done() for call in asked) >= 7)  # six are refused, one is through
        assert alone.most <= 2, alone.most
        with _Watch(server) as together:
            told = [*crowd.map(lambda each: each.answer("estimate", file=film), others)]
        left = [call for call in asked if not call.done()]
        flooded = [call.result() for call in asked if call.done()]
        server.stop()
    assert [kind for kind, _ in told] == ["complete"] * 10, told
    assert 2 <= together.most <= 4, together.most
    assert left, "the flood is not through yet"
    refused = [str(words) for kind, words in flooded if kind == "error"]
    assert len(refused) == 6, flooded
    assert all("16 of your requests wait already" in words and "queue_full" in words for words in refused)


def attack_a_look_that_fills_memory(out: Path) -> None:
    """A look that takes more memory than a look may is ended and refused with the limit; others go on."""
    server = served(out, "--root-path=/lt", "--inspect-max-gb=0.3")
    visitor = _visitor(server, "198.51.100.31")
    wide = clip(out / "wide.mp4", seconds=0.2, size="8192x8192", source="color").read_bytes()
    kind, told = visitor.answer("inspect", file=visitor.uploaded("wide.mp4", wide))
    assert kind == "error" and "0.3 GiB" in str(told) and "over_limit" in str(told), told
    small = visitor.uploaded("film.mp4", clip(out / "film.mp4", seconds=0.4).read_bytes())
    assert visitor.answer("inspect", file=small)[0] == "complete"


def _visitor(server: Server, address: str) -> Raw:
    """A visitor with a session of their own, who knows the endpoints already."""
    visitor = Raw(server, {"x-forwarded-for": address, "cookie": f"longtake_visitor={address}"})
    if server.url not in _endpoints:
        visitor.parameters("inspect")
        _endpoints[server.url] = visitor._info
    visitor._info = _endpoints[server.url]
    return visitor


_endpoints: dict[str, Any] = {}


if __name__ == "__main__":
    sys.exit(main(globals()))

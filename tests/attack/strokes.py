"""Strokes of a brush that cost more to draw than to send."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.attack.blackbox import Raw, Server, clip, main, served


def attack_strokes_that_take_long(out: Path) -> None:
    """A hundred thousand points of the widest brush are drawn like any stroke, and thousands of strokes of changing
    widths are refused with a sentence; meanwhile the others wait no longer than before, within generous bounds."""
    server = served(out, "--root-path=/lt")
    data = clip(out / "hd.mp4", seconds=0.2, size="1920x1080").read_bytes()
    dots = "9999:" + ",".join(["7,9"] * 90_000) + "@0"
    many = " ".join(f"{'!' if n % 2 else ''}{n % 9 + 1900}:3,3,1900,1000@{n % 3}" for n in range(9_000))
    painters = [Painter(server, f"203.0.113.{n}", data) for n in range(2)]
    other = _visitor(server, "203.0.113.99")
    quiet = max(_seconds(other) for _ in range(3))
    waits, ended = [], threading.Event()

    def probe() -> None:
        while not ended.is_set():
            waits.append(_seconds(other))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    with ThreadPoolExecutor(2) as crowd:
        told = [*crowd.map(lambda each: each[0].start(each[1]), zip(painters, (dots, many), strict=True))]
    ended.set()
    thread.join()
    drawn, refused = told
    assert drawn["success"], drawn
    assert not refused["success"] and "too many brush strokes" in str(refused), refused
    # Drawn point by point, the first takes minutes; a busy machine may pause anybody for seconds.
    assert max(waits) < 20 + 20 * quiet, (max(waits), quiet)


def _visitor(server: Server, address: str) -> Raw:
    return Raw(server, {"x-forwarded-for": address, "cookie": f"longtake_visitor={address}"})


def _seconds(visitor: Raw) -> float:
    begin = time.monotonic()
    assert visitor.http.get("/metrics").status_code == 200
    return time.monotonic() - begin


class Painter:
    """A visitor who opens a video on the page and paints on it, by the page's own events."""

    def __init__(self, server: Server, address: str, video: bytes) -> None:
        self._raw = _visitor(server, address)
        config = self._raw.http.get("/config").json()
        self._parts = {each["id"]: each for each in config["components"]}
        self._events = config["dependencies"]
        self._video = self._raw.uploaded("hd.mp4", video)
        for event in self._events:
            if event["api_name"] == "_load_video":
                self._fire(event, [self._video, *[None] * (len(event["inputs"]) - 1)])

    def start(self, strokes: str) -> Any:
        """Ask for a check of what is painted; returns the end of the event's stream."""
        (event,) = [each for each in self._events if self._starts(each)][:1]
        return self._fire(event, [self._value(part, strokes) for part in event["inputs"]])

    def _starts(self, event: dict[str, Any]) -> bool:
        names = [str(self._parts[part]["props"].get("elem_id")) for part in event["inputs"]]
        return str(event["api_name"]).startswith("start") and "inpaint-strokes" in names

    def _value(self, part: int, strokes: str) -> Any:
        component = self._parts[part]
        name = str(component["props"].get("elem_id"))
        if component["type"] == "state":
            return None
        values = {"inpaint-file": self._video, "inpaint-strokes": strokes, "inpaint-follow": True}
        return values.get(name, component["props"].get("value"))

    def _fire(self, event: dict[str, Any], data: list[Any]) -> Any:
        body = {"fn_index": event["id"], "data": data, "session_hash": self._raw.session}
        joined = self._raw.http.post("/gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        address = f"/gradio_api/queue/data?session_hash={self._raw.session}"
        with self._raw.http.stream("GET", address) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and "process_completed" in line:
                    return json.loads(line[5:])
        raise AssertionError("the stream ended before the event")


if __name__ == "__main__":
    sys.exit(main(globals()))

"""Disk that somebody takes before there is a job."""

import os
import socket
import sys
from pathlib import Path

import psutil

from tests.attack.blackbox import Raw, Server, clip, main, served, until

MB = 1_000_000
_LIMIT_BYTES = 24 * 2**20
_FLAGS = (
    "--root-path=/lt",
    f"--jobs-max-gb={24 / 1024}",
    f"--visitor-max-gb={9 / 1024}",
    "--max-file-size=60mb",
)


def _visitor(server: Server, address: str, cookie: str = "") -> Raw:
    """A visitor whose address a proxy reports; what they claim of it themselves stands before."""
    return Raw(
        server, {"x-forwarded-for": f"10.9.9.9, {address}", "cookie": f"longtake_visitor={cookie or address}"}
    )


def _held_bytes(folder: Path) -> int:
    files = {file.stat().st_ino: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return sum(files.values())


def _temporary(server: Server) -> list[str]:
    return [path.name for path in (server.jobs / "cache").glob("tmp*")]


def attack_uploads_of_a_stranger(out: Path) -> None:
    """Uploads above a visitor's quota get 413 or 507 and a sentence, whatever their cookie; the folder stays within
    its limit, and the finished job of somebody else stays."""
    server = served(out, *_FLAGS)
    victim, noise = _visitor(server, "192.0.2.1"), os.urandom(4 * MB)
    film = victim.uploaded("film.mp4", clip(out / "film.mp4", seconds=0.4).read_bytes())
    assert victim.answer("score", file=film, quality="draft")[0] == "complete"
    stranger, told = _visitor(server, "192.0.2.2"), []
    for number in range(7):
        stranger.http.headers["cookie"] = f"longtake_visitor=another{number}"
        told.append(stranger.upload(f"n{number}.bin", bytes([number]) + noise))
    assert [answer.status_code for answer in told] == [200, 200, *[507] * 5], told
    assert all("one visitor may keep 9.0 MiB" in answer.text for answer in told[2:]), told[-1].text
    assert stranger.upload("big.bin", noise * 3).status_code == 413
    # Others fill the rest: the limit of all holds, and who is refused is told that it is not about them.
    told = [_visitor(server, f"192.0.2.{n}").upload("x.bin", bytes([n]) + noise * 2) for n in range(3, 6)]
    assert [answer.status_code for answer in told] == [200, 200, 507], told
    assert "disk is full" in told[-1].text
    # The janitor looks after each job.
    assert victim.answer("score", file=film, end=0.2)[0] == "complete"
    assert len(victim.answer("jobs")[1][0]) == 2
    assert _held_bytes(server.jobs) <= _LIMIT_BYTES


def attack_uploads_that_do_not_say_their_length(out: Path) -> None:
    """An upload in chunks is refused as soon as it exceeds the quota, with a sentence, and leaves nothing."""
    server = served(out / "empty", *_FLAGS)  # the other is full
    visitor, head = _visitor(server, "192.0.2.21"), _head("c.bin")
    part = os.urandom(MB // 2)

    def chunks():  # type: ignore[no-untyped-def]
        yield head
        for _ in range(40):
            yield part

    answer = visitor.http.post("/gradio_api/upload", content=chunks(), headers=_MULTIPART)
    assert answer.status_code in (413, 507) and "MiB" in answer.text, answer.text
    until(lambda: not _temporary(server))
    assert visitor.upload("small.bin", part * 4).status_code == 200, "nothing of it counts"


def attack_uploads_that_break_off(out: Path) -> None:
    """Uploads that break off, and files under another name than the page's, leave nothing on the disk; several that
    announce themselves at once count together."""
    server = served(out / "empty", *_FLAGS)  # the other is full
    visitor = _visitor(server, "192.0.2.31")
    before = _held_bytes(server.jobs)
    open_ones = [_begun(server, "192.0.2.31", 4 * MB) for _ in range(2)]
    until(lambda: len(_temporary(server)) == 2)
    assert visitor.upload("third.bin", os.urandom(3 * MB)).status_code == 507, "what comes counts"
    for each in open_ones:
        each.close()
    until(lambda: not _temporary(server))
    assert visitor.upload("third.bin", os.urandom(3 * MB)).status_code == 200
    assert _held_bytes(server.jobs) - before < 3.2 * MB
    odd = visitor.http.post("/gradio_api/upload", files={"other": ("o.bin", b"x" * MB)})
    assert odd.status_code == 200, odd.text
    until(lambda: not _temporary(server))


def attack_text_fields_as_memory(out: Path) -> None:
    """A field of an upload that is no file is refused before it fills the server's memory."""
    server = served(out / "empty", *_FLAGS)  # the other is full
    before = server.rss_bytes()
    answer = _visitor(server, "192.0.2.41").http.post(
        "/gradio_api/upload", files={"text": (None, b"x" * 8 * MB)}
    )
    assert answer.status_code == 413, answer.status_code
    assert server.rss_bytes() - before < 30 * 2**20
    assert psutil.pid_exists(server.process.pid)


def attack_the_quota_of_a_colleague(out: Path) -> None:
    """Two who log in from one address have a quota each: what ann keeps is not counted for bob."""
    logins = ("--auth=ann:secret-1", "--auth=bob:secret-2")
    server = served(out / "logins", *logins, f"--jobs-max-gb={40 / 1024}", f"--visitor-max-gb={9 / 1024}")
    ann, bob = Raw(server), Raw(server)
    assert (ann.login("ann", "secret-1"), bob.login("bob", "secret-2")) == (200, 200)
    noise = os.urandom(4 * MB)
    told = [ann.upload(f"{number}.bin", bytes([number]) + noise).status_code for number in range(3)]
    assert told == [200, 200, 507], told
    assert bob.upload("b.bin", b"b" + noise).status_code == 200
    again = Raw(server)
    assert again.login("ann", "secret-1") == 200
    assert again.upload("again.bin", b"again" + noise).status_code == 507, "another browser is still ann"


_MULTIPART = {"content-type": "multipart/form-data; boundary=QQ"}


def _head(name: str) -> bytes:
    return f'--QQ\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()


def _begun(server: Server, address: str, length: int) -> socket.socket:
    """An upload of which only the beginning comes."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    lines = (
        *(
            "POST /gradio_api/upload HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            f"X-Forwarded-For: {address}",
        ),
        *("Content-Type: multipart/form-data; boundary=QQ", f"Content-Length: {length}", "", ""),
    )
    connection.sendall("\r\n".join(lines).encode() + _head("slow.bin") + b"x" * 70_000)
    return connection


if __name__ == "__main__":
    sys.exit(main(globals()))

"""Who asks, and who may see what."""

import asyncio
import stat
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pipelines.jobs.job import Job
from pipelines.settings import ScoreSettings
from ui.server.visitors import COOKIE, GiveCookie, Keys, Visitor, add_owner, drop_owner, owners


def request(**kwargs: Any) -> gr.Request:
    kwargs = {"headers": {}, "client": {"host": "10.0.0.1", "port": 1}} | kwargs
    return gr.Request(None, kwargs.pop("username", None), kwargs.pop("session_hash", "s"), **kwargs)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    return Job.create(tmp_path / "jobs", "score", (clip,), ScoreSettings(), 1)


def test_a_visitor_is_known_by_login_then_cookie_then_session() -> None:
    with_cookie = {"headers": {"cookie": f"a=b; {COOKIE}=abc"}}
    assert Visitor.of(request(session_hash="1", **with_cookie)) == Visitor.of(
        request(session_hash="2", **with_cookie)
    )
    assert Visitor.of(request(session_hash="1")).name != Visitor.of(request(session_hash="2")).name
    ann = Visitor.of(request(username="ann", session_hash="1", **with_cookie))
    assert ann == Visitor.of(request(username="ann", session_hash="2"))
    assert ann.name != Visitor.of(request(session_hash="1", **with_cookie)).name


def test_limits_count_by_address_where_there_is_no_login() -> None:
    first, second = Visitor.of(request(session_hash="1")), Visitor.of(request(session_hash="2"))
    assert first.counted_as == second.counted_as
    other = Visitor.of(request(client={"host": "10.0.0.2", "port": 1}))
    assert other.counted_as != first.counted_as
    assert Visitor.of(request(username="ann")).counted_as != first.counted_as


def test_behind_a_proxy_the_proxy_says_where_a_visitor_comes_from() -> None:
    def counted(forwarded: str, **how: bool) -> str:
        return Visitor.of(request(headers={"x-forwarded-for": forwarded}), **how).counted_as

    assert counted("10.1.1.1", behind_proxy=True) != counted("10.1.1.2", behind_proxy=True)
    assert counted("made up, 10.1.1.1", behind_proxy=True) == counted("10.1.1.1", behind_proxy=True)
    assert counted("10.1.1.1") == counted("10.1.1.2"), "without a proxy anybody may write anything there"


@pytest.mark.parametrize("header", ["", "nonsense", f"{COOKIE}", "a\x00b=;;;", f"{COOKIE}x=abc"])
def test_a_cookie_that_is_none_of_ours_is_none(header: str) -> None:
    assert Visitor.of(request(headers={"cookie": header})) == Visitor.of(request())


def test_names_say_nothing_of_the_cookie() -> None:
    assert "abc" not in Visitor.of(request(headers={"cookie": f"{COOKIE}=abc"})).name


def test_a_key_fits_its_job_and_server_alone(job: Job, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "jobs")
    other = Job(job.folder.with_name("0" * 16))
    for right, key in (("edit", keys.edit(job)), ("view", keys.view(job))):
        assert keys.right(job, key) == right
        assert keys.right(job, key[:-1] + "x") == keys.right(job, key[:-1]) == keys.right(other, key) == ""
        assert keys.right(job, key.upper()) == ""
    assert Keys(tmp_path / "jobs").edit(job) == keys.edit(job), "links survive the server"
    assert Keys(tmp_path / "other").edit(job) != keys.edit(job)
    assert stat.S_IMODE((tmp_path / "jobs" / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["", "é", "\ud800", "\x00", None, 5, [], {"a": 1}, b"k", 1e400, "a" * 10**6])
def test_any_value_is_a_key_that_opens_nothing(job: Job, tmp_path: Path, key: Any) -> None:
    assert Keys(tmp_path / "jobs").right(job, key) == ""


def test_what_an_address_of_a_result_tells_opens_nothing(job: Job, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "jobs")
    made = {keys.edit(job), keys.view(job), keys.files(job)}
    assert len(made) == 3 and keys.right(job, keys.files(job)) == ""


def test_the_same_question_of_two_visitors_is_seen_by_both(job: Job) -> None:
    ann, bob = Visitor("ann", ""), Visitor("bob", "")
    assert owners(job) == frozenset()
    for visitor in (ann, bob, ann):
        add_owner(job, visitor)
    assert owners(job) == {"ann", "bob"}
    assert drop_owner(job, ann) == {"bob"} == owners(job)


def answer_to(scope: dict[str, Any], **how: bool) -> list[tuple[bytes, bytes]]:
    """The headers that a page gets back through the middleware."""
    sent: list[dict[str, Any]] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(GiveCookie(page, **how)(scope, None, send))
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    return [header for header in sent[0]["headers"] if header[0] == b"set-cookie"]


PAGE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "http"}


def test_a_page_gives_a_cookie_that_no_script_can_read() -> None:
    (_, text), (_, again) = answer_to(PAGE)[0], answer_to(PAGE)[0]
    cookie = SimpleCookie(text.decode())[COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and len(cookie.value) >= 24
    assert text != again


def test_inside_another_sites_frame_it_is_of_the_kind_that_is_kept_there() -> None:
    behind_tls = PAGE | {"headers": [(b"x-forwarded-proto", b"https")]}
    ((_, text),) = answer_to(behind_tls, framed=True)
    assert text.endswith(b"; HttpOnly; SameSite=None; Secure; Partitioned")
    ((_, elsewhere),) = answer_to(behind_tls)
    assert elsewhere.endswith(b"; HttpOnly; SameSite=Lax; Secure")
    ((_, without),) = answer_to(PAGE, framed=True)
    assert without.endswith(b"; HttpOnly; SameSite=Lax"), "browsers drop the other kind without https"


@pytest.mark.parametrize(
    "change",
    [{"method": "POST"}, {"path": "/config"}, {"headers": [(b"cookie", f"{COOKIE}=abc".encode())]}],
)
def test_nothing_else_gives_one(change: dict[str, Any]) -> None:
    assert answer_to(PAGE | change) == []


def test_a_network_of_ipv6_counts_as_one() -> None:
    def counted(host: str) -> str:
        request = SimpleNamespace(
            headers={"x-forwarded-for": f"1.1.1.1, {host}"},
            request=True,
            username=None,
            client=None,
            session_hash="s",
        )
        return Visitor.of(request, behind_proxy=True).counted_as  # type: ignore[arg-type]

    assert counted("2001:db8::1") == counted("2001:db8::ffff:2") != counted("2001:db8:0:1::1")
    assert counted("::ffff:192.0.2.1") == counted("192.0.2.1") != counted("192.0.2.2")
    assert counted("fe80::1%eth0") == counted("fe80::2") and counted("no address") != counted("")

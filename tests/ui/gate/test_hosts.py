"""Under which names the server answers."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from pipelines.errors import BadInput
from ui.gate import Names

Gated = Callable[..., TestClient]


def status(client: TestClient, host: str, **headers: str) -> int:
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.get("/config", headers=sent).status_code


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:7860", "localhost.", "localhost.:7860", "127.0.0.1", "127.0.0.1:7860"),
        *(
            "127.9.8.7:1",
            "10.0.0.7:80",
            "[::1]",
            "[::1]:7860",
            "[0:0:0:0:0:0:0:1]",
            "[fe80::1]:7860",
            "0.0.0.0",
        ),
    ],
)
def test_this_machine_and_addresses_need_no_flag(gated: Gated, host: str) -> None:
    assert status(gated(), host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:7860",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
        ),
        *(
            "127.0.0.1@evil.example",
            "localhost:7860@evil.example",
            "localhost, evil.example",
            "127.1",
            "0x7f.1",
        ),
        *(
            "2130706433",
            "[::1].evil.example",
            "[::1",
            "[evil]",
            "",
            ".",
            "evil.example/localhost",
            "127.0.0.1.:x",
        ),
        *("xn--80ak6aa92e.example", "localhost\tevil.example", "longtake.example.evil.example", "a" * 5000),
    ],
)
def test_other_names_are_refused_with_a_sentence(gated: Gated, host: str) -> None:
    answer = gated(allowed_hosts=("longtake.example",)).get("/", headers={"host": host})
    assert answer.status_code == 421 and answer.text.endswith(".") and len(answer.text) < 350


@pytest.mark.parametrize(
    ("flag", "host"),
    [
        ("longtake.example", "LONGTAKE.example.:8443"),
        ("Longtake.Example:443", "longtake.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("box", "box:7860"),
    ],
)
def test_a_name_that_was_given_is_answered_in_any_spelling(gated: Gated, flag: str, host: str) -> None:
    client = gated(allowed_hosts=("other.example", flag))
    assert status(client, host) == 200 and status(client, f"www.{host}") == 421


def test_the_name_that_is_listened_on_and_that_of_a_root_path_are_its_own(gated: Gated) -> None:
    assert status(gated(server_name="box.lan"), "box.lan:7860") == 200
    client = gated(root_path="https://longtake.example:8443/lt")
    assert status(client, "longtake.example") == 200 and status(client, "evil.example") == 421
    assert status(client, "127.0.0.1:7860", x_forwarded_host="evil.example") == 421


def test_a_space_knows_its_names(gated: Gated) -> None:
    environ = {"SPACE_ID": "Some_One/Longtake.v2", "SPACE_HOST": "someone-longtake.hf.space,films.example"}
    client = gated(server_name="0.0.0.0", environ=environ)
    for host in ("someone-longtake.hf.space", "films.example", "some-one-longtake-v2.hf.space"):
        assert status(client, host) == 200
    assert status(client, "evil.hf.space") == 421


def test_what_a_proxy_reports_counts_where_nobody_named_it(gated: Gated) -> None:
    proxied = gated(root_path="/lt")
    assert status(proxied, "127.0.0.1:7860", x_forwarded_host="longtake.example") == 200
    assert status(proxied, "evil.example", x_forwarded_host="evil.example") == 421, "a page may write both"
    assert status(proxied, "evil.example", x_forwarded_host="localhost") == 421
    named = gated(root_path="/lt", allowed_hosts=("longtake.example",))
    assert status(named, "127.0.0.1", x_forwarded_host="longtake.example, inner") == 200
    assert status(named, "127.0.0.1", x_forwarded_host="evil.example") == 421
    alone = gated()
    assert status(alone, "127.0.0.1", x_forwarded_host="longtake.example") == 421
    assert status(alone, "127.0.0.1", x_forwarded_host="localhost:7860") == 200


def test_a_refusal_names_the_flag_and_is_one_line_of_the_log(
    gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    answer = gated().get("/a%0Ab", headers={"host": "longtake.example"})
    assert "--allowed-host longtake.example" in answer.text
    (line,) = [record.getMessage() for record in caplog.records if "421" in record.getMessage()]
    assert "\n" not in line and "longtake.example" in line


def test_health_is_told_under_any_name(gated: Gated) -> None:
    assert gated().get("/healthz", headers={"host": "probe.internal"}).status_code == 200


def test_two_hosts_and_whole_addresses_are_refused(gated: Gated) -> None:
    twice = [("host", "localhost"), ("host", "evil.example")]
    assert gated().get("/", headers=twice).status_code == 421


@pytest.mark.parametrize(
    "given", ["", "a b", "longtake.example/x", "https://longtake.example", "*", "a,b", "[::1"]
)
def test_a_flag_that_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(BadInput, match="--allowed-host"):
        Names.of({"server_name": "127.0.0.1"}, [given], {})


def test_a_tunnel_is_known_once_it_is_open() -> None:
    names = Names.of({"server_name": "127.0.0.1", "root_path": None}, [], {})
    assert not names.knows("abc.gradio.live")
    names.add("https://abc.gradio.live")
    assert names.knows("abc.gradio.live") and names.is_given("abc.gradio.live") and not names.proxied


def test_a_websocket_is_closed(gated: Gated) -> None:
    with pytest.raises(WebSocketDisconnect), gated().websocket_connect("/"):
        pass


def test_a_browser_reads_a_refusal_in_its_language(gated: Callable[..., TestClient]) -> None:
    asks = {"host": "evil.example", "accept-language": "zh-CN,en;q=0.5"}
    answer = gated().get("/", headers=asks)
    assert answer.status_code == 421 and answer.text.startswith("此服务器不使用名称 evil.example。")

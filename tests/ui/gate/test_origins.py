"""Which pages may act for a visitor."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from pipelines.errors import BadInput
from ui.gate import origin_of_flag

Gated = Callable[..., TestClient]
OWN = "http://127.0.0.1:7860"
SITE = "https://site.example"


@pytest.fixture
def client(gated: Gated) -> TestClient:
    return gated(allowed_origins=(SITE,), allowed_hosts=("longtake.example",))


def post(client: TestClient, path: str = "/gradio_api/call/jobs", **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, json={}, headers=sent).status_code


FOREIGN = [
    *(
        "https://evil.example",
        "http://localhost:7860",
        "http://127.0.0.1",
        "http://127.0.0.1:7861",
        "null",
        "",
    ),
    *(
        "https://127.0.0.1:7860",
        "http://127.0.0.1:7860.evil.example",
        "file://",
        "http://127.0.0.1:7860/",
        "x",
    ),
    *(
        "http://site.example",
        "https://site.example:8443",
        "https://www.site.example",
        "chrome-extension://abc",
    ),
    *("http://127.0.0.1:7860, https://evil.example", "http://user@127.0.0.1:7860", "http://127.0.0.1:78600"),
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/gradio_api/call/jobs", "/gradio_api/upload", "/login", "/anything"])
def test_pages_of_other_sites_may_not_act(client: TestClient, origin: str, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = client.request(method, path, headers={"origin": origin, "sec-fetch-site": "same-origin"})
        assert answer.status_code == 403 and answer.text.endswith(".")
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "none, cross-site", "else"])
def test_what_the_browser_says_of_its_page_counts_too(client: TestClient, site: str) -> None:
    assert post(client, sec_fetch_site=site) == 403
    assert post(client, sec_fetch_site=site, origin=OWN) == 403


def test_its_own_pages_may(client: TestClient) -> None:
    assert post(client, origin=OWN) == post(client, origin=OWN, sec_fetch_site="same-origin") == 200
    assert post(client, sec_fetch_site="same-origin") == post(client, sec_fetch_site="none") == 200
    assert post(client, host="[::1]:7860", origin="http://[::1]:7860") == 200
    assert post(client, host="LOCALHOST", origin="http://localhost") == 200


def test_programs_say_nothing_and_may(client: TestClient) -> None:
    assert post(client) == 200
    assert post(client, referer="https://evil.example/", user_agent="curl/8") == 200


def test_behind_tls_its_own_pages_may(client: TestClient) -> None:
    front = {"host": "longtake.example"}
    assert post(client, **front, origin="https://longtake.example", x_forwarded_proto="https") == 200
    assert post(client, **front, origin="http://longtake.example", x_forwarded_proto="https") == 403
    # A front that says nothing, with or without a port of its own.
    assert post(client, **front, origin="https://longtake.example") == 200
    assert post(client, host="longtake.example:8443", origin="https://longtake.example:8443") == 200
    # One that leaves the port out: the browser knows.
    assert post(client, **front, origin="https://longtake.example:8443", sec_fetch_site="same-origin") == 200
    assert post(client, **front, origin="https://longtake.example:8443") == 403
    assert post(client, **front, origin="https://wiki.longtake.example", sec_fetch_site="same-site") == 403


def test_behind_a_proxy_its_own_page_is_at_the_name_that_the_proxy_reports(
    client: TestClient, gated: Gated
) -> None:
    there = {"x_forwarded_host": "longtake.example", "origin": "https://longtake.example"}
    assert post(client, **there) == post(gated(root_path="/lt"), **there) == 200
    assert post(client, x_forwarded_host="longtake.example", origin=OWN) == 403
    for here in ("localhost:9", "127.0.0.1:9", "[::1]"):
        assert post(gated(), x_forwarded_host=here, origin=f"http://{here}") == 403, "there is no proxy"


@pytest.mark.parametrize("path", ["/", "/config", "/assets/index.js", "/theme.css", "/favicon.ico"])
def test_links_from_anywhere_open_the_page(client: TestClient, path: str) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/logout", "/gradio_api/queue/data", "/gradio_api/call/jobs/1", "/gradio_api/heartbeat/x"]
)
def test_a_get_that_ends_or_takes_something_is_not_for_others(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == client.get(path, headers={"origin": OWN}).status_code == 200
    for site in ("cross-site", "same-site"):
        assert (
            client.get(path, headers={"sec-fetch-site": site, "sec-fetch-dest": "document"}).status_code
            == 403
        )
    assert client.get(path, headers={"origin": "https://evil.example"}).status_code == 403


def test_a_result_opens_in_a_tab_and_not_in_a_page(client: TestClient) -> None:
    def opened(dest: str) -> int:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-dest": dest}
        return client.get("/gradio_api/file=a.mp4", headers=headers).status_code

    assert [opened(dest) for dest in ("document", "video", "image", "iframe", "empty")] == [200] + [403] * 4


def test_a_site_that_may_is_answered_with_cors_and_no_other_is(client: TestClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    allowed = client.options("/gradio_api/call/jobs", headers={"origin": SITE, **asked})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == SITE
    assert allowed.headers["access-control-allow-headers"] == "content-type"
    assert (
        allowed.headers["access-control-allow-credentials"] == "true" and allowed.headers["vary"] == "Origin"
    )
    answer = client.post("/gradio_api/call/jobs", headers={"origin": SITE, "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == SITE
    stream = client.get("/gradio_api/queue/data", headers={"origin": SITE, "sec-fetch-site": "cross-site"})
    assert stream.status_code == 200 and stream.headers["access-control-allow-origin"] == SITE
    for origin in ("https://evil.example", "null"):
        refused = client.options("/gradio_api/call/jobs", headers={"origin": origin, **asked})
        assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    own = client.post("/login", headers={"origin": OWN})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers


def test_a_site_that_may_shows_pictures_and_frames_and_no_other_does(
    client: TestClient, gated: Gated
) -> None:
    def shown(referer: str, path: str = "/gradio_api/file=a.png") -> int:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image", "referer": referer}
        return client.get(path, headers=headers).status_code

    assert shown(f"{SITE}/gallery?a=b") == shown(SITE) == 200
    for referer in (
        "https://evil.example/",
        "https://site.example.evil.example/",
        f"http://evil/?{SITE}/",
        "",
        "x",
    ):
        assert shown(referer) == 403
    acts = {"referer": f"{SITE}/", "sec-fetch-site": "cross-site"}
    assert client.post("/login", headers=acts).status_code == 403
    policy = client.get("/page").headers["content-security-policy"]
    assert policy == "frame-ancestors 'self' https://site.example:443"
    assert "content-security-policy" not in client.get("/config").headers
    assert gated().get("/page").headers["content-security-policy"] == "frame-ancestors 'self'"
    space = gated(environ={"SPACE_ID": "a/b"}).get("/page")
    assert space.status_code == 200 and "content-security-policy" not in space.headers


def test_two_origins_are_none(client: TestClient) -> None:
    assert client.post("/login", headers=[("origin", OWN), ("origin", SITE)]).status_code == 403


def test_a_refusal_names_the_flag_shortens_and_is_one_line(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/login", headers={"origin": "https://" + "a" * 5000 + ".example"})
    assert "--allowed-origin https://aaa" in answer.text and len(answer.text) < 400
    (line,) = [record.getMessage() for record in caplog.records if "403" in record.getMessage()]
    assert len(line) < 500


@pytest.mark.parametrize(
    "given", ["", "null", "*", "site.example", "https://site.example/x", "ftp://site.example", "https://"]
)
def test_a_flag_that_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(BadInput, match="--allowed-origin"):
        origin_of_flag(given)


def test_a_flag_has_many_spellings() -> None:
    for given in (SITE, "HTTPS://Site.Example:443/", " https://site.example "):
        assert origin_of_flag(given) == origin_of_flag(SITE)
    assert origin_of_flag("http://[::1]:3000").port == 3000
    assert origin_of_flag("https://bücher.example").name == "xn--bcher-kva.example"

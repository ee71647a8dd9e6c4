"""What uploads may carry."""

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from memory.units import KIB, MIB

Gated = Callable[..., TestClient]
FORM = {"content-type": "multipart/form-data; boundary=cut"}


def part(disposition: str, size: int) -> bytes:
    return (
        f"--cut\r\nX: y\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
        + b"a" * size
        + b"\r\n"
    )


def sent(client: TestClient, *parts: bytes, step: int = 64 * KIB) -> int:
    body = b"".join(parts) + b"--cut--\r\n"

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    return client.post("/gradio_api/upload", content=pieces(), headers=FORM).status_code


FILE = 'name="files"; filename="a.mp4"'


@pytest.mark.parametrize("step", [1000, 64 * KIB])
def test_files_pass_and_so_do_small_fields(gated: Gated, step: int) -> None:
    client = gated()
    assert sent(client, part(FILE, 3 * MIB), part('name="a"', 1000), step=step) == 200


@pytest.mark.parametrize(
    "parts",
    [
        [part('name="files"', 65 * KIB)],
        [part(FILE, MIB), part('name="files"', 65 * KIB), part(FILE, MIB)],
        [part(f'name="{i}"', 10 * KIB) for i in range(7)],
        [part('name="filename"', 65 * KIB)],
    ],
    ids=["one", "among files", "many", "named so"],
)
def test_fields_that_are_no_files_may_not_be_large(gated: Gated, parts: list[bytes]) -> None:
    assert sent(gated(), *parts) == sent(gated(), *parts, step=777) == 413


def test_what_is_no_form_is_left_to_the_page(gated: Gated) -> None:
    client = gated()
    for headers in (FORM, {"content-type": "multipart/form-data"}, {"content-type": "text/plain"}, {}):
        answer = client.post("/gradio_api/upload", content=b"a" * MIB, headers=headers)
        assert answer.status_code == 200 and answer.json()["bytes"] == MIB

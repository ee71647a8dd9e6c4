"""Whether a Ray cluster may be connected to: said before anything is started, with what to do."""

from pathlib import Path

import pytest

from pipelines.errors import BadInput
from pipelines.workers.ray_access import check_access, token_source

ADDRESS = "head.example:6379"


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray is installed, and there is a home without a token."""
    monkeypatch.setattr("pipelines.workers.ray_access.find_spec", lambda name: name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text("0123")
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}


@pytest.mark.parametrize(
    "address", ["", "auto", "head.example", ":6379", "head:0", "head:70000", "ray://a:1"]
)
def test_the_address_is_always_named(address: str, tokens: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="HOST:PORT"):
        check_access(address, tokens, insecure=True)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.workers.ray_access.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"requirements-ray\.txt"):
        check_access("local", {}, insecure=False)


@pytest.mark.parametrize("mode", [{}, {"RAY_AUTH_MODE": "disabled"}])
def test_a_cluster_without_tokens_is_refused_unless_the_risk_is_taken(
    mode: dict[str, str], tokens: dict[str, str]
) -> None:
    del tokens["RAY_AUTH_MODE"]
    with pytest.raises(BadInput, match="--ray-insecure"):
        check_access(ADDRESS, tokens | mode, insecure=False)
    check_access(ADDRESS, tokens | mode, insecure=True)


def test_a_missing_token_is_said(tokens: dict[str, str]) -> None:
    Path(tokens["RAY_AUTH_TOKEN_PATH"]).unlink()
    with pytest.raises(BadInput, match="no token"):
        check_access(ADDRESS, tokens, insecure=False)


@pytest.mark.parametrize("address", [ADDRESS, "10.0.0.1:6379", "[::1]:6379"])
def test_with_a_token_there_is_nothing_to_say(address: str, tokens: dict[str, str]) -> None:
    check_access(address, tokens, insecure=False)


def test_a_cluster_of_this_machine_needs_no_token_of_the_user() -> None:
    check_access("local", {}, insecure=False)


def test_tokens_are_found_where_ray_looks(tokens: dict[str, str], tmp_path: Path) -> None:
    assert token_source({"RAY_AUTH_TOKEN": "0123", **tokens}) == "RAY_AUTH_TOKEN"
    assert token_source(tokens) == tokens["RAY_AUTH_TOKEN_PATH"]
    assert token_source({}) == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123")
    assert token_source({}) == str(tmp_path / ".ray" / "auth_token")

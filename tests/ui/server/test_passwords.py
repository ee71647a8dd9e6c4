"""Who may come in: lines that htpasswd understands, files that change, and nothing told by the time a login takes."""

import asyncio
import getpass
import io
import os
import sys
from pathlib import Path

import bcrypt
import pytest

import app
from pipelines.errors import BadInput
from ui.server.passwords import Passwords, make_line

CHEAP = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(f"# who may come in\n\nann:{CHEAP}\n")
    return path


def accepts(users: Passwords, user: str, password: str) -> bool:
    return asyncio.run(users.accepts(user, password))


def test_a_line_lets_its_user_in_and_nobody_else(tmp_path: Path) -> None:
    line = make_line("Änne B", "pass: wörd")
    assert line.startswith("Änne B:$2b$12$") and "wörd" not in line
    (tmp_path / "users").write_text(line + "\n")
    users = Passwords(file=tmp_path / "users")
    assert accepts(users, "Änne B", "pass: wörd")
    for user, password in [("Änne B", "pass: word"), ("Änne B", ""), ("anne b", "pass: wörd"), ("", "")]:
        assert not accepts(users, user, password)


@pytest.mark.parametrize("kind", ["$2a$", "$2b$", "$2y$"])
def test_what_htpasswd_writes_is_understood(tmp_path: Path, kind: str) -> None:
    (tmp_path / "users").write_bytes(f"ann:{kind}{CHEAP[4:]}\r\n".encode())
    assert accepts(Passwords(file=tmp_path / "users"), "ann", "open sesame")


def test_users_of_flags_and_of_the_file_all_come_in(file: Path) -> None:
    users = Passwords(["bob:se:cret"], file)
    assert accepts(users, "bob", "se:cret") and accepts(users, "ann", "open sesame")
    assert not accepts(users, "bob", "open sesame")


def test_an_unknown_user_costs_what_a_known_one_costs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    real = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        checked.append(hashed)
        return real(password, hashed)

    users = Passwords(file=file)
    monkeypatch.setattr(bcrypt, "checkpw", counted)
    # Also with the password of somebody else, which the hash that stands in then matches.
    tries = [("ann", "open sesame"), ("ann", "x"), ("zoe", "open sesame"), ("zoe", "x" * 100)]
    assert [accepts(users, *pair) for pair in tries] == [True, False, False, False]
    assert checked == [CHEAP.encode()] * 4


def test_the_same_unknown_user_is_always_checked_against_the_same_hash(tmp_path: Path) -> None:
    hashes = [bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode() for _ in range(8)]
    (tmp_path / "users").write_text("".join(f"user{i}:{hashed}\n" for i, hashed in enumerate(hashes)))
    users = Passwords(file=tmp_path / "users")
    known = users._newest()
    picked = {name: {users._stand_in(name, known) for _ in range(3)} for name in map(str, range(40))}
    assert all(len(hashes) == 1 for hashes in picked.values())
    assert len(set.union(*picked.values())) > 1, "not all against one"


def test_a_password_that_is_too_long_is_neither_cut_nor_an_error(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"ann:{bcrypt.hashpw(b'x' * 72, bcrypt.gensalt(4)).decode()}\n")
    users = Passwords(file=tmp_path / "users")
    assert accepts(users, "ann", "x" * 72)
    assert not accepts(users, "ann", "x" * 73) and not accepts(users, "ann", "x" * 10**6)


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = Passwords(file=file)
    assert not accepts(users, "bob", "open sesame")
    file.write_text(f"bob:{CHEAP}\n")
    assert accepts(users, "bob", "open sesame") and not accepts(users, "ann", "open sesame")
    file.write_text(f"cleo:{CHEAP}\nbob:topsecret\n")
    assert accepts(users, "bob", "open sesame") and not accepts(users, "cleo", "open sesame")
    assert "line 2" in caplog.text and "topsecret" not in caplog.text
    file.unlink()
    assert accepts(users, "bob", "open sesame")
    file.write_text(f"cleo:{CHEAP}\n")
    assert accepts(users, "cleo", "open sesame")


def test_an_unchanged_file_is_not_read_again(file: Path) -> None:
    users = Passwords(file=file)
    before = file.stat()
    file.write_text(file.read_text().replace("ann", "zoe"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert accepts(users, "ann", "open sesame")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"ann:{CHEAP}\nbob\n", 2),
        ("ann:topsecret\n", 1),
        (f":{CHEAP}\n", 1),
        (f"ann:{CHEAP}\n\nann:{CHEAP}\n", 3),
        (f"ann:{CHEAP}:x\n", 1),
        (f"ann:{CHEAP.replace('$04$', '$31$')}\n", 1),
        ("ann:{SHA}topsecret\n", 1),
        ("ann:\x00\xff\n", 1),
    ],
    ids=["no hash", "plain", "no name", "twice", "three parts", "too costly", "another kind", "binary"],
)
def test_a_malformed_file_is_one_line_that_names_the_line_and_never_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, line: int
) -> None:
    path = tmp_path / "users"
    path.write_bytes(text.encode("latin-1"))
    assert app.main([f"--auth-file={path}", f"--jobs-dir={tmp_path / 'jobs'}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{path}, line {line}: " in told
    assert not any(word in told for word in ("ann", "bob", "topsecret", "$2b$"))


@pytest.mark.parametrize("text", [None, "", "# nobody\n"])
def test_a_file_without_users_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "users"
    if text is not None:
        path.write_text(text)
    assert app.main([f"--auth-file={path}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and str(path) in told


@pytest.mark.parametrize("pair", ["topsecret", ":topsecret", "ann:", " ann:topsecret", "ann:" + "x" * 73])
def test_a_pair_that_cannot_be_used_is_one_line_without_the_password(
    capsys: pytest.CaptureFixture[str], pair: str
) -> None:
    assert app.main([f"--auth={pair}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "topsecret" not in told


def test_the_command_reads_a_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("open sesame\nmore\n"))
    assert app.main(["password", "ann"]) == 0
    (tmp_path / "users").write_text(capsys.readouterr().out)
    assert accepts(Passwords(file=tmp_path / "users"), "ann", "open sesame")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("second", "code"), [("one", 0), ("two", 2)])
def test_the_command_asks_twice_without_echo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, second: str, code: int
) -> None:
    typed = iter(["one", second])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert app.main(["password", "ann"]) == code
    assert next(typed, None) is None
    assert ("ann:$2b$" in capsys.readouterr().out) == (code == 0)


def test_a_name_with_a_colon_is_refused() -> None:
    with pytest.raises(BadInput, match="name"):
        make_line("a:b", "x")


def test_a_login_leaves_the_event_loop_free(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    went_on = asyncio.Event()

    async def log_in() -> bool:
        loop = asyncio.get_running_loop()

        def slow(password: bytes, hashed: bytes) -> bool:
            # Ends only when the loop does something else meanwhile.
            asyncio.run_coroutine_threadsafe(_set(went_on), loop).result(100)
            return True

        monkeypatch.setattr(bcrypt, "checkpw", slow)
        return await Passwords(file=file).accepts("ann", "open sesame")

    assert asyncio.run(log_in()) and went_on.is_set()


async def _set(event: asyncio.Event) -> None:
    event.set()

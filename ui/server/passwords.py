"""Who may use the page: names, and bcrypt hashes of their passwords, as `htpasswd -B` writes them.

bcrypt and not argon2: administrators have such files already, a check holds 4 KiB and not 64 MiB, and PyCA's library
is one wheel without further dependencies.
"""

import asyncio
import getpass
import hashlib
import logging
import re
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path

import bcrypt

from pipelines.errors import BadInput
from ui.server.guesses import ASKING, Line

log = logging.getLogger(__name__)

_ROUNDS = 12
"""The cost of bcrypt: about a quarter of a second a guess, doubled by each further round."""
_MOST_BYTES = 72
"""The bytes of a password that bcrypt reads; a longer one is refused, never cut."""
_NAME = re.compile(r"[^:\s#](?:[^:\r\n\0]*[^:\s])?")
_HASH = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")


def make_line(user: str, password: str) -> str:
    """A line for a file of passwords: `user:hash`. Raises BadInput where one of the two cannot be used."""
    return f"{_checked_name(user)}:{_hashed(password)}"


def ask() -> str:
    """Ask for a new password: typed twice without echo, or one line of stdin where that is no terminal.

    Raises BadInput where the two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != first:
        raise BadInput("The two passwords differ.", "Type it again.")
    return first


class Passwords:
    """Users given as USER:PASS and those of a file, which is read again whenever it has changed.

    A login takes equally long whether or not there is such a user, if all hashes have the same cost. Logins are
    checked one after another in a thread of their own: a flood of guesses costs one core, and in the line (`Line`)
    wrong passwords wait for each other. Whoever is removed from the file stays logged in until the server is restarted.

    Raises BadInput where a user cannot be used or the file cannot be read; the line is named, never its content.
    """

    def __init__(self, pairs: Iterable[str] = (), file: Path | None = None) -> None:
        self._flag_users = dict(_parsed_pair(pair) for pair in pairs)
        self._file = file
        self._stamp = _stamp(file) if file else None
        self._users = self._flag_users | (_read(file) if file else {})
        self._key = secrets.token_bytes(16)
        self._line = Line(self._matches, lambda user: user in self._users)

    async def accepts(self, user: str, password: str) -> bool:
        """Whether `user` may log in with `password`; does not block the event loop. Raises TooManyGuesses."""
        return await asyncio.wrap_future(self._line.join(ASKING.get(), user, password))

    def _matches(self, user: str, secret: bytes) -> bool:
        users = self._newest()
        fits = len(secret) <= _MOST_BYTES
        stored = users.get(user)
        matches = bcrypt.checkpw(secret if fits else b"", (stored or self._stand_in(user, users)).encode())
        return matches and fits and stored is not None

    def _stand_in(self, user: str, users: dict[str, str]) -> str:
        """The hash that an unknown name is checked against, always the same one: costs may differ between users."""
        digest = hashlib.blake2b(user.encode(errors="replace"), key=self._key, digest_size=8).digest()
        return list(users.values())[int.from_bytes(digest) % len(users)]

    def _newest(self) -> dict[str, str]:
        """The users of the file as it is now; the previous ones where it cannot be used."""
        if self._file is None:
            return self._users
        try:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                self._stamp = stamp
                self._users = self._flag_users | _read(self._file)
        except BadInput as error:
            log.warning("The users stay as they were: %s", error)
        return self._users


def _parsed_pair(pair: str) -> tuple[str, str]:
    user, colon, password = pair.partition(":")
    if not colon:
        raise BadInput(
            "A value of --auth is not USER:PASS.", "Put a colon between the name and the password."
        )
    return _checked_name(user), _hashed(password)


def _checked_name(user: str) -> str:
    if not _NAME.fullmatch(user):
        raise BadInput(
            "A user's name is empty, begins with #, or has a colon, a line break or a space at an end.",
            "Choose another.",
        )
    return user


def _hashed(password: str) -> str:
    secret = password.encode()
    if not secret or len(secret) > _MOST_BYTES:
        raise BadInput(
            f"A password has {len(secret)} bytes; it may have 1 to {_MOST_BYTES}.", "Choose another."
        )
    return bcrypt.hashpw(secret, bcrypt.gensalt(_ROUNDS)).decode()


def _read(file: Path) -> dict[str, str]:
    """The users of `file`. Empty lines and lines that begin with # are left out."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.", "Check --auth-file.") from error
    users: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.decode(errors="replace").strip()
        if not text or text.startswith("#"):
            continue
        user, _, kept = text.partition(":")
        if not _NAME.fullmatch(user) or not _HASH.fullmatch(kept) or user in users:
            why = "repeats a user" if user in users else "is not a name, a colon and a bcrypt hash"
            raise BadInput(
                f"{file}, line {number}: it {why}.", "`python app.py password USER` prints such a line."
            )
        users[user] = kept
    if not users:
        raise BadInput(f"{file} names no user.", "`python app.py password USER` prints a line for it.")
    return users


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """A value that changes when `file` does; None where the file cannot be read."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

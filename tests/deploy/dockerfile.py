"""What the Dockerfile says: its stages, and what becomes of an image's instructions once they are inherited."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Image:
    """A stage with all that it inherits from the stages before it."""

    environ: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """The last of each instruction that replaces the one before it."""
    copied: list[tuple[list[str], str]] = field(default_factory=list)
    """Sources and target of each COPY: from the project, or from the stage that is named before a colon."""

    def command(self, name: str) -> list[str]:
        """An instruction in JSON form; ValueError where it is in another."""
        return [str(word) for word in json.loads(self.words[name])]

    def healthcheck(self) -> list[str]:
        """The command of HEALTHCHECK."""
        return [str(word) for word in json.loads(self.words["HEALTHCHECK"].partition("CMD")[2])]


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions and their arguments, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def stages() -> dict[str, Image]:
    """The stages of the project's Dockerfile, in order."""
    found: dict[str, Image] = {}
    image = Image()
    for name, rest in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if name == "FROM":
            base, _, stage = rest.partition(" AS ")
            before = found.get(base, Image())
            image = Image(dict(before.environ), dict(before.words), list(before.copied))
            found[stage] = image
        elif name == "ENV":
            image.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif name == "COPY":
            words = rest.split()
            stage = words.pop(0).removeprefix("--from=") + ":" if words[0].startswith("--from=") else ""
            image.copied.append(([stage + word for word in words[:-1]], words[-1]))
        else:
            image.words[name] = rest
    return found

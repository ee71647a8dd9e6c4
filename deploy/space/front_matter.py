"""Print the README.md of one Hugging Face Space: the project's, whose header says what this Space is.

`python deploy/space/front_matter.py someone/longtake --sdk docker`. The picture that is shown where the Space is
shared must be a whole address, so it depends on the Space's name.
"""

import argparse
import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_PICTURE = "docs/removed.jpg"
_PORT = 7860
"""The port that the Dockerfile exposes."""


def front_matter(readme: str, space: str, sdk: str) -> str:
    """Return `readme` with the header of `space` (`owner/name`), which is run by `sdk`: `gradio` or `docker`."""
    _, header, body = readme.split("---\n", 2)
    lines = header.splitlines()
    if sdk == "docker":
        # The Dockerfile chooses Python and Gradio, and starts the page.
        lines = [line for line in lines if not re.match(r"(sdk|sdk_version|python_version|app_file):", line)]
        lines += ["sdk: docker", f"app_port: {_PORT}"]
    lines.append(f"thumbnail: https://huggingface.co/spaces/{space}/resolve/main/{_PICTURE}")
    return "---\n" + "\n".join(lines) + "\n---\n" + body


def _space(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no Space: write owner/name")
    return text


def main(arguments: list[str]) -> None:
    """Print the README.md of the Space that these arguments name."""
    parser = argparse.ArgumentParser(description="Print the README.md of a Hugging Face Space.")
    parser.add_argument("space", type=_space, help="owner/name")
    parser.add_argument("--sdk", choices=("gradio", "docker"), default="gradio", help="what runs the Space")
    given = parser.parse_args(arguments)
    sys.stdout.write(front_matter(README.read_text(encoding="utf-8"), given.space, given.sdk))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Faults of Gradio's scripts that cost every open tab something, mended as the files are served."""

MENDED: dict[str, tuple[bytes, bytes]] = {
    # The clock of a status that is taken off the page while it is pending, as that of the first load is, went on for
    # ever: a callback before each frame, 3 % of a core at 60 Hz.
    "statustracker-DQF-KcRT.js": (b"W&&ze()", b"W&&U?.isConnected&&ze()"),
}
"""What stands in a file of Gradio 6.31, and what is sent instead; a file of another Gradio is sent as it is."""


def mended(name: str, text: bytes) -> bytes:
    """Return the script `name` without its known faults."""
    fault, right = MENDED.get(name, (b"", b""))
    return text.replace(fault, right) if fault else text

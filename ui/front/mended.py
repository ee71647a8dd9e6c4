"""Faults of Gradio's scripts that an open tab suffers from, mended as the files are served."""

MENDED: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    # The clock of a status that is taken off the page while it is pending, as that of the first load is, went on for
    # ever: a callback before each frame, 3 % of a core at 60 Hz.
    "statustracker-DQF-KcRT.js": ((b"W&&ze()", b"W&&U?.isConnected&&ze()"),),
    "index-DphvyggB.js": (
        # The server ends the stream of a session that waits for nothing. An event that was asked for before the tab
        # heard of it counted on that stream and was never answered; now the tab opens another.
        (
            b"{wt(r,o.abort_controller);return}",
            b"{wt(r,o.abort_controller),t.size&&o.open_stream();return}",
        ),
        # An event that ended before the answer to its request came was then counted as one that goes on.
        (
            b"v[E]=t,y.add(E),h.open||await this.open_stream()",
            b"Le||(v[E]=t,y.add(E),h.open||await this.open_stream())",
        ),
    ),
    # A tab that was about to be left closed its streams, and said that the connection was lost until the next page
    # came; where none came, as after a link that is a download, nothing more was heard.
    "Index-Akn07EZk2.js": ((b"addEventListener(`beforeunload`,", b"addEventListener(`pagehide`,"),),
}
"""What stands in files of Gradio 6.31, and what is sent instead; a file of another Gradio is sent as it is."""


def mended(name: str, text: bytes) -> bytes:
    """Return the script `name` without its known faults."""
    for fault, right in MENDED.get(name, ()):
        text = text.replace(fault, right)
    return text

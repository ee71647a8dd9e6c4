"""Signs of life are heard by who runs the job in the same thread, and by nobody else."""

import threading

from pipelines.storage.pulse import beat, heard_by


def test_a_beat_is_heard_by_the_innermost_listener_of_its_thread() -> None:
    heard: list[str] = []
    beat()
    with heard_by(lambda: heard.append("outer")):
        beat()
        with heard_by(lambda: heard.append("inner")):
            beat()
        thread = threading.Thread(target=beat)
        thread.start()
        thread.join()
        beat()
    beat()
    assert heard == ["outer", "inner", "outer"]

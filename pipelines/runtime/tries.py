"""How often one thing is tried whose encoder or decoder dies."""

from collections import Counter
from collections.abc import Hashable

from pipelines.errors import ChildDied, Sentence
from pipelines.stages import Warn

MOST_TRIES = 3
"""More deaths than that at the same place are no accident."""


class Tries:
    """Counts the deaths at each place of a run, and warns of each but the last."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._deaths: Counter[Hashable] = Counter()

    def count(self, place: Hashable, died: ChildDied, then: str) -> None:
        """Count one more death at `place` and say how the run goes on; raises `died` where it does not."""
        self._deaths[place] += 1
        if self._deaths[place] == MOST_TRIES:
            raise died
        self._warn(died.code, Sentence(f"{died.message} {then}", "tool_died"))

"""High-water marks: whose they are, since when, and what they add up to."""

import os

import pytest

from memory import peaks
from memory.peaks import PeakMarks
from memory.process_tree import Held
from memory.units import MIB


class Tree:
    """Readings that a test writes; process 7 is a child."""

    def __init__(self, **marks):
        self.latest = {}
        self.reads(**marks)

    def reads(self, own=10, child=None, shared=0):
        marks = {os.getpid(): own, 7: child}
        self.latest = {
            pid: Held(5 * MIB, (5 + shared) * MIB, mark * MIB)
            for pid, mark in marks.items()
            if mark is not None
        }


@pytest.fixture
def own(monkeypatch):
    """This process's mark in MiB, which cannot be set back."""
    mark = [10]
    monkeypatch.setattr(peaks, "own_peak_bytes", lambda: mark[0] * MIB)
    monkeypatch.setattr(peaks, "reset_own_peak", lambda: False)
    return mark


def test_only_marks_that_have_risen_count(own):
    tree = Tree(child=500)
    marks = PeakMarks(tree)
    marks.note()
    assert marks.highest_bytes() == 0
    own[0] = 300
    assert marks.highest_bytes() == 300 * MIB
    tree.reads(child=600)
    marks.note()
    assert marks.highest_bytes() == 600 * MIB


def test_a_new_process_counts_with_all_of_its_life_also_after_its_end(own):
    tree = Tree()
    marks = PeakMarks(tree)
    tree.reads(child=90)
    marks.note()
    tree.reads()
    marks.note()
    assert marks.highest_bytes() == 90 * MIB
    marks.restart()
    assert marks.highest_bytes() == 0


def test_marks_add_up_without_what_is_shared(own):
    tree = Tree(child=40)
    marks = PeakMarks(tree)
    tree.reads(own=200, child=40, shared=20)
    marks.note()
    assert marks.sum_bytes == (200 - 20 + 5) * MIB, "the child's mark is old: it counts with what it holds"

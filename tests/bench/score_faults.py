"""Planted freezes and blurs that `score` finds in encoded clips, over lengths, rates, motions, noise and compression.

    python tests/bench/score_faults.py [--seed 5] [--freezes 56] [--blurs 28] [--clean 24] [--flat 16]
        [--keep FOLDER] [--misses]

Clips are drawn at random from scikit-image's pictures: a camera (or a thing) moves over a picture at 640 x 360; frames
are copied or blurred; noise is added before the copy, after it, or both; x264 encodes. Clean clips have no fault: cuts,
still pictures, fades, films shown at a higher rate. Flat freezes are those of pictures almost without contrast, told
apart by whether anything that was encoded moves in the second before them, and stops. A planted fault counts as found
if exactly one run touches it. A false run touches no planted fault of its kind. The thresholds were chosen on seeds 1
to 3.

What an encoder leaves of a missed freeze is measured apart from the scorer, by phase correlation of decoded frames: the
freeze is called erased if, from the frame before it to its last one, the picture moves by more than half of what it
moves elsewhere in the clip over as many frames. With `--misses`, each miss and false run is printed. Results are
printed as tables and kept in tests/bench/results/.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.scoring.metrics.frame_features import compare, features_of  # noqa: E402  after the path is set
from pipelines.scoring.metrics.verdicts import verdicts  # noqa: E402
from pipelines.video.probe import probe  # noqa: E402
from pipelines.video.reader import read_frames  # noqa: E402
from tests.bench.faulty_clips import HEIGHT, WIDTH, Clip, encode, makers  # noqa: E402

Flags = NDArray[np.bool_]
Run = tuple[int, int]

LEAST_MOVED_PX = 0.05
"""Motion below which phase correlation cannot tell whether a freeze was erased."""
LEAST_SHIFT, LEAST_NOISE, NOISE_SHARE = 0.05, 0.25, 0.8
"""Something was seen to move before a flat freeze if the median shift was so many grey levels, or if the mean change
was as large as the second number, and is below this share of it in the freeze: others hardly differ from copies."""


def records_of(path: Path) -> NDArray[np.void]:
    before, found = None, []
    for frame in read_frames(probe(path), luma_only=True):
        now = features_of(frame.luma(WIDTH))
        found.append(compare(before, now))
        before = now
    return np.concatenate(found)


def runs(flags: Flags) -> list[Run]:
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(int(start), int(stop)) for start, stop in edges]


def touching(found: list[Run], fault: Run) -> list[Run]:
    return [run for run in found if run[0] < fault[1] and run[1] > fault[0]]


@dataclass
class Tally:
    """What was found of the planted faults of one kind. `one`: exactly one run touches it; `exact`: to one frame."""

    planted: int = 0
    one: int = 0
    exact: int = 0
    frames: int = 0
    found_frames: int = 0

    def add(self, fault: Run, found: list[Run], flags: Flags) -> None:
        hits = touching(found, fault)
        self.planted += 1
        self.one += len(hits) == 1
        self.exact += len(hits) == 1 and all(abs(a - b) <= 1 for a, b in zip(hits[0], fault, strict=True))
        self.frames += fault[1] - fault[0]
        self.found_frames += int(flags[slice(*fault)].sum())

    @property
    def recall(self) -> float:
        return self.found_frames / max(1, self.frames)


@dataclass
class Outcome:
    """Tallies of both kinds by label, false runs by the sort of clip, and the freezes of which nothing was found."""

    tallies: defaultdict[tuple[str, str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    false: Counter[tuple[str, str]] = field(default_factory=Counter)
    clips: Counter[str] = field(default_factory=Counter)
    cadence: Counter[str] = field(default_factory=Counter)
    erased: Counter[bool | None] = field(default_factory=Counter)

    def add(self, clip: Clip, path: Path, found: NDArray[np.void], is_told: bool = False) -> None:
        self.clips[clip.fault] += 1
        self.cadence[clip.fault] += bool(found["cadence"].any())
        for kind, column in (("freeze", "frozen"), ("blur", "blurred")):
            planted = clip.planted if clip.fault.endswith(kind) else np.zeros(len(found), bool)
            here, near = runs(found[column]), np.convolve(planted, (1, 1, 1), "same") > 0
            for fault in runs(planted):
                labels = {"all": "", "length": length_of(fault, clip.rate), **clip.labels}
                if clip.fault == "flat freeze":
                    labels["before it"] = (
                        "something moves" if was_moving(found, fault, clip.rate) else "nothing moves"
                    )
                for label in labels.items():
                    self.tallies[clip.fault, *label].add(fault, here, found[column])
                hits = touching(here, fault)
                if clip.fault == "freeze" and not hits:
                    self.erased[is_erased(path, fault, clip.planted)] += 1
                if is_told and len(hits) != 1:
                    print(f"{clip.name}: {kind} {fault} found as {hits}")
            false = [run for run in here if not near[slice(*run)].any()]
            self.false[kind, clip.fault] += len(false)
            if is_told and false:
                print(f"{clip.name}: false {kind} {false[:6]}")

    def count(self, kind: str, sort: str = "") -> int:
        return sum(n for (k, s), n in self.false.items() if k == kind and sort in ("", s))

    def lines(self) -> list[str]:
        lines = [
            "| fault | | planted | found as one run | to one frame | frame recall |",
            "|---|---|---|---|---|---|",
        ]
        for (kind, label, value), t in sorted(
            self.tallies.items(), key=lambda item: (item[0][0] != "freeze", item[0])
        ):
            lines.append(f"| {kind} | {label} {value} | {t.planted} | {t.one} | {t.exact} | {t.recall:.3f} |")
        lines += [
            "",
            "| clips | number | false freezes | false blurs | with cadence |",
            "|---|---|---|---|---|",
        ]
        for sort, number in [*self.clips.items(), ("", self.clips.total())]:
            cadence = self.cadence[sort] if sort else self.cadence.total()
            counts = f"{self.count('freeze', sort)} | {self.count('blur', sort)} | {cadence}"
            lines.append(f"| {sort or 'all'} | {number} | {counts} |")
        missed = self.erased.total()
        return [
            *lines,
            "",
            f"Freezes of which nothing is found: {missed}; the encoder erased {self.erased[True]} of them.",
        ]


def length_of(fault: Run, rate: int) -> str:
    seconds = (fault[1] - fault[0]) / rate
    names = {0.1: "below 0.1 s", 0.5: "0.1 to 0.5 s", 2.0: "0.5 to 2 s", np.inf: "2 s and more"}
    return next(name for most, name in names.items() if seconds < most)


def was_moving(found: NDArray[np.void], fault: Run, rate: int) -> bool:
    """Whether anything in the encoded pictures moves in the second before a fault, and less in it."""
    before, within = found[max(1, fault[0] - max(16, rate)) : fault[0]], found[slice(*fault)]
    change = np.median(before["difference"])
    is_noisy = change >= LEAST_NOISE and np.median(within["difference"]) < NOISE_SHARE * change
    return bool(np.median(before["shift"]) >= LEAST_SHIFT or is_noisy)


def is_erased(path: Path, fault: Run, planted: Flags) -> bool | None:
    """Whether the decoded picture moves in a freeze; None where it hardly moves elsewhere, or too little is left."""
    length = fault[1] - fault[0]
    lumas = [frame.luma(WIDTH).astype(np.float32) for frame in read_frames(probe(path), luma_only=True)]
    window = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)

    def moved(start: int) -> float:
        return float(np.hypot(*cv2.phaseCorrelate(lumas[start], lumas[start + length], window)[0]))

    free = [i for i in range(len(lumas) - length) if not planted[i + 1 : i + length + 1].any()]
    elsewhere = [moved(start) for start in free[:: max(1, len(free) // 30)]]
    if not elsewhere or np.median(elsewhere) < LEAST_MOVED_PX:
        return None
    return moved(fault[0] - 1) > float(np.median(elsewhere)) / 2


def make_or_read(base: Path, make: Callable[[], Clip]) -> tuple[Clip, Path]:
    """Return a clip without its frames, and its encoded file beside `base`."""
    path, facts = base.with_suffix(".mp4"), base.with_suffix(".json")
    if facts.exists():
        kept = json.loads(facts.read_text())
        return Clip(**{**kept, "planted": np.array(kept["planted"], bool)}), path
    clip = make()
    encode(path, clip)
    clip.lumas = []
    facts.write_text(json.dumps({**asdict(clip), "planted": clip.planted.tolist()}))
    return clip, path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--freezes", type=int, default=56)
    parser.add_argument("--blurs", type=int, default=28)
    parser.add_argument("--clean", type=int, default=24)
    parser.add_argument("--flat", type=int, default=16)
    parser.add_argument("--keep", type=Path, help="keep clips here, and take those that are there")
    parser.add_argument("--misses", action="store_true")
    chosen = parser.parse_args()
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in makers(chosen.seed, chosen.freezes, chosen.blurs, chosen.clean, chosen.flat):
            clip, path = make_or_read(folder / name, make)
            found = np.concatenate(list(verdicts([records_of(path)], 3, clip.rate)))
            outcome.add(clip, path, found, chosen.misses)
            if not chosen.keep:
                path.unlink()
    lines = [f"{platform.machine()}, PyAV {av.__version__}, OpenCV {cv2.__version__}, seed {chosen.seed}", ""]
    lines += outcome.lines()
    print("\n".join(lines))
    (ROOT / "tests/bench/results/score_faults.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()

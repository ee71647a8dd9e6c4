"""Where Q-Align's weights lie and what that holds: settled before a run, from sizes alone.

What changes a score (the bits of a weight) is the user's choice; where layers wait is not, and follows from what the
machine has: on the device where all fit, else in host memory, else in their files.
"""

from dataclasses import dataclass, replace

from memory.plan import Budget, Cost, Load, make_plan
from memory.units import GIB, MIB
from pipelines.nets.qalign.config import PUBLISHED, Config, Place, Quant, Task
from pipelines.scoring.qalign.windows import WINDOWS_A_FRAME
from pipelines.settings import ScoreSettings

_TORCH_BYTES = 160 * MIB
"""torch on the host, beside what the built-in engine holds: measured at 140 MiB."""
_CARD_HOST_BYTES, _CARD_BYTES = 1200 * MIB, 500 * MIB
"""What a driver's libraries hold on the host, and its context on the card. Not measured."""
_MAPPED_BYTES = 150 * MIB
_WORDS = 20
"""Tokens of a prompt that are not kept from the first window on, at most."""
_STORED_BITS = {"bfloat16": 16, "float16": 16, "float32": 32}
_QUANTS: dict[int, Quant] = {8: "int8", 4: "int4"}


@dataclass(frozen=True)
class Layout:
    """What is computed on, where layers wait, and the bits of their weights."""

    device: str
    place: Place
    bits: int = 16

    @property
    def quant(self) -> Quant | None:
        """How the layers' matrices are packed."""
        return _QUANTS.get(self.bits)


def window_of(settings: ScoreSettings) -> int:
    """The frames that a score looks at: pictures are rated one by one."""
    return settings.window if settings.score_task == "video_quality" else 1


def most_samples(config: Config, task: Task) -> int:
    """How many frames of a whole video are rated at once: as many as the language model has places for."""
    words = sum(map(len, PUBLISHED.prompts[task]))
    return max(1, (config.language.positions - words) // config.frame_tokens)


@dataclass(frozen=True)
class Need:
    """What a run needs, wherever the weights lie.

    `base` is what it holds on the host besides the network, for frames of so many `pixels`; `samples` of them stand for
    the whole video.
    """

    config: Config
    settings: ScoreSettings
    base: Load
    pixels: int
    samples: int = 1

    @property
    def gigaflops(self) -> int:
        """Of one frame and of the window that it completes: twice the weights that each token meets, in billions."""
        seen, language = self.config.seen_weights * self.config.vision.tokens, self.config.language
        # Text and frames have keys and values of their own: each token meets two of these four squares.
        met = language.layers * (self.config.layer_weights - 2 * language.width**2)
        read = window_of(self.settings) * self.config.frame_tokens + _WORDS
        return max(1, round(2 * (seen + met * read) / 1e9))

    def settled(self, budget: Budget, device: str) -> Layout:
        """The first place in which a single window can be scored within `budget`, or the one that is asked for."""
        layout = Layout(device, "disk", int(self.settings.weight_bits))
        if self.settings.weights_place != "auto":
            return replace(layout, place=self.settings.weights_place)
        places: tuple[Place, ...] = ("device",) if device == "cpu" else ("device", "host")
        for place in places:
            held = self.cost(replace(layout, place=place))
            if make_plan(held, pixels=self.pixels, frames=1, budget=budget, window=(1,)).risk != "cannot":
                return replace(layout, place=place)
        return layout

    def cost(self, layout: Layout) -> Cost:
        """What a run holds with the weights there."""
        sizes, base = _Sizes(self.config, layout), self.base
        at_once = sizes.window_bytes(window_of(self.settings)) + sizes.frame_bytes / WINDOWS_A_FRAME
        fixed = sizes.held_bytes + sizes.frame_bytes + sizes.window_bytes(self.samples)
        squares = 2 * 3 * self.config.vision.image_side**2
        host = replace(
            base,
            fixed=base.fixed + _TORCH_BYTES + sizes.mapped_bytes + sizes.waiting_bytes,
            per_window_frame=base.per_window_frame + squares,
            per_batch_frame=squares,
        )
        if layout.device == "cpu":
            return Cost(replace(host, fixed=host.fixed + fixed, per_batch_frame=squares + at_once))
        host = replace(host, fixed=host.fixed + _CARD_HOST_BYTES)
        return Cost(host, Load(fixed=fixed + _CARD_BYTES, per_batch_frame=at_once))

    def remark(self, layout: Layout) -> str:
        """Where the layers wait, and how large they are."""
        where = {
            "device": "held where they are used",
            "host": "kept in host memory, two at a time on the card",
            "disk": "left in their files, two at a time in memory",
        }[layout.place]
        bits = "as published" if layout.bits == 16 else f"in {layout.bits} bits"
        size = _Sizes(self.config, layout).layers_bytes
        held = f"{size / GIB:.1f} GiB" if size >= GIB else f"{max(1, size // MIB)} MiB"
        return f"Q-Align's layers ({held} {bits}) {where}"


@dataclass(frozen=True)
class _Sizes:
    """Bytes of the network and of its activations: float32 on the CPU, float16 on a card."""

    config: Config
    layout: Layout

    @property
    def _number(self) -> int:
        return 4 if self.layout.device == "cpu" else 2

    @property
    def _bits(self) -> int:
        """Of a weight as it is kept: never more than in its file."""
        as_is = min(8 * self._number, _STORED_BITS[self.config.stored])
        return as_is if self.layout.bits == 16 else self.layout.bits

    @property
    def _layer(self) -> int:
        return self.config.layer_bytes(self._bits)

    @property
    def layers_bytes(self) -> int:
        """All layers of the language model."""
        return self.config.language.layers * self._layer

    @property
    def held_bytes(self) -> int:
        """What computes: the vision part, layers, and the matrix that is widened at the moment."""
        widest = max(rows * columns for rows, columns in self.config.language.matrices)
        widened = (self._number + 1) * widest if self._bits < 8 * self._number else 0
        layers = self.layers_bytes if self.layout.place == "device" else 2 * self._layer
        return self.config.seen_weights * self._number + layers + widened

    @property
    def waiting_bytes(self) -> int:
        """What waits in host memory."""
        return self.layers_bytes if self.layout.place == "host" else 0

    @property
    def mapped_bytes(self) -> int:
        """Pages of the files that are mapped while weights are read, at most."""
        return min(_MAPPED_BYTES, self.config.weights * _STORED_BITS[self.config.stored] // 8)

    @property
    def frame_bytes(self) -> int:
        """One frame in the vision tower: a layer's activations of each token."""
        v = self.config.vision
        return v.tokens * (2 * v.width + 3 * v.mlp_width) * self._number

    def window_bytes(self, width: int) -> int:
        """One window of so many frames: its features twice, and a layer's activations of each token."""
        text, tokens = self.config.language, width * self.config.frame_tokens + _WORDS
        activations = tokens * (4 * text.width + 3 * text.mlp_width) * self._number
        return 2 * width * self.config.frame_numbers * self._number + activations

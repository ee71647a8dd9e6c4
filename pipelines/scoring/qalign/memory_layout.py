"""Where Q-Align's layers are kept, and the memory that takes: decided before a run, from sizes alone.

The bits per weight change scores, so they are the user's choice. The place of the layers does not, so it follows from
the memory: on the device if all fit, otherwise in host memory, otherwise in their files.
"""

from dataclasses import dataclass, replace

from memory.compute import compute_device, is_on_host
from memory.plan import Budget, Cost, Load, make_plan
from memory.units import GIB, MIB
from pipelines.nets.qalign.config import PUBLISHED, Config, Place, Quant, Task
from pipelines.scoring.qalign.windows import WINDOWS_A_FRAME
from pipelines.settings import ScoreSettings

_TORCH_BYTES = 160 * MIB
"""Host memory of torch, beside what the built-in engine holds: measured at 140 MiB."""
_CUDA_HOST_BYTES, _CUDA_CONTEXT_BYTES = 1200 * MIB, 500 * MIB
"""Host memory of the CUDA libraries, and GPU memory of the context. Estimated, not measured."""
_MAPPED_BYTES = 150 * MIB
"""File pages that are mapped at a time while weights are read, at most."""
_PROMPT_TOKENS = 20
"""Most prompt tokens that are computed for each window, not once for all."""
_STORED_BITS = {"bfloat16": 16, "float16": 16, "float32": 32}
_QUANTS: dict[int, Quant] = {8: "int8", 4: "int4"}


@dataclass(frozen=True)
class Layout:
    """The device, where the layers are kept, and the bits per weight."""

    device: str
    place: Place
    bits: int = 16

    @property
    def quant(self) -> Quant | None:
        """Quantization of the layers' matrices."""
        return _QUANTS.get(self.bits)


def window_of(settings: ScoreSettings) -> int:
    """Return the frames that one score covers: 1 where pictures are rated."""
    return settings.window if settings.score_task == "video_quality" else 1


def most_samples(config: Config, task: Task) -> int:
    """Return how many frames of a video can be rated together: as many as fit the positions of the language model."""
    prompt_tokens = sum(map(len, PUBLISHED.prompts[task]))
    return max(1, (config.language.positions - prompt_tokens) // config.frame_tokens)


@dataclass(frozen=True)
class Need:
    """Work and memory of a run, for any layout.

    `base` is the host memory besides the network, for frames of `pixels`; `samples` frames are rated together to score
    the whole video.
    """

    config: Config
    settings: ScoreSettings
    base: Load
    pixels: int
    samples: int = 1

    @property
    def gigaflops(self) -> int:
        """Gigaflops of one frame and its window: two per weight that each token is multiplied with."""
        vision, language = self.config.seen_weights * self.config.vision.tokens, self.config.language
        # Text and frames have separate key and value matrices: each token uses two of these four.
        per_token = language.layers * (self.config.layer_weights - 2 * language.width**2)
        tokens = window_of(self.settings) * self.config.frame_tokens + _PROMPT_TOKENS
        return max(1, round(2 * (vision + per_token * tokens) / 1e9))

    def settled(self, budget: Budget, device: str) -> Layout:
        """Return the requested layout, or the fastest one in which a single window fits into `budget`."""
        layout = Layout(device, "disk", int(self.settings.weight_bits))
        if self.settings.weights_place != "auto":
            return replace(layout, place=self.settings.weights_place)
        places: tuple[Place, ...] = ("device",) if is_on_host(device) else ("device", "host")
        for place in places:
            cost = self.cost(replace(layout, place=place))
            if make_plan(cost, pixels=self.pixels, frames=1, budget=budget, window=(1,)).risk != "cannot":
                return replace(layout, place=place)
        return layout

    def cost(self, layout: Layout) -> Cost:
        """Return the memory cost of a run with this layout."""
        sizes, base = _Sizes(self.config, layout), self.base
        at_once = sizes.window_bytes(window_of(self.settings)) + sizes.frame_bytes / WINDOWS_A_FRAME
        fixed = sizes.held_bytes + sizes.frame_bytes + sizes.window_bytes(self.samples)
        squares = 2 * 3 * self.config.vision.image_side**2
        host = replace(
            base,
            fixed=base.fixed + _TORCH_BYTES + sizes.mapped_bytes + sizes.offloaded_bytes,
            per_window_frame=base.per_window_frame + squares,
            per_batch_frame=squares,
        )
        if is_on_host(layout.device):
            return Cost(replace(host, fixed=host.fixed + fixed, per_batch_frame=squares + at_once))
        host = replace(host, fixed=host.fixed + _CUDA_HOST_BYTES)
        return Cost(host, Load(fixed=fixed + _CUDA_CONTEXT_BYTES, per_batch_frame=at_once))

    def remark(self, layout: Layout) -> str:
        """Say where the layers are kept and how large they are, for the plan's reason."""
        where = {
            "device": "stay on the device",
            "host": "stay in host memory, two at a time on the GPU",
            "disk": "stay in their files, two at a time in memory",
        }[layout.place]
        bits = "as published" if layout.bits == 16 else f"at {layout.bits} bits"
        size = _Sizes(self.config, layout).layers_bytes
        held = f"{size / GIB:.1f} GiB" if size >= GIB else f"{max(1, size // MIB)} MiB"
        return f"Q-Align's layers ({held} {bits}) {where}"


@dataclass(frozen=True)
class _Sizes:
    """Bytes of the network and its activations: float32 on the CPU, float16 on a GPU."""

    config: Config
    layout: Layout

    @property
    def _itemsize(self) -> int:
        return 2 if compute_device(self.layout.device).has_float16 else 4

    @property
    def _bits(self) -> int:
        """Bits of a weight in memory: never more than in its file."""
        as_is = min(8 * self._itemsize, _STORED_BITS[self.config.stored])
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
        """Bytes on the device: vision tower, layers, and the one matrix that is being dequantized."""
        largest = max(rows * columns for rows, columns in self.config.language.matrices)
        dequantized = (self._itemsize + 1) * largest if self._bits < 8 * self._itemsize else 0
        layers = self.layers_bytes if self.layout.place == "device" else 2 * self._layer
        return self.config.seen_weights * self._itemsize + layers + dequantized

    @property
    def offloaded_bytes(self) -> int:
        """Bytes of layers offloaded to host memory."""
        return self.layers_bytes if self.layout.place == "host" else 0

    @property
    def mapped_bytes(self) -> int:
        """File pages that are mapped while weights are read, at most."""
        return min(_MAPPED_BYTES, self.config.weights * _STORED_BITS[self.config.stored] // 8)

    @property
    def frame_bytes(self) -> int:
        """Activations of one layer of the vision tower, for one frame."""
        v = self.config.vision
        return v.tokens * (2 * v.width + 3 * v.mlp_width) * self._itemsize

    def window_bytes(self, width: int) -> int:
        """Features (twice) and activations of one layer of the language model, for a window of `width` frames."""
        text, tokens = self.config.language, width * self.config.frame_tokens + _PROMPT_TOKENS
        activations = tokens * (4 * text.width + 3 * text.mlp_width) * self._itemsize
        return 2 * width * self.config.frame_numbers * self._itemsize + activations

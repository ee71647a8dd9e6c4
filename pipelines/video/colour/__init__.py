"""Transfer functions, gamuts, tone mapping, conversion of samples and dither. Knows planes and colour tags, no files.

Arrays of signals are float32, 0 black and 1 nominal white (of PQ: 10000 cd/m2), in the source's own transfer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dither": ["dither"],
        "proxy": ["dithered", "luma_of_codes", "proxy_luma", "proxy_rgb", "undo_proxy"],
        "samples": ["from_signal", "rgb16", "sdr_luma", "sdr_rgb", "to_signal"],
        "tags": ["hdr_kind", "luma_weights"],
    },
)

"""Colour science: transfer functions, gamuts, tone mapping, samples and dither. Knows arrays and colour tags, no files.

Arrays of signals are float32, 0 black and 1 nominal white (of PQ: 10000 cd/m2), in the source's own transfer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dither": ["dither"],
        "proxy": ["luma_of_codes", "proxy_luma", "proxy_rgb", "tone_mapped", "undo_proxy"],
        "samples": ["Samples", "from_signal", "rgb16", "to_signal"],
        "tags": ["Tags", "hdr_kind"],
    },
)
